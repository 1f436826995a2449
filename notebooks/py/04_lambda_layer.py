# %% [markdown]
# # 04 · The lambda layer
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/04_lambda_layer.ipynb)

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
# > **After this lesson you can** build the whole lambda layer, say for each of its lines why it is there, take it apart line by line, and test what its two halves can do alone and together.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (palettes), [lesson 03](03_position_lambdas.ipynb) (stencils), `nn.Module`, and an idea of what batch norm does: it shifts and scales each channel to mean 0 and variance 1. Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 35 minutes to read, 30 for the exercises; the code runs in about 15 seconds on two CPU cores.

# %% [markdown]
# ## Do the two halves need each other?
#
# A palette sees the whole picture, but no shape. Stencils see shape, but only within their scope. This lesson puts the two halves into one layer that can stand where a 3 × 3 convolution stood: feature map in, feature map out.
#
# Most of the work is around the two sums that you know. Where do queries, keys and values come from? Why are two of them normalised and not the third? How large should the stencils be when training starts? And the boxed index: why are there several queries for one lambda?
#
# $$y_{hn} \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\lambda^c,\;k\times v} \;+\; \underbrace{\sum_m e_{nm}\,v_m^\top}_{\lambda^p_n,\;k\times v}\Big)^{\!\top} \boxed{q_{hn}}$$
#
# The letter $h$ counts **heads**: the queries that one position asks. At the end three small networks, with one half each and with both, try two puzzles.

# %%
import copy
from math import prod

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, einsum, nn

from lambdalib.contractions import position_output
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_masked_content_lambdas, check_merge_heads
from lambdalib.course.examples import plane
from lambdalib.course.questions import check_answer
from lambdalib.guards import activation_checkpointed, check_arguments, check_features, float32_under_float16
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.training.data import load_sample

torch.manual_seed(0)
figures.brackets(n=36, m=36, k=6, v=4, lit="tile", heads=4)
plt.show()

# %% [markdown]
# The content half, for 36 pixels and four heads. Look at the right: Q has four sheets, one per head, but there is one orange tile for all of them. ($\sigma$ stands for the keys after their softmax. The left bracket gives the same numbers, and stores a square for each head.) All queries of a picture share one palette; all heads of a pixel share one position lambda.

# %% [markdown]
# ## 1 · Project
#
# Three 1 × 1 convolutions make queries, keys and values from the $d$ channels $x$ of each pixel. The context is the picture itself, so $m$ and $n$ count the same pixels. A 1 × 1 convolution is a matrix product at every pixel, the same matrix everywhere:
#
# $$Q = \mathrm{BN}(W_q x)\in\mathbb{R}^{b\times h\times n\times k},\qquad K = W_k x\in\mathbb{R}^{b\times m\times k\times u},\qquad V=\mathrm{BN}(W_v x)\in\mathbb{R}^{b\times m\times v\times u}$$
#
# BN is batch norm, and $u$ is lesson 03's intra-depth. The layer is to give $d_{out}$ channels, so each head gives $v = d_{out}/h$ of them. For a given $d_{out}$, more heads make the lambda *narrower*. Attention's heads are as narrow, but each has keys and values of its own, $d_{out}$ value channels in all. Ours share them: a pixel has only $v$ value channels, however many heads ask.
#
# Below: $d=5$ channels in, $d_{out}=12$ out, $h=3$ heads, so $v=4$; $k=7$ and $u=2$. The map is 2 × 3 and $b=1$. The norms are left out here and come with the class in step 4.

# %%
d, h, k, v, u = 5, 3, 7, 4, 2
features = torch.randn(1, d, 2, 3, dtype=torch.float64)
to_queries, to_keys, to_values = (
    nn.Conv2d(d, depth, 1, bias=False, dtype=torch.float64) for depth in (h * k, k * u, v * u)
)


def to_rows(maps: Tensor) -> Tensor:
    """(b, d, H, W) -> (b, n, d): one row per pixel, row by row of the picture."""
    return maps.flatten(2).transpose(1, 2)


queries = to_rows(to_queries(features)).unflatten(2, (h, k)).transpose(1, 2)
keys = to_rows(to_keys(features)).unflatten(2, (k, u))
values = to_rows(to_values(features)).unflatten(2, (v, u))  # channel = value · u + intra
print("queries", tuple(queries.shape), "  keys", tuple(keys.shape), "  values", tuple(values.shape))
# a matrix, at each pixel
assert torch.allclose(to_rows(to_keys(features)), to_rows(features) @ to_keys.weight[:, :, 0, 0].T)
assert torch.equal(to_rows(features)[0, 0], features[0, :, 0, 0])  # the first row is the first pixel
# one reshape: right shape, wrong numbers
assert not torch.equal(features.reshape(1, 6, d)[0, 0], features[0, :, 0, 0])

# %% [markdown]
# Note the last line. In memory all of channel 0 comes first, then all of channel 1. A single `reshape` to (b, n, d) keeps that order and cuts it elsewhere, so pixels and channels get mixed. Such code runs without complaint.

# %% [markdown]
# ## 2 · Many queries, one lambda
#
# The $h$ queries of a pixel, stacked, are a matrix $Q_n$ of $h\times k$. All are applied to the same lambda, so one small product gives all of the pixel's channels:
#
# $$Y_n = Q_n\,\lambda_n,\qquad (h\times k)(k\times v) = h\times v$$
#
# (Row $h$ of $Y_n$ is $y_{hn}^\top = q_{hn}^\top\lambda_n$, the formula from above on its side.) The paper calls it a *multi-query* lambda. The lambda is the costly thing, and here $h$ queries share its price (lesson 05 counts it). What the sharing costs can be seen with a ruler of linear algebra, the rank:

# %%
lam = torch.randn(1, 1, 7, 5, dtype=torch.float64)  # one lambda, k = 7 and v = 5
four_queries = torch.randn(1, 4, 1, 7, dtype=torch.float64)  # h = 4
Y = apply_lambdas(four_queries, lam)[0, :, 0]  # (h, v)
Y_short = apply_lambdas(four_queries[..., :2], lam[:, :, :2])[0, :, 0]  # the same with k = 2
print("Y has shape", tuple(Y.shape), "and rank", int(torch.linalg.matrix_rank(Y)), "with k = 7; rank",
      int(torch.linalg.matrix_rank(Y_short)), "with k = 2")
own = torch.randn(4, 2, 5, dtype=torch.float64)  # for comparison: a lambda of its own for each head, k = 2
Y_own = einsum("hk,hkv->hv", four_queries[0, :, 0, :2], own)
print("four lambdas, one per head: rank", int(torch.linalg.matrix_rank(Y_own)), "with k = 2")
assert (torch.linalg.matrix_rank(Y) == 4 and torch.linalg.matrix_rank(Y_short) == 2
        and torch.linalg.matrix_rank(Y_own) == 4)

twins = apply_lambdas(four_queries[:, [0, 0, 1, 2]], lam)  # heads 0 and 1 ask the same
assert torch.allclose(twins[:, 0], twins[:, 1]) and not torch.allclose(twins[:, 1], twins[:, 2])


# %% [markdown]
# Two heads that ask the same get the same. And however many heads ask one lambda, the rank of $Y_n$ is at most k: with k = 2, four heads give four mixtures of the same two rows. Four lambdas would not have this limit.

# %% [markdown]
# ## 3 · Merge the heads
#
# The output comes as (b, h, n, v). The next layer wants a map with $h\cdot v$ channels. Ours are **head-major**: all channels of head 0, then all of head 1, so channel = head · v + value. Any fixed order would learn as well, but weights that travel between two implementations need the same one.
#
# **Exercise 1 · Implement.** Write the merge.

# %%
def my_merge(output: Tensor, height: int, width: int) -> Tensor:
    """(b, h, n, v), n = height · width -> (b, h · v, height, width), head-major."""
    b, h, n, v = output.shape
    return torch.zeros(b, h * v, height, width, dtype=output.dtype)  # your line here


check_merge_heads(my_merge)


# %% [markdown]
# <details><summary>Solution</summary>
#
# The pixels must go last, and a `reshape` cannot swap axes: first `transpose`, then `reshape`.
#
# ```python
# def my_merge(output, height, width):
#     b, h, n, v = output.shape
#     return output.transpose(2, 3).reshape(b, h * v, height, width)
#
#
# check_merge_heads(my_merge)
# ```
#
# </details>

# %% [markdown]
# ## 4 · The class
#
# Here is the whole layer, the code of `lambdalib.layer`. Read `forward` from top to bottom: project and normalise, split the channels, content lambda, position output, merge. `rearrange`, from the package einops, splits, moves and joins axes by name: `"b (h k) y x -> b h (y x) k"` reads the channels as h heads of k, and makes one row per pixel. It never mixes pixels and channels, and it complains where the names do not fit. What is new will be taken apart below, each time by breaking it:
#
# | line | question | step |
# |---|---|---|
# | `norm_queries`, `norm_values`, and no norm of the keys | why these two? | 5 |
# | `init.normal_(self.table, ...)` | how loud may the stencils be? | 6 |
# | `init.normal_(self.to_queries.weight, ...)`, `bias=False` | why this size, why no bias? | 7 |
# | `@float32_under_float16` | why not in float16? | 8 |
# | `pool`, `sides`, `position_bias` | stride, scope, one more vector | 9 |
# | `order`, `recompute` (and `@activation_checkpointed`) | the same numbers at another price | lesson 05 |
#
# `check_arguments` and `check_features` refuse what cannot work, with a sentence. They and the two decorators are in `lambdalib.guards`. `position_output` is `apply_lambdas(queries, position_lambdas(relative_embeddings(table, ...), values))` with the products in another order where that is cheaper; lesson 05 opens it, and the assert below compares the two.

# %%
class LambdaLayer(nn.Module):
    """A lambda layer over a feature map, (b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride))."""

    def __init__(self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4, dim_u: int = 1,
                 scope: int | None = 23, feat_size: tuple[int, int] | None = None, stride: int = 1,
                 position_bias: bool = False, order: str = "auto", recompute: bool = False):  # fmt: skip
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order)
        self.heads, self.dim_k, self.dim_u, self.dim_v = heads, dim_k, dim_u, dim_out // heads
        self.feat_size, self.order, self.recompute = feat_size, order, recompute
        self.to_queries = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv2d(dim, dim_k * dim_u, 1, bias=False)
        self.to_values = nn.Conv2d(dim, self.dim_v * dim_u, 1, bias=False)
        self.norm_queries, self.norm_values = nn.BatchNorm2d(heads * dim_k), nn.BatchNorm2d(self.dim_v * dim_u)
        sides = (scope, scope) if scope else (2 * feat_size[0] - 1, 2 * feat_size[1] - 1)
        self.table = nn.Parameter(torch.empty(dim_k, dim_u, *sides))
        self.position_bias = nn.Parameter(torch.zeros(dim_k)) if position_bias else None
        self.pool = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        for projection, depth in (self.to_queries, dim_k * dim), (self.to_keys, dim), (self.to_values, dim):
            # the paper's, with attention's 1/√k in the queries
            nn.init.normal_(projection.weight, std=depth**-0.5)
        visible = scope**2 if scope else prod(feat_size)
        nn.init.normal_(self.table, std=(dim_k * dim_u * visible) ** -0.5)  # the position output starts near 1

    @activation_checkpointed
    @float32_under_float16
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride))."""
        check_features(features, self.to_keys.in_channels, self.feat_size)
        size = tuple(features.shape[2:])
        queries = self.norm_queries(self.to_queries(features))
        keys = self.to_keys(features)
        values = self.norm_values(self.to_values(features))
        queries = rearrange(queries, "b (h k) y x -> b h (y x) k", h=self.heads)
        keys = rearrange(keys, "b (k u) y x -> b (y x) k u", u=self.dim_u)
        values = rearrange(values, "b (v u) y x -> b (y x) v u", u=self.dim_u)
        output = apply_lambdas(queries, content_lambda(keys, values))
        output = output + position_output(queries, self.table, values, size, self.order)
        if self.position_bias is not None:
            output = output + (queries @ self.position_bias)[..., None]
        return self.pool(rearrange(output, "b h (y x) v -> b (h v) y x", y=size[0]))


# %% [markdown]
# First its numbers. On sizes that are all different, so that no two axes can be taken for each other, the layer must agree with the definitions of lessons 02 and 03:

# %%
layer = LambdaLayer(5, 22, dim_k=7, heads=2, dim_u=3, scope=9).double()  # v = 22 / 2 = 11
features = torch.randn(6, 5, 4, 13, dtype=torch.float64)  # b = 6, a map of 4 rows and 13 columns

queries = to_rows(layer.norm_queries(layer.to_queries(features))).unflatten(2, (2, 7)).transpose(1, 2)
keys = to_rows(layer.to_keys(features)).unflatten(2, (7, 3))
values = to_rows(layer.norm_values(layer.to_values(features))).unflatten(2, (11, 3))
lam = content_lambda(keys, values)[:, None] + position_lambdas(relative_embeddings(layer.table, 4, 13), values)
by_definition = apply_lambdas(queries, lam).transpose(2, 3).reshape(6, 22, 4, 13)
assert torch.allclose(layer(features), by_definition)
print(tuple(features.shape), "->", tuple(layer(features).shape))


# %% [markdown]
# We shall need the two halves apart, so here is the layer's forward once more, without the sum (and without stride and bias, which we do not need here):

# %%
def two_halves(layer: LambdaLayer, features: Tensor) -> tuple[Tensor, Tensor]:
    """The content half and the position half of a layer's output, each (b, dim_out, H, W)."""
    size = features.shape[2:]
    queries = (to_rows(layer.norm_queries(layer.to_queries(features)))
               .unflatten(2, (layer.heads, layer.dim_k)).transpose(1, 2))
    keys = to_rows(layer.to_keys(features)).unflatten(2, (layer.dim_k, layer.dim_u))
    values = to_rows(layer.norm_values(layer.to_values(features))).unflatten(2, (layer.dim_v, layer.dim_u))
    content = apply_lambdas(queries, content_lambda(keys, values))
    position = position_output(queries, layer.table, values, size)
    return tuple(half.transpose(2, 3).flatten(1, 2).unflatten(2, size) for half in (content, position))


assert torch.allclose(sum(two_halves(layer, features)), layer(features))

# %% [markdown]
# One output pixel by hand. A fresh layer, untrained (with keys three times as large, so that the rows of its palette differ visibly), on the plane: four heads, k = 6, v = 4. The query of the chosen head (six orange bars) times the lambda (6 × 4; purple above zero, brown below) gives four numbers, the head's channels at this pixel.

# %%
torch.manual_seed(0)
on_plane = LambdaLayer(3, 16, dim_k=6, heads=4, scope=7)
with torch.no_grad():
    image = plane()
    picture = image[None]
    # mean 0, variance 1
    picture = (picture - picture.mean((2, 3), keepdim=True)) / picture.std((2, 3), keepdim=True)
    on_plane.to_keys.weight *= 3  # sharper keys, so that the palette's rows differ visibly
    plane_queries = (to_rows(on_plane.norm_queries(on_plane.to_queries(picture)))
                     .unflatten(2, (4, 6)).transpose(1, 2))
    plane_values = to_rows(on_plane.norm_values(on_plane.to_values(picture)))[..., None]
    palette = content_lambda(to_rows(on_plane.to_keys(picture))[..., None], plane_values)  # (b=1, k, v)
    readings = position_lambdas(relative_embeddings(on_plane.table, 32, 32), plane_values)  # (b=1, n, k, v)
    whole = on_plane(picture)


def at_pixel(row: int = 21, column: int = 18, head: int = 0, part: str = "sum"):
    pixel = 32 * row + column
    lam = {"content": palette[0], "position": readings[0, pixel], "sum": palette[0] + readings[0, pixel]}[part]
    query = plane_queries[0, head, pixel]
    if part == "sum":
        # the layer's own output
        assert torch.allclose(query @ lam, whole[0, 4 * head : 4 * head + 4, row, column], atol=1e-4)
    return figures.one_pixel(image, (row, column), query, lam, query @ lam, limits=(6, 4.5, 20))


at_pixel()
plt.show()

# %% [markdown]
# In the widget, change the head: the bars on the left change, the lambda does not. Then choose "content" and move the pixel: again the lambda stays, since the palette belongs to the picture. With "position" it moves. (The scales stay fixed so that pixels can be compared; at a few extreme pixels a bar leaves its frame.)

# %% tags=["nbval-ignore-output"]
widgets.explore(at_pixel, row=widgets.slider("row", 0, 31, 21), column=widgets.slider("column", 0, 31, 18),
                head=widgets.choice("head", [0, 1, 2, 3], 0),
                part=widgets.choice("lambda", ["content", "position", "sum"], "sum"))

# %% [markdown]
# ## 5 · Why the norms?
#
# Take the two norms out: `bare` is the same layer with `nn.Identity` in their places.
#
# **Predict.** The input is multiplied by 10. The output of a convolution without bias would be 10 times as large. The position half of the bare layer is … times as large?

# %%
guess = None  # a number
check_answer("04.1", guess)


# %%
def bare(layer: LambdaLayer) -> LambdaLayer:
    """The same layer without its two norms."""
    layer = copy.deepcopy(layer)
    layer.norm_queries = layer.norm_values = nn.Identity()
    return layer


torch.manual_seed(0)
layer = LambdaLayer(16, dim_k=8, heads=4, scope=5).double()
features = torch.randn(4, 16, 11, 13, dtype=torch.float64)
factors, curves = [1, 2, 5, 10, 20, 50, 100], {}
with torch.no_grad():
    for name, version in {"without norms": bare(layer), "with norms": layer}.items():
        start = two_halves(version, features)
        scaled = [two_halves(version, s * features) for s in factors]
        for i, half in enumerate(("content", "position")):
            curves[f"{half}, {name}"] = [float(y[i].norm() / start[i].norm()) for y in scaled]

for name, curve in curves.items():
    print(f"{name:<24} × 10: {curve[3]:6.3g}   × 100: {curve[6]:8.3g}")
assert all(abs(y / s**2 - 1) < 1e-9 for s, y in zip(factors, curves["position, without norms"]))
assert all(abs(y - 1) < 1e-3 for y in curves["position, with norms"])
assert curves["content, with norms"][-1] < 10
figures.scale_curves(factors, curves)
plt.show()

# %% [markdown]
# A convolution multiplies the input with weights. This layer multiplies the input with *the input*: the query and the value both carry the factor $s$, so the product carries $s^2$. Such a function is called quadratic, or of **degree 2**. In the figure's logarithmic axes its slope is 2, a convolution's is 1.
#
# One such layer is no harm; what a stack of them does is exercise 4. With the norms, queries and values have the same size whatever comes in, and the position half does not grow at all, but for the tiny number that batch norm adds to the variance.
#
# (The bare content half grows faster still: the keys carry the factor too. While they are small, each row of the palette is nearly the plain mean of the values, which for noise is close to 0; larger keys make it pick.)
#
# And the **keys**? The content half with norms still grows, here about four times: larger keys make a softmax sharper. But it levels off, for a soft key is a set of weights that sum to 1 over the context, and a weighted mean is never beyond the largest value (at u > 1 the palette is a sum of u such means). So the softmax bounds the palette as a norm would. A batch norm on the keys would do two more things. It would shift them, which the softmax undoes; and it would scale them, which sets how sharp the softmax starts. The bound needs neither, so the keys go without a norm, and the size of $W_k$ sets the sharpness (step 7). The cell checks the bound and the shift:

# %%
keys = torch.randn(2, 35, 7, 1, dtype=torch.float64)
values = torch.randn(2, 35, 11, 1, dtype=torch.float64)
shift = torch.randn(7, 1, dtype=torch.float64)  # one number for each of the k columns
assert torch.allclose(content_lambda(keys + shift, values), content_lambda(keys, values))
assert content_lambda(1000 * keys, values).abs().max() <= values.abs().max()
print("a shift of the keys changes nothing, and keys 1000 times as large cannot pass the largest value")

# %% [markdown]
# ## 6 · How loud may the stencils be?
#
# The table of stencils starts with random numbers. How large? The paper draws them from $\mathcal{N}(0, 1)$, mean 0 and standard deviation 1. One pixel and channel of the position half is a sum over stencils and taps,
#
# $$y = \sum_{k}\sum_{m} q_k\,T_{k,\,m-n}\,v_m,$$
#
# in which the norms see to it that $q_k$ and $v_m$ start with standard deviation 1.
#
# **Predict.** With k = 16 stencils of side r = 23 and a table from $\mathcal{N}(0,1)$: what is the standard deviation of $y$, for white noise (every number drawn independently), far from the border?

# %%
guess = None  # a number; within 5 % will do
check_answer("04.2", guess)


# %% [markdown]
# Each term has its own entry of the table, drawn independently with mean 0, so the terms are uncorrelated and their variances add: $k\cdot r^2 = 16\cdot 529 = 8464$ terms of variance 1, and $\sqrt{8464}=92$. Such a sum's number of terms is called the **fan-in**. The remedy is as old as deep networks: divide by the square root of the fan-in. Our table starts with standard deviation $(k\cdot u\cdot \text{visible})^{-1/2}$, where *visible* is the number of taps, or of pixels in the global form.
#
# The cell measures both on white noise, over the whole map of 32 × 32. There, part of many windows lies outside and reads 0: at r = 23 the window of a pixel holds 18.875 × 18.875 pixels of the map on average.

# %%
def visible_side(r: int, size: int) -> float:
    """How many of the r taps in a row fall on the map, averaged over its pixels."""
    return sum(min(i + r // 2, size - 1) - max(i - r // 2, 0) + 1 for i in range(size)) / size


noise = torch.randn(4, 32, 32, 32)
for r in (7, 23):
    torch.manual_seed(0)
    loud = LambdaLayer(32, dim_k=16, heads=4, scope=r)
    with torch.no_grad():
        ours = float(two_halves(loud, noise)[1].std())
        nn.init.normal_(loud.table)  # the paper's N(0, 1)
        paper = float(two_halves(loud, noise)[1].std())
    expected = visible_side(r, 32) * 16**0.5
    print(f"r = {r:2}: N(0, 1) gives {paper:.1f}, expected {expected:.1f};  fan-in gives {ours:.1f}")
    assert abs(paper / expected - 1) < 0.1 and 0.6 < ours < 1.2
assert visible_side(23, 32) == 18.875

# %% [markdown]
# Seventy-six or about one: is that a matter of taste? What counts is how the two halves compare. White noise would be unfair to the content half: a row of the palette is a mean over all pixels, and the mean of noise is nearly 0. So we compare them on photographs, 64 of CIFAR-10 through an untrained 3 × 3 convolution:

# %%
torch.manual_seed(0)
photographs = load_sample().train_images[:64].float() / 255
photographs = (photographs - photographs.mean((0, 2, 3), keepdim=True)) / photographs.std((0, 2, 3), keepdim=True)
stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
loud = LambdaLayer(32, dim_k=16, heads=4, scope=23)
with torch.no_grad():
    stemmed = stem(photographs)
    content, quiet = two_halves(loud, stemmed)
    loud.table *= 92  # the same draw, now with standard deviation 1
    shouting = two_halves(loud, stemmed)[1]
assert torch.allclose(shouting, 92 * quiet, rtol=1e-3, atol=1e-3)
print(f"position / content, table by fan-in: {float(quiet.std() / content.std()):.1f}")
print(f"position / content, table N(0, 1): {float(shouting.std() / content.std()):.0f}")
assert quiet.std() < content.std() and shouting.std() > 10 * content.std()

# %% [markdown]
# With $\mathcal{N}(0,1)$ the palette is a whisper under the stencils, and the stencils' half is 92 times as large as by fan-in. A norm after the layer can repair the size of the sum, but not the proportion of its parts. Training may: the table is learnt. Whether a long training cares where it started is an experiment, not a theorem, and the paper's networks were trained from $\mathcal{N}(0,1)$. We start where both halves can be heard.

# %% [markdown]
# ## 7 · How large should the projections start?
#
# The paper starts $W_q$ with standard deviation $(k\,d)^{-1/2}$, and $W_k$ and $W_v$ with $d^{-1/2}$. The extra $k^{-1/2}$ is the size of attention's $1/\sqrt{k}$, moved into the queries. The class follows it.
#
# **Predict.** We multiply $W_q$ by 1000. The layer's output … (a) grows 1000 times, (b) hardly changes, (c) becomes NaN?

# %%
guess = None  # "a", "b" or "c"
check_answer("04.3", guess)

# %%
torch.manual_seed(0)
layer = LambdaLayer(32, dim_k=8, heads=4, scope=5).double()
features = torch.randn(8, 32, 16, 16, dtype=torch.float64)
target = torch.randn(8, 32, 16, 16, dtype=torch.float64)


def output_and_gradient(layer: LambdaLayer) -> tuple[Tensor, float]:
    """The layer's output, and the size of the gradient that reaches W_q from a squared error."""
    layer.zero_grad()
    output = layer(features)
    (output - target).square().mean().backward()
    return output.detach(), float(layer.to_queries.weight.grad.norm())


before, gradient = output_and_gradient(layer)
with torch.no_grad():
    layer.to_queries.weight *= 1000
after, smaller = output_and_gradient(layer)
print("the output moved by less than a thousandth:", bool((after - before).abs().max() < 1e-3))
print("the gradient of W_q shrank about", 100 * round(gradient / smaller / 100), "times")
assert (after - before).abs().max() < 1e-3 and 900 < gradient / smaller < 1100

# %% [markdown]
# The norm divides by the standard deviation, so the factor is gone before a lambda meets the query. All that is left is a smaller gradient for larger weights: the size at which $W_q$ starts sets how fast training turns it, and hardly what the layer computes at first. The same holds for $W_v$. It does *not* hold for $W_k$, which has no norm behind it: its size sets how sharp the softmax is.
#
# The same thought explains `bias=False`. A bias on queries or values would be subtracted again by the norm (which has its own), and a bias on keys is a shift that the softmax ignores:

# %%
with torch.no_grad():
    reference = layer(features)
    for name in ("to_queries", "to_keys", "to_values"):
        biased = copy.deepcopy(layer)
        getattr(biased, name).bias = nn.Parameter(
            torch.randn(getattr(layer, name).out_channels, dtype=torch.float64)
        )
        assert torch.allclose(biased(features), reference)
print("three biases, no change")

# %% [markdown]
# (All this is training mode, in which batch norm takes its mean and variance from the batch at hand. In `eval` mode it uses running averages from training.)

# %% [markdown]
# ## 8 · Why not in float16?
#
# GPUs are faster with numbers of 16 bits. There are two kinds. **float16** has about three decimal digits and ends at 65504. **bfloat16** has between two and three digits, and the range of float32.

# %%
three_hundred = torch.tensor(300.0)
for kind in (torch.float16, torch.bfloat16, torch.float32):
    print(f"{str(kind):<15} 300 · 300 = {float(three_hundred.to(kind) * three_hundred.to(kind)):g}")
assert torch.isinf(three_hundred.half() ** 2)

# %% [markdown]
# A convolution multiplies activations with weights, which are small. A lambda layer multiplies activations with activations, and sums many such products: that is degree 2 again. Norms make overflow unlikely, not impossible, since each norm has a scale that is learnt. Below both scales are 300. PyTorch's **autocast** runs convolutions and products in 16 bits; under float16 our layer switches it off for itself and computes in float32:

# %%
torch.manual_seed(0)
big_scales = LambdaLayer(16, dim_k=8, heads=4, scope=5)
nn.init.constant_(big_scales.norm_queries.weight, 300)
nn.init.constant_(big_scales.norm_values.weight, 300)
small_map = torch.randn(2, 16, 8, 8)
with torch.no_grad():
    exact = big_scales(small_map)
    with torch.autocast("cpu", dtype=torch.float16):
        guarded = big_scales(small_map)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = big_scales(small_map)
print("float16 autocast gives", guarded.dtype, "and every number is finite:", bool(guarded.isfinite().all()))
print("the same numbers, put into float16, are finite:", bool(exact.half().isfinite().all()))
assert guarded.dtype == torch.float32 and torch.equal(guarded, exact) and not exact.half().isfinite().all()
assert rounded.isfinite().all() and (rounded - exact).norm() < 0.03 * exact.norm()
print("bfloat16 autocast stays finite, within 3 % of float32:",
      bool((rounded - exact).norm() < 0.03 * exact.norm()))

# %% [markdown]
# The rule costs speed under float16, and keeps the sums safe. Note what it does not do: a *later* layer that squeezes the result into float16 would still overflow. bfloat16 reaches as far as float32 and needs no rule, so for this layer it is the simpler choice where the hardware has it. Its price is fewer digits.

# %% [markdown]
# ## 9 · Stride, scope, and one more vector
#
# **Stride.** In a network some 3 × 3 convolutions halve the map: they have stride 2. One could let only every second pixel ask. The paper lets all pixels ask and halves the map with a 3 × 3 average pool after the layer, and so do we. Odd sizes round up, as they do for a convolution with padding 1:

# %%
strided = LambdaLayer(8, 12, dim_k=5, heads=3, scope=3, stride=2).eval()
odd_map = torch.randn(2, 8, 7, 10)
unpooled = copy.deepcopy(strided)
unpooled.pool = nn.Identity()
assert strided(odd_map).shape == nn.Conv2d(8, 12, 3, stride=2, padding=1)(odd_map).shape == (2, 12, 4, 5)
assert torch.allclose(strided(odd_map), F.avg_pool2d(unpooled(odd_map), 3, 2, padding=1))
print("7 × 10 becomes", " × ".join(map(str, strided(odd_map).shape[2:])))

# %% [markdown]
# **Scope.** A local layer, with an odd `scope`, works on maps of any size. The **global** form, `scope=None`, lets every pixel read every other. Offsets then run from $-(H-1)$ to $H-1$, so the table has $2H-1$ by $2W-1$ entries per stencil, and it fits one map size only, `feat_size`:

# %%
local = LambdaLayer(8, dim_k=5, heads=2, scope=3)
everywhere = LambdaLayer(8, dim_k=5, heads=2, scope=None, feat_size=(4, 6))
print("tables: local", tuple(local.table.shape), "  global", tuple(everywhere.table.shape))
assert everywhere.table.shape == (5, 1, 2 * 4 - 1, 2 * 6 - 1)
assert local(torch.randn(2, 8, 4, 6)).shape[2:] == (4, 6) and local(torch.randn(2, 8, 9, 5)).shape[2:] == (9, 5)

attempts = {"an even scope": lambda: LambdaLayer(8, scope=4), "heads": lambda: LambdaLayer(8, heads=3),
            "another size": lambda: everywhere(torch.randn(2, 8, 5, 6))}
for name, attempt in attempts.items():
    try:
        attempt()
    except ValueError as error:
        print(f"{name}: {error}")
    else:
        raise AssertionError("this should have been refused")

# %% [markdown]
# **`position_bias`.** Some other implementations make position lambdas with a convolution that has a bias. It adds one k-vector to every column of every position lambda, so every channel of a head gets the same extra number, $q\cdot\text{bias}$. The paper's formula has none and our default is off; the switch is there so that trained weights can be copied in.

# %%
torch.manual_seed(0)
shifted = LambdaLayer(8, dim_k=5, heads=2, scope=3, position_bias=True)
plain_output = shifted(odd_map)
nn.init.normal_(shifted.position_bias)
extra = (shifted(odd_map) - plain_output).unflatten(1, (2, 4))  # (b, h, v, H, W)
with torch.no_grad():
    asked = (to_rows(shifted.norm_queries(shifted.to_queries(odd_map))).unflatten(2, (2, 5))
             @ shifted.position_bias)  # q · bias
assert torch.allclose(extra, asked.transpose(1, 2).reshape(2, 2, 1, 7, 10).expand_as(extra), atol=1e-5)
print("the bias adds the same to each of a head's channels:", bool((extra.std(2) < 1e-5).all()))

# %% [markdown]
# ## 10 · Two puzzles
#
# Now the question from the beginning: do the two halves need each other? The pictures are 8 × 8: noise in the first channel, and one coloured **marker** on a random pixel, red or blue, in the two others. Two questions are asked at every pixel:
#
# * **A, edge:** is my right neighbour brighter than my left one?
# * **B, far marker:** is the marker blue? The marker and the pixels next to it are not scored, so the answer has to come from afar.
#
# The network is small: a 1 × 1 convolution and ReLU, then $x + \mathrm{layer}(x)$ with stencils of 3 × 3, then a 1 × 1 convolution to two answers. Only the lambda layer carries anything from one pixel to another. (In training the statistics of its norms do so too, a little; in `eval` mode they are fixed.) Three networks are trained on both puzzles at once: one keeps only the content half, one only the position half, one both.
#
# **Predict.** Guessing gets 0.5. How many of the six results (three networks, two puzzles) will be above 0.9?

# %%
guess = None  # a whole number, 0 ... 6
check_answer("04.4", guess)


# %%
def puzzles(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (b, 3, 8, 8), the two true answers (b, 2, 8, 8), and where they are scored (b, 2, 8, 8)."""
    light = torch.rand(count, 8, 8, generator=generator)
    blue = torch.randint(2, (count, 1, 1), generator=generator).float()
    marker = F.one_hot(torch.randint(64, (count,), generator=generator), 64).view(count, 8, 8).float()
    right, left = light.roll(-1, 2), light.roll(1, 2)
    inside = torch.ones(count, 8, 8)
    inside[:, :, [0, 7]] = 0  # these columns lack a neighbour
    far = 1 - F.max_pool2d(marker, 3, 1, 1)
    pictures = torch.stack([light, marker * (1 - blue), marker * blue], 1)
    return pictures, torch.stack([(right > left).float(), blue.expand_as(light)], 1), torch.stack([inside, far], 1)


class PuzzleNet(nn.Module):
    """Two answers at every pixel, from the named halves of one lambda layer."""

    def __init__(self, content: bool, position: bool):
        super().__init__()
        self.content, self.position = content, position
        self.first, self.last = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 2, 1)
        self.layer = LambdaLayer(16, dim_k=4, heads=2, scope=3)

    def forward(self, pictures: Tensor) -> Tensor:
        x = self.first(pictures).relu()
        content, position = two_halves(self.layer, x)
        return self.last(x + self.content * content + self.position * position)


# %% [markdown]
# Training is what you know: Adam, 300 steps, a loss for yes-or-no answers, averaged over the pixels that are scored. The test pictures are new.

# %%
def train_on_puzzles(net: PuzzleNet, steps: int = 300) -> PuzzleNet:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps)
    for _ in range(steps):
        pictures, truth, scored = puzzles(32, generator)
        loss = (F.binary_cross_entropy_with_logits(net(pictures), truth, reduction="none")
                * scored).sum() / scored.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


torch.manual_seed(0)
nets = {"content only": PuzzleNet(True, False), "position only": PuzzleNet(False, True),
        "both": PuzzleNet(True, True)}
threads = torch.get_num_threads()
torch.set_num_threads(1)  # these maps are tiny: a second thread would cost more than it brings
for net in nets.values():
    train_on_puzzles(net)
torch.set_num_threads(threads)

# %% tags=["nbval-ignore-output"]
pictures, truth, scored = puzzles(1000, torch.Generator().manual_seed(1))
results = {}
with torch.no_grad():
    for name, net in nets.items():
        correct = ((net(pictures) > 0) == (truth > 0.5)) * scored
        results[name] = (correct.sum((0, 2, 3)) / scored.sum((0, 2, 3))).tolist()
        print(f"{name:<14} A, edge: {results[name][0]:.2f}    B, far marker: {results[name][1]:.2f}")

# %%
assert results["content only"][0] < 0.6 and results["content only"][1] > 0.9
assert results["position only"][0] > 0.9 and results["position only"][1] < 0.6
assert min(results["both"]) > 0.9
with torch.no_grad():
    figures.puzzle_answers(pictures[0], truth[0], scored[0],
                           {name: net(pictures[:1])[0] > 0 for name, net in nets.items()})
plt.show()

# %% [markdown]
# One of the test pictures: white is yes, grey is no, a cross is a wrong answer, and hatched pixels are not scored.
#
# Here each half solves exactly the puzzle that the other cannot. For content only, A is not hard but impossible: shuffle all the other pixels and a pixel's input to the last layer is the same, though the right answer may have changed. For position only, B is impossible: with r = 3 no number travels further than one pixel.
#
# Be fair to the stencils. A scope that covers the map *could* carry the marker's colour: with global stencils a pixel may read every other. Several small layers, one after the other, reach farther too. So the second "impossible" belongs to one layer with a scope of 3, the first one to palettes as such. And two puzzles made to measure say nothing about how photographs are divided between A and B.

# %% [markdown]
# ## Exercises
#
# (Exercise 1 was the merge in step 3.)
#
# **2 · Predict.** A layer has d = d_out = 64 channels, k = 16, u = 1 and h = 8 heads. How many weights do its three projections hold together, and how many numbers does one lambda hold?

# %%
guess = None  # a pair (weights, numbers in one lambda)
check_answer("04.5", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# Queries: 64 · (8 · 16) = 8192. Keys, shared by the heads: 64 · 16 = 1024. Values: v = 64 / 8 = 8, so 64 · 8 = 512. Together 9728. A lambda is k × v = 16 · 8 = 128. With more heads the queries grow and the lambda shrinks; 1, 2, 4, 8 and 16 heads need 6144, 5120, 6144, 9728 and 17664 weights.
#
# ```python
# guess = (9728, 128)
# weights = {h: sum(p.weight.numel() for p in (layer.to_queries, layer.to_keys, layer.to_values))
#            for h in (1, 2, 4, 8, 16) for layer in [LambdaLayer(64, heads=h)]}
# assert list(weights.values()) == [6144, 5120, 6144, 9728, 17664]
# check_answer("04.5", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · Repair.** Seen in the wild: a layer that is right at u = 1 only. The function should give the sum of both lambdas, for any u. The value maps have their channels as in the class, channel = value · u + intra. At u = 2 something is wrong.

# %%
def sum_of_lambdas(keys: Tensor, embeddings: Tensor, value_maps: Tensor) -> Tensor:
    """(b, m, k, u), (n, m, k, u), (b, v · u, H, W) -> λᶜ + λᵖ, (b, n, k, v)."""
    rows, u = to_rows(value_maps), keys.shape[3]
    v = rows.shape[2] // u
    palette = content_lambda(keys, rows.unflatten(2, (v, u)))
    return palette[:, None] + position_lambdas(embeddings, rows.unflatten(2, (u, v)).transpose(2, 3))


some_keys, some_sheets = torch.randn(2, 6, 7, 2, dtype=torch.float64), torch.randn(6, 6, 7, 2, dtype=torch.float64)
some_maps = torch.randn(2, 5 * 2, 2, 3, dtype=torch.float64)  # v = 5, u = 2, on 2 × 3 pixels
# every second channel: (b, m, v, u)
by_hand = torch.stack([to_rows(some_maps[:, 0::2]), to_rows(some_maps[:, 1::2])], 3)
wanted = content_lambda(some_keys, by_hand)[:, None] + position_lambdas(some_sheets, by_hand)
one_key, one_sheet = some_keys[..., :1], some_sheets[..., :1]
at_one = content_lambda(one_key, by_hand[..., :1])[:, None] + position_lambdas(one_sheet, by_hand[..., :1])
print("right at u = 1:", torch.allclose(sum_of_lambdas(one_key, one_sheet, some_maps[:, 0::2]), at_one))
check_close(sum_of_lambdas(some_keys, some_sheets, some_maps), wanted, "here u = 2")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The content half cuts the channels into (v, u), the position half into (u, v). The shapes agree after the transpose, but for the second half channel 1 is then value 1 where it should be the second number of value 0. At u = 1 the two cuts are the same. Cut once, and use the values twice:
#
# ```python
# def sum_of_lambdas(keys, embeddings, value_maps):
#     values = to_rows(value_maps).unflatten(2, (-1, keys.shape[3]))
#     return content_lambda(keys, values)[:, None] + position_lambdas(embeddings, values)
#
#
# check_close(sum_of_lambdas(some_keys, some_sheets, some_maps), wanted)
# ```
#
# </details>

# %% [markdown]
# **4 · Predict.** Three bare layers (no norms, position half only) stand one after the other. The input is multiplied by 2. How many times larger is the output of the third?

# %%
guess = None  # a number
check_answer("04.6", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each layer squares the factor that reaches it: 2, 4, 16, 256. After ten layers the factor would be $2^{1024}$, just beyond the end of float64.
#
# ```python
# guess = 256
# chain = [bare(LambdaLayer(8, dim_k=4, heads=2, scope=3)).double() for _ in range(3)]
# x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
# small, large = x, 2 * x
# for step in chain:
#     small, large = two_halves(step, small)[1], two_halves(step, large)[1]
# assert torch.allclose(large, 256 * small)
# check_answer("04.6", guess)
# ```
#
# </details>

# %% [markdown]
# **5 · Derive.** A table from $\mathcal{N}(0,1)$ with k = 16 and r = 7; queries and values are white noise with standard deviation 1. What is the standard deviation of the position output at the *corner* pixel of a large map?

# %%
guess = None  # a number
check_answer("04.7", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# $y=\sum_k\sum_m q_kT_{k,m-n}v_m$ is a sum of products of independent numbers with mean 0 and variance 1. Each product has variance 1, and the products are uncorrelated (each has its own $T$), so the variance is the number of terms that are not 0. In the corner the window shows 4 × 4 pixels of the map: $16\cdot 16 = 256$ terms, standard deviation 16. In the middle it is $\sqrt{16\cdot 49}=28$.
#
# ```python
# guess = 16
# torch.manual_seed(0)
# tables = torch.randn(4000, 16, 1, 7, 7, dtype=torch.float64)
# q, white = torch.randn(4000, 16, dtype=torch.float64), torch.randn(4000, 4, 4, dtype=torch.float64)
# corner = einsum("sk,skyx,syx->s", q, tables[:, :, 0, 3:, 3:], white)
# assert 15 < corner.std() < 17
# check_answer("04.7", guess)
# ```
#
# </details>

# %% [markdown]
# **6 · Implement (hard).** Sometimes a query may not see all of the context: words may not see later words, say. A mask says which: `visible[n, m]` is true where query n may read context m. The palette is then a different one for each query. Write it, so that the weights over what is visible sum to 1.

# %%
def my_masked_content_lambdas(keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """(b, m, k), (b, m, v), (n, m) of bool; each query sees at least one m -> (b, n, k, v)."""
    (b, m, k), v, n = keys.shape, values.shape[2], len(visible)
    return torch.zeros(b, n, k, v, dtype=values.dtype)  # your lines here


check_masked_content_lambdas(my_masked_content_lambdas)

# %% [markdown]
# <details><summary>Solution</summary>
#
# What is hidden must be out before the softmax: a score of minus infinity becomes a weight of exactly 0, and the others sum to 1. Hiding it after the softmax leaves weights that sum to less than 1.
#
# ```python
# def my_masked_content_lambdas(keys, values, visible):
#     scores = keys[:, None].masked_fill(~visible[None, :, :, None], float("-inf"))  # (b, n, m, k)
#     return einsum("bnmk,bmv->bnkv", scores.softmax(2), values)
#
#
# check_masked_content_lambdas(my_masked_content_lambdas)
# ```
#
# Note the price: there is now a softmax of size n × m × k. The palette was cheap because it was shared.
#
# </details>

# %% [markdown]
# ## What we now know
#
# * The layer is three 1 × 1 convolutions, two sums, and h queries per pixel that share one lambda of k × v, with v = d_out / h.
# * It multiplies its input with its input. Norms on queries and values, and float32 in place of float16, keep that in hand; the keys have the softmax. Stencils that start by fan-in keep the two halves comparable.
# * With a small scope, each half solves a puzzle that the other cannot.
#
# **Ledger.** *Long-range interactions*: for, with a small scope both halves are needed, on two puzzles made to measure; what that means for photographs is an experiment for lesson 09. And beside the five claims, *stable to train*: against, so far: the position half is of degree 2, and norms have to hold its size. [Lesson 07](07_train_on_cifar10.ipynb) trains it.
#
# **The code of this lesson** lives in `lambdalib/layer.py`: `LambdaLayer`.
#
# **Next.** It drops in where a convolution stood. But is it cheap, and cheaper than what? [Lesson 05: what it costs](05_cost.ipynb). And if the future must not be seen, as in a text, there is a side path: [lesson 04b: sequences](04b_sequences.ipynb).
