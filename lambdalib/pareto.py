"""The paper's hybrids: convolutions with gated channels early, lambda layers late, the best of both for a given time per step.

Taught in notebooks/06_lambda_resnet. Bello 2021, section 5 (the speed-accuracy trade-off); the stem, the shortcut and the pool
are those of ResNet-D (He et al. 2018, arXiv 1812.01187), the gates those of Hu et al. 2017 (arXiv 1709.01507).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lambdalib.resnet import Bottleneck, ResNet, conv_norm

__all__ = ["FAMILY", "lambda_positions", "SqueezeExcitation", "HybridBottleneck", "HybridResNet"]

FAMILY = {  # depth: blocks in c2, c3, c4 and c5, and how many of c4's have a lambda layer
    50: ((3, 4, 6, 3), 1),
    101: ((3, 4, 23, 3), 3),
    152: ((3, 8, 36, 3), 6),
    200: ((3, 24, 36, 3), 6),
    270: ((4, 29, 53, 4), 6),
    350: ((4, 36, 72, 4), 6),
    420: ((4, 44, 87, 4), 8),
}


def lambda_positions(blocks: int, lambdas: int) -> list[int]:
    """Spread lambda layers evenly over a stage: indices, from 0. Taught in notebooks/06_lambda_resnet.

    s·1 - 1, s·2 - 1, ...,  s = round(blocks / (lambdas + 1)): the 5th, 10th, ... 30th of 36.

    Args:
        blocks: of the stage.
        lambdas: how many of them have a lambda layer.
    Raises:
        ValueError: by this rule so many do not fit.
    """
    step = round(blocks / (lambdas + 1))
    if not 1 <= step <= blocks / max(lambdas, 1):
        raise ValueError(f"lambdas must be so few that {blocks} blocks have room for them, got {lambdas}")
    return [step * (i + 1) - 1 for i in range(lambdas)]


def deep_stem() -> nn.Sequential:
    """Quarter the map with 3×3 convolutions alone: three of them for one of 7×7, and one with stride 2 for the max pool."""
    stem = nn.Sequential()
    for dim, dim_out, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1), (64, 64, 2)):
        stem.extend([conv_norm(dim, dim_out, 3, stride), nn.ReLU()])
    return stem


class SqueezeExcitation(nn.Module):
    """Gate the channels of a map by what they hold on average.

    y = x · σ(A ReLU(B mean(x))),  B squeezes the channels, A widens them again        Hu et al. 2017, section 3.
    Taught in notebooks/06_lambda_resnet.

    Args:
        dim: channels in and out.
        dim_squeezed: channels in between.
    """

    def __init__(self, dim: int, dim_squeezed: int):
        super().__init__()
        self.squeeze = nn.Linear(dim, dim_squeezed)
        self.excite = nn.Linear(dim_squeezed, dim)

    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim, H, W)."""
        gates = self.excite(F.relu(self.squeeze(features.mean((2, 3))))).sigmoid()
        return features * gates[..., None, None]


class HybridBottleneck(Bottleneck):
    """A bottleneck that gates its channels where it has no lambda layer, and whose shortcut looks at every pixel.

    y = ReLU(S(x) + W₃ G ReLU(M ReLU(W₁ x))),  G squeezes the channels to a quarter, and excites
    S with a stride takes the mean of 2×2 pixels and then a 1×1 convolution, which alone would skip three pixels of four.
    Taught in notebooks/06_lambda_resnet.

    Args:
        dim: channels that come in.
        width: channels in the middle, which the gate is for; 4·width go out.
        stride: 2 halves the map.
        lambda_options: keyword arguments of LambdaLayer; None: a 3×3 convolution and a gate.
        recompute: hold nothing but what came in for the backward pass (see lambdalib.layer.frugal).
    """

    def __init__(self, dim: int, width: int, stride: int = 1, lambda_options: dict | None = None, recompute: bool = False):
        super().__init__(dim, width, stride, lambda_options, recompute)
        if stride > 1:
            pool = nn.AvgPool2d(stride, ceil_mode=True)
            self.shortcut = nn.Sequential(pool, conv_norm(dim, self.expansion * width, 1))
        if lambda_options is None:
            self.mix.extend([nn.ReLU(), SqueezeExcitation(width, width // 4)])  # stays above 0: the block's own ReLU keeps it


class HybridResNet(ResNet):
    """One of the paper's hybrids: lambda layers in all of c5 and evenly in c4, gated convolutions everywhere else.

    Taught in notebooks/06_lambda_resnet.

    Args:
        depth: a key of FAMILY.
        num_classes: how many numbers come out for each picture.
        stem: "cifar" (3×3, keeps the size) or "imagenet" (four of 3×3, two of them with stride 2).
        layout: None; the depth says where the lambda layers are.
        dim_k, heads, dim_u, scope, recompute: see ResNet.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

    def __init__(self, depth: int, num_classes: int = 10, *, stem: str = "cifar", layout: None = None,
                 dim_k: int = 16, heads: int = 4, dim_u: int = 1, scope: int | None = None, recompute: bool = False):
        if depth not in FAMILY:
            raise ValueError(f"depth must be one of {list(FAMILY)}, got {depth!r}")
        if layout is not None:
            raise ValueError(f"layout must be None in a hybrid, whose depth says where the lambda layers are, got {layout!r}")
        blocks, lambdas = FAMILY[depth]
        options = {"dim_k": dim_k, "heads": heads, "dim_u": dim_u, "scope": scope}
        super().__init__(blocks, "CCCL", num_classes, stem=stem, block=HybridBottleneck, recompute=recompute, **options)
        if stem == "imagenet":
            self.stem = deep_stem()
        c4, c5 = self.stages[2:]
        options["scope"] = c5[0].mix[0].table.shape[-1]  # ResNet's own choice where scope is None
        for position in lambda_positions(len(c4), lambdas):
            c4[position] = HybridBottleneck(1024, 256, 1, options, recompute)
