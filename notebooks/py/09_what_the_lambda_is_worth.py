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
# > **After this lesson you can** say which part of a lambda layer earns its accuracy, on whose evidence, and how sure that is; put an error on an accuracy and on a difference of two; build the twins that a fair comparison needs; and read a claim together with what speaks against it.
# >
# > **You need** [lesson 03](03_position_lambdas.ipynb) (frozen queries), [lesson 04](04_lambda_layer.ipynb) (the layer), [lesson 06](06_lambda_resnet.ipynb) (the nets) and [lesson 07](07_train_on_cifar10.ipynb) (the training). Standard errors are explained here. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 45 minutes to read, 25 for the exercises; the code runs in about 25 seconds on two CPU cores. The trainings took hours; their records come with the course, and this lesson reads them.

# %% [markdown]
# ## Which part of it earned the accuracy?
#
# A lambda layer is made of three parts, and this time each has a box of its own:
#
# $$y_n \;=\; \Big(\boxed{\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top} \;+\; \boxed{\sum_m e_{nm}\,v_m^\top}\Big)^{\!\top} \boxed{q_n}$$
#
# The first box is the *content half*, the palette: k colours mixed from the whole picture. The second is the *position half*, the stencils: k fixed patterns laid around the pixel. The third is the *query*, which steers both, anew at each pixel. What is each of them worth?
#
# A part's worth is what is lost without it. So each box is taken away in turn, and the net is trained again. That sounds simple. The lesson is as much about what such a comparison can say as about what ours and the paper's say.

# %%
import math
from copy import deepcopy
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, einsum, nn

from lambdalib import LambdaLayer, create_model, load_cifar10, load_pretrained, normalize
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_close
from lambdalib.course.questions import check_answer
from lambdalib.experiments.results import (find_record, format_difference, format_mean, mean_difference,
                                           read_results)
from lambdalib.training.checkpoint import ASSETS
from lambdalib.training.data import CLASSES, split_validation
from lambdalib.training.train import evaluate, predict
from lambdalib.twins import TWINS, Twin

torch.manual_seed(0)
data = load_cifar10(source="sample")  # 2,000 training and 500 test pictures
test_images, test_labels = normalize(data.test_images), data.test_labels

# %% [markdown]
# ## 1 · Guess first
#
# The paper trained its ResNet-50 with lambda layers three times on ImageNet, which has a thousand classes: with both halves, with the position half only, and with the content half only. With both it got 78.4 % right.
#
# **Predict.** How many points did it lose without the content half, and how many without the position half? Write two numbers before you read on. (The title of the paper is "Modeling long-range interactions without attention".)

# %%
guess = None  # (points lost without the content half, points lost without the position half)
check_answer("09.1", guess)


# %% [markdown]
# ## 2 · The paper's table
#
# The numbers are from Table 10 of the paper's first public version, of 2020 (seen). How sure is an accuracy? The 50,000 pictures that it was counted on are a sample. Other pictures of the same kind would have given a slightly different count, just as other throws of a coin would. The spread of a share $p$ that is counted on $n$ independent pictures is its **standard error**
#
# $$s=\sqrt{\frac{p\,(1-p)}{n}},\qquad\text{and of a difference of two independent shares:}\quad \sqrt{s_1^2+s_2^2}$$
#
# Two times out of three the count lies within one standard error of what it would be on endless pictures, and 19 times out of 20 within two.

# %%
def standard_error(share: float, pictures: int) -> float:
    """The spread of a share that was counted on so many independent pictures."""
    return math.sqrt(share * (1 - share) / pictures)


# 500 pictures, judged 20,000 times over
counts = torch.binomial(torch.full((20_000,), 500.0), torch.tensor(0.784))
assert abs((counts / 500).std() / standard_error(0.784, 500) - 1) < 0.03  # the formula tells the truth

paper = {"both halves": 0.784, "position only": 0.781, "content only": 0.688}
errors = {name: standard_error(share, 50_000) for name, share in paper.items()}
for name, share in paper.items():
    print(f"{name:14}{100 * share:.1f} ± {100 * errors[name]:.2f} (one standard error)")
print()
apart = {}
for one, other in (("both halves", "position only"), ("both halves", "content only"),
                   ("position only", "content only")):
    apart[one, other] = (paper[one] - paper[other]) / math.hypot(errors[one], errors[other])
    print(f"{one} against {other}: {100 * (paper[one] - paper[other]):.1f} points "
          f"are {apart[one, other]:.2f} standard errors")
assert apart["both halves", "position only"] < 1.2 and apart["position only", "content only"] > 33
figures.dots(list(paper), [100 * share for share in paper.values()], [196 * error for error in errors.values()],
             label="ImageNet top-1, %; lines: 1.96 standard errors to each side", lit=["both halves"])
plt.show()


# %% [markdown]
# Remove the palettes and this net loses 0.3 points, which is about 150 pictures of 50,000 (100 to 200, since the paper rounds) and within the reach of chance. Remove the stencils and it loses 9.6. So the half that sees the whole picture, and the content in it, is hardly missed; nearly all of the accuracy is there with stencils that never change, steered by the query.
#
# Before we believe this, three cautions:
#
# * **One run each**, and no seeds that we know of. The intervals above hold the chance of the *pictures*, not the chance of the *training*: another seed may move a net by more than 0.3 points.
# * **The same pictures.** Both nets answered the same 50,000, so the two scores are not independent, and 1.15 is only a first look. Step 8 does better.
# * **"Content only" speaks of the layers, not of the net.** Exercise 4 asks what the rest of the net still sees.
#
# And the table lacks two rows. The position half consists of stencils *and* of a query that steers them: what if the query stood still? And how far would the net get if these layers saw no other pixel at all? An experiment that takes parts away is called an *ablation*. Without such a *control* it says what a part is worth beside the others, but not whether there was anything to be earned.

# %% [markdown]
# ## 3 · Our twins
#
# A **twin** is the same layer with one part less, or another layer in its place, and all else of the net alike. Here are six of `lambdalib.twins`; with the lambda layer itself and the 3 × 3 convolution there are eight layers to compare:
#
# | twin | output at pixel n, head h | what it lacks |
# |---|---|---|
# | lambda | $(\lambda^c+\lambda^p_n)^\top q_{hn}$ | |
# | content | $\lambda^{c\,\top} q_{hn}$ with $\lambda^c=\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top$ | the stencils |
# | position | $\lambda_n^{p\,\top} q_{hn}$ with $\lambda^p_n=\sum_m T_{m-n}\,v_m^\top$ | the palette |
# | frozen-query | $\lambda_n^{p\,\top} q_h$, with $q_h$ learnt and the same at every pixel | palette and steering |
# | attention | $\sum_m \mathrm{softmax}_m\big((q_{hn}\cdot k_{hm}+q_{hn}\cdot T_{m-n})/\sqrt k\big)\,v_{hm}$ | it is the rival, and has keys and values for each head |
# | linear-attention | $\sum_m \big(q_{hn}\cdot\mathrm{softmax}_m(K_h)_m\big)\,v_{hm}$ | likewise; no positions |
# | convolution | $\sum_{m} W_{m-n}\,x_m$ over 3 × 3 pixels | the rival of the paper |
# | pointwise | $v_{hn}$, the pixel's own values | every other pixel: a 1 × 1 convolution, and the control |
#
# Do the content twin and the position twin really take the layer apart? Give them the layer's own weights, and their outputs must add up to its output. We need this again in step 9, so it is a function:

# %%
def halves(layer: LambdaLayer, size: tuple[int, int]) -> tuple[Twin, Twin]:
    """A layer that sees its whole map of this size, as its content twin and its position twin.

    Both have its weights.
    """
    dim = layer.to_queries.in_channels
    content, position = (Twin(dim, kind, size, dim_k=layer.dim_k, heads=layer.heads, dim_u=layer.dim_u)
                         for kind in ("content", "position"))
    for twin in (content, position):
        for projection, norm, name in ((twin.to_queries[0], twin.to_queries[1], "queries"),
                                       (twin.to_values[0], twin.to_values[1], "values")):
            projection.load_state_dict(getattr(layer, f"to_{name}").state_dict())
            norm.load_state_dict(getattr(layer, f"norm_{name}").state_dict())
    content.to_keys.load_state_dict(layer.to_keys.state_dict())
    position.table.data.copy_(layer.table)
    return content, position


features = torch.randn(2, 21, 5, 7, dtype=torch.float64)
layer = LambdaLayer(21, dim_k=4, heads=3, scope=None, feat_size=(5, 7)).double().eval()
content, position = (twin.double().eval() for twin in halves(layer, (5, 7)))
gap = (content(features) + position(features) - layer(features)).abs().max()
print("content + position = lambda layer; largest difference below 1e-12:", bool(gap < 1e-12))
assert gap < 1e-12 and content(features).abs().max() > 0.01 and position(features).abs().max() > 0.01

# %% [markdown]
# The frozen query is one of the rows that the paper lacks. Lesson 03 showed what is left of a position lambda then: a convolution. Here it is in PyTorch's words (exercise 5 asks for the derivation):

# %%
frozen = Twin(21, "frozen-query", (5, 7), dim_k=4, heads=3).double().eval()
values = frozen.to_values(features)  # (b, v=7, H, W), shared by the heads
kernels = einsum("hk,kyx->hyx", frozen.queries[:, 0], frozen.table[:, 0])  # (h, 2H-1, 2W-1)
by_convolution = F.conv2d(values.repeat(1, 3, 1, 1), kernels.repeat_interleave(7, 0)[:, None],
                          padding=(4, 6), groups=21)
gap = (by_convolution - frozen(features)).abs().max()
print("with a frozen query the layer is a convolution; largest difference below 1e-12:", bool(gap < 1e-12))
assert gap < 1e-12

# %% [markdown]
# So the eight layers form a ladder of questions. *Everything against pointwise*: what is it worth in this place to look at other pixels at all? *Lambda against position*: what is the palette worth? *Lambda against content*: what are the stencils worth? *Position against frozen-query*: what is the steering worth, which is all that makes a position lambda more than a static filter? *Lambda against convolution and attention*: what is the layer worth against what it wants to replace?
#
# **Predict.** Give a small net pointwise layers in the place of its two lambda layers, so that no pixel sees another there, and train it as the others are trained. Against the net with lambda layers it loses (a) more than 5 points; (b) 1 to 5 points; (c) less than 1 point.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.3", guess)

# %% [markdown]
# ## 4 · A fair comparison
#
# All eight stand in the same net, `tiny`: a first convolution of 2 × 2, and three blocks. A block makes the map half as wide and then mixes it, $z=\mathrm{GELU}(\mathrm{BN}(\mathrm{maxpool}(W x)))$ and $y=z+\mathrm{GELU}(\mathrm{BN}(M z))$: $W$ is a 3 × 3 convolution to more channels, $M$ the *mixer*. In the first block the mixer is a 3 × 3 convolution too, in the other two it is the layer in question, on maps of 7 × 7 and 3 × 3 pixels with 128 channels. The recipe is `cpu` of lesson 07 with 10 epochs; the pictures are the same, and runs of the same seed see them in the same order and with the same shifts. Two things differ and cannot both be made equal: the number of parameters and the work. A third, the learning rate, we chose for each mixer.

# %%
recorded = {row.name: row for row in read_results()}
mixers = ("lambda", "convolution", "content", "position", "frozen-query", "attention", "linear-attention",
          "pointwise")
rows = {name: recorded[f"twins-{name}"] for name in mixers}
assert set(mixers) - {"lambda", "convolution"} <= set(TWINS) and len({row.epochs for row in rows.values()}) == 1
print(f"{'mixer':18}{'parameters':>12}{'multiply-adds':>15}")
for name, row in rows.items():
    print(f"{name:18}{row.parameters:12,}{row.adds / 1e6:13.1f} M")
assert rows["convolution"].parameters > 2 * rows["lambda"].parameters
assert max(row.adds for row in rows.values()) < 1.35 * min(row.adds for row in rows.values())

# %% [markdown]
# The convolution has more than twice the lambda net's parameters; the two attentions have about 15 % more than the lambda net, the frozen query 9 % less. We did not widen or narrow the nets to make them equal, because then something else would differ. Keep it in mind where the convolution wins.
#
# The **learning rate** is the setting that decides most often. A recipe that was tuned for one layer is unfair to the others, and ours was tuned for nets with lambda layers. So each mixer got its own choice among three rates: half the recipe's, the recipe's, twice the recipe's.
#
# Chosen by what? Not by the test pictures: whoever chooses by them has used them to train, a little (lesson 07, exercise 6). `split_validation` takes the last pictures of the training set out and lets them stand in for the test set:

# %%
tuning = split_validation(data, 500)
assert (len(tuning.train_labels) == len(data.train_labels) - 500
        and torch.equal(tuning.test_images, data.train_images[-500:]))
assert not set(tuning.test_index.tolist()) & set(tuning.train_index.tolist())  # no picture is on both sides
print("of the sample: train on", len(tuning.train_labels),
      "- judge by", len(tuning.test_labels), "other training pictures")

sweep = {tuple(row.name.removeprefix("twins-").rsplit("-lr", 1)): row
         for row in read_results("sweep") if row.name.startswith("twins-")}
rates = sorted({rate for _, rate in sweep}, key=float)
given = {name: find_record(f"twins-{name}").recipe.lr for name in rows}
judged = {name: [100 * sweep[name, rate].accuracies[0] for rate in rates] for name in rows}

print(f"\n{'held-out accuracy, %':22}" + "".join(f"{'rate ' + rate:>12}" for rate in rates) + f"{'chosen':>10}")
for name in rows:
    print(f"{name:22}" + "".join(f"{accuracy:12.2f}" for accuracy in judged[name]) + f"{given[name]:>10g}")
    assert given[name] == float(rates[judged[name].index(max(judged[name]))])
assert {name for name, rate in given.items() if rate == 1.5} == {"position", "linear-attention", "convolution"}
assert round(5_000 * (sweep["position", "1.5"].accuracies[0]
                      - sweep["position", "0.75"].accuracies[0])) == 5  # pictures
assert judged["linear-attention"].index(min(judged["linear-attention"])) == 1  # the middle one
assert len(rates) == 3 and {row.epochs for row in sweep.values()} == {4}
error = 100 * standard_error(0.86, 5_000)
print("\neach judged by 5,000 training pictures that it was not trained on: "
      f"standard error about {error:.1f} points")

# %% [markdown]
# Three of the eight, the position twin, linear attention and the convolution, did best at twice the recipe's rate, the others at the recipe's own. Read the table with its error, which for a difference of two is 0.7, and a seed adds as much: only linear attention gains more than that, 1.5 points over the recipe's rate, and its middle rate is its worst, so even that may be chance. For the position twin the two better rates lie five pictures apart, for the convolution twelve, for pointwise one. (A doubled rate also doubles the steps of the biases and the weight decay.) And 1.5 is the edge of what we tried, so the best rate of these three may be higher still. The sweep is one seed and 4 epochs, not 10; it serves to choose, and no more.

# %% [markdown]
# ## 5 · The result
#
# Eight mixers, 10 epochs, three seeds each: 24 trainings on all 50,000 training pictures. What counts is the last epoch, not the best one, and no choice in this comparison was made by the test pictures. (The recipe itself has a history with them: see the README.)

# %%
scores = {name: [100 * accuracy for accuracy in row.accuracies] for name, row in rows.items()}
means = {name: fmean(values) for name, values in scores.items()}
order = sorted(rows, key=means.get, reverse=True)
assert all(len(values) == 3 for values in scores.values())
print(f"{'mixer':18}{'test accuracy, %':>18}   {'seeds 0, 1, 2':24}")
for name in order:
    print(f"{name:18}{means[name]:10.2f} ± {stdev(scores[name]):.2f}    "
          + ", ".join(f"{value:.2f}" for value in scores[name]))
figures.seeds({name: scores[name] for name in order},
              "CIFAR-10 test accuracy, %: mean and standard deviation of three seeds; each seed below it",
              lit=["lambda"], notes=[f"{rows[name].parameters / 1000:.0f},000 parameters" for name in order])
plt.show()

# %% [markdown]
# How far apart must two means be? The standard deviation $s$ tells how far a seed lies from its mixer's mean. Three seeds give an $s$ that is itself known badly, so we assume that it is the same for every row of this recipe, and take all sixteen together, these eight and eight more that step 6 adds. Each row's mean uses up one of its three numbers; 32 *degrees of freedom* are left.
#
# A mean of three then has a standard error of $s/\sqrt3$, and the difference of two means one of $s\sqrt{2/3}$. In 95 of 100 such experiments the true difference lies within 2.04 of these errors (Student's distribution with 32 degrees of freedom). (Runs of one seed saw the pictures in the same order and with the same shifts. If a lucky seed lifted all rows, one could take its luck off and see more sharply. Over the sixteen rows the three seeds differ by 0.03 points: there is nothing to take off.)
#
# All this is the chance of the *training*. What of the chance of the *pictures*? Each run's answers were kept, for each of the 10,000 test pictures whether it was right. For each picture take the share of a mixer's three runs that got it right, and the difference of two mixers' shares. The mean of these 10,000 differences is the difference of the two accuracies, and its standard error is their spread divided by 100. The last column adds this error to that of the seeds (as squares). The column before it has the same difference with flip TTA (lesson 07), as a second look at the same nets.

# %%
alike = {name: row for name, row in recorded.items()
         if name.removeprefix("twins-") in rows or name.startswith(("early-", "sizes-"))}
points = {name: [100 * accuracy for accuracy in row.accuracies] for name, row in alike.items()}
assert (len(alike) == 16 and all(len(values) == 3 for values in points.values())
        and {row.epochs for row in alike.values()} == {10})
s = math.sqrt(fmean(stdev(values) ** 2 for values in points.values()))
error = s * math.sqrt(2 / 3)
seeds = [fmean(seed) for seed in zip(*points.values())]
print(f"standard deviation s of a run {s:.2f}, standard error of a difference of two means {error:.2f} points\n")
assert max(seeds) - min(seeds) < 0.031

right_answers = load_file(ASSETS / "right.safetensors")  # run -> (10000,) bool, kept by tools/answers.py
answered = {name: sum(right_answers[f"twins-{name}-seed{seed}"].double() for seed in range(3)) / 3
            for name in rows}
assert all(abs(100 * answered[name].mean() - means[name]) < 0.03 for name in rows)
flipped = {name: 100 * fmean(row.accuracies_flip_tta) for name, row in rows.items()}
questions = {
    "palette: lambda - position": ("lambda", "position"),
    "stencils: lambda - content": ("lambda", "content"),
    "steering: position - frozen-query": ("position", "frozen-query"),
    "other pixels: lambda - pointwise": ("lambda", "pointwise"),
    "lambda - attention": ("lambda", "attention"),
    "lambda - convolution": ("lambda", "convolution"),
}
worth = {words: means[one] - means[other] for words, (one, other) in questions.items()}
print(f"{'points':40}{'seeds: 95 %':>16}  {'flip TTA':>8}  {'seeds and pictures':>18}")
for words, (one, other) in questions.items():
    both = math.hypot(error, 100 * (answered[one] - answered[other]).std().item() / math.sqrt(10_000))
    print(f"{words:34}{worth[words]:+.2f}  "
          f"{worth[words] - 2.04 * error:+6.2f} to {worth[words] + 2.04 * error:+.2f}  "
          f"{flipped[one] - flipped[other]:+8.2f}  "
          f"{worth[words] - 2 * both:+9.2f} to {worth[words] + 2 * both:+.2f}")
    assert 0.22 < both < 0.27 and (words[:7] not in ("palette", "stencil") or worth[words] + 2 * both < 0.68)
print(f"\nall pairs, row less column, in standard errors\n{'':17}" + "".join(f"{name[:6]:>9}" for name in order))
for one in order:
    print(f"{one:17}" + "".join(f"{(means[one] - means[other]) / error:9.1f}" for other in order))
ahead = {name: (means["convolution"] - means[name]) / error for name in order[1:]}
assert ({name for name, errors in ahead.items() if errors > 3.5}
        == {"lambda", "content", "position", "linear-attention"})
assert all(2.5 < ahead[name] < 3.5 for name in ("attention", "frozen-query", "pointwise"))
assert all(abs(means["lambda"] - means[name]) < 1.5 * error
           for name in order if name not in ("lambda", "convolution", "linear-attention"))
assert all(abs(means["pointwise"] - means[name]) < 3 * error for name in order[1:])
assert all(abs(worth[words]) + 2.04 * error < 0.56
           for words in ("palette: lambda - position", "stencils: lambda - content"))
assert 2 * error < -worth["steering: position - frozen-query"] < 2.3 * error
assert max(means.values()) - min(means.values()) < 1.1

# %% [markdown]
# The table needs a ruler. Eight mixers make 28 pairs, and of 28 differences that are pure chance one or two lie beyond 2 standard errors. For all 28 to be safe together at 5 in 100, a pair needs 3.2 (Tukey's test). We say *told apart* beyond 3.5, since the common $s$ is an assumption, *a hint* from 2 to 3.5, and nothing below 2. So a true difference of less than 0.6 points will mostly be missed here, and "not told apart" never means "equal".
#
# What the numbers say, for this net, this recipe and these pictures:
#
# * **The control is as good as nearly all of them.** A layer that sees no other pixel is not told apart from the lambda layer, nor from any other. Look at the column of *pointwise*: only the convolution has a hint of an advantage over it. In these two places, on maps of 7 × 7 and 3 × 3 pixels behind three 3 × 3 convolutions and more, it was not worth a measurable amount to ask other pixels by such lambdas.
# * **So the parts cannot be worth much either.** The palette is worth two thirds of a point at the very most, if anything, and the stencils no more. (With flip TTA the palette comes to a third of a point.) For the palette that agrees with the paper's 0.3. For the stencils the paper's 9.6 points are far away, but there a whole net depends on them, and here nothing does.
# * **Steering did not pay.** With one query for all pixels, a static filter, the net did not fall; by the seeds alone there is even a hint that it is better than with a query for each pixel (not any more once the chance of the pictures is added). Mind that the position twin has twice the rate of the frozen one (and of the lambda layer), and that its query has a constant part too, its norm's bias, which learns 64 times as fast and without decay. The hint may be about that.
# * **The convolution is ahead**, with about twice the parameters or more. It is told apart from the lambda layer, both of its halves and linear attention; over the other three it has a hint of an advantage.
# * **Attention** is ahead of the lambda layer by a quarter of a point, with 16 % more parameters. That is 1.3 errors, so nothing; with flip TTA less than half of it is left.
#
# What it does *not* say:
#
# * **Not that lambda layers are worth nothing.** An experiment in which the control does well cannot measure what the control lacks. Either these places are badly chosen to tell mixers apart, or this lambda layer is. Steps 6 and 7 try both.
# * **Not more than three seeds of one small net can.** It has a quarter of a million weights and was trained for 10 epochs; the `tiny` that ships with the course had 48. With more training an order can change.
# * **Nothing about equal budgets.** The convolution spends twice the parameters, the frozen query the fewest.

# %% [markdown]
# **At full length.** With more training an order can change: does it? The two nets that ship, `tiny` with 48 epochs and `small` with 32, also have a twin with 3 × 3 convolutions in place of their lambda layers. It was trained by the same recipe, and at its rate (which above was not the convolution's best one, by twelve of 5,000 pictures). Behind ± stands half of the 95 % interval: of a mean, or of the difference of two means, by Student's distribution.

# %%
full_length = {row.name: row for row in read_results()
               if row.name in ("tiny", "tiny-u4", "tiny-convolutions", "small", "small-convolutions")}
for name in ("tiny", "tiny-convolutions", "small", "small-convolutions"):
    row = full_length[name]
    print(f"{name:19}{row.parameters:10,}{format_mean(row.accuracies):>15}    "
          + ", ".join(f"{100 * accuracy:.2f}" for accuracy in row.accuracies))
for name in ("tiny", "small"):
    pair = full_length[f"{name}-convolutions"].accuracies, full_length[name].accuracies
    print(f"in {name} the convolution is ahead by {format_difference(*pair)} points (95 %)")
    ahead, half = mean_difference(*pair)
    assert round(100 * ahead, 1) == {"tiny": 0.8, "small": 0.7}[name] and ahead > half

# %% [markdown]
# The order stayed, and the distance is much the same in both nets: a convolution with about twice the parameters is three quarters of a point ahead, after 10 epochs as at full length. (By the 95 % intervals it could be 0.3 points or 1.3. All five `tiny` and seed 0 of `small` ran with PyTorch 2.15, the rest with 2.14. Seed 0 of `tiny`, run again with 2.14, had 90.98 in place of 91.54, which is no further off than another seed.) For the other six we do not know.

# %% [markdown]
# ## 6 · Another place, other sizes
#
# **A larger map.** Above, the mixers stood where the maps are small. Two more rows have the same layer in *all three* blocks, the first on a map of 15 × 15 pixels: lambda layers in `early-lambda`, the control in `early-pointwise`. What is left of 3 × 3 convolutions is the one that begins each block.
#
# **Other sizes.** A lambda layer has four sizes of its own: the depth k (colours of the palette, and stencils), the heads h (queries for each pixel; more heads make a narrower lambda, $v=d/h$), the intra-depth u (so many lambdas are added up, lesson 03) and the scope r. Ours has k = 16, h = 4, u = 1 and stencils that cover the map. Six rows change one of these and nothing else: k to 4 and to 64, h to 1 and to 16, u to 4, r to 3. (On ImageNet the paper has, one run each, 77.9 % with k = 8, 78.4 % with 16, and 78.9 % with k = 16 and u = 4; its Tables 3 and 4, seen.)
#
# **Predict.** Which of the six changes gains most?

# %%
guess = None  # "k4", "k64", "h1", "h16", "u4" or "scope3"
check_answer("09.6", guess)

# %%
early = fmean(points["early-lambda"]) - fmean(points["early-pointwise"])
print(f"early-lambda - early-pointwise: {early:+.2f} points, "
      f"between {early - 2.04 * error:+.2f} and {early + 2.04 * error:+.2f}\n")

beside = {name: fmean(points[name]) - means["lambda"]
          for name in points if name.startswith("sizes-") or name == "twins-convolution"}
beside = dict(sorted(beside.items(), key=lambda gain: -gain[1]))
print(f"{'':18}{'parameters':>11}{'multiply-adds':>15}{'accuracy, %':>15}   against k = 16, h = 4, u = 1")
for name, gain in beside.items():
    print(f"{name:18}{alike[name].parameters:11,}{alike[name].adds / 1e6:13.1f} M"
          f"{format_mean(alike[name].accuracies):>15}   "
          f"{gain:+.2f} ({gain - 2.04 * error:+.2f} to {gain + 2.04 * error:+.2f})")
figures.seeds({name: points[name] for name in [*beside, "twins-pointwise", "twins-lambda"]},
              lit=["sizes-u4", "twins-lambda"],
              label="CIFAR-10 test accuracy, %: mean and standard deviation of three seeds; each seed below it",
              notes=[f"{alike[name].parameters / 1000:.0f},000 parameters"
                     for name in [*beside, "twins-pointwise", "twins-lambda"]])
plt.show()
assert abs(early) < error
assert list(beside)[0] == "sizes-u4" and beside["sizes-u4"] > 5 * error
assert fmean(points["sizes-u4"]) - means["pointwise"] > 4 * error
assert 0.5 * error < beside["sizes-u4"] - beside["twins-convolution"] < 2 * error
assert all(abs(gain) < 2.6 * error
           for name, gain in beside.items() if name not in ("sizes-u4", "twins-convolution"))
held = {row.name: row for group in ("validation", "cumulative-ablation") for row in read_results(group)}
apart = [100 * (one - other)
         for one, other in zip(held["sizes-u4"].accuracies, held["ablation-average"].accuracies)]
print("\njudged by held-out pictures, u = 4 less u = 1, seeds 0, 1, 2:",
      ", ".join(f"{points:+.2f}" for points in apart))
assert min(apart) > 0.2 and 0.4 < fmean(apart) < 0.5
assert round(100 * alike["sizes-u4"].parameters / alike["twins-convolution"].parameters) == 57

# %% [markdown]
# **The larger map changes nothing.** With layers that see no other pixel in all three blocks, the net is not told apart from one with lambda layers there. The convolutions that begin the blocks, and the pools behind them, see enough. A net whose *only* view of other pixels is its mixers would tell more. The paper's ResNet-50 is nearly one, and that is where the stencils are worth 9.6 points. The next step builds one.
#
# **One size stands out, and it is u.** With u = 4 the layer is told apart from itself with u = 1, by a whole point on the test pictures, and from the control. It is level with the 3 × 3 convolution, or a little above, with 57 % of the parameters. The paper's table agrees: u = 4 brings its best row. So after ten epochs there *was* something to be gained in these places, and the layer with u = 1 did not get it. From other pixels? Likely, but no row says so: with u = 4 four times as many values are multiplied by the query at the pixel itself, too, and no control has as many. And how much? We looked a second time, with other judges: the two rows trained on 45,000 pictures, and judged by the 5,000 others (`ablation-average` of lesson 07 is the row with u = 1). There u = 4 is ahead with every seed, but by 0.45 points on average. By the error of lesson 07's ladder, 0.37, that alone would be nothing. The largest of several gains is often a lucky one, so think of half a point rather than of a whole one, and of a control that was not judged a second time.
#
# Why? With u = 4 each pixel gives a lambda 64 stencils to be read with and 128 value channels. With k = 64 it has as many stencils, and gains less than half; with h = 1 as many channels, and gains nothing that we can see. It seems to take both; but no row here has both without u, so that is a guess.
#
# The other five changes move the mean by 2.5 errors or less. k = 64 and k = 4, the largest and the smallest, are each a hint better than the 16 between them. We know no reason for it, and with five comparisons against one row two such hints may well be chance. A scope of 3 takes from the stencils what a convolution has anyway, and loses nothing.
#
# (None of the six got a sweep of its own: all have the recipe's rate.) A choice among six by the test pictures would be tuning by the test set (step 4). Here nothing was chosen: that all six would be reported was decided before they ran. Whoever builds a net with u = 4 because of this table should go by the second look.
#
# There is a third look, at full length: `tiny-u4` is `tiny` with u = 4 and nothing else, trained for 48 epochs.
#
# **Predict.** How much of the whole point is left? (a) all of it or more; (b) more than half; (c) less than half.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.6b", guess)

# %%
row = full_length["tiny-u4"]
print(f"tiny-u4   {row.parameters:,}   {format_mean(row.accuracies)}   "
      + ", ".join(f"{100 * accuracy:.2f}" for accuracy in row.accuracies))
for one, other in (("tiny-u4", "tiny"), ("tiny-convolutions", "tiny-u4")):
    pair = full_length[one].accuracies, full_length[other].accuracies
    print(f"{one} is ahead of {other} by {format_difference(*pair)} points (95 %)")
    ahead, half = mean_difference(*pair)
    assert 0.002 < ahead < 0.005 and (ahead > half) == (one == "tiny-convolutions")

# %% [markdown]
# A third of a point is left, ± 0.5, so it is not significant. The convolution, level with u = 4 after 10 epochs, is half a point ahead of it after 48, and that is significant. So the first number was three times too large, and the second look was the better guide. Was it luck, or does u = 4 only get there sooner? These records cannot say; rows of 20 and 30 epochs could.

# %% [markdown]
# ## 7 · A net that has nothing else
#
# So far convolutions had seen the neighbours before our mixers could. Take them away: the same net, with mixers in all three blocks, and with a 1 × 1 convolution at the beginning of each block in place of 3 × 3 (`create_model("tiny", layout="LLL", widen=1)`). Now the mixers are the only place where distant pixels meet. Near ones also meet by the 2 × 2 of the stem and of the pools; by these alone each of the 3 × 3 places at the end is made of 9 × 9 pixels. Then every net takes each channel's largest value over the nine places. The control has no other view. (And it lacks a margin: nine squares of 9 × 9 in steps of 8 cover 25 × 25 of the 32 × 32 pixels, since the pools drop odd rows and columns. The other mixers see nearly all.)

# %%
net = create_model("tiny", layout="LLL", widen=1, twin="pointwise").eval()
probe = test_images[:1].clone().requires_grad_()
places = net.blocks(net.stem(probe)).sum(1)[0]  # (3, 3)
seen = {}
for words, output in {"the middle place": places[1, 1], "all nine": places.sum()}.items():
    gradient, = torch.autograd.grad(output, probe, retain_graph=True)
    seen[words] = (gradient[0].abs().sum(0).nonzero().amin(0).tolist(),
                   gradient[0].abs().sum(0).nonzero().amax(0).tolist())
    print(f"with the control {words} can see the pixels from {seen[words][0]} to {seen[words][1]}")
assert seen == {"the middle place": ([8, 8], [16, 16]), "all nine": ([0, 0], [24, 24])}

# %% [markdown]
# Six mixers were trained in this net: the lambda layer with u = 1, its two halves, the frozen query, the convolution and the control. As before, 10 epochs, three seeds, and each at the best of three rates (one seed, 4 epochs, held-out pictures). That was the recipe's rate, and for the palette alone twice as much, the edge of what was tried; for the lambda layer and the position half twice the rate was three pictures worse. Two more rows have u = 4; they were not tuned and have the rates of u = 1. (Two runs of the palette at the recipe's rate had been made before its sweep. They came to 73.6 and 73.4 % and stay in `set-aside`, beside the records that count.) The budgets differ more than in step 5: look at both columns before you compare.
#
# **Predict.** How many points does this net lose when its lambda layers have no stencils, only the palette? (a) less than 1, as in step 5; (b) 1 to 5; (c) more than 5.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.7", guess)

# %%
alone = {name: recorded[f"alone-{name}"] for name in ("lambda", "convolution", "content", "position",
                                                      "frozen-query", "pointwise", "lambda-u4", "frozen-query-u4")}
for name in alone:
    tried = {row.name.rpartition("-lr")[2]: row.accuracies[0]
             for row in read_results("sweep") if row.name.startswith(f"alone-{name}-lr")}
    lr = find_record(f"alone-{name}").recipe.lr
    # with u = 4 no rates were tried: those of u = 1
    assert max(tried, key=tried.get, default="0.75") == str(lr)
single = {name: [100 * accuracy for accuracy in row.accuracies] for name, row in alone.items()}
average = {name: fmean(values) for name, values in single.items()}
assert len(single) == 8 and all(len(values) == 3 for values in single.values())
s_alone = math.sqrt(fmean(stdev(values) ** 2 for values in single.values()))  # 8 rows, 16 degrees of freedom
error_alone = s_alone * math.sqrt(2 / 3)

names = sorted(single, key=average.get, reverse=True)
print(f"{'mixer':18}{'parameters':>11}{'multiply-adds':>15}{'test accuracy, %':>18}   {'seeds 0, 1, 2'}")
for name in names:
    print(f"{name:18}{alone[name].parameters:11,}{alone[name].adds / 1e6:13.1f} M"
          f"{average[name]:10.2f} ± {stdev(single[name]):.2f}    "
          + ", ".join(f"{value:.2f}" for value in single[name]))
figures.seeds({name: single[name] for name in names},
              "CIFAR-10 test accuracy, %: mean and standard deviation of three seeds; each seed below it",
              lit=["lambda", "lambda-u4"],
              notes=[f"{alone[name].parameters / 1000:.0f},000 parameters" for name in names])
plt.show()

asked = {words: pair for words, pair in questions.items() if set(pair) <= set(single)}
asked |= {"palette, by itself: content - pointwise": ("content", "pointwise"),
          "u: lambda-u4 - lambda": ("lambda-u4", "lambda"),
          "lambda-u4 - convolution": ("lambda-u4", "convolution"),
          "steering with u = 4": ("lambda-u4", "frozen-query-u4")}
apart = {words: average[one] - average[other] for words, (one, other) in asked.items()}
print(f"standard deviation of a run {s_alone:.2f}, standard error of a difference {error_alone:.2f} points; "
      "differences, and between which limits (95 %):")
for words, difference in apart.items():
    print(f"{words:40}{difference:+7.2f}   "
          f"{difference - 2.12 * error_alone:+6.2f} to {difference + 2.12 * error_alone:+.2f}")
with_flips = {name: 100 * fmean(row.accuracies_flip_tta) for name, row in alone.items()}
print("the control behind the lambda layer and behind the palette, with flip TTA:",
      *(f"{with_flips[name] - with_flips['pointwise']:.1f}" for name in ("lambda", "content")))
own = math.hypot(stdev(single["lambda"]), stdev(single["frozen-query"])) / math.sqrt(3)  # no common s
calm = math.sqrt(fmean(stdev(values) ** 2 for name, values in single.items() if name != "frozen-query"))
aside, = (row for row in read_results("set-aside") if row.name.startswith("alone-"))
assert [round(average["lambda"] - average[name], 1)
        for name in ("content", "position", "frozen-query", "pointwise")] == [9.9, 0.1, 0.0, 14.2]
assert (round(average["content"] - average["pointwise"], 1) == 4.3
        and round(average["convolution"] - average["lambda"], 1) == 4.9)
assert [round(with_flips[name] - with_flips["pointwise"], 1) for name in ("lambda", "content")] == [12.5, 3.0]
assert (round(average["convolution"] - average["lambda-u4"], 1) == 2.9
        and alone["convolution"].parameters > 2 * alone["lambda-u4"].parameters)
assert [round(apart[words], 2) for words in ("u: lambda-u4 - lambda", "steering with u = 4")] == [1.95, -0.94]
assert (round(average["frozen-query-u4"] - average["frozen-query"], 2) == 2.93
        and 1.7 * error_alone < 0.94 < 2 * error_alone < 1.1)
assert 1.1 < 2.12 * error_alone < 1.15
assert round(3.18 * own, 1) == 2.8  # 3.18 is Student's limit with 3 degrees of freedom
assert round(0.94 / (calm * math.sqrt(2 / 3)), 1) == 2.4
assert [round(100 * accuracy, 1) for accuracy in aside.accuracies] == [73.6, 73.4]

# %% [markdown]
# Here the parts come apart by whole points, and the two rows that the paper has look alike:
#
# | what is taken away | this net, CIFAR-10, three seeds, 95 % | the paper's ResNet-50, ImageNet, one run |
# |---|---|---|
# | the stencils | 9.9 ± 1.1 points lost | 9.6 points lost |
# | the palette | 0.1 ± 1.1 lost | 0.3 lost |
# | the palette and the steering | 0.0 ± 1.1 lost (± 2.8 by these two rows' own spread) | not run |
# | every view but that of stem and pools (the control) | 14.2 ± 1.1 lost | not run |
#
# * **Other pixels are worth 14 points** to this layer (12.5 with flip TTA, which shows the control the right part of the margin that it lacks), and 19 to the convolution. So here there is much to be earned, and one can see which part earns it.
# * **The stencils earn it.** Two nets of very different size, alike in that little but the mixers sees other pixels, say the same. (That they agree to a few tenths is luck: look at the limits.)
# * **The palette** by itself is 4.3 points ahead of the control (3.0 with flip TTA). Part of that may be the margin, the doubled rate, or the product with the query rather than the view. Beside the stencils nothing of it is left that three seeds can see.
# * **Steering earned nothing that three seeds can see** with u = 1. A static filter with fewer weights did as well. Its own seeds lie further apart than any other mixer's. A common $s$ hardly fits them; by their own the limits lie 2.8 points out, so this is the least certain number of the table. And a steered layer could be a frozen one: the norm of its query has a bias, which learns 64 times as fast. So this says what training found, not what the layer can do.
# * **u = 4 gains 1.95 points** with 2.2 times the parameters and three times the work. A frozen query with u = 4 adds up four value channels for each output, a *grouped* convolution; it gains 2.93 and is ahead of the steered one by 0.94. That is 1.8 errors (2.4, a hint, if the unruly row of the frozen query with u = 1 has no say in $s$), and so not told apart either.
# * **The convolution does better still**, with a window of 3 × 3: by 4.9 points over u = 1, with 4.5 times the parameters, and by 2.9 over u = 4, with twice as many. On these pictures a dense look at the neighbours earned more than a thin look at the whole map.
#
# What it does *not* say: this is a net that nobody would use, with 83 % after ten epochs, made so that one question has an answer. Longer training may turn the order. And pictures that are told apart by what lies far away may need the palette more.

# %% [markdown]
# ## 8 · The same pictures: count the flips
#
# When two nets answer the *same* pictures, most of the pictures say nothing about which net is better: both are right, or both are wrong. Only the **flips** count, the pictures on which one is right and the other wrong. Let $a$ be the number that only the first gets right, and $b$ the number that only the second does. If the nets were equally good, each flip would be a throw of a fair coin, and so
#
# $$z=\frac{a-b}{\sqrt{a+b}}$$
#
# would be around 0 with a spread of 1. This is McNemar's test (1947). It needs each net's answer to each picture, which papers hardly ever print. Our two trained nets, `small` and `tiny`, can answer the sample's 500 test pictures here:

# %%
nets = {name: load_pretrained(name) for name in ("small", "tiny")}
right = {name: predict(net, test_images).argmax(1) == test_labels for name, net in nets.items()}
only_small = int((right["small"] & ~right["tiny"]).sum())
only_tiny = int((right["tiny"] & ~right["small"]).sum())
gap = right["small"].double().mean() - right["tiny"].double().mean()
z = (only_small - only_tiny) / math.sqrt(only_small + only_tiny)
unpaired = gap / math.hypot(*(standard_error(hits.double().mean().item(), 500) for hits in right.values()))
assert math.isclose(only_small - only_tiny, 500 * gap)  # the flips hold the whole difference
assert z > unpaired > 0  # and the pairs see it more sharply
assert 150 / math.sqrt(5_625) == 2 and 0.11 < 5_625 / 50_000 < 0.12  # for the paper's table, see below

# %% tags=["nbval-ignore-output"]
print(f"small {100 * right['small'].double().mean():.1f} %, "
      f"tiny {100 * right['tiny'].double().mean():.1f} % of the same 500 pictures")
print(f"only small is right: {only_small}   only tiny is right: {only_tiny}   "
      f"no flip: {500 - only_small - only_tiny}")
print(f"as two independent scores: {unpaired:.1f} standard errors;   by their flips: z = {z:.1f}")

# %% [markdown]
# The flips see the difference more sharply, because what both nets find easy or hard no longer adds noise. (`small` has almost four times as many parameters as `tiny` and is better on the full test set too, by the records that come with both.)
#
# Back to the paper's 0.3 points: 150 pictures more, of the same 50,000. With $D$ flips in all, $z=150/\sqrt D$. It passes 2 if fewer than 5,625 pictures were flips, 11 in a hundred (2,500 to 10,000, as the paper rounds). We do not know $D$. So "0.3 points may be chance" is the most that can be said, and not that it is chance.
#
# And mind what $z$ is about: *these two nets*. Whether the method behind one is better than the method behind the other is a question about all the nets that each could have produced, and only seeds answer that.

# %% [markdown]
# ## 9 · Two faders
#
# There is a quicker way to ask for a part's worth, and it is often used: take a trained net and switch the part off. A lambda layer's output is a sum, so each half can have a fader:
#
# $$y_n=\alpha\cdot\lambda^{c\,\top}q_n+\beta\cdot\lambda_n^{p\,\top}q_n$$
#
# Below, both lambda layers of the trained `tiny` are taken apart with the function of step 3. At (1, 1) nothing has changed; at (0, 1) the palettes are gone.
#
# **Predict.** By how many points does this net's accuracy fall when its palettes are switched off, without training it again? (a) less than 3, as in the paper's table; (b) 3 to 20; (c) more than 20.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.9", guess)


# %%
class TwoFaders(nn.Module):
    """α · content half + β · position half of a lambda layer."""

    def __init__(self, layer: LambdaLayer, size: tuple[int, int]):
        super().__init__()
        self.content, self.position = halves(layer, size)
        self.alpha = self.beta = 1.0

    def forward(self, features: Tensor) -> Tensor:
        return self.alpha * self.content(features) + self.beta * self.position(features)


faded = deepcopy(nets["tiny"])
for block, side in zip(faded.blocks[1:], (7, 3)):
    block.mix[0] = TwoFaders(block.mix[0], (side, side))
faded.eval()
late = nn.Sequential(faded.blocks[1], faded.blocks[2])  # all that a fader changes
with torch.no_grad():
    early = faded.blocks[0](faded.stem(test_images))  # (500, 32, 15, 15): the same for every setting


@torch.no_grad()
def answers(alpha: float, beta: float) -> Tensor:
    """The net's logits for the 500 test pictures, with its faders at (α, β)."""
    for block in late:
        block.mix[0].alpha, block.mix[0].beta = alpha, beta
    return faded.head(late(early).amax((2, 3))) / 8


fades = [0.0, 0.5, 1.0, 1.5, 2.0]
logits = {(alpha, beta): answers(alpha, beta) for alpha in fades for beta in fades}
share = {setting: (logit.argmax(1) == test_labels).double().mean().item() for setting, logit in logits.items()}
assert torch.allclose(logits[1, 1], predict(nets["tiny"], test_images), atol=1e-3)
assert abs(share[1, 1] - evaluate(nets["tiny"], test_images, test_labels)) < 0.005  # (1, 1) is the net as it was

plane_row = data.test_index.tolist().index(44)


def draw(alpha: float, beta: float):
    """The grid of accuracies, with one setting framed, and the plane's probabilities at that setting."""
    grid = [[100 * share[a, b] for b in fades] for a in fades]
    return figures.faders(grid, fades, (alpha, beta), data.test_images[plane_row] / 255, CLASSES,
                          logits[alpha, beta][plane_row].softmax(0), int(test_labels[plane_row]))


print("without palettes more than 20 points are lost:", share[1, 1] - share[0, 1] > 0.2)
print("without stencils more than 20 points are lost:", share[1, 1] - share[1, 0] > 0.2)
assert min(share[1, 1] - share[0, 1], share[1, 1] - share[1, 0]) > 0.2
assert max(share, key=share.get) == (1, 1)
plane_found = {setting: logit[plane_row].softmax(0)[0].item() for setting, logit in logits.items()}
assert all(abs(plane_found[setting] - p) < 0.05
           for setting, p in {(0, 0): 0.12, (0, 1): 0.41, (1, 0): 0.41, (1, 1): 0.85}.items())
draw(0.0, 1.0)
plt.show()

# %% tags=["nbval-ignore-output"]
widgets.explore(draw, alpha=widgets.slider("α · content", 0.0, 2.0, 1.0, 0.5),
                beta=widgets.slider("β · position", 0.0, 2.0, 1.0, 0.5))


# %% [markdown]
# Move both faders. Without any lambda half the plane gets about one tenth for every class, with either half alone about 0.4 for *airplane*, and with both 0.85. Over all pictures it is much the same: switch off the palettes or switch off the stencils, and more than 20 points are lost. (In lesson 00, with `small`, the stencils alone did worse than neither half. Such numbers belong to one net.) In the paper's table the palettes are worth 0.3. Do the two contradict each other?
#
# No, because two different things were asked. *Fading shifts statistics; it is not retraining.* The norm behind each layer, and every later filter, were fitted to the sum of both halves. Take one away and they get numbers of another mean and size than they were made for. Part of that can be mended without training: let the norms of the two blocks measure their mean and variance anew, on a thousand training pictures, with the faders where they are.

# %%
@torch.no_grad()
def measured_anew(alpha: float, beta: float) -> float:
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
    return (answers(alpha, beta).argmax(1) == test_labels).double().mean().item()


anew = {setting: measured_anew(*setting) for setting in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))}
mended = {"neither half": anew[0, 0], "content only": anew[1, 0], "position only": anew[0, 1]}
print("each of these lies 8 to 22 points below both halves:",
      all(0.08 < anew[1, 1] - value < 0.22 for value in mended.values()))
assert all(0.08 < anew[1, 1] - value < 0.22 for value in mended.values())
assert max(mended.values()) - anew[0, 0] < 0.08  # one half alone is not much better than none
assert abs(anew[1, 1] - share[1, 1]) < 0.03  # measuring anew alone changes little
assert min(anew[0, 1] - share[0, 1], anew[0, 0] - share[0, 0]) > 0.1  # with a part missing it mends much

# %% tags=["nbval-ignore-output"]
print(f"{'% of 500 pictures':20}{'as trained':>12}{'measured anew':>15}")
for name, setting in {"both halves": (1, 1), "position only": (0, 1),
                      "content only": (1, 0), "neither half": (0, 0)}.items():
    print(f"{name:20}{100 * share[setting]:12.1f}{100 * anew[setting]:15.1f}")

# %% [markdown]
# After that, a half alone is at most a few points better than no lambda layer at all, which 500 pictures, with an error of 2 points, hardly see; and even "neither" is not so bad, because convolutions carry most of this net. The two halves *together* are worth far more than one of them. They were trained as a pair and lean on each other.
#
# So there are at least three worths of one part: what is lost when it is switched off, what is lost when the rest may settle again, and what is lost when all is trained without it from the start. The third is what a designer of nets wants to know, and the only one that says whether the part could have been left out. It is also the dearest, which is why the first is seen more often.

# %% [markdown]
# ## 10 · The speed claim taken apart
#
# "3.2 and 4.4 times faster than EfficientNets" (lesson 06). Faster by what? By its caption, the paper's Figure 4 gave both the same training; but they differ in more than lambda layers, namely in the family of nets and the way these are scaled. The figure shows a third kind, too: ResNet-RS with squeeze-and-excitation, that family and scaling *without* lambda layers. So at equal accuracy the factor can be taken apart. The seconds are read off the plot, to about ± 0.01, and between its points off straight lines; they are for training on 1024 pictures, on TPUs. Factors multiply and their logarithms add, so a part's share is one of logarithms: a factor of 2 within one of 4 is half of it.

# %%
plotted = {  # accuracy in percent -> seconds
    "EfficientNet": {83.7: 1.51, 84.0: 3.02, 84.7: 6.03},
    "ResNet-RS with SE": {83.8: 0.82, 84.0: 1.38, 84.2: 2.07},
    "LambdaResNet": {83.75: 0.49, 84.25: 0.91},
}


def seconds_at(accuracy: float, points: dict[float, float]) -> float:
    """Between two points of a plot, along a straight line; left of them the first point's value."""
    return float(np.interp(accuracy, list(points), list(points.values())))


at = {accuracy: {kind: seconds_at(accuracy, points) for kind, points in plotted.items()}
      for accuracy in (83.75, 84.0, 84.2)}
shares = []
for accuracy, (slow, middle, fast) in ((accuracy, kinds.values()) for accuracy, kinds in at.items()):
    shares.append(math.log(middle / fast) / math.log(slow / fast))
    print(f"at {accuracy:.2f} %: {slow / fast:.1f} = {slow / middle:.1f} (family, scaling) "
          f"× {middle / fast:.1f} (lambda layers), by logarithm {shares[-1]:.0%} of it")
assert [round(kinds["ResNet-RS with SE"] / kinds["LambdaResNet"], 1) for kinds in at.values()] == [1.7, 2.0, 2.4]
assert 0.38 < min(shares) < 0.42 and 0.55 < max(shares) < 0.6
assert abs(0.82 / 0.48 - 1.67) < 0.05 and abs(0.82 / 0.50 - 1.67) < 0.05  # what a misreading by 0.01 s would do
figures.two_steps([f"{kind}, 84.0 %" for kind in at[84.0]], list(at[84.0].values()))
plt.show()

# %% [markdown]
# (Our first factor is 3.6 and not the caption's 3.2: there EfficientNet's time doubles within 0.3 points of accuracy, and a straight line is a poor guess between them.)
#
# Between the family with lambda layers and the one without lies a factor of 1.7 to 2.4, the more the higher the accuracy; by its logarithm it is 40 to 58 % of the whole. That is a lot. (It is read off one plot, on the paper's hardware, and the caption itself says 1.6 to 2.3. It compares families, not layers: to reach 83.8 % the LambdaResNet has 152 layers and the ResNet-RS 270. In the ablation of lesson 06, where convolutions were swapped in a plain ResNet-50, the lambda nets were *slower* in every layout; here lambda layers stand only in some blocks of the late stages.)

# %% [markdown]
# ## 11 · Done again
#
# A number gains most when somebody else gets it too. These are the public reruns that we know of, claimed number → what came out. The fourth is not a rerun but a comparison of its own: students at TU Delft trained ResNet-50 with and without lambda layers, by one recipe ([report](https://github.com/joigalcar3/LambdaNetworks), 2021; its arrow goes from the convolutions to the lambda layers). The orange dots are ours.

# %%
own = {row.name: row for row in read_results()}
public = {
    "ImageNet, LambdaResNet-50": (78.4, [78.21], "ink"),
    "CIFAR-10, LambdaResNet-18": (93.28, [89.10, 71.39], "ink"),
    "CIFAR-10, LambdaResNet-50": (92.86, [71.91], "ink"),
    "CIFAR-10, TU Delft: convolutions → lambda": (84.61, [81.37], "ink"),
    **{f"CIFAR-10, ours: {name}, {own[name].parameters / 1e6:.2f} M":
       (None, [100 * fmean(own[name].accuracies)], "lit") for name in ("small", "tiny")},
}
for name, (claimed, found, _) in public.items():
    print(f"{name:44}" + (f"{claimed:.2f} → " if claimed else "") + ", ".join(f"{number:.2f}" for number in found))
figures.reruns(public, "accuracy, %; hollow: claimed (last arrow: convolutions), full: found")
plt.show()

# %% [markdown]
# | claim | done again by | what else differs |
# |---|---|---|
# | paper, ImageNet, 15.0 million parameters | [d-li14](https://github.com/d-li14/lambda.pytorch) | 130 epochs where the paper has 90; one run. **It held** |
# | [leaderj1001](https://github.com/leaderj1001/LambdaNetworks), LambdaResNet-18 | readers, [issue 1](https://github.com/leaderj1001/LambdaNetworks/issues/1) | 71.39 with a stem made for ImageNet, 89.10 without; a later version of the page says 94.20 (lesson 07) |
# | the same page, LambdaResNet-50, marked as work in progress | [yhgon](https://github.com/yhgon/LambdaNetworks), on that code | the log's net has 15.0 million parameters, the page says 13; so it may not be the same net |
# | (its own pair) | TU Delft | their code evaluates in training mode (lesson 07, step 3) and mixes up channels and pixels when it flattens its maps, so the 3.2 points may be the code's |
#
# So the ImageNet number was reached by an independent hand, to 0.2 points, with 130 epochs in place of 90. The CIFAR-10 numbers were not. A rerun that fails does not prove that the first was wrong, let alone why; it proves that the page does not say enough to get there.
#
# One more public pair speaks for the layer. In the [results of timm](https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv), `lambda_resnet26t` has 79.13 % on ImageNet with 10.96 million parameters, `resnet26t` 77.88 % with 16.01 million, both at 256 × 256 pixels. Whether their recipes were alike, the table does not say.
#
# Our own are *other nets*, with convolutions in their first half and lambda layers in the second, made for CIFAR-10. They show that nets with lambda layers train well on it. They neither confirm nor refute any arrow above.

# %% [markdown]
# ## 12 · The ledger, read aloud
#
# Lesson 00 named five claims, and each lesson since has written down what spoke for them and against. All of it on one page:
#
# | claim | for | against |
# |---|---|---|
# | **long-range interactions** | every pixel counts in the palette, at a cost linear in the pixels (02); stencils reach as far as you let them (03); both are needed on puzzles made to measure (04); a palette alone is worth 3 to 4 points to a net that otherwise sees squares of 9 × 9 pixels and a maximum over them (step 7) | attention had the range already (01); confetti has the same palette (02); the stencils never look at the picture (03); without palettes the paper's net loses 0.3 points (step 2), and ours, where nothing else sees far, 0.1, and there a 3 × 3 convolution is 4.9 points ahead of stencils over the whole map (step 7); behind convolutions not even a layer that sees no other pixel is told apart from one with u = 1 (step 5) |
# | **without attention maps** | true of the content half (02) | for most shapes the cheapest way to compute the position half makes a map (05) |
# | **less memory** | 16 times less in training at 32 × 32, d = 64 (05); a text's state that does not grow (04b) | 32 times more at 4 × 4, d = 512; fused attention, which came later, keeps no map either (05) |
# | **faster** | than other public lambda layers at every shape measured, than fused attention at some (05); 1.7 to 2.4 times at equal accuracy, against the same family without lambda layers (paper, step 10) | than a 3 × 3 convolution nowhere in our record (05); 7240 → 1160 examples per second in the paper's own ablation (06); about half of the paper's factor is not the layer's (step 10) |
# | **more accurate** | ImageNet 76.9 → 78.4 with 25.6 → 15.0 million parameters (paper, 06), 78.2 in a longer rerun; timm's pair (step 11); with u = 4 and 57 % of the parameters level with the convolution in `tiny` after 10 epochs, though not after 48 (step 6) | CIFAR-10 numbers not reached again (07, step 11); among our twins the convolution is ahead of the layer with u = 1, in `tiny` and in `small`, and the control is not told apart from it (step 5); where the mixers are all there is, the convolution is ahead by 4.9 points, and of u = 4 by 2.9 (step 7) |
#
# **What the title suggests**: lambda layers owe their accuracy to long-range, content-based interactions. (The paper's own ablation does not say so.) **What we found.** In the paper's table 0.3 points are lost without the content half and 9.6 without the stencils (step 2). The net of step 7 says the same, where nothing else lets distant pixels meet: ten points for the stencils, nothing that three seeds can see for the palette beside them, and nothing for the steering: a bank of static filters did as well, with u = 1 and with u = 4 (step 7). Behind convolutions the layer with u = 1 is not even told apart from a control (step 5). A net that was trained with both halves does need both (step 9), but that is habit and no proof of worth. **What would change our mind.** The control and the frozen query on ImageNet, with seeds, and by each net's own learning rate; step 7 with larger nets and longer trainings; photographs, or tasks, on which position only falls clearly behind both; the answers of the paper's nets to each picture, so that the flips can be counted.

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** Somebody reports 93.0 % on CIFAR-10's 10,000 test pictures. What is its standard error in points, and what that of its difference from another such number, if the two were independent?

# %%
guess = None  # two numbers in points: (of the accuracy, of the difference)
check_answer("09.E1", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $\sqrt{0.93\cdot0.07/10000}=0.00255$, so 0.26 points; the difference of two has $\sqrt2$ times as much, 0.36. So 93.0 against 93.3, printed as two bare numbers, is no evidence of anything.
#
# ```python
# guess = (100 * standard_error(0.93, 10_000), 100 * math.sqrt(2) * standard_error(0.93, 10_000))
# check_answer("09.E1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Predict.** Two pairs of nets, both with a gap of 0.3 points on 10,000 pictures. In the first pair, 40 pictures are right only by the better net and 10 only by the other; in the second, 300 and 270. What is $z$ for each? Which convinces you?

# %%
guess = None  # (z of the first pair, z of the second)
check_answer("09.E2", guess)


# %% [markdown]
# <details><summary>Solution</summary>
#
# $30/\sqrt{50}=4.2$ and $30/\sqrt{570}=1.3$. Four flips out of five for one side is hardly a coin; 300 out of 570 may well be. The second pair are two nets that disagree often, such as two seeds of one recipe; the first are nearly the same net, such as one net before and after a small change of its weights.
#
# ```python
# guess = (30 / math.sqrt(50), 30 / math.sqrt(570))
# check_answer("09.E2", guess)
# ```
#
# </details>

# %% [markdown]
# **3 · Implement.** With few flips, $z$ flatters: five flips out of five for one side give $z=2.2$, which sounds like one chance in forty. Write the exact chance: of all $2^{a+b}$ ways in which $a+b$ fair coins can fall, the share whose two sides differ by at least as much as $a$ and $b$ do.

# %%
def coin_chance(a: int, b: int) -> float | None:
    """The chance that a + b fair coins fall at least as unevenly as a against b, in either direction."""
    return None  # replace this line


found = [coin_chance(5, 0), coin_chance(1, 7), coin_chance(3, 3)]
check_close(None if None in found else torch.tensor(found), torch.tensor([0.0625, 0.0703125, 1.0]),
            "count both directions, and the falls that are as uneven as well as the more uneven ones")

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def coin_chance(a, b):
#     n = a + b
#     uneven = [heads for heads in range(n + 1) if abs(heads - (n - heads)) >= abs(a - b)]
#     return sum(math.comb(n, heads) for heads in uneven) / 2**n
#
#
# found = [coin_chance(5, 0), coin_chance(1, 7), coin_chance(3, 3)]
# check_close(None if None in found else torch.tensor(found), torch.tensor([0.0625, 0.0703125, 1.0]),
#             "count both directions, and the falls that are as uneven as well as the more uneven ones")
# ```
#
# Five out of five: 2 of 32 falls, 6 %. Each flip is a whole throw, and with so few of them the smooth bell is a poor picture.
#
# </details>

# %% [markdown]
# **4 · Find the confound.** The content half gives a picture and its confetti the same palette (lesson 02). Yet a net whose lambda layers have nothing but the content half tells ImageNet's thousand classes apart in 68.8 % of the cases. How does it know shapes? (a) It does not: colours are enough. (b) Other parts of the net see neighbours. (c) The softmax over positions sees where a pixel is. (d) The norms do.

# %%
guess = None  # "a", "b", "c" or "d"
check_answer("09.E4", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# Convolutions of the stem (7 × 7 in the paper's net), strides and pools come before the layers, so each pixel's features already describe a neighbourhood. The next cell shows both halves of the answer. It is why "content only" is no measure of a world without positions. Our twins of step 5, which have more convolutions in front of them than the paper's net, are even further from one; those of step 7 have only the 2 × 2 of stem and pools.
#
# ```python
# guess = "b"
# check_answer("09.E4", guess)
# ```
#
# </details>

# %%
shuffle = torch.randperm(49, generator=torch.Generator().manual_seed(1))
maps = torch.randn(3, 128, 7, 7)
twin = Twin(128, "content", (7, 7)).eval()
assert torch.allclose(twin(maps.flatten(2)[:, :, shuffle].view_as(maps)),
                      twin(maps).flatten(2)[:, :, shuffle].view_as(maps), atol=1e-5)

net = create_model("tiny", twin="content").eval()
pixels = torch.randperm(1024, generator=torch.Generator().manual_seed(2))
confetti = test_images[:50].flatten(2)[:, :, pixels].view(50, 3, 32, 32)
with torch.no_grad():
    moved = (net(confetti) - net(test_images[:50])).abs().max() / net(test_images[:50]).abs().max()
print("the layer: a shuffled map gives the shuffled output; "
      "the net: confetti changes the answer by more than a tenth:", bool(moved > 0.1))
assert moved > 0.1

# %% [markdown]
# **5 · Derive.** Show that with $q_{hn}=q_h$ a position lambda is a convolution, and say which kind. Then count: the frozen-query twin of `tiny` on its map of 7 × 7 has 128 channels, h = 4 and k = 16. How many *different* kernels does it apply, once it is trained, and how many numbers do these hold together?

# %%
guess = None  # (how many kernels, how many numbers in all of them)
check_answer("09.E5", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# $$y_{hn}=\Big(\sum_m T_{m-n}\,v_m^\top\Big)^{\!\top}q_h=\sum_m \big(q_h\cdot T_{m-n}\big)\,v_m=\sum_m \kappa_h(m-n)\,v_m$$
#
# The weight is a number that depends on the offset only: a convolution. It multiplies all $v$ channels of $v_m$ alike and adds none of them to another: depthwise, with one kernel $\kappa_h=\sum_k q_{hk}T_k$ for all channels of head $h$. Content is in the values, never in the weights. There are 4 kernels; on a map of 7 × 7 an offset goes from −6 to 6 in each direction, so each has 169 taps: 676 numbers, where the layer learns 16 · 169 + 4 · 16 = 2,768.
#
# ```python
# guess = (4, 4 * 13 * 13)
# check_answer("09.E5", guess)
# ```
#
# </details>

# %% [markdown]
# **6 · A verdict.** In at most 100 words: would you put lambda layers into a net of your own? Name one number that speaks for it and one against, each with where it comes from, and what you would measure first. Nobody grades this. A good verdict names the task, does not call a difference within its error a difference, and could be proved wrong.

# %% [markdown]
# ## What we now know
#
# * An accuracy without its error cannot be compared: 0.3 points of 50,000 pictures are about one standard error, 9.6 are more than thirty; and seeds have an error of their own.
# * In the paper's net 9.6 of 78.4 points are lost without the stencils and 0.3 without the palettes. In a net of ours in which nothing else lets distant pixels meet it was 9.9 and 0.1, the stencils did as well without being steered, and a 3 × 3 convolution did better.
# * In the late blocks of a net with convolutions a layer that sees no other pixel did as well as the lambda layer with u = 1. With u = 4 the layer was told apart from this control after 10 epochs, and level with a 3 × 3 convolution that has almost twice its parameters; after 48 epochs a third of its gain was left, and the convolution ahead again.
# * Without a control an ablation cannot say whether there was anything to be earned. Where it does as well, either the place has nothing to give or the layer does not get it; another layer in the same place tells which. (Ours told: the convolution got something.)
# * Switched off, measured anew, trained without: three ways to take a part away, three different worths. Only the last one says whether the part could have been left out.
#
# **Ledger.** Closed, and read aloud in step 12. It can be opened again by anybody with a record.
#
# **The code of this lesson** lives in `lambdalib/twins.py` (`Twin`), `lambdalib/experiments/rows.py` (`ROWS`), `lambdalib/experiments/results.py` (`read_results`, `find_record`, `format_mean`) and `lambdalib/training/data.py` (`split_validation`); `lambdalib train --row twins-frozen-query --seed 0` in a terminal trains one of the twins again, and `lambdalib results` prints the table.
#
# **Next.** What would *you* try? Every row of steps 5 to 7 is one command, and a new twin is a few lines in `lambdalib/twins.py`.
