"""Content lambdas, position lambdas and how they are applied: the definitions, in einsum.

    λ_n = λᶜ + λᵖ_n        y_n = λ_nᵀ q_n                         Bello 2021, section 3.1, equations 1 and 2

These few lines are the reference that every faster form in the library is tested against.

Axes: b batch, h heads, n query positions, m context positions, k query/key depth, v value depth, u intra-depth.
Taught in notebooks/02_content_lambdas and notebooks/03_position_lambdas.
"""

import torch.nn.functional as F
from torch import Tensor, einsum

__all__ = ["content_lambda", "relative_embeddings", "position_lambdas", "apply_lambdas"]


def content_lambda(keys: Tensor, values: Tensor) -> Tensor:
    """Summarise the whole context as one linear function from queries to outputs.

    λᶜ = Σ_m softmax_m(K)_m ⊗ V_m        Bello 2021, section 3.1. Taught in notebooks/02_content_lambdas.

    Args:
        keys: (b, m, k, u), not yet normalised.
        values: (b, m, v, u).
    Returns:
        (b, k, v): one lambda per example, shared by all of its queries.
    """
    soft_keys = keys.softmax(dim=1)  # over the context: each of the k columns sums to 1
    return einsum("bmku,bmvu->bkv", soft_keys, values)


def relative_embeddings(table: Tensor, height: int, width: int) -> Tensor:
    """Lay a table of stencils out as one dense sheet of embeddings per query.

    E[n, m] = T[m - n], and 0 where m - n lies outside the table        Bello 2021, section 3.2.
    Taught in notebooks/03_position_lambdas.

    Row i, column j of the table belongs to the context pixel (i - r_y//2, j - r_x//2) away from the query, so
    equal offsets share one entry: that is what makes the position lambda translation equivariant.

    Args:
        table: (k, u, r_y, r_x), both sides odd.
        height, width: size of the map, in pixels; n = m = height·width, row by row.
    Returns:
        (n, m, k, u).
    """
    k, u, r_y, r_x = table.shape
    pad_y, pad_x = height - 1 - r_y // 2, width - 1 - r_x // 2
    # zeros beyond the scope; a negative pad crops offsets no pixel has
    table = F.pad(table, (pad_x, pad_x, pad_y, pad_y))
    # (k, u, s, t, y, x): windows[s, t] holds T[y + s, x + t]
    windows = table.unfold(2, height, 1).unfold(3, width, 1)
    sheets = windows.flip(2, 3)  # the first query sees the last window: its context lies below and to the right
    return sheets.permute(2, 3, 4, 5, 0, 1).reshape(height * width, height * width, k, u)


def position_lambdas(embeddings: Tensor, values: Tensor) -> Tensor:
    """Read the context through each query's own sheet of embeddings.

    λᵖ_n = Σ_m E_nm ⊗ V_m        Bello 2021, section 3.1. Taught in notebooks/03_position_lambdas.

    Args:
        embeddings: (n, m, k, u), from relative_embeddings; no batch axis, since they do not depend on the image.
        values: (b, m, v, u).
    Returns:
        (b, n, k, v): one lambda per query position.
    """
    return einsum("nmku,bmvu->bnkv", embeddings, values)


def apply_lambdas(queries: Tensor, lambdas: Tensor) -> Tensor:
    """Apply lambdas to queries; all heads of a position share the same lambda.

    y_hn = λ_nᵀ q_hn        Bello 2021, equation 2 and section 3.2 (multi-query).
    Taught in notebooks/03_position_lambdas.

    Args:
        queries: (b, h, n, k).
        lambdas: (b, n, k, v), or a content lambda (b, k, v), the same for every n.
    Returns:
        (b, h, n, v).
    """
    if lambdas.dim() == 3:
        # in memory the heads of a position lie together
        return einsum("bhnk,bkv->bnhv", queries, lambdas).transpose(1, 2)
    return einsum("bhnk,bnkv->bnhv", queries, lambdas).transpose(1, 2)
