"""Twins of the lambda layer: one part less, or another layer in its place, and the rest of the model the same.

What a twin loses against the layer is what the missing part was worth. Taught in
notebooks/09_what_the_lambda_is_worth.
"""

from math import prod

import torch
from einops import rearrange
from torch import Tensor, nn

from lambdalib.arguments import check_pair, check_sizes
from lambdalib.attention import linear_attention, relative_attention
from lambdalib.contractions import position_output
from lambdalib.guards import check_features
from lambdalib.lambdas import apply_lambdas, content_lambda, relative_embeddings

__all__ = ["TWINS", "Twin"]

# Which of queries, keys and values a twin takes from the features, and whether each head has keys and values of
# its own.
PROJECTIONS = {
    "content": ("qkv", False),
    "position": ("qv", False),
    "frozen-query": ("v", False),
    "attention": ("qkv", True),
    "linear-attention": ("qkv", True),
    "pointwise": ("v", True),
}
CONVOLUTION_KINDS = ("depthwise", "depthwise-global", "bottleneck")  # convolutions of about the layer's size
TWINS = [*PROJECTIONS, *CONVOLUTION_KINDS]
POSITION_LAMBDAS = ("position", "frozen-query")


class Twin(nn.Module):
    """LambdaLayer with one part taken away, or another layer in its place; over a map of fixed size.

    content            y_hn = λᶜᵀ q_hn              λᶜ = Σ_m softmax_m(W_k x)_m ⊗ v_m
    position           y_hn = λᵖ_nᵀ q_hn            λᵖ_n = Σ_m T[m-n] ⊗ v_m
    frozen-query       y_hn = λᵖ_nᵀ q_h             q_h learned, one for all pixels: a grouped convolution
    attention          y_hn = Σ_m softmax_m((q_hn · k_hm + q_hn · T[m-n]) / √k) v_hm
    linear-attention   y_hn = Σ_m (q_hn · softmax_m(k_hm)) v_hm
    pointwise          y_hn = v_hn                  a 1×1 convolution: no pixel sees another
    depthwise          y_n = W Σ_m w[m-n] ∘ x_m     w over 3×3 pixels, one filter for each channel; W is 1×1
    depthwise-global   y_n = W Σ_m w[m-n] ∘ x_m     w over the whole map
    bottleneck         y_n = W Σ_m F[m-n] W' x_m    W' to a quarter of the channels, F over 3×3 pixels, W back
    Queries and values pass a norm as in LambdaLayer, whose output is that of "content" plus that of "position"; a
    frozen query has none. The first two are the paper's ablation (Table 10 of its version of 2020). The attention
    is in the manner of Shaw et al. 2018 and Bello et al. 2019, with one table for both axes and all heads, and the
    lambda layer's norms. "depthwise-global" is the large kernel of Ding et al. 2022 (RepLKNet), in the order of
    Liu et al. 2022 (ConvNeXt). With scope 1, "position" is y_hn = Σ_u (q_hn · T_u) v_nu: the query acts, but no
    pixel sees another. Taught in notebooks/09_what_the_lambda_is_worth.

    Args:
        dim: channels in and out, a multiple of heads.
        kind: one of TWINS.
        feat_size: (height, width) of the map.
        dim_k, heads: as in LambdaLayer; the value depth is v = dim / heads. Convolutions ignore them.
        dim_u: as in LambdaLayer, for the twins that have lambdas: content, position and frozen-query.
        scope: side of the position lambdas' window, in pixels, odd, for position and frozen-query. None: the
            whole map.
    Raises:
        ValueError: an argument makes no twin (see check_twin), or in forward: the map has another size.
    """

    def __init__(self, dim: int, kind: str, feat_size: tuple[int, int], *, dim_k: int = 16, heads: int = 4,
                 dim_u: int = 1, scope: int | None = None):  # fmt: skip
        super().__init__()
        check_twin(dim, kind, feat_size, dim_k, heads, dim_u, scope)
        self.dim, self.kind, self.feat_size, self.heads, self.dim_u = dim, kind, tuple(feat_size), heads, dim_u
        if kind in CONVOLUTION_KINDS:
            self.convolutions = build_convolutions(dim, kind, self.feat_size)
            return
        taken, own = PROJECTIONS[kind]
        self.groups = heads if own else 1
        if "q" in taken:
            to_queries = convolution(dim, heads * dim_k, fan_in=dim_k * dim)  # with attention's 1/√k, as the layer
            self.to_queries = nn.Sequential(to_queries, nn.BatchNorm2d(heads * dim_k))
        elif kind == "frozen-query":
            self.queries = nn.Parameter(torch.randn(heads, 1, dim_k))  # as large as a norm would make them
        self.to_keys = convolution(dim, self.groups * dim_k * dim_u, fan_in=dim) if "k" in taken else None
        depth = self.groups * dim // heads * dim_u
        self.to_values = nn.Sequential(convolution(dim, depth, fan_in=dim), nn.BatchNorm2d(depth))
        if kind in (*POSITION_LAMBDAS, "attention"):
            sides, visible = window(self.feat_size, scope)
            fan_in = dim_k if kind == "attention" else dim_k * dim_u * visible  # of the scores, or of the output
            self.table = nn.Parameter(fan_in**-0.5 * torch.randn(dim_k, dim_u, *sides))

    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim, H, W)."""
        check_features(features, self.dim, self.feat_size)
        size = self.feat_size
        if self.kind in CONVOLUTION_KINDS:
            return self.convolutions(features)
        if self.kind == "pointwise":
            return self.to_values(features)

        def split(channels: Tensor, groups: int) -> Tensor:
            return rearrange(channels, "b (g depth) y x -> b g (y x) depth", g=groups)

        values = split(self.to_values(features), self.groups)
        if self.kind == "frozen-query":
            queries = self.queries.expand(len(features), -1, size[0] * size[1], -1)
        else:
            queries = split(self.to_queries(features), self.heads)
        keys = None if self.to_keys is None else split(self.to_keys(features), self.groups)
        if self.kind == "attention":
            queries = queries * queries.shape[-1] ** -0.5
            output = relative_attention(queries, keys, values, relative_embeddings(self.table, *size)[..., 0])
        elif self.kind == "linear-attention":
            output = linear_attention(queries, keys, values)
        else:
            values = rearrange(values, "b 1 m (v u) -> b m v u", u=self.dim_u)
            if self.kind == "content":
                keys = rearrange(keys, "b 1 m (k u) -> b m k u", u=self.dim_u)
                output = apply_lambdas(queries, content_lambda(keys, values))
            else:
                output = position_output(queries, self.table, values, size)
        return rearrange(output, "b h (y x) v -> b (h v) y x", y=size[0])


def window(feat_size: tuple[int, int], scope: int | None) -> tuple[tuple[int, int], int]:
    """Sides of the window that a pixel sees, and how many of its pixels it sees at most. Used by Twin.

    Args:
        feat_size: (height, width) of the map.
        scope: side of the window; None: it covers the map from each of its pixels.
    """
    if scope is None:
        return (2 * feat_size[0] - 1, 2 * feat_size[1] - 1), prod(feat_size)
    return (scope, scope), scope**2


def convolution(
    dim: int, dim_out: int, fan_in: int, sides: tuple[int, int] = (1, 1), groups: int = 1
) -> nn.Conv2d:
    """A convolution that keeps the map's size. Its weights begin with a variance of 1 / fan_in. Used by Twin."""
    padding = (sides[0] // 2, sides[1] // 2)
    conv = nn.Conv2d(dim, dim_out, sides, padding=padding, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=fan_in**-0.5)
    return conv


def build_convolutions(dim: int, kind: str, feat_size: tuple[int, int]) -> nn.Sequential:
    """One of CONVOLUTION_KINDS. Used by Twin.

    No norm and no nonlinearity lies inside: a block puts them behind its mixer, as behind its 3×3 convolution.
    """
    if kind == "bottleneck":
        width = dim // 4
        return nn.Sequential(
            convolution(dim, width, fan_in=dim),
            convolution(width, width, fan_in=9 * width, sides=(3, 3)),
            convolution(width, dim, fan_in=width),
        )
    sides, visible = window(feat_size, 3 if kind == "depthwise" else None)
    return nn.Sequential(convolution(dim, dim, visible, sides, groups=dim), convolution(dim, dim, fan_in=dim))


def check_twin(
    dim: int, kind: str, feat_size: tuple[int, int], dim_k: int, heads: int, dim_u: int, scope: int | None
) -> None:
    """Refuse what makes no twin. Used by Twin.

    Raises:
        ValueError: the message names the argument, its value, and what is allowed.
    """
    if kind not in TWINS:
        raise ValueError(f"kind must be one of {TWINS}, got {kind!r}")
    check_pair(feat_size=feat_size)
    check_sizes(dim=dim, dim_k=dim_k, heads=heads, dim_u=dim_u)
    if dim % heads:
        raise ValueError(f"heads must divide dim = {dim}, got {heads}")
    if kind == "bottleneck" and dim < 4:
        raise ValueError(f"dim must be at least 4 for a bottleneck, which has a quarter of it inside, got {dim}")
    if dim_u > 1 and kind not in ("content", *POSITION_LAMBDAS):
        raise ValueError(f"dim_u must be 1 for a twin without lambdas, {kind}, got {dim_u}")
    if scope is not None and kind not in POSITION_LAMBDAS:
        raise ValueError(f"scope must be None for a twin without position lambdas, {kind}, got {scope!r}")
    if scope is not None and (type(scope) is not int or scope < 1 or scope % 2 == 0):  # True is no size
        raise ValueError(f"scope must be an odd number of pixels, or None for the whole map, got {scope!r}")
