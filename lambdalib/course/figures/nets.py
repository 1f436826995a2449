"""Figures of the lesson on the LambdaResNet: its blocks, its models, its stages, and the paper's hybrids.

Every function returns a matplotlib Figure. Taught in notebooks/06_lambda_resnet.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lambdalib.course.figures.style import GREY, INK, LIT, LIT_TEXT, PALE, QUIET, array, subplots

__all__ = ["coverage", "hybrids", "model_outlines", "small_block", "stage_bars", "two_bottlenecks"]


def box(ax, x: float, words: str, face: str, height: float, width: float = 1.1) -> None:
    """A box around (x, 0) with words inside."""
    ax.add_patch(
        Rectangle((x - width / 2, -height / 2), width, height, facecolor=face, edgecolor=INK, linewidth=0.8)
    )
    ax.annotate(words, (x, 0), ha="center", va="center", fontsize=9.5)


def arrow(ax, start: float, end: float, words: str = "") -> None:
    """A horizontal arrow at height 0, with words above it."""
    ax.annotate("", (end, 0), (start, 0), arrowprops={"arrowstyle": "->", "color": INK})
    ax.annotate(words, ((start + end) / 2, 0.12), ha="center", va="bottom", fontsize=9)


def way_around(ax, start: float, end: float, top: float, low: float) -> None:
    """The shortcut: from above a box at `start` to a plus at `end`."""
    ax.annotate("+", (end, 0), ha="center", va="center", fontsize=14)
    ax.plot([start, start, end, end], [low, top, top, 0.25], color=INK, linewidth=1)
    ax.annotate("shortcut", ((start + end) / 2, top + 0.06), ha="center", va="bottom", fontsize=9.5)


def two_bottlenecks(dim: int, width: int) -> Figure:
    """A bottleneck with a convolution and one with a lambda layer: a taller box has more channels out.

    Args:
        dim: channels that come in and go out.
        width: channels in the middle.
    """
    fig, axes = subplots(2, 1, figsize=(7.6, 4.6))
    for ax, middle, colour in zip(axes, (f"3×3\nconv\n{width}", f"lambda\nlayer\n{width}"), (QUIET, PALE)):
        boxes = (
            (0, f"x\n{dim}", dim, "white"),
            (2.2, f"1×1\nconv\n{width}", width, QUIET),
            (4.4, middle, width, colour),
            (6.6, f"1×1\nconv\n{dim}", dim, QUIET),
            (9.6, f"y\n{dim}", dim, "white"),
        )
        for x, words, channels, face in boxes:
            box(ax, x, words, face, 1 + channels / dim)
        for start, end, words in (
            (0.55, 1.65, ""),
            (2.75, 3.85, "ReLU"),
            (4.95, 6.05, "ReLU"),
            (7.15, 7.7, ""),
            (8.05, 9.05, "ReLU"),
        ):
            arrow(ax, start, end, words)
        way_around(ax, 0, 7.87, 1.35, 1)
        ax.set(xlim=(-0.8, 10.3), ylim=(-1.1, 1.85))
        ax.axis("off")
    fig.tight_layout()
    return fig


def small_block(dim: int, dim_out: int, side: int, mix: str = "lambda\nlayer") -> Figure:
    """The block of the small models: widen, halve the map, then mix the pixels beside a shortcut.

    Args:
        dim, dim_out: channels in and out.
        side: of the map that comes in, in pixels.
        mix: words for what mixes the pixels.
    """
    fig, ax = subplots(figsize=(9, 2.6))
    half = side // 2
    large, small = 1.9, 1.3
    boxes = (
        (0, f"x\n{dim}", "white", large),
        (2.2, f"3×3\nconv\n{dim_out}", QUIET, large),
        (4.4, "max\npool\n2×2", QUIET, small),
        (6.4, "norm", QUIET, small),
        (9, f"z\n{dim_out}", "white", small),
        (11.2, f"{mix}\n{dim_out}", PALE, small),
        (13.2, "norm", QUIET, small),
        (17, f"y\n{dim_out}", "white", small),
    )
    for x, words, face, height in boxes:
        box(ax, x, words, face, height, width=1.4)
    for start, end, words in (
        (0.7, 1.5, ""),
        (2.9, 3.7, ""),
        (5.1, 5.7, ""),
        (7.1, 8.3, "GELU"),
        (9.7, 10.5, ""),
        (11.9, 12.5, ""),
        (13.9, 15.05, "GELU"),
        (15.4, 16.3, ""),
    ):
        arrow(ax, start, end, words)
    way_around(ax, 9, 15.22, 1.15, small / 2)
    for start, end, pixels in ((-0.7, 2.9, side), (3.7, 17.7, half)):
        ax.plot([start, end], [-1.15, -1.15], color=INK, linewidth=0.8)
        ax.annotate(f"{pixels} × {pixels} pixels", ((start + end) / 2, -1.25), ha="center", va="top", fontsize=9.5)
    ax.set(xlim=(-0.85, 17.85), ylim=(-1.6, 1.6))
    ax.axis("off")
    fig.tight_layout()
    return fig


def model_outlines(models) -> Figure:
    """The feature maps of a model from left to right: a taller box is a larger map, a wider one has more channels.

    All rows have one scale.

    Args:
        models: name -> its maps, each (words, side in pixels, channels, whether a lambda layer made it).
    """
    tallest = max(side for maps in models.values() for _, side, _, _ in maps)
    widest = max(channels for maps in models.values() for _, _, channels, _ in maps)
    fig, axes = subplots(len(models), 1, figsize=(9, 2.3 * len(models)), squeeze=False)
    for ax, (name, maps) in zip(axes[:, 0], models.items()):
        x = 0.0
        for i, (words, side, channels, lit) in enumerate(maps):
            width, height = 0.06 + 1.3 * channels / widest, side / tallest
            ax.add_patch(
                Rectangle((x, 0), width, height, facecolor=LIT if lit else QUIET, edgecolor=INK, linewidth=0.8)
            )
            ax.annotate(
                words,
                (x + width / 2, height + 0.05),
                ha="center",
                va="bottom",
                fontsize=9.5,
                color=LIT_TEXT if lit else INK,
            )
            size = f"{side} × {side}\n{channels} channels"
            ax.annotate(size, (x + width / 2, -0.06), ha="center", va="top", fontsize=9.5)
            x += width + 0.85
            if i < len(maps) - 1:
                ax.annotate("", (x - 0.1, 0.08), (x - 0.75, 0.08), arrowprops={"arrowstyle": "->", "color": INK})
        ax.set_title(name, fontsize=10.5, loc="left", color=INK)
        ax.set(xlim=(-0.5, x), ylim=(-0.42, 1.3))
        ax.axis("off")
    fig.tight_layout()
    return fig


def cut_mark(ax, x: float, y: float, top: float) -> None:
    """Two slanted lines over a bar: it goes on beyond the scale."""
    for step in (0, 0.045 * top):
        ax.plot([x - 0.24, x + 0.24], [y + step - 0.02 * top, y + step + 0.02 * top], color="white", linewidth=4)
        ax.plot([x - 0.24, x + 0.24], [y + step - 0.02 * top, y + step + 0.02 * top], color=INK, linewidth=1)


def stage_bars(panels, names, title: str = "", limits=None) -> Figure:
    """Groups of bars, one group for each of the four stages c2 ... c5.

    Args:
        panels: a panel's title -> its bars (2, 4).
        names: what the two bars of a group are, grey and orange.
        title: above all panels.
        limits: top of each panel's scale; a bar that is higher is cut and carries a mark, and its number stays.
    """
    fig, axes = subplots(1, len(panels), figsize=(4.5 * len(panels), 3.3), squeeze=False)
    for i, (ax, (heading, bars)) in enumerate(zip(axes[0], panels.items())):
        top = limits[i] if limits else float(np.max(bars))
        for j, (name, values, colour) in enumerate(zip(names, array(bars), (GREY, LIT))):
            x = np.arange(4) + (0.44 * j - 0.22)
            ax.bar(x, np.minimum(values, top), 0.4, color=colour, label=name)
            for at, value in zip(x, values):
                words = f"{value:.2g}" if value < 1 else f"{value:.3g}"
                ax.annotate(words, (at, min(value, top) + 0.01 * top), ha="center", va="bottom", fontsize=9)
                if value > top:
                    cut_mark(ax, at, 0.87 * top, top)
        ax.set(xticks=range(4), xticklabels=["c2", "c3", "c4", "c5"], ylim=(0, 1.14 * top))
        ax.set_yticks([tick for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, top) if tick <= top])
        ax.set_title(heading, fontsize=9.5)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, frameon=False, fontsize=9.5, loc="lower center", ncol=2)
    fig.suptitle(title, fontsize=10, y=0.99)
    fig.subplots_adjust(left=0.06, right=0.99, top=0.7 if title else 0.9, bottom=0.18, wspace=0.14)
    return fig


def coverage(sides, scopes, shares) -> Figure:
    """The mean share of a map's height (or width) that a window sees, against the side of the window.

    Args:
        sides: (s,) sides of square maps, at most four, the largest first.
        scopes: (r,) odd sides of the window.
        shares: (s, r), between 0 and 1.
    """
    fig, ax = subplots(figsize=(7.6, 3.2))
    for side, values, colour, dashes in zip(sides, array(shares), (INK, INK, GREY, GREY), ("-", "--", "-", ":")):
        ax.plot(scopes, values, dashes, color=colour, label=f"map of {side} × {side}", linewidth=2)
    ax.set(xlabel="scope r, in pixels", ylabel="mean share of an axis", xticks=scopes[1::2], ylim=(0, 1.05))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9.5, loc="lower right")
    fig.tight_layout()
    return fig


def hybrids(rows) -> Figure:
    """Models as discs: throughput to the right, accuracy upwards, diameter for parameters.

    Those with lambda layers in c4 and c5 are orange.

    Args:
        rows: a layout such as "CCLL" -> (parameters in millions, examples per second, accuracy in percent).
    """
    fig, ax = subplots(figsize=(8.6, 4))
    for layout, (parameters, speed, accuracy) in rows.items():
        lit = layout.endswith("LL")
        ax.scatter(
            speed,
            accuracy,
            s=(0.9 * parameters) ** 2,
            color=LIT if lit else QUIET,
            alpha=0.8,
            edgecolor=INK,
            linewidth=0.6,
        )
        crowded = layout == "LLCC"  # its right is taken by LCCC
        ax.annotate(
            f"{layout}\n{parameters:g} M",
            (speed, accuracy),
            (-18 if crowded else 18, -4),
            textcoords="offset points",
            fontsize=9.5,
            ha="right" if crowded else "left",
        )
    ax.set(
        xlabel="examples per second (inference)", ylabel="ImageNet top-1 (%)", xlim=(0, 8300), ylim=(76.6, 78.8)
    )
    ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig
