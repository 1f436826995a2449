"""Can the words of a figure be read? Their contrast to what lies behind them, as WCAG 2 defines it."""

from matplotlib.colors import to_rgb
from matplotlib.text import Text

LEAST = 4.5


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
