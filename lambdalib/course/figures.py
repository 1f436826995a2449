"""Every picture of the lessons: pure functions from arrays to a matplotlib Figure.

Colours mean the same everywhere: light is drawn as light, signed numbers are drawn purple (above 0) and brown (below) with
white at 0, and what a lesson is about is orange.
"""

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

__all__ = [
    "alternatives", "bars", "blends", "brackets", "colour_bars", "colour_table", "confusion", "cost_bars", "counted_and_clocked",
    "coverage", "curves",
    "dots", "faders", "growth", "hybrids", "kernels_in_place", "maps", "measured", "one_pixel", "one_row", "palette_card",
    "palettes_in_time", "phases", "puzzle_answers", "reruns", "scale_curves", "seeds", "sheets", "sizes", "spectra", "squares", "stage_bars",
    "steering", "strip_palette", "strip_readings", "tiles", "traces", "training_curve", "two_bottlenecks", "two_steps",
]

LIT, QUIET, INK = "#e8730c", "#c9ced6", "#2b2f36"
PALE, GREY = "#f6c79b", "#8a93a0"
RGB = ("#d43c3c", "#2f9e44", "#2f6fd6")


def array(tensor) -> np.ndarray:
    """A numpy array of whatever holds numbers; colours (3, H, W) stay as they are."""
    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)


def light(image) -> np.ndarray:
    """(3, H, W) or (H, W, 3) colours as (H, W, 3) between 0 and 1, clipped for display only."""
    image = array(image).astype(float)
    return np.clip(np.moveaxis(image, 0, -1) if image.shape[0] == 3 and image.shape[-1] != 3 else image, 0, 1)


def signed(ax, values, limit: float | None = None, **options):
    """Draw a signed map on ax: purple above 0, brown below, white at 0."""
    values = array(values)
    limit = limit or float(np.abs(values).max()) or 1.0
    shown = ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    return shown


def colour_bars(ax, colour, limit: float = 10, title: str = "") -> None:
    """One colour as three signed bars (red, green, blue), with the numbers: a colour may be negative, light may not."""
    colour = array(colour)
    ax.bar(range(3), colour, color=RGB, width=0.75)
    ax.axhline(0, color=INK, linewidth=0.8)
    for i, value in enumerate(colour):
        ax.annotate(f"{value:g}", (i, value), ha="center", va="bottom" if value >= 0 else "top", fontsize=8)
    ax.set(xticks=[], yticks=[], ylim=(-1.3 * limit, 1.3 * limit))
    ax.set_title(title, fontsize=9)
    for side in ("top", "right", "bottom", "left"):
        ax.spines[side].set_visible(False)


def brackets(n: int, m: int, k: int, v: int, lit: str = "both", heads: int = 1, keys: str = "σᵀ") -> Figure:
    """Q (n×k), σᵀ (k×m) and V (m×v), and what each bracket makes first: the square n×m or the tile k×v, all to one scale.

    Args:
        n, m, k, v: the four sizes.
        lit: "square", "tile" or "both": what is drawn in orange.
        keys: what the keys are called; σ are soft keys.
        heads: sheets of queries. Each makes its own square; with shared keys and values the tile stays one.
    """
    unit, gap = 1 / max(n, m, k, v), 0.16
    factors = (("Q", n, k, heads), (keys, k, m, 1), ("V", m, v, 1))
    widths = [max(columns * unit, 0.3) for columns in (k, m, v, max(m, v))]  # a narrow matrix still has room for its label
    lefts = np.cumsum([0, *(width + gap for width in widths[:2]), widths[2] + 0.5])  # the arrow stands in the wider gap
    depth, lift = max(n, m, k) * unit, 0.03 * (heads - 1)
    times = f"{heads} · " if heads > 1 else ""
    panels = {"square": (f"(Q {keys}) V stores {times}{n:,} × {m:,} = {heads * n * m:,}", (0, 1), (n, m, heads)),
              "tile": (f"Q ({keys} V) stores {k:,} × {v:,} = {k * v:,}", (1, 2), (k, v, 1))}
    fig, axes = plt.subplots(1, 2, figsize=(10, 2.9))
    for ax, (made, (title, inside, shape)) in zip(axes, panels.items()):
        colour = LIT if lit in (made, "both") else INK
        for place, (name, rows, columns, copies) in enumerate((*factors, ("", *shape))):
            middle, result = lefts[place] + widths[place] / 2, place == 3
            for copy in reversed(range(copies)):
                corner = middle - columns * unit / 2 + 0.03 * copy, -rows * unit + 0.03 * copy
                ax.add_patch(Rectangle(corner, columns * unit, rows * unit, edgecolor="white",
                                       facecolor=LIT if result and colour == LIT else QUIET))
            label = f"{name}\n{f'{copies} · ' if copies > 1 else ''}{rows}×{columns}"
            ax.annotate(label, (middle, 0.03 + lift), ha="center", va="bottom", fontsize=8, color=colour if result else INK)
        first, last = lefts[inside[0]], lefts[inside[1]] + widths[inside[1]]
        ax.plot([first, first, last, last], [-depth - 0.05, -depth - 0.1, -depth - 0.1, -depth - 0.05], color=colour, linewidth=1.2)
        ax.annotate("→", (lefts[3] - 0.25, -depth / 2), ha="center", va="center", fontsize=14, color=INK)
        ax.set(xlim=(-0.05, lefts[3] + widths[3] + lift + 0.05), ylim=(-depth - 0.14, 0.36 + lift), aspect="equal")
        ax.set_title(title, fontsize=10, color=colour)
        ax.axis("off")
    fig.tight_layout(w_pad=3)
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 01


def blends(values, weights, outputs) -> Figure:
    """An attention map as a table of weights between the colours that it blends and the colours that come out.

    Args:
        values: (m, 3) colours, 8 for full light, drawn above their columns.
        weights: (n, m), written as fractions; white = 0, full orange = 1.
        outputs: (n, 3), drawn at the right of their rows.
    """
    values, weights, outputs = array(values), array(weights), array(outputs)
    n, m = weights.shape
    fig, axes = plt.subplots(2, 2, figsize=(0.85 * m + 3.4, 0.62 * (n + 1) + 0.6), sharex="col",
                             gridspec_kw={"width_ratios": [m, 1.6], "height_ratios": [1, n], "wspace": 0.06, "hspace": 0.08})
    axes[0, 0].imshow(np.clip(values[None] / 8, 0, 1), aspect="auto")
    axes[0, 0].set(yticks=[])
    axes[0, 0].set_title("values $v_m$", fontsize=10)
    axes[0, 1].axis("off")
    axes[1, 0].imshow(weights, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for (i, j), weight in np.ndenumerate(weights):
        axes[1, 0].annotate(str(Fraction(float(weight)).limit_denominator(64)), (j, i), ha="center", va="center", fontsize=10)
    axes[1, 0].set(xlabel="context position m", ylabel="query position n", xticks=range(m), yticks=range(n))
    axes[1, 1].imshow(np.clip(outputs[:, None] / 8, 0, 1), aspect="auto")
    for i, colour in enumerate(outputs):
        axes[1, 1].annotate(", ".join(f"{part:.3g}" for part in colour), (0, i), ha="center", va="center", fontsize=9,
                            color="white" if colour.max() < 5 else INK)
    axes[1, 1].set(xticks=[], yticks=[])
    axes[1, 1].set_title("answers $y_n$", fontsize=10)
    return fig


def one_row(image, weights, pixel: tuple[int, int], answer) -> Figure:
    """One query's row of the attention map: where its weights lie, how they are spread, and the colour that they blend.

    Args:
        image: (3, H, W), light between 0 and 1: the values.
        weights: (H, W), sum 1. pixel: (row, column) of the query. answer: (3,).
    """
    image, weights, answer = array(image), array(weights), array(answer)
    fig, axes = plt.subplots(1, 5, figsize=(11.5, 2.7), gridspec_kw={"width_ratios": [1, 1, 1.1, 1.1, 0.35], "wspace": 0.42})
    axes[0].imshow(light(image), interpolation="nearest")
    axes[1].imshow(weights, cmap="Oranges", vmin=0, interpolation="nearest")
    for ax, title in zip(axes, ("picture and asking pixel", f"weights, 0 … {weights.max():.2g}")):
        ax.plot(pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=2)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=9)
    exponents = np.log10(np.sort(weights.ravel())[::-1] + 1e-30)  # a linear axis of exponents draws faster than a logarithmic one
    axes[2].plot(np.arange(1, weights.size + 1), exponents, color=LIT)
    axes[2].axhline(-np.log10(weights.size), color=INK, linewidth=0.8, linestyle=":")
    axes[2].set(ylim=(-6, 0.3), yticks=(-6, -4, -2, 0), yticklabels=("$10^{-6}$", "$10^{-4}$", "$10^{-2}$", "1"),
                xticks=(1, weights.size // 2, weights.size), xlabel="pixels, the heaviest first")
    axes[2].set_title("the same, sorted\n(dotted: all equal)", fontsize=9)
    channels = image.reshape(3, -1)
    axes[3].bar(range(3), np.ptp(channels, axis=1), bottom=channels.min(1), color=QUIET, width=0.5)
    for i, colour in enumerate(RGB):
        axes[3].plot([i - 0.25, i + 0.25], [channels[i].mean()] * 2, color=INK, linewidth=1)
        axes[3].plot(i, answer[i], "o", color=colour, markersize=8)
    axes[3].set(ylim=(-0.1, 1.1), yticks=(0, 0.5, 1), xlim=(-0.6, 2.6), xticks=range(3), xticklabels=["red", "green", "blue"])
    axes[3].set_title("dot: answer, line: mean,\nbar: range of the values", fontsize=9)
    axes[4].imshow(np.stack([image[:, pixel[0], pixel[1]], np.clip(answer, 0, 1)])[:, None], aspect="auto")
    axes[4].set(xticks=[], yticks=[0, 1], yticklabels=["pixel", "answer"])
    axes[4].yaxis.tick_right()
    return fig


def growth(sides, curves, line: tuple[str, float], mark: tuple[float, float]) -> Figure:
    """Bytes against the side of a square map, both logarithmic.

    Args:
        sides: (s,). curves: dict of names and bytes (s,). line: name and bytes of a horizontal line. mark: one (side, bytes) point.
    """
    fig, ax = plt.subplots(figsize=(6.4, 3.2))
    for (name, values), colour in zip(curves.items(), (LIT, INK, GREY)):
        ax.loglog(sides, values, color=colour, label=name)
    ax.axhline(line[1], color=INK, linewidth=0.8, linestyle=":")
    ax.annotate(line[0], (sides[0], line[1] * 1.4), fontsize=8)
    ax.plot(*mark, "o", color=LIT)
    ax.set(xlabel="side H of a square map, in pixels", ylabel="bytes", xticks=sides, xticklabels=[str(side) for side in sides])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 02


def strip_palette(values, soft_keys, palette) -> Figure:
    """Each palette colour as what it is: the strip's pixels with their weights, and the colour that they mix.

    Args:
        values: (m, 3) colours, 8 for full light.
        soft_keys: (m, k) weights, written as eighths.
        palette: (k, 3). Shown as light, so below 0 and above 8 it is clipped; the numbers are not.
    """
    values, soft_keys, palette = array(values), array(soft_keys), array(palette)
    m, k = soft_keys.shape
    fig, axes = plt.subplots(k, m + 1, figsize=(1.5 * (m + 1), 1.55 * k), squeeze=False)
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            made = j == m
            ax.imshow(light((palette[i] if made else values[j])[None, None] / 8))
            ax.set(xticks=[], yticks=[])
            title = f"= ({', '.join(f'{part:g}' for part in palette[i].round(2))})" if made else f"{8 * soft_keys[j, i]:.3g}/8 of"
            ax.set_title(title, fontsize=9, color=LIT if made else INK)
        row[0].set_ylabel(f"colour {i}", fontsize=9)
    fig.tight_layout()
    return fig


def colour_table(colours, rows, columns, limit: float = 10) -> Figure:
    """Signed colours as bars, one panel each, all to the same scale. colours: (len(rows), len(columns), 3)."""
    fig, axes = plt.subplots(len(rows), len(columns), figsize=(1.9 * len(columns), 1.7 * len(rows)), squeeze=False)
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            colour_bars(ax, colours[i][j], limit, columns[j] if i == 0 else "")
        row[0].set_ylabel(rows[i], fontsize=9)
    fig.tight_layout()
    return fig


def palette_card(image, palette, soft_keys, repainted) -> Figure:
    """A picture, the colours of its palette, who wrote each of them, and the picture repainted with them.

    Args:
        image: (3, H, W), light between 0 and 1.
        palette: (k, 3). The numbers above the swatches count light from 0 to 255.
        soft_keys: (k, H, W), the weight of each pixel in each colour; each map is drawn from white = 0 to orange = its largest.
            A pixel without any weight is hidden: grey in the picture.
        repainted: (3, H, W).
    """
    palette, soft_keys = array(palette), array(soft_keys)
    k, shown = len(palette), light(image)
    shown[soft_keys.sum(0) == 0] = 0.8
    fig = plt.figure(figsize=(1.25 * (k + 4), 2.9))
    grid = fig.add_gridspec(2, k + 4, height_ratios=[1, 2])
    for place, picture, title in ((grid[:, :2], shown, "the picture"), (grid[:, -2:], repainted, "repainted with the palette")):
        ax = fig.add_subplot(place)
        ax.imshow(light(picture), interpolation="nearest")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    orange = LinearSegmentedColormap.from_list("orange", ["white", LIT])
    for i in range(k):
        swatch, writers = fig.add_subplot(grid[0, i + 2]), fig.add_subplot(grid[1, i + 2])
        swatch.imshow(light(palette[i][None, None]), aspect="auto")
        swatch.set_title(", ".join(f"{255 * part:.0f}" for part in palette[i]), fontsize=8)
        writers.imshow(soft_keys[i], cmap=orange, vmin=0, interpolation="nearest")
        share = soft_keys[i][soft_keys[i] > 0]
        count = np.exp(-(share * np.log(share)).sum())
        writers.set_xlabel(f"≈ {count:.0f} pixels" if count > 9.5 else f"≈ {count:.1f} pixels", fontsize=8)
        for ax in (swatch, writers):
            ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


def spectra(curves) -> Figure:
    """Singular values of matrices, each divided by its largest. curves: a dict from names to values, the largest first."""
    fig, ax = plt.subplots(figsize=(6.4, 3))
    for (name, values), colour in zip(curves.items(), (LIT, INK)):
        values = array(values)
        ax.semilogy(np.arange(1, len(values) + 1), values / values[0], ".-", markersize=4, linewidth=1, color=colour, label=name)
    ax.set(xlabel="singular value, from the largest", ylabel="size (largest = 1)")
    ax.legend(frameon=False, fontsize=9)
    fig.tight_layout()
    return fig


def bars(names, heights, label: str) -> Figure:
    """A few named numbers as horizontal bars, each with its value; the first is the one to compare with."""
    fig, ax = plt.subplots(figsize=(6.5, 0.5 + 0.38 * len(names)))
    drawn = ax.barh(range(len(names)), heights, color=[INK] + [LIT] * (len(names) - 1))
    ax.bar_label(drawn, fmt="%.1f", padding=3, fontsize=8)
    ax.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.12 * max(heights)))
    ax.set_xlabel(label, fontsize=9)
    ax.invert_yaxis()
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 03


def strip_readings(values, table, readings) -> Figure:
    """The strip's four pixels, and under each what every stencil reads there, as signed colour bars.

    Args:
        values: (n, 3) colours, 8 for full light.
        table: (k, r) stencils of one row.
        readings: (n, k, 3).
    """
    values, table, readings = array(values), array(table), array(readings)
    fig, axes = plt.subplots(1 + len(table), 1 + len(values), figsize=(9, 1.6 * (1 + len(table))), gridspec_kw={"hspace": 0.45})
    axes[0, 0].axis("off")
    for n, ax in enumerate(axes[0, 1:]):
        ax.imshow(light(values[n][None, None] / 8))
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"pixel {n}", fontsize=9)
    for i, stencil in enumerate(table):
        signed(axes[i + 1, 0], stencil[None], limit=1.5)
        axes[i + 1, 0].set_title(f"stencil {i}", fontsize=9)
        for tap, weight in enumerate(stencil):
            axes[i + 1, 0].annotate(f"{weight:g}", (tap, 0), ha="center", va="center", fontsize=9)
        for n in range(len(values)):
            colour_bars(axes[i + 1, n + 1], readings[n, i], limit=8)
    return fig


def sheets(embeddings, names) -> Figure:
    """The dense embeddings E, one sheet (n × m) for each of the k stencils. embeddings: (n, m, k)."""
    embeddings = array(embeddings)
    fig, axes = plt.subplots(1, embeddings.shape[2], figsize=(3.4 * embeddings.shape[2], 3.4), squeeze=False)
    for i, ax in enumerate(axes[0]):
        signed(ax, embeddings[:, :, i], limit=1.5 * float(np.abs(embeddings).max()))
        for (n, m), value in np.ndenumerate(embeddings[:, :, i]):
            ax.annotate(f"{value:g}", (m, n), ha="center", va="center", fontsize=9)
        ax.set_title(names[i], fontsize=10)
        ax.set(xlabel="context position m", ylabel="query position n", xticks=range(embeddings.shape[1]), yticks=range(len(embeddings)))
    fig.tight_layout()
    return fig


def maps(images, titles, columns: int | None = None, limit: float | None = None) -> Figure:
    """Pictures side by side: (3, H, W) as light, (H, W) as signed maps."""
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(2.1 * columns, 2.35 * rows), squeeze=False)
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


def steering(image, response, kernel, angle: float, angles, readings, pixel: tuple[int, int]) -> Figure:
    """One mixed stencil, what it reads everywhere, and what one pixel reads at every angle.

    Args:
        image: (3, H, W) or (H, W). response: (H, W). kernel: (r, r), the stencils mixed at this angle.
        angle: degrees. angles, readings: the curve of the pixel (row, column).
    """
    fig, axes = plt.subplots(1, 4, figsize=(11, 2.8), gridspec_kw={"width_ratios": [1, 0.7, 1, 1.5]})
    image = array(image)
    axes[0].imshow(light(image) if image.ndim == 3 else image, cmap="gray")
    axes[0].plot(pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=LIT, markeredgewidth=2)
    turn = np.radians(angle)
    axes[0].annotate("", (pixel[1] + 8 * np.cos(turn), pixel[0] + 8 * np.sin(turn)), (pixel[1], pixel[0]),
                     arrowprops={"arrowstyle": "->", "color": LIT, "linewidth": 2})
    axes[0].set(xticks=[], yticks=[])
    axes[0].set_title("the plane, a pixel, the query's direction", fontsize=9)
    signed(axes[1], kernel, limit=0.6)
    axes[1].set_title(f"the stencil mixed at {angle:g}°", fontsize=9)
    signed(axes[2], response, limit=0.3)  # the same scale at every angle, so that a weak answer looks weak
    axes[2].plot(pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=LIT, markeredgewidth=2)
    axes[2].set_title("its reading everywhere", fontsize=9)
    axes[3].plot(angles, readings, color=INK)
    axes[3].axhline(0, color=QUIET, linewidth=1)
    axes[3].plot(angle, np.interp(angle, angles, readings), "o", color=LIT)
    axes[3].set(xlabel="angle of the query (degrees)", xticks=range(0, 361, 90), ylim=(-0.3, 0.3))
    axes[3].set_title("reading of the marked pixel", fontsize=9)
    fig.tight_layout()
    return fig


def kernels_in_place(image, pixels, kernels) -> Figure:
    """A picture with marked pixels, and beside it the kernel that each of them uses.

    Args:
        image: (3, H, W). pixels: list of (row, column). kernels: (len(pixels), r, r).
    """
    kernels = array(kernels)
    fig, axes = plt.subplots(1, 1 + len(pixels), figsize=(2.2 * (1 + len(pixels)), 2.5))
    axes[0].imshow(light(image), interpolation="nearest")
    axes[0].set(xticks=[], yticks=[])
    for i, (row, column) in enumerate(pixels):
        axes[0].annotate(str(i), (column, row), color="white", ha="center", va="center", fontsize=9,
                         bbox={"boxstyle": "circle,pad=0.15", "facecolor": LIT, "edgecolor": "white"})
        signed(axes[i + 1], kernels[i], limit=float(np.abs(kernels).max()))
        axes[i + 1].set_title(f"kernel at pixel {i}", fontsize=9)
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 05


def squares(rows) -> Figure:
    """Numbers of elements as squares; their areas can be compared within a row, and each row has a scale of its own.

    Args:
        rows: a dict from a title to a dict from names to numbers of elements; the first name of each row is drawn in orange.
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
    """What the tiles of a map see, and the sheets of embeddings that serve them all.

    Args:
        side: of a square map. r: side of the window. places: two (row, column), counted in tiles.
        filled: (t², c²), true where a query of a tile (row) meets a pixel of the tile's context (column) in its window.
    """
    half, t = r // 2, r // 2 + 1
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9), gridspec_kw={"width_ratios": [1, 1.7], "wspace": 0.12})
    left.add_patch(Rectangle((0, 0), side, side, facecolor="white", edgecolor=INK))
    for row, column in places:
        x, y = column * t, row * t
        left.add_patch(Rectangle((x - half, y - half), t + 2 * half, t + 2 * half, facecolor=PALE, edgecolor=LIT, alpha=0.75))
        left.add_patch(Rectangle((x, y), t, t, facecolor=LIT))
    row, column = places[0]
    left.plot(column * t + 0.5, row * t + 0.5, "s", markersize=5, color=INK)
    left.add_patch(Rectangle((column * t - half, row * t - half), r, r, facecolor="none", edgecolor=INK, linewidth=1.4))
    for line in range(0, side + 1, t):
        left.plot([line, line], [0, side], color=GREY, linewidth=0.6)
        left.plot([0, side], [line, line], color=GREY, linewidth=0.6)
    left.set(xlim=(-half - 0.5, side + half + 0.5), ylim=(side + half + 0.5, -half - 0.5), aspect="equal")
    left.set_title(f"two tiles of {t} × {t}, each in its context", fontsize=10)
    left.axis("off")
    right.imshow(array(filled), cmap=ListedColormap(("white", LIT)), vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    right.set(xlabel=f"pixels of the context, {t + 2 * half} rows of {t + 2 * half}", ylabel="queries of the tile", yticks=range(0, t * t, t),
              xticks=range(0, (t + 2 * half) ** 2 + 1, t + 2 * half))
    right.set_title("the sheets of embeddings, the same for both: orange where the window is", fontsize=10)
    return fig


def phases(panels, sides, depths, names, ties, marks) -> Figure:
    """Which of several ways is the cheapest, over the side of a square map and the number of channels.

    Args:
        panels: a dict from a title to whole numbers (len(depths), len(sides)), an index into names.
        sides, depths: what the rows and columns stand for, drawn evenly spaced. names: at most four.
        ties: (len(depths),), a side for each depth, drawn as a dashed line. marks: a list of (side, depth, text).
    """
    colours = (QUIET, GREY, PALE, LIT)
    across = lambda side: np.interp(side, sides, np.arange(len(sides)))
    fig, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.4), squeeze=False)
    for ax, (title, cheapest) in zip(axes[0], panels.items()):
        ax.imshow(array(cheapest), cmap=ListedColormap(colours), vmin=0, vmax=3, origin="lower", aspect="auto")
        ax.plot(across(ties), np.arange(len(depths)), "--", color=INK, linewidth=1)
        for side, depth, text in marks:
            ax.annotate(text, (across(side), depths.index(depth)), ha="center", va="center", fontsize=8, fontweight="bold", color=INK)
        ax.set(xticks=range(len(sides)), xticklabels=sides, yticks=range(len(depths)), yticklabels=depths,
               xlabel="side of the map", ylabel="channels d")
        ax.set_title(title, fontsize=10)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours[: len(names)]]
    fig.legend(handles, names, loc="lower center", ncol=len(names), frameon=False, fontsize=9)
    fig.tight_layout(rect=(0, 0.08, 1, 1))
    return fig


def counted_and_clocked(groups) -> Figure:
    """For each shape, what was counted, what the rule of thumb makes of it, and what was clocked, as multiples of the smallest.

    Args:
        groups: a dict from a title to a dict from names to triples (multiply-adds, price, seconds).
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
        panels: a dict from a title to a dict from names to counts. The first panel has every name, the others may lack some.
        lit: the names whose bars are orange. limits: (low, high) for all panels.
    """
    names = list(next(iter(panels.values())))
    fig, axes = plt.subplots(1, len(panels), figsize=(3.9 * len(panels), 0.28 * len(names) + 0.5), sharey=True, squeeze=False,
                             gridspec_kw={"wspace": 0.08})
    low, high = np.log10(limits)
    exponents = range(int(low), int(high) + 1, 3)
    for ax, (heading, row) in zip(axes[0], panels.items()):
        places = [names.index(name) for name in row]
        ax.barh(places, np.log10(list(row.values())) - low, left=low,
                color=[LIT if name in lit else QUIET for name in row])  # a linear axis of exponents draws faster
        for place, count in zip(places, row.values()):
            ax.annotate(f"{count:,.0f}", (low, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        ax.set(xlim=(low, high), yticks=range(len(names)), xticks=exponents)
        ax.set_xticklabels(["10" + str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) for exponent in exponents])
        ax.set_yticklabels(names, fontsize=9)
        ax.set_title(heading, fontsize=10)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    fig.suptitle(title, fontsize=9, y=1.08)
    return fig


def logarithmic(axis, ticks) -> None:
    """One axis of a plot in logarithms, with plain numbers at these ticks and at no others."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def measured(layers, growth) -> Figure:
    """What `lambdalib bench` recorded of the lambda layer: beside public ones, and how its time grows.

    Args:
        layers: rows of the part "layer": dicts with shape, dtype, and seconds of "ours" and of the others.
        growth: rows of the part "growth": dicts with what ("pixels" or "scope"), dtype, seconds, and sides or scopes.
    """
    fig, (beside, pixels, scopes) = plt.subplots(1, 3, figsize=(13, 3.9), gridspec_kw={"width_ratios": [1.35, 1, 1]})
    colours = dict(zip(dict.fromkeys(row["dtype"] for row in layers), (INK, LIT)))
    names = list(dict.fromkeys("{side}×{side}, d {d}, r {r}, u {u}".format(**row["shape"]) for row in layers))
    for j, (dtype, colour) in enumerate(colours.items()):
        ratios = [min(seconds for name, seconds in row["seconds"].items() if name != "ours") / row["seconds"]["ours"]
                  for row in layers if row["dtype"] == dtype]
        places = np.arange(len(names)) + 0.36 * (j - 0.5)
        beside.barh(places, np.array(ratios) - 1, 0.34, left=1, color=colour, label=dtype)
        for place, ratio in zip(places, ratios):
            beside.annotate(f"{ratio:.1f}", (ratio, place), xytext=(3 if ratio >= 1 else -3, 0), textcoords="offset points",
                            ha="left" if ratio >= 1 else "right", va="center", fontsize=7)
    beside.axvline(1, color=INK, linewidth=0.8)
    beside.set(yticks=range(len(names)), ylim=(len(names) - 0.4, -0.6), xlabel="time of the fastest public layer / ours")
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
    scopes.set(xticks=next(row["scopes"] for row in growth if row["what"] == "scope"), ylim=(0, None), xlabel="side r of the window")
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
    looks = {name: {"color": colour, "linestyle": "-" if "lambda" in name else "--"} for name, colour in zip(
        sorted(names, key=lambda name: "lambda" not in name), (LIT, "#b9a23a", INK, GREY, "#5a7fb0"))}
    fig, axes = plt.subplots(1, len(dtypes), figsize=(5.2 * len(dtypes), 3.4), sharey=True, squeeze=False)
    for ax, dtype in zip(axes[0], dtypes):
        for name in names:
            points = [(row["side"], 1e3 * row["seconds"][name]) for row in rows if row["dtype"] == dtype and name in row["seconds"]]
            ax.plot(*zip(*points), marker=".", label=name, **looks[name])
        logarithmic(ax.xaxis, sorted({row["side"] for row in rows}))
        ax.set_yscale("log")
        ax.set(xlabel="side of the map", title=dtype)
    axes[0, 0].set_ylabel("ms, forward and backward")
    axes[0, -1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 06


def two_bottlenecks(dim: int, width: int) -> Figure:
    """A bottleneck with a convolution and one with a lambda layer: a taller box has more channels out.

    Args:
        dim: channels that come in and go out. width: channels in the middle.
    """
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.1))
    for ax, middle, colour in zip(axes, (f"3×3\nconv\n{width}", f"lambda\nlayer\n{width}"), (QUIET, LIT)):
        boxes = ((0, f"x\n{dim}", dim, "white"), (2, f"1×1\n{width}", width, QUIET), (4, middle, width, colour),
                 (6, f"1×1\n{dim}", dim, QUIET), (9, f"y\n{dim}", dim, "white"))
        for x, text, channels, face in boxes:
            height = 0.8 + channels / dim
            ax.add_patch(Rectangle((x - 0.55, -height / 2), 1.1, height, facecolor=face, edgecolor=INK, linewidth=0.8))
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
        panels: dict of a panel's title and its bars (2, 4).
        names: what the two bars of a group are, grey and orange.
        limits: top of each panel's scale; a bar that is higher is cut off, its number stays.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.2), squeeze=False)
    for i, (ax, (heading, bars)) in enumerate(zip(axes[0], panels.items())):
        top = limits[i] if limits else 1.15 * float(np.max(bars))
        for j, (name, values, colour) in enumerate(zip(names, array(bars), (GREY, LIT))):
            x = np.arange(4) + (0.42 * j - 0.21)
            ax.bar(x, values, 0.39, color=colour, label=name)
            for at, value in zip(x, values):
                ax.annotate(f"{value:.2g}" if value < 1 else f"{value:.3g}", (at, min(value, 0.94 * top)), ha="center", va="bottom", fontsize=7)
        ax.set(xticks=range(4), xticklabels=["c2", "c3", "c4", "c5"], ylim=(0, top))
        ax.set_title(heading, fontsize=9)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    fig.suptitle(title, fontsize=10, y=0.99)
    fig.subplots_adjust(left=0.05, right=0.99, top=0.72 if title else 0.88, bottom=0.12, wspace=0.16)
    return fig


def coverage(sides, scopes, shares) -> Figure:
    """The mean share of a map's height (or width) that a window sees, against the side of the window.

    Args:
        sides: (s,) sides of square maps. scopes: (r,) odd sides of the window. shares: (s, r), between 0 and 1.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3))
    for side, values, colour in zip(sides, array(shares), (LIT, INK, GREY, "#b9a23a")):
        ax.plot(scopes, values, ".-", color=colour, label=f"map of {side} × {side}")
    ax.set(xlabel="scope r", ylabel="mean share of an axis seen", xticks=scopes[::2], ylim=(0, 1.05))
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig


def hybrids(rows) -> Figure:
    """Nets as discs: throughput to the right, accuracy upwards, diameter for parameters; orange: lambda layers in c4 and c5.

    Args:
        rows: dict of a layout such as "CCLL" and (parameters in millions, examples per second, accuracy in percent).
    """
    fig, ax = plt.subplots(figsize=(8, 3.8))
    for layout, (parameters, speed, accuracy) in rows.items():
        lit = layout.endswith("LL")
        ax.scatter(speed, accuracy, s=(0.9 * parameters) ** 2, color=LIT if lit else QUIET, alpha=0.8, edgecolor=INK, linewidth=0.6)
        crowded = layout == "LLCC"  # its right is taken by LCCC
        ax.annotate(f"{layout}\n{parameters:g} M", (speed, accuracy), (-15 if crowded else 15, -4), textcoords="offset points",
                    fontsize=8, ha="right" if crowded else "left")
    ax.set(xlabel="examples per second (inference, as printed in the paper)", ylabel="ImageNet top-1 (%)", xlim=(0, 8300), ylim=(76.6, 78.8))
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 04


def one_pixel(image, pixel: tuple[int, int], query, lam, output, limits: tuple[float, float, float]) -> Figure:
    """One output pixel: the query (k bars), times the lambda (k × v), gives one head's channels (v bars).

    Args:
        image: (3, H, W). pixel: (row, column), marked. query: (k,). lam: (k, v). output: (v,).
        limits: the ends of the scales of query, lambda and output, fixed so that pixels can be compared.
    """
    query, lam, output = array(query), array(lam), array(output)
    fig, axes = plt.subplots(1, 4, figsize=(11.5, 2.9), gridspec_kw={"width_ratios": [1.1, 0.8, 0.9, 0.9], "wspace": 0.5})
    axes[0].imshow(light(image), interpolation="nearest")
    for colour, width in (("white", 4), (LIT, 2)):  # a white rim, since the plane is nearly orange itself
        axes[0].plot(pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=width)
    axes[0].set(xticks=[], yticks=[])
    axes[0].set_title(f"pixel ({pixel[0]}, {pixel[1]})", fontsize=9)
    axes[1].barh(range(len(query)), query, color=LIT)
    axes[1].set(xlim=(-limits[0], limits[0]), ylim=(len(query) - 0.5, -0.5), yticks=range(len(query)), ylabel="k")
    axes[1].set_title("this head's query", fontsize=9)
    shown = signed(axes[2], lam, limit=limits[1], aspect="auto")
    axes[2].set(xlabel="v", ylabel="k", xticks=range(lam.shape[1]), yticks=range(lam.shape[0]))
    axes[2].set_title("lambda of all heads", fontsize=9)
    fig.colorbar(shown, ax=axes[2], fraction=0.06)
    axes[3].bar(range(len(output)), output, color=INK)
    axes[3].axhline(0, color=QUIET, linewidth=1)
    axes[3].set(ylim=(-limits[2], limits[2]), xticks=range(len(output)), xlabel="v")
    axes[3].set_title("query · lambda = output", fontsize=9)
    return fig


def scale_curves(factors, curves) -> Figure:
    """How an output grows with its input, on two logarithmic axes, with a convolution's straight line of slope 1.

    Args:
        factors: what the input is multiplied with. curves: dict of names and the output's growth at each factor.
    """
    fig, ax = plt.subplots(figsize=(6.8, 3.6))
    ax.loglog(factors, factors, "--", color=QUIET, label="a convolution (slope 1)")
    for name, values in curves.items():
        ax.loglog(factors, values, "-" if "position" in name else ":", marker=".", color=LIT if "without" in name else INK, label=name)
    ax.set(xlabel="input × …", ylabel="output × …")
    ax.legend(frameon=False, fontsize=8)
    fig.tight_layout()
    return fig


def puzzle_answers(picture, truth, scored, answers) -> Figure:
    """A puzzle picture, the truth of its two questions, and what each network answers; a cross marks a wrong answer.

    Args:
        picture: (3, H, W): brightness, red marker, blue marker.
        truth, scored: (2, H, W), yes = 1; pixels that are not scored are hatched.
        answers: dict of names and (2, H, W), yes = True.
    """
    picture, truth, scored = array(picture), array(truth) > 0.5, array(scored) > 0.5
    panels = {"truth": truth, **{name: array(given) > 0 for name, given in answers.items()}}
    fig, axes = plt.subplots(2, 1 + len(panels), figsize=(2.1 * (1 + len(panels)), 4.5))
    shades = np.stack([picture[0]] * 3, -1)
    for channel, colour in ((1, (0.83, 0.24, 0.24)), (2, (0.18, 0.44, 0.84))):
        shades[picture[channel] > 0] = colour
    for row, question in enumerate(("A, edge", "B, far marker")):
        axes[row, 0].imshow(shades, interpolation="nearest")
        axes[row, 0].set_ylabel(question, fontsize=10)
        axes[row, 0].set_title("the picture" if row == 0 else "", fontsize=9)
        for ax, (name, given) in zip(axes[row, 1:], panels.items()):
            ax.imshow(given[row], cmap="Greys_r", vmin=-0.6, vmax=1, interpolation="nearest")
            for y, x in np.argwhere(~scored[row]):
                ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor=QUIET, hatch="////", linewidth=0))
            y, x = np.nonzero((given[row] != truth[row]) & scored[row])
            ax.plot(x, y, "x", color=LIT, markersize=6, markeredgewidth=2)
            ax.set_title(name if row == 0 else "", fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


# --------------------------------------------------------------------------------------------------- lesson 04b


def palettes_in_time(values, palettes) -> Figure:
    """What has been seen of a row of pixels after each step, and the palette mixed from it.

    Args:
        values: (n, 3) colours, 8 for full light; what is still to come is grey.
        palettes: (n, k, 3). Shown as light, with the numbers.
    """
    values, palettes = array(values), array(palettes)
    n, k = palettes.shape[:2]
    fig, axes = plt.subplots(1 + k, n, figsize=(2.1 * n, 0.75 * (1 + k) + 0.3), squeeze=False)
    for t in range(n):
        seen = np.where(np.arange(n)[:, None] <= t, values / 8, 0.85)
        axes[0, t].imshow(light(seen[None]), aspect="auto")
        axes[0, t].set_title(f"after pixel {t}", fontsize=9, color=LIT)
        for i, colour in enumerate(palettes[t]):
            axes[i + 1, t].imshow(light(colour[None, None] / 8), aspect="auto")
            axes[i + 1, t].annotate(", ".join(f"{part:.3g}" for part in colour), (0, 0), ha="center", va="center", fontsize=9,
                                    color="white" if colour @ (0.3, 0.59, 0.11) < 4 else INK)  # as bright as it looks
    for name, ax in zip(("seen", *(f"colour {i}" for i in range(k))), axes[:, 0]):
        ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


# ---------------------------------------------------------------------------------------------------- lesson 07


def traces(curves, xlabel: str, ylabel: str, level: tuple[str, float] | None = None, ylim: tuple[float, float] | None = None) -> Figure:
    """Curves over 0, 1, 2, ... in one picture.

    Args:
        curves: a dict from names to values; NaN leaves a gap.
        level: name and height of a dotted line.
    """
    fig, ax = plt.subplots(figsize=(8, 3))
    for (name, values), colour, dashes in zip(curves.items(), (LIT, INK, GREY, INK), ("-", "-", "-", "--")):
        ax.plot(array(values), color=colour, linestyle=dashes, linewidth=1.3, label=name)
    if level:
        ax.axhline(level[1], color=INK, linewidth=0.8, linestyle=":", label=level[0])
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig


def training_curve(records) -> Figure:
    """A training run from its log: the mean loss of every epoch, and the test accuracy where it was measured.

    Args:
        records: the dicts of log.jsonl; those whose "kind" is "epoch" are drawn.
    """
    epochs = [record for record in records if record["kind"] == "epoch"]
    tested = [record for record in epochs if "test_accuracy" in record]
    fig, left = plt.subplots(figsize=(6.8, 3))
    left.plot([record["epoch"] for record in epochs], [record["loss"] for record in epochs], ".-", color=INK, linewidth=1.3)
    left.set(xlabel="epoch", ylabel="training loss", xlim=(0, epochs[-1]["epoch"] * 1.02))
    left.xaxis.get_major_locator().set_params(integer=True)
    right = left.twinx()
    right.plot([record["epoch"] for record in tested], [100 * record["test_accuracy"] for record in tested], ".-", color=LIT)
    right.set_ylabel("test accuracy, %", color=LIT)
    right.set_ylim(0, 100)
    fig.tight_layout()
    return fig


def curves(rows) -> Figure:
    """Loss and test accuracy of rows of runs, over minutes: the mean over the seeds, in a band from the lowest to the highest.

    Args:
        rows: name -> logs, each the list of dicts of one run's log.jsonl; the runs of a row have the same epochs. The clock is that
            of the first: how fast the others were says something about what else their machine did.
    """
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for colour, (name, logs) in zip((LIT, INK, GREY), rows.items()):
        for ax, key, scale in ((axes[0], "loss", 1), (axes[1], "test_accuracy", 100)):
            lines = [[record for record in log if record["kind"] == "epoch" and key in record] for log in logs]
            values = scale * np.array([[record[key] for record in line] for line in lines])
            minutes = [record["seconds"] / 60 for record in lines[0]]
            ax.fill_between(minutes, values.min(0), values.max(0), color=colour, alpha=0.25, linewidth=0)
            ax.plot(minutes, values.mean(0), color=colour, linewidth=1.4, label=f"{name}, {len(logs)} seed{'s' * (len(logs) > 1)}")
    axes[0].set(xlabel="minutes, by the first seed's clock", ylabel="training loss", xlim=(0, None))
    axes[1].set(xlabel="minutes, by the first seed's clock", ylabel="test accuracy, %", xlim=(0, None), ylim=(60, 96))
    axes[1].legend(frameon=False, fontsize=8, loc="lower right")
    fig.tight_layout()
    return fig


def sizes(panels) -> Figure:
    """Test accuracy over what it takes, a panel for each cost: ours with their deviation, and what others have published, hollow.

    Args:
        panels: label of the axis -> (ours, published); ours: name -> (cost, mean accuracy in percent, deviation or NaN),
            published: name -> (cost, accuracy in percent).
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(10.5, 4.2), sharey=True, squeeze=False)
    for ax, (label, (ours, published)) in zip(axes[0], panels.items()):
        for name, (cost, accuracy) in published.items():
            ax.plot(cost, accuracy, "o", markerfacecolor="none", color=GREY)
            ax.annotate(name, (cost, accuracy), textcoords="offset points", xytext=(7, -3), fontsize=7.5, color=GREY)
        for name, (cost, mean, deviation) in ours.items():
            ax.errorbar(cost, mean, yerr=None if np.isnan(deviation) else deviation, fmt="o", color=LIT, capsize=3)
            crowded = any(cost / 1.5 < other < cost for other, *_ in ours.values())  # then the name goes to the right
            ax.annotate(name, (cost, mean), textcoords="offset points", xytext=(8 if crowded else -8, 0), fontsize=8.5, color=LIT,
                        ha="left" if crowded else "right", va="center")
        costs = [cost for cost, *_ in (*ours.values(), *published.values())]
        ax.set(xscale="log", xlabel=label, xlim=(min(costs) / 7, max(costs) * 18))  # with room for the names, ours on the left
    axes[0, 0].set_ylabel("test accuracy, %")
    fig.tight_layout()
    return fig


def confusion(counts, names, title: str = "") -> Figure:
    """What a net takes for what: how many pictures of each class (rows) got which name (columns), and the share that is right.

    Args:
        counts: (classes, classes).
        names: of the classes.
    """
    counts = array(counts)
    wrong = counts - np.diag(np.diag(counts))
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), width_ratios=(1.25, 1))
    left.imshow(wrong, cmap=LinearSegmentedColormap.from_list("lit", ["white", LIT]), aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            left.annotate(str(count), (column, row), ha="center", va="center", fontsize=6.5, color=GREY if row == column else INK)
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


# ---------------------------------------------------------------------------------------------------- lesson 09


def dots(names, means, spreads, points=None, label: str = "accuracy, %", lit=(), notes=None) -> Figure:
    """Named means as dots with their spread as a line, one below the other; single runs are small dots below the line.

    Args:
        names, means, spreads: as many of each; a spread reaches as far to both sides, and NaN draws none.
        points: for each name, the values that the mean was taken of.
        label: under the axis.
        lit: names to draw in orange.
        notes: for each name, words at the right border.
    """
    fig, ax = plt.subplots(figsize=(7.6, 0.8 + 0.42 * len(names)))
    for row, (name, mean, spread) in enumerate(zip(names, means, spreads)):
        colour = LIT if name in lit else INK
        ax.errorbar(mean, row, xerr=None if np.isnan(spread) else spread, fmt="o", color=colour, markersize=6, linewidth=2, capsize=4)
        if points is not None:
            ax.plot(points[row], [row + 0.28] * len(points[row]), "o", color=GREY, markersize=3.5)
        if notes is not None:
            ax.annotate(notes[row], (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=INK)
    ax.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.45, -0.55))
    ax.set_xlabel(label, fontsize=9)
    ax.grid(axis="x", color=QUIET, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
    fig.tight_layout()
    return fig


def seeds(runs, label: str, lit=(), notes=None) -> Figure:
    """Named runs with several seeds, as dots(): their mean, their standard deviation, and below it every run.

    Args:
        runs: name -> one number for each seed.
        label, lit, notes: as in dots.
    """
    means = [np.mean(values) for values in runs.values()]
    spreads = [np.std(values, ddof=1) if len(values) > 1 else np.nan for values in runs.values()]
    return dots(list(runs), means, spreads, list(runs.values()), label, lit, notes)


def faders(accuracies, fades, chosen: tuple[float, float], image, names, probabilities, truth: int) -> Figure:
    """Accuracy for every setting of two faders, the chosen one framed; beside it one picture and the net's answer to it.

    Args:
        accuracies: (content, position) in percent; fades: the settings of either fader; chosen: (content, position).
        image: (3, H, W). names: of the classes. probabilities: (classes,). truth: the class of the picture.
    """
    accuracies = array(accuracies)
    fig, (grid, picture, answer) = plt.subplots(1, 3, figsize=(9.6, 3.6), width_ratios=[1.5, 0.8, 1.1])
    grid.imshow(accuracies, cmap=LinearSegmentedColormap.from_list("lit", ["white", LIT]), vmin=10, vmax=100, origin="lower")
    for (row, column), accuracy in np.ndenumerate(accuracies):
        grid.annotate(f"{accuracy:.0f}", (column, row), ha="center", va="center", fontsize=9)
    row, column = fades.index(chosen[0]), fades.index(chosen[1])
    grid.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2.5))
    ticks = dict(ticks=range(len(fades)), labels=[f"{fade:g}" for fade in fades])
    grid.set_xticks(**ticks)
    grid.set_yticks(**ticks)
    grid.set(xlabel="β · position", ylabel="α · content")
    grid.set_title("% right of 500 test pictures", fontsize=9)
    picture.imshow(light(image))
    picture.set(xticks=[], yticks=[])
    picture.set_title(f"α = {chosen[0]:g}, β = {chosen[1]:g}", fontsize=9)
    answer.barh(range(len(names)), array(probabilities), color=[LIT if i == truth else QUIET for i in range(len(names))])
    answer.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1), xlabel="probability")
    answer.tick_params(axis="y", labelsize=8)
    answer.invert_yaxis()
    fig.tight_layout()
    return fig


def two_steps(names, seconds) -> Figure:
    """Times as bars, each with its value, and between neighbours the factor by which the lower one is faster."""
    fig, ax = plt.subplots(figsize=(7.6, 0.8 + 0.62 * len(names)))
    drawn = ax.barh(range(len(names)), seconds, height=0.55, color=[QUIET] * (len(names) - 1) + [LIT])
    ax.bar_label(drawn, fmt="%.2f s", padding=4, fontsize=9)
    for row, (slow, fast) in enumerate(zip(seconds, seconds[1:])):
        ax.annotate("", (fast, row + 0.72), (slow, row + 0.72), arrowprops=dict(arrowstyle="->", color=INK))
        ax.annotate(f"÷ {slow / fast:.2f}", ((slow + fast) / 2, row + 0.7), ha="center", va="bottom", fontsize=9)
    ax.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.15 * max(seconds)), ylim=(len(names) - 0.4, -0.5))
    ax.set_xlabel("seconds to train on 1024 pictures, read off a plot", fontsize=9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    return fig


def reruns(rows, label: str = "accuracy, %") -> Figure:
    """Claimed numbers as hollow dots, with arrows to what came out when it was done again.

    Args:
        rows: dict of a name and (claimed number or None, list of numbers found, colour word "lit" or "ink").
    """
    fig, ax = plt.subplots(figsize=(8.4, 0.9 + 0.42 * len(rows)))
    for row, (claimed, found, colour) in enumerate(rows.values()):
        colour = LIT if colour == "lit" else INK
        if claimed is not None:
            ax.plot(claimed, row, "o", markerfacecolor="white", markeredgecolor=colour, markersize=7, zorder=3)
            ax.annotate(f"{claimed:.1f}", (claimed, row + 0.17), ha="center", va="top", fontsize=8, color=GREY)
        for number in found:
            if claimed is not None:
                ax.annotate("", (number, row), (claimed, row), arrowprops=dict(arrowstyle="->", color=colour, linewidth=1.3, shrinkA=4, shrinkB=4))
            ax.plot(number, row, "o", color=colour, markersize=6)
            ax.annotate(f"{number:.1f}", (number, row - 0.17), ha="center", va="bottom", fontsize=8)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.75))
    ax.set_xlabel(label, fontsize=9)
    ax.grid(axis="x", color=QUIET, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0, labelsize=8)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    fig.tight_layout()
    return fig
