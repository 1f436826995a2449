# %% [markdown]
# # 05b · Fast orders
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/05b_fast_orders.ipynb)

# %% cellView="form" jupyter={"source_hidden": true} tags=["setup", "nbval-ignore-output"]
# @title Set-up: run this cell first
import importlib.util, subprocess, sys
if importlib.util.find_spec("lambdalib") is None:  # on Colab, for one; an installed course is left as it is
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet",
                           "lambdanetworks-course @ git+https://github.com/lambdalib-course/lambdalib.git"])
import lambdalib
if not hasattr(lambdalib, "__course__"):  # another project on PyPI has the same import name
    raise ImportError("Another lambdalib: `pip uninstall -y lambdalib`, restart the kernel and run this again.")
print("lambdalib", lambdalib.__version__, "is ready.")

# %% [markdown]
# > **After this lesson you can** compute position outputs with scores first, tile by tile. You can predict by a simple price which order the library takes, and time all orders on your machine. You can say why the library has no Conv3d, and how its layer compares with public ones.
# >
# > **You need** [lesson 05](05_cost.ipynb): the orders, multiply-adds, and numbers made on the way. This is a side path. Lesson 06 does not need it. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 55 minutes to read and run, 25 for the exercises. The code takes about a minute on two CPU cores.
# >
# > **Short path** Steps 2, 4, 5 and 7.

# %% [markdown]
# ## Which order is the fastest?
#
# Lesson 05 counted multiply-adds. Are they seconds? The paper (Bello, [*LambdaNetworks*](https://arxiv.org/abs/2102.08602), ICLR 2021, Table 4) holds a riddle. It prints 1160 images per second for a ResNet-50 with lambda layers, whose memory counts dense embeddings. It prints 1100 for lambda convolutions with a window of 7 × 7. The first has a window of 23 × 23. (Its dense embeddings cost the same for any window.) Let us count both for the same 16 layers:

# %%
import json
import statistics
from math import ceil

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lambdalib.arguments import check_pair
from lambdalib.contractions import (CHUNK_ELEMENTS, convolution_order, lambda_order, position_costs,
                                    position_numbers)
from lambdalib.course import figures
from lambdalib.course.checks import check_close
from lambdalib.course.figures.style import short
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.course.verdict import Verdicts
from lambdalib.experiments.bench import Shape, matrix_rate, stopwatch, summary
from lambdalib.lambdas import apply_lambdas, relative_embeddings
from lambdalib.layouts import padded, permute_contiguous, windows
from lambdalib.training.checkpoint import ASSETS

stages = list(zip((56, 28, 14, 7), (64, 128, 256, 512), (3, 4, 6, 3)))  # side, channels and layers, ResNet-50
paper = {}
print("order         multiply-adds   numbers in lambdas   images/s, printed")
for order, printed in (("lambda", 1160), ("convolution", 1100)):
    paper[order] = [sum(layers * count(1, 4, (side, side), 16, d // 4, 1, (7, 7))[order]
                        for side, d, layers in stages) for count in (position_costs, position_numbers)]
    print(f"{order:<13}" + "{:>14}{:>21}".format(*map(short, paper[order])) + f"{printed:20,}")


# %% [markdown]
# The convolution needs about 30 times fewer multiply-adds, and it is no faster. Both make the same lambdas. So perhaps it matters what is *made*. (This is no proof. A convolution of single channels also runs at a lower rate.)

# %% [markdown]
# ## 1 · Scores first, in earnest
#
# Lesson 05 wrote scores first as two einsums. Here is how the library does it. Behind each einsum there is a `bmm`, a batch of matrix products. In the first, every query position has its own embeddings, so $n$ is the batch. In the second, every image has its own values, so $b$ is.
#
# $$A_{bhnmu}=\sum_k q_{bhnk}\,E_{nmku},\qquad y_{bhnv}=\sum_{m,u}A_{bhnmu}\,V_{bmvu}$$
#
# The loop takes a few images at a time: as many as have $2^{22}$ scores together (`CHUNK_ELEMENTS`). So the scores fit into the processor's cache, its small fast memory.

# %%
def scores_then_values(queries: Tensor, embeddings: Tensor, values: Tensor) -> Tensor:
    """Scores for every pair of positions, A = q·E, then A times the values. No lambda is ever made.

    (n, b, h, k), (n, k, m·u), (b, m, v, u) -> (b, n, h, v)
    """
    (n, _, h, _), (_, m, _, u) = queries.shape, values.shape
    images = max(1, CHUNK_ELEMENTS // (n * h * m * u))  # at once: as many as keep their scores in the cache
    outputs = []
    for asked, seen in zip(queries.split(images, 1), values.split(images)):
        scores = torch.bmm(asked.flatten(1, 2), embeddings)  # each query position has its own embeddings,
        scores = rearrange(scores, "n (b h) mu -> b (n h) mu", h=h)
        outputs.append(torch.bmm(scores, rearrange(seen, "b m v u -> b (m u) v")))  # each image its own values
    output = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
    return rearrange(output, "b (n h) v -> b n h v", h=h)


def sheets(table: Tensor, tile: tuple[int, int], halo: tuple[int, int] = (0, 0)) -> Tensor:
    """The embeddings of a tile's queries for all that they can see: the tile, and a halo around it.

    (k, u, r, r) -> (n, k, m·u)
    """
    height, width = (side + 2 * beyond for side, beyond in zip(tile, halo))
    embeddings = rearrange(relative_embeddings(table, height, width), "(y x) m k u -> y x m k u", y=height)
    middle = embeddings[halo[0] : halo[0] + tile[0], halo[1] : halo[1] + tile[1]]
    return rearrange(middle, "y x m k u -> (y x) k (m u)")


def attention_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores first, for the whole map at once."""
    output = scores_then_values(permute_contiguous(queries, "b h n k -> n b h k"), sheets(table, size), values)
    return rearrange(output, "b n h v -> b h n v")


# %% [markdown]
# `sheets` stores one $k\times(m\cdot u)$ matrix for each query. Its arguments `tile` and `halo` are for the next step. Here the "tile" is the whole map.

# %% [markdown]
# ## 2 · Tiles
#
# **Claim.** With a window, scores first can be linear in the pixels.
#
# The attention order meets every pixel, window or not. On a large map with a small window, nearly all scores are products with zeros. So cut the map into square **tiles** of $t\times t$ pixels. The queries of one tile can only meet the tile and a border around it, half a window wide: the **halo**. Tile and halo together are the tile's **context**. (Lesson 00 called the small table of a lambda a tile. Here a tile is a piece of the map.)
#
# **Predict.** For a window of $r=7$ the library takes tiles of 4 × 4. How many pixels has the context of one tile?

# %%
guess = None  # one number
check_answer("05b.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
in_window = sheets(torch.ones(1, 1, 7, 7), (4, 4), (3, 3))[:, 0]  # of a stencil of ones: 1 where the window is
if revealed(guess):
    print("pixels of the context:", in_window.shape[1])
    figures.show(
        figures.tiles(16, 7, [(1, 0), (2, 2)], in_window),
        "Left: a map of 16 × 16 in tiles. Two tiles are orange, their contexts pale. The black frame is one "
        "query's window. Right: a row for each query of a tile, a column for each pixel of its context; orange is "
        "the window.",
        alt="A map cut into tiles with two contexts, and the pattern of embeddings that all tiles share.",
    )


# %% [markdown]
# Now the point. An embedding depends on the offset of two pixels, and on nothing else (lesson 03). Move a tile, and its context moves along. Every query meets its context at the same offsets as before. So **the same embeddings serve every tile**, and each tile can be treated as an image of its own.
#
# How large should a tile be? The library takes $t=\lfloor r/2\rfloor+1$, half a window:

# %%
def tiling(size: tuple[int, int], sides: tuple[int, int]) -> list[list[int]]:
    """How a map is cut, (down, across) each: halo, side of a tile, side of its context, number of tiles."""
    check_pair(size=size, sides=sides)
    halo = [min(r // 2, side - 1) for r, side in zip(sides, size)]  # no context lies farther away
    tile = [half + 1 for half in halo]
    context = [t + 2 * half for t, half in zip(tile, halo)]
    return [halo, tile, context, [ceil(side / t) for side, t in zip(size, tile)]]


halo, tile, context, tiles = tiling((16, 16), (7, 7))
print(f"halo {halo}, tile {tile}, context {context}, number of tiles {tiles}")
print("\nside of tile   of context   scores in the window   copies of each value")
for t in (1, 2, 4, 8, 16):
    c = t + 6
    print(f"{t:12}{c:13}{49 / c**2:23.0%}{(c / t) ** 2:23.2f}")

# %% [markdown]
# It is a trade. Each tile needs its own copy of the values it sees, so small tiles make many copies. In a large tile most scores lie outside the window. Half a window is a compromise for every $r$: fewer than 9 copies, and more than 4/9 of the scores in use.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert 25 < paper["lambda"][0] / paper["convolution"][0] < 35 and paper["lambda"][1] == paper["convolution"][1]
assert [halo, tile, context, tiles] == [[3, 3], [4, 4], [10, 10], [4, 4]]
assert in_window.shape == (16, 100) and (in_window.sum(1) == 49).all()
for r in range(1, 64, 2):
    t, c = r // 2 + 1, r // 2 + 1 + 2 * (r // 2)
    assert (c / t) ** 2 < 9 and (r / c) ** 2 > 4 / 9


# %% [markdown]
# ## 3 · The code of the tiles
#
# Most of the code cuts and joins: queries into tiles, values into contexts, tiles back into a map. (`padded` is `F.pad` where there is something to add or to crop. `windows` copies one context for every tile. It is `Tensor.unfold` with a faster gradient.)

# %%
def cut_queries(queries: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int]) -> Tensor:
    """Cut the map of queries into tiles: (b, h, n, k) -> (n of a tile, b·rows·columns, h, k)."""
    (H, W), (t_y, t_x), (rows, columns) = size, tile, tiles
    queries = rearrange(queries, "b h (y x) k -> b h y x k", y=H)
    queries = padded(queries, (0, 0, 0, columns * t_x - W, 0, rows * t_y - H))
    pattern = "b h (rows y) (columns x) k -> (y x) (b rows columns) h k"
    return permute_contiguous(queries, pattern, y=t_y, x=t_x)


def cut_contexts(values: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int],
                 halo: tuple[int, int]) -> Tensor:  # fmt: skip
    """A copy of the values for each tile that sees them: (b, m, v, u) -> (b·rows·columns, m in context, v, u)."""
    (H, W), (t_y, t_x), (rows, columns), (halo_y, halo_x) = size, tile, tiles, halo
    # u before v, as the product with the scores wants it
    images = rearrange(values, "b (y x) v u -> b y x (u v)", y=H)
    images = padded(images, (0, 0, halo_x, columns * t_x - W + halo_x, halo_y, rows * t_y - H + halo_y))
    contexts = windows(images, (t_y + 2 * halo_y, t_x + 2 * halo_x), tile)
    return rearrange(contexts, "b rows columns y x (u v) -> (b rows columns) (y x) v u", u=values.shape[3])


# %% [markdown]
# With these, tiles are one line of computing: all tiles of all images go through `scores_then_values` at once.

# %%
def join_tiles(output: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int]) -> Tensor:
    """Put the tiles' outputs together: (b·rows·columns, n of a tile, h, v) -> (b, h, n, v)."""
    (H, W), (t_y, t_x), (rows, columns) = size, tile, tiles
    pattern = "(b rows columns) (y x) h v -> b (rows y) (columns x) h v"
    output = rearrange(output, pattern, rows=rows, columns=columns, y=t_y, x=t_x)
    output = padded(output, (0, 0, 0, 0, 0, W - columns * t_x, 0, H - rows * t_y))
    return rearrange(output, "b y x h v -> b h (y x) v")


def tile_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores first, tile by tile: a tile's queries see it and a halo around it, half a window wide."""
    halo, tile, _, tiles = tiling(size, table.shape[2:])
    queries, contexts = cut_queries(queries, size, tile, tiles), cut_contexts(values, size, tile, tiles, halo)
    return join_tiles(scores_then_values(queries, sheets(table, tile, halo), contexts), size, tile, tiles)


ORDERS = {"convolution": convolution_order, "lambda": lambda_order,
          "attention": attention_order, "tiles": tile_order}


# %% [markdown]
# Do the four agree? We take axes of prime lengths and $u=2$. The tiles are 2 × 2 and the map is 5 × 7, so the last tiles stick out.

# %%
def random_inputs(b, h, height, width, k, v, u, r, dtype=torch.float32):
    """Random queries, table and values for a map of height × width."""
    shapes = (b, h, height * width, k), (k, u, r, r), (b, height * width, v, u)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def counted(function, *arguments) -> int:
    """The multiply-adds of the matrix products and convolutions that a call runs, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() // 2


torch.manual_seed(0)
primes = random_inputs(2, 3, 5, 7, 11, 13, 2, 3, torch.float64)
outputs = {name: order(*primes, (5, 7)) for name, order in ORDERS.items()}
formula = position_costs(2, 3, (5, 7), 11, 13, 2, (3, 3))
print("order         the same output   multiply-adds as the formula of lesson 05")
for name, order in ORDERS.items():
    same = torch.allclose(outputs[name], outputs["lambda"])
    print(f"{name:<14}{same!s:<18}{counted(order, *primes, (5, 7)) == formula[name]}")


# %% [markdown]
# ## 4 · One price for two things
#
# **Claim.** Arithmetic is cheap, and moving numbers is not. While a processor writes a number to memory and reads it again, it could do tens of multiply-adds. Lambdas are awkward, too: each one meets only the $h$ queries of its pixel, in a product too small for full speed. And each number that is made is written once and read at least twice, forward and backward. The library's rule of thumb has it all in one round number, 64:
#
# $$\text{price}\;=\;\text{multiply-adds}\;+\;64\cdot\text{numbers made on the way}$$
#
# Lambdas are counted twice.

# %%
def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the cheapest order for these shapes, by a rule of thumb."""
    adds, numbers = (count(b, h, size, k, v, u, sides) for count in (position_costs, position_numbers))
    weights = {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}
    totals = [adds[order] + weights[order] * numbers[order] for order in ORDERS]
    return list(ORDERS)[totals.index(min(totals))]  # torch 2.6 cannot compile min(..., key=...)


def prices(*shape) -> dict[str, int]:
    """What plan() compares."""
    adds, numbers = position_costs(*shape), position_numbers(*shape)
    return {order: adds[order] + 64 * numbers[order] * (2 if order in ("convolution", "lambda") else 1)
            for order in adds}


example = 1, 4, (16, 16), 16, 32, 4, (7, 7)  # b, h, size, k, v, u, sides
print("order         multiply-adds   numbers made")
for name in ORDERS:
    print(f"{name:<13}{short(position_costs(*example)[name]):>14}{short(position_numbers(*example)[name]):>15}")

# %% [markdown]
# This is one image of 16 × 16 with $d=128$, $h=4$, $k=16$, $u=4$ and $r=7$.
#
# **Predict.** Which of the four has the lowest price?

# %%
guess = None  # "convolution", "lambda", "attention" or "tiles"
check_answer("05b.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for name, price in prices(*example).items():
        print(f"{name:<13}price {price / 1e6:7.1f} million")
    print("plan names:", plan(*example))

# %% [markdown]
# The tiles need the fewest multiply-adds and lose. With $u=4$ each pair of pixels has four scores and each copy has four values, but a pixel still has one lambda. So the convolution wins. With $u=1$ the tiles win.
#
# `plan` is how the layer of lesson 04 picks its order. It looks at shapes, never at a clock. So a model takes the same order on every machine. Here is its choice for many shapes:

# %%
map_sides, widths, names = [4, 7, 8, 14, 16, 28, 32, 56], [64, 128, 256, 512], list(ORDERS)
charts = {f"window r = {r}": [[names.index(plan(1, 4, (side, side), 16, d // 4, 1, (r, r)))
                               for side in map_sides] for d in widths] for r in (7, 23)}
nets = {"ResNet-50, images of 224 × 224": list(zip((56, 28, 14, 7), widths)),
        "ResNet for images of 32 × 32": list(zip((32, 16, 8, 4), widths))}
figures.show(
    figures.phases(charts, map_sides, widths, ["convolution", "lambda (nowhere)", "attention", "tiles"], nets),
    "The order that plan names. Grey orders make lambdas, orange ones make scores. The marks are the maps of two "
    "nets, where a lambda layer could stand.",
    alt="Two charts over side and channels: attention on small maps, tiles or convolution on large ones.",
)

# %% [markdown]
# **What you should see.** Large map and small window: tiles. Small map, or a window as wide as the map: attention. Large map, wide window and few channels: convolution. The dense lambda order wins nowhere here. It does win where a window covers the whole of a large map with few channels.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert plan(*example) == "convolution" == min(prices(*example), key=prices(*example).get)
assert min(position_costs(*example), key=position_costs(*example).get) == "tiles"
assert plan(1, 4, (16, 16), 16, 32, 1, (7, 7)) == "tiles"
assert not any(names.index("lambda") in row for chart in charts.values() for row in chart)
assert plan(1, 4, (32, 32), 16, 16, 1, (63, 63)) == "lambda"

# %% [markdown]
# ## 5 · The clock
#
# A price is not a time. So we time forward and backward. A stopwatch on a busy machine needs care. So `stopwatch` runs everything once to warm up, takes the candidates in turn, and reports the median.
#
# First the number 64. How many multiply-adds could your processor make, at the rate of a large matrix product, while it copies one number? Copying into new memory takes longer, because the system has to hand it out first.

# %% tags=["nbval-ignore-output"]
print(f"multiply-adds in the time of one copied number; {torch.get_num_threads()} thread(s)")
for dtype in (torch.float32, torch.bfloat16):
    here, there = torch.zeros(2**24, dtype=dtype), torch.zeros(2**24, dtype=dtype)
    copies = stopwatch({"into used memory": lambda: there.copy_(here), "into new memory": here.clone}, budget=0.5)
    rate = matrix_rate(dtype, torch.device("cpu"), side=1024, seconds=0.5)
    print(f"{dtype}:", ", ".join(f"{memory} {rate * s / 2**24:.0f}" for memory, s in copies.items()))


# %% [markdown]
# Yours may be far from 64. `plan` is not made for your machine: it is one rule for all.
#
# A fifth candidate joins the race. Several public packages compute position lambdas with a three-dimensional convolution, in which $v$ is a third axis of the image. It makes the same lambdas with as many multiply-adds:

# %%
def conv3d_lambdas(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Position lambdas by Conv3d over (v, H, W), then the queries."""
    (b, m, v, u), (k, _, r_y, r_x) = values.shape, table.shape
    volume = values.permute(0, 3, 2, 1).reshape(b, u, v, *size)
    lambdas = F.conv3d(volume, table[:, :, None], padding=(0, r_y // 2, r_x // 2))  # (b, k, v, H, W)
    return apply_lambdas(queries, lambdas.flatten(3).permute(0, 3, 1, 2))


assert torch.allclose(conv3d_lambdas(*primes, (5, 7)), outputs["convolution"])
assert counted(conv3d_lambdas, *primes, (5, 7)) == formula["convolution"]


def timed_step(order, inputs, size):
    """One forward and backward pass, to be run later."""
    ones = torch.ones_like(order(*inputs, size))  # the gradient that arrives from above
    return lambda: torch.autograd.grad(order(*inputs, size), inputs, ones)


# %% [markdown]
# The next cell takes 15 seconds or more, with 8 images in float32. **Run it yourself**: the stored numbers come from a busy machine.

# %% tags=["nbval-ignore-output"]
candidates, groups, losses = ORDERS | {"conv3d": conv3d_lambdas}, {}, []
print("forward and backward, ms; plan names the order with a star\n" + " " * 23
      + "".join(f"{name:>{max(len(name) + 2, 9)}}" for name in candidates))
for side, d, u, r in ((32, 64, 1, 7), (16, 128, 1, 7), (16, 128, 4, 7), (8, 256, 1, 7), (14, 256, 1, 23)):
    shape = 8, 4, (side, side), 16, d // 4, u, (r, r)
    inputs = random_inputs(8, 4, side, side, 16, d // 4, u, r)
    seconds = stopwatch({name: timed_step(order, inputs, (side, side)) for name, order in candidates.items()})
    adds, price = position_costs(*shape), prices(*shape)
    adds["conv3d"], price["conv3d"] = adds["convolution"], price["convolution"]
    title = f"{side}×{side}, d {d}, r {r}, u {u}"
    groups[title] = {name: (adds[name], price[name], seconds[name]) for name in candidates}
    losses.append(seconds[plan(*shape)] / min(seconds[name] for name in ORDERS))
    times = {name: f"{1000 * seconds[name]:.1f}" + "*" * (name == plan(*shape)) for name in candidates}
    print(f"{title:<23}" + "".join(f"{time:>{max(len(name) + 2, 9)}}" for name, time in times.items()))
print("the order that plan names, in units of the fastest of the four:",
      f"{statistics.geometric_mean(losses):.2f} on average, {max(losses):.2f} at worst", sep="\n")
figures.show(
    figures.counted_and_clocked(groups),
    "Every panel is one shape, and each colour is in units of its smallest bar. If multiply-adds were times, the "
    "light grey bars would be as high as the orange ones.",
    alt="For five shapes: bars for multiply-adds, price and time of five candidates.",
)

# %% [markdown]
# **What you should see.** Bars of one name differ in height: neither multiply-adds nor price forecast a time. The price only has to name the fastest order. Where it fails on your machine, choose for yourself: `LambdaLayer(64, order="attention")`. The layer calls `position_output`, which asks `plan` unless an order is given.

# %% [markdown]
# ## 6 · Why no Conv3d?
#
# Not because it is always slow: look at its bars. But three-dimensional convolutions are used less, so their fast paths break more easily. Around PyTorch 2.9, users with GPUs reported that they were
#
# * [4 times slower in mixed precision](https://github.com/pytorch/pytorch/issues/166122), or [10 to 20 times slower](https://github.com/pytorch/pytorch/issues/174051) in the vision part of one model;
# * [far more hungry for memory in bfloat16](https://github.com/pytorch/pytorch/issues/166643);
# * [wrong in bfloat16, with some versions of cuDNN](https://github.com/pytorch/pytorch/issues/163539), NVIDIA's library of convolutions.
#
# Newer versions of cuDNN mend this. timm's own [benchmarks](https://github.com/huggingface/pytorch-image-models/tree/main/results) fit this, though they name no cause. On an RTX 4090 in mixed precision, `lambda_resnet26t` has a Conv3d. It fell from 4193 images per second (PyTorch 2.4) to 2146 (2.9.1). `lambda_resnet26rpt_256` has none, and it stayed at 3276 and 3278. A Conv2d over $b\cdot v$ images computes the same, and does not depend on that path.

# %% [markdown]
# ## 7 · The whole layer beside the public ones
#
# Two packages have a lambda layer: `lambda-networks` and `timm`. Each has a Conv3d for a window, and a table for the whole map. Both compute the same function as ours, so only the way there is compared. The command `lambdalib bench` timed them in one process and in turn, with 64 images, each layer in its faster memory layout. We read its record. The first column is our time. The others are the best public layer, in units of ours. They show the time, the time of the forward pass alone, the bytes saved for the backward pass, and in float32 the bytes at the peak. Below 1, the public layer is better.

# %%
record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))
evidence, rows = record["layer"]["evidence"], record["layer"]["rows"]
print(f"{evidence['hardware']}, {evidence['threads']} threads, PyTorch {evidence['versions']['torch']}")
measures = {"seconds": "time", "forward_seconds": "forward", "held": "saved", "peak": "peak"}
memory_lost = 0
print(f"{'':<33}{'ours, ms':>9}" + "".join(f"{word:>8}" for word in measures.values()))
for row in rows:
    peers = {what: min(row[what][name] for name in row[what] if name != "ours") for what in measures if row[what]}
    ratios = {what: best / row[what]["ours"] for what, best in peers.items()}
    memory_lost += ratios["held"] < 1
    print(f"{row['dtype']:<9}{Shape(**row['shape'])!s:<24}{1000 * row['seconds']['ours']:9.1f}"
          + "".join(f"{ratio:8.2f}" for ratio in ratios.values()))
for dtype, numbers in record["layer"]["summary"].items():
    print(f"{dtype}, fastest public layer: time {numbers['geometric_mean']:.2f} (geometric mean), "
          f"{numbers['worst']:.2f} at least")

# %%
figures.show(
    figures.measured(rows, record["growth"]["rows"]),
    "Top: the fastest public layer in units of ours, by side of the map, channels d, window r and intra-depth u. "
    "Bottom: how our time grows with the map (d = 64) and with the window (d = 128). Orange is bfloat16.",
    alt="Bars of ratios for nine shapes, and two charts of times over the pixels and over the window.",
)
print(f"in {memory_lost} of {len(rows)} cases a public layer saves fewer bytes than ours")
for dtype in ("float32", "bfloat16"):
    hits = [row["regret"] == 1 for row in record["orders"]["rows"] if row["dtype"] == dtype]
    print(f"{dtype}: plan names the fastest order for {sum(hits)} of {len(hits)} shapes")

# %% [markdown]
# **What you should see.** In time ours is faster at every shape. One reason: a public layer has one order for all shapes. In memory it often loses. `plan` goes by a price for time. The scores it makes can be larger than the lambdas that others save. The remedy is `recompute=True` (lesson 05).
#
# Bottom left: with a window, time grows no faster than the pixels. Bottom right: a wider window costs more until `plan` changes to the attention order, which does not see the window.
#
# On that machine `plan` named the fastest order at all 18 shapes. That is one machine. Step 5 asked yours.

# %% [markdown]
# ## 8 · A whole training step
#
# A layer is not a net. Here is a whole training step. *Conv3d form* is our net with the layers of `lambda-networks` inside. The *convolutional twin* has a 3×3 convolution instead of each lambda layer. *Recompute* keeps only the input of each block.

# %%
print(f"{'':<22}{'seconds':>8}{'/ ours':>8}{'GiB saved':>11}{'/ ours':>8}")
for row in record["step"]["rows"]:
    print(f"{row['title']}, {row['dtype']}, {row['batch']} images")
    for name, seconds in row["seconds"].items():
        held = row["held"][name]
        print(f"  {name:<20}{seconds:8.2f}{seconds / row['seconds']['ours']:8.2f}"
              f"{held / 2**30:11.2f}{held / row['held']['ours']:8.2f}")

# %% [markdown]
# **What you should see.** With our layers a step is faster than with public ones, in each of these nets. It is *slower* than in the convolutional twin: 2.6 times with $u=4$, and 1.1 times with $u=1$. With recompute, a net keeps an eighth to a seventh of its bytes. That is about a quarter of what the twin keeps. The step takes 1.05 times as long with $u=4$, and 1.37 times with $u=1$.
#
# **Caution.** With $u=1$ our net needs fewer multiply-adds than its twin ([lesson 06](06_lambda_resnet.ipynb) counts them), and is slower all the same. Multiply-adds are not seconds.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 7 and 8
assert record["layer"]["summary"] == summary(rows) and all(row["regret"] == 1 for row in record["orders"]["rows"])
assert all(numbers["worst"] > 1 for numbers in record["layer"]["summary"].values()) and memory_lost > len(rows) / 3
assert all(row["exponent"] < 1.1 for row in record["growth"]["rows"] if row["what"] == "pixels")
assert ([plan(16, 4, (16, 16), 16, 32, 1, (r, r)) for r in (3, 5, 7, 11, 15, 23, 31)]
        == 3 * ["tiles"] + 4 * ["attention"])
for row, times in zip(record["step"]["rows"], (2.6, 1.1, 0, 0)):
    ours, seconds, held = row["seconds"]["ours"], row["seconds"], row["held"]
    assert all((time < ours) == ("twin" in name) for name, time in seconds.items() if "ours" not in name)
    if times:
        assert round(ours / seconds["convolutional twin"], 1) == times
        assert round(seconds["ours, recompute"] / ours, 2) == {2.6: 1.05, 1.1: 1.37}[times]
        assert 1 / 8.05 < held["ours, recompute"] / held["ours"] < 1 / 6.5
        assert 0.2 < held["ours, recompute"] / held["convolutional twin"] < 0.3

# %% [markdown]
# ## Exercises
#
# **1 ★ Compute.** A window of $r=15$ on a large map, where the tiles fit. How many pixels has the context of one tile, and how many copies of each value are made?

# %%
pixels_and_copies = None  # a pair (pixels, copies)
exercise_1 = check_answer("05b.E1", pixels_and_copies)
exercise_1

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The halo is $\lfloor 15/2\rfloor$ pixels wide, and the tile is one pixel wider.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Copies are pixels of the context for each pixel of the tile.
#
# </details>
#
# <details><summary>Solution</summary>
#
# Halo 7, tile 8, context 8 + 2 · 7 = 22. So 484 pixels, and 484 / 64 = 7.56 copies.
#
# ```python
# pixels_and_copies = (22**2, 22**2 / 8**2)
# check_answer("05b.E1", pixels_and_copies)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Find.** A map of 32 × 32 with $d=64$, $h=4$, $k=16$ and $u=4$. With $r=3$, `plan` names the tiles. Which is the smallest odd $r$ at which it names another order? Guess first, then let `plan` answer.

# %%
smallest_r = None  # an odd number
exercise_2 = check_answer("05b.E2", smallest_r)
exercise_2


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# With $u=4$ the tiles make four scores for each pair of pixels. With $u=1$ the change is at $r=9$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `plan(1, 4, (32, 32), 16, 16, 4, (r, r))` for r = 3, 5, 7, ...
#
# </details>
#
# <details><summary>Solution</summary>
#
# At $r=5$. More values per position make more scores and more copies, but no more lambdas.
#
# ```python
# smallest_r = next(r for r in range(3, 33, 2) if plan(1, 4, (32, 32), 16, 16, 4, (r, r)) != "tiles")
# assert [plan(1, 4, (32, 32), 16, 16, 1, (r, r)) for r in (7, 9)] == ["tiles", "convolution"]
# check_answer("05b.E2", smallest_r)
# ```
#
# </details>

# %% [markdown]
# **3 ★★★ Implement.** A fifth order, for $u=1$: scores for the *window* only, as if a tile were one pixel. For each query and head, mix the $k$ stencils into one kernel of $r^2$ weights. Gather the $r^2$ neighbours of each pixel with `F.unfold`. Weigh them. The first check compares outputs. The second one counts multiply-adds: with `@` or `torch.einsum` it should be $b\,h\,n\,r^2\,(k+v)$.

# %%
def window_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor | None:
    """(b, h, n, k), (k, 1, r, r), (b, m, v, 1) -> (b, h, n, v): kernels first, then the neighbours."""
    return None  # replace this line


trial = random_inputs(2, 3, 5, 7, 11, 13, 1, 3, torch.float64)
mine = window_order(*trial, (5, 7))
adds = None if mine is None else counted(window_order, *trial, (5, 7))
right_output = convolution_order(*trial, (5, 7))
exercise_3 = Verdicts(check_close(mine, right_output, "does each pixel meet the taps in the order of the table?"),
                      check_answer("05b.E3", adds))
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The kernels are `queries @ table.view(k, r * r)`, of shape (b, h, n, r²).
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `F.unfold` wants images (b, v, H, W). Its output (b, v·r², n) becomes (b, v, r², n) by `view`.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def window_order(queries, table, values, size):
#     (b, m, v, _), (k, _, r_y, r_x) = values.shape, table.shape
#     kernels = queries @ table.view(k, r_y * r_x)  # (b, h, n, r²): the scores of the window
#     images = values[..., 0].transpose(1, 2).unflatten(2, size)  # (b, v, H, W)
#     neighbours = F.unfold(images, (r_y, r_x), padding=(r_y // 2, r_x // 2)).view(b, v, r_y * r_x, m)
#     return torch.einsum("bhnt,bvtn->bhnv", kernels, neighbours)
#
#
# mine = window_order(*trial, (5, 7))
# adds = None if mine is None else counted(window_order, *trial, (5, 7))
# print(check_close(mine, right_output, "does each pixel meet the taps in the order of the table?"), check_answer("05b.E3", adds), sep="\n")
# ```
#
# It has the fewest multiply-adds of all, and it is not in the library. Gathering copies every value $r^2$ times, and the next cell says what that costs. Put it on the stopwatch of step 5, and judge for yourself.
#
# </details>

# %%
shape = 1, 4, (32, 32), 16, 16, 1, (7, 7)
window_adds = 4 * 1024 * 49 * (16 + 16)
window_numbers = 4 * 1024 * 49 + 1024 * 49 * 16  # its scores, and its copies of the values
print(f"{'32 × 32, d = 64':<18}{'multiply-adds':>14}{'price':>10}")
print(f"{'the window only':<18}{short(window_adds):>14}{short(window_adds + 64 * window_numbers):>10}")
for name in ("convolution", "tiles"):
    print(f"{name:<18}{short(position_costs(*shape)[name]):>14}{short(prices(*shape)[name]):>10}")
assert window_adds < min(position_costs(*shape).values())
assert window_adds + 64 * window_numbers > prices(*shape)["tiles"]

# %%
progress({
    "1 context and copies": "exercise_1",
    "2 where plan changes": "exercise_2",
    "3 the window only": "exercise_3",
}, globals())

# %% [markdown]
# ## What we now know
#
# * Cut into tiles, scores first becomes linear in the pixels, because all tiles share their embeddings.
# * A price of multiply-adds and numbers made names an order. `plan` looks at shapes only, so runs repeat.
# * Only a stopwatch is a stopwatch. On the recorded machine, `plan` named the fastest order at 18 of 18 shapes.
# * The library's layer was faster than public ones at every recorded shape. In 10 of 18 cases a public layer needed fewer saved bytes.
# * A training step is slower than with 3×3 convolutions: 2.6 times with $u=4$, 1.1 times with $u=1$.
#
# **Ledger.** *Faster.* For: more than twice as fast as the fastest public layer, on average. Against: never as fast as a convolution in our record. *Without attention.* Against: the fastest order often makes scores.
#
# **The code of this lesson** lives in `lambdalib/contractions.py` (`attention_order`, `tile_order`, `plan`, `position_output`), in `lambdalib/layouts.py` (`sheets`, `cut_queries`, `cut_contexts`, `join_tiles`), and in `lambdalib/experiments/bench.py`, which measures.
#
# **Next.** Back to the main path: [Lesson 06: LambdaResNet](06_lambda_resnet.ipynb).
