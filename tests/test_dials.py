"""The figures that the site draws itself (site/static/dials.js) say what the lessons' own functions say."""

import ast
import itertools
import json
import math
import random
import shutil
import subprocess
from base64 import b64decode
from io import BytesIO
from math import ceil, isclose
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from xml.etree import ElementTree

import frames
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.colors import to_hex
from PIL import Image

from lambdalib import cost
from lambdalib.contractions import position_costs, position_numbers
from lambdalib.course import figures
from lambdalib.course.figures.style import LIT
from lambdalib.experiments.paper_tables import TABLE_12
from lambdalib.explain import LayerParts
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings

ROOT = Path(__file__).resolve().parents[1]
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="node not found: the site's own figures are not tested")

LESSONS = {  # by what they hand to explore()
    "answer_of_a_pixel": "01_self_attention", "draw_weights": "01_self_attention",
    "palette_lab": "02_content_lambdas", "steer": "03_position_lambdas", "at_pixel": "04_lambda_layer",
    "dials": "05_cost", "build": "06_lambda_resnet", "look": "08_look_inside",
}  # fmt: skip
READ = {  # by a lesson's function and its numbers, besides itself: other definitions of the lesson
    "who_has_my_colour", "steps", "table", "table[3, 0]", "near", "(asked, offered)", "weights_of_a_pixel",
    "anchors", "colour_keys", "repaint", "draw_palette", "hand_made", "share_seen", "IMAGES",
    "equivalent_matrices",
}  # fmt: skip
RUN = """
const { readFileSync } = require("fs"), source = readFileSync(process.argv[1], "utf8");
const { name, settings, given } = JSON.parse(readFileSync(0, "utf8"));
const { numbers, figure } = new Function(source + "; return DIALS")()[name];
const made = settings.map((values) => numbers(...values, given));
process.stdout.write(JSON.stringify(made.map((numbers) => [numbers, figure(...numbers)])));
"""


def arrays(name: str) -> dict:
    """Stand-ins for what the lesson of a function has made before; four digits hold them exactly."""
    generator = torch.Generator().manual_seed(0)

    def eighths(*shape):
        return torch.randint(-8, 9, shape, generator=generator) / 8

    light, tables, parts = eighths(4, 3, 32, 32).abs(), {}, {}
    for word, side in itertools.product(("trained", "untrained"), (7, 3)):
        table = tables[word, side] = eighths(16, 1, 2 * side - 1, 2 * side - 1)
        queries, keys = eighths(4, 4, side**2, 16), eighths(4, side**2, 16, 1)
        parts[word, side] = LayerParts(queries, keys, None, relative_embeddings(table, side, side))
    layers = {place: SimpleNamespace(table=table) for place, table in tables.items()}
    models = ("trained", "untrained")
    stand_ins = {"plane": lambda: light[0], "photos": light, "models": models, "parts": parts, "layers": layers}
    if LESSONS[name] == "01_self_attention":
        small = eighths(1, 3, 16, 16).abs().double()
        return {"small": small, "colours": small.flatten(2).transpose(1, 2)[0]}
    if name == "palette_lab":
        colours = light[:1].flatten(2).transpose(1, 2)[..., None].double()
        return stand_ins | {"colours": colours, "shuffle": torch.randperm(1024, generator=generator)}
    if name == "at_pixel":
        table, values = eighths(6, 1, 7, 7), eighths(1, 1024, 4, 1)
        readings = position_lambdas(relative_embeddings(table, 32, 32), values)
        made = {"plane_queries": eighths(1, 4, 1024, 6), "palette": eighths(1, 6, 4), "plane_values": values}
        return stand_ins | made | {"on_plane": SimpleNamespace(table=table), "readings": readings}
    return stand_ins


def lesson(name: str, drawn) -> dict:
    """A function of a lesson without the rest of it, the options of its controls, and what the page is given.

    Args:
        drawn: what its figures are: the course's, or a stand-in.
    """
    tree = ast.parse((ROOT / "notebooks" / "py" / f"{LESSONS[name]}.py").read_text(encoding="utf-8"))
    names = {"cost": cost, "ceil": ceil, "figures": drawn, "TABLE_12": TABLE_12, "stage_costs": cost.stage_costs,
             "position_costs": position_costs, "position_numbers": position_numbers, "math": math, "torch": torch,
             "F": F, "Tensor": torch.Tensor, "einsum": torch.einsum, "relative_embeddings": relative_embeddings,
             "content_lambda": content_lambda, "apply_lambdas": apply_lambdas, **arrays(name)}  # fmt: skip
    for node in tree.body:
        defined = (
            node.name if hasattr(node, "name") else ast.unparse(getattr(node, "targets", [ast.Constant(0)])[0])
        )
        if defined == name or defined in READ and defined not in names:
            exec(ast.unparse(node), names)
    shell = SimpleNamespace(
        slider=lambda _, low, high, value, step=1: list(range(low, high + 1, step)),
        choice=lambda _, options, value=None: list(options.values() if isinstance(options, dict) else options),
        switch=lambda _, value=False: [False, True],
        explore=lambda draw, alt, **controls: names.update(draw=draw, controls=controls),
    )
    lines = [ast.unparse(node) for node in tree.body]
    (call,) = [line for line in lines if line.startswith(f"widgets.explore({name},")]
    exec(call, names | {"widgets": shell})
    return names | {"given": frames.DIALS[name](names)}


def settings(controls: dict, count: int) -> list[tuple]:
    """Some of all settings, by a fixed seed."""
    return random.Random(0).sample(list(itertools.product(*controls.values())), count)


def by_node(name: str, places: list[tuple], given) -> list:
    """(numbers, SVG) of each setting, from dials.js."""
    asked = json.dumps({"name": name, "settings": places, "given": given})
    command = [NODE, "-e", RUN, ROOT / "site" / "static" / "dials.js"]
    run = subprocess.run(command, input=asked, capture_output=True, encoding="utf-8")
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
    """Words and whole numbers must be equal; PyTorch computes in float32."""
    return one == other or isinstance(other, float) and isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize("name", LESSONS)
def test_numbers_are_those_of_the_lesson(name):
    handed = []
    stand_in = SimpleNamespace(
        cost_bars=lambda *numbers: handed.append(numbers),
        stage_bars=lambda *numbers, limits: handed.append([*numbers, limits]),
        steering=lambda *numbers: handed.append(numbers),
        matrix_rows=lambda *numbers: handed.append(numbers),
        one_row=lambda *numbers: handed.append(numbers),
        palette_card=lambda *numbers: handed.append(numbers),
        one_pixel=lambda *numbers, limits: handed.append([*numbers, limits]),
    )
    names = lesson(name, stand_in)
    places = settings(names["controls"], 200 if names["given"] is None else 20)
    for place in places:
        names["draw"](**dict(zip(names["controls"], place)))
    for place, ours, (theirs, _) in zip(places, handed, by_node(name, places, names["given"]), strict=True):
        assert all(map(alike, leaves(theirs), leaves(ours))) and len(leaves(theirs)) == len(leaves(ours)), place


class Drawn(NamedTuple):
    """What a figure or a drawing shows."""

    words: list[str]
    bars: list[tuple[float, bool]]  # each one's share of the axis, and whether it is orange
    pixels: list[np.ndarray]  # of each image, red, green, blue and opacity between 0 and 1


def drawn(figure) -> Drawn:
    """What a matplotlib figure shows; an image that occurs twice is there once. No bars count beside images."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    bars = []
    for ax in figure.axes:
        labels = [ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = zip(axis.get_majorticklocs(), axis.get_ticklabels())
            labels += [label for place, label in ticks if low <= place <= high]
        texts += [ax.title, *ax.texts, *(labels if ax.axison else [])]
        flat = len(figure.axes) == 3  # lesson 05's bars lie
        for patch in [] if any(ax.images for ax in figure.axes) else ax.patches:
            length = patch.get_width() / np.ptp(ax.get_xlim()) if flat else patch.get_height() / ax.get_ylim()[1]
            bars.append((length, to_hex(patch.get_facecolor()) == LIT))
    images = [image.to_rgba(image.get_array()).reshape(-1, 4) for ax in figure.axes for image in ax.images]
    plt.close(figure)
    words = sorted(line for text in texts for line in text.get_text().split("\n") if line)
    return Drawn(words, bars, list({(255 * image).round().tobytes(): image for image in images}.values()))


def drawn_by_svg(svg: str) -> Drawn:
    """The same of an SVG of dials.js."""
    sheet = ElementTree.fromstring(svg)
    rects = [rect for rect in sheet.iter("rect") if rect.get("class") in ("lit", "quiet", "grey")]
    rects = [] if sheet.find("image") is not None else rects
    flat = len(rects) == 10
    bars = rects if flat else rects[:16]  # the others are the legend's
    shares = [float(bar.get("width")) / 183 if flat else float(bar.get("height")) / 124 for bar in bars]
    words = sorted(text.text for text in sheet.iter("text") if text.text)
    images = dict.fromkeys(image.get("href") for image in sheet.iter("image"))
    files = [Image.open(BytesIO(b64decode(image.partition(",")[2]))).convert("RGBA") for image in images]
    pixels = [np.asarray(file).reshape(-1, 4) / 255 for file in files]
    return Drawn(words, list(zip(shares, [bar.get("class") == "lit" for bar in bars])), pixels)


@pytest.mark.parametrize("name", LESSONS)
def test_the_drawing_says_what_the_figure_says(name, count=6):
    names = lesson(name, figures)
    places = settings(names["controls"], count)
    for place, (_, svg) in zip(places, by_node(name, places, names["given"]), strict=True):
        ours, theirs = drawn(names["draw"](*place)), drawn_by_svg(svg)
        assert theirs.words == ours.words, place
        assert np.array(theirs.bars) == pytest.approx(np.array(ours.bars, float), abs=2e-3), place
        for their_pixels, pixels in zip(theirs.pixels, ours.pixels, strict=True):
            assert their_pixels == pytest.approx(pixels, abs=0.02), place
