"""A figure that a widget uses again looks like a new one, to the pixel."""

import numpy as np
import pytest
from matplotlib import rcParams

from lambdalib.course import figures, widgets
from lambdalib.course.figures.output import frame
from lambdalib.course.figures.style import keeping, subplots


def everything(seed: int):
    """Whatever a draw function may put into a figure."""
    figure, (left, right) = subplots(1, 2, figsize=(5, 3))
    x = np.random.default_rng(seed).random(7)
    left.bar(range(3), x[:3], label="bars")
    left.plot(x, label="line")
    left.scatter(range(7), x)
    left.fill_between(range(7), x, alpha=0.3)
    left.errorbar(range(7), x, x / 9)
    left.legend()
    left.set_title("left" if seed else "", loc="left")
    left.annotate("here", (1, x[1]), xytext=(9, 9), textcoords="offset points", arrowprops={"arrowstyle": "->"})
    if seed:
        right.imshow(x[:6].reshape(2, 3), aspect="equal")
        right.set_title("right")
    else:
        right.semilogy(1 + 99 * x)
        right.invert_xaxis()
        right.set_yscale("linear")
    figure.legend(["one"], loc="lower center")
    figure.suptitle("two panels" if seed else "")
    figure.text(0.5, 0.5, f"seed {seed}")
    return figure


def palette_card(seed: int):
    chance = np.random.default_rng(seed)
    soft_keys = chance.random((3 + 2 * seed, 5, 7)) * (chance.random((5, 7)) > 0.3)
    return figures.palette_card(
        chance.random((3, 5, 7)), chance.random((len(soft_keys), 3)), soft_keys, chance.random((3, 5, 7))
    )


def maps(chance, *shapes):
    return [chance.normal(size=shape) for shape in shapes]


DRAWINGS = {
    "everything": everything,
    "brackets": lambda seed: figures.brackets(13 + 40 * seed, 17, 4, 5, largest=64),
    "one_row": lambda seed: figures.one_row(
        np.random.default_rng(seed).random((3, 5, 7)),
        np.random.default_rng(seed).random((5, 7)),
        (2, 3 + seed),
        [1, seed, 0.5],
    ),
    "palette_card": palette_card,
    "steering": lambda seed: figures.steering(
        *maps(np.random.default_rng(seed), (5, 7), (5, 7), (3, 3)), 90 * seed, [0, 180, 360], [0, seed, 0], (2, 3)
    ),
    "one_pixel": lambda seed: figures.one_pixel(
        np.random.default_rng(seed).random((3, 5, 7)),
        (seed, 3),
        *maps(np.random.default_rng(seed), 4, (4, 5), 5),
        limits=(1, 2, 3),
    ),
    "cost_bars": lambda seed: figures.cost_bars(
        {"a": {"x": 1, "y": 10 ** (5 * seed), "z": 3}, "b": {"x": 3 - seed, "y": 2, "z": 9}}, f"seed {seed}"
    ),
    "stage_bars": lambda seed: figures.stage_bars(
        {"a": np.random.default_rng(seed).random((2, 4)) * 5}, ["one", "other"], "title", limits=(4,)
    ),
    "matrix_rows": lambda seed: figures.matrix_rows(
        np.random.default_rng(seed).random((3, 8, 8)),
        (seed, 1),
        {name: maps(np.random.default_rng(seed), (4, 4), (4, 4)) for name in ("up", "down")},
        ["a", "b"],
    ),
    "faders": lambda seed: figures.faders(
        90 * np.random.default_rng(seed).random((2, 2)),
        [0, 1],
        (seed, 1),
        np.random.default_rng(seed).random((3, 5, 7)),
        ["cat", "dog", "bee"],
        [0.2, 0.3, 0.5],
        seed,
    ),
    "readings_in_time": lambda seed: figures.readings_in_time(
        [0, 1, 1], {f"rate {seed}": np.random.default_rng(seed).random((3, 2))}, ["tea", "milk"]
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_that_is_used_again_looks_new(name):
    draw = DRAWINGS[name]
    with keeping({}):
        again = [frame(draw(seed)) for seed in (0, 1, 0)]
    new = []
    for seed in (0, 1):
        with keeping({}):
            new.append(frame(draw(seed)))
    assert new[0] != new[1]
    assert again == [*new, new[0]]


def test_what_a_widget_keeps_is_its_own():
    drawn = []

    def draw(columns):
        figure, _ = subplots(1, columns, figsize=(2, 1))
        drawn.append(figure)
        return figure

    boxes = [widgets.explore(draw, "axes", columns=widgets.slider("columns", 1, 3, 1)) for _ in range(2)]
    for box in boxes:
        box.controls["columns"].value = 2
        box.controls["columns"].value = 1
    first, second, wider, back, _, last = drawn
    assert back is first is not second and last is second, "each widget has its own"
    assert len(wider.axes) == 2, "other axes are another figure"
    assert subplots(1, 1, figsize=(2, 1))[0] is not subplots(1, 1, figsize=(2, 1))[0], "lessons keep nothing"


def test_after_an_error_nothing_is_left_of_the_half_drawn_figure():
    def draw(height):
        figure, ax = subplots(figsize=(2, 1))
        ax.bar(0, height)
        if height == 3:
            raise ValueError("3 is too high")
        return figure

    box = widgets.explore(draw, "A bar", height=widgets.slider("height", 0, 9, 1))
    first = box.picture.value
    for height in (3, 1):
        box.controls["height"].value = height
    assert box.picture.value == first
    assert rcParams["axes.titley"] is None, "what holds while a widget draws is over"
