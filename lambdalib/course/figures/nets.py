"""Figures of the lesson on the LambdaResNet: its block, its stages, and the paper's hybrids.

Every function returns a matplotlib Figure. Taught in notebooks/06_lambda_resnet.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, QUIET, array

__all__ = ["coverage", "hybrids", "stage_bars", "two_bottlenecks"]


def two_bottlenecks(dim: int, width: int) -> Figure:
    """A bottleneck with a convolution and one with a lambda layer: a taller box has more channels out.

    Args:
        dim: channels that come in and go out.
        width: channels in the middle.
    """
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.1))
    for ax, middle, colour in zip(axes, (f"3×3\nconv\n{width}", f"lambda\nlayer\n{width}"), (QUIET, LIT)):
        boxes = (
            (0, f"x\n{dim}", dim, "white"),
            (2, f"1×1\n{width}", width, QUIET),
            (4, middle, width, colour),
            (6, f"1×1\n{dim}", dim, QUIET),
            (9, f"y\n{dim}", dim, "white"),
        )
        for x, text, channels, face in boxes:
            height = 0.8 + channels / dim
            ax.add_patch(
                Rectangle((x - 0.55, -height / 2), 1.1, height, facecolor=face, edgecolor=INK, linewidth=0.8)
            )
            ax.annotate(text, (x, 0), ha="center", va="center", fontsize=9)
        for start, end in ((0.55, 1.45), (2.55, 3.45), (4.55, 5.45), (6.55, 7.25), (7.75, 8.45)):
            ax.annotate("", (end, 0), (start, 0), arrowprops={"arrowstyle": "->", "color": INK})
        for x in (3, 5, 8.1):
            ax.annotate("ReLU", (x, 0.1), ha="center", fontsize=7)
        ax.annotate("+", (7.5, 0), ha="center", va="center", fontsize=14)
        ax.plot([0, 0, 7.5, 7.5], [0.9, 1.35, 1.35, 0.2], color=INK, linewidth=1)
        ax.annotate("shortcut", (3.75, 1.4), ha="center", va="bottom", fontsize=9)
        ax.set(xlim=(-0.8, 9.8), ylim=(-1.1, 1.8))
        ax.axis("off")
    fig.tight_layout()
    return fig


def stage_bars(panels, names, title: str = "", limits=None) -> Figure:
    """Groups of bars, one group for each of the four stages c2 ... c5.

    Args:
        panels: a panel's title -> its bars (2, 4).
        names: what the two bars of a group are, grey and orange.
        title: above all panels.
        limits: top of each panel's scale; a bar that is higher is cut off, its number stays.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.2), squeeze=False)
    for i, (ax, (heading, bars)) in enumerate(zip(axes[0], panels.items())):
        top = limits[i] if limits else 1.15 * float(np.max(bars))
        for j, (name, values, colour) in enumerate(zip(names, array(bars), (GREY, LIT))):
            x = np.arange(4) + (0.42 * j - 0.21)
            ax.bar(x, values, 0.39, color=colour, label=name)
            for at, value in zip(x, values):
                ax.annotate(
                    f"{value:.2g}" if value < 1 else f"{value:.3g}",
                    (at, min(value, 0.94 * top)),
                    ha="center",
                    va="bottom",
                    fontsize=7,
                )
        ax.set(xticks=range(4), xticklabels=["c2", "c3", "c4", "c5"], ylim=(0, top))
        ax.set_title(heading, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    fig.suptitle(title, fontsize=10, y=0.99)
    fig.subplots_adjust(left=0.05, right=0.99, top=0.72 if title else 0.88, bottom=0.12, wspace=0.16)
    return fig


def coverage(sides, scopes, shares) -> Figure:
    """The mean share of a map's height (or width) that a window sees, against the side of the window.

    Args:
        sides: (s,) sides of square maps, at most four.
        scopes: (r,) odd sides of the window.
        shares: (s, r), between 0 and 1.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3))
    for side, values, colour in zip(sides, array(shares), (LIT, INK, GREY, "#b9a23a")):
        ax.plot(scopes, values, ".-", color=colour, label=f"map of {side} × {side}")
    ax.set(xlabel="scope r", ylabel="mean share of an axis seen", xticks=scopes[::2], ylim=(0, 1.05))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig


def hybrids(rows) -> Figure:
    """Models as discs: throughput to the right, accuracy upwards, diameter for parameters.

    Those with lambda layers in c4 and c5 are orange.

    Args:
        rows: a layout such as "CCLL" -> (parameters in millions, examples per second, accuracy in percent).
    """
    fig, ax = plt.subplots(figsize=(8, 3.8))
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
            (-15 if crowded else 15, -4),
            textcoords="offset points",
            fontsize=8,
            ha="right" if crowded else "left",
        )
    ax.set(
        xlabel="examples per second (inference, as printed in the paper)",
        ylabel="ImageNet top-1 (%)",
        xlim=(0, 8300),
        ylim=(76.6, 78.8),
    )
    fig.tight_layout()
    return fig
