"""The figures draw what they are given, and all can be called from `figures`."""

from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from readable import contrast, tiny, unreadable

from lambdalib import LambdaLayer
from lambdalib.course import figures
from lambdalib.course.examples import plane
from lambdalib.course.figures import picture
from lambdalib.course.figures.style import logarithmic, short


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_every_figure_can_be_called_from_the_package():
    files = [
        path.stem for path in Path(figures.__file__).parent.glob("*.py") if path.stem not in ("__init__", "style")
    ]
    names = [name for file in files for name in import_module(f"lambdalib.course.figures.{file}").__all__]
    assert len(files) == 10 and sorted(names) == sorted(set(figures.__all__))
    assert all(callable(getattr(figures, name)) for name in names)


def test_a_logarithmic_axis_has_plain_numbers_and_no_others():
    _, ax = plt.subplots()
    logarithmic(ax.xaxis, [0.5, 2, 100])
    ax.set_xlim(0.1, 1000)
    ax.figure.canvas.draw()
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5", "2", "100"]
    assert ax.xaxis.get_ticklocs().tolist() == [0.5, 2, 100] and not len(ax.xaxis.get_minorticklocs())


def test_error_curves_show_what_was_wrong():
    def log(*accuracies):
        return [{"kind": "start"}] + [
            {"kind": "epoch", "epoch": epoch, "loss": 1.0} | ({} if share is None else {"test_accuracy": share})
            for epoch, share in enumerate(accuracies, 1)
        ]

    (ax,) = figures.error_curves({"one": log(0.5, None, 0.75), "other": log(0.9)}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1, 50], [3, 25]])
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[1, 10]])
    assert ax.get_yscale() == "log" and texts(ax.figure) == ["25.0 %", "10.0 %"]


def test_loss_and_error_draws_each_run_where_it_belongs():
    lines = [
        {"kind": "start"},
        {"kind": "epoch", "epoch": 1.0, "loss": 2.0},
        {"kind": "epoch", "epoch": 2.0, "loss": 1.5, "test_accuracy": 0.75},
        {"kind": "end", "test_accuracy": 0.75},
    ]
    left, right = figures.loss_and_error({"one": lines}, {"one": lines, "other": lines}, ["one"]).axes
    assert [line.get_xydata().tolist() for line in left.lines] == [[[1, 2], [2, 1.5]], []]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[2, 25]]] * 2
    assert [line.get_color() for line in right.lines] == ["#e8730c", "#2b2f36"]
    assert left.get_yscale() == "linear" and right.get_yscale() == "log"


def test_accuracy_over_cost_joins_the_models_of_a_family():
    ours = {
        "big": ("with", 4e6, 94.0, 0.5),
        "small": ("with", 1e6, 92.0, np.nan),
        "one": ("without", 2e6, 93.0, 0.1),
    }
    panels = {"parameters": (ours, {"theirs": (11_200_000, 95.0)})}
    (ax,) = figures.accuracy_over_cost(panels, {"with": "red", "without": "blue"}).axes
    drawn = [line.get_xydata().tolist() for line in ax.lines]
    assert [[1e6, 92.0], [4e6, 94.0]] in drawn and [[2e6, 93.0]] in drawn and [[11_200_000, 95.0]] in drawn
    assert sorted(texts(ax.figure)) == ["big", "one", "small", "theirs"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["with"], "lines have names"


def test_differences_are_orange_where_they_are_significant():
    rows = {"sure": (1.0, 0.5), "not": (-0.4, 0.5), "one run": (2.0, np.nan)}
    (ax,) = figures.differences(rows, "points", ["a", "b", "c"]).axes
    dots = {tuple(line.get_xydata()[0]): line.get_color() for line in ax.lines if line.get_marker() == "o"}
    assert set(dots) == {(1.0, 0), (-0.4, 1), (2.0, 2)}
    assert dots[1.0, 0] != dots[-0.4, 1] == dots[2.0, 2]
    assert texts(ax.figure) == ["a", "b", "c"]
    whiskers = [
        bar.get_segments()[0]
        for container in ax.containers
        for bar in container[2]
        if np.isfinite(bar.get_segments()).all() and bar.get_segments()
    ]  # an interval reaches as far to both sides; one run has none
    np.testing.assert_allclose(whiskers, [[[0.5, 0], [1.5, 0]], [[-0.9, 1], [0.1, 1]]])


def test_confusion_counts_every_picture():
    counts = np.array([[14, 2, 4], [0, 9, 1], [3, 0, 7]])
    figure = figures.confusion(counts, ["a", "b", "c"])
    left, right = figure.axes
    assert sorted(text.get_text() for text in left.texts) == sorted(
        str(count) for count in counts.ravel() if count
    )
    assert [text.get_text() for text in right.texts] == ["70.0", "90.0", "70.0"]
    assert left.get_ylim() == right.get_ylim(), "a row of the matrix and its bar stand side by side"


@pytest.mark.parametrize("name", ["A", "B"])
def test_the_one_picture_adds_up(name):
    """Its numbers against sums over pixels and taps."""
    palette, found = picture.numbers_of_the_picture()
    image, (row, column) = plane().permute(1, 2, 0).numpy(), picture.PIXELS[name]
    looked_for = np.stack([image[anchor] for anchor in picture.ANCHORS])
    for colour, anchor in zip(palette, looked_for):
        weights = np.exp(-12 * ((image - anchor) ** 2).sum(2))
        np.testing.assert_allclose(colour, (weights[..., None] * image).sum((0, 1)) / weights.sum(), atol=1e-5)
    answer = found[name]
    window = image[row - 1 : row + 2, column - 1 : column + 2]
    for reading, stencil in zip(answer.readings, picture.STENCILS):
        np.testing.assert_allclose(reading, (stencil[..., None] * window).sum((0, 1)), atol=1e-5)
    np.testing.assert_allclose(answer.output, answer.query @ (palette + answer.readings), atol=1e-5)
    np.testing.assert_allclose([answer.query.sum(), answer.weights.sum()], 1, atol=1e-5)
    assert (answer.readings < -0.03).any(), "a reading that is negative shows that stencils subtract"
    assert answer.weights.shape == (32, 32) and answer.weights[row, column] == answer.weights.max(), (
        "attention weighs every pixel, the asking one too"
    )


def test_the_one_picture_lights_a_part():
    def strong(lit):
        fig = figures.one_picture(lit)
        return {ax.get_title() for ax in fig.axes if ax.get_title() and ax.title.get_alpha() == 1}

    everything = strong(None)
    assert {"palette", "stencils", "query of A", "lambda of B", "weights of A"} <= everything
    lit = [strong(part) for part in picture.LIT_PARTS]
    assert all(part and part < everything for part in lit)
    assert not lit[0] & lit[1] and not lit[1] & lit[2] and "stencils" in lit[1] and "palette" in lit[0]
    with pytest.raises(ValueError, match="None or one of palette, stencils, query, attention, got 'tile'"):
        figures.one_picture("tile")


def test_a_bar_of_the_one_picture_stands_above_its_line_where_the_number_is_positive():
    palette, found = picture.numbers_of_the_picture()
    readings, lambda_of_a = (
        next(ax for ax in figures.one_picture().axes if ax.get_title() == title)
        for title in ("$k$ readings", "lambda of A")
    )
    for ax, table in ((readings, found["A"].readings), (lambda_of_a, palette + found["A"].readings)):
        heights = np.array([bar.get_height() for bar in ax.patches]).reshape(table.shape)
        assert ax.yaxis_inverted() and (np.sign(-heights) == np.sign(table)).all()  # so minus is up
        assert [text.get_text() for text in ax.texts] == ["R", "G", "B"]


def test_the_dataflow_frames_what_a_layer_learns():
    learned = {name for name, (*_, learned) in picture.BOXES.items() if learned}
    layer = LambdaLayer(4, dim_k=2, heads=2, scope=3)
    parameters = {name.split(".")[0] for name, _ in layer.named_parameters() if not name.startswith("norm")}
    assert learned == {name.replace("table", "stencils") for name in parameters}
    (ax,) = figures.dataflow().axes
    orange = [box for box in ax.patches if to_hex(box.get_edgecolor()) == picture.LIT]
    centres = {(box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2) for box in orange}
    assert {tuple(np.round(centre, 6)) for centre in centres} == {picture.BOXES[name][:2] for name in learned}
    (softmax,) = [arrow for arrow in picture.ARROWS if arrow[2].startswith("softmax")]
    assert softmax == ("keys", "palette", "softmax\nover m")


RANDOM = np.random.default_rng(0)
IMAGE, MAP, THREE = RANDOM.random((3, 8, 8)), RANDOM.standard_normal((8, 8)), np.arange(1.0, 4)
COLOURS = 8 * RANDOM.random((4, 3))
BENCH = [
    {
        "shape": {"side": 8, "d": 64, "r": 3, "u": 1},
        "dtype": dtype,
        "side": side,
        "seconds": {"ours": 1, "timm": 2},
    }
    for dtype in ("float32", "bfloat16")
    for side in (8, 16)
]
GROWTH = [
    {"what": "pixels", "dtype": "float32", "sides": [8, 16], "seconds": [1, 4]},
    {"what": "scope", "dtype": "float32", "scopes": [3, 7], "seconds": [1, 2]},
]
RUNS = {"one": [{"kind": "epoch", "epoch": 1, "loss": 2.0, "test_accuracy": 0.5}]}
EXAMPLES = {  # a call of every function, with all its optional words
    "accuracy_over_cost": lambda draw: draw(
        {"cost": ({"a": ("f", 1, 90, 1), "c": ("f", 3, 92, 1)}, {"b": (2, 91)})}, {"f": "#e8730c"}
    ),
    "alternatives": lambda draw: draw(BENCH),
    "bars": lambda draw: draw("abc", THREE, "label"),
    "blends": lambda draw: draw(COLOURS, np.full((4, 4), 0.25), COLOURS),
    "brackets": lambda draw: draw(8, 8, 2, 3, heads=2),
    "colour_table": lambda draw: draw(COLOURS[None] - 4, ["row"], "abcd"),
    "confusion": lambda draw: draw(np.array([[3, 1], [0, 4]]), "ab", "title"),
    "cost_bars": lambda draw: draw({"panel": {"a": 100, "b": 1e9}, "other": {"a": 1, "b": 2}}, "title"),
    "counted_and_clocked": lambda draw: draw({"shape": {"a": (1, 2, 3), "b": (3, 2, 1)}}),
    "coverage": lambda draw: draw([8, 4], [3, 5], np.full((2, 2), 0.5)),
    "dataflow": lambda draw: draw(),
    "differences": lambda draw: draw({"a": (1.0, 0.5), "b": (0.1, 0.5)}, "points", ["x", "y"]),
    "embedding_matrices": lambda draw: draw(RANDOM.standard_normal((4, 4, 2)).round(1), ["a", "b"]),
    "error_curves": lambda draw: draw(RUNS),
    "energy_bars": lambda draw: draw({"a": 0.3, "b": 0.9}),
    "family_tree": lambda draw: draw({"a": ("root", "less"), "b": ("a", "more"), "c": ("root", "")}, lit=("a",)),
    "faders": lambda draw: draw(np.full((2, 2), 50), [0, 1], (0, 1), IMAGE, "ab", [0.3, 0.7], 1),
    "growth": lambda draw: draw(THREE, {"a": THREE, "b": THREE}, ("line", 2), (2, 2)),
    "hybrids": lambda draw: draw({"CCLL": (15, 1000, 78), "LLCC": (20, 2000, 77)}),
    "loss_and_error": lambda draw: draw(RUNS, RUNS | {"b": next(iter(RUNS.values()))}, ["b"]),
    "kernels_in_place": lambda draw: draw(IMAGE, [(1, 2), (3, 4)], RANDOM.standard_normal((2, 3, 3))),
    "matrix_rows": lambda draw: draw(IMAGE, (1, 2), {"a": [MAP, MAP]}, ["left", "right"]),
    "maps": lambda draw: draw([IMAGE, *[MAP] * 4], ["light", *["signed"] * 4]),
    "measured": lambda draw: draw(BENCH, GROWTH),
    "model_outlines": lambda draw: draw({"a": [("x", 32, 3, False), ("y", 7, 128, True)]}),
    "one_picture": lambda draw: draw(),
    "one_pixel": lambda draw: draw(IMAGE, (1, 2), THREE, np.ones((3, 4)), np.ones(4), (3, 2, 1)),
    "one_row": lambda draw: draw(IMAGE, np.full((8, 8), 1 / 64), (1, 2), THREE / 3),
    "palette_card": lambda draw: draw(IMAGE, COLOURS / 8, np.full((4, 8, 8), 1 / 64), IMAGE),
    "palette_film": lambda draw: draw(IMAGE, [2, 5, 8], RANDOM.random((3, 4, 3)), IMAGE),
    "palettes_in_time": lambda draw: draw(COLOURS, RANDOM.random((4, 2, 3)) * 8),
    "phases": lambda draw: draw({"panel": np.eye(2, dtype=int)}, [8, 16], [1, 2], "ab", {"mark": [(8, 1)]}),
    "points_lost": lambda draw: draw({"a": (1.0, 2.0, -0.4), "b": (3.0, 0.5, 1)}, ["x", "y", "z"], "lower right"),
    "puzzle_answers": lambda draw: draw(IMAGE, np.ones((2, 8, 8)), np.ones((2, 8, 8)), {"a": -np.ones((2, 8, 8))}),
    "readings_in_time": lambda draw: draw([0, 1, 2], {"a": np.eye(3), "b": np.full((3, 3), 0.5)}, "xyz"),
    "receptive_fields": lambda draw: draw({"a": np.full((8, 8), 1 / 64)}, (2, 5, 2, 5)),
    "reruns": lambda draw: draw({"a": (93.0, [92.5], "lit"), "b": (None, [91], "ink")}),
    "scale_curves": lambda draw: draw(THREE, {"with position": THREE, "without": THREE}),
    "small_block": lambda draw: draw(32, 128, 15),
    "spectra": lambda draw: draw({"a": THREE[::-1], "b": THREE[::-1]}),
    "squares": lambda draw: draw({"row": {"a": 100, "b": 25}}),
    "stage_bars": lambda draw: draw({"left": np.ones((2, 4)), "right": np.ones((2, 4))}, "ab", "title", (2, 0.5)),
    "stencil_banks": lambda draw: draw({"a": RANDOM.standard_normal((4, 3, 3))}, rows=2),
    "steering": lambda draw: draw(IMAGE, MAP, np.eye(3), 90, [0, 90, 360], THREE / 10, (1, 2)),
    "strip_palette": lambda draw: draw(COLOURS, np.full((4, 2), 0.25), COLOURS[:2]),
    "strip_readings": lambda draw: draw(COLOURS, np.eye(3)[:2], RANDOM.standard_normal((4, 2, 3)).round(1)),
    "tiles": lambda draw: draw(8, 3, [(0, 0), (1, 2)], np.eye(4, 16)),
    "traces": lambda draw: draw({"a": THREE, "b": THREE}, "x", "y", ("level", 2)),
    "two_bottlenecks": lambda draw: draw(256, 64),
    "two_steps": lambda draw: draw("ab", [2.0, 1.0]),
}


@pytest.mark.parametrize("name", sorted(set(figures.__all__) - set(figures.output.__all__)))
def test_the_words_of_every_figure_can_be_read(name):
    assert not unreadable(EXAMPLES[name](getattr(figures, name)))
    assert not plt.get_fignums(), "or pyplot shows it again, maybe while a widget draws it in another thread"


ON_PAGES = {"accuracy_over_cost", "confusion"}  # of README and RESULTS, not of a lesson
WIDEST = EXAMPLES | {  # as wide as a lesson draws them, where the width follows from what is drawn
    "cost_bars": lambda draw: draw({name: {"a": 1, "b": 2} for name in "abc"}),
    "counted_and_clocked": lambda draw: draw({name: {"a": (1, 2, 3), "b": (3, 2, 1)} for name in "abcde"}),
    "family_tree": lambda draw: draw({"a": ("root", "less"), "b": ("a", "more"), "c": ("b", "")}),
    "palette_film": lambda draw: draw(IMAGE, [2, 4, 5, 6, 8], RANDOM.random((5, 4, 3)), IMAGE),
    "phases": lambda draw: draw({name: np.eye(2, dtype=int) for name in "ab"}, [8, 16], [1, 2], "ab", {}),
    "receptive_fields": lambda draw: draw({name: np.full((8, 8), 1 / 64) for name in "abc"}, (2, 5, 2, 5)),
}


@pytest.mark.parametrize("name", sorted(set(figures.__all__) - set(figures.output.__all__) - ON_PAGES))
def test_the_words_are_large_enough_in_a_narrow_window(name):
    assert not tiny(WIDEST[name](getattr(figures, name)))


def test_small_words_are_found():
    figure, ax = plt.subplots(figsize=(10, 1))
    figure.subplots_adjust(0, 0, 1, 1)
    ax.axis("off")
    ax.text(0.1, 0.5, "small", fontsize=9)
    ax.text(0.5, 0.5, "large", fontsize=10)
    assert [words.split()[0] for words in tiny(figure)] == ["'small':"]


def test_pale_words_are_found():
    assert contrast("white", "black") == pytest.approx(21) and contrast("#777777", "white") == pytest.approx(
        4.48, abs=0.01
    )
    figure, ax = plt.subplots()
    ax.set_title("pale", color="#e8730c")
    ax.annotate("white", (0.5, 0.5), color="white")
    ax.annotate("boxed", (0.5, 0.2), color="white", bbox={"facecolor": "#2b2f36"})
    assert [words.split()[0] for words in unreadable(figure)] == ["'white'", "'pale'"]
    ax.imshow(np.zeros((2, 2)))
    assert [words.split()[0] for words in unreadable(figure)] == ["'pale'"]


def test_the_bars_of_a_colour_have_letters_on_the_other_side_of_the_axis():
    figure = figures.colour_table(np.array([[[8, -8, 0]]]), ["row"], ["column"])
    letters = {
        text.get_text(): text.get_verticalalignment() for text in figure.axes[0].texts if text.get_text() in "RGB"
    }
    assert letters == {"R": "top", "G": "bottom", "B": "top"}


@pytest.mark.parametrize(
    "name",
    [
        "brackets",
        "cost_bars",
        "faders",
        "one_pixel",
        "one_row",
        "palette_card",
        "readings_in_time",
        "stage_bars",
        "steering",
    ],
)
def test_what_a_widget_draws_stays_on_its_canvas(name):
    """A widget shows the whole canvas and nothing more, so that its frames have one size."""
    figure = EXAMPLES[name](getattr(figures, name))
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_cost_bars_are_ratios_to_the_smallest():
    left, right = figures.cost_bars({"big": {"a": 4e9, "b": 4e11}, "small": {"c": 3e5, "d": 3}}).axes
    assert [text.get_text() for text in left.texts] == ["a: ×1 · 4.00 G", "b: ×100 · 400 G"]
    assert [text.get_text() for text in right.texts] == ["c: ×100,000 · 300 k →", "d: ×1 · 3"]
    assert [bar.get_width() for bar in left.patches] == [0.04, 2] and right.patches[0].get_width() == 4
    assert left.get_xlim() == right.get_xlim() == (0, 4)


@pytest.mark.parametrize(
    "count, words",
    [(80, "80"), (999.6, "1.00 k"), (262144, "262 k"), (711_230_750_720, "711 G"), (2e12, "2.00 T")],
)
def test_counts_are_said_in_three_digits(count, words):
    assert short(count) == words


def test_fewer_colours_leave_the_images_of_a_palette_card_where_they_are():
    cards = [figures.palette_card(IMAGE, COLOURS[:k] / 8, np.full((k, 8, 8), 1 / 64), IMAGE) for k in (2, 4)]
    few, four = ([ax.get_position().bounds for ax in card.axes[:2]] for card in cards)
    np.testing.assert_allclose(few, four)
    assert (cards[0].get_size_inches() == cards[1].get_size_inches()).all()


def test_matrices_are_drawn_with_their_signs_and_scale():
    maps = [np.array([[1.0, -0.2, 0], [0, -2.0, 0.5]]), np.array([[0, -1.0, 0], [0, 0, 0.1]])]
    figure = figures.matrix_rows(
        np.zeros((3, 4, 4)), (1, 2), {"one": maps, "other": [0 * maps[0], maps[1]]}, ["a", "b"]
    )
    axes = np.array(figure.axes).reshape(2, 3)
    assert [ax.get_title() for ax in axes.ravel()] == ["the pixel", "a", "b", "", "", ""]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["one\n(scale ±2)", "other\n(scale ±1)"]
    assert [[text.get_position() for text in ax.texts] for ax in axes[0]] == [[], [(0.5, 0.75)], [(0.5, 0.25)]]
    purple, brown = (axes[0, 1].images[1].get_array()[place] for place in ((0, 0), (1, 1)))
    assert purple[2] > purple[1] and brown[0] > brown[2] and purple[3] < brown[3] == 1
    for ax in axes.ravel():
        (frame,) = ax.patches
        assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (2 / 3, 1 / 2, 1 / 3, 1 / 2)


def test_stencil_banks_have_their_own_scales():
    banks = {"big": np.arange(-5.0, 67).reshape(8, 3, 3), "small": -np.ones((6, 5, 5))}
    figure = figures.stencil_banks(banks, rows=2)
    drawn = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(figure.axes) == 16 and len(drawn) == 14
    np.testing.assert_array_equal(drawn[7].get_array(), banks["big"][7])
    assert drawn[0].get_clim() == (-66, 66) and drawn[-1].get_clim() == (-1, 1)


def test_a_film_shows_what_has_been_read():
    palettes = np.stack([np.full((2, 3), share) for share in (0.2, 0.8)])
    axes = np.array(figures.palette_film(IMAGE, [3, 8], palettes, 1 - IMAGE).axes).reshape(4, 2)
    whole = np.moveaxis(IMAGE, 0, -1)
    for row, image in ((0, whole), (3, 1 - whole)):
        early, late = (axes[row, frame].images[0].get_array() for frame in (0, 1))
        np.testing.assert_allclose(late, image)
        np.testing.assert_allclose(early[:3], image[:3])
        assert (early[3:] == 0.85).all()
    assert [ax.texts[0].get_text() for ax in axes[1]] == ["51, 51, 51", "204, 204, 204"]
    assert [ax.texts[0].get_color() for ax in axes[1]] == ["white", "black"]


def test_energy_bars_share_out_one():
    (ax,) = figures.energy_bars({"a": 0.25, "b": 1.0}).axes
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 0.25), (0.25, 0.75), (0, 1), (1, 0)]
    assert texts(ax.figure) == ["25 %", "100 %"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "content (palette)",
        "position (stencils)",
    ]


def test_receptive_fields_say_what_lies_outside_the_window():
    field = np.zeros((5, 7))
    field[2, 3], field[1, 2], field[3, 4], field[4, 6] = 0.5, 0.125, 0.125, 0.25
    left, right = figures.receptive_fields({"a": field, "b": np.eye(1, 35, 17).reshape(5, 7)}, (1, 3, 2, 4)).axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("outside the frame: 25 %", "outside the frame: 0 %")
    assert left.images[0].get_clim() == right.images[0].get_clim() == (0, 1)
    assert left.patches[0].get_bbox().bounds == (1.5, 0.5, 3, 3)


def test_points_lost_stand_at_their_bars():
    (ax,) = figures.points_lost({"a": (1.0, 2.0), "b": (3.0, 4.0)}, ["one", "other"]).axes
    assert [bar.get_width() for bar in ax.patches] == [1, 2, 3, 4]
    assert [(text.xy[0], text.get_text()) for text in ax.texts] == [(x, f" {x:.1f}") for x in (1, 2, 3, 4)]
    assert [round(text.xy[1], 6) for text in ax.texts] == [-0.2, 0.2, 0.8, 1.2]


def test_a_minus_is_no_hyphen_and_dots_that_touch_have_no_arrow():
    (ax,) = figures.points_lost({"a": (-1.0,)}, ["one"]).axes
    assert ax.texts[0].get_text() == " −1.0"
    (ax,) = figures.reruns({"a": (93.0, [92.5, 80.0], "ink")}).axes
    assert [text.xy[0] for text in ax.texts if text.arrow_patch] == [80]


def test_a_tree_puts_each_box_one_column_behind_its_parent():
    (ax,) = figures.family_tree({"a": ("root", "less"), "b": ("a", "more"), "c": ("root", "")}, lit=("a",)).axes
    where = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    assert [where[name][0] for name in ("root", "a", "b", "c")] == [0, 1, 2, 1]
    assert where["less"][1] > where["a"][1] and where["more"][0] == 2
    assert where["root"][1] == 0.5 and where["c"][1] == 1
    assert [line.get_xdata()[0] < line.get_xdata()[-1] for line in ax.lines] == [True] * 3
    with pytest.raises(ValueError, match="'b' must come before it, got 'x'"):
        figures.family_tree({"a": ("root", ""), "b": ("x", "")})


def test_readings_in_time_frame_what_was_written_last():
    (ax,) = figures.readings_in_time([2, 0], {"a": np.array([[0, 0, 1.0], [0.25, 0, 0.75]])}, "xyz").axes
    assert ax.get_title(loc="left") == "a" and ax.images[0].get_array().shape == (3, 2)
    assert [(text.get_position(), text.get_text()) for text in ax.texts] == [
        ((0, 2), "1"),
        ((1, 0), "0.25"),
        ((1, 2), "0.75"),
    ]
    centres = [frame.get_bbox().intervalx.mean() for frame in ax.patches]
    rows = [frame.get_bbox().intervaly.mean() for frame in ax.patches]
    np.testing.assert_allclose([centres, rows], [(0, 1), (2, 0)])


def test_a_tensor_with_a_gradient_can_be_drawn():
    figure = figures.maps([torch.ones(2, 3, requires_grad=True)], ["a map"])
    assert figure.axes[0].images[0].get_array().tolist() == [[1, 1, 1], [1, 1, 1]]
