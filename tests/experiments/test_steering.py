"""The steering experiment: what it measures, what it writes, and the record that ships."""

import hashlib
import json

import pytest
import torch
from torch.testing import assert_close
from toy import Toy

from lambdalib import models
from lambdalib.experiments import steering
from lambdalib.experiments.steering import (
    ABLATIONS,
    measure_steering,
    read_steering,
    steering_report,
    steering_table,
)
from lambdalib.explain import ablations
from lambdalib.training.checkpoint import ASSETS, list_pretrained, load_model, read_card, save_weights
from lambdalib.training.cifar10 import SHA256, content_hash
from lambdalib.training.data import load_sample, normalize

KEYS = list(ABLATIONS)


@pytest.fixture
def data():
    """60 + 50 images of the sample."""
    sample = load_sample()
    parts = (part[:60] for part in (sample.train_images, sample.train_labels))
    others = (part[:50] for part in (sample.test_images, sample.test_labels))
    return sample._replace(**dict(zip(sample._fields, (*parts, *others))))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A toy model on disk, whose logits differ enough to hit some labels and miss others."""
    monkeypatch.setitem(models.MODELS, "toy", Toy)
    model = Toy()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    path = tmp_path / "toy.safetensors"
    save_weights(model, path, {"model": "toy", "model_kwargs": {}})
    return path


@pytest.fixture
def cifar10(data, monkeypatch):
    """These images stand for all of CIFAR-10."""
    monkeypatch.setattr(steering, "load_cifar10", lambda: data)
    monkeypatch.setattr(steering, "SHA256", content_hash(data))
    return data


def shares(weights, data, images, batch_size=500):
    """Accuracies by hand: name -> share of the test images whose largest logit is their label's."""
    torch.manual_seed(0)  # the toy drops out while its statistics are measured
    test = normalize(data.test_images)
    found = ablations(load_model(weights), normalize(data.train_images[:images]), batch_size)
    with torch.no_grad():
        return {
            name: (changed(test).argmax(1) == data.test_labels).double().mean().item() for name, changed in found
        }


def test_a_report_is_the_accuracy_of_each_ablation(weights, data):
    expected = shares(weights, data, 60, batch_size=20)
    assert list(expected) == KEYS and len(set(expected.values())) > 2
    torch.manual_seed(0)
    train, test = normalize(data.train_images), normalize(data.test_images)
    assert steering_report(load_model(weights), train, test, data.test_labels, batch_size=20) == expected


def test_an_entry_has_its_evidence(weights, data, monkeypatch):
    assert steering.STATISTICS_IMAGES == 5_000
    monkeypatch.setattr(steering, "STATISTICS_IMAGES", 30)
    given = []
    monkeypatch.setattr(
        steering, "steering_report", lambda *arguments: given.extend(arguments) or {"as_trained": 0.5}
    )
    entry = measure_steering("mine", data, weights)
    assert entry["accuracies"] == {"as_trained": 0.5}
    model, *arguments = given
    assert_close(dict(model.state_dict()), dict(load_model(weights).state_dict()))
    assert_close(arguments, [normalize(data.train_images[:30]), normalize(data.test_images), data.test_labels])
    assert entry["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert entry["command"] == f"python -m lambdalib.experiments.steering mine --weights {weights}"
    assert entry["images"] == {"statistics": 30, "test": 50, "sha256": content_hash(data)}
    assert {"commit", "versions", "hardware", "threads", "started"} <= entry.keys()


def test_the_command_writes_and_replaces_entries(weights, cifar10, tmp_path, capsys):
    record = tmp_path / "steering.json"
    assert read_steering(record) == {}
    old = {"accuracies": dict.fromkeys(KEYS, 0.5)}
    record.write_text(json.dumps({"other": old, "mine": old}))
    steering.record_steering(["mine", "--weights", str(weights)], record)
    entries = read_steering(record)
    assert list(entries) == ["other", "mine"] and entries["other"] == old
    assert list(entries["mine"]["accuracies"]) == KEYS and entries["mine"]["weights_sha256"]
    assert capsys.readouterr().out == steering_table({"mine": entries["mine"]}) + "\n"
    assert [path.name for path in tmp_path.glob("steering.json*")] == ["steering.json"]  # and no part of one


def test_shipped_weights_go_by_their_name(cifar10, tmp_path):
    steering.record_steering(["tiny"], tmp_path / "steering.json")
    (entry,) = read_steering(tmp_path / "steering.json").values()
    assert entry["weights_sha256"] == read_card(ASSETS / "tiny.safetensors")["sha256"]
    assert entry["command"] == "python -m lambdalib.experiments.steering tiny"
    assert entry["accuracies"]["as_trained"] > 0.8 > entry["accuracies"]["no_stencils_new_statistics"]


def one_line(capsys, words, record):
    """The complaint of a command that must fail and write nothing."""
    with pytest.raises(SystemExit) as end:
        steering.record_steering(words, record)
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and not record.exists()
    return said


def test_a_bad_argument_gets_one_line(weights, cifar10, tmp_path, capsys):
    record = tmp_path / "steering.json"
    assert "NAME" in one_line(capsys, [], record)
    assert f"NAME must be one of {list_pretrained()} without --weights, got huge" in one_line(
        capsys, ["tiny", "huge"], record
    )
    assert "--weights goes with one NAME, got a b" in one_line(capsys, ["a", "b", "--weights", "c"], record)
    assert "none.json" in one_line(capsys, ["a", "--weights", str(tmp_path / "none.safetensors")], record)
    save_weights(
        models.create_model("tiny", layout="CCC"), weights, {"model": "tiny", "model_kwargs": {"layout": "CCC"}}
    )
    assert "must have a LambdaLayer" in one_line(capsys, ["a", "--weights", str(weights)], record)


def test_the_sample_is_not_enough(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(steering, "load_cifar10", load_sample)
    said = one_line(capsys, ["tiny"], tmp_path / "steering.json")
    assert "all of CIFAR-10 is needed, got 500 test images" in said


def test_the_table():
    entries = {
        "a": {"accuracies": {key: 0.9 + n / 100 for n, key in enumerate(KEYS)}},
        "b": {"accuracies": {key: 0.12345 for key in KEYS}},
    }
    lines = steering_table(entries).splitlines()
    assert lines[:3] == ["| | a | b |", "|---|---|---|", "| as trained | 90.00 | 12.35 |"]
    assert lines[4] == "| the same, batch-norm statistics measured again | 92.00 | 12.35 |"
    assert lines[-1] == "| only the centre tap of each stencil, measured again | 96.00 | 12.35 |"
    assert len(lines) == 2 + len(ABLATIONS)
    assert steering_table() == steering_table(read_steering())


def test_the_record_that_ships():
    entries = read_steering()
    assert {"tiny", "small"} <= entries.keys()
    for name, entry in entries.items():
        assert list(entry["accuracies"]) == KEYS and all(0.1 < share < 1 for share in entry["accuracies"].values())
        assert entry["images"] == {"statistics": 5_000, "test": 10_000, "sha256": SHA256}
        assert entry["commit"] and "+" not in entry["commit"]
        assert entry["hardware"] and entry["threads"] and entry["versions"]["torch"] and entry["started"]
        assert entry["command"].startswith(f"python -m lambdalib.experiments.steering {name}")
        if name in list_pretrained():
            card = read_card(ASSETS / f"{name}.safetensors")
            assert entry["weights_sha256"] == card["sha256"]
            assert entry["accuracies"]["as_trained"] == card["after_rounding"]["test_accuracy"]
