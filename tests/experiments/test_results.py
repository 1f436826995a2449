"""The records are the first edition's, the shipped net is a recorded run's, and the README says what they say."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
from safetensors.torch import load_file
from ship import confusion, model_card

from lambdalib.experiments.results import (
    GROUPS,
    RUNS,
    find_record,
    format_mean,
    prediction_interval,
    read_records,
    read_results,
    results_table,
)
from lambdalib.experiments.rows import COMPARISONS, EVERY_ROW, NETS, ROW_ALIASES
from lambdalib.training.checkpoint import ASSETS, load_pretrained, read_card
from lambdalib.training.data import load_sample, normalize
from lambdalib.training.train import evaluate
from lambdalib.twins import PROJECTIONS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FOLDERS = {
    "results": "main",
    "again": "rerun",
    "held-out": "validation",
    "ladder": "cumulative-ablation",
    "sweep": "sweep",
    "set-aside": "set-aside",
}
FIRST_EDITION = [
    line.split() for line in (Path(__file__).parent / "first_edition.sha256").read_text().splitlines()
]


def error_of_a_difference(rows) -> float:
    """In points, of two means of three seeds, by the deviation that all rows have in common."""
    return 100 * (fmean(stdev(row.accuracies) ** 2 for row in rows) * 2 / 3) ** 0.5


@pytest.mark.parametrize("sha256, path", FIRST_EDITION, ids=lambda text: Path(text).stem)
def test_no_evidence_was_rewritten(sha256, path):
    """The bytes of each file that runs.jsonl replaced, rebuilt from it."""
    path = Path(path)
    if path.suffix == ".safetensors":
        data = (ASSETS / path.name).read_bytes()
    else:
        row, _, seed = path.stem.rpartition("-seed")
        group = FOLDERS[path.parent.name]
        if path.name.endswith(".log.jsonl"):
            group, row, seed = "early-recipe", path.name.removesuffix(".log.jsonl"), 0
        lines = find_record(ROW_ALIASES.get(row, row), int(seed), group).lines
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert hashlib.sha256(data).hexdigest() == sha256


def test_every_record_is_there_once():
    assert len(FIRST_EDITION) == 165  # 164 runs and the answers of the twins
    places = [record[:3] for record in read_records(None)]
    assert len(set(places)) == len(places) >= 164 and {group for group, _, _ in places} == set(GROUPS)
    assert "lambdalib/assets/runs.jsonl merge=union" in (ROOT / ".gitattributes").read_text().splitlines()


def test_a_line_of_the_records_is_as_a_program_writes_it():
    for line in RUNS.read_text(encoding="utf-8").splitlines():
        assert json.dumps(json.loads(line)) == line


@pytest.mark.parametrize("name, least", [("tiny", 0.911), ("small", 0.930)])
def test_a_shipped_net_has_a_card_that_tells_of_its_record(name, least):
    card, log = read_card(ASSETS / f"{name}.safetensors"), find_record(name).lines
    start, end = log[0], log[-1]
    assert card["run"] == start and card["result"] == end
    assert (start["kind"], end["kind"]) == ("start", "end")
    assert start["recipe"]["seed"] == 0, "seed 0 ships, not the best seed"
    assert start["data"]["train"] == 50_000 and start["data"]["test"] == 10_000
    last_epoch = [line for line in log if line["kind"] == "epoch"][-1]
    assert last_epoch["test_accuracy"] == end["test_accuracy"], "the last epoch's accuracy, not the best one's"
    assert end["test_accuracy"] >= least
    rounded = card["after_rounding"]
    assert abs(rounded["test_accuracy"] - end["test_accuracy"]) < 0.001
    assert [sum(row) for row in rounded["confusion"]] == [1000] * 10
    assert sum(rounded["confusion"][i][i] for i in range(10)) == round(10_000 * rounded["test_accuracy"])
    assert model_card(name, card, log) == (ASSETS / f"{name}.md").read_text(encoding="utf-8"), (
        "tools/ship.py writes the card anew"
    )


@pytest.mark.parametrize("name, least", [("tiny", 0.911), ("small", 0.930)])
def test_a_net_reaches_its_mark_on_average(name, least):
    (row,) = [row for row in read_results() if row.name == name]
    assert fmean(row.accuracies) >= least


def test_a_row_that_was_run_again_falls_where_one_more_run_should():
    first = {row.name: row for row in read_results()}
    for row in read_results("rerun"):
        low, high = map(float, prediction_interval(first[row.name].accuracies).split(" to "))
        assert all(low <= 100 * accuracy <= high for accuracy in row.accuracies), row.name
        assert f"run again it had {format_mean(row.accuracies)}" in " ".join(README.split())


def test_the_answers_of_the_twins_are_those_of_their_records():
    right = load_file(ASSETS / "right.safetensors")
    twins = [row for row in read_results() if row.name.startswith("twins-")]
    assert set(right) == {f"{row.name}-seed{seed}" for row in twins for seed in range(3)}
    for name, answers in right.items():
        assert answers.shape == (10_000,)
        row, _, seed = name.rpartition("-seed")
        assert abs(answers.double().mean().item() - find_record(row, int(seed)).end["test_accuracy"]) < 2.5e-4


def test_confusion_by_hand():
    counts = confusion(torch.tensor([3, 3, 0, 9]), torch.tensor([3, 5, 0, 9]))
    assert counts[3][3] == counts[5][3] == counts[0][0] == counts[9][9] == 1 and sum(map(sum, counts)) == 4


@pytest.mark.parametrize(
    "record",
    [record for record in read_records(None) if record.group != "early-recipe"],
    ids=lambda record: f"{record.group}-{record.row}-seed{record.seed}",
)
def test_a_record_has_its_evidence(record):
    start, recipe = record.start, record.recipe
    assert (start["kind"], record.end["kind"]) == ("start", "end")
    assert recipe.seed == record.seed
    name, _, rate = record.row.partition("-lr")
    changes = {
        "main": {},
        "rerun": {},
        "cumulative-ablation": {},
        "validation": {"validation_images": 5000},
        "set-aside": {},
        "sweep": {"epochs": recipe.epochs, "validation_images": 5000},
    }[record.group]
    changes |= {"lr": float(rate)} if rate else {}
    assert replace(recipe, seed=0) == replace(EVERY_ROW[name], **changes), (
        "the record is of the row as it is listed now"
    )
    assert start["data"]["test"] == (recipe.validation_images or 10_000)
    assert start["commit"] and "+" not in start["commit"], "a record names a commit, without changes on top"
    command = start["command"].removeprefix("python -m ")
    assert command.startswith("lambdalib train --") and "/" not in command.replace("runs/", "")


def test_the_readme_repeats_the_record():
    start, end = find_record("small").start, find_record("small").end
    for number in (
        f"{100 * end['test_accuracy']:.2f} %",
        f"{100 * end['test_accuracy_flip_tta']:.2f} %",
        f"{start['parameters']:,}",
        f"{end['seconds'] / 60:.1f} minutes",
        start["commit"][:7],
        start["versions"]["torch"],
        start["command"],
    ):
        assert number in " ".join(README.split()), f"the README does not say {number!r}"


def test_the_readme_tells_what_rounding_did():
    cards = {name: read_card(ASSETS / f"{name}.safetensors") for name in ("small", "tiny")}
    before, after = (
        {name: f"{100 * card[part]['test_accuracy']:.2f}" for name, card in cards.items()}
        for part in ("result", "after_rounding")
    )
    assert (
        f"Rounding to float16 took it to {after['small']} %, and `tiny` from {before['tiny']} to {after['tiny']} %"
        in " ".join(README.split())
    )


@pytest.mark.parametrize("name", ["small-30-epochs-shift-2", "small-32-epochs-shift-4"])
def test_the_readme_repeats_the_runs_that_do_not_ship(name):
    end = find_record(name, group="early-recipe").end
    assert f"{100 * end['test_accuracy']:.2f} %" in README
    assert f"{100 * end['test_accuracy_flip_tta']:.2f}" in README


def test_the_readme_holds_the_table_of_the_records():
    rows = read_results()
    for names in (NETS, COMPARISONS):
        assert results_table([row for row in rows if row.name in names], names) in README


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_the_net_still_answers(name):
    """On the sample's 500 images the rounded weights are within three standard errors of the recorded accuracy."""
    sample, net = load_sample(), load_pretrained(name)
    assert not net.training and all(parameter.dtype == torch.float32 for parameter in net.parameters())
    accuracy, recorded = (
        evaluate(net, normalize(sample.test_images), sample.test_labels),
        find_record(name).end["test_accuracy"],
    )
    assert abs(accuracy - recorded) < 3 * (recorded * (1 - recorded) / 500) ** 0.5


def test_the_readme_tells_what_the_cumulative_ablation_found():
    steps = read_results("cumulative-ablation")
    mean = {row.name.removeprefix("ablation-"): 100 * fmean(row.accuracies) for row in steps}
    error = error_of_a_difference(steps)
    assert (
        abs(mean["average"] - mean["alternating-flips"] - 2 * (mean["whitening"] - mean["alternating-flips"]))
        < 0.1
    )
    for words in (
        f"{mean['average'] - mean['usual']:.1f} points lie between its foot and its top",
        f"the whitened stem is worth {mean['whitening'] - mean['alternating-flips']:.1f} ± "
        f"{2.145 * error:.1f} on top",
        "together as much again",
        f"standard error of a gain is {error:.1f};",
    ):
        assert words in " ".join(README.split()), f"the README does not say {words!r}"


def test_the_readme_begins_with_what_came_out():
    mean = {row.name: 100 * fmean(row.accuracies) for row in read_results()}
    size = {row.name: row.parameters / 1e6 for row in read_results()}
    assert mean["alone-convolution"] > mean["alone-lambda"] and mean["twins-convolution"] > mean["twins-lambda"]
    assert (
        f"({mean['tiny']:.1f} % with {size['tiny']:.2f} million parameters, "
        f"{mean['small']:.1f} % with {size['small']:.2f} million," in " ".join(README.split())
    )


def test_the_readme_tells_what_stood_alone():
    parts = ("lambda", "convolution", "content", "position", "frozen-query", "pointwise")
    names = [f"alone-{name}" for name in (*parts, "lambda-u4", "frozen-query-u4")]
    rows = {row.name.removeprefix("alone-"): row for row in read_results() if row.name in names}
    mean = {name: 100 * fmean(row.accuracies) for name, row in rows.items()}
    error = error_of_a_difference(rows.values())
    own = error_of_a_difference([rows["lambda"], rows["frozen-query"]])
    for words in (
        f"falls {mean['lambda'] - mean['pointwise']:.1f} points behind the lambda layer",
        f"Without its stencils the layer loses {mean['lambda'] - mean['content']:.1f} points, "
        f"without its palette {mean['lambda'] - mean['position']:.1f};",
        f"one frozen query for all pixels, and no palette, it loses {mean['lambda'] - mean['frozen-query']:.1f}:",
        f"The convolution is ahead of the lambda layer by {mean['convolution'] - mean['lambda']:.1f} points, with "
        f"{rows['convolution'].parameters / rows['lambda'].parameters:.1f} times the parameters",
        f"the standard error of a difference is {error:.1f}; by the frozen query's own wide spread {own:.1f})",
        f"u = 4 the layer gains {mean['lambda-u4'] - mean['lambda']:.2f} points",
        f"the frozen query then leads by {mean['frozen-query-u4'] - mean['lambda-u4']:.2f}",
        f"the convolution stays ahead of it by {mean['convolution'] - mean['lambda-u4']:.2f}",
    ):
        assert words in " ".join(README.split()), f"the README does not say {words!r}"


def test_the_readme_tells_what_full_length_found():
    rows = {row.name: row for row in read_results() if row.name in NETS}
    mean = {name: 100 * fmean(row.accuracies) for name, row in rows.items()}
    freedom = sum(len(row.accuracies) - 1 for row in rows.values())
    spread = (
        100
        * (sum((len(row.accuracies) - 1) * stdev(row.accuracies) ** 2 for row in rows.values()) / freedom) ** 0.5
    )
    assert (
        len(rows["tiny"].accuracies) == len(rows["small"].accuracies) == 5
        and len(rows["small-convolutions"].accuracies) == 3
    )
    for words in (
        f"at full length by {mean['tiny-convolutions'] - mean['tiny']:.2f} in `tiny` and by "
        f"{mean['small-convolutions'] - mean['small']:.2f} in `small` "
        f"(standard error {spread * (1 / 5 + 1 / 3) ** 0.5:.2f})",
        f"After 48 epochs (`tiny-u4`) it gains {mean['tiny-u4'] - mean['tiny']:.2f}, not told apart, "
        f"and the convolution is {mean['tiny-convolutions'] - mean['tiny-u4']:.2f} ahead of it",
    ):
        assert words in " ".join(README.split()), f"the README does not say {words!r}"


def test_the_readme_tells_what_the_twins_found():
    mean = {row.name.removeprefix("twins-"): 100 * fmean(row.accuracies) for row in read_results()}
    mean = {name: mean[name] for name in ("lambda", "convolution", *PROJECTIONS)}
    names = [f"twins-{name}" for name in mean]
    alike = [row for row in read_results() if row.name in names or row.name.startswith(("early-", "sizes-"))]
    error = error_of_a_difference(alike)
    sizes = {
        row.name: 100 * fmean(row.accuracies) - mean["lambda"] for row in alike if row.name.startswith("sizes-")
    }
    early = {row.name: 100 * fmean(row.accuracies) for row in alike if row.name.startswith("early-")}
    assert [size for size, gain in sizes.items() if abs(gain) > 3.5 * error] == ["sizes-u4"]
    assert (
        abs(early["early-lambda"] - early["early-pointwise"]) < error
        and sizes["sizes-u4"] + mean["lambda"] > mean["convolution"]
    )
    (held,) = (row for row in read_results("validation") if row.name == "sizes-u4")
    gain = 100 * (fmean(held.accuracies) - fmean(read_results("cumulative-ablation")[-1].accuracies))
    parts = [abs(mean[part] - mean["lambda"]) for part in ("content", "position", "frozen-query", "pointwise")]
    for words in (
        f"ahead of the lambda layer by {mean['convolution'] - mean['lambda']:.2f} points, and",
        f"within {max(parts):.2f} points",
        f"standard error of a difference is {error:.2f} points",
        f"u = 4 gains {sizes['sizes-u4']:.2f} points",
        f"it gains {gain:.2f}, with an error of {error_of_a_difference(read_results('cumulative-ablation')):.1f},",
        f"{max(mean.values()) - min(mean.values()):.1f} points lie between the first and the last",
    ):
        assert words in " ".join(README.split()), f"the README does not say {words!r}"
