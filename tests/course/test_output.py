"""A figure in a cell: its caption, its words for those who cannot see it, its size on the page and in bytes."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lambdalib.course import figures
from lambdalib.course.figures import output


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: (data, metadata) of the image, then the HTML of the caption."""
    plt.switch_backend("agg")
    calls = []
    monkeypatch.setattr(output, "display", lambda data, metadata=None, raw=False: calls.append((data, metadata)))
    return calls


def drawing():
    figure, ax = plt.subplots(figsize=(6, 2))
    ax.plot([0, 3, 1], color="#e8730c")
    ax.set_title("a line")
    return figure


def stored(data) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"])))


def test_a_figure_has_a_caption_and_words_and_a_width(shown):
    figures.show(drawing(), caption="A line that <b>breaks</b>.", alt="A line rises and falls.")
    (data, metadata), (caption, _) = shown
    image = stored(data)
    assert metadata == {"image/png": {"width": image.width // 2, "alt": "A line rises and falls."}}
    assert data["text/plain"] == "A line rises and falls.", "nbval compares it, and a terminal shows it"
    assert 900 < image.width < 2 * 6 * 90, "two pixels for each of the page, less the margins that were cut off"
    assert "<small>A line that <b>breaks</b>.</small>" in caption.data
    assert f"max-width: {image.width // 2}px" in caption.data
    assert not plt.get_fignums(), "else the inline backend would show it again"


def test_a_plot_is_stored_with_few_colours_and_stays_white(shown):
    figures.show(drawing(), "c", "a")
    image = stored(shown[0][0])
    assert image.mode == "P" and len(image.getcolors()) <= 256
    full = io.BytesIO()
    drawing().savefig(full, format="png", dpi=180, bbox_inches="tight")
    assert len(base64.b64decode(shown[0][0]["image/png"])) < len(full.getvalue())
    old, new = np.asarray(Image.open(full).convert("RGB"), int), np.asarray(image.convert("RGB"), int)
    assert old.shape == new.shape and (np.abs(old - new).max(2) > 16).mean() < 1e-3
    assert (new[(old == 255).all(2)] == 255).all()


def test_a_photograph_keeps_its_colours(shown):
    photograph = np.random.default_rng(0).random((3, 20, 20))
    figures.show(figures.maps([photograph], ["noise"]), "c", "a")
    colours = {colour for _, colour in stored(shown[0][0]).convert("RGB").getcolors(100_000)}
    wanted = {tuple(int(255 * part) for part in pixel) for pixel in photograph.reshape(3, -1).T}
    near = [any(np.abs(np.subtract(colour, pixel)).max() <= 1 for colour in colours) for pixel in wanted]
    assert all(near)


def test_the_larger_of_two_files_is_not_stored():
    image = Image.new("RGB", (4, 4), "white")
    assert output.few_colours(b"tiny", image) == b"tiny"


@pytest.mark.parametrize("name", ["caption", "alt"])
def test_an_empty_caption_is_refused(shown, name):
    figure = drawing()
    with pytest.raises(ValueError, match=f"{name} must say something"):
        figures.show(figure, **{"caption": "c", "alt": "a", name: " "})
    assert not shown


def test_a_frame_is_the_whole_canvas_at_twice_the_page():
    plt.switch_backend("agg")
    plt.close("all")
    figure = drawing()
    expected = io.BytesIO()
    figure.savefig(expected, format="png", dpi=180)
    image = Image.open(io.BytesIO(output.frame(figure)))
    assert image.size == (2 * 6 * 90, 2 * 2 * 90)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(Image.open(expected).convert("RGB")))
    assert not plt.get_fignums()
