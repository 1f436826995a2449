"""Self-attention over a set of positions, with softmax and without: what lambda layers set out to replace.

Taught in notebooks/01_self_attention. Axes as everywhere: b batch, h heads, n queries, m context, k and v depths.
The 1/√k of scaled dot-product attention is taken to be absorbed in the queries, as the paper does.
"""

import torch
from torch import Tensor, einsum, nn

from lambdalib.lambdas import relative_embeddings

__all__ = ["softmax_attention", "relative_attention", "linear_attention", "SelfAttention"]


def softmax_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Blend the values, with weights that say how well each key fits the query.

    A_nm = softmax_m(q_n · k_m),   y_n = Σ_m A_nm v_m        Vaswani et al. 2017, equation 1.
    Taught in notebooks/01_self_attention.

    Args:
        queries: (b, h, n, k).
        keys: (b, h, m, k).
        values: (b, h, m, v).
    Returns:
        (b, h, n, v), every entry between the smallest and the largest value of its column.
    """
    scores = einsum("bhnk,bhmk->bhnm", queries, keys)
    # over the context: each row of weights sums to 1
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


def relative_attention(queries: Tensor, keys: Tensor, values: Tensor, embeddings: Tensor) -> Tensor:
    """Softmax attention that also knows where each key lies, seen from the query.

    A_nm = softmax_m(q_n · k_m + q_n · e_nm)        Shaw et al. 2018; Bello et al. 2019, section 3.1.
    Taught in notebooks/01_self_attention.

    Args:
        queries, keys, values: as in softmax_attention.
        embeddings: (n, m, k), one vector for every offset from query to context.
    Returns:
        (b, h, n, v).
    """
    scores = einsum("bhnk,bhmk->bhnm", queries, keys) + einsum("bhnk,nmk->bhnm", queries, embeddings)
    return einsum("bhnm,bhmv->bhnv", scores.softmax(dim=-1), values)


def linear_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention whose softmax runs over the keys alone: the brackets may move, and no attention matrix is made.

    y_n = q_n · (Σ_m softmax_m(k)_m v_m)        Shen et al. 2018 without their softmax on the queries.
    Taught in notebooks/01_self_attention.

    Args:
        queries, keys, values: as in softmax_attention.
    Returns:
        (b, h, n, v).
    """
    summaries = einsum("bhmk,bhmv->bhkv", keys.softmax(dim=2), values)
    return einsum("bhnk,bhkv->bhnv", queries, summaries)


class SelfAttention(nn.Module):
    """Multi-head softmax self-attention over a feature map of fixed size, with relative positions.

    y = concat_h( softmax_m(q_hn · k_hm + q_hn · T[m-n]) v_hm )        Bello et al. 2019, section 3.
    In the experiments
    a Twin with the lambda layer's norms stands for it (lambdalib.twins). Taught in notebooks/01_self_attention.

    Args:
        dim: channels that come in.
        dim_out: channels that go out, a multiple of heads. Default: dim.
        dim_k: depth of the queries and keys of each head.
        heads: how many attention matrices are made side by side; v = dim_out / heads.
        feat_size: (height, width) of the map.
    Raises:
        ValueError: heads does not divide dim_out, or in forward: the map has another size.
    """

    def __init__(
        self, dim: int, dim_out: int | None = None, *, dim_k: int = 16, heads: int = 4, feat_size: tuple[int, int]
    ):
        super().__init__()
        dim_out = dim if dim_out is None else dim_out
        if heads < 1 or dim_out % heads:
            raise ValueError(f"heads must divide dim_out = {dim_out}, got {heads}")
        self.heads, self.feat_size = heads, tuple(feat_size)
        self.to_queries = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_keys = nn.Conv2d(dim, heads * dim_k, 1, bias=False)
        self.to_values = nn.Conv2d(dim, dim_out, 1, bias=False)
        self.table = nn.Parameter(torch.randn(dim_k, 1, 2 * feat_size[0] - 1, 2 * feat_size[1] - 1) * dim_k**-0.5)
        for projection, std in (
            (self.to_queries, (dim_k * dim) ** -0.5),
            (self.to_keys, dim**-0.5),
            (self.to_values, dim**-0.5),
        ):
            nn.init.normal_(projection.weight, std=std)

    def forward(self, features: Tensor) -> Tensor:
        """(b, dim, H, W) -> (b, dim_out, H, W)."""
        if tuple(features.shape[2:]) != self.feat_size:
            raise ValueError(
                f"features must be {self.feat_size} pixels for this layer, got {tuple(features.shape[2:])}"
            )
        queries, keys, values = (
            projection(features).flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3)  # (b, h, n, depth)
            for projection in (self.to_queries, self.to_keys, self.to_values)
        )
        output = relative_attention(
            queries, keys, values, relative_embeddings(self.table, *self.feat_size)[..., 0]
        )
        # head-major: channel = head·v + value
        return output.transpose(2, 3).flatten(1, 2).unflatten(2, self.feat_size)
