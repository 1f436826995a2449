"""Figures of the first lessons: what attention stores, how it weighs, and images side by side.

Every function returns a matplotlib Figure. Taught in notebooks/00_start_here and notebooks/01_self_attention.
"""

from fractions import Fraction

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, LIT_TEXT, QUIET, RGB, array, light, signed, subplots

__all__ = ["bars", "blends", "brackets", "growth", "maps", "one_row"]


def brackets(
    n: int, m: int, k: int, v: int, lit: str = "both", heads: int = 1, keys: str = "σᵀ", largest: int | None = None
) -> Figure:
    """Q (n×k), σᵀ (k×m) and V (m×v) to one scale, and what each bracket makes first: n×m or k×v.

    Args:
        n, m, k, v: the four sizes.
        lit: "square", "tile" or "both": what is drawn in orange.
        heads: of the queries. Each makes its own square; with shared keys and values the tile stays one.
        keys: what the keys are called; σ are soft keys.
        largest: the side that fills the height. The figures of one widget give the same, so that they share a
            scale. Default: the largest of the four sizes.
    """
    largest = largest or max(n, m, k, v)
    unit, gap = 1 / largest, 0.16
    factors = (("Q", n, k, heads), (keys, k, m, 1), ("V", m, v, 1))
    widths = [
        max(columns * unit, 0.3) for columns in (k, largest, v, largest)
    ]  # a narrow matrix still has room for its label
    lefts = np.cumsum(
        [0, *(width + gap for width in widths[:2]), widths[2] + 0.5]
    )  # the arrow stands in the wider gap
    depth, lift = unit * max(n, m, k), 0.03 * (heads - 1)
    times = f"{heads} · " if heads > 1 else ""
    panels = {
        "square": (f"(Q {keys}) V stores {times}{n:,} × {m:,} = {heads * n * m:,}", (0, 1), (n, m, heads)),
        "tile": (f"Q ({keys} V) stores {k:,} × {v:,} = {k * v:,}", (1, 2), (k, v, 1)),
    }
    fig, axes = subplots(1, 2, figsize=(8.2, 2.6))
    for ax, (made, (title, inside, shape)) in zip(axes, panels.items()):
        colour, words = (LIT, LIT_TEXT) if lit in (made, "both") else (INK, INK)
        for place, (name, rows, columns, copies) in enumerate((*factors, ("", *shape))):
            middle, result = lefts[place] + widths[place] / 2, place == 3
            for copy in reversed(range(copies)):
                corner = middle - columns * unit / 2 + 0.03 * copy, -rows * unit + 0.03 * copy
                ax.add_patch(
                    Rectangle(
                        corner,
                        columns * unit,
                        rows * unit,
                        edgecolor="white",
                        facecolor=LIT if result and colour == LIT else QUIET,
                    )
                )
            label = f"{name}\n{f'{copies} · ' if copies > 1 else ''}{rows}×{columns}"
            ink = words if result else INK
            ax.text(middle, 0.03 + lift, label, ha="center", va="bottom", fontsize=8.5, color=ink)
        first, last = lefts[inside[0]], lefts[inside[1]] + widths[inside[1]]
        ax.plot(
            [first, first, last, last],
            [-depth - 0.05, -depth - 0.1, -depth - 0.1, -depth - 0.05],
            color=colour,
            linewidth=1.2,
        )
        ax.text(lefts[3] - 0.25, -depth / 2, "→", ha="center", va="center", fontsize=14, color=INK)
        ax.set(xlim=(-0.05, lefts[3] + widths[3] + lift + 0.05), ylim=(-1.14, 0.36 + lift), aspect="equal")
        ax.set_title(title, fontsize=10, color=words)
        ax.axis("off")
    fig.subplots_adjust(0.025, 0.06, 0.98, 0.94, wspace=0.13)  # quicker than a tight layout, and always the same
    return fig


def maps(images, titles, columns: int | None = None, limit: float | None = None) -> Figure:
    """Images and feature maps side by side, each under its title.

    Args:
        images: each (3, H, W), drawn as light, or (H, W), drawn as a signed map.
        titles: one for each.
        columns: how many stand in a row; all of them by default.
        limit: the end of the signed maps' scale; by default each map's largest absolute value.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    fig, axes = subplots(rows, columns, figsize=(1.8 * columns, 2.05 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, title in zip(axes.flat, images, titles):
        image = array(image)
        if image.ndim == 3:
            ax.imshow(light(image), interpolation="nearest")
        else:
            signed(ax, image, limit)
        ax.set_title(title, fontsize=9)
    fig.tight_layout()
    return fig


def bars(names, heights, label: str) -> Figure:
    """A few named numbers as horizontal bars, each with its value; the first is the one to compare with.

    Args:
        names, heights: as many of each.
        label: under the axis.
    """
    fig, ax = subplots(figsize=(6.5, 0.5 + 0.38 * len(names)))
    drawn = ax.barh(range(len(names)), heights, color=[INK] + [LIT] * (len(names) - 1))
    ax.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    ax.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.12 * max(heights)))
    ax.set_xlabel(label, fontsize=9)
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    return fig


def blends(values, weights, outputs) -> Figure:
    """An attention matrix as a table of weights, between the colours that it blends and the colours that come out.

    Args:
        values: (m, 3) colours, 8 for full light, drawn above their columns.
        weights: (n, m), written as fractions; white = 0, full orange = 1.
        outputs: (n, 3), drawn at the right of their rows.
    """
    values, weights, outputs = array(values), array(weights), array(outputs)
    n, m = weights.shape
    fig, axes = subplots(
        2,
        2,
        figsize=(0.85 * m + 3.4, 0.62 * (n + 1) + 0.6),
        sharex="col",
        gridspec_kw={"width_ratios": [m, 1.6], "height_ratios": [1, n], "wspace": 0.06, "hspace": 0.08},
    )
    axes[0, 0].imshow(np.clip(values[None] / 8, 0, 1), aspect="auto")
    axes[0, 0].set(yticks=[])
    axes[0, 0].set_title("values $v_m$", fontsize=10)
    axes[0, 1].axis("off")
    axes[1, 0].imshow(weights, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for (i, j), weight in np.ndenumerate(weights):
        axes[1, 0].annotate(
            str(Fraction(float(weight)).limit_denominator(64)), (j, i), ha="center", va="center", fontsize=10
        )
    axes[1, 0].set(xlabel="context position m", ylabel="query position n", xticks=range(m), yticks=range(n))
    axes[1, 1].imshow(np.clip(outputs[:, None] / 8, 0, 1), aspect="auto")
    for i, colour in enumerate(outputs):
        axes[1, 1].annotate(
            ", ".join(f"{part:.3g}" for part in colour),
            (0, i),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if colour.max() < 5 else INK,
        )
    axes[1, 1].set(xticks=[], yticks=[])
    axes[1, 1].set_title("answers $y_n$", fontsize=10)
    return fig


def one_row(image, weights, pixel: tuple[int, int], answer) -> Figure:
    """One row of the attention matrix: where the weights lie, how they are spread, and the colour they blend.

    Args:
        image: (3, H, W), light between 0 and 1: the values.
        weights: (H, W), sum 1.
        pixel: (row, column) of the query.
        answer: (3,).
    """
    image, weights, answer = array(image), array(weights), array(answer)
    fig, axes = subplots(
        1, 5, figsize=(9.2, 2.5), gridspec_kw={"width_ratios": [1, 1, 1.1, 1.1, 0.35], "wspace": 0.42}
    )
    fig.subplots_adjust(left=0.01, right=0.92, bottom=0.19, top=0.84)
    axes[0].imshow(light(image), interpolation="nearest")
    axes[1].imshow(weights, cmap="Oranges", vmin=0, interpolation="nearest")
    for ax, title in zip(axes, ("image and asking pixel", f"weights, 0 … {weights.max():.2g}")):
        ax.plot(
            pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2
        )
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
    exponents = np.log10(
        np.sort(weights.ravel())[::-1] + 1e-30
    )  # a linear axis of exponents draws faster than a logarithmic one
    axes[2].plot(np.arange(1, weights.size + 1), exponents, color=LIT)
    axes[2].axhline(-np.log10(weights.size), color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(
        ylim=(-6, 0.3),
        yticks=(-6, -4, -2, 0),
        yticklabels=("10⁻⁶", "10⁻⁴", "10⁻²", "1"),
        xticks=(1, weights.size // 2, weights.size),
        xlabel="pixels, the heaviest first",
    )
    axes[2].set_title("the same, sorted\n(dotted: all equal)", fontsize=9)
    channels = image.reshape(3, -1)
    axes[3].bar(range(3), np.ptp(channels, axis=1), bottom=channels.min(1), color=QUIET, width=0.5)
    for i, colour in enumerate(RGB):
        axes[3].plot([i - 0.25, i + 0.25], [channels[i].mean()] * 2, color=INK, linewidth=1)
        axes[3].plot(i, answer[i], "o", color=colour, markersize=8)
    axes[3].set(
        ylim=(-0.1, 1.1),
        yticks=(0, 0.5, 1),
        xlim=(-0.6, 2.6),
        xticks=range(3),
        xticklabels=["R", "G", "B"],
    )
    axes[3].set_title("dot: answer, line: mean,\nbar: range of the values", fontsize=9)
    axes[4].imshow(np.stack([image[:, pixel[0], pixel[1]], np.clip(answer, 0, 1)])[:, None], aspect="auto")
    axes[4].set(xticks=[], yticks=[0, 1], yticklabels=["pixel", "answer"])
    axes[4].yaxis.tick_right()
    return fig


def growth(sides, curves, line: tuple[str, float], mark: tuple[float, float]) -> Figure:
    """Bytes against the side of a square map, both logarithmic.

    Args:
        sides: (s,) in pixels.
        curves: name -> bytes (s,), at most three.
        line: name and bytes of a horizontal line.
        mark: one (side, bytes) point.
    """
    fig, ax = subplots(figsize=(6.4, 3.2))
    for (name, values), colour in zip(curves.items(), (LIT, INK, GREY)):
        ax.loglog(sides, values, color=colour, label=name)
    ax.axhline(line[1], color=INK, linewidth=0.8, linestyle=":")
    ax.annotate(line[0], (sides[0], line[1] * 1.4), fontsize=8)
    ax.plot(*mark, "o", color=LIT)
    ax.set(
        xlabel="side H of a square map, in pixels",
        ylabel="bytes",
        xticks=sides,
        xticklabels=[str(side) for side in sides],
    )
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig
