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
# > **After this lesson you can** put lambda layers into a residual network. You can say for each stage what the swap saves and what it costs, and choose a scope that fits the map.
# >
# > **You need** [lesson 04](04_lambda_layer.ipynb) (the layer) and [lesson 05](05_cost.ipynb) (multiply-adds). Letters and words are in the [glossary](glossary.md).
# >
# > **Time** 60 minutes to read and run, 30 for the exercises. The code takes about 20 seconds on two CPU cores.
# >
# > **Short path** Steps 1, 3, 4, 5 and 7.

# %% [markdown]
# ## Where in a network does it belong?
#
# Lesson 05 gave one layer a price. The price depends on the size of the map and on the number of channels. A network changes both. It begins with large maps of few channels, and it ends with small maps of many. So a lambda layer is cheap in some places and expensive in others. This lesson builds the network and finds these places.
#
# From here on we move the whole layer about. We call it $M$. The boxed term is its lambda, here for one head and u = 1:
#
# $$M(x)_n \;=\; \boxed{\Big(\sum_m \mathrm{softmax}_m(K)_m\,v_m^\top \;+\; \sum_m e_{nm}\,v_m^\top\Big)}^{\top} q_n$$

# %%
from functools import partial
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib import LambdaLayer, cost, create_model
from lambdalib.arguments import check_flags
from lambdalib.contractions import plan, position_costs
from lambdalib.cost import content_multiply_adds, lambda_layer_parameters, stage_costs
from lambdalib.course import figures, widgets
from lambdalib.course.checks import check_budget, check_mix
from lambdalib.course.progress import progress
from lambdalib.course.questions import check_answer, revealed
from lambdalib.course.verdict import Verdicts
from lambdalib.experiments.paper_tables import TABLE_12
from lambdalib.guards import activation_checkpointed
from lambdalib.resnet import DEPTHS, STEMS, check_net, conv_norm, shortcut

torch.manual_seed(0)
figures.show(
    figures.two_bottlenecks(256, 64),
    "The block of a ResNet-50, and the same block with a lambda layer. The numbers are channels; a taller box has "
    "more of them. The batch norms are left out.",
    alt="Two blocks with a shortcut around them. The middle is a 3×3 convolution, or a lambda layer.",
)


# %% [markdown]
# ## 1 · The bottleneck
#
# **Claim.** In each block of a ResNet-50, only one layer looks at neighbours. Only that layer is swapped.
#
# The block is called a *bottleneck* ([He et al. 2015](https://arxiv.org/abs/1512.03385)):
#
# $$y \;=\; \mathrm{ReLU}\big(S(x) + W_3\,\mathrm{ReLU}(M(\mathrm{ReLU}(W_1 x)))\big)$$
#
# $$W_1\in\mathbb{R}^{d\times d_{in}},\;\; W_3\in\mathbb{R}^{4d\times d}$$
#
# $W_1$ and $W_3$ are 1 × 1 convolutions. $W_1$ squeezes the channels to a small *width* $d$. $M$ mixes the pixels. $W_3$ widens to $4d$ channels. $S$ is the *shortcut*. A batch norm follows each of $W_1$, $M$ and $W_3$.
#
# In a ResNet, $M$ is a 3 × 3 convolution. In our LambdaResNets it is a lambda layer ([Bello 2021](https://arxiv.org/abs/2102.08602), section 5). Nothing else changes.
#
# In the code, `conv_norm` is a convolution and its batch norm. `shortcut` is a 1 × 1 convolution where the shapes differ, and nothing where they agree. A *stride* of 2 halves the map. `recompute` saves memory and costs time.

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
        check_flags(recompute=recompute)
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
# Look at the last line of `__init__`. The last batch norm multiplies by a learned weight, called γ. It starts at 0. So a new block is its shortcut, whatever stands in its middle. Can such a block learn at all?

# %%
small_layer = {"dim_k": 5, "heads": 2, "scope": 3}  # options of a small lambda layer
features = torch.randn(2, 24, 7, 11)
for options in (None, small_layer):
    block = Bottleneck(24, 6, lambda_options=options)
    assert torch.equal(block(features), F.relu(block.shortcut(features)))

block(features).square().sum().backward()  # the lambda block, at step 0
print("gradient arrives at γ:", bool(block.expand[1].weight.grad.any()))
print("gradient arrives at the stencils:", bool(block.mix[0].table.grad.any()))

# %% [markdown]
# In the first step only γ learns, together with the shift of its norm. After that, everything before it learns too. So a deep network starts as a shallow one, and no lambda layer can spoil the first step.
#
# **Caution.** An untrained network therefore proves nothing about the layer inside. Any other middle gives the same numbers.

# %% [markdown]
# ## 2 · The stride
#
# **Claim.** The lambda layer works on every pixel. A pool halves the map afterwards.
#
# A convolution with stride 2 computes every second pixel of every second row. A lambda layer computes all of them. Then comes a 3 × 3 average pool with stride 2. The paper asks for this order ([quoted here](https://github.com/lucidrains/lambda-networks/issues/11)). In our library, `LambdaLayer(..., stride=2)` has the pool as its last step. Does it fit, on maps with odd sides too?

# %%
for side, stride in ((8, 1), (8, 2), (7, 2), (5, 3)):
    shapes = [tuple(Bottleneck(24, 6, stride, options)(torch.randn(2, 24, side, side + 4)).shape)
              for options in (None, small_layer)]
    print(f"{side} × {side + 4}, stride {stride}: convolution {shapes[0][2:]}, lambda layer {shapes[1][2:]}")
    assert shapes[0] == shapes[1]


# %% [markdown]
# It does. Remember one detail for step 5: with stride 2, the layer works on four times the pixels that the convolution computes.

# %% [markdown]
# ## 3 · What one swap saves
#
# ResNet-50 has four *stages* of bottlenecks, called c2 to c5. They have 3, 4, 6 and 3 blocks, of width d = 64, 128, 256 and 512. The stem, in front of them, makes the first features.

# %%
def outline(model, side: int, words: list[str]) -> list[tuple[str, int, int, bool]]:
    """The map behind the stem and behind each stage: words, side, channels, whether lambda layers made it."""
    maps, steps = torch.empty(2, 3, side, side, device="meta"), []  # meta: shapes, but no numbers
    for name, part in zip(words, [model.stem, *(model.stages if hasattr(model, "stages") else model.blocks)]):
        maps = part.to("meta")(maps)
        steps.append((name, maps.shape[3], maps.shape[1], any(isinstance(m, LambdaLayer) for m in part.modules())))
    return steps


stage_words = ["stem", "c2, 3 blocks", "c3, 4 blocks", "c4, 6 blocks", "c5, 3 blocks"]
resnet50 = outline(create_model("resnet50", 1000, stem="imagenet"), 224, stage_words)
figures.show(
    figures.model_outlines({"ResNet-50 on an image of 224 × 224": resnet50}),
    "The maps behind the stem and behind each stage. A taller box is a larger map, a wider box has more channels.",
    alt="Five boxes that become lower and wider: from 56 × 56 pixels to 7 × 7, and from 64 channels to 2048.",
)

# %% [markdown]
# **Predict.** Swap every 3 × 3 convolution for a lambda layer. In which stage does this save the most parameters: c2 with the largest map, c4 with the most layers, or c5 with the widest?

# %%
guess = None  # "c2", "c3", "c4" or "c5"
check_answer("06.1", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
rows = []
for stage, d, layers in (("c2", 64, 3), ("c3", 128, 4), ("c4", 256, 6), ("c5", 512, 3)):
    convolution, swapped = 9 * d**2, lambda_layer_parameters(d, d, 16, 4, 1, 23)
    rows.append((stage, d, layers, convolution, swapped, layers * (convolution - swapped)))
if revealed(guess):
    print("stage     d  layers  convolution  lambda layer  ratio  saved in the stage")
    for stage, d, layers, convolution, swapped, saved in rows:
        print(f"{stage:>5}{d:>6}{layers:>8}{convolution:>13,}{swapped:>14,}"
              f"{convolution / swapped:>7.1f}{saved:>20,}")


# %% [markdown]
# The paper's sizes are k = 16, h = 4, u = 1 and r = 23. With $v = d/h$, the two layers have
#
# $$\underbrace{9d^2}_{\text{convolution}}\quad\text{and}$$
#
# $$\underbrace{d\,(hk + ku + vu)}_{\text{projections}} + \underbrace{2\,(hk + vu)}_{\text{norms}} + \underbrace{k\,u\,r^2}_{\text{stencils}}\qquad\text{parameters.}$$
#
# The layer is 2.5 times smaller at d = 64, and 20 times smaller at d = 512. In c2, 57 % of it are stencils. Their number stays the same, while the $9d^2$ of the convolution grow. So nearly all savings lie in c4 and c5, and almost two thirds of them in c5 alone.

# %% [markdown]
# ## 4 · The network
#
# **Claim.** Four letters describe a network. Each says what mixes the pixels in one stage.
#
# The *layout* `"CCLL"` has convolutions in c2 and c3, and lambda layers in c4 and c5. A layout can also be a tuple of strings, with one letter for each block. `depths` says how many blocks each stage has. `check_net` refuses what makes no network. There are two stems, which step 6 compares. If you give no scope, ImageNet networks get the paper's: 23 with u = 1, and 7 with u > 1. CIFAR networks get 7, our choice. The last layer is called `head`, as everywhere. It has nothing to do with the h heads.

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
# Are these the paper's networks? Its Table 12 has the same ResNet-50 with eight layouts. We compare the number of parameters.

# %%
fifty = partial(ResNet, DEPTHS[50], num_classes=1000, stem="imagenet")
counted = {}
print("layout   ours   paper (millions)")
for layout, (printed, _, _) in TABLE_12.items():
    with torch.device("meta"):
        counted[layout] = cost.count_parameters(fifty(layout)) / 1e6
    print(f"{layout:>6}{counted[layout]:>7.2f}{printed:>8}"
          f"{'' if abs(counted[layout] - printed) < 0.1 else '   differs'}")


# %% [markdown]
# Seven of the eight agree. For CCLL the paper prints 15.4, and we count 15.56. Parameters add up stage by stage, so other rows settle it: LLLL + CCCC − LLCC = 15.0 + 25.6 − 25.0 = 15.6. We take 15.4 for a slip.
#
# **Beware of the name.** These are ResNets with swapped layers. The models that the paper itself calls *LambdaResNets* are hybrids of another kind. The appendix describes them.

# %% [markdown]
# ## 5 · What one swap costs
#
# Parameters take no time. Multiply-adds do, roughly. Per pixel, the convolution costs $9d^2$. The lambda layer pays for its projections, its palette and its position half. The order is the one that `plan` chooses (lesson 05b):

# %%
def mixing_cost(letter: str, d: int, side: int, stride: int, k: int, h: int, u: int, r: int) -> tuple[int, int]:
    """(parameters, multiply-adds for one image) of what mixes the pixels of a square map."""
    if letter == "C":
        return 9 * d**2, 9 * d**2 * ceil(side / stride) ** 2  # only the pixels that it keeps
    n, v = side**2, d // h  # all pixels: the pool comes after the layer
    projections = n * d * (h * k + k * u + v * u)
    content = content_multiply_adds(1, h, n, n, k, v, u)
    shapes = 1, h, (side, side), k, v, u, (r, r)
    position = position_costs(*shapes)[plan(*shapes)]  # the order that the layer takes
    return lambda_layer_parameters(d, d, k, h, u, r), projections + content + position


for stage in range(4):
    d, side = 64 * 2**stage, 56 // 2**stage
    million = mixing_cost("C", d, side, 1, 16, 4, 1, 23)[1] / 1e6
    shape = f"d = {d:>3}, map {side:2} × {side:2}"
    print(f"c{stage + 2}: {shape}, {million:.0f} million multiply-adds for a convolution")

# %% [markdown]
# A convolution costs the same in every stage: when d doubles, the map has a quarter of the pixels. What about the lambda layer? `cost.stage_costs` adds up all blocks of each stage.
#
# **Predict.** With r = 23 on images of 224 × 224, in which stages do the lambda layers need *more* multiply-adds than the convolutions?

# %%
guess = None  # a tuple of stages out of "c2", "c3", "c4", "c5"; () for none
check_answer("06.2", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
bills = {layout: stage_costs((3, 4, 6, 3), layout, 56) for layout in TABLE_12}
stem_and_head = (64 * 3 * 49 + 128 + 2048 * 1000 + 1000, 112**2 * 64 * 3 * 49 + 2048 * 1000)
work = {layout: int(bill[:, 3].sum()) + stem_and_head[1] for layout, bill in bills.items()}
if revealed(guess):
    for layout in ("CCCC", "CCLL", "LLLL"):
        print(f"{layout}: {work[layout] / 1e9:.2f} billion multiply-adds for one image, stem and head included")
    pair = [bills[layout] for layout in ("CCCC", "LLLL")]
    figures.show(
        figures.stage_bars({
            "parameters of the mixing layers (millions)": [bill[:, 0] / 1e6 for bill in pair],
            "multiply-adds of the mixing layers (billions)": [bill[:, 1] / 1e9 for bill in pair],
        }, ["3 × 3 convolutions", "lambda layers, r = 23"]),
        "ResNet-50 on 224 × 224: what mixes the pixels, stage by stage. Grey: convolutions. Orange: lambda "
        "layers.",
        alt="Two panels of bars, two bars for each of the four stages: parameters, and multiply-adds.",
    )

# %% [markdown]
# **Parameters are saved where layers are wide. Work is added where maps are large.** In c2 and c3 the wide window costs more than the convolutions. In c4 and c5 the lambda layers need less of both.
#
# The most expensive layer is the first one of c3. It still works on the 56 × 56 map, and its pool then keeps one pixel of four. So LLLL needs more work than the convolutions, 5.57 billion against 4.09. CCLL needs only 84 % of it.
#
# Three cautions:
#
# * The scope is a choice. With r = 7 the bill is another one (exercises 2 and 3).
# * The count takes the order that `plan` chooses. With a convolution for every position lambda, as in many public versions, LLLL needs 6.58 billion.
# * Multiply-adds are not seconds. Step 7 has both.

# %% [markdown]
# ## 6 · Which scope for which map?
#
# The stem decides how large the maps are. The ImageNet stem is a 7 × 7 convolution with stride 2 and a max pool with stride 2. It divides the sides by four. A CIFAR image of 32 × 32 would shrink to 8 × 8 before the first block. So the CIFAR stem is a 3 × 3 convolution that keeps every pixel:

# %%
for stem, side in (("imagenet", 224), ("imagenet", 32), ("cifar", 32)):
    steps = outline(ResNet((1, 1, 1, 1), "CCCC", stem=stem), side, stage_words)
    print(f"{stem:<9}stem, image of {side:>3}: c2 to c5 have maps of side", [step[1] for step in steps[1:]])

# %% [markdown]
# **Predict.** A lambda layer with the paper's r = 23 has 529 taps in each stencil. It works on a map of 8 × 8. How many of the 529 taps can ever read a pixel?

# %%
guess = None  # one number
check_answer("06.3", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
layer = LambdaLayer(16, dim_k=3, heads=2, scope=23)
layer(torch.randn(2, 16, 8, 8)).square().sum().backward()
alive = layer.table.grad.abs().sum((0, 1)) > 0  # a tap that reads nothing gets no gradient
if revealed(guess):
    print("taps that read:", int(alive.sum()), "of", alive.numel())


# %% [markdown]
# On a map of side H, offsets go from −(H−1) to H−1. So a scope of 2H−1 sees everything from everywhere. The taps of a wider one read nothing. In c5 of ResNet-50, on maps of 7 × 7, only 169 of 529 taps ever read a pixel.
#
# The other end matters too. How much of an axis does a pixel see on average, if the border cuts the window off?

# %%
def share_seen(side: int, r: int) -> float:
    """The mean share of an axis of a map that lies within r // 2 pixels."""
    return sum(abs(n - m) <= r // 2 for n in range(side) for m in range(side)) / side**2


scopes = list(range(1, 32, 2))
shares = [[share_seen(side, r) for r in scopes] for side in (32, 16, 8, 4)]
print("r = 7 on sides 32, 16, 8, 4:", [round(share_seen(side, 7), 2) for side in (32, 16, 8, 4)])
figures.show(
    figures.coverage([32, 16, 8, 4], scopes, shares),
    "How much of a map's height or width a window sees, on average over all pixels. A share of 1 is everything.",
    alt="Four rising curves over the scope. The smaller the map, the earlier its curve reaches 1.",
)

# %% [markdown]
# `lambda_resnet18` is one of our models for CIFAR-10 (step 9 shows it). It uses $r=7$. It sees the whole 4 × 4 map of the last stage, and 0.69 of each axis of the 8 × 8 map. On the large maps it sees a neighbourhood, where a wide window would cost most. The palette sees the whole map at any r.

# %% [markdown]
# ## 7 · Which stages?
#
# The paper trained the eight networks of step 4. All seven with lambda layers have fewer parameters than CCCC. By our bill, CCLL and CCCL also need fewer multiply-adds.
#
# **Predict.** How many of the seven are faster than CCCC, in images per second on the paper's machine?

# %%
guess = None  # a number from 0 to 7
check_answer("06.4", guess)

# %% cellView="form" jupyter={"outputs_hidden": true, "source_hidden": true}
# @title Reveal
if revealed(guess):
    print("less work than CCCC:", [layout for layout in TABLE_12 if work[layout] < work["CCCC"]])
    print("faster than CCCC:   ", [layout for layout in TABLE_12 if TABLE_12[layout][1] > TABLE_12["CCCC"][1]])
    figures.show(
        figures.hybrids(TABLE_12),
        "Table 12 of the paper: speed and accuracy of eight layouts. A larger disc has more parameters. Orange: "
        "lambda layers in c4 and c5.",
        alt="Eight discs. LLLL, CLLL and CCLL have the highest accuracies. CCCC and CCCL are the fastest.",
    )

# %% [markdown]
# **Accuracy.** LLLL scores 78.4 % and CCCC 76.9 %. That is 1.5 points more, with 41 % fewer parameters. The table gives one number for each network. From the 50,000 validation images alone, a difference of two such numbers has a standard error of 0.26 points. The 1.5 points are far more than that. The 0.1 between LLLL and CCLL is less.
#
# **Speed.** No swap made the network faster. CCLL needs 84 % of the work and runs at 69 % of the speed. For c2, bill and clock agree on the direction. For c4 they do not: the bill promised less work, and the network became slower. Fewer multiply-adds need not be fewer seconds.
#
# **Together.** CCLL is as accurate as LLLL, as far as this table can tell, at more than four times its speed. So put lambda layers into **c4 and c5**. The paper's appendix says so too ([quoted here](https://github.com/d-li14/lambda.pytorch/issues/2)).
#
# The library timm did so too: its `lambda_resnet26t` has them in one block of c4 and in all of c5. [Its results](https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv) are 79.13 % with 11.0 million parameters, against 77.88 % with 16.0 million for `resnet26t`, with convolutions. The table does not say whether both were trained alike.

# %% cellView="form" jupyter={"source_hidden": true}
# @title Checks of steps 4 to 7
for layout in ("CCLL", "LLLL"):  # the formulas against what PyTorch counts on the real network
    with torch.device("meta"):
        net = fifty(layout)
    assert cost.multiply_adds(net, (1, 3, 224, 224)) == work[layout]
    assert cost.count_parameters(net) == bills[layout][:, 2].sum() + stem_and_head[0]
with cost.contraction_order(net, "convolution"):
    assert round(cost.multiply_adds(net, (1, 3, 224, 224)) / 1e9, 2) == 6.58
assert alive.sum() == 15**2 and alive[4:19, 4:19].all()

# %% [markdown]
# ## 8 · Build one
#
# Here is the whole bill for a network of your choice. It needs no model, only the formulas.

# %%
IMAGES = {"ImageNet, 224": ((3, 4, 6, 3), 56), "CIFAR-10, 32": ((2, 2, 2, 2), 32)}


def build(c2="C", c3="C", c4="L", c5="L", k=16, h=4, u=1, r=23, image="ImageNet, 224"):
    """Parameters and multiply-adds stage by stage, and how far a window sees. All by formula."""
    (depths, side), layout = IMAGES[image], c2 + c3 + c4 + c5
    plain, ours = stage_costs(depths, "CCCC", side), stage_costs(depths, layout, side, k, h, u, r)
    title = (f"{layout}: {ours[:, 2].sum() / 1e6:.2f} M parameters, "
             f"{ours[:, 3].sum() / 1e9:.2f} G multiply-adds in the stages")
    swapped = [stage for stage in range(4) if layout[stage] == "L"]
    if swapped:
        seen = {stage + 2: 100 * share_seen(ceil(side / 2**stage), r) for stage in swapped}
        seen = ", ".join(f"c{stage} {percent:.0f} %" for stage, percent in seen.items())
        title += f"\na window sees of each axis: {seen}"
    if layout in TABLE_12 and (side, k, h, u, r) == (56, 16, 4, 1, 23):
        title += "\npaper, Table 12: {} M in all, {} images/s, {} %".format(*TABLE_12[layout])
    return figures.stage_bars({
        "parameters (M)": [plain[:, 2] / 1e6, ours[:, 2] / 1e6],
        "multiply-adds (G)": [plain[:, 3] / 1e9, ours[:, 3] / 1e9],
    }, ["all convolutions", "yours"], title, limits=(18, 4) if side == 56 else (12, 0.4))


figures.show(
    build(),
    "Each stage of CCLL, whole blocks included. Grey: convolutions everywhere. M are millions, G are "
    "billions.",
    alt="Bars for the stages c2 to c5: parameters and multiply-adds of CCCC and of CCLL.",
)

# %% [markdown]
# **Try it.** Set c5 to C and back: parameters jump by nearly 7 million, and the work moves by 0.3 billion. Set c2 to L: the work jumps by 1.0 billion, and the parameters hardly move. Then set u = 4: the bar of c2 no longer fits. Two slanted lines mark it, and its number is right. With r = 7, as in the paper, it fits again.

# %% tags=["nbval-ignore-output"]
widgets.explore(build, "Bars: parameters and multiply-adds of each stage",
                c2=widgets.choice("c2", ["C", "L"], "C"), c3=widgets.choice("c3", ["C", "L"], "C"),
                c4=widgets.choice("c4", ["C", "L"], "L"), c5=widgets.choice("c5", ["C", "L"], "L"),
                k=widgets.choice("k", [4, 8, 16, 32], 16), h=widgets.choice("h", [1, 2, 4, 8, 16], 4),
                u=widgets.choice("u", [1, 2, 4], 1), r=widgets.choice("r", [3, 7, 15, 23, 31], 23),
                image=widgets.choice("image", list(IMAGES)))

# %% [markdown]
# ## 9 · Our models for CIFAR-10
#
# [Lesson 07](07_train_on_cifar10.ipynb) trains on images of 32 × 32. All models have names, and `create_model` builds them.
#
# `lambda_resnet18` has two bottlenecks in each stage. Others gave it this name, because a ResNet-18 has two blocks in each stage. But with three layers in a bottleneck it is 26 layers deep. Its twin with convolutions is therefore called `resnet26`. The well-known `resnet18` has other blocks, of two 3 × 3 convolutions each.
#
# `tiny` and `small` are models of our own. They train on two CPU cores. Their block, `SmallBlock`, first widens and halves the map. Then it mixes the pixels beside a shortcut:
#
# $$z = \mathrm{GELU}(\mathrm{BN}(\mathrm{maxpool}(W x))),\qquad y = z + \mathrm{GELU}(\mathrm{BN}(M z))$$
#
# Here $W$ is a 3 × 3 convolution.

# %%
figures.show(
    figures.small_block(32, 128, 15),
    "SmallBlock, with the numbers of the second block of tiny. In the first block, M is a 3 × 3 convolution. The "
    "numbers in the boxes are channels.",
    alt="3×3 convolution, max pool, norm, GELU; then a lambda layer, norm and GELU, with a shortcut around them.",
)
block_words = ["stem", "block 1", "block 2", "block 3"]
both = {name: outline(create_model(name), 32, block_words) for name in ("tiny", "small")}
figures.show(
    figures.model_outlines({name: [("image", 32, 3, False), *steps] for name, steps in both.items()}),
    "The maps of tiny and small. Orange: a lambda layer, whose window covers the map. Behind the last block come "
    "the maximum of each channel and one linear layer.",
    alt="Two rows of boxes that become lower and wider, from an image of 32 × 32 to a map of 3 × 3 pixels.",
)

# %% [markdown]
# The stem is a 2 × 2 convolution, and a `SmallResNet` has three of these blocks. The only difference between the two models is their width. Here are all models side by side:

# %%
print("model                   parameters (M)   multiply-adds (M)")
for name in ("tiny", "small", "lambda_resnet18", "lambda_resnet18, u = 4", "resnet26", "resnet18"):
    with torch.device("meta"):
        net = create_model(name.split(",")[0], dim_u=4 if "u = 4" in name else 1)
    print(f"{name:<24}{cost.count_parameters(net) / 1e6:>13.2f}"
          f"{cost.multiply_adds(net, (1, 3, 32, 32)) / 1e6:>19.0f}")

# %% [markdown]
# **What you should see.** `lambda_resnet18` has about 40 % fewer parameters than its twin. With u = 1 it also needs fewer multiply-adds, with u = 4 more. Beside the well-known `resnet18` it has 28 % fewer parameters, and about as many multiply-adds with u = 1. `small` has 16 times fewer parameters than the twin, and `tiny` has 59 times fewer.

# %% [markdown]
# ## Exercises
#
# **1 ★ Compute.** Count one layer by hand: d = 48 channels in and out, k = 8, h = 4, u = 2, r = 5. How many parameters has it, norms included?

# %%
first = None  # one number, or a sum for Python to work out
exercise_1 = check_answer("06.E1", first)
exercise_1

# %% [markdown]
# <details><summary>Hint 1</summary>Step 3 has the formula. Start with v = d/h.</details>
#
# <details><summary>Hint 2</summary>Three parts: projections, two norms, stencils. A norm has two numbers for each channel.</details>
#
# <details><summary>Solution</summary>
#
# v = 48/4 = 12. The projections have 48 · (4·8 + 8·2 + 12·2) = 48 · 72 = 3456 weights. The norms have 2 · (32 + 24) = 112, the stencils 8 · 2 · 25 = 400. The sum is 3968.
#
# ```python
# first = 48 * (32 + 16 + 24) + 2 * (32 + 24) + 8 * 2 * 25
# check_answer("06.E1", first)
# ```
#
# </details>

# %% [markdown]
# **2 ★★ Predict, then compute.** The CIFAR network has depths (2, 2, 2, 2), a first map of side 32, and r = 7. In how many of its four stages do the lambda layers need *more* multiply-adds than the convolutions? Guess for u = 1 and for u = 4. Then ask `stage_costs`.

# %%
with_one, with_four = None, None  # two numbers from 0 to 4
exercise_2 = Verdicts(check_answer("06.E2a", with_one), check_answer("06.E2b", with_four))
exercise_2

# %% [markdown]
# <details><summary>Hint 1</summary>The window has 49 taps now. It had 529 in step 5.</details>
#
# <details><summary>Hint 2</summary><code>stage_costs((2, 2, 2, 2), "LLLL", 32, u=4, r=7)[:, 1]</code> is what you compare with <code>"CCCC"</code>.</details>
#
# <details><summary>Solution</summary>
#
# No stage with u = 1, and two with u = 4: the large maps of c2 and c3. What is true of r = 23 on ImageNet need not be true of r = 7 on CIFAR.
#
# ```python
# plain = stage_costs((2, 2, 2, 2), "CCCC", 32)[:, 1]
# with_one, with_four = [int((stage_costs((2, 2, 2, 2), "LLLL", 32, u=u, r=7)[:, 1] > plain).sum()) for u in (1, 4)]
# print(check_answer("06.E2a", with_one), check_answer("06.E2b", with_four), sep="\n")
# ```
#
# </details>

# %% [markdown]
# **3 ★★ Construct.** Find a LambdaResNet-50 for 224 × 224 with at most 15.5 million parameters *and* at most 3.5 billion multiply-adds, everything included. There are several.

# %%
options = None  # a dict such as {"layout": "LLCC", "dim_k": 16, "heads": 4, "dim_u": 1, "scope": 23}
exercise_3 = check_budget(options, parameters=15.5, multiply_adds=3.5)
exercise_3


# %% [markdown]
# <details><summary>Hint 1</summary>Start from CCLL: it has 15.56 million parameters. What makes its stencils smaller?</details>
#
# <details><summary>Hint 2</summary>Change the scope or k in step 8. Stem and head add 2.1 million parameters and 0.12 billion multiply-adds.</details>
#
# <details><summary>Solution</summary>
#
# CCLL fits with a smaller scope or fewer query channels. With r = 7 even LLLL fits: 14.87 million parameters and 2.83 billion multiply-adds. It was the wide window that made the large maps expensive. What a narrow window does to the accuracy, no count can tell. The paper's Table 4 prints 78.1 % with a window of 7 × 7, and 78.4 % with the default.
#
# ```python
# options = {"layout": "LLLL", "scope": 7}
# check_budget(options, parameters=15.5, multiply_adds=3.5)
# ```
#
# </details>

# %% [markdown]
# **4 ★★ Repair.** A reader wrote the middle of the block from memory. It seems to work on even maps. Change `my_mix` so that it is what the block of step 1 has between its 1 × 1 convolutions, up to the ReLU.

# %%
def my_mix(width: int, stride: int, lambda_options: dict) -> nn.Module:
    """(b, width, H, W) -> (b, width, ceil(H/stride), ceil(W/stride)), with the norm, without the ReLU."""
    return nn.Sequential(nn.AvgPool2d(stride), LambdaLayer(width, **lambda_options), nn.BatchNorm2d(width))


exercise_4 = check_mix(my_mix)
exercise_4

# %% [markdown]
# <details><summary>Hint 1</summary>A map of 7 × 7 should become 4 × 4. What does <code>nn.AvgPool2d(2)</code> make of it?</details>
#
# <details><summary>Hint 2</summary>Step 2 says which comes first, and which option of <code>LambdaLayer</code> does both.</details>
#
# <details><summary>Solution</summary>
#
# There are two faults of different kinds. The pool drops the last row and column of odd maps, so the sum with the shortcut fails. That is wrong. And the pool stands before the layer. That is only different: it is cheaper, and it is another function than the paper's.
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
# **5 ★★★ Derive.** With k = 16, h = 4, u = 1 and r = 23, below which width does the swap *cost* parameters? Give the smallest d, a multiple of 4, at which the layer has fewer parameters than the 3 × 3 convolution. And how many times fewer can it have at most, however wide the network?

# %%
smallest = None  # the smallest d that saves
exercise_5 = check_answer("06.E5", smallest)
exercise_5

# %% [markdown]
# <details><summary>Hint 1</summary>Put k, h, u and r into the formula of step 3, with v = d/4. Compare with 9d².</details>
#
# <details><summary>Hint 2</summary>You get a quadratic inequality in d. For very large d, only the terms with d² are left.</details>
#
# <details><summary>Solution</summary>
#
# With v = d/4, saving means
#
# $$9d^2 > d\,(64 + 16 + \tfrac d4) + 2\,(64 + \tfrac d4) + 16\cdot 23^2$$
#
# $$\iff\quad 8.75\,d^2 - 80.5\,d - 128 > 8464.$$
#
# This holds from d = 36.3 upwards, and the next multiple of 4 is 40. For very large d, $9d^2$ stands against $d^2/h$: at most $9h = 36$ times fewer.
#
# ```python
# smallest = next(d for d in range(4, 100, 4) if lambda_layer_parameters(d, d, 16, 4, 1, 23) < 9 * d**2)
# check_answer("06.E5", smallest)
# ```
#
# </details>

# %%
progress({
    "1 count one layer": "exercise_1",
    "2 which stages cost more": "exercise_2",
    "3 two budgets": "exercise_3",
    "4 repair the middle": "exercise_4",
    "5 where it saves": "exercise_5",
}, globals())

# %% [markdown]
# ## Appendix: skip unless curious
#
# ### What users of lambda layers reported
#
# | they asked or saw | where | what this course says |
# |---|---|---|
# | 7 times slower than ResNet-50 | [leaderj1001 #2](https://github.com/leaderj1001/LambdaNetworks/issues/2) | probably lambda layers in every stage (step 5) and one fixed order (lesson 05b) |
# | 10 s against 1 s in a U-Net, with r = 23 | [lucidrains #10](https://github.com/lucidrains/lambda-networks/issues/10) | probably large maps and a wide window: steps 5 and 6 |
# | lambda layers in c4 and c5 only? | [d-li14 #2](https://github.com/d-li14/lambda.pytorch/issues/2) | yes: step 7 |
# | which layers of the hybrids? | [lucidrains #9](https://github.com/lucidrains/lambda-networks/issues/9) | next section |
# | how does it downsample? | [lucidrains #11](https://github.com/lucidrains/lambda-networks/issues/11) | layer first, then pool: step 2 |
# | norm and ReLU after it? | [lucidrains #12](https://github.com/lucidrains/lambda-networks/issues/12) | keep those of the convolution: step 1 |
# | NaN in float16 | [lucidrains #12](https://github.com/lucidrains/lambda-networks/issues/12) | our layer computes in float32 there: lesson 04 |
# | CIFAR-10: 71 and 89 % instead of 93; later 93 and 94 | [leaderj1001 #1](https://github.com/leaderj1001/LambdaNetworks/issues/1) | the stem: step 6; other sizes, and logs: lesson 07 |
# | 3D convolutions 4 times slower in PyTorch 2.9 | [pytorch #166122](https://github.com/pytorch/pytorch/issues/166122) | ours has none: lesson 05b |
#
# In thread #12 the validation accuracy did not grow with norm and ReLU, so the user left them out. Then the validation loss was 3·10⁸. (The net learned all the same, to 76.1 %.) Others keep norm and ReLU: [d-li14's network](https://github.com/d-li14/lambda.pytorch) does so and reaches 78.2 % on ImageNet.
#
# ### The paper's own LambdaResNets
#
# These are hybrids, made for speed. In c4 only a few blocks have a lambda layer: 1 at depth 50, 3 at depth 101, 6 at depth 152. The paper reports that they train 3.2 and 4.4 times faster than EfficientNets of the same accuracy (its Figure 4). Lesson 09 takes this claim apart.
#
# `HybridResNet` rebuilds the family: `create_model("lambda_resnet152_hybrid")`. `lambdalib params` prints our counts beside the published ones, and says what is open.
#
# ### Into a network of your own
#
# Any network with 3 × 3 convolutions will do. Here it is torchvision's ResNet-50, whose blocks call the middle convolution `conv2`. The norm and the ReLU behind it stay. Leave the meta device out if you want to train.

# %%
import torchvision

with torch.device("meta"):
    net = torchvision.models.resnet50()
    for block in net.layer4:
        conv = block.conv2
        block.conv2 = LambdaLayer(conv.in_channels, conv.out_channels, stride=conv.stride[0])

answer = net(torch.empty(2, 3, 224, 224, device="meta"))
print(f"parameters: {cost.count_parameters(net):,}, the paper's CCCL; answer: {tuple(answer.shape)}")
assert round(cost.count_parameters(net) / 1e6, 2) == round(counted["CCCL"], 2)

# %% [markdown]
# ### Trained lambda layers of other libraries
#
# [timm](https://github.com/huggingface/pytorch-image-models) and [lambda-networks](https://github.com/lucidrains/lambda-networks) have the same layer with other names for its weights. `from_timm` and `to_timm` translate one layer, and so do `from_lambda_networks` and `to_lambda_networks`. `swap(net, images)` replaces every such layer inside a network. It prints what became of the answers and of the speed. Here the weights are random.

# %% tags=["nbval-ignore-output"]
from lambdalib.convert import from_timm, swap, to_timm

try:
    import timm
    from timm.layers.lambda_layer import LambdaLayer as TimmLayer
except ImportError:
    timm = None
    print("timm is not installed. Run `%pip install timm` in a cell of its own, then this cell and the next one.")

if timm:
    net = timm.create_model("lambda_resnet26t", img_size=64, zero_init_last=False).eval()  # γ not 0: step 1
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        answer = net(images)
    theirs = next(module for module in net.modules() if isinstance(module, TimmLayer))
    back = to_timm(from_timm(theirs)).state_dict()
    swap(net, images)

# %%
if timm:
    with torch.no_grad():
        gap = ((net(images) - answer).abs().max() / answer.abs().max()).item()
    layers = [type(module) for module in net.modules()]
    print("layers of timm left:", layers.count(TimmLayer), "· of ours:", layers.count(LambdaLayer))
    print("answers agree within 10⁻⁵ of the largest:", gap < 1e-5)
    print("there and back, to the bit:",
          all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items()))
    assert gap < 1e-5 and round(cost.count_parameters(net) / 1e6, 1) == 11.0
    assert round(cost.count_parameters(timm.create_model("resnet26t")) / 1e6, 1) == 16.0

# %% [markdown]
# ### Our trained models without the course
#
# `torch.hub` fetches `tiny` or `small` with its weights. It needs PyTorch, torchvision, einops and safetensors, and no installation. Every name of `create_model` works too, without `pretrained`. Where the course's folder is at hand, the cell loads from there.

# %% tags=["nbval-ignore-output"]
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
except (OSError, RuntimeError, ValueError) as error:  # no network, or no such page
    print(f"torch.hub is out of reach ({error}). The same weights come with the package.")
    trained = load_pretrained("small")

# %%
sample = load_sample()
with torch.no_grad():
    classes = trained(normalize(sample.test_images[:4])).argmax(dim=1)
print("it sees:", *(CLASSES[i] for i in classes))
print("it is:  ", *(CLASSES[i] for i in sample.test_labels[:4]))

# %% [markdown]
# ### Will training fit into memory?
#
# For the backward pass, every layer saves what came in. `cost.training_memory` adds this to the weights, their gradients and the optimiser's numbers. `lambdalib params --memory` does so for every recipe of lesson 07. With `recompute=True` a block saves only its input, and the backward pass computes it again.

# %%
needed = {}
for label, name, options in (("lambda_resnet18, u = 4", "lambda_resnet18", {"dim_u": 4}),
                             ("with recompute", "lambda_resnet18", {"dim_u": 4, "recompute": True}),
                             ("resnet26, the twin", "resnet26", {})):
    needed[label] = cost.training_memory(create_model(name, **options), 512, dtype=torch.bfloat16).total
    print(f"{label:<24}{needed[label] / 2**30:5.1f} GiB for a step with 512 images in bfloat16")
assert needed["with recompute"] < 0.5 * needed["lambda_resnet18, u = 4"]

# %% [markdown]
# ## What we now know
#
# * A LambdaResNet is a ResNet whose 3 × 3 convolutions became lambda layers. The pool comes after the layer.
# * A new block is its shortcut, so no layer can spoil the first step.
# * The swap saves parameters where layers are wide, and adds work where maps are large.
# * A scope of 2H−1 sees the whole map. What is wider reads nothing.
# * Lambda layers belong in c4 and c5. In the paper's table they reach the accuracy of LLLL there, at four times its speed.
#
# **Ledger.** *Fewer parameters, better accuracy*: for, 25.6 → 15.0 million and 76.9 → 78.4 % (paper). *Faster*: against, 7240 → 1160 images per second in the same table, and 4980 with c4 and c5 alone. The paper's hybrids are compared with other models; lesson 09 has the details.
#
# **The code of this lesson** lives in `lambdalib/resnet.py` (`Bottleneck`, `ResNet`), `lambdalib/small.py` (`SmallBlock`, `SmallResNet`), `lambdalib/models.py` (`create_model`, `list_models`) and `lambdalib/cost.py` (`mixing_cost`, `stage_costs`, `count_parameters`).
#
# **Next.** The network is built, and it has an answer to every image. Before training, the answer is worth nothing. Does it learn? [Lesson 07: train it on CIFAR-10](07_train_on_cifar10.ipynb).
