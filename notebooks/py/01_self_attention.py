# %% [markdown]
# # 01 · Self-attention
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/01_self_attention.ipynb)

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
# > **After this lesson you can** work out attention by hand, write it in two lines, name what a blend of values cannot do, and count the bytes of its matrix.
# >
# > **You need** [lesson 00](00_start_here.ipynb), PyTorch tensors, and the softmax. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 45 minutes to read, 30 for the exercises. The code runs in 15 seconds on two CPU cores. **Short path:** steps 1, 2, 5 and 6.

# %% [markdown]
# ## How does one pixel ask all the others?
#
# A 3×3 convolution shows each pixel its eight neighbours. Information from the other end of the image must pass through many such layers. **Self-attention** lets each pixel ask every pixel at once.
#
# Here is the picture of the course again. Most of it is the lambda layer. This lesson is about the grey column at its right: what attention does instead.

# %%
import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn

from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_attention, check_close
from lambdalib.course.examples import plane, strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.course.verdict import Verdicts
from lambdalib.lambdas import relative_embeddings

torch.manual_seed(0)
figures.show(
    figures.one_picture(),
    "In grey: attention gives pixel A one weight for every pixel, and pixel B other weights. Darker weighs more.",
    alt="The picture of the course. At its right edge, in grey, the attention weights of pixels A and B.",
)

# %% [markdown]
# In the formula, the box holds one weight for each pair of pixels. All of them together are the **attention matrix**:
#
# $$y_n \;=\; \sum_m \boxed{A_{nm}}\,v_m,\qquad A_{nm}=\mathrm{softmax}_m\big(q_n\cdot k_m\big)$$
#
# * Every pixel $n$ has a **query** $q_n$: a vector for what it asks.
# * Every pixel $m$ has a **key** $k_m$: a vector of the same length for what it has to offer.
# * Their dot product $q_n\cdot k_m$ is a **score**. A high score says that the offer fits the question.
# * Every pixel $m$ has a **value** $v_m$: the vector that it hands over.
#
# The softmax turns the scores of one query into weights: positive numbers that sum to 1. The **answer** (or output) $y_n$ is the blend of all values with these weights.
#
# The same pixels play two roles, so there are two letters. The letter $n$ stands for the pixel that asks. The letter $m$ stands for the pixels that are asked: the **context**. (Lesson 00 had one more term in the softmax, $q_n\cdot e_{nm}$. Step 4 shows why.)

# %% [markdown]
# ## 1 · One pixel, by hand
#
# For one pixel, attention is a weighted mean that you can work out by hand.
#
# Our toy image, the strip, has four pixels: red (pixel 0), green (1), blue (2) and yellow (3). The values are their colours, with 8 for full light. Queries and keys have two entries each. We chose them so that the sums stay small.

# %%
queries, keys, values, _ = strip()
queries, keys, values = queries[0, 0], keys[0, :, :, 0], values[0, :, :, 0]  # (n=4, k=2), (m=4, k=2), (m=4, v=3)
print("values:", values.int().tolist())
print("queries:", queries.int().tolist())
print("exp(keys):", keys.exp().round().int().tolist())  # log 1 = 0


# %% [markdown]
# So the first three keys are (0, 0), and the key of yellow is (0, log 5). The first three pixels make the same offer. Only yellow differs. For one query, attention is three formulas:
#
# $$s_m=q\cdot k_m\in\mathbb{R},\qquad a_m=\frac{e^{s_m}}{\sum_{m'}e^{s_{m'}}},\qquad y=\sum_m a_m\,v_m\in\mathbb{R}^v$$

# %%
def ask(query: Tensor) -> str:
    """One query's weights and answer, by loops. (k,) -> text."""
    scores = [sum(query[i] * keys[m, i] for i in range(2)) for m in range(4)]
    total = sum(score.exp() for score in scores)
    weights = torch.stack([score.exp() / total for score in scores])
    answer = sum(weights[m] * values[m] for m in range(4))
    return f"weights {weights.round(decimals=3).tolist()}, answer {answer.round(decimals=2).tolist()}"


print("query (1, 0):", ask(queries[0]))
print("query (0, 1):", ask(queries[1]))

# %% [markdown]
# The query (1, 0) finds all offers equally good. It gets the mean of the four pixels.
#
# The query (0, 1) has the score log 5 at yellow and 0 elsewhere. The exponentials are 1, 1, 1 and 5. So yellow weighs five times as much as any other pixel, and the answer turns yellowish.
#
# **Predict.** Pixel 3 asks with (1, 1), the sum of the two queries. What is its answer?

# %%
guess = None  # (red, green, blue)
check_answer("01.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
weights = (queries @ keys.T).softmax(dim=1)  # (n, m): the attention matrix of the strip
if revealed(guess):
    print("query (1, 1):", ask(queries[3]))
    figures.show(
        figures.blends(values, weights, weights @ values),
        "Each row is a query: its four weights, and at the right the colour that they blend. Darker weighs more.",
        alt="A table of 4 × 4 weights below the colours of the strip, and the four answers at the right.",
    )


# %% [markdown]
# The query (1, 1) gets exactly the answer of (0, 1). Why? The first entry of the key is the same at every pixel. So it adds the same number to all four scores. The softmax divides by the sum of the exponentials, and a common factor cancels. A softmax sees only *differences* of scores.

# %% [markdown]
# ## 2 · All pixels at once
#
# With the queries as rows of a matrix $Q$, the keys of $K$ and the values of $V$, attention is two matrix products (Vaswani et al., 2017):
#
# $$A=\mathrm{softmax}_m\big(Q K^\top\big)\in\mathbb{R}^{n\times m},\qquad Y=A\,V\in\mathbb{R}^{n\times v}$$
#
# The function below is the library's code. In `einsum` each letter names an axis. It multiplies, then sums over every letter that is missing after the arrow.
#
# Two axes are new. A batch has b images. And a layer can run h attentions side by side, each with its own queries, keys and values. They are called **heads**. On the strip both axes have length 1. (Other texts divide the scores by $\sqrt k$. Here, as in the paper on lambda layers, this factor is part of the queries. So we give PyTorch `scale=1.0`.)

# %%
def softmax_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A_nm = softmax_m(q_n · k_m), y_n = Σ_m A_nm v_m.

    (b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v).
    """
    scores = einsum("bhnk,bhmk->bhnm", queries, keys)
    # over the context: each row of weights sums to 1
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


b, h, n, m, k, v = 2, 3, 5, 7, 11, 13  # different primes, so that no mix-up of axes can hide
q_random = torch.randn(b, h, n, k, dtype=torch.float64)
k_random, v_random = torch.randn(b, h, m, k, dtype=torch.float64), torch.randn(b, h, m, v, dtype=torch.float64)
y_random = softmax_attention(q_random, k_random, v_random)
print("answers:", tuple(y_random.shape), "= (b, h, n, v)")
by_pytorch = F.scaled_dot_product_attention(q_random, k_random, v_random, scale=1.0)
print("equal to PyTorch's own function:", torch.allclose(y_random, by_pytorch))
lowest, highest = v_random.amin(2, keepdim=True), v_random.amax(2, keepdim=True)  # over the context
print("inside the range of the values:", bool(((lowest < y_random) & (y_random < highest)).all()))

# %% [markdown]
# The last line is no accident. The weights are positive and sum to 1, so **an answer never leaves the range of the values**. Remember this for step 3.
#
# ### A real image
#
# Now we take a photograph: **the plane**, which you saw at the top left of the course's picture. We average it down to 16 × 16 = 256 pixels. Its attention matrix has 256 × 256 weights. Each pixel becomes one *row*: `flatten(2)` lays the pixels of each channel in a line, and `transpose(1, 2)` moves the channels to the end.
#
# In a network, queries and keys are learned. Here we make them by hand. The values are the colours $c$, and each pixel asks: "who has my colour?"
#
# $$q_n=\tfrac1\tau\,(c_n,\,1),\qquad k_m=\big(c_m,\,-\tfrac12|c_m|^2\big)$$
#
# $$\Rightarrow\qquad q_n\cdot k_m=-\tfrac1{2\tau}\,|c_n-c_m|^2+\tfrac1{2\tau}\,|c_n|^2$$
#
# The last term is the same for all $m$, so it cancels, as in step 1. What is left is a distance. The nearer two colours are, the higher the score. The number $\tau$ divides all scores. It is called the **temperature**.

# %%
small = F.avg_pool2d(plane()[None], 2).double()  # (b=1, 3, 16, 16)
colours = small.flatten(2).transpose(1, 2)[0]  # (n=256, 3)


def who_has_my_colour(colours: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Queries and keys whose scores fall with the distance of two colours. (n, 3) -> (n, 4), (n, 4)."""
    asked = torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1) / temperature
    offered = torch.cat([colours, -colours.square().sum(1, keepdim=True) / 2], dim=1)
    return asked, offered


def answer_of_a_pixel(row: int = 10, column: int = 9, temperature: float = 0.02):
    asked, offered = who_has_my_colour(colours, temperature)
    weights = (offered @ asked[16 * row + column]).softmax(dim=0)  # (m,): one row of the attention matrix
    return figures.one_row(small[0], weights.view(16, 16), (row, column), weights @ colours)


figures.show(
    answer_of_a_pixel(),
    "A pixel of the yellow plane asks. Most weight (dark) lies on pixels of about its colour, near or far.",
    alt="The small plane with one marked pixel; its weights; the weights sorted; the answer inside the range of "
        "the values; the pixel's colour above the answer's.",
)


# %% [markdown]
# The answer is a blend, somewhat yellower than the pixel. In the fourth panel each dot stays inside its grey bar: the range of the values.
#
# Look at the third panel. About half of the weights lie below a millionth, under the lower edge. But none is zero. A softmax prefers, it does not select. All 256 pixels take part in every answer.
#
# What does the temperature do? Here are the answers of all pixels at five temperatures:

# %%
def colour_answers(colours: Tensor, temperature: float = 0.02) -> Tensor:
    """Each pixel asks for its own colour. (n, 3) -> (n, 3)."""
    asked, offered = who_has_my_colour(colours, temperature)
    return softmax_attention(asked[None, None], offered[None, None], colours[None, None])[0, 0]


def as_image(rows: Tensor) -> Tensor:
    """(256, 3) -> (3, 16, 16)."""
    return rows.T.view(3, 16, 16)


temperatures = [0.0001, 0.02, 0.1, 0.5, 10]
figures.show(
    figures.maps([as_image(colour_answers(colours, temperature)) for temperature in temperatures],
                 [f"τ = {temperature:g}" for temperature in temperatures]),
    "At a low temperature each pixel copies itself. At a high one every pixel gets the mean of the image.",
    alt="Five versions of the small plane, from sharp at the left to one plain colour at the right.",
)

# %% [markdown]
# **Try it:** move the pixel that asks, then change the temperature. Can you make a dot leave its grey bar? Then look for a pixel whose answer differs much from its own colour.

# %% tags=["nbval-ignore-output"]
widgets.explore(answer_of_a_pixel, "The weights of one pixel, and its answer",
                row=widgets.slider("row of the pixel that asks", 0, 15, 10),
                column=widgets.slider("column", 0, 15, 9),
                temperature=widgets.choice("temperature", [0.0005, 0.002, 0.02, 0.1, 1, 10], 0.02))

# %% [markdown]
# No dot leaves its bar. The answers of rare colours differ most. For a rare colour, few pixels match well and many match a little. Together the many win, and the answer drifts away.

# %% [markdown]
# ## 3 · What a blend cannot do
#
# Pixel 1 of the strip is green. Suppose that it wants to know how its two neighbours differ. Blue minus red is $v_2-v_0=(-8, 0, 8)$. Edges are made of such differences.
#
# **Predict.** Choose any weights that a softmax can give or come near to. Which blend of the four pixels lies nearest to $(-8, 0, 8)$?

# %%
guess = None  # (red, green, blue)
check_answer("01.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
wish = values[2] - values[0]
tries = 10_000  # random queries and keys: which answer comes nearest?
random_queries = 4 * torch.randn(tries, 1, 1, 2, dtype=torch.float64)
random_keys = 4 * torch.randn(tries, 1, 4, 2, dtype=torch.float64)
blended = softmax_attention(random_queries, random_keys, values.expand(tries, 1, 4, 3))[:, 0, 0]  # (tries, v)
distances = (blended - wish).norm(dim=1)
nearest = blended[distances.argmin()].round(decimals=2).abs()  # abs: no -0
if revealed(guess):
    print(f"smallest distance of {tries:,} tries: {distances.min():.2f}")
    print("by the answer", nearest.tolist())
    figures.show(
        figures.colour_table([[wish, nearest]], [""], ["the wish", "the nearest answer"]),
        "The wish has a negative part. The nearest of 10,000 answers has none. Bars: red, green, blue.",
        alt="Two panels of three bars: the wish with a bar below zero, and the nearest answer without one.",
    )

# %% [markdown]
# The distance never falls below 8. Every blend has at least 0 of red, and the wish has −8. The nearest blend is blue alone. So attention can *copy* a pixel, and it can *mix* pixels. But one head cannot subtract one value from another.
#
# To be fair: this holds for one head and given values. In a network the values are learned and may be negative. And the next layer can subtract the outputs of two heads.

# %% [markdown]
# ## 4 · Confetti
#
# Cut the plane into its 256 pixels and shuffle them: confetti. Each pixel takes its query, key and value along.
#
# **Predict.** What happens to the 256 answers? (a) Each place keeps its answer. (b) The answers are shuffled as the pixels are. (c) The answers change, because every pixel has new neighbours.

# %%
guess = None  # "a", "b" or "c"
check_answer("01.4", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
shuffle = torch.randperm(256)
restore = shuffle.argsort()  # puts every pixel back: shuffle[restore] = 0, 1, 2, ...
plane_answers, confetti_answers = colour_answers(colours), colour_answers(colours[shuffle])
close = lambda one, other: torch.allclose(one, other, rtol=0, atol=1e-12)
if revealed(guess):
    print("the same in every place:", close(confetti_answers, plane_answers))
    print("the same once every pixel is put back:", close(confetti_answers[restore], plane_answers))
    figures.show(
        figures.maps([as_image(rows) for rows in (colours, plane_answers, colours[shuffle], confetti_answers,
                                                  confetti_answers[restore])],
                     ["plane", "its answers", "confetti", "its answers", "… put back"]),
        "Compare the second image with the last.",
        alt="The small plane and its answers; the shuffled pixels, their answers, and these put back in order.",
    )


# %% [markdown]
# Shuffle the pixels, and the answers are shuffled in the same way. Attention is **permutation equivariant**. Each pixel gets the same answer in the confetti as in the plane. So this attention sees only a bag of pixels. It cannot see that some of them lie side by side and form a wing.
#
# The cure is the term $q_n\cdot e_{nm}$ of lesson 00. The vector $e_{nm}$ says where $m$ lies as seen from $n$. Lesson 03 builds such vectors for lambdas. Appendix A does it for attention.

# %% [markdown]
# ## 5 · The bill
#
# How large is the attention matrix? It has one number for each pair of pixels, for each head and each image. In float32 a number takes 4 bytes:
#
# $$\text{bytes}=4\cdot b\cdot h\cdot n\cdot m,\qquad n=m=H\cdot W$$
#
# The paper on lambda layers gives an example: one layer with 8 heads, on 128 images of 64 × 64 pixels. On the `meta` device, tensors have a shape and take no memory. So we can look at this matrix safely.

# %%
def matrix_bytes(images: int, heads: int, side: int) -> int:
    """Bytes of the attention matrices of one layer in float32, for square images."""
    return 4 * images * heads * side**4  # n = m = side²


large = torch.empty(128, 8, 64 * 64, 16, device="meta")  # queries or keys, (b, h, n, k)
scores = einsum("bhnk,bhmk->bhnm", large, large)
print(f"{tuple(scores.shape)} takes {scores.nbytes / 2**30:.0f} GiB")
assert scores.nbytes == matrix_bytes(128, 8, 64)  # as the formula says

sides = [8, 16, 32, 64, 128, 256]
figures.show(
    figures.growth(
        sides,
        {"attention matrices, 8 heads": [matrix_bytes(128, 8, side) for side in sides],
         "values, 64 channels": [4 * 128 * 64 * side**2 for side in sides]},
        ("80 GB, a large GPU", 80e9), (64, matrix_bytes(128, 8, 64))),
    "Bytes of one layer on 128 images. The dot is the paper's example. Both axes are logarithmic.",
    alt="Two rising lines over the side of the image. The line of the attention matrices rises twice as steeply.",
)


# %% [markdown]
# Double the side of the image, and the matrix takes 16 times the bytes. The values take only four times.
#
# For training, plain code keeps the matrix until the gradients are computed. This is the cost that lambda layers set out to avoid in 2021. Can the matrix be avoided? There are two ways:
#
# * **Do not store it.** Compute a few rows, use them, and drop them. Modern GPU programs do this, with exactly the same answers (appendix C). But they still compute all $n\cdot m$ scores.
# * **Do not compute it.** For this the softmax must move.

# %% [markdown]
# ## 6 · Take the softmax out
#
# Why must every query meet every key? Because of the softmax: it takes the exponential of each score, pair by pair. Without it, attention is a product of three matrices. Then we may move the brackets.
#
# So let the softmax run over the keys alone. Each of the $k$ columns of $K$ becomes weights over the context that sum to 1. We call the result $\sigma=\mathrm{softmax}_m(K)\in\mathbb{R}^{m\times k}$:
#
# $$\underbrace{\big(Q\,\sigma^\top\big)}_{n\times m}\,V \;=\; Q\,\underbrace{\big(\sigma^\top V\big)}_{k\times v}$$
#
# On the left the square comes first. On the right comes a small tile, and its size does not depend on the image. This is called **linear attention**: its cost grows only linearly with the number of pixels. (Shen et al., 2018, put one more softmax on the queries.)

# %%
def linear_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """y_n = q_n · (Σ_m softmax_m(k)_m v_m). (b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v)."""
    summaries = einsum("bhmk,bhmv->bhkv", keys.softmax(dim=2), values)
    return einsum("bhnk,bhkv->bhnv", queries, summaries)


tile_first = linear_attention(q_random, k_random, v_random)  # Q (σᵀ V)
square_first = (q_random @ k_random.softmax(dim=2).transpose(2, 3)) @ v_random  # (Q σᵀ) V
print("both brackets agree:", torch.allclose(tile_first, square_first))
print("equal to softmax attention:", torch.allclose(tile_first, y_random))
figures.show(
    figures.brackets(n=64, m=64, k=16, v=16),
    "64 pixels, depth 16. Orange: what each bracket must store. The scale is larger than in lesson 00.",
    alt="The matrices Q, σᵀ and V, once with the 64 × 64 square and once with the 16 × 16 tile in orange.",
)

# %% [markdown]
# The square is gone. But this is *another function*, not a cheaper way to the old one. Its weights $Q\,\sigma^\top$ may be negative, and they need not sum to 1. Is that a loss or a gain? And what is in the tile? That is the next lesson.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 1 to 6
plane_matrix = torch.softmax(-torch.cdist(colours, colours).square() / 0.04, dim=1)  # of the distances alone
assert keys[:, 0].tolist() == [0, 0, 0, 0]
assert torch.allclose((weights @ values)[:2], torch.tensor([[4.0, 4, 2], [6, 6, 1]], dtype=torch.float64))
assert torch.allclose(weights[3], weights[1])
assert torch.allclose(softmax_attention(queries[None, None], keys[None, None], values[None, None])[0, 0],
                      weights @ values)
assert torch.allclose(plane_answers, plane_matrix @ colours) and (plane_matrix > 0).all()
assert 0.4 < (plane_matrix[16 * 10 + 9] < 1e-6).double().mean() < 0.6
assert torch.allclose(colour_answers(colours, 0.0001), colours, atol=0.01)
assert torch.allclose(colour_answers(colours, 10), colours.mean(0), atol=0.01)
assert 8 <= distances.min() < 8.01
assert not close(confetti_answers, plane_answers) and close(confetti_answers[restore], plane_answers)
assert scores.nbytes == 64 * 2**30
assert matrix_bytes(1, 1, 64) == 16 * matrix_bytes(1, 1, 32)
assert (tile_first - y_random).abs().max() > 0.1

# %% [markdown]
# ## Exercises
#
# **1 ★ Predict.** Pixel 1 of the strip asks with (0, 1) and gets (6, 6, 1). What does it get (a) if you add the vector (10, −3) to all four keys, (b) if you add the colour (1, 1, 1) to all four values instead?

# %%
first_a, first_b = None, None  # each as (red, green, blue)
exercise_1 = Verdicts(check_answer("01.E1a", first_a), check_answer("01.E1b", first_b))
exercise_1

# %% [markdown]
# <details><summary>Hint</summary>(a) By how much does each of the four scores change? (b) The weights sum to 1.</details>
#
# <details><summary>Solution</summary>
#
# (a) Each score changes by $q\cdot(10,-3)=-3$, the same for every pixel. The softmax sees only differences, so nothing changes. (b) The weights stay, and $\sum_m a_m(v_m+c)=\sum_m a_m v_m+c$, because the weights sum to 1.
#
# ```python
# first_a, first_b = (6, 6, 1), (7, 7, 2)
# print(check_answer("01.E1a", first_a), check_answer("01.E1b", first_b), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **2 ★ Predict.** The query (0, 1) gives yellow the weight 5/8. Which weight does (0, 2) give it?

# %%
second = None  # a number; you may write fractions, such as 5 / 8
exercise_2 = check_answer("01.E2", second)
exercise_2

# %% [markdown]
# <details><summary>Hint</summary>Write down the four scores. Then take their exponentials.</details>
#
# <details><summary>Solution</summary>
#
# The scores are (0, 0, 0, 2 · log 5), and their exponentials are (1, 1, 1, 25). A doubled query is the same as half the temperature.
#
# ```python
# second = 25 / 28
# check_answer("01.E2", second)
# ```
#
# </details>

# %% [markdown]
# **3 ★ Predict.** One layer has 8 heads. It gets 128 square images of H × H pixels, in float32. What is the smallest H at which the attention matrices take more than 16 GiB? (A GiB is 2³⁰ bytes.)

# %%
third = None  # H, a whole number
exercise_3 = check_answer("01.E4", third)
exercise_3

# %% [markdown]
# <details><summary>Hint</summary><code>matrix_bytes</code> of step 5 knows the formula. Solve it for the side, or try a few sides.</details>
#
# <details><summary>Solution</summary>
#
# $128\cdot 8\cdot H^4\cdot 4 > 16\cdot 2^{30}$ means $H^4>2^{22}$, so $H>45.25$.
#
# ```python
# third = 46
# check_answer("01.E4", third)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Construct.** (a) Find a query that gives yellow the weight 125/128. (b) Now make the weight of the *red* pixel as large as you can. It can come as near as you like to a certain number, but no query reaches that number. Which number?

# %%
query = None  # (a) a pair (q0, q1)
largest = None  # (b) a number; you may write fractions, such as 1 / 8
goal = torch.tensor([1, 1, 1, 125], dtype=torch.float64) / 128
mine = None if query is None else (keys @ torch.tensor(query, dtype=torch.float64)).softmax(dim=0)
exercise_4 = Verdicts(check_close(mine, goal, "are the weights in the ratio 1 : 1 : 1 : 125?"),
                      check_answer("01.E3b", largest))
exercise_4


# %% [markdown]
# <details><summary>Hint</summary>(a) 125 is a power of 5. (b) Red, green and blue have the same key. How small can the weight of yellow get?</details>
#
# <details><summary>Solution</summary>
#
# (a) The score of yellow must be log 125 = 3 · log 5. So $q_1=3$, with any $q_0$. (b) Red, green and blue have the same key, so they have the same weight for every query. With $q_1\to-\infty$ the weight of yellow goes to 0, and each of the three comes near to 1/3. Attention cannot separate pixels with equal keys.
#
# ```python
# query, largest = (0, 3), 1 / 3
# mine = (keys @ torch.tensor(query, dtype=torch.float64)).softmax(dim=0)
# print(check_close(mine, goal, "are the weights in the ratio 1 : 1 : 1 : 125?"), check_answer("01.E3b", largest), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **5 ★★ Implement.** Write attention that walks once through the context and never holds a row of weights. For each context position, add $e^{s_m}v_m$ to one running sum and $e^{s_m}$ to another. Divide at the end. Do not call softmax.

# %%
def my_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v)."""
    return None  # replace this line


exercise_5 = check_attention(my_attention)
exercise_5


# %% [markdown]
# <details><summary>Hint 1</summary>Start with two tensors of zeros: the blends, with shape (b, h, n, v), and the totals, with shape (b, h, n, 1).</details>
#
# <details><summary>Hint 2</summary>The scores of one key are <code>(queries * keys[:, :, m, None]).sum(dim=-1, keepdim=True)</code>.</details>
#
# <details><summary>Solution</summary>
#
# Modern GPU programs work like this. They also subtract the largest score so far, so that no exponential becomes too large.
#
# ```python
# def my_attention(queries, keys, values):
#     blend = torch.zeros(*queries.shape[:3], values.shape[3], dtype=values.dtype)
#     total = torch.zeros(*queries.shape[:3], 1, dtype=values.dtype)
#     for m in range(keys.shape[2]):
#         weight = (queries * keys[:, :, m, None]).sum(dim=-1, keepdim=True).exp()  # (b, h, n, 1)
#         blend = blend + weight * values[:, :, m, None]
#         total = total + weight
#     return blend / total
#
#
# check_attention(my_attention)
# ```
#
# </details>

# %% [markdown]
# **6 ★★★ Repair.** A public implementation made this mistake. In the function below every pixel asks every pixel, and the features are queries, keys and values at once. It runs, and all shapes are right. But in channel 0 all features lie between 0 and 1, and the output does not. Step 2 says why that cannot be. Repair the function, so that it returns the same as `by_definition`.

# %%
def attend_to_map(features: Tensor) -> Tensor:
    """Queries, keys and values are the features of each pixel. (b, d, H, W) -> (b, d, H, W)."""
    b, d, height, width = features.shape
    rows = features.reshape(b, 1, height * width, d)  # one head
    answer = softmax_attention(rows, rows, rows)
    return answer.reshape(b, d, height, width)


def by_definition(features: Tensor) -> Tensor:
    """The same without any rows: pixel (y, x) asks pixel (p, q)."""
    exponentials = einsum("bdyx,bdpq->byxpq", features, features).exp()
    return einsum("byxpq,bdpq->bdyx", exponentials / exponentials.sum(dim=(3, 4), keepdim=True), features)


offset = torch.tensor([0.0, 2]).view(1, 2, 1, 1)  # channel 0 from 0 to 1, channel 1 from 2 to 3
probes = [torch.rand(2, 2, *size) + offset for size in ((3, 5), (5, 3))]  # two images on each of two sizes
print("largest output in channel 0:", round(attend_to_map(probes[0])[:, 0].max().item(), 2))
mine = torch.cat([attend_to_map(probe).flatten() for probe in probes])
goal = torch.cat([by_definition(probe).flatten() for probe in probes])
hint = "for features that are 0 in channel 0 and 2 in channel 1, print the rows: each row must be (0, 2)"
exercise_6 = check_close(mine, goal, hint)
exercise_6

# %% [markdown]
# <details><summary>Hint 1</summary>In memory, all pixels of channel 0 come first. What does <code>reshape</code> put into one row?</details>
#
# <details><summary>Hint 2</summary>Step 2 made the rows of the plane in two calls. The way back needs a change, too.</details>
#
# <details><summary>Solution</summary>
#
# The `reshape` cuts the line of numbers into pieces of length d. So one "row" holds two neighbours of one channel, and not two channels of one pixel. Move the axes instead, on the way in and on the way out.
#
# ```python
# def attend_to_map(features):
#     b, d, height, width = features.shape
#     rows = features.flatten(2).transpose(1, 2)[:, None]  # (b, 1, n, d)
#     answer = softmax_attention(rows, rows, rows)
#     return answer[:, 0].transpose(1, 2).reshape(b, d, height, width)
#
#
# mine = torch.cat([attend_to_map(probe).flatten() for probe in probes])
# check_close(mine, goal, hint)
# ```
#
# </details>

# %% [markdown]
# **7 ★★★ Derive.** (On paper: there is no check.) Show in three lines that attention without positions is permutation equivariant. What happens to the *mean* of all answers when the pixels are shuffled?
#
# <details><summary>Hint</summary>Let π be the shuffle, so that the new queries are $q'_n=q_{\pi(n)}$. Rename the summation index.</details>
#
# <details><summary>Solution</summary>
#
# With $q'_n=q_{\pi(n)}$, $k'_m=k_{\pi(m)}$ and $v'_m=v_{\pi(m)}$:
#
# $$y'_n=\frac{\sum_m e^{q_{\pi(n)}\cdot k_{\pi(m)}}\,v_{\pi(m)}}{\sum_m e^{q_{\pi(n)}\cdot k_{\pi(m)}}}=\frac{\sum_{m'} e^{q_{\pi(n)}\cdot k_{m'}}\,v_{m'}}{\sum_{m'} e^{q_{\pi(n)}\cdot k_{m'}}}=y_{\pi(n)}.$$
#
# The renaming $m'=\pi(m)$ changes only the order of the two sums. The answers move along with the pixels. Their mean stays the same, because it is a sum over all places. With $e_{nm}$ in the scores the second step fails, because in general $e_{nm}\neq e_{\pi(n)\pi(m)}$.
#
# </details>

# %%
progress({
    "1 the nearest blends": "exercise_1",
    "2 twice the query": "exercise_2",
    "3 the bill": "exercise_3",
    "4 sharp queries": "exercise_4",
    "5 one walk through the context": "exercise_5",
    "6 repair the rows": "exercise_6",
}, globals())


# %% [markdown]
# ## What we now know
#
# * Attention is a blend. Each query weighs all values, with positive weights that sum to 1.
# * One head can copy and mix. It cannot leave the range of the values.
# * Without positions, attention sees only a bag of pixels.
# * Plain code stores n × m numbers per head and image: 64 GiB in the paper's example.
# * With the softmax on the keys alone, the brackets can move and the square is never made. The function is then another one.
#
# **Ledger.** *Less memory, without attention matrices.* For: there is much to save, because plain code stores 64 GiB for one layer (step 5). Against: exact attention can do without storing them too, and modern GPU programs do (appendix C). *Long-range interactions.* Attention has them already: each pixel reaches every other in one layer. What is left to claim is the price.
#
# **The code of this lesson** lives in `lambdalib/attention.py`: `softmax_attention`, `relative_attention`, `linear_attention`, `SelfAttention`.
#
# **Next.** The attention matrix is large, and a tile of k × v numbers can take its place. What is in the tile? [Lesson 02: content lambdas](02_content_lambdas.ipynb).

# %% [markdown]
# ## Appendix: skip unless curious
#
# Lessons 02 to 04 do not need these three parts. Lesson 05 comes back to A and C.
#
# ### A · Positions
#
# Give each pair of pixels a vector $e_{nm}\in\mathbb{R}^k$ for where $m$ lies as seen from $n$. The query scores it as well:
#
# $$A_{nm}=\mathrm{softmax}_m\big(q_n\cdot k_m+q_n\cdot e_{nm}\big),\qquad e_{nm}=T_{m-n}\in\mathbb{R}^k$$
#
# The vector depends only on the offset $m-n$, so a network learns a table $T$ with one vector per offset. Such embeddings are called *relative* (Shaw et al., 2018; for images Bello et al., 2019).

# %%
def relative_attention(queries: Tensor, keys: Tensor, values: Tensor, embeddings: Tensor) -> Tensor:
    """A_nm = softmax_m(q_n · k_m + q_n · e_nm). As softmax_attention, with embeddings (n, m, k)."""
    scores = einsum("bhnk,bhmk->bhnm", queries, keys) + einsum("bhnk,nmk->bhnm", queries, embeddings)
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


# %% [markdown]
# We make a table by hand. The score falls by $0.001/\tau$ times the squared distance in pixels. So the weights now say "my colour, and near me". (Image processing calls this blend a bilateral filter.) `relative_embeddings` spreads the table over all pairs of pixels. Lesson 03 builds it.

# %%
steps = torch.arange(-15.0, 16.0, dtype=torch.float64)
table = torch.zeros(4, 1, 31, 31, dtype=torch.float64)  # (k=4, u=1, offsets in rows, offsets in columns)
table[3, 0] = -0.001 * (steps[:, None].square() + steps.square())  # entry 3, where every query holds 1/τ
near = relative_embeddings(table, 16, 16)[..., 0]  # (n=256, m=256, k=4)
asked, offered = who_has_my_colour(colours, 0.02)


def weights_of_a_pixel(row: int, column: int, positions: bool) -> Tensor:
    """One row of the attention matrix, as an image. (16, 16)"""
    one = 16 * row + column
    return ((offered + positions * near[one]) @ asked[one]).softmax(dim=0).view(16, 16)


figure = figures.maps([small[0], weights_of_a_pixel(4, 12, False), weights_of_a_pixel(4, 12, True)],
                      ["the pixel that asks", "positions off", "positions on"])
for ax in figure.axes:
    ax.plot(12, 4, "s", markersize=9, markerfacecolor="none", markeredgecolor="red", markeredgewidth=2)
figures.show(
    figure,
    "A pixel of the sky asks. Off, the whole sky answers. On, only the sky near it. Darker weighs more. "
    "Each panel has its own scale.",
    alt="The small plane with a marked pixel, and its weights without positions and with positions.",
)


# %% [markdown]
# **Try it:** turn positions off and move the pixel through the sky. The weights hardly change. Turn positions on: now they move along.

# %% tags=["nbval-ignore-output"]
def draw_weights(row: int, column: int, positions: bool):
    weights = weights_of_a_pixel(row, column, positions)
    return figures.one_row(small[0], weights, (row, column), weights.flatten() @ colours)


widgets.explore(draw_weights, "The weights of one pixel, with and without positions",
                row=widgets.slider("row of the pixel that asks", 0, 15, 4),
                column=widgets.slider("column", 0, 15, 12), positions=widgets.switch("relative positions", True))


# %% [markdown]
# ### B · The layer
#
# In a network, queries, keys and values are linear functions of the features at the same pixel: 1×1 convolutions. A layer makes h attention matrices, one in each head. With d channels, each head has values of depth $v=d/h$, and the layer puts its heads' outputs side by side. All heads share the table of positions.
#
# This layer works on maps of one fixed size, because its table has one entry per offset: $2H-1$ by $2W-1$. Its first weights make the scores $q\cdot k$ start with a standard deviation of about 1. Many other versions end with one more 1×1 convolution. In our networks the block around the layer has it (lesson 06).

# %%
class SelfAttention(nn.Module):
    """y = concat_h( softmax_m(q_hn · k_hm + q_hn · T[m-n]) v_hm ). (b, dim, H, W) -> (b, dim_out, H, W)."""

    def __init__(self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4,
                 feat_size: tuple[int, int]):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        if heads < 1 or dim_out % heads:
            raise ValueError(f"heads must divide dim_out = {dim_out}, got {heads}")
        self.heads, self.feat_size = heads, tuple(feat_size)
        self.to_queries = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_values = nn.Conv2d(dim, dim_out, 1, bias=False)
        self.table = nn.Parameter(torch.randn(dim_k, 1, 2 * feat_size[0] - 1, 2 * feat_size[1] - 1) * dim_k**-0.5)
        for projection, std in ((self.to_queries, (dim_k * dim) ** -0.5), (self.to_keys, dim**-0.5),
                                (self.to_values, dim**-0.5)):
            nn.init.normal_(projection.weight, std=std)

    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, H, W)."""
        if tuple(features.shape[2:]) != self.feat_size:
            raise ValueError(f"features must be {self.feat_size} pixels for this layer, "
                             f"got {tuple(features.shape[2:])}")
        queries, keys, values = (
            projection(features).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)  # (b, h, n, depth)
            for projection in (self.to_queries, self.to_keys, self.to_values)
        )
        output = relative_attention(queries, keys, values,
                                    relative_embeddings(self.table, *self.feat_size)[..., 0])
        # head-major: channel = head·v + value
        return output.transpose(2, 3).flatten(1, 2).unflatten(2, self.feat_size)


layer = SelfAttention(64, dim_k=16, heads=4, feat_size=(8, 8))
features = torch.randn(16, 64, 8, 8)
print(tuple(layer(features).shape), "= (b, d, H, W)")

# %% [markdown]
# ### C · Exact attention without a stored matrix
#
# Each row of the matrix can be made, used and dropped. The code below walks through the queries, two at a time. The answers are the same.
#
# *Fused kernels* are GPU programs that compute scores, softmax and blend in one go (FlashAttention, Dao et al., 2022). They never store the matrix in the GPU's main memory. `F.scaled_dot_product_attention` uses one where it can. So the usual code of 2021 stored n × m numbers; softmax attention does not have to.
#
# Two things stay. The multiply-adds still grow with $n\cdot m$. And if you hand over the position scores of part A as a mask, this mask is itself a stored matrix. Lesson 05 counts again.

# %%
few_at_a_time = [softmax_attention(some, k_random, v_random) for some in q_random.split(2, dim=2)]
print("the same answers:", torch.allclose(torch.cat(few_at_a_time, dim=2), y_random))

mask = einsum("bhnk,nmk->bhnm", asked[None, None], near)
fused = F.scaled_dot_product_attention(asked[None, None], offered[None, None], colours[None, None],
                                       attn_mask=mask, scale=1.0)
print("positions as a mask:", tuple(mask.shape), "= (b, h, n, m)")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of the appendix
with_positions = relative_attention(asked[None, None], offered[None, None], colours[None, None], near)
assert torch.allclose(fused, with_positions)
assert torch.allclose(with_positions[0, 0, 16 * 4 + 12], weights_of_a_pixel(4, 12, True).flatten() @ colours)
without = relative_attention(asked[None, None], offered[None, None], colours[None, None], 0 * near)
assert torch.allclose(without[0, 0], plane_answers)
shuffled = relative_attention(*(rows[None, None, shuffle] for rows in (asked, offered, colours)), near)[0, 0]
assert (shuffled[restore] - with_positions[0, 0]).abs().max() > 0.05  # positions see the shuffle
start_queries, start_keys = (projection(features).flatten(2).unflatten(1, (4, 16))
                             for projection in (layer.to_queries, layer.to_keys))  # (b, h, k, n)
assert 0.9 < einsum("bhkn,bhkm->bhnm", start_queries, start_keys).std() < 1.1
