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
    raise ImportError("This is another lambdalib: `pip uninstall -y lambdalib`, restart the kernel and run this cell again.")
print("lambdalib", lambdalib.__version__, "is ready.")

# %% [markdown]
# > **After this lesson you can** say which part of a lambda layer earns its accuracy, on whose evidence, and how sure that is; put an error on an accuracy and on a difference of two; build the twins that a fair comparison needs; and read a claim together with what speaks against it.
# >
# > **You need** [lesson 03](03_position_lambdas.ipynb) (frozen queries), [lesson 04](04_lambda_layer.ipynb) (the layer), [lesson 06](06_lambda_resnet.ipynb) (the nets) and [lesson 07](07_train_on_cifar10.ipynb) (the training). Standard errors are explained here. Words and letters are on the [notation page](00_start_here.ipynb#Notation).
# >
# > **Time** 30 minutes to read, 25 for the exercises; the code runs in about 20 seconds on two CPU cores. The trainings took hours; their records come with the course, and this lesson reads them.

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
import json
import math
from copy import deepcopy
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, einsum, nn

from lambdalib import figures, widgets
from lambdalib.checkpoint import load_pretrained
from lambdalib.checks import check_answer, check_close
from lambdalib.data import CLASSES, hold_out, load_cifar10, normalize
from lambdalib.experiments import RECORDS, read_results
from lambdalib.layer import LambdaLayer
from lambdalib.resnet import create_model
from lambdalib.train import evaluate, predict
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


counts = torch.binomial(torch.full((20_000,), 500.0), torch.tensor(0.784))  # 500 pictures, judged 20,000 times over
assert abs((counts / 500).std() / standard_error(0.784, 500) - 1) < 0.03  # the formula tells the truth

paper = {"both halves": 0.784, "position only": 0.781, "content only": 0.688}
errors = {name: standard_error(share, 50_000) for name, share in paper.items()}
for name, share in paper.items():
    print(f"{name:14}{100 * share:.1f} ± {100 * errors[name]:.2f} (one standard error)")
print()
apart = {}
for one, other in (("both halves", "position only"), ("both halves", "content only"), ("position only", "content only")):
    apart[one, other] = (paper[one] - paper[other]) / math.hypot(errors[one], errors[other])
    print(f"{one} against {other}: {100 * (paper[one] - paper[other]):.1f} points are {apart[one, other]:.2f} standard errors")
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
# * **The same pictures.** Both nets answered the same 50,000, so the two scores are not independent, and 1.15 is only a first look. Step 7 does better.
# * **"Content only" speaks of the layers, not of the net.** Exercise 4 asks what the rest of the net still sees.
#
# And the table lacks a row. The position half consists of stencils *and* of a query that steers them. What if the query stood still?

# %% [markdown]
# ## 3 · Our twins
#
# A **twin** is the same layer with one part less, or with another mixer in its place, and everything else alike. `lambdalib.twins` has five; with the lambda layer itself and the 3 × 3 convolution there are seven layers to compare:
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
#
# Do the first two twins really take the layer apart? Give them the layer's own weights, and their outputs must add up to its output. We need this again in step 8, so it is a function:

# %%
def halves(layer: LambdaLayer, size: tuple[int, int]) -> tuple[Twin, Twin]:
    """A layer that sees its whole map of this size, as its content twin and its position twin, with its weights."""
    dim = layer.to_queries.in_channels
    content, position = (Twin(dim, kind, size, dim_k=layer.dim_k, heads=layer.heads) for kind in ("content", "position"))
    for twin in (content, position):
        for projection, norm, name in ((twin.to_queries[0], twin.to_queries[1], "queries"), (twin.to_values[0], twin.to_values[1], "values")):
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
# The frozen query is the row that the paper lacks. Lesson 03 showed what is left of a position lambda then: a convolution. Here it is in PyTorch's words (exercise 5 asks for the derivation):

# %%
frozen = Twin(21, "frozen-query", (5, 7), dim_k=4, heads=3).double().eval()
values = frozen.to_values(features)  # (b, v=7, H, W), shared by the heads
kernels = einsum("hk,kyx->hyx", frozen.queries[:, 0], frozen.table[:, 0])  # (h, 2H-1, 2W-1)
by_convolution = F.conv2d(values.repeat(1, 3, 1, 1), kernels.repeat_interleave(7, 0)[:, None], padding=(4, 6), groups=21)
gap = (by_convolution - frozen(features)).abs().max()
print("with a frozen query the layer is a convolution; largest difference below 1e-12:", bool(gap < 1e-12))
assert gap < 1e-12

# %% [markdown]
# So the seven layers form a ladder of questions. *Lambda against position*: what is the palette worth? *Lambda against content*: what are the stencils worth? *Position against frozen-query*: what is the steering worth, which is all that makes a position lambda more than a static filter? *Lambda against convolution and attention*: what is the layer worth against what it wants to replace?
#
# **Predict.** Put the position twin (stencils, steered by a query that differs from pixel to pixel) beside the frozen-query twin (the same kind of stencils, one query for all pixels). After the same training, (a) the steered one is ahead by more than a point; (b) they lie within a point of each other; (c) the frozen one is ahead by more than a point.

# %%
guess = None  # "a", "b" or "c"
check_answer("09.3", guess)

# %% [markdown]
# ## 4 · A fair comparison
#
# All seven stand in the same net, `tiny`: a first convolution, a block of convolutions, and two blocks whose *mixer* is the layer in question, on maps of 7 × 7 and 3 × 3 pixels with 128 channels. The recipe is `cpu` of lesson 07 with 10 epochs; the pictures are the same, and runs of the same seed see them in the same order and with the same shifts. Two things differ and cannot both be made equal: the number of parameters and the work. A third, the learning rate, we chose for each mixer.

# %%
rows = {row.name.removeprefix("twins-"): row for row in read_results(RECORDS) if row.name.startswith("twins-")}
assert set(rows) == {"lambda", "convolution", *TWINS} and len({row.epochs for row in rows.values()}) == 1
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
# Chosen by what? Not by the test pictures: whoever chooses by them has used them to train, a little (lesson 07, exercise 6). `hold_out` takes the last pictures of the training set out and lets them stand in for the test set:

# %%
tuning = hold_out(data, 500)
assert len(tuning.train_labels) == len(data.train_labels) - 500 and torch.equal(tuning.test_images, data.train_images[-500:])
assert not set(tuning.test_index.tolist()) & set(tuning.train_index.tolist())  # no picture is on both sides
print("of the sample: train on", len(tuning.train_labels), "- judge by", len(tuning.test_labels), "other training pictures")

sweep = {tuple(row.name.removeprefix("twins-").rsplit("-lr", 1)): row for row in read_results(RECORDS / "sweep")}
rates = sorted({rate for _, rate in sweep}, key=float)
starts = {name: json.loads((RECORDS / f"twins-{name}-seed0.jsonl").read_text().splitlines()[0]) for name in rows}
given = {name: start["recipe"]["lr"] for name, start in starts.items()}
judged = {name: [100 * sweep[name, rate].accuracies[0] for rate in rates] for name in rows}

print(f"\n{'held-out accuracy, %':22}" + "".join(f"{'rate ' + rate:>12}" for rate in rates) + f"{'chosen':>10}")
for name in rows:
    print(f"{name:22}" + "".join(f"{accuracy:12.2f}" for accuracy in judged[name]) + f"{given[name]:>10g}")
    assert given[name] == float(rates[judged[name].index(max(judged[name]))])
assert {name for name, rate in given.items() if rate == 1.5} == {"position", "linear-attention", "convolution"}
assert round(5_000 * (sweep["position", "1.5"].accuracies[0] - sweep["position", "0.75"].accuracies[0])) == 5  # pictures
assert judged["linear-attention"].index(min(judged["linear-attention"])) == 1  # the middle one
assert len(rates) == 3 and {row.epochs for row in sweep.values()} == {4}
error = 100 * standard_error(0.86, 5_000)
print(f"\neach judged by 5,000 training pictures that it was not trained on: standard error about {error:.1f} points")

# %% [markdown]
# Three of the seven, the position twin, linear attention and the convolution, did best at twice the recipe's rate, the others at the recipe's own. Read the table with its error: only linear attention gains clearly more than that, 1.5 points; for the position twin the two better rates lie five pictures apart, for the convolution twelve. And 1.5 is the edge of what we tried, so the best rate of these three may be higher still. The sweep is one seed and 4 epochs, not 10; it serves to choose, and no more.

# %% [markdown]
# ## 5 · The result
#
# Seven mixers, 10 epochs, three seeds each: 21 trainings on all 50,000 training pictures. What counts is the last epoch, not the best one, and no choice in this comparison was made by the test pictures.

# %%
scores = {name: [100 * accuracy for accuracy in row.accuracies] for name, row in rows.items()}
means = {name: fmean(values) for name, values in scores.items()}
spreads = {name: stdev(values) for name, values in scores.items()}
order = sorted(rows, key=means.get, reverse=True)
assert all(len(values) == 3 for values in scores.values())
print(f"{'mixer':18}{'test accuracy, %':>18}   {'seeds 0, 1, 2':24}")
for name in order:
    print(f"{name:18}{means[name]:10.2f} ± {spreads[name]:.2f}    " + ", ".join(f"{value:.2f}" for value in scores[name]))
figures.seeds({name: scores[name] for name in order}, "CIFAR-10 test accuracy, %: mean and standard deviation of three seeds; each seed below it",
              lit=["lambda"], notes=[f"{rows[name].parameters / 1000:.0f},000 parameters" for name in order])
plt.show()

# %% [markdown]
# How far apart must two means be? The standard deviation $s$ tells how far a seed lies from its mixer's mean. Two things make it sharper than the column above.
#
# * Runs of one *seed* belong together: they saw the pictures in the same order, with the same shifts, and a seed that is unlucky for one mixer is a little unlucky for the others. So we take off each seed's mean over the seven mixers.
# * Three seeds give an $s$ that is itself known badly, so we assume that it is the same for all mixers, and take the seven together. Of the 21 numbers, 7 means and 2 differences between seeds are used up; 12 *degrees of freedom* are left.
#
# A mean of three then has a standard error of $s/\sqrt3$, and the difference of two means one of $s\sqrt{2/3}$. In 95 of 100 such experiments the true difference lies within 2.18 of these errors (Student's distribution with 12 degrees of freedom):

# %%
def paired(scores: dict[str, list[float]]) -> tuple[list[float], float]:
    """How much better each of three seeds is than their mean, for all seven rows; and the deviation s of what is left."""
    means = [fmean(values) for values in scores.values()]
    lucky = [fmean(seed) - fmean(means) for seed in zip(*scores.values())]
    left = [number - mean - luck for values, mean in zip(scores.values(), means) for number, luck in zip(values, lucky)]
    return lucky, math.sqrt(sum(number**2 for number in left) / 12)


lucky, s = paired(scores)
error = s * math.sqrt(2 / 3)
print("seeds 0, 1, 2 are better than their mean by " + ", ".join(f"{points:+.2f}" for points in lucky) + " points")
print(f"standard deviation s of what is left {s:.2f}, standard error of a difference of two means {error:.2f} points\n")

questions = {
    "the palette (lambda - position)": ("lambda", "position"),
    "the stencils (lambda - content)": ("lambda", "content"),
    "the steering (position - frozen-query)": ("position", "frozen-query"),
    "palette and steering (lambda - frozen-query)": ("lambda", "frozen-query"),
    "against attention (lambda - attention)": ("lambda", "attention"),
    "against the convolution (lambda - convolution)": ("lambda", "convolution"),
}
worth = {words: means[one] - means[other] for words, (one, other) in questions.items()}
for words, points in worth.items():
    print(f"{words:48}{points:+.2f} points, between {points - 2.18 * error:+.2f} and {points + 2.18 * error:+.2f}")
print(f"\nall pairs, row less column, in standard errors\n{'':17}" + "".join(f"{name.split('-')[0]:>12}" for name in order))
for one in order:
    print(f"{one:17}" + "".join(f"{(means[one] - means[other]) / error:12.1f}" for other in order))
assert all(means["convolution"] - means[name] > 4 * error for name in order[1:])
assert all(abs(means["lambda"] - means[name]) < 2 * error for name in ("content", "position", "frozen-query"))
assert 2 * error < means["attention"] - means["lambda"] < 2.3 * error
assert all(abs(worth[words]) + 2.18 * error < 0.45 for words in ("the palette (lambda - position)", "the stencils (lambda - content)"))
assert 2 * error < -worth["the steering (position - frozen-query)"] < 4 * error
assert max(means.values()) - min(means.values()) < 1.3

# %% [markdown]
# The table needs a ruler. Seven mixers make 21 pairs, and of 21 differences that are pure chance about one lies beyond 2 standard errors; for all 21 together to be safe at 5 in 100, a pair needs nearly 4. So we say *told apart* beyond 4, *a hint* from 2 to 4, and nothing below 2.
#
# What the numbers say, for this net, this recipe and these pictures:
#
# * **The convolution is ahead.** It is told apart from all six others. It also has almost twice their parameters, or more.
# * **No half is worth much.** The palette is worth less than half a point here, if anything, and so are the stencils. For the palette that agrees with the paper's 0.3; for the stencils the paper's 9.6 points are far away. Here each block begins with a 3 × 3 convolution of its own, and the map behind it has 7 × 7 pixels or fewer: there is little left that only a stencil could see.
# * **Steering did not pay.** With one query for all pixels, a static filter, the net did not fall. There is even a hint that it is better than with a query for each pixel (position), and it has the fewest parameters of all. Mind that these two were given different rates, which for the position twin lay five pictures apart in the sweep.
# * **Attention**, with a softmax over every pair and with keys and values for each head, has a hint of an advantage over the lambda layer, a quarter of a point, with 16 % more parameters. From linear attention, which has no positions, it is told apart.
# * **All seven lie close together.** Whatever mixes the last pixels, the accuracy stays within little more than a point.
#
# What it does *not* say:
#
# * **Not more than three seeds of one small net can.** It has a quarter of a million weights and was trained for 10 epochs; the `tiny` that ships with the course had 48. With more training an order can change.
# * **Little about long range.** The maps have 7 × 7 and 3 × 3 pixels, and the convolutions before them have already seen shapes. A palette of a large map, or stencils that reach where no convolution has reached yet, are not tested here.
# * **Nothing about equal budgets.** The convolution spends twice the parameters, the frozen query the fewest.
# * **Nothing beyond these 10,000 pictures.** The errors above are the chance of the training. On other pictures the differences would be a little different too; by how much, our records do not say, since they hold no answers to single pictures (step 7).

# %% [markdown]
# ## 7 · The same pictures: count the flips
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
print(f"small {100 * right['small'].double().mean():.1f} %, tiny {100 * right['tiny'].double().mean():.1f} % of the same 500 pictures")
print(f"only small is right: {only_small}   only tiny is right: {only_tiny}   no flip: {500 - only_small - only_tiny}")
print(f"as two independent scores: {unpaired:.1f} standard errors;   by their flips: z = {z:.1f}")

# %% [markdown]
# The flips see the difference more sharply, because what both nets find easy or hard no longer adds noise. (`small` has almost four times as many parameters as `tiny` and is better on the full test set too, by the records that come with both.)
#
# Back to the paper's 0.3 points: 150 pictures more, of the same 50,000. With $D$ flips in all, $z=150/\sqrt D$. It passes 2 if fewer than 5,625 pictures were flips, 11 in a hundred (2,500 to 10,000, as the paper rounds). We do not know $D$. So "0.3 points may be chance" is the most that can be said, and not that it is chance.
#
# And mind what $z$ is about: *these two nets*. Whether the method behind one is better than the method behind the other is a question about all the nets that each could have produced, and only seeds answer that.

# %% [markdown]
# ## 8 · Two faders
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
check_answer("09.8", guess)


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
assert all(abs(plane_found[setting] - p) < 0.05 for setting, p in {(0, 0): 0.12, (0, 1): 0.41, (1, 0): 0.41, (1, 1): 0.85}.items())
draw(0.0, 1.0)
plt.show()

# %% tags=["nbval-ignore-output"]
widgets.explore(draw, alpha=widgets.slider("α · content", 0.0, 2.0, 1.0, 0.5), beta=widgets.slider("β · position", 0.0, 2.0, 1.0, 0.5))


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
print("each of these lies 8 to 22 points below both halves:", all(0.08 < anew[1, 1] - value < 0.22 for value in mended.values()))
assert all(0.08 < anew[1, 1] - value < 0.22 for value in mended.values())
assert max(mended.values()) - anew[0, 0] < 0.08  # one half alone is not much better than none
assert abs(anew[1, 1] - share[1, 1]) < 0.03  # measuring anew alone changes little
assert min(anew[0, 1] - share[0, 1], anew[0, 0] - share[0, 0]) > 0.1  # with a part missing it mends much

# %% tags=["nbval-ignore-output"]
print(f"{'% of 500 pictures':20}{'as trained':>12}{'measured anew':>15}")
for name, setting in {"both halves": (1, 1), "position only": (0, 1), "content only": (1, 0), "neither half": (0, 0)}.items():
    print(f"{name:20}{100 * share[setting]:12.1f}{100 * anew[setting]:15.1f}")

# %% [markdown]
# After that, a half alone is at most a few points better than no lambda layer at all, which 500 pictures, with an error of 2 points, hardly see; and even "neither" is not so bad, because convolutions carry most of this net. The two halves *together* are worth far more than one of them. They were trained as a pair and lean on each other.
#
# So there are at least three worths of one part: what is lost when it is switched off, what is lost when the rest may settle again, and what is lost when all is trained without it from the start. The third is what a designer of nets wants to know, and the only one that says whether the part could have been left out. It is also the dearest, which is why the first is seen more often.

# %% [markdown]
# ## 9 · The speed claim taken apart
#
# "3.2 and 4.4 times faster than EfficientNets" (lesson 06). Faster by what? By its caption, the paper's Figure 4 gave both the same training; but they differ in more than lambda layers, namely in the family of nets and the way these are scaled. The figure shows a third kind, too: ResNet-RS with squeeze-and-excitation, that family and scaling *without* lambda layers. So at equal accuracy the factor can be taken apart. The seconds are read off the plot, to about ± 0.01, and between its points off straight lines; they are for training on 1024 pictures, on TPUs.

# %%
plotted = {  # accuracy in percent -> seconds
    "EfficientNet": {83.7: 1.51, 84.0: 3.02, 84.7: 6.03},
    "ResNet-RS with SE": {83.8: 0.82, 84.0: 1.38, 84.2: 2.07},
    "LambdaResNet": {83.75: 0.49, 84.25: 0.91},
}


def seconds_at(accuracy: float, points: dict[float, float]) -> float:
    """Between two points of a plot, along a straight line; left of them the first point's value."""
    return float(np.interp(accuracy, list(points), list(points.values())))


at = {accuracy: {kind: seconds_at(accuracy, points) for kind, points in plotted.items()} for accuracy in (83.75, 84.0, 84.2)}
shares = []
for accuracy, (slow, middle, fast) in ((accuracy, kinds.values()) for accuracy, kinds in at.items()):
    shares.append(math.log(middle / fast) / math.log(slow / fast))
    print(f"at {accuracy:.2f} %: {slow / fast:.1f} = {slow / middle:.1f} (family and scaling) × {middle / fast:.1f} (with lambda layers);"
          f" by the logarithm {shares[-1]:.0%} of the factor")
assert [round(kinds["ResNet-RS with SE"] / kinds["LambdaResNet"], 1) for kinds in at.values()] == [1.7, 2.0, 2.4]
assert 0.43 < min(shares) < 0.48 and 0.55 < max(shares) < 0.6
assert abs(0.82 / 0.48 - 1.67) < 0.05 and abs(0.82 / 0.50 - 1.67) < 0.05  # what a misreading by 0.01 s would do
figures.two_steps([f"{kind}, 84.0 %" for kind in at[84.0]], list(at[84.0].values()))
plt.show()

# %% [markdown]
# Between the family with lambda layers and the one without lies a factor of 1.7 to 2.4, the more the higher the accuracy; by its logarithm it is about half of the whole. That is a lot. (It is read off one plot, on the paper's hardware, and the caption itself says 1.6 to 2.3. It compares families, not layers: to reach 83.8 % the one has 152 layers and the other 270. In the ablation of lesson 06, where convolutions were swapped in a plain ResNet-50, the lambda nets were *slower* in every layout; here lambda layers stand only in some blocks of the late stages.)

# %% [markdown]
# ## 10 · Done again
#
# A number gains most when somebody else gets it too. These are the public reruns that we know of, claimed number → what came out. The fourth is not a rerun but a comparison of its own: students at TU Delft trained ResNet-50 with and without lambda layers, by one recipe ([report](https://github.com/joigalcar3/LambdaNetworks), 2021; its arrow goes from the convolutions to the lambda layers). The orange dots are ours.

# %%
own = {row.name: row for row in read_results(RECORDS)}
public = {
    "ImageNet, LambdaResNet-50": (78.4, [78.21], "ink"),
    "CIFAR-10, LambdaResNet-18": (93.28, [89.10, 71.39], "ink"),
    "CIFAR-10, LambdaResNet-50": (92.86, [71.91], "ink"),
    "CIFAR-10, TU Delft: convolutions → lambda": (84.61, [81.37], "ink"),
    **{f"CIFAR-10, ours: {name}, {own[name].parameters / 1e6:.2f} M": (None, [100 * fmean(own[name].accuracies)], "lit") for name in ("small", "tiny")},
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
# | (its own pair) | TU Delft | their code evaluates in training mode (lesson 07, step 3) and flattens its maps in another order than channels × pixels asks for, so the 3.2 points may be the code's |
#
# So the ImageNet number was reached by an independent hand, to 0.2 points. The CIFAR-10 numbers were not. A rerun that fails does not prove that the first was wrong, let alone why; it proves that the page does not say enough to get there.
#
# One more public pair speaks for the layer. In the [results of timm](https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv), `lambda_resnet26t` has 79.13 % on ImageNet with 10.96 million parameters, `resnet26t` 77.88 % with 16.01 million, both at 256 × 256 pixels. Whether their recipes were alike, the table does not say.
#
# Our own are *other nets*, with convolutions in their first half and lambda layers in the second, made for CIFAR-10. They show that nets with lambda layers train well on it. They neither confirm nor refute any arrow above.

# %% [markdown]
# ## 11 · The ledger, read aloud
#
# Lesson 00 named five claims, and each lesson since has written down what spoke for them and against. All of it on one page:
#
# | claim | for | against |
# |---|---|---|
# | **long-range interactions** | every pixel counts in the palette, at a cost linear in the pixels (02); stencils reach as far as you let them (03); both are needed on puzzles made to measure (04) | attention had the range already (01); confetti has the same palette (02); the stencils never look at the picture (03); without palettes the paper's net loses 0.3 points (step 2); in our small net the layer without palettes is not told apart from the whole one (step 5) |
# | **without attention maps** | true of the content half (02) | for most shapes the cheapest way to compute the position half makes a map (05) |
# | **less memory** | 16 times less in training at 32 × 32, d = 64 (05); a text's state that does not grow (04b) | 32 times more at 4 × 4, d = 512; fused attention, which came later, keeps no map either (05) |
# | **faster** | than other public lambda layers at every shape measured, than fused attention at some (05); 1.7 to 2.4 times at equal accuracy, against the same family without lambda layers (paper, step 9) | than a 3 × 3 convolution nowhere in our record (05); 7240 → 1160 examples per second in the paper's own ablation (06); about half of the paper's factor is not the layer's (step 9) |
# | **more accurate** | ImageNet 76.9 → 78.4 with 25.6 → 15.0 million parameters (paper, 06), reached again at 78.2; timm's pair (step 10); with half its parameters within a point of the convolution (step 5) | CIFAR-10 numbers not reached again (07, step 10); among our twins the convolution is ahead, and a frozen query is not told apart from the whole layer (step 5) |
#
# **What the title suggests**: lambda layers owe their accuracy to long-range, content-based interactions. (The paper's own ablation does not say so.) **What we found.** In the paper's table nearly all of the accuracy is there without the content half, so it is the stencils that earn it (step 2). In our small net even the stencils, and the steering, can go without a loss that three seeds could see, since convolutions do their work (step 5). A net that was trained with both halves does need both (step 8), but that is habit and no proof of worth. **What would change our mind.** The frozen query on ImageNet, with seeds, and by each net's own learning rate; photographs, or tasks, on which position only falls clearly behind both; the answers of the paper's nets to each picture, so that the flips can be counted.

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
# Convolutions of the stem (7 × 7 in the paper's net), strides and pools come before the layers, so each pixel's features already describe a neighbourhood. The next cell shows both halves of the answer. It is why "content only" is no measure of a world without positions, and why our own twins, which have more convolutions in front of them than the paper's net, are even further from one.
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
assert torch.allclose(twin(maps.flatten(2)[:, :, shuffle].view_as(maps)), twin(maps).flatten(2)[:, :, shuffle].view_as(maps), atol=1e-5)

net = create_model("tiny", twin="content").eval()
pixels = torch.randperm(1024, generator=torch.Generator().manual_seed(2))
confetti = test_images[:50].flatten(2)[:, :, pixels].view(50, 3, 32, 32)
with torch.no_grad():
    moved = (net(confetti) - net(test_images[:50])).abs().max() / net(test_images[:50]).abs().max()
print("the layer: a shuffled map gives the shuffled output; the net: confetti changes the answer by more than a tenth:", bool(moved > 0.1))
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
# * In the paper's net the stencils earned nearly all of the accuracy and the palettes hardly any. In our small net, full of convolutions, neither half was worth half a point, and a 3 × 3 convolution with more parameters was ahead.
# * Switched off, measured anew, trained without: three ways to take a part away, three different worths. Only the last one says whether the part could have been left out.
#
# **Ledger.** Closed, and read aloud in step 11. It can be opened again by anybody with a record.
#
# **The code of this lesson** lives in `lambdalib/twins.py` (`Twin`), `lambdalib/experiments.py` (`ROWS`, `read_results`) and `lambdalib/data.py` (`hold_out`); `lambdalib train --row twins-frozen-query --seed 0` in a terminal trains one of the twins again, and `lambdalib results` prints the table.
#
# **Next.** What would *you* try? Every row of step 5 is one command, and a new twin is a few lines in `lambdalib/twins.py`.
