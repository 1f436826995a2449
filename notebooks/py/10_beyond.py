# %% [markdown]
# # 10 · Beyond
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/10_beyond.ipynb)

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
# > **After this lesson you can** say in one line how a lambda layer differs from each of its relatives. You can write a memory that corrects itself. And you have three projects to choose from.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (palettes), [lesson 03](03_position_lambdas.ipynb) (stencils) and [lesson 09](09_what_the_lambda_is_worth.ipynb) (twins). Step 5 uses [lesson 04b](04b_sequences.ipynb). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 50 minutes to read, 25 for the exercises. A project takes a weekend. The code runs in about one minute on two CPU cores, nearly all of it in the appendix. **Short path:** steps 1, 5 and 7, then one project.

# %% [markdown]
# ## Where does the idea go from here?
#
# The lambda layer did not come out of nothing, and it was not the last of its kind. Before and after it, people changed one line of the same equation and gave the result a name:
#
# $$y_n \;=\; \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\text{palette}} \;+\; \underbrace{\sum_m e_{nm}\,v_m^\top}_{\text{stencils}}\Big)^{\!\top} q_n$$
#
# This lesson changes these lines, one at a time. If you know the lambda layer, you already know most of its relatives.

# %%
import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn
from torchvision.ops import SqueezeExcitation

from lambdalib import create_model, load_cifar10, normalize
from lambdalib.contractions import position_output
from lambdalib.course import figures, widgets
from lambdalib.course.checks import (check_close, check_content_lambda, check_merge_heads,
                                     check_position_lambdas)
from lambdalib.course.examples import strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.course.verdict import Verdicts
from lambdalib.experiments.results import format_mean, mean_interval, read_results
from lambdalib.experiments.rows import EVERY_ROW
from lambdalib.explain import lambda_layers
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.sequences import ChannelNorm, LambdaLayer1d, causal_content_lambdas
from lambdalib.training.train import train_steps

torch.manual_seed(0)
randn = partial(torch.randn, dtype=torch.float64)  # so that a difference is never mere rounding

# %% [markdown]
# ## 1 · The family tree
#
# **Claim.** Each relative differs from the box on its left in one line.

# %%
tree = {  # name: (parent, what is different)
    "palette": ("lambda layer", "Σ softmax(k) v"),
    "linear attention": ("palette", "own palette for each head"),
    "attention": ("linear attention", "softmax over the scores"),
    "linear Transformer": ("palette", "φ, then divide by the sum"),
    "delta rule": ("linear Transformer", "write only what is new"),
    "A²-Net": ("palette", "softmax on the query, too"),
    "squeeze-and-excitation": ("palette", "one colour, the plain mean"),
    "AFT": ("palette", "keep the diagonal"),
    "RWKV": ("AFT", "old weights decay"),
    "stencils": ("lambda layer", "Σ e v"),
    "involution": ("stencils", "one head"),
    "dynamic convolution": ("stencils", "softmax over the taps"),
    "large kernel": ("stencils", "one query for all pixels"),
}
figures.show(
    figures.family_tree(tree, lit=("lambda layer", "palette", "stencils")),
    "The relatives of the lambda layer. Each box says what it changes in the box on its left. Orange: the "
    "lambda layer and its two halves.",
    alt="A tree from the lambda layer through its two halves to eleven other layers.",
)

# %% [markdown]
# The tree orders ideas, not dates. Attention is much older than the lambda layer. And a real model of each kind has more parts: gates, norms, projections. We take the one line that mixes positions.
#
# A tree is only a drawing. So each edge gets a line that runs, and a check against something independent. The checks collect in a list, `proved`.

# %%
proved = []  # names of relatives whose line agrees with something independent


def prove(name: str, line: Tensor, independent: Tensor) -> None:
    """Note a relative whose line is right; stop the lesson if it is not."""
    assert line.shape == independent.shape and torch.allclose(line, independent), name
    proved.append(name)
    print(f"{name:24} agrees")


b, h, height, width, k, v = 2, 3, 5, 7, 11, 13
n = height * width
q = randn(b, h, n, k)  # queries
K, V = randn(b, n, k, 1), randn(b, n, v, 1)  # keys and values, u = 1
own_K, own_V = randn(b, h, n, k), randn(b, h, n, v)  # the same for each head, where a relative has them

# %% [markdown]
# ## 2 · Relatives of the palette
#
# * **Linear attention** ([Shen et al. 2018](https://arxiv.org/abs/1812.01243)): each head makes a palette from keys and values of its own.
# * **Attention** ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762)): the softmax runs over the scores $q\cdot k$. Now the brackets cannot move, as in lesson 01.
# * **Linear Transformer** ([Katharopoulos et al. 2020](https://arxiv.org/abs/2006.16236)): a positive function $\varphi$ in place of the softmax. The sum of the weights divides *after* the query.
# * **A²-Net** ([Chen et al. 2018](https://arxiv.org/abs/1810.11579)): a second softmax, on the query. The query's numbers are then positive and sum to 1.
# * **Squeeze-and-excitation** ([Hu et al. 2018](https://arxiv.org/abs/1709.01507)): one key that is equal everywhere. The palette is one colour, the mean of the map. It does not mix; it scales the channels.
#
# As the independent side we take PyTorch's attention, the explicit n × m matrix, or torchvision's layer.

# %%
palettes = content_lambda(own_K.flatten(0, 1)[..., None], own_V.flatten(0, 1)[..., None])  # (b·h, k, v)
linear = apply_lambdas(q.flatten(0, 1)[:, None], palettes)[:, 0].unflatten(0, (b, h))
prove("linear attention", linear, (q @ own_K.softmax(2).mT) @ own_V)

scores = q @ own_K.mT
prove("attention", scores.softmax(3) @ own_V, F.scaled_dot_product_attention(q, own_K, own_V, scale=1.0))

phi = lambda x: F.elu(x) + 1  # positive, as in the paper
divided = phi(q) @ (phi(own_K).mT @ own_V) / (phi(q) @ phi(own_K).sum(2)[..., None])
prove("linear Transformer", divided, F.normalize(phi(q) @ phi(own_K).mT, p=1, dim=3) @ own_V)

blend = apply_lambdas(q.softmax(3), content_lambda(K, V))  # A²-Net
matrix = q.softmax(3) @ K[:, None, :, :, 0].softmax(2).mT  # (b, h, n, m)
prove("A²-Net", blend, matrix @ V[:, None, :, :, 0])
print("    its rows sum to 1:", torch.allclose(matrix.sum(3), torch.ones_like(matrix[..., 0])))

excite = SqueezeExcitation(v, 4).double()
mean = content_lambda(0 * K[:, :, :1], V)[:, 0]  # (b, v): the palette of one key that is equal everywhere
gate = excite.fc2(F.relu(excite.fc1(mean[..., None, None]))).sigmoid().flatten(1)  # (b, v)
maps = V[..., 0].mT.unflatten(2, (height, width))  # (b, v, H, W)
prove("squeeze-and-excitation", maps * gate[..., None, None], excite(maps))

# %% [markdown]
# **What you should see.** Five relatives, and five times the same ingredients. A²-Net has again what lambdas gave up: its weights are positive and sum to 1. So its output is a blend again, as in lesson 01, and cannot subtract.

# %% [markdown]
# ## 3 · Relatives of the stencils
#
# At each pixel the query mixes a filter from $k$ stencils, $\kappa_{hn}=\sum_k q_{hnk}T_k$ (lesson 03). What can one change?
#
# * **Involution** ([Li et al. 2021](https://arxiv.org/abs/2103.06255)): each pixel makes its filter, and all channels of a group share it. A position lambda with one head is an involution with one group, whose filter is linear in the query.
# * **Dynamic convolution** ([Wu et al. 2019](https://arxiv.org/abs/1901.10430)): the taps of each filter pass a softmax. It was made for sentences.
# * **Large kernel** ([Ding et al. 2022](https://arxiv.org/abs/2203.06717), [Liu et al. 2022](https://arxiv.org/abs/2201.03545)): no query at all. One learned filter for each channel, 31 × 31 or 7 × 7 taps. (With a frozen query, the channels of a head share one.)
#
# **Predict.** A filter has three taps, and they pass a softmax. Three filters: `"blur"` (⅓, ⅓, ⅓), `"centre"` (0, 1, 0) and `"slope"` (−1, 0, 1). Which one can the softmax *not* even come close to?

# %%
guess = None  # "blur", "centre" or "slope"
check_answer("10.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
targets = {"blur": (1 / 3, 1 / 3, 1 / 3), "centre": (0, 1, 0), "slope": (-1, 0, 1)}
corners = torch.cartesian_prod(*3 * [torch.linspace(-12, 12, 25)]).softmax(1)  # 15,625 filters after the softmax
if revealed(guess):
    for name, target in targets.items():
        distance = (corners - torch.tensor(target)).abs().amax(1).min()
        print(f"{name:7} the closest of {len(corners):,} filters is off by {distance:.3f}")

# %% [markdown]
# Softmax makes taps positive, so every filter is a weighted blur. Edges are out of reach for one layer. A lambda's stencils have signs.

# %%
table = randn(k, 1, 3, 3)
by_lambda = apply_lambdas(q, position_lambdas(relative_embeddings(table, height, width), V))
neighbours = F.unfold(maps, 3, padding=1).view(b, v, 9, n)  # (b, v, taps, n)
filters = einsum("bhnk,kij->bhnij", q, table[:, 0]).flatten(3)  # (b, h, n, 9)
prove("involution", by_lambda[:, :1], einsum("bhnt,bvtn->bhnv", filters[:, :1], neighbours))

blurred = einsum("bhnt,bvtn->bhnv", filters.softmax(3), neighbours)  # dynamic convolution
by_loops = V.new_zeros(b, h, height, width, v)
for y, x in torch.cartesian_prod(torch.arange(height), torch.arange(width)).tolist():
    for i, j in ((i, j) for i in range(3) for j in range(3)):
        if 0 <= y + i - 1 < height and 0 <= x + j - 1 < width:
            taps = filters[:, :, y * width + x].softmax(2)[..., 3 * i + j]  # (b, h)
            by_loops[:, :, y, x] += taps[..., None] * maps[:, None, :, y + i - 1, x + j - 1]
prove("dynamic convolution", blurred, by_loops.flatten(2, 3))

large = randn(k, 1, 2 * height - 1, 2 * width - 1)  # reaches every pixel from every other
one_query = randn(1, h, 1, k).expand(b, h, n, k)
by_lambda = apply_lambdas(one_query, position_lambdas(relative_embeddings(large, height, width), V))
kernels = einsum("hk,kij->hij", one_query[0, :, 0], large[:, 0]).repeat_interleave(v, dim=0)[:, None]
by_conv = F.conv2d(maps.repeat(1, h, 1, 1), kernels, padding=(height - 1, width - 1), groups=h * v)
prove("large kernel", by_lambda, by_conv.unflatten(1, (h, v)).flatten(3).mT)


# %% [markdown]
# **What you should see.** All three agree. You have met the large kernel in lesson 09, as the frozen-query twin. There the question was whether a query that steers the filter pays.

# %% [markdown]
# ## 4 · Relatives in time
#
# **AFT** ([Zhai et al. 2021](https://arxiv.org/abs/2105.14103)) has as many key channels as value channels, and pairs them: key channel $d$ weighs value channel $d$ alone. Of the $k\times v$ palette only the *diagonal* is left. A table $w_{nm}$ adds to the keys, and the query becomes a gate:
#
# $$y_{nd} \;=\; \mathrm{sigmoid}(q_{nd})\;\frac{\sum_m e^{k_{md}+w_{nm}}\,v_{md}}{\sum_m e^{k_{md}+w_{nm}}}$$
#
# **RWKV** ([Peng et al. 2023](https://arxiv.org/abs/2305.13048), version 4) fixes the table. The past is seen through $w_{nm}=-\delta\,(n-1-m)$. The newest position gets a bonus, and the future is hidden. Each step multiplies old weights by $e^{-\delta}$. So it runs as a recurrence with two numbers per channel.

# %%
def aft(gates: Tensor, keys: Tensor, values: Tensor, biases: Tensor) -> Tensor:
    """(b, n, d), (b, m, d), (b, m, d), (n, m) or (n, m, d) -> (b, n, d)."""
    biases = biases if biases.dim() == 3 else biases[..., None]
    weights = (keys[:, None] + biases).softmax(2)  # (b, n, m, d)
    return gates.sigmoid() * einsum("bnmd,bmd->bnd", weights, values)


gates, keys, values = randn(3, b, n, v)
palette = content_lambda(keys[..., None], values[..., None])  # (b, d, d)
diagonal = palette.diagonal(dim1=1, dim2=2)[:, None]  # (b, 1, d)
prove("AFT", gates.sigmoid() * diagonal, aft(gates, keys, values, torch.zeros(n, n)))

decay, bonus = torch.rand(v).double(), randn(v)
steps_back = torch.arange(n)[:, None] - 1 - torch.arange(n)  # n - 1 - m
biases = torch.where((steps_back >= 0)[..., None], -decay * steps_back[..., None], -math.inf)
biases = torch.where((steps_back == -1)[..., None], bonus, biases)
above, below, recurrence = 0 * keys[:, 0], 0 * keys[:, 0], []
for t in range(n):  # two numbers for each channel are all that is carried on
    new = (bonus + keys[:, t]).exp()
    recurrence.append(gates[:, t].sigmoid() * (above + new * values[:, t]) / (below + new))
    above = (-decay).exp() * above + keys[:, t].exp() * values[:, t]
    below = (-decay).exp() * below + keys[:, t].exp()
prove("RWKV", aft(gates, keys, values, biases), torch.stack(recurrence, dim=1))


# %% [markdown]
# **What you should see.** AFT without its table is the diagonal of a palette. RWKV is AFT with one special table. The memory of $k\times v$ numbers has become two numbers for each channel.

# %% [markdown]
# ## 5 · ★ A memory that corrects itself
#
# Lesson 04b reads a text with a palette that takes in one word after another. It keeps a table $S$ of $k$ rows and $v$ columns. To **write** is to add a value under a key. To **read** is to ask with a key: $S^\top k$. There are three ways to write. Keys have length 1, and the average is for a single key:
#
# $$\begin{aligned}\text{sum}\quad & S_n = S_{n-1} + k_n\,v_n^\top\\ \text{average}\quad & S_n = S_{n-1} + \tfrac1n\,k_n\,(v_n - S_{n-1}^\top k_n)^\top\\ \text{delta rule}\quad & S_n = S_{n-1} + \beta_n\,k_n\,(v_n - S_{n-1}^\top k_n)^\top\end{aligned}$$
#
# The bracket is what the memory does not know yet: the value, minus what the key reads already. The delta rule is old ([Widrow and Hoff 1960](https://isl.stanford.edu/~widrow/papers/c1960adaptiveswitching.pdf)). [Schlag et al. (2021)](https://arxiv.org/abs/2102.11174) found that linear Transformers write by the sum, and gave them this rule. The rate $\beta_n$ between 0 and 1 is computed from the input, as keys and values are.

# %%
def delta_step(memory: Tensor, key: Tensor, value: Tensor, rate: Tensor) -> Tensor:
    """One write: (b, k, v), (b, k) of length 1, (b, v), (b,) -> (b, k, v)."""
    known = einsum("bkv,bk->bv", memory, key)
    return memory + einsum("b,bk,bv->bkv", rate, key, value - known)


# %% [markdown]
# **Predict.** Take the key (1, 0). Write red, (8, 0, 0), and then green, (0, 8, 0). What do you read with the same key under the sum, and under the delta rule with $\beta=1$?

# %%
sum_reads, delta_reads = None, None  # each (red, green, blue)
Verdicts(check_answer("10.2a", sum_reads), check_answer("10.2b", delta_reads))

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
colours = strip()[2][:, :2, :, 0]  # (b=1, n=2, v=3)
key, one = colours.new_tensor([[1, 0]]), colours.new_ones(1)
twice = delta_step(delta_step(colours.new_zeros(1, 2, 3), key, colours[:, 0], one), key, colours[:, 1], one)
if revealed((sum_reads, delta_reads)):
    print("sum reads       ", (key.mT @ colours.sum(1))[0].int().tolist())
    print("delta rule reads", twice[0, 0].int().tolist())


# %% [markdown]
# The sum piles up: it reads yellow, a colour that nobody wrote. The average reads half of each. The delta rule first removes what stood there.
#
# Now look at the formulas again. The average *is* a delta rule. Its rate is $1/n$, so it hardens: the hundredth value moves it by one percent. Lesson 04b's palette does the same row by row. The rate of a row is the new key's share of all its weight so far. The code below confirms it for keys that name one row each. There the rate is one over the number of writes into that row.

# %%
def delta_memories(keys: Tensor, values: Tensor, rates: Tensor) -> Tensor:
    """The formula as a loop: (b, n, k), (b, n, v), (b, n) -> (b, n, k, v), the memory after each write."""
    memory, memories = values.new_zeros(len(keys), keys.shape[2], values.shape[2]), []
    for t in range(keys.shape[1]):
        memory = delta_step(memory, keys[:, t], values[:, t], rates[:, t])
        memories.append(memory)
    return torch.stack(memories, dim=1)


def average_memories(keys: Tensor, values: Tensor, growth: float = 0.0) -> Tensor:
    """Lesson 04b's palettes for keys that name one row each, (b, n, k) of 0 and 1 -> (b, n, k, v).

    The named row gets the key growth · t, every other row a key far below.
    """
    times = growth * torch.arange(keys.shape[1], dtype=keys.dtype)[:, None]
    return causal_content_lambdas(times.where(keys > 0, -1e6)[..., None], values[..., None])


who = torch.randint(4, (b, 60))
named, what = F.one_hot(who, 4).double(), randn(b, 60, v)
writes_so_far = named.cumsum(1)  # (b, n, k)
rates = 1 / writes_so_far.gather(2, who[..., None])[..., 0]
seen = writes_so_far > 0  # rows that were written to
as_delta, as_palette = delta_memories(named, what, rates), average_memories(named, what)
print("04b's palettes are a delta rule with rate 1/n:", torch.allclose(as_delta[seen], as_palette[seen]))
assert torch.allclose(as_delta[seen], as_palette[seen])


# %% [markdown]
# ## 6 · A whole text at once
#
# A loop over positions is slow. Can we write all at once? Call $z_n$ what is really written, $\beta_n(v_n - S_{n-1}^\top k_n)$. The memory is the sum of all earlier writes, so $S_{n-1}^\top k_n = \sum_{m<n}(k_m\cdot k_n)\,z_m$. This gives one linear equation for each position:
#
# $$z_n + \beta_n\sum_{m<n}(k_n\cdot k_m)\,z_m \;=\; \beta_n v_n$$
#
# Position $n$ needs only earlier ones. So the matrix is triangular, and one call solves it. [Yang et al. (2024)](https://arxiv.org/abs/2406.06484) train large models this way, in chunks.

# %%
def delta_writes(keys: Tensor, values: Tensor, rates: Tensor) -> Tensor:
    """What the delta rule writes at each position, without a loop: (b, n, k), (b, n, v), (b, n) -> (b, n, v)."""
    overlaps = rates[..., None] * (keys @ keys.mT)  # (b, n, m)
    unit = torch.eye(keys.shape[1], dtype=keys.dtype)
    return torch.linalg.solve_triangular(unit + overlaps.tril(-1), rates[..., None] * values, upper=False)


unit_keys, what, rates = F.normalize(randn(b, 60, k), dim=2), randn(b, 60, v), torch.rand(b, 60).double()
by_loop = delta_memories(unit_keys, what, rates)
by_solving = einsum("bnk,bnv->bnkv", unit_keys, delta_writes(unit_keys, what, rates)).cumsum(1)
prove("delta rule", by_loop, by_solving)
pieces = {"palette", "stencils"}  # lessons 02 and 03 proved these two
print("every edge of the tree has its line:", set(proved) | pieces == set(tree))
assert set(proved) | pieces == set(tree) and len(proved) == 11

# %% [markdown]
# ## 7 · The café, when guests change their minds
#
# Lesson 04b's café has five guests, four drinks, and guests who stay with one drink. It ended with a warning: if Ann changes her mind, her row holds a mean of tea and milk. Let us see. In this café a guest who returns takes another drink with probability 0.3.

# %%
guests, drinks = ["ann", "bob", "eve", "kim", "max"], ["tea", "milk", "cocoa", "juice"]
change = 0.3


def days(count: int, visits: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Who comes, what is ordered, and whether the guest was there before: three of (count, visits)."""
    who = torch.randint(5, (count, visits), generator=generator)
    moves = torch.randint(1, 4, (count, visits), generator=generator)  # to one of the three other drinks
    moves *= torch.rand(count, visits, generator=generator) < change
    taste, there = torch.randint(4, (count, 5), generator=generator), torch.zeros(count, 5, dtype=torch.bool)
    orders, returns = [], []
    for t in range(visits):
        guest = who[:, t, None]
        returns.append(there.gather(1, guest))
        taste = taste.scatter(1, guest, (taste.gather(1, guest) + moves[:, t, None] * returns[-1]) % 4)
        there = there.scatter(1, guest, True)
        orders.append(taste.gather(1, guest))
    return who, torch.cat(orders, dim=1), torch.cat(returns, dim=1)


ann = torch.tensor([0, 0, 0, 1, 1, 0, 2])  # what one guest orders, place in the list of drinks


def draw_row(rate: float = 0.6):
    values = F.one_hot(ann, 4)[None].double()
    keys = torch.ones_like(values[..., :1])
    fixed = delta_memories(keys, values, rate * keys[..., 0])
    return figures.readings_in_time(ann, {"average": average_memories(keys, values)[0, :, 0],
                                          f"delta rule, rate {rate:g}": fixed[0, :, 0]}, drinks)


figures.show(
    draw_row(),
    "Ann's row of the memory after each of her seven orders. A frame marks what she ordered last; darker is more.",
    alt="Two panels: four drinks by seven orders. The average trails behind; the delta rule follows.",
)

# %% [markdown]
# **Try it.** Move the rate from 0 to 1. At which rate does the row always favour the last order?

# %% tags=["nbval-ignore-output"]
widgets.explore(draw_row, "What a memory reads after each write", rate=widgets.slider("rate", 0.0, 1.0, 0.6, 0.1))

# %% [markdown]
# **What moving teaches.** From one half on, the last order outweighs all earlier ones together.
#
# Now a test. A waiter has one row for each guest, and always expects the drink that its row favours. Nobody can expect more than 70 % of the orders of returning guests, since 30 % of them are a surprise. A blind guess gets 25 %. We watch 1,000 days of 48 visits.
#
# **Predict.** The waiter with the *average* starts the day near 70 %. What percentage does this waiter get right at the end, in the last eight visits?

# %%
guess = None  # percent
check_answer("10.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
who, orders, returns = days(1000, 48, torch.Generator().manual_seed(0))
named, what = F.one_hot(who, 5).double(), F.one_hot(orders, 4).double()
memories = {"delta rule, rate 1": delta_memories(named, what, torch.ones(1000, 48).double()),
            "average (04b)": average_memories(named, what),
            "average, keys that grow": average_memories(named, what, growth=0.2)}


def percent_right(memory: Tensor) -> Tensor:
    """How often a row favours the drink that its guest orders next, by visit: (b, n, k, v) -> (n,)."""
    at_row = who[:, 1:, None, None].expand(-1, -1, 1, 4)
    rows = memory[:, :-1].gather(2, at_row)[:, :, 0]  # (b, n - 1, v): right before each order
    hits = (rows.argmax(2) == orders[:, 1:]).double().where(returns[:, 1:], math.nan)
    return 100 * F.pad(hits.nanmean(0), (1, 0), value=math.nan)  # nobody returns at visit 0


curves = {name: percent_right(memory) for name, memory in memories.items()}
late = {name: curve[-8:].mean().item() for name, curve in curves.items()}
if revealed(guess):
    for name, percent in late.items():
        print(f"{name:24} {percent:.0f} % right in the last eight visits")
    figures.show(
        figures.traces(curves, "visit", "percent right", level=("best possible", 70), ylim=(20, 80)),
        "How often each waiter expects the right drink of a returning guest, by visit. The dotted line is the "
        "best that is possible.",
        alt="Three curves over the visits of a day. The delta rule stays at the dotted line, keys that grow a "
            "little below it; the average falls.",
    )

# %% [markdown]
# **What you should see.** The average falls all day, because it hardens. The delta rule stays at the limit until the last visit.
#
# **Caution.** The third curve needs no delta rule. It is 04b's average with keys that grow by 0.2 from visit to visit, so new orders weigh more. That is RWKV's decay (lesson 04b), and it mends most of the damage. Keys that grow by 1 mend all of it. But this needs a clock, and it forgets at one pace. The delta rule decides at each word, by $\beta_n$. And our keys are made by hand, one row for each guest. A trained model has to find its keys; the appendix trains two. Exercise 3 shows what happens when keys overlap.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 5 and 7
assert (key @ twice[0]).int().tolist() == [[0, 8, 0]]
assert returns.double().mean() > 0.8 and late["average (04b)"] < 50
assert abs(late["delta rule, rate 1"] - 70) < 2 and 60 < late["average, keys that grow"] < 69
assert abs(percent_right(average_memories(named, what, growth=1.0))[-8:].mean() - 70) < 2
in_a_row = who[:, 1:] == who[:, :-1]  # the same guest twice
kept = (orders[:, 1:] == orders[:, :-1])[in_a_row].double().mean()
assert abs(kept - 0.7) < 0.02

# %% [markdown]
# ## 8 · What this course could not test
#
# * **Scale.** The paper's accuracy comes from ImageNet and TPUs (lesson 09 has its numbers). We trained on 32 × 32 pixels.
# * **Detection and segmentation.** The paper reports gains on COCO. Nothing here checks them.
# * **Long texts.** Our café is a toy. It isolates one ability, and says nothing of language.
# * **The relatives.** We showed how they differ. We did not measure which is better, the twins of lesson 09 aside.
#
# Each of these is a project. Three smaller ones follow the exercises.

# %% [markdown]
# ## Exercises
#
# **1 ★ Predict.** A memory with $k=2$ and $\beta=1$. Write red (8, 0, 0) under the key (1, 0) and green (0, 8, 0) under (0, 1). Then write blue (0, 0, 8) under (1, 0). What do you read with the query (1, 1)?

# %%
first = None  # (red, green, blue)
exercise_1 = check_answer("10.E1", first)
exercise_1


# %% [markdown]
# <details><summary>Hint</summary>A query that is no key reads both rows and adds them.</details>
#
# <details><summary>Solution</summary>
#
# Blue replaces red in row 0. Row 1 still holds green. Together they read (0, 8, 8).
#
# ```python
# first = (0, 8, 8)
# check_answer("10.E1", first)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Implement.** Write one step of the delta rule yourself. The first check writes red and green under one key, and blue under another. The second uses random numbers.

# %%
def my_delta_step(memory: Tensor, key: Tensor, value: Tensor, rate: Tensor) -> Tensor:
    """(b, k, v), (b, k), (b, v), (b,) -> (b, k, v)."""
    return None  # replace this line


def red_green_blue(step) -> tuple | None:
    """What the two rows read after blue under (0, 1), then red and green under (1, 0): six numbers."""
    memory, light = torch.zeros(1, 2, 3), 8 * torch.eye(3)
    for row, colour in ((1, 2), (0, 0), (0, 1)):
        memory = step(memory, torch.eye(2)[row, None], light[colour, None], torch.ones(1))
        if memory is None:
            return None
    return tuple(memory.flatten().tolist())


start, some_key, some_value = randn(b, k, v), F.normalize(randn(b, k), dim=1), randn(b, v)
some_rate = torch.rand(b).double()
exercise_2 = Verdicts(
    check_answer("10.E2", red_green_blue(my_delta_step)),
    check_close(my_delta_step(start, some_key, some_value, some_rate),
                delta_step(start, some_key, some_value, some_rate),
                "does the rate multiply the whole write, and does each image have its own?", "bkv"))
exercise_2

# %% [markdown]
# <details><summary>Hint 1</summary>First read what the key knows already. Which einsum sums over k and keeps b and v?</details>
#
# <details><summary>Hint 2</summary>The write is rate · key ⊗ (value − known). Add it to the memory.</details>
#
# <details><summary>Solution</summary>
#
# ```python
# def my_delta_step(memory, key, value, rate):
#     known = (memory * key[..., None]).sum(1)
#     return memory + rate[:, None, None] * key[..., None] * (value - known)[:, None]
#
#
# print(check_answer("10.E2", red_green_blue(my_delta_step)))
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Predict.** Keys may overlap. Write red (8, 0, 0) under $k_1=(1, 0)$, then green (0, 8, 0) under $k_2=(0.6, 0.8)$, both with $\beta=1$. What do you read with $k_1$?

# %%
third = None  # (red, green, blue)
exercise_3 = check_answer("10.E3", third)
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>Before green is written, $k_2$ already reads something. What?</details>
#
# <details><summary>Hint 2</summary>It reads 0.6 of red. So green minus 0.6 red is written under $k_2$, and $k_1$ sees 0.6 of that.</details>
#
# <details><summary>Solution</summary>
#
# $k_1$ reads red + 0.6 · (green − 0.6 · red) = 0.64 red + 0.6 green = (5.12, 4.8, 0). Reading $k_2$ gives exactly green. The last write is always perfect, and older ones under similar keys pay for it.
#
# ```python
# third = (5.12, 4.8, 0)
# two_keys = colours.new_tensor([[[1, 0], [0.6, 0.8]]])
# after = delta_memories(two_keys, colours, colours.new_ones(1, 2))[0, -1]
# assert torch.allclose(two_keys[0] @ after, colours.new_tensor([third, (0, 8, 0)]))
# check_answer("10.E3", third)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Construct.** The strip's colour 1 is an average of red, green, blue and yellow, with the weights 1, 1, 1 and 5. It is (6, 6, 1). Find the four rates with which the delta rule, under one key, reads it after yellow.

# %%
four_rates = None  # four numbers
exercise_4 = check_answer("10.E4", four_rates)
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>Step 5: the rate of an average is the new weight's share of all the weight so far.</details>
#
# <details><summary>Hint 2</summary>The weights so far add up to 1, 2, 3 and 8.</details>
#
# <details><summary>Solution</summary>
#
# 1/1, 1/2, 1/3 and 5/8. With these rates 04b's palette and the delta rule are one formula.
#
# ```python
# four_rates = (1, 1 / 2, 1 / 3, 5 / 8)
# pixels = strip()[2][..., 0]  # (1, 4, 3)
# read = delta_memories(pixels.new_ones(1, 4, 1), pixels, pixels.new_tensor([four_rates]))[0, -1, 0]
# assert torch.allclose(read, pixels.new_tensor([6, 6, 1]))
# check_answer("10.E4", four_rates)
# ```
#
# </details>

# %% [markdown]
# **5 ★★★ Derive.** A delta memory has $k=8$ rows and $v=32$ columns. How many values can it hold so that each is read back exactly with its own key, whatever the values are?

# %%
how_many = None  # one number
exercise_5 = check_answer("10.E5", how_many)
exercise_5

# %% [markdown]
# <details><summary>Hint</summary>With keys as the rows of a matrix $X$ and values as the rows of $Y$, you want $X S = Y$ for every $Y$. What must be true of the rows of $X$?</details>
#
# <details><summary>Solution</summary>
#
# The rows of $X$ must be linearly independent, so there are at most $k=8$. With a ninth key, one key is a combination of others, and so is what it reads. Keys at right angles reach 8 with one write each.
#
# ```python
# how_many = 8
# at_right_angles, values_9 = torch.linalg.qr(randn(8, 8)).Q, randn(9, 32)
# nine_keys = torch.cat([at_right_angles, F.normalize(at_right_angles[:1] + at_right_angles[1:2])])
# memories = delta_memories(nine_keys[None], values_9[None], torch.ones(1, 9).double())[0]
# assert torch.allclose(nine_keys[:8] @ memories[7], values_9[:8])
# assert not torch.allclose(nine_keys @ memories[8], values_9)
# check_answer("10.E5", how_many)
# ```
#
# </details>

# %%
progress({
    "1 three writes": "exercise_1",
    "2 the delta rule": "exercise_2",
    "3 overlapping keys": "exercise_3",
    "4 rates of an average": "exercise_4",
    "5 how many values": "exercise_5",
}, globals())

# %% [markdown]
# ## Projects
#
# Choose one. Each has a cell that runs, a first step, and a rubric. Ten points are a finished piece of work, one that you can show. A result against the lambda layer earns as many points as one for it.
#
# ### A · Add a twin
#
# A twin is the same model with another layer in one place (lesson 09). Take a relative from the tree, or your own idea. The cell puts a layer into `tiny`, counts, and takes three training steps. Replace `MyTwin`. For a full run add the kind to `lambdalib/twins.py` and a row to `lambdalib/experiments/rows.py`, then `lambdalib train --row NAME --seed 0`.

# %%
torch.manual_seed(0)


class MyTwin(nn.Module):
    """Replace me. Every pixel gets the mean of the map, then one 1×1 convolution mixes the channels."""

    def __init__(self, dim: int):
        super().__init__()
        self.mix = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.mix(features + features.mean((2, 3), keepdim=True))


model, count = create_model("tiny"), lambda module: sum(p.numel() for p in module.parameters())
for name, layer in lambda_layers(model).items():
    parent, _, child = name.rpartition(".")
    twin = MyTwin(layer.to_keys.in_channels)
    print(f"{name}: {count(layer):,} parameters before, {count(twin):,} now")
    model.get_submodule(parent).register_module(child, twin)
data = load_cifar10(source="sample")
batches = zip(normalize(data.train_images[:96]).split(32), data.train_labels[:96].split(32))
losses = list(train_steps(model, batches, torch.optim.SGD(model.parameters(), lr=0.05)))
print("three training steps, every loss is finite:", all(loss.isfinite() for loss in losses))

# %% [markdown]
# | points | you earn them for |
# |---|---|
# | 2 | The layer keeps the shape, and a test with sizes that are different primes passes. |
# | 1 | You print parameters and multiply-adds beside those of the lambda layer. |
# | 1 | You write down, before training, what you expect and what would change your mind. |
# | 3 | You train at least three seeds of the twin by the recipe of a recorded row, and report the last epoch. |
# | 2 | You report the difference with its 95 % interval (`format_difference`), and say whether it is significant. |
# | 1 | You name one reason why your comparison could mislead. |
#
# ### B · Replicate a row
#
# Numbers deserve a second run, by somebody else. The cell reads a row of our records and says between which limits a new run should fall. Train it on your machine, and enter the accuracy of the last epoch.

# %%
row_name = "twins-lambda"  # any row of RESULTS.md with two seeds or more
my_accuracy = None  # percent, of your last epoch on the 10,000 test images

row = next(row for row in read_results() if row.name == row_name)
mean, half = mean_interval(row.accuracies)  # of the mean of n runs
limits = half * math.sqrt(1 + len(row.accuracies))  # of one more run: t·s·√(1 + 1/n)
print(f"recorded: {format_mean(row.accuracies)} % in {len(row.accuracies)} runs of {row.epochs:g} epochs")
print(f"95 of 100 further runs lie between {100 * (mean - limits):.1f} and {100 * (mean + limits):.1f} %")
print(f"your turn: lambdalib train --row {row_name} --seed {len(row.accuracies) + 10}")
if my_accuracy is not None:
    print("yours lies inside:", abs(my_accuracy / 100 - mean) <= limits)
assert row_name in EVERY_ROW and limits > half > 0


# %% [markdown]
# | points | you earn them for |
# |---|---|
# | 3 | You run one seed to the end and keep its `log.jsonl`: recipe, versions, machine, every epoch. |
# | 2 | You say whether it lies inside the limits, and what "95 of 100" can mean for a single run. |
# | 2 | You compare the loss curves with `lambdalib compare`, not only the last number. |
# | 2 | You repeat it with one thing changed (dtype, batch, machine), and predict the effect first. |
# | 1 | You send us the record, above all if it disagrees (CONTRIBUTING, *Add a record*). |
#
# ### C · Audit a public layer
#
# Public lambda layers have had public bugs. The checks of this course find many of them. They feed inputs *whose answer names the mistake*: values of 1, pixels that count, heads that count. Below are three habits from public code, in our own words. Run the checks on them, then on a real layer.

# %%
def softmax_over_features(keys: Tensor, values: Tensor) -> Tensor:
    """The softmax runs over k, not over the context."""
    return einsum("bmku,bmvu->bkv", keys.softmax(dim=2), values)


def embeddings_summed_first(table: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """The embeddings are summed over m before they meet the values, so each pixel sees itself alone."""
    summed = relative_embeddings(table, height, width).sum(1)  # (n, k, u)
    return einsum("nku,bnvu->bnkv", summed, values)


def value_major(output: Tensor, height: int, width: int) -> Tensor:
    """The head axis goes last before the reshape, so channels of different heads interleave."""
    return output.permute(0, 3, 1, 2).reshape(len(output), -1, height, width)


audit = Verdicts(check_content_lambda(softmax_over_features), check_position_lambdas(embeddings_summed_first),
                 check_merge_heads(value_major))
assert [finding.ok for finding in audit] == [False] * 3
check = check_content_lambda(content_lambda)  # replace by your wrapper around a public layer
Verdicts(*audit, check)


# %% [markdown]
# Start with [`lambda-networks`](https://github.com/lucidrains/lambda-networks) or with [timm](https://github.com/huggingface/pytorch-image-models)'s `LambdaLayer`. `lambdalib.convert` copies the weights of both, so you can also compare whole layers (lesson 06).
#
# | points | you earn them for |
# |---|---|
# | 2 | You write wrappers, so that three checks run on the layer's own code. |
# | 2 | You compare the whole layer with ours on copied weights, for sizes that are different primes. |
# | 2 | You test what the checks do not: another output width, a map that is not square, half precision, a second device. |
# | 2 | For each finding you give the smallest input that shows it, and say who would notice. |
# | 1 | You say what you did *not* test. |
# | 1 | You report it kindly: name the habit, not the person, and offer the fix. |

# %% [markdown]
# ## Appendix: two trained waiters (skip unless curious)
#
# In step 7 the keys were made by hand. Does the difference survive training? We take lesson 04b's model, `Waiter`, twice. One has the averaging layer. In the other, the delta rule writes the palette. Stencils, task, recipe and seed are the same. Both train on days of 16 visits. Then we test them on days of 64.

# %%
class DeltaLayer1d(LambdaLayer1d):
    """A causal lambda layer whose palette is written by the delta rule."""

    def __init__(self, dim: int, **options):
        super().__init__(dim, **options)
        self.to_rates = nn.Conv1d(dim, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        queries, keys, values = self.project(features)  # (b, h, n, k), (b, n, k, 1), (b, n, v, 1)
        keys, rates = F.normalize(keys[..., 0], dim=2), self.to_rates(features)[:, 0].sigmoid()
        content = (queries @ keys[:, None].mT).tril() @ delta_writes(keys, values[..., 0], rates)[:, None]
        table = F.pad(self.table, (0, self.table.shape[3] - 1))  # stencils see the past only
        return (content + position_output(queries, table, values, (1, keys.shape[1]))).mT.flatten(1, 2)


class Waiter(nn.Module):
    """Guesses the next word from all words so far, as in lesson 04b."""

    def __init__(self, layer: type, dim: int = 32):
        super().__init__()
        self.embed = nn.Embedding(10, dim)  # five guests, four drinks, and a word that opens the day
        self.norms = nn.ModuleList(ChannelNorm(dim) for _ in range(2))
        self.layers = nn.ModuleList(layer(dim, dim_k=8, heads=4, scope=3, causal=True) for _ in range(2))
        self.guess = nn.Sequential(ChannelNorm(dim), nn.Conv1d(dim, 10, 1))

    def forward(self, text: Tensor) -> Tensor:
        """(b, n) word numbers -> logits of the next word at each position, (b, 10, n)."""
        x = self.embed(text).transpose(1, 2)
        for norm, layer in zip(self.norms, self.layers):
            x = x + layer(norm(x))
        return self.guess(x)


def texts(count: int, visits: int, generator: torch.Generator) -> Tensor:
    """Days as word numbers: the opening word 9, then guest and drink in turn. (count, 1 + 2 · visits)"""
    who, orders, _ = days(count, visits, generator)
    return F.pad(torch.stack([who, 5 + orders], dim=2).flatten(1), (1, 0), value=9)


def train_waiter(layer: type, seed: int = 0, steps: int = 500) -> Waiter:
    """Lesson 04b's recipe, on 32 new days of 16 visits at each step."""
    torch.manual_seed(seed)
    waiter, generator = Waiter(layer), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(waiter.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=steps, cycle_momentum=False)
    for _ in range(steps):
        text = texts(32, 16, generator)
        loss = F.cross_entropy(waiter(text[:, :-1]), text[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return waiter.eval()


threads = torch.get_num_threads()
torch.set_num_threads(1)  # these tensors are tiny: a second thread would cost more than it brings
averaging = train_waiter(LambdaLayer1d)

# %%
correcting = train_waiter(DeltaLayer1d)
torch.set_num_threads(threads)

# %% [markdown]
# A new guest costs $\ln 4$. A guest who returns costs at least $-0.7\ln 0.7-0.3\ln 0.1$, since one of three other drinks comes with probability 0.3. The mean of both, weighted as in 04b, is the best possible loss at each visit.

# %%
at_return = -(0.7 * math.log(0.7) + 0.3 * math.log(0.1))
new = 0.8 ** torch.arange(64)
best = new * math.log(4) + (1 - new) * at_return
text = texts(500, 64, torch.Generator().manual_seed(2))
losses, excess = {}, {}
for name, waiter in {"delta rule": correcting, "average (04b)": averaging}.items():
    with torch.no_grad():
        loss = F.cross_entropy(waiter(text[:, :-1]), text[:, 1:], reduction="none")  # (days, 2 · visits)
    losses[name] = loss[:, 1::2].mean(0)  # at the drinks
    excess[name] = (losses[name] - best)[48:].mean().item()
    print(f"{name}: within 0.1 of the best in the last 16 visits:", excess[name] < 0.1)
assert excess["delta rule"] < 0.1 and excess["average (04b)"] > 0.15
figures.show(
    figures.traces(losses | {"best possible": best}, "visit", "mean loss of a drink", ylim=(0.8, 1.6)),
    "Two trained waiters, one seed each, on days of 64 visits: the mean loss of a drink, by visit. Days in "
    "training had 16.",
    alt="The delta rule follows the best possible loss to the end; the average leaves it.",
)

# %% [markdown]
# **What you should see.** The delta rule follows the best possible loss to the last visit, on days four times as long as in training. The averaging waiter does not. In the stored run it keeps up for about 20 visits, and then its loss rises.
#
# How can an average keep up at all? Perhaps it learnt keys that grow, by a clock that fails beyond the days of its training. That is a guess of ours. How would you test it?
#
# **Caution.** One task and one seed: each waiter was trained once, from seed 0. This is a demonstration, not a measurement. With another seed the averaging waiter may leave the best possible loss much sooner. Give `train_waiter` another seed and see.

# %% [markdown]
# ## What we now know
#
# * Eleven relatives of the lambda layer differ from it in one line each, and each line has run.
# * With a second softmax, a layer blends again. Stencils without a query are static filters.
# * A palette that takes in one word after another is a memory. 04b's average is a delta rule whose rate shrinks, so it hardens.
# * With a rate that does not shrink, the memory follows a guest who changes the order. Decay can mend this café, too.
# * A memory of $k$ rows holds $k$ values exactly. Overlapping keys disturb one another.
#
# **Ledger.** *Less memory*: for, all these memories have a fixed size; against, a fixed size holds $k$ values and no more. One more line, beside the five claims: the layer combines parts that were known, and the combination is its own.
#
# **The code of this lesson** stays in this lesson. The layers that it compares live in `lambdalib/lambdas.py`, `lambdalib/attention.py` and `lambdalib/sequences.py`. All papers of the course are in the [bibliography](bibliography.md).
#
# **The end of the walk.** You have built the layer, trained it, looked inside, and weighed it. Thank you for walking along. If something lost you on the way, [tell us](https://github.com/lambdalib-course/lambdalib/issues): that is how this course gets better.
