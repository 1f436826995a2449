# %% [markdown]
# # 03 · Position lambdas
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/03_position_lambdas.ipynb)

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
# > **After this lesson you can** build position lambdas from a few stencils, compute them in three ways, steer a stencil with a query, and name the convolution that a position lambda is.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb), the palette, and a rough idea of a convolution. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 45 minutes to read, 30 for the exercises. The code runs in 15 seconds on two CPU cores. **Short path:** steps 1, 2, 3 and 8.

# %% [markdown]
# ## How can a function of fixed size know *where* things are?
#
# Lesson 02 ended with a loss. A plane and its shuffled pixels have the same palette. So a layer with only a palette cannot tell a wing from scattered yellow.
#
# The second half of a lambda brings the *where* back. At each pixel, a few small patterns of weights read the neighbourhood. We call these patterns **stencils**. The picture below lights up what this lesson adds.

# %%
import math

import torch
import torch.nn.functional as F
from torch import Tensor, einsum

from lambdalib import lambdas
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_position_lambdas
from lambdalib.course.examples import plane, strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.course.verdict import Verdicts

torch.manual_seed(0)
figures.show(
    figures.one_picture(lit="stencils"),
    "At each pixel, k stencils read the neighbourhood. Each reading is a colour: three bars, down means minus.",
    alt="The picture of the course. Lit: the windows around pixels A and B, four stencils, and their readings.",
)

# %% [markdown]
# In the formula, the boxed sum is the new half:
#
# $$y_n \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\text{palette},\;k\times v} \;+\; \boxed{\sum_m e_{nm}\,v_m^\top}\Big)^{\!\top} q_n$$
#
# The vector $e_{nm}\in\mathbb{R}^k$ holds the $k$ weights with which pixel $n$ reads pixel $m$. It depends on the offset $m-n$ only. The notation is the paper's (Bello, *LambdaNetworks*, ICLR 2021, section 3).

# %% [markdown]
# ## 1 · Read the strip by hand
#
# Our toy image has four pixels: red, green, blue and yellow. The number 8 stands for full light. We read it with two stencils of three weights each. They lie over the left neighbour, the pixel itself and the right neighbour:
#
# * stencil 0 is $(0, 1, 0)$: "me";
# * stencil 1 is $(-1, 0, 1)$: "right minus left".
#
# A single weight of a stencil is called a **tap**. Each stencil multiplies the colours under it by its taps and adds them up:
#
# $$\lambda^p_n \;=\; \sum_m e_{nm}\,v_m^\top \in\mathbb{R}^{k\times v},\qquad e_{nm}=T_{\,m-n}\in\mathbb{R}^k$$
#
# $T$ is the table of stencils. Beyond the ends of the strip there is nothing, and nothing counts as 0. The two loops below are this formula.

# %%
queries, keys, values, table = strip()
colours, taps = values[0, :, :, 0], table[:, 0, 0]  # (m=4, v=3) and (k=2, r=3)

readings = torch.zeros(4, 2, 3, dtype=torch.float64)  # (n, k, v): one position lambda for each pixel
for n in range(4):
    for m in range(4):
        if abs(m - n) <= 1:  # only three taps
            readings[n] += taps[:, m - n + 1, None] * colours[m]

print("position lambda of pixel 0, the red one:")
print(readings[0])

# %% [markdown]
# Pixel 0 reads itself with stencil 0, so its first row is red. Stencil 1 finds green on the right and nothing on the left, so its second row is green.
#
# **Predict.** Pixel 1 is green. Red is on its left and blue on its right. What does stencil 1 read there?

# %%
guess = None  # (red, green, blue)
check_answer("03.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    print("stencil 1 at pixel 1:", readings[1, 1].tolist())
    figures.show(
        figures.strip_readings(colours, taps, readings),
        "Every column is a pixel. Below it: what each stencil reads there, as signed bars of red, green and blue.",
        alt="The strip's four pixels, and under each pixel the readings of the two stencils as bars.",
    )


# %% [markdown]
# A reading can have negative parts. So it is a colour that no blend of pixels can give. Attention only blends (lesson 01), so no attention head over these values can make it. A stencil has signs, and no softmax takes them away.

# %% [markdown]
# ## 2 · A convolution reads every pixel at once
#
# You know an operation that lays a small pattern over every pixel: a convolution. On a real feature map a stencil is a square of $r\times r$ taps. The side $r$ is odd, so that there is a middle tap.
#
# The trick is in the channels. An ordinary convolution mixes all channels. Here **each value channel is an image of its own**, and the same $k$ stencils filter each of them:

# %%
def hand_made() -> Tensor:
    """Four stencils of 3 × 3. (k=4, u=1, 3, 3)

    Me, half of right minus left, half of below minus above, me minus the mean of my neighbours.
    """
    me = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    dx = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    neighbours = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    return torch.stack([me, dx, dx.T, me - neighbours])[:, None]


channels = plane()[:, None]  # (v=3, 1, 32, 32): red, green and blue, each an image with one channel
plane_readings = F.conv2d(channels, hand_made(), padding=1)  # (v=3, k=4, 32, 32)
figures.show(
    figures.maps([plane(), *plane_readings[0]],
                 ["the plane", "me", "right − left", "below − above", "me − neighbours"], limit=0.6),
    "What the four stencils read in the red channel. Purple is above zero, brown below, white is zero.",
    alt="The plane, and four maps: the red channel itself, its slopes to the right and downwards, and its edges.",
)


# %% [markdown]
# The readings show what a palette loses: edges, and their direction. The frame around each map comes from the border, where the missing neighbours count as 0.
#
# At each pixel there are now 4 readings of 3 numbers. This table of $k\times v$ numbers is the pixel's **position lambda**. The paper calls this form a *lambda convolution*. Only the stencils are learned: $k\cdot r\cdot r$ numbers for a map of any size.

# %% [markdown]
# ## 3 · The query mixes the readings
#
# The query has one number for each reading. The output is the weighted sum, just as with the palette. In the code, the axis h counts **heads**: a pixel may have several queries. All of them mix the same readings, so the heads share the stencils.

# %%
def apply_lambdas(queries: Tensor, lambdas: Tensor) -> Tensor:
    """y_hn = λ_nᵀ q_hn. (b, h, n, k), (b, n, k, v) or a content lambda (b, k, v) -> (b, h, n, v)."""
    if lambdas.dim() == 3:
        # in memory the heads of a position lie together
        return einsum("bhnk,bkv->bnhv", queries, lambdas).transpose(1, 2)
    return einsum("bhnk,bnkv->bnhv", queries, lambdas).transpose(1, 2)


outputs = apply_lambdas(queries, readings[None])[0, 0]  # (n=4, v=3)
for n in range(4):
    print(f"query {queries[0, 0, n].int().tolist()} at pixel {n}: {outputs[n].int().tolist()}")

# %% [markdown]
# Why keep $k$ readings, if they are mixed anyway? Because *each pixel has its own query*. So each pixel mixes its own filter.
#
# Take two of the stencils: "right minus left" and "below minus above", both halved. Let them read a ramp: an image that gets brighter by 1 per pixel in the direction 30°. Here 0° points right and 90° points down. Away from the border every pixel reads $(\cos 30°, \sin 30°)$. A query $(\cos\theta, \sin\theta)$ turns this into
#
# $$\cos\theta\cos 30° + \sin\theta\sin 30° = \cos(\theta-30°).$$
#
# **Predict.** At which angle θ between 0° and 360° is the output exactly −1?

# %%
guess = None  # degrees
check_answer("03.3a", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
ys, xs = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
ramp = math.cos(math.radians(30)) * xs + math.sin(math.radians(30)) * ys  # y runs downwards, as rows do
slopes = hand_made()[1:3]
ramp_reading = F.conv2d(ramp[None, None], slopes, padding=1)[0, :, 6, 6]  # a pixel away from the border
if revealed(guess):
    for degrees in range(0, 360, 30):
        query = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
        print(f"query at {degrees:3d}°: {float(ramp_reading @ query):+.2f}")


# %% [markdown]
# Two stencils hold *all* directions of slope. The query picks one. Filters with this property are called *steerable* (Freeman and Adelson, 1991). The output over θ is a cosine at every pixel of every image. On a ramp its peak is exactly the direction of the slope. On a photograph it is nearly so where the image changes slowly.

# %%
def steer(degrees: float = 90, row: int = 20, column: int = 16):
    brightness = plane().mean(0)
    readings = F.conv2d(brightness[None, None], hand_made()[1:3], padding=1)[0]  # (k=2, 32, 32)
    mix = lambda angle: torch.stack([torch.cos(angle), torch.sin(angle)])  # the query at this angle
    angle, angles = torch.tensor(math.radians(degrees)), torch.linspace(0, 2 * math.pi, 121)
    response = einsum("k,kyx->yx", mix(angle), readings)[1:-1, 1:-1]  # without the border
    kernel = einsum("k,kij->ij", mix(angle), hand_made()[1:3, 0])
    curve = readings[:, row, column] @ mix(angles)
    return figures.steering(plane()[:, 1:-1, 1:-1], response, kernel, degrees,
                            torch.rad2deg(angles), curve, (row - 1, column - 1))


figures.show(
    steer(),
    "A query at 90° (the arrow) asks for “below minus above”. The curve is what the marked pixel reads at "
    "each angle.",
    alt="The plane with a marked pixel, the mixed stencil, its reading everywhere, and a cosine over the angle.",
)

# %% [markdown]
# **Try it:** turn the query from 0° to 360°. Watch which edges answer. Then move the pixel: the curve stays a cosine. Its height is the steepness at the pixel. Its peak is the direction in which the image gets brighter.

# %% tags=["nbval-ignore-output"]
widgets.explore(steer, "The mixed stencil, and what it reads",
                degrees=widgets.slider("angle of the query", 0, 360, 90, 5),
                row=widgets.slider("row", 1, 30, 20),
                column=widgets.slider("column", 1, 30, 16))

# %% [markdown]
# On GitHub, where no code runs, the sliders stand still. Here are five positions of the first one:

# %%
right_left, below_above = F.conv2d(plane().mean(0)[None, None], hand_made()[1:3])[0]  # (30, 30) each, no border
five = [0, 45, 90, 135, 180]
film = [math.cos(math.radians(angle)) * right_left + math.sin(math.radians(angle)) * below_above for angle in five]
figures.show(
    figures.maps(film, [f"query at {angle}°" for angle in five], limit=0.3),
    "The reading everywhere, as the query turns. At 180° every sign is the opposite of that at 0°. Purple is "
    "above zero, brown below.",
    alt="Five maps of the plane's edges. Upright edges at 0° fade, level edges come in at 90°, and at 180° the "
        "upright ones are back with opposite signs.",
)

# %% [markdown]
# ## 4 · The same numbers as a sum
#
# The formula of step 1 is a sum over pixels. Is the convolution really the same? We check it on a small map whose axes all have different prime lengths. Then no mix-up of axes can hide. It has b = 2 images, h = 3 heads, 5 × 7 pixels, k = 11 stencils and v = 13 channels.

# %%
b, h, height, width, k, v, r = 2, 3, 5, 7, 11, 13, 3
n = height * width
stencils = torch.randn(k, 1, r, r, dtype=torch.float64)  # (k, u=1, r, r)
vals = torch.randn(b, n, v, 1, dtype=torch.float64)  # (b, m, v, u=1)

by_loops = torch.zeros(b, n, k, v, dtype=torch.float64)
for y, x in ((y, x) for y in range(height) for x in range(width)):
    for i, j in ((i, j) for i in range(r) for j in range(r)):
        cy, cx = y + i - r // 2, x + j - r // 2  # tap (i, j) reads this pixel
        if 0 <= cy < height and 0 <= cx < width:  # beyond the border there is nothing to read
            by_loops[:, y * width + x] += einsum("k,bv->bkv", stencils[:, 0, i, j], vals[:, cy * width + cx, :, 0])

channels = vals.permute(0, 2, 3, 1).reshape(b * v, 1, height, width)  # every value channel is an image
by_convolution = F.conv2d(channels, stencils, padding=r // 2)  # (b·v, k, H, W)
by_convolution = by_convolution.view(b, v, k, n).permute(0, 3, 2, 1)  # (b, n, k, v)
print("loops and convolution agree:", torch.allclose(by_loops, by_convolution))

# %% [markdown]
# PyTorch's `conv2d` does not flip its kernel, so tap $(i, j)$ reads the pixel at the offset $(i-\lfloor r/2\rfloor,\, j-\lfloor r/2\rfloor)$.
#
# How far a stencil reaches is its **scope**. We give the side $r$. The paper gives the number of taps, so its $|m| = 23\times 23$ is our $r = 23$. A table with $2H-1$ by $2W-1$ taps reaches every pixel of an $H\times W$ map from every other. The position lambdas are then *global*.

# %% [markdown]
# ## 5 · The dense form
#
# The formula has one vector $e_{nm}$ for every pair of pixels. Together they are the **embeddings** $E$, with shape (n, m, k). They repeat a lot: all pairs with the same offset share one entry of the table. How do we spread the table out without a loop?
#
# Take stencil 1 of the strip. Put zeros around it, one place for each offset between two of the four pixels. Then slide a window of four taps over it:

# %%
padded = F.pad(taps[1], (2, 2))  # offsets -3 ... 3
print("padded stencil 1:", padded.int().tolist())
for place, window in enumerate(padded.unfold(0, 4, 1).flip(0)):
    print(f"row {place} of E:", window.int().tolist())


# %% [markdown]
# We read the windows from last to first, since the first pixel has all its context on the right. The function does the same in two dimensions, for all stencils. This is the library's code.

# %%
def relative_embeddings(table: Tensor, height: int, width: int) -> Tensor:
    """E[n, m] = T[m - n], 0 outside the table. (k, u, r_y, r_x) -> (n, m, k, u)."""
    k, u, r_y, r_x = table.shape
    pad_y, pad_x = height - 1 - r_y // 2, width - 1 - r_x // 2
    # zeros beyond the scope; a negative pad crops offsets no pixel has
    table = F.pad(table, (pad_x, pad_x, pad_y, pad_y))
    # (k, u, s, t, y, x): windows[s, t] holds T[y + s, x + t]
    windows = table.unfold(2, height, 1).unfold(3, width, 1)
    sheets = windows.flip(2, 3)  # the first query sees the last window: its context lies below and to the right
    return sheets.permute(2, 3, 4, 5, 0, 1).reshape(height * width, height * width, k, u)


def position_lambdas(embeddings: Tensor, values: Tensor) -> Tensor:
    """λᵖ_n = Σ_m E_nm ⊗ V_m. (n, m, k, u), (b, m, v, u) -> (b, n, k, v)."""
    return einsum("nmku,bmvu->bnkv", embeddings, values)


by_einsum = position_lambdas(relative_embeddings(stencils, height, width), vals)
print("the third way agrees:", torch.allclose(by_einsum, by_loops), tuple(by_einsum.shape))
embeddings = relative_embeddings(table, 1, 4)[..., 0]  # (n=4, m=4, k=2); step 10 explains the last axis, u
figures.show(
    figures.embedding_matrices(embeddings, ["E of stencil 0, “me”", "E of stencil 1, “right minus left”"]),
    "The strip's two stencils as matrices. Every diagonal holds one number, because only the offset counts.",
    alt="Two 4 × 4 matrices with constant diagonals.",
)

# %% [markdown]
# Three ways give the same numbers. They differ in cost: lesson 05 compares them. $E$ grows with the square of the number of pixels, while the table that we learn stays small.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 1 to 5
assert readings[1].tolist() == [[0, 8, 0], [-8, 0, 8]]
assert outputs.tolist() == [[8, 0, 0], [-8, 0, 8], [-8, 0, 8], [8, 8, -8]]
assert torch.equal(position_lambdas(embeddings[..., None], values), readings[None])  # E reads what the loop read
assert torch.allclose(plane_readings[:, 0], plane())  # "me" reads the image itself
by_library = lambdas.position_lambdas(lambdas.relative_embeddings(stencils, 5, 7), vals)
assert all(torch.allclose(one, by_loops) for one in (by_convolution, by_einsum, by_library))

# %% [markdown]
# ## 6 · Shift the image
#
# Only offsets count. So a shifted image must give shifted lambdas. We take 12 columns of the plane and roll them one to the right: the last column comes in again on the left. Then we compare "roll, then read" with "read, then roll", for random stencils of 3 × 3.
#
# **Predict.** In which of the columns 0 to 11 do the two differ?

# %%
guess = None  # a tuple of column numbers
check_answer("03.3b", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
random_stencils = torch.randn(5, 1, 3, 3)
crop = plane()[:, None, 8:20, 10:22]  # (v=3, 1, 12, 12)
read = lambda image: F.conv2d(image, random_stencils, padding=1)  # (v, k, 12, 12)
gap = read(crop.roll(1, dims=3)) - read(crop).roll(1, dims=3)
if revealed(guess):
    print("columns that differ:", (gap.abs().amax(dim=(0, 1, 2)) > 1e-5).nonzero().flatten().tolist())

# %% [markdown]
# The roll puts strangers side by side at the seam, and it makes a new border. Everywhere else the readings agree. Position lambdas are **translation equivariant**: the image moves, and the lambdas move with it. The paper asks for exactly this: $e_{nm}=e_{t(n)t(m)}$ for every translation $t$.

# %% [markdown]
# ## 7 · What lesson 02 could not see
#
# Swap the red and the blue pixel of the strip, together with their keys. The palette is a sum over all pixels, so it stays the same. Does the position lambda of the green pixel between them change?

# %%
swapped = values[:, [2, 1, 0, 3]]
before = position_lambdas(relative_embeddings(table, 1, 4), values)[0, 1]
after = position_lambdas(relative_embeddings(table, 1, 4), swapped)[0, 1]
same_palette = torch.allclose(lambdas.content_lambda(keys, values),
                              lambdas.content_lambda(keys[:, [2, 1, 0, 3]], swapped))
print("same palette:", same_palette)
print("right minus left at pixel 1:", before[1].int().tolist(), "becomes", after[1].int().tolist())

# %% [markdown]
# The reading changes its sign. What the palette loses, the stencils see.

# %% [markdown]
# ## 8 · Freeze the query
#
# Suppose that the query is the same at every pixel. What is left?
#
# Two words first. A *full* convolution mixes every channel with every other. A *depthwise* convolution filters each channel alone. In PyTorch it has as many `groups` as channels.
#
# **Predict.** From the values to the output, position lambdas with one constant query per head are … (a) a full convolution, (b) a depthwise convolution, (c) still a kind of attention?

# %%
guess = None  # "a", "b" or "c"
check_answer("03.3c", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
frozen = torch.randn(1, h, 1, k, dtype=torch.float64).expand(b, h, n, k)  # one query per head, for all pixels
y_lambda = apply_lambdas(frozen, by_einsum).transpose(2, 3).reshape(b, h * v, height, width)

kernels = einsum("hk,kij->hij", frozen[0, :, 0], stencils[:, 0])  # one kernel per head
features = vals[..., 0].transpose(1, 2).reshape(b, v, height, width).repeat(1, h, 1, 1)  # (b, h·v, H, W)
weights = kernels.repeat_interleave(v, dim=0)[:, None]  # (h·v, 1, r, r): the head's kernel, once per channel
y_convolution = F.conv2d(features, weights, padding=r // 2, groups=h * v)
assert torch.allclose(y_lambda, y_convolution)
if revealed(guess):
    print("Equal to F.conv2d(..., groups=number of channels): each channel is filtered alone.")

# %% [markdown]
# With $q_{hn}=q_h$, the sum over $k$ can be done once: $\kappa_h = \sum_k q_{hk}T_k$. This is one fixed kernel per head. It filters each of the $v$ value channels alone. (In a layer, a 1 × 1 convolution makes the values. It does mix channels, but not pixels.)
#
# So the query is all that separates a position lambda from an ordinary static filter. Is that difference worth its price? Only an experiment can tell. Lesson 08 takes the query away from a trained net, and lesson 09 trains nets without it.

# %% [markdown]
# ## 9 · How many kernels are there?
#
# Let the query move again. Then pixel $n$ of head $h$ uses its own kernel $\kappa_{hn} = \sum_k q_{hnk}T_k$. Here are 3 images, 4 heads, 15 pixels and k = 5 stencils, so 180 kernels:

# %%
many_queries = torch.randn(3, 4, 15, 5, dtype=torch.float64)
five_stencils = torch.randn(5, 3, 3, dtype=torch.float64)
all_kernels = einsum("bhnk,kij->bhnij", many_queries, five_stencils).reshape(180, 9)
rank = int(torch.linalg.matrix_rank(all_kernels))
print(len(all_kernels), "kernels of", all_kernels.shape[1], "taps; rank", rank)

# %% [markdown]
# There are many kernels and few directions: every kernel is a mixture of the same $k$ stencils. In the paper, k = 16. A kernel of 7 × 7 has 49 free numbers, so the queries reach 16 of its 49 dimensions.
#
# The figure shows four kernels on the plane. As the query we take the pixel's own four readings of brightness, scaled to length 1. In a layer, the query is a learned function of the pixel.

# %%
brightness = plane().mean(0)[None, None]
four = F.conv2d(brightness - brightness.mean(), hand_made(), padding=1)[0]  # (k=4, 32, 32)
query_map = F.normalize(four, dim=0)
pixels = [(10, 9), (23, 4), (21, 13), (21, 8)]
used = torch.stack([einsum("k,kij->ij", query_map[:, row, column], hand_made()[:, 0]) for row, column in pixels])
figures.show(
    figures.kernels_in_place(plane(), pixels, used),
    "Four pixels and the kernel that each one uses. No stencil has a corner tap, so no mixture has one.",
    alt="The plane with four numbered pixels, and four different 3 × 3 kernels.",
)

# %% [markdown]
# A layer whose pixels make their own kernels is also called an *involution* (Li et al., 2021). A position lambda with one head is an involution on its values, with a kernel that is linear in the query.

# %% [markdown]
# ## 10 · Intra-depth: several values at once
#
# One axis is still unexplained: **u**, the *intra-depth*. With u > 1 each pixel has u values for each channel, and each of the u has stencils of its own. Their readings are added. The lambda stays $k\times v$, but more is read into it:

# %%
two_tables = torch.randn(k, 2, r, r, dtype=torch.float64)
two_values = torch.randn(b, n, v, 2, dtype=torch.float64)
together = position_lambdas(relative_embeddings(two_tables, height, width), two_values)
one_by_one = sum(
    position_lambdas(relative_embeddings(two_tables[:, [i]], height, width), two_values[..., [i]])
    for i in range(2)
)
print("u = 2 is the sum of two layers with u = 1:", torch.allclose(together, one_by_one))

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 3 to 10
assert torch.allclose(ramp_reading, torch.tensor([0.8660, 0.5]), atol=1e-4)
for row in range(3):
    assert torch.equal(embeddings[row, :3], embeddings[row + 1, 1:])  # one step down and right: the same offset
one_right = F.pad(torch.ones(1, 1, 1, 1, dtype=torch.float64), (2, 0, 1, 1))  # one tap: middle row, last column
counted = relative_embeddings(one_right, 3, 5)[..., 0, 0] @ torch.arange(1.0, 16.0, dtype=torch.float64)
assert counted[:5].tolist() == [2, 3, 4, 5, 0]  # the last pixel of a row has no right neighbour
assert (gap.abs().amax(dim=(0, 1, 2)) > 1e-5).nonzero().flatten().tolist() == [0, 1, 11]
assert same_palette and before[1].tolist() == [-8, 0, 8] and after[1].tolist() == [8, 0, -8]
assert rank == 5 and torch.allclose(together, one_by_one)
likeness = F.cosine_similarity(used.flatten(1)[:, None], used.flatten(1)[None], dim=2)
assert (likeness - 2 * torch.eye(4)).max() < 0.5  # no two of the four kernels are alike
q = torch.randn(b, h, n, k, dtype=torch.float64)  # step 9: gather each neighbourhood with the pixel's own kernel
own_kernels = einsum("bhnk,kij->bhnij", q, stencils[:, 0]).flatten(3)  # (b, h, n, r·r)
neighbourhoods = F.unfold(vals[..., 0].transpose(1, 2).unflatten(2, (height, width)), r, padding=r // 2)
gathered = einsum("bhnt,bvtn->bhnv", own_kernels, neighbourhoods.view(b, v, r * r, n))
assert torch.allclose(gathered, apply_lambdas(q, by_einsum))

# %% [markdown]
# ## Exercises
#
# **1 ★ Predict.** Pixel 0 of the strip, the red one, now gets the query (1, −1). What is its output?

# %%
first = None  # (red, green, blue)
exercise_1 = check_answer("03.E1", first)
exercise_1

# %% [markdown]
# <details><summary>Hint</summary>Step 1 printed the two readings of pixel 0. The query takes the first one and subtracts the second.</details>
#
# <details><summary>Solution</summary>
#
# "Me" reads (8, 0, 0). Green is on the right and nothing on the left, so "right minus left" reads (0, 8, 0). The difference is (8, −8, 0).
#
# ```python
# first = (8, -8, 0)
# check_answer("03.E1", first)
# ```
#
# </details>

# %% [markdown]
# **2 ★ Predict.** A layer has d = 64 channels, h = 4 heads (so v = 16), k = 8, u = 1 and r = 7, on a map of 32 × 32. How many numbers do its stencils hold?

# %%
second = None  # one number
exercise_2 = check_answer("03.E2", second)
exercise_2


# %% [markdown]
# <details><summary>Hint</summary>Who shares the stencils? Step 2 says it for channels and pixels, step 3 for heads.</details>
#
# <details><summary>Solution</summary>
#
# k · u · r² = 8 · 1 · 49 = 392. The channels, the heads and the size of the map do not matter.
#
# ```python
# second = 392
# check_answer("03.E2", second)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Implement.** Write position lambdas for any u, straight from the table, without `relative_embeddings`. Use loops or one `conv2d`. The check says which axis is wrong, if one is.

# %%
def my_position_lambdas(table: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """(k, u, r, r), square stencils; (b, m, v, u), m = height · width -> (b, n, k, v)."""
    return None  # replace this line


exercise_3 = check_position_lambdas(my_position_lambdas)
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>Step 4 has both ways for u = 1.</details>
#
# <details><summary>Hint 2</summary>A convolution adds over its input channels. Which of our axes is added? Which axes belong into the batch?</details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_position_lambdas(table, values, height, width):
#     (k, u, r, _), (b, m, v, _) = table.shape, values.shape
#     images = values.permute(0, 2, 3, 1).reshape(b * v, u, height, width)  # a value channel is an image with u planes
#     readings = F.conv2d(images, table, padding=r // 2)  # (b·v, k, H, W): conv2d adds over its input channels, our u
#     return readings.view(b, v, k, m).permute(0, 3, 2, 1)
#
#
# check_position_lambdas(my_position_lambdas)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Construct.** Which kernels can a query make from the strip's two stencils, (0, 1, 0) and (−1, 0, 1)? Find $q$ for each of these targets, or write `"impossible"`: the pixel itself (0, 1, 0); the pixel minus half its left and plus half its right neighbour (−½, 1, ½); a blur (⅓, ⅓, ⅓); a Laplacian (1, −2, 1).

# %%
identity, half_slope, blur, laplacian = None, None, None, None  # each a pair (q0, q1), or "impossible"
exercise_4 = Verdicts(check_answer("03.E4a", identity), check_answer("03.E4b", half_slope),
                      check_answer("03.E4c", blur), check_answer("03.E4d", laplacian))
exercise_4


# %% [markdown]
# <details><summary>Hint</summary>The two numbers of the query are the weights of the two stencils. Compare the left and the right tap of each target.</details>
#
# <details><summary>Solution</summary>
#
# The first two are (1, 0) and (1, ½). Blur and Laplacian have equal taps left and right. The only stencil that reaches the neighbours has opposite taps. So no query can make them. The least-squares fit below shows what is missing: (⅓, 0, ⅓) and (1, 0, 1).
#
# ```python
# identity, half_slope, blur, laplacian = (1, 0), (1, 0.5), "impossible", "impossible"
# print(check_answer("03.E4a", identity), check_answer("03.E4b", half_slope), check_answer("03.E4c", blur), check_answer("03.E4d", laplacian), sep="\n")
#
# for name, target in {"blur": (1 / 3, 1 / 3, 1 / 3), "Laplacian": (1, -2, 1)}.items():
#     target = torch.tensor(target, dtype=torch.float64)
#     best = torch.linalg.lstsq(taps.T, target).solution
#     print(f"{name}: what no query can reach is", [round(float(rest), 2) for rest in target - taps.T @ best])
# ```
#
# </details>

# %% [markdown]
# **5 ★★★ Repair.** A public implementation had this habit: it flattens the map first and takes the "neighbourhood" along the flattened row. Compare the printed readings with what "right minus left" should give. Then change `flat_readings` so that the check passes on both maps, 3 × 5 and 5 × 3.

# %%
def flat_readings(table: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """Position lambdas of one-row stencils, (k, 1, 1, r): wrong at the ends of rows."""
    r = table.shape[3]
    padded = F.pad(values[..., 0], (0, 0, r // 2, r // 2))  # (b, m + r - 1, v)
    return einsum("kr,bmvr->bmkv", table[:, 0, 0], padded.unfold(1, r, 1))


slope = torch.tensor([-1.0, 0, 1]).view(1, 1, 1, 3)  # right minus left
numbers = torch.arange(1.0, 16.0)  # each pixel holds its own number
two_images = torch.stack([numbers, numbers**2]).view(2, 15, 1, 1).expand(2, 15, 2, 1)
print(flat_readings(slope, two_images, 3, 5)[0, :, 0, 0].view(3, 5).int())
mine = torch.cat([flat_readings(slope, two_images, *size).flatten() for size in ((3, 5), (5, 3))])
exercise_5 = check_close(mine, torch.cat([position_lambdas(relative_embeddings(slope, *size), two_images).flatten()
                             for size in ((3, 5), (5, 3))]))
exercise_5

# %% [markdown]
# <details><summary>Hint</summary>What does the last pixel of a row read on its right? The rows must be kept apart before you pad.</details>
#
# <details><summary>Solution</summary>
#
# The last pixel of a row reads the first pixel of the next row, and the first pixel reads the last one of the row before. So pad every row at its own ends.
#
# ```python
# def flat_readings(table, values, height, width):
#     r = table.shape[3]
#     rows = values[..., 0].unflatten(1, (height, width))  # (b, y, x, v)
#     padded = F.pad(rows, (0, 0, r // 2, r // 2))
#     return einsum("kr,byxvr->byxkv", table[:, 0, 0], padded.unfold(2, r, 1)).flatten(1, 2)
#
#
# mine = torch.cat([flat_readings(slope, two_images, *size).flatten() for size in ((3, 5), (5, 3))])
# check_close(mine, torch.cat([position_lambdas(relative_embeddings(slope, *size), two_images).flatten() for size in ((3, 5), (5, 3))]))
# ```
#
# </details>

# %% [markdown]
# **6 ★★★ Derive.** (On paper: there is no check.) Show in three lines that $E_{nm}=T_{m-n}$ makes position lambdas translation equivariant. Where does the proof stop?
#
# <details><summary>Hint</summary>Let the image move by $t$, so that the new values are $v'_m = v_{m-t}$. Rename the summation index.</details>
#
# <details><summary>Solution</summary>
#
# With $v'_m = v_{m-t}$ and $m'=m-t$:
#
# $$\lambda'_n=\sum_m T_{m-n}\,v_{m-t}^\top=\sum_{m'} T_{m'+t-n}\,v_{m'}^\top=\sum_{m'} T_{m'-(n-t)}\,v_{m'}^\top=\lambda_{n-t}.$$
#
# The renaming needs every $m'$ to be a pixel of the map. Near the border some are not. So the equality holds for queries at least $\lfloor r/2\rfloor$ pixels away from the border, before and after the move.
#
# </details>

# %%
progress({
    "1 the red pixel": "exercise_1",
    "2 how many numbers": "exercise_2",
    "3 position lambdas": "exercise_3",
    "4 which kernels": "exercise_4",
    "5 repair the rows": "exercise_5",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A position lambda is a table of $k$ readings. Each reading is a colour that a stencil found around the pixel.
# * The readings come from one convolution, in which every value channel is an image of its own.
# * The query mixes the readings, so each pixel has its own kernel. All kernels are mixtures of $k$ stencils.
# * With a frozen query, a depthwise convolution is left.
# * The stencils themselves never depend on the image. Content enters through the values and the query.
#
# **Ledger.** *Long-range interactions.* For: stencils reach as far as you let them (step 4), and they see the swap of step 7. Against: the stencils themselves never look at the image.
#
# **The code of this lesson** lives in `lambdalib/lambdas.py`: `relative_embeddings`, `position_lambdas`, `apply_lambdas`.
#
# **Next.** Stencils see shape, but only as far as r. Palettes see everything, but no shape. Do the two halves need each other? [Lesson 04: the lambda layer](04_lambda_layer.ipynb).
