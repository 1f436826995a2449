"""The figures draw what they are given, and all can be called from `figures`."""

from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lambdalib.course import figures
from lambdalib.course.examples import plane
from lambdalib.course.figures import picture


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_every_figure_can_be_called_from_the_package():
    files = [
        path.stem for path in Path(figures.__file__).parent.glob("*.py") if path.stem not in ("__init__", "style")
    ]
    names = [name for file in files for name in import_module(f"lambdalib.course.figures.{file}").__all__]
    assert len(files) == 7 and sorted(names) == sorted(set(figures.__all__))
    assert all(callable(getattr(figures, name)) for name in names)


def test_error_curves_show_what_was_wrong():
    def log(*accuracies):
        return [{"kind": "start"}] + [
            {"kind": "epoch", "epoch": epoch, "loss": 1.0} | ({} if share is None else {"test_accuracy": share})
            for epoch, share in enumerate(accuracies, 1)
        ]

    (ax,) = figures.error_curves({"one": log(0.5, None, 0.75), "other": log(0.9)}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 50], [3, 25]])
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[1, 10]])
    assert ax.get_yscale() == "log" and texts(ax.figure) == ["25.0 %", "10.0 %"]


def test_seeds_stand_at_their_mean_with_their_deviation():
    (ax,) = figures.seeds({"one": [90.0], "three": [90.0, 92.0, 94.0]}, "%").axes
    dots = sorted(
        (tuple(point) for line in ax.lines if line.get_linestyle() == "None" for point in line.get_xydata()),
        key=str,
    )
    assert {(90, 0), (92, 1)} <= set(dots) and [x for x, y in dots if y > 1] == [90, 92, 94]
    (whisker,) = [
        bar
        for container in ax.containers
        for bar in container[2]
        if np.isfinite(bar.get_segments()).all() and bar.get_segments()
    ]
    np.testing.assert_allclose(
        whisker.get_segments()[0][:, 0], [90, 94]
    )  # 2, the deviation of 90, 92 and 94, to each side


def test_accuracy_over_cost_joins_the_models_of_a_family():
    ours = {
        "big": ("with", 4e6, 94.0, 0.5),
        "small": ("with", 1e6, 92.0, np.nan),
        "one": ("without", 2e6, 93.0, 0.1),
    }
    panels = {"parameters": (ours, {"theirs": (11_200_000, 95.0)})}
    (ax,) = figures.accuracy_over_cost(panels, {"with": "red", "without": "blue"}).axes
    drawn = [line.get_xydata().tolist() for line in ax.lines]
    assert [[1e6, 92.0], [4e6, 94.0]] in drawn and [[2e6, 93.0]] in drawn and [[11_200_000, 95.0]] in drawn
    assert sorted(texts(ax.figure)) == ["big", "one", "small", "theirs"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["with", "without"]


def test_differences_are_orange_where_they_are_significant():
    rows = {"sure": (1.0, 0.5), "not": (-0.4, 0.5), "one run": (2.0, np.nan)}
    (ax,) = figures.differences(rows, "points", ["a", "b", "c"]).axes
    dots = {tuple(line.get_xydata()[0]): line.get_color() for line in ax.lines if line.get_marker() == "o"}
    assert set(dots) == {(1.0, 0), (-0.4, 1), (2.0, 2)}
    assert dots[1.0, 0] != dots[-0.4, 1] == dots[2.0, 2]
    assert texts(ax.figure) == ["a", "b", "c"]


def test_confusion_counts_every_picture():
    counts = np.array([[14, 2, 4], [0, 9, 1], [3, 0, 7]])
    figure = figures.confusion(counts, ["a", "b", "c"])
    left, right = figure.axes
    assert sorted(text.get_text() for text in left.texts) == sorted(
        str(count) for count in counts.ravel() if count
    )
    assert [text.get_text() for text in right.texts] == ["70.0", "90.0", "70.0"]
    assert left.get_ylim() == right.get_ylim(), "a row of the matrix and its bar stand side by side"


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_one_picture_adds_up(name):
    """Its numbers against sums over pixels and taps."""
    palette, found = picture.answers()
    image, (row, column) = np.array(plane()).transpose(1, 2, 0), picture.PIXELS[name]
    looked_for = np.stack([image[anchor] for anchor in picture.ANCHORS])
    for colour, anchor in zip(palette, looked_for):
        weights = np.exp(-12 * ((image - anchor) ** 2).sum(2))
        np.testing.assert_allclose(colour, (weights[..., None] * image).sum((0, 1)) / weights.sum(), atol=1e-5)
    answer = found[name]
    window = image[row - 1 : row + 2, column - 1 : column + 2]
    for reading, stencil in zip(answer.readings, picture.STENCILS):
        np.testing.assert_allclose(reading, (stencil[..., None] * window).sum((0, 1)), atol=1e-5)
    np.testing.assert_allclose(answer.output, answer.query @ (palette + answer.readings), atol=1e-5)
    np.testing.assert_allclose([answer.query.sum(), answer.weights.sum()], 1, atol=1e-5)
    assert (answer.readings < -0.03).any(), "a reading that is negative shows that stencils subtract"


def test_the_one_picture_lights_a_part():
    def strong(lit):
        fig = figures.one_picture(lit)
        return {ax.get_title() for ax in fig.axes if ax.get_title() and ax.title.get_alpha() == 1}

    everything = strong(None)
    assert {"palette", "stencils", "query of A", "lambda of B", "weights of A"} <= everything
    lit = [strong(part) for part in picture.PARTS]
    assert all(part and part < everything for part in lit)
    assert not lit[0] & lit[1] and not lit[1] & lit[2] and "stencils" in lit[1] and "palette" in lit[0]
    with pytest.raises(ValueError, match="lit must be None or one of palette, stencils, query, got 'tile'"):
        figures.one_picture("tile")
