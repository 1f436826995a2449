"""The lambda layer: projections, norms, heads, and the two outputs, in the place of a 3×3 convolution.

Taught in notebooks/04_lambda_layer. The paper's letters and ours are the same; its scope |m| = r × r is our side r.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from math import prod

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lambdalib.contractions import ORDERS, position_output
from lambdalib.lambdas import apply_lambdas, content_lambda

__all__ = ["frugal", "LambdaLayer"]


def check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order="auto") -> None:
    """Refuse sizes that make no layer, in one sentence each. Raises ValueError."""
    sizes = {"dim": dim, "dim_out": dim_out, "dim_k": dim_k, "heads": heads, "dim_u": dim_u, "stride": stride}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be a positive integer, got {size!r}")
    if dim_out % heads:
        raise ValueError(f"heads must divide dim_out = {dim_out}, since each head makes dim_out / heads channels, got {heads}")
    pair = isinstance(feat_size, (tuple, list)) and len(feat_size) == 2 and all(isinstance(s, int) and s > 0 for s in feat_size)
    if scope is None and not pair:
        raise ValueError(f"feat_size must be the map's (height, width) when scope is None (global), got {feat_size!r}")
    if scope is not None and (not isinstance(scope, int) or scope < 1 or scope % 2 == 0):
        raise ValueError(f"scope must be an odd number of taps, so that the query has a middle, or None (global), got {scope!r}")
    if scope is not None and feat_size is not None:
        raise ValueError(f"feat_size is for the global form (scope=None), got feat_size={feat_size!r} with scope={scope!r}")
    if order != "auto" and order not in ORDERS:
        raise ValueError(f"order must be one of {['auto', *ORDERS]}, got {order!r}")


def check_features(features: Tensor, dim: int, feat_size: tuple[int, int] | None) -> None:
    """Refuse what is no map for this layer, in one sentence. Raises ValueError."""
    if features.dim() != 4 or features.shape[1] != dim:
        raise ValueError(f"features must be (b, {dim}, H, W) for this layer, got {tuple(features.shape)}")
    if feat_size is not None and tuple(features.shape[2:]) != tuple(feat_size):
        raise ValueError(f"features must be {tuple(feat_size)} pixels for this global layer, got {tuple(features.shape[2:])}")


def under_float16(device: str) -> bool:
    """Whether autocast would compute in float16 on this kind of device."""
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) == torch.float16


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """What happens within leaves the norms' running statistics as they were: a batch counts once."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, was in zip(module.buffers(), before):
            buffer.copy_(was)


def frugal(forward: Callable) -> Callable:
    """With recompute, what forward makes is not held for the backward pass, but made again there: time for memory.

    torch.compile decides for itself what it makes again. Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    Taught in notebooks/05_cost.
    """

    @wraps(forward)
    def either(layer: nn.Module, features: Tensor) -> Tensor:
        if not layer.recompute or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return forward(layer, features)
        return checkpoint(forward, layer, features, use_reentrant=False, preserve_rng_state=False,
                          context_fn=lambda: (nullcontext(), statistics_kept(layer)))

    return either


class LambdaLayer(nn.Module):
    """A lambda layer over a feature map: a drop-in for a 3×3 convolution.

    y_hn = (λᶜ + λᵖ_n)ᵀ q_hn,  q = BN(W_q x),  λᶜ = Σ_m softmax_m(W_k x)_m ⊗ v_m,  λᵖ_n = Σ_m T[m-n] ⊗ v_m,  v = BN(W_v x)
    Bello 2021, sections 3.1 and 3.2, appendix B.4 for dim_u. Taught in notebooks/04_lambda_layer.
    The keys need no norm: their softmax is one. What comes out lies in memory pixel after pixel (channels_last). Under float16
    autocast, which multiplies activations past 65504, all is float32.

    Args:
        dim, dim_out: channels in and out; dim_out is a multiple of heads, by default dim.
        dim_k: k, depth of queries and keys.
        heads: h, queries per position, all applied to the same lambda; the value depth is v = dim_out / heads.
        dim_u: u, intra-depth: how many key-value pairs each context position contributes.
        scope: side r of the position lambdas' window, in pixels, odd; None: the whole map, which then must be feat_size.
        feat_size: (height, width) of the map in the global form.
        stride: > 1 adds a 3×3 average pool with this stride after the layer.
        position_bias: one k-vector added to every position lambda, as the convolutions of other implementations have.
        order, recompute: how the position output is computed (see position_output), what is held for backward (see frugal).
    Raises:
        ValueError: a size is not allowed, or features are no map for this layer; the message names what is.
    """

    def __init__(self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4, dim_u: int = 1,
                 scope: int | None = 23, feat_size: tuple[int, int] | None = None, stride: int = 1, position_bias: bool = False,
                 order: str = "auto", recompute: bool = False):
        super().__init__()
        check_arguments(dim, dim if dim_out is None else dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order)
        self.feat_size, self.order, self.recompute = feat_size, order, recompute
        self.heads, self.dim_k, self.dim_u, self.dim_v = heads, dim_k, dim_u, (dim_out or dim) // heads
        self.to_queries = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv2d(dim, dim_k * dim_u, 1, bias=False)
        self.to_values = nn.Conv2d(dim, self.dim_v * dim_u, 1, bias=False)
        self.norm_queries, self.norm_values = nn.BatchNorm2d(heads * dim_k), nn.BatchNorm2d(self.dim_v * dim_u)
        sides = (scope, scope) if scope else (2 * feat_size[0] - 1, 2 * feat_size[1] - 1)
        self.table = nn.Parameter(torch.empty(dim_k, dim_u, *sides))
        self.position_bias = nn.Parameter(torch.zeros(dim_k)) if position_bias else None
        self.pool = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        for projection, depth in (self.to_queries, dim_k * dim), (self.to_keys, dim), (self.to_values, dim):
            nn.init.normal_(projection.weight, std=depth**-0.5)  # the paper's, with attention's 1/√k absorbed in the queries
        fan_in = dim_k * dim_u * (scope**2 if scope else prod(feat_size))
        nn.init.normal_(self.table, std=fan_in**-0.5)  # the position output starts near 1

    @frugal
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride))."""
        check_features(features, self.to_keys.in_channels, self.feat_size)
        if under_float16(features.device.type):
            with torch.autocast(features.device.type, enabled=False):
                return self.forward(features.to(self.table.dtype))
        size = features.shape[2:]
        queries, keys, values = self.norm_queries(self.to_queries(features)), self.to_keys(features), self.to_values(features)
        queries = queries.flatten(2).unflatten(1, (self.heads, self.dim_k)).transpose(2, 3)  # (b, h, n, k)
        keys = keys.flatten(2).unflatten(1, (self.dim_k, self.dim_u)).permute(0, 3, 1, 2)  # (b, m, k, u)
        values = self.norm_values(values).flatten(2).unflatten(1, (self.dim_v, self.dim_u)).permute(0, 3, 1, 2)  # (b, m, v, u)
        output = apply_lambdas(queries, content_lambda(keys, values))
        output = output + position_output(queries, self.table, values, tuple(size), self.order)
        if self.position_bias is not None:
            output = output + (queries @ self.position_bias)[..., None]
        output = output.transpose(1, 2).flatten(2).unflatten(1, size).permute(0, 3, 1, 2)  # head-major: channel = head·v + value
        return self.pool(output)
