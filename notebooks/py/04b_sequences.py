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
# > **After this lesson you can** give every position a palette of what came before it, find a leak from the future, and run a lambda layer one word at a time with a state that does not grow.
# >
# > **You need** [lesson 02](02_content_lambdas.ipynb) (palettes), [lesson 03](03_position_lambdas.ipynb) (stencils) and [lesson 04](04_lambda_layer.ipynb) (the layer). It is a side path: no later lesson needs it. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 30 minutes to read, 15 for the exercises; the code runs in about 20 seconds on two CPU cores.

# %% [markdown]
# ## What if the future must not be seen?
#
# A picture is there all at once. A text is not: who writes it, or guesses its next word, knows the words so far and no others. A net that is to learn this gets whole texts to practise on, and guesses at every position at once: at position $n$ it has read the words 0 to $n$, and is asked for word $n+1$. But word $n+1$ stands right there, in the same tensor. A net that can see it copies it, and has learnt nothing for the day on which the text ends at $n$.
#
# So a layer for this purpose must not show position $n$ anything later than $n$. It is then called **causal**. In the formula only the range of the sums changes. The boxed term is a palette that ends at $n$:
#
# $$y_n \;=\; \Big(\boxed{\sum_{m\le n} \mathrm{softmax}_{m\le n}(K)_m\,v_m^\top} \;+\; \sum_{m\le n} e_{nm}\,v_m^\top\Big)^{\!\top} q_n$$
#
# ($q_n\in\mathbb{R}^k$ is the query, $v_m\in\mathbb{R}^v$ a value, $K\in\mathbb{R}^{m\times k}$ the keys, $e_{nm}\in\mathbb{R}^k$ an embedding; the bracket is $k\times v$.) In lesson 02 one palette served all queries. Now every position has its own, and that sounds costly. This lesson shows what it takes: n palettes of k·v numbers in training, but, in a long text, nothing of size n × m, and in writing a state that does not grow. It also shows where the future gets in if one is careless.

# %% [markdown]
# ## 1 · A palette for each position
#
# A **mask** says who sees what: `mask[n, m]` is true where query $n$ may read context $m$. The last exercise of [lesson 04](04_lambda_layer.ipynb) was the masked palette for $u=1$, with a mask named `visible`. Below is the library's function, for any u (`lambdalib.sequences`). The softmax acts on the keys' entries, its *scores*. A hidden score becomes the lowest number that there is, so beside any other its exponential is 0. The second `masked_fill` is for a query that sees nothing at all: its scores are all the lowest, and a softmax of equal scores would weigh everything alike. It gets 0.
#
# $$\lambda^c_n \;=\; \sum_m \mathrm{softmax}_{m\text{ seen by }n}(K)_m\,v_m^\top\in\mathbb{R}^{k\times v}$$
#
# Position lambdas are easier to mask: an embedding $e_{nm}$ that must not be read is set to 0. Sequences here are maps one row high, and the strip is one: four pixels, red, green, blue, yellow, with 8 units of light in each channel that is lit, and with keys (0, 0) three times and then (0, log 5).

# %%
import math

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn

from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_causal_content_lambda, check_close
from lambdalib.course.examples import plane, plane_colours, strip
from lambdalib.course.questions import check_answer
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings
from lambdalib.sequences import ChannelNorm, LambdaLayer1d, causal_content_lambdas, check_mask


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
print("colour 0 after each pixel:", palettes[0, :, 0].round(decimals=2).tolist())
print("colour 1 after each pixel:", palettes[0, :, 1].round(decimals=2).tolist())
assert torch.allclose(palettes[0, :3, 0], palettes[0, :3, 1])  # equal keys so far: two equal colours
assert torch.allclose(palettes[0, 3], torch.tensor([[4, 4, 2], [6, 6, 1]], dtype=torch.float64))
assert torch.allclose(palettes[:, 3], content_lambda(keys, values))  # who sees everything has lesson 02's palette
figures.palettes_in_time(values[0, :, :, 0], palettes[0])
plt.show()

# %% [markdown]
# Red alone; the mean of red and green; the mean of three; and at the end, with yellow's key of log 5, the palette (4, 4, 2), (6, 6, 1) of lesson 02. Three equal keys cannot tell their pixels apart, so up to blue both colours are one.

# %% [markdown]
# ## 2 · The leak
#
# There is a shorter way to write it: take the softmax over all positions, as in lesson 02, and set the weights of hidden positions to 0 afterwards. On the strip, the exponentials of the second column of keys are 1, 1, 1, 5. So red's weight for colour 1 is 1/8, and since pixel 0 sees only itself, its colour 1 is 1/8 of red: (1, 0, 0).
#
# **Predict.** Now pixel 3, and nothing else, gets another key: its exponential in that column is 13 in place of 5. Which colour 1 does pixel 0 have now?

# %%
guess = None  # (red, green, blue)
check_answer("04b.1", guess)


# %%
def masked_too_late(keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """The softmax first, over everything, then the mask."""
    soft_keys = keys.softmax(dim=1)[:, None].masked_fill(~mask[:, :, None, None], 0)
    return einsum("bnmku,bmvu->bnkv", soft_keys, values)


edited = keys.clone()
edited[0, 3, 1] = math.log(13)  # only the future of pixels 0, 1 and 2
for name, palettes_of in (("softmax, then mask", masked_too_late), ("mask, then softmax", masked_content_lambdas)):
    before, after = (palettes_of(k, values, causal_mask)[0, 0, 1] for k in (keys, edited))
    print(f"{name}: colour 1 of pixel 0 is {before.round(decimals=4).tolist()}, "
          f"then {after.round(decimals=4).tolist()}")

late, in_time = (
    f(keys, values, causal_mask) - f(edited, values, causal_mask)
    for f in (masked_too_late, masked_content_lambdas)
)
assert late[:, :3, 1].any(dim=2).all() and torch.equal(in_time[:, :3], torch.zeros_like(in_time[:, :3]))


# %% [markdown]
# All hidden values are out of the sum, and yet the future is heard: it stands in the *denominator*. No shape is wrong and no number looks odd. Training would find this way in and use it; when the net then writes a text of its own, there is no future to be heard, and what it had learnt from it is worth nothing. What is left out must be out *before* the weights are normalised.
#
# The test is worth remembering, for any causal code: **change the future, watch the past.**

# %% [markdown]
# ## 3 · One position at a time
#
# The masked form holds $n\cdot m\cdot k\cdot u$ weights for each text. But the palettes of neighbours are nearly the same. A palette is a weighted average, and an average can be continued. With $w_n=\sum_{m\le n}\exp K_m$, the weight so far,
#
# $$\lambda^c_n \;=\; \lambda^c_{n-1} \;+\; \frac{\exp K_n}{w_n}\,\big(v_n^\top - \lambda^c_{n-1}\big)\qquad\text{(row by row; } w_n\in\mathbb{R}^k\text{)}$$
#
# So the palette moves towards the new value, by the new value's share of all the weight. To go on, one needs the palette and the weights, $k\cdot v + k$ numbers (for $u=1$), and no earlier key or value. These numbers are the **memory**. Below, its entry 0 is $\log w_n$, so that no exponential overflows; the others are the averages. The memory of a single position is therefore its key and its value as they are. And where two weights meet, with logarithms $a$ and $b$, the second one's share of both is $e^b/(e^a+e^b)=\mathrm{sigmoid}(b-a)$.

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
    print(f"after pixel {n}: weights {memory[0, :, 0, 0].exp().round().int().tolist()}, "
          f"palette {palette[0].round(decimals=2).tolist()}")
    assert torch.allclose(palette, palettes[:, n])

# %% [markdown]
# The weights count 1, 2, 3, 4, and 1, 2, 3, 8. The palettes are those of step 1.
#
# `merge` joins any two neighbouring stretches, not only a long one and a single position. So all palettes of a text that is there already, as in training, need no loop over positions: join pairs, then pairs of pairs, and from these fill in what lies between. `causal_content_lambdas` does this with fewer than $2n$ merges. It is a cumulative sum (`torch.cumsum`) whose plus is `merge`. Three ways, one function:

# %%
torch.manual_seed(0)
long_keys, long_values = (30 * torch.randn(2, 300, 7, 3, dtype=torch.float64),
                          torch.randn(2, 300, 5, 3, dtype=torch.float64))
by_mask = masked_content_lambdas(long_keys, long_values, torch.ones(300, 300, dtype=torch.bool).tril())
by_merging = causal_content_lambdas(long_keys, long_values)
memory, steps, sizes = None, [], set()
for n in range(300):
    palette, memory = causal_step(memory, long_keys[:, n], long_values[:, n])
    steps.append(palette)
    sizes.add(memory[0].numel())
assert torch.allclose(by_merging, by_mask) and torch.allclose(torch.stack(steps, dim=1), by_mask)
assert sizes == {7 * 3 * (1 + 5)}
print(f"300 positions, k = 7, v = 5, u = 3: weights under the mask {300 * 300 * 7 * 3:,}, "
      f"memory at every step {sizes}")


# %% [markdown]
# ## 4 · A photograph, read row by row
#
# The plane is read like a page: from the left to the right, row by row. Values are its colours, keys the closeness to four anchors (red, green, blue, yellow), as in lesson 02. Each pixel is repainted at the moment when it is read, with the palette of that moment. The card is lesson 02's, after 17 rows: what has been read, the four colours, below each the pixels that wrote it, and what has been repainted. What has not been read is grey.

# %%
def closeness(values: Tensor) -> Tensor:
    """(b, n, v=3, u=1) -> (b, n, k=4, u=1): -30 · squared distance to pure red, green, blue and yellow."""
    anchors = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=values.dtype)
    return -30 * (values[:, :, None, :, 0] - anchors).square().sum(3)[..., None]


colours = plane_colours().double()  # (1, n=1024, v=3, u=1)
plane_keys = closeness(colours)
plane_palettes = causal_content_lambdas(plane_keys, colours)  # (1, 1024, k=4, v=3): a palette for each pixel
# (1024, 3): the recipes sum to 1 over k
repainted = apply_lambdas(plane_keys[None, ..., 0].softmax(3), plane_palettes)[0, 0]


def draw_reading(rows: int = 17):
    n = 32 * rows
    soft_keys = torch.cat([plane_keys[0, :n, :, 0].softmax(0), torch.zeros(1024 - n, 4)])
    painted = torch.cat([repainted[:n], torch.full((1024 - n, 3), 0.8)])
    return figures.palette_card(plane(), plane_palettes[0, n - 1],
                                soft_keys.T.reshape(4, 32, 32), painted.T.reshape(3, 32, 32))


# (k, v), light from 0 to 255
after = {rows: (255 * plane_palettes[0, 32 * rows - 1]).round().int() for rows in (14, 24, 32)}
for rows, palette in after.items():
    print(f"after {rows} rows: {palette.tolist()}")
# at the end it is lesson 02's palette
assert torch.allclose(plane_palettes[:, -1], content_lambda(plane_keys, colours))
assert (after[14].argmax(dim=1) == 2).all()  # sky: blue is the strongest part of all four colours
assert ((after[24] - after[32]).abs()[[0, 2, 3]] <= 5).all() and (after[24] - after[32])[1].abs().max() > 20
draw_reading()
plt.show()

# %% [markdown]
# Sixteen numbers, four weights and four colours of three, are all that is carried from pixel to pixel. For 14 rows there is only sky, and all four colours are kinds of blue: nothing can be mixed that has not been seen. With the plane come yellow and red. In the last rows there is grass, and only green still moves, because grass has next to no weight in the other rows of the palette. Move the slider from row 12 to row 32 and watch one colour after the other find its place. (It needs a running kernel.)

# %% tags=["nbval-ignore-output"]
widgets.explore(draw_reading, rows=widgets.slider("rows read", 1, 32, 17))

# %% [markdown]
# A memory of this kind never forgets by itself. It also hardens: the more weight there is, the less one more pixel of the same key can move it.

# %% [markdown]
# ## 5 · The layer, and a second leak
#
# `LambdaLayer1d(causal=True)` is lesson 04's layer for sequences (b, d, n), with causal palettes. Its stencils of $r$ taps reach back only: the last tap is the position itself, the first is $r-1$ positions earlier. It runs in two ways. Called as usual, it takes a whole text, as in training. Its method `step` takes one position, as in writing, and with it the **state** that the step before has handed on: the memory, and for the stencils the last $r$ values.
#
# Lesson 04's layer has batch norm on queries and values. Here it would be a leak. Suppose that the causal layer had `BatchNorm1d`, which takes mean and variance of each channel over the batch *and over the positions*.
#
# **Predict.** In which mode would the output at position 0 depend on later inputs?

# %%
guess = None  # "train", "eval", "both" or "neither"
check_answer("04b.2", guess)


# %%
def future_reaches_the_start(layer: nn.Module) -> bool:
    """Whether the gradient of the output at position 0 is anything but 0 at a later input,
    in one text of 11 positions.
    """
    features = torch.randn(1, 6, 11, dtype=torch.float64, requires_grad=True)
    gradient, = torch.autograd.grad(layer(features)[:, :, 0].square().sum(), features)
    return bool(gradient[:, :, 1:].any())


torch.manual_seed(0)
causal = LambdaLayer1d(6, 12, dim_k=5, heads=3, scope=3, causal=True).double()  # v = 12 / 3 = 4
leaky = LambdaLayer1d(6, 12, dim_k=5, heads=3, scope=3, causal=True).double()
leaky.norm_queries, leaky.norm_values = nn.BatchNorm1d(15).double(), nn.BatchNorm1d(4).double()
for name, layer in (("layer norm of each position", causal), ("batch norm", leaky)):
    heard = {mode: future_reaches_the_start(layer.train(mode == "train")) for mode in ("train", "eval")}
    print(f"{name}: is the future heard?", heard)
    assert heard == {"train": layer is leaky, "eval": False}

features, state, outputs, sizes = torch.randn(2, 6, 50, dtype=torch.float64), None, [], []
for n in range(50):
    output, state = causal.step(state, features[:, :, n])
    outputs.append(output)
    sizes.append(sum(part[0].numel() for part in state))
assert torch.allclose(torch.stack(outputs, dim=2), causal(features))
print("numbers in the state after 1, 2, 3, 4, ..., 50 positions:", sizes[:4], "...", sizes[-1])
assert sizes == [5 * (1 + 4) + min(n, 3) * 4 for n in range(1, 51)]  # u = 1

# %% [markdown]
# In train mode, batch norm tells position 0 the mean and the spread of what is to come. In eval mode it uses stored numbers, and the leak is gone, along with whatever the net had learnt from it. So the causal layer has a **layer norm** instead: mean and variance over the channels of one position. (A layer that is not causal takes any other mask, one for the whole batch: `layer(features, mask)`. It keeps its batch norm. So in train mode a little of what the mask hides gets through, by mean and variance; in eval mode nothing does.)
#
# Then one `step` after another gives what `forward` gives at once, as an assert says. The state: 25 numbers of memory, $k\,(1+v)$, and a window that is full after three positions. Attention that generates text keeps the keys and values of *all* positions, so its state grows with every word, and nothing in it is blurred. Here the past is $k$ averages for ever.

# %% [markdown]
# ## 6 · A waiter
#
# Does a net learn to use such a memory? We need a text that asks for it, and one whose entropy we know, so that we can tell when a loss is good. In a café five guests come and go all day. Who comes next is pure chance. What he or she orders is chance *the first time* that day, one of four drinks, and the same drink ever after. One text is one day, and begins with the word `open:`:
#
# `open: ann tea bob milk ann tea eve tea ann tea ...`
#
# A reader's loss at a word is $-\ln$ of the probability that it gave to that word. The **entropy** of a text is the smallest mean loss that any reader can reach. A guest costs $\ln 5$, always. A drink costs $\ln 4$ if the guest is new, and nothing if not. At visit $s=0,1,2,\dots$ the guest is new with probability $(4/5)^s$, since each of the $s$ guests before was somebody else with probability 4/5.
#
# Our waiter has two causal lambda layers with a scope of 3. By stencils alone, words travel two positions in each, four in both: a waiter without palettes would know the last two visits, and no more. To such a waiter, every guest from visit 2 on is a stranger with probability $(4/5)^2$, whatever came before.

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
print(" ".join(words[i] for i in days(1, torch.Generator().manual_seed(0))[0]))
print(f"mean loss of a word, at best: {entropy:.3f}; at best without palettes: {best_without_palettes:.3f}")
fresh = days(20000, torch.Generator().manual_seed(1))[:, 1:].unflatten(1, (visits, 2))
# nobody of that name before
new = torch.stack([(fresh[:, :i, 0] != fresh[:, i, :1]).all(dim=1) for i in range(visits)], dim=1)
assert torch.allclose(new.double().mean(0), 0.8**s.double(), atol=0.02)  # the formula, on 20,000 days


# %% [markdown]
# The net: an embedding, two layers with a norm before and a shortcut around each, and a linear map to the ten words. There is no ReLU between the layers; a lambda layer is non-linear as it is. `step` does the same for one word.

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
# Five hundred steps on 32 new days each; then 2,000 days that it has not seen. The net reads each day without its last word, and its targets are the day without its first: at every position the next word, 32 guesses from one text.

# %%
threads = torch.get_num_threads()
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
print(f"{sum(parameter.numel() for parameter in waiter.parameters()):,} parameters")
near = abs(word_losses.mean().item() - entropy) < 0.05
print("within 0.05 of the entropy:", near)
assert near and entropy + 0.2 < best_without_palettes
levels = {"best without palettes": [best_without_palettes] * 500, "entropy": [entropy] * 500}
figures.traces({"the waiter's loss": losses, **levels}, "step", "mean loss of a word", ylim=(0.9, 2.4))
plt.show()
figures.traces({"the waiter": word_losses[:, 1::2].mean(0), "best without palettes": forgetful,
                "perfect memory": perfect},
               "visit", "mean loss of its drink", ylim=(0, 1.5))
plt.show()

# %% [markdown]
# The upper figure is the loss in training: first the waiter learns who and what may come at all, then the loss falls through the line of those without palettes, down to the entropy. The lower figure has the drinks alone, on days that the waiter has not seen: the later in the day, the fewer strangers, and the guesses are nearly as good as any could be.
#
# No reader can have a mean loss below the entropy, except by the luck of a finite test. A loss well below it is the sign of a leak.
#
# Now the waiter writes days of its own with `step`: it draws a word from its own guess, reads it like any other word, guesses again. 48 visits, three times as long as any day in training. Does each guest stay with one drink?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
word, states, spoken = torch.full((200,), words.index("open:")), [None, None], []
with torch.no_grad():
    for _ in range(2 * 48):
        spoken.append(word)
        logits, states = waiter.step(states, word)
        word = torch.multinomial(logits.softmax(dim=1), 1)[:, 0]
    text = torch.stack([*spoken, word], dim=1)  # 200 days, (200, 1 + 96)
    # the last step agrees with the whole text at once
    assert torch.allclose(waiter(text[:, :-1])[..., -1], logits, atol=1e-2)

who, what = text[:, 1:].unflatten(1, (48, 2)).unbind(2)  # (200, 48) each
first = (who[:, :, None] == who[:, None]).int().argmax(dim=2)  # the first visit of the same guest
back = first < torch.arange(48)  # not new
in_turn = ((who < 5) & (what >= 5) & (what < 9)).double().mean().item()
faithful = (what == what.gather(1, first))[back].double().mean().item()
print(" ".join(words[i] for i in text[0, :41]), "...")
print(f"{in_turn:.1%} of the pairs are a guest and a drink")
print(f"of the guests who come back, {faithful:.1%} order what they had the first time, from a state of",
      sum(part[0].numel() for state in states for part in state), "numbers")
assert faithful > 0.9 and in_turn > 0.97
assert all(sum(part[0].numel() for part in state) == 96 for state in states)
torch.set_num_threads(threads)

# %% [markdown]
# (A blind guess would be right in one case of four. Your percentage may differ a little, since sums are rounded differently from machine to machine.) The state has 96 numbers for each layer, at noon as at night.
#
# Be fair to what it cannot do. Five guests fit well into a palette of eight rows. Hundreds of names could not each have a row of their own, and what shares a row is averaged. Nor can this memory correct itself. Were Ann to change her mind, her row would hold a mean of tea and milk.

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** A causal layer has d_out = 24 channels, h = 2 heads, k = 5, u = 1 and a scope of r = 7. How many numbers are there, for one text, in the state that `step` hands on, after 3 words, and after a million?

# %%
guess = None  # a pair (after 3 words, after 1,000,000 words)
check_answer("04b.E1", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# The values have v = 24 / 2 = 12 numbers. The memory holds k rows of v averages and one weight, 5 · 13 = 65. The window holds the last values, at most r of them: 3 · 12 = 36, and later 7 · 12 = 84. Together 101 and 149. Heads share the lambda, so they share the state.
#
# ```python
# guess = (101, 149)
# layer, state = LambdaLayer1d(24, dim_k=5, heads=2, scope=7, causal=True), None
# for n in range(1, 101):
#     _, state = layer.step(state, torch.randn(1, 24))
#     if n in (3, 100):
#         assert sum(part.numel() for part in state) == {3: 101, 100: 149}[n]
# check_answer("04b.E1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Implement.** The causal palettes for $u = 1$, without a mask and without a loop over positions: two cumulative sums (`torch.cumsum`) are enough.

# %%
def my_causal_content_lambdas(keys: Tensor, values: Tensor) -> Tensor:
    """(b, n, k), (b, n, v) -> (b, n, k, v): for each position a palette of itself and all before it."""
    (b, n, k), v = keys.shape, values.shape[2]
    return torch.zeros(b, n, k, v, dtype=values.dtype)  # your lines here


check_causal_content_lambda(my_causal_content_lambdas)


# %% [markdown]
# <details><summary>Solution</summary>
#
# One sum over the weighted values so far, one over the weights so far, and their quotient.
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
# This is shorter than `written` and `merge`, and right as long as the running sums stay inside float32. Three keys of 88 are too many, since their exponentials add up to more than float32 holds; and where all keys so far are below about −103, all exponentials are 0, and it divides 0 by 0. Subtracting the largest key of the whole text, as a softmax does, does not save it: where all keys so far are far smaller than one that comes later, it divides 0 by 0. The memory keeps the logarithm of the weight, and no such thing can happen.
#
# </details>

# %% [markdown]
# **3 · Repair.** The two halves together, for a text. It leaks. The line `wanted` says what causal means: at each position, what lessons 02 and 03 would say if the text ended there. It does the work once for every position, so it is no repair. Mend the function, for all positions at once.

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
check_close(both_halves(Q, K, V, T), wanted, "what can position 0 still hear of the others?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# There are two leaks. The mask comes after the softmax, so later keys stand in the denominator. And the stencils are those of lesson 03, with taps on both sides: the embeddings of later positions must be 0 as well. With either one alone, the check still says no.
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

# %% [markdown]
# ## What we now know
#
# * A causal palette is a running average. It can be had from a mask, from a cumulative sum, or step by step from k · v + k numbers (for u = 1); all three are one function.
# * The future can come in without being summed: by the denominator of a softmax, by the statistics of a norm. Change the future and watch the past, in train mode too.
# * A net of a few thousand parameters learns to use the memory, and goes on with it on texts three times as long as those that it has seen.
#
# **Ledger.** *Less memory*: for, in one more sense: to go on with a text takes a state that does not grow, where attention keeps every key and value. *More accurate*: no evidence here; the café was made to measure, and the state that does not grow is also one that averages.
#
# **The code of this lesson** lives in `lambdalib/sequences.py`: `masked_content_lambdas`, `causal_content_lambdas`, `causal_step`, `LambdaLayer1d`.
#
# **Next.** Back to the main path: [Lesson 05: what it costs](05_cost.ipynb).
