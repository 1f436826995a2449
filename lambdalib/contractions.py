"""The position output in several orders of contraction: the same numbers at very different prices.

    y[b,h,n,v] = Σ_k Σ_m Σ_u  q[b,h,n,k] · E[n,m,k,u] · V[b,m,v,u]

is one product of three tensors. Whoever multiplies E with V first makes lambdas; whoever multiplies q with E first makes
an attention map. Taught in notebooks/05_cost.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lambdalib.lambdas import apply_lambdas, position_lambdas, relative_embeddings

__all__ = ["convolution_order", "lambda_order", "attention_order", "position_costs", "plan", "position_output"]


def convolution_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by a convolution: every value channel is filtered alone by the same k stencils, then the queries mix them.

    Costs b·n·r²·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    (b, m, v, u), (k, _, r_y, r_x) = values.shape, table.shape
    maps = values.permute(0, 2, 3, 1).reshape(b * v, u, *size)
    lambdas = F.conv2d(maps, table, padding=(r_y // 2, r_x // 2))
    return apply_lambdas(queries, lambdas.view(b, v, k, m).permute(0, 3, 2, 1))


def lambda_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by the definition: the dense embeddings times the values, then the queries.

    Costs b·n·m·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    return apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))


def attention_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The map first: A = q·E for every pair of positions, then A times the values. No lambda is ever made.

    Costs b·h·n·m·k·u + b·h·n·m·u·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    (b, h, n, k), (_, m, v, u) = queries.shape, values.shape
    embeddings = relative_embeddings(table, *size).permute(0, 2, 1, 3).reshape(n, k, m * u)
    attention = torch.bmm(queries.permute(2, 0, 1, 3).reshape(n, b * h, k), embeddings)
    attention = attention.view(n, b, h, m * u).permute(1, 2, 0, 3).reshape(b, h * n, m * u)
    return torch.bmm(attention, values.transpose(2, 3).reshape(b, m * u, v)).view(b, h, n, v)


ORDERS = {"convolution": convolution_order, "lambda": lambda_order, "attention": attention_order}


def position_costs(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of each order, forward. Taught in notebooks/05_cost.

    Args:
        b, h, k, v, u: batch, heads, query depth, value depth, intra-depth.
        size: (height, width) of the map; n = m = height·width.
        sides: (r_y, r_x) of the table.
    """
    n = m = size[0] * size[1]
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
    }


def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the order with the fewest multiply-adds for these shapes. Taught in notebooks/05_cost.

    The choice looks at shapes only, never at a clock, so that a training run repeats.
    """
    costs = position_costs(b, h, size, k, v, u, sides)
    return min(costs, key=costs.get)


def position_output(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int], order: str = "auto") -> Tensor:
    """What the position lambdas give for these queries, by the cheapest order of contraction.

    y_hn = Σ_m (E_nm ⊗ V_m)ᵀ q_hn        Bello 2021, section 3.1 and equation 3. Taught in notebooks/05_cost.

    Args:
        queries: (b, h, n, k).
        table: (k, u, r_y, r_x), both sides odd.
        values: (b, m, v, u), m = n.
        size: (height, width) of the map, height·width = n.
        order: "convolution", "lambda", "attention", or "auto" for the one that plan() names.
    Returns:
        (b, h, n, v), the same in every order up to rounding.
    Raises:
        ValueError: order is none of these.
    """
    if order == "auto":
        (b, h, _, k), (_, _, v, u) = queries.shape, values.shape
        order = plan(b, h, size, k, v, u, table.shape[2:])
    if order not in ORDERS:
        raise ValueError(f"order must be one of {['auto', *ORDERS]}, got {order!r}")
    return ORDERS[order](queries, table, values, size)
