"""The position output in several orders of contraction: the same numbers at very different prices.

    y[b,h,n,v] = Σ_k Σ_m Σ_u  q[b,h,n,k] · E[n,m,k,u] · V[b,m,v,u]

is one product of three tensors. Whoever multiplies E with V first makes lambdas; whoever multiplies q with E first makes
an attention map. Taught in notebooks/05_cost.
"""

from collections.abc import Callable
from functools import wraps
from math import ceil, prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from lambdalib.lambdas import apply_lambdas, position_lambdas, relative_embeddings

__all__ = ["convolution_order", "lambda_order", "attention_order", "tile_order", "position_costs", "position_numbers", "plan",
           "position_output"]


CACHE = 2**22  # numbers; 16 MiB in float32


class Turn(torch.autograd.Function):
    """What turn() does, forward and backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
        """The axes in another order, side by side in memory."""
        return tensor.permute(axes).contiguous()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Remember how the tensor lay; one that lay upon itself, as after expand(), gets a gradient that does not."""
        (tensor, ctx.axes), ctx.shape, ctx.strides = inputs, inputs[0].shape, torch.empty_like(inputs[0]).stride()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """The axes in their first order, where they lay."""
        back = [ctx.axes.index(axis) for axis in range(len(ctx.axes))]
        return gradient.new_empty_strided(ctx.shape, ctx.strides).copy_(gradient.permute(back)), None


def turn(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """permute and copy; the gradient comes back in the memory layout of the tensor, as norms are slow on any other.

    Taught in notebooks/05_cost.
    """
    return (Turn.forward if torch.jit.is_tracing() else Turn.apply)(tensor, axes)


def padded(tensor: Tensor, widths: tuple[int, ...]) -> Tensor:
    """F.pad, which copies even where there is nothing to add."""
    return F.pad(tensor, widths) if any(widths) else tensor


class Windows(torch.autograd.Function):
    """What windows() does, forward and backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pictures: Tensor, context: tuple[int, int], tile: tuple[int, int]) -> Tensor:
        """Copy every window."""
        return pictures.unfold(1, context[0], tile[0]).unfold(2, context[1], tile[1]).permute(0, 1, 2, 4, 5, 3).contiguous()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Remember the sizes."""
        ctx.shape, ctx.tile = inputs[0].shape, inputs[2]

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Add the windows where they overlap: the first tiles of all windows at once, then the second ones, and so on."""
        (b, rows, columns, c_y, c_x, d), (t_y, t_x) = gradient.shape, ctx.tile
        sums = gradient.new_zeros(b, rows + ceil(c_y / t_y) - 1, t_y, columns + ceil(c_x / t_x) - 1, t_x, d)
        for i in range(ceil(c_y / t_y)):
            for j in range(ceil(c_x / t_x)):
                part = gradient[:, :, :, i * t_y:(i + 1) * t_y, j * t_x:(j + 1) * t_x].transpose(2, 3)
                sums[:, i:i + rows, :part.shape[2], j:j + columns, :part.shape[4]] += part
        return sums.flatten(3, 4).flatten(1, 2)[:, :ctx.shape[1], :ctx.shape[2]], None, None


def windows(pictures: Tensor, context: tuple[int, int], tile: tuple[int, int]) -> Tensor:
    """Cut a window of the size of `context` at every `tile` pixels; its gradient is several times as fast as unfold's.

    Taught in notebooks/05_cost.

    Args:
        pictures: (b, H, W, d); a whole number of windows fits.
        context, tile: (height, width).
    Returns:
        (b, rows, columns, *context, d).
    """
    return (Windows.forward if torch.jit.is_tracing() else Windows.apply)(pictures, context, tile)


def convolution_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by a convolution: every value channel is filtered alone by the same k stencils, then the queries mix them.

    Costs b·n·r²·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    (b, m, v, u), (k, _, r_y, r_x) = values.shape, table.shape
    maps = turn(values, (0, 2, 1, 3)).view(b * v, *size, u).permute(0, 3, 1, 2)  # in memory u, then k, innermost: twice as fast
    table, (pad_y, pad_x) = turn(table, (0, 2, 3, 1)).permute(0, 3, 1, 2), (r_y // 2, r_x // 2)
    if r_y > size[0] or r_x > size[1]:  # conv2d's own padding writes beyond its memory under some windows as tall as this
        lambdas = F.conv2d(F.pad(maps, (pad_x, pad_x, pad_y, pad_y)), table)
    else:
        lambdas = F.conv2d(maps, table, padding=(pad_y, pad_x))
    lambdas = turn(lambdas.permute(0, 2, 3, 1).reshape(b, v, m, k), (0, 2, 1, 3))  # (b, n, v, k)
    return apply_lambdas(queries, lambdas.transpose(2, 3))


def lambda_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Lambdas by the definition: the dense embeddings times the values, then the queries.

    Costs b·n·m·k·u·v + b·h·n·k·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    return apply_lambdas(queries, position_lambdas(relative_embeddings(table, *size), values))


def map_first(queries: Tensor, embeddings: Tensor, values: Tensor) -> Tensor:
    """A = q·E for every pair of positions, then A times the values. No lambda is ever made. Taught in notebooks/05_cost.

    queries (n, b, h, k), embeddings (n, k, m·u) from sheets(), values (b, m, v, u) -> (b, n, h, v).
    """
    (n, b, h, k), (_, m, v, u) = queries.shape, values.shape
    together = max(1, CACHE // (n * h * m * u))  # as many pictures at once as keep their maps in the cache
    outputs = []
    for asked, seen in zip(queries.split(together, 1), values.split(together)):
        attention = torch.bmm(asked.flatten(1, 2), embeddings)  # each query has its own embeddings,
        attention = attention.view(n, len(seen), h, m * u).transpose(0, 1).reshape(len(seen), n * h, m * u)
        outputs.append(torch.bmm(attention, seen.transpose(2, 3).reshape(len(seen), m * u, v)))  # each picture its own values
    return (torch.cat(outputs) if len(outputs) > 1 else outputs[0]).view(b, n, h, v)


def plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, and no stand-in of a compiler or of torch.func.vmap, which forbids the question."""
    try:
        return type(tensor.data) is Tensor
    except RuntimeError:
        return False


def kept(make: Callable) -> Callable:
    """Without gradients, on a CPU: make the embeddings of a table once, and again when its numbers or the sizes change.

    They are held for as long as the table is.
    """
    last = WeakIdKeyDictionary()  # table -> (sizes, its numbers then, its embeddings); forgotten together with the table

    @wraps(make)
    def remembered(table: Tensor, *sizes) -> Tensor:
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if torch.is_grad_enabled() or traced or table.device.type != "cpu" or not plain(table):
            return make(table, *sizes)
        was = last.get(table)
        if was is None or was[0] != (sizes, table.dtype) or not torch.equal(was[1], table):  # the table itself is small
            last[table] = was = (sizes, table.dtype), table.detach().clone(), make(table, *sizes)
        return was[2]

    return remembered


@kept
def sheets(table: Tensor, tile: tuple[int, int], halo: tuple[int, int] = (0, 0)) -> Tensor:
    """The embeddings of a tile's queries for all that they can see: the tile, and a halo around it.

    Taught in notebooks/05_cost.

    Args:
        table: (k, u, r_y, r_x).
        tile, halo: (height, width), in pixels.
    Returns:
        (n, k, m·u), n the pixels of the tile, m those of the tile with its halo.
    """
    context = [side + 2 * beyond for side, beyond in zip(tile, halo)]
    embeddings = relative_embeddings(table, *context).unflatten(0, context)  # (y, x, m, k, u)
    middle = embeddings[halo[0]:halo[0] + tile[0], halo[1]:halo[1] + tile[1]].flatten(0, 1)
    return middle.transpose(1, 2).flatten(2)


def attention_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The map first, for the whole map at once.

    Costs b·h·n·m·k·u + b·h·n·m·u·v multiply-adds. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    return map_first(turn(queries, (2, 0, 1, 3)), sheets(table, size), values).transpose(1, 2)


def tiling(size: tuple[int, int], sides: tuple[int, int]) -> list[list[int]]:
    """How tile_order cuts a map, (down, across) each: halo, side of a tile, side of its context, number of tiles.

    A tile is as wide as the halo on one side of it, plus the query's own pixel. Taught in notebooks/05_cost.
    """
    halo = [min(r // 2, side - 1) for r, side in zip(sides, size)]  # no context lies farther away
    tile = [half + 1 for half in halo]
    context = [t + 2 * half for t, half in zip(tile, halo)]
    return [halo, tile, context, [ceil(side / t) for side, t in zip(size, tile)]]


def tile_order(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """The map first, tile by tile: a tile's queries see it and a halo around it, half a window wide, and nothing else.

    A tile is half a window wide too, t = r//2 + 1, and one sheet of embeddings serves all tiles. With c = t + 2·(r//2) it
    costs b·h·n·c²·k·u + b·h·n·c²·u·v multiply-adds, linear in n, where the tiles fill the map; else those of a map that they
    fill. Taught in notebooks/05_cost. Arguments as in position_output.
    """
    (b, h, _, k), (_, _, v, u), (H, W) = queries.shape, values.shape, size
    (halo_y, halo_x), (t_y, t_x), (c_y, c_x), (rows, columns) = tiling(size, table.shape[2:])
    below, beside = rows * t_y - H, columns * t_x - W  # what the last tiles stick out
    queries = padded(queries.unflatten(2, size), (0, 0, 0, beside, 0, below)).unflatten(2, (rows, t_y)).unflatten(4, (columns, t_x))
    queries = turn(queries, (3, 5, 0, 2, 4, 1, 6)).view(t_y * t_x, -1, h, k)
    pictures = values.transpose(2, 3).reshape(b, H, W, u * v)
    pictures = padded(pictures, (0, 0, halo_x, halo_x + beside, halo_y, halo_y + below))
    values = windows(pictures, (c_y, c_x), (t_y, t_x)).view(-1, c_y * c_x, u, v).transpose(2, 3)
    embeddings = sheets(table, (t_y, t_x), (halo_y, halo_x))
    output = map_first(queries, embeddings, values).view(b, rows, columns, t_y, t_x, h, v)
    output = output.transpose(2, 3).reshape(b, rows * t_y, columns * t_x, h, v)
    return padded(output, (0, 0, 0, 0, 0, -beside, 0, -below)).flatten(1, 2).transpose(1, 2)


ORDERS = {"convolution": convolution_order, "lambda": lambda_order, "attention": attention_order, "tiles": tile_order}


def position_costs(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of each order, forward. Taught in notebooks/05_cost.

    Args:
        b, h, k, v, u: batch, heads, query depth, value depth, intra-depth.
        size: (height, width) of the map; n = m = height·width.
        sides: (r_y, r_x) of the table.
    """
    n = m = size[0] * size[1]
    _, tile, context, tiles = tiling(size, sides)
    return {
        "convolution": b * n * sides[0] * sides[1] * k * u * v + b * h * n * k * v,
        "lambda": b * n * m * k * u * v + b * h * n * k * v,
        "attention": b * h * n * m * u * (k + v),
        "tiles": b * h * prod(tiles) * prod(tile) * prod(context) * u * (k + v),
    }


def position_numbers(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> dict[str, int]:
    """Numbers that each order makes on its way, forward: lambdas, or maps and copies. Taught in notebooks/05_cost.

    Arguments as in position_costs. What does not grow with the batch (the dense embeddings) is left out.
    """
    n = m = size[0] * size[1]
    _, tile, context, tiles = tiling(size, sides)
    lambdas, map_of_tiles = b * n * k * v, b * h * prod(tiles) * prod(tile) * prod(context) * u
    return {
        "convolution": lambdas,
        "lambda": lambdas,
        "attention": b * h * n * m * u,
        "tiles": map_of_tiles + b * prod(tiles) * prod(context) * u * v,  # each tile has a copy of the values that it sees
    }


def plan(b: int, h: int, size: tuple[int, int], k: int, v: int, u: int, sides: tuple[int, int]) -> str:
    """Name the cheapest order for these shapes, by a rule of thumb. Taught in notebooks/05_cost.

    price = multiply-adds + 64 × numbers made on the way,  lambdas counted twice

    Numbers have to be written, read, and met again on the way back, which takes a processor as long as dozens of
    multiply-adds: 64 is a round number. A lambda counts twice since it meets only the h queries of its own position, in a
    product too small to run at full speed. The rule looks at shapes, never at a clock, so that a training run repeats.
    """
    adds, numbers = (count(b, h, size, k, v, u, sides) for count in (position_costs, position_numbers))
    weights = {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}
    return min(ORDERS, key=lambda order: adds[order] + weights[order] * numbers[order])


def position_output(queries: Tensor, table: Tensor, values: Tensor, size: tuple[int, int], order: str = "auto") -> Tensor:
    """What the position lambdas give for these queries, by the cheapest order of contraction.

    y_hn = Σ_m (E_nm ⊗ V_m)ᵀ q_hn        Bello 2021, section 3.1 and equation 3. Taught in notebooks/05_cost.

    Args:
        queries: (b, h, n, k).
        table: (k, u, r_y, r_x), both sides odd.
        values: (b, m, v, u), m = n.
        size: (height, width) of the map, height·width = n.
        order: "convolution", "lambda", "attention", "tiles", or "auto" for the one that plan() names.
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
