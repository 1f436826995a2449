"""The list of experiments: what each row trains, and in what two rows differ."""

from dataclasses import asdict, replace

import pytest

from lambdalib import cli
from lambdalib.cost import count_parameters
from lambdalib.experiments.results import read_results
from lambdalib.experiments.rows import (
    COMPARISONS,
    CUMULATIVE_ABLATION,
    EVERY_ROW,
    MISSING_STEPS,
    NETS,
    RESIZING,
    RIVALS,
    ROW_ALIASES,
    ROWS,
)
from lambdalib.models import create_model
from lambdalib.training.recipes import image_side
from lambdalib.twins import PROJECTIONS

# rows whose learning rate still awaits its sweep
UNSWEPT = ["rivals-depthwise-global", "rivals-bottleneck", "alone-position-scope1"] + [
    f"{place}-position-scope1-u4" for place in ("rivals", "alone")
]


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


@pytest.mark.parametrize("twin", ["convolution", *PROJECTIONS])
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
    mixer, _, scope = mixer.partition("-scope")
    expected = {"widen": 1, "layout": "CCC" if mixer == "convolution" else "LLL"}
    expected |= {"dim_u": int(u)} if u else {}
    expected |= {"scope": int(scope)} if scope else {}
    assert ROWS[name].model_kwargs == expected | ({} if mixer in ("lambda", "convolution") else {"twin": mixer})


@pytest.mark.parametrize("name, sibling, change", [
    ("rivals-position-scope1", "twins-position", {"scope": 1}),
    ("rivals-position-scope1-u4", "rivals-position-scope1", {"dim_u": 4}),
    ("rivals-depthwise", "twins-frozen-query", {"twin": "depthwise"}),
    ("rivals-depthwise-global", "rivals-depthwise", {"twin": "depthwise-global"}),
    ("rivals-bottleneck", "rivals-depthwise", {"twin": "bottleneck"}),
    ("alone-position-scope1", "alone-position", {"scope": 1}),
    ("alone-position-scope1", "rivals-position-scope1", {"layout": "LLL", "widen": 1}),
    ("alone-position-scope1-u4", "alone-position-scope1", {"dim_u": 4}),
    ("alone-position-scope1-u4", "rivals-position-scope1-u4", {"layout": "LLL", "widen": 1}),
])  # fmt: skip
def test_controls_and_rivals_differ_from_a_sibling_in_one_thing(name, sibling, change):
    """And in the learning rate, where a sweep chose the sibling's, and in the dtype between two groups."""
    row, other = ROWS[name], ROWS[sibling]
    assert row.model_kwargs == other.model_kwargs | change != other.model_kwargs
    dtype = row.dtype if name.partition("-")[0] == sibling.partition("-")[0] else other.dtype
    assert replace(row, lr=other.lr, dtype=dtype, model_kwargs=other.model_kwargs) == other
    nets = [create_model(recipe.model, **recipe.model_kwargs) for recipe in (row, other)]
    assert count_parameters(nets[0]) != count_parameters(nets[1])


def test_rivals_are_those_of_one_lambda_row_in_one_dtype():
    assert RIVALS["rivals-lambda"] == replace(ROWS["twins-lambda"], dtype="float32")
    rivals = [replace(row, lr=0.75, model_kwargs={}) for row in RIVALS.values()]
    assert rivals == [RIVALS["rivals-lambda"]] * 6


@pytest.mark.parametrize("name", UNSWEPT)
def test_without_a_sweep_a_mixer_has_the_recipes_rate(name):
    assert ROWS[name].lr == ROWS["twins-lambda"].lr
    assert not [row for row in read_results("sweep") if row.name.startswith(f"{name}-lr")], "no longer unswept"


@pytest.mark.parametrize("name", [
    name for name in ROWS
    if name.startswith(("twins-", "alone-", "rivals-")) and not name.endswith("-u4")
    and name not in (*UNSWEPT, "rivals-lambda")  # it has the rate of twins-lambda
])  # fmt: skip
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


def test_the_missing_step_is_the_average_without_the_rates():
    """It is the step before the rates with the average, and the last step without the rates."""
    row, before, after = (
        EVERY_ROW[f"ablation-{name}"] for name in ("average-without-rates", "whitening", "average")
    )
    rates = {"lr": 0.4, "bias_lr_multiplier": 1, "momentum": 0.9, "weight_decay": 5e-4, "min_lr": 0}
    assert replace(before, ema=after.ema) == row == replace(after, **rates) and row.ema is not None
    assert "ablation-average-without-rates" not in CUMULATIVE_ABLATION and len(MISSING_STEPS) == 1


def test_small_images_first_take_as_much_work_as_full_size_alone():
    first, full = RESIZING.values()
    assert replace(first, epochs=full.epochs, progressive_resizing={}) == full
    half = {side: epochs / 2 for side, epochs in ROWS["tiny-quick"].progressive_resizing.items()}
    longer = replace(ROWS["tiny-quick"], epochs=15, progressive_resizing=half)
    assert replace(first, dtype=longer.dtype, validation_images=0) == longer and first.dtype == "float32"
    pixels = sum(image_side(step, first, 1305) ** 2 for step in range(1305))  # 15 epochs of 87 steps
    assert pixels == pytest.approx(87 * full.epochs * 32**2) and first.validation_images == 5000


def test_no_two_rows_have_one_recipe():
    assert EVERY_ROW == NETS | COMPARISONS | RIVALS | CUMULATIVE_ABLATION | MISSING_STEPS | RESIZING
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
