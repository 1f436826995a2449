"""The bench measures what it says, and what it recorded is what README and lesson tell."""

import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lambdalib import cli
from lambdalib.contractions import ORDERS, plan, position_output
from lambdalib.cost import count_parameters, saved_activation_bytes
from lambdalib.experiments import bench
from lambdalib.experiments.bench import SHAPES, Shape, contestants, stopwatch, summary
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.training.checkpoint import ASSETS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
RECORD = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))


def test_the_record_has_its_evidence():
    for part in bench.PARTS:
        proof = RECORD[part]["evidence"]
        assert proof["command"].startswith("lambdalib bench") and proof["commit"] and "+" not in proof["commit"]
        assert proof["hardware"] and proof["threads"] and proof["versions"]["torch"]
    assert RECORD["layer"]["summary"] == summary(RECORD["layer"]["rows"])
    assert {Shape(**row["shape"]) for row in RECORD["layer"]["rows"]} == set(SHAPES)


def test_the_readme_tells_the_record():
    numbers = RECORD["layer"]["summary"]
    assert (
        f"In float32 ours is {numbers['float32']['geometric_mean']:.1f} times "
        f"as fast as the fastest public layer, in bfloat16 {numbers['bfloat16']['geometric_mean']:.1f} times, "
        f"and at worst {min(n['worst'] for n in numbers.values()):.1f} times"
    ) in " ".join(README.split())
    seconds = {row["title"]: row["seconds"] for row in RECORD["step"]["rows"]}
    theirs = seconds["timm's lambda_resnet26t, 256 × 256"]
    assert f"{theirs['timm'] / theirs['ours']:.1f} times for timm's lambda_resnet26t" in README
    wide = seconds["lambda_resnet18, u = 4, 32 × 32"]
    assert f"{wide['ours'] / wide['convolutional twin']:.1f} times as long as with convolutions" in README


def test_no_shape_of_the_record_is_slower_than_a_peer_and_plan_has_little_to_regret():
    """The figures of the machine that made the record; of another machine its own `lambdalib bench` tells."""
    assert all(numbers["worst"] >= 1 for numbers in RECORD["layer"]["summary"].values())
    regrets = [row["regret"] for row in RECORD["orders"]["rows"]]
    print("regret:", [round(regret, 2) for regret in regrets])
    assert max(regrets) < 1.2 and statistics.geometric_mean(regrets) < 1.05
    for row in RECORD["orders"]["rows"]:  # and plan() still names what it named
        d, side, r, u = row["shape"].values()
        assert plan(bench.BATCH, 4, (side, side), 16, d // 4, u, (r, r)) == row["planned"]
    assert all(row["exponent"] <= 1.1 for row in RECORD["growth"]["rows"] if row["what"] == "pixels")


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


def test_the_stopwatch_spends_its_budget(monkeypatch):
    monkeypatch.setattr(bench, "timed", lambda function: function() or 1.0)
    began, calls = time.perf_counter(), []
    stopwatch({"a": lambda: calls.append(time.sleep(0.005))}, budget=0.1, turns=1)
    assert len(calls) > 5 and time.perf_counter() - began >= 0.1


def test_one_call_is_timed():
    assert 0.02 <= bench.timed(lambda: time.sleep(0.02)) < 0.5


def test_the_matrix_rate_counts_right():
    # a product of two 64×64 matrices is 64³ multiply-adds; machines do between 10⁷ and 10¹⁶ a second
    assert 1e7 < bench.matrix_rate(torch.float32, torch.device("cpu"), side=64, seconds=0.02) < 1e16


def test_the_matrix_rate_by_hand(monkeypatch):
    monkeypatch.setattr(bench, "stopwatch", lambda functions, seconds: {"product": 0.5})
    assert bench.matrix_rate(torch.float32, torch.device("cpu"), side=10) == 2000


def test_multiply_adds_by_hand():
    assert bench.multiply_adds_of(lambda: torch.randn(3, 5) @ torch.randn(5, 7)) == 3 * 5 * 7


class Probe(nn.Linear):
    """Remembers how it was called, and how its copies were."""

    seen = []

    def __init__(self):
        super().__init__(5, 7)
        self.seen.clear()

    def forward(self, features):
        """(b, 5) -> (b, 7)."""
        self.seen.append(
            (self.training, torch.is_grad_enabled(), features.dtype, torch.is_autocast_enabled("cpu"))
        )
        return super().forward(features)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_training_pass_goes_both_ways(dtype):
    probe, features = Probe(), torch.randn(3, 5)
    bench.training_pass(probe, features, dtype)()
    assert probe.seen[1:] == [(True, True, dtype, dtype == torch.bfloat16)]
    assert probe.weight.grad.abs().min() > 0 and not features.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_inference_pass_leaves_the_module_in_peace(dtype):
    probe = Probe()
    bench.inference_pass(probe, torch.randn(3, 5), dtype)()
    assert probe.seen == [(False, False, dtype, dtype == torch.bfloat16)]
    assert probe.training


@pytest.mark.parametrize(
    "shape", [Shape(8, 5, 3, 2), Shape(8, 5, 3), Shape(8, 4, 5), Shape(8, 4, 7), Shape(8, 4, 15)], ids=str
)
def test_contestants_do_the_same_work(shape):
    layers = contestants(shape)
    peers = {"lambda-networks Conv3d"}
    peers |= {"lambda-networks table"} if shape.r >= 7 else set()
    peers |= {"timm Conv3d"} if shape.u == 1 else set()
    peers |= {"timm table"} if shape.u == 1 and shape.r >= 7 else set()
    assert set(layers) == {"ours"} | peers
    features = torch.randn(2, shape.d, shape.side, shape.side)
    assert all(layer(features).shape == features.shape for layer in layers.values())
    more = {name: count_parameters(layer) - count_parameters(layers["ours"]) for name, layer in layers.items()}
    assert all(more[name] == 16 for name in peers if name.endswith("Conv3d"))  # its bias
    if shape.r == 2 * shape.side - 1:  # a wider window than the map's, and our table is larger than theirs
        assert all(more[name] == 0 for name in peers if name.endswith("table"))


def test_timm_is_left_out_where_it_takes_minutes():
    assert "timm Conv3d" not in contestants(Shape(8, 4, 15), "bfloat16") and "timm Conv3d" in contestants(
        Shape(8, 4, 15)
    )


def test_the_conv3d_form_is_the_same_net():
    torch.manual_seed(0)
    ours = create_model("lambda_resnet18", dim_u=2, scope=5).eval()
    for block in ours.modules():  # open every branch, which is shut at the start
        if isinstance(block, nn.BatchNorm2d):
            nn.init.uniform_(block.weight, 0.5, 1)
    theirs = bench.conv3d_form(ours)
    assert not any(isinstance(module, LambdaLayer) for module in theirs.modules())
    assert sum(isinstance(module, LambdaLayer) for module in ours.modules()) == 8
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-5)


def fake_clock(seconds):
    """A stopwatch on which every function takes what `seconds` says of its name; each is called once."""
    return lambda functions, *_: {name: (function(), seconds(name))[1] for name, function in functions.items()}


def test_the_layer_is_told_beside_its_fastest_peer(small, monkeypatch):
    told = []
    monkeypatch.setattr(bench, "SHAPES", [Shape(8, 4, 7), Shape(8, 4, 7)])
    monkeypatch.setattr(bench, "MEASURED_DTYPES", ("float32",))
    monkeypatch.setattr(bench, "matrix_rate", lambda *_: 1e6)
    seconds = {
        "ours": 2,
        "timm table": 3,
        "timm Conv3d": 5,
        "lambda-networks Conv3d": 4,
        "lambda-networks table": 6,
    }
    monkeypatch.setattr(
        bench, "stopwatch", fake_clock(lambda name: seconds[name[0]] * (1 + (name[1] == torch.channels_last)))
    )
    row = bench.bench_layer(True, told.append)[0]
    assert row["seconds"] == row["forward_seconds"] == seconds
    layer, features = (
        LambdaLayer(8, scope=7),
        torch.randn(2, 8, 4, 4).contiguous(memory_format=torch.channels_last),
    )
    assert row["share"] == bench.multiply_adds_of(bench.training_pass(layer, features, torch.float32)) / 2 / 1e6
    assert row["held"]["ours"] == saved_activation_bytes(layer, features)
    held = min(row["held"][name] for name in seconds if name != "ours")
    assert "timm table" in told[1] and "3000.0 ms   × 1.50   forward × 1.50" in told[1]
    assert f"{row['held']['ours'] / 2**20:.1f}, the others' {held / 2**20:6.1f} MiB" in told[1]


def test_every_order_runs_and_the_plan_is_judged(small, monkeypatch):
    ran, told = [], []
    monkeypatch.setattr(bench, "MEASURED_DTYPES", ("float32",))
    monkeypatch.setattr(bench, "plan", lambda *shape: "tiles")
    monkeypatch.setattr(
        bench, "position_output", lambda *inputs: (ran.append(inputs[-1]), position_output(*inputs))[1]
    )
    monkeypatch.setattr(
        bench, "stopwatch", fake_clock({"convolution": 2, "lambda": 4, "attention": 5, "tiles": 3}.get)
    )
    rows = bench.bench_orders(True, told.append)
    assert ran == [*ORDERS] * 2 and [(row["planned"], row["regret"]) for row in rows] == [("tiles", 1.5)] * 2
    assert "convolution 2000.0   lambda 4000.0   attention 5000.0   tiles* 3000.0" in told[1]


def test_steps_are_told_beside_ours(monkeypatch):
    told, nets = (
        [],
        {name: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(32, 10)) for name in ("ours", "another")},
    )
    before = nets["another"][2].weight.clone()
    monkeypatch.setattr(bench, "stopwatch", fake_clock({"ours": 2.0, "another": 3.0}.get))
    (row,) = bench.step_rows("nets", nets, 5, 4, "float32", told.append)
    assert row["seconds"] == {"ours": 2, "another": 3} and row["held"]["ours"] == row["held"]["another"] > 0
    assert (nets["another"][2].weight != before).any()  # it has learnt
    assert "3.00 s a step,  500.0 minutes for 50,000 images, ×1.50; saved activations" in told[2]


def test_growth_is_told_by_pixels(monkeypatch):
    monkeypatch.setattr(bench, "MEASURED_DTYPES", ("float32",))
    monkeypatch.setattr(bench, "stopwatch", fake_clock(lambda side: side**3))
    told, rows = [], None
    rows = bench.bench_growth(True, told.append)
    assert [row["what"] for row in rows] == ["pixels", "scope"] and rows[0]["exponent"] == pytest.approx(1.5)
    assert "time ~ pixels^1.50 from 8² to 16²" in told[0]


def test_attention_without_positions_is_softmax_attention():
    torch.manual_seed(0)
    module, features = bench.FusedSelfAttention(8, heads=2), torch.randn(3, 8, 2, 3)
    queries, keys, values = (
        torch.einsum("cd,bdn->bcn", module.to_qkv.weight[:, :, 0, 0], features.flatten(2))
        .view(3, 3, 2, 4, 6)
        .unbind(1)
    )
    attention = (torch.einsum("bhdn,bhdm->bhnm", queries, keys) / 4**0.5).softmax(3)
    expected = torch.einsum("bhnm,bhdm->bhdn", attention, values).reshape(3, 8, 2, 3)
    assert_close(module(features), expected, rtol=1e-5, atol=1e-6)


def test_steps_of_a_net_and_its_conv3d_form_are_compared(capsys):
    ours = create_model("tiny", layout="CCL")
    nets = {"ours": ours, "Conv3d form": bench.conv3d_form(ours)}
    (row,) = bench.step_rows("a net", nets, 2, 32, "bfloat16", print)
    assert set(row["seconds"]) == set(row["held"]) == set(nets) and min(row["seconds"].values()) > 0
    assert "minutes for 50,000 images" in capsys.readouterr().out


def test_the_exponent_of_a_power():
    assert bench.exponent([1, 4, 9], [5, 5 * 4**1.5, 5 * 9**1.5]) == pytest.approx(1.5)


def test_the_summary_by_hand():
    rows = [
        {"dtype": "float32", "seconds": {"ours": 1, "a": 8, "b": 9}},
        {"dtype": "float32", "seconds": {"ours": 2, "a": 7, "b": 4}},
        {"dtype": "bfloat16", "seconds": {"ours": 2, "a": 1}},
    ]
    assert summary(rows) == {
        "float32": {"geometric_mean": pytest.approx(4), "worst": 2},
        "bfloat16": {"geometric_mean": 0.5, "worst": 0.5},
    }


@pytest.mark.parametrize("part", ["layer", "orders"])
def test_a_part_runs_and_is_written(small, tmp_path, capsys, part):
    out = tmp_path / "bench.json"
    out.write_text(json.dumps({"growth": "stays"}))
    assert cli.main(["bench", "--quick", "--part", part, "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["growth"] == "stays" and set(results) == {"growth", part}
    assert {"command", "commit", "versions", "hardware", "threads"} <= set(results[part]["evidence"])
    rows = results[part]["rows"]
    assert [(row["dtype"], row["shape"]["u"]) for row in rows] == [
        ("float32", 2),
        ("float32", 1),
        ("bfloat16", 2),
        ("bfloat16", 1),
    ]
    assert all(second > 0 for row in rows for second in row["seconds"].values())
    assert f"numbers and evidence: {out}" in capsys.readouterr().out
    if part == "orders":
        assert all(set(row["seconds"]) == set(ORDERS) and row["regret"] >= 1 for row in rows)
    else:
        assert all(row["held"]["ours"] > 0 and set(row["forward_seconds"]) == set(row["seconds"]) for row in rows)


def test_each_part_is_written_as_soon_as_it_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)  # other parts need no peers
    monkeypatch.setattr(bench, "PARTS", {"first": lambda quick, say: [quick], "second": lambda quick, say: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        bench.bench(["first", "second"], tmp_path / "bench.json", quick=True)
    assert json.loads((tmp_path / "bench.json").read_text())["first"]["rows"] == [True]


def test_a_part_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"parts must be a list of layer, .*got \['foo'\]"):
        bench.bench(["foo"])


def test_a_missing_peer_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert cli.main(["bench", "--part", "layer", "--out", str(tmp_path / "bench.json")]) == 2
    assert "timm must be installed for the parts 'layer' and 'step'" in capsys.readouterr().err


def test_the_peak_is_what_the_high_water_mark_rises_by(small, monkeypatch, tmp_path):
    status, sent = tmp_path / "status", []
    status.write_text("Name:\tpython\nVmHWM:\t     350 kB\nVmRSS:\t     100 kB\n")
    kilobytes = bench.kilobytes
    monkeypatch.setattr(bench, "pick_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(bench, "kilobytes", lambda _, field: kilobytes(status, field))
    bench.measure_peak(SimpleNamespace(send=sent.append), Shape(8, 5, 3), "ours", "float32")
    assert sent == [250 * 1024 if Path("/proc/self/clear_refs").exists() else None]


def test_the_peak_of_a_child_is_at_least_what_it_holds(small):
    peak = bench.peak_in_child(Shape(16, 32, 3), "ours", "float32")  # 64 pictures: the child knows no monkeypatch
    assert peak > 2 * 64 * 16 * 32 * 32 * 4  # the output and one gradient of it
    assert peak < 2**32


def test_a_shape_names_its_sizes():
    assert str(Shape(d=11, side=7, r=5, u=3)) == "7×7, d 11, r 5, u 3"
