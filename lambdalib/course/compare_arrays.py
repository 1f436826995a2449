"""How two arrays differ, in words and side by side. Used by `checks` and `probe`."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["shape_difference", "side_by_side"]

LONG, WIDE, AROUND = 8, 6, (2, 4)  # a small array has so many rows and columns; entries around a difference


def shape_difference(expected: Sequence[int], found: Sequence[int], axes: Sequence[str] = ()) -> str | None:
    """None for equal shapes, else the words that name the wrong axes.

    Args:
        expected, found: two shapes.
        axes: the names of the expected axes; without them they are called dim 0, dim 1, ...
    """
    expected, found = tuple(expected), tuple(found)
    if expected == found:
        return None
    named = len(axes) == len(expected)
    names = [str(axis) for axis in axes] if named else [f"dim {place}" for place in range(len(expected))]
    shapes = f"expected shape {expected}, got {found}"
    if named:
        shapes = f"expected shape ({', '.join(names)}) = {expected}, got {found}"
    without = [expected[:place] + expected[place + 1 :] for place in range(len(expected))]
    more = [found[:place] + found[place + 1 :] for place in range(len(found))]
    if found in without:
        return f"{shapes}: {names[without.index(found)]} is missing"
    if expected in more:
        return f"{shapes}: there is one axis too many, dim {more.index(expected)}"
    if len(expected) != len(found):
        return f"{shapes}: {len(found)} axes instead of {len(expected)}"
    off = [place for place in range(len(expected)) if expected[place] != found[place]]
    if sorted(expected) == sorted(found):
        count = "two" if len(off) == 2 else "some"
        return f"{shapes}: {count} axes have changed places, {' and '.join(names[place] for place in off)}"
    each = [f"{names[place]} must be {expected[place]}, yours is {found[place]}" for place in off]
    return f"{shapes}: {', and '.join(each)}"


def side_by_side(expected: Tensor, found: Tensor, tolerance: float) -> str:
    """Lines of text with what was expected beside what was found; an arrow marks what differs.

    A small array is shown whole, a row on each line; of a larger one the few entries around the first difference.

    Args:
        expected, found: float64, of one shape.
        tolerance: smaller differences are none.
    """
    off = (expected != found) & ~((expected - found).abs() < tolerance)  # a NaN is off
    shape = tuple(expected.shape) or (1,)
    expected, found, off = expected.flatten(), found.flatten(), off.flatten()
    whole = shape[-1] <= WIDE and len(expected) <= LONG * shape[-1]
    first = int(off.int().argmax())
    span = range(max(first - AROUND[0], 0), min(first + AROUND[1], len(expected)))
    starts = range(0, len(expected), shape[-1])
    rows = [list(range(start, start + shape[-1])) for start in starts] if whole else [[place] for place in span]
    shown = [place for row in rows for place in row]
    differing = [place for place in shown if off[place]]
    digits = 3  # as few as show every difference: the last ones are not the same on every CPU
    while digits < 9 and any(seen(expected[place], digits) == seen(found[place], digits) for place in differing):
        digits += 1
    width = max(len(seen(side[place], digits)) for side in (expected, found) for place in shown)
    lines = [("", "expected", "yours", "")]
    for row in rows:
        index = [int(number) for number in torch.unravel_index(torch.tensor(row[0]), shape)][
            : -1 if whole else None
        ]
        sides = ["  ".join(f"{seen(side[place], digits):>{width}}" for place in row) for side in (expected, found)]
        lines.append((f"{index}" if index else "", *sides, "←" if off[row].any() else ""))
    wide = [max(len(line[column]) for line in lines) for column in range(3)]
    lines = [
        f"{index:{wide[0]}}   {due:>{wide[1]}}   {yours:>{wide[2]}}   {mark}".rstrip()
        for index, due, yours, mark in lines
    ]
    return "\n".join(lines if whole else [*lines, f"{int(off.sum())} of {len(off)} entries differ"])


def seen(number: Tensor, digits: int) -> str:
    """A number as text: whole ones whole, others with so many digits."""
    value = number.item() + 0.0  # -0 is 0
    return str(int(value)) if abs(value) < 1e7 and value == int(value) else f"{value:.{digits}g}"
