"""What all figures share: colours, and helpers that draw on one axis.

Colours mean the same everywhere: light is drawn as light, signed numbers are drawn purple (above 0) and brown
(below) with white at 0, and what a lesson is about is orange. Text is dark enough to read: a contrast of at least
4.5 to white, which LIT and GREY do not have. Used by the other files of this folder.
"""

import functools
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

__all__ = ["GREY", "GREY_TEXT", "INK", "LIT", "LIT_TEXT", "PALE", "QUIET", "RGB", "SIZE", "array", "colour_bars",
           "keeping", "kept", "light", "logarithmic", "short", "signed", "subplots"]  # fmt: skip

LIT, QUIET, INK = "#e8730c", "#c9ced6", "#2b2f36"
PALE, GREY = "#f6c79b", "#8a93a0"
LIT_TEXT, GREY_TEXT = "#b35400", "#646c78"
SIZE = 9.5  # of text, in points
RGB = ("#d55e00", "#009e73", "#0072b2")  # of Okabe and Ito: told apart by colour-blind readers too


KEPT = ContextVar("KEPT", default=None)  # of the widget that draws: what a figure was made with -> its bare parts


@contextmanager
def keeping(figures: dict):
    """Within it, a function decorated by `kept` uses its figure again: axes are slower to make than to fill.

    Args:
        figures: those of one widget, empty at first; filled here.
    """
    token = KEPT.set(figures)
    try:
        with rc_context({"axes.titley": 1.0}):  # or ticks are measured, lest a title stands on one
            yield
    finally:
        KEPT.reset(token)


def kept(make):
    """Decorate a function that makes a figure and its axes: for the same arguments, a widget wipes its last one.

    Args:
        make: returns (figure, axes); its arguments are shown whole by repr.
    """

    @functools.wraps(make)
    def made(*arguments, **options):
        figures, key = KEPT.get(), (make.__name__, repr((arguments, options)))
        if figures is None:
            return make(*arguments, **options)
        if key in figures:
            (figure, axes), parts = figures[key]
            wipe(figure, parts)
        else:
            figure, axes = make(*arguments, **options)
            figure.suptitle("")  # once made, it belongs to a figure for ever, as an axis's title does
            parts = {part for whole in (figure, *figure.axes) for part in whole.get_children()}
            figures[key] = (figure, axes), parts
        return figure, axes

    return made


def wipe(figure: Figure, parts: set) -> None:
    """Take all but its bare parts from a figure. What was set of these (ticks, spines, places) stays set."""
    figure.suptitle("")
    for image in [image for ax in figure.axes for image in ax.images if image.colorbar]:
        image.colorbar.remove()  # which gives back its place
    for part in set(figure.get_children()) - parts:
        part.remove()
    for ax in figure.axes:
        ax.containers.clear()  # or a legend would find the bars again
        for part in set(ax.get_children()) - parts:
            part.remove()
        for side in ("left", "center", "right"):
            ax.set_title("", loc=side)
        ax.set(xlabel="", ylabel="", aspect="auto")
        ax.set_prop_cycle(None)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_inverted(False)
        ax.relim()
        ax.autoscale(True)


@kept
def subplots(rows: int = 1, columns: int = 1, figsize: tuple[float, float] | None = None, **options):
    """A figure and its axes, as `plt.subplots` makes them, but unknown to pyplot.

    A notebook shows and closes pyplot's figures after every message to the kernel. Messages may come in another
    thread than the one that draws, and then a half-drawn figure is drawn a second time.
    """
    figure = Figure(figsize=figsize)
    return figure, figure.subplots(rows, columns, **options)


def array(tensor) -> np.ndarray:
    """Whatever holds numbers as a numpy array."""
    return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)


def light(image) -> np.ndarray:
    """Colours as (H, W, 3) between 0 and 1, clipped for display only.

    Args:
        image: (3, H, W) or (H, W, 3).
    """
    image = array(image).astype(float)
    return np.clip(np.moveaxis(image, 0, -1) if image.shape[0] == 3 and image.shape[-1] != 3 else image, 0, 1)


def signed(ax, values, limit: float | None = None, **options):
    """Draw a signed map on an axis: purple above 0, brown below, white at 0.

    Args:
        ax: the axis.
        values: (H, W).
        limit: the end of the scale; by default the largest absolute value.
        options: for imshow.
    Returns:
        what imshow returns, for a colour bar.
    """
    values = array(values)
    limit = limit or float(np.abs(values).max()) or 1.0
    shown = ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest", **options)
    ax.set(xticks=[], yticks=[])
    return shown


def colour_bars(ax, colour, limit: float = 10, title: str = "") -> None:
    """One colour as three signed bars, R, G and B, with their numbers: a colour may be negative.

    Args:
        ax: the axis.
        colour: (3,).
        limit: the end of the scale.
        title: above the axis.
    """
    colour = array(colour)
    ax.bar(range(3), colour, color=RGB, width=0.75)
    ax.axhline(0, color=INK, linewidth=0.8)
    for i, value in enumerate(colour):
        number, below = f"{value:g}".replace("-", "−"), value < 0
        ax.annotate(number, (i, value), xytext=(0, -2 * below), textcoords="offset points", ha="center",
                    va="top" if below else "bottom", fontsize=8)  # fmt: skip
        ax.annotate("RGB"[i], (i, 0), xytext=(0, 2 if below else -2), textcoords="offset points", ha="center",
                    va="bottom" if below else "top", fontsize=8, color=INK)  # fmt: skip
    ax.set(xticks=[], yticks=[], ylim=(-1.3 * limit, 1.3 * limit))
    ax.set_title(title, fontsize=9)
    ax.spines[["top", "right", "bottom", "left"]].set_visible(False)


def logarithmic(axis, ticks) -> None:
    """Make one axis of a plot logarithmic, with plain numbers at these ticks and at no others.

    Args:
        axis: ax.xaxis or ax.yaxis.
        ticks: where numbers stand.
    """
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def short(count: float) -> str:
    """A count with three digits and a unit: 711230750720 is "711 G", 80 is "80"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= 0.9995 * size:
            return f"{count / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{count:.3g}"
