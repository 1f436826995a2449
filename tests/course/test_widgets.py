"""A control that moves draws anew; a draw function that fails says so beside the controls."""

import base64
import gc
import io
import re
import threading
import time

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from PIL import Image
from traitlets import TraitError

from lambdalib.course import widgets


def bar(height=1):
    if height == 3:
        raise ValueError("<three> is too high")
    figure, ax = plt.subplots(figsize=(1, 2))
    ax.bar(0, height)
    ax.set_ylim(0, 10)
    return figure


def png(box) -> bytes:
    """The image that a widget shows."""
    return base64.b64decode(re.search('src="data:image/png;base64,([^"]+)"', box.picture.value)[1])


def test_a_moved_slider_draws_another_picture():
    plt.close("all")  # of other tests
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 1))
    first = png(box)
    assert first.startswith(b"\x89PNG")
    box.controls["height"].value = 7
    assert png(box) != first and box.message.value == ""
    box.controls["height"].value = 1
    assert png(box) == first
    assert not plt.get_fignums(), "figures are closed after drawing"


def test_the_picture_has_two_pixels_for_each_of_the_page():
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 1))
    assert Image.open(io.BytesIO(png(box))).size == (180, 360)
    assert "width: 90px; max-width: 100%; aspect-ratio: 90 / 180" in box.picture.value


def test_the_picture_is_described_by_what_the_controls_say():
    box = widgets.explore(bar, 'A "bar"', height=widgets.slider("its height", 0, 9, 1))
    assert 'alt="A &quot;bar&quot;: its height 1"' in box.picture.value
    box.controls["height"].value = 7
    assert 'alt="A &quot;bar&quot;: its height 7"' in box.picture.value


def test_what_is_loaded_is_not_searched_again_while_a_figure_is_drawn():
    gc.unfreeze()
    widgets.explore(lambda x: plt.figure(), "a figure", x=widgets.slider("x", 0, 9, 3))
    assert gc.get_freeze_count() > 10_000
    gc.unfreeze()


def test_controls_of_two_threads_draw_one_after_the_other():
    begun = []

    def draw(x, y):
        begun.append(1)
        time.sleep(0.05)
        begun[:] = begun if len(begun) > 1 else []  # what another thread began in the meantime stays
        return Figure(figsize=(1, 1))

    box = widgets.explore(draw, "a figure", x=widgets.slider("x", 0, 9, 3), y=widgets.slider("y", 0, 9, 3))
    threads = [threading.Thread(target=setattr, args=(box.controls[name], "value", 5)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert box.message.value == "" and not begun


def test_an_error_is_shown_and_goes_away():
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 2))
    kept = box.picture.value
    box.controls["height"].value = 3
    assert "ValueError: &lt;three&gt; is too high" in box.message.value and box.picture.value == kept
    box.controls["height"].value = 2
    assert box.message.value == ""


@pytest.mark.parametrize("limit, fast", [(1e9, True), (0, False)])
def test_a_fast_figure_follows_the_mouse_and_a_slow_one_says_that_it_draws(monkeypatch, limit, fast):
    monkeypatch.setattr(widgets, "LIVE", limit)
    said = []

    def draw(height):
        said.append(box.message.value if box else None)
        return bar(height)

    box = None
    box = widgets.explore(draw, "A bar", height=widgets.slider("height", 0, 9, 1))
    box.controls["height"].value = 7
    assert box.controls["height"].continuous_update is fast
    assert ("drawing" in said[1]) is not fast
    assert box.message.value == "", "the sign goes away when the figure is there"


def test_the_fastest_frame_decides(monkeypatch):
    times = iter([0, 9, 10, 11, 20, 29])  # two each: 9 s, 1 s, 9 s
    monkeypatch.setattr(widgets.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(widgets, "LIVE", 5)
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 1))
    live = [box.controls["height"].continuous_update]
    for height in (2, 4):
        box.controls["height"].value = height
        live.append(box.controls["height"].continuous_update)
    assert live == [False, True, True]


def test_controls():
    assert type(widgets.slider("a", 0, 1, 0.5, 0.1)).__name__ == "FloatSlider"
    assert type(widgets.slider("a", 0, 9, 1)).__name__ == "IntSlider"
    assert type(widgets.slider("a", 0, 9, 0.5)).__name__ == "FloatSlider"
    assert not widgets.slider("a", 0, 9, 1).continuous_update
    assert widgets.choice("c", {"one": 1, "two": 2}, 2).value == 2
    assert widgets.choice("c", ["one", "two"]).value == "one"
    assert widgets.choice("c", ["one", "two"]).tooltips == ("c: one", "c: two")  # for screen readers
    assert "widget-inline-hbox" in widgets.choice("c", ["one", "two"])._dom_classes
    assert widgets.switch("s", True).value is True


def test_labels_have_one_width_and_controls_share_rows():
    controls = {"a": widgets.slider("a", 0, 9, 1), "b": widgets.choice("a long label", [1, 2])}
    box = widgets.explore(lambda a, b, c: bar(a), "A bar", **controls, c=widgets.switch("c"))
    panel = box.children[0]
    assert {control.style.description_width for control in panel.children} == {"13ch"}
    assert panel.children == tuple(box.controls.values())
    assert panel.layout.display == "grid" and "auto-fill" in panel.layout.grid_template_columns


def test_sliders_are_named_for_screen_readers():
    """The script beside the controls: what it does was seen in Chromium, in the tree that screen readers read."""
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 1))
    names = box.children[-1]
    assert names.layout.display == "none" and names.value == widgets.NAMES
    script = re.fullmatch(r'<style onload="([^"]*)"></style>', names.value)[1]  # a quote would end it
    assert "<" not in script and "&" not in script.replace("&&", ""), "nothing that HTML reads in another way"
    for part in (".widget-vbox", ".widget-hslider", ".widget-label", ".noUi-handle", ".ui-slider-handle"):
        assert part in script
    box.controls["height"].value = 3  # a redraw must not take the names away
    assert names.value == widgets.NAMES


def test_only_controls_that_every_ipywidgets_has():
    """No Image either: it cannot have an alternative text, and version 8 breaks on one with a title."""
    box = widgets.explore(bar, "A bar", height=widgets.slider("height", 0, 9, 1))
    kinds = {type(widget).__name__ for widget in (box, *box.children, *box.children[0].children)}
    assert kinds == {"VBox", "Box", "HTML", "IntSlider"}


def test_control_and_argument_names_must_agree():
    box = widgets.explore(bar, "A bar", width=widgets.slider("width", 0, 9, 1))
    assert "width" in box.message.value
    with pytest.raises(TraitError):
        widgets.choice("c", ["one"], "three")
