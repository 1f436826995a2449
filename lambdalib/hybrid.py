"""The paper's hybrids: convolutions with gated channels early, lambda layers late, for accuracy per second.

Taught in notebooks/06_lambda_resnet. Used by models.create_model. Bello 2021, section 5 (the speed-accuracy
trade-off); the stem, the shortcut and the pool are those of ResNet-D (He et al. 2018, arXiv 1812.01187), the gates
those of Hu et al. 2017 (arXiv 1709.01507).
"""

from torch import nn

from lambdalib.arguments import check_sizes
from lambdalib.resnet import DEPTHS, STEMS, Bottleneck, ResNet, Stem, conv_norm

__all__ = ["LAMBDAS_IN_C4", "lambda_positions", "deep_stem", "HybridBottleneck", "HybridResNet"]

# Depth -> how many of c4's blocks have a lambda layer
LAMBDAS_IN_C4 = {50: 1, 101: 3, 152: 6, 200: 6, 270: 6, 350: 6, 420: 8}


def lambda_positions(blocks: int, lambdas: int) -> list[int]:
    """Spread lambda layers evenly over a stage: indices, from 0. Used by HybridResNet.

    s·1 - 1, s·2 - 1, ...,  s = round(blocks / (lambdas + 1)): the 5th, 10th, ... 30th of 36.

    Args:
        blocks: of the stage.
        lambdas: how many of them have a lambda layer.
    Raises:
        ValueError: by this rule so many do not fit.
    """
    check_sizes(blocks=blocks)
    check_sizes(lowest=0, lambdas=lambdas)
    step = round(blocks / (lambdas + 1))
    if not 1 <= step <= blocks / max(lambdas, 1):
        raise ValueError(f"lambdas must be so few that {blocks} blocks have room for them, got {lambdas}")
    return [step * (i + 1) - 1 for i in range(lambdas)]


def deep_stem() -> Stem:
    """Quarter the map with 3×3 convolutions alone: three for one of 7×7, one with stride 2 for the max pool.

    Used by HybridResNet. (b, 3, H, W) -> (b, 64, ceil(H/4), ceil(W/4)).
    """
    stem = Stem()
    for dim, dim_out, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1), (64, 64, 2)):
        stem.extend([conv_norm(dim, dim_out, 3, stride), nn.ReLU()])
    return stem


def squeeze_excitation(width: int) -> nn.Module:
    """Scale each channel by what the whole map holds (Hu et al. 2017, section 3), (b, width, H, W) -> the same.

    The channels are squeezed to a quarter. Used by HybridBottleneck.
    """
    from torchvision.ops import SqueezeExcitation  # here, since torchvision takes two seconds to import

    return SqueezeExcitation(width, width // 4)


class HybridBottleneck(Bottleneck):
    """A bottleneck that gates its channels where it has no lambda layer, and whose shortcut looks at every pixel.

    y = ReLU(S(x) + W₃ G ReLU(M ReLU(W₁ x))),  G squeezes the channels to a quarter, and excites
    S with a stride takes the mean of 2×2 pixels and then a 1×1 convolution, which alone would skip three pixels of
    four. Used by HybridResNet.

    Args:
        dim: channels that come in.
        width: channels in the middle, which the gate is for, at least 4; 4·width go out.
        stride: 2 halves the map.
        lambda_options: keyword arguments of LambdaLayer; None: a 3×3 convolution and a gate.
        recompute: save nothing but the input for the backward pass (see guards.activation_checkpointed).
    """

    def __init__(
        self, dim: int, width: int, stride: int = 1, lambda_options: dict | None = None, recompute: bool = False
    ):
        check_sizes(lowest=4, width=width)
        super().__init__(dim, width, stride, lambda_options, recompute)
        if stride > 1:
            pool = nn.AvgPool2d(stride, ceil_mode=True)
            self.shortcut = nn.Sequential(pool, conv_norm(dim, self.expansion * width, 1))
        if lambda_options is None:
            # stays above 0: the block's own ReLU keeps it
            self.mix.extend([nn.ReLU(), squeeze_excitation(width)])


class HybridResNet(ResNet):
    """One of the paper's hybrids: lambda layers in all of c5 and evenly in c4, gated convolutions everywhere else.

    Taught in notebooks/06_lambda_resnet.

    Args:
        depth: a key of LAMBDAS_IN_C4.
        num_classes: how many numbers come out for each image.
        layout: None; the depth says where the lambda layers are.
        options: stem, "cifar" (3×3, keeps the size) or "imagenet" (four of 3×3, two of them with stride 2); dim_k,
            heads, dim_u, scope, recompute: see ResNet.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

    stems = STEMS | {"imagenet": deep_stem}

    def __init__(self, depth: int, num_classes: int = 10, *, layout: None = None, **options):
        if depth not in list(LAMBDAS_IN_C4):
            raise ValueError(f"depth must be one of {list(LAMBDAS_IN_C4)}, got {depth!r}")
        if layout is not None:
            raise ValueError(
                f"layout must be None in a hybrid, whose depth says where the lambda layers are, got {layout!r}"
            )
        c4 = DEPTHS[depth][2]
        with_lambda = lambda_positions(c4, LAMBDAS_IN_C4[depth])
        letters = "".join("L" if position in with_lambda else "C" for position in range(c4))
        super().__init__(DEPTHS[depth], ("C", "C", letters, "L"), num_classes, block=HybridBottleneck, **options)
