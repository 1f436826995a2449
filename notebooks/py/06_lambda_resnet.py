# %% [markdown]
# # 06 · LambdaResNet
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/lambdalib-course/lambdalib/blob/main/notebooks/06_lambda_resnet.ipynb)

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
# > **After this lesson you can** put lambda layers into a residual network, say for every stage what the swap saves and what it costs, choose a scope that fits the map, and put the layer into a net of your own.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer), the orders of contraction of [lesson 05](05_cost.ipynb), and an idea of what a residual block is. Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 35 minutes to read, 25 for the exercises; the code runs in about 15 seconds on two CPU cores.

# %% [markdown]
# ## Where in a network does it belong?
#
# Lesson 05 ended with a bill that depends on the size of the map and on the number of channels. A network has both: it begins with large maps of few channels and ends with small maps of many. So the layer is not cheap or dear as such; it is cheap in some places. This lesson builds the network and finds them.
#
# The whole lambda is the boxed term now, because from here on we only move it about (written for one head and u = 1; $M(x)$ stands for the whole layer):
#
# $$M(x)_n \;=\; \boxed{\Big(\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top \;+\; \sum_m e_{nm}\,v_m^\top\Big)}^{\top} q_n,\qquad y \;=\; \mathrm{ReLU}\big(S(x) + W_3\,\mathrm{ReLU}(M(\mathrm{ReLU}(W_1 x)))\big)$$
#
# The second formula is a **bottleneck** (He et al., *Deep Residual Learning*, 2015). $W_1$ is a 1×1 convolution that squeezes the channels to a small *width*, $M$ mixes the pixels, $W_3$ is a 1×1 convolution that widens again to four times the width, and $S$ is the *shortcut*, a way around. A batch norm stands after each of $W_1$, $M$ and $W_3$; the formula leaves it out. In a ResNet, $M$ is a 3×3 convolution. In the LambdaResNets of this lesson it is a lambda layer, and nothing else changes (Bello, 2021, section 5).

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib import LambdaLayer, contractions, cost, create_model
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_budget, check_mix
from lambdalib.course.examples import plane
from lambdalib.course.questions import check_answer
from lambdalib.experiments.paper_tables import HYBRIDS
from lambdalib.guards import activation_checkpointed
from lambdalib.resnet import DEPTHS, STEMS, check_net, conv_norm, shortcut

torch.manual_seed(0)
figures.two_bottlenecks(256, 64)
plt.show()


# %% [markdown]
# The two blocks differ in one box. The number in a box says how many channels come out of it, and a taller box has more of them; the norms are left out.
#
# ## 1 · The bottleneck
#
# `conv_norm(dim, dim_out, side, stride)` is a convolution with its batch norm, and `shortcut` is nothing at all where the shapes agree, else a 1×1 convolution with its norm. With a *stride* of 2 the block halves the map; `@activation_checkpointed` and `recompute` are lesson 05's trade of time for memory, here for a whole block. The class is the one in `lambdalib.resnet`:

# %%
class Bottleneck(nn.Module):
    """Squeeze the channels, mix the pixels, widen again, add the shortcut.

    y = ReLU(S(x) + W₃ ReLU(M ReLU(W₁ x))),  M a 3×3 convolution or a lambda layer; a norm follows W₁, M and W₃
    """

    expansion = 4

    def __init__(
        self, dim: int, width: int, stride: int = 1, lambda_options: dict | None = None, recompute: bool = False
    ):
        super().__init__()
        self.recompute = recompute
        dim_out = self.expansion * width
        self.reduce = conv_norm(dim, width, 1)
        if lambda_options is None:
            self.mix = conv_norm(width, width, 3, stride)
        else:
            self.mix = nn.Sequential(LambdaLayer(width, stride=stride, **lambda_options), nn.BatchNorm2d(width))
        self.expand = conv_norm(width, dim_out, 1)
        self.shortcut = shortcut(dim, dim_out, stride)
        nn.init.zeros_(self.expand[1].weight)  # at step 0 the block is its shortcut: depth costs nothing yet

    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, 4·width, ceil(H/stride), ceil(W/stride))."""
        inner = F.relu(self.reduce(features))
        inner = F.relu(self.mix(inner))
        return F.relu(self.shortcut(features) + self.expand(inner))


# %% [markdown]
# Look at the last line of `__init__`. A batch norm multiplies by a learnt weight, usually called γ, and here the last γ of the block starts at zero. The whole branch is then multiplied by zero, and a new block is its shortcut, whatever is in the middle. What can such a block learn from?

# %%
small = {"dim_k": 5, "heads": 2, "scope": 3}  # options of a small lambda layer
features = torch.randn(2, 24, 7, 11)
for options in (None, small):
    block = Bottleneck(24, 6, lambda_options=options)
    assert torch.equal(block(features), F.relu(block.shortcut(features)))

block(features).square().sum().backward()  # the lambda block, at step 0
print("gradient arrives at γ:", bool(block.expand[1].weight.grad.any()))
print("gradient arrives at the stencils:", bool(block.mix[0].table.grad.any()))
assert block.expand[1].weight.grad.any() and not block.mix[0].table.grad.any()

# %% [markdown]
# Of the whole branch, only γ and the shift beside it get a gradient in the first step. Once γ has moved, everything before it gets its share. A deep net therefore starts as a shallow one, and no lambda layer can spoil the first step. It also means that an untrained net, however well it runs, proves nothing about the layer inside: with any other middle it would give the same numbers.

# %% [markdown]
# ## 2 · The swap
#
# A convolution with stride 2 computes every second pixel of every second row. A lambda layer computes every pixel, and a 3×3 average pool with stride 2 follows; `LambdaLayer(..., stride=2)` has that pool as its last step. Then come the norm and the ReLU that the convolution had. That is how the paper does it (seen). From here on, **seen** after a number or a statement means that we have read it in a screenshot of the paper, in a quotation of it or in the other source that is named; **recalled** means that we know it from memory and could not look it up.
#
# The shapes are the same at any stride, also on maps with odd sides:

# %%
for side, stride in ((8, 1), (8, 2), (7, 2), (5, 3)):
    shapes = [Bottleneck(24, 6, stride, options)(torch.randn(2, 24, side, side + 4)).shape
              for options in (None, small)]
    assert shapes[0] == shapes[1] == (2, 24, math.ceil(side / stride), math.ceil((side + 4) / stride))
    print(f"{side} × {side + 4}, stride {stride}: "
          f"convolution {tuple(shapes[0][2:])}, lambda layer {tuple(shapes[1][2:])}")

# %% [markdown]
# Keep the detail in mind that the layer works *before* its pool, on four times the pixels that the convolution computes. It will turn up on the bill.

# %% [markdown]
# ## 3 · What one swap saves
#
# ResNet-50 has four *stages*, called c2 to c5, of 3, 4, 6 and 3 bottlenecks with widths d = 64, 128, 256 and 512. On a picture of 224 × 224 their maps have sides 56, 28, 14 and 7.
#
# **Predict.** Swap every 3×3 convolution for a lambda layer. In which stage does that save the most parameters: c2, where the map is largest, c4, which has the most layers, or c5, which has the widest?

# %%
guess = None  # "c2", "c3", "c4" or "c5"
check_answer("06.1", guess)

# %% [markdown]
# The convolution has $9d^2$ weights. The lambda layer, with both of its norms and $v = d/h$:
#
# $$\underbrace{d\,(hk + ku + vu)}_{\text{projections}} \;+\; \underbrace{2\,(hk + vu)}_{\text{norms}} \;+\; \underbrace{k\,u\,r^2}_{\text{stencils}}$$
#
# The paper's sizes are k = 16, h = 4, u = 1 and r = 23:

# %%
saved = []
print("stage    d  layers  convolution  lambda layer  ratio  saved in the stage")
for stage, d, layers in (("c2", 64, 3), ("c3", 128, 4), ("c4", 256, 6), ("c5", 512, 3)):
    layer = LambdaLayer(d, scope=23)
    assert cost.lambda_layer_parameters(d, d, 16, 4, 1, 23) == cost.count_parameters(layer)
    convolution, ours = 9 * d**2, cost.count_parameters(layer)
    saved.append(layers * (convolution - ours))
    print(f"{stage:>5}{d:>5}{layers:>8}{convolution:>13,}{ours:>14,}{convolution / ours:>7.1f}{saved[-1]:>20,}")
assert [round(number / 1e6, 2) for number in saved] == [0.07, 0.50, 3.27, 6.73]
print("of the layer in c2, the stencils are",
      f"{16 * 23**2 / cost.lambda_layer_parameters(64, 64, 16, 4, 1, 23):.0%}")


# %% [markdown]
# 2.5 times fewer at d = 64, where more than half of what is left are stencils, and 20 times fewer at d = 512: the stencils are a fixed sum, which weighs less as the $9d^2$ of the convolution grow. Nearly all that there is to save lies in c4 and c5.

# %% [markdown]
# ## 4 · The network
#
# A *stem* makes the first features, four stages follow, then the mean over the map and one linear layer. A *layout* of four letters says what mixes the pixels in each stage: `"CCLL"` has convolutions in c2 and c3 and lambda layers in c4 and c5. There are two stems, which step 6 compares; `depths` says how many blocks each stage has; `check_net` refuses what makes no net. (A layout may also spell out a stage block by block, as `("C", "C", "CCLCCC", "L")` does; the paper's hybrids, below, need that.) If you give no scope, you get the paper's 23 for ImageNet and u = 1, else 7. (The last layer is called `head`, as everywhere; it has nothing to do with the h heads.)

# %%
class ResNet(nn.Module):
    """A stem, four stages of blocks, the mean over the map, one linear layer."""

    stems = STEMS

    def __init__(self, depths: tuple[int, ...], layout: str | tuple[str, ...] = "LLLL", num_classes: int = 10, *,
                 stem: str = "cifar", block: type = Bottleneck, dim_k: int = 16, heads: int = 4, dim_u: int = 1,
                 scope: int | None = None, recompute: bool = False):  # fmt: skip
        super().__init__()
        check_net(depths, layout, num_classes, stem, block)
        if scope is None:
            scope = 23 if stem == "imagenet" and dim_u == 1 else 7
        lambda_options = {"dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope}
        self.stem = self.stems[stem]()
        self.stages = nn.Sequential()
        dim = 64
        for stage, (depth, letters) in enumerate(zip(depths, layout)):
            width, blocks = 64 * 2**stage, nn.Sequential()
            for position, letter in enumerate(letters * (depth // len(letters))):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(block(dim, width, stride, lambda_options if letter == "L" else None, recompute))
                dim = width * block.expansion
            self.stages.append(blocks)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, num_classes), before the softmax."""
        features = self.stages(self.stem(images))
        return self.head(features.mean((2, 3)))


# %% [markdown]
# Are these the paper's nets? The paper prints the number of parameters of ResNet-50 with eight layouts, and of a net with u = 4 (Tables 12 and 3, seen). We build ours on PyTorch's *meta* device, where tensors have shapes but no memory, and count:

# %%
fifty = partial(ResNet, DEPTHS[50], num_classes=1000, stem="imagenet")
counted = {}
print("layout   ours   paper (millions)")
for layout, printed in HYBRIDS.items():
    with torch.device("meta"):
        counted[layout] = cost.count_parameters(fifty(layout)) / 1e6
    print(f"{layout:>6}{counted[layout]:>7.2f}{printed:>8}"
          f"{'' if abs(counted[layout] - printed) < 0.1 else '   differs'}")

with torch.device("meta"):
    four = cost.count_parameters(fifty("LLLL", dim_u=4)) / 1e6
    deep = cost.count_parameters(create_model("lambda_resnet152", 1000, stem="imagenet")) / 1e6
print(f"LLLL with u = 4 (and r = 7): {four:.2f}, paper 16.0")
print(f"LLLL with 152 layers: {deep:.2f}")
assert (round(HYBRIDS["LLLL"] + HYBRIDS["CCCC"] - HYBRIDS["LLCC"], 1) == 15.6
        and round(deep, 2) == 32.81)
assert ([round(counted[layout], 2) for layout in ("CCCC", "LLLL", "CCLL")] == [25.56, 15.00, 15.56]
        and round(four, 2) == 16.04)

# %% [markdown]
# Seven of the eight agree within rounding. For CCLL the paper prints 15.4 where our count is 15.56. Parameters add up stage by stage, so the paper's other rows settle it: LLLL + CCCC − LLCC = 15.0 + 25.6 − 25.0 = 15.6. We take 15.4 for a slip, and go on with our own number.
#
# These are plain ResNets with swapped layers. What the paper itself calls *LambdaResNets* is another family: hybrids, with convolutions in most places. With these it reports its speed, a training 3.2 and 4.4 times faster than EfficientNets of the same accuracy (its Figure 4, seen). A net of this family has a lambda layer in only 1, 3 or 6 of c4's blocks at depth 50, 101 and 152 (seen), lambda layers in all of c5 (recalled), and channel attention (squeeze-and-excitation: each channel is rescaled by a number computed from the whole map) in the blocks that keep their convolution (recalled). The 152-layer member has 51.5 million parameters in another paper's table (Brock et al., *NFNets*, Table 3, seen). Our all-lambda net of that depth has 32.81. (The library has that family as well, `create_model("lambda_resnet152_hybrid")` and its like; `lambdalib params` prints their counts beside the published ones, and what is open.)

# %% [markdown]
# ## 5 · What it costs in work
#
# Parameters take no time; multiply-adds do, roughly. Per pixel, the convolution costs $9d^2$, but it only computes the pixels that it keeps. The lambda layer costs its projections, its content lambda, and its position lambdas in the order that `plan` of lesson 05 names, on every pixel of the map before the pool.
#
# **Predict.** With r = 23 on pictures of 224 × 224, in which stages do the lambda layers need *more* multiply-adds than the convolutions that they replace?

# %%
guess = None  # a tuple of stages, such as ("c4", "c5"); () for none
check_answer("06.2", guess)


# %% [markdown]
# Two functions write the bill. No net is built in them, so they are fast enough for a widget:

# %%
def mixing_cost(letter: str, d: int, side: int, stride: int, k: int, h: int, u: int, r: int) -> tuple[int, int]:
    """(parameters, multiply-adds for one picture) of what mixes the pixels of a square map."""
    if letter == "C":
        return 9 * d**2, 9 * d**2 * math.ceil(side / stride) ** 2  # only the pixels that it keeps
    n, v = side**2, d // h  # all pixels: the pool comes after the layer
    projections = n * d * (h * k + k * u + v * u)
    content = cost.content_multiply_adds(1, h, n, n, k, v, u)
    shapes = 1, h, (side, side), k, v, u, (r, r)
    position = contractions.position_costs(*shapes)[contractions.plan(*shapes)]
    return cost.lambda_layer_parameters(d, d, k, h, u, r), projections + content + position


def stage_costs(depths, layout: str, side: int, k: int = 16, h: int = 4, u: int = 1, r: int = 23) -> np.ndarray:
    """Per stage: parameters and multiply-adds of the mixing, then of the whole stage.

    side: of the first map. -> (4, 4)
    """
    rows, dim = [], 64
    for stage, (depth, letter) in enumerate(zip(depths, layout)):
        width, row = 64 * 2**stage, np.zeros(4, dtype=np.int64)
        for position in range(depth):
            stride = 2 if stage > 0 and position == 0 else 1
            after = math.ceil(side / stride)
            parameters, multiply_adds = mixing_cost(letter, width, side, stride, k, h, u, r)
            # the first shortcut of a stage has a 1×1 convolution
            way_round = 4 * dim * width if position == 0 else 0
            norms = 2 * (width + width + 4 * width) + (8 * width if position == 0 else 0)
            weights = dim * width + 4 * width**2 + way_round + norms
            work = side**2 * dim * width + after**2 * (4 * width**2 + way_round)
            row += (parameters, multiply_adds, parameters + weights, multiply_adds + work)
            dim, side = 4 * width, after
        rows.append(row)
    return np.array(rows)


# %% [markdown]
# A formula is worth as much as its check. PyTorch counts the multiply-adds of the real net, on the meta device, stem and head included:

# %%
bills = {layout: stage_costs((3, 4, 6, 3), layout, 56) for layout in ("CCCC", "CCLL", "LLLL")}
stem_and_head = (64 * 3 * 49 + 128 + 2048 * 1000 + 1000, 112**2 * 64 * 3 * 49 + 2048 * 1000)
print("layout   multiply-adds for one picture of 224 × 224 (billions)")
for layout, bill in bills.items():
    with torch.device("meta"):
        net = fifty(layout)
    total = cost.multiply_adds(net, (1, 3, 224, 224))
    assert bill[:, 3].sum() + stem_and_head[1] == total
    assert bill[:, 2].sum() + stem_and_head[0] == cost.count_parameters(net)
    print(f"{layout:>6}{total / 1e9:>8.2f}")
with cost.contraction_order(net, "convolution"):
    by_convolution = cost.multiply_adds(net, (1, 3, 224, 224))
print(f"{layout:>6}{by_convolution / 1e9:>8.2f} with every position lambda made by a convolution")
assert by_convolution > total and round(by_convolution / 1e9, 2) == 6.58
more = bills["LLLL"][:, 1] > bills["CCCC"][:, 1]
assert more.tolist() == [True, True, False, False]
first, others = mixing_cost("L", 128, 56, 2, 16, 4, 1, 23)[1], mixing_cost("L", 128, 28, 1, 16, 4, 1, 23)[1]
print(f"c3 with lambda layers: its first one {first / 1e6:.0f} million, "
      f"each of the others {others / 1e6:.0f} million")
figures.stage_bars({
    "parameters of the mixing layers (millions)": [bills[layout][:, 0] / 1e6 for layout in ("CCCC", "LLLL")],
    "multiply-adds of the mixing layers (billions)": [bills[layout][:, 1] / 1e9 for layout in ("CCCC", "LLLL")],
}, ["3×3 convolutions", "lambda layers, r = 23"])
plt.show()

# %% [markdown]
# **Parameters are saved where the layers are wide, and there the map is small; work is added where the map is large.** In c2 and c3 the wide window costs more than the convolutions. In c4 and c5 the lambda layers need less of both. The first layer of c3 is the dearest in the net: it still works on the 56 × 56 map, with twice the channels, and of every four pixels that it computes the pool leaves one.
#
# So the all-lambda net with r = 23 needs more work than the net it replaces, and CCLL needs fewer of both, parameters and multiply-adds. Three cautions. The scope is a choice, and with it the bill changes (exercises 2 and 3). The count assumes the order that `plan` names for each layer; with every position lambda made by a convolution, as in many public versions, LLLL needs 6.58 billion instead of 5.57. And multiply-adds are not seconds: in the record of [lesson 05](05_cost.ipynb), step 9, `lambda_resnet18` with u = 1 needs fewer of them than its twin with convolutions, and takes longer.

# %% [markdown]
# ## 6 · Which maps, which scope?
#
# The stem decides how large the maps are. The ImageNet stem (a 7×7 convolution with stride 2 and a max pool with stride 2) divides the sides of the picture by four before the first block. Of a CIFAR picture of 32 × 32 that would leave 8 × 8, so the CIFAR stem is one 3×3 convolution that keeps every pixel:

# %%
for stem, picture in (("imagenet", 224), ("imagenet", 32), ("cifar", 32)):
    with torch.device("meta"):
        net, maps = ResNet((1, 1, 1, 1), "CCCC", stem=stem), torch.empty(2, 3, picture, picture)
        maps, sides = net.stem(maps), []
        for stage in net.stages:
            maps = stage(maps)
            sides.append(maps.shape[-1])
    print(f"{stem:<9}stem, picture {picture:>3}: maps of side", sides)
assert sides == [32, 16, 8, 4]

# %% [markdown]
# **Predict.** A lambda layer with the paper's r = 23, so 529 taps per stencil, works on a map of 8 × 8. How many of the 529 taps can ever read a pixel?

# %%
guess = None  # one number
check_answer("06.3", guess)

# %% [markdown]
# A tap that reads nothing gets no gradient. So let the layer tell:

# %%
layer = LambdaLayer(16, dim_k=3, heads=2, scope=23)
layer(torch.randn(2, 16, 8, 8)).square().sum().backward()
alive = layer.table.grad.abs().sum((0, 1)) > 0  # (23, 23)
print("taps that read:", int(alive.sum()), "of", alive.numel())
assert alive.sum() == 15**2 and alive[4:19, 4:19].all()
print("on a map of 7 × 7, as in c5 of ResNet-50 after its first layer:", min(23, 2 * 7 - 1) ** 2, "of 529")


# %% [markdown]
# On a map of side H, offsets go from −(H−1) to H−1, so a scope of 2H−1 sees everything from everywhere, and what is wider is dead weight. The other end matters too: how much of an axis does a pixel see on average, if the window is cut off at the border?

# %%
def share_seen(side: int, r: int) -> float:
    """The mean share of an axis of a map that lies within r // 2 pixels."""
    places = range(side)
    return sum(abs(n - m) <= r // 2 for n in places for m in places) / side**2


scopes = list(range(1, 32, 2))
shares = [[share_seen(side, r) for r in scopes] for side in (32, 16, 8, 4)]
print("r = 23 on 32 × 32:", round(share_seen(32, 23), 2), "of each axis")
print("r = 7 on sides 32, 16, 8, 4:", [round(share_seen(side, 7), 2) for side in (32, 16, 8, 4)])
assert round(share_seen(32, 23), 2) == 0.59 and share_seen(4, 7) == share_seen(8, 15) == 1
figures.coverage([32, 16, 8, 4], scopes, shares)
plt.show()

# %% [markdown]
# For CIFAR our `lambda_resnet18` uses r = 7: it covers the 4 × 4 map of the last stage completely, 0.69 of each axis of the 8 × 8 (so 0.69², about half, of its pixels), and a neighbourhood on the large ones, where a wide window would cost most. Content lambdas see the whole map at any r. (`small` and `tiny` of step 9 have 2H - 1: 13 on a map of 7 × 7, 5 on one of 3 × 3.)

# %% [markdown]
# ## 7 · Which stages?
#
# The paper measured the eight nets of step 4. All seven with lambda layers have fewer parameters than the plain net, and by the bill of step 5 two of them, CCLL and CCCL, need fewer multiply-adds as well.
#
# **Predict.** How many of the seven are faster than the plain net, in pictures per second on the paper's machine?

# %%
guess = None  # a number from 0 to 7
check_answer("06.4", guess)

# %% [markdown]
# Table 12 of the paper (seen): parameters in millions, inference speed in examples per second, accuracy on ImageNet in percent. It gives one number per net, without a spread. In the figure, larger discs have more parameters, and orange nets have lambda layers in both c4 and c5.

# %%
table_12 = {
    "CCCC": (25.6, 7240, 76.9), "LCCC": (25.5, 1880, 77.3), "LLCC": (25.0, 1280, 77.2), "LLLC": (21.7, 1160, 77.8),
    "LLLL": (15.0, 1160, 78.4), "CLLL": (15.1, 2200, 78.3), "CCLL": (15.4, 4980, 78.3), "CCCL": (18.8, 7160, 77.3),
}  # fmt: skip
assert {layout: row[0] for layout, row in table_12.items()} == HYBRIDS
figures.hybrids(table_12)
plt.show()
work = {layout: stage_costs((3, 4, 6, 3), layout, 56)[:, 3].sum() + stem_and_head[1] for layout in table_12}
print("less work than CCCC, by our count:", [layout for layout in table_12 if work[layout] < work["CCCC"]])
print("faster than CCCC, by the paper's clock:", [layout for layout in table_12 if table_12[layout][1] > 7240])
print(f"CCLL: {work['CCLL'] / work['CCCC']:.0%} of the work, {4980 / 7240:.0%} of the speed")
error = 100 * math.sqrt(0.784 * 0.216 / 50_000)
print(f"standard error of 78.4 % on 50,000 pictures: {error:.2f} points")
assert 78.4 - 78.3 < 0.5 * math.sqrt(2) * error and 78.4 - 76.9 > 5 * math.sqrt(2) * error

# %% [markdown]
# None of them is faster. Even CCLL, with 84 % of the multiply-adds, runs at 69 % of the speed. Fewer parameters are not more speed, and fewer multiply-adds need not be (ours are counted in our orders of contraction; which ones the paper's code used, we do not know). The bill has the direction right for c2, but not the amount: a swap there alone adds a quarter of work and takes three quarters of the speed. For c5 it promises 7 % less work, and the speed stays nearly what it was. For c4 it promises less work again, and there the net is clearly slower.
#
# And the accuracy? The standard error of a *difference* of two such numbers is √2 times as large, 0.26 points (lesson 09). LLLL and the plain net differ by 1.5, more than five of these; LLLL and CCLL by 0.1, less than half of one, and two trainings of the same net may differ by more. So CCLL reaches LLLL's accuracy, as far as one can tell, at more than four times its speed. The swap buys accuracy and saves parameters; in c4 and c5 together it does most of both, and costs the least speed for it.

# %% [markdown]
# ## 8 · Build one
#
# The controls choose the layout, the sizes and the picture; grey is the net with convolutions everywhere. (M and G are millions and billions.) The title counts the lambdas of the layer that has most of them (n·k·v, whether its order of contraction makes them or not; in this first picture `plan` names the attention order everywhere, which makes none), and says which share of an axis a window sees on average, in all layers of a stage but the first of c3 to c5, whose map is still twice as large. The scales are fixed for each picture size; a bar that is cut off keeps its number.

# %%
PICTURES = {"ImageNet, 224": ((3, 4, 6, 3), 56), "CIFAR-10, 32": ((2, 2, 2, 2), 32)}


def build(c2="C", c3="C", c4="L", c5="L", k=16, h=4, u=1, r=23, picture="ImageNet, 224"):
    """Parameters and multiply-adds stage by stage, the largest lambdas, and how far a window sees.

    All by formula.
    """
    (depths, side), layout = PICTURES[picture], c2 + c3 + c4 + c5
    plain, ours = stage_costs(depths, "CCCC", side), stage_costs(depths, layout, side, k, h, u, r)
    title = (f"{layout}: {ours[:, 2].sum() / 1e6:.2f} M parameters, "
             f"{ours[:, 3].sum() / 1e9:.2f} G multiply-adds in the stages")
    if "L" in layout:
        swapped = [stage for stage in range(4) if layout[stage] == "L"]
        # the side in each stage's first layer
        before = [math.ceil(side / 2 ** max(stage - 1, 0)) for stage in range(4)]
        largest = max(before[stage] ** 2 * k * 64 * 2**stage // h for stage in swapped)
        seen = ", ".join(f"c{stage + 2} {share_seen(math.ceil(side / 2**stage), r):.0%}" for stage in swapped)
        title += f"\nlargest lambdas: {largest / 1e6:.2g} M numbers per picture; seen of an axis: {seen}"
    if layout in table_12 and (side, k, h, u, r) == (56, 16, 4, 1, 23):
        title += "\npaper, Table 12: {} M in all, {} examples/s, {} %".format(*table_12[layout])
    return figures.stage_bars({
        "parameters (M)": [plain[:, 2] / 1e6, ours[:, 2] / 1e6],
        "multiply-adds (G)": [plain[:, 3] / 1e9, ours[:, 3] / 1e9],
    }, ["convolutions", "yours"], title, limits=(18, 4) if side == 56 else (12, 0.4))


build()
plt.show()
swing = abs(bills["LLLL"] - bills["CCCC"])  # what one letter changes, stage by stage
assert (round(swing[3, 1] / 1e9, 1) == 0.3 and round(swing[0, 1] / 1e9, 1) == 1.0
        and swing[3, 0] > 100 * swing[0, 0])

# %% tags=["nbval-ignore-output"]
widgets.explore(build, c2=widgets.choice("c2", ["C", "L"], "C"), c3=widgets.choice("c3", ["C", "L"], "C"),
                c4=widgets.choice("c4", ["C", "L"], "L"), c5=widgets.choice("c5", ["C", "L"], "L"),
                k=widgets.choice("k", [4, 8, 16, 32], 16), h=widgets.choice("h", [1, 2, 4, 8, 16], 4),
                u=widgets.choice("u", [1, 2, 4], 1), r=widgets.choice("r", [3, 7, 15, 23, 31], 23),
                picture=widgets.choice("picture", list(PICTURES)))

# %% [markdown]
# Move c5 to C and back: the parameters jump by nearly 7 million, and the work moves by 0.3 billion. Move c2: the work jumps by 1.0 billion, and the parameters hardly move. With u = 4, both grow; take r = 7 then, as the paper does.

# %% [markdown]
# ## 9 · Our nets for CIFAR-10
#
# [Lesson 07](07_train_on_cifar10.ipynb) trains on pictures of 32 × 32. These nets are there by name. The literature calls a net of 2, 2, 2, 2 blocks "18"; with bottlenecks, which have three layers each, it is 26 layers deep, so `lambda_resnet18` and `lambda_resnet26` are one net, and its twin with convolutions is `resnet26`. The well-known ResNet-18 has another block, of two 3×3 convolutions, and is nobody's twin here. `small` and `tiny` are no ResNets of the paper: they are nets of our own with three short blocks, the last two with lambda layers whose window covers the map, made to be trained on two CPU cores in lesson 07.
#
# Does such a net run, and is step 1 true for the whole of it? The last lines fill every table of stencils with noise. At step 0 the answer must not move, because each block is its shortcut.

# %%
print("net                                parameters (M)   multiply-adds (G)")
found = {}
nets = {"lambda_resnet18, u = 4": ("lambda_resnet18", {"dim_u": 4}),
        "lambda_resnet18, u = 1": ("lambda_resnet18", {}),
        "resnet26, the twin": ("resnet26", {}), "resnet18, the well-known one": ("resnet18", {}),
        "small": ("small", {}), "tiny": ("tiny", {})}
for label, (name, options) in nets.items():
    with torch.device("meta"):
        net = create_model(name, **options)
    found[label] = round(cost.count_parameters(net) / 1e6, 2)
    print(f"{label:<35}{found[label]:>12.2f}{cost.multiply_adds(net, (1, 3, 32, 32)) / 1e9:>18.2f}")
assert list(found.values())[:4] == [8.66, 8.03, 13.96, 11.17]

net = create_model("lambda_resnet18").eval()
with torch.no_grad():
    before = net(plane()[None])
    for module in net.modules():
        if isinstance(module, LambdaLayer):
            module.table.normal_(std=100)
    after = net(plane()[None])
assert before.shape == (1, 10) and torch.equal(before, after)
print("ten numbers for the plane, the same with any stencils:", torch.equal(before, after))

# %% [markdown]
# With u = 1 `lambda_resnet18` needs fewer multiply-adds than its twin, with u = 4 more; both have about 40 % fewer parameters.
#
# Will training fit into your memory? For the backward pass every layer saves what came in and much of what it made. `cost.training_memory` adds that to the weights, their gradients and the optimiser's numbers; `lambdalib params --memory` does it for every recipe of lesson 07. With `recompute=True`, from lesson 05, a block saves nothing but what came in. The backward pass computes the blocks again, one at a time, and the largest of them needs its room too; the sum below has it.

# %%
pictures, needed = 512, {}
for label, name, options in (("lambda layers, u = 4", "lambda_resnet18", {"dim_u": 4}),
                             ("with recompute", "lambda_resnet18", {"dim_u": 4, "recompute": True}),
                             ("convolutions", "resnet26", {})):
    needed[label] = cost.training_memory(create_model(name, **options), pictures, dtype=torch.bfloat16).total
    print(f"{label:<22}{needed[label] / 2**30:5.1f} GiB for a step with {pictures} pictures in bfloat16")
assert needed["with recompute"] < 0.5 * needed["lambda layers, u = 4"]

# %% [markdown]
# A third, where lesson 05 had an eighth: there we counted what is saved when the forward pass ends; this sum also has the room for the largest block that is computed again, and the weights.

# %% [markdown]
# ## Exercises
#
# **1 · Predict.** Count one layer by hand: d = 48 channels in and out, k = 8, h = 4, u = 2, r = 5. How many parameters, norms included?

# %%
guess = None  # one number, or a sum for Python to work out
check_answer("06.E1", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# v = 48/4 = 12. The projections have 48 · (4·8 + 8·2 + 12·2) = 48 · 72 = 3456 weights and no biases, the norms of queries and values 2 · (32 + 24) = 112, the table 8 · 2 · 25 = 400.
#
# ```python
# guess = 48 * (32 + 16 + 24) + 2 * (32 + 24) + 8 * 2 * 25
# check_answer("06.E1", guess)
# ```
#
# </details>

# %% [markdown]
# **2 · Predict, then compute.** The CIFAR net has depths (2, 2, 2, 2), a first map of side 32, and r = 7. In how many of its four stages do the lambda layers need *more* multiply-adds than the convolutions? Guess for u = 1 and for u = 4, then ask `stage_costs`. (Lesson 05 counted one layer for each stage; here the first layers of c3 to c5 work on the larger map, before their pool.)

# %%
with_one, with_four = None, None  # how many stages for u = 1, how many for u = 4: two numbers from 0 to 4
print(check_answer("06.E2a", with_one), check_answer("06.E2b", with_four), sep="\n")

# %% [markdown]
# <details><summary>Solution</summary>
#
# No stage with u = 1, two with u = 4: the large maps of c2 and c3. What is true of r = 23 on ImageNet need not be true of r = 7 on CIFAR.
#
# ```python
# plain = stage_costs((2, 2, 2, 2), "CCCC", 32)[:, 1]
# with_one, with_four = [int((stage_costs((2, 2, 2, 2), "LLLL", 32, u=u, r=7)[:, 1] > plain).sum()) for u in (1, 4)]
# print(check_answer("06.E2a", with_one), check_answer("06.E2b", with_four), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **3 · Construct.** Find a LambdaResNet-50 for 224 × 224 with at most 15.5 million parameters *and* at most 3.5 billion multiply-adds, all of the net included. Any that fits will do.

# %%
options = None  # a dict such as {"layout": "LLCC", "dim_k": 16, "heads": 4, "dim_u": 1, "scope": 23}
check_budget(options, parameters=15.5, multiply_adds=3.5)


# %% [markdown]
# <details><summary>Solution</summary>
#
# CCLL with the paper's sizes has 15.56 million parameters. A smaller table or fewer query channels bring it below 15.5. With r = 7 even LLLL fits, with 14.87 million parameters and 2.83 billion multiply-adds, fewer of both than the convolutional net: it was the wide window that made the large maps expensive. What the narrow window does to the accuracy, no count can tell.
#
# ```python
# options = {"layout": "LLLL", "scope": 7}
# check_budget(options, parameters=15.5, multiply_adds=3.5)
# ```
#
# </details>

# %% [markdown]
# **4 · Repair.** A reader wrote the middle of the block from memory. On even maps it seems to fit. Change `my_mix` so that it is what the block of step 1 has between its 1×1 convolutions, up to the ReLU.

# %%
def my_mix(width: int, stride: int, lambda_options: dict) -> nn.Module:
    """(b, width, H, W) -> (b, width, ceil(H/stride), ceil(W/stride)), with the norm, without the ReLU."""
    return nn.Sequential(nn.AvgPool2d(stride), LambdaLayer(width, **lambda_options), nn.BatchNorm2d(width))


check_mix(my_mix)

# %% [markdown]
# <details><summary>Solution</summary>
#
# There are two faults of different kinds. The pool drops the last row and column of odd maps, so the sum with the shortcut fails: that is wrong. The pool stands before the layer: that is only different. It is a legal layer, and at stride 2 a cheaper one, since it works on a quarter of the pixels, but it is another function than the paper's.
#
# ```python
# def my_mix(width, stride, lambda_options):
#     return nn.Sequential(LambdaLayer(width, stride=stride, **lambda_options), nn.BatchNorm2d(width))
#
#
# check_mix(my_mix)
# ```
#
# </details>

# %% [markdown]
# **5 · Derive.** With k = 16, h = 4, u = 1 and r = 23, below which width does the swap *cost* parameters? Give the smallest d, a multiple of 4, at which the layer has fewer parameters than the 3×3 convolution. And how many times fewer can it have at most, however wide the net?

# %%
guess = None  # the smallest d that saves
check_answer("06.E5", guess)

# %% [markdown]
# <details><summary>Solution</summary>
#
# With v = d/4, saving means
#
# $$9d^2 > d\,(64 + 16 + \tfrac d4) + 2\,(64 + \tfrac d4) + 16\cdot 23^2 \iff 8.75\,d^2 - 80.5\,d - 128 > 8464,$$
#
# which holds from d = 36.3 upwards: the next multiple of 4 is 40. For very large d only the terms with $d^2$ are left, $9d^2$ against $d^2/h$: at most $9h = 36$ times fewer.
#
# ```python
# guess = next(d for d in range(4, 100, 4) if cost.lambda_layer_parameters(d, d, 16, 4, 1, 23) < 9 * d**2)
# check_answer("06.E5", guess)
# ```
#
# </details>

# %% [markdown]
# ## Into a net of your own
#
# The net may be anything that has 3×3 convolutions; here it is torchvision's ResNet-50, whose blocks call the middle convolution `conv2`. The norm and the ReLU that follow it stay where they are. That is the paper's CCCL, and the count says so. (The meta device is only for counting: leave that line out to train the net.)

# %%
import torchvision

with torch.device("meta"):
    net = torchvision.models.resnet50()
    for block in net.layer4:
        conv = block.conv2
        block.conv2 = LambdaLayer(conv.in_channels, conv.out_channels, stride=conv.stride[0])

answer = net(torch.empty(2, 3, 224, 224, device="meta"))
print("parameters:", f"{cost.count_parameters(net):,}", "· answer:", tuple(answer.shape))
assert round(cost.count_parameters(net) / 1e6, 2) == round(counted["CCCL"], 2) == 18.83

# %% [markdown]
# ## Come with your own net and weights
#
# Perhaps your net has lambda layers already, those of [timm](https://github.com/huggingface/pytorch-image-models) or of [lambda-networks](https://github.com/lucidrains/lambda-networks), and perhaps they are trained. They compute the same function as ours, and no number has to change its value: it only changes its place. timm's layer, for one, makes queries, keys and values by a single 1×1 convolution, whose rows are queries first, keys next, values last. The head of `lambdalib/convert.py` has the whole list.

# %%
from lambdalib.convert import from_timm, swap, to_timm

try:
    import timm
    from timm.layers.lambda_layer import LambdaLayer as TimmLayer
except ImportError:
    timm = None
    print("timm is not installed. Run `%pip install timm` in a cell of its own, then this cell and the next two.")

if timm:
    theirs, maps = TimmLayer(24, num_heads=2, dim_head=5, r=3).eval(), torch.randn(2, 24, 7, 11)
    ours = from_timm(theirs)
    parts = ours.to_queries, ours.to_keys, ours.to_values
    print("rows of their one weight:", len(theirs.qkv.weight),
          "· of our three:", [len(part.weight) for part in parts])
    with torch.no_grad():
        assert torch.allclose(ours(maps), theirs(maps), rtol=0, atol=2e-6 * theirs(maps).abs().max().item())
    back = to_timm(ours).state_dict()
    print("there and back, to the bit:",
          all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items()))

# %% [markdown]
# `swap(net)` does this to every such layer inside a net, in place, pools included. Give it pictures as well, and it asks the old net and the new one in turn and prints what has become of the answers and of the speed, for the better or the worse on your machine. The weights here are random; with `pretrained=True`, timm fetches trained ones. `zero_init_last=False` is there because of step 1: with γ at zero, any two nets would agree.

# %% tags=["nbval-ignore-output"]
if timm:
    net = timm.create_model("lambda_resnet26t", img_size=64, zero_init_last=False).eval()
    pictures = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        answer = net(pictures)
    swap(net, pictures)

# %%
if timm:
    with torch.no_grad():
        apart = ((net(pictures) - answer).abs().max() / answer.abs().max()).item()
        for layer in (replaced := [module for module in net.modules() if isinstance(module, LambdaLayer)]):
            layer.table.zero_()
        without = ((net(pictures) - answer).abs().max() / answer.abs().max()).item()
    print("layers of timm left:", sum(isinstance(module, TimmLayer) for module in net.modules()),
          "· of ours:", len(replaced))
    print("answers agree within 10⁻⁵ of the largest:", apart < 1e-5, "· without the stencils:", without < 1e-5)
    assert apart < 1e-5 < without and len(replaced) == 3

# %% [markdown]
# And if you want one of our nets without the course: `torch.hub.load("lambdalib-course/lambdalib", "small", pretrained=True)` fetches it, in a project that needs nothing but PyTorch, torchvision, einops and safetensors. `small` is the net of step 9, trained as in lesson 07, and so is `tiny`; every name of `create_model` works too, without `pretrained`. (Where the course's folder is at hand, the cell takes it from there.)

# %%
from pathlib import Path

import lambdalib
from lambdalib import load_pretrained, normalize
from lambdalib.training.data import CLASSES, load_sample

folder = Path(lambdalib.__file__).resolve().parents[1]
try:
    if (folder / "hubconf.py").exists():
        trained = torch.hub.load(str(folder), "small", source="local", pretrained=True)
    else:
        trained = torch.hub.load("lambdalib-course/lambdalib", "small", trust_repo=True, pretrained=True)
except (OSError, RuntimeError) as error:  # no network
    print(f"torch.hub is out of reach ({error}); the same weights come with the package.")
    trained = load_pretrained("small")
sample = load_sample()
with torch.no_grad():
    classes = trained(normalize(sample.test_images[:4])).argmax(dim=1)
print("it sees:", [CLASSES[i] for i in classes], "· it is:", [CLASSES[i] for i in sample.test_labels[:4]])

# %% [markdown]
# ## Questions that people ask
#
# Users of public implementations ask these again and again. The answers follow from the lessons; what comes from elsewhere is marked.
#
# **Which scope?** No wider than 2H−1 on a map of side H; beyond that the taps are dead (step 6). The paper uses 23 on ImageNet, and 7 with u > 1 (seen). It compares scopes from 3 to 31 in a net with two swapped stages, and there 7 and 31 are 0.3 points apart (recalled), so a wide one brings little. Start with 7 on small maps.
#
# **Where do I put it?** In the last stages, where maps are small and layers wide: CCLL (step 7). In the first stages it saves next to nothing and costs most.
#
# **Do I need a norm and an activation after it?** Yes, those of the convolution that it replaces. The layer has norms on its queries and values, but what comes out is a product of the two and of the stencils, and with the stencils learnt, nothing holds its scale ([lesson 04](04_lambda_layer.ipynb)); the ReLU behind it expects numbers around zero. In a public thread in which users were told that no norm is needed, one of them reported a validation loss of 3·10⁸ (seen).
#
# **What about the stride?** Layer first, then a 3×3 average pool with that stride, then the norm (step 2); `LambdaLayer(..., stride=2)` has the pool inside. Pooling first is cheaper, and another function (exercise 4).
#
# **Mixed precision?** bfloat16 is the simple choice. float16 ends at 65504, which a product of activations can pass; under float16 autocast our layer therefore computes in float32, which costs speed ([lesson 04](04_lambda_layer.ipynb), step 8). Several users of other implementations report NaN with float16 (seen).
#
# **Why is it so slow elsewhere?** Reports of "7 times slower than ResNet-50" (seen) have at least three possible causes. r = 23 in every stage, the large maps included (step 5). One fixed order of contraction, where the cheapest one depends on the shapes (lesson 05). And the three-dimensional convolution by which many implementations read the stencils: on graphics cards in 16 bits, users report it as four and more times slower in PyTorch 2.9 than before (seen in PyTorch's issues; lesson 05, step 8). Ours is a two-dimensional convolution or a matrix product.
#
# **May the size of the picture change?** With a local scope, yes: the table holds offsets, not places. The global form (`scope=None`) is made for one size and refuses others.
#
# **May I keep trained weights?** Those of the layers that you did not swap; the new ones have to be trained, and the others with them. Lambda layers of timm and lambda-networks bring theirs along (above).

# %% [markdown]
# ## What we now know
#
# * Our LambdaResNets are ResNets in whose blocks lambda layers take the place of 3×3 convolutions, stride and all; the paper's own family of that name is hybrids. A new block is its shortcut, so nothing breaks at step 0.
# * Parameters are saved where the map is small and the layer wide; work is added where the map is large and the scope wide. CCLL takes the good half of both.
# * The scope belongs to the map: 2H−1 sees everything, and what is wider reads nothing.
#
# **Ledger.** *Fewer parameters*: for, 25.6 → 15.0 million at 1.5 points more (paper). *Faster*: against, 7240 → 1160 examples per second in the paper's own table, and 4980 with c4 and c5 alone; for, in another family and against other nets, 3.2 and 4.4 times faster training than EfficientNets of the same accuracy (paper).
#
# **The code of this lesson** lives in `lambdalib/resnet.py` (`Bottleneck`, `ResNet`), `lambdalib/small.py` (`SmallResNet`), `lambdalib/hybrid.py` (`HybridResNet`), `lambdalib/models.py` (`create_model`), `lambdalib/cost.py` (`lambda_layer_parameters`, `count_parameters`) and `lambdalib/convert.py` (`from_timm`, `swap`).
#
# **Next.** It is assembled, and it has an answer to every picture, worth nothing before training. Does it learn? [Lesson 07: train it on CIFAR-10](07_train_on_cifar10.ipynb).
