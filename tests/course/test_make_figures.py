"""The images of figures/: each is drawn from the records, shown in the README, and none is left over."""

import re
from pathlib import Path

import make_figures
import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_every_image_is_drawn_and_shown():
    drawn = set(make_figures.PICTURES)
    assert {path.name for path in (ROOT / "figures").iterdir()} == drawn
    assert set(re.findall(r"figures/(\w+\.png)", (ROOT / "README.md").read_text(encoding="utf-8"))) == drawn


@pytest.mark.parametrize("name", make_figures.PICTURES)
def test_an_image_can_be_drawn(name):
    figure = make_figures.PICTURES[name]()
    figure.canvas.draw()
    assert figure.axes
