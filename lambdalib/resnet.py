"""LambdaResNets and their convolutional twins: the same bottlenecks, with or without a lambda layer in the middle.

Taught in notebooks/06_lambda_resnet. He et al. 2015 (arXiv 1512.03385) for the net; Bello 2021, section 5, for the
swap.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib.arguments import check_flags, check_images, check_sizes
from lambdalib.guards import activation_checkpointed
from lambdalib.layer import LambdaLayer

__all__ = ["DEPTHS", "conv_norm", "shortcut", "Bottleneck", "BasicBlock", "Stem", "STEMS", "check_net", "ResNet"]

# Blocks in each of the four stages, by the number in a net's name. With bottlenecks, 18 is 26 layers deep.
DEPTHS = {
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    38: (2, 3, 5, 2),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    350: (4, 36, 72, 4),
    420: (4, 44, 87, 4),
}


def conv_norm(dim: int, dim_out: int, side: int, stride: int = 1) -> nn.Sequential:
    """A convolution and its batch norm, initialised for a ReLU (He et al. 2015, arXiv 1502.01852).

    (b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride)). Taught in notebooks/06_lambda_resnet.

    Args:
        dim, dim_out: channels in and out.
        side: side of the kernel in pixels, odd.
        stride: step of the kernel in pixels.
    Raises:
        ValueError: one of them is no positive integer, or side is even.
    """
    check_sizes(dim=dim, dim_out=dim_out, stride=stride)
    check_sizes(odd=True, side=side)
    conv = nn.Conv2d(dim, dim_out, side, stride, padding=side // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(dim_out))


def shortcut(dim: int, dim_out: int, stride: int) -> nn.Module:
    """The way around a block: nothing at all where the shapes agree, else a 1×1 convolution and its norm.

    Taught in notebooks/06_lambda_resnet. Arguments and errors as in conv_norm.
    """
    check_sizes(dim=dim, dim_out=dim_out, stride=stride)
    return nn.Identity() if (dim, stride) == (dim_out, 1) else conv_norm(dim, dim_out, 1, stride)


class Bottleneck(nn.Module):
    """Squeeze the channels, mix the pixels, widen again, add the shortcut.

    y = ReLU(S(x) + W₃ ReLU(M ReLU(W₁ x))),  M a 3×3 convolution or a lambda layer; a norm follows W₁, M and W₃
    Bello 2021, section 5: the lambda layer, its stride included, takes the place of the 3×3 convolution; all else
    stays. Taught in notebooks/06_lambda_resnet.

    Args:
        dim: channels that come in.
        width: channels in the middle; 4·width go out.
        stride: 2 halves the map.
        lambda_options: keyword arguments of LambdaLayer; None: a 3×3 convolution.
        recompute: save nothing but the input for the backward pass (see guards.activation_checkpointed).
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


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and the shortcut: the block of the well-known ResNet-18, without a lambda layer.

    y = ReLU(S(x) + W₂ ReLU(W₁ x)), a norm after W₁ and W₂. Used by resnet18.

    Args:
        dim: channels that come in.
        width: channels that go out.
        stride: 2 halves the map.
        lambda_options: None.
        recompute: save nothing but the input for the backward pass (see guards.activation_checkpointed).
    Raises:
        ValueError: lambda_options is not None.
    """

    expansion = 1

    def __init__(
        self, dim: int, width: int, stride: int = 1, lambda_options: None = None, recompute: bool = False
    ):
        super().__init__()
        if lambda_options is not None:
            raise ValueError(
                f"lambda_options must be None in a basic block, which has no lambda layer, got {lambda_options!r}"
            )
        check_flags(recompute=recompute)
        self.recompute = recompute
        self.first = conv_norm(dim, width, 3, stride)
        self.second = conv_norm(width, width, 3)
        self.shortcut = shortcut(dim, width, stride)
        nn.init.zeros_(self.second[1].weight)

    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, width, ceil(H/stride), ceil(W/stride))."""
        return F.relu(self.shortcut(features) + self.second(F.relu(self.first(features))))


class Stem(nn.Sequential):
    """The first layers of a net, which look at their images: three colours, floats, enough pixels.

    Used by every net.

    Args:
        layers: what the images pass.
        side: of the smallest images that the net can take, in pixels.
    """

    def __init__(self, *layers: nn.Module, side: int = 1):
        super().__init__(*layers)
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, H, W) -> (b, d, H', W'). Raises ValueError for anything else than images."""
        check_images(images, self.side)
        return super().forward(images)


def cifar_stem() -> Stem:
    """Keep every pixel: an image of 32×32 stays 32×32."""
    return Stem(conv_norm(3, 64, 3), nn.ReLU())


def imagenet_stem() -> Stem:
    """Quarter the map before the first block: 224×224 becomes 56×56."""
    return Stem(conv_norm(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))


STEMS = {"cifar": cifar_stem, "imagenet": imagenet_stem}


def check_net(depths, layout, num_classes, stem, block) -> None:
    """Refuse what makes no net. Used by ResNet and SmallResNet, shown in notebooks/06_lambda_resnet.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    if not isinstance(depths, (tuple, list)) or any(type(depth) is not int or depth < 1 for depth in depths):
        raise ValueError(f"depths must be positive integers, one per stage, got {depths!r}")
    stages = len(depths)
    fits = isinstance(layout, (str, tuple)) and len(layout) == stages
    fits = fits and all(isinstance(letters, str) and set(letters) <= {"C", "L"} for letters in layout)
    if not fits or any(len(letters) not in (1, depth) for letters, depth in zip(layout, depths)):
        raise ValueError(
            f"layout must have {stages} letters, one per stage, C (convolution) or L (lambda), got {layout!r}"
        )
    if not (isinstance(block, type) and issubclass(block, nn.Module)):
        raise ValueError(f"block must be a class of blocks, Bottleneck or BasicBlock, got {block!r}")
    if block is BasicBlock and "L" in layout:
        raise ValueError(
            f"layout must be {'C' * stages!r} with basic blocks, which have no lambda layer, got {layout!r}"
        )
    check_sizes(num_classes=num_classes)
    if stem not in list(STEMS):
        raise ValueError(f"stem must be one of {list(STEMS)}, got {stem!r}")


class ResNet(nn.Module):
    """A stem, four stages of blocks, the mean over the map, one linear layer.

    Each stage after the first halves the map and doubles the width. The layout says, stage by stage, what mixes
    the pixels: "CCLL" has convolutions in the first two and lambda layers in the last two (Bello 2021, Table 12).
    Taught in notebooks/06_lambda_resnet.

    Args:
        depths: blocks in each stage.
        layout: one letter per stage, C (3×3 convolution) or L (lambda layer); or a tuple of strings, one per
            stage, with a letter for each of its blocks.
        num_classes: how many numbers come out for each image.
        stem: "cifar" (3×3, keeps the size) or "imagenet" (7×7 with stride 2, then a max pool with stride 2).
        block: Bottleneck or BasicBlock.
        dim_k, heads, dim_u: of every lambda layer.
        scope: side of the position lambdas' window, in pixels, odd. None: with the "imagenet" stem the paper's, 23
            with dim_u = 1 and 7 above; with the "cifar" stem 7.
        recompute: of every block; a training step then saves a fraction of the activations and takes longer.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

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
