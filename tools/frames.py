"""The lessons without a kernel: what their reveals answer, and their widgets' figures at chosen positions.

python tools/frames.py            run every lesson, and draw its widgets for the site (minutes)
python tools/frames.py 03 08      only lessons 03 and 08
"""

import argparse
import contextlib
import html
import io
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import jupytext
import numpy as np
from nbformat.v4 import new_output
from PIL import Image

from lambdalib.course import questions, widgets
from lambdalib.course.figures.output import rendered
from lambdalib.course.figures.style import array, keeping

ROOT = Path(__file__).resolve().parent.parent
TWINS = ROOT / "notebooks" / "py"
FRAMES = ROOT / "site" / "_cache" / "frames"
POSITIONS, FEWEST = 24, 6  # of the first slider, at most and at least
MOST = 72  # frames of one widget; at some 10 kB each they stay below BYTES
BYTES = 1_000_000
DOTS = 130  # pixels an inch
COLOURS = 256  # of a frame, by the method that keeps rare ones: a dot stays green, a purple square purple


class Explored(NamedTuple):
    """One call of explore() in a lesson."""

    cell: int  # its number
    draw: object  # its pure function
    alt: str
    controls: dict
    given: object = None  # what a dial needs of the lesson, for JSON


def rounded(tensor) -> list:
    """A tensor as nested lists, with four digits of each number."""
    return np.vectorize(lambda number: float(f"{number:.4g}"))(array(tensor)).tolist()


def given_to_look(names: dict) -> dict:
    """Lesson 08's photographs, and what the two matrices of each model and map are made of."""
    layers = {
        f"{word} {side}": {
            "queries": rounded(part.queries[:3]),  # (image, h, n, k)
            "soft_keys": rounded(part.soft_keys[:3, ..., 0]),  # (image, m, k)
            "taps": rounded(names["layers"][word, side].table[:, 0].permute(1, 2, 0)),  # (r, r, k)
        }
        for (word, side), part in names["parts"].items()
    }
    return {"photos": rounded(names["photos"][:3]), "layers": layers}


def given_to_pixel(names: dict) -> dict:
    """Lesson 04's plane, and what its layer makes of it."""
    return {
        "image": rounded(names["plane"]()),
        "queries": rounded(names["plane_queries"][0]),  # (h, n, k)
        "palette": rounded(names["palette"][0]),  # (k, v)
        "values": rounded(names["plane_values"][0, ..., 0].view(32, 32, -1)),  # (y, x, v)
        "taps": rounded(names["on_plane"].table[:, 0].permute(1, 2, 0)),  # (r, r, k)
    }


# site/static/dials.js draws these functions of the lessons on the page, at every setting. It is given some of the
# lesson's arrays.
DIALS = {
    "answer_of_a_pixel": lambda names: rounded(names["small"][0]),
    "draw_weights": lambda names: rounded(names["small"][0]),
    "palette_lab": lambda names: {"image": rounded(names["plane"]()), "shuffle": names["shuffle"].tolist()},
    "steer": lambda names: rounded(names["plane"]()),
    "at_pixel": given_to_pixel,
    "dials": lambda names: None,
    "build": lambda names: None,
    "look": given_to_look,
}


def performed(twin: Path) -> tuple[list[Explored], dict[int, list]]:
    """Run the code cells of a lesson, silently, as if each guess had been made.

    Returns:
        its calls of explore(), and the outputs of its reveals by the number of the cell: a text, then figures.
    """
    found, reveals, namespace = [], {}, {"__name__": "__main__"}

    def record(draw, alt, **controls):
        given = DIALS[draw.__name__](namespace) if draw.__name__ in DIALS else None
        found.append(Explored(number, draw, alt, controls, given))

    def keep(data, metadata=None, raw=False):
        shown.append(
            new_output("display_data", data if raw else {"text/html": data.data}, metadata=metadata or {})
        )

    with (
        mock.patch.object(widgets, "explore", record),
        mock.patch.object(questions, "revealed", lambda guess: True),
        mock.patch("lambdalib.course.figures.output.display", keep),
    ):
        for number, cell in enumerate(jupytext.read(twin).cells):
            if cell.cell_type == "code":
                shown, said = [], io.StringIO()
                with contextlib.redirect_stdout(said):
                    exec(compile(cell.source, f"{twin.name}, cell {number}", "exec"), namespace)
                if cell.source.startswith("# @title Reveal"):
                    printed = [new_output("stream", text=said.getvalue())] if said.getvalue() else []
                    reveals[number] = printed + shown
    return found, reveals


def drawn(widget: Explored, positions: list[dict]) -> list[Image.Image]:
    """A widget's figure at each position, as explore() would show it.

    Args:
        positions: values of controls; those left out stand where the lesson puts them.
    """
    start = {name: control.value for name, control in widget.controls.items()}
    with keeping({}):
        return [rendered(widget.draw(**start | position), DOTS) for position in positions]


def positions(control) -> list[tuple[object, str]]:
    """All values of a control, each with the words that name it."""
    if hasattr(control, "options"):
        pairs = control.options.items() if isinstance(control.options, dict) else control.options
        return [(pair[1], str(pair[0])) if isinstance(pair, tuple) else (pair, str(pair)) for pair in pairs]
    if isinstance(control.value, bool):
        return [(False, "off"), (True, "on")]
    steps = round((control.max - control.min) / control.step)
    values = [round(control.min + number * control.step, 9) for number in range(steps + 1)]  # 0.6, and not 0.60…01
    return [(value, f"{value:g}") for value in values]


def thinned(pairs: list, start, count: int) -> list:
    """At most `count` positions, evenly spread, with both ends and the start among them."""
    if len(pairs) <= count:
        return pairs
    places = {round(number * (len(pairs) - 1) / (count - 1)) for number in range(count)}
    here = next(place for place, (value, _) in enumerate(pairs) if value == start)
    places.remove(min(places - {0, len(pairs) - 1} or places, key=lambda place: abs(place - here)))
    return [pairs[place] for place in sorted(places | {here})]


def grid(controls: dict) -> dict[str, list[tuple[object, str]]]:
    """The positions that the site shows, at most MOST in all.

    Choices and boxes come first, with every option, as long as they leave FEWEST places to a slider. The first
    slider gets up to POSITIONS of these, the others what is left. A control for which too little is left stays
    where the lesson puts it, and out of the grid.
    """
    sliders = {name: control for name, control in controls.items() if hasattr(control, "max")}
    chosen, left = {}, MOST
    for name, control in controls.items():
        if name not in sliders and len(pairs := positions(control)) <= left // (FEWEST if sliders else 1):
            chosen[name], left = pairs, left // len(pairs)
    for name, control in sliders.items():
        if left >= 3:
            chosen[name] = thinned(positions(control), control.value, min(POSITIONS, left))
            left //= len(chosen[name])
    return {name: chosen[name] for name in controls if name in chosen}


def draw_frames(widget: Explored, folder: Path) -> str:
    """Write a widget's frames as folder/0.webp, 1.webp, ..., the last control fastest, and return its HTML.

    Raises:
        ValueError: the frames have more than BYTES.
    """
    places = grid(widget.controls)
    settings = [
        dict(zip(places, values)) for values in itertools.product(*([v for v, _ in p] for p in places.values()))
    ]
    folder.mkdir(parents=True)
    for number, frame in enumerate(drawn(widget, settings)):
        colours = frame.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        colours.convert("RGB").save(folder / f"{number}.webp", lossless=True, method=6)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > BYTES:
        raise ValueError(
            f"the widget {widget.alt!r} has {size:,} bytes in {len(settings)} frames; {BYTES:,} are allowed"
        )
    return slider_html(widget, places, folder.name)


def slider_html(widget: Explored, places: dict, folder: str, dial: str = "") -> str:
    """The controls and the first frame of a widget, as site/static/sliders.js moves them.

    Args:
        dial: of site/static/dials.js; it draws the figure, and no frames are needed.
    """
    rows, start, first = [], [], 0
    for name, pairs in places.items():
        control = widget.controls[name]
        here = next(place for place, (value, _) in enumerate(pairs) if value == control.value)
        first = first * len(pairs) + here
        start.append(f"{control.description} {pairs[here][1]}")
        label = html.escape(control.description)
        if hasattr(control, "options"):
            options = "".join(
                f'<option value="{place}"{" selected" * (place == here)}>{html.escape(words)}</option>'
                for place, (_, words) in enumerate(pairs)
            )
            field = f'<select data-label="{label}">{options}</select>'
        elif isinstance(control.value, bool):
            field = f'<input type="checkbox" data-label="{label}"{" checked" * control.value}>'
        else:
            field = (
                f'<input type="range" min="0" max="{len(pairs) - 1}" value="{here}" data-label="{label}" '
                f'aria-valuetext="{pairs[here][1]}"><output>{pairs[here][1]}</output>'
            )
        rows.append(f"<label><span>{label}</span>{field}</label>")
    fixed = [
        f"{control.description} (here always {control.value})"
        for name, control in widget.controls.items()
        if name not in places
    ]
    note = f"<p>In the notebook you also move: {html.escape(', '.join(fixed))}.</p>" if fixed else ""
    names = html.escape(json.dumps([[words for _, words in pairs] for pairs in places.values()]))
    path = f"../_static/frames/{folder}"
    alt, words = html.escape(widget.alt), html.escape(", ".join(start))
    if dial:
        values = html.escape(json.dumps([[value for value, _ in pairs] for pairs in places.values()]))
        given = html.escape(json.dumps(widget.given, separators=(",", ":")))
        source = f'data-dial="{dial}" data-values="{values}" data-given="{given}"'
        figure = '<div class="drawn" role="img"></div>'
    else:
        source = f'data-folder="{path}"'
        figure = f'<img class="figure" src="{path}/{first}.webp" loading="lazy" alt="{alt}: {words}">'
    return (
        f'<div class="slider" {source} data-alt="{alt}" data-names="{names}">{"".join(rows)}{note}{figure}</div>'
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/frames.py", description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", help="beginnings of lessons' names; default: all")
    wanted = parser.parse_args(arguments).lessons or [""]
    if unknown := [name for name in wanted if not any(TWINS.glob(f"{name}*.py"))]:
        parser.error(f"lessons must begin as those in {TWINS} do, got {', '.join(unknown)}")
    files = [FRAMES / "sliders.json", FRAMES / "reveals.json"]
    sliders, reveals = (json.loads(file.read_text(encoding="utf-8")) if file.exists() else {} for file in files)
    for twin in sorted(TWINS.glob("*.py")):
        if not twin.name.startswith(tuple(wanted)):
            continue
        sliders[twin.stem] = {}
        found, reveals[twin.stem] = performed(twin)
        for widget in found:
            if (name := widget.draw.__name__) in DIALS:
                places = {argument: positions(control) for argument, control in widget.controls.items()}
                sliders[twin.stem][widget.cell] = slider_html(widget, places, "", dial=name)
                print(f"{twin.stem}-{widget.cell}: drawn on the page", flush=True)
                continue
            folder = FRAMES / f"{twin.stem}-{widget.cell}"
            shutil.rmtree(folder, ignore_errors=True)
            sliders[twin.stem][widget.cell] = draw_frames(widget, folder)
            print(f"{folder.name}: {len(list(folder.iterdir()))} frames", flush=True)
        FRAMES.mkdir(parents=True, exist_ok=True)
        for file, content in zip(files, (sliders, reveals)):
            file.write_text(json.dumps(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
