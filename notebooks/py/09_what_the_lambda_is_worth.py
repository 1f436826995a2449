# %% [markdown]
# # 09 · What the lambda is worth
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/09_what_the_lambda_is_worth.ipynb)

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
# > **After this lesson you can** say which part of a lambda layer earns its accuracy, and on what evidence. You can build the twins that such a comparison needs. You can tell three worths of one part from each other.
# >
# > **You need** [lesson 03](03_position_lambdas.ipynb) (the frozen query), [lesson 07](07_train_on_cifar10.ipynb) (how the models were trained) and [lesson 08](08_look_inside.ipynb) (a part taken from a trained model). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 65 minutes to read and run, 25 for the exercises. The code takes about 30 seconds on two CPU cores. The trainings took hours; their records come with the course.
# >
# > **Short path** Steps 1, 4, 5 and 8.

# %% [markdown]
# ## Which part earned the accuracy?
#
# A lambda layer has three parts. In the formula, each has a box:
#
# $$y_n \;=\; \Big(\boxed{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top} \;+\; \boxed{\sum_m e_{nm}\,v_m^\top}\Big)^{\!\top} \boxed{q_n}$$
#
# The first box is the palette, or *content half*. The second box holds the readings of the stencils, or *position half*. The third is the query, which steers both.
#
# Here is a simple idea: leave one part out, train again, and count what is lost. Such an experiment is called an **ablation**. You read the paper's first, and then ours.

# %%
import math
from copy import deepcopy
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn

from lambdalib import LambdaLayer, create_model, load_cifar10, load_pretrained, normalize
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.experiments.paper_tables import HALVES
from lambdalib.experiments.report import MODEL_WORDS, compare_rows
from lambdalib.experiments.results import format_difference, mean_difference, read_results
from lambdalib.experiments.rows import ROWS
from lambdalib.experiments.steering import read_steering
from lambdalib.training.data import CLASSES
from lambdalib.training.train import evaluate, predict
from lambdalib.twins import TWINS, Twin

torch.manual_seed(0)
data = load_cifar10(source="sample")  # 2,000 training and 500 test images
test_images, test_labels = normalize(data.test_images), data.test_labels
figures.show(
    figures.one_picture(),
    "Three parts make an output: the palette, the readings of the stencils, and the query that mixes them.",
    alt="The picture of the course: palette, stencils with their readings, queries and outputs of two pixels.",
)

# %% [markdown]
# ## 1 · The paper took its own layer apart
#
# The paper is called *LambdaNetworks: modeling long-range interactions without attention* ([Bello 2021](https://arxiv.org/abs/2102.08602)). It trained a ResNet-50 with lambda layers on ImageNet, three times: with both halves, without the content half, and without the position half. The complete net names 78.4 % of 50,000 images correctly. The numbers stand in Table 10 of its [first version](https://openreview.net/forum?id=xTJEN-ggl1b), of 2020.
#
# **Predict.** How many points were lost without the content half, and how many without the position half?

# %%
guess = None  # (points lost without the content half, points lost without the position half)
check_answer("09.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for part, accuracy in HALVES.items():
        print(f"{part:26}{accuracy:.1f} %   lost: {HALVES['both halves'] - accuracy:.1f} points")

# %% [markdown]
# Without the palettes this net loses 0.3 points, without the stencils 9.6. So nearly all of the accuracy is there with stencils alone, steered by the query.
#
# Read it fairly:
#
# * **The paper printed this table itself.** And the whole layer kept its promise: against plain convolutions, ImageNet accuracy rose from 76.9 to 78.4 % with about 40 % fewer parameters. A [public rerun](https://github.com/d-li14/lambda.pytorch) of the lambda net got 78.2 %, after 130 epochs instead of 90.
# * **Each number lacks an error bar.** Of 50,000 images, 0.3 points are about 150. The choice of the images alone makes this difference uncertain by ± 0.5 points ([lesson 09b](09b_how_sure.ipynb)). So the 0.3 may be chance, and the 9.6 cannot.
# * **"Without the position half" speaks of the layers, not of the net.** Convolutions in front of them still see neighbours (exercise 2).
#
# Two rows are missing. What if the query stood still? And what if these layers saw no other pixel at all? A layer for this last question is called a **control**. Without a control we cannot know whether there was anything to earn.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
lost = {part: round(HALVES["both halves"] - accuracy, 1) for part, accuracy in HALVES.items()}
assert list(lost.values()) == [0, 0.3, 9.6] and round(0.003 * 50_000) == 150
half = 1.96 * math.sqrt(sum(p * (1 - p) / 50_000 for p in (0.784, 0.781)))  # lesson 09b derives it
assert round(100 * half, 1) == 0.5 and round(1 - 15.0 / 25.6, 1) == 0.4


# %% [markdown]
# ## 2 · Twins
#
# **Claim.** To know what a part is worth, compare twins. A **twin** has one part less, or another layer in its place. The rest of the net, the recipe and the seeds are the same; only the learning rate is chosen for each, on validation images (lesson 09b).
#
# | twin | output at pixel n, head h | what it lacks |
# |---|---|---|
# | lambda | $(\lambda^c+\lambda^p_n)^\top q_{hn}$ | |
# | content | $\lambda^{c\,\top} q_{hn}$ with $\lambda^c=\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top$ | the stencils |
# | position | $\lambda_n^{p\,\top} q_{hn}$ with $\lambda^p_n=\sum_m T_{m-n}\,v_m^\top$ | the palette |
# | frozen query | $\lambda_n^{p\,\top} q_h$ | palette and steering: one learned query $q_h$ for all pixels |
# | 1×1 convolution | $v_{hn}$ | every other pixel: our control |
# | attention | $\sum_m \mathrm{softmax}_m\big((q_{hn}\cdot k_{hm}+q_{hn}\cdot T_{m-n})/\sqrt k\big)\,v_{hm}$ | a rival |
# | linear attention | $\sum_m \big(q_{hn}\cdot\mathrm{softmax}_m(K_h)_m\big)\,v_{hm}$ | a rival, without positions |
# | 3×3 convolution | $\sum_m W_{m-n}\,x_m$ | the paper's rival |
#
# Here $T$ is the table of stencils, $x_m$ are features, and $W$ is a filter.
#
# Fairer twins are built, too: a control with a query, and smaller convolutions. Step 3 lists those that have no record yet.
#
# Do the content twin and the position twin take the layer apart? With the layer's own weights, their outputs must add up to its output:

# %%
def halves(layer: LambdaLayer, size: tuple[int, int]) -> tuple[Twin, Twin]:
    """The content twin and the position twin of a layer that sees its whole map, with its weights."""
    dim = layer.to_queries.in_channels
    content, position = (Twin(dim, kind, size, dim_k=layer.dim_k, heads=layer.heads, dim_u=layer.dim_u)
                         for kind in ("content", "position"))
    for twin in (content, position):
        for name in ("queries", "values"):
            projection, norm = getattr(twin, f"to_{name}")
            projection.load_state_dict(getattr(layer, f"to_{name}").state_dict())
            norm.load_state_dict(getattr(layer, f"norm_{name}").state_dict())
    content.to_keys.load_state_dict(layer.to_keys.state_dict())
    position.table.data.copy_(layer.table)
    return content, position


features = torch.randn(2, 21, 5, 7, dtype=torch.float64)  # (b, d, H, W)
layer = LambdaLayer(21, dim_k=4, heads=3, scope=None, feat_size=(5, 7)).double().eval()
content, position = (twin.double().eval() for twin in halves(layer, (5, 7)))
gap = (content(features) + position(features) - layer(features)).abs().max()
print("content twin + position twin = lambda layer:", bool(gap < 1e-12))
assert gap < 1e-12 and content(features).abs().max() > 0.01 and position(features).abs().max() > 0.01

# %% [markdown]
# ## 3 · In a usual net
#
# The net is `tiny` of lesson 06. Each twin takes the place of its two lambda layers. In front of them stand 3×3 convolutions. Each net trains for 10 epochs on all 50,000 images, with three seeds.
#
# We compare means of three runs. A difference has a **95 % interval**: in 95 of 100 such experiments, an interval made like this contains the true difference. We call a difference **significant** if its interval does not contain 0. This rule holds for every number of ours. Lesson 09b derives it.
#
# **Predict.** Take the control, which sees no other pixel. Against the lambda layer, how much accuracy does it lose? (a) less than 1 point; (b) 1 to 5 points; (c) more than 5 points.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
recorded = {row.name: row for row in read_results()}
twins = [name for name in ROWS if name.startswith("twins-")]
usual, parameters = compare_rows(recorded, [*twins, "sizes-u4"], "twins-lambda")
if revealed(guess):
    control, reference = recorded["twins-pointwise"].accuracies, recorded["twins-lambda"].accuracies
    print("control minus lambda layer, points:", format_difference(control, reference))
    figures.show(
        figures.differences(usual, "test accuracy minus that of the lambda layer (u = 1), points", parameters),
        "Other layers in place of the lambda layers of tiny: differences of means of three seeds. Lines are 95 % "
        "intervals, orange is significant. The lambda net has "
        f"{recorded['twins-lambda'].parameters:,} parameters.",
        alt="Dots with intervals: each twin's difference to the lambda layer with u = 1, and its parameters.",
    )

# %%
fairer = [MODEL_WORDS[name] for name in ROWS if name.startswith("rivals-") and name not in recorded]
print("twins without a record:", *fairer, sep="\n  ")


def points(one: str, other: str) -> tuple[float, float]:
    """The mean of one row minus that of another, and half the width of the 95 % interval, in points."""
    difference, half = mean_difference(recorded[one].accuracies, recorded[other].accuracies)
    return round(100 * difference, 2), round(100 * half, 2)


# %% [markdown]
# **What you should see.**
#
# * **The control is as good as the lambda layer**: +0.18 ± 0.38 points. Here the layer gains nothing measurable from other pixels.
# * **So no part of it can be worth much here.** The palette is worth 0.18 ± 0.33 points, and the stencils 0.13 ± 0.57.
# * **There was something to gain.** The 3×3 convolution is 0.74 ± 0.38 points ahead, with twice the parameters. With u = 4 the lambda layer itself gains 1.00 ± 0.28 (lesson 09b looks at this again). After these 10 epochs it is level with that convolution, at 57 % of its parameters; after 48 it is behind.
# * **Linear attention** is 0.30 points behind, hardly more than its interval. Among eight layers, that is weak evidence.
#
# **Caution.** "Not significant" does not mean "equal". A true difference of a few tenths can hide in these intervals. And where the control does so well, the place tells us little about the parts. We need another place.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert points("twins-pointwise", "twins-lambda") == (0.18, 0.38)
assert points("twins-lambda", "twins-position") == (0.18, 0.33)
assert points("twins-lambda", "twins-content") == (0.13, 0.57)
assert points("twins-convolution", "twins-lambda") == (0.74, 0.38)
assert points("sizes-u4", "twins-lambda") == (1, 0.28)
assert points("tiny-u4", "tiny-convolutions") == (-0.48, 0.23)
behind, half = mean_difference(*(recorded[f"twins-{name}"].accuracies for name in ("lambda", "linear-attention")))
assert points("twins-lambda", "twins-linear-attention")[0] == 0.3 and half < behind < 1.05 * half
level, half = points("sizes-u4", "twins-convolution")
large, one, four = (recorded[name].parameters for name in ("twins-convolution", "twins-lambda", "sizes-u4"))
assert abs(level) < half and large > 2 * one and round(100 * four / large) == 57
first_eight = [recorded[f"twins-{name}"] for name in ("lambda", "convolution", *TWINS[:6])]
assert {(row.epochs, len(row.accuracies)) for row in first_eight} == {(10, 3)}

# %% [markdown]
# ## 4 · A net that has nothing else
#
# Now we take the 3×3 convolutions away. The twins stand in all three blocks, and each block begins with a 1×1 convolution. In code: `create_model("tiny", layout="LLL", widen=1)`.
#
# Now distant pixels meet only in our twins, and in the final maximum. Near pixels also meet in the 2×2 windows of stem and pools. By these alone, each of the last 3 × 3 places sees 9 × 9 pixels.
#
# **Predict.** How many points does this net lose when its lambda layers have no stencils, only the palette? (a) less than 1; (b) 1 to 5; (c) more than 5.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.7", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
alone, parameters = compare_rows(recorded, [name for name in ROWS if name.startswith("alone-")], "alone-lambda")
if revealed(guess):
    for words, (difference, half) in alone.items():
        print(f"{words:58}{difference:+7.2f} ± {half:.2f}")
    figures.show(
        figures.differences(alone, "test accuracy minus that of the lambda layer (u = 1), points", parameters),
        "The same twins where little else lets pixels meet. Lines are 95 % intervals, orange is significant. "
        f"The lambda net has {recorded['alone-lambda'].parameters:,} parameters.",
        alt="Dots with intervals: in this net the control and the palette alone lie far below the lambda layer.",
    )

# %% [markdown]
# **What you should see.** Now the parts differ by whole points, as in the paper:
#
# | what is left out | this net, CIFAR-10, three seeds, 95 % | the paper's ResNet-50, ImageNet |
# |---|---|---|
# | the stencils | 9.9 ± 1.4 points lost | 9.6 points lost |
# | the palette | 0.1 ± 1.2 lost | 0.3 lost |
# | the palette and the steering | 0.0 ± 2.5 lost | not run |
# | all other pixels: the control | 14.2 ± 1.4 lost | not run |
#
# * **Other pixels are worth 14 points to this layer, and the stencils earn most of them.** Two very different nets agree on that. (That they agree to a few tenths is luck.)
# * **The palette alone** is 4.3 ± 1.1 points ahead of the control. Beside the stencils nothing significant is left of that.
# * **A 3×3 convolution earns more**: 4.9 ± 1.3 points, with 4.5 times the parameters. Against u = 4 it is still 2.9 ± 0.8 ahead, with twice as many.
#
# **Caution.** Nobody would use this net: it reaches 83 % after ten epochs. On other tasks, distant things may matter more. And the control sees only 25 × 25 of the 32 × 32 pixels, since its pools drop the last rows and columns. Flip test-time augmentation (lesson 07) shows it the other side too. Then 14.2 becomes 12.5, and 4.3 becomes 3.0.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
for pair, expected in {
    ("lambda", "content"): (9.9, 1.4), ("lambda", "position"): (0.1, 1.2), ("lambda", "frozen-query"): (0.0, 2.5),
    ("lambda", "pointwise"): (14.2, 1.4), ("content", "pointwise"): (4.3, 1.1),
    ("convolution", "lambda"): (4.9, 1.3), ("convolution", "lambda-u4"): (2.9, 0.8),
}.items():
    assert tuple(round(value, 1) for value in points(*(f"alone-{name}" for name in pair))) == expected
large, one, four = (recorded[f"alone-{name}"].parameters for name in ("convolution", "lambda", "lambda-u4"))
assert round(large / one, 1) == 4.5 and 2 < large / four < 2.1
assert round(100 * fmean(recorded["alone-lambda"].accuracies)) == 83
net = create_model("tiny", layout="LLL", widen=1, twin="pointwise").eval()
probe = test_images[:1].clone().requires_grad_()
places = net.blocks(net.stem(probe)).sum(1)[0]  # the last 3 × 3
for output, side in ((places[1, 1], 9), (places.sum(), 25)):
    seen = torch.autograd.grad(output, probe, retain_graph=True)[0][0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [side, side]
mirrored = {name: 100 * fmean(recorded[f"alone-{name}"].accuracies_flip_tta)
            for name in ("lambda", "content", "pointwise")}
assert [round(mirrored[name] - mirrored["pointwise"], 1) for name in ("lambda", "content")] == [12.5, 3.0]

# %% [markdown]
# ## 5 · Steering, left out from the start
#
# Lesson 08 took the steering from a trained model: one query for all pixels. `tiny` lost 1.6 points. But this model was *trained* with steering. So a question of [lesson 03](03_position_lambdas.ipynb) is still open. Only the query separates a position lambda from a static filter. What is it worth?
#
# Three pairs of twins can answer. A frozen query is learned, and it is the same for all pixels:

# %%
steering = {
    "usual net, u = 1": points("twins-position", "twins-frozen-query"),
    "nothing else, u = 1": points("alone-position", "alone-frozen-query"),
    "nothing else, u = 4 (steered: with a palette too)": points("alone-lambda-u4", "alone-frozen-query-u4"),
}
figures.show(
    figures.differences(steering, "test accuracy with steering minus that without, points"),
    "Right of 0: steering helps. Lines are 95 % intervals of means of three seeds. Orange is significant.",
    alt="Three dots with intervals, all at or left of 0: steering is ahead in none of them.",
)

# %% [markdown]
# **What you should see.** In no pair does steering help. In two of them the static filter is even significantly ahead.
#
# With one query per head and u = 1, a position lambda is a depthwise convolution (lesson 03). Exercise 3 computes its kernel.
#
# **Caution.**
#
# * The middle interval is ± 2.2 points wide. The paper's whole gain over convolutions is 1.5 points.
# * If we add the chance of the test images, the upper row comes to the edge of its interval (lesson 09b).
# * In the usual net the steered twin has twice the learning rate of the frozen one. Its short trial runs were best there. For u = 4 no rates were tried.
# * A steered layer *could* learn to hold its query still. This says what training found, not what is possible.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert [ahead + half < 0 for ahead, half in steering.values()] == [True, False, True]
assert all(ahead < 0 for ahead, _ in steering.values())
assert round(steering["nothing else, u = 1"][1], 1) == 2.2 and round(78.4 - 76.9, 1) == 1.5
by_trained = read_steering()["tiny"]["accuracies"]
assert round(100 * (by_trained["as_trained"] - by_trained["mean_query"]), 1) == 1.6


# %% [markdown]
# ## 6 · Two faders
#
# There is a quicker way to ask for a part's worth: take a trained net and switch the part off. Give each half a fader:
#
# $$y_n=\alpha\cdot\lambda^{c\,\top}q_n+\beta\cdot\lambda_n^{p\,\top}q_n$$
#
# At (α, β) = (1, 1) nothing has changed. At (0, 1) the palettes are gone. We take the trained `tiny` apart with the function of step 2.

# %%
class TwoFaders(nn.Module):
    """α · content half + β · position half of a lambda layer."""

    def __init__(self, layer: LambdaLayer, size: tuple[int, int]):
        super().__init__()
        self.content, self.position = halves(layer, size)
        self.alpha = self.beta = 1.0

    def forward(self, features: Tensor) -> Tensor:
        return self.alpha * self.content(features) + self.beta * self.position(features)


tiny = load_pretrained("tiny")
faded = deepcopy(tiny)
for block, side in zip(faded.blocks[1:], (7, 3)):
    block.mix[0] = TwoFaders(block.mix[0], (side, side))
faded.eval()
late = nn.Sequential(faded.blocks[1], faded.blocks[2])  # all that a fader changes
with torch.no_grad():
    early = faded.blocks[0](faded.stem(test_images))  # (500, 32, 15, 15): the same for every setting


@torch.no_grad()
def answers(alpha: float, beta: float) -> Tensor:
    """The net's logits for the 500 test images, with its faders at (α, β)."""
    for block in late:
        block.mix[0].alpha, block.mix[0].beta = alpha, beta
    return faded.head(late(early).amax((2, 3))) / 8


fades = [0.0, 0.5, 1.0, 1.5, 2.0]
logits = {(alpha, beta): answers(alpha, beta) for alpha in fades for beta in fades}
share = {setting: float((logit.argmax(1) == test_labels).double().mean()) for setting, logit in logits.items()}
plane_row = data.test_index.tolist().index(44)


def draw(alpha: float = 0.0, beta: float = 1.0):
    """The grid of accuracies, with one setting framed, and the plane's probabilities at that setting."""
    grid = [[100 * share[a, b] for b in fades] for a in fades]
    return figures.faders(grid, fades, (alpha, beta), data.test_images[plane_row] / 255, CLASSES,
                          logits[alpha, beta][plane_row].softmax(0), int(test_labels[plane_row]))


# %% [markdown]
# **Predict.** By how many points does the accuracy of `tiny` fall when its palettes are switched off? (a) less than 3; (b) 3 to 20; (c) more than 20.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.9", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    for words, setting in {"both halves": (1, 1), "no palettes": (0, 1), "no stencils": (1, 0)}.items():
        print(f"{words:12}{100 * share[setting]:5.1f} % of 500 test images")
    figures.show(
        draw(),
        "Accuracy of the trained tiny for every setting of the faders; the frame is the setting without palettes. "
        "Right: what it then says about the plane. Darker orange is more accurate; the orange bar is the true "
        "class.",
        alt="A grid of accuracies over both faders, the plane, and bars of probabilities of ten classes.",
    )

# %% [markdown]
# **Try it.** Move both faders. At which settings does the net still see an airplane?

# %% tags=["nbval-ignore-output"]
widgets.explore(draw, "Accuracy for every setting of the two faders, and the answer to one image",
                alpha=widgets.slider("α · content", 0.0, 2.0, 1.0, 0.5),
                beta=widgets.slider("β · position", 0.0, 2.0, 1.0, 0.5))


# %% [markdown]
# **What you should see.** More than 20 points are lost, without palettes and without stencils. In the paper's table the palettes are worth 0.3 points. Is this a contradiction?
#
# No. These are two questions. *Fading shifts statistics; it is not retraining.* Every norm and filter behind the layer was fitted to the sum of both halves. Take one half away, and they get numbers of another mean and size.
#
# Part of this can be mended without training. Let the norms of the two blocks measure their mean and variance again, on 1,000 training images:

# %%
@torch.no_grad()
def measured_again(alpha: float, beta: float) -> float:
    """Test accuracy with the faders at (α, β), after the late norms have measured their statistics again."""
    answers(alpha, beta)  # sets the faders
    for block in late:
        for norm in (block.widen[2], block.mix[1]):
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over the batches
            norm.train()
    for images in normalize(data.train_images[:1000]).split(250):
        late(faded.blocks[0](faded.stem(images)))
    late.eval()
    return float((answers(alpha, beta).argmax(1) == test_labels).double().mean())


again = {setting: measured_again(*setting) for setting in ((0, 1), (1, 0))}
record = read_steering()["tiny"]["accuracies"]  # of lesson 08, on 10,000 test images
left = {  # accuracies: whole, switched off, the same with norms measured again; and the twins that differ in it
    "the palette": (share[1, 1], share[0, 1], again[0, 1], "lambda", "position"),
    "the stencils": (share[1, 1], share[1, 0], again[1, 0], "lambda", "content"),
    "the steering": (*(record[key] for key in ("as_trained", "mean_query", "mean_query_new_statistics")),
                     "position", "frozen-query"),
}
worths = {part: (100 * (whole - off), 100 * (whole - mended), points(f"twins-{one}", f"twins-{other}")[0])
          for part, (whole, off, mended, one, other) in left.items()}
ways = ["switched off", "switched off, norms measured again", "trained without it"]
figures.show(
    figures.points_lost(worths, ways, legend="lower right"),
    "Three worths of one part in tiny. Orange: switched off. Hatched: the norms may settle again. White: trained "
    "without it, for 10 epochs; below 0 the twin is better.",
    alt="Bars of points lost for palette, stencils and steering: long if switched off, near 0 if trained without.",
)

# %% [markdown]
# **What you should see.** Each part has three worths: what is lost when it is **switched off**, when the norms **may settle again**, and when the net is **trained without it**.
#
# Switched off, a half is worth more than 20 points, and the steering 1.6. New statistics give back about half of the 20. Trained without, none of the parts is missed. (In the net of step 4, the stencils are missed even then.) The two halves of `tiny` were trained as a pair, and they lean on each other.
#
# Only the third worth says whether a part could have been left out. It is also the most expensive, so papers often give the first.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of this step
assert torch.allclose(logits[1, 1], predict(tiny, test_images), atol=1e-3)
assert abs(share[1, 1] - evaluate(tiny, test_images, test_labels)) < 0.005  # (1, 1) is the net as it was
assert max(share, key=share.get) == (1, 1) and abs(measured_again(1, 1) - share[1, 1]) < 0.03
for part in ("the palette", "the stencils"):
    off, mended, without = worths[part]
    assert off > 20 and 8 < mended < 22 and mended < off and abs(without) < 0.2

# %% [markdown]
# ## 7 · The paper's speed claim
#
# The paper also says: LambdaResNets train 3.2 and 4.4 times faster than EfficientNets of the same accuracy. But the two differ in more than lambda layers. The same plot, the paper's Figure 4, shows a third family: ResNet-RS with squeeze-and-excitation. It is built and scaled like the LambdaResNets, but *without* lambda layers. So we can split the factor:
#
# $$\frac{t_{\text{EfficientNet}}}{t_{\text{LambdaResNet}}} \;=\; \underbrace{\frac{t_{\text{EfficientNet}}}{t_{\text{ResNet-RS}}}}_{\text{family and scaling}}\cdot\underbrace{\frac{t_{\text{ResNet-RS}}}{t_{\text{LambdaResNet}}}}_{\text{lambda layers}}$$
#
# We read the seconds off the plot, to about ± 0.01, and draw straight lines between its points.

# %%
plotted = {  # accuracy in percent -> seconds to train on 1024 images
    "EfficientNet": {83.7: 1.51, 84.0: 3.02, 84.7: 6.03},
    "ResNet-RS with SE": {83.8: 0.82, 84.0: 1.38, 84.2: 2.07},
    "LambdaResNet": {83.75: 0.49, 84.25: 0.91, 84.4: 1.165, 84.45: 1.485, 84.7: 1.91},
}
at = {accuracy: [float(np.interp(accuracy, list(line), list(line.values()))) for line in plotted.values()]
      for accuracy in plotted["ResNet-RS with SE"]}
for accuracy, (slow, middle, fast) in at.items():
    print(f"at {accuracy:.1f} %: {slow / fast:.1f} = {slow / middle:.1f} (family) × {middle / fast:.1f} (lambdas)")
figures.show(
    figures.two_steps([f"{family}, 84.0 %" for family in plotted], at[84.0]),
    "Two steps make the factor of 4.3 at 84.0 %: another family, then lambda layers (orange).",
    alt="Bars of seconds for EfficientNet, ResNet-RS and LambdaResNet at equal accuracy, with two factors.",
)
assert [round(middle / fast, 1) for _, middle, fast in at.values()] == [1.5, 2.0, 2.4]
assert round(3.02 / at[84.0][2], 1) == 4.3 and round(6.03 / plotted["LambdaResNet"][84.7], 1) == 3.2

# %% [markdown]
# **What you should see.** The lambda layers' own factor is 1.5 to 2.4, and it grows with the accuracy. (Read off a plot, it is certain to about 0.1.) The rest belongs to the family and its scaling.
#
# The paper's own factors are 4.4 at 84.0 %, where we read 4.3, and 3.2 at 84.7 %. No ResNet-RS of the plot reaches 84.7 %.
#
# **Caution.** The plot compares families on the paper's hardware, and these nets have lambda layers only in some late blocks. With lambda layers in all blocks of a ResNet-50, the paper counted 1160 images per second, against 7240 (lesson 06).

# %% [markdown]
# ## 8 · The ledger, read aloud
#
# Lesson 00 named five claims. Here is what the lessons found:
#
# | claim | for | against |
# |---|---|---|
# | **long-range interactions** | Every pixel counts in the palette, at linear cost (02). Stencils reach as far as you let them (03). A trained model uses distant pixels (08). Other pixels are worth 14 points where nothing else sees them (step 4). | Attention has the range too (01). Confetti has the same palette (02). Beside stencils, palettes are worth 0.3 and 0.1 ± 1.2 points (steps 1, 4). Behind convolutions, other pixels gain nothing measurable at u = 1 (step 3). |
# | **without attention matrices** | True of the content half (02). | For many shapes the cheapest way to the position half makes one (05). |
# | **less memory** | Far less on large maps (05). For sequences, a state that does not grow (04b). | More on small maps with many channels. Modern attention stores no matrix either (05). |
# | **faster** | 1.5 to 2.4 times at equal accuracy, in the paper's family (step 7). Faster than other public lambda layers (05). | Slower than a 3×3 convolution in all we measured (05), and in a plain ResNet-50 (06). |
# | **more accurate** | ImageNet: 76.9 → 78.4 % with 40 % fewer parameters; a rerun comes close (step 1). | Another ImageNet rerun stopped at 76.1 % (09b). Our larger 3×3 convolutions are ahead (steps 3, 4). Steering brought nothing (step 5). |
#
# **What the title suggests.** Lambda layers owe their accuracy to long-range interactions that depend on the content. **What we found.** They owe it to their stencils. Beside the stencils, the palette added nothing significant, in the paper's net and in ours. Steering added nothing in ours. All the same, the paper's net is smaller and more accurate than its convolutional twin.
#
# **What would change our mind.** The control and the frozen query on ImageNet, with several seeds. Twins of equal size. Or a task on which the position half alone falls clearly behind.

# %% [markdown]
# ## Exercises
#
# **1 ★ Compute.** Two changes make a net 12 times faster: the first one 3 times, the second one 4 times. Factors multiply, so their logarithms add. Which share of the logarithm of 12 belongs to the second change?

# %%
share_of_second = None  # between 0 and 1
exercise_1 = check_answer("09.E6", share_of_second)
exercise_1

# %% [markdown]
# <details><summary>Hint</summary>
#
# $\ln 12 = \ln 3 + \ln 4$.
#
# </details>
#
# <details><summary>Solution</summary>
#
# $\ln 4/\ln 12 = 0.558$. By this rule, the lambda layers' share in step 7 is a third at 83.8 % and more than half at 84.2 %.
#
# ```python
# share_of_second = math.log(4) / math.log(12)
# shares = [math.log(middle / fast) / math.log(slow / fast) for slow, middle, fast in at.values()]
# assert 0.3 < shares[0] < 0.36 and 0.55 < shares[2] < 0.6
# check_answer("09.E6", share_of_second)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Find the confound.** The content half gives an image and its confetti the same palette (lesson 02). Yet the paper's net without position halves names 68.8 % of the ImageNet images correctly. How does it know shapes? (a) It does not: colours are enough. (b) Other parts of the net see neighbours. (c) The softmax over positions sees where a pixel is. (d) The norms do.

# %%
confound = None  # "a", "b", "c" or "d"
exercise_2 = check_answer("09.E4", confound)
exercise_2


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Shuffle the pixels of a feature map. What happens to the output of a content layer? And what if you shuffle the pixels of the *image*?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# What stands in front of the first lambda layer?
#
# </details>
#
# <details><summary>Solution</summary>
#
# Convolutions of the stem (7 × 7 in the paper's net), strides and pools come before the layers. So the features of each pixel already describe a neighbourhood. The code shows both halves of the answer: a shuffled map gives the shuffled output, and a shuffled image changes the answer of the net.
#
# ```python
# confound = "b"
# shuffle, maps = torch.randperm(49), torch.randn(3, 128, 7, 7)
# twin = Twin(128, "content", (7, 7)).eval()
# moved = twin(maps.flatten(2)[:, :, shuffle].view_as(maps))
# assert torch.allclose(moved, twin(maps).flatten(2)[:, :, shuffle].view_as(maps), atol=1e-5)
# net, pixels = create_model("tiny", twin="content").eval(), torch.randperm(1024)
# confetti = test_images[:50].flatten(2)[:, :, pixels].view(50, 3, 32, 32)
# assert (net(confetti) - net(test_images[:50])).abs().max() > 0.1 * net(test_images[:50]).abs().max()
# check_answer("09.E4", confound)
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Implement.** What does a frozen query leave? Write the kernels of a frozen-query twin. Its parts are `twin.queries`, (h, 1, k), and `twin.table`, (k, u=1, 2H−1, 2W−1).

# %%
def frozen_kernels(twin: Twin) -> Tensor:
    """One kernel for each head. -> (h, 2H-1, 2W-1)"""
    return None  # one line


frozen = Twin(8, "frozen-query", (3, 3), dim_k=4, heads=2).eval()  # v = 4 value channels for each head
one_pixel = torch.zeros(1, 8, 3, 3)
one_pixel[0, 0, 1, 1] = 1  # its response is the kernel, times the value of each channel
response = frozen(one_pixel).view(2, 4, 3, 3) - frozen(0 * one_pixel).view(2, 4, 3, 3)
value = (frozen.to_values(one_pixel) - frozen.to_values(0 * one_pixel))[0, :, 1, 1]  # (v=4,)
kernels = frozen_kernels(frozen)
found = None if kernels is None else kernels[:, None, 1:4, 1:4].flip(2, 3) * value[:, None, None]
exercise_3 = check_close(found, response, "which index is summed, and which one stays?")
exercise_3

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Step 8 of lesson 03: $\kappa_h = \sum_k q_{hk}\,T_k$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.einsum("hk,kyx->hyx", ...)`, with the axes of length 1 taken away first.
#
# </details>
#
# <details><summary>Solution</summary>
#
# ```python
# def frozen_kernels(twin):
#     return torch.einsum("hk,kyx->hyx", twin.queries[:, 0], twin.table[:, 0])
#
#
# kernels = frozen_kernels(frozen)
# found = kernels[:, None, 1:4, 1:4].flip(2, 3) * value[:, None, None]
# check_close(found, response)
# ```
#
# The response at one pixel to its neighbour is the tap at the opposite offset. So the kernel is flipped here.
#
# </details>

# %% [markdown]
# **4 ★★★ Derive.** Show that with $q_{hn}=q_h$ a position lambda is a convolution, and say which kind. Then count. The frozen-query twin of `tiny` on its map of 7 × 7 has 128 channels, h = 4 and k = 16. How many *different* kernels does it apply once it is trained, and how many numbers do these hold together?

# %%
kernels_and_numbers = None  # (how many kernels, how many numbers in all of them)
exercise_4 = check_answer("09.E5", kernels_and_numbers)
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Pull the query into the sum over $m$. On what does the weight of $v_m$ still depend?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# On a map of 7 × 7, an offset goes from −6 to 6 in each direction.
#
# </details>
#
# <details><summary>Solution</summary>
#
# $$y_{hn}=\Big(\sum_m T_{m-n}\,v_m^\top\Big)^{\!\top}q_h=\sum_m \big(q_h\cdot T_{m-n}\big)\,v_m=\sum_m \kappa_h(m-n)\,v_m$$
#
# The weight is a number that depends on the offset only: a convolution. It multiplies all $v$ channels alike and adds none to another: depthwise, with one kernel for all channels of a head. There are 4 kernels of 13 × 13 taps, so 676 numbers. The layer learns 16 · 169 + 4 · 16 = 2,768.
#
# ```python
# kernels_and_numbers = (4, 4 * 13 * 13)
# check_answer("09.E5", kernels_and_numbers)
# ```
#
# </details>

# %% [markdown]
# **5 ★★ A verdict.** In at most 100 words: would you put lambda layers into a net of your own? Name one number for it and one against, each with its source. Say what you would measure first. Nobody grades this. A good verdict names the task. It calls no difference inside its interval a difference. And it could be proved wrong.

# %%
progress({
    "1 share of a factor": "exercise_1",
    "2 find the confound": "exercise_2",
    "3 frozen kernels": "exercise_3",
    "4 count the kernels": "exercise_4",
}, globals())

# %% [markdown]
# ## What we now know
#
# * In the paper's net, 9.6 points are lost without the stencils, and 0.3 without the palettes. In a net of ours where nothing else mixes distant pixels, it was 9.9 ± 1.4 and 0.1 ± 1.2.
# * Behind 3×3 convolutions, a layer that sees no other pixel did as well as the lambda layer with u = 1.
# * Steering by the query brought no gain in any of three comparisons.
# * An ablation needs a control. Without one it cannot say whether there was anything to earn.
# * A part has three worths: switched off, switched off with norms measured again, and trained without. Only the last one says whether it could have been left out.
#
# **Ledger.** Closed, and read aloud in step 8. Anybody with a record can open it again.
#
# **The code of this lesson** lives in `lambdalib/twins.py` (`Twin`), `lambdalib/experiments/rows.py` (`ROWS`) and `lambdalib/experiments/report.py` (`compare_rows`). `lambdalib train --row twins-frozen-query --seed 0` trains one of the twins again.
#
# **Next.** How sure are these intervals, and what did other sizes, longer trainings and other people's reruns bring? [Lesson 09b: how sure is that?](09b_how_sure.ipynb) Or go on to where the idea leads: [lesson 10: beyond](10_beyond.ipynb).
