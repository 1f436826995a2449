"""The figures draw what they are given, and all can be called from `figures`."""

from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lambdalib.course import figures


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
    assert len(files) == 6 and sorted(names) == sorted(set(figures.__all__))
    assert all(callable(getattr(figures, name)) for name in names)


def test_curves_are_means_over_seeds():
    def log(step):
        return [
            {"kind": "start"},
            *(
                {"kind": "epoch", "loss": loss, "test_accuracy": accuracy, "seconds": seconds}
                for loss, accuracy, seconds in (
                    (2.0 + step, 0.5, 60),
                    (1.0 + step, 0.7 + step / 10, 120 + 60 * step),
                )
            ),
        ]

    left, right = figures.curves_over_seeds({"ours": [log(0), log(1)]}).axes
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[1, 2.5], [2, 1.5]])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[1, 50], [2, 75]])
    assert right.get_legend().get_texts()[0].get_text() == "ours, 2 seeds"


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


def test_sizes_put_a_net_where_it_belongs():
    (ax,) = figures.sizes({"parameters": ({"ours": (300_000, 91.0, 0.5)}, {"theirs": (11_200_000, 95.0)})}).axes
    assert {tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xydata()) == 1} >= {
        (300_000, 91),
        (11_200_000, 95),
    }
    assert texts(ax.figure) == ["theirs", "ours"]


def test_confusion_counts_every_picture():
    counts = np.array([[14, 2, 4], [0, 9, 1], [3, 0, 7]])
    figure = figures.confusion(counts, ["a", "b", "c"])
    left, right = figure.axes
    assert sorted(text.get_text() for text in left.texts) == sorted(
        str(count) for count in counts.ravel() if count
    )
    assert [text.get_text() for text in right.texts] == ["70.0", "90.0", "70.0"]
    assert left.get_ylim() == right.get_ylim(), "a row of the matrix and its bar stand side by side"
