"""Thin ipywidgets shells: a control changes, a pure function draws a figure, the shown image is replaced.

Only core controls that exist in ipywidgets 7.7 and 8, and no Output widget, so that a widget behaves alike in
JupyterLab, in Colab and under nbval. Taught in notebooks/00_start_here.
"""

import io

import ipywidgets as ipw
import matplotlib.pyplot as plt

__all__ = ["choice", "explore", "slider", "switch"]


def slider(label: str, low, high, value, step=1):
    """A slider over whole numbers or floats, which waits for the release of the mouse."""
    kind = ipw.IntSlider if isinstance(step, int) and isinstance(value, int) else ipw.FloatSlider
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        continuous_update=False,
        style={"description_width": "initial"},
        layout={"width": "420px"},
    )


def choice(label: str, options, value=None):
    """A row of buttons of which one is pressed.

    Taught in notebooks/01_self_attention.

    Args:
        label: in front of the buttons.
        options: a list, or a dict from words to values.
        value: which is pressed first; by default the first.
    """
    buttons = ipw.ToggleButtons(options=options, description=label, style={"description_width": "initial"})
    if value is not None:
        buttons.value = value
    return buttons


def switch(label: str, value: bool = False):
    """A box to tick. Taught in notebooks/01_self_attention."""
    return ipw.Checkbox(value=value, description=label, indent=False)


def explore(draw, **controls):
    """Show draw(**values of the controls), and draw again whenever a control moves.

    Args:
        draw: a pure function that returns a matplotlib Figure.
        controls: one widget for each argument of draw; slider(), choice() and switch() make them.
    Returns:
        a VBox: the controls above the figure. Its `controls` are the dict of widgets, its `message` shows an
        error, and its `picture` is the figure as it is shown.
    """
    picture, message = ipw.Image(format="png"), ipw.HTML()

    def redraw(_=None):
        try:
            figure = draw(**{name: control.value for name, control in controls.items()})
        except Exception as error:  # a callback's traceback is shown nowhere: say it beside the controls
            message.value = f"<b style='color:#b00'>{type(error).__name__}: {error}</b>"
            return
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90, bbox_inches="tight")
        plt.close(figure)
        picture.value, message.value = buffer.getvalue(), ""

    for control in controls.values():
        control.observe(redraw, names="value")
    redraw()
    box = ipw.VBox([*controls.values(), message, picture])
    box.controls, box.message, box.picture = controls, message, picture
    return box
