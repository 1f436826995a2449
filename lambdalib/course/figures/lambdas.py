"""Figures of the lessons on content and position lambdas: palettes, stencils, and what they read.

Every function returns a matplotlib Figure. Taught in notebooks/02_content_lambdas and
notebooks/03_position_lambdas.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from lambdalib.course.figures.style import (
    INK,
    LIT,
    LIT_TEXT,
    QUIET,
    array,
    colour_bars,
    kept,
    light,
    signed,
    subplots,
)

__all__ = [
    "colour_table",
    "embedding_matrices",
    "kernels_in_place",
    "palette_card",
    "spectra",
    "steering",
    "strip_palette",
    "strip_readings",
]


def strip_palette(values, soft_keys, palette) -> Figure:
    """Each palette colour as what it is: the strip's pixels with their weights, and the colour that they mix.

    Args:
        values: (m, 3) colours, 8 for full light.
        soft_keys: (m, k) weights, written as eighths.
        palette: (k, 3). Shown as light, so below 0 and above 8 it is clipped; the numbers are not.
    """
    values, soft_keys, palette = array(values), array(soft_keys), array(palette)
    m, k = soft_keys.shape
    fig, axes = subplots(k, m + 1, figsize=(1.5 * (m + 1), 1.55 * k), squeeze=False)
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            made = j == m
            ax.imshow(light((palette[i] if made else values[j])[None, None] / 8))
            ax.set(xticks=[], yticks=[])
            title = (
                f"= ({', '.join(f'{part:g}' for part in palette[i].round(2))})"
                if made
                else f"{8 * soft_keys[j, i]:.3g}/8 of"
            )
            ax.set_title(title, fontsize=9, color=LIT_TEXT if made else INK)
        row[0].set_ylabel(f"colour {i}", fontsize=9)
    fig.tight_layout()
    return fig


def colour_table(colours, rows, columns, limit: float = 10) -> Figure:
    """Signed colours as bars, one panel each, all to the same scale.

    Args:
        colours: (len(rows), len(columns), 3).
        rows, columns: what stands at the left and above.
        limit: the end of the scale.
    """
    fig, axes = subplots(len(rows), len(columns), figsize=(1.9 * len(columns), 1.7 * len(rows)), squeeze=False)
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            colour_bars(ax, colours[i][j], limit, columns[j] if i == 0 else "")
        row[0].set_ylabel(rows[i], fontsize=9)
    fig.tight_layout()
    return fig


@kept
def card_axes(k: int):
    """A palette card's figure, with axes for the image, the repainted image, k swatches and k maps of weights."""
    room = max(k, 4)  # fewer colours leave a gap, so that the images stay where they are
    figure = Figure(figsize=(1.15 * (room + 4), 2.7))
    grid = figure.add_gridspec(
        2, room + 4, height_ratios=[1, 2], left=0.01, right=0.99, bottom=0.1, top=0.88, wspace=0.12, hspace=0.12
    )
    images = [figure.add_subplot(grid[:, columns]) for columns in (slice(2), slice(-2, None))]
    swatches, weights = ([figure.add_subplot(grid[row, i + 2]) for i in range(k)] for row in (0, 1))
    return figure, (*images, swatches, weights)


def palette_card(image, palette, soft_keys, repainted) -> Figure:
    """An image, the colours of its palette, which pixels wrote each of them, and the image repainted with them.

    Args:
        image: (3, H, W), light between 0 and 1.
        palette: (k, 3). The numbers above the swatches count light from 0 to 255.
        soft_keys: (k, H, W), the weight of each pixel in each colour; each map is drawn from white = 0
            to orange, its largest. A pixel without any weight is hidden: grey in the image.
        repainted: (3, H, W).
    """
    palette, soft_keys = array(palette), array(soft_keys)
    shown = light(image)
    shown[soft_keys.sum(0) == 0] = 0.8
    fig, (left, right, swatches, weights) = card_axes(len(palette))
    for ax, colours, title in ((left, shown, "the image"), (right, repainted, "repainted with the palette")):
        ax.imshow(light(colours), interpolation="nearest")
        ax.set_title(title, fontsize=9)
        ax.axis("off")
    orange = LinearSegmentedColormap.from_list("orange", ["white", LIT])
    for swatch, writers, colour, shares in zip(swatches, weights, palette, soft_keys):
        swatch.imshow(light(colour[None, None]), aspect="auto")
        swatch.set_title(", ".join(f"{255 * part:.0f}" for part in colour), fontsize=9)
        writers.imshow(shares, cmap=orange, vmin=0, interpolation="nearest")
        share = shares[shares > 0]
        count = np.exp(-(share * np.log(share)).sum())
        writers.set_xlabel(f"≈ {count:.0f} pixels" if count > 9.5 else f"≈ {count:.1f} pixels", fontsize=9)
        for ax in (swatch, writers):
            ax.set(xticks=[], yticks=[])
    return fig


def spectra(curves) -> Figure:
    """Singular values of matrices, each divided by its largest.

    Args:
        curves: name -> singular values, the largest first; at most two.
    """
    fig, ax = subplots(figsize=(6.4, 3))
    for (name, values), colour in zip(curves.items(), (LIT, INK)):
        values = array(values)
        ax.semilogy(
            np.arange(1, len(values) + 1),
            values / values[0],
            ".-",
            markersize=4,
            linewidth=1,
            color=colour,
            label=name,
        )
    ax.set(xlabel="singular value, from the largest", ylabel="size (largest = 1)")
    ax.legend(frameon=False, fontsize=9)
    fig.tight_layout()
    return fig


def strip_readings(values, table, readings) -> Figure:
    """The strip's four pixels, and under each what every stencil reads there, as signed colour bars.

    Args:
        values: (n, 3) colours, 8 for full light.
        table: (k, r) stencils of one row.
        readings: (n, k, 3).
    """
    values, table, readings = array(values), array(table), array(readings)
    fig, axes = subplots(
        1 + len(table), 1 + len(values), figsize=(9, 1.6 * (1 + len(table))), gridspec_kw={"hspace": 0.45}
    )
    axes[0, 0].axis("off")
    for n, ax in enumerate(axes[0, 1:]):
        ax.imshow(light(values[n][None, None] / 8))
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"pixel {n}", fontsize=9)
    for i, stencil in enumerate(table):
        signed(axes[i + 1, 0], stencil[None], limit=1.5)
        axes[i + 1, 0].set_title(f"stencil {i}", fontsize=9)
        for tap, weight in enumerate(stencil):
            axes[i + 1, 0].annotate(
                f"{weight:g}".replace("-", "−"), (tap, 0), ha="center", va="center", fontsize=9
            )
        for n in range(len(values)):
            colour_bars(axes[i + 1, n + 1], readings[n, i], limit=8)
    return fig


def embedding_matrices(embeddings, names) -> Figure:
    """The dense embeddings E, one matrix (n × m) for each of the k stencils.

    Args:
        embeddings: (n, m, k).
        names: one title for each stencil.
    """
    embeddings = array(embeddings)
    fig, axes = subplots(1, embeddings.shape[2], figsize=(3.4 * embeddings.shape[2], 3.4), squeeze=False)
    for i, ax in enumerate(axes[0]):
        signed(ax, embeddings[:, :, i], limit=1.5 * float(np.abs(embeddings).max()))
        for (n, m), value in np.ndenumerate(embeddings[:, :, i]):
            ax.annotate(f"{value:g}".replace("-", "−"), (m, n), ha="center", va="center", fontsize=9)
        ax.set_title(names[i], fontsize=10)
        ax.set(
            xlabel="context position m",
            ylabel="query position n",
            xticks=range(embeddings.shape[1]),
            yticks=range(len(embeddings)),
        )
    fig.tight_layout()
    return fig


def steering(image, response, kernel, angle: float, angles, readings, pixel: tuple[int, int]) -> Figure:
    """One mixed stencil, what it reads everywhere, and what one pixel reads at every angle.

    Args:
        image: (3, H, W) or (H, W).
        response: (H, W), what the stencil reads at each pixel.
        kernel: (r, r), the stencils mixed at this angle.
        angle: of the query, in degrees.
        angles, readings: the curve of the marked pixel, one reading for each angle.
        pixel: (row, column) of the marked pixel.
    """
    fig, axes = subplots(1, 4, figsize=(9.2, 2.6), gridspec_kw={"width_ratios": [1, 0.8, 1, 1.2]})
    image = array(image)
    axes[0].imshow(light(image) if image.ndim == 3 else image, cmap="gray")
    axes[0].plot(
        pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=LIT, markeredgewidth=2
    )
    turn = np.radians(angle)
    axes[0].annotate(
        "",
        (pixel[1] + 8 * np.cos(turn), pixel[0] + 8 * np.sin(turn)),
        (pixel[1], pixel[0]),
        arrowprops={"arrowstyle": "->", "color": LIT, "linewidth": 2},
    )
    axes[0].set(xticks=[], yticks=[])
    axes[0].set_title("pixel and query's direction", fontsize=9)
    signed(axes[1], kernel, limit=0.6)
    axes[1].set_title(f"the stencil mixed at {angle:g}°", fontsize=9)
    signed(axes[2], response, limit=0.3)  # the same scale at every angle, so that a weak answer looks weak
    axes[2].plot(
        pixel[1], pixel[0], "s", markersize=9, markerfacecolor="none", markeredgecolor=LIT, markeredgewidth=2
    )
    axes[2].set_title("its reading everywhere", fontsize=9)
    axes[3].plot(angles, readings, color=INK)
    axes[3].axhline(0, color=QUIET, linewidth=1)
    axes[3].plot(angle, np.interp(angle, angles, readings), "o", color=LIT)
    axes[3].set(xlabel="angle of the query (degrees)", xticks=range(0, 361, 90))
    axes[3].set(ylim=(-0.3, 0.3), yticks=(-0.3, 0, 0.3))
    axes[3].set_title("reading of the marked pixel", fontsize=9)
    fig.subplots_adjust(left=0.025, right=0.98, bottom=0.18, top=0.9, wspace=0.28)  # the same at every angle
    return fig


def kernels_in_place(image, pixels, kernels) -> Figure:
    """An image with marked pixels, and beside it the kernel that each of them uses.

    Args:
        image: (3, H, W).
        pixels: list of (row, column).
        kernels: (len(pixels), r, r).
    """
    kernels = array(kernels)
    fig, axes = subplots(1, 1 + len(pixels), figsize=(1.8 * (1 + len(pixels)), 2.1))
    axes[0].imshow(light(image), interpolation="nearest")
    axes[0].set(xticks=[], yticks=[])
    for i, (row, column) in enumerate(pixels):
        axes[0].annotate(
            str(i),
            (column, row),
            color="white",
            ha="center",
            va="center",
            fontsize=9,
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": LIT_TEXT, "edgecolor": "white"},
        )
        signed(axes[i + 1], kernels[i], limit=float(np.abs(kernels).max()))
        axes[i + 1].set_title(f"kernel at pixel {i}", fontsize=9)
    fig.tight_layout()
    return fig
