"""Thin ipywidgets shells: a control changes, a pure function draws a figure, the shown image is replaced.

Only core controls that exist in ipywidgets 7.7 and 8, and no Output widget, so that a widget behaves alike in
JupyterLab, in Colab and under nbval. Taught in notebooks/00_start_here.
"""

import gc
import html
import math
import threading
import time
from base64 import b64encode

import ipywidgets as ipw

from lambdalib.arguments import check_flags
from lambdalib.course.figures.output import frame
from lambdalib.course.figures.style import keeping

__all__ = ["choice", "explore", "slider", "switch"]

LIVE = 0.12  # seconds; a figure that is drawn faster follows the mouse, others wait for its release
CELL = 200  # pixels of the page: the least width of a control without its label; a row holds as many as fit

# A slider's label is text beside it. Screen readers need it on the part that takes the keyboard, and ipywidgets
# cannot put it there. So a style, loaded with the widget, names these parts, now and whenever parts are added:
# .ui-slider-handle, which has no role, in ipywidgets 7, and .noUi-handle in ipywidgets 8.
NAMES = """<style onload="
    const box = this.closest('.widget-vbox');
    const name = () => box.querySelectorAll('.widget-hslider').forEach(slider => {
        const words = slider.querySelector('.widget-label').textContent;
        const number = slider.querySelector('.widget-readout');
        slider.querySelectorAll('.noUi-handle, .ui-slider-handle, .widget-readout').forEach(part => {
            part.setAttribute('aria-label', words);
            part.hasAttribute('role') || part.setAttribute('role', part === number ? 'textbox' : 'slider');
            part.matches('.ui-slider-handle') && part.setAttribute('aria-valuetext', number.textContent);
        });
    });
    new MutationObserver(name).observe(box, {childList: true, subtree: true});
    name();
"></style>"""


def slider(label: str, low, high, value, step=1):
    """A slider over whole numbers or floats.

    Raises:
        ValueError: not low <= value <= high, or step is not above 0.
    """
    numbers = all(isinstance(number, (int, float)) for number in (low, high, value, step))
    if not (numbers and low <= value <= high and step > 0):
        got = f"low={low!r}, value={value!r}, high={high!r}, step={step!r}"
        raise ValueError(f"a slider must have low <= value <= high and a step above 0, got {got}")
    kind = ipw.IntSlider if isinstance(step, int) and isinstance(value, int) else ipw.FloatSlider
    return kind(value=value, min=low, max=high, step=step, description=label, continuous_update=False)


def choice(label: str, options, value=None):
    """A row of buttons of which one is pressed.

    Taught in notebooks/01_self_attention.

    Args:
        label: in front of the buttons.
        options: a list, or a dict from words to values.
        value: which is pressed first; by default the first.
    """
    buttons = ipw.ToggleButtons(
        options=options,
        description=label,
        tooltips=[f"{label}: {option}" for option in options],
        style={"button_width": "auto"},
    )
    buttons.add_class("widget-inline-hbox")  # sliders have it: the label stands beside the buttons
    if value is not None:
        buttons.value = value
    return buttons


def switch(label: str, value: bool = False):
    """A box to tick. Taught in notebooks/01_self_attention. Raises ValueError unless value is True or False."""
    check_flags(value=value)
    return ipw.Checkbox(value=value, description=label)


def image_tag(png: bytes, alt: str) -> str:
    """A PNG with twice the page's pixels as HTML, of a fixed shape, so that nothing moves while it is replaced."""
    width, height = (int.from_bytes(png[place : place + 4], "big") // 2 for place in (16, 20))  # from its header
    source = f"data:image/png;base64,{b64encode(png).decode()}"
    style = f"width: {width}px; max-width: 100%; aspect-ratio: {width} / {height}"
    return f'<img alt="{html.escape(alt)}" decoding="sync" style="{style}" src="{source}">'


def explore(draw, alt: str, **controls):
    """Show draw(**values of the controls), and draw again whenever a control moves.

    The figure follows the mouse if its fastest frame took less than LIVE seconds. A slower one is drawn when the
    mouse is released, and "drawing ..." stands above it in the meantime.

    Args:
        draw: a pure function that returns a matplotlib Figure, always of one size, with everything on its canvas.
        alt: what the figure shows, for readers who cannot see it; the values of the controls are added.
        controls: one widget for each argument of draw; slider(), choice() and switch() make them.
    Returns:
        a VBox: the controls above the figure. Its `controls` are the dict of widgets, its `message` shows an
        error, and its `picture` is the figure as it is shown. Its sliders have names for screen readers.
    Raises:
        ValueError: controls are no widgets, or there are none.
    """
    if not controls or not all(isinstance(control, ipw.Widget) for control in controls.values()):
        raise ValueError(f"controls must be widgets, at least one, got {controls!r}")
    label = f"{max(len(control.description) for control in controls.values()) + 1}ch"
    for control in controls.values():  # one width for all labels, so that the controls stand in columns
        control.style.description_width = label
        control.layout.width = "auto"
    panel = ipw.Box(
        list(controls.values()),
        layout={
            "display": "grid",
            "grid_template_columns": f"repeat(auto-fill, minmax(calc({label} + {CELL}px), 1fr))",
            "grid_gap": "4px 0",
        },
    )
    message = ipw.HTML(layout={"min_height": "28px"})  # kept free, so that the figure below stays where it is
    picture = ipw.HTML()  # an Image cannot have an alternative text
    figures = {}
    fastest, turn = math.inf, threading.Lock()  # JupyterLab may send each control's messages to its own thread

    def redraw(_=None):
        with turn:
            draw_now()

    def draw_now():
        nonlocal fastest
        if fastest >= LIVE:
            message.value = "<span role='status'>drawing ...</span>"
        values = {name: control.value for name, control in controls.items()}
        start = time.perf_counter()
        try:
            with keeping(figures):
                png = frame(draw(**values))
        except Exception as error:  # a callback's traceback is shown nowhere: say it beside the controls
            words = html.escape(f"{type(error).__name__}: {error}")
            message.value = f"<b role='alert' style='color: var(--jp-error-color1, #b00020)'>{words}</b>"
            return
        fastest = min(fastest, time.perf_counter() - start)
        settings = ", ".join(f"{control.description} {control.value}" for control in controls.values())
        picture.value, message.value = image_tag(png, f"{alt}: {settings}"), ""
        for control in controls.values():
            if control.has_trait("continuous_update"):
                control.continuous_update = fastest < LIVE

    for control in controls.values():
        control.observe(redraw, names="value")
    gc.collect()
    gc.freeze()  # or now and then a frame waits until all that PyTorch and matplotlib have loaded was searched
    redraw()
    box = ipw.VBox([panel, message, picture, ipw.HTML(NAMES, layout={"display": "none"})])
    box.controls, box.message, box.picture = controls, message, picture
    return box
