"""Every order of contraction gives the loops' numbers and the loops' gradients; the costs are those that the
machine counts.
"""

import subprocess
import sys
from itertools import product

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from loops import loop_apply, loop_position_lambdas
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import contractions
from lambdalib.contractions import ORDERS, plan, position_costs, position_numbers, position_output, tiling
from lambdalib.training.evidence import pick_dtype

B, H, K, V, U = 2, 3, 11, 13, 3
SIZE = (5, 7)
SIDES = [(3, 3), (1, 5), (5, 3), (9, 13), (17, 3)]
EXACT = dict(rtol=1e-10, atol=1e-10)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def arguments(b, h, size, k, v, u, sides, dtype=torch.float64):
    """Random queries, table and values for position_output, ready for gradients."""
    n = size[0] * size[1]
    shapes = [(b, h, n, k), (k, u, *sides), (b, n, v, u)]
    return [torch.randn(*shape, dtype=dtype).requires_grad_() for shape in shapes]


def with_gradients(output, inputs):
    """An output and its gradients, under a cotangent that treats every element differently."""
    weights = torch.arange(output.numel(), dtype=torch.float64).cos().view(output.shape).to(output.dtype)
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


@pytest.mark.parametrize("sides", SIDES, ids=str)
def test_each_order_gives_the_loops_output_and_gradients(sides):
    inputs = arguments(B, H, SIZE, K, V, U, sides)
    queries, table, values = inputs
    expected = with_gradients(loop_apply(queries, loop_position_lambdas(table, values, *SIZE)), inputs)
    for order in ["auto", *ORDERS]:
        output = position_output(*inputs, SIZE, order)
        assert output.shape == (B, H, SIZE[0] * SIZE[1], V)
        for ours, theirs in zip(with_gradients(output, inputs), expected):
            assert_close(ours, theirs, **EXACT, msg=lambda message: f"{order}: {message}")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    b=st.integers(1, 3),
    h=st.integers(1, 3),
    k=st.integers(1, 4),
    v=st.integers(1, 4),
    u=st.integers(1, 3),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    sides=st.tuples(st.sampled_from([1, 3, 5, 11]), st.sampled_from([1, 3, 7, 9])),
)
def test_the_orders_agree_at_any_shape(b, h, k, v, u, size, sides):
    inputs = arguments(b, h, size, k, v, u, sides)
    queries, table, values = inputs
    expected = with_gradients(loop_apply(queries, loop_position_lambdas(table, values, *size)), inputs)
    for order in ORDERS:
        assert_close(with_gradients(position_output(*inputs, size, order), inputs), expected, **EXACT)


def worst(ours, exact):
    """The largest error of any output or gradient, relative to the largest number in it."""
    return max(((one.double() - other).abs().max() / other.abs().max()).item() for one, other in zip(ours, exact))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    b=st.integers(1, 3),
    h=st.integers(1, 4),
    k=st.sampled_from([8, 11, 16]),
    v=st.sampled_from([5, 8, 16]),
    u=st.integers(1, 4),
    size=st.tuples(st.integers(3, 11), st.integers(3, 11)),
    sides=st.tuples(st.sampled_from([1, 3, 7, 23]), st.sampled_from([1, 3, 7, 23])),
)
def test_rounding_stays_small_in_every_order(b, h, k, v, u, size, sides):
    for dtype in torch.float32, torch.bfloat16:
        rounded = arguments(b, h, size, k, v, u, sides, dtype)
        rounded[1] = rounded[1].detach().float().requires_grad_()  # as under autocast: parameters are float32
        exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
        expected = with_gradients(position_output(*exact, size, "lambda"), exact)
        for order in ["auto", *ORDERS]:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                output = position_output(*rounded, size, order)
            assert output.dtype == dtype
            if (
                dtype == torch.bfloat16
            ):  # PyTorch's convolution rounds its partial sums where the CPU has no such instructions
                allowed = (
                    2e-2
                    if order != "convolution" or pick_dtype("bfloat16", torch.device("cpu")) == dtype
                    else 4e-2
                )
            else:
                allowed = 3e-6 if order == "convolution" else 2e-6
            assert worst(with_gradients(output, rounded), expected) < allowed, (order, dtype)


def test_the_convolution_survives_windows_taller_than_the_map():
    """With conv2d's own padding this has corrupted the heap (torch 2.15, float32, gradient of the weights)."""
    code = (
        "import torch; from lambdalib.contractions import position_output as f; torch.set_num_threads(1)\n"
        "for _ in range(10):\n"
        "    shapes = (2, 2, 110, 8), (8, 2, 23, 3), (2, 110, 16, 2)\n"
        "    q, t, v = (torch.randn(shape, requires_grad=True) for shape in shapes)\n"
        "    torch.autograd.grad(f(q, t, v, (10, 11), 'convolution').sum(), (q, t, v))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    )  # in a process of its own: a crash takes all


@pytest.mark.parametrize("order", ORDERS)
def test_one_query_for_all_positions(order):
    """An expanded tensor lies upon itself in memory; its gradient is a sum."""
    queries, table, values = arguments(B, H, SIZE, K, V, U, (5, 3))
    shared, seen = queries[:, :, :1], values[:1]  # the same for all positions, for all images
    weights = torch.randn(B, H, SIZE[0] * SIZE[1], V, dtype=torch.float64)

    def gradients(name):
        output = position_output(shared.expand_as(queries), table, seen.expand_as(values), SIZE, name)
        return torch.autograd.grad((output * weights).sum(), [queries, table, values], retain_graph=True)

    for one, other in zip(gradients(order), gradients("lambda")):
        assert_close(one, other, **EXACT)


@pytest.mark.parametrize("order", ORDERS)
def test_float16(order):
    rounded = arguments(B, H, SIZE, K, V, U, (5, 3), torch.float16)
    exact = [tensor.detach().double().requires_grad_() for tensor in rounded]
    expected = with_gradients(position_output(*exact, SIZE, "lambda"), exact)
    assert worst(with_gradients(position_output(*rounded, SIZE, order), rounded), expected) < 2e-3


@pytest.mark.parametrize("order", ORDERS)
def test_no_graph_break(order):
    inputs = arguments(B, H, SIZE, K, V, U, (5, 3))
    compiled = torch.compile(
        lambda *tensors: position_output(*tensors, SIZE, order), backend="aot_eager", fullgraph=True
    )
    expected = with_gradients(position_output(*inputs, SIZE, order), inputs)
    for one, other in zip(with_gradients(compiled(*inputs), inputs), expected):
        assert_close(one, other, **EXACT)


@pytest.mark.parametrize("order", ORDERS)
def test_gradcheck(order):
    """Gradients, their gradients, and tangents that go forward."""
    inputs = arguments(2, 2, (2, 3), 2, 3, 2, (3, 5))

    def run(*tensors):
        return position_output(*tensors, (2, 3), order)

    assert gradcheck(run, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)
    assert gradgradcheck(run, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("order", ORDERS)
def test_gradients_repeat_bit_for_bit(order):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inputs = arguments(8, 4, (16, 16), 16, 8, 1, (31, 31), torch.float32)
        runs = [with_gradients(position_output(*inputs, (16, 16), order), inputs) for _ in range(4)]
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(one, first) for one, first in zip(run, runs[0]))


@pytest.mark.parametrize("room, chunks", [(0, [1] * 5), (1, [1] * 5), (2, [2, 2, 1]), (5, [5])])
def test_images_go_together_as_far_as_their_scores_fit_the_cache(monkeypatch, room, chunks):
    inputs = arguments(5, 3, (2, 3), 4, 7, 2, (3, 5))
    expected = with_gradients(position_output(*inputs, (2, 3), "lambda"), inputs)
    bmm, sizes = torch.bmm, []
    monkeypatch.setattr(contractions, "CHUNK_ELEMENTS", room * (6 * 3 * 6 * 2))
    monkeypatch.setattr(torch, "bmm", lambda left, right: (sizes.append(len(left)), bmm(left, right))[1])
    output = position_output(*inputs, (2, 3), "attention")
    assert sizes[::2] == [6] * len(chunks) and sizes[1::2] == chunks  # the queries' products, then the images'
    assert_close(with_gradients(output, inputs), expected, **EXACT)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(2, 3, (5, 7), 11, 13, 3, (3, 5)), (1, 2, (3, 4), 5, 7, 1, (5, 7))], ids=str)
def test_the_costs_are_what_runs(shape, order):
    counter = FlopCounterMode(display=False)
    with counter:
        position_output(*arguments(*shape), shape[2], order)
    assert position_costs(*shape)[order] == counter.get_total_flops() // 2  # one multiply-add is counted as two


def test_the_costs_by_hand():
    """b=2 h=3 n=35 k=11 v=13 u=5, sides 7×3; every product written out."""
    queries = 2 * 3 * 35 * 11 * 13
    assert position_costs(2, 3, (5, 7), 11, 13, 5, (7, 3)) == {
        "convolution": 2 * 35 * 7 * 3 * 11 * 5 * 13 + queries,
        "lambda": 2 * 35 * 35 * 11 * 5 * 13 + queries,
        "attention": 2 * 3 * 35 * 35 * 5 * 11 + 2 * 3 * 35 * 35 * 5 * 13,
        "tiles": 2 * 3 * (8 * 8) * (10 * 4) * 5 * (11 + 13),  # 2 × 4 tiles of 4 × 2 queries in contexts of 10 × 4
    }
    assert tiling((5, 7), (7, 3)) == [[3, 1], [4, 2], [10, 4], [2, 4]]


def test_the_numbers_made_by_hand():
    """The same sizes: lambdas, scores, and of the tiles also the copies of the values."""
    assert position_numbers(2, 3, (5, 7), 11, 13, 5, (7, 3)) == {
        "convolution": 2 * 35 * 11 * 13,
        "lambda": 2 * 35 * 11 * 13,
        "attention": 2 * 3 * 35 * 35 * 5,
        "tiles": 2 * 3 * (8 * 8) * (10 * 4) * 5 + 2 * 8 * (10 * 4) * 5 * 13,
    }


def test_the_tiles_of_a_window_that_covers_the_map_have_no_farther_halo():
    assert tiling((5, 7), (23, 3)) == [[4, 1], [5, 2], [13, 4], [1, 4]]


@pytest.mark.parametrize(
    "shape, expected",
    [
        (
            (64, 4, (32, 32), 16, 32, 1, (3, 3)),
            "tiles",
        ),  # few taps on a large map: 9 of 12 multiply-adds, but a lambda for each pixel
        ((64, 4, (16, 16), 16, 32, 4, (7, 7)), "convolution"),  # four times the scores, one lambda
        ((64, 4, (8, 8), 16, 32, 1, (23, 23)), "attention"),  # the scope covers the map, and h (k + v) < k v
        ((64, 64, (8, 8), 16, 2, 1, (23, 23)), "lambda"),  # many heads of few channels share one lambda
        # close calls: what it would be if the price were another
        (
            (64, 4, (16, 16), 16, 16, 1, (7, 7)),
            "tiles",
        ),  # by few; convolution, if its lambdas or these scores counted otherwise
        (
            (64, 4, (8, 8), 16, 16, 4, (15, 15)),
            "attention",
        ),  # by few; lambda, if lambdas counted once or scores twice
        (
            (64, 4, (8, 8), 16, 8, 4, (15, 15)),
            "lambda",
        ),  # attention by multiply-adds alone, convolution by numbers alone
    ],
    ids=str,
)
def test_plan_by_hand(shape, expected):
    assert plan(*shape) == expected


def test_the_price_of_a_plan_by_hand():
    """64 × 4 heads at 16 × 16, k = 16, v = 32, u = 4, r = 7: convolution 2.81, tiles 3.77 thousand millions."""
    shape = 64, 4, (16, 16), 16, 32, 4, (7, 7)
    adds, numbers = position_costs(*shape), position_numbers(*shape)
    prices = {
        order: adds[order] + weight * numbers[order]
        for order, weight in {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}.items()
    }
    assert {order: round(price / 1e9, 2) for order, price in prices.items()} == {
        "convolution": 2.75,
        "lambda": 9.7,
        "attention": 7.52,
        "tiles": 3.77,
    }


def test_the_plan_is_the_cheapest_by_the_price():
    """Among these shapes are close calls: other weights, even 65 for 64, would change some plans."""
    weights = {"convolution": 128, "lambda": 128, "attention": 64, "tiles": 64}
    for h, side, v, u, r in product((1, 2, 4, 8), range(4, 40, 3), (4, 8, 16, 32, 64), (1, 4), (3, 7, 15, 23)):
        shape = 2, h, (side, side), 16, v, u, (r, r)
        adds, numbers = position_costs(*shape), position_numbers(*shape)
        prices = [adds[order] + weights[order] * numbers[order] for order in ORDERS]
        assert plan(*shape) == list(ORDERS)[prices.index(min(prices))]


def test_auto_runs_the_planned_order(monkeypatch):
    shape, called = (2, 3, (5, 7), 11, 13, 3, (3, 5)), []
    for name, function in list(ORDERS.items()):
        monkeypatch.setitem(
            ORDERS, name, lambda *a, name=name, function=function: called.append(name) or function(*a)
        )
    asked = []
    monkeypatch.setattr(contractions, "plan", lambda *sizes: asked.append(sizes) or plan(*sizes))
    position_output(*arguments(*shape), (5, 7))
    assert called == [plan(*shape)] and asked == [shape]


def test_an_unknown_order_is_refused():
    with pytest.raises(
        ValueError,
        match=r"order must be one of \['auto', 'convolution', 'lambda', 'attention', 'tiles'\], got 'fast'",
    ):
        position_output(*arguments(2, 3, (5, 7), 2, 3, 1, (3, 3)), (5, 7), "fast")
