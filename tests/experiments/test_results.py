"""The records are the first edition's, the shipped net is a recorded run's, and the README says what they say."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from safetensors.torch import load_file
from ship import confusion, model_card

from lambdalib.experiments.report import results_report
from lambdalib.experiments.results import (
    GROUPS,
    RUNS,
    find_record,
    format_difference,
    format_mean,
    mean_difference,
    read_records,
    read_results,
)
from lambdalib.experiments.rows import EVERY_ROW, ROW_ALIASES
from lambdalib.experiments.steering import read_steering
from lambdalib.training.checkpoint import ASSETS, list_pretrained, load_pretrained, read_card
from lambdalib.training.data import load_sample, normalize
from lambdalib.training.train import evaluate

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")  # as format_difference writes it
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
    card, log = read_card(ASSETS / f"{name}.safetensors"), find_record(name.replace("_", "-")).lines
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


def test_a_row_that_was_run_again_is_not_significantly_different():
    first = {row.name: row for row in read_results()}
    for row in read_results("rerun"):
        points, half = mean_difference(row.accuracies, first[row.name].accuracies)
        assert abs(points) < half, row.name


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
        "sweep": {"epochs": recipe.epochs, "progressive_resizing": recipe.progressive_resizing}
        | {"validation_images": 5000},
    }[record.group]
    changes |= {"lr": float(rate)} if rate else {}
    assert replace(recipe, seed=0) == replace(EVERY_ROW[name], **changes), (
        "the record is of the row as it is listed now"
    )
    assert start["data"]["test"] == (recipe.validation_images or 10_000)
    assert start["commit"] and "+" not in start["commit"], "a record names a commit, without changes on top"
    command = start["command"].removeprefix("python -m ")
    assert command.startswith("lambdalib train --") and "/" not in command.replace("runs/", "")


def test_the_readme_repeats_the_records():
    """Every accuracy and every difference of it stands in RESULTS.md too, or is one of ImageNet's."""
    findings = README.partition("## What we found")[2].partition("\n## ")[0]
    numbers = re.findall(r"[+-]?\d+\.\d+ ± \d+\.\d+|\b\d\d\.\d+(?= [%→])", findings)
    imagenet = ["76.9", "78.4", "25.6", "78.2"]  # lesson 09 says where they are from
    assert len(numbers) > 10 and [n for n in numbers if n not in results_report()] == imagenet


def test_what_the_readme_concludes():
    """The words of the README that are no numbers."""
    rows = {row.name: row for row in read_results()}

    def significant(one: str, other: str) -> int:
        points, half = mean_difference(rows[one].accuracies, rows[other].accuracies)
        return (points > half) - (points < -half)

    assert significant("sizes-u4", "twins-lambda") == 1 and significant("sizes-u4", "twins-convolution") == 0
    assert significant("tiny-u4", "tiny") == 0 > significant("tiny-u4", "tiny-convolutions")
    assert significant("alone-position", "alone-lambda") == 0 > significant("alone-content", "alone-lambda")
    assert round(100 * rows["sizes-u4"].parameters / rows["twins-convolution"].parameters) == 57
    for name in ("tiny", "small"):
        assert f"{format_mean(rows[name].accuracies)} % ({rows[name].parameters / 1e6:.2f} M)" in README
    for one, other, words in (
        ("sizes-u4", "twins-lambda", "{} points"),
        ("alone-content", "alone-lambda", "without stencils {}"),
        ("alone-position", "alone-lambda", "without palette {}"),
    ):
        assert words.format(format_difference(rows[one].accuracies, rows[other].accuracies)) in README
    steered = {name: f"{100 * accuracy:.2f}" for name, accuracy in read_steering()["small"]["accuracies"].items()}
    words = {
        "`small` has {} %;": "as_trained",
        "one query for all {},": "mean_query",
        "without stencils {},": "no_stencils_new_statistics",
        "without palettes {} %": "no_palettes_new_statistics",
    }
    assert all(text.format(steered[name]) in README for text, name in words.items())


@pytest.mark.parametrize("name", list_pretrained())
def test_the_net_still_answers(name):
    """On the sample's 500 images the rounded weights are within three standard errors of the recorded accuracy."""
    sample, net = load_sample(), load_pretrained(name)
    assert not net.training and all(parameter.dtype == torch.float32 for parameter in net.parameters())
    accuracy, recorded = (
        evaluate(net, normalize(sample.test_images), sample.test_labels),
        find_record(name.replace("_", "-")).end["test_accuracy"],
    )
    assert abs(accuracy - recorded) < 3 * (recorded * (1 - recorded) / 500) ** 0.5
