"""The list of experiments: what each row trains, and in what two rows differ."""

from dataclasses import asdict, replace

import pytest

from lambdalib import cli
from lambdalib.cost import count_parameters
from lambdalib.experiments.results import read_results
from lambdalib.experiments.rows import COMPARISONS, CUMULATIVE_ABLATION, EVERY_ROW, NETS, ROW_ALIASES, ROWS
from lambdalib.models import create_model
from lambdalib.twins import TWINS


@pytest.mark.parametrize("name", ROWS)
def test_every_row_makes_a_net_of_its_size(name):
    limits = {"tiny": 300_000, "small": 1_000_000}
    parameters = count_parameters(create_model(ROWS[name].model, **ROWS[name].model_kwargs))
    assert parameters <= limits.get(name, 25_000_000)


@pytest.mark.parametrize("name", [name for name in ROWS if name.endswith("-convolutions")])
def test_a_twin_differs_in_its_layers_only(name):
    row, twin = ROWS[name.removesuffix("-convolutions")], ROWS[name]
    assert replace(twin, model=row.model, model_kwargs=row.model_kwargs) == row
    assert twin != row


@pytest.mark.parametrize("twin", ["convolution", *TWINS])
def test_the_twins_share_one_recipe(twin):
    row = ROWS[f"twins-{twin}"]
    assert replace(row, model_kwargs={}, lr=0.75) == ROWS["twins-lambda"] == replace(ROWS["tiny"], epochs=10)
    assert row.model_kwargs == ({"layout": "CCC"} if twin == "convolution" else {"twin": twin})


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("early-")])
def test_an_early_row_differs_from_the_late_one_in_its_layout_only(name):
    early, late = ROWS[name], ROWS[name.replace("early", "twins")]
    assert (
        early.model_kwargs == {"layout": "LLL", **late.model_kwargs}
        and replace(early, model_kwargs=late.model_kwargs) == late
    )


@pytest.mark.parametrize("size", [name for name in ROWS if name.startswith("sizes-")])
def test_a_size_differs_in_one_thing(size):
    row, plain = ROWS[size], ROWS["twins-lambda"]
    assert replace(row, model_kwargs={}) == plain and len(row.model_kwargs) == 1
    assert count_parameters(create_model(row.model, **row.model_kwargs)) != count_parameters(
        create_model(plain.model)
    )


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("alone-")])
def test_a_mixer_stands_alone(name):
    assert replace(ROWS[name], model_kwargs={}, lr=0.75) == ROWS["twins-lambda"]
    mixer, _, u = name.removeprefix("alone-").partition("-u")
    expected = {"widen": 1, "layout": "CCC" if mixer == "convolution" else "LLL"} | (
        {"dim_u": int(u)} if u else {}
    )
    assert ROWS[name].model_kwargs == expected | ({} if mixer in ("lambda", "convolution") else {"twin": mixer})


@pytest.mark.parametrize(
    "name", [name for name in ROWS if name.startswith(("twins-", "alone-")) and not name.endswith("-u4")]
)
def test_a_mixer_has_the_rate_that_was_best_on_validation_images(name):
    swept = {row.name: row.accuracies for row in read_results("sweep") if row.name.startswith(f"{name}-lr")}
    assert sorted(swept) == [f"{name}-lr{rate}" for rate in (0.375, 0.75, 1.5)]
    assert max(swept, key=swept.get) == f"{name}-lr{ROWS[name].lr}"


def test_with_u_a_mixer_has_the_rate_that_it_has_without():
    assert all(ROWS[f"alone-{name}-u4"].lr == ROWS[f"alone-{name}"].lr for name in ("lambda", "frozen-query"))


def test_the_steps_lead_from_a_usual_recipe_to_ours_and_never_back():
    steps = [asdict(recipe) for recipe in CUMULATIVE_ABLATION.values()]
    ours = asdict(replace(ROWS["twins-lambda"], validation_images=5000))
    assert steps[-1] == ours
    assert (steps[0]["ema"], steps[0]["whiten"], steps[0]["label_smoothing"], steps[0]["flip"]) == (
        None,
        False,
        0,
        "random",
    )
    for before, after in zip(steps, steps[1:]):
        changed = [name for name in ours if before[name] != after[name]]
        assert changed and all(after[name] == ours[name] for name in changed)


def test_no_two_rows_have_one_recipe():
    assert EVERY_ROW == NETS | COMPARISONS | CUMULATIVE_ABLATION
    recipes = list(EVERY_ROW.values())
    assert not [recipe for place, recipe in enumerate(recipes) if recipe in recipes[:place]]


def test_a_row_is_trained_by_its_name(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(cli.train, "fit", lambda recipe, data, out, **options: seen.append((recipe, out)) or 1 / 0)
    monkeypatch.chdir(tmp_path)
    for words in ("tiny-convolutions --seed 3", "ablation-alternating-flips", "ladder-alternating-flips"):
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", "--row", *words.split(), "--source", "sample"])
    assert (
        seen[0][0] == replace(ROWS["tiny-convolutions"], seed=3) and seen[0][1].name == "tiny-convolutions-seed3"
    )
    assert (
        seen[1][0] == seen[2][0] == CUMULATIVE_ABLATION["ablation-alternating-flips"]
    )  # its old name still works
    assert list(ROW_ALIASES.values()) == list(CUMULATIVE_ABLATION)
