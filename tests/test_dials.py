"""The figures that the site draws itself (site/static/dials.js) say what the lessons' own functions say."""

import ast
import itertools
import json
import random
import shutil
import subprocess
from math import ceil, isclose
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from lambdalib import cost
from lambdalib.contractions import position_costs, position_numbers
from lambdalib.course import figures
from lambdalib.course.figures.style import LIT
from lambdalib.experiments.paper_tables import TABLE_12

ROOT = Path(__file__).resolve().parents[1]
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node not found: the site's own figures are not tested")

FUNCTIONS = {"05_cost": "dials", "06_lambda_resnet": "build"}  # what a lesson hands to explore()
RUN = """
const { readFileSync } = require("fs"), source = readFileSync(process.argv[1], "utf8");
const { lesson, settings } = JSON.parse(readFileSync(0, "utf8"));
const { numbers, figure } = new Function(source + "; return DIALS")()[lesson];
const made = settings.map((values) => numbers(...values));
process.stdout.write(JSON.stringify(made.map((numbers) => [numbers, figure(...numbers)])));
"""


def lesson(stem: str, drawn) -> dict:
    """The definitions of a lesson, without running the rest of it, and the options of its dial's controls.

    Args:
        drawn: what its figures are: the course's, or a stand-in.
    """
    tree = ast.parse((ROOT / "notebooks" / "py" / f"{stem}.py").read_text(encoding="utf-8"))
    wanted = {FUNCTIONS[stem], "share_seen", "IMAGES"}
    names = {"cost": cost, "ceil": ceil, "figures": drawn, "TABLE_12": TABLE_12, "stage_costs": cost.stage_costs,
             "position_costs": position_costs, "position_numbers": position_numbers}  # fmt: skip
    for node in tree.body:
        name = getattr(node, "name", None) or getattr(getattr(node, "targets", [None])[0], "id", None)
        if name in wanted:
            exec(ast.unparse(node), names)
    shell = SimpleNamespace(
        slider=lambda _, low, high, value, step=1: list(range(low, high + 1, step)),
        choice=lambda _, options, value=None: list(options),
        explore=lambda draw, alt, **controls: names.update(draw=draw, controls=controls),
    )
    call = next(node for node in tree.body if ast.unparse(node).startswith(f"widgets.explore({FUNCTIONS[stem]},"))
    exec(ast.unparse(call), names | {"widgets": shell})
    return names


def settings(controls: dict, count: int) -> list[tuple]:
    """Some of all settings, by a fixed seed."""
    return random.Random(0).sample(list(itertools.product(*controls.values())), count)


def by_node(stem: str, places: list[tuple]) -> list:
    """(numbers, SVG) of each setting, from dials.js."""
    run = subprocess.run(
        [NODE, "-e", RUN, ROOT / "site" / "static" / "dials.js"],
        input=json.dumps({"lesson": stem, "settings": places}), capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def leaves(thing) -> list:
    """All words and numbers of nested dicts, lists and arrays, in order."""
    if isinstance(thing, dict):
        thing = list(thing.items())
    if isinstance(thing, (list, tuple)):
        return [leaf for part in thing for leaf in leaves(part)]
    return np.asarray(thing).ravel().tolist()


def alike(one, other) -> bool:
    """Words and whole numbers must be equal; PyTorch divides in float32."""
    return one == other or isinstance(one, float) and isclose(one, other, rel_tol=1e-6)


@pytest.mark.parametrize("stem", FUNCTIONS)
def test_numbers_are_those_of_the_lesson(stem, count=200):
    handed = []
    stand_in = SimpleNamespace(
        cost_bars=lambda *numbers: handed.append(numbers),
        stage_bars=lambda *numbers, limits: handed.append([*numbers, limits]),
    )
    names = lesson(stem, stand_in)
    places = settings(names["controls"], count)
    for place in places:
        names["draw"](**dict(zip(names["controls"], place)))
    for place, ours, (theirs, _) in zip(places, handed, by_node(stem, places), strict=True):
        assert all(map(alike, leaves(theirs), leaves(ours))) and len(leaves(theirs)) == len(leaves(ours)), place


def drawn(figure) -> tuple[list[str], list[tuple[float, bool]]]:
    """The words of a matplotlib figure, and its bars: each one's share of the axis, and whether it is orange."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    bars = []
    for ax in figure.axes:
        texts += [ax.title, *ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels()]
        flat = len(figure.axes) == 3  # lesson 05's bars lie
        for patch in ax.patches:
            length = patch.get_width() / np.ptp(ax.get_xlim()) if flat else patch.get_height() / ax.get_ylim()[1]
            bars.append((length, to_hex(patch.get_facecolor()) == LIT))
    plt.close(figure)
    return sorted(line for text in texts for line in text.get_text().split("\n") if line), bars


def drawn_by_svg(svg: str) -> tuple[list[str], list[tuple[float, bool]]]:
    """The same of an SVG of dials.js."""
    rects = list(ElementTree.fromstring(svg).iter("rect"))
    flat = len(rects) == 10
    bars = rects if flat else rects[:16]  # the others are the legend's
    shares = [float(bar.get("width")) / 183 if flat else float(bar.get("height")) / 124 for bar in bars]
    words = sorted(text.text for text in ElementTree.fromstring(svg).iter("text") if text.text)
    return words, list(zip(shares, [bar.get("class") == "lit" for bar in bars]))


@pytest.mark.parametrize("stem", FUNCTIONS)
def test_the_drawing_says_what_the_figure_says(stem, count=6):
    names = lesson(stem, figures)
    places = settings(names["controls"], count)
    for place, (_, svg) in zip(places, by_node(stem, places), strict=True):
        (words, bars), (their_words, their_bars) = drawn(names["draw"](*place)), drawn_by_svg(svg)
        assert their_words == words, place
        assert np.array(their_bars) == pytest.approx(np.array(bars, float), abs=2e-3), place
