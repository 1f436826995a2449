"""The shipped net is the recorded run's, and what the README says of it is what the record says."""

import json
from pathlib import Path

import pytest
import torch

from lambdalib.checkpoint import ASSETS, load_pretrained, read_card
from lambdalib.data import load_sample, normalize
from lambdalib.experiments import read_results, results_table
from lambdalib.train import evaluate

RESULTS = Path(__file__).resolve().parents[1] / "results"
README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def record() -> list[dict]:
    return [json.loads(line) for line in (ASSETS / "small.log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_card_and_the_log_tell_of_one_run():
    card, log = read_card(ASSETS / "small.safetensors"), record()
    start, end = log[0], log[-1]
    assert card["run"] == start and card["result"] == end
    assert (start["kind"], end["kind"]) == ("start", "end")
    assert start["data"]["train"] == 50_000 and start["data"]["test"] == 10_000
    last_epoch = [line for line in log if line["kind"] == "epoch"][-1]
    assert last_epoch["test_accuracy"] == end["test_accuracy"], "the last epoch's accuracy, not the best one's"
    assert end["test_accuracy"] >= 0.927
    assert start["commit"] and "+" not in start["commit"], "a record names a commit, without changes on top"
    assert "/" not in start["command"].replace("runs/cpu-seed0", ""), "a command that can be typed anywhere"


def test_the_readme_repeats_the_record():
    log = record()
    start, end = log[0], log[-1]
    for number in (f"{100 * end['test_accuracy']:.2f} %", f"{100 * end['test_accuracy_flip_tta']:.2f} %", f"{start['parameters']:,}",
                   f"{end['seconds'] / 60:.1f} minutes", start["commit"][:7], start["versions"]["torch"], start["command"]):
        assert number in README, f"the README does not say {number!r}"


@pytest.mark.parametrize("name", ["small-30-epochs-shift-2", "small-32-epochs-shift-4"])
def test_the_readme_repeats_the_runs_that_do_not_ship(name):
    log = RESULTS / f"{name}.log.jsonl"
    assert f"{100 * json.loads(log.read_text(encoding='utf-8').splitlines()[-1])['test_accuracy']:.2f} %" in README


def test_the_shipped_run_is_one_of_the_records():
    assert (RESULTS / "small-seed0.jsonl").read_bytes() == (ASSETS / "small.log.jsonl").read_bytes()


def test_the_readme_holds_the_table_of_the_records():
    assert results_table(read_results(RESULTS)) in README


def test_the_net_still_answers():
    """On the sample the rounded weights come near to the full test set's accuracy: three standard errors of 500 pictures."""
    sample, net = load_sample(), load_pretrained("small")
    assert not net.training and all(parameter.dtype == torch.float32 for parameter in net.parameters())
    accuracy, recorded = evaluate(net, normalize(sample.test_images), sample.test_labels), record()[-1]["test_accuracy"]
    assert abs(accuracy - recorded) < 3 * (recorded * (1 - recorded) / 500) ** 0.5
