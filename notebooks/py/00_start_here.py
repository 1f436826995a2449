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
# > **After this lesson you can** explain a lambda layer with one picture, say which product of matrices it avoids, and use the course's exercises.
# >
# > **You need** Python, a first look at PyTorch (what a tensor is), and the product of two matrices. Some code here is for later. The lessons take it apart. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 30 minutes to read, 10 for the exercises. The code runs in 10 seconds on two CPU cores. **Short path:** the picture, steps 1 and 2.

# %% [markdown]
# ## What is a lambda, in one picture?
#
# Attention compares every pixel with all pixels of the image. A **lambda layer** does something else. It first summarises the image into small tables of numbers. Each table is a small linear function, called a *lambda*. Then the layer applies one lambda at each pixel.
#
# The idea is from Irwan Bello, *LambdaNetworks: Modeling Long-Range Interactions Without Attention*, ICLR 2021. The name comes from the λ of mathematics. It has nothing to do with Python's keyword.

# %%
import torch

from lambdalib import LambdaLayer, load_pretrained, normalize
from lambdalib.attention import softmax_attention
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close, check_content_lambda
from lambdalib.course.examples import strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.training.data import CLASSES, load_sample

figures.show(
    figures.one_picture(),
    "A lambda layer at two pixels of one image. Bars are amounts of red, green and blue; down means minus. "
    "In the stencils, purple is plus and orange is minus.",
    alt="A plane; its palette of four colours; at pixels A and B the stencils, their readings, the lambda, "
        "the query and the output; in grey, the weights of attention.",
)

# %% [markdown]
# Read it from the top:
#
# 1. **Once for the whole image**, the layer mixes a few colours from all pixels: here four, the **palette**. This half of the lambda says *what* is in the image. It is the same for every pixel.
# 2. **At each pixel**, a few small patterns of weights read the neighbours: the **stencils**. This half says *where* things are. It is different at every pixel.
# 3. Palette plus readings are the pixel's **lambda**: a table with four rows, one for each colour of the palette, and three columns: red, green and blue.
# 4. The pixel has a **query**, four numbers. They mix the four rows into one output colour.
# 5. In grey, at the right: **attention** computes one weight for each of the 1,024 pixels instead, again for every pixel.
#
# A real layer has more rows (16 are usual), and its "colours" are features that a network has learned. Nothing else changes. This course finds out what the idea buys, what it costs, and which half does the work.
#
# | lesson | its question |
# |---|---|
# | **00** | what is a lambda, in one picture? |
# | [01 Self-attention](01_self_attention.ipynb) | how does one pixel ask all the others? |
# | [02 Content lambdas](02_content_lambdas.ipynb) | what if the image is summarised before anyone asks? |
# | [03 Position lambdas](03_position_lambdas.ipynb) | how can a function of fixed size know where things are? |
# | [04 The lambda layer](04_lambda_layer.ipynb) | do the two halves need each other? |
# | [04b Sequences](04b_sequences.ipynb), a side path | what if the future must not be seen? |
# | [05 What it costs](05_cost.ipynb) | cheaper in what, and when? |
# | [05b Fast orders](05b_fast_orders.ipynb), a side path | which order is the fastest? |
# | [06 LambdaResNet](06_lambda_resnet.ipynb) | where in a network does it belong? |
# | [07 Train on CIFAR-10](07_train_on_cifar10.ipynb) | does it learn, and how would I know? |
# | [07b Train in earnest](07b_train_in_earnest.ipynb), a side path | what if training takes longer than the machine lives? |
# | [08 Look inside](08_look_inside.ipynb) | what did the model learn? |
# | [09 What the lambda is worth](09_what_the_lambda_is_worth.ipynb) | which part earned the accuracy? |
# | [09b How sure is that?](09b_how_sure.ipynb), a side path | when is a difference a difference? |
# | [10 Beyond](10_beyond.ipynb) | where does the idea go from here? |
#
# The library `lambdalib` holds the same code as the lessons: a test compares the two. In a terminal, `lambdalib doctor` says what your machine can do. A GPU is not needed.

# %% [markdown]
# ## 1 · A network that uses it
#
# This network has two lambda layers. It was trained on the 50,000 training images of CIFAR-10, a data set of small photographs in ten classes. Two CPU cores were enough (lesson 07). Does it know what it sees? The sample that ships with the course has 500 test images, 50 of each class. The network has never seen them.

# %%
net = load_pretrained("small")
sample = load_sample()
images, labels = normalize(sample.test_images), sample.test_labels
with torch.no_grad():
    guesses = net(images).argmax(dim=1)

print(f"{sum(parameter.numel() for parameter in net.parameters()):,} parameters")
print("right:", int((guesses == labels).sum()), "of 500")
first_wrong = int((guesses != labels).nonzero()[0])
shown = [0, 60, 120, 180, 240, 300, 360, 420, 480, first_wrong]
titles = [CLASSES[guesses[i]] if guesses[i] == labels[i] else f"{CLASSES[guesses[i]]} (wrong)" for i in shown]
figures.show(
    figures.maps([sample.test_images[i] / 255 for i in shown], titles, columns=5),
    "Ten test images and the network's answers. The last one is its first mistake.",
    alt="Ten small photographs, each with a class name above it.",
)

# %% [markdown]
# ## 2 · Which half carries the answer?
#
# Each lambda is a sum: palette plus readings. So we can fade out one half and keep the other, without training again. Each lambda layer also has a shortcut: its input is added to its output. So the network still sees something when both halves are gone.
#
# **Predict.** What costs more right answers: to fade out the palettes, or to fade out the stencils?

# %%
guess = None  # "palettes" or "stencils"
check_answer("00.half", guess)


# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
def fade(net, content: float, position: float):
    """Weigh the two halves of every lambda layer; returns the hooks that do it, so that they can be removed."""
    def mix(layer, inputs, output):
        kept, layer.table.data = layer.table.data, torch.zeros_like(layer.table.data)
        content_half = type(layer).forward(layer, *inputs)
        layer.table.data = kept
        return content * content_half + position * (output - content_half)
    return [layer.register_forward_hook(mix) for layer in net.modules() if isinstance(layer, LambdaLayer)]


right = {}
halves = {"both halves": (1, 1), "no stencils": (1, 0), "no palettes": (0, 1), "neither": (0, 0)}
for name, weights in halves.items():
    hooks = fade(net, *weights)
    with torch.no_grad():
        right[name] = 100 * float((net(images).argmax(dim=1) == labels).double().mean())
    for hook in hooks:
        hook.remove()
if revealed(guess):
    for name, share in right.items():
        print(f"{name:12} {share:5.1f} % right")
    figures.show(
        figures.bars(list(right), list(right.values()), "right answers on 500 test images, %"),
        "The same network with halves of its lambdas faded out.",
        alt="Four bars: both halves, no stencils, no palettes, neither.",
    )

# %% [markdown]
# Compare the last bar with the two above it. Is one of them a surprise? What comes after the layer was trained on the *sum* of both halves. It has never met one half alone. Half of a sum is not half of an answer.
#
# So this figure does not say what each half is *worth*. For that we must train networks without one half from the start. [Lesson 09](09_what_the_lambda_is_worth.ipynb) does, and asks for your guess first.

# %% [markdown]
# ## 3 · Two brackets
#
# Why is a summary cheaper than comparing all pairs? Each pixel has three short lists of numbers: a **query** (what it asks), a **key** (what a query is compared with) and a **value** (what it gives). As matrices with one row per pixel these are $Q$, $K$ and $V$. There are $n$ pixels that ask and $m$ pixels that are asked. In an image both are all its pixels. A query and a key have $k$ numbers, a value has $v$: these lengths are called **depths**. For this lesson, keep only the products of attention. Then the brackets can stand in two places:
#
# $$\underbrace{(Q\,K^\top)}_{n\times m}\,V \qquad\text{or}\qquad Q\,\underbrace{(K^\top V)}_{k\times v}$$
#
# The left bracket holds one number for each *pair* of pixels. We call it the **square**. The right bracket has already summed over all pixels. It holds a small table, the **tile**. That is a lambda. The result is the same, because a product of matrices does not depend on its brackets.
#
# Our toy image, the **strip**, has four pixels: red, green, blue and yellow. All its numbers can be checked by hand.

# %%
queries, keys, values, table = strip()  # the table is for lesson 03
Q, K, V = queries[0, 0], keys[0, :, :, 0].exp(), values[0, :, :, 0]  # exp makes the strip's keys whole numbers
print("colours:", V.int().tolist(), "(8 is full light)")
print("same result:", torch.equal((Q @ K.T) @ V, Q @ (K.T @ V)))
print("numbers in the square:", (Q @ K.T).numel(), "· in the tile:", (K.T @ V).numel())


def draw_brackets(pixels: int = 64, depth: int = 16):
    return figures.brackets(pixels, pixels, depth, depth, keys="Kᵀ", largest=256)


for pixels in (64, 256):
    figures.show(
        draw_brackets(pixels),
        f"{pixels} pixels, depth 16. Orange: what the bracket must store.",
        alt=f"The matrices Q, K and V with {pixels} rows, once with the square and once with the tile in orange.",
    )

# %% [markdown]
# Both figures are drawn to the same scale. Four times as many pixels make the square sixteen times as large. The tile stays the same. For an image of 32 × 32 pixels and depth 16, the square has 1,048,576 numbers and the tile 256.
#
# **Try it:** make the image small and the tile deep. When is the tile no smaller than the square?

# %% tags=["nbval-ignore-output"]
widgets.explore(draw_brackets, "The square and the tile, to one scale",
                pixels=widgets.slider("pixels n = m", 4, 256, 64, 4),
                depth=widgets.slider("depth k = v", 2, 64, 16, 2))


# %% [markdown]
# The trick with the bracket is older than lambdas. Real attention cannot use it, because there is a **softmax** around $QK^\top$. A softmax turns a list of numbers into positive weights that sum to 1. With it, the bracket cannot move. A lambda layer moves the softmax onto the keys alone, and adds positions. These two lines are the whole course. Each lesson boxes the term that it is about:
#
# $$\text{attention}\qquad y_n = \sum_m \mathrm{softmax}_m\big(q_n\cdot k_m + q_n\cdot e_{nm}\big)\; v_m$$
# $$\text{lambda}\qquad\;\; y_n = \Big(\underbrace{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top}_{\text{palette}} + \underbrace{\sum_m e_{nm}\,v_m^\top}_{\text{readings of the stencils}}\Big)^{\!\top} q_n$$
#
# The index $n$ is the pixel that asks, $m$ a pixel that is asked. The vector $e_{nm}$ says where $m$ lies as seen from $n$. Do not worry if the lines look dense today. In the second line, the sums in the bracket do not contain the query. So the layer can compute them before anyone asks.

# %% [markdown]
# ## 4 · How the exercises work
#
# Steps marked **Predict** ask before they show. Replace `None` by your guess and run the cell. Then open the cell named *Reveal* below it and run that too. A wrong guess costs nothing. It is often the point.
#
# Other exercises ask for a function. Their checks try inputs that show which mistake was made. Here is a content lambda (the palette) with a mistake: its softmax runs over the wrong axis. See what the check says. (`einsum` multiplies along named axes and sums over those that are missing after the arrow. Lesson 01 explains it slowly. Two axes are new: b counts images, and u is 1 until lesson 03.)

# %%
def wrong_content_lambda(keys, values):
    return torch.einsum("bmku,bmvu->bkv", keys.softmax(dim=2), values)  # axes 0, 1, 2, 3 are b, m, k, u


check_content_lambda(wrong_content_lambda)

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this lesson's sentences
assert CLASSES[guesses[0]] == CLASSES[labels[0]] and guesses[first_wrong] != labels[first_wrong]
assert int((guesses == labels).sum()) > 400
assert right["no palettes"] < right["neither"] < right["no stencils"] < right["both halves"]
assert (Q @ K.T).numel() == 16 and (K.T @ V).numel() == 6 and 1024**2 == 1_048_576
exact = softmax_attention(Q[None, None], K.log()[None, None], V[None, None])[0, 0]
moved = Q @ (K.log().softmax(dim=0).T @ V)  # exercise 3: the softmax on the keys alone
assert torch.allclose(moved[:2], exact[:2]) and (moved[2:] - exact[2:]).abs().amax(dim=1).min() > 3

# %% [markdown]
# ## Exercises
#
# **1 ★ Predict.** With k = v = 16, at how many pixels n = m do the square and the tile hold equally many numbers?

# %%
first = None  # one number
exercise_1 = check_answer("00.1", first)
exercise_1

# %% [markdown]
# <details><summary>Hint</summary>The square has n · m numbers, the tile k · v.</details>
#
# <details><summary>Solution</summary>
#
# n · m = n² on the left, k · v = 256 on the right, so n = 16. With more than sixteen pixels the tile is smaller.
#
# ```python
# first = 16
# check_answer("00.1", first)
# ```
#
# </details>

# %% [markdown]
# **2 ★ Predict.** An image has 7 × 5 pixels, k = 16 and v = 8. How many numbers do the square and the tile hold?

# %%
second = None  # a pair (square, tile)
exercise_2 = check_answer("00.2", second)
exercise_2


# %% [markdown]
# <details><summary>Hint</summary>How many pixels has the image? n and m both count all of them.</details>
#
# <details><summary>Solution</summary>
#
# n = m = 35, so the square holds 35 · 35 = 1225 numbers. The tile holds 16 · 8 = 128.
#
# ```python
# second = (1225, 128)
# check_answer("00.2", second)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Implement.** Put a softmax over m into the left form: softmax(Q Kᵀ) V, as attention does. Return one row of v numbers for each of the n pixels that ask. (`K.log()` undoes the `exp` of step 3, so these are the strip's own keys.)

# %%
def attention(Q, K, V):
    """(n, k), (m, k), (m, v) -> (n, v)."""
    return None  # replace this line


# the library's function; lesson 01 writes it
truth = softmax_attention(Q[None, None], K.log()[None, None], V[None, None])[0, 0]
exercise_3 = check_close(attention(Q, K.log(), V), truth, "over which axis does each row of weights sum to 1?")
exercise_3

# %% [markdown]
# <details><summary>Hint</summary>Q @ K.T has one row for each query. Its columns are the m pixels that are asked.</details>
#
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
#
# If the softmax sits on the keys alone, $Q\,(\mathrm{softmax}(K)^\top V)$, the bracket can move. But the answers change: at two of the strip's four pixels by several units of light. It is another function. Lesson 02 compares the two.

# %%
progress({
    "1 equal sizes": "exercise_1",
    "2 square and tile": "exercise_2",
    "3 attention": "exercise_3",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A lambda is a small table: a palette that is the same for the whole image, plus stencil readings at the pixel.
# * A pixel's query mixes the rows of its lambda into one output.
# * Moving one bracket replaces the square (n × m numbers) by a tile (k × v numbers).
# * The softmax of attention stands in the way. A lambda layer puts it on the keys.
# * A small network with two such layers names most of 500 new images.
#
# **Ledger.** The paper claims five things for lambda layers: long-range interactions, without attention matrices, with less memory, faster, and more accurate. The course collects evidence for and against each claim. This ledger is empty so far.
#
# **The code of this lesson** lives in `lambdalib/course/examples.py` and `lambdalib/course/checks.py`.
#
# **Next.** Why would anyone want the square? [Lesson 01: self-attention](01_self_attention.ipynb). The [glossary](glossary.md) has all letters and words of the course.
