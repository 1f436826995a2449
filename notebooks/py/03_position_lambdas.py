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
# > **After this lesson you can** turn a small table of stencils into position lambdas, compute them in three ways that agree, steer a stencil with a query, and say exactly which convolution a position lambda is.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (the palette) and an idea of what a convolution does. Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 35 minutes to read, 25 for the exercises; the code runs in about 15 seconds on two CPU cores.

# %% [markdown]
# ## How can a function of fixed size know *where* things are?
#
# Lesson 02 ended with a loss. The content lambda of a plane and of the same pixels shuffled into confetti are equal: a palette of colours, without a place for any of them. A layer with only palettes answers each pixel of the confetti as it does in the plane: it cannot tell a wing from scattered yellow.
#
# The second half of a lambda puts the *where* back. It stays a small function, a table of k × v numbers at each pixel, made before any query is asked. The boxed term is this lesson's:
#
# $$y_n \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\lambda^c,\;k\times v} \;+\; \boxed{\sum_m e_{nm}\,v_m^\top}\Big)^{\!\top} q_n$$
#
# The notation is that of the paper (Bello, *LambdaNetworks*, ICLR 2021, section 3). The embedding $e_{nm}\in\mathbb{R}^k$ says how query position $n$ weighs context position $m$, in $k$ different ways, and it depends on nothing but the offset $m-n$; all of them together are called $E$. Think of $k$ **stencils**: small fixed patterns of weights, laid over the picture around the pixel. Each stencil reads one colour from the neighbourhood. The position lambda is the list of these $k$ readings, and the query mixes them.

# %%
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, einsum

from lambdalib import lambdas
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_position_lambdas
from lambdalib.course.examples import plane, strip
from lambdalib.course.questions import check_answer

torch.manual_seed(0)
figures.maps([plane()], ["the plane"])
plt.show()

# %% [markdown]
# ## 1 · The strip, by hand
#
# Our toy picture has four pixels in the plane's colours: red, green, blue and yellow, written with 8 for full light. It has two stencils of three taps each, for the left neighbour, the pixel itself and the right neighbour:
#
# * stencil 0 is $(0, 1, 0)$: "me";
# * stencil 1 is $(-1, 0, 1)$: "right minus left".
#
# **Predict.** Pixel 1 is green; red is on its left, blue on its right. What does stencil 1 read there?

# %%
guess = None  # your guess, as (red, green, blue)
check_answer("03.1", guess)

# %% [markdown]
# The formula, with the position lambda of one pixel as a matrix of $k$ rows (stencils) and $v$ columns (colours):
#
# $$\lambda^p_n \;=\; \sum_m e_{nm}\,v_m^\top \in\mathbb{R}^{k\times v},\qquad e_{nm}=T_{\,m-n}\in\mathbb{R}^k$$
#
# $T$ is the table of stencils, with one entry per tap; beyond the ends of the strip there is nothing, which counts as 0.

# %%
queries, keys, values, table = strip()
colours, taps = values[0, :, :, 0], table[:, 0, 0]  # (n=4, v=3) and (k=2, r=3)

readings = torch.zeros(4, 2, 3, dtype=torch.float64)  # (n, k, v): one position lambda per pixel
for n in range(4):
    for m in range(4):
        if abs(m - n) <= 1:  # within the stencil's three taps
            readings[n] += taps[:, m - n + 1, None] * colours[m]

print("position lambda of pixel 1:")
print(readings[1])
assert readings[1].tolist() == [[0, 8, 0], [-8, 0, 8]]
figures.strip_readings(colours, taps, readings)
plt.show()

# %% [markdown]
# Pixel 1 reads $(-8, 0, 8)$: blue minus red. It is a colour with a negative part, so it is no blend of any pixels, and no head of attention over these values can make it, whatever its weights (lesson 01). A stencil has signs, and no softmax makes them positive or sums them to one.
#
# The query then mixes the readings, exactly as it mixed the palette. The four queries are (1, 0), (0, 1), (1, −1) and (1, 1). Pixel 2, for one, asks for "me" minus "right minus left", (0, 0, 8) − (8, 0, 0):

# %%
outputs = einsum("nk,nkv->nv", queries[0, 0], readings)
print(outputs)
assert outputs.tolist() == [[8, 0, 0], [-8, 0, 8], [-8, 0, 8], [8, 8, -8]]

# %% [markdown]
# ## 2 · From the table to the sheets
#
# In the formula, $E$ has one vector for every pair (query, context): a block of $n\times m\times k$ numbers, or $k$ **sheets** of $n\times m$. But these numbers repeat: every pair with the same offset shares one entry of the table. How does one spread the table out without a loop?
#
# Take stencil 1 and put zeros around it, until every offset between two of the four pixels has a place. Then slide a window of four taps over it, and read the windows from the last to the first. They are the four rows of the sheet:

# %%
padded = F.pad(taps[1], (2, 2))  # offsets -3 ... 3
print("padded stencil 1:", padded.int().tolist())
for n, window in enumerate(padded.unfold(0, 4, 1).flip(0)):
    print(f"row n = {n}:", window.int().tolist())


# %% [markdown]
# The last window comes first because the first pixel has all of its context to the right. The function below does the same in two dimensions and for all stencils. It is the code of `lambdalib.lambdas`.

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


# %% [markdown]
# The axis $u$ has size 1 until step 10. The strip is a map of one row and four columns, so its sheets are two squares of 4 × 4:

# %%
embeddings = relative_embeddings(table, 1, 4)[..., 0]  # (n, m, k)
for n in range(3):
    for m in range(3):
        assert torch.equal(embeddings[n, m], embeddings[n + 1, m + 1])  # one step down and right: the same offset
assert torch.equal(einsum("nmk,mv->nkv", embeddings, colours), readings)  # the sheets read what the loop read
figures.embedding_matrices(embeddings, ["E of stencil 0, “me”", "E of stencil 1, “right minus left”"])
plt.show()

# %% [markdown]
# Every sheet is made of bands. That is what "depends on the offset only" looks like, and it is the whole reason why a pattern is read alike wherever it stands. What is *learnt* is the table: k · r · r numbers on a map of any size, while the sheets grow with the square of the number of pixels.

# %% [markdown]
# ## 3 · Two dimensions
#
# On a real map an offset has two parts, $(dy, dx)$, and a stencil is a small square picture of $r\times r$ taps; $r$ is odd, so that there is a middle tap. Tap $(i, j)$ reads the pixel $(i-\lfloor r/2\rfloor,\; j-\lfloor r/2\rfloor)$ away. How far a stencil reaches is called its **scope**. We give it as the side $r$; the paper gives the number of taps, $|m|$, so its $|m| = 23\times 23$ is our $r = 23$. The scope is a choice: a table of $2H-1$ by $2W-1$ offsets reaches every pixel of an $H\times W$ map from every other, and the position lambdas are then global.
#
# A picture whose pixels hold their own numbers shows whether the offsets are right. One tap, "one to the right", on a map of 3 rows and 5 columns:

# %%
numbers = torch.arange(1.0, 16.0, dtype=torch.float64)  # the value of each pixel is its number
one_right = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
one_right[0, 0, 1, 2] = 1  # middle row, last column
reading = einsum("nm,m->n", relative_embeddings(one_right, 3, 5)[..., 0, 0], numbers).view(3, 5)
print(reading.int())
assert reading[0].tolist() == [2, 3, 4, 5, 0]  # the last pixel has no right neighbour


# %% [markdown]
# ## 4 · Three ways to the same numbers
#
# First the definition, as lambdalib has it: two short functions. In the second, each position has $h$ queries, its *heads*, and one lambda answers them all; the paper calls this multi-query (lesson 04 says why).

# %%
def position_lambdas(embeddings: Tensor, values: Tensor) -> Tensor:
    """λᵖ_n = Σ_m E_nm ⊗ V_m. (n, m, k, u), (b, m, v, u) -> (b, n, k, v)."""
    return einsum("nmku,bmvu->bnkv", embeddings, values)


def apply_lambdas(queries: Tensor, lambdas: Tensor) -> Tensor:
    """y_hn = λ_nᵀ q_hn. (b, h, n, k), (b, n, k, v) or a content lambda (b, k, v) -> (b, h, n, v)."""
    if lambdas.dim() == 3:
        # in memory the heads of a position lie together
        return einsum("bhnk,bkv->bnhv", queries, lambdas).transpose(1, 2)
    return einsum("bhnk,bnkv->bnhv", queries, lambdas).transpose(1, 2)


# %% [markdown]
# Now on a small map, with axes of different prime lengths so that no mix-up can hide: b = 2 pictures, h = 3 heads, a map of 5 × 7, k = 11 stencils of 3 × 3 taps, v = 13 channels.

# %%
b, h, height, width, k, v, r = 2, 3, 5, 7, 11, 13, 3
n = height * width
q = torch.randn(b, h, n, k, dtype=torch.float64)
vals = torch.randn(b, n, v, 1, dtype=torch.float64)
stencils = torch.randn(k, 1, r, r, dtype=torch.float64)

# way 1: the sum, pixel by pixel and tap by tap
by_loops = torch.zeros(b, n, k, v, dtype=torch.float64)
for y, x in ((y, x) for y in range(height) for x in range(width)):
    for i, j in ((i, j) for i in range(r) for j in range(r)):
        cy, cx = y + i - r // 2, x + j - r // 2
        if 0 <= cy < height and 0 <= cx < width:  # beyond the border there is nothing to read
            by_loops[:, y * width + x] += einsum("k,bv->bkv", stencils[:, 0, i, j], vals[:, cy * width + cx, :, 0])

# way 2: the definition
by_einsum = position_lambdas(relative_embeddings(stencils, height, width), vals)

# way 3: a convolution that treats every value channel as a picture of its own
# (PyTorch's conv2d does not flip its kernel)
pictures = vals.permute(0, 2, 3, 1).reshape(b * v, 1, height, width)
by_conv = F.conv2d(pictures, stencils, padding=r // 2)  # (b·v, k, H, W)
by_conv = by_conv.view(b, v, k, n).permute(0, 3, 2, 1)  # (b, n, k, v)

assert torch.allclose(by_loops, by_einsum) and torch.allclose(by_loops, by_conv)
assert torch.allclose(by_einsum,
                      lambdas.position_lambdas(lambdas.relative_embeddings(stencils, height, width), vals))
print("loops = einsum = convolution, for", tuple(by_conv.shape), "= (b, n, k, v)")


# %% [markdown]
# Look at the third way again: the convolution takes *one* channel in and gives *k* out, and it runs over each of the v value channels separately, with the same k stencils. An ordinary 3×3 convolution mixes all channels with all channels; a position lambda filters each channel alone and keeps all k results. In this form the paper calls it a *lambda convolution*. Nothing forces us to keep λ for all n in memory at once, either; lesson 05 looks at what has to be stored.
#
# On the plane, with its three colours as values, four hand-made stencils give 4 × 3 = 12 readings at every pixel. Here are the four of the red channel; signed numbers are drawn purple above zero, brown below, white at zero (the scale goes from −1 to 1). The two differences are halved, so that they measure a slope per pixel. The rims (left and right, top and bottom, all round) are the border, where the missing neighbours count as 0:

# %%
def hand_made() -> Tensor:
    """Four stencils of 3 × 3. (k=4, u=1, 3, 3)

    Me, half of right minus left, half of below minus above, me minus the mean of my neighbours.
    """
    me = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    dx = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    neighbours = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    return torch.stack([me, dx, dx.T, me - neighbours])[:, None]


plane_values = plane().flatten(1).T[None, :, :, None]  # (1, m=1024, v=3, u=1)
plane_lambdas = position_lambdas(relative_embeddings(hand_made(), 32, 32), plane_values)  # (1, n=1024, k=4, v=3)
red = plane_lambdas[0, :, :, 0].T.view(4, 32, 32)
assert torch.allclose(red[0], plane()[0])  # "me" reads the picture itself
figures.maps([plane(), *red], ["the plane", "me", "right − left", "below − above", "me − neighbours"], limit=1)
plt.show()

# %% [markdown]
# ## 5 · Steering
#
# Why keep k readings and let the query mix them, rather than learn the mixture at once? Because the query is *different at every pixel*. Take two of these stencils, ∂x = "right minus left" and ∂y = "below minus above", each halved.
#
# Let them read a ramp: a picture whose brightness grows by 1 per pixel in the direction 30°, where 0° points right and 90° points *down*, as rows count. Away from the border every pixel then reads the same lambda, $(\cos 30°, \sin 30°) = (0.866, 0.5)$. A query $(\cos\theta, \sin\theta)$ reads $\cos\theta\cos 30° + \sin\theta\sin 30° = \cos(\theta-30°)$.
#
# **Predict.** At which angle between 0° and 360° does the reading become exactly −1?

# %%
guess = None  # degrees
check_answer("03.3a", guess)

# %%
ys, xs = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
ramp = math.cos(math.radians(30)) * xs + math.sin(math.radians(30)) * ys  # y runs downwards, as rows do
slopes = hand_made()[1:3]  # ∂x and ∂y
ramp_lambdas = position_lambdas(relative_embeddings(slopes, 16, 16), ramp.view(1, 256, 1, 1))
inside = ramp_lambdas.view(16, 16, 2)[1:-1, 1:-1]
assert torch.allclose(inside, torch.tensor([0.8660, 0.5]).expand_as(inside), atol=1e-4)

for degrees in (0, 30, 120, 210):
    query = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    reading = inside[5, 5] @ query
    print(f"query at {degrees:3d}°: reads {round(float(reading), 3) + 0.0:+.3f}")
    assert abs(reading - math.cos(math.radians(degrees - 30))) < 1e-5


# %% [markdown]
# Two stencils hold *all* directions of slope at once (exactly on a ramp, nearly so where the picture changes slowly, and the less so the finer the texture); the query only picks. Filters with this property are called steerable (Freeman and Adelson, 1991). Below, the same two stencils on the brightness of the plane. Turn the query and watch the edges that answer.

# %%
def steer(degrees: float = 90, row: int = 20, column: int = 16):
    brightness = plane().mean(0)
    lambda_map = F.conv2d(brightness[None, None], slopes, padding=1)[0]  # (k=2, 32, 32)
    mix = lambda angle: torch.stack([torch.cos(angle), torch.sin(angle)])  # the query at this angle
    angle, angles = torch.tensor(math.radians(degrees)), torch.linspace(0, 2 * math.pi, 121)
    # the border reads zeros from outside: cut it off
    response = einsum("k,kyx->yx", mix(angle), lambda_map)[1:-1, 1:-1]
    kernel = einsum("k,kij->ij", mix(angle), slopes[:, 0])
    curve = lambda_map[:, row, column] @ mix(angles)
    return figures.steering(plane()[:, 1:-1, 1:-1], response, kernel, degrees,
                            torch.rad2deg(angles), curve, (row - 1, column - 1))


steer()
plt.show()

# %% [markdown]
# The widget needs a running kernel; the picture above is its first position. Move the angle, then the pixel: the curve at the right is always a cosine. For a pixel with lambda $(\lambda_0, \lambda_1)$ its height is $\sqrt{\lambda_0^2+\lambda_1^2}$, the steepness there, and its peak lies at the angle of $(\lambda_0, \lambda_1)$, the direction in which the picture brightens fastest.

# %% tags=["nbval-ignore-output"]
widgets.explore(steer, degrees=widgets.slider("angle of the query", 0, 360, 90, 5),
                row=widgets.slider("row of the marked pixel", 1, 30, 20),
                column=widgets.slider("column", 1, 30, 16))

# %% [markdown]
# ## 6 · Shift the picture
#
# If offsets are all that counts, then a shifted picture must give shifted lambdas. We take 12 columns of the plane, roll them by one to the right (the column that leaves on the right enters on the left), and compare "roll, then read" with "read, then roll", with random stencils of 3 × 3.
#
# **Predict.** In which of the columns 0 … 11 do the two differ?

# %%
guess = None  # a tuple of column numbers
check_answer("03.3b", guess)


# %%
def read(picture: Tensor, table: Tensor) -> Tensor:
    """All position lambdas of one picture: (v, H, W) -> (H, W, k, v)."""
    v, height, width = picture.shape
    rows = picture.flatten(1).T[None, :, :, None]
    return position_lambdas(relative_embeddings(table, height, width), rows).view(height, width, -1, v)


random_stencils = torch.randn(5, 1, 3, 3)
crop = plane()[:, 8:20, 10:22]
gap = read(crop.roll(1, dims=2), random_stencils) - read(crop, random_stencils).roll(1, dims=1)
error = gap.abs().amax(dim=(0, 2, 3))  # the largest difference in each column
print("columns that differ:", (error > 1e-5).nonzero().flatten().tolist())
assert (error > 1e-5).nonzero().flatten().tolist() == [0, 1, 11]

# %% [markdown]
# Columns 0 and 1 lie at the seam where the roll has put strangers side by side; column 11 has a new border. Everywhere else the readings are equal: position lambdas are **translation equivariant**, except where the pixel was among the outermost $\lfloor r/2\rfloor$ before the move, or is among them after it. (Column 1 was column 0.) The paper asks for exactly this of its embeddings, $e_{nm}=e_{t(n)t(m)}$ for every translation $t$.

# %% [markdown]
# ## 7 · What lesson 02 could not see
#
# Swap the red and the blue pixel of the strip, keys and all. The palette is a sum over all pixels, in any order, so it stays as it is. The position lambda of the green pixel between them does not:

# %%
swapped = values[:, [2, 1, 0, 3]]
before = position_lambdas(relative_embeddings(table, 1, 4), values)[0, 1]
after = position_lambdas(relative_embeddings(table, 1, 4), swapped)[0, 1]
assert torch.allclose(lambdas.content_lambda(keys, values), lambdas.content_lambda(keys[:, [2, 1, 0, 3]], swapped))
assert before[1].tolist() == [-8, 0, 8] and after[1].tolist() == [8, 0, -8]
print("right minus left at pixel 1:", before[1].tolist(), "becomes", after[1].tolist())

# %% [markdown]
# ## 8 · Freeze the query
#
# Suppose that the query were the same at every pixel. What would be left?
#
# Two words first. A *full* convolution mixes every channel with every other. A *depthwise* one filters each channel alone (in PyTorch: as many `groups` as channels).
#
# **Predict.** From the values to the output, position lambdas with one constant query per head are … (a) a full convolution, (b) a depthwise convolution, (c) still attention of a kind?

# %%
guess = None  # "a", "b" or "c"
check_answer("03.3c", guess)

# %% [markdown]
# With $q_{hn}=q_h$, the sum over $k$ can be done once and for all: $\kappa_h = \sum_k q_{hk}T_k$ is one fixed kernel per head. Each head filters all v value channels with one kernel of its own, and nothing is added across channels. The cell copies the v channels h times, so that the outputs come head by head.

# %%
frozen = torch.randn(1, h, 1, k, dtype=torch.float64).expand(b, h, n, k)  # one query per head, for all pixels
y_lambda = apply_lambdas(frozen, by_einsum)  # (b, h, n, v)

kernels = einsum("hk,kij->hij", frozen[0, :, 0], stencils[:, 0])  # one kernel per head
channels = vals[..., 0].transpose(1, 2).view(b, v, height, width).repeat(1, h, 1, 1)  # (b, h·v, H, W)
weights = kernels.repeat_interleave(v, dim=0)[:, None]  # (h·v, 1, r, r): the head's kernel, once per channel
y_conv = F.conv2d(channels, weights, padding=r // 2, groups=h * v)

assert torch.allclose(y_lambda.transpose(2, 3).reshape(b, h * v, height, width), y_conv)
print("a frozen query is a depthwise convolution; largest difference below 1e-10:",
      bool((y_lambda.transpose(2, 3).reshape_as(y_conv) - y_conv).abs().max() < 1e-10))

# %% [markdown]
# A depthwise convolution, and a poor one: the v channels of a head share a single kernel, and the heads share the v channels. (The projection that makes the values from the features does mix channels, but not pixels.) So what separates a position lambda from an ordinary static filter is the query, and nothing but the query. Whether that difference is worth its price is a question for an experiment: train both, by the same recipe. Lesson 09 does.

# %% [markdown]
# ## 9 · How many kernels are there?
#
# Let the query move again. Then pixel $n$ of head $h$ uses the kernel $\kappa_{hn} = \sum_k q_{hnk}T_k$: a kernel of its own, different for each picture, head and pixel. Below, k = 5 stencils and random queries on 3 pictures, 4 heads and 15 pixels: 180 kernels.

# %%
q_small = torch.randn(3, 4, 15, 5, dtype=torch.float64)
t_small = torch.randn(5, 3, 3, dtype=torch.float64)
all_kernels = einsum("bhnk,kij->bhnij", q_small, t_small).reshape(180, 9)
rank = int(torch.linalg.matrix_rank(all_kernels))
print(len(all_kernels), "kernels; they span", rank,
      "dimensions of the", all_kernels.shape[1], "that a 3 × 3 kernel has")
assert rank == 5

# %% [markdown]
# Many kernels, few directions: all of them are mixtures of the same k stencils. With the paper's k = 16, that is at most 16 dimensions of the 49 that a 7 × 7 kernel has, and of the 529 at r = 23.
#
# A layer in which every pixel generates its own kernel and gathers its neighbourhood with it has a name, *involution* (Li et al., 2021, a later paper). With one head, a position lambda is an involution on the values whose kernel is a linear function of the query, so that at most k independent kernels exist; with more heads, all of them read the same channels. The next cell gathers the neighbourhoods of step 4 with such kernels, and finds what the lambdas found:

# %%
# (b, h, n, r·r): one kernel per head and pixel
own_kernels = einsum("bhnk,kij->bhnij", q, stencils[:, 0]).flatten(3)
neighbourhoods = F.unfold(vals[..., 0].transpose(1, 2).unflatten(2, (height, width)),
                          r, padding=r // 2).view(b, v, r * r, n)
gathered = einsum("bhnt,bvtn->bhnv", own_kernels, neighbourhoods)
assert torch.allclose(gathered, apply_lambdas(q, by_einsum))

# %% [markdown]
# On the plane, with the four hand-made stencils, each marked pixel uses a different kernel. Any function of the pixel could be the query; here it is the pixel's own four readings of the brightness, less the picture's mean (so that "me" is negative at dark pixels), scaled to length 1. No hand-made stencil reaches a corner, so no mixture does:

# %%
brightness = plane().mean(0)[None, None]
four = F.conv2d(brightness - brightness.mean(), hand_made(), padding=1)[0]  # (k=4, 32, 32)
query_map = F.normalize(four, dim=0)
pixels = [(10, 9), (23, 4), (21, 13), (21, 8)]
used = torch.stack([einsum("k,kij->ij", query_map[:, row, column], hand_made()[:, 0]) for row, column in pixels])
likeness = F.cosine_similarity(used.flatten(1)[:, None], used.flatten(1)[None], dim=2)
assert (likeness - 2 * torch.eye(4)).max() < 0.5  # no two of the four kernels are alike
figures.kernels_in_place(plane(), pixels, used)
plt.show()

# %% [markdown]
# ## 10 · Intra-depth: several readings at once
#
# The axis $u$ of the shapes gives each context position several values, each with stencils of its own, and sums what they read. The lambda stays k × v, but more is read into it, for u times the values and stencils. Nothing new happens; the sum simply runs over $m$ and $u$:

# %%
two_tables = torch.randn(k, 2, r, r, dtype=torch.float64)
two_values = torch.randn(b, n, v, 2, dtype=torch.float64)
together = position_lambdas(relative_embeddings(two_tables, height, width), two_values)
one_by_one = sum(
    position_lambdas(relative_embeddings(two_tables[:, [i]], height, width), two_values[..., [i]])
    for i in range(2)
)
assert torch.allclose(together, one_by_one)

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** What would pixel 0 of the strip, the red one at the left end, give for the query (1, −1)?

# %%
guess = None  # (red, green, blue)
check_answer("03.E1", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# "Me" reads (8, 0, 0). To the right is green, to the left is nothing: "right minus left" reads (0, 8, 0). Their difference is (8, −8, 0).
#
# ```python
# guess = (8, -8, 0)
# check_answer("03.E1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Predict.** A layer has d = 64 channels, h = 4 heads (so v = 16), k = 8, u = 1, r = 7, on a map of 32 × 32. How many numbers do its stencils hold?

# %%
guess = None  # one number
check_answer("03.E2", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# k · u · r² = 8 · 1 · 49 = 392. Neither the channels, nor the heads, nor the size of the map come in.
#
# ```python
# guess = 392
# check_answer("03.E2", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · Implement.** Write position lambdas for any u, straight from the table, in whatever way you like: with loops, or with one `conv2d` (the values have u channels in; which axes go into its batch?). No `relative_embeddings`. The check says which axis is wrong, if one is.

# %%
def my_position_lambdas(table: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """(k, u, r, r), square stencils; (b, m, v, u), m = height · width -> (b, n, k, v)."""
    (k, u, r, _), (b, m, v, _) = table.shape, values.shape
    return torch.zeros(b, m, k, v, dtype=values.dtype)  # replace this line


check_position_lambdas(my_position_lambdas)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def my_position_lambdas(table, values, height, width):
#     (k, u, r, _), (b, m, v, _) = table.shape, values.shape
#     pictures = values.permute(0, 2, 3, 1).reshape(b * v, u, height, width)  # every value channel is a picture with u planes
#     readings = F.conv2d(pictures, table, padding=r // 2)  # (b·v, k, H, W): conv2d sums over its input channels, our u
#     return readings.view(b, v, k, m).permute(0, 3, 2, 1)
#
#
# check_position_lambdas(my_position_lambdas)
# ```
#
# </details>

# %% [markdown]
# **4 · Construct.** Which kernels can a query make out of the strip's two stencils, (0, 1, 0) and (−1, 0, 1)? Find $q$ for each of these targets, or say `"impossible"`:
# the pixel itself (0, 1, 0); the pixel minus half its left and plus half its right neighbour (−½, 1, ½); a blur (⅓, ⅓, ⅓); a Laplacian (1, −2, 1).

# %%
identity, half_slope, blur, laplacian = None, None, None, None  # each a pair (q0, q1), or "impossible"
print(check_answer("03.E4a", identity), check_answer("03.E4b", half_slope),
      check_answer("03.E4c", blur), check_answer("03.E4d", laplacian), sep="\n")


# %% [markdown]
# <details><summary>Solution</summary>
#
# The query's two numbers are the weights of the two stencils, so (1, 0) and (1, ½). Blur and Laplacian are symmetric, while the only stencil that reaches the neighbours is antisymmetric. The best one can do leaves (⅓, 0, ⅓) and (1, 0, 1) over, as this least-squares fit shows.
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
# **5 · Repair.** This habit was seen in the wild: the map is flattened first, and the "neighbourhood" is taken along the flattened row. Compare what is printed with what right minus left should read, and change `flat_readings` so that the check passes on both maps, 3 × 5 and 5 × 3.

# %%
def flat_readings(table: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """Position lambdas of one-row stencils, (k, 1, 1, r): wrong at the ends of rows."""
    r = table.shape[3]
    padded = F.pad(values[..., 0], (0, 0, r // 2, r // 2))  # (b, m + r - 1, v)
    return einsum("kr,bmvr->bmkv", table[:, 0, 0], padded.unfold(1, r, 1))


slope = torch.tensor([-1.0, 0, 1]).view(1, 1, 1, 3)  # right minus left
two_pictures = torch.stack([numbers, numbers**2]).float().view(2, 15, 1, 1).expand(2, 15, 2, 1)
print(flat_readings(slope, two_pictures, 3, 5)[0, :, 0, 0].view(3, 5).int())  # right minus left of 1 ... 15
mine = torch.cat([flat_readings(slope, two_pictures, *size).flatten() for size in ((3, 5), (5, 3))])
check_close(mine, torch.cat([position_lambdas(relative_embeddings(slope, *size), two_pictures).flatten()
                             for size in ((3, 5), (5, 3))]))

# %% [markdown]
# <details><summary>Solution</summary>
#
# The last pixel of each row reads the first pixel of the next one, and the first reads the last of the row before. More padding does not help: the rows have to be kept apart. Pad every row at its own ends.
#
# ```python
# def flat_readings(table, values, height, width):
#     r = table.shape[3]
#     rows = values[..., 0].unflatten(1, (height, width))  # (b, y, x, v)
#     padded = F.pad(rows, (0, 0, r // 2, r // 2))
#     return einsum("kr,byxvr->byxkv", table[:, 0, 0], padded.unfold(2, r, 1)).flatten(1, 2)
#
#
# mine = torch.cat([flat_readings(slope, two_pictures, *size).flatten() for size in ((3, 5), (5, 3))])
# check_close(mine, torch.cat([position_lambdas(relative_embeddings(slope, *size), two_pictures).flatten() for size in ((3, 5), (5, 3))]))
# ```
#
# </details>

# %% [markdown]
# **6 · Derive.** Show in three lines that $E_{nm}=T_{m-n}$ makes position lambdas translation equivariant, and say where it stops.
#
# <details><summary>Solution</summary>
#
# Let the picture move by $t$: the new values are $v'_m = v_{m-t}$. Then
#
# $$\lambda'_n=\sum_m T_{m-n}\,v_{m-t}^\top=\sum_{m'} T_{m'+t-n}\,v_{m'}^\top=\sum_{m'} T_{m'-(n-t)}\,v_{m'}^\top=\lambda_{n-t}.$$
#
# The renaming $m'=m-t$ needs every $m'$ to be a pixel of the map. Near the border some are not, so the equality holds for queries at least $\lfloor r/2\rfloor$ pixels away from it, before and after the move.
#
# </details>

# %% [markdown]
# ## What we now know
#
# * A position lambda is k stencil readings around a pixel: a convolution of each value channel alone with the same k stencils, before any query is asked.
# * The query mixes the k readings, so each pixel has its own kernel, inside the span of k stencils. Freeze the query and a depthwise convolution is left.
# * The stencils themselves never depend on the picture. Content comes in only through the query and the values.
#
# **Ledger.** *Long-range interactions*: for, stencils reach as far as you let them (step 3), and the swap of step 7 is seen; against, the stencils themselves never look at the picture. Content enters through the values, and through the query that mixes the stencils.
#
# **The code of this lesson** lives in `lambdalib/lambdas.py`: `relative_embeddings`, `position_lambdas`, `apply_lambdas`.
#
# **Next.** Stencils see shape, as far as r reaches; palettes see everything, but no shape. Do the two halves need each other? [Lesson 04: the lambda layer](04_lambda_layer.ipynb).
