"""Figures of the lesson that looks into a trained net: its matrices, stencils, energies and receptive fields.

Every function returns a matplotlib Figure. A sign is never told by colour alone: strong negative cells carry a
minus. Taught in notebooks/08_look_inside.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lambdalib.course.figures.style import GREY, INK, LIT, PALE, SIZE, array, light, signed, subplots

__all__ = ["energy_bars", "matrix_rows", "points_lost", "receptive_fields", "stencil_banks"]


def matrix_rows(image, pixel: tuple[int, int], rows, columns) -> Figure:
    """What a pixel of a feature map takes from each pixel of the map, drawn over the image: rows of matrices.

    White is 0, purple is above, brown with a minus is below. Each row has its own scale, written at its left.

    Args:
        image: (3, H, W), light between 0 and 1.
        pixel: (row, column) of the query position on the map; it is framed.
        rows: name -> one map (y, x) for each column.
        columns: a title for each map.
    """
    image = light(image)
    faint = np.repeat(0.75 + 0.25 * image.mean(2, keepdims=True), 3, axis=2)
    fig, axes = subplots(
        len(rows), 1 + len(columns), figsize=(2 * (1 + len(columns)), 2.15 * len(rows)), squeeze=False
    )
    for number, (line, (name, maps)) in enumerate(zip(axes, rows.items())):
        maps = [array(one) for one in maps]
        limit = max(float(np.abs(one).max()) for one in maps) or 1.0
        for place, ax in enumerate(line):
            ax.imshow(image if place == 0 else faint, extent=(0, 1, 1, 0), interpolation="nearest")
            if place:
                weights = maps[place - 1]
                shown = colormaps["PuOr"](0.5 + weights / (2 * limit))
                # the image shines through where little is taken
                shown[..., 3] = np.minimum(0.2 + 0.8 * np.abs(weights) / limit, 1)
                ax.imshow(shown, extent=(0, 1, 1, 0), interpolation="nearest")
                for (y, x), weight in np.ndenumerate(weights):
                    if weight < -0.25 * limit:
                        at = ((x + 0.5) / weights.shape[1], (y + 0.5) / weights.shape[0])
                        dark = weight < -0.6 * limit
                        ax.text(*at, "−", ha="center", va="center", fontsize=SIZE, color="w" if dark else INK)
            height, width = maps[0].shape
            corner = pixel[1] / width, pixel[0] / height
            ax.add_patch(Rectangle(corner, 1 / width, 1 / height, fill=False, edgecolor=INK, linewidth=2))
            ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(1, 0))
            if number == 0:
                ax.set_title((["the pixel", *columns])[place], fontsize=SIZE)
        line[0].set_ylabel(f"{name}\n(scale ±{limit:.2g})", fontsize=SIZE)
    width, height = fig.get_size_inches()
    fig.subplots_adjust(
        0.54 / width, 0.15 / height, 1 - 0.15 / width, 1 - 0.27 / height, wspace=0.09, hspace=0.04
    )  # in inches; quicker than a tight layout, and the same in every frame
    return fig


def stencil_banks(banks, rows: int = 4) -> Figure:
    """All stencils of a layer, beside those of another: purple above 0, brown below, white at 0.

    Args:
        banks: name -> (k, r, r); each bank has its own scale, written above it.
        rows: of each bank.
    """
    banks = {name: array(bank) for name, bank in banks.items()}
    columns = max(-(-len(bank) // rows) for bank in banks.values())
    fig = Figure(figsize=(4.2 * len(banks), 0.95 * rows + 0.5))
    for part, (name, bank) in zip(fig.subfigures(1, len(banks), squeeze=False)[0], banks.items()):
        limit = float(np.abs(bank).max())
        axes = part.subplots(rows, columns, squeeze=False, gridspec_kw={"wspace": 0.1, "hspace": 0.1}).ravel()
        for ax in axes[len(bank) :]:
            ax.axis("off")
        for ax, stencil in zip(axes, bank):
            signed(ax, stencil, limit)
            ax.spines[:].set_color(GREY)
        part.suptitle(f"{name} (scale ±{limit:.2g})", fontsize=SIZE)
    return fig


def energy_bars(shares) -> Figure:
    """The share of the content half in the energy of a layer's output; the rest is the position half.

    Args:
        shares: name -> share of the content half, between 0 and 1.
    """
    fig, ax = subplots(figsize=(8, 0.45 * len(shares) + 0.9))
    for place, share in enumerate(shares.values()):
        ax.barh(
            place, share, color=LIT, edgecolor=INK, height=0.7, label="content (palette)" if place == 0 else None
        )
        ax.barh(
            place, 1 - share, left=share, color=PALE, edgecolor=INK, hatch="///", height=0.7,
            label="position (stencils)" if place == 0 else None,
        )  # fmt: skip
        ax.annotate(f"{100 * share:.0f} %", (share / 2, place), ha="center", va="center", fontsize=SIZE)
    ax.set_yticks(range(len(shares)), list(shares), fontsize=SIZE)
    ax.set(xlim=(0, 1), xticks=[])
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize=SIZE)
    fig.tight_layout()
    return fig


def receptive_fields(fields, window: tuple[int, int, int, int]) -> Figure:
    """On which pixels of the input one feature depends: white is 0, full orange the largest share of all panels.

    Args:
        fields: name -> (H, W) shares that sum to 1.
        window: first and last row, first and last column, framed: the window that the convolutions alone can see.
    """
    fields = {name: array(field) for name, field in fields.items()}
    top, bottom, left, right = window
    orange = LinearSegmentedColormap.from_list("orange", ["white", LIT, INK])
    limit = max(float(field.max()) for field in fields.values()) ** 0.5
    fig, axes = subplots(1, len(fields), figsize=(2.75 * len(fields), 3.3), squeeze=False)
    for ax, (name, field) in zip(axes[0], fields.items()):
        ax.imshow(np.sqrt(field), cmap=orange, vmin=0, vmax=limit, interpolation="nearest")
        frame = (left - 0.5, top - 0.5), right - left + 1, bottom - top + 1
        ax.add_patch(Rectangle(*frame, fill=False, edgecolor=INK, linewidth=1.2, linestyle="--"))
        outside = 1 - field[top : bottom + 1, left : right + 1].sum()
        ax.set_title(name, fontsize=SIZE)
        ax.set_xlabel(f"outside the frame: {100 * abs(outside):.0f} %", fontsize=SIZE)
        ax.set(xticks=[], yticks=[])
    fig.tight_layout()
    return fig


def points_lost(lost, models, legend: str = "center right") -> Figure:
    """How many points of accuracy models lose when something is taken away: one bar for each model.

    Args:
        lost: what is taken away -> points lost by each model.
        models: their names, at most three; the first is drawn full, the second hatched, the third white.
        legend: where the legend stands.
    """
    fig, ax = subplots(figsize=(8, 0.72 * len(lost) + 0.9))
    styles = [{"color": LIT}, {"color": PALE, "hatch": "///"}, {"color": "white"}]
    height = 0.8 / len(models)
    for place, points in enumerate(lost.values()):
        for i, (model, value) in enumerate(zip(models, points)):
            y = place + (i - (len(models) - 1) / 2) * height
            label = model if place == 0 else None
            ax.barh(y, value, height=0.9 * height, edgecolor=INK, label=label, **styles[i])
            ax.annotate(f" {value:.1f}".replace("-", "−"), (max(value, 0), y), va="center", fontsize=SIZE)
    ax.set_yticks(range(len(lost)), list(lost), fontsize=SIZE)
    ax.invert_yaxis()
    ax.tick_params(axis="x", labelsize=SIZE)
    ax.set_xlabel("points of accuracy lost", fontsize=SIZE)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(x=0.08)
    ax.legend(frameon=False, fontsize=SIZE, loc=legend)
    fig.tight_layout()
    return fig
