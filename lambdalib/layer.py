"""The lambda layer: projections, norms, heads, and the two outputs, in the place of a 3×3 convolution.

Taught in notebooks/04_lambda_layer. The paper's letters and ours are the same; its scope |m| = r × r is our side
r.
"""

from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

from lambdalib.arguments import check_flags
from lambdalib.contractions import position_output
from lambdalib.guards import activation_checkpointed, check_arguments, check_features, float32_under_float16
from lambdalib.lambdas import apply_lambdas, content_lambda

__all__ = ["LambdaLayer"]


class LambdaLayer(nn.Module):
    """A lambda layer over a feature map: a drop-in for a 3×3 convolution.

    y_hn = (λᶜ + λᵖ_n)ᵀ q_hn,   λᶜ = Σ_m softmax_m(K)_m ⊗ v_m,   λᵖ_n = Σ_m T[m-n] ⊗ v_m
    q = BN(W_q x),   K = W_k x,   v = BN(W_v x);   the keys need no norm, since their softmax is one
    Bello 2021, sections 3.1 and 3.2, appendix B.4 for dim_u. Taught in notebooks/04_lambda_layer.
    The output lies in memory pixel after pixel (channels_last), whatever the layout of the input.

    Args:
        dim, dim_out: channels in and out; dim_out is a multiple of heads, by default dim.
        dim_k: k, depth of queries and keys.
        heads: h, queries per position, all applied to the same lambda; the value depth is v = dim_out / heads.
        dim_u: u, intra-depth: how many key-value pairs each context position contributes.
        scope: side r of the position lambdas' window, in pixels, odd. None: the whole map, of feat_size.
        feat_size: (height, width) of the map in the global form.
        stride: > 1 adds a 3×3 average pool with this stride after the layer.
        position_bias: whether one k-vector is added to every position lambda, as other implementations do.
        order: how the position output is computed, see contractions.position_output; the numbers are the same.
        recompute: activation checkpointing, see guards.activation_checkpointed.
    Raises:
        ValueError: a size is not allowed, or features are no map for this layer; the message names what is.
    """

    def __init__(self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4, dim_u: int = 1,
                 scope: int | None = 23, feat_size: tuple[int, int] | None = None, stride: int = 1,
                 position_bias: bool = False, order: str = "auto", recompute: bool = False):  # fmt: skip
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        check_arguments(dim, dim_out, dim_k, heads, dim_u, scope, feat_size, stride, order)
        check_flags(position_bias=position_bias, recompute=recompute)
        self.heads, self.dim_k, self.dim_u, self.dim_v = heads, dim_k, dim_u, dim_out // heads
        self.feat_size, self.order, self.recompute = feat_size, order, recompute
        self.to_queries = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv2d(dim, dim_k * dim_u, 1, bias=False)
        self.to_values = nn.Conv2d(dim, self.dim_v * dim_u, 1, bias=False)
        self.norm_queries, self.norm_values = nn.BatchNorm2d(heads * dim_k), nn.BatchNorm2d(self.dim_v * dim_u)
        sides = (scope, scope) if scope else (2 * feat_size[0] - 1, 2 * feat_size[1] - 1)
        self.table = nn.Parameter(torch.empty(dim_k, dim_u, *sides))
        self.position_bias = nn.Parameter(torch.zeros(dim_k)) if position_bias else None
        self.pool = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        for projection, depth in (self.to_queries, dim_k * dim), (self.to_keys, dim), (self.to_values, dim):
            # the paper's, with attention's 1/√k in the queries
            nn.init.normal_(projection.weight, std=depth**-0.5)
        visible = scope**2 if scope else prod(feat_size)
        nn.init.normal_(self.table, std=(dim_k * dim_u * visible) ** -0.5)  # the position output starts near 1

    @activation_checkpointed
    @float32_under_float16
    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, ceil(H/stride), ceil(W/stride))."""
        check_features(features, self.to_keys.in_channels, self.feat_size)
        size = tuple(features.shape[2:])
        queries = self.norm_queries(self.to_queries(features))
        keys = self.to_keys(features)
        values = self.norm_values(self.to_values(features))
        queries = rearrange(queries, "b (h k) y x -> b h (y x) k", h=self.heads)
        keys = rearrange(keys, "b (k u) y x -> b (y x) k u", u=self.dim_u)
        values = rearrange(values, "b (v u) y x -> b (y x) v u", u=self.dim_u)
        output = apply_lambdas(queries, content_lambda(keys, values))
        output = output + position_output(queries, self.table, values, size, self.order)
        if self.position_bias is not None:
            output = output + (queries @ self.position_bias)[..., None]
        return self.pool(rearrange(output, "b h (y x) v -> b (h v) y x", y=size[0]))
