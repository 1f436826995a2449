# %% [markdown]
# # 02 · Content lambdas
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/02_content_lambdas.ipynb)

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
# > **After this lesson you can** mix a palette from a picture, say when a content lambda gives what attention gives and when it does not, and name three things that it cannot know.
# >
# > **You need** [lesson 01](01_self_attention.ipynb) (attention as a weighted average). Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 30 minutes to read, 25 for the exercises; the code runs in about 10 seconds on two CPU cores.

# %% [markdown]
# ## What if the picture is summarised before anyone asks?
#
# In attention every query meets every key. The table of these meetings has $n\times m$ entries for each head and picture, and lesson 01 added up its bill. This lesson turns the order round. First the whole context is summarised, once, into a small matrix. Then each query is multiplied with that matrix, and the context is not needed any more.
#
# Such a matrix is called a **lambda**, as functions are in mathematics: it is a small linear function that was made from the context and is then applied to queries. It has two parts, and the boxed term is this lesson's, the **content lambda**:
#
# $$y_n \;=\; \Big(\boxed{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top} \;+\; \underbrace{\sum_m e_{nm}\,v_m^\top}_{\lambda^p_n,\;k\times v}\Big)^{\!\top} q_n$$
#
# Here $q_n\in\mathbb{R}^k$ is the query at position $n$, and $v_m\in\mathbb{R}^v$ is the value at context position $m$. The keys are the rows of $K\in\mathbb{R}^{m\times k}$, and $\mathrm{softmax}_m(K)_m\in\mathbb{R}^k$ holds $k$ weights for position $m$. The second term is lesson 03's. (Python's word `lambda`, a function without a name, has nothing to do with it.)
#
# Our picture of it is a **palette**. From all the pixels, $k$ colours are mixed. A query is a recipe: so much of the first colour, so much of the second.

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, einsum

from lambdalib.attention import linear_attention, softmax_attention
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_content_lambda, check_other_strip
from lambdalib.course.examples import plane, plane_colours, strip
from lambdalib.course.questions import check_answer
from lambdalib.lambdas import apply_lambdas

torch.manual_seed(0)
bill = 128 * 8 * 4096**2 * 4 / 2**30  # pictures · heads · (64 · 64 pixels)² · bytes, in GiB
print(f"lesson 01's bill, for 128 pictures of 64 × 64 pixels and 8 heads: {bill:g} GiB")
assert bill == 64

# %% [markdown]
# ## 1 · A palette, by hand
#
# The strip again: four pixels, red, green, blue and yellow, with 8 for full light. Every pixel has a key of $k = 2$ numbers. As in lesson 01, three pixels have the key (0, 0), and yellow has (0, log 5). A softmax over the **context** turns each of the two columns of keys into weights that sum to 1:
#
# $$\sigma_m \;=\; \mathrm{softmax}_m(K)_m \;=\; \frac{\exp K_m}{\sum_{m'}\exp K_{m'}}\in\mathbb{R}^k,\qquad \lambda^c \;=\; \sum_m \sigma_m\,v_m^\top\in\mathbb{R}^{k\times v}$$
#
# (exp and the division work on each of the $k$ entries alone). Each row of $\lambda^c$ is one colour: a weighted average of all pixels.

# %%
queries, keys, values, _ = strip()
pixels, exponentials = values[0, :, :, 0], keys[0, :, :, 0].exp()  # (m=4, v=3) and (m=4, k=2)

weights = exponentials / exponentials.sum(0)  # (m, k): each column sums to 1
by_hand = torch.zeros(2, 3, dtype=torch.float64)  # (k, v)
for m in range(4):
    for colour in range(2):
        by_hand[colour] += weights[m, colour] * pixels[m]

print("weights, in eighths (one row per pixel, one column per colour):")
print((8 * weights).round(decimals=4))
print("the palette (one row per colour):")
print(by_hand.round(decimals=4))
assert torch.allclose(by_hand, torch.tensor([[4, 4, 2], [6, 6, 1]], dtype=torch.float64))
figures.strip_palette(pixels, weights, by_hand)
plt.show()


# %% [markdown]
# Colour 0 takes two eighths of everybody: it is the mean of the strip. Colour 1 takes five eighths of yellow and one of each other pixel. No query was needed for any of this.

# %% [markdown]
# ## 2 · The same in one line
#
# This is the function of `lambdalib.lambdas`. Its last axis, $u$, gives each position several keys and values; it has size 1 until lesson 03. (The sign ⊗ in the docstring is the outer product: every entry of a key with every entry of a value, as in $\sigma_m v_m^\top$.)

# %%
def content_lambda(keys: Tensor, values: Tensor) -> Tensor:
    """λᶜ = Σ_m softmax_m(K)_m ⊗ V_m. (b, m, k, u), (b, m, v, u) -> (b, k, v)."""
    soft_keys = keys.softmax(dim=1)  # over the context: each of the k columns sums to 1
    return einsum("bmku,bmvu->bkv", soft_keys, values)


# %% [markdown]
# Two quick tests. It finds the palette that we mixed by hand. And if every value is 1, every entry of the lambda is 1, because a weighted average of ones is one. The second is a good probe for any code of this kind: a softmax over the wrong axis fails it.

# %%
palette = content_lambda(keys, values)
assert palette.shape == (1, 2, 3) and torch.allclose(palette[0], by_hand)

some_keys = torch.randn(2, 7, 11, 1, dtype=torch.float64)  # b, m, k, u
ones = torch.ones(2, 7, 13, 1, dtype=torch.float64)  # b, m, v, u
assert torch.allclose(content_lambda(some_keys, ones), torch.ones(2, 11, 13, dtype=torch.float64))

square, tile = 1024 * 1024, 4 * 3  # numbers stored for a map of 32 × 32: attention's map; a palette of 4 colours
print(f"32 × 32 pixels: attention's square holds {square:,} numbers, a palette of four colours {tile}")
figures.brackets(n=4, m=4, k=2, v=3, lit="tile")
plt.show()

# %% [markdown]
# The drawing is to scale for the strip; the line below shows what is multiplied first. With more pixels the square grows in both directions; the orange tile never does, since its sides $k$ and $v$ do not count pixels. The work of making it grows with $m$, that of asking it with $n$, and none with $n\cdot m$.

# %% [markdown]
# ## 3 · Against attention
#
# To apply the lambda is one product, $y_n = (\lambda^c)^\top q_n$. `apply_lambdas` does it; its code belongs to lesson 03, where each position gets its own lambda.
#
# The strip's four queries are (1, 0), (0, 1), (1, −1) and (1, 1). The palette is still (4, 4, 2) and (6, 6, 1). In lesson 01, attention answered the query (0, 1) with (6, 6, 1), and (1, 1) with the same (6, 6, 1).
#
# **Predict.** What does the content lambda answer to (1, 1)?

# %%
guess = None  # (red, green, blue)
check_answer("02.3", guess)

# %%
# lesson 01 writes the heads where u stands here: (b, h, m, ...)
one_head = keys[..., 0][:, None], values[..., 0][:, None]
by_attention = softmax_attention(queries, *one_head)[0, 0]  # (n, v)
by_lambda = apply_lambdas(queries, palette)[0, 0]

print("attention:")
print(by_attention.round(decimals=4))
print("content lambda:")
print(by_lambda.round(decimals=4))
assert torch.allclose(by_lambda,
                      torch.tensor([[4, 4, 2], [6, 6, 1], [-2, -2, 1], [10, 10, 3]], dtype=torch.float64))
assert torch.allclose(by_attention[:2], by_lambda[:2]) and not torch.allclose(by_attention[2:], by_lambda[2:])
names = ["query (1, 0)", "query (0, 1)", "query (1, −1)", "query (1, 1)"]
figures.colour_table([by_attention, by_lambda], ["attention", "content lambda"], names)
plt.show()

# %% [markdown]
# (Bars: red, green and blue, all panels to the same scale.) For a query that picks one colour, a single 1 and zeros, the two are equal. For the other two queries they are not: they are different functions.
#
# What is gained and what is lost come in the same breath:
#
# * **Gain.** The answer is linear in the query. (1, −1) subtracts, and (−2, −2, 1) is outside the range of the pixels, where no average can go; (1, 1) adds, and (10, 10, 3) is brighter than any pixel.
# * **Loss.** Attention's weights are made anew for each query, so a strong query can come near to singling out one pixel. Here the weights were fixed before any query came. All that a query can do is mix $k$ colours.
#
# So a content lambda is no approximation of softmax attention. It is another function with the same ingredients.

# %% [markdown]
# ## 4 · The palette of the plane
#
# Now a photograph. The values are the plane's own colours, three numbers between 0 and 1 at each of 1024 pixels. For the keys we choose four *anchors*, pure red, green, blue and yellow. A pixel's key for an anchor is larger the closer its colour lies to it:
#
# $$K_{m,i} \;=\; -\beta\,\lVert v_m-a_i\rVert^2$$
#
# β is the *sharpness*: at β = 0 all keys are equal, at a large β only the closest pixels count. In a trained net the keys are learnt; with these, we can see what they do.

# %%
# red, green, blue, yellow
anchors = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=torch.float64)
colours = plane_colours().double()  # (b=1, m=1024, v=3, u=1)


def colour_keys(values: Tensor, sharpness: float, anchors: Tensor = anchors) -> Tensor:
    """(b, m, v=3, u=1) -> (b, m, k, u=1): minus the squared distance to each anchor, times the sharpness."""
    return -sharpness * (values[:, :, None, :, 0] - anchors).square().sum(3)[..., None]


def repaint(keys: Tensor, palette: Tensor) -> Tensor:
    """Every pixel asks for a mixture of the palette that suits its own colour.

    (b, n, k, u=1), (b, k, v) -> (b, n, v).
    """
    recipes = keys[..., 0].softmax(2)  # over k: the shares of a recipe sum to 1
    return apply_lambdas(recipes[:, None], palette)[:, 0]


def card(values: Tensor, keys: Tensor, kept: Tensor | None = None):
    """Draw a 32 × 32 picture, the palette that its kept pixels (m,) mix,
    and the picture repainted by all its pixels.
    """
    # exp(-∞) = 0: no weight
    visible = keys if kept is None else keys.masked_fill(~kept[:, None, None], -torch.inf)
    palette = content_lambda(visible, values)
    rows = values[..., 0], visible[..., 0].softmax(1), repaint(keys, palette)  # each (b=1, m, channels)
    picture, soft_keys, painted = (row[0].T.reshape(-1, 32, 32) for row in rows)
    return figures.palette_card(picture, palette[0], soft_keys, painted)


plane_keys = colour_keys(colours, 30)
plane_palette = content_lambda(plane_keys, colours)
print((255 * plane_palette[0]).round().int())
assert (255 * plane_palette[0]).round().int().tolist() == [
    [209, 27, 68], [82, 125, 66], [54, 138, 248], [227, 212, 15]
]
smallest, largest = colours.amin(1)[..., 0], colours.amax(1)[..., 0]  # (b, v)
# averages stay in range
assert (plane_palette >= smallest[:, None]).all() and (plane_palette <= largest[:, None]).all()
card(colours, plane_keys)
plt.show()

# %% [markdown]
# From the left: the picture; the four colours, with their light on the scale 0 to 255, and below each the pixels that wrote it; the picture painted with these four colours alone. In the orange maps white is weight 0, and full orange is the largest weight of that map. "≈ pixels" is the effective number of writers: 50, say, if 50 pixels share the weight evenly (in general, the exponential of the weights' entropy). The palette has found the red band, the grass, the sky and the yellow wings: the four colours of our strip.
#
# For the last panel every pixel asked with a recipe: a softmax of its own keys, this time over $k$, so that the shares of the colours sum to 1. That is our choice for painting. A layer leaves its queries as they are.

# %% [markdown]
# ## 5 · Twice, shuffled, hidden
#
# **Predict.** Write every pixel of the strip twice, with its key: red, red, green, green and so on, eight pixels in all. Colour 1 of the palette was (6, 6, 1). What is it now?

# %%
guess = None  # (red, green, blue)
check_answer("02.5", guess)

# %%
twice = content_lambda(keys.repeat_interleave(2, dim=1), values.repeat_interleave(2, dim=1))
print(twice[0].round(decimals=4))
assert torch.allclose(twice, palette)

enlarged = (F.interpolate(plane()[None].double(), scale_factor=2, mode="nearest")
            .flatten(2).transpose(1, 2)[..., None])
assert enlarged.shape == (1, 4096, 3, 1)
assert torch.allclose(content_lambda(colour_keys(enlarged, 30), enlarged), plane_palette)
print("the plane at 64 × 64 has the palette of the plane at 32 × 32")

# %% [markdown]
# How often the whole set is repeated does not matter, and neither does the order of the pixels. Shuffle the plane into confetti. Then the sum over $m$ has the same terms, in another order:

# %%
shuffle = torch.randperm(1024, generator=torch.Generator().manual_seed(0))
confetti = colours[:, shuffle]
gap = (content_lambda(colour_keys(confetti, 30), confetti) - plane_palette).abs().max()
in_order = content_lambda(plane_keys.float(), colours.float())
gap_32 = (content_lambda(plane_keys[:, shuffle].float(), confetti.float()) - in_order).abs().max()
print("the same palette, in float64 to 1e-13:", bool(gap < 1e-13), "· in float32 to 1e-5:", bool(gap_32 < 1e-5))
assert gap < 1e-13 and gap_32 < 1e-5
card(confetti, colour_keys(confetti, 30))
plt.show()

# %% [markdown]
# The same four swatches. (The two sums may differ in their last digits, since rounding depends on the order of the terms; float32 keeps about seven digits, float64 about sixteen.) Attention without positions did not notice the shuffle in lesson 01 either: its answers moved along with their pixels. *Global* means that every pixel is counted, not that anyone knows where it was.
#
# What a palette does depend on is who takes part. Hide rows 14 to 27, where most of the plane is, by setting their keys to −∞, which is weight 0. That is the same as leaving these pixels out of the context:

# %%
kept = torch.ones(32, 32, dtype=torch.bool)
kept[14:28] = False
kept = kept.flatten()
without_plane = content_lambda(plane_keys.masked_fill(~kept[:, None, None], -torch.inf), colours)
assert torch.allclose(without_plane, content_lambda(plane_keys[:, kept], colours[:, kept]))
print((255 * without_plane[0]).round().int())
assert (255 * without_plane[0]).round().int().tolist() == [
    [133, 79, 46], [79, 124, 66], [54, 138, 250], [102, 119, 66]
]
card(colours, plane_keys, kept)
plt.show()

# %% [markdown]
# Red and yellow lived in these rows: (209, 27, 68) fell to (133, 79, 46), and (227, 212, 15) to (102, 119, 66), the nearest that the other rows have to offer. Blue and green hardly moved. (Hidden pixels are grey in the figure.) All pixels still ask, but there is no yellow left to paint the wings with.

# %% [markdown]
# ## 6 · Repainting
#
# How good is such a painting? We measure the root mean square error over all pixels and channels, on the scale 0 to 255. The sharpness β sets both the palette and the recipes.
#
# **Predict.** Of β = 0, 3, 10, 30 and 100, which one paints best?

# %%
guess = None  # one of 0, 3, 10, 30, 100
check_answer("02.6", guess)

# %%
paintings, errors = [], []
for sharpness in (0, 3, 10, 30, 100):
    sharper_keys = colour_keys(colours, sharpness)
    painted = repaint(sharper_keys, content_lambda(sharper_keys, colours))  # (1, n, v)
    paintings.append(painted[0].T.view(3, 32, 32))
    errors.append(round(255 * float((painted - colours[..., 0]).square().mean().sqrt())))
print("errors:", errors)
assert errors == [63, 36, 25, 33, 39]
figures.maps([plane(), *paintings],
             ["the plane", *(f"β = {s}: error {e}" for s, e in zip((0, 3, 10, 30, 100), errors))])
plt.show()

# %% [markdown]
# Not the sharpest. At β = 0 there is one colour, the mean. At β = 100 there are four pure colours and hardly a mixture: a poster. In between, the colours differ *and* get mixed.
#
# These recipes were shares, positive and summing to 1. In a layer, a query has signs. Three of our four colours are linearly independent (the palette has rank 3), so with signs they reach every point in the space of colours. There are then exact recipes for each pixel, more than one since four colours meet three channels; the pseudo-inverse (`pinv`) finds the shortest:

# %%
# (n, k): the smallest q_n with λᵀ q_n = v_n
signed_recipes = colours[0, :, :, 0] @ torch.linalg.pinv(plane_palette[0])
exact = apply_lambdas(signed_recipes[None, None], plane_palette)[0, 0]
negative = round(100 * float((signed_recipes < 0).double().mean()))
print("every pixel is exact:", torch.allclose(exact, colours[0, :, :, 0]),
      "· negative entries in the recipes:", negative, "%")
assert (torch.linalg.matrix_rank(plane_palette[0]) == 3
        and torch.allclose(exact, colours[0, :, :, 0]) and negative == 20)


# %% [markdown]
# This is less of a feat than it looks. Any three independent colours could do it, the palette of another picture too. Here the queries did all the work.

# %% [markdown]
# ## 7 · Turn the knobs
#
# The next figure gathers steps 4 to 6, and the controls below it change them. Try β from 0 to 100: who writes each colour? Shuffle: what changes? Hide rows: which colours move? Take fewer anchors.

# %%
def palette_lab(sharpness: int = 10, anchor_count: int = 4, shuffled: bool = False,
                first_row: int = 14, hidden_rows: int = 0):
    shown = confetti if shuffled else colours
    visible = torch.ones(32, 32, dtype=torch.bool)
    visible[first_row : first_row + hidden_rows] = False
    return card(shown, colour_keys(shown, sharpness, anchors[:anchor_count]), visible.flatten())


palette_lab()
plt.show()

# %% tags=["nbval-ignore-output"]
widgets.explore(
    palette_lab,
    sharpness=widgets.slider("sharpness β", 0, 100, 10),
    anchor_count=widgets.choice("anchors", {"red, green": 2, "+ blue": 3, "+ yellow": 4}, 4),
    shuffled=widgets.switch("shuffle the pixels"),
    first_row=widgets.slider("first hidden row", 0, 31, 14),
    hidden_rows=widgets.slider("hidden rows", 0, 20, 0),
)

# %% [markdown]
# What you should have seen: β decides *who writes*, from all 1024 pixels at β = 0 to those nearest to the anchor. The order never matters. Hiding rows moves the colours that lived there, and little else. Taking an anchor away leaves the other colours as they were, since each column of keys has its own softmax; only the painting changes.

# %% [markdown]
# ## 8 · A bottleneck of rank k
#
# Put the two steps together, with $Q\in\mathbb{R}^{n\times k}$, $V\in\mathbb{R}^{m\times v}$ and all the weights as $\sigma\in\mathbb{R}^{m\times k}$:
#
# $$Y \;=\; Q\,(\sigma^\top V) \;=\; (Q\,\sigma^\top)\,V$$
#
# So $Q\,\sigma^\top\in\mathbb{R}^{n\times m}$ plays the part of attention's map, though it is never stored. It is a product through $k$ columns, hence its **rank** is at most $k$: no more than $k$ of its rows are linearly independent, however many pixels there are.
#
# We compare it with the softmax map of the same queries and keys. To be quick, the plane is halved to 16 × 16. The features of a pixel are the 27 numbers of its 3 × 3 neighbourhood, and two random matrices turn them into queries and keys of $k = 16$. A map's **singular values** say how many independent directions it has, and how strong each of them is.

# %%
small_plane = F.avg_pool2d(plane()[None].double(), 2)  # (1, 3, 16, 16)
neighbourhoods = F.unfold(small_plane, 3, padding=1)[0].T  # (n=256, 27)
neighbourhoods = (neighbourhoods - neighbourhoods.mean(0)) / neighbourhoods.std()
to_queries, to_keys = torch.randn(2, 27, 16, dtype=torch.float64) / 27**0.5
# (n, k), (m, k); attention's 1/√k = 1/4 is in the queries
Q, K = neighbourhoods @ to_queries / 4, neighbourhoods @ to_keys

lambda_map, softmax_map = Q @ K.softmax(0).T, (Q @ K.T).softmax(1)  # (n, m) each
in_lambda, in_softmax = torch.linalg.svdvals(lambda_map), torch.linalg.svdvals(softmax_map)
print("rank of the lambda's map:", int(torch.linalg.matrix_rank(lambda_map)), "of", len(lambda_map))
for threshold in (1e-6, 1e-2):
    counts = [int((strengths > threshold * strengths[0]).sum()) for strengths in (in_lambda, in_softmax)]
    print(f"singular values above {threshold:g} of the largest: lambda {counts[0]}, softmax {counts[1]}")
assert torch.linalg.matrix_rank(lambda_map) == 16 and counts == [13, 28]
figures.spectra({"content lambda, Q σᵀ": in_lambda[:16], "attention, softmax(Q Kᵀ)": in_softmax})
plt.show()

# %% [markdown]
# The lambda's map ends at 16, as it must. Attention's map has far more directions, yet most of them are faint: above one percent of the largest the count is 28 against 13. (Other random matrices give other counts; 16 stays the ceiling.) The bottleneck is real, and how much it hurts depends on what the faint directions are worth.

# %% [markdown]
# ## 9 · What it forgets
#
# The strip has 12 numbers, its palette 6. Something must get lost. Mix red and green evenly over the first two pixels, and keep all keys:

# %%
mixed = torch.tensor([[4, 4, 0], [4, 4, 0], [0, 0, 8], [8, 8, 0]], dtype=torch.float64)  # (m=4, v=3)
assert torch.allclose(content_lambda(keys, mixed[None, :, :, None]), palette)
print("another strip, the same palette")
figures.strip_palette(mixed, weights, palette[0])
plt.show()

# %% [markdown]
# No query can tell these two strips apart, because a query sees the palette only. Exercise 3 asks you for more such strips, and exercise 2 for something that is not lost.
#
# ## 10 · The family
#
# The content half of a lambda was not new in 2021. It is linear attention, lesson 01's last step: the same numbers, with one set of keys and values for all heads. A²-Nets (Chen et al., 2018) and efficient attention (Shen et al., 2018) gather the context in this way; they also put a softmax on the queries. And with $k = 1$ and equal keys everywhere, the palette has one colour, the mean of all pixels: the *global average pooling* that squeeze-and-excitation blocks use (Hu et al., 2018).

# %%
three_heads = torch.randn(2, 3, 5, 11, dtype=torch.float64)  # queries: b, h, n, k
two_contexts = torch.randn(2, 7, 13, 1, dtype=torch.float64)  # values: b, m, v, u
shared = (some_keys[..., 0][:, None].expand(-1, 3, -1, -1),
          two_contexts[..., 0][:, None].expand(-1, 3, -1, -1))  # (b, h, m, ...)
by_content_lambda = apply_lambdas(three_heads, content_lambda(some_keys, two_contexts))
assert torch.allclose(by_content_lambda, linear_attention(three_heads, *shared))

equal_keys = torch.full((1, 1024, 1, 1), 0.7, dtype=torch.float64)  # any constant
assert torch.allclose(content_lambda(equal_keys, colours)[0, 0], colours[0, :, :, 0].mean(0))
print("content lambda = linear attention with shared keys and values")
print("equal keys = average pooling:", (255 * colours.mean(1)).flatten().round().int().tolist())


# %% [markdown]
# ## Exercises
#
# **1 · Implement.** Write the content lambda for a context that arrives one position at a time, so that the normalised keys are never held as a whole: no `softmax`. Keep two running sums, of $\exp(K_m)\,v_m^\top$ and of $\exp(K_m)$. (The last axis, $u$, is there too; each of its entries has a softmax of its own, and the results are summed.)

# %%
def streamed_lambda(keys: Tensor, values: Tensor) -> Tensor:
    """(b, m, k, u), (b, m, v, u) -> (b, k, v)."""
    (b, m, k, u), v = keys.shape, values.shape[2]
    weighted = torch.zeros(b, k, v, u, dtype=values.dtype)  # the running sum of exp(key) · value
    total = torch.zeros(b, k, 1, u, dtype=values.dtype)  # the running sum of exp(key)
    for position in range(m):
        pass  # add this position's part to both
    return weighted.sum(3)  # something is still to be divided


check_content_lambda(streamed_lambda)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The softmax's denominator does not depend on $m$, so it can wait until the end. (Real code also subtracts the largest key so far, lest exp overflow.)
#
# ```python
# def streamed_lambda(keys, values):
#     (b, m, k, u), v = keys.shape, values.shape[2]
#     weighted = torch.zeros(b, k, v, u, dtype=values.dtype)
#     total = torch.zeros(b, k, 1, u, dtype=values.dtype)
#     for position in range(m):
#         share = keys[:, position].exp()[:, :, None]  # (b, k, 1, u)
#         weighted += share * values[:, position][:, None]  # (b, 1, v, u)
#         total += share
#     return (weighted / total).sum(3)
#
#
# check_content_lambda(streamed_lambda)
# ```
#
# </details>

# %% [markdown]
# **2 · Construct.** One pixel of the strip is still in the palette, unharmed. Find the query that gets yellow, (8, 8, 0), back out of (4, 4, 2) and (6, 6, 1).

# %%
yellow_query = None  # a pair (q0, q1)
check_answer("02.E2", yellow_query)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Blue must vanish: $2q_0+q_1=0$. Red must be 8: $4q_0+6q_1=8$. So $q=(-1, 2)$. No blend of the two colours could do it. Attention can come as near to yellow as you like, with a query (0, $q_1$) and a large $q_1$, but never quite reaches it: its weights are all positive.
#
# ```python
# yellow_query = (-1, 2)
# check_answer("02.E2", yellow_query)
# ```
#
# </details>

# %% [markdown]
# **3 · Construct.** Find another strip with the palette (4, 4, 2), (6, 6, 1) and the same keys, in which pixels 0, 1 and 2 have *all* changed. Why can pixel 3 not change?

# %%
my_strip = None  # four pixels [red, green, blue] in a list; numbers may be negative
check_other_strip(my_strip)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Pixels 0, 1 and 2 have equal keys, so they come in through their sum alone. Any three colours that add up to (8, 8, 8) will do, three times the same grey for instance. Pixel 3 is fixed, since exercise 2 reads it from the palette. In numbers: the changes $\Delta V$ that nobody sees obey $\sigma^\top\Delta V=0$, that is, in each channel, two equations for four unknowns, one for each pixel, so two numbers stay free.
#
# ```python
# my_strip = [[8 / 3, 8 / 3, 8 / 3]] * 3 + [[8, 8, 0]]
# check_other_strip(my_strip)
# ```
#
# </details>

# %% [markdown]
# **4 · Predict.** A batch of 8 pictures of 128 × 128 pixels; 4 heads that share their keys and values, as in step 10; $k = 16$ and $v = 32$. How many numbers do all content lambdas hold together?

# %%
lambda_numbers = None  # a whole number
check_answer("02.E4", lambda_numbers)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Each picture has one lambda of $k\cdot v = 512$ numbers. The pixels are summed away, and the heads share it. So it is $8\cdot 512=4096$; attention's maps would hold $8\cdot 4\cdot 16384^2$, more than eight billion.
#
# ```python
# lambda_numbers = 8 * 16 * 32
# check_answer("02.E4", lambda_numbers)
# ```
#
# </details>

# %% [markdown]
# **5 · Predict.** For one-hot queries, with a single 1 and zeros elsewhere, attention and content lambda agreed. Do they for every query whose entries are shares? Take $q = (½, ½)$ on the strip. The lambda weighs yellow with the mean of 2/8 and 5/8, which is 0.4375. What is attention's weight of yellow? (The strip's keys are (0, 0) for three pixels and (0, log 5) for yellow.)

# %%
yellow_weight = None  # a number, to three decimals
check_answer("02.E5", yellow_weight)


# %% [markdown]
# <details><summary>Solution</summary>
#
# For a one-hot query $e_i$ the score is one column of keys, $e_i^\top K_m = K_{m,i}$. Attention's softmax over $m$ is then column $i$ of $\sigma$, so both agree. For $(½, ½)$ the scores are 0, 0, 0 and ½ log 5, and the weight is $\sqrt5/(3+\sqrt5)=0.427$. Attention averages keys *before* the exponential (a geometric mean, normalised), the lambda averages weights *after* it (an arithmetic mean).
#
# ```python
# yellow_weight = 5**0.5 / (3 + 5**0.5)
# check_answer("02.E5", yellow_weight)
# ```
#
# </details>

# %% [markdown]
# **6 · Repair.** This habit was seen in the wild: code for rows, (b, m, k), is carried over to maps, (b, k, H, W). All shapes fit and nothing fails. But with values of 1 the entries of the lambda are no longer 1, and its columns, of $k=11$ entries, do not sum to 11. Change `map_lambda` so that the check passes.

# %%
def map_lambda(key_map: Tensor, value_map: Tensor) -> Tensor:
    """(b, k, H, W), (b, v, H, W) -> (b, k, v)."""
    soft_keys = key_map.softmax(dim=1).flatten(2)
    return einsum("bkm,bvm->bkv", soft_keys, value_map.flatten(2))


key_map, value_map = torch.randn(2, 11, 5, 7, dtype=torch.float64), torch.randn(2, 13, 5, 7, dtype=torch.float64)
as_rows = [feature_map.flatten(2).transpose(1, 2)[..., None]  # (b, m, channels, u)
           for feature_map in (key_map, value_map)]
print("values of 1: three of the columns sum to",
      map_lambda(key_map, torch.ones_like(value_map)).sum(1)[0, :3].round(decimals=4).tolist())
check_close(map_lambda(key_map, value_map), content_lambda(*as_rows),
            "what do the weights of one colour sum to, over all pixels?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# The sum over k was 35, which is $m = 5\cdot 7$: the softmax kept its `dim=1`, which on maps is $k$, so every *pixel* shared out a weight of 1 among the colours. Flatten first, then take the softmax over the positions. (`dim=3` before flattening would be wrong too: it would normalise each row of the map alone.)
#
# ```python
# def map_lambda(key_map, value_map):
#     soft_keys = key_map.flatten(2).softmax(dim=2)  # (b, k, m), over the context
#     return einsum("bkm,bvm->bkv", soft_keys, value_map.flatten(2))
#
#
# check_close(map_lambda(key_map, value_map), content_lambda(*as_rows), "what do the weights of one colour sum to, over all pixels?")
# ```
#
# </details>

# %% [markdown]
# **7 · Derive.** Show that a content lambda does not change when the context is shuffled, and that its answers are shuffled along when the queries are.
#
# <details><summary>Solution</summary>
#
# Let $\pi$ be the shuffle: $K'_m=K_{\pi(m)}$, $v'_m=v_{\pi(m)}$. The denominator $\sum_m\exp K'_m$ has the same terms, so $\sigma'_m=\sigma_{\pi(m)}$. Then
#
# $$\lambda'=\sum_m\sigma_{\pi(m)}v_{\pi(m)}^\top=\sum_{m'}\sigma_{m'}v_{m'}^\top=\lambda .$$
#
# The lambda is *invariant*. If the queries move along, $q'_n=q_{\pi(n)}$, then $y'_n=\lambda^\top q_{\pi(n)}=y_{\pi(n)}$: the answers are *equivariant*, they move with their queries.
#
# </details>

# %% [markdown]
# ## What we now know
#
# * A content lambda is a palette: $k$ averages over the whole context, made before any query, of $k\cdot v$ numbers for any number of pixels.
# * A query mixes the palette linearly. It can subtract and add, which a blend cannot; it cannot choose new weights, which attention can.
# * Three things a palette cannot know: where a pixel lay (confetti has the same one), how often the whole set of pixels is repeated (step 5), and which of the many pictures with these averages it came from (step 9).
#
# **Ledger.** *Without attention maps, less memory*: for, the content half never makes $n\cdot m$ numbers. *Long-range interactions*: for, every pixel counts, at a cost linear in the pixels; against, confetti looks the same. Not one of the five, but worth a line: the content half is not new, it is linear attention with shared keys and values (step 10).
#
# **The code of this lesson** lives in `lambdalib/lambdas.py`: `content_lambda`, and `apply_lambdas`, which lesson 03 writes out.
#
# **Next.** A plane and its confetti have the same palette. Where is *where*? [Lesson 03: position lambdas](03_position_lambdas.ipynb).
