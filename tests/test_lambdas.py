"""The definitions against loops over positions, and the properties that the paper claims for them."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from loops import loop_apply, loop_content_lambda, loop_embeddings, loop_position_lambdas
from torch.testing import assert_close

from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings

B, H, K, V, U = 2, 3, 11, 13, 3
HEIGHT, WIDTH = 5, 7
N = HEIGHT * WIDTH
SIDES = [
    (3, 3),
    (1, 5),
    (5, 1),
    (9, 13),
    (3, 11),
    (17, 3),
    (13, 19),
]  # inside the map, its global table (9, 13), and beyond
EXACT = dict(rtol=1e-11, atol=1e-11)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def test_content_lambda_is_the_formula():
    keys, values = random(B, N, K, U), random(B, N, V, U)
    lambdas = content_lambda(keys, values)
    assert lambdas.shape == (B, K, V)
    assert_close(lambdas, loop_content_lambda(keys, values), **EXACT)


def test_content_lambda_with_a_context_of_another_length():
    keys, values = random(B, 4, K, U), random(B, 4, V, U)
    assert_close(content_lambda(keys, values), loop_content_lambda(keys, values), **EXACT)


def test_content_lambda_ignores_the_order_of_the_context_and_a_shift_of_all_keys():
    keys, values = random(B, N, K, U), random(B, N, V, U)
    shuffled = torch.randperm(N)
    assert_close(content_lambda(keys[:, shuffled], values[:, shuffled]), content_lambda(keys, values), **EXACT)
    assert_close(content_lambda(keys + 5, values), content_lambda(keys, values), **EXACT)
    assert (content_lambda(keys[:, shuffled], values) - content_lambda(keys, values)).abs().max() > 0.1


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_relative_embeddings_are_the_table_read_by_offset(sides):
    table = random(K, U, *sides)
    embeddings = relative_embeddings(table, HEIGHT, WIDTH)
    assert embeddings.shape == (N, N, K, U)
    assert torch.equal(embeddings, loop_embeddings(table, HEIGHT, WIDTH))


def test_relative_embeddings_of_one_pixel_and_one_row():
    for height, width in [(1, 1), (1, 7), (5, 1)]:
        table = random(2, 3, 5, 3)
        assert torch.equal(relative_embeddings(table, height, width), loop_embeddings(table, height, width))


def test_equal_offsets_share_an_entry():
    """A global table is spread without loss: every offset that two pixels can have meets its own entry."""
    entries = torch.arange((2 * HEIGHT - 1) * (2 * WIDTH - 1), dtype=torch.float64) + 1
    embeddings = relative_embeddings(entries.view(1, 1, 2 * HEIGHT - 1, 2 * WIDTH - 1), HEIGHT, WIDTH)
    assert embeddings.unique().numel() == entries.numel()
    sheets = embeddings.view(HEIGHT, WIDTH, HEIGHT, WIDTH)
    assert torch.equal(sheets[1:, 1:, 1:, 1:], sheets[:-1, :-1, :-1, :-1])


def test_relative_embeddings_pass_gradients_back_to_each_entry():
    table = random(2, 3, 3, 5).requires_grad_()
    torch.autograd.gradcheck(lambda t: relative_embeddings(t, 2, 3), [table])


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_position_lambdas_are_the_formula(sides):
    table, values = random(K, U, *sides), random(B, N, V, U)
    lambdas = position_lambdas(relative_embeddings(table, HEIGHT, WIDTH), values)
    assert lambdas.shape == (B, N, K, V)
    assert_close(lambdas, loop_position_lambdas(table, values, HEIGHT, WIDTH), **EXACT)


def test_position_lambdas_move_with_the_picture():
    """Roll the picture: wherever the window meets neither the border nor the seam, the lambdas roll along."""
    height, width, (down, right), reach = 11, 13, (2, 3), 1
    embeddings, values = relative_embeddings(random(K, U, 3, 3), height, width), random(B, height * width, V, U)
    rolled = values.view(B, height, width, V, U).roll((down, right), (1, 2)).flatten(1, 2)
    before = position_lambdas(embeddings, values).view(B, height, width, K, V)
    after = position_lambdas(embeddings, rolled).view(B, height, width, K, V)
    inside = (slice(None), slice(reach + down, height - reach), slice(reach + right, width - reach))
    assert_close(after[inside], before.roll((down, right), (1, 2))[inside], **EXACT)
    assert (after - before.roll((down, right), (1, 2))).abs().max() > 0.1  # on the border it does not


@pytest.mark.parametrize("shape", [(B, K, V), (B, N, K, V)], ids=["shared", "per position"])
def test_apply_lambdas_is_the_formula(shape):
    queries, lambdas = random(B, H, N, K), random(*shape)
    output = apply_lambdas(queries, lambdas)
    assert output.shape == (B, H, N, V)
    assert_close(output, loop_apply(queries, lambdas), **EXACT)


def test_the_output_is_an_attention_map_times_the_values():
    """y == A v with A = q·(softmax(K) + E): the lambda layer is linear in the values."""
    queries, keys, values = random(B, H, N, K), random(B, N, K, U), random(B, N, V, U)
    embeddings = relative_embeddings(random(K, U, 3, 5), HEIGHT, WIDTH)
    lambdas = content_lambda(keys, values)[:, None] + position_lambdas(embeddings, values)
    sheets = keys.softmax(1)[:, None] + embeddings  # (b, n, m, k, u)
    attention = (queries[:, :, :, None, :, None] * sheets[:, None]).sum(4)  # (b, h, n, m, u)
    expected = (attention.unsqueeze(4) * values[:, None, None]).sum((3, 5))
    assert_close(apply_lambdas(queries, lambdas), expected, **EXACT)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    b=st.integers(1, 3),
    h=st.integers(1, 3),
    k=st.integers(1, 4),
    v=st.integers(1, 4),
    u=st.integers(1, 3),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    sides=st.tuples(st.sampled_from([1, 3, 5, 11]), st.sampled_from([1, 3, 7, 9])),
)
def test_any_shape_follows_the_formulas(b, h, k, v, u, size, sides):
    n = size[0] * size[1]
    queries, keys, values, table = random(b, h, n, k), random(b, n, k, u), random(b, n, v, u), random(k, u, *sides)
    embeddings = relative_embeddings(table, *size)
    assert torch.equal(embeddings, loop_embeddings(table, *size))
    lambdas = content_lambda(keys, values)[:, None] + position_lambdas(embeddings, values)
    expected = loop_content_lambda(keys, values)[:, None] + loop_position_lambdas(table, values, *size)
    assert_close(apply_lambdas(queries, lambdas), loop_apply(queries, expected), **EXACT)
