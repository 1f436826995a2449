"""Figures of the walk's last lesson: the family of the lambda layer, and a memory that is written to in time.

Every function returns a matplotlib Figure. Taught in notebooks/10_beyond.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, PALE, SIZE, array, subplots

__all__ = ["family_tree", "readings_in_time"]

BOX, HIGH = 0.86, 0.72  # of a box, where columns and rows are 1 apart


def family_tree(relatives, lit: tuple[str, ...] = ()) -> Figure:
    """A tree from left to right: each box says what it is, and below in what it differs from the box at its left.

    Args:
        relatives: name -> (name of the parent, what is different); a parent comes before its children. The parent
            of the first one is the root.
        lit: names of boxes that are drawn in orange.
    Raises:
        ValueError: a parent is neither the root nor named before.
    """
    root = next(iter(relatives.values()))[0]
    columns, children = {root: 0}, {root: []}
    for name, (parent, _) in relatives.items():
        if parent not in columns:
            raise ValueError(f"the parent of {name!r} must come before it, got {parent!r}")
        columns[name], children[name] = columns[parent] + 1, []
        children[parent].append(name)
    rows = {}

    def place(name: str, first: int) -> int:
        """Give a row to a box and to all that descend from it; the next free row."""
        free = first
        for child in children[name]:
            free = place(child, free)
        rows[name] = np.mean([rows[child] for child in children[name]]) if children[name] else first
        return max(free, first + 1)

    deep, high = max(columns.values()) + 1, place(root, 0)
    fig, ax = subplots(figsize=(2.25 * deep, 0.62 * high + 0.1))
    for name, column in columns.items():
        parent, change = relatives.get(name, (None, ""))
        lower_left = column - BOX / 2, rows[name] - HIGH / 2
        face, edge = (PALE, LIT) if name in lit else ("#eef0f3", GREY)
        style = {"boxstyle": "round,pad=0,rounding_size=0.06", "facecolor": face, "edgecolor": edge, "zorder": 2}
        ax.add_patch(FancyBboxPatch(lower_left, BOX, HIGH, mutation_aspect=4, **style))
        centre = {"ha": "center", "va": "center", "fontsize": SIZE, "color": INK, "zorder": 3}
        ax.text(column, rows[name] - (0.16 if change else 0), name, weight="bold", **centre)
        ax.text(column, rows[name] + 0.18, change, **centre)
        if parent is not None:
            turn, start, end = column - 0.5, columns[parent] + BOX / 2, column - BOX / 2
            heights = rows[parent], rows[parent], rows[name], rows[name]
            ax.plot((start, turn, turn, end), heights, color=GREY, linewidth=1.2, zorder=1)
    ax.set(xlim=(-0.5, deep - 0.5), ylim=(high - 0.5, -0.5))
    ax.axis("off")
    fig.subplots_adjust(0, 0, 1, 1)
    return fig


def readings_in_time(written, readings, values) -> Figure:
    """What memories hold after each write under one key: a row of panels, one column for each write.

    White is 0, full orange 1. A frame marks the value that was written last: a good memory is orange there.

    Args:
        written: (n,) place of the value that each write brings.
        readings: name of a memory -> (n, values), what it reads after each write.
        values: their names.
    """
    readings = {name: array(reading) for name, reading in readings.items()}
    orange = LinearSegmentedColormap.from_list("orange", ["white", LIT])
    fig, axes = subplots(len(readings), 1, figsize=(8, 1.35 * len(readings) + 0.4), sharex=True, squeeze=False)
    for ax, (name, reading) in zip(axes[:, 0], readings.items()):
        ax.imshow(reading.T, cmap=orange, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        for (n, value), share in np.ndenumerate(reading):
            if share > 0.005:
                ax.text(n, value, f"{share:.2g}", ha="center", va="center", fontsize=SIZE, color=INK)
        for n, value in enumerate(array(written)):
            ax.add_patch(Rectangle((n - 0.47, value - 0.46), 0.94, 0.92, fill=False, edgecolor=INK, linewidth=1.6))
        ax.set_yticks(range(len(values)), values, fontsize=SIZE)
        ax.set_xticks(range(len(written)), [str(n + 1) for n in range(len(written))], fontsize=SIZE)
        ax.set_title(name, fontsize=SIZE, loc="left")
        ax.tick_params(length=0)
    axes[-1, 0].set_xlabel("write", fontsize=SIZE)
    height = fig.get_figheight()
    fig.subplots_adjust(left=0.12, right=0.99, bottom=0.5 / height, top=1 - 0.27 / height, hspace=0.35)
    return fig
