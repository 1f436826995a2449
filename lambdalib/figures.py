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

__all__ = [
    "blends", "brackets", "colour_bars", "colour_table", "cost_bars", "counted_and_clocked", "growth", "kernels_in_place",
    "maps", "one_row", "palette_card", "phases", "sheets", "spectra", "squares", "steering", "strip_palette",
    "strip_readings",
]

LIT, QUIET, INK = "#e8730c", "#c9ced6", "#2b2f36"
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


def brackets(n: int, m: int, k: int, v: int, lit: str = "both", heads: int = 1) -> Figure:
    """Q (n×k), Kᵀ (k×m) and V (m×v) to scale, and what each bracket makes: the square n×m or the tile k×v.

    Args:
        n, m, k, v: the four sizes.
        lit: "square", "tile" or "both": what is drawn in orange.
        heads: copies of Q drawn under one tile.
    """
    unit = 1.0 / max(n, m, k, v)
    fig, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for ax, made, title in zip(axes, ("square", "tile"), (f"(Q Kᵀ) V stores {n} × {m} = {n * m:,}", f"Q (Kᵀ V) stores {k} × {v} = {k * v:,}")):
        x = 0.0
        for name, rows, columns in (("Q", n, k), ("Kᵀ", k, m), ("V", m, v)):
            for copy in range(heads if name == "Q" else 1):
                ax.add_patch(Rectangle((x + 0.02 * copy, -rows * unit + 0.02 * copy), columns * unit, rows * unit, facecolor=QUIET, edgecolor="white"))
            ax.annotate(f"{name}\n{rows}×{columns}", (x + columns * unit / 2, 0.03 + 0.02 * (heads - 1)), ha="center", va="bottom", fontsize=8)
            x += columns * unit + 0.14
        rows, columns = (n, m) if made == "square" else (k, v)
        on = lit in (made, "both")
        x += 0.12
        ax.annotate("→", (x - 0.2, -0.3), fontsize=14, color=INK)
        ax.add_patch(Rectangle((x, -rows * unit), columns * unit, rows * unit, facecolor=LIT if on else QUIET, edgecolor="white"))
        ax.annotate(f"{rows}×{columns}", (x + columns * unit / 2, 0.03), ha="center", va="bottom", fontsize=8, color=LIT if on else INK)
        ax.set(xlim=(-0.1, x + max(columns * unit, 0.3) + 0.1), ylim=(-1.1, 0.35), aspect="equal")
        ax.set_title(title, fontsize=10, color=LIT if on else INK)
        ax.axis("off")
    fig.tight_layout()
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
        axes[1, 1].annotate(", ".join(f"{part:.3g}" for part in colour), (0, i), ha="center", va="center", fontsize=9)
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
    for (name, values), colour in zip(curves.items(), (LIT, INK, "#8a93a0")):
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
    """Numbers of elements as squares whose areas are to scale, within a row and between rows.

    Args:
        rows: a dict from a title to a dict from names to numbers of elements; the first name of each row is drawn in orange.
    """
    largest = max(max(row.values()) for row in rows.values()) ** 0.5
    fig, axes = plt.subplots(len(rows), 1, figsize=(9, 2.9 * len(rows)), squeeze=False)
    for ax, (title, row) in zip(axes[:, 0], rows.items()):
        for place, (name, count) in enumerate(row.items()):
            side, left = count**0.5 / largest, 1.35 * place
            ax.add_patch(Rectangle((left, 0), side, side, facecolor=QUIET if place else LIT))
            ax.annotate(f"{name}\n{count:,}", (left, -0.06), va="top", fontsize=9, color=INK)
        ax.set(xlim=(-0.05, 1.35 * len(row)), ylim=(-0.36, 1.02), aspect="equal")
        ax.set_title(title, fontsize=10, loc="left")
        ax.axis("off")
    fig.tight_layout()
    return fig


def phases(panels, sides, depths, names, ties, marks) -> Figure:
    """Which of several ways is the cheapest, over the side of a square map and the number of channels.

    Args:
        panels: a dict from a title to whole numbers (len(depths), len(sides)), an index into names.
        sides, depths: powers of two or not, drawn evenly spaced. names: at most three.
        ties: (len(depths),), a side for each depth, drawn as a dashed line. marks: a list of (side, depth, text).
    """
    colours = (QUIET, LIT, "#8a93a0")
    across = lambda side: np.interp(side, sides, np.arange(len(sides)))
    fig, axes = plt.subplots(1, len(panels), figsize=(4.8 * len(panels), 3.4), squeeze=False)
    for ax, (title, cheapest) in zip(axes[0], panels.items()):
        ax.imshow(array(cheapest), cmap=ListedColormap(colours), vmin=0, vmax=2, origin="lower", aspect="auto")
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
    """For each shape, what was counted beside what was clocked, both as multiples of the smallest.

    Args:
        groups: a dict from a title to a dict from names to pairs (multiply-adds, seconds).
    """
    fig, axes = plt.subplots(1, len(groups), figsize=(2.5 * len(groups), 3), sharey=True, squeeze=False)
    for ax, (title, row) in zip(axes[0], groups.items()):
        pairs = np.array(list(row.values()), float)
        pairs /= pairs.min(0)
        places = np.arange(len(row))
        ax.bar(places - 0.2, pairs[:, 0], 0.38, color=QUIET, label="multiply-adds")
        ax.bar(places + 0.2, pairs[:, 1], 0.38, color=LIT, label="time")
        ax.axhline(1, color=INK, linewidth=0.8)
        ax.set_yscale("log")
        ax.set(xticks=places)
        ax.set_xticklabels(row, rotation=30, ha="right", fontsize=8)
        ax.set_title(title, fontsize=9)
    axes[0, 0].set_ylabel("times the smallest")
    axes[0, -1].legend(frameon=False, fontsize=8)
    fig.tight_layout()
    return fig


def cost_bars(panels, lit, limits, title: str = "") -> Figure:
    """Counts as bars on logarithmic axes that never change, so that two settings can be compared.

    Args:
        panels: a dict from a title to a dict from names to counts. lit: the names whose bars are orange.
        limits: (low, high) for all panels.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 2.6), squeeze=False)
    for ax, (name, row) in zip(axes[0], panels.items()):
        counts = np.array(list(row.values()), float)
        ax.barh(np.arange(len(row)), np.log10(counts) - np.log10(limits[0]), left=np.log10(limits[0]),
                color=[LIT if bar in lit else QUIET for bar in row])  # a linear axis of exponents draws faster
        for place, count in enumerate(counts):
            ax.annotate(f"{count:,.0f}", (np.log10(limits[0]), place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
        exponents = range(int(np.log10(limits[0])), int(np.log10(limits[1])) + 1, 2)
        ax.set(xlim=np.log10(limits), yticks=range(len(row)), xticks=exponents)
        ax.set_xticklabels([f"$10^{{{exponent}}}$" for exponent in exponents])
        ax.set_yticklabels(row, fontsize=9)
        ax.invert_yaxis()
        ax.set_title(name, fontsize=10)
    fig.suptitle(title, fontsize=9)
    fig.tight_layout()
    return fig
