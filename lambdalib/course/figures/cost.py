"""Figures of the lesson on cost: what is stored, what is counted, and what was measured.

Every function returns a matplotlib Figure. Taught in notebooks/05_cost.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, PALE, QUIET, array, logarithmic

__all__ = ["alternatives", "cost_bars", "counted_and_clocked", "measured", "phases", "squares", "tiles"]


def squares(rows) -> Figure:
    """Numbers of elements as squares. Areas can be compared within a row; each row has a scale of its own.

    Args:
        rows: title -> (name -> number of elements); the first name of each row is drawn in orange.
    """
    fig, axes = plt.subplots(len(rows), 1, figsize=(8, 2.2 * len(rows)), squeeze=False)
    for ax, (title, row) in zip(axes[:, 0], rows.items()):
        largest = max(row.values()) ** 0.5
        for place, (name, count) in enumerate(row.items()):
            side, left = count**0.5 / largest, 1.35 * place
            ax.add_patch(Rectangle((left, 0), side, side, facecolor=QUIET if place else LIT))
            ax.annotate(f"{name}\n{count:,}", (left, -0.06), va="top", fontsize=9, color=INK)
        ax.set(xlim=(-0.05, 1.35 * len(row)), ylim=(-0.36, 1.02), aspect="equal")
        ax.set_title(title, fontsize=10, loc="left")
        ax.axis("off")
    fig.tight_layout()
    return fig


def tiles(side: int, r: int, places, filled) -> Figure:
    """What the tiles of a map see, and the one matrix of embeddings that serves them all.

    Args:
        side: of a square map.
        r: side of the window.
        places: two (row, column), counted in tiles.
        filled: (t², c²), true where a query of a tile (row) has a pixel of its context (column) in its window.
    """
    half, t = r // 2, r // 2 + 1
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.9), gridspec_kw={"width_ratios": [1, 1.7], "wspace": 0.12}
    )
    left.add_patch(Rectangle((0, 0), side, side, facecolor="white", edgecolor=INK))
    for row, column in places:
        x, y = column * t, row * t
        left.add_patch(
            Rectangle((x - half, y - half), t + 2 * half, t + 2 * half, facecolor=PALE, edgecolor=LIT, alpha=0.75)
        )
        left.add_patch(Rectangle((x, y), t, t, facecolor=LIT))
    row, column = places[0]
    left.plot(column * t + 0.5, row * t + 0.5, "s", markersize=5, color=INK)
    left.add_patch(
        Rectangle((column * t - half, row * t - half), r, r, facecolor="none", edgecolor=INK, linewidth=1.4)
    )
    for line in range(0, side + 1, t):
        left.plot([line, line], [0, side], color=GREY, linewidth=0.6)
        left.plot([0, side], [line, line], color=GREY, linewidth=0.6)
    left.set(xlim=(-half - 0.5, side + half + 0.5), ylim=(side + half + 0.5, -half - 0.5), aspect="equal")
    left.set_title(f"two tiles of {t} × {t}, each in its context", fontsize=10)
    left.axis("off")
    right.imshow(
        array(filled), cmap=ListedColormap(("white", LIT)), vmin=0, vmax=1, interpolation="nearest", aspect="auto"
    )
    right.set(
        xlabel=f"pixels of the context, {t + 2 * half} rows of {t + 2 * half}",
        ylabel="queries of the tile",
        yticks=range(0, t * t, t),
        xticks=range(0, (t + 2 * half) ** 2 + 1, t + 2 * half),
    )
    right.set_title("the sheets of embeddings, the same for both: orange where the window is", fontsize=10)
    return fig


def phases(panels, sides, depths, names, ties, marks) -> Figure:
    """Which of several ways is the cheapest, over the side of a square map and the number of channels.

    Args:
        panels: title -> whole numbers (len(depths), len(sides)), an index into names.
        sides, depths: what the columns and rows stand for, drawn evenly spaced.
        names: at most four.
        ties: (len(depths),), a side for each depth, drawn as a dashed line.
        marks: a list of (side, depth, text).
    """
    colours = (QUIET, GREY, PALE, LIT)
    fig, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.4), squeeze=False)
    for ax, (title, cheapest) in zip(axes[0], panels.items()):
        ax.imshow(array(cheapest), cmap=ListedColormap(colours), vmin=0, vmax=3, origin="lower", aspect="auto")
        ax.plot(
            np.interp(ties, sides, np.arange(len(sides))), np.arange(len(depths)), "--", color=INK, linewidth=1
        )
        for side, depth, text in marks:
            ax.annotate(
                text,
                (np.interp(side, sides, np.arange(len(sides))), depths.index(depth)),
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold",
                color=INK,
            )
        ax.set(
            xticks=range(len(sides)),
            xticklabels=sides,
            yticks=range(len(depths)),
            yticklabels=depths,
            xlabel="side of the map",
            ylabel="channels d",
        )
        ax.set_title(title, fontsize=10)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours[: len(names)]]
    fig.legend(handles, names, loc="lower center", ncol=len(names), frameon=False, fontsize=9)
    fig.tight_layout(rect=(0, 0.08, 1, 1))
    return fig


def counted_and_clocked(groups) -> Figure:
    """For each shape, multiply-adds, estimated price and measured time, as multiples of the smallest.

    Args:
        groups: title -> (name -> (multiply-adds, price, seconds)).
    """
    fig, axes = plt.subplots(1, len(groups), figsize=(2.5 * len(groups), 3), sharey=True, squeeze=False)
    for ax, (title, row) in zip(axes[0], groups.items()):
        heights = np.array(list(row.values()), float)
        heights /= heights.min(0)
        places = np.arange(len(row))
        for j, (label, colour) in enumerate((("multiply-adds", QUIET), ("price", GREY), ("time", LIT))):
            ax.bar(places + 0.28 * (j - 1), heights[:, j], 0.26, color=colour, label=label)
        ax.axhline(1, color=INK, linewidth=0.8)
        ax.set_yscale("log")
        ax.set(xticks=places)
        ax.set_xticklabels(row, rotation=30, ha="right", fontsize=8)
        ax.set_title(title, fontsize=8)
    axes[0, 0].set_ylabel("times the smallest")
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig


def cost_bars(panels, lit, limits, title: str = "") -> Figure:
    """Counts as bars on logarithmic axes that never change, so that two settings can be compared.

    Args:
        panels: title -> (name -> count). The first panel has every name, the others may lack some.
        lit: the names whose bars are orange.
        limits: (low, high) for all panels.
        title: above all panels.
    """
    names = list(next(iter(panels.values())))
    fig, axes = plt.subplots(
        1,
        len(panels),
        figsize=(3.9 * len(panels), 0.28 * len(names) + 1.0),
        sharey=True,
        squeeze=False,
        gridspec_kw={"wspace": 0.08},
    )
    low, high = np.log10(limits)
    exponents = range(int(low), int(high) + 1, 3)
    for ax, (heading, row) in zip(axes[0], panels.items()):
        places = [names.index(name) for name in row]
        ax.barh(
            places,
            np.log10(list(row.values())) - low,
            left=low,
            color=[LIT if name in lit else QUIET for name in row],
        )  # a linear axis of exponents draws faster
        for place, count in zip(places, row.values()):
            ax.annotate(
                f"{count:,.0f}", (low, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
        ax.set(xlim=(low, high), yticks=range(len(names)), xticks=exponents)
        ax.set_xticklabels(
            ["10" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) for exponent in exponents]
        )
        ax.set_yticklabels(names, fontsize=9)
        ax.set_title(heading, fontsize=10)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    height = fig.get_figheight()
    fig.suptitle(title, fontsize=9, y=1 - 0.08 / height)
    fig.subplots_adjust(left=0.135, right=0.98, bottom=0.3 / height, top=1 - 0.55 / height)
    return fig


def measured(layers, growth) -> Figure:
    """What `lambdalib bench` recorded of the lambda layer: its time beside public layers', and how its time grows.

    Args:
        layers: rows of the part "layer": dicts with shape, dtype, and seconds of "ours" and of the others.
        growth: rows of the part "growth": dicts with what ("pixels" or "scope"), dtype,
            seconds, and sides or scopes.
    """
    fig, (beside, pixels, scopes) = plt.subplots(
        1, 3, figsize=(13, 3.9), gridspec_kw={"width_ratios": [1.35, 1, 1]}
    )
    colours = dict(zip(dict.fromkeys(row["dtype"] for row in layers), (INK, LIT)))
    names = list(dict.fromkeys("{side}×{side}, d {d}, r {r}, u {u}".format(**row["shape"]) for row in layers))
    for j, (dtype, colour) in enumerate(colours.items()):
        ratios = [
            min(seconds for name, seconds in row["seconds"].items() if name != "ours") / row["seconds"]["ours"]
            for row in layers
            if row["dtype"] == dtype
        ]
        places = np.arange(len(names)) + 0.36 * (j - 0.5)
        beside.barh(places, np.array(ratios) - 1, 0.34, left=1, color=colour, label=dtype)
        for place, ratio in zip(places, ratios):
            beside.annotate(
                f"{ratio:.1f}",
                (ratio, place),
                xytext=(3 if ratio >= 1 else -3, 0),
                textcoords="offset points",
                ha="left" if ratio >= 1 else "right",
                va="center",
                fontsize=7,
            )
    beside.axvline(1, color=INK, linewidth=0.8)
    beside.set(
        yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6), xlabel="time of the fastest public layer / ours"
    )
    beside.set_yticklabels(names, fontsize=8)
    low, high = beside.get_xlim()
    logarithmic(beside.xaxis, (0.5, 1, 2, 4, 8, 16, 32))
    beside.set_xlim(0.8 * min(low, 1), 1.25 * high)
    beside.set_title("forward and backward, beside the fastest public layer", fontsize=9)
    beside.legend(frameon=False, fontsize=8)
    for row in growth:
        ax, sizes = (pixels, np.square(row["sides"])) if row["what"] == "pixels" else (scopes, row["scopes"])
        milliseconds = 1e3 * np.array(row["seconds"])
        ax.plot(sizes, milliseconds, ".-", color=colours[row["dtype"]], label=row["dtype"])
        if ax is pixels:
            ax.plot(sizes, milliseconds[0] * sizes / sizes[0], ":", color=colours[row["dtype"]], linewidth=1)
    sides = next(row["sides"] for row in growth if row["what"] == "pixels")
    logarithmic(pixels.xaxis, [side**2 for side in sides])
    pixels.set_yscale("log")
    pixels.set_xlabel("pixels of the map (dotted: in proportion)")
    pixels.set_title("growth with the map, window of 7, ms", fontsize=9)
    scopes.set(
        xticks=next(row["scopes"] for row in growth if row["what"] == "scope"),
        ylim=(0, None),
        xlabel="side r of the window",
    )
    scopes.set_title("growth with the window, map of 16 × 16, ms", fontsize=9)
    fig.tight_layout()
    return fig


def alternatives(rows) -> Figure:
    """Milliseconds of what may stand in a lambda layer's place, over the side of the map.

    Args:
        rows: of the part "alternatives" of `lambdalib bench`: dicts with dtype, side, and seconds of each module.
    """
    dtypes = list(dict.fromkeys(row["dtype"] for row in rows))
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    looks = {
        name: {"color": colour, "linestyle": "-" if "lambda" in name else "--"}
        for name, colour in zip(
            sorted(names, key=lambda name: "lambda" not in name), (LIT, "#b9a23a", INK, GREY, "#5a7fb0")
        )
    }
    fig, axes = plt.subplots(1, len(dtypes), figsize=(5.2 * len(dtypes), 3.4), sharey=True, squeeze=False)
    for ax, dtype in zip(axes[0], dtypes):
        for name in names:
            points = [
                (row["side"], 1e3 * row["seconds"][name])
                for row in rows
                if row["dtype"] == dtype and name in row["seconds"]
            ]
            ax.plot(*zip(*points), marker=".", label=name, **looks[name])
        logarithmic(ax.xaxis, sorted({row["side"] for row in rows}))
        ax.set_yscale("log")
        ax.set(xlabel="side of the map", title=dtype)
    axes[0, 0].set_ylabel("ms, forward and backward")
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig
