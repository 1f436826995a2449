"""How two arrays differ: the wrong axis by its name, and the numbers side by side."""

import pytest
import torch

from lambdalib.course.compare_arrays import shape_difference, side_by_side

SHAPES = {
    "(b, k, v) = (2, 11, 13), got (2, 7, 13): k must be 11, yours is 7": (2, 7, 13),
    "got (3, 11, 1): b must be 2, yours is 3, and v must be 13, yours is 1": (3, 11, 1),
    "two axes have changed places, k and v": (2, 13, 11),
    "some axes have changed places, b and k and v": (13, 2, 11),
    "got (2, 13): k is missing": (2, 13),
    "there is one axis too many, dim 1": (2, 5, 11, 13),
    "got (2,): 1 axes instead of 3": (2,),
}


@pytest.mark.parametrize("words", SHAPES)
def test_the_wrong_axis_is_named(words):
    assert shape_difference((2, 11, 13), SHAPES[words], "bkv").endswith(words)


def test_without_names_axes_are_counted():
    assert shape_difference((4, 3), torch.Size([4, 3])) is None
    assert shape_difference((4, 3), (4, 2)) == "expected shape (4, 3), got (4, 2): dim 1 must be 3, yours is 2"
    assert shape_difference((4, 3), (4, 2), "bkv") == shape_difference((4, 3), (4, 2)), "not the names of these"


def table(expected, found, tolerance=1e-4):
    expected, found = (torch.as_tensor(side, dtype=torch.float64) for side in (expected, found))
    return side_by_side(expected, found, tolerance).splitlines()


def test_a_small_array_is_shown_whole():
    assert table([[8, 0, 0], [8, -8, 0]], [[8, 0, 0], [0, 8, 0]]) == [
        "        expected        yours",
        "[0]    8   0   0    8   0   0",
        "[1]    8  -8   0    0   8   0   ←",
    ]
    assert table([1, 2, 3], [1, 2, 3.5])[1] == "     1    2    3     1    2  3.5   ←"
    assert table(4, 3.5) == ["   expected   yours", "          4     3.5   ←"]


def test_of_a_large_array_the_entries_around_the_first_difference_are_shown():
    expected = torch.arange(60.0).view(3, 4, 5)
    found = expected.clone()
    found[1, 2, 3], found[2, 0, 0] = -7, float("nan")  # entry 33 and a later one
    lines = table(expected, found)
    assert [line.split("   ")[0] for line in lines[1:-1]] == [f"[1, 2, {place}]" for place in (1, 2, 3, 4)] + [
        "[1, 3, 0]",
        "[1, 3, 1]",
    ]
    assert [line.split()[-1] == "←" for line in lines[1:-1]] == [False, False, True, False, False, False]
    assert lines[3].split()[3:] == ["33", "-7", "←"] and lines[-1] == "2 of 60 entries differ"


def test_the_first_and_the_last_entry_have_fewer_around_them():
    expected, found = torch.zeros(30), torch.zeros(30)
    found[0] = 1
    assert [line.split("]")[0] for line in table(expected, found)[1:-1]] == ["[0", "[1", "[2", "[3"]
    assert [line.split("]")[0] for line in table(expected, found.flip(0))[1:-1]] == ["[27", "[28", "[29"]


def test_numbers_have_as_many_digits_as_show_the_difference():
    assert table(1 / 3, 0.5)[1].split() == ["0.333", "0.5", "←"]
    assert table(1 / 3, 1 / 3 + 0.00011)[1].split() == ["0.3333", "0.3334", "←"]
    assert table([1 / 3, 2.0], [1 / 3 + 1e-6, -0.0])[1].split() == ["0.333", "2", "0.333", "0", "←"]


def test_what_is_no_number_is_shown_and_marked():
    nan, inf = float("nan"), float("inf")
    assert table([1, inf], [nan, inf])[1].split() == ["1", "inf", "nan", "inf", "←"]
    assert "←" not in table([1, inf], [1, inf])[1]
