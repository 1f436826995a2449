"""Checks of single arguments. Each answers a wrong value with its name, itself, and what is allowed.

Used by every module of the paper where a value enters, and by hubconf.py.
"""

from math import inf

import torch
from torch import Tensor, nn

__all__ = ["check_sizes", "check_numbers", "check_pair", "check_flags", "check_module",
           "check_generator", "check_axes", "check_images", "check_labels"]  # fmt: skip


def describe(value) -> str:
    """A tensor by its type and shape, anything else by its class."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    return f"an object of {type(value).__name__}"


def check_sizes(lowest: int = 1, odd: bool = False, **sizes: int) -> None:
    """Refuse what is no integer, too small, or even where `odd`: True, 2.0 and "2" are no sizes.

    Used by conv_norm, lambda_layer_parameters, stage_costs and others.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    for name, size in sizes.items():
        if type(size) is not int or size < lowest or odd and size % 2 == 0:
            kind = "a positive integer" if lowest == 1 else f"an integer of at least {lowest}"
            raise ValueError(f"{name} must be {'odd and ' * odd}{kind}, got {size!r}")


def check_numbers(highest: float = inf, **numbers: float) -> None:
    """Refuse what is no number from 0 to `highest`: NaN, infinity, True and "2" are none.

    Used by lr_factor, stopwatch and others.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    for name, number in numbers.items():
        fits = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not fits or not 0 <= number <= highest or number == inf:
            allowed = "of at least 0, and finite" if highest == inf else f"from 0 to {highest}"
            raise ValueError(f"{name} must be a number {allowed}, got {number!r}")


# an exporter has symbols for sizes that may change, and a tracer has tensors
SIZE_TYPES = (int, torch.SymInt, Tensor)


def check_pair(**pairs: tuple[int, int]) -> None:
    """Refuse what is no (height, width) of a map, in pixels. Used by Twin and position_output.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    for name, pair in pairs.items():
        fits = isinstance(pair, (tuple, list)) and len(pair) == 2
        if not fits or not all([type(side) in SIZE_TYPES and side >= 1 for side in pair]):
            raise ValueError(f"{name} must be (height, width), two positive integers, got {pair!r}")


def check_flags(**flags: bool) -> None:
    """Refuse what is neither True nor False: "False" would count as True. Used by create_model and others.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    for name, flag in flags.items():
        if type(flag) is not bool:
            raise ValueError(f"{name} must be True or False, got {flag!r}")


def check_module(**modules: nn.Module) -> None:
    """Refuse what is no module, such as its class or its state dict. Used by count_parameters, swap and others.

    Raises:
        ValueError: the message names the argument, its class, and what is allowed.
    """
    for name, module in modules.items():
        if not isinstance(module, nn.Module):
            raise ValueError(f"{name} must be a module (torch.nn.Module), got {describe(module)}")


def check_generator(**generators: torch.Generator) -> None:
    """Refuse what is no generator of random numbers, such as its seed. Used by puzzles, cutout and others.

    Raises:
        ValueError: the message names the argument, its class, and what is allowed.
    """
    for name, generator in generators.items():
        if not isinstance(generator, torch.Generator):
            raise ValueError(f"{name} must be a torch.Generator, got {describe(generator)}")


def check_axes(pattern: str, **tensors: Tensor) -> None:
    """Refuse what is no tensor of floats with these axes, and axes of one name whose sizes differ.

    check_axes("b h n k, b n v u", queries=queries, values=values): two tensors, equal in b and n.
    Used by position_output, check_features and others.

    Args:
        pattern: the axes of each tensor, by their names or sizes, commas between tensors; r_y and r_x are odd.
        tensors: by their names, in this order.
    Raises:
        ValueError: the message names the tensor, its shape or class, and the shape that fits.
    """
    sizes = {}
    for axes, (name, tensor) in zip(pattern.split(","), tensors.items()):
        axes, known = axes.split(), sizes.copy()
        fits = isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.dim() == len(axes)
        for axis, size in zip(axes, tensor.shape if fits else ()):
            wanted = sizes.setdefault(axis, int(axis) if axis.isdigit() else size)
            fits = fits and size == wanted and (not axis.startswith("r_") or size % 2 == 1)
        if not fits:
            shape = ", ".join(str(known.get(axis, axis)) for axis in axes)
            odd = " with r_y and r_x odd" if "r_y" in axes else ""
            raise ValueError(f"{name} must be floats ({shape}){odd}, got {describe(tensor)}")


def check_images(images: Tensor, side: int = 1, count: int = 0, channels: int | str = 3) -> None:
    """Refuse what is no batch of float images, too few or too small.

    Used by every net's stem, whiten and effective_receptive_field.

    Args:
        images: (b, channels, H, W) is right.
        side: least height and width, in pixels.
        count: least b.
        channels: how many, or a name for any number.
    Raises:
        ValueError: the message names the shape or class that came, and what is allowed.
    """
    check_axes(f"b {channels} H W", images=images)
    if min(images.shape[2:]) < side:
        raise ValueError(f"images must be at least {side} × {side} pixels, got {tuple(images.shape)}")
    if images.shape[0] < count:
        raise ValueError(f"images must be at least {count}, got {tuple(images.shape)}")


def check_labels(count: int, classes: int | None = None, **labels: Tensor) -> None:
    """Refuse what is no label for each image, and labels of no class. Used by train_steps, evaluate and others.

    Args:
        count: of the images.
        classes: of the model. None: any number. A GPU would have to wait, so there the numbers are not read.
        labels: by their names; (count,) int64 is right.
    Raises:
        ValueError: the message names the labels, their class, shape or range, and what is allowed.
    """
    for name, label in labels.items():
        if not isinstance(label, Tensor) or label.dtype != torch.int64 or label.shape != (count,):
            raise ValueError(f"{name} must be int64 ({count},), one for each image, got {describe(label)}")
        if classes is not None and label.device.type == "cpu":
            low, high = (bound.item() for bound in label.aminmax())
            if not 0 <= low <= high < classes:
                allowed = f"from 0 to {classes - 1}, the model's classes"
                raise ValueError(f"{name} must be {allowed}, got {low} to {high}")
