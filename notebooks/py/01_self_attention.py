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
# > **After this lesson you can** work out attention by hand, write it in two lines, say what a blend of values cannot do, tell why attention needs positions, and count the bytes of its map.
# >
# > **You need** [lesson 00](00_start_here.ipynb), PyTorch tensors, the softmax. Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 30 minutes to read, 25 for the exercises; the code runs in about 15 seconds on two CPU cores.

# %% [markdown]
# ## How does one pixel ask all the others?
#
# A 3×3 convolution shows each pixel its eight neighbours. To learn something from the other end of the picture, a pixel has to wait for many such layers. Self-attention lets it ask every pixel at once:
#
# $$y_n \;=\; \sum_m \boxed{A_{nm}}\,v_m,\qquad A_{nm}=\mathrm{softmax}_m\big(q_n\cdot k_m + q_n\cdot e_{nm}\big)$$
#
# The boxed term is this lesson's: one weight for each pair of pixels. All of them together are the **attention map**. Four words come with it.
#
# * Every pixel $n$ has a **query** $q_n$, a vector that stands for what it wants to know.
# * Every pixel $m$ has a **key** $k_m$, a vector of the same length, that stands for what it has to offer.
# * Their dot product $q_n\cdot k_m$ is a **score**: how well does this offer fit that wish?
# * Every pixel $m$ has a **value** $v_m$, the vector that it hands over. The answer $y_n$ is a blend of the values. The softmax over $m$ turns the scores of one query into its weights: positive numbers that sum to 1.
#
# The same pixels play two roles, so they get two letters: $n$ counts the positions that ask, $m$ the positions that are asked, the **context**. (The same letters also say how many there are of each.) The last ingredient, $e_{nm}$, says where $m$ lies as seen from $n$. We leave it out until step 5.
#
# A lambda layer takes the same ingredients and multiplies them in another order; what that changes is the subject of the whole course. First, the original.

# %%
from fractions import Fraction

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn

from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_attention, check_close
from lambdalib.course.examples import plane, strip
from lambdalib.course.questions import check_answer
from lambdalib.lambdas import relative_embeddings

torch.manual_seed(0)
figures.maps([plane()], ["the plane"])
plt.show()

# %% [markdown]
# ## 1 · One pixel, by hand
#
# The strip is our toy picture: four pixels in the plane's colours red, green, blue and yellow. The values are these colours, (red, green, blue) with 8 for full light. Queries and keys have $k=2$ entries each, values have $v=3$; queries and keys are made up, so that the sums stay small. (`strip()` returns them with further axes for later lessons; here we take these off.)

# %%
queries, keys, values, _ = strip()
queries, keys, values = queries[0, 0], keys[0, :, :, 0], values[0, :, :, 0]  # (n=4, k=2), (m=4, k=2), (m=4, v=3)
print("values:", values.int().tolist())
print("queries:", queries.int().tolist())
print("exp(keys):", keys.exp().round().int().tolist())  # the keys are logarithms of these numbers
assert keys[:, 0].tolist() == [0, 0, 0, 0]  # log 1 = 0


# %% [markdown]
# So the keys are (0, 0), (0, 0), (0, 0) and (0, log 5), with the natural logarithm: the first three pixels make the same offer, and only yellow differs. Pixel 0 asks with (1, 0), pixel 1 with (0, 1). For one pixel, attention is three lines of arithmetic:
#
# $$s_m=q\cdot k_m\in\mathbb{R},\qquad a_m=\frac{e^{s_m}}{\sum_{m'}e^{s_{m'}}},\qquad y=\sum_m a_m\,v_m\in\mathbb{R}^v$$

# %%
def ask(query: Tensor) -> Tensor:
    """One query's answer, by loops, with its weights printed: (k,) -> (v,)."""
    scores = [sum(query[i] * keys[m, i] for i in range(2)) for m in range(4)]
    total = sum(score.exp() for score in scores)
    weights = [score.exp() / total for score in scores]
    answer = sum(weights[m] * values[m] for m in range(4))
    fractions = ", ".join(str(Fraction(float(weight)).limit_denominator(64)) for weight in weights)
    print(f"weights {fractions}: answer", [round(part, 2) for part in answer.tolist()])
    return answer


y0, y1 = ask(queries[0]), ask(queries[1])
assert torch.allclose(y0, torch.tensor([4.0, 4, 2], dtype=torch.float64))
assert torch.allclose(y1, torch.tensor([6.0, 6, 1], dtype=torch.float64))

# %% [markdown]
# The query (1, 0) finds all offers equally good, and gets the mean of the four pixels. The query (0, 1) scores log 5 at yellow and 0 elsewhere; its exponentials are 1, 1, 1 and 5. Yellow therefore weighs five times as much as any other pixel, and the answer turns yellowish.
#
# **Predict.** Pixel 3 asks with (1, 1), the sum of the two queries. What is its answer?

# %%
guess = None  # your guess, as (red, green, blue)
check_answer("01.1", guess)

# %%
y2, y3 = ask(queries[2]), ask(queries[3])
assert torch.allclose(y3, y1)

# %% [markdown]
# The query (1, 1) gets exactly the answer of (0, 1). Key entry 0 is the same at every pixel, so whatever the query multiplies it with is added to all four scores alike; the softmax divides by the sum of the exponentials, and what is common to all cancels. A softmax sees only *differences* of scores.
#
# Here is the whole strip. Each row is one query: its four weights, which sum to 1, and the colour that they blend.

# %%
weights = (queries @ keys.T).softmax(dim=1)  # (n, m)
figures.blends(values, weights, weights @ values)
plt.show()


# %% [markdown]
# ## 2 · All at once
#
# The table above is the attention map. With the queries as the rows of a matrix $Q$, the keys of $K$ and the values of $V$:
#
# $$A=\mathrm{softmax}_m\big(Q K^\top\big)\in\mathbb{R}^{n\times m},\qquad Y=A\,V\in\mathbb{R}^{n\times v}$$
#
# The function below is the code of `lambdalib.attention`. It has two more axes: b pictures in a batch, and h *heads*, which come in step 6; until then both are 1. In `einsum` each letter names an axis, and a letter that does not appear after the arrow is summed over. In other texts the scores are divided by $\sqrt k$; here, as in the paper on lambda layers (Bello, *LambdaNetworks*, ICLR 2021), that factor is part of the queries.

# %%
def softmax_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A_nm = softmax_m(q_n · k_m), y_n = Σ_m A_nm v_m.

    (b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v).
    """
    scores = einsum("bhnk,bhmk->bhnm", queries, keys)
    # softmax over the context: each row of weights sums to 1
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


answers = softmax_attention(queries[None, None], keys[None, None], values[None, None])[0, 0]
assert torch.allclose(answers, torch.stack([y0, y1, y2, y3]))

# %% [markdown]
# Two properties hold for any queries, keys and values. With values of 1 the answer is 1, because the weights sum to 1. And no answer ever leaves the range of the values, channel by channel, because no weight is negative and their sum is 1. We check both on random numbers, with axes of different prime lengths, so that no mix-up can hide. PyTorch's own function must agree as well; `scale=1` tells it not to divide by $\sqrt k$.

# %%
b, h, n, m, k, v = 2, 3, 5, 7, 11, 13
q_random, k_random, v_random = (
    torch.randn(b, h, *shape, dtype=torch.float64) for shape in ((n, k), (m, k), (m, v))
)
y_random = softmax_attention(q_random, k_random, v_random)

assert torch.allclose(softmax_attention(q_random, k_random, torch.ones_like(v_random)),
                      torch.ones(b, h, n, v, dtype=torch.float64))
lowest, highest = v_random.amin(2, keepdim=True), v_random.amax(2, keepdim=True)  # over the context
assert (lowest < y_random).all() and (y_random < highest).all()
assert torch.allclose(y_random, F.scaled_dot_product_attention(q_random, k_random, v_random, scale=1.0))
print("a blend, inside the range of the values, equal to PyTorch's:", tuple(y_random.shape), "= (b, h, n, v)")

# %% [markdown]
# Now a real picture: the plane, averaged down to 16 × 16 pixels, so that n = m = 256 and the map has 256 × 256 weights. A pixel becomes a *row* of a matrix: `flatten(2)` lays the pixels of each channel in one line, and `transpose(1, 2)` makes the channels the last axis. (A plain `reshape` to the same shape would cut the lines at the wrong places.)
#
# The values are the colours $c$. In a network, queries and keys are learnt; here we make them by hand, so that a pixel asks "who has my colour?":
#
# $$q_n=\tfrac1\tau\,(c_n,\,1),\qquad k_m=\big(c_m,\,-\tfrac12|c_m|^2\big)\qquad\Rightarrow\qquad q_n\cdot k_m=-\tfrac1{2\tau}\,|c_n-c_m|^2+\tfrac1{2\tau}\,|c_n|^2$$
#
# The last term does not depend on $m$, so it cancels in the softmax, as in step 1. What is left is the distance of two colours: the smaller, the higher the score. $\tau$ is called the **temperature**; it divides all scores.

# %%
small = F.avg_pool2d(plane()[None], 2).double()  # (b=1, d=3, 16, 16)
colours = small.flatten(2).transpose(1, 2)  # (b=1, n=256, d=3)


def who_has_my_colour(colours: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Queries and keys whose scores fall with the distance of two colours: (n, 3) -> (n, 4), (n, 4)."""
    ones = torch.ones_like(colours[:, :1])
    asked = torch.cat([colours, ones], dim=1) / temperature
    offered = torch.cat([colours, -colours.square().sum(1, keepdim=True) / 2], dim=1)
    return asked, offered


asked, offered = who_has_my_colour(colours[0], 0.02)
plane_map = (asked @ offered.T).softmax(dim=1)  # (256, 256)
plane_answer = softmax_attention(asked[None, None], offered[None, None], colours[None])[0, 0]  # (256, 3)
assert torch.allclose(plane_answer, plane_map @ colours[0])
assert (plane_map > 0).all()
assert torch.allclose(plane_map, (-torch.cdist(colours[0], colours[0]).square() / 0.04).softmax(dim=1))

row, column = 10, 9  # a pixel of the yellow plane
assert 0.4 < (plane_map[16 * row + column] < 1e-6).double().mean() < 0.6
figures.one_row(small[0], plane_map[16 * row + column].view(16, 16), (row, column),
                plane_answer[16 * row + column])
plt.show()

# %% [markdown]
# The pixel is one of the plane, and most of its weight lies on the plane: pixels of about its colour, near or far. Its answer, at the right, is their blend, somewhat yellower than the pixel itself. (The second panel is drawn from white for 0 to dark for the largest weight, which its title gives.) The grey bars show the range that an answer can have in each channel, from the smallest to the largest value in the picture.
#
# Note the third panel. The weights fall, about half of them below a millionth, beyond the panel's edge; but none is zero. A softmax prefers, it does not select: all 256 pixels take part in every answer.
#
# ## 3 · What a blend cannot do
#
# Suppose that pixel 1 of the strip, the green one, wanted to know how its right neighbour differs from its left one: $v_2-v_0$, blue minus red, $(-8, 0, 8)$. Edges are made of such differences.
#
# **Predict.** Among all blends of the four pixels, with any weights that a softmax can give or come near to, which colour lies nearest to $(-8, 0, 8)$?

# %%
guess = None  # (red, green, blue)
check_answer("01.3", guess)

# %% [markdown]
# Let chance try: ten thousand random queries and random keys, and for each of them the distance between pixel 1's answer and the wish.

# %%
wish = torch.tensor([-8.0, 0, 8], dtype=torch.float64)
tries = 10_000
random_queries = 4 * torch.randn(tries, 1, 1, 2, dtype=torch.float64)
random_keys = 4 * torch.randn(tries, 1, 4, 2, dtype=torch.float64)
blended = softmax_attention(random_queries, random_keys, values.expand(tries, 1, 4, 3))[:, 0, 0]  # (tries, v)
distance = (blended - wish).norm(dim=1)
best = blended[distance.argmin()]
print(f"smallest distance {distance.min():.2f}, by an answer near",
      [round(abs(part), 1) for part in best.tolist()])
assert distance.min() >= 8 and distance.min() < 8.01

# %% [markdown]
# The distance never falls below 8. The red part of a blend of these pixels is at least 0, and the wish is −8. The nearest answer is blue alone: attention can *copy* a pixel and it can *mix* pixels, but one head cannot subtract one value from another.
#
# In fairness: this is a statement about one head and given values. In a network the values are learnt and may be negative; and the difference of two heads, taken by the next layer, is a difference (step 6).

# %% [markdown]
# ## 4 · Confetti
#
# Cut the picture into its pixels and shuffle them: confetti. Queries, keys and values move along with their pixels.
#
# **Predict.** After the shuffle, the 256 answers are … (a) what they were, in the same places as before, (b) what they were, shuffled as the pixels were, (c) different, since every pixel has new neighbours?

# %%
guess = None  # "a", "b" or "c"
check_answer("01.4", guess)

# %%
shuffle = torch.randperm(256)
restore = shuffle.argsort()  # puts every pixel back: shuffle[restore] = 0, 1, 2, ...
shuffled_answer = softmax_attention(asked[None, None, shuffle], offered[None, None, shuffle],
                                    colours[None, :, shuffle])[0, 0]
assert torch.allclose(shuffled_answer[restore], plane_answer, rtol=0, atol=1e-12)
assert not torch.allclose(shuffled_answer, plane_answer, atol=0.1)


def as_picture(rows: Tensor) -> Tensor:
    """(256, 3) -> (3, 16, 16)."""
    return rows.T.view(3, 16, 16)


pictures = [colours[0], plane_answer, colours[0, shuffle], shuffled_answer, shuffled_answer[restore]]
figures.maps([as_picture(rows) for rows in pictures],
             ["plane", "its answers", "confetti", "its answers", "… and put back"])
plt.show()


# %% [markdown]
# The second and the last picture are equal (to 12 decimals; the sums are taken in another order, and rounding differs). Shuffle in, the same shuffle out: attention is **permutation equivariant**. So it answers each pixel of the confetti exactly as it does in the plane. All this attention knows is a bag of pixels; that some of them stand side by side, and form a wing, it cannot see.

# %% [markdown]
# ## 5 · Positions
#
# The cure is the last ingredient of the equation. Give each pair of positions a vector $e_{nm}\in\mathbb{R}^k$, an *embedding* of where $m$ lies as seen from $n$, and let the query score it as well:
#
# $$A_{nm}=\mathrm{softmax}_m\big(q_n\cdot k_m+q_n\cdot e_{nm}\big),\qquad e_{nm}=T_{m-n}\in\mathbb{R}^k$$
#
# It depends on the offset $m-n$ only, so what is learnt is a table $T$ with one vector per offset. Such embeddings are called *relative* (Shaw et al., 2018; for pictures Bello et al., 2019, with one table for the rows and one for the columns). On a line of n positions there are 2n − 1 offsets, from −(n − 1) to n − 1. First the attention, as lambdalib has it, then a helper that spreads such a table over all pairs:

# %%
def relative_attention(queries: Tensor, keys: Tensor, values: Tensor, embeddings: Tensor) -> Tensor:
    """A_nm = softmax_m(q_n · k_m + q_n · e_nm). As softmax_attention, with embeddings (n, m, k)."""
    scores = einsum("bhnk,bhmk->bhnm", queries, keys) + einsum("bhnk,nmk->bhnm", queries, embeddings)
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


def embeddings_on_a_line(table: Tensor) -> Tensor:
    """e_nm = T[m - n], the first row of the table for the offset -(n - 1): (2n - 1, k) -> (n, m, k)."""
    positions = torch.arange((len(table) + 1) // 2)
    return table[positions[None, :] - positions[:, None] + len(positions) - 1]


offsets = embeddings_on_a_line(torch.arange(-3, 4)[:, None])[..., 0]
print(offsets)  # row n, column m: the offset m - n
assert offsets[0].tolist() == [0, 1, 2, 3] and offsets[3].tolist() == [-3, -2, -1, 0]

# %% [markdown]
# Now the strip and its confetti, with and without a random table. We shuffle queries, keys and values, and put the answers back:

# %%
line = [rows[None, None] for rows in (queries, keys, values)]  # (1, 1, 4, ·)
line_embeddings = embeddings_on_a_line(torch.randn(7, 2, dtype=torch.float64))
order = torch.tensor([2, 0, 3, 1])
for name, embeddings in (("without positions", torch.zeros_like(line_embeddings)),
                         ("with positions", line_embeddings)):
    straight = relative_attention(*line, embeddings)
    detour = relative_attention(*(rows[:, :, order] for rows in line), embeddings)[:, :, order.argsort()]
    print(f"{name}: the shuffle makes a difference:", bool((straight - detour).abs().max() > 1e-6))
    assert (name == "with positions") == bool((straight - detour).abs().max() > 0.1)
assert torch.allclose(relative_attention(*line, torch.zeros_like(line_embeddings)), softmax_attention(*line))

# %% [markdown]
# With positions, the map can follow a pixel around. On the plane, we use one entry of the embeddings and leave the others 0: the further away, the lower the score, by 0.001 / τ times the squared distance in pixels. Up to a part that is the same for all $m$, the score is then
#
# $$-\tfrac1{2\tau}\,|c_n-c_m|^2-\tfrac{0.001}{\tau}\,\big|\text{offset}\big|^2$$
#
# and the weights say "my colour, and near me". (Image processing knows this very blend as a bilateral filter.) On a map, an offset has two parts, rows and columns; `relative_embeddings` from lambdalib spreads a table of such offsets over all pairs of pixels, and [lesson 03](03_position_lambdas.ipynb) builds it.

# %%
steps = torch.arange(-15.0, 16.0, dtype=torch.float64)
# (k=4, u=1, offsets in rows, offsets in columns); u is for lesson 03
nearness = torch.zeros(4, 1, 31, 31, dtype=torch.float64)
nearness[3, 0] = -0.001 * (steps[:, None].square() + steps.square())  # entry 3, where every query has 1/τ
near_embeddings = relative_embeddings(nearness, 16, 16)[..., 0]  # (n=256, m=256, k=4)


def answer_of_a_pixel(row: int = 10, column: int = 9, temperature: float = 0.02, positions: bool = True):
    asked, offered = who_has_my_colour(colours[0], temperature)
    embeddings = near_embeddings if positions else torch.zeros_like(near_embeddings)
    one = 16 * row + column
    weights = (asked[one] @ offered.T + embeddings[one] @ asked[one]).softmax(dim=0)  # (m,): one row of the map
    return figures.one_row(small[0], weights.view(16, 16), (row, column), weights @ colours[0])


answer_of_a_pixel()
plt.show()

# %% [markdown]
# Compare with the figure of step 2: the same pixel, the same colours, but the weights now lie around it.
#
# The widget needs a running kernel; the picture above is its first position. Three things to try:
#
# * **Temperature.** Cold, the weight gathers on the most similar pixels, first of all on the pixel itself, and the answer comes near to its own colour. Hot, all weights become equal and the answer is the mean. The dots never leave the grey bars.
# * **Positions off**, then move the pixel from one spot of the sky to another of about the same colour: the weights hardly change. **Positions on**: they move along.
# * Look for a pixel whose answer differs much from its own colour. Which ones are they?

# %% tags=["nbval-ignore-output"]
widgets.explore(answer_of_a_pixel, row=widgets.slider("row of the pixel that asks", 0, 15, 10),
                column=widgets.slider("column", 0, 15, 9),
                temperature=widgets.choice("temperature", [0.0005, 0.002, 0.02, 0.1, 1.0, 10.0], 0.02),
                positions=widgets.switch("relative positions", True))

# %% [markdown]
# The pixels of the last question are those of a rare colour: the many that are a little like them outweigh the few that are very like them. Now the temperature in numbers, without positions: the largest differences over all 256 pixels and their channels.

# %%
for temperature in (1e-5, 0.02, 1000.0):
    asked_at, offered_at = who_has_my_colour(colours[0], temperature)
    y_at = softmax_attention(asked_at[None, None], offered_at[None, None], colours[None])[0, 0]
    to_itself, to_mean = ((y_at - goal).abs().max().item() for goal in (colours[0], colours[0].mean(0)))
    print(f"temperature {temperature:g}: at most {to_itself:.2f} from its own colour, {to_mean:.2f} from the mean")
    assert (to_itself < 0.01) == (temperature == 1e-5) and (to_mean < 0.01) == (temperature == 1000)

# %% [markdown]
# ## 6 · Heads, and the layer
#
# One attention map asks one kind of question. A layer therefore makes $h$ of them side by side, one in each of its **heads**: each with queries, keys and values of its own, each with $v=d/h$ of the layer's $d$ channels, laid side by side at the end. All heads may share the table of positions, since each asks it with its own queries.
#
# Two heads are already more than one. Take embeddings with two entries, one for "one to the right" and one for "one to the left", each 30 at its own offset and 0 elsewhere; let head 0 ask only for the first, head 1 only for the second, and let the keys be 0. Head 0 then copies the right neighbour, head 1 the left one (weight $1-3\,e^{-30}$, nearly), and the next layer can take their difference. (At an end of the strip, the head that finds no neighbour scores all pixels alike and gets their mean.)

# %%
neighbours = torch.zeros(7, 2, dtype=torch.float64)  # offsets -3 ... 3
neighbours[4, 0], neighbours[2, 1] = 30, 30  # one to the right, one to the left
# head 0 asks (1, 0), head 1 asks (0, 1)
two_heads = torch.eye(2, dtype=torch.float64)[None, :, None].expand(1, 2, 4, 2)
copies = relative_attention(two_heads, torch.zeros(1, 2, 4, 2, dtype=torch.float64),
                            values.expand(1, 2, 4, 3), embeddings_on_a_line(neighbours))
right_minus_left = copies[0, 0] - copies[0, 1]
# the ends of the strip
assert torch.allclose(copies[0, 1, 0], values.mean(0)) and torch.allclose(copies[0, 0, 3], values.mean(0))
print("pixel 1, head 0 minus head 1:", right_minus_left[1].round().int().tolist())
assert torch.allclose(right_minus_left[1], wish)


# %% [markdown]
# What no single head could do in step 3, two heads and a subtraction can. With relative positions, one head for each entry of the kernel, heads deep enough ($v$ no smaller than the number of output channels, so more than $d/h$) and a linear layer after them, attention can come as near as you like to any convolution, borders aside (Cordonnier et al., 2020).
#
# Now the whole layer. Queries, keys and values are linear functions of the features at the same pixel, that is, 1×1 convolutions. It is written for maps of a fixed size, because the table has one entry per offset: $2H-1$ by $2W-1$ of them. The first weights are chosen so that the scores $q\cdot k$ start with a standard deviation near 1 when the features have one of 1; the $1/\sqrt k$ that other texts put into the formula is in the queries' weights.

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


# %% [markdown]
# The layer must equal its heads, computed one after the other with the functions above. Each head takes its own block of $k$ rows of the query and key weights and of $v$ rows of the value weights, and fills its own block of $v$ output channels:

# %%
dim, dim_out, dim_k, heads, height, width = 7, 6, 5, 3, 3, 11  # v = 6 / 3 = 2
layer = SelfAttention(dim, dim_out, dim_k=dim_k, heads=heads, feat_size=(height, width)).double()
features = torch.randn(2, dim, height, width, dtype=torch.float64)
rows = features.flatten(2).transpose(1, 2)  # (b, n, d)


def one_head(i: int) -> Tensor:
    """Output channels 2i and 2i + 1 of the layer, (b, v, H, W)."""
    w_queries, w_keys, w_values = (
        conv.weight[:, :, 0, 0].chunk(heads)[i]
        for conv in (layer.to_queries, layer.to_keys, layer.to_values)
    )
    embeddings = relative_embeddings(layer.table, height, width)[..., 0]
    answer = relative_attention(*((rows @ w.T)[:, None] for w in (w_queries, w_keys, w_values)), embeddings)
    return answer[:, 0].transpose(1, 2).reshape(2, -1, height, width)


assert torch.allclose(layer(features), torch.cat([one_head(i) for i in range(heads)], dim=1))
print("three heads of two channels each:", tuple(layer(features).shape), "= (b, dim_out, H, W)")

wide = SelfAttention(64, dim_k=16, heads=4, feat_size=(8, 8))
noise = torch.randn(16, 64, 8, 8)
q_start, k_start = (
    conv(noise).flatten(2).unflatten(1, (4, 16)).transpose(2, 3)
    for conv in (wide.to_queries, wide.to_keys)
)
spread = einsum("bhnk,bhmk->bhnm", q_start, k_start).std().item()
print(f"standard deviation of the scores q·k at the start: about {spread:.1f}")
assert 0.9 < spread < 1.1


# %% [markdown]
# Many versions of this layer end with one more 1×1 convolution that mixes the heads. In our networks the block around the layer has that convolution already (lesson 06).

# %% [markdown]
# ## 7 · The bill
#
# The attention map has one number for each pair of pixels, for each head and each picture. In float32 a number takes 4 bytes:
#
# $$\text{bytes}=4\cdot b\cdot h\cdot n\cdot m,\qquad n=m=H\cdot W$$
#
# For training, plain code keeps the maps of a layer until the gradients have been taken. The paper gives an example: one layer with 8 heads, on 128 pictures of 64 × 64.

# %%
def map_bytes(pictures: int, heads: int, side: int) -> int:
    """Bytes of the attention maps of one layer in float32, on square maps."""
    return 4 * pictures * heads * side**4  # n = m = side²


print(f"{map_bytes(128, 8, 64) / 2**30:.1f} GiB")
assert map_bytes(128, 8, 64) == 64 * 2**30
sides = [8, 16, 32, 64, 128, 256]
figures.growth(
    sides,
    {"maps: 128 pictures, 8 heads": [map_bytes(128, 8, side) for side in sides],
     "maps: 1 picture, 8 heads": [map_bytes(1, 8, side) for side in sides],
     "values: 128 pictures, 64 channels": [4 * 128 * 64 * side**2 for side in sides]},
    ("80 GB, a large GPU", 80e9), (64, map_bytes(128, 8, 64)))
plt.show()

# %% [markdown]
# Both axes are logarithmic. Double the side of the picture, and the attention map takes 16 times the bytes; the values take four times. This is the cost that lambda layers set out to avoid, in 2021.
#
# **Must the map be stored at all?** No. Each row of it can be made, used and dropped. The cell below walks through the queries a few at a time and never holds the whole map; the answers are the same.

# %%
slices = [softmax_attention(some, k_random, v_random) for some in q_random.split(2, dim=2)]  # 2, 2 and 1 queries
assert torch.allclose(torch.cat(slices, dim=2), y_random)

# %% [markdown]
# Today's *fused kernels*, GPU programs that do scores, softmax and blend in one go, carry this to its end. They compute exact softmax attention piece by piece, forwards and backwards, without ever storing the map in the GPU's main memory (FlashAttention, Dao et al., 2022). `F.scaled_dot_product_attention`, which we met in step 2, uses such a kernel where there is one for the hardware and the arguments. So "softmax attention must store n × m numbers" was true of the usual code in 2021, and is true of the code in this lesson; it is not true of softmax attention.
#
# Two things stay. The multiply-adds still grow with $n\cdot m$. And a position term such as ours, $q_n\cdot e_{nm}$, is itself a map of n × m numbers per head and picture if it is handed to that function as a mask, as here:

# %%
e_random = torch.randn(n, m, k, dtype=torch.float64)
position_scores = einsum("bhnk,nmk->bhnm", q_random, e_random)
assert torch.allclose(relative_attention(q_random, k_random, v_random, e_random),
                      F.scaled_dot_product_attention(q_random, k_random, v_random,
                                                     attn_mask=position_scores, scale=1.0))
print("the position term as a mask:", tuple(position_scores.shape), "= (b, h, n, m)")


# %% [markdown]
# ## 8 · Take the softmax out
#
# Stored or not, $n\cdot m$ scores are computed. Why must every query meet every key? Because of the softmax: the exponential of a score has to be taken pair by pair. Without it, attention would be a product of three matrices, and their brackets may be moved.
#
# So let the softmax run over the keys alone: for each of the $k$ entries, over the context $m$. Call the result $\sigma=\mathrm{softmax}_m(K)\in\mathbb{R}^{m\times k}$. Then
#
# $$\big(Q\,\sigma^\top\big)\,V \;=\; Q\,\big(\sigma^\top V\big)$$
#
# On the left, the square $n\times m$ comes first; on the right, a small tile $k\times v$, whose size does not depend on the picture. Attention of this kind is called *linear*, because its cost grows only linearly with the number of pixels (Shen et al., 2018, who put a second softmax on the queries).

# %%
def linear_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """y_n = q_n · (Σ_m softmax_m(k)_m v_m). (b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v)."""
    summaries = einsum("bhmk,bhmv->bhkv", keys.softmax(dim=2), values)
    return einsum("bhnk,bhkv->bhnv", queries, summaries)


square_first = (q_random @ k_random.softmax(dim=2).transpose(2, 3)) @ v_random  # (Q σᵀ) V
assert torch.allclose(linear_attention(q_random, k_random, v_random), square_first)
gap = (linear_attention(q_random, k_random, v_random) - y_random).abs().max()
print("differs from softmax attention:", bool(gap > 1e-6))
assert gap > 0.1
figures.brackets(n=64, m=64, k=16, v=16)
plt.show()

# %% [markdown]
# (Both panels are to the same scale; the line below shows what is multiplied first.) The square is gone, but this is *another function*, not a cheaper way to the old one. Its weights $Q\,\sigma^\top$ may be negative and need not sum to 1. Whether that is a loss or a gain, and what the tile holds, is the next lesson.

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** Pixel 1 of the strip, with the query (0, 1), got (6, 6, 1). What does it get (a) when the vector (10, −3) is added to all four keys, (b) when the colour (1, 1, 1) is added to all four values instead?

# %%
guess_a, guess_b = None, None  # each as (red, green, blue)
print(check_answer("01.E1a", guess_a), check_answer("01.E1b", guess_b), sep="\n")

# %% [markdown]
# <details><summary>Solution</summary>
#
# (a) Each score grows by $q\cdot(10,-3)=-3$, the same for every pixel. The softmax sees differences only, so nothing changes. (b) The weights stay, and $\sum_m a_m(v_m+c)=\sum_m a_m v_m+c$, since the weights sum to 1.
#
# ```python
# guess_a, guess_b = (6, 6, 1), (7, 7, 2)
# print(check_answer("01.E1a", guess_a), check_answer("01.E1b", guess_b), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **2 · Predict.** The query (0, 1) gives yellow the weight 5/8. Which weight does (0, 2) give it?

# %%
guess = None  # a number; fractions may be written as 5 / 8
check_answer("01.E2", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# The scores are (0, 0, 0, 2 · log 5), their exponentials (1, 1, 1, 25). To double the query is to halve the temperature.
#
# ```python
# guess = 25 / 28
# check_answer("01.E2", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · Construct.** (a) Find a query with which yellow weighs exactly 125/128. (b) Now make the *red* pixel as heavy as you can. Which number does its weight never reach, whatever the query, though it can come as near to it as you like?

# %%
query = None  # (a) a pair (q0, q1)
largest = None  # (b) a number; fractions may be written as 1 / 8
goal = torch.tensor([1, 1, 1, 125], dtype=torch.float64) / 128
mine = None if query is None else (keys @ torch.tensor(query, dtype=torch.float64)).softmax(dim=0)
print(check_close(mine, goal, "are the weights in the ratio 1 : 1 : 1 : 125?"),
      check_answer("01.E3b", largest), sep="\n")

# %% [markdown]
# <details><summary>Solution</summary>
#
# (a) Yellow's score must be log 125 = 3 · log 5 above the others: $q_1=3$, with any $q_0$. (b) Red, green and blue have the same key, hence the same weight, whatever the query. With $q_1\to-\infty$ yellow's weight goes to 0 and each of the three comes near to 1/3. Pixels with equal keys cannot be told apart.
#
# ```python
# query, largest = (0, 3), 1 / 3
# mine = (keys @ torch.tensor(query, dtype=torch.float64)).softmax(dim=0)
# print(check_close(mine, goal, "are the weights in the ratio 1 : 1 : 1 : 125?"), check_answer("01.E3b", largest), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **4 · Predict.** One layer with 8 heads, 128 pictures, float32, square maps of H × H pixels: what is the smallest H at which the attention maps take more than 16 GiB (a GiB is 2³⁰ bytes)?

# %%
guess = None  # H, a whole number
check_answer("01.E4", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# $128\cdot 8\cdot H^4\cdot 4 > 16\cdot 2^{30}$ means $H^4>2^{22}$, $H>45.25$.
#
# ```python
# guess = 46
# check_answer("01.E4", guess)
# ```
#
# </details>

# %% [markdown]
# **5 · Implement.** Write attention so that it walks once through the context and never holds a row of weights: for each context position in turn, add $e^{s_m}v_m$ to one running sum and $e^{s_m}$ to another, and divide at the end. No softmax. (Fused kernels work like this; to be safe with large scores they also carry along the largest score so far and subtract it. You need not.)

# %%
def my_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(b, h, n, k), (b, h, m, k), (b, h, m, v) -> (b, h, n, v)."""
    blend = torch.zeros(*queries.shape[:3], values.shape[3],
                        dtype=values.dtype)  # Σ_m exp(s_m) v_m, for each query
    total = torch.zeros(*queries.shape[:3], 1, dtype=values.dtype)  # Σ_m exp(s_m)
    for m in range(keys.shape[2]):
        pass  # replace this line
    return blend  # and divide


check_attention(my_attention)


# %% [markdown]
# <details><summary>Solution</summary>
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
# **6 · Repair.** This habit was seen in the wild. The function below lets every pixel ask every pixel, with the features themselves as queries, keys and values. It runs, and all shapes are right. Yet its output leaves the range of the values: in channel 0 all features lie between 0 and 1, and the output does not. Mend it; the check uses two pictures and two sizes.

# %%
def attend_to_map(features: Tensor) -> Tensor:
    """Queries, keys and values are the features of each pixel: (b, d, H, W) -> (b, d, H, W)."""
    b, d, height, width = features.shape
    rows = features.reshape(b, 1, height * width, d)  # one head
    answer = softmax_attention(rows, rows, rows)
    return answer.reshape(b, d, height, width)


def by_definition(features: Tensor) -> Tensor:
    """The same without any rows: pixel (y, x) asks pixel (p, q)."""
    exponentials = einsum("bdyx,bdpq->byxpq", features, features).exp()
    return einsum("byxpq,bdpq->bdyx", exponentials / exponentials.sum(dim=(3, 4), keepdim=True), features)


def two_sizes(function) -> Tensor:
    """The function's output on maps of 3 × 5 and 5 × 3, in one row."""
    generator = torch.Generator().manual_seed(1)
    probes = [torch.rand(2, 2, *size, generator=generator) + torch.tensor([0, 2]).view(1, 2, 1, 1)
              for size in ((3, 5), (5, 3))]
    return torch.cat([function(probe).flatten() for probe in probes])


# channel 0 from 0 to 1, channel 1 from 2 to 3
probe = torch.rand(1, 2, 3, 5) + torch.tensor([0, 2]).view(1, 2, 1, 1)
print("largest output in channel 0:", round(attend_to_map(probe)[:, 0].max().item(), 2))
check_close(two_sizes(attend_to_map), two_sizes(by_definition),
            "for a map whose channel 0 is all 0 and channel 1 all 2, print `rows` (each row must be 0, 2), "
            "then the output (its channel 0 must be all 0)")

# %% [markdown]
# <details><summary>Solution</summary>
#
# In memory the pixels of channel 0 come first, then those of channel 1. The `reshape` cuts that line into pieces of length d, so a "row" is two neighbours in one channel instead of two channels of one pixel. The axes have to be swapped, not cut anew, on the way in and on the way out.
#
# ```python
# def attend_to_map(features):
#     b, d, height, width = features.shape
#     rows = features.flatten(2).transpose(1, 2)[:, None]  # (b, 1, n, d)
#     answer = softmax_attention(rows, rows, rows)
#     return answer[:, 0].transpose(1, 2).reshape(b, d, height, width)
#
#
# check_close(two_sizes(attend_to_map), two_sizes(by_definition), "for a map whose channel 0 is all 0 and channel 1 all 2, print `rows` (each row must be 0, 2), then the output (its channel 0 must be all 0)")
# ```
#
# </details>

# %% [markdown]
# **7 · Derive.** Show in three lines that attention without positions is permutation equivariant. Then say what becomes of the *mean* of all answers when the pixels are shuffled.
#
# <details><summary>Solution</summary>
#
# Let $\pi$ be the shuffle: $q'_n=q_{\pi(n)}$, $k'_m=k_{\pi(m)}$, $v'_m=v_{\pi(m)}$. Then
#
# $$y'_n=\frac{\sum_m e^{q_{\pi(n)}\cdot k_{\pi(m)}}\,v_{\pi(m)}}{\sum_m e^{q_{\pi(n)}\cdot k_{\pi(m)}}}=\frac{\sum_{m'} e^{q_{\pi(n)}\cdot k_{m'}}\,v_{m'}}{\sum_{m'} e^{q_{\pi(n)}\cdot k_{m'}}}=y_{\pi(n)}.$$
#
# The renaming $m'=\pi(m)$ only changes the order of the two sums. The answers move along with the pixels, so they are not the same at each place (that would be *in*variance). Their mean is the same: it is a sum over all places. With $e_{nm}$ in the scores the second step fails, since $e_{nm}\neq e_{\pi(n)\pi(m)}$ in general.
#
# </details>

# %% [markdown]
# ## What we now know
#
# * Attention is a blend: each query weighs all values with weights that are positive and sum to 1. One head can copy and mix; it cannot leave the range of the values.
# * Without positions it sees a bag of pixels. Relative embeddings add the offset to the scores.
# * The plain code stores n × m numbers per head and picture: 64 GiB in the paper's example. If the softmax runs over the keys alone, the brackets can move and the square is never made; the function is then another one.
#
# **Ledger.** *Without attention maps, less memory*: worth having, since plain code stores 64 GiB for one layer; but exact softmax attention can do without storing them too, and fused kernels now do. [Lesson 05](05_cost.ipynb) counts again. *Long-range interactions*: attention has it already, each pixel reaches every other in one layer; what is left to claim is the price.
#
# **The code of this lesson** lives in `lambdalib/attention.py`: `softmax_attention`, `relative_attention`, `linear_attention`, `SelfAttention`.
#
# **Next.** A tile of k × v numbers takes the place of the map. What is in it? [Lesson 02: content lambdas](02_content_lambdas.ipynb).
