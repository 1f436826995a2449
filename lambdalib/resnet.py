"""LambdaResNets and their convolutional twins: the same bottlenecks, with or without a lambda layer in the middle.

Taught in notebooks/06_lambda_resnet. He et al. 2015 (arXiv 1512.03385) for the net; Bello 2021, section 5, for the swap.
"""

from difflib import get_close_matches
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib.layer import LambdaLayer, frugal
from lambdalib.twins import TWINS, Twin

__all__ = ["conv_norm", "Bottleneck", "BasicBlock", "ResNet", "SmallBlock", "SmallResNet", "MODELS", "create_model", "list_models"]


def conv_norm(dim: int, dim_out: int, side: int, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch norm, initialised for a ReLU (He et al. 2015, arXiv 1502.01852).

    (b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride)). Taught in notebooks/06_lambda_resnet.

    Args:
        dim, dim_out: channels in and out.
        side: side of the kernel in pixels, odd.
        stride: step of the kernel in pixels.
    """
    conv = nn.Conv2d(dim, dim_out, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(dim_out))


def shortcut(dim: int, dim_out: int, stride: int) -> nn.Module:
    """The way around a block: nothing at all where the shapes agree, else a 1×1 convolution and its norm."""
    return nn.Identity() if (dim, stride) == (dim_out, 1) else conv_norm(dim, dim_out, 1, stride)


class Bottleneck(nn.Module):
    """Squeeze the channels, mix the pixels, widen again, add the shortcut.

    y = ReLU(S(x) + W₃ ReLU(M ReLU(W₁ x))),  M a 3×3 convolution or a lambda layer; a norm follows W₁, M and W₃
    Bello 2021, section 5: the lambda layer, its stride included, takes the place of the 3×3 convolution; all else stays.
    Taught in notebooks/06_lambda_resnet.

    Args:
        dim: channels that come in.
        width: channels in the middle; 4·width go out.
        stride: 2 halves the map.
        lambda_options: keyword arguments of LambdaLayer; None: a 3×3 convolution.
        recompute: hold nothing but what came in for the backward pass (see lambdalib.layer.frugal).
    """

    expansion = 4

    def __init__(self, dim: int, width: int, stride: int = 1, lambda_options: dict | None = None, recompute: bool = False):
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

    @frugal
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, 4·width, ceil(H/stride), ceil(W/stride))."""
        inner = F.relu(self.reduce(features))
        inner = F.relu(self.mix(inner))
        return F.relu(self.shortcut(features) + self.expand(inner))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and the shortcut: the block of the field's ResNet-18. It has no place for a lambda layer.

    y = ReLU(S(x) + W₂ ReLU(W₁ x)), a norm after W₁ and W₂. Taught in notebooks/06_lambda_resnet.

    Args:
        dim: channels that come in.
        width: channels that go out.
        stride: 2 halves the map.
        lambda_options: None.
        recompute: hold nothing but what came in for the backward pass (see lambdalib.layer.frugal).
    Raises:
        ValueError: lambda_options is not None.
    """

    expansion = 1

    def __init__(self, dim: int, width: int, stride: int = 1, lambda_options: None = None, recompute: bool = False):
        super().__init__()
        if lambda_options is not None:
            raise ValueError(f"lambda_options must be None in a basic block, which has no lambda layer, got {lambda_options!r}")
        self.recompute = recompute
        self.first = conv_norm(dim, width, 3, stride)
        self.second = conv_norm(width, width, 3)
        self.shortcut = shortcut(dim, width, stride)
        nn.init.zeros_(self.second[1].weight)

    @frugal
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, width, ceil(H/stride), ceil(W/stride))."""
        return F.relu(self.shortcut(features) + self.second(F.relu(self.first(features))))


def cifar_stem() -> nn.Sequential:
    """Keep every pixel: a 32×32 picture stays 32×32."""
    return nn.Sequential(conv_norm(3, 64, 3), nn.ReLU())


def imagenet_stem() -> nn.Sequential:
    """Quarter the map before the first block: 224×224 becomes 56×56."""
    return nn.Sequential(conv_norm(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))


STEMS = {"cifar": cifar_stem, "imagenet": imagenet_stem}


def check_arguments(depths, layout, num_classes, stem, block) -> None:
    """Refuse what makes no net, in one sentence each. Raises ValueError."""
    if not isinstance(layout, str) or len(layout) != len(depths) or not set(layout) <= {"C", "L"}:
        raise ValueError(f"layout must have {len(depths)} letters, one per stage, C (convolution) or L (lambda), got {layout!r}")
    if block is BasicBlock and "L" in layout:
        raise ValueError(f"layout must be {'C' * len(depths)!r} with basic blocks, which have no lambda layer, got {layout!r}")
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a positive integer, got {num_classes!r}")
    if stem not in STEMS:
        raise ValueError(f"stem must be one of {list(STEMS)}, got {stem!r}")


class ResNet(nn.Module):
    """A stem, four stages of blocks, the mean over the map, one linear layer.

    Each stage after the first halves the map and doubles the width. The layout says, stage by stage, what mixes the
    pixels: "CCLL" has convolutions in the first two and lambda layers in the last two (Bello 2021, Table 12).
    Taught in notebooks/06_lambda_resnet.

    Args:
        depths: blocks in each stage.
        layout: one letter per stage, C (3×3 convolution) or L (lambda layer).
        num_classes: how many numbers come out for each picture.
        stem: "cifar" (3×3, keeps the size) or "imagenet" (7×7 with stride 2, then a max pool with stride 2).
        block: Bottleneck or BasicBlock.
        dim_k, heads, dim_u: of every lambda layer.
        scope: side of the position lambdas' window, in pixels, odd. None: 23 with the "imagenet" stem and dim_u = 1,
            otherwise 7, as in the paper.
        recompute: of every block; a training step then holds a fraction and takes longer.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

    def __init__(self, depths: tuple[int, ...], layout: str = "LLLL", num_classes: int = 10, *, stem: str = "cifar",
                 block: type = Bottleneck, dim_k: int = 16, heads: int = 4, dim_u: int = 1, scope: int | None = None,
                 recompute: bool = False):
        super().__init__()
        check_arguments(depths, layout, num_classes, stem, block)
        if scope is None:
            scope = 23 if stem == "imagenet" and dim_u == 1 else 7
        lambda_options = {"dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope}
        self.stem = STEMS[stem]()
        self.stages = nn.Sequential()
        dim = 64
        for stage, (depth, letter) in enumerate(zip(depths, layout)):
            blocks = nn.Sequential()
            for position in range(depth):
                stride = 2 if stage > 0 and position == 0 else 1
                blocks.append(block(dim, 64 * 2**stage, stride, lambda_options if letter == "L" else None, recompute))
                dim = 64 * 2**stage * block.expansion
            self.stages.append(blocks)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, num_classes), before the softmax."""
        features = self.stages(self.stem(images))
        return self.head(features.mean((2, 3)))


class SmallBlock(nn.Module):
    """Halve the map and widen it with a convolution, then mix the pixels once more beside a shortcut.

    z = GELU(BN(maxpool(W x))),  y = z + GELU(BN(M z)),  W a convolution, M a lambda layer, a 3×3 convolution or a twin
    The pool comes before the norm, which then sees a quarter of the pixels. Taught in notebooks/06_lambda_resnet.

    Args:
        dim, dim_out: channels in and out.
        mix: M, from dim_out channels to as many.
        widen: side of W's kernel in pixels, odd.
        recompute: hold nothing but what came in for the backward pass (see lambdalib.layer.frugal).
    """

    def __init__(self, dim: int, dim_out: int, mix: nn.Module, widen: int = 3, recompute: bool = False):
        super().__init__()
        self.recompute = recompute
        conv = nn.Conv2d(dim, dim_out, widen, padding=widen // 2, bias=False)
        self.widen = nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(dim_out))
        self.mix = nn.Sequential(mix, nn.BatchNorm2d(dim_out))

    @frugal
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, H//2, W//2)."""
        features = F.gelu(self.widen(features))
        return features + F.gelu(self.mix(features))


class SmallResNet(nn.Module):
    """A 2×2 convolution, three small blocks, the largest value of every channel, one linear layer: for pictures of 32×32.

    The maps are 31, 15, 7 and 3 pixels wide. Early blocks have convolutions, late ones lambda layers whose window covers
    the whole map. Our own net, made to train in minutes on two CPU cores. Taught in notebooks/06_lambda_resnet.

    Args:
        widths: channels of the stem and of each block.
        layout: one letter per block, C (3×3 convolution) or L (lambda layer); "CCC" is the convolutional twin.
        num_classes: how many numbers come out for each picture.
        stem: "cifar", the only one.
        dim_k, heads, dim_u: of every lambda layer.
        scope: side of the position lambdas' window, in pixels, odd. None: twice the map, less one.
        twin: one of TWINS (lambdalib.twins), which then stands in for the lambda layers; it sees the whole map.
        widen: side of the kernels that widen, 3 or 1. With 1 a pixel meets others in the mixing layers only, but for the
            stem's and the pools' 2×2 and the maximum at the end.
        recompute: of every block.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

    def __init__(self, widths: tuple[int, ...], layout: str = "CLL", num_classes: int = 10, *, stem: str = "cifar",
                 dim_k: int = 16, heads: int = 4, dim_u: int = 1, scope: int | None = None, twin: str | None = None,
                 widen: int = 3, recompute: bool = False):
        super().__init__()
        check_arguments(widths[1:], layout, num_classes, stem, SmallBlock)
        if widen not in (1, 3):
            raise ValueError(f"widen must be 3 or 1, got {widen!r}")
        if stem != "cifar":
            raise ValueError(f"stem must be 'cifar' for a small net, got {stem!r}")
        if twin not in (None, *TWINS):
            raise ValueError(f"twin must be None or one of {list(TWINS)}, got {twin!r}")
        if twin is not None and scope is not None:
            raise ValueError(f"twin must be None where scope is given, got {twin!r}")
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 2), nn.GELU())
        self.blocks = nn.Sequential()
        for dim, dim_out, letter, side in zip(widths, widths[1:], layout, (15, 7, 3)):
            if letter == "C":
                mix = nn.Conv2d(dim_out, dim_out, 3, padding=1, bias=False)
            elif twin is None:
                mix = LambdaLayer(dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=2 * side - 1 if scope is None else scope)
            else:
                mix = Twin(dim_out, twin, (side, side), dim_k=dim_k, heads=heads, dim_u=dim_u)
            self.blocks.append(SmallBlock(dim, dim_out, mix, widen, recompute))
        self.head = nn.Linear(widths[-1], num_classes, bias=False)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Take the stem's filters from pictures, and freeze them: its outputs are as if the colours of 2×2 pixels were independent.

        W = ±(Λ + ε)^(-1/2) Uᵀ,  U Λ Uᵀ the mean of p pᵀ over all patches p of 2×2 pixels,  ε = 5e-4

        A photograph's neighbouring pixels are nearly equal, so a fresh filter mostly sees their mean; here every direction
        counts alike, and its negative has a filter too, as GELU halves each. Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds
        on a Single GPU". Taught in notebooks/07_train_on_cifar10.

        Args:
            images: (b, 3, H, W), normalised.
        Raises:
            ValueError: the stem has not 24 channels, two for each of the 12 numbers in a patch.
        """
        stem = self.stem[0]
        if len(stem.weight) != 24:
            raise ValueError(f"widths must begin with 24 for a whitened stem, ±1 for 12 directions, got {len(stem.weight)}")
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (directions / (variances + 5e-4).sqrt()).T.view(12, 3, 2, 2)
        stem.weight.copy_(torch.cat([filters, -filters]))
        stem.weight.requires_grad_(False)
        stem.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, 32, 32) -> (b, num_classes), before the softmax."""
        features = self.blocks(self.stem(images))
        return self.head(features.amax((2, 3))) / 8  # small first logits: a large learning rate stays stable


def hybrid(*arguments, **options) -> nn.Module:
    """A HybridResNet; its module builds on this one, so it is fetched when it is asked for."""
    from lambdalib.pareto import HybridResNet

    return HybridResNet(*arguments, **options)


# Name -> builder. A builder takes num_classes and stem, and by name whatever else create_model was given.
MODELS = {
    "lambda_resnet18": partial(ResNet, (2, 2, 2, 2)),  # the literature's name; with bottlenecks it is 26 layers deep
    "lambda_resnet26": partial(ResNet, (2, 2, 2, 2)),  # the same net by its true depth
    "lambda_resnet38": partial(ResNet, (2, 3, 5, 2)),
    "lambda_resnet50": partial(ResNet, (3, 4, 6, 3)),
    "lambda_resnet101": partial(ResNet, (3, 4, 23, 3)),
    "lambda_resnet152": partial(ResNet, (3, 8, 36, 3)),
    "lambda_resnet200": partial(ResNet, (3, 24, 36, 3)),
    "lambda_resnet270": partial(ResNet, (4, 29, 53, 4)),
    "lambda_resnet350": partial(ResNet, (4, 36, 72, 4)),
    "lambda_resnet420": partial(ResNet, (4, 44, 87, 4)),
    **{f"lambda_resnet{depth}_hybrid": partial(hybrid, depth) for depth in (50, 101, 152, 200, 270, 350, 420)},
    "resnet18": partial(ResNet, (2, 2, 2, 2), layout="CCCC", block=BasicBlock),  # the field's ResNet-18; no lambda net's twin
    "resnet26": partial(ResNet, (2, 2, 2, 2), layout="CCCC"),  # twins: bottlenecks, convolutions, named by their true depth
    "resnet38": partial(ResNet, (2, 3, 5, 2), layout="CCCC"),
    "resnet50": partial(ResNet, (3, 4, 6, 3), layout="CCCC"),
    "resnet101": partial(ResNet, (3, 4, 23, 3), layout="CCCC"),
    "resnet152": partial(ResNet, (3, 8, 36, 3), layout="CCCC"),
    "resnet200": partial(ResNet, (3, 24, 36, 3), layout="CCCC"),
    "small": partial(SmallResNet, (24, 64, 256, 256)),
    "tiny": partial(SmallResNet, (24, 32, 128, 128)),
}


def list_models() -> list[str]:
    """The names that create_model knows. Taught in notebooks/06_lambda_resnet."""
    return list(MODELS)


def create_model(name: str, num_classes: int = 10, *, stem: str = "cifar", layout: str | None = None, dim_k: int | None = None,
                 heads: int | None = None, dim_u: int | None = None, scope: int | None = None, twin: str | None = None,
                 widen: int | None = None, recompute: bool | None = None) -> nn.Module:
    """Build a net by name, freshly initialised. Taught in notebooks/06_lambda_resnet.

    Args:
        name: one of list_models(). lambda_resnet18, 38, 50, 101, 152, 200, 270, 350, 420 have lambda layers in all stages,
            those with _hybrid in the last and here and there in the third (see pareto.HybridResNet); resnet26 to
            resnet200 are the same bottlenecks with convolutions (resnet26 is lambda_resnet18's twin); resnet18 is the
            field's net of basic blocks. small and tiny are SmallResNets, trained in this course.
        num_classes: how many numbers come out for each picture.
        stem: "cifar" or "imagenet", see ResNet.
        layout, dim_k, heads, dim_u, scope, recompute: see ResNet and SmallResNet. None: the model's own. What is said of
            lambda layers says nothing where the layout has none.
        twin, widen: for small and tiny; see SmallResNet.
    Raises:
        ValueError: the name is unknown, or an argument makes no net.
    """
    if name not in MODELS:
        near = get_close_matches(str(name), MODELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name must be one of {', '.join(MODELS)}, got {name!r}{hint}")
    for option, value in (("twin", twin), ("widen", widen)):
        if value is not None and name not in ("small", "tiny"):
            raise ValueError(f"{option} must be None for {name}: it is for small and tiny, got {value!r}")
    options = {"layout": layout, "dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope,
               "twin": twin, "widen": widen, "recompute": recompute}
    given = {option: value for option, value in options.items() if value is not None}
    return MODELS[name](num_classes=num_classes, stem=stem, **given)
