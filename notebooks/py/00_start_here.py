# %% [markdown]
# # 00 · Start here
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/00_start_here.ipynb)

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
# > **After this lesson you know** what a lambda is in one picture, that your machine runs the course, and how its exercises talk back.
# >
# > **You need** Python, a first acquaintance with PyTorch (what a tensor is), and the product of two matrices. Code that you cannot follow today may wait: the lessons take it apart.
# >
# > **Time** 10 minutes to read, 5 for the exercises; the code runs in about 10 seconds on two CPU cores.

# %% [markdown]
# ## What is a lambda, in one picture?
#
# Attention compares every pixel with every pixel. A **lambda layer** (Irwan Bello, *LambdaNetworks: Modeling Long-Range Interactions Without Attention*, ICLR 2021) first turns the picture into small functions, and then only applies them to the pixels. Such a function is called a lambda, after the λ of mathematics; it has nothing to do with Python's keyword. It is the sum of two halves: one for *what* is in the picture, the same for all pixels, and one for *where* it is, another for each pixel. This course finds out what that buys, what it costs, and which half does the work.
#
# | lesson | its question |
# |---|---|
# | **00** | what is a lambda, in one picture? |
# | [01 Self-attention](01_self_attention.ipynb) | how does one pixel ask all the others? |
# | [02 Content lambdas](02_content_lambdas.ipynb) | what if the picture is summarised before anyone asks? |
# | [03 Position lambdas](03_position_lambdas.ipynb) | how can a function of fixed size know where things are? |
# | [04 The lambda layer](04_lambda_layer.ipynb) | how do the halves become one layer, and why the norms? |
# | [04b Sequences](04b_sequences.ipynb), a side path | what if the future must not be seen? |
# | [05 What it costs](05_cost.ipynb) | cheaper in what, and when? |
# | [06 LambdaResNet](06_lambda_resnet.ipynb) | where in a network does it belong? |
# | [07 Train it on CIFAR-10](07_train_on_cifar10.ipynb) | does it learn, and how would I know? |
# | [09 What the lambda is worth](09_what_the_lambda_is_worth.ipynb) | which part of it earned the accuracy? |
#
# (Lesson 08, which will look into a trained net, is not written yet.)
#
# Every code cell that defines something the library `lambdalib` has *is* the library's code; a test compares them. First a look at your machine (`lambdalib doctor`, in a terminal, says more):

# %% tags=["nbval-ignore-output"]
import platform

import matplotlib.pyplot as plt
import torch

print("Python", platform.python_version(), "· torch", torch.__version__, "·", torch.get_num_threads(), "threads ·",
      torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU, which is fine")

# %% [markdown]
# ## 1 · The plane and the strip
#
# Two pictures come along through all lessons. The first is a photograph of 32 × 32 pixels, test picture 44 of CIFAR-10, a data set of small photographs in ten classes: the **plane**. It is part of the sample that ships with the library, so nothing is downloaded. The second is the **strip**: four pixels in the plane's colours, red, green, blue and yellow, small enough that every number can be worked by hand.

# %%
from lambdalib import load_pretrained, normalize
from lambdalib.attention import softmax_attention
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close
from lambdalib.course.examples import plane, strip
from lambdalib.course.questions import check_answer
from lambdalib.training.data import CLASSES, load_sample

queries, keys, values, table = strip()  # the table is for lesson 03
colours = values[0, :, :, 0]  # (4, 3): one row per pixel; 8 is full light
print(colours.int())
figures.maps([plane(), colours.T[:, None] / 8], ["the plane", "the strip"])
plt.show()

# %% [markdown]
# ## 2 · Two brackets
#
# Each pixel has three things: a **query** (what it asks), a **key** (what a query is compared with) and a **value** (what it gives away), each a short list of numbers. As matrices with one row for each pixel they are $Q\in\mathbb{R}^{n\times k}$, $K\in\mathbb{R}^{m\times k}$ and $V\in\mathbb{R}^{m\times v}$: $n$ pixels ask, $m$ pixels are asked, and on one picture these are the same pixels. Queries and keys are $k$ numbers long, values $v$.
#
# Leave out, for this one lesson, everything that makes attention more than a product of matrices. Then there are two ways to set the brackets:
#
# $$\underbrace{(Q\,K^\top)}_{n\times m}\,V \qquad\text{or}\qquad Q\,\underbrace{(K^\top V)}_{k\times v}$$
#
# On the left, the bracket holds one number for every *pair* of pixels: that is an attention map, and we call it the **square**. On the right, it holds a small table, the **tile**, that has summed over all pixels already, and each query is only multiplied with it: that is a lambda. Matrix products may be bracketed as one likes, so the results are the same:

# %%
# the strip: n = m = 4, k = 2, v = 3; exp makes its keys whole numbers
Q, K, V = queries[0, 0], keys[0, :, :, 0].exp(), colours
left, right = (Q @ K.T) @ V, Q @ (K.T @ V)
assert torch.equal(left, right)
assert (Q @ K.T).numel() == 16 and (K.T @ V).numel() == 6

n, k, v = 32 * 32, 16, 16  # a map of 32 × 32 pixels
print(f"strip: the square holds {(Q @ K.T).numel()} numbers, the tile {(K.T @ V).numel()}")
print(f"32 × 32 pixels: the square holds {n * n:,}, the tile {k * v}: {n * n // (k * v)} times fewer")
figures.brackets(4, 4, 2, 3, keys="Kᵀ")
plt.show()


# %% [markdown]
# Grey is what comes in, orange is what the bracket makes and has to store. Now let the picture grow. The square grows with the *square* of the number of pixels, the tile does not move:

# %%
def draw_brackets(pixels: int = 64, depth: int = 16):
    return figures.brackets(pixels, pixels, depth, depth, keys="Kᵀ")


draw_brackets()
plt.show()
print("64 pixels: the square is", 64 * 64 // (16 * 16),
      "times the tile; 256 pixels:", 256 * 256 // (16 * 16), "times")

# %% [markdown]
# Move the sliders (they need a running kernel; the picture above is their first position). When is the tile no smaller than the square?

# %% tags=["nbval-ignore-output"]
widgets.explore(draw_brackets, pixels=widgets.slider("pixels n = m", 4, 256, 64, 4),
                depth=widgets.slider("depth k = v", 2, 64, 16, 2))

# %% [markdown]
# So the trick is one bracket, and it is older than lambdas. What stands in the way is the **softmax** that real attention puts around $QK^\top$. It turns a list of numbers into positive weights that sum to 1: take the exponential of each, and divide by their sum. Written $\mathrm{softmax}_m$, it does so over the context pixels $m$. With it, the bracket cannot move. The two lines below are the whole course. Most lessons show one of them again and box the term that they are about.
#
# $$\text{attention}\qquad y_n = \sum_m \mathrm{softmax}_m\big(q_n\cdot k_m + q_n\cdot e_{nm}\big)\; v_m$$
# $$\text{lambda}\qquad\;\; y_n = \Big(\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top + \sum_m e_{nm}\,v_m^\top\Big)^{\!\top} q_n$$
#
# In the second line, $\mathrm{softmax}_m(K)_m$ is row $m$ of the keys after the softmax, $k$ numbers, taken as a column. A column of $k$ numbers times a row of $v$ numbers is a table of $k\times v$, and the sum of these tables over all $m$ is the tile $K^\top V$ of step 2, with soft keys. With $q_n$ as a column, the transposed table times $q_n$ is one row of $Q\,(K^\top V)$.
#
# The ingredients are the same: queries $q$, keys $k$, values $v$, and vectors $e_{nm}$ that say where pixel $m$ lies as seen from pixel $n$. In the second line the softmax has moved from the pairs onto the keys alone. Everything else in this course follows from that: the sums in the brackets no longer contain the query, so they can be made before anyone asks. The first is one **content lambda** for all pixels (lesson 02, which calls it a *palette*), the second a **position lambda** for each pixel (lesson 03, which makes it with a few small patterns of weights, *stencils*). So the tile of step 2 is the content half. The position half, written out, has a tile for each pixel; lesson 05 counts what that costs.

# %% [markdown]
# ## 3 · A net that does it
#
# This net was trained on the 50,000 training pictures of CIFAR-10, without a GPU (lesson 07 shows the record of that run). It has two lambda layers, at maps of 7 × 7 and 3 × 3 pixels. Does it know the plane?

# %%
net = load_pretrained("small")
print(f"{sum(parameter.numel() for parameter in net.parameters()):,} parameters")

# %%
images = normalize((plane() * 255).round().to(torch.uint8)[None])
with torch.no_grad():
    chances = net(images).softmax(dim=1)[0]
best = chances.topk(3).indices.tolist()
print("most likely:", CLASSES[best[0]])
assert CLASSES[best[0]] == "airplane"

# %% [markdown]
# One picture proves little. The sample holds 500 test pictures, 50 of each class, on which the net was not trained. Below are ten of them, with its answers as titles:

# %%
sample = load_sample()
with torch.no_grad():
    guesses = net(normalize(sample.test_images)).argmax(dim=1)
right_ones = int((guesses == sample.test_labels).sum())
print("more than four of five right:", right_ones > 400)
assert right_ones > 400
shown = [0, 60, 120, 180, 240, 300, 360, 420, 480, 499]
figures.maps([sample.test_images[i] / 255 for i in shown], [CLASSES[guesses[i]] for i in shown], columns=5)
plt.show()

# %% [markdown]
# Which half of the lambdas carries the answer? The output of each layer is a sum, content plus position, so we can fade either half without touching the rest: the content half is what is left when all stencils are set to zero, and the position half is the difference. Each block also has a shortcut around its lambda layer, so the net does not go blind when both halves are gone.
#
# **Predict**, before you look at the bars below: which loss hurts more, that of the palettes (content) or that of the stencils (position)? (This one is for your head; later there is a cell for the guess.) The code is for later; today its last picture is enough.

# %%
from lambdalib import LambdaLayer


def fade(net, content: float, position: float):
    """Weigh the two halves of every lambda layer; returns the hooks that do it, so that they can be removed."""
    def mix(layer, inputs, output):
        kept, layer.table.data = layer.table.data, torch.zeros_like(layer.table.data)
        content_half = type(layer).forward(layer, *inputs)
        layer.table.data = kept
        return content * content_half + position * (output - content_half)
    return [layer.register_forward_hook(mix) for layer in net.modules() if isinstance(layer, LambdaLayer)]


share = {}
for name, weights in {"both halves": (1, 1), "stencils faded out": (1, 0),
                      "palettes faded out": (0, 1), "both faded out": (0, 0)}.items():
    hooks = fade(net, *weights)
    with torch.no_grad():
        share[name] = (net(normalize(sample.test_images)).argmax(dim=1)
                       == sample.test_labels).double().mean().item()
    for hook in hooks:
        hook.remove()
assert share["both halves"] == right_ones / 500  # with weights (1, 1) nothing changes
one_half = share["stencils faded out"], share["palettes faded out"]
print("with either half faded out it does worse:", max(one_half) < share["both halves"])
print("stencils without palettes do worse than neither:", share["palettes faded out"] < share["both faded out"])
assert (max(one_half) < share["both halves"]
        and share["palettes faded out"] < share["both faded out"] < share["stencils faded out"])
figures.bars(list(share), [100 * value for value in share.values()], "right answers on 500 test pictures, %")
plt.show()

# %% [markdown]
# Both halves count in this net, and to lose the palettes hurts more. One bar is a surprise: with the palettes faded out and the stencils left, the net does worse than with both faded out. What comes after a lambda layer was trained on the *sum* of the halves. Half of a sum is not half of an answer; it may point somewhere else, and that can be worse than silence. For the same reason this picture does not yet say what each half is *worth*: a net that was trained with both and then loses one is not a net that was trained without it. For that, twins have to be trained, one without stencils and one without palettes; [lesson 09](09_what_the_lambda_is_worth.ipynb) reports on them. Keep your guess for it.

# %% [markdown]
# <a id="Notation"></a>
# ## Notation
#
# In the code, letters are axes and words are tensors. In formulas a letter with an index is a vector ($q_n$, $k_m$, $v_m$, $e_{nm}$), and a capital is a matrix with one such vector in each row ($Q$, $K$, $V$); a bare $k$ or $v$ is a length. They are the same in all lessons, in the library and in the figures, and nearly the paper's.
#
# | letter | axis | tensors it appears in |
# |---|---|---|
# | b, d | pictures of a batch, channels | `features` (b, d, H, W), or as rows (b, n, d) |
# | n, m | query positions, context positions; n = m = H · W on one map | |
# | k, v | depth of queries and keys, depth of values | `queries` (b, h, n, k), `keys` (b, m, k, u), `values` (b, m, v, u) |
# | h | heads: queries per position; v = d / h | |
# | u | intra-depth: values per position; 1 unless said otherwise, and then not written | |
# | r | *side* of the window in pixels, odd; the paper's scope of 23 × 23 is r = 23 | `table` of stencils (k, u, r, r), `embeddings` (n, m, k, u) |
#
# Further: `soft_keys` is the softmax of the keys over m, `content_lambda` is (b, k, v), `position_lambdas` (b, n, k, v). The factor $1/\sqrt{k}$ of attention is taken to be part of the queries. A map becomes rows by `flatten(2).transpose(1, 2)`, and channels are head-major: channel = head · v + value.

# %% [markdown]
# ## 4 · How an exercise works
#
# Steps marked **Predict** ask before they show: replace `None` by your guess and run the cell. A wrong guess costs nothing and is often the point. Other exercises ask for a function. Their checks feed it inputs whose answer gives the mistake away. An answer begins with ✓ (right), ✗ (not right, and why) or · (not tried yet). Here is a content lambda, the first sum above, with a mistake in it: its softmax runs over the wrong axis. (`einsum` multiplies along named axes and sums those that are missing behind the arrow; lesson 01 uses it slowly.) See what the check makes of it:

# %%
from lambdalib.course.checks import check_content_lambda


def wrong_content_lambda(keys, values):
    return torch.einsum("bmku,bmvu->bkv", keys.softmax(dim=2), values)  # axes 0, 1, 2, 3 are b, m, k, u


check_content_lambda(wrong_content_lambda)

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** With k = v = 16, at how many pixels n = m do the square and the tile hold as many numbers?

# %%
guess = None  # one number
check_answer("00.1", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# n · m = n² on the left, k · v = 256 on the right: n = 16. Beyond sixteen pixels the tile is smaller.
#
# ```python
# guess = 16
# check_answer("00.1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Predict.** A picture of 7 × 5 pixels, k = 16 and v = 8: how many numbers do the square and the tile hold?

# %%
guess = None  # a pair (square, tile)
check_answer("00.2", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# n = m = 35, so the square holds 35 · 35 = 1225; the tile holds 16 · 8 = 128.
#
# ```python
# guess = (1225, 128)
# check_answer("00.2", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · Implement.** Put a softmax over m into the left form, softmax(Q Kᵀ) V, as attention does. (`K.log()` undoes the `exp` of step 2: these are the strip's own keys.) And a question for your head: could Q (softmax(K)ᵀ V), with the softmax on the keys alone, give the same answer? The cell after the solution compares the two.

# %%
def attention(Q, K, V):
    return None  # replace: the softmax runs over the context, so each row of weights sums to 1


# the library's; lesson 01 writes it
truth = softmax_attention(Q[None, None], K.log()[None, None], V[None, None])[0, 0]
check_close(attention(Q, K.log(), V), truth, "over which axis does each row of weights sum to 1?")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def attention(Q, K, V):
#     return (Q @ K.T).softmax(dim=1) @ V
#
#
# check_close(attention(Q, K.log(), V), truth)
# ```
#
# </details>

# %%
# the softmax on the keys, over the pixels; then the bracket on the right
moved = Q @ (K.log().softmax(dim=0).T @ V)
print("largest difference at each pixel:",
      [round(value, 3) for value in (moved - truth).abs().amax(dim=1).tolist()])
assert torch.allclose(moved[:2], truth[:2]) and not torch.allclose(moved[2:], truth[2:])

# %% [markdown]
# Pixels 0 and 1 get the same answer, because their queries, (1, 0) and (0, 1), read one column of the keys each. At pixels 2 and 3 the two answers differ by several units of light, and that is no rounding: with the softmax on the keys alone, it is another function. Lesson 02 compares the two query by query.

# %% [markdown]
# ## What we now know
#
# * Moving one bracket changes the largest thing to be stored from n × m to k × v, and leaves the answer as it was (rounding aside), as long as no softmax stands in the way.
# * A lambda layer puts the softmax on the keys, so that the bracket can move, and adds a second sum that knows positions.
# * A small net with two such layers, trained without a GPU, names most of 500 pictures on which it was not trained.
#
# **Ledger.** The paper claims five things for lambda layers: long-range interactions, without attention maps, with less memory, faster, and more accurate. The course keeps a ledger of what speaks for and against each. It is empty so far.
#
# **The code of this lesson** lives in `lambdalib/course/examples.py` and `lambdalib/course/checks.py`.
#
# **Next.** Why would anyone want the square? [Lesson 01: self-attention](01_self_attention.ipynb).
