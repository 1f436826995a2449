"""The fast copies that the orders of contraction need: permutes, windows, embeddings laid out for matrix products.

Nothing here computes: every function moves numbers, and `contractions` has the formulas. Used by
lambdalib.contractions; `sheets` and the three functions that cut into tiles and join again are taught in
notebooks/05b_fast_orders.
"""

from math import ceil

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from lambdalib.arguments import check_axes, check_pair
from lambdalib.lambdas import relative_embeddings

__all__ = ["permute_contiguous", "windows", "convolve", "sheets", "cut_queries", "cut_contexts", "join_tiles"]


def copied(tensor: Tensor) -> Tensor:
    """A contiguous copy, even of what is contiguous: a function of autograd returns a view always, or never."""
    return tensor.clone(memory_format=torch.contiguous_format)


class PermuteContiguous(torch.autograd.Function):
    """A permutation and a copy, with its gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
        """The axes in another order, side by side in memory."""
        return copied(tensor.permute(axes))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Remember the tensor's layout; after expand(), where numbers share memory, a dense one."""
        tensor, ctx.axes = inputs
        ctx.shape, ctx.strides = tensor.shape, torch.empty_like(tensor).stride()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        """The axes in their first order, where they lay."""
        back = [ctx.axes.index(axis) for axis in range(len(ctx.axes))]
        return gradient.new_empty_strided(ctx.shape, ctx.strides).copy_(gradient.permute(back)), None

    @staticmethod
    def jvp(ctx, tangent: Tensor, *_) -> Tensor:
        """Linear: a tangent is permuted as the tensor was."""
        return PermuteContiguous.forward(tangent, ctx.axes)


def permute_contiguous(tensor: Tensor, pattern: str, **sizes: int) -> Tensor:
    """einops' rearrange with one copy; the gradient comes back in the tensor's memory layout, since norms need it.

    Used by lambdalib.contractions.

    Args:
        tensor: any.
        pattern: as for einops.rearrange, "b h n k -> n b h k", say.
        sizes: of axes that are split.
    Returns:
        The rearranged tensor, contiguous.
    Raises:
        ValueError: pattern has not the same axes on both sides.
    """
    before, _, after = pattern.partition("->")
    bare_before, bare_after = (
        side.replace("(", "").replace(")", "") for side in (before, after)
    )  # axes one by one
    if sorted(bare_before.split()) != sorted(bare_after.split()):
        raise ValueError(f"pattern must have the same axes before and after ->, got {pattern!r}")
    axes = tuple(bare_before.split().index(axis) for axis in bare_after.split())
    tensor = rearrange(tensor, f"{before} -> {bare_before}", **sizes)  # a view
    if torch.compiler.is_compiling():  # a compiler makes its own gradients, and refuses functions that have a jvp
        tensor = PermuteContiguous.forward(tensor, axes)
    else:
        tensor = PermuteContiguous.apply(tensor, axes)
    return rearrange(tensor, f"{bare_after} -> {after}")  # a view


class Windows(torch.autograd.Function):
    """What windows() does, with its gradients."""

    generate_vmap_rule = True

    @staticmethod
    def forward(images: Tensor, context: tuple[int, int], tile: tuple[int, int]) -> Tensor:
        """Copy every window."""
        cut = images.unfold(1, context[0], tile[0]).unfold(2, context[1], tile[1])
        return copied(rearrange(cut, "b rows columns d y x -> b rows columns y x d"))

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Remember the sizes."""
        images, ctx.context, ctx.tile = inputs
        ctx.shape = images.shape

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Add the windows where they overlap: the first tiles of all windows at once, then the second ones."""
        (b, rows, columns, c_y, c_x, d), (t_y, t_x) = gradient.shape, ctx.tile
        sums = gradient.new_zeros(b, rows + ceil(c_y / t_y) - 1, t_y, columns + ceil(c_x / t_x) - 1, t_x, d)
        for i in range(ceil(c_y / t_y)):
            for j in range(ceil(c_x / t_x)):
                part = gradient[:, :, :, i * t_y : (i + 1) * t_y, j * t_x : (j + 1) * t_x].transpose(2, 3)
                sums[:, i : i + rows, : part.shape[2], j : j + columns, : part.shape[4]] += part
        images = rearrange(sums, "b rows y columns x d -> b (rows y) (columns x) d")
        return images[:, : ctx.shape[1], : ctx.shape[2]], None, None

    @staticmethod
    def jvp(ctx, tangent: Tensor, *_) -> Tensor:
        """Linear: a tangent is cut as the images were."""
        return Windows.forward(tangent, ctx.context, ctx.tile)


def windows(images: Tensor, context: tuple[int, int], tile: tuple[int, int]) -> Tensor:
    """Cut a window of the size of `context` at every `tile` pixels.

    Its gradient is several times faster than that of Tensor.unfold. Used by lambdalib.contractions.

    Args:
        images: (b, H, W, d); a whole number of windows fits.
        context, tile: (height, width), in pixels.
    Returns:
        (b, rows, columns, *context, d), contiguous.
    Raises:
        ValueError: context or tile is no size, or the windows do not fit.
    """
    check_axes("b H W d", images=images)
    check_pair(context=context, tile=tile)
    if any(side < seen or (side - seen) % step for side, seen, step in zip(images.shape[1:3], context, tile)):
        raise ValueError(
            f"context must fit into images of {tuple(images.shape[1:3])} pixels a whole number of times at steps "
            f"of tile = {tile}, got {context}"
        )
    if torch.compiler.is_compiling():  # as in permute_contiguous
        return Windows.forward(images, context, tile)
    return Windows.apply(images, context, tile)


def padded(tensor: Tensor, widths: tuple[int, ...]) -> Tensor:
    """F.pad, which copies even where there is nothing to add."""
    return F.pad(tensor, widths) if any(widths) else tensor


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """F.conv2d with zeros around the images, channels innermost in memory: twice as fast as channels outermost.

    Used by lambdalib.contractions.

    Args:
        images: (b, H, W, u), contiguous.
        kernels: (k, r_y, r_x, u), contiguous, both sides odd.
    Returns:
        (b, H, W, k).
    Raises:
        ValueError: the axes do not agree, or a side of the kernels is even.
    """
    check_axes("b H W u, k r_y r_x u", images=images, kernels=kernels)
    images, kernels = (rearrange(tensor, "b y x u -> b u y x") for tensor in (images, kernels))
    (H, W), (r_y, r_x) = images.shape[2:], kernels.shape[2:]
    if r_y > H or r_x > W:  # conv2d's own padding writes beyond its memory under some windows as tall as this
        output = F.conv2d(F.pad(images, (r_x // 2, r_x // 2, r_y // 2, r_y // 2)), kernels)
    else:
        output = F.conv2d(images, kernels, padding=(r_y // 2, r_x // 2))
    return rearrange(output, "b k y x -> b y x k")


def sheets(table: Tensor, tile: tuple[int, int], halo: tuple[int, int] = (0, 0)) -> Tensor:
    """The embeddings of a tile's queries for all that they can see: the tile, and a halo around it.

    Taught in notebooks/05b_fast_orders.

    Args:
        table: (k, u, r_y, r_x).
        tile, halo: (height, width), in pixels.
    Returns:
        (n, k, m·u), n the pixels of the tile, m those of the tile with its halo.
    """
    height, width = (side + 2 * beyond for side, beyond in zip(tile, halo))
    embeddings = rearrange(relative_embeddings(table, height, width), "(y x) m k u -> y x m k u", y=height)
    middle = embeddings[halo[0] : halo[0] + tile[0], halo[1] : halo[1] + tile[1]]
    return rearrange(middle, "y x m k u -> (y x) k (m u)")


def cut_queries(queries: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int]) -> Tensor:
    """Cut the map of queries into tiles; where the last ones stick out, queries are 0.

    Taught in notebooks/05b_fast_orders.
    Args:
        queries: (b, h, n, k), n the pixels of the map, row by row.
        size, tile: (height, width) of the map and of a tile, in pixels.
        tiles: (rows, columns), how many tiles cover the map.
    Returns:
        (n, b·rows·columns, h, k), n the pixels of a tile.
    """
    (H, W), (t_y, t_x), (rows, columns) = size, tile, tiles
    queries = rearrange(queries, "b h (y x) k -> b h y x k", y=H)
    queries = padded(queries, (0, 0, 0, columns * t_x - W, 0, rows * t_y - H))
    pattern = "b h (rows y) (columns x) k -> (y x) (b rows columns) h k"
    return permute_contiguous(queries, pattern, y=t_y, x=t_x)


def cut_contexts(values: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int],
                 halo: tuple[int, int]) -> Tensor:  # fmt: skip
    """A copy of the values for each tile that sees them, 0 beyond the map. Taught in notebooks/05b_fast_orders.

    Args:
        values: (b, m, v, u), m the pixels of the map.
        size, tile, tiles: as in cut_queries.
        halo: (height, width) of the border around a tile that its queries see as well, in pixels.
    Returns:
        (b·rows·columns, m, v, u), m the pixels of a tile with its halo.
    """
    (H, W), (t_y, t_x), (rows, columns), (halo_y, halo_x) = size, tile, tiles, halo
    # u before v, as the product with the scores wants it
    images = rearrange(values, "b (y x) v u -> b y x (u v)", y=H)
    images = padded(images, (0, 0, halo_x, columns * t_x - W + halo_x, halo_y, rows * t_y - H + halo_y))
    contexts = windows(images, (t_y + 2 * halo_y, t_x + 2 * halo_x), tile)
    return rearrange(contexts, "b rows columns y x (u v) -> (b rows columns) (y x) v u", u=values.shape[3])


def join_tiles(output: Tensor, size: tuple[int, int], tile: tuple[int, int], tiles: tuple[int, int]) -> Tensor:
    """Put the tiles' outputs together and crop what sticks out of the map. Taught in notebooks/05b_fast_orders.

    Args:
        output: (b·rows·columns, n, h, v), n the pixels of a tile.
        size, tile, tiles: as in cut_queries.
    Returns:
        (b, h, n, v), n the pixels of the map.
    """
    (H, W), (t_y, t_x), (rows, columns) = size, tile, tiles
    pattern = "(b rows columns) (y x) h v -> b (rows y) (columns x) h v"
    output = rearrange(output, pattern, rows=rows, columns=columns, y=t_y, x=t_x)
    output = padded(output, (0, 0, 0, 0, 0, W - columns * t_x, 0, H - rows * t_y))
    return rearrange(output, "b y x h v -> b h (y x) v")
