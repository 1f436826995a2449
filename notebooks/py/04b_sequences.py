# %% [markdown]
# # 04b · Sequences
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/04b_sequences.ipynb)

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
# > **After this lesson you can** give every position a palette of what came before it. You can find a leak from the future. You can run a lambda layer one word at a time, with a state that does not grow.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (palettes), [lesson 03](03_position_lambdas.ipynb) (stencils) and [lesson 04](04_lambda_layer.ipynb) (the layer). This is a side path. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 60 minutes to read, 20 for the exercises. The code runs in about 25 seconds on two CPU cores. **Short path:** steps 1, 2, 3, 6 and 7.

# %% [markdown]
# ## What if the future must not be seen?
#
# An image is there all at once. A text is not: its writer knows the words so far, and no others.
#
# A model learns to write by guessing. In training it gets a whole text, and it guesses at every position at once. At position $n$ it reads the words 0 to $n$ and guesses word $n+1$. But word $n+1$ stands right there, in the same tensor. A model that can see it copies it, and learns nothing.
#
# So position $n$ must not see anything later than $n$. A layer that keeps this rule is called **causal**. The palette of lesson 02 is not causal:

# %%
import math
from textwrap import fill

import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn

from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_causal_content_lambda, check_close
from lambdalib.course.examples import plane, plane_colours, strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.sequences import ChannelNorm, LambdaLayer1d, causal_content_lambdas, check_mask

figures.show(
    figures.one_picture(lit="palette"),
    "So far all pixels share one palette, and the whole image writes it.",
    alt="The picture of the course. Lit: the four colours of the palette, mixed from the whole image.",
)


# %% [markdown]
# In the formula, only the range of the sums changes ([Bello 2021](https://arxiv.org/abs/2102.08602), appendix B.2). The boxed term is a palette that ends at $n$:
#
# $$y_n \;=\; \Big(\boxed{\sum_{m\le n} \mathrm{softmax}_{m\le n}(K)_m\,v_m^\top} \;+\; \sum_{m\le n} e_{nm}\,v_m^\top\Big)^{\!\top} q_n$$
#
# Here $q_n\in\mathbb{R}^k$ is the query, $v_m\in\mathbb{R}^v$ a value, $K\in\mathbb{R}^{m\times k}$ the keys and $e_{nm}\in\mathbb{R}^k$ an embedding. The bracket is $k\times v$. In lesson 02 one palette served all queries. Now every position has its own. Is that not $n$ times the work? This lesson shows that it is not. It also shows where the future gets in if we are careless.

# %% [markdown]
# ## 1 · A palette for each position
#
# **Claim.** With a mask, each query gets a palette of exactly what it may see.
#
# A **mask** says who sees what: `mask[n, m]` is true where query $n$ may read context position $m$.
#
# $$\lambda^c_n \;=\; \sum_m \mathrm{softmax}_{m\text{ seen by }n}(K)_m\,v_m^\top\in\mathbb{R}^{k\times v}$$
#
# The last exercise of lesson 04 was this function for $u=1$. Below is the library's, for any $u$. A hidden score becomes the lowest number that there is, so its exponential is 0 beside any other. The second `masked_fill` is for a query that sees nothing at all. Its scores are equally low, and a softmax would weigh them all alike. This query gets weights of 0 instead.
#
# A sequence is an image of one row, so the strip is a sequence: red, green, blue, yellow. The number 8 is full light. Its keys are (0, 0) three times, then (0, log 5).

# %%
def masked_content_lambdas(keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """(b, m, k, u), (b, m, v, u), (n, m) of bool -> (b, n, k, v): for each query a palette of what it may see."""
    check_mask(mask, None, keys.shape[1])
    hidden = ~mask[:, :, None, None]
    # not -inf: where nothing is seen, that is NaN
    scores = keys[:, None].masked_fill(hidden, torch.finfo(keys.dtype).min)
    soft_keys = scores.softmax(dim=2).masked_fill(hidden, 0)
    return einsum("bnmku,bmvu->bnkv", soft_keys, values)


_, keys, values, _ = strip()  # (b=1, m=4, k=2, u=1) and (1, 4, v=3, 1)
causal_mask = torch.ones(4, 4, dtype=torch.bool).tril()  # row n: true up to and including column n
palettes = masked_content_lambdas(keys, values, causal_mask)  # (1, 4, 2, 3)
print("the last palette is lesson 02's:", torch.allclose(palettes[:, 3], content_lambda(keys, values)))
figures.show(
    figures.palettes_in_time(values[0, :, :, 0], palettes[0]),
    "Each column is a moment. Above: the pixels seen so far. Below: the two colours of the palette.",
    alt="The strip after 1, 2, 3 and 4 pixels, and under each the palette of that moment in numbers.",
)


# %% [markdown]
# **What you should see.** First red alone, then the mean of red and green, then the mean of three. The first three keys are equal, so both colours are equal, too. Yellow's key of log 5 makes them differ. The last palette is the one of lesson 02.

# %% [markdown]
# ## 2 · The leak
#
# There is a shorter way to write it. Take the softmax over all positions, as in lesson 02. Then set the weights of hidden positions to 0.

# %%
def masked_too_late(keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """The softmax first, over everything, then the mask."""
    soft_keys = keys.softmax(dim=1)[:, None].masked_fill(~mask[:, :, None, None], 0)
    return einsum("bnmku,bmvu->bnkv", soft_keys, values)


print("colour 1 of pixel 0:", masked_too_late(keys, values, causal_mask)[0, 0, 1].round(decimals=4).tolist())

# %% [markdown]
# In the second column of keys, the exponentials are 1, 1, 1, 5. So red has the weight 1/8. Pixel 0 sees only itself, so its colour 1 is 1/8 of red.
#
# **Predict.** Pixel 3 gets another key: its exponential in that column is now 13 instead of 5. Nothing else changes. Which colour 1 does this shorter way give to pixel 0?

# %%
guess = None  # (red, green, blue)
check_answer("04b.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
edited = keys.clone()
edited[0, 3, 1] = math.log(13)  # only the future of pixels 0, 1 and 2
too_late, in_time = ([f(k, values, causal_mask)[0, 0, 1].round(decimals=4).tolist() for k in (keys, edited)]
                     for f in (masked_too_late, masked_content_lambdas))
if revealed(guess):
    print("softmax, then mask:", too_late[0], "becomes", too_late[1])
    print("mask, then softmax:", in_time[0], "stays", in_time[1])


# %% [markdown]
# No hidden value is in the sum. But the future comes through in the *denominator*. No shape is wrong, and no number looks odd. In training, a model can find this way in and use it. When it writes a text of its own, there is no future. Then all that it learnt from the leak is worth nothing.
#
# So hidden positions must be out *before* the weights are normalised. The test is good for any causal code: **change the future, watch the past.**

# %% [markdown]
# ## 3 · One position at a time
#
# **Claim.** The next palette follows from the last one. No earlier key or value is needed.
#
# The masked form makes $n\cdot m\cdot k\cdot u$ weights for each text. But a palette is a weighted mean, and a mean can be continued. Let $w_n=\sum_{m\le n}\exp K_m$ be the weight so far, a vector in $\mathbb{R}^k$. Then, row by row,
#
# $$\lambda^c_n \;=\; \lambda^c_{n-1} \;+\; \frac{\exp K_n}{w_n}\,\big(v_n^\top - \lambda^c_{n-1}\big)$$
#
# The palette moves towards the new value, by that value's share of all the weight. To go on, we need the palette and the weights: $k\cdot v + k$ numbers for $u=1$. They are the **memory**.
#
# In code, entry 0 of a memory is $\log w_n$, so that no exponential overflows. The other entries are the means. So the memory of one position is simply its key and its value. Where two weights with logarithms $a$ and $b$ meet, the second one's share is $e^b/(e^a+e^b)=\mathrm{sigmoid}(b-a)$.

# %%
def written(keys: Tensor, values: Tensor) -> Tensor:
    """The memories of single positions, in float32 at least: (b, n, k, u), (b, n, v, u) -> (b, n, k, u, 1 + v)."""
    dtype = torch.promote_types(keys.dtype, torch.float32)
    averages = values.transpose(2, 3)[:, :, None].expand(-1, -1, keys.shape[2], -1, -1)
    return torch.cat([keys[..., None].to(dtype), averages.to(dtype)], dim=-1)


def merge(earlier: Tensor, later: Tensor) -> Tensor:
    """The memory of two neighbouring stretches: weights add, and averages mix in proportion to them."""
    fraction = (later[..., :1] - earlier[..., :1]).sigmoid()  # later weight / both weights
    weight = torch.logaddexp(earlier[..., :1], later[..., :1])
    return torch.cat([weight, torch.lerp(earlier[..., 1:], later[..., 1:], fraction)], dim=-1)


def recall(memories: Tensor) -> Tensor:
    """The content lambdas that memories hold: (b, ..., k, u, 1 + v) -> (b, ..., k, v)."""
    return memories[..., 1:].sum(dim=-2)


def causal_step(memory: Tensor | None, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """One more position, (b, k, u) and (b, v, u) -> the content lambda so far (b, k, v),
    and the memory after it.
    """
    new = written(keys[:, None], values[:, None])[:, 0]
    memory = new if memory is None else merge(memory, new)
    return recall(memory).to(values.dtype), memory


memory = None
for n in range(4):
    palette, memory = causal_step(memory, keys[:, n], values[:, n])
    print(f"after pixel {n}: weights {memory[0, :, 0, 0].exp().round().int().tolist()},",
          "palette as in step 1:", torch.allclose(palette, palettes[:, n]))

# %% [markdown]
# **What you should see.** The weights count 1, 2, 3, 4 for colour 0, and 1, 2, 3, 8 for colour 1.
#
# `merge` joins any two neighbouring stretches, of any length. So a text that is already there needs no loop over positions. Join pairs, then pairs of pairs. From these, fill in what lies between. `causal_content_lambdas` does so with fewer than $2n$ merges. It is a cumulative sum (`torch.cumsum`) whose plus is `merge`. Such a sum is called an **associative scan**. [JAX](https://docs.jax.dev/en/latest/_autosummary/jax.lax.associative_scan.html) has a function of this name, and points to Blelloch (1990) for the idea. We now have three ways to one function:

# %%
torch.manual_seed(0)
long_keys, long_values = (30 * torch.randn(2, 300, 7, 3, dtype=torch.float64),
                          torch.randn(2, 300, 5, 3, dtype=torch.float64))
by_mask = masked_content_lambdas(long_keys, long_values, torch.ones(300, 300, dtype=torch.bool).tril())
by_merging = causal_content_lambdas(long_keys, long_values)
memory, steps = None, []
for n in range(300):
    palette, memory = causal_step(memory, long_keys[:, n], long_values[:, n])
    steps.append(palette)
by_steps = torch.stack(steps, dim=1)
print("merging agrees:", torch.allclose(by_merging, by_mask), "· steps agree:", torch.allclose(by_steps, by_mask))
print("300 positions, k = 7, v = 5, u = 3:")
print(f"{300 * 300 * 7 * 3:,} weights under the mask, {memory[0].numel()} numbers in the memory")

# %% [markdown]
# ## 4 · Relatives of this memory
#
# **Claim.** Other sequence models keep the same running sums. Each differs from ours in one line.
#
# Let $S_n=\sum_{m\le n} e^{K_m}v_m^\top\in\mathbb{R}^{k\times v}$. Our palette is $S_n/w_n$: each row is divided by its own weight.
#
# * **Linear attention** ([Katharopoulos et al. 2020](https://arxiv.org/abs/2006.16236)) divides once, after the query: $\varphi(q)^\top S_n \,/\, \varphi(q)^\top w_n$. The function $\varphi$ makes numbers positive, and stands in $S_n$ and $w_n$ in place of exp. (The authors take $\mathrm{elu}+1$.) With $\varphi=\exp$, this model reads our palette with the query $\mathrm{softmax}(q+\log w_n)$.
# * **AFT** ([Zhai et al. 2021](https://arxiv.org/abs/2105.14103)) in its simple form keeps only the diagonal of $S_n$: value channel $i$ has a key of its own. The query becomes a factor for each channel, $\mathrm{sigmoid}(q)$.
# * **RWKV**, version 4 ([Peng et al. 2023](https://arxiv.org/abs/2305.13048)), adds decay to AFT: at each step the old weights shrink by $e^{-\delta}$. A softmax only sees differences. So decay is the same as keys that grow by $\delta$ per position. (RWKV also gives the newest position a bonus.)

# %%
q, K, V = torch.randn(3, 1, 9, 4, dtype=torch.float64)  # b = 1, n = 9, and k = v = 4
palette = causal_content_lambdas(K[..., None], V[..., None])  # (1, 9, 4, 4)
S, w = einsum("bnk,bnv->bnkv", K.exp(), V).cumsum(1), K.exp().cumsum(1)

linear = einsum("bnk,bnkv->bnv", q.exp(), S) / einsum("bnk,bnk->bn", q.exp(), w)[..., None]
ours = einsum("bnk,bnkv->bnv", (q + w.log()).softmax(2), palette)
print("linear attention reads the palette:", torch.allclose(linear, ours))
aft = q.sigmoid() * (K.exp() * V).cumsum(1) / w
print("AFT reads its diagonal:", torch.allclose(aft, q.sigmoid() * palette.diagonal(dim1=2, dim2=3)))

delta, top, bottom = 0.5, 0, 0
for n in range(9):  # decay, as RWKV has it
    top, bottom = (math.exp(-delta) * old + new for old, new in
                   ((top, K[:, n].exp() * V[:, n]), (bottom, K[:, n].exp())))
growing = K + delta * torch.arange(9)[:, None]
decayed = causal_content_lambdas(growing[..., None], V[..., None])[:, 8].diagonal(dim1=1, dim2=2)
print("decay is a growing key:", torch.allclose(top / bottom, decayed))


# %% [markdown]
# Without decay, our memory never forgets. And the more weight it holds, the less one more position can move it. Watch this on a photograph.

# %% [markdown]
# ## 5 · A photograph, read row by row
#
# We read the plane like a page: from left to right, row by row. Values are its colours. Keys measure closeness to red, green, blue and yellow, as in lesson 02. Each pixel is repainted at the moment when it is read, with the palette of that moment.

# %%
def closeness(values: Tensor) -> Tensor:
    """(b, n, v=3, u=1) -> (b, n, k=4, u=1): -30 · squared distance to pure red, green, blue and yellow."""
    anchors = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=values.dtype)
    return -30 * (values[:, :, None, :, 0] - anchors).square().sum(3)[..., None]


colours = plane_colours().double()  # (1, n=1024, v=3, u=1)
plane_keys = closeness(colours)
plane_palettes = causal_content_lambdas(plane_keys, colours)  # (1, 1024, k=4, v=3): a palette for each pixel
plane_queries = plane_keys[None, ..., 0].softmax(3)  # the mixture of each pixel sums to 1 over k
repainted = apply_lambdas(plane_queries, plane_palettes)[0, 0].T.reshape(3, 32, 32)


def draw_reading(rows: int = 17):
    soft_keys = torch.zeros(4, 1024)
    soft_keys[:, : 32 * rows] = plane_keys[0, : 32 * rows, :, 0].softmax(0).T
    painted = torch.where(torch.arange(32)[:, None] < rows, repainted, 0.8)
    return figures.palette_card(plane(), plane_palettes[0, 32 * rows - 1], soft_keys.view(4, 32, 32), painted)


film = [12, 17, 20, 24, 32]
figures.show(
    figures.palette_film(plane(), film, plane_palettes[0, [32 * rows - 1 for rows in film]], repainted),
    "The plane after 12 to 32 rows: what has been read, the palette so far, and the repainted pixels. "
    "Grey is still to come. The numbers count red, green and blue light from 0 to 255.",
    alt="Five moments of reading the plane. The palette begins with four blues and ends with four colours.",
)

# %% [markdown]
# **What you should see.** For 12 rows there is only sky, and all four colours are blues. A palette cannot hold what has not been seen. With the plane come yellow and red. In the last rows there is grass, and only colour 1 still moves much. Grass has next to no weight in the other three. From pixel to pixel, 16 numbers are carried: four weights and four colours of three.
#
# **Try it.** Move the slider from row 12 to row 32. Watch one colour after the other find its place. The maps show which pixels wrote each colour.

# %% tags=["nbval-ignore-output"]
widgets.explore(draw_reading, "The palette of the rows read so far", rows=widgets.slider("rows read", 1, 32, 17))


# %% [markdown]
# ## 6 · The layer, and a second leak
#
# `LambdaLayer1d(causal=True)` is lesson 04's layer for sequences (b, d, n), with causal palettes. Its stencils of $r$ taps only reach back: the last tap is the position itself. The layer runs in two ways. Called as usual it takes a whole text, as in training. Its method `step` takes one position, as in writing, and the **state** from the step before. The state is the memory, and the last $r$ values for the stencils.
#
# Lesson 04's layer has batch norm on queries and values. Suppose that our layer had `BatchNorm1d`. It takes mean and variance of each channel over the batch *and over the positions*. We change the future and watch the past, by gradients:

# %%
def future_reaches_the_start(layer: nn.Module, mode: str) -> bool:
    """Whether the output at position 0 has a gradient at a later input, in a text of 11 positions."""
    layer.train(mode == "train")
    features = torch.randn(1, 6, 11, dtype=torch.float64, requires_grad=True)
    gradient, = torch.autograd.grad(layer(features)[:, :, 0].square().sum(), features)
    return bool(gradient[:, :, 1:].any())


torch.manual_seed(0)
causal = LambdaLayer1d(6, 12, dim_k=5, heads=3, scope=3, causal=True).double()  # v = 12 / 3 = 4
leaky = LambdaLayer1d(6, 12, dim_k=5, heads=3, scope=3, causal=True).double()
leaky.norm_queries, leaky.norm_values = nn.BatchNorm1d(15).double(), nn.BatchNorm1d(4).double()
modes = ["train", "eval"]

# %% [markdown]
# **Predict.** In which mode does the output of `leaky` at position 0 depend on later inputs?

# %%
guess = None  # "train", "eval", "both" or "neither"
check_answer("04b.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
heard = {mode: [future_reaches_the_start(layer, mode) for layer in (leaky, causal)] for mode in modes}
if revealed(guess):
    for mode, (by_leaky, by_causal) in heard.items():
        print(f"{mode:5}, is the future heard? with batch norm: {by_leaky}; with ours: {by_causal}")

# %% [markdown]
# In train mode, batch norm tells position 0 the mean and the variance of what is to come. In eval mode it uses stored numbers. The leak is gone, and so is all that the model learnt from it. The causal layer therefore has a **layer norm**, `ChannelNorm`: mean and variance over the channels of one position.
#
# (A layer that is not causal takes any other mask: `layer(features, mask)`. It keeps its batch norm. So in train mode a little of what the mask hides comes through.)
#
# Does one `step` after another give what `forward` gives at once?

# %%
features, state, outputs, sizes = torch.randn(2, 6, 50, dtype=torch.float64), None, [], []
for n in range(50):
    output, state = causal.step(state, features[:, :, n])
    outputs.append(output)
    sizes.append(sum(part[0].numel() for part in state))
print("steps agree with the whole text:", torch.allclose(torch.stack(outputs, dim=2), causal(features)))
print("numbers in the state after 1, 2, 3, 4 and 50 positions:", *sizes[:4], sizes[-1])

# %% [markdown]
# **What you should see.** The memory holds $k\,(1+v)=25$ numbers. The window of values is full after three positions. From then on the state does not grow. Attention that writes a text keeps the keys and values of *all* positions, so its state grows with every word. In return, attention blurs nothing. Here the whole past is $k$ means.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 1 to 6
assert torch.allclose(palettes[0, :3, 0], palettes[0, :3, 1])  # equal keys so far: two equal colours
assert torch.allclose(palettes[0, 3], torch.tensor([[4, 4, 2], [6, 6, 1]], dtype=torch.float64))
assert too_late[0] != too_late[1] and in_time[0] == in_time[1]
assert torch.allclose(plane_palettes[:, -1], content_lambda(plane_keys, colours))  # at the end, lesson 02's
after = {rows: (255 * plane_palettes[0, 32 * rows - 1]).round().int() for rows in film}  # (k, v)
assert (after[12].argmax(dim=1) == 2).all()  # sky: blue is the strongest part of all four colours
assert ((after[24] - after[32]).abs()[[0, 2, 3]] <= 5).all() and (after[24] - after[32])[1].abs().max() > 20
assert heard == {"train": [True, False], "eval": [False, False]}
assert sizes == [5 * (1 + 4) + min(n, 3) * 4 for n in range(1, 51)]  # u = 1

# %% [markdown]
# ## 7 · A waiter
#
# Does a model learn to use such a memory? We need a text that asks for it. And we want to know the best possible loss, so that we can tell when a loss is good.
#
# In a café, five guests come and go all day. Who comes next is pure chance. What a guest orders is chance *the first time* that day: one of four drinks. After that, it is always the same drink. One text is one day:
#
# `open: ann tea bob milk ann tea eve tea ann tea ...`
#
# A reader's loss at a word is $-\ln$ of the probability that the reader gave to it. The **entropy** of a text is the smallest mean loss that any reader can reach. A guest costs $\ln 5$, always. A drink costs $\ln 4$ if the guest is new, and nothing if not. Each earlier guest was somebody else with probability 4/5. So at visit $s=0,1,2,\dots$ the guest is new with probability $(4/5)^s$.
#
# Our waiter has two causal lambda layers with a scope of 3. By stencils alone, a word travels two positions in each layer, so four in both. A waiter without palettes would only know the last two visits. To such a waiter, from visit 2 on, a guest looks new with probability $(4/5)^2$.

# %%
guests, drinks = ["ann", "bob", "eve", "kim", "max"], ["tea", "milk", "cocoa", "juice"]
words = [*guests, *drinks, "open:"]
visits = 16


def days(count: int, generator: torch.Generator) -> Tensor:
    """Texts of a day each, as word numbers (places in the list `words`). (count, 1 + 2 · visits)

    A text is "open:", then guest and drink in turn.
    """
    taste = torch.randint(4, (count, 5), generator=generator)  # each day, each guest has one
    who = torch.randint(5, (count, visits), generator=generator)
    text = torch.stack([who, 5 + taste.gather(1, who)], dim=2).flatten(1)
    return F.pad(text, (1, 0), value=words.index("open:"))


s = torch.arange(visits)
perfect, forgetful = 0.8**s * math.log(4), 0.8**s.clamp(max=2) * math.log(4)  # mean loss at the drink of visit s
entropy, best_without_palettes = ((math.log(5) + loss.mean().item()) / 2 for loss in (perfect, forgetful))
print(fill(" ".join(words[i] for i in days(1, torch.Generator().manual_seed(0))[0])))
print(f"mean loss of a word, at best: {entropy:.3f}; at best without palettes: {best_without_palettes:.3f}")


# %% [markdown]
# The model has a table with a feature vector for each word (`nn.Embedding`), two layers, and a linear function to the ten words. Each layer has a norm before it and a shortcut around it. `step` does the same for one word.

# %%
class Waiter(nn.Module):
    """Guesses the next word from all words so far."""

    def __init__(self, dim: int = 32):
        super().__init__()
        self.embed = nn.Embedding(len(words), dim)
        self.norms = nn.ModuleList(ChannelNorm(dim) for _ in range(2))
        self.layers = nn.ModuleList(LambdaLayer1d(dim, dim_k=8, heads=4, scope=3, causal=True) for _ in range(2))
        self.guess = nn.Sequential(ChannelNorm(dim), nn.Conv1d(dim, len(words), 1))

    def forward(self, text: Tensor) -> Tensor:
        """(b, n) word numbers -> logits of the next word at each position, (b, 10, n)."""
        x = self.embed(text).transpose(1, 2)
        for norm, layer in zip(self.norms, self.layers):
            x = x + layer(norm(x))
        return self.guess(x)

    def step(self, states: list, word: Tensor) -> tuple[Tensor, list]:
        """One word (b,), and the two layers' states, at first [None, None]
        -> logits (b, 10), and the states after it.
        """
        x, after = self.embed(word), []
        for norm, layer, state in zip(self.norms, self.layers, states):
            output, state = layer.step(state, norm(x[..., None])[..., 0])
            x, after = x + output, [*after, state]
        return self.guess(x[..., None])[..., 0], after


# %% [markdown]
# We train for 500 steps, on 32 new days each. Then come 2,000 days that the waiter has not seen. It reads each day without its last word. Its targets are the same day without its first word. So one text asks for 32 guesses.

# %%
torch.set_num_threads(1)  # these tensors are tiny: a second thread would cost more than it brings
torch.manual_seed(0)
waiter, generator, losses = Waiter(), torch.Generator().manual_seed(0), []
optimizer = torch.optim.Adam(waiter.parameters(), lr=0.02)
# up, then down to 0
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=500, cycle_momentum=False)
for _ in range(500):
    text = days(32, generator)
    loss = F.cross_entropy(waiter(text[:, :-1]), text[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())

test = days(2000, torch.Generator().manual_seed(2))
with torch.no_grad():
    word_losses = F.cross_entropy(waiter(test[:, :-1]), test[:, 1:], reduction="none")  # (days, 2 · visits)
near = abs(word_losses.mean().item() - entropy) < 0.05
print(f"{sum(parameter.numel() for parameter in waiter.parameters()):,} parameters;",
      "within 0.05 of the entropy on new days:", near)
figures.show(
    figures.traces({"the waiter": losses, "best without palettes": [best_without_palettes] * 500,
                    "entropy": [entropy] * 500}, "step", "mean loss of a word", ylim=(0.9, 2.4)),
    "Training: the loss falls through the line of the best waiter without palettes, down to the entropy.",
    alt="The loss of 500 steps falls from above 2 to about the entropy.",
)
figures.show(
    figures.traces({"the waiter": word_losses[:, 1::2].mean(0), "best without palettes": forgetful,
                    "perfect memory": perfect}, "visit", "mean loss of its drink", ylim=(0, 1.5)),
    "The drinks alone, on new days. Later in the day fewer guests are new, and the guesses get better. A perfect "
    "memory reaches the entropy.",
    alt="The waiter's loss at each visit of a day lies close to that of a perfect memory.",
)

# %% [markdown]
# **What you should see.** The waiter's guesses are nearly as good as any could be. No reader has a mean loss below the entropy, except by luck on a finite test. A loss well below it is the sign of a leak.
#
# Now the waiter writes. It draws a word from its own guess, reads it like any other word, and guesses again. It goes on for 48 visits, three times as long as any day in training. Does each guest stay with one drink?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
word, states, spoken = torch.full((200,), words.index("open:")), [None, None], []
with torch.no_grad():
    for _ in range(2 * 48):
        spoken.append(word)
        logits, states = waiter.step(states, word)
        word = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
    text = torch.stack([*spoken, word], dim=1)  # 200 days, (200, 1 + 96)

who, what = text[:, 1:].unflatten(1, (48, 2)).unbind(2)  # (200, 48) each
first = (who[:, :, None] == who[:, None]).int().argmax(dim=2)  # the first visit of the same guest
back = first < torch.arange(48)  # not new
faithful = (what == what.gather(1, first))[back].double().mean().item()
size = sum(part[0].numel() for state in states for part in state)
print(fill(" ".join(words[i] for i in text[0, :41]) + " ..."))
print(f"of the guests who come back, {faithful:.1%} order their first drink")
print(f"the state has {size} numbers")

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of step 7
assert near and entropy + 0.2 < best_without_palettes
fresh = days(20000, torch.Generator().manual_seed(1))[:, 1:].unflatten(1, (visits, 2))
new = torch.stack([(fresh[:, :i, 0] != fresh[:, i, :1]).all(dim=1) for i in range(visits)], dim=1)
assert torch.allclose(new.double().mean(0), 0.8**s.double(), atol=0.02)  # nobody of that name before
with torch.no_grad():  # the last step agrees with the whole text at once
    assert torch.allclose(waiter(text[:, :-1])[..., -1], logits, atol=1e-2)
assert faithful > 0.9 and ((who < 5) & (what >= 5) & (what < 9)).double().mean() > 0.97 and size == 2 * 96

# %% [markdown]
# A blind guess would be right in one case of four. (Your percentage may differ a little, because machines round sums differently.) The state has 96 numbers for each layer, in the morning and at night.
#
# **Caution.** Five guests fit well into a palette of eight rows. Hundreds of names could not have a row each, and what shares a row is averaged. Nor can this memory correct itself. If Ann changed her mind, her row would hold a mean of tea and milk. The delta rule mends that ([lesson 10](10_beyond.ipynb)).

# %% [markdown]
# ## Exercises
#
# **1 ★ Predict.** A causal layer has d_out = 24 channels, h = 2 heads, k = 5, u = 1 and a scope of r = 7. How many numbers are in the state that `step` hands on, for one text? Give it after 3 words, and after a million.

# %%
state_sizes = None  # a pair (after 3 words, after 1,000,000 words)
exercise_1 = check_answer("04b.E1", state_sizes)
exercise_1


# %% [markdown]
# <details><summary>Hint</summary>The state has two parts, the memory and the window of values. Which part can still grow after 3 words?</details>
#
# <details><summary>Solution</summary>
#
# The values have v = 24 / 2 = 12 numbers. The memory holds k rows of v means and one weight: 5 · 13 = 65. The window holds the last values, at most r of them: 3 · 12 = 36, and later 7 · 12 = 84. Together that is 101 and 149. Heads share the lambda, so they share the state.
#
# ```python
# state_sizes = (101, 149)
# layer, state = LambdaLayer1d(24, dim_k=5, heads=2, scope=7, causal=True), None
# for n in range(1, 101):
#     _, state = layer.step(state, torch.randn(1, 24))
#     if n in (3, 100):
#         assert sum(part.numel() for part in state) == {3: 101, 100: 149}[n]
# check_answer("04b.E1", state_sizes)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Implement.** Write the causal palettes for $u = 1$, without a mask and without a loop over positions.

# %%
def my_causal_content_lambdas(keys: Tensor, values: Tensor) -> Tensor:
    """(b, n, k), (b, n, v) -> (b, n, k, v): for each position a palette of itself and all before it."""
    return None  # replace this line


exercise_2 = check_causal_content_lambda(my_causal_content_lambdas)
exercise_2


# %% [markdown]
# <details><summary>Hint 1</summary>A palette is a quotient of two sums that run over the positions so far. Step 4 names them.</details>
#
# <details><summary>Hint 2</summary><code>torch.cumsum</code> makes running sums. Which axes do the two sums have?</details>
#
# <details><summary>Solution</summary>
#
# One sum runs over the weighted values, one over the weights. The palette is their quotient.
#
# ```python
# def my_causal_content_lambdas(keys, values):
#     weights = keys.exp()
#     weighted = einsum("bnk,bnv->bnkv", weights, values)
#     return weighted.cumsum(dim=1) / weights.cumsum(dim=1)[..., None]
#
#
# check_causal_content_lambda(my_causal_content_lambdas)
# far = torch.full((1, 2, 1), 100.0)
# assert my_causal_content_lambdas(-1.1 * far, torch.ones(1, 2, 1)).isnan().all()  # exp(-110) is 0 in float32
# assert my_causal_content_lambdas(far, torch.ones(1, 2, 1)).isnan().all()  # exp(100) is beyond float32
# assert causal_content_lambdas(far[..., None], torch.ones(1, 2, 1, 1)).eq(1).all()
# ```
#
# This is shorter than `written` and `merge`. It is right as long as the sums stay inside float32. With keys of 100 they overflow. With keys of −110 all exponentials are 0, and it divides 0 by 0. A softmax subtracts the largest key first. That does not help here, because the largest key may come late, and all keys so far may be far below it. The memory keeps the logarithm of the weight, so none of this can happen.
#
# </details>

# %% [markdown]
# **3 ★★★ Repair.** Here are both halves together, for a text. The function leaks. The line `wanted` says what causal means: at each position, it is what lessons 02 and 03 would say if the text ended there. It does the work once for every position, so it is no repair. Mend the function, for all positions at once.

# %%
def both_halves(queries: Tensor, keys: Tensor, values: Tensor, table: Tensor) -> Tensor:
    """(b, h, n, k), (b, n, k, u), (b, n, v, u), (k, u, 1, r) -> (b, h, n, v), which should be causal."""
    n = keys.shape[1]
    seen = torch.ones(n, n, dtype=torch.bool).tril()
    content = einsum("nm,bmku,bmvu->bnkv", seen.to(keys), keys.softmax(dim=1), values)
    position = position_lambdas(relative_embeddings(table, 1, n), values)
    return apply_lambdas(queries, content + position)


def of_a_whole_text(queries: Tensor, keys: Tensor, values: Tensor, table: Tensor) -> Tensor:
    position = position_lambdas(relative_embeddings(table, 1, keys.shape[1]), values)
    return apply_lambdas(queries, content_lambda(keys, values)[:, None] + position)


torch.manual_seed(0)
Q, K = torch.randn(2, 3, 7, 5, dtype=torch.float64), torch.randn(2, 7, 5, 2, dtype=torch.float64)
V, T = torch.randn(2, 7, 4, 2, dtype=torch.float64), torch.randn(5, 2, 1, 5, dtype=torch.float64)
wanted = torch.stack([of_a_whole_text(Q[:, :, :t], K[:, :t], V[:, :t], T)[:, :, -1] for t in range(1, 8)], dim=2)
exercise_3 = check_close(both_halves(Q, K, V, T), wanted, "what can position 0 still hear of the others?")
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>There are two leaks. Step 2 has one of them.</details>
#
# <details><summary>Hint 2</summary>The stencils of lesson 03 have taps on both sides. What must the embeddings of later positions be?</details>
#
# <details><summary>Solution</summary>
#
# The mask comes after the softmax, so later keys stand in the denominator. And the stencils read on both sides, so the embeddings of later positions must become 0. With only one of the two repairs, the check still says no.
#
# ```python
# def both_halves(queries, keys, values, table):
#     n = keys.shape[1]
#     seen = torch.ones(n, n, dtype=torch.bool).tril()
#     embeddings = relative_embeddings(table, 1, n).masked_fill(~seen[:, :, None, None], 0)
#     return apply_lambdas(queries, causal_content_lambdas(keys, values) + position_lambdas(embeddings, values))
#
#
# check_close(both_halves(Q, K, V, T), wanted)
# ```
#
# </details>

# %%
progress({
    "1 size of the state": "exercise_1",
    "2 causal palettes": "exercise_2",
    "3 both halves": "exercise_3",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A causal palette is a running mean. A mask, an associative scan or single steps give the same numbers.
# * To go on, it needs k · v + k numbers for u = 1. This state does not grow.
# * The future can come in without being summed: by the denominator of a softmax, or by the statistics of a norm. Change the future and watch the past, in train mode too.
# * Linear attention, AFT and RWKV keep the same sums. They divide, gate or decay them in another way.
# * A model of a few thousand parameters learns to use this memory. It still works on texts three times as long as those in training.
#
# **Ledger.** *Less memory.* For: a text goes on from a state that does not grow, where attention keeps every key and value. *More accurate.* No evidence here: we built the café for this memory. The state that does not grow is also a state that averages.
#
# **The code of this lesson** lives in `lambdalib/sequences.py`: `masked_content_lambdas`, `causal_content_lambdas`, `causal_step`, `LambdaLayer1d`.
#
# **Next.** Back to the main path: [Lesson 05: what it costs](05_cost.ipynb).
