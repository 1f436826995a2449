"""The two examples of every lesson: the strip, four pixels to be worked by hand, and the plane, a photograph.

Taught in notebooks/00_start_here.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from lambdalib.training.data import load_sample

__all__ = ["Strip", "plane", "plane_colours", "strip"]


class Strip(NamedTuple):
    """Queries, keys, values and stencils of the strip, ready for the functions of lambdalib. Used by `strip`."""

    queries: Tensor  # (b=1, h=1, n=4, k=2): two single questions, a difference, a sum
    keys: Tensor  # (b=1, m=4, k=2, u=1): soft keys in eighths: 2,2,2,2 ("everybody") and 1,1,1,5 ("mostly yellow")
    values: Tensor  # (b=1, m=4, v=3, u=1): red, green, blue, yellow, with 8 for full light; yellow = red + green
    table: Tensor  # (k=2, u=1, r_y=1, r_x=3): stencil 0 is "me", stencil 1 is "right minus left"


def strip() -> Strip:
    """An image of one row and four pixels whose every number comes out whole, in float64.

    Taught in notebooks/00_start_here.
    """
    queries = torch.tensor([[1, 0], [0, 1], [1, -1], [1, 1]], dtype=torch.float64)
    weights = torch.tensor([[1, 1], [1, 1], [1, 1], [1, 5]], dtype=torch.float64)
    values = torch.tensor([[8, 0, 0], [0, 8, 0], [0, 0, 8], [8, 8, 0]], dtype=torch.float64)
    stencils = torch.tensor([[0, 1, 0], [-1, 0, 1]], dtype=torch.float64)
    return Strip(
        queries[None, None], weights.log()[None, :, :, None], values[None, :, :, None], stencils[:, None, None, :]
    )


@cache
def read_plane() -> Tensor:
    """The plane, read from the sample once: a widget that asks for it at each frame would decode all images."""
    sample = load_sample()
    return sample.test_images[sample.test_index == 44][0].float() / 255


def plane() -> Tensor:
    """The plane: CIFAR-10 test image 44, a yellow biplane over grass. (3, 32, 32), float32 between 0 and 1.

    Taught in notebooks/00_start_here.
    """
    return read_plane().clone()


def plane_colours() -> Tensor:
    """The plane as rows of colours, (1, m=1024, v=3, u=1): the values of a layer without projections.

    Taught in notebooks/02_content_lambdas.
    """
    return plane().flatten(1).T[None, :, :, None]
