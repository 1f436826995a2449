"""Can the words of a figure be read? Their size, and their contrast to what lies behind them, as WCAG 2 has it."""

from matplotlib.colors import to_rgb
from matplotlib.text import Text

from lambdalib.course.figures.output import PAGE_PIXELS

LEAST = 4.5
PAGE, SMALLEST = 592, 8  # pixels: a cell's output beside the table of contents in a window of 1024, and a letter


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


def tiny(figure) -> list[str]:
    """The words of a figure that are drawn too small in a window of 1024 pixels."""
    figure.draw_without_rendering()
    scale = PAGE_PIXELS / 72 * min(1, PAGE / (PAGE_PIXELS * figure.get_tightbbox().width))
    sizes = {text.get_text(): scale * text.get_fontsize() for text in figure.findobj(Text)}
    return [f"{words!r}: {size:.1f} pixels" for words, size in sizes.items() if words.strip() and size < SMALLEST]
