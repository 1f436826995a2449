"""A verdict is plain text in print and a box in a notebook, readable on light and dark pages; nothing is lost."""

import re

import pytest
from IPython.core.formatters import DisplayFormatter

from lambdalib.course.progress import progress
from lambdalib.course.verdict import NOT_ATTEMPTED, Verdict, Verdicts, never_raises, right, unanswered, wrong

EACH = {"✓ Right": right("yes"), "✗ Not yet": wrong("no", "1  2\n3  4"), "· Open": NOT_ATTEMPTED}
PAGES = {  # grey of the page, grey of its text
    "white": (255, 33),
    "JupyterLab's dark": (17, 224),
    "Colab's dark": (56, 213),
    "VS Code's dark": (30, 204),
}


def luminance(colour):
    """WCAG 2's relative luminance of three numbers from 0 to 255."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def colours(style, prefix):
    return [float(part) for part in re.search(rf"{prefix}\(([^)]*)\)", style)[1].split(",")]


def test_the_contrast_of_black_and_white_is_21():
    assert contrast([0] * 3, [255] * 3) == pytest.approx(21) and contrast([119] * 3, [255] * 3) < 4.5


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("word", EACH)
def test_the_text_is_read_on_every_page_and_the_edge_is_seen(word, page):
    html = EACH[word]._repr_html_()
    paper, text = ([grey] * 3 for grey in PAGES[page])
    assert re.findall(r"(?<!-)color: (\w+)", html) and set(re.findall(r"(?<!-)color: (\w+)", html)) == {"inherit"}
    *tint, alpha = colours(html, "rgba")
    behind = [alpha * over + (1 - alpha) * under for over, under in zip(tint, paper)]
    assert contrast(text, behind) >= 4.5
    assert contrast(colours(html, "solid rgb"), paper) >= 3


@pytest.mark.parametrize("word", EACH)
def test_icon_and_word_stand_before_the_message(word):
    verdict = EACH[word]
    assert f"<b>{word}</b>&ensp;{verdict.message}" in verdict._repr_html_()
    assert repr(verdict).startswith(f"{word[0]} {verdict.message}")


def test_the_detail_stands_below_in_columns():
    verdict = wrong("no", "1  2\n3  4")
    assert repr(verdict) == "✗ no\n1  2\n3  4" and re.search(r"<pre [^>]*>1  2\n3  4</pre>", verdict._repr_html_())
    assert "font-family: monospace; white-space: pre" in verdict._repr_html_(), "JupyterLab's own <pre> is neither"
    assert "<pre" not in right("yes")._repr_html_() and repr(right("yes")) == "✓ yes"


def test_what_looks_like_markup_is_shown_as_text():
    html = wrong("<b>&", "<img src=x>")._repr_html_()
    assert "&lt;b&gt;&amp;" in html and "&lt;img src=x&gt;" in html and "<img" not in html


@pytest.mark.parametrize(
    "verdict", [*EACH.values(), Verdicts(*EACH.values())], ids=lambda verdict: str(verdict.ok)
)
def test_a_notebook_gets_the_box_and_the_text(verdict):
    data, _ = DisplayFormatter().format(verdict)
    assert data["text/plain"] == repr(verdict) and data["text/html"] == verdict._repr_html_()


def test_several_verdicts_lose_nothing():
    several = Verdicts(*EACH.values())
    assert repr(several) == "\n".join(map(repr, EACH.values()))
    assert several._repr_html_() == "".join(verdict._repr_html_() for verdict in EACH.values())
    assert several.ok is False and Verdicts(right("a"), NOT_ATTEMPTED).ok is None
    assert Verdicts(right("a"), right("b")).ok is True and Verdicts(NOT_ATTEMPTED, wrong("a")).ok is False


def test_unanswered():
    assert all(map(unanswered, [None, (None, 1), [1, [2, None]]]))
    assert not any(map(unanswered, [0, False, "", (), [1, 2], "None", float("nan")]))


def test_an_error_that_has_no_words_is_named():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    @never_raises
    def check(value):
        raise Mute

    assert check(1) == wrong("this answer cannot be checked: Mute")


def test_progress_lists_what_is_solved_and_what_is_open():
    several = Verdicts(right("a"), NOT_ATTEMPTED)
    listed = progress({"1 left": right("yes"), "2 count": wrong("no"), "3 write": None, "4 both": several})
    assert repr(listed) == "· 1 of 4 exercises solved\n✓ 1 left\n✗ 2 count\n· 3 write\n· 4 both"
    assert "<b>✓ Right</b>&ensp;1 left</div>" in listed._repr_html_()
    assert repr(progress({"1": right("yes")})) == "✓ 1 of 1 exercises solved\n✓ 1"
    assert listed[0] == Verdict(None, "1 of 4 exercises solved")


def test_progress_takes_verdicts_alone():
    with pytest.raises(ValueError, match=r"exercises\['2'\] must be a verdict, as a check returns it, got True"):
        progress({"1": right("yes"), "2": True})


def test_an_exercise_whose_cell_was_skipped_is_open():
    names = {"exercise_1": right("yes"), "exercise_3": wrong("no")}
    listed = progress({"1 left": "exercise_1", "2 count": "exercise_2", "3 write": "exercise_3"}, names)
    assert repr(listed) == "· 1 of 3 exercises solved\n✓ 1 left\n· 2 count: not run yet\n✗ 3 write"
    assert repr(progress({"1 left": "exercise_1"})) == "· 0 of 1 exercises solved\n· 1 left: not run yet"
    with pytest.raises(ValueError, match="must be a verdict, as a check returns it, got 7"):
        progress({"1 left": "exercise_1"}, {"exercise_1": 7})
