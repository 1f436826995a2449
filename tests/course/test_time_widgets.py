"""The table of the widgets' times: which widgets it finds, at which settings it draws, and when it complains."""

import random

import jupytext
import matplotlib.pyplot as plt
import nbformat
import pytest
import time_widgets

from lambdalib.course import widgets

LESSON = """
import matplotlib.pyplot as plt
from lambdalib.course import widgets
def draw(side, few=False):
    figure, ax = plt.subplots(figsize=(side, 1))
    ax.set_title("a title that is far too long for a figure of this size, you will see")
    return figure
"""
CALL = "widgets.explore(draw, 'a square', side=widgets.slider('side', 1, 3, 2), few=widgets.switch('few'))"


def test_only_what_a_widget_needs_is_run():
    assert (
        time_widgets.until_last_widget(["a", "explore(1)", "b", "explore(2)", "c"])
        == "a\n\nexplore(1)\n\nb\n\nexplore(2)"
    )
    assert time_widgets.until_last_widget(["a"]) == ""


def test_a_widget_is_recorded_and_not_built():
    explore = widgets.explore
    ((draw, controls),) = time_widgets.recorded(LESSON + CALL)
    assert draw.__name__ == "draw" and list(controls) == ["side", "few"]
    assert widgets.explore is explore


@pytest.mark.parametrize(
    "control, values",
    [
        (widgets.slider("a", 4, 10, 6, 3), {4, 7, 10}),
        (widgets.choice("b", {"one": 1, "two": 2}), {1, 2}),
        (widgets.switch("c"), {False, True}),
    ],
)
def test_every_value_of_a_control_can_be_drawn(control, values):
    chance = random.Random(0)
    assert {time_widgets.pick(control, chance) for _ in range(50)} == values


@pytest.mark.parametrize("limit, complaint", [(0, 1), (1e9, 0)])
def test_the_table(monkeypatch, capsys, tmp_path, limit, complaint):
    plt.switch_backend("agg")
    twin = tmp_path / "00_lesson.py"
    cells = [nbformat.v4.new_code_cell(source) for source in (LESSON, CALL, "raise ValueError('not run')")]
    jupytext.write(nbformat.v4.new_notebook(cells=cells), twin, fmt="py:percent")
    monkeypatch.setattr(time_widgets, "MEDIAN", limit)
    monkeypatch.setattr(time_widgets, "LONGEST", 1e9)
    monkeypatch.chdir(tmp_path)  # main changes it
    assert time_widgets.main([str(twin)]) == complaint
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:2] == ["00_lesson", "draw"] and row.endswith("cut off")
