"""A control that moves draws anew; a draw function that fails says so beside the controls."""

import matplotlib.pyplot as plt
import pytest
from traitlets import TraitError

from lambdalib.course import widgets


def bar(height=1):
    if height == 3:
        raise ValueError("three is too high")
    figure, ax = plt.subplots(figsize=(1, 1))
    ax.bar(0, height)
    ax.set_ylim(0, 10)
    return figure


def test_a_moved_slider_draws_another_picture():
    box = widgets.explore(bar, height=widgets.slider("height", 0, 9, 1))
    first = bytes(box.picture.value)
    assert first.startswith(b"\x89PNG")
    box.controls["height"].value = 7
    assert bytes(box.picture.value) != first and box.message.value == ""
    box.controls["height"].value = 1
    assert bytes(box.picture.value) == first
    assert not plt.get_fignums(), "figures are closed after drawing"


def test_an_error_is_shown_and_goes_away():
    box = widgets.explore(bar, height=widgets.slider("height", 0, 9, 2))
    kept = box.picture.value
    box.controls["height"].value = 3
    assert "three is too high" in box.message.value and box.picture.value == kept
    box.controls["height"].value = 2
    assert box.message.value == ""


def test_controls():
    assert type(widgets.slider("a", 0, 1, 0.5, 0.1)).__name__ == "FloatSlider"
    assert type(widgets.slider("a", 0, 9, 1)).__name__ == "IntSlider"
    assert not widgets.slider("a", 0, 9, 1).continuous_update
    assert widgets.choice("c", {"one": 1, "two": 2}, 2).value == 2
    assert widgets.choice("c", ["one", "two"]).value == "one"
    assert widgets.switch("s", True).value is True


def test_control_and_argument_names_must_agree():
    box = widgets.explore(bar, width=widgets.slider("width", 0, 9, 1))
    assert "width" in box.message.value
    with pytest.raises(TraitError):
        widgets.choice("c", ["one"], "three")
