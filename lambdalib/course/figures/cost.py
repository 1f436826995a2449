"""Figures of the lessons on cost: what is stored, what is counted, and what was measured.

Every function returns a matplotlib Figure. Taught in notebooks/05_cost and notebooks/05b_fast_orders.
"""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, PALE, QUIET, array, logarithmic, short, subplots

__all__ = ["alternatives", "cost_bars", "counted_and_clocked", "measured", "phases", "squares", "tiles"]


def squares(rows) -> Figure:
    """Numbers of elements as squares. Areas can be compared within a row; each row has a scale of its own.

    Args:
        rows: title -> (name -> number of elements); the first name of each row is drawn in orange.
    """
    fig, axes = subplots(len(rows), 1, figsize=(7.4, 2.2 * len(rows)), squeeze=False)
    for ax, (title, row) in zip(axes[:, 0], rows.items()):
        largest = max(row.values()) ** 0.5
        for place, (name, count) in enumerate(row.items()):
            side, left = count**0.5 / largest, 1.35 * place
            ax.add_patch(Rectangle((left, 0), side, side, facecolor=QUIET if place else LIT))
            ax.annotate(f"{name}\n{short(count)}", (left, -0.06), va="top", fontsize=9.5, color=INK)
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
    fig, (left, right) = subplots(1, 2, figsize=(9.4, 3.6), gridspec_kw={"width_ratios": [1, 1.5], "wspace": 0.16})
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
    colours = ListedColormap(["white", LIT])  # matplotlib 3.8 reads a tuple of two as a colour and its opacity
    right.imshow(array(filled), cmap=colours, vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    right.set(
        xlabel=f"pixels of the context, {t + 2 * half} rows of {t + 2 * half}",
        ylabel="queries of the tile",
        yticks=range(0, t * t, t),
        xticks=range(0, (t + 2 * half) ** 2 + 1, t + 2 * half),
    )
    right.set_title("the embeddings, the same for both tiles", fontsize=10)
    return fig


def phases(panels, sides, depths, names, marks) -> Figure:
    """Which of several ways is the cheapest, over the side of a square map and the number of channels.

    Args:
        panels: title -> whole numbers (len(depths), len(sides)), an index into names.
        sides, depths: what the columns and rows stand for, drawn evenly spaced.
        names: at most four.
        marks: words -> a list of (side, depth); at most two.
    """
    colours, places = (QUIET, GREY, PALE, LIT), np.arange(len(sides))
    fig, axes = subplots(1, len(panels), figsize=(4.6 * len(panels), 3.7), squeeze=False)
    for ax, (title, cheapest) in zip(axes[0], panels.items()):
        ax.imshow(array(cheapest), cmap=ListedColormap(colours), vmin=0, vmax=3, origin="lower", aspect="auto")
        lines = []
        for marker, (words, spots) in zip("o^", marks.items()):
            x, y = [np.interp(side, sides, places) for side, _ in spots], [depths.index(d) for _, d in spots]
            lines += ax.plot(x, y, marker, markersize=7, color=INK, markerfacecolor="white", label=words)
        ax.set(xticks=places, yticks=range(len(depths)), xlabel="side of the map", ylabel="channels d")
        ax.set_xticklabels(sides)
        ax.set_yticklabels(depths)
        ax.set_title(title, fontsize=10)
    squares = [Rectangle((0, 0), 1, 1, color=colour, label=name) for colour, name in zip(colours, names)]
    for handles, height in ((squares, 0.07), (lines, 0.0)):
        fig.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, height), ncol=4, frameon=False, fontsize=9.5
        )
    fig.tight_layout(rect=(0, 0.15, 1, 1))
    return fig


def counted_and_clocked(groups) -> Figure:
    """For each shape, multiply-adds, estimated price and measured time, as multiples of the smallest.

    Args:
        groups: title -> (name -> (multiply-adds, price, seconds)).
    """
    columns = min(3, len(groups))
    rows = -(-(len(groups) + 1) // columns)  # one place is left for the legend
    fig, axes = subplots(rows, columns, figsize=(3 * columns, 2.6 * rows), sharey=True, squeeze=False)
    for ax, (title, row) in zip(axes.flat, groups.items()):
        heights = np.array(list(row.values()), float)
        heights /= heights.min(0)
        places = np.arange(len(row))
        for j, (label, colour) in enumerate((("multiply-adds", QUIET), ("price", GREY), ("time", LIT))):
            ax.bar(places + 0.28 * (j - 1), heights[:, j], 0.26, color=colour, label=label)
        ax.axhline(1, color=INK, linewidth=0.8)
        ax.set(xticks=places)
        ax.set_xticklabels(row, rotation=30, ha="right", fontsize=9)
        ax.set_title(title, fontsize=10)
    logarithmic(axes[0, 0].yaxis, (1, 3, 10, 30, 100))
    for ax in axes[:, 0]:
        ax.set_ylabel("times the smallest")
    for ax in axes.flat[len(groups) :]:
        ax.axis("off")
    axes.flat[-1].legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, fontsize=10, loc="center")
    fig.tight_layout()
    return fig


def cost_bars(panels, title: str = "", highest: float = 1e4) -> Figure:
    """Counts as multiples of the smallest of their panel, on an axis that never changes.

    Args:
        panels: title -> (name -> count). The bar of the smallest count is orange.
        title: above all panels.
        highest: the end of the logarithmic axis, a power of ten; a longer bar ends there with an arrow.
    """
    fig, axes = subplots(1, len(panels), figsize=(3 * len(panels), 2.5), squeeze=False)
    end = np.log10(highest)
    for ax, (heading, row) in zip(axes[0], panels.items()):
        least = min(row.values())
        for place, (name, count) in enumerate(row.items()):
            ratio = count / least
            length, arrow = np.log10(ratio), " →" if ratio > highest else ""
            ax.barh(place, max(min(length, end), 0.04), 0.42, color=LIT if count == least else QUIET)
            number = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
            words = f"{name}: ×{number} · {short(count)}{arrow}"
            ax.annotate(words, (0, place), xytext=(2, 11), textcoords="offset points", va="center", fontsize=9)
        ax.set(xlim=(0, end), ylim=(3.5, -0.75), yticks=[], xticks=range(0, int(end) + 1, 2))
        ax.set_xticklabels([f"×{10**exponent:,}" for exponent in ax.get_xticks()], fontsize=9)
        ax.set_title(heading, fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    width, height = fig.get_size_inches()
    fig.suptitle(title, fontsize=10, y=1 - 0.08 / height)
    fig.subplots_adjust(
        left=0.2 / width, right=1 - 0.35 / width, bottom=0.3 / height, top=1 - 0.6 / height, wspace=0.22
    )
    return fig


def measured(layers, growth) -> Figure:
    """What `lambdalib bench` recorded of the lambda layer: its time beside public layers', and how its time grows.

    Args:
        layers: rows of the part "layer": dicts with shape, dtype, and seconds of "ours" and of the others.
        growth: rows of the part "growth": dicts with what ("pixels" or "scope"), dtype,
            seconds, and sides or scopes.
    """
    fig = Figure(figsize=(9, 7.2))
    (beside, pixels, scopes) = (fig.add_subplot(2, *place) for place in ((1, 1), (2, 3), (2, 4)))
    colours = dict(zip(dict.fromkeys(row["dtype"] for row in layers), (INK, LIT)))
    names = list(dict.fromkeys("{side}×{side}, d {d}, r {r}, u {u}".format(**row["shape"]) for row in layers))
    for j, (dtype, colour) in enumerate(colours.items()):
        ratios = [
            min(seconds for name, seconds in row["seconds"].items() if name != "ours") / row["seconds"]["ours"]
            for row in layers
            if row["dtype"] == dtype
        ]
        places = np.arange(len(names)) + 0.4 * (j - 0.5)
        beside.barh(places, np.array(ratios) - 1, 0.36, left=1, color=colour, label=dtype)
        for place, ratio in zip(places, ratios):
            side, align = (3, "left") if ratio >= 1 else (-3, "right")
            look = dict(textcoords="offset points", ha=align, va="center", fontsize=9)
            beside.annotate(f"{ratio:.1f}", (ratio, place), xytext=(side, 0), **look)
    beside.axvline(1, color=INK, linewidth=0.8)
    beside.set(yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6))
    beside.set_yticklabels(names)
    low, high = beside.get_xlim()
    logarithmic(beside.xaxis, (0.5, 1, 2, 4, 8, 16, 32))
    beside.set_xlim(0.8 * min(low, 1), 1.25 * high)
    beside.set_title("time of the fastest public layer, in units of ours, forward and backward", fontsize=10)
    beside.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.12))
    for row in growth:
        ax, sizes = (pixels, np.square(row["sides"])) if row["what"] == "pixels" else (scopes, row["scopes"])
        milliseconds = 1e3 * np.array(row["seconds"])
        ax.plot(sizes, milliseconds, ".-", color=colours[row["dtype"]], label=row["dtype"])
        if ax is pixels:
            ax.plot(sizes, milliseconds[0] * sizes / sizes[0], ":", color=colours[row["dtype"]], linewidth=1)
    sides = next(row["sides"] for row in growth if row["what"] == "pixels")
    logarithmic(pixels.xaxis, [side**2 for side in sides])
    logarithmic(pixels.yaxis, (5, 10, 20, 50, 100))
    pixels.set(xlabel="pixels of the map (dotted: in proportion)", ylabel="ms")
    pixels.set_title("growth with the map, window of 7", fontsize=10)
    scopes.set(
        xticks=next(row["scopes"] for row in growth if row["what"] == "scope"),
        ylim=(0, None),
        xlabel="side r of the window",
        ylabel="ms",
    )
    scopes.set_title("growth with the window, map of 16 × 16", fontsize=10)
    fig.tight_layout(h_pad=1.5)
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
    fig, axes = subplots(1, len(dtypes), figsize=(4.7 * len(dtypes), 4.0), sharey=True, squeeze=False)
    for ax, dtype in zip(axes[0], dtypes):
        for name in names:
            points = [
                (row["side"], 1e3 * row["seconds"][name])
                for row in rows
                if row["dtype"] == dtype and name in row["seconds"]
            ]
            ax.plot(*zip(*points), marker=".", label=name, **looks[name])
        logarithmic(ax.xaxis, sorted({row["side"] for row in rows}))
        ax.set(xlabel="side of the map", title=dtype)
    logarithmic(axes[0, 0].yaxis, (1, 10, 100, 1000))
    axes[0, 0].set_ylabel("ms, forward and backward")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), frameon=False, ncol=2, loc="lower center")
    fig.tight_layout(rect=(0, 0.14, 1, 1))
    return fig
