"""Figures of the lessons on the lambda layer, over images and over sequences.

Every function returns a matplotlib Figure. Taught in notebooks/04_lambda_layer and notebooks/04b_sequences.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, LIT_TEXT, QUIET, array, light, signed, subplots

__all__ = ["one_pixel", "palette_film", "palettes_in_time", "puzzle_answers", "scale_curves", "traces"]


def one_pixel(image, pixel: tuple[int, int], query, lam, output, limits: tuple[float, float, float]) -> Figure:
    """One output pixel: the query (k bars) times the lambda (k × v) gives one head's channels (v bars).

    Args:
        image: (3, H, W).
        pixel: (row, column), marked.
        query: (k,). lam: (k, v). output: (v,).
        limits: the ends of the scales of query, lambda and output, fixed so that pixels can be compared.
    """
    query, lam, output = array(query), array(lam), array(output)
    fig, axes = subplots(
        1, 4, figsize=(9.2, 2.6), gridspec_kw={"width_ratios": [1.1, 0.8, 0.9, 0.9], "wspace": 0.5}
    )
    fig.subplots_adjust(left=0.01, right=0.99, bottom=0.17, top=0.91)
    axes[0].imshow(light(image), interpolation="nearest")
    for colour, width in (("white", 4), (LIT, 2)):  # a white rim, since the plane is nearly orange itself
        axes[0].plot(
            pixel[1],
            pixel[0],
            "s",
            markersize=9,
            markerfacecolor="none",
            markeredgecolor=colour,
            markeredgewidth=width,
        )
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
        factors: what the input is multiplied with.
        curves: name -> the output's growth at each factor. A name with "position" gets a full line, one with
            "without" is orange.
    """
    fig, ax = subplots(figsize=(6.8, 3.6))
    ax.loglog(factors, factors, "--", color=GREY, label="a convolution (slope 1)")
    for name, values in curves.items():
        ax.loglog(
            factors,
            values,
            "-" if "position" in name else ":",
            marker=".",
            color=LIT if "without" in name else INK,
            label=name,
        )
    ax.set(xlabel="input × …", ylabel="output × …")
    ax.legend(frameon=False, fontsize=8)
    fig.tight_layout()
    return fig


def puzzle_answers(image, truth, scored, answers) -> Figure:
    """A puzzle's image, the truth of its two questions, and the networks' answers; a cross marks a wrong one.

    Args:
        image: (3, H, W): brightness, red marker, blue marker.
        truth, scored: (2, H, W), yes = 1; pixels that are not scored are hatched.
        answers: name -> (2, H, W), yes = True.
    """
    image, truth, scored = array(image), array(truth) > 0.5, array(scored) > 0.5
    panels = {"truth": truth, **{name: array(given) > 0 for name, given in answers.items()}}
    fig, axes = subplots(2, 1 + len(panels), figsize=(1.8 * (1 + len(panels)), 3.9))
    shades = np.stack([image[0]] * 3, -1)
    for channel, colour in ((1, (0.83, 0.24, 0.24)), (2, (0.18, 0.44, 0.84))):
        shades[image[channel] > 0] = colour
    for row, question in enumerate(("A, edge", "B, far marker")):
        axes[row, 0].imshow(shades, interpolation="nearest")
        axes[row, 0].set_ylabel(question, fontsize=10)
        axes[row, 0].set_title("the image" if row == 0 else "", fontsize=9)
        for ax, (name, given) in zip(axes[row, 1:], panels.items()):
            ax.imshow(given[row], cmap="Greys_r", vmin=-0.6, vmax=1, interpolation="nearest")
            for y, x in np.argwhere(~scored[row]):
                ax.add_patch(
                    Rectangle(
                        (x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor=QUIET, hatch="////", linewidth=0
                    )
                )
            y, x = np.nonzero((given[row] != truth[row]) & scored[row])
            ax.plot(x, y, "x", color=LIT, markersize=6, markeredgewidth=2)
            ax.set_title(name if row == 0 else "", fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


def traces(
    curves,
    xlabel: str,
    ylabel: str,
    level: tuple[str, float] | None = None,
    ylim: tuple[float, float] | None = None,
) -> Figure:
    """Curves over 0, 1, 2, ... in one panel.

    Args:
        curves: name -> values, at most four; NaN leaves a gap.
        xlabel, ylabel: under and beside the axes.
        level: name and height of a dotted line.
        ylim: both ends of the vertical axis.
    """
    fig, ax = subplots(figsize=(8, 3))
    for (name, values), colour, dashes in zip(curves.items(), (LIT, INK, GREY, INK), ("-", "-", "-", "--")):
        ax.plot(array(values), color=colour, linestyle=dashes, linewidth=1.3, label=name)
    if level:
        ax.axhline(level[1], color=INK, linewidth=0.8, linestyle=":", label=level[0])
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=ylim)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    fig.tight_layout()
    return fig


def swatch(ax, colour, words: str) -> None:
    """A colour, (3,) between 0 and 1, that fills an axis, with words that stand out from it."""
    shown = light(colour[None, None])
    ax.imshow(shown, aspect="auto")
    dark = shown[0, 0] ** 2.2 @ (0.2126, 0.7152, 0.0722) < 0.179  # here white and black stand out alike
    ax.annotate(words, (0, 0), ha="center", va="center", fontsize=9, color="white" if dark else "black")


def palettes_in_time(values, palettes) -> Figure:
    """What has been seen of a row of pixels after each step, and the palette mixed from it.

    Args:
        values: (n, 3) colours, 8 for full light; what is still to come is grey.
        palettes: (n, k, 3). Shown as light, with the numbers.
    """
    values, palettes = array(values), array(palettes)
    n, k = palettes.shape[:2]
    fig, axes = subplots(1 + k, n, figsize=(2.1 * n, 0.75 * (1 + k) + 0.3), squeeze=False)
    for t in range(n):
        seen = np.where(np.arange(n)[:, None] <= t, values / 8, 0.85)
        axes[0, t].imshow(light(seen[None]), aspect="auto")
        axes[0, t].set_title(f"after pixel {t}", fontsize=9, color=LIT_TEXT)
        for i, colour in enumerate(palettes[t]):
            swatch(axes[i + 1, t], colour / 8, ", ".join(f"{part:.3g}" for part in colour))
    for name, ax in zip(("seen", *(f"colour {i}" for i in range(k))), axes[:, 0]):
        ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


def palette_film(image, rows, palettes, repainted) -> Figure:
    """An image that is read row by row: what has been read, the palette so far, and what was repainted with it.

    Args:
        image: (3, H, W), light between 0 and 1; what is still to come is grey.
        rows: how many rows have been read in each frame of the film.
        palettes: (len(rows), k, 3). The numbers on the colours count light from 0 to 255.
        repainted: (3, H, W), each pixel with the palette of its moment.
    """
    palettes, images = array(palettes), (light(image), light(repainted))
    k = palettes.shape[1]
    fig, axes = subplots(
        2 + k,
        len(rows),
        figsize=(1.75 * len(rows), 3.5 + 0.3 * k),
        height_ratios=[1.7, *[0.3] * k, 1.7],
        squeeze=False,
    )
    for frame, read in enumerate(rows):
        for row, shown in zip((0, -1), images):
            shown = np.where(np.arange(len(shown))[:, None, None] < read, shown, 0.85)
            axes[row, frame].imshow(shown, interpolation="nearest")
        axes[0, frame].set_title(f"{read} rows", fontsize=10)
        for ax, colour in zip(axes[1:-1, frame], palettes[frame]):
            swatch(ax, colour, ", ".join(f"{255 * part:.0f}" for part in colour))
    for name, ax in zip(("read", *(f"colour {i}" for i in range(k)), "repainted"), axes[:, 0]):
        ax.set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.subplots_adjust(left=0.1, right=0.99, bottom=0.02, top=0.94, wspace=0.06, hspace=0.1)
    return fig
