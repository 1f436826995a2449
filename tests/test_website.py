"""What the web site is made of: staged notebooks and pages, the sliders' positions, the library's reference."""

import importlib.util
import json
from base64 import b64encode
from pathlib import Path

import frames
import nbformat
import numpy as np
import pytest
import staging
import torch
import website
from PIL import Image

from lambdalib.course import widgets
from lambdalib.course.figures.style import subplots

PAGE = Path("notebooks/03_position_lambdas.ipynb")
PAGES = set(staging.staged_files())


def staged(*cells, sliders=None, reveals=None):
    """The cells of a staged lesson, and its images."""
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    images = staging.stage_notebook(notebook, PAGE, PAGES, sliders or {}, reveals or {})
    return notebook.cells, images


def code(source, *outputs, **metadata):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata=metadata)


def test_every_lesson_and_every_page_is_staged():
    names = [path.name for path in staging.staged_files()]
    lessons = sorted(path.name for path in (staging.ROOT / "notebooks").glob("*.ipynb"))
    assert names[: len(lessons)] == lessons and len(lessons) > 10
    assert {"glossary.md", "bibliography.md", "RESULTS.md", "questions.md", "testing.md"} <= set(names)


def test_set_up_goes_and_what_answers_is_folded():
    cells, _ = staged(
        code("import lambdalib", tags=["setup"]),
        code("# @title Reveal\nprint(7)"),
        code("# @title Checks of step 1\nassert 7"),
        code("print(7)"),
    )
    assert [cell.metadata.get("tags") for cell in cells] == [["hide-cell"], ["hide-input"], None]


def test_an_image_becomes_a_file_with_its_words_and_its_width():
    about = {"image/png": {"alt": 'a "plane"', "width": 300}}
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (600).to_bytes(4, "big") + (201).to_bytes(4, "big")
    data = {"image/png": b64encode(png).decode(), "text/plain": "a plane"}
    (cell,), images = staged(code("show()", nbformat.v4.new_output("display_data", data, metadata=about)))
    assert images == {"03_position_lambdas-0-0.png": png}
    assert list(cell.outputs[0].data) == ["text/html"]
    for part in (
        'src="../_static/images/03_position_lambdas-0-0.png"',
        'alt="a &quot;plane&quot;"',
        'width="300" height="100"',
    ):
        assert part in cell.outputs[0].data["text/html"]


def test_an_unfolded_reveal_answers():
    closed, answer = (nbformat.v4.new_output("stream", text=text) for text in ("Guess first.\n", "seven\n"))
    reveal = [code("# @title Reveal\nprint(7)", closed) for _ in range(2)]
    (first, second), _ = staged(*reveal, reveals={1: [answer]})
    assert first.outputs == [closed] and second.outputs == [answer]
    assert first.metadata["mystnb"]["code_prompt_show"] == "Reveal"


def test_frames_and_answers_are_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(website, "CACHE", tmp_path)
    assert website.read_frames("reveals") == {}
    outputs = [nbformat.v4.new_output("display_data", {"text/plain": "a plane"})]
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "reveals.json").write_text(json.dumps({"03_x": {7: outputs}}))
    assert website.read_frames("reveals") == {"03_x": {7: outputs}}
    assert website.read_frames("reveals")["03_x"][7][0].data["text/plain"] == "a plane"


def test_a_widget_becomes_its_sliders():
    output = nbformat.v4.new_output("execute_result", {"text/plain": "Run this cell to get its controls."})
    (cell,), _ = staged(code("widgets.explore(draw)", output), sliders={0: "<div>sliders</div>"})
    assert cell.outputs[0].data == {"text/html": "<div>sliders</div>"}


@pytest.mark.parametrize("sliders", [{}, {1: "<div>sliders</div>"}])
def test_where_sliders_move_no_sentence_asks_for_a_kernel(sliders):
    texts = ["Without a kernel the sliders stand still. Here are five:", "One.\nThey need a running kernel. Two."]
    texts.append("A running sum, and a kernel of 3 × 3 without a bias.")
    cells, _ = staged(*map(nbformat.v4.new_markdown_cell, texts), sliders=sliders)
    kept = ["Here are five:", "One.\nTwo.", texts[2]] if sliders else texts
    assert [cell.source for cell in cells] == kept


@pytest.mark.parametrize("stem", ["03_position_lambdas", "08_look_inside"])
def test_lessons_with_sliders_do_not_ask_for_a_kernel(stem):
    notebook = nbformat.read(staging.ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)
    staging.stage_notebook(notebook, PAGE, PAGES, {0: "<div>sliders</div>"}, {})
    text = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").lower()
    assert "here are five positions" in text
    assert not any(
        words in text for words in ("without a kernel", "running kernel", "no code runs", "stand still")
    )


@pytest.mark.parametrize(
    "link, wanted",
    [
        ("[a](04_lambda_layer.ipynb)", None),
        ("[a](glossary.md#letters)", None),
        ("![a](../figures/one_picture.png)", None),
        ("[a](#letters)", None),
        ("[a](https://arxiv.org/abs/2102.08602)", None),
        ("[a](../lambdalib/layer.py)", "[a](https://github.com/{}/blob/main/lambdalib/layer.py)"),
        ("[a](../tests/test_layer.py#x)", "[a](https://github.com/{}/blob/main/tests/test_layer.py#x)"),
    ],
)
def test_links_lead_to_pages_or_into_the_repository(link, wanted):
    name = staging.repository()
    assert staging.relink(link, PAGE, PAGES) == (wanted or link).format(name)


def test_the_badge_is_a_local_image():
    badge = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.to/x)"
    (cell,), _ = staged(nbformat.v4.new_markdown_cell(f"# T\n{badge}"))
    assert cell.source == "# T\n[![Open in Colab](../site/static/colab.svg)](https://colab.to/x)"
    assert (staging.ROOT / "site/static/colab.svg").is_file()


def test_a_lesson_links_what_it_teaches_and_no_more():
    symbols = [("lib.a", "f", "Taught in notebooks/03_x."), ("lib.a", "g", "Taught in notebooks/03_xy.")]
    assert staging.taught("03_x", symbols) == "**In the library:** {py:obj}`f <lib.a.f>`."
    assert staging.taught("04_z", symbols) == ""
    real = staging.taught("03_position_lambdas", website.symbols())
    assert "lambdalib.lambdas.relative_embeddings" in real and "lambdalib.layer.LambdaLayer" not in real


def test_the_reference_names_every_public_symbol_once():
    page = website.api_page()
    members = [
        name for line in page.splitlines() if ":members:" in line for name in line.split(":members:")[1].split(",")
    ]
    assert len(members) == len(website.public_symbols()) > 100 and page.count("## lambdalib.layer\n") == 1


def test_docstrings_keep_the_lines_of_formulas_and_no_others():
    spec = importlib.util.spec_from_file_location("conf", staging.ROOT / "site" / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    lines = [
        "What.",
        "",
        "y = a·b",
        "z = y*c",
        "Words over",
        "two lines.",
        "",
        "Args:",
        "    h: heads; v = d / h.",
        "",
    ]
    conf.plain_docstring(None, "function", "f", None, None, lines)
    assert [line for line in lines if line] == [
        "What.", "| y = a·b", "| z = y\\*c", "Words over", "two lines.", "Args:", "    h: heads; v = d / h.",
    ]  # fmt: skip
    assert lines[lines.index("Words over") - 1] == ""


def test_positions_of_every_kind_of_control():
    assert frames.positions(widgets.slider("a", 1, 3, 2)) == [(1, "1"), (2, "2"), (3, "3")]
    assert [words for _, words in frames.positions(widgets.slider("a", 0.0, 0.4, 0.2, 0.2))] == ["0", "0.2", "0.4"]
    assert 0.6 in [value for value, _ in frames.positions(widgets.slider("a", 0.0, 1.0, 0.6, 0.1))]
    assert frames.positions(widgets.choice("a", {"one": 1, "two": 2})) == [(1, "one"), (2, "two")]
    assert frames.positions(widgets.choice("a", [8, 16])) == [(8, "8"), (16, "16")]
    assert frames.positions(widgets.switch("a")) == [(False, "off"), (True, "on")]


@pytest.mark.parametrize("start", [0, 1, 37, 99, 100])
@pytest.mark.parametrize("count", [3, 6, 24])
def test_thinned_positions_keep_both_ends_and_the_start(start, count):
    pairs = [(value, str(value)) for value in range(101)]
    values = [value for value, _ in frames.thinned(pairs, start, count)]
    assert len(values) <= count and values == sorted(set(values)) and {0, start, 100} <= set(values)


def many(*, options=(), sliders=0):
    choices = {f"c{number}": widgets.choice("c", list(range(size))) for number, size in enumerate(options)}
    return choices | {f"s{number}": widgets.slider("s", 0, 100, 50) for number in range(sliders)}


@pytest.mark.parametrize(
    "controls, wanted",
    [
        (many(sliders=1), [24]),
        (many(sliders=3), [24, 3]),
        (many(options=[2, 3], sliders=1), [2, 3, 12]),
        (many(options=[4, 5, 3, 2], sliders=1), [4, 3, 6]),
        (many(options=[2, 2, 2, 2, 4, 5]), [2, 2, 2, 2, 4]),
    ],
)
def test_a_grid_is_never_too_large(controls, wanted):
    sizes = [len(pairs) for pairs in frames.grid(controls).values()]
    product = 1
    for size in sizes:
        product *= size
    assert sizes == wanted and product <= frames.MOST


def test_slider_html_starts_where_the_lesson_does():
    control = {
        "angle": widgets.slider("angle", 0, 4, 2),
        "all": widgets.switch("all"),
        "row": widgets.slider("row", 0, 9, 1),
    }
    widget = frames.Explored(5, None, "A <map>", control)
    places = {name: frames.positions(control[name]) for name in ("angle", "all")}
    text = frames.slider_html(widget, places, "03-5")
    assert 'src="../_static/frames/03-5/4.webp"' in text  # angle 2 of 0 to 4, times two, and "off"
    assert 'alt="A &lt;map&gt;: angle 2, all off"' in text
    assert "also move: row (here always 1)." in text.partition("<img")[0]
    assert (
        text.count("<label>") == 2 and 'type="range" min="0" max="4" value="2"' in text and "checked" not in text
    )


def test_a_frame_keeps_rare_colours(tmp_path):
    def draw(row):
        figure, ax = subplots(figsize=(3, 3))
        ax.imshow(np.stack(np.broadcast_arrays(0.2, *np.mgrid[0:1:32j, 0:1:32j]), axis=-1))
        ax.plot(5, row, "o", color="#d55e00")
        return figure

    frames.draw_frames(
        frames.Explored(5, draw, "A dot", {"row": widgets.slider("row", 20, 21, 20)}), tmp_path / "x"
    )
    pixels = np.asarray(Image.open(tmp_path / "x" / "0.webp")).astype(int)
    assert abs(pixels - [0xD5, 0x5E, 0x00]).max(-1).min() < 5


def test_a_dial_has_every_setting_and_no_frames():
    control = {"side": widgets.slider("side of the map", 4, 64, 32), "image": widgets.choice("image", ["a", "b"])}
    places = {name: frames.positions(control[name]) for name in control}
    text = frames.slider_html(frames.Explored(5, None, "Bars", control, [0.5]), places, "", dial="05_cost")
    assert 'data-dial="05_cost" data-values=' in text and "&quot;a&quot;, &quot;b&quot;" in text
    assert 'data-given="[0.5]"' in text and "<img" not in text
    assert frames.rounded(torch.tensor([[1 / 3, 20000.0]])) == [[0.3333, 20000]]
    assert 'max="60" value="28"' in text and "also move" not in text
    known = (staging.ROOT / "site/static/dials.js").read_text(encoding="utf-8").partition("const DIALS")[2]
    assert all(f"  {name}: {{" in known for name in frames.DIALS)
