"""Inputs whose answer names the mistake, and a learner's function run on them. Used by `checks`."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lambdalib.course.compare_arrays import shape_difference, side_by_side
from lambdalib.course.verdict import NOT_ATTEMPTED, Refused, Verdict, numbers, words_of, wrong

__all__ = ["PRIMES", "between", "close", "difference", "first_run", "gap", "random", "run"]

PRIMES = {"b": 2, "h": 3, "n": 5, "m": 7, "k": 11, "v": 13}  # every axis its own size: a wrong size names its axis
TOLERANCE = 1e-4


def random(*shape: int) -> Tensor:
    """The same normal numbers at each call, in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(a: Tensor, b: Tensor | float) -> bool:
    """Whether each entry of a is that of b, or b itself."""
    return torch.allclose(a, torch.as_tensor(b, dtype=a.dtype).expand_as(a), atol=1e-6)


def run(function: Callable, axes: Sequence[str], shape: Sequence[int], *arguments) -> Tensor:
    """The function's answer, of this shape and in float64; Refused with the verdict on why it is none.

    The function gets copies: one that works in place is right too, and must not spoil what it is compared with.

    Args:
        axes: the names of the answer's axes, one for each entry of shape.
    """
    if function is None:
        raise Refused(NOT_ATTEMPTED)
    copies = [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]
    try:
        answer = function(*copies)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        hint = " (is 0 <= row < height tested, and 0 <= column < width?)" if isinstance(error, IndexError) else ""
        raise Refused(wrong(f"your function raised {words_of(error)}{hint}")) from None
    if answer is None:
        raise Refused(NOT_ATTEMPTED)
    if not isinstance(answer, Tensor):
        raise Refused(wrong(f"expected a tensor of shape {tuple(shape)}, got {type(answer).__name__}"))
    if (words := shape_difference(shape, answer.shape, axes)) is not None:
        raise Refused(wrong(words))
    return numbers(answer)


def first_run(function: Callable, axes: Sequence[str], shape: Sequence[int], *arguments) -> Tensor:
    """As run, where an answer of zeros means that the stub still stands."""
    answer = run(function, axes, shape, *arguments)
    if not answer.any():
        raise Refused(NOT_ATTEMPTED)
    return answer


def gap(answer: Tensor, reference: Tensor) -> Verdict | None:
    """None if they agree, else by how much they do not, in words and side by side."""
    largest = (answer - reference).abs().max().item()
    if largest < TOLERANCE:
        return None
    return wrong(f"differs by up to {largest:.3g} on random input", side_by_side(reference, answer, TOLERANCE))


def difference(function: Callable, axes: Sequence[str], reference: Tensor, *arguments) -> Verdict | None:
    """None if the function answers with the reference, else what it does instead."""
    try:
        return gap(run(function, axes, reference.shape, *arguments), reference)
    except Refused as refusal:
        return refusal.verdict


def between(answer: Tensor) -> str:
    """The span of a wrong answer, in words."""
    return f"lie between {answer.min():.3g} and {answer.max():.3g}"
