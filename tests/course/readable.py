"""Can the words of a figure be read? Their contrast to what lies behind them, as WCAG 2 defines it, and their
size in a narrow window."""

from matplotlib.colors import to_rgb
from matplotlib.text import Text

LEAST = 4.5
ROOM, SMALLEST = 590, 8  # pixels: of an output in a window of 1024 with JupyterLab's side bar open, and of a word
PAGE = 90  # pixels of the page for an inch of a figure, where there is room


def luminance(colour) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def unreadable(figure) -> list[str]:
    """The words of a figure that stand out too little from white, or from the box that they stand in.

    White words are taken to stand on an image, if their axes have one.
    """
    found = []
    for text in figure.findobj(Text):
        box, colour = text.get_bbox_patch(), text.get_color()
        on_image = text.axes is not None and text.axes.images and to_rgb(colour) == (1, 1, 1)
        if text.get_text().strip() and (box or not on_image):
            ratio = contrast(colour, box.get_facecolor() if box else "white")
            if ratio < LEAST:
                found.append(f"{text.get_text()!r} in {colour}: {ratio:.2f}")
    return found


def tiny(figure, whole: bool) -> list[str]:
    """The words of a figure that become smaller than SMALLEST where the figure must shrink to fit into ROOM.

    whole: the figure is shown with its margins, as a widget does.
    """
    figure.canvas.draw()
    width = PAGE * (figure.get_figwidth() if whole else figure.get_tightbbox().width + 0.2)
    pixels = {text: text.get_fontsize() / 72 * PAGE * min(1, ROOM / width) for text in figure.findobj(Text)}
    small = [text for text in pixels if text.get_visible() and text.get_text().strip() and pixels[text] < SMALLEST]
    return [f"{text.get_text()!r}: {pixels[text]:.1f} pixels" for text in small]
