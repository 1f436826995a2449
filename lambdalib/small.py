"""Two small nets of our own, made to train in minutes on two CPU cores.

Taught in notebooks/06_lambda_resnet.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lambdalib.arguments import check_flags, check_images, check_sizes
from lambdalib.guards import activation_checkpointed
from lambdalib.layer import LambdaLayer
from lambdalib.resnet import Stem, check_net
from lambdalib.twins import TWINS, Twin

__all__ = ["SmallBlock", "SmallResNet"]


class SmallBlock(nn.Module):
    """Halve the map and widen it with a convolution, then mix the pixels once more beside a shortcut.

    z = GELU(BN(maxpool(W x))),  y = z + GELU(BN(M z)),  W a convolution, M a lambda layer, a 3×3 convolution or a
    twin. The pool comes before the norm, which then sees a quarter of the pixels.
    Used by SmallResNet.

    Args:
        dim, dim_out: channels in and out.
        mix: M, from dim_out channels to as many.
        widen: side of W's kernel in pixels, odd.
        recompute: save nothing but the input for the backward pass (see guards.activation_checkpointed).
    Raises:
        ValueError: an argument makes no block; the message names it.
    """

    def __init__(self, dim: int, dim_out: int, mix: nn.Module, widen: int = 3, recompute: bool = False):
        super().__init__()
        check_sizes(dim=dim, dim_out=dim_out)
        check_sizes(odd=True, widen=widen)
        check_flags(recompute=recompute)
        self.recompute = recompute
        conv = nn.Conv2d(dim, dim_out, widen, padding=widen // 2, bias=False)
        self.widen = nn.Sequential(conv, nn.MaxPool2d(2), nn.BatchNorm2d(dim_out))
        self.mix = nn.Sequential(mix, nn.BatchNorm2d(dim_out))

    @activation_checkpointed
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, H//2, W//2)."""
        features = F.gelu(self.widen(features))
        return features + F.gelu(self.mix(features))


class SmallResNet(nn.Module):
    """For images of 32×32: a 2×2 convolution, three small blocks, the maximum of every channel, one linear layer.

    The maps are 31, 15, 7 and 3 pixels wide. Early blocks have convolutions, late ones lambda layers whose window
    covers the whole map. Taught in notebooks/06_lambda_resnet.

    Args:
        widths: channels of the stem and of each of the three blocks.
        layout: one letter per block, C (3×3 convolution) or L (lambda layer); "CCC" is the convolutional twin.
        num_classes: how many numbers come out for each image.
        stem: "cifar", the only one.
        dim_k, heads, dim_u: of every lambda layer.
        scope: side of the position lambdas' window, in pixels, odd. None: twice the map, less one.
        twin: one of TWINS (lambdalib.twins), which then stands in for the lambda layers. Only a twin that has
            position lambdas takes a scope.
        widen: side of the kernels that widen, 3 or 1. With 1 a pixel meets others in the mixing layers only, apart
            from the 2×2 of stem and pools and the maximum at the end.
        recompute: of every block.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """

    def __init__(self, widths: tuple[int, ...], layout: str = "CLL", num_classes: int = 10, *, stem: str = "cifar",
                 dim_k: int = 16, heads: int = 4, dim_u: int = 1, scope: int | None = None,
                 twin: str | None = None, widen: int = 3, recompute: bool = False):  # fmt: skip
        super().__init__()
        if not isinstance(widths, (tuple, list)) or len(widths) != 4:
            raise ValueError(f"widths must be four, of the stem and of each block, got {widths!r}")
        check_sizes(**{f"widths[{place}]": width for place, width in enumerate(widths)})
        check_net((1, 1, 1), layout, num_classes, stem, SmallBlock)
        if type(widen) is not int or widen not in (1, 3):
            raise ValueError(f"widen must be 3 or 1, got {widen!r}")
        if stem != "cifar":
            raise ValueError(f"stem must be 'cifar' for a small net, got {stem!r}")
        if twin not in (None, *TWINS):
            raise ValueError(f"twin must be None or one of {list(TWINS)}, got {twin!r}")
        self.stem = Stem(nn.Conv2d(3, widths[0], 2), nn.GELU(), side=9)  # three pools leave one pixel of nine
        self.blocks = nn.Sequential()
        for dim, dim_out, letter, side in zip(widths, widths[1:], layout, (15, 7, 3)):
            if letter == "C":
                mix = nn.Conv2d(dim_out, dim_out, 3, padding=1, bias=False)
            elif twin is None:
                mix = LambdaLayer(
                    dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, scope=2 * side - 1 if scope is None else scope
                )
            else:
                mix = Twin(dim_out, twin, (side, side), dim_k=dim_k, heads=heads, dim_u=dim_u, scope=scope)
            self.blocks.append(SmallBlock(dim, dim_out, mix, widen, recompute))
        self.head = nn.Linear(widths[-1], num_classes, bias=False)

    @torch.no_grad()
    def whiten(self, images: Tensor) -> None:
        """Take the stem's filters from images and freeze them: its outputs no longer repeat one another.

        W = ±(Λ + ε)^(-1/2) Uᵀ,  U Λ Uᵀ the mean of p pᵀ over all patches p of 2×2 pixels,  ε = 5e-4

        A photograph's neighbouring pixels are nearly equal, so a fresh filter mostly sees their mean; here every
        direction counts alike, and its negative has a filter too, as GELU halves each. Jordan 2024, "94% on
        CIFAR-10 in 3.29 Seconds on a Single GPU". Taught in notebooks/07_train_on_cifar10.

        Args:
            images: (b, 3, H, W), normalised.
        Raises:
            ValueError: images are none; or the stem has not 24 channels, two for each of the 12 numbers in a
                patch.
        """
        check_images(images, side=2, count=1)
        stem = self.stem[0]
        if len(stem.weight) != 24:
            raise ValueError(
                f"widths must begin with 24 for a whitened stem, ±1 for 12 directions, got {len(stem.weight)}"
            )
        patches = rearrange(images.unfold(2, 2, 1).unfold(3, 2, 1), "b c row column y x -> (b row column) (c y x)")
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (directions / (variances + 5e-4).sqrt()).T.view(12, 3, 2, 2)
        stem.weight.copy_(torch.cat([filters, -filters]))
        stem.weight.requires_grad_(False)
        stem.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, 32, 32) -> (b, num_classes), before the softmax."""
        features = self.blocks(self.stem(images))
        return self.head(features.amax((2, 3))) / 8  # small first logits: a large learning rate stays stable
