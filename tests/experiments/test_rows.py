"""The list of experiments, and what is made of their records."""

import json
from dataclasses import asdict, replace
from statistics import stdev

import pytest

from lambdalib import cli
from lambdalib.cost import count_parameters, multiply_adds
from lambdalib.experiments.rows import LADDER, RECORDS, ROWS, read_results, results_table
from lambdalib.resnet import create_model
from lambdalib.twins import TWINS


def write(folder, name, seed, accuracy, seconds=60.0, threads=2, dtype="bfloat16", **recipe):
    lines = [{"kind": "start", "recipe": {"model": "tiny", "epochs": 7, "seed": seed, **recipe}, "parameters": 1234,
              "dtype": dtype, "data": {"train": 50, "test": 10}, "hardware": "a machine", "threads": threads},
             {"kind": "end", "test_accuracy": accuracy, "test_accuracy_flip_tta": accuracy + 0.01, "seconds": seconds}]
    (folder / f"{name}-seed{seed}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


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
    assert early.model_kwargs == {"layout": "LLL", **late.model_kwargs} and replace(early, model_kwargs=late.model_kwargs) == late


@pytest.mark.parametrize("size", [name for name in ROWS if name.startswith("sizes-")])
def test_a_size_differs_in_one_thing(size):
    row, plain = ROWS[size], ROWS["twins-lambda"]
    assert replace(row, model_kwargs={}) == plain and len(row.model_kwargs) == 1
    assert count_parameters(create_model(row.model, **row.model_kwargs)) != count_parameters(create_model(plain.model))


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith("alone-")])
def test_a_mixer_stands_alone(name):
    assert replace(ROWS[name], model_kwargs={}, lr=0.75) == ROWS["twins-lambda"]
    mixer, _, u = name.removeprefix("alone-").partition("-u")
    expected = {"widen": 1, "layout": "CCC" if mixer == "convolution" else "LLL"} | ({"dim_u": int(u)} if u else {})
    assert ROWS[name].model_kwargs == expected | ({} if mixer in ("lambda", "convolution") else {"twin": mixer})


@pytest.mark.parametrize("name", [name for name in ROWS if name.startswith(("twins-", "alone-")) and not name.endswith("-u4")])
def test_a_mixer_has_the_rate_that_was_best_on_held_out_pictures(name):
    swept = {row.name: row.accuracies for row in read_results(RECORDS / "sweep") if row.name.startswith(f"{name}-lr")}
    assert sorted(swept) == [f"{name}-lr{rate}" for rate in (0.375, 0.75, 1.5)]
    assert max(swept, key=swept.get) == f"{name}-lr{ROWS[name].lr}"


def test_with_u_a_mixer_has_the_rate_that_it_has_without():
    assert all(ROWS[f"alone-{name}-u4"].lr == ROWS[f"alone-{name}"].lr for name in ("lambda", "frozen-query"))


def test_the_ladder_leads_from_a_usual_recipe_to_ours_and_never_back():
    rungs, ours = [asdict(recipe) for recipe in LADDER.values()], asdict(replace(ROWS["twins-lambda"], validation_images=5000))
    assert rungs[-1] == ours
    assert (rungs[0]["ema"], rungs[0]["whiten"], rungs[0]["label_smoothing"], rungs[0]["bias_lr_multiplier"]) == (None, False, 0, 1)
    for below, above in zip(rungs, rungs[1:]):
        changed = [name for name in ours if below[name] != above[name]]
        assert changed and all(above[name] == ours[name] for name in changed)


def test_records_by_hand(tmp_path):
    for seed, (accuracy, seconds) in enumerate([(0.90, 120), (0.92, 60), (0.93, 600)]):
        write(tmp_path, "tiny", seed, accuracy, seconds, threads=1 + seed % 2)
    write(tmp_path, "another-thing", 7, 0.5)
    tiny, other = read_results(tmp_path)
    assert tiny.name == "tiny" and tiny.accuracies == [0.90, 0.92, 0.93] and tiny.minutes == 1
    margin = 4.303 * stdev([90, 92, 93]) * (4 / 3) ** 0.5  # Student's t, two degrees of freedom
    assert tiny.expected() == f"{275 / 3 - margin:.2f} to {275 / 3 + margin:.2f}"
    assert tiny.told(tiny.accuracies) == f"91.67 ± {100 * stdev([0.90, 0.92, 0.93]):.2f}"
    assert other.name == "another-thing" and other.told(other.accuracies) == "50.00"
    assert tiny.adds == multiply_adds(create_model("tiny"), (1, 3, 32, 32)) and tiny.epochs == 7
    assert results_table([tiny, other]).splitlines()[2] == (
        "| tiny | 1,234 | 26.0 M | 7 | 3 | 91.67 ± 1.53 | 84.08 to 99.26 | 92.67 ± 1.53 | 1.0 | a machine, 2 threads |")


def test_what_was_not_measured_is_told(tmp_path):
    write(tmp_path, "tiny", 0, 0.9)
    lines = results_table(read_results(tmp_path), ROWS).splitlines()
    assert "| resnet18 | | | 100 | 0 | not yet measured | | | | |" in lines and len(lines) == 2 + len(ROWS)


def test_the_command_prints_the_table(tmp_path, capsys):
    write(tmp_path, "tiny", 0, 0.9)
    assert cli.main(["results"]) == 0
    nets, comparisons = capsys.readouterr().out.strip().split("\n\n")
    assert "| small | 870,488 |" in nets and "twins-" not in nets and "| twins-lambda | 235,352 |" in comparisons
    assert {line.split(" | ")[0][2:] for line in (nets + "\n" + comparisons).splitlines()} >= set(ROWS)
    assert cli.main(["results", str(tmp_path)]) == 0
    assert "| tiny | 1,234 | 26.0 M | 7 | 1 | 90.00 |  | 91.00 | 1.0 | a machine, 2 threads |" in capsys.readouterr().out
    assert cli.main(["results", str(RECORDS / "ladder")]) == 0 and "| ladder-usual | 235,352 |" in capsys.readouterr().out


def test_records_that_prove_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match="which holds none"):
        read_results(tmp_path)
    write(tmp_path, "tiny", 0, 0.9)
    write(tmp_path, "tiny", 1, 0.9, lr=0.3)
    with pytest.raises(ValueError, match="records of 'tiny' differ in more than the seed"):
        read_results(tmp_path)
    write(tmp_path, "tiny", 1, 0.9, dtype="float32")
    with pytest.raises(ValueError, match="records of 'tiny' differ in more than the seed"):
        read_results(tmp_path)
    (tmp_path / "tiny-seed1.jsonl").write_text("")
    with pytest.raises(ValueError, match="tiny-seed1.jsonl ends with 'nothing'"):
        read_results(tmp_path)
    (tmp_path / "tiny-seed1.jsonl").write_text('{"kind": "start"}\n')
    with pytest.raises(ValueError, match="tiny-seed1.jsonl ends with 'start'"):
        read_results(tmp_path)


def test_a_row_is_trained_by_its_name(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(cli.train, "fit", lambda recipe, data, out, **options: seen.append((recipe, out)) or 1 / 0)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "--row", "tiny-convolutions", "--seed", "3", "--source", "sample"])
    with pytest.raises(ZeroDivisionError):
        cli.main(["train", "--row", "ladder-alternating-flips", "--source", "sample"])
    assert seen[1][0] == LADDER["ladder-alternating-flips"]
    assert seen[0][0] == replace(ROWS["tiny-convolutions"], seed=3) and seen[0][1].name == "tiny-convolutions-seed3"
