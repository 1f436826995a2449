"""The fast copies: they move numbers and change none, and so do their gradients and tangents."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from lambdalib.layouts import cut_contexts, cut_queries, join_tiles, permute_contiguous, sheets, windows


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def sound(run, tensor):
    """Gradients, their gradients, and tangents; one by one, and many at once as vmap makes them."""
    every = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    return gradcheck(run, tensor, **every) and gradgradcheck(run, tensor)


def test_a_gradient_comes_back_as_its_tensor_lies():
    """Channels innermost, as norms like it, whatever the permutation."""
    tensor = torch.randn(2, 13, 5, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    moved, weights = permute_contiguous(tensor, "b d y x -> y b d x"), torch.randn(5, 2, 13, 7)
    assert moved.is_contiguous() and torch.equal(moved, tensor.permute(2, 0, 1, 3))
    (gradient,) = torch.autograd.grad(moved, tensor, weights)
    assert gradient.stride() == tensor.stride() and torch.equal(gradient, weights.permute(1, 2, 0, 3))


def test_axes_may_be_split_and_merged():
    tensor = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)

    def run(tensor):
        return permute_contiguous(tensor, "b (y x) d -> (b d) y x", y=2)

    assert torch.equal(run(tensor), tensor.unflatten(1, (2, 3)).permute(0, 3, 1, 2).flatten(0, 1))
    assert sound(run, tensor)
    assert sound(lambda tensor: permute_contiguous(tensor, "b n d -> b n d"), tensor), "a copy, never a view"


CUTS = {
    "that overlap": ((5, 6), (3, 2), (2, 2)),
    "of many tiles": ((6, 5), (5, 3), (1, 2)),
    "one": ((3, 2), (3, 2), (2, 2)),
}


@pytest.mark.parametrize("size, context, tile", CUTS.values(), ids=CUTS)
def test_windows(size, context, tile):
    images = torch.randn(2, *size, 2, dtype=torch.float64, requires_grad=True)
    cut = windows(images, context, tile)
    rows, columns = ((side - seen) // step + 1 for side, seen, step in zip(size, context, tile))
    assert cut.shape == (2, rows, columns, *context, 2) and cut.is_contiguous()
    for i in range(rows):
        for j in range(columns):
            y, x = i * tile[0], j * tile[1]
            assert torch.equal(cut[:, i, j], images[:, y : y + context[0], x : x + context[1]])
    assert sound(lambda images: windows(images, context, tile), images)


def test_queries_are_cut_and_joined_again():
    """With v = k an output that repeats the queries comes back as it was, whatever sticks out."""
    queries, size, tile, tiles = torch.randn(2, 3, 35, 4), (5, 7), (2, 3), (3, 3)
    cut = cut_queries(queries, size, tile, tiles)
    assert cut.shape == (6, 2 * 9, 3, 4) and cut.is_contiguous()
    assert torch.equal(cut[4, 1 * 9 + 1 * 3 + 2], torch.zeros(3, 4)), (
        "tile (1, 2), pixel (1, 1) is in column 7, beyond the map"
    )
    assert torch.equal(cut[4, 1 * 9 + 1 * 3 + 1], queries[1, :, (1 * 2 + 1) * 7 + 1 * 3 + 1])
    assert torch.equal(join_tiles(cut.transpose(0, 1), size, tile, tiles), queries)


def test_contexts_are_tiles_with_their_halo():
    values, size = torch.randn(2, 35, 3, 2), (5, 7)
    contexts = cut_contexts(values, size, (2, 3), (3, 3), (1, 2))
    assert contexts.shape == (2 * 9, 4 * 7, 3, 2)
    image = torch.nn.functional.pad(values.view(2, 5, 7, 3, 2), (0, 0, 0, 0, 2, 4, 1, 2))
    assert torch.equal(contexts[9 + 5].view(4, 7, 3, 2), image[1, 2:6, 6:13]), "tile (1, 2) of the second image"


def test_a_sheet_holds_what_a_query_sees():
    table = torch.randn(2, 3, 3, 5)
    sheet = sheets(table, (2, 3), (1, 2)).view(2, 3, 2, 4, 7, 3)  # (y, x, k, rows, columns, u)
    assert_close(sheet[1, 2, :, 1:4, 2:7], table.permute(0, 2, 3, 1))
    assert sheet[1, 2].count_nonzero() == table.numel(), "and 0 elsewhere"
