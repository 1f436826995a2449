# %% [markdown]
# # 08 · Look inside
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/08_look_inside.ipynb)

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
# > **After this lesson you can** write any lambda layer as one matrix. You can read that matrix on a photograph, and test a trained model by taking a part away. You can say which of these measurements prove something.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer) and [lesson 07](07_train_on_cifar10.ipynb) (how `tiny` was trained). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 55 minutes to read and run, 20 for the exercises. The code takes about 30 seconds on two CPU cores.
# >
# > **Short path** Steps 1, 3, 4 and 7.

# %% [markdown]
# ## What did the model learn?
#
# Lesson 07 trained a small model, `tiny`. It names about 91 of 100 test images correctly. What do its lambda layers do to get there?
#
# A lambda layer never stores one weight for each pair of pixels. That is its point. But we can compute these weights afterwards. Read the layer's equation with the brackets moved, and the boxed term is such a weight:
#
# $$y_n \;=\; \Big(\sum_m \sigma_m v_m^\top + \sum_m e_{nm}\,v_m^\top\Big)^{\!\top} q_n$$
#
# $$y_n \;=\; \sum_m \boxed{\big(q_n\cdot\sigma_m + q_n\cdot e_{nm}\big)}\; v_m \;=\; \sum_m A_{nm}\,v_m$$
#
# Here $\sigma_m = \mathrm{softmax}_m(K)_m$ are the soft keys. So every lambda layer is a matrix $A$ times its values, as attention is. Lesson 00 called this matrix the square.

# %%
import copy
from collections.abc import Callable
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, einsum, nn
from torch.optim.swa_utils import update_bn

from lambdalib import create_model, load_cifar10, load_pretrained, normalize
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close
from lambdalib.course.examples import strip
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.experiments.steering import read_steering
from lambdalib.explain import (effective_receptive_field, lambda_layers, layer_inputs, layer_parts, mean_queries,
                               output_energies, pixel_kernels)
from lambdalib.lambdas import apply_lambdas, relative_embeddings
from lambdalib.training.train import evaluate

figures.show(
    figures.one_picture(lit="attention"),
    "Attention has a weight for each pixel. A lambda layer never computes such weights, but it has them.",
    alt="The picture of the course. Lit: the weights of attention for the pixels A and B.",
)


# %% [markdown]
# ## 1 · The matrix that nobody stores
#
# **Claim.** The matrix is the sum of two: a content matrix and a position matrix. With heads $h$, query positions $n$, context positions $m$ and query depth $k$:
#
# $$A_{hnm} \;=\; \underbrace{\sum_k q_{hnk}\,\sigma_{mk}}_{\text{content}} \;+\; \underbrace{\sum_k q_{hnk}\,e_{nmk}}_{\text{position}}$$
#
# $$q\in\mathbb{R}^{h\times n\times k},\;\;\sigma\in\mathbb{R}^{m\times k},\;\;e\in\mathbb{R}^{n\times m\times k}$$
#
# In code the batch $b$ comes first and the intra-depth $u$ last. On the strip both have size 1.

# %%
def equivalent_matrices(queries: Tensor, soft_keys: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Content and position: (b, h, n, k), (b, m, k, u), (n, m, k, u) -> two of (b, h, n, m, u)."""
    content = einsum("bhnk,bmku->bhnmu", queries, soft_keys)
    position = einsum("bhnk,nmku->bhnmu", queries, embeddings)
    return content, position


queries, keys, values, table = strip()
pixels = values[0, :, :, 0]  # (m=4, v=3): red, green, blue, yellow
content, position = (matrix[0, 0, :, :, 0] for matrix in
                     equivalent_matrices(queries, keys.softmax(1), relative_embeddings(table, 1, 4)))
matrix = content + position  # (n=4, m=4)
print("8 · A, one row for each query:")
print((8 * matrix).round().int())
print("A V, the layer's output:")
print((matrix @ pixels).round().int())
assert torch.allclose(matrix @ pixels, torch.tensor([[12, 4, 2], [-2, 6, 9], [-10, -2, 9], [18, 18, -5]]).double())
ranks = [int(torch.linalg.matrix_rank(each)) for each in (content, position, matrix)]
print("ranks of content, position and sum:", ranks)
assert ranks == [2, 4, 4]

# %% [markdown]
# **What you should see.** Row 1 reads −7, 1, 9, 5. Pixel 1 takes 9/8 of blue and *minus* 7/8 of red. Weights of attention are never negative. The content matrix has rank $k=2$, as the appendix of lesson 02 explains. The position matrix may have full rank, because each pixel has its own embeddings.

# %% [markdown]
# ## 2 · Do the weights add up to 1?
#
# In attention, the weights of a query add up to 1. Pixel 2 of the strip has the query (1, −1). Each of the two columns of soft keys adds up to 1.
#
# **Predict.** What do the four *content* weights of pixel 2 add up to?

# %%
guess = None  # a number
check_answer("08.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    print("sums of the content weights:", content.sum(1).round(decimals=4).tolist())
    print("the sums of the queries:    ", queries[0, 0].sum(1).tolist())
    print("sums of the position weights:", position.sum(1).round(decimals=4).tolist())

# %% [markdown]
# In general, $\sum_m q\cdot\sigma_m = \sum_k q_k$. The query alone decides. A position row has no fixed sum either: at the border, part of the stencil has nothing to read. So $A$ holds weights, and never probabilities.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert torch.allclose(content.sum(1), torch.tensor([1.0, 1.0, 0.0, 2.0]).double())
assert torch.allclose(content.sum(1), queries[0, 0].sum(1))

# %% [markdown]
# ## 3 · A trained model, and one that learnt nothing
#
# A figure of a trained model can look meaningful by accident. So we draw a partner beside it: the same model with random weights (a *sanity check*, Adebayo et al. 2018). We only believe what differs. The random model gets one courtesy: its norms measure mean and variance on 500 images.
#
# `tiny` has two lambda layers. One works on a map of 7 × 7 pixels, the other on 3 × 3 pixels. The function `layer_parts` hands us the queries, soft keys, values and embeddings of a layer, on 64 test images. The first of them is the plane.

# %%
data = load_cifar10(source="sample")
test_images, test_labels = normalize(data.test_images), data.test_labels
train_images = normalize(data.train_images[:500])
rows = torch.cat([(data.test_index == 44).nonzero()[:, 0], torch.arange(63)])  # the plane first
photos, images = data.test_images[rows] / 255, test_images[rows]

torch.manual_seed(0)
models = {"trained": load_pretrained("tiny"), "untrained": create_model("tiny")}
update_bn(train_images.split(250), models["untrained"])
layers, parts = {}, {}
with torch.no_grad():
    for word, model in models.items():
        inputs = layer_inputs(model.eval(), images)
        for name, layer in lambda_layers(model).items():
            side = inputs[name].shape[3]
            layers[word, side], parts[word, side] = layer, layer_parts(layer, inputs[name])
            q, soft_keys, v, embeddings = parts[word, side]
            A = sum(equivalent_matrices(q, soft_keys, embeddings))
            by_matrix = rearrange(einsum("bhnmu,bmvu->bhnv", A, v), "b h (y x) v -> b (h v) y x", y=side)
            output = layer(inputs[name])
            gap = (by_matrix - output).abs().max() / output.abs().max()
            print(f"{word}, {side} × {side}: A V is the layer's output:", bool(gap < 1e-5),
                  f"· negative weights: {100 * (A < 0).float().mean():.0f} %")
            assert gap < 1e-5


# %% [markdown]
# The matrix is exact, up to the rounding of float32. About half of all weights are negative, before and after training. Now look at one row of it, for one pixel of the plane:

# %%
def look(image: int = 0, side: int = 7, head: int = 2, row: int = 2, column: int = 1):
    """Draw what one pixel takes from each pixel of the map; row and column count on a grid of 7 × 7."""
    row, column, maps = row * side // 7, column * side // 7, {}
    for word in models:
        q, soft_keys, _, embeddings = parts[word, side]
        content, position = equivalent_matrices(q[[image]], soft_keys[[image]], embeddings)
        maps[word] = [each[0, head, row * side + column, :, 0].view(side, side).detach()
                      for each in (content, position, content + position)]
    return figures.matrix_rows(photos[image], (row, column), maps, ["content", "position", "sum"])


figures.show(
    look(),
    "What the framed pixel takes from each pixel of the 7 × 7 map, drawn over the plane. Purple is "
    "positive, brown with a minus is negative, white is 0. Each row has its own scale.",
    alt="The plane with a framed pixel, and for the trained and the untrained model its row of the "
        "content matrix, of the position matrix and of their sum.",
)

# %% [markdown]
# **What you should see.** Trained: the position weights form a pattern around the pixel. They are positive near it, and negative three or four columns away. The content weights change slowly, here from sky to ground. Untrained: the position weights are noise.
#
# **Try it.** Move the pixel: which of the two matrices moves along? Then change the image and keep the pixel.

# %% tags=["nbval-ignore-output"]
widgets.explore(
    look,
    "A row of the equivalent matrix, trained and untrained",
    image=widgets.choice("image", {"plane": 0, "cat": 1, "ship": 2}),
    side=widgets.choice("layer", {"7 × 7": 7, "3 × 3": 3}),
    head=widgets.choice("head", [0, 1, 2, 3], 2),
    row=widgets.slider("row of the pixel", 0, 6, 2),
    column=widgets.slider("column", 0, 6, 1),
)

# %% [markdown]
# On GitHub, where no code runs, the controls stand still. Here are five positions of the pixel, from left to right through row 2:

# %%
q, soft_keys, _, embeddings = parts["trained", 7]
places = [(half, column) for half in ("content", "position") for column in (0, 1, 3, 5, 6)]
film = dict(zip(("content", "position"), equivalent_matrices(q[[0]], soft_keys[[0]], embeddings)))
strips = [film[half][0, 2, 2 * 7 + column, :, 0].view(7, 7).detach() for half, column in places]
figure = figures.maps(strips, [f"{half}, column {column}" for half, column in places], columns=5, limit=1.6)
for ax, weights, (_, column) in zip(figure.axes, strips, places):
    ax.plot(column, 2, "s", markersize=14, markerfacecolor="none", markeredgecolor="black", markeredgewidth=2)
    for y, x in (weights < -0.4).nonzero().tolist():
        ax.annotate("−", (x, y), ha="center", va="center")
figures.show(
    figure,
    "The trained model, head 2: what the framed pixel takes, as it moves to the right. Above content, below "
    "position. Purple is positive, brown with a minus is negative, white is 0. All maps have one scale.",
    alt="Two rows of five maps of 7 × 7. The content maps look alike, and the pattern of the position maps moves "
        "with the pixel: purple around it, brown three or four columns to its sides.",
)

# %% [markdown]
# **What moving teaches.** The position pattern follows the pixel, and the query reshapes it. Content patterns stay where they are. They depend on the image, and pixels with similar queries share them.

# %% [markdown]
# ## 4 · The stencils
#
# **Claim.** Training turns noise into patterns around the pixel.
#
# The position half at one pixel is a single filter. The query mixes it from the $k=16$ stencils: $\kappa_{hn} = \sum_k q_{hnk}\,T_k$, with $T\in\mathbb{R}^{k\times 13\times 13}$ (`pixel_kernels`). So all filters of all pixels, heads and images lie in a space of 16 dimensions. The *energy* of some taps is the sum of their squares.

# %%
banks = {word: layers[word, 7].table[:, 0].detach() for word in models}  # (k=16, 13, 13)
for word, bank in banks.items():
    kernels = pixel_kernels(parts[word, 7].queries[:2].double(), bank[:, None].double())  # (b, h, n, u, 13, 13)
    energy = bank.square()
    near = energy[:, 5:8, 5:8].sum() / energy.sum()
    rank = int(torch.linalg.matrix_rank(kernels.flatten(0, 3).flatten(1)))
    mirrored = torch.cosine_similarity(bank.flatten(1), bank.flip(2).flatten(1)).mean()  # left and right swapped
    print(f"{word}: {kernels[..., 0, 0].numel()} filters of 13 × 13, rank {rank}")
    print(f"    energy in the inner 3 × 3 taps: {100 * near:.0f} %")
    print(f"    a stencil and its mirror image: cosine {abs(mirrored):.1f}, on average")
    assert rank == 16
figures.show(
    figures.stencil_banks(banks),
    "All 16 stencils of the 7 × 7 layer. Purple is positive, brown is negative, white is 0.",
    alt="Sixteen stencils of 13 × 13 taps, untrained and trained.",
)


# %% [markdown]
# **What you should see.** The inner 9 of 169 taps hold 27 % of the energy, against 6 % before training. Most stencils resemble their own mirror image, perhaps because training mirrored the images. The outer taps are weak and smooth, yet not 0.

# %% [markdown]
# ## 5 · Who writes the palette?
#
# Each palette colour is a weighted mean over the 49 pixels of the map. How many pixels write it, in effect? Lesson 02 wrote such a number under each colour: the exponential of the entropy. If 10 pixels share the weight evenly, it is 10:
#
# $$w \;=\; \exp\Big(-\sum_m \sigma_m\log\sigma_m\Big),\qquad 1\le w\le m$$

# %%
def effective_writers(soft_keys: Tensor) -> Tensor:
    """exp of the entropy over the context: (b, m, k, u) -> (b, k, u)."""
    return torch.special.entr(soft_keys).sum(1).exp()


writers = {place: effective_writers(part.soft_keys) for place, part in parts.items()}
print(f"untrained: a colour is written by {writers['untrained', 7].mean():.0f} of 49 pixels, on average")

# %% [markdown]
# **Predict.** In the trained model, is a colour written by more pixels, or by fewer?

# %%
guess = None  # "more" or "fewer"
check_answer("08.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for (word, side), count in writers.items():
        each = count.mean((0, 2))  # of each colour, over the images
        print(f"{word}, {side} × {side}: on average {each.mean():.1f} of {side * side} pixels,",
              f"by colour {each.min():.1f} to {each.max():.1f}")

# %% [markdown]
# So the palettes of this model are close to plain averages of the map. The image decides *what* is averaged, since values come from it. The keys choose little. One colour of the 3 × 3 layer is an exception: about four of nine pixels write it.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert writers["trained", 7].mean() > writers["untrained", 7].mean() + 3
assert 3.5 < writers["trained", 3].mean((0, 2)).min() < 4.5

# %% [markdown]
# ## 6 · Energy, and why it is not use
#
# The output is a sum of a content half and a position half. A first measure of their importance is their energy, the sum of squares of their numbers:
#
# $$\text{content share} \;=\; \frac{\lVert y^{c}\rVert^2}{\lVert y^{c}\rVert^2+\lVert y^{p}\rVert^2}$$

# %%
shares = {}
for side in (7, 3):
    for word in ("untrained", "trained"):
        content_energy, position_energy = output_energies(parts[word, side])
        shares[f"{side} × {side} map, {word}"] = content_energy / (content_energy + position_energy)
for name, share in shares.items():
    print(f"{name}: {100 * share:.0f} %")
figures.show(
    figures.energy_bars(shares),
    "The energy of each half, as a share of the two together, on 64 test images.",
    alt="Four bars, each split into content and position: both layers, untrained and trained.",
)

# %% [markdown]
# **What you should see.** Training moved energy to the stencils, in both layers. Still, content holds the larger part. Is the palette then the more important half? Look at how much the content half differs between the pixels of an image:

# %%
moving = {}
for word in models:
    q, soft_keys, v, _ = parts[word, 7]
    output = apply_lambdas(q, einsum("bmku,bmvu->bkv", soft_keys, v))  # (b, h, n, v)
    moving[word] = (output - output.mean(2, keepdim=True)).square().sum() / output.square().sum()
    print(f"{word}: {100 * moving[word]:.0f} % of the content half's energy differs within an image")


# %% [markdown]
# In the trained 7 × 7 layer, nine tenths of the content half is one constant for each image. A layer behind can ignore it, or use it. Its energy does not say which. Step 7 measures use in another way: take a part away, and count.

# %% [markdown]
# ## 7 · ★ Take the steering away
#
# The query *steers*. At every pixel it decides how palette and stencils mix. It is why a lambda layer is more than a convolution. How much does `tiny` use it?
#
# The experiment: compute the mean query of each layer and head over many images, $\bar q_h\in\mathbb{R}^{k}$. Give this one query to *every pixel of every image*. The position half is then a plain convolution (lesson 03), and the content half adds one colour to the whole image. All other weights stay. Nothing is trained again.
#
# $$q_{bhn}\;\longrightarrow\;\bar q_h \;=\; \frac{1}{b\,n}\sum_{b,n} q_{bhn}$$

# %%
def replace_queries(model: nn.Module, replacement: Callable[[str, Tensor], Tensor]) -> nn.Module:
    """A copy whose lambda layers take replacement(name, queries), for queries of (b, h·k, H, W)."""
    model = copy.deepcopy(model)
    for name, layer in lambda_layers(model).items():
        layer.norm_queries.register_forward_hook(
            lambda norm, inputs, queries, name=name: replacement(name, queries).expand_as(queries)
        )
    return model


tiny = models["trained"]
means = mean_queries(tiny, train_images)  # name -> (h, k)


def same_everywhere(chosen: list[str], name: str, queries: Tensor) -> Tensor:
    """The mean query in the chosen layers; the others keep their own."""
    return rearrange(means[name], "h k -> (h k) 1 1") if name in chosen else queries


# %% [markdown]
# **Predict.** As trained, `tiny` names 91.5 % of the 10,000 test images correctly. How many points does it lose when all pixels of all images share one query per head? (Guessing gives 10 %, so it can lose about 80.)

# %%
guess = None  # points lost, a number
check_answer("08.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
steered = evaluate(tiny, test_images, test_labels)
frozen = evaluate(replace_queries(tiny, partial(same_everywhere, list(means))), test_images, test_labels)
if revealed(guess):
    full = read_steering()["tiny"]["accuracies"]  # measured on all 10,000 test images, see RESULTS.md
    print(f"here, 500 test images:    {100 * steered:.1f} % -> {100 * frozen:.1f} %")
    print(f"record, 10,000 of them:   {100 * full['as_trained']:.2f} % -> {100 * full['mean_query']:.2f} %")

# %% [markdown]
# Surprised? The course keeps a *record*, a stored measurement on the whole test set, with more things to take away. The figure shows it. Where it says "norms again", the batch norms measured their mean and variance once more. The changed features are new to them, and that alone costs accuracy.

# %%
removed = {
    "steering: one query": "mean_query",
    "the same, norms again": "mean_query_new_statistics",
    "one query per image, norms again": "image_mean_query_new_statistics",
    "all taps but the centre, norms again": "centre_taps_new_statistics",
    "all stencils, norms again": "no_stencils_new_statistics",
    "all palettes, norms again": "no_palettes_new_statistics",
}
record = {name: entry["accuracies"] for name, entry in read_steering().items()}
lost = {words: [100 * (accuracies["as_trained"] - accuracies[key]) for accuracies in record.values()]
        for words, key in removed.items()}
figures.show(
    figures.points_lost(lost, list(record), legend="upper right"),
    "Points of test accuracy that our two shipped models lose, on 10,000 images.",
    alt="Bars: how many points each model loses without its steering, its stencils, and its palettes.",
)

# %% [markdown]
# **What you should see.** One query for all costs `tiny` 1.6 points and `small`, the network of lesson 00, 1.4. That is about 150 images of 10,000: small, and not zero. Without stencils `tiny` loses 14 points, and as many without palettes. `small` loses 9 without stencils and 14 without palettes. So these models need both *halves*, and hardly the *steering* of them.
#
# Which layer needs its queries? And is it perhaps enough to have one query for each image?

# %% tags=["nbval-ignore-output"]
first, second = means
trials = {"7 × 7 layer: one query": partial(same_everywhere, [first]),
          "3 × 3 layer: one query": partial(same_everywhere, [second]),
          "both: one query per image": lambda name, queries: queries.mean((2, 3), keepdim=True)}
for words, replacement in trials.items():
    accuracy = evaluate(replace_queries(tiny, replacement), test_images, test_labels)
    print(f"{words:26} {100 * accuracy:.1f} % of 500 (as trained: {100 * steered:.1f} %)")


# %% [markdown]
# On these images the loss comes from the 7 × 7 layer. But it is only a few images of 500, so read no more into it.
#
# Maybe the queries of a trained model hardly vary, and there was nothing to remove? Measure how much of their variance lies *within* an image, between its pixels:

# %%
def within_image_share(queries: Tensor) -> float:
    """The part of the variance that is not between the means of images: (b, h, n, k) -> 0 to 1."""
    within = queries - queries.mean(2, keepdim=True)
    overall = queries - queries.mean((0, 2), keepdim=True)
    return (within.square().sum() / overall.square().sum()).item()


within = {place: within_image_share(part.queries) for place, part in parts.items()}
for (word, side), share in within.items():
    print(f"{word}, {side} × {side}: {100 * share:.0f} % of the query's variance lies within an image")

# %% [markdown]
# The queries do vary, and mostly between the pixels of one image. Training even raised that share. The model steers, and what it steers hardly changes its answers.
#
# **Caution.** The model was *trained* with steering, so we measured what this model uses, and not what steering could be worth. For that, train a model that never had it. [Lesson 09](09_what_the_lambda_is_worth.ipynb) does, under the name *frozen query*.

# %% [markdown]
# ## 8 · How far does it see?
#
# In front of the 7 × 7 layer, the centre pixel depends on a window of 15 × 15 input pixels. Behind it, it *can* depend on all 1024. Does it? The **effective receptive field** (Luo et al. 2016) is the size of the gradient of the centre's features $f_c$ with respect to each input pixel $x_{yx}$, averaged over images:
#
# $$R_{yx}\;\propto\;\operatorname{mean}\Big|\frac{\partial \sum_c f_c(\text{centre})}{\partial x_{yx}}\Big|,\qquad \sum_{y,x}R_{yx}=1$$

# %%
in_front = nn.Sequential(tiny.stem, tiny.blocks[0], tiny.blocks[1].widen)
fields = {"in front, trained": effective_receptive_field(in_front, images)}
for word in ("untrained", "trained"):
    behind = nn.Sequential(models[word].stem, *models[word].blocks[:2])
    fields[f"behind, {word}"] = effective_receptive_field(behind, images)
reached = fields["in front, trained"].nonzero()
(top, left), (bottom, right) = reached.amin(0).tolist(), reached.amax(0).tolist()
print("window of the convolutions:", bottom - top + 1, "×", right - left + 1)
outside = {name: 1 - float(field[top : bottom + 1, left : right + 1].sum()) for name, field in fields.items()}
figures.show(
    figures.receptive_fields(fields, (top, bottom, left, right)),
    "How much the centre of the 7 × 7 map depends on each input pixel. White is not at all; the frame "
    "is the window of the convolutions.",
    alt="Three maps of 32 × 32: in front of the layer, behind it without training, and behind it with training. "
        "The window of the convolutions is framed.",
)


# %% [markdown]
# **What you should see.** Behind the lambda layer, 37 % of the dependence lies outside the frame; without training it is 23 %. So training made distant pixels count more. The layer delivers the long-range interactions that the paper's title promises.

# %% [markdown]
# ## 9 · Two opposite matrices, one output
#
# Is $A$ an explanation? "Pixel 1 used yellow": the strip's row 1 gives yellow the weight 5/8. But yellow = red + green. Take one unit of red and green away, and add one unit of yellow. The output stays. So you may add any multiple of a vector $z$ to any row, here of $z=(-1,-1,0,1)$:
#
# $$z^\top V=0\quad\Longrightarrow\quad (A+c\,z^\top)\,V = A\,V$$
#
# The matrix $A$ gives the right output, and so do infinitely many others. The layer's own $A$ is *one* explanation among them. Brunner et al. (2020) showed the same for attention.

# %%
def unseen_directions(values: Tensor) -> Tensor:
    """An orthonormal basis of all z with zᵀV = 0: (m, v, u) -> (z, m, u)."""
    rows = rearrange(values, "m v u -> (m u) v")
    directions, _, _ = torch.linalg.svd(rows)
    unseen = directions[:, torch.linalg.matrix_rank(rows) :]
    return rearrange(unseen, "(m u) z -> z m u", u=values.shape[2])


z = unseen_directions(values[0])[0, :, 0]
print("the strip's unseen direction:", (z / z[3]).round(decimals=4).tolist())
assert torch.allclose(z / z[3], torch.tensor([-1.0, -1.0, 0.0, 1.0]).double())
assert torch.allclose((matrix + 100 * z) @ pixels, matrix @ pixels)

for (word, side), part in parts.items():
    print(f"{word}, {side} × {side}: {len(unseen_directions(part.values[0]))} unseen directions in the plane")
q, soft_keys, v, embeddings = (part.double() for part in parts["trained", 7])
row = sum(equivalent_matrices(q[:1], soft_keys[:1], embeddings))[0, 2, 2 * 7 + 1, :, 0]  # as in step 3
unseen = unseen_directions(v[0])[:, :, 0]  # (17, m=49)
z = unseen.T @ unseen[:, 3 * 7 + 5]  # the unseen direction that is nearest to one pixel, row 3 and column 5
changed = {"A": row, "A + 20 z": row + 20 * z, "A − 20 z": row - 20 * z}
outputs = [each @ v[0, :, :, 0] for each in changed.values()]
cosine = torch.cosine_similarity(changed["A + 20 z"], changed["A − 20 z"], dim=0)
print("one output:", all(torch.allclose(each, outputs[0]) for each in outputs),
      f"· cosine of the last two rows: {cosine:.1f}")
figures.show(
    figures.matrix_rows(photos[0], (2, 1), {"trained": [each.view(7, 7) for each in changed.values()]},
                        list(changed)),
    "Three rows of weights for the framed pixel. The last two are nearly opposite, and all three have "
    "the same output. A is pale, because all share one scale. Colours as in step 3.",
    alt="Three rows of weights over the plane; the second and the third are nearly opposite.",
)

# %% [markdown]
# **What you should see.** The 7 × 7 layer has 49 pixels and $v=32$ value channels, so 49 − 32 = 17 directions are unseen. The 3 × 3 layer has 9 pixels, and none. There, no other matrix does the same. Count before you explain. With more pixels than value channels, a matrix of weights is never the only one.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 6 to 9
assert shares["7 × 7 map, trained"] < shares["7 × 7 map, untrained"] - 0.25
assert moving["trained"] < 0.15 and moving["untrained"] > 0.5
assert 0 < steered - frozen < 0.04 and max(lost["steering: one query"]) < 2
assert min(lost["all stencils, norms again"]) > 8
assert within["trained", 7] > 0.8 and within["trained", 3] > 0.7
assert outside["behind, trained"] > outside["behind, untrained"] + 0.1
assert len(unseen) == 49 - 32 and all(torch.allclose(each, outputs[0]) for each in outputs) and cosine < -0.5

# %% [markdown]
# ## Exercises
#
# **1 ★ Compute.** A row by hand. The strip's pixel 3 gets the query (2, 1). What is its row of $8A$? The soft keys are 2, 2, 2, 2 and 1, 1, 1, 5 (in eighths). The stencils are "me" and "right minus left".

# %%
row_of_pixel_3 = None  # four numbers
exercise_1 = check_answer("08.E1", row_of_pixel_3)
exercise_1

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Content and position are separate rows. Compute each, then add.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Content: twice the first column plus the second. Position: pixel 3 is the last one, so only "me" and "left" are on the strip. "Left" has the weight −1.
#
# </details>
#
# <details><summary>Solution</summary>
#
# Content: 2 · (2, 2, 2, 2) + (1, 1, 1, 5) = (5, 5, 5, 9). Position: "me" gives 2 · 8 = 16 to pixel 3, and "right minus left" gives −8 to pixel 2. The sum is (5, 5, −3, 25).
#
# ```python
# row_of_pixel_3 = (5, 5, -3, 25)
# check_answer("08.E1", row_of_pixel_3)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Construct.** The strip's row 1 of $8A$ is (−7, 1, 9, 5): weight 5 for yellow. Write another row that gives yellow the weight 0, and has the same output.

# %%
row_without_yellow = None  # four numbers, the last is 0
exercise_2 = check_answer("08.E2", row_without_yellow)
exercise_2


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Which direction can you add to a row without a change of the output? Step 9 has it.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Add $c\cdot(-1,-1,0,1)$, with the $c$ that makes the last number 0.
#
# </details>
#
# <details><summary>Solution</summary>
#
# With $c=-5$: (−7 + 5, 1 + 5, 9, 5 − 5) = (−2, 6, 9, 0). So "did pixel 1 use yellow?" has no answer in the output. It used yellow, or else red and green.
#
# ```python
# row_without_yellow = (-2, 6, 9, 0)
# assert torch.allclose(torch.tensor([row_without_yellow]).double() @ pixels, 8 * matrix[1:2] @ pixels)
# check_answer("08.E2", row_without_yellow)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Implement.** A position row is a window that is cut from the pixel's filter. Write the cut. The filter has $2\cdot\text{side}-1$ taps in each direction, and its centre tap belongs to the pixel itself.

# %%
def cut_row(kernel: Tensor, row: int, column: int, side: int) -> Tensor:
    """(2·side - 1, 2·side - 1) -> (side, side): what the pixel at (row, column) takes from each pixel."""
    return None  # a slice of the kernel


kernel = pixel_kernels(q, layers["trained", 7].table.double())[0, 2, 2 * 7 + 1, 0].detach()
right_row = equivalent_matrices(q, soft_keys, embeddings)[1][0, 2, 2 * 7 + 1, :, 0].view(7, 7).detach()
exercise_3 = check_close(cut_row(kernel, 2, 1, 7), right_row, "which tap belongs to the top left pixel?")
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# The centre tap has the index side − 1 in both directions. It must land on (row, column) of the result.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# So row 0 of the result is row side − 1 − row of the kernel. How many rows follow?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Tap $(i,j)$ belongs to the pixel $(i-(\text{side}-1),\; j-(\text{side}-1))$ away. The map ends where the window ends.
#
# ```python
# def cut_row(kernel, row, column, side):
#     top, left = side - 1 - row, side - 1 - column
#     return kernel[top : top + side, left : left + side]
#
#
# check_close(cut_row(kernel, 2, 1, 7), right_row)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Construct.** Energy is not use. On the strip, the content half holds 327/839 of the energy, about 39 %. A next layer reads red + $a$ · green + $b$ · blue from every pixel's output. Find $a$ and $b$ so that it reads 0 from the content half, for every query.

# %%
a_and_b = None  # a pair (a, b)
exercise_4 = check_answer("08.E4", a_and_b)
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Every content output is a mixture of the two palette colours, (4, 4, 2) and (6, 6, 1). It is enough to read 0 from both.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $4+4a+2b=0$ and $6+6a+b=0$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# $a=-1$ and $b=0$: both colours have as much red as green. The layer can ignore 39 % of the energy with one weight. No such weights exist for the position half, whose four outputs span all three colours.
#
# ```python
# a_and_b = (-1, 0)
# reads = torch.tensor([1, *a_and_b]).double()
# assert not (content @ pixels @ reads).any() and torch.linalg.matrix_rank(position @ pixels) == 3
# check_answer("08.E4", a_and_b)
# ```
#
# </details>

# %% [markdown]
# **5 ★★★ Derive.** One head of the 7 × 7 layer has a content matrix and a position matrix of 49 × 49 weights, with $k=16$. What is the highest rank that each can have?

# %%
highest_ranks = None  # a pair (content, position)
exercise_5 = check_answer("08.E5", highest_ranks)
exercise_5

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write the content matrix as a product. What is its inner size?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Can you write the position matrix as such a product too? Row $n$ is $q_n$ times its own 16 × 49 matrix $E_n$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# Content is $Q\sigma^\top$ with $Q\in\mathbb{R}^{49\times 16}$, so its rank is at most 16. In the position matrix every row has its own $E_n$, so nothing ties the rows together. "Me" alone makes the identity, of rank 49.
#
# ```python
# highest_ranks = (16, 49)
# by_part = [each[0, 2, :, :, 0] for each in equivalent_matrices(q, soft_keys, embeddings)]
# assert [int(torch.linalg.matrix_rank(each)) for each in by_part] == [16, 49]
# check_answer("08.E5", highest_ranks)
# ```
#
# </details>

# %%
progress({
    "1 a row by hand": "exercise_1",
    "2 a row without yellow": "exercise_2",
    "3 cut the row": "exercise_3",
    "4 energy is not use": "exercise_4",
    "5 highest ranks": "exercise_5",
}, globals())

# %% [markdown]
# ## What we now know
#
# * A lambda layer is a matrix $A$ times its values. $A$ is signed, its rows have no fixed sum, and it is content plus position.
# * Training turned the stencils from noise into patterns around the pixel. It made the palettes of `tiny` nearly plain averages, and its content half nearly constant within an image.
# * Without its stencils `tiny` loses 14 points. Without its steering it loses 1.6, though its queries vary a lot within an image.
# * Behind the layer, a feature depends on distant pixels, and more so after training: 37 % against 23 % outside the window of the convolutions.
# * $A$ is one explanation of many: any $z$ with $z^\top V=0$ can be added. Energy and weights suggest; taking a part away tests.
#
# **Ledger.** *Long-range interactions*: for, they are there and can be written down exactly; against, the steering of them is hardly used. *Explanations from weights*: against, where there are more pixels than value channels the weights are not unique.
#
# **The code of this lesson** lives in `lambdalib/explain.py`. `python -m lambdalib.experiments.steering tiny small` measures the record of step 7 again.
#
# **Next.** We took parts from a trained model. What if they were never there? [Lesson 09: what the lambda is worth](09_what_the_lambda_is_worth.ipynb).
