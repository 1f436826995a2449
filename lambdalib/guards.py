"""What stands around a lambda layer's formula: checks of its arguments, and two decorators of its forward pass.

Taught in notebooks/04_lambda_layer (the checks, float16) and notebooks/05_cost (activation checkpointing).
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lambdalib.arguments import check_axes, check_module, check_sizes
from lambdalib.contractions import ORDERS

__all__ = [
    "check_arguments",
    "check_features",
    "float32_under_float16",
    "preserve_running_stats",
    "activation_checkpointed",
]


def check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order="auto") -> None:
    """Refuse sizes that make no layer. Taught in notebooks/04_lambda_layer.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """

    def positive(size) -> bool:
        return type(size) is int and size > 0  # True is no size

    check_sizes(dim=dim, dim_out=dim_out, dim_k=dim_k, heads=heads, dim_u=dim_u, stride=stride)
    if dim_out % heads:
        raise ValueError(
            f"heads must divide dim_out = {dim_out}, since each head makes dim_out / heads channels, got {heads}"
        )
    pair = isinstance(feat_size, (tuple, list)) and len(feat_size) == 2 and all(map(positive, feat_size))
    if scope is None and not pair:
        raise ValueError(
            f"feat_size must be the map's (height, width) when scope is None (global), got {feat_size!r}"
        )
    if scope is not None and (not positive(scope) or scope % 2 == 0):
        raise ValueError(
            f"scope must be an odd number of taps, so that the query has a middle, or None (global), got {scope!r}"
        )
    if scope is not None and feat_size is not None:
        raise ValueError(
            f"feat_size is for the global form (scope=None), got feat_size={feat_size!r} with scope={scope!r}"
        )
    if order not in (orders := ["auto", *ORDERS]):
        raise ValueError(f"order must be one of {orders}, got {order!r}")


def check_features(features: Tensor, dim: int, feat_size: tuple[int, int] | None) -> None:
    """Refuse what is no feature map for this layer. Taught in notebooks/04_lambda_layer.

    Raises:
        ValueError: the message names the shape that came and the one that fits.
    """
    shape = features.shape if isinstance(features, Tensor) and features.is_floating_point() else ()
    if len(shape) != 4 or shape[1] != dim:  # a quick look, since each forward pass takes one
        check_axes(f"b {dim} H W", features=features)
    shape = tuple(shape)
    if feat_size is not None and shape[2:] != tuple(feat_size):
        raise ValueError(f"features must be {tuple(feat_size)} pixels for this layer, got {shape[2:]}")
    if 0 in shape[2:]:
        raise ValueError(f"features must have at least one pixel, got {shape}")


@torch.compiler.assume_constant_result  # torch 2.6 cannot compile the question itself
def has_autocast(device: str) -> bool:
    """Whether a kind of device has autocast; one without may not be asked for its type.

    Used by `float32_under_float16`.
    """
    return torch.amp.is_autocast_available(device)


def float32_under_float16(method: Callable) -> Callable:
    """Under float16 autocast, compute in the layer's own type, float32 as a rule.

    A lambda layer multiplies activations with activations, and such products pass 65504, where float16 ends.
    Taught in notebooks/04_lambda_layer.
    """

    @wraps(method)
    def guarded(layer: nn.Module, *inputs, **named):
        device, dtype = layer.table.device.type, layer.table.dtype
        autocast = has_autocast(device) and torch.is_autocast_enabled(device)
        if not autocast or torch.get_autocast_dtype(device) != torch.float16:
            return method(layer, *inputs, **named)

        def widen(value):
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        with torch.autocast(device, enabled=False):
            return method(layer, *map(widen, inputs), **{name: widen(value) for name, value in named.items()})

    return guarded


class preserve_running_stats:
    """Context manager: inside it the norms of a module write into copies of their running statistics.

    So a batch that passes twice counts once. Nothing is written in place, because autograd may have saved the
    statistics themselves (in eval mode), and it may be entered any number of times. Taught in notebooks/05_cost.

    Args:
        module: any module; all of its buffers are exchanged for copies.
    Raises:
        ValueError: module is no module.
    """

    def __init__(self, module: nn.Module):
        check_module(module=module)
        self.module = module

    def __enter__(self) -> None:
        self.buffers = [(part, dict(part._buffers)) for part in self.module.modules()]
        for part, buffers in self.buffers:
            part._buffers.update({name: buffer.clone() for name, buffer in buffers.items() if buffer is not None})

    def __exit__(self, *error) -> None:
        for part, buffers in self.buffers:
            part._buffers.update(buffers)


def activation_checkpointed(forward: Callable) -> Callable:
    """With `recompute`, save only the input for the backward pass, and compute the rest again there.

    It trades time for memory. torch.compile decides by itself what it computes again.
    Up to torch 2.11 it has no forward-mode derivatives, since torch's own checkpoint has none there.
    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". Taught in notebooks/05_cost.
    """

    @wraps(forward)
    def checkpointed(module: nn.Module, features: Tensor) -> Tensor:
        if not module.recompute or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return forward(module, features)

        def contexts():  # of the forward pass, and of the second one
            return nullcontext(), preserve_running_stats(module)

        return checkpoint(
            forward, module, features, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
        )

    return checkpointed
