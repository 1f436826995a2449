"""The images of figures/: each is drawn from the records, shown in README or RESULTS, and none is left over."""

import re
from pathlib import Path

import make_figures
import matplotlib.pyplot as plt
import pytest
from readable import unreadable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_every_image_is_drawn_and_shown():
    drawn = set(make_figures.PICTURES)
    assert {path.name for path in (ROOT / "figures").iterdir()} == drawn
    pages = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "RESULTS.md")]
    assert set(re.findall(r"figures/(\w+\.png)", "".join(pages))) == drawn


@pytest.mark.parametrize("name", make_figures.PICTURES)
def test_an_image_can_be_drawn(name):
    figure = make_figures.PICTURES[name]()
    figure.canvas.draw()
    assert figure.axes and not unreadable(figure)
