"""Time the widgets of the lessons: python tools/time_widgets.py [LESSON ...]   (every lesson by default)

A lesson runs as far as its last widget. Then each widget draws once, as when its cell runs, and 20 times at random
settings. A row of the table says how long it took from a control's move to the finished PNG. On a machine with
nothing else to do, the median should be below 200 ms and the longest time below 400 ms. "cut off" means that a
figure is larger than its canvas, "leftovers" that a figure which is used again differs from a new one.
"""

import gc
import io
import os
import random
import statistics
import sys
import time
from contextlib import redirect_stdout

import jupytext
import matplotlib
from execute import TWINS, find_twin

from lambdalib.course import widgets
from lambdalib.course.figures.output import frame
from lambdalib.course.figures.style import keeping

SETTINGS, MEDIAN, LONGEST = 20, 200, 400  # of which the last two are milliseconds


def recorded(source: str) -> list[tuple]:
    """Run a lesson's code; what it gives to each widget: the draw function and the controls."""
    found, explore = [], widgets.explore
    widgets.explore = lambda draw, alt="", **controls: found.append((draw, controls))
    try:
        with redirect_stdout(io.StringIO()):
            exec(compile(source, "lesson", "exec"), {"__name__": "__main__"})
    finally:
        widgets.explore = explore
    return found


def until_last_widget(cells: list[str]) -> str:
    """The code cells of a lesson, without those after its last widget; none if it has no widget."""
    last = max((place for place, cell in enumerate(cells) if "explore(" in cell), default=-1)
    return "\n\n".join(cells[: last + 1])


def pick(control, chance: random.Random):
    """Any value of a control."""
    if hasattr(control, "options"):  # buttons
        return chance.choice(control._options_values)
    if hasattr(control, "step"):  # a slider
        steps = round((control.max - control.min) / control.step)
        return control.min + control.step * chance.randint(0, steps)
    return chance.random() < 0.5


def milliseconds(draw, controls, chance: random.Random) -> tuple[list[float], str]:
    """What each of the frames takes, and what is wrong with the figures."""
    times, inside, alike, figures = [], True, True, {}
    gc.collect()
    gc.freeze()  # as explore() does
    for _ in range(1 + SETTINGS):
        values = {name: pick(control, chance) for name, control in controls.items()}
        start = time.perf_counter()
        with keeping(figures):
            figure = draw(**values)
            png = frame(figure)
        times.append(1e3 * (time.perf_counter() - start))
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        inside &= min(box.x0, box.y0, width - box.x1, height - box.y1) > -0.02  # inches
        with keeping({}):
            alike &= png == frame(draw(**values))
    return times[1:], "   cut off" * (not inside) + "   leftovers" * (not alike)


def main(names: list[str]) -> int:
    try:
        twins = [find_twin(name) for name in names] or sorted(TWINS.glob("*.py"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    matplotlib.use("Agg")
    os.chdir(TWINS.parent)
    chance, slow = random.Random(0), 0
    print(f"{'lesson':<28}{'widget':<22}{'median, ms':>11}{'longest, ms':>13}")
    for twin in twins:
        cells = [cell.source for cell in jupytext.read(twin).cells if cell.cell_type == "code"]
        for draw, controls in recorded(until_last_widget(cells)):
            times, remarks = milliseconds(draw, controls, chance)
            median, longest = statistics.median(times), max(times)
            slow += median > MEDIAN or longest > LONGEST
            print(f"{twin.stem:<28}{draw.__name__:<22}{median:>11.0f}{longest:>13.0f}{remarks}", flush=True)
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
