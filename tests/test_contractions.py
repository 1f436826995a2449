"""Every order of contraction gives the loops' numbers and the loops' gradients; the costs are those that the machine counts."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from loops import loop_apply, loop_position_lambdas
from torch.autograd import gradcheck
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from lambdalib.contractions import ORDERS, plan, position_costs, position_output

B, H, K, V, U = 2, 3, 11, 13, 3
SIZE = (5, 7)
SIDES = [(3, 3), (1, 5), (9, 13), (17, 3)]
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
    weights = torch.arange(output.numel(), dtype=output.dtype).cos().view(output.shape)
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
@given(b=st.integers(1, 3), h=st.integers(1, 3), k=st.integers(1, 4), v=st.integers(1, 4), u=st.integers(1, 3),
       size=st.tuples(st.integers(1, 5), st.integers(1, 5)), sides=st.tuples(st.sampled_from([1, 3, 5, 11]),
                                                                             st.sampled_from([1, 3, 7, 9])))
def test_the_orders_agree_at_any_shape(b, h, k, v, u, size, sides):
    inputs = arguments(b, h, size, k, v, u, sides)
    queries, table, values = inputs
    expected = with_gradients(loop_apply(queries, loop_position_lambdas(table, values, *size)), inputs)
    for order in ORDERS:
        assert_close(with_gradients(position_output(*inputs, size, order), inputs), expected, **EXACT)


@pytest.mark.parametrize("order", ORDERS)
def test_gradcheck(order):
    inputs = arguments(2, 2, (2, 3), 2, 3, 2, (3, 5))
    assert gradcheck(lambda *tensors: position_output(*tensors, (2, 3), order), inputs)


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


@pytest.mark.parametrize("order", ["lambda", "attention"])
@pytest.mark.parametrize("shape", [(2, 3, (5, 7), 11, 13, 3, (3, 3)), (1, 2, (3, 4), 5, 7, 1, (5, 7))], ids=str)
def test_the_costs_of_the_dense_orders_are_what_runs(shape, order):
    counter = FlopCounterMode(display=False)
    with counter:
        position_output(*arguments(*shape), shape[2], order)
    assert position_costs(*shape)[order] == counter.get_total_flops() // 2  # one multiply-add is counted as two


@pytest.mark.parametrize("shape", [(2, 3, (5, 7), 11, 13, 3, (3, 5)), (1, 2, (3, 4), 5, 7, 1, (5, 7))], ids=str)
def test_the_cost_of_the_convolution_is_what_runs(shape):
    counter = FlopCounterMode(display=False)
    with counter:
        position_output(*arguments(*shape), shape[2], "convolution")
    assert position_costs(*shape)["convolution"] == counter.get_total_flops() // 2


def test_the_costs_by_hand():
    """b=2 h=3 n=35 k=11 v=13 u=5, sides 7×3; every product written out."""
    queries = 2 * 3 * 35 * 11 * 13
    assert position_costs(2, 3, (5, 7), 11, 13, 5, (7, 3)) == {
        "convolution": 2 * 35 * 7 * 3 * 11 * 5 * 13 + queries,
        "lambda": 2 * 35 * 35 * 11 * 5 * 13 + queries,
        "attention": 2 * 3 * 35 * 35 * 5 * 11 + 2 * 3 * 35 * 35 * 5 * 13,
    }


@pytest.mark.parametrize("shape, expected", [
    ((64, 4, (32, 32), 16, 32, 1, (3, 3)), "convolution"),  # few taps on a large map
    ((64, 4, (8, 8), 16, 32, 1, (23, 23)), "attention"),  # the scope covers the map, and h (k + v) < k v
    ((64, 64, (8, 8), 16, 2, 1, (23, 23)), "lambda"),  # many heads of few channels share one lambda
], ids=str)
def test_plan_names_the_cheapest(shape, expected):
    assert plan(*shape) == expected
    costs = position_costs(*shape)
    assert costs[expected] == min(costs.values())


def test_auto_runs_the_planned_order(monkeypatch):
    shape, called = (2, 3, (5, 7), 11, 13, 3, (3, 5)), []
    for name, function in list(ORDERS.items()):
        monkeypatch.setitem(ORDERS, name, lambda *a, name=name, function=function: called.append(name) or function(*a))
    position_output(*arguments(*shape), (5, 7))
    assert called == [plan(*shape)]


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match=r"order must be one of \['auto', 'convolution', 'lambda', 'attention'\], got 'fast'"):
        position_output(*arguments(2, 3, (5, 7), 2, 3, 1, (3, 3)), (5, 7), "fast")
