"""How a figure leaves Python: as a PNG for sharp screens, and as the output of a cell, with its caption.

Used by the lessons, for figures with a caption, and by their widgets.
"""

import io
from base64 import b64encode

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import HTML, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["frame", "rendered", "show"]

PAGE_PIXELS = 90  # of a page for one inch of a figure; its PNG has twice as many
COLOURS = 256


def rendered(figure: Figure, dots: int) -> Image.Image:
    """A figure's whole canvas as an image, so that all frames of a widget have one size; savefig would draw twice.

    Args:
        figure: is closed.
        dots: pixels an inch.
    """
    figure.set_dpi(dots)
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if not axis.get_label_text():
            axis.set_label_coords(0, 0)  # or all ticks are measured to place a label without words
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    plt.close(figure)
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def frame(figure: Figure) -> bytes:
    """A figure as PNG with twice the pixels that it takes on the page, made quickly.

    Args:
        figure: is closed.
    """
    file = io.BytesIO()
    rendered(figure, 2 * PAGE_PIXELS).save(file, format="png", compress_level=1)
    return file.getvalue()


def show(figure: Figure, caption: str, alt: str) -> None:
    """Show a figure under a cell: cut to what is drawn, sharp at twice the page's pixels, with a caption below.

    The output's metadata holds the width on the page and the words for readers who cannot see the figure. Tools
    that show no images print these words. The PNG is stored with 256 colours if that makes it smaller and moves
    fewer than one pixel in a thousand by more than 16 steps of 256. Photographs keep all their colours.

    Args:
        figure: is closed.
        caption: one sentence that says what to see, one that explains the colours if they are not obvious. HTML.
        alt: what the figure shows, in words, for readers who cannot see it.
    Raises:
        ValueError: caption or alt is empty.
    """
    for name, words in (("caption", caption), ("alt", alt)):
        if not isinstance(words, str) or not words.strip():
            raise ValueError(f"{name} must say something about the figure, got {words!r}")
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=2 * PAGE_PIXELS, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    image = Image.open(file).convert("RGB")
    width = image.width // 2
    display(
        {"image/png": b64encode(few_colours(file.getvalue(), image)).decode(), "text/plain": alt},
        metadata={"image/png": {"width": width, "alt": alt}},
        raw=True,
    )
    display(HTML(f'<p style="max-width: {width}px; margin: 0"><small>{caption}</small></p>'))


def few_colours(png: bytes, image: Image.Image) -> bytes:
    """The PNG of an image with a palette of 256 colours, or as it is where that is smaller or too far off."""
    indexed, file = image.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE), io.BytesIO()
    indexed.save(file, format="png", optimize=True)
    change = np.abs(np.asarray(image, int) - np.asarray(indexed.convert("RGB"), int)).max(2)
    return min(png, file.getvalue(), key=len) if (change > 16).mean() < 1e-3 else png
