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
# > **After this lesson you can** count what attention and a lambda layer cost, in multiply-adds and in bytes; compute the same position output in four orders; say for given sizes which order is the cheapest, and why the layer of this course is faster than others with the same numbers; and measure what a formula cannot tell you.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 45 minutes to read, 25 for the exercises; the code runs in less than a minute on two CPU cores.

# %% [markdown]
# ## Cheaper in what, and when?
#
# The lambda layer set out to avoid attention's map of $n\times m$ weights. This lesson draws up the bill: in multiply-adds, in bytes, and in seconds. The three will not agree.
#
# $$y_n \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\lambda^c,\;k\times v} \;+\; \boxed{\sum_m e_{nm}\,v_m^\top}\Big)^{\!\top} q_n$$
#
# The boxed term is where the bill is decided. There are no nonlinear functions between $q_n$, $e_{nm}$ and $v_m$, so the position output is one product of three things, and we may choose which two meet first:
#
# $$\Big(\sum_m e_{nm}\,v_m^\top\Big)^{\!\top} q_n \;=\; \sum_m \big(e_{nm}^\top q_n\big)\,v_m$$
#
# On the left, embeddings and values make **lambdas** first. On the right, queries and embeddings make a **map** first: $A_{nm}=e_{nm}^\top q_n$, one number for each pair of pixels, with no softmax. (A map of 16 × 16 is the feature map; the map that queries make is $A$, or the attention map.) The outputs are equal; the price is not. So the order of one product decides how fast and how hungry a lambda layer is: this lesson and the speed of the library's layer are one and the same idea. (The third pair, $q_n$ and $v_m$, would make k · v numbers for each head and pair of pixels, more than either; nobody wants it.)
#
# One unit for all of the lesson: a **multiply-add** is one multiplication whose result is added to a sum. (FLOPs, which other texts count, are usually twice as many: the multiplication and the addition.)

# %%
import json
import statistics
from math import ceil, prod

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, einsum, nn
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import LambdaLayer, attention, cost
from lambdalib.contractions import CHUNK_ELEMENTS, position_output
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close
from lambdalib.course.examples import strip
from lambdalib.course.questions import check_answer
from lambdalib.experiments.bench import Shape, matrix_rate, stopwatch, summary
from lambdalib.experiments.paper_tables import attention_memory, embedding_memory, memory_table
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.layouts import convolve, padded, permute_contiguous, windows
from lambdalib.training.checkpoint import ASSETS


# %% [markdown]
# ## 1 · Count on the strip
#
# Four pixels, k = 2, v = 3, one head. Let a machine count: `Counter` below multiplies two numbers and remembers how often it was asked to. First the map, then the values:

# %%
class Counter:
    """Multiplies two numbers, and counts how often."""

    def __init__(self):
        self.count = 0

    def __call__(self, one, other):
        self.count += 1
        return one * other


queries, keys, values, table = strip()
q, v = queries[0, 0], values[0, :, :, 0]  # (n=4, k=2) and (m=4, v=3)
e = relative_embeddings(table, 1, 4)[..., 0]  # (n=4, m=4, k=2)

times = Counter()
weights = [[sum(times(q[n, i], e[n, m, i]) for i in range(2)) for m in range(4)] for n in range(4)]
by_map = [[sum(times(weights[n][m], v[m, j]) for m in range(4)) for j in range(3)] for n in range(4)]
print("map first:", times.count, "multiply-adds")
assert times.count == 4 * 4 * 2 + 4 * 4 * 3 == 80

# %% [markdown]
# **Predict.** How many multiply-adds does it take to make the four position lambdas first, and then to apply each to its query? (As above, every pair of pixels counts: where the stencil does not reach, $e_{nm}$ is zero, and zeros are multiplied like any other number.)

# %%
guess = None  # one number
check_answer("05.1", guess)

# %%
times = Counter()
lambdas = [[[sum(times(e[n, m, i], v[m, j]) for m in range(4)) for j in range(3)] for i in range(2)]
           for n in range(4)]
by_lambdas = [[sum(times(q[n, i], lambdas[n][i][j]) for i in range(2)) for j in range(3)] for n in range(4)]
print("position lambdas first:", times.count)
assert by_lambdas == by_map and times.count == 4 * 4 * 2 * 3 + 4 * 2 * 3 == 120

# %% [markdown]
# And the palette of the content half, made once for all four:

# %%
times = Counter()
soft_keys = keys[0, :, :, 0].softmax(0)  # (m=4, k=2)
palette = [[sum(times(soft_keys[m, i], v[m, j]) for m in range(4)) for j in range(3)] for i in range(2)]
mixed = [[sum(times(q[n, i], palette[i][j]) for i in range(2)) for j in range(3)] for n in range(4)]
print("content lambda first:", times.count)
assert times.count == 4 * 2 * 3 + 4 * 2 * 3 == 48
assert torch.allclose(torch.tensor(mixed), apply_lambdas(queries, content_lambda(keys, values))[0, 0])


# %% [markdown]
# The content half gains: 48 instead of the 80 that a map would take ($q_n\cdot k_m$ has the same sizes as $q_n\cdot e_{nm}$). The position half loses: 120 instead of 80. The bracket moved in the same way both times. What differs is who *shares* the lambda: the palette is made once for all four queries, while a position lambda is made for one pixel and used once.
#
# ## 2 · Four orders
#
# Here are both orders for whole batches, each in two forms. All four take queries (b, h, n, k), the table of stencils (k, u, r, r) and values (b, m, v, u), and this is the code of `lambdalib.contractions`, which the layer of lesson 04 runs.
#
# **Lambdas first.** The dense form is lesson 03's definition. The other one uses what lesson 03 found: position lambdas are a convolution of each value channel with the k stencils, and a convolution never meets a pixel beyond the window. (Einops' `rearrange` names axes, as in lesson 04. `permute_contiguous` does the same and then copies, so that numbers that belong together lie side by side in memory: faster, with the same values. `convolve` is `F.conv2d` with zeros around the images, channels last.)

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


# %% [markdown]
# **Scores first.** The numbers $A_{nm}$ of the map are *scores*: attention's, before a softmax. One could write `einsum("bhnk,nmku->bhnmu", …)`. `scores_then_values` spells out the two `bmm`s (batched matrix products) behind it: the first product has its own embeddings for every query position, so $n$ is its batch; the second has its own values for every image, so $b$ is. `sheets` lays the embeddings out for it. Its sheets are cut another way than lesson 03's, which had one for each stencil: here each query has one, of k rows, with a column for everything that the query meets. (`tile` is the whole map for now; `halo` and `middle` are for later.) The loop takes a few images at a time: as many as have `CHUNK_ELEMENTS` = 2²² scores together (or one, if it has more). What fits into the processor's cache, its small and fast memory, need not travel to the large and slow one and back.

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
# ### Tiles: scores first, with a window
#
# The attention order meets every pixel, window or not. On a large map with a small window, nearly all of $A$ is zeros, multiplied and stored like any other number. The remedy is to cut the picture into square **tiles** of t × t pixels and to treat each as a picture of its own. The queries of one tile can only meet the tile itself and a border around it, half a window wide: the **halo**. Tile and halo together are the tile's **context**. (These tiles are pieces of the picture, and no longer lesson 00's tile, the table of k × v, which is only called a lambda from here on.)
#
# **Predict.** With a window of r = 7 the library takes tiles of 4 × 4. How many pixels has the context of one tile?

# %%
guess = None  # one number
check_answer("05.2", guess)


# %%
def tiling(size: tuple[int, int], sides: tuple[int, int]) -> list[list[int]]:
    """How a map is cut, (down, across) each: halo, side of a tile, side of its context, number of tiles."""
    halo = [min(r // 2, side - 1) for r, side in zip(sides, size)]  # no context lies farther away
    tile = [half + 1 for half in halo]
    context = [t + 2 * half for t, half in zip(tile, halo)]
    return [halo, tile, context, [ceil(side / t) for side, t in zip(size, tile)]]


print("halo, tile, context, number of tiles:", tiling((16, 16), (7, 7)))
assert tiling((16, 16), (7, 7)) == [[3, 3], [4, 4], [10, 10], [4, 4]]
# (16, 100), from a stencil of ones: 1 where the window is
in_window = sheets(torch.ones(1, 1, 7, 7), (4, 4), (3, 3))[:, 0]
assert (in_window.sum(1) == 49).all()  # of the 100 pixels each query meets 49 in its window
figures.tiles(16, 7, [(1, 0), (2, 2)], in_window)
plt.show()

# %% [markdown]
# On the left, a map of 16 × 16 in 16 tiles: two tiles in full orange, their contexts in pale orange, and one query (black) with its window. What a context has beyond the border of the map is filled with zeros.
#
# Now the point. An embedding depends on the offset between two pixels and on nothing else (lesson 03). Move a tile by 4 pixels, and its context moves with it: each of its queries meets the pixels of the context at the same offsets as before. So **the same 16 sheets of embeddings serve every tile**. On the right they lie below one another (drawn for k = 1, where a sheet is one row). With these 16 sheets, all tiles of all images go through `scores_then_values` at once, as if each tile were an image.
#
# And the price is linear in n: each query meets c² pixels of its context, c = t + 2 · (r // 2), and c does not know how large the map is. (Only where the map is narrower than r // 2 + 1 is the halo cut: the `min` in the code.)
#
# Why is the tile t = r // 2 + 1 pixels wide, half a window? It is a trade. Every tile needs its own copy of the values that it sees, so small tiles make many copies. In a large tile, most of what a query meets lies beyond its window, where the entries of $A$ are 0. For r = 7:

# %%
for t in (1, 2, 4, 8, 16):
    c = t + 6
    print(f"tiles of {t:2d} × {t:<2d}  each query meets {c * c:3d} pixels, "
          f"{49 / c**2:4.0%} of them in its window;  copies of each value: {(c / t) ** 2:5.2f}")

# half a window: never 9 copies, and never as little as 4/9 of the map in use, however wide the window
for r in range(1, 64, 2):
    t = r // 2 + 1
    c = t + 2 * (r // 2)
    assert (c / t) ** 2 < 9 and (r / c) ** 2 > 4 / 9


# %% [markdown]
# For r = 7 the rule takes tiles of 4, with six copies of each value and half of the map in use. (The first row, tiles of one pixel, is exercise 5.) Here is the whole order. Most of it is cutting and joining: queries into tiles, values into contexts, and the tiles back into a map. (`padded` is `F.pad` where there is something to add or to crop. `windows` makes the copies, one context at every tile; PyTorch's `Tensor.unfold` could do it, with a slower gradient.)

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
# Do the four agree? On axes of prime lengths, with two values per position (u = 2). The tiles of this example do not fit the map: they are 2 × 2, and the map is 5 × 7, so the last ones stick out.

# %%
def random_inputs(b: int, h: int, side: int, k: int, v: int, u: int, r: int,
                  dtype=torch.float32, width: int | None = None):
    """Random queries, table and values for a map of side × width (square if no width is given)."""
    n = side * (width or side)
    shapes = (b, h, n, k), (k, u, r, r), (b, n, v, u)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


torch.manual_seed(0)
primes = random_inputs(2, 3, 5, 11, 13, 2, 3, torch.float64, width=7)
results = {name: order(*primes, (5, 7)) for name, order in ORDERS.items()}
for name, result in results.items():
    gap = (result - results["lambda"]).abs().max()
    print(f"{name:<12} {tuple(result.shape)} = (b, h, n, v); equal within 1e-10: {bool(gap < 1e-10)}")
    assert gap < 1e-10


# %% [markdown]
# ## 3 · Count, then price
#
# Counting the sums in the code, for the forward pass. In the last row, $n'$ counts the queries of all tiles: it is n where the tiles fill the map, a little more where the last ones stick out. $t^2$ and $c^2$ are the pixels of a tile and of its context.
#
# | order | multiply-adds | numbers made on the way |
# |---|---|---|
# | convolution | $b\,n\,r^2\,k\,u\,v \;+\; b\,h\,n\,k\,v$ | $b\,n\,k\,v$ (lambdas) |
# | lambda | $b\,n\,m\,k\,u\,v \;+\; b\,h\,n\,k\,v$ | $b\,n\,k\,v$ (lambdas) |
# | attention | $b\,h\,n\,m\,k\,u \;+\; b\,h\,n\,m\,u\,v$ | $b\,h\,n\,m\,u$ (the map) |
# | tiles | $b\,h\,n'c^2\,k\,u \;+\; b\,h\,n'c^2\,u\,v$ | $b\,h\,n'c^2\,u$ (the map) $\;+\; b\,(n'/t^2)\,c^2\,u\,v$ (copies of the values) |
#
# The first term of the first two makes lambdas, the second applies them; in the other two the first makes the map, the second weighs the values. (The convolution and the tiles also multiply the zeros beyond the border.) The palette of the content half costs $b\,m\,k\,u\,v + b\,h\,n\,k\,v$: it has no $n\cdot m$ at all. The embeddings that the lambda, the attention and the tile order lay out are not in the last column, and so not in the price below: they are the same for all pictures of a batch. Step 5 counts them.

# %%
def position_costs(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int,
                   sides: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of each order, forward."""
    n = m = size[0] * size[1]
    _, tile, context, tiles = tiling(size, sides)
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
        "tiles": b * h * prod(tiles) * prod(tile) * prod(context) * u * (k + v),
    }


def counted(function, *arguments) -> int:
    """The multiply-adds of the matrix products and convolutions that a call runs, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() // 2


formula = position_costs(2, 3, (5, 7), 11, 13, 2, (3, 3))
for name, order in ORDERS.items():
    print(f"{name:<12} by formula {formula[name]:>9,}   "
          f"counted while running {counted(order, *primes, (5, 7)):>9,}")
    assert formula[name] == counted(order, *primes, (5, 7))
print("the strip again:", position_costs(1, 1, (1, 4), 2, 3, 1, (1, 3)))
assert (position_costs(1, 1, (1, 4), 2, 3, 1, (1, 3))
        == {"convolution": 96, "lambda": 120, "attention": 80, "tiles": 80})


# %% [markdown]
# ### One price for two things
#
# Arithmetic is cheap today; moving numbers is not. While a processor writes a number to memory and reads it again, it could do tens of multiply-adds, or hundreds (step 7 measures yours). So what is *made on the way* counts as well. Besides, lambdas are awkward to use: each is multiplied by the h queries of its own pixel, one product of h × k with k × v for every pixel of every picture, too small to run at full speed. The library's rule of thumb has both in it:
#
# $$\text{price} \;=\; \text{multiply-adds} \;+\; 64\cdot\text{numbers made on the way},\qquad\text{lambdas counted twice.}$$
#
# Here are both counts for one picture of 16 × 16 with d = 128, h = 4, k = 16, u = 4 and r = 7:

# %%
def position_numbers(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int,
                     sides: tuple[int, int]) -> dict[str, int]:
    """Numbers that each order makes on its way, forward: lambdas, or scores and copies."""
    n = m = size[0] * size[1]
    _, tile, context, tiles = tiling(size, sides)
    lambdas, scores_of_tiles = b * n * k * v, b * h * prod(tiles) * prod(tile) * prod(context) * u
    return {
        "convolution": lambdas,
        "lambda": lambdas,
        "attention": b * h * n * m * u,
        # each tile has a copy of the values that it sees
        "tiles": scores_of_tiles + b * prod(tiles) * prod(context) * u * v,
    }


example = 1, 4, (16, 16), 16, 32, 4, (7, 7)  # b, h, size, k, v = 128 / 4, u, sides
for name in ORDERS:
    print(f"{name:<12}{position_costs(*example)[name]:>12,} multiply-adds "
          f"{position_numbers(*example)[name]:>10,} numbers made")

# %% [markdown]
# **Predict.** Which of the four has the lowest price?

# %%
guess = None  # a name in quotes
check_answer("05.3", guess)


# %%
def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the cheapest order for these shapes, by a rule of thumb."""
    adds, numbers = (count(b, h, size, k, v, u, sides) for count in (position_costs, position_numbers))
    weights = {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}
    return min(ORDERS, key=lambda order: adds[order] + weights[order] * numbers[order])


def prices(*shape) -> dict[str, int]:
    """What plan() compares."""
    adds, numbers = position_costs(*shape), position_numbers(*shape)
    return {order: adds[order] + 64 * numbers[order] * (2 if order in ("convolution", "lambda") else 1)
            for order in adds}


by_hand = {  # in a convolution a pixel meets 49 taps, in tiles 100 pixels of a context; 16 tiles
    "convolution": 256 * 49 * 16 * 4 * 32 + 4 * 256 * 16 * 32 + 2 * 64 * (256 * 16 * 32),
    "tiles": 4 * 256 * 100 * 4 * (16 + 32) + 64 * (4 * 256 * 100 * 4 + 16 * 100 * 4 * 32),
}
for name, price in prices(*example).items():
    print(f"{name:<12} price {price / 1e6:6.1f} million")
    assert by_hand.get(name, price) == price
print("plan names:", plan(*example))
assert plan(*example) == "convolution" == min(prices(*example), key=prices(*example).get)
assert min(position_costs(*example), key=position_costs(*example).get) == "tiles"  # the fewest multiply-adds
assert plan(1, 4, (16, 16), 16, 32, 1, (7, 7)) == "tiles"  # and with u = 1 also the lowest price

# %% [markdown]
# The tiles need the fewest multiply-adds, and lose: with u = 4 each head has four maps, and four values of each pixel are copied, where a pixel still has one lambda. With u = 1 the tiles have the lowest price, too. `plan` is how the layer of lesson 04 picks its order. Look at what it looks at: the shapes, and nothing else; not even b matters, which stands in every term. It never looks at a clock. So the same net takes the same order on every machine and on every day, and a training run can be repeated. The other side of it: a rule of thumb can be wrong. Step 7 holds it against a clock, and step 9 says how much it has cost.
#
# ## 4 · Who shares?
#
# Take a map of 32 × 32, d = 64 channels, k = 16, h = 4 heads, so v = d / h = 16, every pixel meeting every other:

# %%
map_price = cost.attention_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
palette_price = cost.content_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
global_costs = position_costs(1, 4, (32, 32), 16, 16, 1, (63, 63))
print(f"content: a map takes {map_price:,}, the palette {palette_price:,}: "
      f"{map_price / palette_price:.0f} times fewer")
print(f"position: a map takes {global_costs['attention']:,}, lambdas {global_costs['lambda']:,}: "
      f"{global_costs['lambda'] / global_costs['attention']:.1f} times as many")
assert (round(map_price / palette_price) == 102
        and round(global_costs["lambda"] / global_costs["attention"], 1) == 2.0)

# %% [markdown]
# So "linear in the number of pixels" is true of the content half, and of the position half only if a window limits it. The multiply-adds of position lambdas over the whole map grow as $n\cdot m$, like those of a map, and are twice as many here. On a large map, where applying the lambdas hardly counts, each pair of pixels takes
#
# $$\underbrace{k\,v}_{\text{lambda}} \qquad\text{against}\qquad \underbrace{h\,(k+v)}_{\text{map}},$$
#
# since a position lambda is shared by the h heads of its pixel, and by nobody else. (Lesson 01's relative attention scores content as well as position, so it pays h · (2k + v).) With k = 16 and h = 4, as the paper has by default:

# %%
ratios = []
for d in (64, 128, 256, 512):
    v_depth = d // 4
    ratios.append(16 * v_depth / (4 * (16 + v_depth)))
    print(f"d = {d:3d}, v = {v_depth:3d}: "
          f"lambda {16 * v_depth:4d}, map {4 * (16 + v_depth):3d}, ratio {ratios[-1]:.2f}")
assert [round(ratio, 2) for ratio in ratios] == [2.0, 2.67, 3.2, 3.56]

# %% [markdown]
# What turns the balance is the *window*. A convolution meets r² taps, a tile's query the c² pixels of its context, where the other two orders meet all m. The figure asks `plan` for every side of map and every width. The letters are the 3×3 convolutions of two nets that lambda layers could replace: R, a ResNet-50 on pictures of 224 × 224; C, a ResNet with its four stages at 32, 16, 8 and 4 pixels, for pictures of 32 × 32. Grey orders make lambdas, orange ones a map. The sides are spaced evenly, whatever their size. (The dashed line belongs to step 5.)

# %%
map_sides, widths, names = [4, 7, 8, 14, 16, 28, 32, 56], [64, 128, 256, 512], list(ORDERS)
shapes = {(r, side, d): (1, 4, (side, side), 16, d // 4, 1, (r, r))
          for r in (7, 23) for side in map_sides for d in widths}
planned = {key: plan(*shape) for key, shape in shapes.items()}
panels = {
    f"what plan names, r = {r}": [[names.index(planned[r, side, d]) for side in map_sides] for d in widths]
    for r in (7, 23)
}
marks = ([(side, d, "R") for side, d in zip((56, 28, 14, 7), widths)]
         + [(side, d, "C") for side, d in zip((32, 16, 8, 4), widths)])
labels = ["convolution", "lambda (nowhere)", "attention", "tiles"]
figures.phases(panels, map_sides, widths, labels, [d**0.5 for d in widths], marks)
plt.show()
print("C, r = 7:", [planned[7, side, d] for side, d in zip((32, 16, 8, 4), widths)])
maps_made = sum(name in ("attention", "tiles") for name in planned.values())
by_price, by_count = ({key: min(ORDERS, key=count(*shape).get) for key, shape in shapes.items()}
                      for count in (prices, position_costs))
differ = sum(by_count[key] != planned[key] for key in shapes)
print(f"of {len(shapes)} shapes, {maps_made} make a map first; "
      f"for {differ} the fewest multiply-adds would name another order")
assert by_price == planned
assert "lambda" not in planned.values() and maps_made == 56 and differ == 7
# a window over the whole of a large map with few channels
assert plan(1, 4, (32, 32), 16, 16, 1, (63, 63)) == "lambda"

# %% [markdown]
# Large map, small window: tiles. Small map, or a window about as wide as the map: the attention order. Large map, very wide window, few channels: the convolution. The dense lambda order is named *nowhere* on these two charts: on the small maps too few queries, 4, share each lambda; on the large ones the window has fewer taps than the map has pixels, so the convolution makes the same lambdas for less. (Where a window covers the whole of a large map with few channels, it is named; the last assert has such a case. The lone convolution at r = 7, side 14, is there because tiles of 4 × 4 stick out of 14 × 14, which with d = 64 is enough to lose. Exercise 5 has a fifth order.) Note what this says about the phrase "without attention maps": for most of these shapes the cheapest of our four ways to a position lambda's output makes a map, without a softmax, and no lambda.
#
# All of this concerns one half of the layer. Here is all of it, projections included, beside the 3×3 convolution that it replaces:

# %%
print("million multiply-adds of one layer, in the four stages of C")
whole = {}
for side, d in ((32, 64), (16, 128), (8, 256), (4, 512)):
    conv = cost.multiply_adds(nn.Conv2d(d, d, 3, padding=1, bias=False), (1, d, side, side))
    whole[side] = [cost.multiply_adds(LambdaLayer(d, scope=r), (1, d, side, side)) for r in (7, 23)]
    print(f"{side:2d} × {side:2d}, d = {d:3d}: 3×3 convolution {conv / 1e6:.1f}", end="")
    print(f"   lambda layer, r = 7: {whole[side][0] / 1e6:4.1f}   r = 23: {whole[side][1] / 1e6:5.1f}")
    assert whole[side][0] < conv and (whole[side][1] > conv) == (side == 32)  # conv: the same in all four stages
assert round(whole[32][1] / conv, 1) == 3.9

# %% [markdown]
# With a window of 7 × 7 the layer needs fewer multiply-adds than the convolution in every stage. With the paper's 23 × 23 it needs 3.9 times as many in the first stage, and fewer in the others: for each pixel the convolution pays 9 · d², while in the layer only the projection to the values, d² / h, grows in this way. (On the two small maps `plan` takes the attention order for both windows, and it does not see how wide they are.)
#
# ## 5 · Bytes
#
# Training stores what the forward pass made until the backward pass has used it. So let us count the numbers that are made on the way, for one picture (in float32 each takes 4 bytes). Maps are made by attention and by the attention order, position lambdas by the convolution and the lambda order, the dense $E$ by the lambda and the attention order. (Tiles make a map of n · c² per head, and a small $E$ of t² · c² · k.)
#
# | | how many numbers |
# |---|---|
# | maps | $h\cdot n\cdot m$ |
# | position lambdas | $n\cdot k\cdot v$ |
# | dense embeddings $E$ | $n\cdot m\cdot k$, the same for all pictures of a batch |
# | content lambda | $k\cdot v$ |
#
# **Predict.** A map of 8 × 8 with d = 256 channels, k = 16, h = 4. Divide the numbers in the position lambdas by the numbers in the maps: what do you get?

# %%
guess = None  # a factor: lambdas / maps
check_answer("05.5", guess)


# %%
def intermediates(side: int, d: int, k: int = 16, h: int = 4) -> dict[str, int]:
    """Numbers made on the way, for one picture."""
    n, v = side * side, d // h
    return {"position lambdas": n * k * v, "maps": h * n * n, "dense E": n * n * k, "content lambda": k * v}


large, small, smaller = intermediates(32, 64), intermediates(8, 256), intermediates(4, 512)
assert large["maps"] == 16 * large["position lambdas"]  # 32 × 32, d = 64: maps are larger
assert small["position lambdas"] == 4 * small["maps"]  # 8 × 8, d = 256: lambdas are larger
assert smaller["position lambdas"] == 32 * smaller["maps"]  # 4 × 4, d = 512
figures.squares({"one picture of 32 × 32, d = 64": large, "8 × 8, d = 256, on a scale of its own": small})
plt.show()


# %% [markdown]
# (The content lambda of the upper row is too small to be seen.) For each query, maps grow with the number of pixels, lambdas with the number of channels. On a large map with few channels the saving is real: 16 times at 32 × 32, as long as no $E$ is made or a large batch shares it. In the deep stages of a net for small pictures it is the other way round: 4 times at 8 × 8, and 32 times at 4 × 4. The dashed line in the figure of step 4 is the tie; left of it the maps are the smaller ones.
#
# Formulas say what is made. What is *saved* depends on the code, so measure that too. `cost.saved_activation_bytes` runs a module and adds up the tensors that autograd saves; the inputs are among them. Here are 8 pictures, r = 7:

# %% tags=["nbval-ignore-output"]
class AsModule(nn.Module):
    """Any function as a module without parameters, so that saved_activation_bytes can run it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


held = {}
for side, d in ((32, 64), (8, 256)):
    inputs = random_inputs(8, 4, side, 16, d // 4, 1, 7)
    for name, order in ORDERS.items():
        held[side, name] = cost.saved_activation_bytes(
            AsModule(lambda *tensors: order(*tensors, (side, side))), *inputs)
        print(f"{side} × {side}, d = {d:3d}, {name:<12} keeps {held[side, name] / 2**20:7.2f} MiB")

assert held[32, "convolution"] < held[32, "tiles"] < held[32, "lambda"] < held[32, "attention"]
# few pixels, many channels: an attention map is smaller than the lambdas
assert held[8, "attention"] < min(held[8, name] for name in ORDERS if name != "attention")

# %% [markdown]
# On the large map the convolution keeps the least: lambdas, but neither maps nor $E$; the tiles come next. On the small one the attention order does.
#
# And one can save *nothing* of what was made. With `recompute=True` the layer saves the features that came in and throws everything else away: queries, keys, values, lambdas, scores. The backward pass computes them again. This is called **activation checkpointing**. It takes one more forward pass in time, for the same numbers. (One thing must not happen twice: the norms' running statistics have already seen this batch. So in the second pass they write into copies: `preserve_running_stats` in `lambdalib.guards`.)

# %%
features = torch.randn(8, 128, 16, 16)
layers = [LambdaLayer(128, scope=7, recompute=recompute) for recompute in (False, True)]
layers[1].load_state_dict(layers[0].state_dict())
assert torch.equal(*(layer(features) for layer in layers))
stored, thrown = (cost.saved_activation_bytes(layer, features) for layer in layers)
print(f"the layer keeps {stored / 2**20:.2f} MiB; with recompute=True {thrown / 2**20:.2f} MiB: its features, "
      f"{features.nbytes / 2**20:.2f} MiB, and nothing else")
assert thrown == features.nbytes < stored / 5

# %% [markdown]
# ## 6 · The paper's tables, in this light
#
# Table 4 of the paper prints the memory of a ResNet-50 whose 3×3 convolutions have been replaced, for a batch of 128 pictures in float32. We can find the same numbers again by counting one kind of tensor in each row: the maps of attention, with 8 heads; the dense embeddings $E$ of the lambda layers, with k = 16 where the row says nothing else. (GiB: 2³⁰ bytes.) "Axial" attention only meets the pixels of its own row and column. "Shared embeddings": all layers on maps of one size have one $E$ in common.

# %%
for name, ours, printed in memory_table():
    print(f"{name:<33} {ours:7.2f} GiB by our count, {printed:6} GB printed")
    assert abs(ours - printed) < 0.03 * printed

# %% [markdown]
# The counts agree within 3 %, so this is very likely what the column counts. Three things follow.
#
# *The lambdas are not in it.* The table's caption leaves them out, since they take about as much as the net's other activations. Had one counted what the lambda order keeps for 128 pictures, $b\,n\,k\,v$ numbers in each layer would come on top:

# %%
stages = zip((56, 28, 14, 7), (3, 4, 6, 3), (64, 128, 256, 512))  # side, layers, channels of ResNet-50's stages
lambda_bytes = sum(4 * layers * 128 * side**2 * 16 * (d // 4) for side, layers, d in stages)
embedding_bytes = embedding_memory()
print(f"position lambdas {lambda_bytes / 2**30:.2f} GiB, embeddings {embedding_bytes / 2**30:.2f} GiB")
print(f"together {(lambda_bytes + embedding_bytes) / 2**30:.2f} GiB; "
      f"maps {attention_memory() / 2**30:.2f} GiB")
assert round(lambda_bytes / 2**30, 2) == 2.63 and lambda_bytes > embedding_bytes

# %% [markdown]
# Together that is about as much as axial attention's maps (6.1 GiB, more than these, with the maps of lesson 06, where the first layers of c3 to c5 work before their pool), and still a small part of global attention's. (In favour of lambdas: the convolution order needs no $E$ at all, only a table of k · r² numbers.)
#
# *The batch is in some rows only.* Maps grow with the batch; $E$ has no batch axis.
#
# **Predict.** For a batch of *one* picture, how many times as large as the embeddings $E$ are the maps of global attention?

# %%
guess = None  # a factor: maps / embeddings, for one picture
check_answer("05.6", guess)

# %%
for batch in (1, 2, 128):
    print(f"batch {batch:3d}: maps / embeddings = {attention_memory(batch) / embedding_memory():.1f}")
assert attention_memory(1) / embedding_memory() == 0.5
assert attention_memory(128) / embedding_memory() == 64

# %% [markdown]
# The ratio is b · h / k. The factor of 64 in the last line is a statement about training with 128 pictures; for one picture the dense embeddings are twice as large as the maps. And when nothing is kept for a backward pass, memory is needed for one layer at a time, in any of the rows (if $E$ is made from its table when its layer runs).
#
# *One order, not the layer.* The paper's table of costs gives the lambda layer a time in proportion to $b\,n\,m\,k\,v$ and a space in proportion to $k\,n\,m + b\,n\,k\,v$, where self-attention needs a space in proportion to $b\,h\,n\,m$. You can tell by now whose costs these are: those of the lambda order. The term $k\,n\,m$ is $E$, the term $b\,n\,k\,v$ the lambdas. Neither is a property of the layer. The attention order has its time in proportion to $b\,h\,n\,m\,(k+v)$; with a window the convolution and the tiles have no $n\cdot m$ at all.
#
# Table 4 has a speed for both forms of the lambda layer, too: 1160 pictures per second for its lambda layer (the net LLLL of lesson 06, with r = 23, whose row of the memory column counts dense embeddings), and 1100 for a lambda convolution with a window of 7 × 7 (inference in float32, on eight TPU cores; not our measurement). Count both for the same 16 layers, the first as if it were computed densely:

# %%
stages, adds = list(zip((56, 28, 14, 7), (3, 4, 6, 3), (64, 128, 256, 512))), {}
for order, speed in (("lambda", 1160), ("convolution", 1100)):
    adds[order], numbers = (sum(layers * count(1, 4, (side, side), 16, d // 4, 1, (7, 7))[order]
                                for side, layers, d in stages)
                            for count in (position_costs, position_numbers))
    print(f"{order:<12}{adds[order] / 1e9:6.2f} billion multiply-adds, "
          f"{numbers / 1e6:.2f} million numbers in lambdas, {speed} pictures per second printed")
assert 30 < adds["lambda"] / adds["convolution"] < 33


# %% [markdown]
# Thirty times fewer multiply-adds, and no faster. Both make the same lambdas; that fits a price in which what is made counts, and does not fit one of multiply-adds alone. (It is no proof: the convolution of a single channel also runs at a lower rate.)
#
# ### Turn the dials
#
# The same formulas, for sizes of your choice. Orange is the order that `plan` picks: the one with the shortest bar on the right. Things to find: which bars do not move with the batch, and does the orange ever move with it? At which window does the orange leave the tiles, on a map of 32 × 32, and what does u do to this? At which side do maps get larger than lambdas, and what do h and k do to this tie?

# %%
def dials(side: int = 32, d: int = 64, h: int = 4, k: int = 16, u: int = 1, r: int = 7, batch: int = 8):
    n, v = side * side, d // h
    shape = batch, h, (side, side), k, v, u, (r, r)
    made, adds = position_numbers(*shape), position_costs(*shape)
    made |= {"content, as a map": batch * h * n * n * u, "content, as a lambda": batch * k * v,
             "dense E": n * n * k * u, "stencils": k * u * r * r}
    adds |= {"content, as a map": cost.attention_multiply_adds(batch, h, n, n * u, k, v),
             "content, as a lambda": cost.content_multiply_adds(batch, h, n, n, k, v, u)}
    title = (f"{batch} pictures of {side} × {side}, d = {d}, h = {h}, k = {k}, u = {u}, v = {v}, r = {r}: "
             f"plan picks {plan(*shape)}")
    return figures.cost_bars({"numbers made on the way": made, "multiply-adds": adds, "price": prices(*shape)},
                             {plan(*shape)}, (10, 1e15), title)


dials()
plt.show()
assert ([plan(8, 4, (32, 32), 16, 16, u, (r, r)) for u, r in ((1, 7), (1, 9), (4, 7))]
        == ["tiles", "convolution", "convolution"])

# %% tags=["nbval-ignore-output"]
widgets.explore(dials, side=widgets.slider("side of the map", 4, 64, 32),
                d=widgets.choice("channels d", [64, 128, 256, 512]),
                h=widgets.choice("heads h", [1, 2, 4, 8, 16], 4), k=widgets.choice("k", [8, 16, 32], 16),
                u=widgets.choice("intra-depth u", [1, 4]), r=widgets.choice("window r", [3, 7, 15, 23], 7),
                batch=widgets.choice("pictures b", [1, 8, 128], 8))

# %% [markdown]
# The batch moves everything but $E$ and the stencils, and it moves all four prices alike, so the choice stays. Wider windows make the tiles' contexts large, more values per position (u) make more maps and more copies but no more lambdas: both favour the convolution on large maps. On 32 × 32 with u = 1 the orange leaves the tiles between r = 7 and the next choice of the dial, 15 (in truth at r = 9); with u = 4 it has left them at r = 7 already. More heads make more maps and smaller lambdas, so they move the tie to smaller sides; a larger k moves it back. (Exercise 4 asks for the formula.)
#
# ## 7 · The clock
#
# A price is not seconds. So we time what a training step does: forward and backward. A stopwatch on a busy machine needs care: run everything once to warm up, take the candidates in turn so that a disturbance hits all of them, and report the median. `bench.stopwatch` does this; it is also what `lambdalib bench` uses.
#
# First the 64 in step 3's price. How many multiply-adds could your processor make, at the rate of one large matrix product, while it reads a number from memory and writes it? Into memory that is in use already, and into memory that it has to ask for first, as a training step often does:

# %% tags=["nbval-ignore-output"]
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s)")
for dtype in (torch.float32, torch.bfloat16):
    here, there = torch.zeros(2**24, dtype=dtype), torch.zeros(2**24, dtype=dtype)
    copies = stopwatch({"in use": lambda: there.copy_(here), "new": here.clone}, budget=0.5)
    rate = matrix_rate(dtype, torch.device("cpu"), side=1024, seconds=0.5)
    for memory, seconds in copies.items():
        print(f"{dtype}, memory {memory:<7}{rate * seconds / 2**24:5.0f} multiply-adds "
              "in the time of one copied number")


# %% [markdown]
# A number that is made on the way is written once and read at least twice, in the forward pass and in the backward pass, which also makes a gradient for it. 64 is a round number that stands for all of this, and for products that are too small for the full rate. Yours may be another; `plan` is not for your machine in particular, and that is the point of it: one rule for all.
#
# A fifth candidate joins for the race. Several public implementations compute position lambdas as a three-dimensional convolution, with v as a third axis of the picture along which the kernel has length 1. It makes the same lambdas with as many multiply-adds:

# %%
def conv3d_lambdas(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Position lambdas by Conv3d over (v, H, W), then the queries."""
    (b, m, v, u), (k, _, r_y, r_x) = values.shape, table.shape
    volume = values.permute(0, 3, 2, 1).reshape(b, u, v, *size)
    lambdas = F.conv3d(volume, table[:, :, None], padding=(0, r_y // 2, r_x // 2))  # (b, k, v, H, W)
    return apply_lambdas(queries, lambdas.flatten(3).permute(0, 3, 1, 2))


assert torch.allclose(conv3d_lambdas(*primes, (5, 7)), results["convolution"])
assert counted(conv3d_lambdas, *primes, (5, 7)) == formula["convolution"]
print("conv3d: the same numbers, the same multiply-adds as the convolution order")


def timed_step(order, inputs, size):
    """One forward and backward pass, to be run later."""
    ones = torch.ones_like(order(*inputs, size))  # the gradient that arrives from above
    return lambda: torch.autograd.grad(order(*inputs, size), inputs, ones)


# %% [markdown]
# The next cell takes 15 seconds or more. Eight pictures, k = 16, h = 4, float32, on the CPU. The numbers stored on this page come from one run on two threads, on a machine that had nothing else to do. Run the cell: yours will differ, and yours are the ones that count for you. Run it twice: where the winner changes, the two are too close to call, or your machine is too busy.

# %% tags=["nbval-ignore-output"]
candidates = ORDERS | {"conv3d": conv3d_lambdas}
groups, losses = {}, []
for side, d, u, r in ((32, 64, 1, 7), (16, 128, 1, 7), (16, 128, 4, 7), (8, 256, 1, 7), (14, 256, 1, 23)):
    shape = 8, 4, (side, side), 16, d // 4, u, (r, r)
    inputs = random_inputs(8, 4, side, 16, d // 4, u, r)
    seconds = stopwatch({name: timed_step(order, inputs, (side, side)) for name, order in candidates.items()})
    adds, price = position_costs(*shape), prices(*shape)
    for counts in (adds, price):
        counts["conv3d"] = counts["convolution"]
    title = f"{side}×{side}, d {d}, r {r}, u {u}"
    groups[title] = {name: (adds[name], price[name], seconds[name]) for name in candidates}
    fastest = min(ORDERS, key=seconds.get)
    losses.append(seconds[plan(*shape)] / seconds[fastest])
    print(f"{title:<25}" + "".join(f"{name} {1000 * seconds[name]:7.1f} ms   " for name in candidates))
    print(f"{'':<25}fewest multiply-adds: {min(ORDERS, key=adds.get)}; "
          f"plan names: {plan(*shape)}; fastest of the four: {fastest}")
print(f"the order that `plan` names takes {statistics.geometric_mean(losses):.2f} times as long as the fastest "
      f"on average, at worst {max(losses):.2f} times")
figures.counted_and_clocked(groups)
plt.show()
print("billion multiply-adds per second, the backward pass taken as twice the forward one:")
for title, row in groups.items():
    print(f"{title:<25}"
          + "   ".join(f"{name} {3 * adds / seconds / 1e9:6.1f}" for name, (adds, _, seconds) in row.items()))

# %% [markdown]
# Each panel is one shape, and each colour is drawn in units of its smallest bar there. If the three bars above each name had the same height, counting would be enough. Light grey counts multiply-adds, dark grey is the price, orange is the clock. Do not expect the dark grey to be closer to it than the light one: as a forecast of times the price is hardly better. It is made for another question, which of the orders is the fastest. With u = 4 it sees that the tiles make too much. The table below the figure says why multiply-adds alone mislead: the orders get through different numbers of them in a second, on the same processor. Where your output names another order as the fastest, `plan` is wrong for your machine. To override it, give the layer an order, `LambdaLayer(64, order="attention")`, or say `with cost.contraction_order(model, "attention"):` for a whole model; measure on your hardware, with your dtype and your batch.
#
# ## 8 · Why no Conv3d?
#
# Not because it is always slow: see its bars above, which may be better than those of our own convolution. It is that three-dimensional convolutions are used less, so their fast paths are fewer and break more easily. On graphics cards with PyTorch 2.9, users reported them as [4 times slower in mixed precision](https://github.com/pytorch/pytorch/issues/166122), [10 to 20 times slower](https://github.com/pytorch/pytorch/issues/174051), and [needing far more memory in bfloat16](https://github.com/pytorch/pytorch/issues/166643), on account of the version of cuDNN, NVIDIA's library of convolutions, that came with it; with some versions of cuDNN [the results were wrong](https://github.com/pytorch/pytorch/issues/163539). The first three are closed by now. Published benchmarks of timm, a library of vision models, fit with this: between PyTorch 2.4 and 2.9.1 on an RTX 4090, `lambda_resnet26t`, which uses a Conv3d, fell from 4193 to 2146 pictures per second, while `lambda_resnet26rpt_256`, a variant without one, stayed where it was (3276 and 3278). (These are their measurements, [pictures per second](https://github.com/huggingface/pytorch-image-models/tree/main/results) of inference in mixed precision, files `benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv` and `benchmark-infer-amp-nchw-pt291-cu128-4090.csv`, not ours.) A Conv2d over b · v pictures says the same thing and does not depend on that path; where it is slow, there are three other orders.
#
# ## 9 · The whole layer beside the public ones
#
# Two well-known packages have a lambda layer: `lambda-networks` and `timm`. Each has a Conv3d for a window and a form with a table for the whole map. Our layer computes the same function (lesson 06 carries weights over, both ways), so only the way there is compared. The command `lambdalib bench` compares them: one process, all candidates in turn, the median, forward and backward, 64 pictures; each layer gets both memory layouts that PyTorch has for pictures (channel after channel, or pixel after pixel), and its faster one counts. What follows is not measured now: it was recorded with that command, and the record comes with the course. In the list below, the columns with × are the time of forward and backward, the time of the forward pass alone, the bytes held, and (in float32) the bytes at the peak; above 1, the public layer needs more.

# %%
record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))
evidence = record["layer"]["evidence"]
print(f"{evidence['hardware']}, {evidence['threads']} threads, "
      f"PyTorch {evidence['versions']['torch']}; `{evidence['command']}`")


def best_peer(numbers: dict[str, float]) -> float:
    """The smallest number of all layers but ours."""
    return min(value for name, value in numbers.items() if name != "ours")


print("\nours: ms, forward and backward, "
      "and our multiply-adds per second as a share of what one large matrix product reaches;")
print("then the fastest public layer and its ms; "
      "then how many times as much as ours a public layer takes: time, time of the forward")
print("pass alone, bytes held for the backward pass, "
      "each by the public layer that is best in it, and in float32 the fastest one's peak")
measures = {"seconds": "time", "forward_seconds": "forward time",
            "held": "bytes held", "peak": "bytes at the peak"}
losing = []
for row in record["layer"]["rows"]:
    shape = str(Shape(**row["shape"]))
    times_ours = {what: best_peer(row[what]) / row[what]["ours"] for what in measures if row[what]}
    losing += [f"{measures[what]}, {shape}, {row['dtype']}: {ratio:.2f} times ours"
               for what, ratio in times_ours.items() if ratio < 1]
    peer = min(row["seconds"].keys() - {"ours"}, key=row["seconds"].get)
    print(f"{row['dtype']:<9}{shape:<25}ours {1000 * row['seconds']['ours']:6.1f} ms ({row['share']:3.0%})   "
          f"{peer:<22} {1000 * row['seconds'][peer]:7.1f} ms   "
          + "".join(f"×{ratio:<6.2f}" for ratio in times_ours.values()))
for dtype, numbers in record["layer"]["summary"].items():
    print(f"{dtype}: the fastest public layer takes {numbers['geometric_mean']:.2f} times as long as ours "
          f"on (geometric) average over the shapes, at worst {numbers['worst']:.2f} times")
assert record["layer"]["summary"] == summary(record["layer"]["rows"])
print("where a public layer needs less than ours:", *(losing or ["nowhere in this table"]), sep="\n  ")
assert record["layer"]["summary"]["float32"]["worst"] > 1 and record["layer"]["summary"]["bfloat16"]["worst"] > 1
assert any("bytes" in line for line in losing)

# %%
figures.measured(record["layer"]["rows"], record["growth"]["rows"])
plt.show()
for row in record["growth"]["rows"]:
    if row["what"] == "pixels":
        print(f"{row['dtype']}: from {row['sides'][0]}² to {row['sides'][-1]}² pixels, "
              f"time grows as pixels to the power of {row['exponent']:.2f}")
        assert row["exponent"] < 1.1
assert ([plan(16, 4, (16, 16), 16, 32, 1, (r, r)) for r in (3, 5, 7, 11, 15, 23, 31)]
        == 3 * ["tiles"] + 4 * ["attention"])

# %% [markdown]
# Left: how many times as long the fastest public layer takes, shape by shape; a bar to the left of 1 would be a shape where ours is the slower one. Each public layer has one fixed order, whatever the shape. In time, forward and backward, ours is the faster one at every shape of the table; in memory it is not. The list above the figure has every case: `plan` goes by a price that stands for time, and where it takes a map or tiles, these can be larger than the lambdas that others keep (at 16 × 16 with u = 4 it makes lambdas too, and keeps 5 % more). `recompute=True` throws them away, for the price of making them twice. Middle (d = 64, 8 pictures): with a window, time grows no faster than in proportion to the pixels (the dotted lines), as the formulas of the convolution and of the tiles say; on small maps, the part of a layer's time that is the same for any map has its share too. Right (d = 128, 16 pictures): with the map fixed, a wider window costs more only until `plan` changes from tiles to the attention order (here between r = 7 and r = 11), which does not see the window.
#
# And `plan`? The same command has timed the position output alone, in every order:

# %%
for dtype in ("float32", "bfloat16"):
    rows = [row for row in record["orders"]["rows"] if row["dtype"] == dtype]
    hits, regrets = sum(row["regret"] == 1 for row in rows), [row["regret"] for row in rows]
    print(f"{dtype}: plan names the fastest order for {hits} of {len(rows)} shapes; the order that it names takes "
          f"{statistics.geometric_mean(regrets):.2f} times as long as the fastest on average, "
          f"at worst {max(regrets):.2f} times")
    assert len(rows) == hits == 9 and min(regrets) >= 1

# %% [markdown]
# On that machine the rule has cost nothing: at all 18 it named the fastest order. That is one machine; step 7 asks yours. (32 × 32 with d = 64 stands in both. In the record, with 64 pictures, the tiles are ahead of the convolution; in the run stored in step 7, with 8 pictures and another PyTorch, the convolution is ahead of the tiles. The price is the same for any batch; the clock need not be.)
#
# A layer is not a net. What does a whole training step take, where the projections, the norms and all other layers have their share? "Conv3d form" is our net with the layers of `lambda-networks` in it, and the same weights. `lambda_resnet18` is lesson 06's net for CIFAR-10; in timm's own net, "timm" has timm's layers and "ours" has ours in their place. A block is a lambda layer with the convolutions around it, and "ours, recompute" does for each block what step 5 did for a layer: it holds nothing but what came in. The "convolutional twin" has a 3×3 convolution in the place of each lambda layer.

# %%
for row in record["step"]["rows"]:
    print(f"{row['title']}, {row['dtype']}, {row['batch']} pictures")
    for name, seconds in row["seconds"].items():
        print(f"  {name:<20}{seconds:6.2f} s a step, {seconds / row['seconds']['ours']:5.2f} times ours;   "
              f"holds {row['held'][name] / 2**30:5.2f} GiB, "
              f"{row['held'][name] / row['held']['ours']:5.2f} times ours")
    assert all((seconds < row["seconds"]["ours"]) == ("twin" in name)
               for name, seconds in row["seconds"].items() if not name.startswith("ours"))
    if "ours, recompute" in row["held"]:
        again = row["held"]["ours, recompute"]
        assert (1 / 9 < again / row["held"]["ours"] < 1 / 6.5
                and 0.2 < again / row["held"]["convolutional twin"] < 0.3)
        assert 1.04 < row["seconds"]["ours, recompute"] / row["seconds"]["ours"] < 1.38

# %% [markdown]
# This part was recorded with the settings of `make train`, which let a process keep freed memory for later use, and not give it back to the system. With recompute, a net holds an eighth to a seventh of what it did, and about a quarter of what its twin does. One more forward pass costs 37 % more time with u = 1 and only 5 % with u = 4, in this record; why so little there, we have not measured.
#
# With our layers a step is faster than with the public ones, in each of these nets. (How much is left of a layer's ratio depends on how much of the net is lambda layers.) And it is slower than in the twin, which also holds less, unless ours recomputes. With u = 4 the lambda net needs more multiply-adds than its twin (lesson 06); with u = 1 it needs fewer and is slower all the same. Multiply-adds are not seconds (step 7): a lambda layer also makes lambdas or maps on its way, and libraries have been tuned for convolutions for longer. How much each of these costs, we have not measured.
#
# ## 10 · Today
#
# The paper is from early 2021. At the end of that year [Rabe and Staats](https://arxiv.org/abs/2112.05682) showed that exact attention needs no stored map, and in 2022 [FlashAttention](https://arxiv.org/abs/2205.14135) made it fast: the map is made in pieces, each piece is used at once and thrown away, and the backward pass makes it again. PyTorch has this as `F.scaled_dot_product_attention`. What does it keep?

# %% tags=["nbval-ignore-output"]
# one picture of 32 × 32, 4 heads
ask, key, value = (torch.randn(1, 4, 1024, 16, requires_grad=True) for _ in range(3))
offsets = torch.randn(1024, 1024, 16, requires_grad=True)


def fused(queries, keys, values):
    """softmax_attention of lesson 01, without a stored map where PyTorch has a fused kernel."""
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)


def fused_with_positions(queries, keys, values, embeddings):
    """relative_attention of lesson 01: the position scores are handed over as a mask that is added."""
    return F.scaled_dot_product_attention(queries, keys, values,
                                          attn_mask=einsum("bhnk,nmk->bhnm", queries, embeddings), scale=1.0)


assert torch.allclose(fused(ask, key, value), attention.softmax_attention(ask, key, value), atol=1e-5)
assert torch.allclose(fused_with_positions(ask, key, value, offsets),
                      attention.relative_attention(ask, key, value, offsets), atol=1e-4)
stored = {
    "attention, plain": cost.saved_activation_bytes(AsModule(attention.softmax_attention), ask, key, value),
    "attention, fused": cost.saved_activation_bytes(AsModule(fused), ask, key, value),
    "with positions, plain": cost.saved_activation_bytes(
        AsModule(attention.relative_attention), ask, key, value, offsets),
    "with positions, fused": cost.saved_activation_bytes(AsModule(fused_with_positions), ask, key, value, offsets),
}
for name in ("convolution", "tiles"):
    stored[f"position output, r = 7, {name}"] = cost.saved_activation_bytes(
        AsModule(lambda *tensors: position_output(*tensors, (32, 32), name)),
        *random_inputs(1, 4, 32, 16, 16, 1, 7))
assert (stored["attention, fused"] < stored["attention, plain"] / 10
        and stored["with positions, fused"] > 0.9 * stored["with positions, plain"])
for name, size in stored.items():
    print(f"{name:<36} keeps {size / 2**20:6.2f} MiB")
print(f"{'one map of 4 heads':<36}       {4 * 1024**2 * 4 / 2**20:6.2f} MiB;  "
      f"E {offsets.numel() * 4 / 2**20:.2f} MiB")

# %% [markdown]
# Plain attention keeps its map. Fused attention keeps queries, keys, values and output: for content, the memory argument against attention is gone wherever such a kernel runs. The time remains $n\cdot m$; only the storing went.
#
# Relative positions are the awkward case. Scores $q_n\cdot e_{nm}$ handed over as a mask are an array of $n\times m$ numbers per head again, so little or nothing is saved. There are kernels that let you change each score on the way, without storing it (PyTorch's FlexAttention is one); we have not measured what they keep for such a term. With a window, the position output keeps little too: lambdas if by convolution, a map of the contexts if by tiles. Both are linear in n.
#
# So what would one put in the place of a lambda layer today? Three things beside a lambda layer, from the same record: fused attention, without positions; a 3×3 convolution; and a lambda layer over the whole map. (d = 128, 16 pictures; the projections of each are included. FlexAttention could add positions, but has no backward pass on a CPU so far.)

# %%
figures.alternatives(record["alternatives"]["rows"])
plt.show()
for row in record["alternatives"]["rows"]:
    in_layers = {name: seconds / row["seconds"]["lambda layer, r = 7"] for name, seconds in row["seconds"].items()}
    print(f"{row['dtype']:<9}{row['side']:3d} × {row['side']:<3d}"
          + "   ".join(f"{name} ×{ratio:.2f}" for name, ratio in in_layers.items()))
    assert in_layers["3×3 convolution"] < 1
    assert (in_layers["attention without positions"] < 1) == (row["dtype"] == "float32" and row["side"] == 8)
    assert row["side"] != 32 or in_layers["lambda layer, whole map"] > in_layers["attention without positions"]

# %% [markdown]
# The numbers are times, in units of the lambda layer with a window of 7: where one is below 1, that module is faster. The 3×3 convolution is, on every map. Fused attention pays for every pair of pixels, so it falls behind further and further as the map grows, in float32 from 16 × 16 on; a window has no such price. (In bfloat16 it is behind on 8 × 8 already; why, we have not measured.) But a lambda layer over the whole map pays for every pair too, and on 32 × 32 it is slower than fused attention, by far (on 64 × 64 it was not timed). None of them computes what another computes, so which is *worth* its time is a question of accuracy, and not of this lesson. (This is a CPU. A graphics card has other fused kernels, and other ratios.)
#
# ## Exercises
#
# **1 · Count.** One picture of 16 × 16, d = 128 channels, h = 4, k = 8, u = 1. How many multiply-adds does the content half take, to make the lambda and to apply it to all queries?

# %%
guess = None  # one number
check_answer("05.E1", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# v = 128 / 4 = 32 and n = m = 256. Made once: m · k · v = 65,536. Applied by h · n = 1024 queries: 262,144. Applying is the larger part.
#
# ```python
# guess = 65_536 + 262_144
# check_answer("05.E1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Choose.** k = 8, u = 1. Leave the tiles aside: which of the other three orders has the fewest multiply-adds for
# (a) 24 × 24, d = 32, h = 2, r = 5; (b) 6 × 6, d = 64, h = 2, r = 5; (c) 6 × 6, d = 64, h = 32, r = 11? Work it out with the formulas of step 3, divided by b · n; then check yourself with `position_costs`.

# %%
guess = None  # three of "convolution", "lambda", "attention", as (a, b, c)
check_answer("05.E2", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# For each query, with v = d / h:
#
# | | v | convolution r²·k·v + h·k·v | lambda m·k·v + h·k·v | attention m·h·(k+v) |
# |---|---|---|---|---|
# | a | 16 | **3,456** | 73,984 | 27,648 |
# | b | 32 | 6,912 | 9,728 | **2,880** |
# | c | 2 | 2,448 | **1,088** | 11,520 |
#
# In (c) 32 heads share each lambda, and the window of 11 × 11 is larger than the map. (Tiles would win in (a): 1.4 million multiply-adds against 2.0. In (b) and (c) much of the tiles' contexts lies beyond the small map.)
#
# ```python
# guess = ("convolution", "attention", "lambda")
# check_answer("05.E2", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · How many must share?** d = 64, k = 16, u = 1, a large map without a window. What is the smallest number of heads (it has to divide 64) for which the lambda order needs fewer multiply-adds than the attention order?

# %%
guess = None  # a number of heads
check_answer("05.E3", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# With v = 64 / h, k · v < h · (k + v) means 1024 / h < 16 h + 64, that is h² + 4 h > 64. At h = 4 the left side is 32, at h = 8 it is 96. Twice the paper's default, then; and 8 heads have lambdas of only 16 × 8.
#
# ```python
# guess = 8
# check_answer("05.E3", guess)
# ```
#
# </details>

# %% [markdown]
# **4 · Derive.** For which m do the maps and the position lambdas hold the same number of numbers? Then: k = 9, h = 4, d = 400. At which *side* of a square map is the tie, in pixels?

# %%
guess = None  # a side, in pixels
check_answer("05.E4", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# Maps: h · n · m. Lambdas: n · k · v. The n cancels: $m = k\,v/h$, or with v = d / h, $m = k\,d/h^2$. Here 9 · 400 / 16 = 225 pixels, a map of 15 × 15.
#
# ```python
# guess = 15
# check_answer("05.E4", guess)
# ```
#
# </details>

# %% [markdown]
# **5 · Implement.** A fifth order, for u = 1: a map of the *window* only, tiles of one pixel so to speak, with nothing empty in them. For each query and head mix the k stencils into one kernel of r² weights; gather the r² neighbours of each pixel (`F.unfold`, with zeros beyond the border); weigh them. The first check compares the output, the second the multiply-adds: with `@` or `einsum` it should take b · h · n · r² · (k + v). (The counter does not see `*` followed by a sum.)

# %%
def window_map(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor | None:
    """(b, h, n, k), (k, 1, r, r), (b, m, v, 1) -> (b, h, n, v): kernels first, then the neighbours."""
    return None  # replace this line


trial = random_inputs(2, 3, 5, 11, 13, 1, 3, torch.float64, width=7)
mine = window_map(*trial, (5, 7))
price = None if mine is None else counted(window_map, *trial, (5, 7))
print(check_close(mine, convolution_order(*trial, (5, 7)),
                  "does each pixel meet the taps in the order of the table?"),
      check_answer("05.E5", price), sep="\n")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def window_map(queries, table, values, size):
#     (b, m, v, _), (k, _, r_y, r_x) = values.shape, table.shape
#     kernels = queries @ table.view(k, r_y * r_x)  # (b, h, n, r²): the map of the window
#     pictures = values[..., 0].transpose(1, 2).unflatten(2, size)  # (b, v, H, W)
#     neighbours = F.unfold(pictures, (r_y, r_x), padding=(r_y // 2, r_x // 2)).view(b, v, r_y * r_x, m)
#     return einsum("bhnt,bvtn->bhnv", kernels, neighbours)
#
#
# mine = window_map(*trial, (5, 7))
# price = None if mine is None else counted(window_map, *trial, (5, 7))
# print(check_close(mine, convolution_order(*trial, (5, 7)), "does each pixel meet the taps in the order of the table?"), check_answer("05.E5", price), sep="\n")
# ```
#
# For a 32 × 32 map with d = 64, k = 16, h = 4, r = 7 that makes 6.4 million multiply-adds, where the convolution takes 13.9 and the tiles 13.1: the fewest of all. It is not in lambdalib. Gathering copies every value r² times, and the rule of thumb says what that costs: its price is higher than that of the tiles (the next cell works it out). Put it on the stopwatch of step 7 and judge for yourself.
#
# </details>

# %%
shape = 1, 4, (32, 32), 16, 16, 1, (7, 7)
# the numbers: its map, and its copies of the values
window_adds, window_numbers = 4 * 1024 * 49 * (16 + 16), 4 * 1024 * 49 + 1024 * 49 * 16
window_price = window_adds + 64 * window_numbers
for name in ("convolution", "tiles"):
    print(f"{name:<12}{position_costs(*shape)[name] / 1e6:5.1f} million multiply-adds, "
          f"price {prices(*shape)[name] / 1e6:.1f} million")
print(f"window map  {window_adds / 1e6:5.1f} million multiply-adds, price {window_price / 1e6:.1f} million")
assert window_adds < min(position_costs(*shape).values()) and window_price > prices(*shape)["tiles"]
assert ([round(adds / 1e6, 1) for adds in (window_adds, position_costs(*shape)["convolution"],
                                           position_costs(*shape)["tiles"])]
        == [6.4, 13.9, 13.1])

# %% [markdown]
# ## What we now know
#
# * A lambda pays where it is shared. The palette is shared by all queries and is cheap on any large map; a position lambda is shared by h heads only, and over a whole map it needs k · v multiply-adds for each pair of pixels where a map needs h · (k + v).
# * Memory: maps grow with pixels, lambdas with channels, with a tie at m = k · v / h. The paper's memory column counts the dense embeddings; its factor of 64 is b · h / k for 128 pictures.
# * Four orders (five, with exercise 5) give one output: lambdas first, densely or by convolution; the map first, whole or in tiles. `plan` names one by what is multiplied and what is made. It looks at shapes, never at a clock, so that runs repeat; only a stopwatch is a stopwatch.
#
# **Ledger.** *Less memory*: for, large maps in training, 16 times at 32 × 32, d = 64, if no $E$ is made; against, small maps with many channels (32 times as much at 4 × 4, d = 512), and fused attention, which came later, keeps no map either, at least for content. *Faster*: than other public lambda layers yes, at every shape measured, but at many of them more bytes are kept (step 9); than fused attention, with a window on maps of 16 × 16 and more, but not over a whole map of 32 × 32; than the 3×3 convolution, nowhere in our record (steps 9 and 10). *Without attention maps*: true of the content half; against, for most shapes the cheapest of the four orders of the position half makes one.
#
# **The code of this lesson** lives in `lambdalib/contractions.py`: `convolution_order`, `lambda_order`, `attention_order`, `tile_order`, `position_costs`, `position_numbers`, `plan`; in `lambdalib/layouts.py`, which has the copies that make them fast; in `lambdalib/cost.py`: `multiply_adds`, `saved_activation_bytes`; in `lambdalib/guards.py`: `activation_checkpointed`; and in `lambdalib/experiments/bench.py`, which measures.
#
# **Next.** Cost depends on the size of the map and on the width. Both change from stage to stage in a net. So where in it does a lambda layer belong? [Lesson 06: LambdaResNet](06_lambda_resnet.ipynb).
