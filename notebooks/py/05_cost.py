# %% [markdown]
# # 05 · What it costs
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/05_cost.ipynb)

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
# > **After this lesson you can** count what attention and a lambda layer cost, in multiply-adds and in bytes. You can say who shares a lambda, and on which maps that pays. You can read the paper's table of memory, and say what has changed since.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 60 minutes to read and run, 25 for the exercises. The code takes less than a minute on two CPU cores.
# >
# > **Short path** Steps 1 to 4.

# %% [markdown]
# ## Cheaper in what, and when?
#
# A lambda layer stores no attention weights. Is it cheaper, then? The answer depends on what you count. We count twice: first **multiply-adds**, then **bytes**. A multiply-add is one product that is added to a sum. (Other texts count FLOPs, usually two for each multiply-add.)
#
# Look at the picture of the course again. This time, ask how often each part is made.

# %%
import json
from math import prod

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, einsum, nn
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import LambdaLayer, attention, cost
from lambdalib.contractions import ORDERS, tiling
from lambdalib.course import figures, widgets
from lambdalib.course.examples import strip
from lambdalib.course.figures.style import short
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.experiments.paper_tables import attention_memory, embedding_memory, memory_table
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.layouts import convolve, permute_contiguous
from lambdalib.training.checkpoint import ASSETS

figures.show(
    figures.one_picture(),
    "The palette is made once for the whole image. Readings, and attention's weights, are made at each pixel.",
    alt="The picture of the course, all parts lit: palette, stencils, query, and attention's weights.",
)


# %% [markdown]
# Nothing nonlinear stands between a query $q_n$, an embedding $e_{nm}$ and a value $v_m$. So the position output is one product of three things. We may choose which two meet first:
#
# $$\Big(\sum_m e_{nm}\,v_m^\top\Big)^{\!\top} q_n \;=\; \sum_m \big(e_{nm}^\top q_n\big)\,v_m$$
#
# On the left, embeddings meet values. This is **lambdas first**. On the right, embeddings meet the query. This is **scores first**: each $e_{nm}^\top q_n$ is one number for a pair of pixels, as in attention, but without a softmax. Both sides give the same output. Their prices differ. (The third pair, queries and values, would make $k\cdot v$ numbers for each pair of pixels. Nobody wants that.)

# %% [markdown]
# ## 1 · Count on the strip
#
# The strip has four pixels, $k=2$, $v=3$ and one head. Let a machine count: `Counter` multiplies two numbers and remembers how often it did. First, scores before values:

# %%
class Counter:
    """Multiplies two numbers, and counts how often."""

    count = 0

    def __call__(self, one, other):
        self.count += 1
        return one * other


queries, keys, values, table = strip()
q, v = queries[0, 0], values[0, :, :, 0]  # (n=4, k=2) and (m=4, v=3)
e = relative_embeddings(table, 1, 4)[..., 0]  # (n=4, m=4, k=2)

times = Counter()
scores = [[sum(times(q[n, i], e[n, m, i]) for i in range(2)) for m in range(4)] for n in range(4)]
by_scores = [[sum(times(scores[n][m], v[m, j]) for m in range(4)) for j in range(3)] for n in range(4)]
print("scores first:", times.count, "multiply-adds")

# %% [markdown]
# **Predict.** Now make the four position lambdas first, and then apply each to its query. How many multiply-adds does that take? (Every pair of pixels counts. Where the stencil does not reach, $e_{nm}$ is zero, and zeros are multiplied too.)

# %%
guess = None  # one number
check_answer("05.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
times = Counter()
lambdas = [[[sum(times(e[n, m, i], v[m, j]) for m in range(4)) for j in range(3)] for i in range(2)]
           for n in range(4)]
by_lambdas = [[sum(times(q[n, i], lambdas[n][i][j]) for i in range(2)) for j in range(3)] for n in range(4)]
lambdas_first = times.count
if revealed(guess):
    print("position lambdas first:", lambdas_first, "multiply-adds")

# %% [markdown]
# Lambdas first takes 96 + 24 = 120: it makes four lambdas, then applies them. Scores first took 32 + 48 = 80. So the lambdas *lose* here. Now the palette of the content half. It is made once for all four queries:

# %%
times = Counter()
soft_keys = keys[0, :, :, 0].softmax(0)  # (m=4, k=2)
palette = [[sum(times(soft_keys[m, i], v[m, j]) for m in range(4)) for j in range(3)] for i in range(2)]
mixed = [[sum(times(q[n, i], palette[i][j]) for i in range(2)) for j in range(3)] for n in range(4)]
print("palette first:", times.count, "multiply-adds")

# %% [markdown]
# The palette takes 24 + 24 = 48. (The softmax of the keys is not counted.) Content scores would take 80, since $q_n\cdot k_m$ has the same sizes as $q_n\cdot e_{nm}$. So the palette *wins*.
#
# Both times we moved the bracket in the same way. What differs is **who shares the result**. All four queries share the palette. A position lambda serves one pixel only.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert by_lambdas == by_scores and lambdas_first == 4 * 4 * 2 * 3 + 4 * 2 * 3 == 120
assert 4 * 4 * 2 + 4 * 4 * 3 == 80 and times.count == 4 * 2 * 3 + 4 * 2 * 3 == 48
assert torch.allclose(torch.tensor(mixed), apply_lambdas(queries, content_lambda(keys, values))[0, 0])


# %% [markdown]
# ## 2 · The formulas
#
# **Claim.** Four *orders of contraction* give the position output, and each has its own number of multiply-adds. In this table the letters are counts: $n$ queries and $m$ context pixels in each of $b$ images, with $h$ heads. A stencil covers a window of $r\times r$ pixels, lesson 03's scope.
#
# | half | order | first product | second product |
# |---|---|---|---|
# | content | palette | $b\,m\,k\,u\,v$ | $b\,h\,n\,k\,v$ |
# | position | lambda: dense embeddings first meet the values | $b\,n\,m\,k\,u\,v$ | $b\,h\,n\,k\,v$ |
# | position | convolution: $k$ stencils filter the values | $b\,n\,r^2\,k\,u\,v$ | $b\,h\,n\,k\,v$ |
# | position | attention: scores first, for all pairs of pixels | $b\,h\,n\,m\,k\,u$ | $b\,h\,n\,m\,u\,v$ |
# | position | tiles: scores for nearby pixels only | $b\,h\,n\,c^2\,k\,u$ | $b\,h\,n\,c^2\,u\,v$ |
#
# The last order is a trick for windows. It cuts the map into tiles, and each query meets only the $c\times c$ pixels near its tile. [Lesson 05b](05b_fast_orders.ipynb) builds it. Here we need only $c$, and the library's `tiling` computes it. The other three are short:

# %%
def lambda_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by the definition: the dense embeddings times the values, then the queries."""
    return apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))


def convolution_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by a convolution: k stencils filter every value channel alone, then the queries mix them."""
    images = permute_contiguous(values, "b (y x) v u -> (b v) y x u", y=size[0])
    lambdas = convolve(images, permute_contiguous(table, "k u y x -> k y x u"))
    lambdas = permute_contiguous(lambdas, "(b v) y x k -> b (y x) v k", v=values.shape[2])
    return apply_lambdas(queries, rearrange(lambdas, "b n v k -> b n k v"))


def scores_first(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores for every pair of pixels, without a softmax, then the values."""
    scores = einsum("bhnk,nmku->bhnmu", queries, relative_embeddings(table, *size))
    return einsum("bhnmu,bmvu->bhnv", scores, values)


# %% [markdown]
# The first one is lesson 03's definition. The second one is lesson 03's convolution, so it never meets a pixel outside the window. (`convolve` is `F.conv2d` with zeros around the image. `permute_contiguous` is einops' `rearrange` with a copy, so that numbers that belong together lie side by side.)
#
# Do the formulas tell the truth? We ask PyTorch to count while the code runs. The axes have prime lengths, so that no mix-up can hide.

# %%
def position_costs(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int,
                   sides: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of each order, forward."""
    _, tile, context, tiles = tiling(size, sides)
    n = m = size[0] * size[1]
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
        "tiles": b * h * prod(tiles) * prod(tile) * prod(context) * u * (k + v),
    }


def random_inputs(b, h, height, width, k, v, u, r, dtype=torch.float32):
    """Random queries, table and values for a map of height × width."""
    shapes = (b, h, height * width, k), (k, u, r, r), (b, height * width, v, u)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


torch.manual_seed(0)
primes = random_inputs(2, 3, 5, 7, 11, 13, 2, 3, torch.float64)
formula = position_costs(2, 3, (5, 7), 11, 13, 2, (3, 3))
orders = ORDERS | {"convolution": convolution_order, "lambda": lambda_order, "attention": scores_first}
outputs, counts = {}, {}
print("order          by formula   while running")
for name, order in orders.items():
    with FlopCounterMode(display=False) as counter:
        outputs[name] = order(*primes, (5, 7))
    counts[name] = counter.get_total_flops() // 2
    print(f"{name:<13}{formula[name]:>12,}{counts[name]:>16,}")
assert counts == formula and all(torch.allclose(output, outputs["lambda"]) for output in outputs.values())

# %% [markdown]
# **What you should see.** Four orders, one output, and four counts that agree with the formulas.

# %% [markdown]
# ## 3 · Who shares?
#
# **Claim.** A lambda pays where many queries share it. Take one image with a map of 32 × 32, $d=64$ channels, $k=16$ and $h=4$ heads. Then $v=d/h=16$ and $u=1$. Every pixel meets every other:

# %%
by_attention = cost.attention_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
by_palette = cost.content_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
whole_map = position_costs(1, 4, (32, 32), 16, 16, 1, (63, 63))
print("multiply-adds     scores   lambdas   lambdas / scores")
for half, scores, lambdas in (("content half", by_attention, by_palette),
                              ("position half", whole_map["attention"], whole_map["lambda"])):
    print(f"{half:<14}{short(scores):>10}{short(lambdas):>10}{lambdas / scores:19.3f}")

# %% [markdown]
# The palette has 4096 users, $h\cdot n$ queries. It takes 102 times fewer multiply-adds than scores. A position lambda has only $h=4$ users, the heads of its pixel. It takes twice as many.
#
# So is a lambda layer *linear* in the number of pixels? The content half is. The position half is linear only with a window. Without one, each pair of pixels costs
#
# $$\underbrace{k\,v}_{\text{lambdas first}}\qquad\text{against}\qquad\underbrace{h\,(k+v)}_{\text{scores first}}.$$
#
# With the paper's $k=16$ and $h=4$, more channels make it worse:

# %%
ratios = {d: 16 * (d // 4) / (4 * (16 + d // 4)) for d in (64, 128, 256, 512)}
print("channels d    k · v   h · (k + v)   ratio")
for d, ratio in ratios.items():
    print(f"{d:10}{16 * (d // 4):9}{4 * (16 + d // 4):14}{ratio:8.2f}")

# %% [markdown]
# The *window* turns the balance. A convolution meets $r^2$ pixels for each query, and tiles meet $c^2$. The other two orders meet all $m$. Which order has the fewest multiply-adds, for which map? Here $k=16$, $h=4$ and $u=1$.

# %%
map_sides, widths, names = [4, 7, 8, 14, 16, 28, 32, 56], [64, 128, 256, 512], list(ORDERS)


def fewest(side: int, d: int, r: int) -> int:
    """The place in names of the order with the fewest multiply-adds."""
    adds = position_costs(1, 4, (side, side), 16, d // 4, 1, (r, r))
    return names.index(min(adds, key=adds.get))


charts = {f"window r = {r}": [[fewest(side, d, r) for side in map_sides] for d in widths] for r in (7, 23)}
nets = {"ResNet-50, images of 224 × 224": list(zip((56, 28, 14, 7), widths)),
        "ResNet for images of 32 × 32": list(zip((32, 16, 8, 4), widths))}
figures.show(
    figures.phases(charts, map_sides, widths, ["convolution", "lambda (nowhere)", "attention", "tiles"], nets),
    "The order with the fewest multiply-adds. Grey orders make lambdas, orange ones make scores. The marks are "
    "the maps of two nets, where a lambda layer could stand.",
    alt="Two charts over the side of the map and the channels: attention for small maps, tiles for large ones.",
)
cheapest = [names[place] for chart in charts.values() for row in chart for place in row]
with_scores = cheapest.count("attention") + cheapest.count("tiles")
print(f"in {with_scores} of {len(cheapest)} shapes, the cheapest order makes scores")

# %% [markdown]
# **What you should see.** In 62 of 64 shapes, scores come first. The paper's title speaks of *modeling long-range interactions without attention*. The content half keeps that promise. For the position half, the cheapest way often makes a matrix of scores, only without a softmax. (Multiply-adds are not seconds. Lesson 05b adds a second price, and then the convolution wins more often.)
#
# All this is one half of the layer. Here is all of it, with its projections, beside the 3×3 convolution that it replaces:

# %%
whole = {}
print("multiply-adds       3×3 convolution   lambda r = 7   lambda r = 23")
for side, d in nets["ResNet for images of 32 × 32"]:
    layers = nn.Conv2d(d, d, 3, padding=1, bias=False), LambdaLayer(d, scope=7), LambdaLayer(d, scope=23)
    whole[side] = [cost.multiply_adds(layer, (1, d, side, side)) for layer in layers]
    print(f"{side:2} × {side:2}, d = {d:3}" + "{:>17}{:>15}{:>16}".format(*map(short, whole[side])))

# %% [markdown]
# With a window of 7, the layer needs fewer multiply-adds than the convolution in every stage. With the paper's window of 23 it needs 3.9 times as many on the largest map. The convolution pays $9d^2$ per pixel. In the layer only the projection to the values grows with $d^2$, and it costs $d^2/4$. (The layer chooses its order by itself. On the two small maps it takes the attention order, which does not see the window.)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert round(by_attention / by_palette) == 102 and round(whole_map["lambda"] / whole_map["attention"], 1) == 2.0
assert [round(ratio, 2) for ratio in ratios.values()] == [2.0, 2.67, 3.2, 3.56]
assert with_scores == 62 and "lambda" not in cheapest and len(cheapest) == 64
assert all(seven < conv and (large > conv) == (side == 32) for side, (conv, seven, large) in whole.items())
assert round(whole[32][2] / whole[32][0], 1) == 3.9


# %% [markdown]
# ## 4 · Bytes
#
# Training keeps what the forward pass made until the backward pass has used it. So we count the numbers that are made on the way. In float32 each takes 4 bytes.
#
# | made on the way | how many numbers | who makes it |
# |---|---|---|
# | scores | $b\cdot h\cdot n\cdot m\cdot u$ | attention, and the attention order |
# | position lambdas | $b\cdot n\cdot k\cdot v$ | the convolution and the lambda order |
# | dense embeddings $E$ | $n\cdot m\cdot k\cdot u$, one for the whole batch | the lambda and the attention order |
# | palette | $b\cdot k\cdot v$ | the content half |
#
# The next function counts this for the four orders. It leaves $E$ out, since all images share it. Tiles make a few scores, and some copies of the values.

# %%
def position_numbers(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int,
                     sides: tuple[int, int]) -> dict[str, int]:
    """Numbers that each order makes on its way, forward: lambdas, or scores and copies."""
    _, tile, context, tiles = tiling(size, sides)
    n = m = size[0] * size[1]
    lambdas, scores_of_tiles = b * n * k * v, b * h * prod(tiles) * prod(tile) * prod(context) * u
    return {
        "convolution": lambdas,
        "lambda": lambdas,
        "attention": b * h * n * m * u,
        # each tile has a copy of the values that it sees
        "tiles": scores_of_tiles + b * prod(tiles) * prod(context) * u * v,
    }


# %% [markdown]
# **Predict.** A map of 8 × 8 with $d=256$ channels, $k=16$, $h=4$ and $u=1$. Divide the numbers in the position lambdas by the number of scores. What do you get?

# %%
guess = None  # lambdas / scores
check_answer("05.5", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
made = {}
for side, d in ((32, 64), (8, 256), (4, 512)):
    numbers = position_numbers(1, 4, (side, side), 16, d // 4, 1, (7, 7))
    made[side] = {"position lambdas": numbers["lambda"], "scores": numbers["attention"],
                  "dense E": side**4 * 16, "palette": 16 * (d // 4)}
if revealed(guess):
    for side, each in made.items():
        print(f"{side} × {side}: lambdas / scores = {each['position lambdas'] / each['scores']:g}")
    figures.show(
        figures.squares({"one image of 32 × 32, d = 64": made[32], "8 × 8, d = 256, on another scale": made[8]}),
        "How many numbers are made for one image, as areas. On the large map the lambdas are small, on the small "
        "map they are large. The palette of the upper row is too small to be seen.",
        alt="Squares for position lambdas, scores, dense E and palette, for two maps.",
    )

# %% [markdown]
# Scores grow with the pixels, lambdas grow with the channels. On a map of 32 × 32 with few channels, lambdas are 16 times smaller. This is the saving. On 8 × 8 they are 4 times *larger*, and on 4 × 4 with $d=512$ they are 32 times larger.
#
# A formula says what is made. What is *saved* depends on the code. `cost.saved_activation_bytes` runs a module and adds up the tensors that PyTorch saves for the backward pass, inputs included. Here are 8 images and a window of 7:

# %%
saved = {}
for side, d in ((32, 64), (8, 256)):
    inputs = random_inputs(8, 4, side, side, 16, d // 4, 1, 7)
    for name, order in ORDERS.items():
        saved[side, name] = cost.saved_activation_bytes(order, *inputs, (side, side))
print("MiB saved     " + "".join(f"{name:>13}" for name in ORDERS))
for side in (32, 8):
    print(f"map {side:2} × {side:2}   " + "".join(f"{saved[side, name] / 2**20:13.1f}" for name in ORDERS))

# %% [markdown]
# The convolution order saves least on the large map, and the attention order saves least on the small one, as the formulas say. Of the lambda order's 74.5 MiB, 64 are the dense $E$.
#
# You can also save *nothing* that was made. With `recompute=True` a layer keeps only its input, and the backward pass computes the rest again. This is **activation checkpointing** ([Chen et al. 2016](https://arxiv.org/abs/1604.06174)), `activation_checkpointed` in the library. It costs one more forward pass.

# %%
features = torch.randn(8, 128, 16, 16)
layers = [LambdaLayer(128, scope=7, recompute=recompute) for recompute in (False, True)]
layers[1].load_state_dict(layers[0].state_dict())
assert torch.equal(*(layer(features) for layer in layers))
kept, recomputed = (cost.saved_activation_bytes(layer, features) for layer in layers)
print(f"saved: {kept / 2**20:.1f} MiB; with recompute=True {recomputed / 2**20:.1f} MiB, its input")

# %% [markdown]
# One thing must not happen twice. The batch norms have already counted this batch in their running statistics. So `preserve_running_stats` lets the second pass write into copies.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert [made[side]["position lambdas"] / made[side]["scores"] for side in (32, 8, 4)] == [1 / 16, 4, 32]
assert saved[32, "convolution"] < saved[32, "tiles"] < saved[32, "lambda"] < saved[32, "attention"]
assert saved[8, "attention"] < min(saved[8, name] for name in ORDERS if name != "attention")
assert recomputed == features.nbytes < kept / 5


# %% [markdown]
# ## 5 · Turn the dials
#
# The same formulas, for sizes of your choice. Each bar is a multiple of the smallest one in its panel.

# %%
def dials(side: int = 32, d: int = 64, h: int = 4, k: int = 16, u: int = 1, r: int = 7):
    n, v, shape = side * side, d // h, (1, h, (side, side), k, d // h, u, (r, r))
    content = {"palette": cost.content_multiply_adds(1, h, n, n, k, v, u),
               "scores": cost.attention_multiply_adds(1, h, n, n * u, k, v)}
    panels = {"content half: multiply-adds": content, "position half: multiply-adds": position_costs(*shape),
              "position half: numbers made": position_numbers(*shape)}
    return figures.cost_bars(panels, f"one image of {side} × {side}, {d=}, {h=}, {k=}, {u=}, {v=}, {r=}")


figures.show(
    dials(),
    "Each count as a multiple of the smallest in its panel, which is orange. The axes never change.",
    alt="Bars: palette and scores of the content half, and the four orders of the position half.",
)

# %% tags=["nbval-ignore-output"]
widgets.explore(dials, "Bars: multiply-adds and numbers, as ratios to the cheapest",
                side=widgets.slider("side of the map", 4, 64, 32),
                d=widgets.choice("channels d", [64, 128, 256, 512]),
                h=widgets.choice("heads h", [1, 2, 4, 8, 16], 4), k=widgets.choice("k", [8, 16, 32], 16),
                u=widgets.choice("intra-depth u", [1, 4]), r=widgets.choice("window r", [3, 7, 15, 23], 7))

# %% [markdown]
# **Try it.** Make the map smaller: at which side are there fewer scores than numbers in the lambdas? What does $h$ do to this side, and what does $k$ do? Then go back to 32 × 32 and widen the window.
#
# **What moving teaches.** The palette wins on all but the smallest maps. In the position half no order wins everywhere. More heads make more scores and smaller lambdas, so lambdas gain. A wide window makes tiles expensive. A batch would multiply all bars alike, so it has no dial.

# %% [markdown]
# ## 6 · The paper's tables
#
# Table 4 of the paper (Bello, [*LambdaNetworks*](https://arxiv.org/abs/2102.08602), ICLR 2021) prints the memory of a ResNet-50 whose 3×3 convolutions were replaced, for a batch of 128. What did it count? We try one kind of tensor for each row: the scores of attention with 8 heads, and the dense embeddings $E$ of lambda layers. In *axial* attention a pixel meets only its own row and column.

# %%
print("layer                               our count, GiB   printed, GB")
for name, ours, printed in memory_table():
    print(f"{name:<35}{ours:15.2f}{printed:14}")
    assert abs(ours - printed) < 0.03 * printed

# %% [markdown]
# The counts agree within 3 %. So this is very likely what the table counts, at the map sizes behind each stride. It is our reconstruction. Three things follow.
#
# **The lambdas are not in it.** The lambda order also keeps $b\,n\,k\,v$ numbers in each layer. For 128 images that is more than $E$ itself:

# %%
stages = zip((56, 28, 14, 7), (64, 128, 256, 512), (3, 4, 6, 3))  # side, channels and layers, ResNet-50
lambda_bytes = sum(4 * layers * 128 * side**2 * 16 * (d // 4) for side, d, layers in stages)
for words, size in (("embeddings", embedding_memory()), ("position lambdas", lambda_bytes),
                    ("both", lambda_bytes + embedding_memory()), ("attention scores", attention_memory())):
    print(f"{words:<18}{size / 2**30:7.2f} GiB")

# %% [markdown]
# Even so, both together are a small part of attention's scores. And the convolution order needs no $E$ at all.
#
# **The batch is in some rows only.** Scores grow with the batch, $E$ does not.
#
# **Predict.** For a batch of *one* image, how many times as large as $E$ are the scores of global attention (8 heads, $k=16$)?

# %%
guess = None  # scores / embeddings, for one image
check_answer("05.6", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for batch in (1, 2, 128):
        print(f"batch {batch:3}: scores / embeddings = {attention_memory(batch) / embedding_memory():g}")

# %% [markdown]
# The ratio is $b\,h/k$. For 128 images it is 64. For one image it is ½: the embeddings are *larger* than the scores. So the factor of 64 speaks about training with large batches.
#
# **It is one order, not the layer.** The paper gives the lambda layer a time in proportion to $b\,n\,m\,k\,v$, and a space in proportion to $k\,n\,m + b\,n\,k\,v$. You now know whose costs these are: the lambda order's. The term $k\,n\,m$ is $E$, and $b\,n\,k\,v$ are the lambdas. Another order has other costs, and the same output.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert round(lambda_bytes / 2**30, 2) == 2.63 and lambda_bytes > embedding_memory()
assert lambda_bytes + embedding_memory() < attention_memory() / 20
assert attention_memory(1) / embedding_memory() == 0.5 and attention_memory(128) / embedding_memory() == 64

# %% [markdown]
# ## 7 · What has changed since
#
# The paper is from early 2021. Late that year, [Rabe and Staats](https://arxiv.org/abs/2112.05682) showed that exact attention need not store its weights. In 2022, [FlashAttention](https://arxiv.org/abs/2205.14135) made this fast on GPUs. It makes the scores in pieces, uses each piece at once, and throws it away. The backward pass makes them again. PyTorch has it as `F.scaled_dot_product_attention`. What does it save, for one image of 32 × 32 with 4 heads?

# %% tags=["nbval-ignore-output"]
ask, key, value = (torch.randn(1, 4, 1024, 16, requires_grad=True) for _ in range(3))
offsets = torch.randn(1024, 1024, 16, requires_grad=True)


def fused(queries, keys, values, embeddings=None):
    """Attention of lesson 01 by PyTorch's fused kernel; position scores are handed over as an added mask."""
    mask = None if embeddings is None else einsum("bhnk,nmk->bhnm", queries, embeddings)
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=1.0)


three, four = (ask, key, value), (ask, key, value, offsets)
position_inputs = *random_inputs(1, 4, 32, 32, 16, 16, 1, 7), (32, 32)
runs = {"attention, plain": (attention.softmax_attention, three), "attention, fused": (fused, three),
        "with positions, plain": (attention.relative_attention, four), "with positions, fused": (fused, four),
        "position half, r = 7, convolution": (convolution_order, position_inputs)}
stored = {words: cost.saved_activation_bytes(function, *inputs) for words, (function, inputs) in runs.items()}
for words, size in stored.items():
    print(f"{words:<35}{size / 2**20:7.1f} MiB saved")
assert torch.allclose(fused(*three), attention.softmax_attention(*three), atol=1e-5)
assert torch.allclose(fused(*four), attention.relative_attention(*four), atol=1e-4)
assert stored["attention, fused"] < stored["attention, plain"] / 10
assert stored["with positions, fused"] > 0.9 * stored["with positions, plain"]

# %% [markdown]
# **Fused attention keeps no scores.** So the memory argument against attention is gone, wherever such a kernel runs. The *time* is still $n\cdot m$. Relative positions are harder: handed over as a mask, they are $n\times m$ numbers per head again. (Of the 81 MiB, 64 are the dense embeddings.) With a window, position lambdas by convolution keep 1.3 MiB. ([FlexAttention](https://pytorch.org/blog/flexattention/) can add such a term inside the kernel. We have not measured it.)
#
# So what else could you use today? `lambdalib bench` has timed a lambda layer with a window of 7 and three other modules, on two CPU cores ($d=128$, 16 images). The fused attention in this record has no positions:

# %%
record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))["alternatives"]
figures.show(
    figures.alternatives(record["rows"]),
    "Milliseconds for forward and backward, with projections. Solid lines are lambda layers.",
    alt="Time over the side of the map, for a lambda layer with a window, one over the whole map, fused "
        "attention and a 3×3 convolution.",
)

# %% [markdown]
# **What you should see.** A lambda layer with a window of 7 is faster than fused attention on all maps from 16 × 16 on. On 64 × 64 it is more than 20 times faster. Fused attention falls behind as the map grows, because it pays for every pair of pixels. A lambda layer over the whole map pays for them too, and is slower still on 32 × 32. (It was not timed on 64 × 64.) The 3×3 convolution is the fastest on every map.
#
# **Caution.** This is a CPU, and GPUs have other kernels. Besides, these modules compute different things. Which is *worth* its time is a question of accuracy, and lesson 09 asks it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
for row in record["rows"]:
    seconds, attention_seconds = row["seconds"], row["seconds"]["attention without positions"]
    assert seconds["3×3 convolution"] == min(seconds.values())
    assert (attention_seconds < seconds["lambda layer, r = 7"]) == (row["dtype"] == "float32" and row["side"] == 8)
    assert row["side"] != 32 or seconds["lambda layer, whole map"] > attention_seconds
    assert row["side"] != 64 or attention_seconds > 20 * seconds["lambda layer, r = 7"]

# %% [markdown]
# ## Exercises
#
# **1 ★ Count.** One image of 16 × 16, $d=128$ channels, $h=4$, $k=8$, $u=1$. How many multiply-adds does the content half take, to make the palette and to apply it to all queries?

# %%
content_half = None  # one number
exercise_1 = check_answer("05.E1", content_half)
exercise_1

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The first row of the table in step 2 has two terms. What is $v$ here?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $v=128/4=32$ and $n=m=256$. The palette is made once, and $h\cdot n$ queries apply it.
#
# </details>
#
# <details><summary>Solution</summary>
#
# Made once: 256 · 8 · 32 = 65,536. Applied by 1024 queries: 262,144. Applying is the larger part.
#
# ```python
# content_half = 65_536 + 262_144
# check_answer("05.E1", content_half)
# ```
#
# </details>

# %% [markdown]
# **2 ★ Count bytes.** One attention layer has 8 heads. It sees 128 images of 64 × 64 pixels, in float32. How many GiB do its scores take? (One GiB is 2³⁰ bytes. The paper mentions this number, too.)

# %%
gib = None  # one number
exercise_2 = check_answer("05.E2", gib)
exercise_2

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# There are $b\cdot h\cdot n\cdot m$ scores. What are $n$ and $m$?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $n=m=4096$, and each score takes 4 bytes.
#
# </details>
#
# <details><summary>Solution</summary>
#
# 4 · 128 · 8 · 4096² bytes are exactly 64 GiB.
#
# ```python
# gib = 4 * 128 * 8 * 4096**2 / 2**30
# check_answer("05.E2", gib)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Choose.** Take $k=8$, $u=1$, and leave the tiles aside. Which of the other three orders has the fewest multiply-adds?
#
# * (a) 24 × 24, $d=32$, $h=2$, $r=5$
# * (b) 6 × 6, $d=64$, $h=2$, $r=5$
# * (c) 6 × 6, $d=64$, $h=32$, $r=11$
#
# Use the formulas of step 2, divided by $b\cdot n$. Then check yourself with `position_costs`.

# %%
cheapest = None  # three of "convolution", "lambda", "attention", as (a, b, c)
exercise_3 = check_answer("05.E3", cheapest)
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For one query: $r^2kv+hkv$, $mkv+hkv$ and $mh(k+v)$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $v$ is 16, 32 and 2. In (c) the window is larger than the map.
#
# </details>
#
# <details><summary>Solution</summary>
#
# | | convolution | lambda | attention |
# |---|---|---|---|
# | a | **3,456** | 73,984 | 27,648 |
# | b | 6,912 | 9,728 | **2,880** |
# | c | 2,448 | **1,088** | 11,520 |
#
# In (c) 32 heads share each lambda, and the window of 11 × 11 is larger than the map.
#
# ```python
# cheapest = ("convolution", "attention", "lambda")
# check_answer("05.E3", cheapest)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ How many must share?** Take $d=64$, $k=16$, $u=1$ and a large map without a window. What is the smallest number of heads for which the lambda order needs fewer multiply-adds than the attention order? It has to divide 64.

# %%
heads = None  # a number of heads
exercise_4 = check_answer("05.E4", heads)
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Compare $k\,v$ with $h\,(k+v)$, as in step 3.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With $v=64/h$ this is $1024/h$ against $16h+64$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# $1024/h < 16h+64$ means $h^2+4h>64$. At $h=4$ the left side is 32, at $h=8$ it is 96. So 8 heads, twice the paper's number.
#
# ```python
# heads = 8
# check_answer("05.E4", heads)
# ```
#
# </details>

# %% [markdown]
# **5 ★★★ Derive.** For which $m$ are there as many scores as numbers in the position lambdas? Then take $k=9$, $h=4$, $d=400$ and $u=1$. At which *side* of a square map is this tie?

# %%
tie = None  # a side, in pixels
exercise_5 = check_answer("05.E5", tie)
exercise_5

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The table of step 4 has both numbers. What cancels?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# For one query and one image: $h\cdot m = k\cdot v$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# $m=k\,v/h$, or $m=k\,d/h^2$ with $v=d/h$. Here 9 · 400 / 16 = 225 pixels, a map of 15 × 15.
#
# ```python
# tie = 15
# check_answer("05.E5", tie)
# ```
#
# </details>

# %%
progress({
    "1 multiply-adds of the content half": "exercise_1",
    "2 bytes of the scores": "exercise_2",
    "3 the cheapest order": "exercise_3",
    "4 how many must share": "exercise_4",
    "5 where the tie is": "exercise_5",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A lambda pays where it is shared. All queries share the palette; only $h$ heads share a position lambda.
# * The content half is linear in the pixels. The position half is linear only with a window.
# * Scores grow with pixels, lambdas with channels. The tie is at $m=k\,v/h$.
# * The paper's memory column counts the embeddings $E$. Its factor of 64 is $b\,h/k$, for 128 images.
# * Since 2022, fused attention stores no content scores either. Its time still grows with $n\cdot m$.
#
# **Ledger.** *Less memory.* For: lambdas are 16 times smaller than scores at 32 × 32 with $d=64$. Against: they are 32 times larger at 4 × 4 with $d=512$, and fused attention came later. *Faster.* For: with a window, faster than fused attention on maps of 16 × 16 and more. Against: slower than a 3×3 convolution on every map of our record. *Without attention.* For: the content half makes no scores. Against: in 62 of our 64 shapes, the position half has the fewest multiply-adds with scores.
#
# **The code of this lesson** lives in `lambdalib/contractions.py` (`convolution_order`, `lambda_order`, `position_costs`, `position_numbers`), `lambdalib/cost.py` and `lambdalib/guards.py` (`activation_checkpointed`).
#
# **Next.** Cost depends on the size of the map and on the channels. Both change from stage to stage in a net. So where does a lambda layer belong? [Lesson 06: LambdaResNet](06_lambda_resnet.ipynb). Do you want to know why the library's layer is fast? A side path builds it: [Lesson 05b: fast orders](05b_fast_orders.ipynb).
