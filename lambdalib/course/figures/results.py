"""Figures of what training gave: curves, accuracies with their spread, and errors.

Every function returns a matplotlib Figure. Taught in notebooks/07_train_on_cifar10,
notebooks/09_what_the_lambda_is_worth and notebooks/09b_how_sure.
"""

from itertools import pairwise

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from lambdalib.course.figures.style import (
    GREY,
    GREY_TEXT,
    INK,
    LIT,
    LIT_TEXT,
    PALE,
    QUIET,
    array,
    light,
    logarithmic,
    subplots,
)

__all__ = [
    "accuracy_over_cost",
    "confusion",
    "differences",
    "error_curves",
    "faders",
    "loss_and_error",
    "reruns",
    "two_steps",
]


def error_curves(runs) -> Figure:
    """Test error over epochs, one line for each run: on a logarithmic axis halving the error is always one step.

    Used by tools/make_figures.py.

    Args:
        runs: name -> the dicts of its log.jsonl, at most four; those that hold a "test_accuracy" are drawn.
    """
    fig, ax = subplots(figsize=(7.4, 3.4))
    for (name, records), colour in zip(runs.items(), (LIT, INK, GREY, PALE)):
        tested = [record for record in records if record["kind"] == "epoch" and "test_accuracy" in record]
        errors = [100 - 100 * record["test_accuracy"] for record in tested]
        ax.plot([record["epoch"] for record in tested], errors, ".-", color=colour, linewidth=1.3, label=name)
        label_point(ax, f"{errors[-1]:.1f} %", (tested[-1]["epoch"], errors[-1]), (5, -3), INK)
    ax.set(xlabel="epoch", ylabel="test error, %", xlim=(0, None))
    logarithmic(ax.yaxis, [5, 10, 20, 50, 100])
    ax.set_ylim(4, 100)
    ax.grid(color=QUIET, linewidth=0.5)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    fig.tight_layout()
    return fig


def loss_and_error(losses, errors, lit=()) -> Figure:
    """Training loss and test error over epochs, side by side; the error has a logarithmic axis.

    Args:
        losses: name -> the dicts of a log.jsonl, for runs whose losses can be compared.
        errors: the same, at most six; those that hold a "test_accuracy" are drawn.
        lit: names to draw in orange.
    """
    fig, (left, right) = subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.15))
    for name, marker in zip(losses | errors, "osD^vP"):
        style = {"marker": marker, "markersize": 4.5, "linewidth": 1.2, "color": LIT if name in lit else INK}
        style |= {"markerfacecolor": "white"} if marker in "D^P" else {}
        epochs = [record for record in losses.get(name, []) if record["kind"] == "epoch"]
        left.plot([record["epoch"] for record in epochs], [record["loss"] for record in epochs], **style)
        tested = [record for record in errors.get(name, []) if "test_accuracy" in record and "epoch" in record]
        wrong = [100 * (1 - record["test_accuracy"]) for record in tested]
        right.plot([record["epoch"] for record in tested], wrong, label=name, **style)
    left.set(xlabel="epoch", ylabel="mean training loss", xlim=(0, None))
    right.set(xlabel="epoch", ylabel="test error, %", xlim=(0, None))
    logarithmic(right.yaxis, [5, 10, 20, 50, 100])
    right.set_ylim(4, 100)
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.grid(color=QUIET, linewidth=0.5)
        ax.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig


def accuracy_over_cost(panels, families) -> Figure:
    """Test accuracy over what a model costs, a panel for each cost: families as lines, published models as rings.

    Used by tools/make_figures.py.

    Args:
        panels: label of the axis -> (ours, published); ours: name -> (family, cost, accuracy, half width of its
            interval or NaN), published: name -> (cost, accuracy); accuracies in percent.
        families: family -> its colour; a line joins its models from the cheapest to the dearest, and the legend
            names it.
    """
    fig, axes = subplots(1, len(panels), figsize=(10, 4.6), sharey=True, squeeze=False)
    for ax, (label, (ours, published)) in zip(axes[0], panels.items()):
        for name, (cost, accuracy) in published.items():
            ax.plot(cost, accuracy, "o", markerfacecolor="none", color=GREY, markersize=5)
            label_point(ax, name, (cost, accuracy), (6, -3), GREY)
        for family, colour in families.items():
            points = sorted(values[1:] for values in ours.values() if values[0] == family)
            line = [(cost, mean) for cost, mean, _ in points]
            ax.plot(*zip(*line), color=colour, linewidth=1.2, label=family if len(line) > 1 else None)
            for cost, mean, half in points:
                ax.errorbar(cost, mean, None if np.isnan(half) else half, fmt="o", color=colour, capsize=3)
        for name, (family, cost, mean, _) in ours.items():
            offset = (-6, 4) if families[family] == LIT else (6, -11)
            label_point(ax, name, (cost, mean), offset, families[family])
        costs = [cost for _, cost, *_ in ours.values()] + [cost for cost, _ in published.values()]
        ax.set(xscale="log", xlabel=label, xlim=(min(costs) / 3, max(costs) * 8))  # with room for the names
        ax.grid(color=QUIET, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("test accuracy, %")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="upper left")
    fig.tight_layout()
    return fig


def label_point(ax, name: str, point: tuple[float, float], offset: tuple[float, float], colour: str) -> None:
    """Write a name beside a point, to its left where the offset, in typographic points, is negative."""
    side = "right" if offset[0] < 0 else "left"
    colour = {LIT: LIT_TEXT, GREY: GREY_TEXT}.get(colour, colour)  # what suits lines is too pale for words
    halo = [withStroke(linewidth=2, foreground="white")]  # or a line strikes the name through
    ax.annotate(name, point, textcoords="offset points", xytext=offset, fontsize=8, color=colour, ha=side,
                path_effects=halo)  # fmt: skip


def confusion(counts, names, title: str = "") -> Figure:
    """Which classes a model mistakes for which, and the share of each class that it gets right.

    Used by tools/make_figures.py.

    Args:
        counts: (classes, classes), how many images of each class (rows) got which name (columns).
        names: of the classes.
        title: above the shares.
    """
    counts = array(counts)
    wrong = counts - np.diag(np.diag(counts))
    fig, (left, right) = subplots(1, 2, figsize=(9, 3.8), width_ratios=(1.25, 1))
    left.imshow(wrong, cmap=LinearSegmentedColormap.from_list("lit", ["white", LIT]), aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            left.annotate(
                str(count),
                (column, row),
                ha="center",
                va="center",
                fontsize=6.5,
                color=GREY_TEXT if row == column else INK,
            )
    left.set(xticks=range(len(names)), yticks=range(len(names)), yticklabels=names)
    left.set_xticklabels(names, rotation=45, ha="right")
    left.set_title("rows: what it is; columns: what the net says", fontsize=9)
    shares = 100 * np.diag(counts) / counts.sum(1)
    right.barh(range(len(names)), shares, color=QUIET)
    for row, share in enumerate(shares):
        right.annotate(f"{share:.1f}", (share - 0.3, row), ha="right", va="center", fontsize=8)
    right.set(yticks=[], xlim=(min(80, shares.min() - 2), 100), ylim=left.get_ylim(), xlabel="right, %")
    right.set_title(title, fontsize=9)
    fig.tight_layout()
    return fig


def differences(rows, label: str, notes=None) -> Figure:
    """Differences to one row with their 95 % intervals, one below the other, and a line at 0.

    Significant ones, whose interval does not contain 0, are orange.

    Args:
        rows: name -> (difference, half width of its interval or NaN), in points.
        label: under the axis.
        notes: for each name, words at the right border.
    """
    fig, ax = subplots(figsize=(7.6 if notes is None else 8.8, 0.8 + 0.42 * len(rows)))
    for row, (difference, half) in enumerate(rows.values()):
        reach = None if np.isnan(half) else half
        style = {"fmt": "o", "markersize": 6, "linewidth": 2, "capsize": 4}
        ax.errorbar(difference, row, xerr=reach, color=LIT if abs(difference) > half else INK, **style)
        if notes is not None:
            at = {"xycoords": ("axes fraction", "data"), "va": "center"}
            ax.annotate(notes[row], (1.02, row), fontsize=9, color=INK, **at)
    ax.axvline(0, color=GREY, linewidth=1.5, zorder=0)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.45, -0.55))
    ax.set_xlabel(label, fontsize=9)
    ax.grid(axis="x", color=QUIET, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    fig.tight_layout()
    return fig


def faders(accuracies, fades, chosen: tuple[float, float], image, names, probabilities, truth: int) -> Figure:
    """Accuracy for every setting of two faders, the chosen one framed; beside it one image and the model's answer.

    Args:
        accuracies: (content, position) in percent.
        fades: the settings of either fader.
        chosen: (content, position).
        image: (3, H, W).
        names: of the classes.
        probabilities: (classes,).
        truth: the class of the image.
    """
    accuracies = array(accuracies)
    fig, (grid, shown, answer) = subplots(1, 3, figsize=(9, 3.6), width_ratios=[1.5, 0.8, 1.1])
    grid.imshow(
        accuracies,
        cmap=LinearSegmentedColormap.from_list("lit", ["white", LIT]),
        vmin=10,
        vmax=100,
        origin="lower",
    )
    for (row, column), accuracy in np.ndenumerate(accuracies):
        grid.text(column, row, f"{accuracy:.0f}", ha="center", va="center", fontsize=9)
    row, column = fades.index(chosen[0]), fades.index(chosen[1])
    grid.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2.5))
    ticks = {"ticks": range(len(fades)), "labels": [f"{fade:g}" for fade in fades]}
    grid.set_xticks(**ticks)
    grid.set_yticks(**ticks)
    grid.set(xlabel="β · position", ylabel="α · content")
    grid.xaxis.set_label_coords(0.5, -0.1)  # or all ticks are measured to place them
    grid.yaxis.set_label_coords(-0.12, 0.5)
    grid.set_title("% right of 500 test images", fontsize=9)
    shown.imshow(light(image))
    shown.set(xticks=[], yticks=[])
    shown.set_title(f"α = {chosen[0]:g}, β = {chosen[1]:g}", fontsize=9)
    answer.barh(
        range(len(names)), array(probabilities), color=[LIT if i == truth else QUIET for i in range(len(names))]
    )
    answer.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1), xlabel="probability")
    answer.tick_params(axis="y", labelsize=9)
    answer.invert_yaxis()
    fig.subplots_adjust(left=0.06, right=0.98, bottom=0.14, top=0.92, wspace=0.45)
    return fig


def two_steps(names, seconds) -> Figure:
    """Times as bars, each with its value, and between neighbours the factor by which the lower one is faster.

    Args:
        names, seconds: as many of each.
    """
    fig, ax = subplots(figsize=(7.6, 0.8 + 0.62 * len(names)))
    drawn = ax.barh(range(len(names)), seconds, height=0.55, color=[QUIET] * (len(names) - 1) + [LIT])
    ax.bar_label(drawn, fmt="%.2f s", padding=4, fontsize=9)
    for row, (slow, fast) in enumerate(pairwise(seconds)):
        ax.annotate("", (fast, row + 0.72), (slow, row + 0.72), arrowprops={"arrowstyle": "->", "color": INK})
        ax.annotate(f"÷ {slow / fast:.2f}", ((slow + fast) / 2, row + 0.7), ha="center", va="bottom", fontsize=9)
    ax.set(
        yticks=range(len(names)), yticklabels=names, xlim=(0, 1.15 * max(seconds)), ylim=(len(names) - 0.4, -0.5)
    )
    ax.set_xlabel("seconds to train on 1024 images, read off the paper's plot", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


def reruns(rows, label: str = "accuracy, %") -> Figure:
    """Claimed numbers as hollow dots, with arrows to what came out when it was done again.

    Args:
        rows: name -> (claimed number or None, list of numbers found, colour word "lit" or "ink").
        label: under the axis.
    """
    fig, ax = subplots(figsize=(8.4, 0.9 + 0.42 * len(rows)))
    for row, (claimed, found, colour) in enumerate(rows.values()):
        colour = LIT if colour == "lit" else INK
        if claimed is not None:
            ax.plot(claimed, row, "o", markerfacecolor="white", markeredgecolor=colour, markersize=7, zorder=3)
            ax.annotate(
                f"{claimed:.1f}", (claimed, row + 0.17), ha="center", va="top", fontsize=9, color=GREY_TEXT
            )
        for number in found:
            if claimed is not None and abs(number - claimed) > 1:  # closer dots leave no room for an arrow
                ax.annotate(
                    "",
                    (number, row),
                    (claimed, row),
                    arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.3, "shrinkA": 4, "shrinkB": 4},
                )
            ax.plot(number, row, "o", color=colour, markersize=6)
            ax.annotate(f"{number:.1f}", (number, row - 0.17), ha="center", va="bottom", fontsize=9)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.75))
    ax.set_xlabel(label, fontsize=9)
    ax.grid(axis="x", color=QUIET, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0, labelsize=9)
    ax.spines[["top", "right", "left"]].set_visible(False)
    fig.tight_layout()
    return fig
