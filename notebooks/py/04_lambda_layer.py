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
# > **After this lesson you can** draw a lambda layer with all its shapes, read its class line by line, and say why two of its three projections have a norm.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (palettes), [lesson 03](03_position_lambdas.ipynb) (stencils), `nn.Module`, and batch norm: it gives every channel mean 0 and variance 1. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 50 minutes to read, 40 for the exercises. The code runs in 15 seconds on two CPU cores. **Short path:** steps 1, 2, 4 and 5.

# %% [markdown]
# ## Do the two halves need each other?
#
# A palette sees the whole image, but no shape. Stencils see shape, but only nearby. This lesson puts both into one layer. The layer can stand where a 3 × 3 convolution stood: feature map in, feature map out. The boxed part is new: the queries, and what they make of the two halves. The picture below lights it up.
#
# $$y_{hn} \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\text{palette},\;k\times v} \;+\; \underbrace{\sum_m e_{nm}\,v_m^\top}_{\text{readings},\;k\times v}\Big)^{\!\top} \boxed{q_{hn}}$$
#
# The letter $h$ is new in the formula. It counts **heads**: one pixel can have several queries.

# %%
import copy
from math import prod

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

import lambdalib
from lambdalib.arguments import check_flags
from lambdalib.contractions import position_output
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_masked_content_lambdas, check_merge_heads
from lambdalib.course.examples import plane
from lambdalib.course.puzzles import puzzles, train_on_puzzles
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.guards import activation_checkpointed, check_arguments, check_features, float32_under_float16
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.training.data import load_sample

torch.manual_seed(0)
figures.show(
    figures.one_picture(lit="query"),
    "The pixel's lambda is palette plus readings. The query mixes its rows into one output.",
    alt="The picture of the course. Lit: the lambdas of pixels A and B, their queries, and the outputs.",
)


# %% [markdown]
# ## 1 · Two puzzles
#
# We let the layer answer for itself. The images are 8 × 8. The first channel is noise. On one random pixel sits a **marker**, red or blue. At every pixel a network must answer two questions:
#
# * **A, edge:** is my right neighbour brighter than my left one?
# * **B, far marker:** is the marker blue? The marker and its neighbours are not scored, so the answer must come from far away.
#
# The network is small: a 1 × 1 convolution with ReLU, then $x + \mathrm{layer}(x)$ with stencils of 3 × 3, then a 1 × 1 convolution. Only the lambda layer carries anything from pixel to pixel. We train three versions on both puzzles: one keeps only the palette, one only the stencils, one both.
#
# The first function computes the two halves of the library's layer apart. Step 4 explains its lines.

# %%
def two_halves(layer, features: Tensor) -> tuple[Tensor, Tensor]:
    """The content half and the position half of a layer's output, each (b, dim_out, H, W)."""
    size = features.shape[2:]
    queries = (to_rows(layer.norm_queries(layer.to_queries(features)))
               .unflatten(2, (layer.heads, layer.dim_k)).transpose(1, 2))
    keys = to_rows(layer.to_keys(features)).unflatten(2, (layer.dim_k, layer.dim_u))
    values = to_rows(layer.norm_values(layer.to_values(features))).unflatten(2, (layer.dim_v, layer.dim_u))
    content = apply_lambdas(queries, content_lambda(keys, values))
    position = position_output(queries, layer.table, values, size)
    return tuple(half.transpose(2, 3).flatten(1, 2).unflatten(2, size) for half in (content, position))


def to_rows(maps: Tensor) -> Tensor:
    """(b, d, H, W) -> (b, n, d): one row per pixel, row by row of the image."""
    return maps.flatten(2).transpose(1, 2)


class PuzzleNet(nn.Module):
    """Two answers at every pixel, from the named halves of one lambda layer."""

    def __init__(self, content: bool, position: bool):
        super().__init__()
        self.content, self.position = content, position
        self.first, self.last = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 2, 1)
        self.layer = lambdalib.LambdaLayer(16, dim_k=4, heads=2, scope=3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images).relu()
        content, position = two_halves(self.layer, x)
        return self.last(x + self.content * content + self.position * position)


# %%
torch.manual_seed(0)
nets = {"palette only": PuzzleNet(True, False), "stencils only": PuzzleNet(False, True),
        "both": PuzzleNet(True, True)}
threads = torch.get_num_threads()
torch.set_num_threads(1)  # these maps are tiny: a second thread would cost more than it brings
for net in nets.values():
    train_on_puzzles(net)
torch.set_num_threads(threads)

# %% [markdown]
# **Predict.** A result is the share of right answers: guessing gets 0.5. How many of the six results (three networks, two puzzles) are above 0.9?

# %%
guess = None  # a whole number from 0 to 6
check_answer("04.4", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
images, truth, scored = puzzles(1000, torch.Generator().manual_seed(1))
results = {}
with torch.no_grad():
    for name, net in nets.items():
        correct = ((net(images) > 0) == (truth > 0.5)) * scored
        results[name] = (correct.sum((0, 2, 3)) / scored.sum((0, 2, 3))).tolist()
    answers = {name: net(images[:1])[0] > 0 for name, net in nets.items()}
if revealed(guess):
    for name, (edge, marker) in results.items():
        print(f"{name:<14} A, edge: {edge:.2f}    B, far marker: {marker:.2f}")
    figures.show(
        figures.puzzle_answers(images[0], truth[0], scored[0], answers),
        "One test image. White is yes, grey is no, a cross is a wrong answer. Hatched pixels are not scored.",
        alt="The image, the true answers to both puzzles, and the answers of the three networks.",
    )

# %% [markdown]
# Each half solves the puzzle that the other cannot. For the palette alone, puzzle A is impossible: shuffle all other pixels, and nothing changes for this one. For 3 × 3 stencils alone, puzzle B is impossible: nothing travels further than one pixel.
#
# Be fair to the stencils. With a scope that covers the map they could carry the marker's colour. And several small layers reach further than one. So the second "impossible" holds for one layer with a small scope. The first one holds for every palette.

# %% [markdown]
# ## 2 · The layer in one drawing
#
# Three 1 × 1 convolutions make queries, keys and values from the features. Two of them have a norm. The rest are the two halves that you know.

# %%
figures.show(
    figures.dataflow(),
    "All tensors of a lambda layer with their shapes. What has an orange edge is learned.",
    alt="Features become queries, keys and values. Keys and values make the palette, values and stencils the "
        "readings. Their sum are the lambdas. Lambdas times queries are the output, merged into a feature map.",
)

# %% [markdown]
# A 1 × 1 convolution is one matrix product at every pixel, with the same matrix everywhere. The channels that come out are cut into axes: h heads of k numbers for the queries, k × u for the keys, v × u for the values. The layer must give d_out channels, so each head gives $v = d_{out}/h$ of them.
#
# A feature map (b, d, H, W) becomes rows (b, n, d) by `flatten(2).transpose(1, 2)`. This is what `to_rows` does. A single `reshape` gives the right shape and the wrong numbers:

# %%
features = torch.arange(6.0).view(1, 2, 1, 3)  # two channels on three pixels: 0 1 2 and 3 4 5
print("to_rows:", to_rows(features)[0].int().tolist(), "one row per pixel")
print("reshape:", features.reshape(1, 3, 2)[0].int().tolist(), "pixels and channels mixed")

# %% [markdown]
# Such code runs without complaint. One public lambda layer was published with it.

# %% [markdown]
# ## 3 · Many queries, one lambda
#
# A pixel has $h$ queries. All of them are applied to the *same* lambda. Stacked, they are a matrix $Q_n$ of $h\times k$, and one small product gives all channels of the pixel:
#
# $$Y_n = Q_n\,\lambda_n,\qquad (h\times k)(k\times v) = h\times v$$
#
# The paper calls this *multi-query*. The lambda is the expensive part, and the heads share its price (lesson 05). The price of sharing: all $h$ outputs are mixtures of the same $k$ rows. So the rank of $Y_n$ is at most $k$.

# %%
for k in (7, 2):
    lam = torch.randn(1, 1, k, 5, dtype=torch.float64)  # one lambda with v = 5
    four_queries = torch.randn(1, 4, 1, k, dtype=torch.float64)  # h = 4
    Y = apply_lambdas(four_queries, lam)[0, :, 0]  # (h, v)
    print(f"h = 4 heads, k = {k}: the rank of Y is", int(torch.linalg.matrix_rank(Y)))


# %% [markdown]
# With attention, each head has keys and values of its own. Here the heads share keys, values and stencils. More heads make each lambda *narrower*, since $v = d_{out}/h$.

# %% [markdown]
# ## 4 · The class
#
# Here is the whole layer. It is the library's code. Read `forward` from top to bottom beside the drawing: project and normalise, cut the channels, palette, readings, merge. `rearrange` (from the package einops) moves axes by name: `"b (h k) y x -> b h (y x) k"` reads the channels as h heads of k and makes one row per pixel.

# %%
class LambdaLayer(nn.Module):
    """A lambda layer over a feature map, (b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride))."""

    def __init__(self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4, dim_u: int = 1,
                 scope: int | None = 23, feat_size: tuple[int, int] | None = None, stride: int = 1,
                 position_bias: bool = False, order: str = "auto", recompute: bool = False):  # fmt: skip
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order)
        check_flags(position_bias=position_bias, recompute=recompute)
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
# | line | question | where |
# |---|---|---|
# | `norm_queries`, `norm_values`, no norm of the keys | why these two? | step 6 |
# | `init.normal_(self.table, ...)` | how large may the stencils start? | step 7 |
# | `init.normal_(projection.weight, ...)`, `bias=False` | why this size, why no bias? | step 8 |
# | `@float32_under_float16`, `pool`, `sides`, `position_bias` | options | appendix |
# | `position_output`, `order`, `recompute` with `@activation_checkpointed` | the same numbers at another price | lessons 05 and 05b |
#
# The drawing adds the halves of the lambda. The code adds the two outputs, as Figure 3 of the paper does. That is the same, $(\lambda^c+\lambda^p_n)^\top q=\lambda^{c\top}q+\lambda^{p\top}_n q$, and the sum of the lambdas is never stored.
#
# `check_arguments`, `check_flags` and `check_features` refuse what cannot work, with a sentence. `position_output` gives the numbers of `apply_lambdas(queries, position_lambdas(relative_embeddings(table, ...), values))`. Does the class agree with the definitions of lessons 02 and 03? We take sizes that are all different, so that no two axes can be mixed up:

# %%
layer = LambdaLayer(5, 22, dim_k=7, heads=2, dim_u=3, scope=9).double()  # v = 22 / 2 = 11
features = torch.randn(6, 5, 4, 13, dtype=torch.float64)  # b = 6, a map of 4 rows and 13 columns

queries = to_rows(layer.norm_queries(layer.to_queries(features))).unflatten(2, (2, 7)).transpose(1, 2)
keys = to_rows(layer.to_keys(features)).unflatten(2, (7, 3))
values = to_rows(layer.norm_values(layer.to_values(features))).unflatten(2, (11, 3))
lam = content_lambda(keys, values)[:, None] + position_lambdas(relative_embeddings(layer.table, 4, 13), values)
by_definition = apply_lambdas(queries, lam).transpose(2, 3).reshape(6, 22, 4, 13)
print(tuple(features.shape), "->", tuple(layer(features).shape))
print("equal to the definitions:", torch.allclose(layer(features), by_definition))

# %% [markdown]
# ## 5 · One pixel by hand
#
# A fresh layer on the plane, with four heads, k = 6 and v = 4. It is not trained. One head's query has six numbers, the bars. The lambda is a table of 6 × 4. Their product is the head's four channels at this pixel.

# %%
torch.manual_seed(0)
on_plane = LambdaLayer(3, 16, dim_k=6, heads=4, scope=7)
with torch.no_grad():
    image = plane()[None]
    image = (image - image.mean((2, 3), keepdim=True)) / image.std((2, 3), keepdim=True)
    on_plane.to_keys.weight *= 3  # sharper keys, so that the rows of the palette differ visibly
    plane_queries = (to_rows(on_plane.norm_queries(on_plane.to_queries(image)))
                     .unflatten(2, (4, 6)).transpose(1, 2))
    plane_values = to_rows(on_plane.norm_values(on_plane.to_values(image)))[..., None]
    palette = content_lambda(to_rows(on_plane.to_keys(image))[..., None], plane_values)  # (b=1, k, v)
    readings = position_lambdas(relative_embeddings(on_plane.table, 32, 32), plane_values)  # (b=1, n, k, v)


def at_pixel(row: int = 21, column: int = 18, head: int = 0, part: str = "sum"):
    pixel = 32 * row + column
    lam = {"palette": palette[0], "readings": readings[0, pixel], "sum": palette[0] + readings[0, pixel]}[part]
    query = plane_queries[0, head, pixel]
    return figures.one_pixel(plane(), (row, column), query, lam, query @ lam, limits=(6, 4.5, 20))


figures.show(
    at_pixel(),
    "The query of head 0 times the pixel's lambda is the head's output. Purple is above zero, brown below.",
    alt="The plane with a marked pixel, six bars of the query, a table of 6 × 4, and four bars of the output.",
)

# %% [markdown]
# **Try it.** Change the head: the query changes, the lambda does not. Choose "palette" and move the pixel: the table stays. Choose "readings" and move it again.

# %% tags=["nbval-ignore-output"]
widgets.explore(at_pixel, "Query times lambda is the output of one pixel",
                row=widgets.slider("row", 0, 31, 21), column=widgets.slider("column", 0, 31, 18),
                head=widgets.choice("head", [0, 1, 2, 3], 0),
                part=widgets.choice("lambda", ["palette", "readings", "sum"], "sum"))

# %% [markdown]
# ## 6 · Why the norms?
#
# Take out both norms: `bare` is the same layer with `nn.Identity` in their places.
#
# **Predict.** The input is multiplied by 10. A convolution without bias would give 10 times the output. The position half of the bare layer gives … times its output?

# %%
guess = None  # a number
check_answer("04.1", guess)


# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
def bare(layer: LambdaLayer) -> LambdaLayer:
    """The same layer without its two norms."""
    layer = copy.deepcopy(layer)
    layer.norm_queries = layer.norm_values = nn.Identity()
    return layer


torch.manual_seed(0)
layer = LambdaLayer(16, dim_k=8, heads=4, scope=5).double()
features = torch.randn(4, 16, 11, 13, dtype=torch.float64)
factors, curves = [1, 2, 5, 10, 20, 50, 80], {}
with torch.no_grad():
    for name, version in {"without norms": bare(layer), "with norms": layer}.items():
        start = two_halves(version, features)
        scaled = [two_halves(version, s * features) for s in factors]
        for i, half in enumerate(("content", "position")):
            curves[f"{half}, {name}"] = [float(y[i].norm() / start[i].norm()) for y in scaled]
if revealed(guess):
    for name, curve in curves.items():
        print(f"{name:<24} input × 10: output × {curve[3]:.3g}")
    figures.show(
        figures.scale_curves(factors, curves),
        "How the output grows with the input, on logarithmic axes. Orange: without norms. Dashed: a convolution.",
        alt="Curves of output over input size: slope 2 for the bare position half, level for the one with norms. "
            "The content curves start steeper and bend.",
    )

# %% [markdown]
# A convolution multiplies the input with weights. A lambda layer multiplies the input with *the input*: query and value both carry the factor $s$, so the output carries $s^2$. Such a function is quadratic. A stack of them explodes (exercise 4). With the norms, queries and values have the same size whatever comes in. The content curves bend for another reason. Larger keys make a sharper softmax, until each colour is hardly more than one pixel.
#
# Why have the **keys** no norm? The softmax already bounds them. Soft keys are weights that sum to 1, and a weighted mean never exceeds the largest value. A shift of the keys changes nothing either:

# %%
keys = torch.randn(2, 35, 7, 1, dtype=torch.float64)
values = torch.randn(2, 35, 11, 1, dtype=torch.float64)
shift = torch.randn(7, 1, dtype=torch.float64)  # one number for each of the k columns
print("a shift of the keys changes nothing:",
      torch.allclose(content_lambda(keys + shift, values), content_lambda(keys, values)))
print("keys 1000 times as large stay within the largest value:",
      bool(content_lambda(1000 * keys, values).abs().max() <= values.abs().max()))

# %% [markdown]
# ## 7 · How large may the stencils start?
#
# The stencils start as random numbers. The paper draws them from $\mathcal{N}(0, 1)$: mean 0, standard deviation 1. One number of the position half is a sum over stencils and taps:
#
# $$y = \sum_{k}\sum_{m} q_k\,T_{k,\,m-n}\,v_m$$
#
# The norms give $q_k$ and $v_m$ standard deviation 1.
#
# **Predict.** There are k = 16 stencils of side r = 23, drawn from $\mathcal{N}(0,1)$. The input is white noise: every number is drawn on its own. What is the standard deviation of $y$, far from the border?

# %%
guess = None  # a number; within 5 % is right
check_answer("04.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
torch.manual_seed(0)
loud = LambdaLayer(32, dim_k=16, heads=4, scope=23)
noise = torch.randn(2, 32, 56, 56)
with torch.no_grad():
    by_fan_in = float(two_halves(loud, noise)[1][:, :, 11:-11, 11:-11].std())  # without the border
    nn.init.normal_(loud.table)  # the paper's
    by_paper = float(two_halves(loud, noise)[1][:, :, 11:-11, 11:-11].std())
if revealed(guess):
    print(f"N(0, 1): measured {by_paper:.0f}, expected √(k · r · r) = {(16 * 23 * 23) ** 0.5:.0f}")
    print(f"our start: measured {by_fan_in:.2f}")

# %% [markdown]
# All terms have mean 0, and no two have the same $T$. So they are uncorrelated, and their variances add. The number of terms is the **fan-in**. The remedy is as old as deep networks: divide by the square root of the fan-in. Our table starts with standard deviation $(k\cdot u\cdot \text{visible})^{-1/2}$, where *visible* is the number of taps.
#
# Does it matter? What counts is how the two halves compare. Here are 64 photographs of CIFAR-10, sent through an untrained 3 × 3 convolution:

# %%
torch.manual_seed(0)
photographs = load_sample().train_images[:64].float() / 255
photographs = (photographs - photographs.mean((0, 2, 3), keepdim=True)) / photographs.std((0, 2, 3), keepdim=True)
stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
loud = LambdaLayer(32, dim_k=16, heads=4, scope=23)
with torch.no_grad():
    stemmed = stem(photographs)
    content, quiet = two_halves(loud, stemmed)
    loud.table *= (16 * 23 * 23) ** 0.5  # the same numbers, now with standard deviation 1
    shouting = two_halves(loud, stemmed)[1]
print(f"position / content, table by fan-in: {float(quiet.std() / content.std()):.1f}")
print(f"position / content, table N(0, 1): {float(shouting.std() / content.std()):.0f}")

# %% [markdown]
# From $\mathcal{N}(0,1)$, the stencils drown the palette. A norm after the layer repairs the size of the sum, but not the proportion of its parts. Training may repair it: the stencils are learned, and the paper trained from $\mathcal{N}(0,1)$. We start where both halves can be heard.

# %% [markdown]
# ## 8 · How large should the projections start?
#
# The paper starts $W_q$ with standard deviation $(k\,d)^{-1/2}$, and $W_k$ and $W_v$ with $d^{-1/2}$. The extra $k^{-1/2}$ is attention's $1/\sqrt{k}$, moved into the queries.
#
# **Predict.** We multiply $W_q$ by 1000. The layer's output … (a) grows 1000 times, (b) hardly changes, (c) becomes NaN?

# %%
guess = None  # "a", "b" or "c"
check_answer("04.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
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
if revealed(guess):
    print(f"the largest change of the output: {float((after - before).abs().max()):.1g}")
    print("the gradient of W_q shrank about", 100 * round(gradient / smaller / 100), "times")

# %% [markdown]
# The norm divides the factor out again. Only the gradient gets smaller. So the starting size of $W_q$ decides how fast training turns it, and hardly what the layer computes at first. The same holds for $W_v$. It does not hold for $W_k$: its size decides how sharp the softmax is.
#
# This also explains `bias=False`. A norm subtracts a bias of the queries or values again, and the softmax ignores a shift of the keys.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this lesson's sentences
assert results["palette only"][0] < 0.6 and results["palette only"][1] > 0.9
assert results["stencils only"][0] > 0.9 and results["stencils only"][1] < 0.6
assert min(results["both"]) > 0.9
assert torch.allclose(sum(two_halves(layer, features)), layer(features))
assert all(abs(y / s**2 - 1) < 1e-9 for s, y in zip(factors, curves["position, without norms"]))
assert all(abs(y - 1) < 1e-3 for y in curves["position, with norms"])
assert abs(by_paper / 92 - 1) < 0.1 and 0.6 < by_fan_in < 1.2
assert quiet.std() < content.std() and shouting.std() > 10 * content.std()
assert (after - before).abs().max() < 1e-3 and 900 < gradient / smaller < 1100


# %% [markdown]
# ## Exercises
#
# **1 ★ Implement.** The output comes as (b, h, n, v). The next layer wants a map with $h\cdot v$ channels, **head-major**: all channels of head 0, then all of head 1. Write the merge.

# %%
def my_merge(output: Tensor, height: int, width: int) -> Tensor:
    """(b, h, n, v), n = height · width -> (b, h · v, height, width), head-major."""
    return None  # replace this line


exercise_1 = check_merge_heads(my_merge)
exercise_1

# %% [markdown]
# <details><summary>Hint</summary>A <code>reshape</code> cannot swap axes. Which axis must go last first?</details>
#
# <details><summary>Solution</summary>
#
# The pixels must go last: first `transpose`, then `reshape`.
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
# **2 ★★ Predict.** A layer has d = d_out = 64 channels, k = 16, u = 1 and h = 8 heads. How many weights do its three projections have together? How many numbers does one lambda hold?

# %%
second = None  # a pair (weights, numbers in one lambda)
exercise_2 = check_answer("04.5", second)
exercise_2


# %% [markdown]
# <details><summary>Hint</summary>Only the queries exist once per head. The values have depth v = 64 / 8.</details>
#
# <details><summary>Solution</summary>
#
# Queries: 64 · (8 · 16) = 8192. Keys, shared by the heads: 64 · 16 = 1024. Values: 64 · 8 = 512. Together 9728. A lambda is k × v = 16 · 8 = 128. With more heads the queries grow and the lambda shrinks.
#
# ```python
# second = (9728, 128)
# weights = {h: sum(p.weight.numel() for p in (layer.to_queries, layer.to_keys, layer.to_values))
#            for h in (1, 2, 4, 8, 16) for layer in [LambdaLayer(64, heads=h)]}
# assert list(weights.values()) == [6144, 5120, 6144, 9728, 17664]
# check_answer("04.5", second)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Repair.** A public layer had this mistake: it is right at u = 1 only. The function should give the sum of both lambdas, for any u. The value maps have their channels as in the class, channel = value · u + intra.

# %%
def sum_of_lambdas(keys: Tensor, embeddings: Tensor, value_maps: Tensor) -> Tensor:
    """(b, m, k, u), (n, m, k, u), (b, v · u, H, W) -> λᶜ + λᵖ, (b, n, k, v)."""
    rows, u = to_rows(value_maps), keys.shape[3]
    v = rows.shape[2] // u
    palette = content_lambda(keys, rows.unflatten(2, (v, u)))
    return palette[:, None] + position_lambdas(embeddings, rows.unflatten(2, (u, v)).transpose(2, 3))


some_keys, some_embeddings = torch.randn(2, 6, 7, 2, dtype=torch.float64), torch.randn(6, 6, 7, 2).double()
some_maps = torch.randn(2, 5 * 2, 2, 3, dtype=torch.float64)  # v = 5, u = 2, on 2 × 3 pixels
by_hand = torch.stack([to_rows(some_maps[:, 0::2]), to_rows(some_maps[:, 1::2])], 3)  # (b, m, v, u)
wanted = content_lambda(some_keys, by_hand)[:, None] + position_lambdas(some_embeddings, by_hand)
exercise_3 = check_close(sum_of_lambdas(some_keys, some_embeddings, some_maps), wanted, "here u = 2")
exercise_3

# %% [markdown]
# <details><summary>Hint</summary>Compare how the two halves cut the channels. Which channel is value 0, intra 1?</details>
#
# <details><summary>Solution</summary>
#
# The content half cuts the channels into (v, u), the position half into (u, v). At u = 1 both are the same. Cut once, and use the values twice:
#
# ```python
# def sum_of_lambdas(keys, embeddings, value_maps):
#     values = to_rows(value_maps).unflatten(2, (-1, keys.shape[3]))
#     return content_lambda(keys, values)[:, None] + position_lambdas(embeddings, values)
#
#
# check_close(sum_of_lambdas(some_keys, some_embeddings, some_maps), wanted)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Predict.** Three bare layers (no norms, position half only) stand one after the other. The input is multiplied by 2. How many times larger is the output of the third?

# %%
fourth = None  # a number
exercise_4 = check_answer("04.6", fourth)
exercise_4

# %% [markdown]
# <details><summary>Hint</summary>What does one bare layer make of a factor s? Apply that three times.</details>
#
# <details><summary>Solution</summary>
#
# Each layer squares the factor that reaches it: 2, 4, 16, 256. After ten layers the factor would be $2^{1024}$, just beyond the end of float64.
#
# ```python
# fourth = 256
# chain = [bare(LambdaLayer(8, dim_k=4, heads=2, scope=3)).double() for _ in range(3)]
# x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
# small, large = x, 2 * x
# for step in chain:
#     small, large = two_halves(step, small)[1], two_halves(step, large)[1]
# assert torch.allclose(large, 256 * small)
# check_answer("04.6", fourth)
# ```
#
# </details>

# %% [markdown]
# **5 ★★★ Derive.** The stencils come from $\mathcal{N}(0,1)$, with k = 16 and r = 7. Queries and values are white noise with standard deviation 1. What is the standard deviation of the position output at the *corner* pixel of a large map?

# %%
fifth = None  # a number
exercise_5 = check_answer("04.7", fifth)
exercise_5


# %% [markdown]
# <details><summary>Hint</summary>How many of the 7 × 7 taps fall on the map?</details>
#
# <details><summary>Solution</summary>
#
# Each product in $y=\sum_k\sum_m q_kT_{k,m-n}v_m$ has variance 1. The products are uncorrelated, since each has its own $T$. So the variance is the number of terms that are not 0. In the corner, 4 × 4 taps fall on the map: $16\cdot 16 = 256$ terms, standard deviation 16. In the middle it is $\sqrt{16\cdot 49}=28$.
#
# ```python
# fifth = 16
# torch.manual_seed(0)
# tables = torch.randn(4000, 16, 1, 7, 7, dtype=torch.float64)
# q, white = torch.randn(4000, 16, dtype=torch.float64), torch.randn(4000, 4, 4, dtype=torch.float64)
# corner = torch.einsum("sk,skyx,syx->s", q, tables[:, :, 0, 3:, 3:], white)
# assert 15 < corner.std() < 17
# check_answer("04.7", fifth)
# ```
#
# </details>

# %% [markdown]
# **6 ★★★ Implement.** Sometimes a query may not see all of the context: words may not see later words. A mask says which: `visible[n, m]` is true where query n may read context m. Each query then has its own palette. Write it, so that the weights over what is visible sum to 1.

# %%
def my_masked_content_lambdas(keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
    """(b, m, k), (b, m, v), (n, m) of bool; each query sees at least one m -> (b, n, k, v)."""
    return None  # replace this line


exercise_6 = check_masked_content_lambdas(my_masked_content_lambdas)
exercise_6

# %% [markdown]
# <details><summary>Hint</summary>What must a hidden score be before the softmax, so that its weight is exactly 0?</details>
#
# <details><summary>Solution</summary>
#
# A score of minus infinity becomes a weight of exactly 0, and the others sum to 1. A mask after the softmax leaves weights that sum to less than 1.
#
# ```python
# def my_masked_content_lambdas(keys, values, visible):
#     scores = keys[:, None].masked_fill(~visible[None, :, :, None], float("-inf"))  # (b, n, m, k)
#     return torch.einsum("bnmk,bmv->bnkv", scores.softmax(2), values)
#
#
# check_masked_content_lambdas(my_masked_content_lambdas)
# ```
#
# Note the price: there is now a softmax of size n × m × k. The palette was cheap because it was shared.
#
# </details>

# %%
progress({
    "1 merge the heads": "exercise_1",
    "2 count the weights": "exercise_2",
    "3 repair u": "exercise_3",
    "4 three bare layers": "exercise_4",
    "5 the corner": "exercise_5",
    "6 masked palettes": "exercise_6",
}, globals())

# %% [markdown]
# ## What we now know
#
# * The layer is three 1 × 1 convolutions, a palette, stencil readings, and h queries per pixel that share one lambda.
# * It multiplies its input with its input. Norms on queries and values keep that in hand. The keys have the softmax.
# * Stencils that start by fan-in keep the two halves comparable.
# * With a small scope, each half solves a puzzle that the other cannot.
# * Heads share keys, values and stencils. So more heads make each lambda narrower.
#
# **Ledger.** *Long-range interactions.* For: with a small scope both halves are needed, on two puzzles made for that purpose. What this means for photographs is an experiment (lesson 09). One more line, beside the five claims: *stable to train*. Against, so far: the position half is quadratic, and norms must hold its size. [Lesson 07](07_train_on_cifar10.ipynb) trains it.
#
# **The code of this lesson** lives in `lambdalib/layer.py`: `LambdaLayer`.
#
# **Next.** The layer drops in where a convolution stood. But is it cheap, and cheaper than what? [Lesson 05: what it costs](05_cost.ipynb). If the future must not be seen, as in a text, there is a side path: [lesson 04b: sequences](04b_sequences.ipynb).

# %% [markdown]
# ## Appendix: options of the layer (skip unless curious)
#
# **float16.** GPUs are faster with numbers of 16 bits. *float16* ends at 65504. *bfloat16* has fewer digits and the range of float32. A lambda layer multiplies activations with activations, so float16 can overflow:

# %%
torch.manual_seed(0)
big_scales = LambdaLayer(16, dim_k=8, heads=4, scope=5)
nn.init.constant_(big_scales.norm_queries.weight, 300)  # learned scales may grow
nn.init.constant_(big_scales.norm_values.weight, 300)
small_map = torch.randn(2, 16, 8, 8)
with torch.no_grad():
    exact = big_scales(small_map)
    with torch.autocast("cpu", dtype=torch.float16):
        guarded = big_scales(small_map)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = big_scales(small_map)
print("the output would fit into float16:", bool(exact.half().isfinite().all()))
print("under float16 autocast the layer computes in", guarded.dtype)
print("bfloat16 stays within 3 %:", bool((rounded - exact).norm() < 0.03 * exact.norm()))

# %% [markdown]
# So under float16 autocast the layer computes in float32. This costs speed and keeps the sums safe. Where the hardware has bfloat16, it is the simpler choice.
#
# **Stride.** Some 3 × 3 convolutions halve the map. The paper lets all pixels ask and puts a 3 × 3 average pool after the layer. Odd sizes round up, as with a convolution.
#
# **Scope.** A local layer, with an odd `scope`, works on maps of any size. The global form, `scope=None`, lets every pixel read every other. It fits one map size only, `feat_size`.
#
# **`position_bias`.** Some public layers compute position lambdas by a convolution with a bias. It adds the same number, $q\cdot\text{bias}$, to all channels of a head. The paper's formula has none. The switch is there so that trained weights can be copied in.

# %%
strided = LambdaLayer(8, 12, dim_k=5, heads=3, scope=3, stride=2).eval()
odd_map = torch.randn(2, 8, 7, 10)
everywhere = LambdaLayer(8, dim_k=5, heads=2, scope=None, feat_size=(4, 6))
print("stride 2: 7 × 10 becomes", " × ".join(map(str, strided(odd_map).shape[2:])))
print("the table of the global form on 4 × 6:", tuple(everywhere.table.shape))
attempts = {"an even scope": lambda: LambdaLayer(8, scope=4), "three heads": lambda: LambdaLayer(8, heads=3),
            "another map": lambda: everywhere(torch.randn(2, 8, 5, 6))}
for name, attempt in attempts.items():
    try:
        attempt()
    except ValueError as error:
        print(f"{name}: {error}")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of the appendix
assert guarded.dtype == torch.float32 and torch.equal(guarded, exact) and not exact.half().isfinite().all()
assert rounded.isfinite().all() and (rounded - exact).norm() < 0.03 * exact.norm()
unpooled = copy.deepcopy(strided)
unpooled.pool = nn.Identity()
assert strided(odd_map).shape == nn.Conv2d(8, 12, 3, stride=2, padding=1)(odd_map).shape == (2, 12, 4, 5)
assert torch.allclose(strided(odd_map), F.avg_pool2d(unpooled(odd_map), 3, 2, padding=1))
assert everywhere.table.shape == (5, 1, 2 * 4 - 1, 2 * 6 - 1)
torch.manual_seed(0)
shifted = LambdaLayer(8, dim_k=5, heads=2, scope=3, position_bias=True)
plain_output = shifted(odd_map)
nn.init.normal_(shifted.position_bias)
extra = (shifted(odd_map) - plain_output).unflatten(1, (2, 4))  # (b, h, v, H, W)
assert (extra.std(2) < 1e-5).all() and extra.abs().max() > 0.1
for name in ("to_queries", "to_keys", "to_values"):
    biased = copy.deepcopy(layer)
    getattr(biased, name).bias = nn.Parameter(torch.randn(getattr(layer, name).out_channels, dtype=torch.float64))
    assert torch.allclose(biased(features), layer(features))
