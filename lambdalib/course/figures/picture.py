"""The one picture of the course: how a lambda layer answers two pixels, and what attention does instead.

Taught in notebooks/00_start_here.
"""

from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.examples import plane, plane_colours
from lambdalib.course.figures.style import GREY, INK, LIT, array, light, signed, subplots
from lambdalib.lambdas import apply_lambdas, content_lambda, position_lambdas, relative_embeddings

__all__ = ["dataflow", "one_picture"]

PIXELS = {"A": (21, 18), "B": (7, 11)}  # (row, column): where yellow meets red, and a cloud
ANCHORS = ((23, 27), (21, 20), (3, 5), (30, 3))  # pixels that the keys look for: yellow, red, blue, green
STENCILS = np.array([
    [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    [[0, 0, 0], [-1, 0, 1], [0, 0, 0]],
    [[0, -1, 0], [0, 0, 0], [0, 1, 0]],
    [[0, -0.5, 0], [-0.5, 2, -0.5], [0, -0.5, 0]],
])  # fmt: skip
OKABE_ITO = ("#d55e00", "#009e73", "#0072b2")  # red, green and blue that a colour-blind reader can tell
LETTERS = "RGB"
LIT_PARTS = ("palette", "stencils", "query", "attention")


class Answer(NamedTuple):
    """All that the picture shows of one pixel."""

    query: np.ndarray  # (k,)
    readings: np.ndarray  # (k, v)
    output: np.ndarray  # (v,)
    weights: np.ndarray  # (H, W), of attention


def numbers_of_the_picture() -> tuple[np.ndarray, dict[str, Answer]]:
    """The palette (k, v), and what each marked pixel gets: computed by the functions of the lessons."""
    image, values = plane(), plane_colours()  # (3, 32, 32), (1, m, v, u=1)
    colours = values[0, :, :, 0]
    anchors = torch.stack([image[:, row, column] for row, column in ANCHORS])  # (k, v)
    keys = -12 * (colours[:, None] - anchors).square().sum(2)  # (m, k): large for the anchor's colour
    queries = (keys / 3).softmax(1)[None, None]  # (b=1, h=1, n, k): which colours a pixel is made of
    palette = content_lambda(keys[None, :, :, None], values)  # (1, k, v)
    table = torch.as_tensor(STENCILS, dtype=torch.float32)[:, None]
    readings = position_lambdas(relative_embeddings(table, 32, 32), values)  # (1, n, k, v)
    outputs = apply_lambdas(queries, palette[:, None] + readings)[0, 0]  # (n, v)
    weights = (-60 * (colours[:, None] - colours).square().sum(2)).softmax(1)  # (n, m)
    found = {}
    for name, (row, column) in PIXELS.items():
        n = row * 32 + column
        parts = queries[0, 0, n], readings[0, n], outputs[n], weights[n].view(32, 32)
        found[name] = Answer(*map(array, parts))
    return array(palette[0]), found


def one_picture(lit: str | None = None) -> Figure:
    """A lambda layer at two pixels of the plane, and attention in grey. Taught in notebooks/00_start_here.

    Once for the whole image: the palette, k colours. At each pixel: k stencils read the neighbourhood. Palette
    plus readings are the pixel's lambda, a table of k × v numbers. The query mixes its rows into one colour.

    Args:
        lit: the part that is drawn in full while the others are pale, one of LIT_PARTS. None: all.
    Raises:
        ValueError: lit is none of these.
    """
    if lit not in (None, *LIT_PARTS):
        raise ValueError(f"lit must be None or one of {', '.join(LIT_PARTS)}, got {lit!r}")
    palette, found = numbers_of_the_picture()
    colours = dict.fromkeys(LIT_PARTS, INK) | {"attention": INK if lit == "attention" else "#5f6672"}
    strength = {part: 1.0 if lit in (None, part) else 0.25 for part in LIT_PARTS}
    fig, image = Figure(figsize=(7.4, 5.5)), light(plane())

    def place(left: float, bottom: float, width: float, height: float, part: str, title: str = "") -> Axes:
        ax = fig.add_axes((left, bottom, width, height))
        ax.set_title(title, fontsize=8.5, color=colours[part], alpha=strength[part], pad=4)
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(color=GREY, linewidth=0.6, alpha=strength[part])
        return ax

    def write(x: float, y: float, text: str, part: str, size: float = 9, **options) -> None:
        fig.text(x, y, text, fontsize=size, color=colours[part], alpha=strength[part], **options)

    write(0.01, 0.965, "Once for the whole image", "palette", 10, weight="bold")
    whole = place(0.01, 0.7, 0.165, 0.222, "palette", "the image")
    whole.imshow(image, alpha=strength["palette"])
    for name, (row, column) in PIXELS.items():
        mark(whole, row, column, name)
    swatches = place(0.215, 0.7, 0.045, 0.222, "palette", "palette")
    swatches.imshow(light(palette[:, None]), aspect="auto", alpha=strength["palette"])
    mixed = place(0.3, 0.7, 0.115, 0.222, "palette", "$k$ colours")
    draw_table(mixed, palette, strength["palette"])
    mixed.annotate(
        "",
        (0.5575, 0.635),
        (0.418, 0.811),
        "figure fraction",
        "figure fraction",
        arrowprops=dict(
            arrowstyle="->", color=INK, alpha=strength["palette"], connectionstyle="angle,angleA=0,angleB=90"
        ),
    )
    write(0.575, 0.76, "the same palette\nfor A, for B and\nfor every other pixel", "palette", va="center")
    write(0.99, 0.94, "Attention instead:\na weight for\neach pixel", "attention", ha="right", va="top")
    for name, bottom in (("A", 0.37), ("B", 0.04)):
        (row, column), answer = PIXELS[name], found[name]
        write(0.01, bottom + 0.265, f"At pixel {name}", "stencils", 10, weight="bold")
        near = place(0.01, bottom, 0.165, 0.222, "stencils", "its neighbours")
        near.imshow(image[row - 3 : row + 4, column - 3 : column + 4], alpha=strength["stencils"])
        for width, colour in ((2.4, "white"), (1, INK)):
            near.add_patch(Rectangle((1.5, 1.5), 3, 3, fill=False, edgecolor=colour, linewidth=width))
        for i, stencil in enumerate(STENCILS):
            icon = place(0.215, bottom + 0.057 * (3 - i), 0.045, 0.051, "stencils", "" if i else "stencils")
            signed(icon, stencil, limit=2, alpha=strength["stencils"], aspect="auto")
        read = place(0.3, bottom, 0.115, 0.222, "stencils", "$k$ readings")
        draw_table(read, answer.readings, strength["stencils"])
        write(0.4575, bottom + 0.111, "+ palette\n=", "query", ha="center", va="center")
        table = place(0.5, bottom, 0.115, 0.222, "query", f"lambda of {name}")
        draw_table(table, palette + answer.readings, strength["query"])
        write(0.6325, bottom + 0.111, "×", "query", 12, ha="center", va="center")
        query = place(0.65, bottom, 0.06, 0.222, "query", f"query of {name}")
        query.barh(range(len(answer.query)), answer.query, 0.6, color=INK, alpha=strength["query"])
        query.set(ylim=(len(answer.query) - 0.5, -0.5), xlim=(0, 1))
        write(0.7275, bottom + 0.111, "=", "query", 12, ha="center", va="center")
        output = place(0.745, bottom + 0.07, 0.06, 0.082, "query", "output")
        output.imshow(light(answer.output)[None, None], aspect="auto", alpha=strength["query"])
        attended = place(0.86, bottom + 0.02, 0.13, 0.175, "attention", f"weights of {name}")
        attended.imshow(answer.weights, cmap="Greys", vmin=0, alpha=strength["attention"])
    return fig


def mark(ax: Axes, row: int, column: int, name: str) -> None:
    """A ring around a pixel, with its letter."""
    ax.plot(column, row, "s", markersize=5, markerfacecolor="none", markeredgecolor="white", markeredgewidth=2.4)
    ax.plot(column, row, "s", markersize=5, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    ax.annotate(name, (column, row), (0, -11), textcoords="offset points", ha="center", fontsize=9, color="white",
                weight="bold")  # fmt: skip


def draw_table(ax: Axes, table: np.ndarray, alpha: float) -> None:
    """A table of k × 3 signed numbers as bars, in cells of one unit each."""
    for i, row in enumerate(table):
        ax.axhline(i, color=GREY, linewidth=0.5, alpha=alpha)
        ax.bar(range(3), -0.42 * np.clip(row / 1.6, -1, 1), 0.7, bottom=i, color=OKABE_ITO, alpha=alpha)
        if i:
            ax.axhline(i - 0.5, color=GREY, linewidth=0.4, linestyle=":", alpha=alpha)
    ax.set(xlim=(-0.5, 2.5), ylim=(len(table) - 0.5, -0.5))
    for j, letter in enumerate(LETTERS):
        ax.text(j, len(table) - 0.5, letter, fontsize=8, color=INK, ha="center", va="top", alpha=alpha)


BOXES = {  # name -> (x, y, words, learned)
    "features": (0, 2, "features\n$(b, d, H, W)$", False),
    "to_queries": (1.8, 4, "$W_q$, norm", True),
    "to_keys": (1.8, 2, "$W_k$", True),
    "to_values": (1.8, 0, "$W_v$, norm", True),
    "queries": (3.6, 4, "queries\n$(b, h, n, k)$", False),
    "keys": (3.6, 2, "keys\n$(b, m, k, u)$", False),
    "values": (3.6, 0, "values\n$(b, m, v, u)$", False),
    "palette": (5.7, 2, "palette\n$(b, k, v)$", False),
    "stencils": (7.5, -1.5, "stencils\n$(k, u, r, r)$", True),
    "readings": (7.5, 0, "readings\n$(b, n, k, v)$", False),
    "lambdas": (7.5, 2, "lambdas\n$(b, n, k, v)$", False),
    "output": (9.4, 2, "output\n$(b, h, n, v)$", False),
    "merged": (9.4, 0, "features\n$(b, h·v, H, W)$", False),
}
ARROWS = [  # (from, to, what happens on the way)
    ("features", "to_queries", ""), ("features", "to_keys", ""), ("features", "to_values", ""),
    ("to_queries", "queries", ""), ("to_keys", "keys", ""), ("to_values", "values", ""),
    ("keys", "palette", "softmax\nover m"), ("values", "palette", ""), ("values", "readings", ""),
    ("stencils", "readings", ""), ("palette", "lambdas", "+"), ("readings", "lambdas", "+"),
    ("lambdas", "output", "×"), ("queries", "output", "×"), ("output", "merged", "merge"),
]  # fmt: skip


def dataflow() -> Figure:
    """What a lambda layer does with features, and the shape of every tensor. Taught in notebooks/04_lambda_layer.

    Boxes with an orange edge are learned.
    """
    fig, ax = subplots(figsize=(7.9, 4.4))
    for x, y, words, learned in BOXES.values():
        edge = {"edgecolor": LIT, "linewidth": 1.8} if learned else {"edgecolor": GREY, "linewidth": 0.8}
        ax.add_patch(
            Rectangle((x - 0.68, y - 0.45), 1.36, 0.9, facecolor="white" if learned else "#eef0f3", **edge)
        )
        ax.text(x, y, words, ha="center", va="center", fontsize=9, color=INK)
    for start, end, words in ARROWS:
        (x, y), (to_x, to_y) = BOXES[start][:2], BOXES[end][:2]
        style = {"arrowstyle": "->", "color": INK, "linewidth": 1}
        if x == to_x:  # up or down
            half = 0.45 if to_y > y else -0.45
            tail, head, where = (x, y + half), (x, to_y - half), (x + 0.12, (y + to_y) / 2)
        elif end == "output" and y != to_y:  # right, then down
            tail, head, where = (x + 0.68, y), (to_x, to_y + 0.45), (to_x + 0.12, (y + to_y) / 2)
            style["connectionstyle"] = "angle,angleA=0,angleB=90"
        else:
            tail, head = (x + 0.68, y), (to_x - 0.68, to_y)
            where = ((tail[0] + head[0]) / 2, (y + to_y) / 2 + 0.1)
        ax.annotate("", head, tail, arrowprops=style)
        ax.text(*where, words, ha="left" if where[0] > head[0] else "center", fontsize=8.5, color=INK)
    ax.set(xlim=(-0.75, 10.15), ylim=(-2, 4.5))
    ax.axis("off")
    fig.subplots_adjust(0, 0, 1, 1)
    return fig
