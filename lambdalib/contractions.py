"""The position output in several orders of contraction: the same numbers at very different prices.

    y[b,h,n,v] = Σ_k Σ_m Σ_u  q[b,h,n,k] · E[n,m,k,u] · V[b,m,v,u]

is one product of three tensors. Multiply E with V first, and you make lambdas; multiply q with E first, and you
make scores, one for every pair of positions. Taught in notebooks/05_cost and notebooks/05b_fast_orders.
"""

from math import ceil, prod

import torch
from einops import rearrange
from torch import Tensor

from lambdalib.arguments import check_axes, check_pair
from lambdalib.lambdas import apply_lambdas, position_lambdas, relative_embeddings
from lambdalib.layouts import convolve, cut_contexts, cut_queries, join_tiles, permute_contiguous, sheets

__all__ = ["ORDERS", "convolution_order", "lambda_order", "attention_order", "tile_order", "tiling",
           "position_costs", "position_numbers", "plan", "position_output"]  # fmt: skip


# scores made at once (one image may have more): 16 MiB in float32, about a processor's cache
CHUNK_ELEMENTS = 2**22


# Lambdas first


def convolution_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by a convolution: the same k stencils filter every value channel alone, then the queries mix them.

    λ[b,n,k,v] = Σ_t Σ_u  T[k,u,t] · V[b,n+t,v,u],   y = λᵀ q
    Costs b·n·r²·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    images = permute_contiguous(values, "b (y x) v u -> (b v) y x u", y=size[0])
    lambdas = convolve(images, permute_contiguous(table, "k u y x -> k y x u"))
    lambdas = permute_contiguous(lambdas, "(b v) y x k -> b (y x) v k", v=values.shape[2])
    return apply_lambdas(queries, rearrange(lambdas, "b n v k -> b n k v"))


def lambda_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by the definition: the dense embeddings times the values, then the queries.

    λ[b,n,k,v] = Σ_m Σ_u  E[n,m,k,u] · V[b,m,v,u],   y = λᵀ q
    Costs b·n·m·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    return apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))


# Scores first


def scores_then_values(queries: Tensor, embeddings: Tensor, values: Tensor) -> Tensor:
    """Scores for every pair of positions, without a softmax, then the values. No lambda is ever made.

    A[b,h,n,m,u] = Σ_k  q[b,h,n,k] · E[n,m,k,u],   y[b,h,n,v] = Σ_m Σ_u  A[b,h,n,m,u] · V[b,m,v,u]
    Taught in notebooks/05b_fast_orders.

    Args:
        queries: (n, b, h, k), contiguous.
        embeddings: (n, k, m·u), from layouts.sheets.
        values: (b, m, v, u).
    Returns:
        (b, n, h, v).
    """
    (n, _, h, _), (_, m, _, u) = queries.shape, values.shape
    images = max(1, CHUNK_ELEMENTS // (n * h * m * u))  # at once: as many as keep their scores in the cache
    outputs = []
    for asked, seen in zip(queries.split(images, 1), values.split(images)):
        scores = torch.bmm(asked.flatten(1, 2), embeddings)  # each query position has its own embeddings,
        scores = rearrange(scores, "n (b h) mu -> b (n h) mu", h=h)
        outputs.append(torch.bmm(scores, rearrange(seen, "b m v u -> b (m u) v")))  # each image its own values
    output = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
    return rearrange(output, "b (n h) v -> b n h v", h=h)


def attention_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores first, for the whole map at once.

    Costs b·h·n·m·k·u + b·h·n·m·u·v multiply-adds. Taught in notebooks/05b_fast_orders.
    Arguments as in position_output.
    """
    output = scores_then_values(permute_contiguous(queries, "b h n k -> n b h k"), sheets(table, size), values)
    return rearrange(output, "b n h v -> b h n v")


def tiling(size: tuple[int, int], sides: tuple[int, int]) -> list[list[int]]:
    """How tile_order cuts a map, (down, across) each: halo, side of a tile, side of its context, number of tiles.

    A tile is as wide as the halo on one side of it, plus the query's own pixel.
    Taught in notebooks/05b_fast_orders.

    Args:
        size: (height, width) of the map.
        sides: (r_y, r_x) of the table.
    Raises:
        ValueError: one of them is no pair of positive integers.
    """
    check_pair(size=size, sides=sides)
    halo = [min(r // 2, side - 1) for r, side in zip(sides, size)]  # no context lies farther away
    tile = [half + 1 for half in halo]
    context = [t + 2 * half for t, half in zip(tile, halo)]
    return [halo, tile, context, [ceil(side / t) for side, t in zip(size, tile)]]


def tile_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores first, tile by tile: a tile's queries see it and a halo around it, half a window wide.

    A tile is t = r//2 + 1 pixels wide, its context c = t + 2·(r//2), and one sheet of embeddings serves all tiles.
    Costs b·h·n·c²·k·u + b·h·n·c²·u·v multiply-adds, linear in n; n counts the pixels of all tiles.
    Taught in notebooks/05b_fast_orders. Arguments as in position_output.
    """
    halo, tile, _, tiles = tiling(size, table.shape[2:])
    queries, contexts = cut_queries(queries, size, tile, tiles), cut_contexts(values, size, tile, tiles, halo)
    return join_tiles(scores_then_values(queries, sheets(table, tile, halo), contexts), size, tile, tiles)


ORDERS = {
    "convolution": convolution_order,
    "lambda": lambda_order,
    "attention": attention_order,
    "tiles": tile_order,
}


def position_costs(
    b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]
) -> dict[str, int]:
    """Multiply-adds of each order, forward. Taught in notebooks/05_cost.

    Args:
        b, h, k, v, u: batch, heads, query depth, value depth, intra-depth.
        size: (height, width) of the map; n = m = height·width.
        sides: (r_y, r_x) of the table.
    """
    _, tile, context, tiles = tiling(size, sides)
    n = m = size[0] * size[1]
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
        "tiles": b * h * prod(tiles) * prod(tile) * prod(context) * u * (k + v),
    }


def position_numbers(
    b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]
) -> dict[str, int]:
    """Numbers that each order makes on its way, forward: lambdas, or scores and copies.

    Taught in notebooks/05_cost. Arguments as in position_costs. Dense embeddings are left out, since they do
    not grow with the batch.
    """
    _, tile, context, tiles = tiling(size, sides)
    n = m = size[0] * size[1]
    lambdas, scores_of_tiles = b * n * k * v, b * h * prod(tiles) * prod(tile) * prod(context) * u
    return {
        "convolution": lambdas,
        "lambda": lambdas,
        "attention": b * h * n * m * u,
        # each tile has a copy of the values that it sees
        "tiles": scores_of_tiles + b * prod(tiles) * prod(context) * u * v,
    }


def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the cheapest order for these shapes, by a rule of thumb. Taught in notebooks/05b_fast_orders.

    price = multiply-adds + 64 × numbers made on the way,  lambdas counted twice

    Numbers have to be written, read, and met again on the way back, which takes a processor as long as dozens of
    multiply-adds: 64 is a round number. A lambda counts twice since it meets only the h queries of its own
    position, in a product too small to run at full speed. The rule looks at shapes, never at a clock, so that a
    training run repeats.
    """
    adds, numbers = (count(b, h, size, k, v, u, sides) for count in (position_costs, position_numbers))
    weights = {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}
    totals = [adds[order] + weights[order] * numbers[order] for order in ORDERS]
    return list(ORDERS)[totals.index(min(totals))]  # torch 2.6 cannot compile min(..., key=...)


def position_output(
    queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int], order: str = "auto"
) -> Tensor:
    """Apply the position lambdas to the queries, by the cheapest order of contraction.

    y_hn = Σ_m (E_nm ⊗ V_m)ᵀ q_hn        Bello 2021, section 3.1 and equation 3.
    Taught in notebooks/05b_fast_orders.

    Args:
        queries: (b, h, n, k).
        table: (k, u, r_y, r_x), both sides odd.
        values: (b, m, v, u), m = n.
        size: (height, width) of the map, height·width = n.
        order: "convolution", "lambda", "attention", "tiles", or "auto" for the one that plan() names.
    Returns:
        (b, h, n, v), the same in every order up to rounding.
    Raises:
        ValueError: order is none of these, or tensors and size do not agree.
    """
    check_axes("b h n k, k u r_y r_x, b n v u", queries=queries, table=table, values=values)
    check_pair(size=size)
    if size[0] * size[1] != queries.shape[2]:
        raise ValueError(f"size must be (height, width) of a map of n = {queries.shape[2]} pixels, got {size!r}")
    if order == "auto":
        (b, h, _, k), (_, _, v, u) = queries.shape, values.shape
        order = plan(b, h, size, k, v, u, table.shape[2:])
    if order not in list(ORDERS):
        raise ValueError(f"order must be one of {['auto', *ORDERS]}, got {order!r}")
    return ORDERS[order](queries, table, values, size)
