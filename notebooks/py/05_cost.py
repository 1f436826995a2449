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
    raise ImportError("This is another lambdalib: `pip uninstall -y lambdalib`, restart the kernel and run this cell again.")
print("lambdalib", lambdalib.__version__, "is ready.")

# %% [markdown]
# > **After this lesson you can** count what attention and a lambda layer cost, in multiply-adds and in bytes; compute the same position output in three orders; say for given sizes which order is the cheapest; and measure what a formula cannot tell you.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer). Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 35 minutes to read, 25 for the exercises; the code runs in about half a minute on two CPU cores.

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
# On the left, embeddings and values make **lambdas** first. On the right, queries and embeddings make a **map** first: $A_{nm}=e_{nm}^\top q_n$, one number for each pair of pixels, with no softmax. The outputs are equal; the price is not. (The third pair, $q_n$ and $v_m$, would make k · v numbers for each head and pair of pixels, more than either; nobody wants it.)
#
# One unit for all of the lesson: a **multiply-add** is one multiplication whose result is added to a sum. (FLOPs, which other texts count, are usually twice as many: the multiplication and the addition.)

# %%
import statistics
import time

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import attention, cost, figures, widgets
from lambdalib.checks import check_answer, check_close
from lambdalib.examples import strip
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.layer import LambdaLayer


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
lambdas = [[[sum(times(e[n, m, i], v[m, j]) for m in range(4)) for j in range(3)] for i in range(2)] for n in range(4)]
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
# ## 2 · Three orders
#
# Here are the two orders for whole batches, and a third: lesson 03 found that position lambdas are a convolution of each value channel with the k stencils, which never meets a pixel beyond the window. All three take queries (b, h, n, k), the table of stencils (k, u, r, r) and values (b, m, v, u), and this is the code of `lambdalib.contractions`.

# %%
def convolution_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by a convolution: every value channel is filtered alone by the same k stencils, then the queries mix them."""
    (b, m, v, u), (k, _, r_y, r_x) = values.shape, table.shape
    maps = values.permute(0, 2, 3, 1).reshape(b * v, u, *size)
    lambdas = F.conv2d(maps, table, padding=(r_y // 2, r_x // 2))
    return apply_lambdas(queries, lambdas.view(b, v, k, m).permute(0, 3, 2, 1))


def lambda_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by the definition: the dense embeddings times the values, then the queries."""
    return apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))


def attention_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The map first: A = q·E for every pair of positions, then A times the values. No lambda is ever made."""
    (b, h, n, k), (_, m, v, u) = queries.shape, values.shape
    embeddings = relative_embeddings(table, *size).permute(0, 2, 1, 3).reshape(n, k, m * u)
    attention = torch.bmm(queries.permute(2, 0, 1, 3).reshape(n, b * h, k), embeddings)
    attention = attention.view(n, b, h, m * u).permute(1, 2, 0, 3).reshape(b, h * n, m * u)
    return torch.bmm(attention, values.transpose(2, 3).reshape(b, m * u, v)).view(b, h, n, v)


ORDERS = {"convolution": convolution_order, "lambda": lambda_order, "attention": attention_order}


# %% [markdown]
# The attention order spells out two `bmm`s (batched matrix products) where one could write `einsum("bhnk,nmku->bhnmu", …)`: the first product has its own embeddings for every $n$, so $n$ is its batch; the second has its own values for every picture, so $b$ is.
#
# Do they agree? On axes of different prime lengths, with two values per position (u = 2):

# %%
def random_inputs(b: int, h: int, side: int, k: int, v: int, u: int, r: int, dtype=torch.float32, width: int | None = None):
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
# ## 3 · The price of each
#
# Counting the sums in the code, for the forward pass:
#
# | order | multiply-adds |
# |---|---|
# | convolution | $b\,n\,r^2\,k\,u\,v \;+\; b\,h\,n\,k\,v$ |
# | lambda | $b\,n\,m\,k\,u\,v \;+\; b\,h\,n\,k\,v$ |
# | attention | $b\,h\,n\,m\,k\,u \;+\; b\,h\,n\,m\,u\,v$ |
#
# The first term of the first two makes lambdas, the second applies them; in the attention order the first makes the map, the second weighs the values. (The convolution also multiplies the zeros of its padding.) The palette of the content half costs $b\,m\,k\,u\,v + b\,h\,n\,k\,v$: it has no $n\cdot m$ at all.

# %%
def position_costs(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of each order, forward."""
    n = m = size[0] * size[1]
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
    }


def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the order with the fewest multiply-adds for these shapes."""
    costs = position_costs(b, h, size, k, v, u, sides)
    return min(costs, key=costs.get)


def counted(function, *arguments) -> int:
    """The multiply-adds of the matrix products and convolutions that a call runs, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        function(*arguments)
    return counter.get_total_flops() // 2


formula = position_costs(2, 3, (5, 7), 11, 13, 2, (3, 3))
for name, order in ORDERS.items():
    print(f"{name:<12} by formula {formula[name]:>9,}   counted while running {counted(order, *primes, (5, 7)):>9,}")
    assert formula[name] == counted(order, *primes, (5, 7))
print("the strip again:", position_costs(1, 1, (1, 4), 2, 3, 1, (1, 3)))
assert position_costs(1, 1, (1, 4), 2, 3, 1, (1, 3)) == {"convolution": 96, "lambda": 120, "attention": 80}

# %% [markdown]
# `plan` is how the layer of lesson 04 picks its order: it takes the fewest multiply-adds. It is no more than that; step 7 holds it against a clock.
#
# ## 4 · Who shares?
#
# Take a map of 32 × 32, d = 64 channels, k = 16, h = 4 heads, so v = d / h = 16, every pixel meeting every other:

# %%
map_price = cost.attention_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
palette_price = cost.content_multiply_adds(b=1, h=4, n=1024, m=1024, k=16, v=16)
global_costs = position_costs(1, 4, (32, 32), 16, 16, 1, (63, 63))
print(f"content: a map takes {map_price:,}, the palette {palette_price:,}: {map_price / palette_price:.0f} times fewer")
print(f"position: a map takes {global_costs['attention']:,}, lambdas {global_costs['lambda']:,}: {global_costs['lambda'] / global_costs['attention']:.1f} times as many")
assert round(map_price / palette_price) == 102 and round(global_costs["lambda"] / global_costs["attention"], 1) == 2.0

# %% [markdown]
# So "linear in the number of pixels" is true of the content half, and of the position half only if a window limits it. The price of position lambdas over the whole map grows as $n\cdot m$, like that of a map, and is twice as high here. On a large map, where applying the lambdas hardly counts, the two prices for each pair of pixels are
#
# $$\underbrace{k\,v}_{\text{lambda}} \qquad\text{against}\qquad \underbrace{h\,(k+v)}_{\text{map}},$$
#
# since a position lambda is shared by the h heads of its pixel, and by nobody else. (Lesson 01's relative attention scores content as well as position, so it pays h · (2k + v).) With k = 16 and h = 4, as the paper has by default:

# %%
ratios = []
for d in (64, 128, 256, 512):
    v_depth = d // 4
    ratios.append(16 * v_depth / (4 * (16 + v_depth)))
    print(f"d = {d:3d}, v = {v_depth:3d}: lambda {16 * v_depth:4d}, map {4 * (16 + v_depth):3d}, ratio {ratios[-1]:.2f}")
assert [round(ratio, 2) for ratio in ratios] == [2.0, 2.67, 3.2, 3.56]

# %% [markdown]
# What turns the balance is the *window*. A convolution meets r² taps where the other two meet all m pixels. Now three things compete: the taps, the pixels, and the heads. The figure asks `plan` for every side of map and every width. The letters are the 3×3 convolutions of two nets that lambda layers could replace: R, a ResNet-50 on pictures of 224 × 224; C, a ResNet with its four stages at 32, 16, 8 and 4 pixels, for pictures of 32 × 32. The sides are spaced evenly, whatever their size. (The dashed line belongs to the next step.)

# %%
map_sides, widths, names = [4, 7, 8, 14, 16, 28, 32, 56], [64, 128, 256, 512], list(ORDERS)
panels = {
    f"fewest multiply-adds, r = {r}": [
        [names.index(plan(1, 4, (side, side), 16, d // 4, 1, (r, r))) for side in map_sides] for d in widths
    ]
    for r in (7, 23)
}
marks = [(side, d, "R") for side, d in zip((56, 28, 14, 7), widths)] + [(side, d, "C") for side, d in zip((32, 16, 8, 4), widths)]
labels = ["convolution", "lambda (nowhere)", "attention"]
figures.phases(panels, map_sides, widths, labels, [d**0.5 for d in widths], marks)
plt.show()
print("C, r = 7:", [plan(1, 4, (side, side), 16, d // 4, 1, (7, 7)) for side, d in zip((32, 16, 8, 4), widths)])
assert not any(names.index("lambda") in row for panel in panels.values() for row in panel)  # k = 16, h = 4: never the cheapest

# %% [markdown]
# Large map, small window: convolution. Small map or wide window: the attention order. The dense lambda order is the cheapest *nowhere* on these two charts; with 4 heads, too few queries share each lambda. (Exercise 2 has a case where it wins, and exercise 5 a fourth order.) Note what this says about the phrase "without attention maps": for many of these sizes the cheapest of the three ways to a position lambda's output makes a map, without a softmax, and no lambda.
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
assert round(whole[32][1] / conv, 1) == 3.8

# %% [markdown]
# With a window of 7 × 7 the layer needs fewer multiply-adds than the convolution in every stage. With the paper's 23 × 23 it needs 3.8 times as many in the first stage, and fewer in the others: for each pixel the convolution pays 9 · d², while in the layer only the projection to the values, d² / h, grows in this way. (On the two small maps `plan` takes the attention order, which does not see how wide the window is.)
#
# ## 5 · Bytes
#
# Training stores what the forward pass made until the backward pass has used it. So let us count the numbers that are made on the way, for one picture (in float32 each takes 4 bytes). Maps are made by attention and by the attention order, position lambdas by the other two orders, the dense $E$ by all orders but the convolution:
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
# Formulas say what is made. What is *kept* depends on the code, so measure that too. `cost.held_for_backward` runs a module and adds up the tensors that autograd keeps; the inputs are among them. Here are 8 pictures, r = 7:

# %% tags=["nbval-ignore-output"]
class AsModule(nn.Module):
    """Any function as a module without parameters, so that held_for_backward can run it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


held = {}
for side, d in ((32, 64), (8, 256)):
    inputs = random_inputs(8, 4, side, 16, d // 4, 1, 7)
    for name, order in ORDERS.items():
        held[side, name] = cost.held_for_backward(AsModule(lambda *tensors: order(*tensors, (side, side))), *inputs)
        print(f"{side} × {side}, d = {d:3d}, {name:<12} keeps {held[side, name] / 2**20:7.2f} MiB")

assert held[32, "convolution"] < held[32, "lambda"] < held[32, "attention"]
assert held[8, "attention"] < min(held[8, "convolution"], held[8, "lambda"])  # small map, many channels: the map is the smaller one

# %% [markdown]
# On the large map the convolution keeps the least by far: lambdas, but neither maps nor $E$. On the small one the attention order does.
#
# ## 6 · The paper's memory column
#
# Table 4 of the paper prints the memory of a ResNet-50 whose 3×3 convolutions have been replaced, for a batch of 128 pictures in float32. We can find the same numbers again by counting one kind of tensor in each row: the maps of attention, with 8 heads; the dense embeddings $E$ of the lambda layers, with k = 16 where the row says nothing else. (GiB: 2³⁰ bytes.) "Axial" attention only meets the pixels of its own row and column.

# %%
for name, ours, printed in cost.memory_table():
    print(f"{name:<33} {ours:7.2f} GiB by our count, {printed:6} GB printed")
    assert abs(ours - printed) < 0.03 * printed

# %% [markdown]
# The counts agree within 3 %, so this is very likely what the column counts. Two things follow, which the column does not show.
#
# *The lambdas are not in it.* Had one counted what the lambda order keeps for 128 pictures, $b\,n\,k\,v$ numbers in each layer would come on top:

# %%
stages = zip((56, 28, 14, 7), (3, 4, 6, 3), (64, 128, 256, 512))  # side, layers, channels of ResNet-50's stages
lambda_bytes = sum(4 * layers * 128 * side**2 * 16 * (d // 4) for side, layers, d in stages)
embedding_bytes = cost.embedding_memory()
print(f"position lambdas {lambda_bytes / 2**30:.2f} GiB, embeddings {embedding_bytes / 2**30:.2f} GiB")
print(f"together {(lambda_bytes + embedding_bytes) / 2**30:.2f} GiB; maps {cost.attention_memory() / 2**30:.2f} GiB")
assert round(lambda_bytes / 2**30, 2) == 2.63 and lambda_bytes > embedding_bytes

# %% [markdown]
# Together that is about as much as axial attention's maps, and still a small part of global attention's. (In favour of lambdas: the convolution order needs no $E$ at all, only a table of k · r² numbers.)
#
# *The batch is in some rows only.* Maps grow with the batch; $E$ has no batch axis.
#
# **Predict.** For a batch of *one* picture, how many times as large as the embeddings $E$ are the maps of global attention?

# %%
guess = None  # a factor: maps / embeddings, for one picture
check_answer("05.6", guess)

# %%
for batch in (1, 2, 128):
    print(f"batch {batch:3d}: maps / embeddings = {cost.attention_memory(batch) / cost.embedding_memory():.1f}")
assert cost.attention_memory(1) / cost.embedding_memory() == 0.5
assert cost.attention_memory(128) / cost.embedding_memory() == 64


# %% [markdown]
# The ratio is b · h / k. The factor of 64 is a statement about training with 128 pictures; for one picture the dense embeddings are twice as large as the maps. And when nothing is kept for a backward pass, memory is needed for one layer at a time, in any of the rows (if $E$ is made from its table when its layer runs).
#
# ### Turn the dials
#
# The same formulas, for sizes of your choice. Orange marks the smaller of maps and position lambdas, and the order that `plan` picks. Things to find: which bars do not move with the batch? At which side does the orange change from lambdas to maps, and what do h and k do to this tie?

# %%
def dials(side: int = 32, d: int = 64, k: int = 16, h: int = 4, r: int = 7, batch: int = 8):
    n, v = side * side, d // h
    stored = {"maps": batch * h * n * n, "position lambdas": batch * n * k * v, "content lambda": batch * k * v,
              "dense E": n * n * k, "stencils": k * r * r}
    position = position_costs(batch, h, (side, side), k, v, 1, (r, r))
    adds = {f"position, {name} order": price for name, price in position.items()}
    adds["content, as a map"] = cost.attention_multiply_adds(batch, h, n, n, k, v)
    adds["content, as a lambda"] = cost.content_multiply_adds(batch, h, n, n, k, v)
    lit = {min("maps", "position lambdas", key=stored.get), f"position, {plan(batch, h, (side, side), k, v, 1, (r, r))} order"}
    title = f"multiply-adds for each pair of pixels: lambda k·v = {k * v}, map h·(k+v) = {h * (k + v)}"
    return figures.cost_bars({"numbers made, by formula": stored, "multiply-adds, by formula": adds}, lit, (10, 1e15), title)


dials()
plt.show()

# %% tags=["nbval-ignore-output"]
widgets.explore(dials, side=widgets.slider("side of the map", 4, 64, 32), d=widgets.choice("channels d", [64, 128, 256, 512]),
                k=widgets.choice("k", [8, 16, 32], 16), h=widgets.choice("heads h", [1, 2, 4, 8, 16], 4),
                r=widgets.choice("window r", [3, 7, 15, 23], 7), batch=widgets.choice("pictures b", [1, 8, 128], 8))


# %% [markdown]
# The batch moves everything but $E$ and the stencils. More heads make more maps and smaller lambdas, so they move the tie to smaller sides; a larger k moves it back. (Exercise 4 asks for the formula.)
#
# ## 7 · The clock
#
# Multiply-adds are not seconds. A processor may do many times more of them per second in one large matrix product than in a convolution with a single input channel, and copies, which cost time, are not counted at all. So we time what a training step does: forward and backward. A stopwatch on a busy machine needs care: run everything once to warm up, take the candidates in turn so that a disturbance hits all of them, and report the median.
#
# A fourth candidate joins. Several public implementations compute position lambdas as a three-dimensional convolution, with v as a third axis of the picture along which the kernel has length 1. It makes the same lambdas with as many multiply-adds:

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


def stopwatch(functions: dict, budget: float = 2) -> dict[str, float]:
    """Seconds of each function: the median of at least three runs, taken in turn; the first turn warms up and is left out."""
    turns, begin = [], time.perf_counter()
    while len(turns) < 4 or time.perf_counter() - begin < budget:
        turns.append([])
        for function in functions.values():
            start = time.perf_counter()
            function()
            turns[-1].append(time.perf_counter() - start)
    return dict(zip(functions, map(statistics.median, zip(*turns[1:]))))


def step(order, inputs, size):
    """One forward and backward pass, to be run later."""
    return lambda: torch.autograd.grad(order(*inputs, size).sum(), inputs)


# %% [markdown]
# The next cell takes 15 seconds or more. Eight pictures, k = 16, h = 4, u = 1, float32, on the CPU. The numbers stored on this page come from one run on a machine shared with other work, on one thread so that the others disturb less. Run the cell: yours will differ, and yours are the ones that count for you. Run it twice: where the winner changes, the two are too close to call, or your machine is too busy.

# %% tags=["nbval-ignore-output"]
candidates = ORDERS | {"conv3d": conv3d_lambdas}
groups = {}
for side, d, r in ((32, 64, 7), (16, 128, 7), (14, 256, 7), (8, 256, 7), (14, 256, 23)):
    inputs = random_inputs(8, 4, side, 16, d // 4, 1, r)
    prices = position_costs(8, 4, (side, side), 16, d // 4, 1, (r, r))
    prices["conv3d"] = prices["convolution"]
    seconds = stopwatch({name: step(order, inputs, (side, side)) for name, order in candidates.items()})
    groups[f"{side}×{side}, d {d}, r {r}"] = {name: (prices[name], seconds[name]) for name in candidates}

agreed = 0
print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s)")
for title, row in groups.items():
    planned, fastest = (min(ORDERS, key=lambda name: row[name][kind]) for kind in (0, 1))  # of the library's three
    agreed += planned == fastest
    print(f"{title:<21}" + "".join(f"{name} {1000 * seconds:7.1f} ms   " for name, (_, seconds) in row.items()))
    print(f"{'':<21}fewest multiply-adds: {planned}; fastest: {fastest}", end="")
    print(f" ({row[planned][1] / row[fastest][1]:.2f} times as fast)" if planned != fastest else "")
print(f"here `plan` names the fastest of the library's three orders for {agreed} of {len(groups)} shapes")
figures.counted_and_clocked(groups)
plt.show()
print("billion multiply-adds per second, the backward pass taken as twice the forward one:")
for title, row in groups.items():
    speeds = {name: 3 * price / seconds / 1e9 for name, (price, seconds) in row.items()}
    print(f"{title:<21}" + "   ".join(f"{name} {speed:6.1f}" for name, speed in speeds.items()))

# %% [markdown]
# If the bars of a pair had the same height, counting would be enough. Where they do not, the table below the figure gives the reason: the orders get through different numbers of multiply-adds in a second, on the same processor. So an order with more of them may be done sooner, and where your output names two different orders, `plan` does not pick the fastest one. It is kept simple on purpose: it looks at shapes only, so a net computes in the same way on every machine and a training run can be repeated. To override it, `with cost.contraction_order("attention"):` makes every layer inside use one order; measure on your hardware, with your dtype and your batch.
#
# ## 8 · Why no Conv3d?
#
# Not because it is always slow: see its bars above, which may be better than those of our own convolution. It is that three-dimensional convolutions are used less, so their fast paths are fewer and break more easily. On graphics cards with PyTorch 2.9, users reported them as [4 times slower in mixed precision](https://github.com/pytorch/pytorch/issues/166122), [10 to 20 times slower](https://github.com/pytorch/pytorch/issues/174051), and [needing far more memory in bfloat16](https://github.com/pytorch/pytorch/issues/166643), on account of the version of cuDNN, NVIDIA's library of convolutions, that came with it; with some versions of cuDNN [the results were wrong](https://github.com/pytorch/pytorch/issues/163539). The first three are closed by now. Published benchmarks of timm, a library of vision models, fit with this: between PyTorch 2.4 and 2.9.1 on an RTX 4090, `lambda_resnet26t`, which uses a Conv3d, fell from 4193 to 2146 pictures per second, while `lambda_resnet26rpt_256`, a variant without one, stayed where it was (3276 and 3278). (These are their measurements, [pictures per second](https://github.com/huggingface/pytorch-image-models/tree/main/results), not ours.) A Conv2d over b · v pictures says the same thing and does not depend on that path.
#
# ## 9 · Today
#
# The paper is from early 2021. At the end of that year [Rabe and Staats](https://arxiv.org/abs/2112.05682) showed that exact attention needs no stored map, and in 2022 [FlashAttention](https://arxiv.org/abs/2205.14135) made it fast: the map is made in pieces, each piece is used at once and thrown away, and the backward pass makes it again. PyTorch has this as `F.scaled_dot_product_attention`. What does it keep?

# %% tags=["nbval-ignore-output"]
ask, key, value = (torch.randn(1, 4, 1024, 16, requires_grad=True) for _ in range(3))  # one picture of 32 × 32, 4 heads
offsets = torch.randn(1024, 1024, 16, requires_grad=True)


def fused(queries, keys, values):
    """softmax_attention of lesson 01, without a stored map where PyTorch has a fused kernel."""
    return F.scaled_dot_product_attention(queries, keys, values, scale=1.0)


def fused_with_positions(queries, keys, values, embeddings):
    """relative_attention of lesson 01: the position scores are handed over as a mask that is added."""
    return F.scaled_dot_product_attention(queries, keys, values, attn_mask=einsum("bhnk,nmk->bhnm", queries, embeddings), scale=1.0)


assert torch.allclose(fused(ask, key, value), attention.softmax_attention(ask, key, value), atol=1e-5)
assert torch.allclose(fused_with_positions(ask, key, value, offsets), attention.relative_attention(ask, key, value, offsets), atol=1e-4)
kept = {
    "attention, plain": cost.held_for_backward(AsModule(attention.softmax_attention), ask, key, value),
    "attention, fused": cost.held_for_backward(AsModule(fused), ask, key, value),
    "with positions, plain": cost.held_for_backward(AsModule(attention.relative_attention), ask, key, value, offsets),
    "with positions, fused": cost.held_for_backward(AsModule(fused_with_positions), ask, key, value, offsets),
    "position output, r = 7, convolution": cost.held_for_backward(
        AsModule(lambda *tensors: convolution_order(*tensors, (32, 32))), *random_inputs(1, 4, 32, 16, 16, 1, 7)),
}
for name, size in kept.items():
    print(f"{name:<36} keeps {size / 2**20:6.2f} MiB")
print(f"{'one map of 4 heads':<36}       {4 * 1024**2 * 4 / 2**20:6.2f} MiB;  E {offsets.numel() * 4 / 2**20:.2f} MiB")

# %% [markdown]
# Plain attention keeps its map. Fused attention keeps queries, keys, values and output: for content, the memory argument against attention is gone wherever such a kernel runs. The time remains $n\cdot m$; only the storing went.
#
# Relative positions are the awkward case. Scores $q_n\cdot e_{nm}$ handed over as a mask are an array of $n\times m$ numbers per head again, so little or nothing is saved. There are kernels that let you change each score on the way, without storing it (PyTorch's FlexAttention is one); we have not measured what they keep for such a term. The position output by convolution keeps little too, for a window of any size: what it keeps is linear in n.
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
# **2 · Choose.** k = 8, u = 1. Which of the three orders has the fewest multiply-adds for
# (a) 24 × 24, d = 32, h = 2, r = 5; (b) 6 × 6, d = 64, h = 2, r = 5; (c) 6 × 6, d = 64, h = 32, r = 11? Work it out with the formulas of step 3, divided by b · n; then check yourself with `plan`.

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
# In (c) 32 heads share each lambda, and the window of 11 × 11 is larger than the map.
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
# **5 · Implement.** A fourth order, for u = 1: a map of the *window* only. For each query and head mix the k stencils into one kernel of r² weights; gather the r² neighbours of each pixel (`F.unfold`, with zeros beyond the border); weigh them. The first check compares the output, the second the multiply-adds: with `@` or `einsum` it should take b · h · n · r² · (k + v). (The counter does not see `*` followed by a sum.)

# %%
def window_map(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor | None:
    """(b, h, n, k), (k, 1, r, r), (b, m, v, 1) -> (b, h, n, v): kernels first, then the neighbours."""
    return None  # replace this line


trial = random_inputs(2, 3, 5, 11, 13, 1, 3, torch.float64, width=7)
mine = window_map(*trial, (5, 7))
price = None if mine is None else counted(window_map, *trial, (5, 7))
print(check_close(mine, convolution_order(*trial, (5, 7)), "does each pixel meet the taps in the order of the table?"), check_answer("05.E5", price), sep="\n")

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
# For a 32 × 32 map with d = 64, k = 16, h = 4, r = 7 that makes 6.4 million multiply-adds, where the convolution takes 13.9. It is not in lambdalib: gathering copies every pixel r² times, which the count does not see. Put it on the stopwatch of step 7 and judge for yourself.
#
# </details>

# %%
windowed, convolved = 4 * 1024 * 49 * (16 + 16), position_costs(1, 4, (32, 32), 16, 16, 1, (7, 7))["convolution"]
print(f"window map {windowed / 1e6:.1f}, convolution {convolved / 1e6:.1f} million multiply-adds")
assert (round(windowed / 1e6, 1), round(convolved / 1e6, 1)) == (6.4, 13.9)

# %% [markdown]
# ## What we now know
#
# * A lambda pays where it is shared. The palette is shared by all queries and is cheap on any large map; a position lambda is shared by h heads only, and over a whole map it needs k · v multiply-adds for each pair of pixels where a map needs h · (k + v).
# * Memory: maps grow with pixels, lambdas with channels, with a tie at m = k · v / h. The paper's memory column counts the dense embeddings; its factor of 64 is b · h / k for 128 pictures.
# * Three orders (four, with exercise 5) give one output. Fewest multiply-adds is a rule, not a stopwatch; only a stopwatch is a stopwatch.
#
# **Ledger.** *Less memory*: for, large maps in training, 16 times at 32 × 32, d = 64, if no $E$ is made; against, small maps with many channels (32 times as much at 4 × 4, d = 512), and fused attention, which came later, keeps no map either, at least for content. *Faster*: open, it depends on the order, the shape and the machine. *Without attention maps*: true of the content half; against, for many shapes the cheapest of the three orders of the position half makes one.
#
# **The code of this lesson** lives in `lambdalib/contractions.py`: `convolution_order`, `lambda_order`, `attention_order`, `position_costs`, `plan`; and in `lambdalib/cost.py`: `multiply_adds`, `held_for_backward`, `memory_table`.
#
# **Next.** Cost depends on the size of the map and on the width. Both change from stage to stage in a net. So where in it does a lambda layer belong? [Lesson 06: LambdaResNet](06_lambda_resnet.ipynb).
