"""Twins of the lambda layer: one part less, or attention in its place, and the rest of the model the same.

What a twin loses against the layer is what the missing part was worth. Taught in
notebooks/09_what_the_lambda_is_worth.
"""

import torch
from einops import rearrange
from torch import Tensor, nn

from lambdalib.attention import linear_attention, relative_attention
from lambdalib.contractions import position_output
from lambdalib.lambdas import apply_lambdas, content_lambda, relative_embeddings

__all__ = ["TWINS", "Twin"]

# Which of queries, keys and values a twin takes from the features, and whether each head has keys and values of
# its own.
TWINS = {
    "content": ("qkv", False),
    "position": ("qv", False),
    "frozen-query": ("v", False),
    "attention": ("qkv", True),
    "linear-attention": ("qkv", True),
    "pointwise": ("v", True),
}


class Twin(nn.Module):
    """LambdaLayer with one part taken away, or attention in its place; over the whole of a map of fixed size.

    content            y_hn = λᶜᵀ q_hn              λᶜ = Σ_m softmax_m(W_k x)_m ⊗ v_m
    position           y_hn = λᵖ_nᵀ q_hn            λᵖ_n = Σ_m T[m-n] ⊗ v_m
    frozen-query       y_hn = λᵖ_nᵀ q_h             q_h learned, one for all pixels: a grouped convolution
    attention          y_hn = Σ_m softmax_m((q_hn · k_hm + q_hn · T[m-n]) / √k) v_hm
    linear-attention   y_hn = Σ_m (q_hn · softmax_m(k_hm)) v_hm
    pointwise          y_hn = v_hn                  a 1×1 convolution: no pixel sees another
    Queries and values pass a norm as in LambdaLayer, whose output is that of "content" plus that of "position"; a
    frozen query has none. The first two are the paper's ablation (Table 10 of its version of 2020). The attention
    is in the manner of Shaw et al. 2018 and Bello et al. 2019, with one table for both axes and all heads, and the
    lambda layer's norms. Taught in notebooks/09_what_the_lambda_is_worth.

    Args:
        dim: channels in and out, a multiple of heads.
        kind: one of TWINS.
        feat_size: (height, width) of the map.
        dim_k, heads: as in LambdaLayer; the value depth is v = dim / heads.
        dim_u: as in LambdaLayer, for the twins that have lambdas: content, position and frozen-query.
    Raises:
        ValueError: kind is unknown, heads does not divide dim, dim_u is not 1 for a twin without lambdas, or in
            forward: the map has another size.
    """

    def __init__(
        self, dim: int, kind: str, feat_size: tuple[int, int], *, dim_k: int = 16, heads: int = 4, dim_u: int = 1
    ):
        super().__init__()
        if kind not in TWINS:
            raise ValueError(f"kind must be one of {list(TWINS)}, got {kind!r}")
        if heads < 1 or dim % heads:
            raise ValueError(f"heads must divide dim = {dim}, got {heads}")
        taken, own = TWINS[kind]
        if dim_u < 1 or own and dim_u > 1:
            raise ValueError(
                f"dim_u must be {'1 for a twin without lambdas, ' + kind if own else 'at least 1'}, got {dim_u}"
            )
        self.kind, self.feat_size, self.heads, self.groups, self.dim_u = (
            kind,
            tuple(feat_size),
            heads,
            heads if own else 1,
            dim_u,
        )

        def projection(depth: int, std: float) -> nn.Conv2d:
            conv = nn.Conv2d(dim, depth, 1, bias=False)
            nn.init.normal_(conv.weight, std=std)
            return conv

        if "q" in taken:
            self.to_queries = nn.Sequential(
                projection(heads * dim_k, (dim_k * dim) ** -0.5), nn.BatchNorm2d(heads * dim_k)
            )
        elif kind == "frozen-query":
            self.queries = nn.Parameter(torch.randn(heads, 1, dim_k))  # as large as a norm would make them
        self.to_keys = projection(self.groups * dim_k * dim_u, dim**-0.5) if "k" in taken else None
        depth = self.groups * dim // heads * dim_u
        self.to_values = nn.Sequential(projection(depth, dim**-0.5), nn.BatchNorm2d(depth))
        if kind in ("position", "frozen-query", "attention"):
            fan_in = dim_k * dim_u * feat_size[0] * feat_size[1]
            std = dim_k**-0.5 if kind == "attention" else fan_in**-0.5  # of the scores, or of the output: about 1
            self.table = nn.Parameter(std * torch.randn(dim_k, dim_u, 2 * feat_size[0] - 1, 2 * feat_size[1] - 1))

    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim, H, W)."""
        size = tuple(features.shape[2:])
        if size != self.feat_size:
            raise ValueError(f"features must be {self.feat_size} pixels for this layer, got {size}")

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
