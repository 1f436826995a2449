"""The bench measures what it says, and what it recorded is what README and lesson tell."""

import json
import time

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lambdalib import bench, cli
from lambdalib.bench import SHAPES, Shape, contestants, stopwatch, summary
from lambdalib.contractions import ORDERS
from lambdalib.resnet import create_model


@pytest.fixture
def small(monkeypatch):
    """Two little shapes, a batch of two."""
    monkeypatch.setattr(bench, "SHAPES", [Shape(8, 5, 3, 2), Shape(8, 4, 7)])
    monkeypatch.setattr(bench, "BATCH", 2)


def test_the_stopwatch_takes_turns_warms_up_and_tells_the_median(monkeypatch):
    calls = []

    def timed(function):
        function()
        return {"a": [100, 1, 2, 9], "b": [50, 30, 10, 20]}[calls[-1]][(len(calls) - 1) // 2]

    monkeypatch.setattr(bench, "timed", timed)
    seconds = stopwatch({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, budget=0)
    assert calls == ["a", "b"] * 4
    assert seconds == {"a": 2, "b": 20}


def test_one_call_is_timed():
    assert 0.02 <= bench.timed(lambda: time.sleep(0.02)) < 0.5


def test_the_matrix_rate_counts_right():
    # each product of two 64×64 matrices is 64³ multiply-adds; no machine does fewer than 10⁷ a second or more than 10¹⁶
    assert 1e7 < bench.matrix_rate(torch.float32, torch.device("cpu"), side=64, seconds=0.02) < 1e16


@pytest.mark.parametrize("shape", [Shape(8, 5, 3, 2), Shape(8, 5, 3), Shape(8, 4, 7), Shape(8, 4, 15)], ids=str)
def test_contestants_do_the_same_work(shape):
    layers = contestants(shape)
    peers = {"lambda-networks Conv3d"}
    peers |= {"lambda-networks table"} if shape.r >= 7 else set()
    peers |= {"timm Conv3d"} if shape.u == 1 else set()
    peers |= {"timm table"} if shape.u == 1 and shape.r >= 7 else set()
    assert set(layers) == {"ours"} | peers
    features = torch.randn(2, shape.d, shape.side, shape.side)
    assert all(layer(features).shape == features.shape for layer in layers.values())


def test_timm_is_left_out_where_it_takes_minutes():
    assert "timm Conv3d" not in contestants(Shape(8, 4, 15), "bfloat16") and "timm Conv3d" in contestants(Shape(8, 4, 15))


def test_the_conv3d_form_is_the_same_net():
    torch.manual_seed(0)
    ours = create_model("lambda_resnet18", dim_u=2, scope=5).eval()
    for block in ours.modules():  # open every branch, which is shut at the start
        if isinstance(block, nn.BatchNorm2d):
            nn.init.uniform_(block.weight, 0.5, 1)
    theirs = bench.conv3d_form(ours)
    assert not any(type(module).__module__.startswith("lambdalib.layer") for module in theirs.modules())
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-5)


def test_the_exponent_of_a_power():
    assert bench.exponent([1, 4, 9], [5, 5 * 4**1.5, 5 * 9**1.5]) == pytest.approx(1.5)


def test_the_summary_by_hand():
    rows = [{"dtype": "float32", "seconds": {"ours": 1, "a": 8, "b": 9}}, {"dtype": "float32", "seconds": {"ours": 2, "a": 7, "b": 4}},
            {"dtype": "bfloat16", "seconds": {"ours": 2, "a": 1}}]
    assert summary(rows) == {"float32": {"geometric_mean": pytest.approx(4), "worst": 2},
                             "bfloat16": {"geometric_mean": 0.5, "worst": 0.5}}


@pytest.mark.parametrize("part", ["layer", "orders"])
def test_a_part_runs_and_is_written(small, tmp_path, capsys, part):
    out = tmp_path / "bench.json"
    out.write_text(json.dumps({"growth": "stays"}))
    assert cli.main(["bench", "--quick", "--part", part, "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["growth"] == "stays" and set(results) == {"growth", part}
    assert {"command", "commit", "versions", "hardware", "threads"} <= set(results[part]["evidence"])
    rows = results[part]["rows"]
    assert [(row["dtype"], row["shape"]["u"]) for row in rows] == [("float32", 2), ("float32", 1), ("bfloat16", 2), ("bfloat16", 1)]
    assert all(second > 0 for row in rows for second in row["seconds"].values())
    assert f"numbers and evidence: {out}" in capsys.readouterr().out
    if part == "orders":
        assert all(set(row["seconds"]) == set(ORDERS) and row["regret"] >= 1 for row in rows)
    else:
        assert all(row["held"]["ours"] > 0 and set(row["forward_seconds"]) == set(row["seconds"]) for row in rows)


def test_a_missing_peer_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert cli.main(["bench", "--part", "layer", "--out", str(tmp_path / "bench.json")]) == 2
    assert "timm must be installed for the parts 'layer' and 'step'" in capsys.readouterr().err


def test_the_peak_of_a_child_is_at_least_what_it_holds(small):
    peak = bench.peak_in_child(Shape(64, 32, 7), "ours", "float32")
    assert peak > 2 * 64 * 32 * 32 * 4  # the output and one gradient of it
    assert peak < 2**32
