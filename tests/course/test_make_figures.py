"""The images of figures/: each is drawn from the records, shown on a page, and none is left over."""

import re
from pathlib import Path

import frames
import make_figures
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from readable import unreadable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_every_image_is_drawn_and_shown():
    drawn = {*make_figures.PICTURES, *make_figures.MOVING}
    assert {path.name for path in (ROOT / "figures").iterdir()} == drawn
    paths = [ROOT / "README.md", ROOT / "RESULTS.md", *(ROOT / "site" / "pages").glob("*.md")]
    pages = [path.read_text(encoding="utf-8") for path in paths]
    assert set(re.findall(r"figures/(\w+\.\w+)", "".join(pages))) == drawn


@pytest.mark.parametrize("name", make_figures.PICTURES)
def test_an_image_can_be_drawn(name):
    figure = make_figures.PICTURES[name]()
    figure.canvas.draw()
    assert figure.axes and not unreadable(figure)


BARS = """# %%
import matplotlib.pyplot as plt
from lambdalib.course import figures, widgets

def draw(height, width=0.5):
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.bar([0], height, width)
    ax.set_ylim(0, 4)
    return fig

figures.show(draw(2), "a bar", alt="a bar")
print("drawn")

# %%
# @title Reveal
from lambdalib.course.questions import revealed
if revealed(None):
    print("two bars")
    figures.show(draw(3), "a high bar", alt="a high bar")

# %%
widgets.explore(draw, "a bar", height=widgets.slider("height", 1, 3, 2))
"""


@pytest.fixture
def twin(tmp_path):
    """A lesson whose widget draws a bar of the chosen height, and prints."""
    path = tmp_path / "77_bars.py"
    path.write_text(BARS)
    return path


def test_a_widget_is_found_and_drawn_at_any_position(twin, capsys):
    (bar,), reveals = frames.performed(twin)
    assert (bar.cell, bar.alt, list(bar.controls)) == (2, "a bar", ["height"]) and capsys.readouterr().out == ""
    text, picture, caption = reveals.pop(1)
    assert not reveals and text.text == "two bars\n" and "a high bar" in caption.data["text/html"]
    assert picture.data["image/png"] and picture.metadata["image/png"]["alt"] == "a high bar"
    low, start, high = frames.drawn(bar, [{"height": 1}, {}, {"height": 3}])
    assert low.size == (2 * frames.DOTS, frames.DOTS)
    pixels = [np.asarray(image, int) for image in (low, start, high)]
    blue = [np.count_nonzero(image[:, :, 2] > image[:, :, 0] + 50) for image in pixels]
    assert blue[0] < blue[1] < blue[2] and abs(blue[2] - 3 * blue[0]) < 0.1 * blue[2]


@pytest.mark.parametrize("name", make_figures.MOVING)
def test_an_animation_moves_and_is_small(name):
    path = make_figures.FIGURES / name
    images = []
    with Image.open(path) as animation:
        for number in range(animation.n_frames):
            animation.seek(number)
            images.append(np.asarray(animation.convert("RGB"), int))
    assert path.stat().st_size < 1_000_000 and len(images) > 20
    assert all(np.abs(one - other).max() > 50 for one, other in zip(images, images[1:], strict=False))


def test_frames_share_their_colours():
    ramp = np.tile(np.arange(0, 256, 2, dtype=np.uint8)[:, None, None], (1, 4, 3))
    images = [Image.fromarray(ramp), Image.fromarray(255 - ramp)]
    few = make_figures.with_shared_colours(images)
    assert few[0].getpalette() == few[1].getpalette() and all(len(image.getcolors()) <= 128 for image in few)
    change = [
        np.abs(np.asarray(one.convert("RGB"), int) - np.asarray(two, int)).max()
        for one, two in zip(few, images, strict=True)
    ]
    assert max(change) < 12


def test_an_unknown_word_draws_nothing(monkeypatch, capsys):
    monkeypatch.setattr(make_figures, "PICTURES", None)
    with pytest.raises(SystemExit, match="2"):
        make_figures.main(["bench.png"])
    assert "bench.png" in capsys.readouterr().err
