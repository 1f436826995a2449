"""Time and memory of the lambda layer, of other packages' layers, of its alternatives, and of whole models.

Used by `lambdalib bench`, which prints tables and writes JSON with the evidence. One process, candidates in turn,
so that other load slows all of them alike. Medians, and ratios first. Taught in notebooks/05b_fast_orders.
"""

import copy
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing import get_context
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import convert
from lambdalib.arguments import check_flags, check_numbers, check_sizes
from lambdalib.contractions import ORDERS, plan, position_output
from lambdalib.cost import saved_activation_bytes
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.training.checkpoint import read_json
from lambdalib.training.evidence import evidence, pick_device
from lambdalib.training.recipes import DTYPES
from lambdalib.training.train import train_steps

__all__ = ["Shape", "SHAPES", "PARTS", "stopwatch", "matrix_rate", "contestants", "bench", "summary"]

BATCH = 64
MEASURED_DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Shape:
    """A layer and its feature map, with k = 16 and h = 4. Taught in notebooks/05b_fast_orders.

    d: channels in and out; side: of the square map; r: side of the local scope; u: intra-depth.
    Raises ValueError if one is no positive integer, r is even, or d is no multiple of 4.
    """

    d: int
    side: int
    r: int
    u: int = 1

    def __post_init__(self) -> None:
        check_sizes(d=self.d, side=self.side, u=self.u)
        check_sizes(odd=True, r=self.r)
        if self.d % 4:
            raise ValueError(f"d must be a multiple of 4, the number of heads, got {self.d}")

    def __str__(self) -> str:
        return f"{self.side}×{self.side}, d {self.d}, r {self.r}, u {self.u}"


SHAPES = [
    Shape(64, 32, 7), Shape(128, 16, 7), Shape(128, 16, 7, 4), Shape(128, 16, 31), Shape(256, 8, 7),
    Shape(256, 8, 15), Shape(256, 8, 7, 4), Shape(512, 4, 7), Shape(256, 14, 23),
]  # fmt: skip


def stopwatch(functions: dict[str, Callable], budget: float = 2.0, turns: int = 3) -> dict[str, float]:
    """Seconds of each function: the median of its turns, taken in alternation. The first turn only warms up.

    Taught in notebooks/05b_fast_orders.

    Args:
        functions: name -> what to run, without arguments.
        budget: seconds to spend at least.
        turns: how many to count at least.
    Raises:
        ValueError: an argument is none of these.
    """
    if not isinstance(functions, dict) or not functions or not all(map(callable, functions.values())):
        raise ValueError(f"functions must be a dict from names to functions, at least one, got {functions!r}")
    check_numbers(budget=budget)
    check_sizes(turns=turns)
    rounds, begin = [], time.perf_counter()
    while len(rounds) <= turns or time.perf_counter() - begin < budget:
        rounds.append([timed(function) for function in functions.values()])
    return dict(zip(functions, map(statistics.median, zip(*rounds[1:]))))


def timed(function: Callable) -> float:
    """Seconds of one call. A GPU works on after the call returns, so its own clock is read there."""
    if not torch.cuda.is_available():
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    function()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def training_pass(module: nn.Module, features: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Forward and backward of one module, to be run later: gradients for its weights and for what came in."""
    features = features.detach().to(dtype).requires_grad_()  # as they come from the layer before, under autocast
    with torch.no_grad(), torch.autocast(features.device.type, dtype, enabled=dtype != torch.float32):
        cotangent = torch.randn_like(module(features))

    def run() -> None:
        with torch.autocast(features.device.type, dtype, enabled=dtype != torch.float32):
            output = module(features)
        output.backward(cotangent)
        features.grad = None

    return run


def inference_pass(module: nn.Module, features: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Forward of one module in eval mode, to be run later."""
    module, features = copy.deepcopy(module).eval(), features.to(dtype)

    def run() -> None:
        with torch.no_grad(), torch.autocast(features.device.type, dtype, enabled=dtype != torch.float32):
            module(features)

    return run


def features_for(shape: Shape, batch: int) -> Tensor:
    """Random features (b, d, side, side)."""
    return torch.randn(batch, shape.d, shape.side, shape.side, device=pick_device())


# -----------------------------------------------------------------------------------------------------------------
# The layer beside other packages' layers


def contestants(shape: Shape, dtype: str = "float32") -> dict[str, nn.Module]:
    """Our layer and those of lambda-networks and timm for the same work. Used by `lambdalib bench`.

    Each package has two forms: a Conv3d for a local scope, and a table for the whole map if the scope covers it.
    timm's layer has no u. Its Conv3d in bfloat16 with a scope of 15 or more takes minutes a step and is left out.
    """
    whole = shape.r >= 2 * shape.side - 1
    theirs = import_module("lambda_networks").LambdaLayer
    layers = {
        "ours": LambdaLayer(shape.d, dim_u=shape.u, scope=shape.r),
        "lambda-networks Conv3d": theirs(shape.d, dim_k=16, r=shape.r, dim_u=shape.u),
    }
    if whole:
        layers["lambda-networks table"] = theirs(shape.d, dim_k=16, n=shape.side, dim_u=shape.u)
    if shape.u == 1:
        timm = import_module("timm.layers.lambda_layer").LambdaLayer
        if dtype == "float32" or shape.r < 15:
            layers["timm Conv3d"] = timm(shape.d, r=shape.r)
        if whole:
            layers["timm table"] = timm(shape.d, feat_size=(shape.side, shape.side), r=None)
    return {name: layer.to(pick_device()) for name, layer in layers.items()}


def peak_in_child(shape: Shape, name: str, dtype: str) -> int | None:
    """Bytes by which one training pass lets a fresh process grow at most; None unless on Linux or a GPU."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=measure_peak, args=(sender, shape, name, dtype))
    child.start()
    sender.close()
    peak = receiver.recv()
    child.join()
    return peak


def measure_peak(sender, shape: Shape, name: str, dtype: str) -> None:
    """Send the peak memory of one training pass; runs in the child process."""
    layer, features = contestants(shape, dtype)[name], features_for(shape, BATCH)
    training_pass(layer, features[:1], DTYPES[dtype])()  # what the libraries allocate once
    run = training_pass(layer, features, DTYPES[dtype])
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if pick_device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return sender.send(torch.cuda.max_memory_allocated() - before)
    if not reset.exists():
        return sender.send(None)
    reset.write_text("5")  # the high-water mark starts from here
    before = kilobytes(status, "VmRSS")
    run()
    return sender.send(1024 * (kilobytes(status, "VmHWM") - before))


def kilobytes(status: Path, field: str) -> int:
    """A number out of /proc/self/status."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def matrix_rate(dtype: torch.dtype, where: torch.device, side: int = 2048, seconds: float = 1.0) -> float:
    """Multiply-adds per second of one large square matrix product: nearly the best of this machine.

    Taught in notebooks/05b_fast_orders.
    """
    matrix = torch.randn(side, side, device=where).to(dtype)
    return side**3 / stopwatch({"product": lambda: matrix @ matrix}, seconds)["product"]


def multiply_adds_of(run: Callable) -> int:
    """Multiply-adds of the matrix products and convolutions that a call makes, backward included."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def bench_layer(quick: bool, say: Callable) -> list[dict]:
    """Our layer and every public one at every shape, each in its faster memory layout."""
    rows = []
    for dtype in MEASURED_DTYPES:
        # quick: a large product takes minutes on a CPU without bfloat16
        rate = matrix_rate(DTYPES[dtype], pick_device(), *((64, 0) if quick else ()))
        say(f"\n{dtype}, batch {BATCH}; one large matrix product makes {rate / 1e9:.0f} G multiply-adds a second")
        for shape in SHAPES[-2:] if quick else SHAPES:
            passes, saved, forwards = {}, {}, {}
            for name, layer in contestants(shape, dtype).items():
                for layout in (torch.contiguous_format, torch.channels_last):
                    features = features_for(shape, BATCH).contiguous(memory_format=layout)
                    passes[name, layout] = training_pass(layer, features, DTYPES[dtype])
                    forwards[name, layout] = inference_pass(layer, features, DTYPES[dtype])
                with torch.autocast(pick_device().type, DTYPES[dtype], enabled=dtype != "float32"):
                    saved[name] = saved_activation_bytes(layer, features)
            both, forward = (fastest(stopwatch(runs, 0)) for runs in (passes, forwards))
            work = multiply_adds_of(passes["ours", torch.channels_last])
            peers = set(both) - {"ours"}
            peer = min(peers, key=both.get)
            with_peak = ("ours", peer) if dtype == "float32" and not quick else ()
            peak = {name: peak_in_child(shape, name, dtype) for name in with_peak}
            share = work / both["ours"] / rate
            rows.append({"shape": asdict(shape), "dtype": dtype, "seconds": both, "forward_seconds": forward,
                         "held": saved, "peak": peak, "rate": rate, "share": share})  # fmt: skip
            forward_peer, saved_peer = (min(map(numbers.get, peers)) for numbers in (forward, saved))
            say(
                f"{shape!s:<26} ours {1e3 * both['ours']:7.1f} ms ({share:4.0%} of the rate)   "
                f"{peer:<23} {1e3 * both[peer]:7.1f} ms   ×{both[peer] / both['ours']:5.2f}   forward "
                f"×{forward_peer / forward['ours']:5.2f}   saved activations {saved['ours'] / 2**20:6.1f}, "
                f"the others' {saved_peer / 2**20:6.1f} MiB"
            )
    return rows


def fastest(seconds: dict) -> dict[str, float]:
    """The seconds of each candidate in its faster layout."""
    return {name: min(t for (other, _), t in seconds.items() if other == name) for name, _ in seconds}


# -----------------------------------------------------------------------------------------------------------------
# The orders beside one another


def bench_orders(quick: bool, say: Callable) -> list[dict]:
    """The position output alone, forward and backward, in every order; and whether plan() chose the fastest."""
    rows, (h, k) = [], (4, 16)
    for dtype in MEASURED_DTYPES:
        say(f"\n{dtype}, batch {BATCH}, milliseconds of the position output, both ways; * chosen by plan()")
        for shape in SHAPES[-2:] if quick else SHAPES:
            n, v, size, window = shape.side**2, shape.d // h, (shape.side, shape.side), (shape.r, shape.r)
            sizes = [(BATCH, n, h, k), (k, shape.u, *window), (BATCH, n, v, shape.u)]  # queries, table, values
            inputs = [torch.randn(s, device=pick_device(), dtype=DTYPES[dtype], requires_grad=True) for s in sizes]
            runs = {order: partial(position_pass, *inputs, size, order) for order in ORDERS}
            seconds = stopwatch(runs, 0 if quick else 1.0)
            planned = plan(BATCH, h, size, k, v, shape.u, window)
            regret = seconds[planned] / min(seconds.values())
            rows.append({"shape": asdict(shape), "dtype": dtype, "seconds": seconds, "planned": planned,
                         "regret": regret})  # fmt: skip
            times = (f"{order}{'*' * (order == planned)} {1e3 * t:.1f}" for order, t in seconds.items())
            say(f"{shape!s:<26}" + "   ".join(times))
    return rows


def position_pass(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int], order: str) -> None:
    """Position output and its gradients. queries (b, n, h, k), table (k, u, r, r), values (b, n, v, u)."""
    output = position_output(queries.transpose(1, 2), table, values, size, order)
    torch.autograd.grad(output, (queries, table, values), torch.ones_like(output))


# -----------------------------------------------------------------------------------------------------------------
# Whole training steps


def conv3d_form(model: nn.Module) -> nn.Module:
    """A copy of a model in which lambda-networks' layers, with the same weights, replace ours."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LambdaLayer):
                pool, layer.pool = layer.pool, nn.Identity()
                setattr(parent, name, nn.Sequential(convert.to_lambda_networks(layer), pool))
    return model


def step_of(model: nn.Module, batch: int, side: int, dtype: str) -> Callable[[], None]:
    """One training step with SGD, to be run later."""
    model = model.to(pick_device())
    for parameter in model.parameters():
        if parameter.ndim == 4:  # Conv3d's weights have five axes and no such layout
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4, momentum=0.9)
    images = torch.randn(batch, 3, side, side, device=pick_device()).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,), device=pick_device())
    steps = train_steps(model, repeat((images, labels)), optimizer, dtype=DTYPES[dtype])
    return lambda: next(steps)


def bench_step(quick: bool, say: Callable) -> list[dict]:
    """Training steps: our model, with recompute, with Conv3d, its convolutional twin; timm's with our layers."""
    rows = []
    batch = 4 if quick else 128
    for name, u in (("lambda_resnet18", 4), ("lambda_resnet18", 1)):
        ours = create_model(name, dim_u=u, scope=7)
        recomputing = create_model(name, dim_u=u, scope=7, recompute=True)
        models = {"ours": ours, "ours, recompute": recomputing, "Conv3d form": conv3d_form(ours)}
        models["convolutional twin"] = create_model("resnet26")
        rows += step_rows(f"{name}, u = {u}, 32 × 32", models, batch, 32, "bfloat16", say)
    timm = import_module("timm").create_model("lambda_resnet26t", num_classes=10)
    swapped = copy.deepcopy(timm)
    convert.swap(swapped)
    for dtype in MEASURED_DTYPES:
        models = {"ours": swapped, "timm": timm}
        rows += step_rows("timm's lambda_resnet26t, 256 × 256", models, 2 if quick else 8, 256, dtype, say)
    return rows


def step_rows(title: str, models: dict, batch: int, side: int, dtype: str, say: Callable) -> list[dict]:
    """Seconds of a step and bytes of saved activations; models: name -> model, alike in input and output."""
    seconds = stopwatch({name: step_of(model, batch, side, dtype) for name, model in models.items()}, 0)
    saved, images = {}, torch.randn(batch, 3, side, side, device=pick_device())
    images = images.contiguous(memory_format=torch.channels_last)
    for name, model in models.items():
        with torch.autocast(pick_device().type, DTYPES[dtype], enabled=dtype != "float32"):
            saved[name] = saved_activation_bytes(model, images)
    say(f"\n{title}, {dtype}, batch {batch}")
    for name in models:
        spent, size = seconds[name], saved[name]
        say(
            f"  {name:<20} {spent:7.2f} s a step, {spent * 50000 / batch / 60:6.1f} minutes for 50,000 images, "
            f"×{spent / seconds['ours']:.2f}; saved activations {size / 2**30:.2f} GiB, "
            f"×{size / saved['ours']:.2f}"
        )
    return [{"title": title, "dtype": dtype, "batch": batch, "seconds": seconds, "held": saved}]


# -----------------------------------------------------------------------------------------------------------------
# What else stands in its place


class FusedSelfAttention(nn.Module):
    """Multi-head softmax attention over a feature map by PyTorch's fused kernel, without positions."""

    def __init__(self, dim: int, heads: int = 4):
        super().__init__()
        self.heads, self.to_qkv = heads, nn.Conv2d(dim, 3 * dim, 1, bias=False)

    def project(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (b, h, n, d/h) each."""
        return self.to_qkv(features).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(3, 4).unbind(1)

    def forward(self, features: Tensor) -> Tensor:
        """(b, d, H, W) -> (b, d, H, W)."""
        queries, keys, values = self.project(features)
        return F.scaled_dot_product_attention(queries, keys, values).transpose(2, 3).reshape(features.shape)


class FlexAttention(FusedSelfAttention):
    """The same with relative positions, by FlexAttention: one learned number per head and offset is added."""

    def __init__(self, dim: int, side: int, heads: int = 4):
        super().__init__(dim, heads)
        self.side, self.bias = side, nn.Parameter(torch.zeros(heads, 2 * side - 1, 2 * side - 1))
        self.attend = torch.compile(import_module("torch.nn.attention.flex_attention").flex_attention)

    def forward(self, features: Tensor) -> Tensor:
        """(b, d, H, W) -> (b, d, H, W)."""
        queries, keys, values = self.project(features)
        side, bias = self.side, self.bias

        def score(value, b, h, n, m):
            return value + bias[h, m // side - n // side + side - 1, m % side - n % side + side - 1]

        return self.attend(queries, keys, values, score_mod=score).transpose(2, 3).reshape(features.shape)


def bench_alternatives(quick: bool, say: Callable) -> list[dict]:
    """A lambda layer, fused softmax attention and a 3×3 convolution, d = 128, batch 16."""
    rows, d, batch = [], 128, 16
    for dtype in MEASURED_DTYPES:
        say(f"\n{dtype}, d = {d}, batch {batch}, milliseconds of a training pass")
        for side in (8, 16) if quick else (8, 16, 32, 64):
            modules = {
                "lambda layer, r = 7": LambdaLayer(d, scope=7),
                "attention without positions": FusedSelfAttention(d),
                "3×3 convolution": nn.Conv2d(d, d, 3, padding=1, bias=False),
            }
            if side <= 32:
                modules["lambda layer, whole map"] = LambdaLayer(d, scope=2 * side - 1)
            if pick_device().type == "cuda":  # FlexAttention has no backward on a CPU
                modules["attention with positions"] = FlexAttention(d, side)
            features = features_for(Shape(d, side, 7), batch).contiguous(memory_format=torch.channels_last)
            runs = {}
            for name, module in modules.items():
                module = module.to(pick_device(), memory_format=torch.channels_last)
                runs[name] = training_pass(module, features, DTYPES[dtype])
            seconds = stopwatch(runs, 0 if quick else 2.0)
            rows.append({"side": side, "d": d, "batch": batch, "dtype": dtype, "seconds": seconds})
            say(f"{side:3d} × {side:<3d}" + "   ".join(f"{name} {1e3 * t:.1f}" for name, t in seconds.items()))
    return rows


# -----------------------------------------------------------------------------------------------------------------
# Growth


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The e of seconds ~ sizes^e, by least squares in logarithms."""
    x, y = ([math.log(value) for value in values] for values in (sizes, seconds))
    return statistics.linear_regression(x, y).slope


def bench_growth(quick: bool, say: Callable) -> list[dict]:
    """How time grows with the number of pixels for a scope of 7, and with the scope on a map of 16 × 16."""
    rows = []
    for dtype in MEASURED_DTYPES:
        layer = LambdaLayer(64, scope=7).to(pick_device())
        sides = (8, 12, 16) if quick else (16, 24, 32, 48, 64)
        runs = {}
        for side in sides:
            features = features_for(Shape(64, side, 7), 8).contiguous(memory_format=torch.channels_last)
            runs[side] = training_pass(layer, features, DTYPES[dtype])
        seconds = stopwatch(runs, 0 if quick else 6.0)
        power = exponent([side**2 for side in sides], list(seconds.values()))
        say(f"\n{dtype}, d = 64, batch 8, r = 7: time ~ pixels^{power:.2f} from {sides[0]}² to {sides[-1]}²")
        say("   ".join(f"{side}²: {1e3 * t:.1f} ms" for side, t in seconds.items()))
        rows.append({"what": "pixels", "dtype": dtype, "sides": sides, "seconds": list(seconds.values()),
                     "exponent": power})  # fmt: skip
        scopes = (3, 7, 31) if quick else (3, 5, 7, 11, 15, 23, 31)
        layers = {r: LambdaLayer(128, scope=r).to(pick_device()) for r in scopes}
        runs = {r: training_pass(layers[r], features_for(Shape(128, 16, r), 16), DTYPES[dtype]) for r in scopes}
        seconds = stopwatch(runs, 0 if quick else 3.0)
        say("16 × 16, d = 128, batch 16: " + "   ".join(f"r {r}: {1e3 * t:.1f} ms" for r, t in seconds.items()))
        rows.append({"what": "scope", "dtype": dtype, "scopes": scopes, "seconds": list(seconds.values())})
    return rows


PARTS = {"layer": bench_layer, "orders": bench_orders, "step": bench_step, "alternatives": bench_alternatives,
         "growth": bench_growth}  # fmt: skip


def summary(rows: list[dict]) -> dict[str, dict[str, float]]:
    """How many times as fast as the fastest peer our layer is, for each dtype: geometric mean and worst.

    Taught in notebooks/05b_fast_orders.
    """
    result = {}
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        runs = [row["seconds"] for row in rows if row["dtype"] == dtype]
        ratios = [min(t for name, t in run.items() if name != "ours") / run["ours"] for run in runs]
        result[dtype] = {"geometric_mean": statistics.geometric_mean(ratios), "worst": min(ratios)}
    return result


def bench(
    parts: list[str] | None = None, out: Path | None = None, quick: bool = False, say: Callable = print
) -> dict:
    """Measure, print, and write what was measured. Used by `lambdalib bench`.

    Args:
        parts: of PARTS; None: all. "layer" and "step" need timm and lambda-networks (extra `dev`).
        out: JSON file for the numbers and their evidence. Parts in it that are not measured now stay.
        quick: few shapes and turns. Shows that it runs; its numbers mean nothing.
    Returns:
        What the file holds: part -> {"evidence", "rows"}, and the layer's summary.
    Raises:
        ValueError: there is no such part, a package to compare with is not installed, or out holds no JSON.
    """
    check_flags(quick=quick)
    parts = list(PARTS) if parts is None else parts
    if not isinstance(parts, list) or not parts or any(part not in list(PARTS) for part in parts):
        raise ValueError(f"parts must be a list of {', '.join(PARTS)}, got {parts!r}")
    for name in ("timm", "lambda_networks"):
        if find_spec(name) is None and not {"layer", "step"}.isdisjoint(parts):
            raise ValueError(f"{name} must be installed for the parts 'layer' and 'step': pip install '.[dev]'")
    (results,) = read_json(out) if out is not None and out.exists() else ({},)
    for part in parts:
        torch.manual_seed(0)
        results[part] = {"evidence": evidence(pick_device()), "rows": PARTS[part](quick, say)}
        if part == "layer":
            results[part]["summary"] = summary(results[part]["rows"])
            for dtype, numbers in results[part]["summary"].items():
                say(
                    f"{dtype}: {numbers['geometric_mean']:.2f} times as fast as the fastest peer of each shape, "
                    f"at worst {numbers['worst']:.2f} times"
                )
        if out is not None:
            out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return results
