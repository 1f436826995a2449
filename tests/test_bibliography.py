"""notebooks/bibliography.md holds every source that a lesson cites, says where, and holds no other.

A lesson cites a row by its link, by author and year as in "Chen et al. 2018", or by its title in italics. All
complaints come at once; each is a line to paste into the page, or says which line must go.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import sync

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PAGE = NOTEBOOKS / "bibliography.md"
LINK = re.compile(r"https?://[^\s)>\]\"'`]+")
NAME = r"[A-Z][\w’'-]+"
CITATION = re.compile(rf"\b({NAME})( et al\.?| and {NAME})?,? \(?((?:19|20)\d\d)\b")
NO_AUTHORS = {"ICLR", "In", "Since", "September", "October", "November", "December"}
TO_SAY = "*title* | what it is to this course"


class Row(NamedTuple):
    """A line of the page: | [name](link), *title* | what it is | lessons |."""

    name: str
    link: str
    said: str  # from the comma behind the link to the lessons
    lessons: tuple[str, ...]


def key(link):
    """What two links to one source share: the paper without its version, the repository without a path in it."""
    link = re.sub(r"^https?://(www\.)?", "", link.rstrip(".,;:/")).partition("#")[0]
    if paper := re.match(r"arxiv\.org/(?:abs|pdf|html)/(\d+\.\d+)", link):
        return f"arxiv.org/abs/{paper[1]}"
    if issue := re.match(r"github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)", link):
        return f"github.com/{issue[1]}/issues/{issue[2]}"
    if repository := re.match(r"github\.com/[\w.-]+/[\w.-]+", link):
        return repository[0].removesuffix(".git")
    return link


def cited_links(text, own):
    """key -> link, of all links but Colab's badge and those into our own repository."""
    links = {key(link): link.rstrip(".,;:") for link in LINK.findall(text)}
    ours = f"github.com/{own}"
    return {
        name: link
        for name, link in links.items()
        if not name.startswith("colab.research.google.com/") and name != ours and not name.startswith(f"{ours}/")
    }


def cited_names(text):
    """Author and year of every citation, "(Chen et al., 2018)" as "Chen et al. 2018"."""
    found = {(first, more.rstrip("."), year) for first, more, year in CITATION.findall(text)}
    return {
        f"{first}{' et al.' if more.endswith('et al') else more} {year}"
        for first, more, year in found
        if first not in NO_AUTHORS
    }


def rows_of(page):
    """The rows of the page's tables."""
    pattern = re.compile(r"^\| \[([^\]]+)\]\((\S+?)\)(.*?)\|([^|]*)\|$", re.MULTILINE)
    return [
        Row(name, link, said.rstrip(), tuple(re.findall(r"\]\((\w+)\.ipynb\)", lessons)))
        for name, link, said, lessons in pattern.findall(page)
    ]


def line(name, link, said, lessons):
    """A row of the page as text."""
    where = ", ".join(f"[{lesson.partition('_')[0]}]({lesson}.ipynb)" for lesson in sorted(lessons))
    return f"| [{name}]({link}){said} | {where} |"


def cites(text, row, own):
    """Whether a lesson cites a row."""
    title = re.match(r", \*([^*:]+)", row.said)
    return (
        key(row.link) in cited_links(text, own)
        or row.name in cited_names(text)
        or (title is not None and f"*{title[1]}*" in text)
    )


def differences(page, lessons, own):
    """Complaints, each with the line to paste.

    Args:
        page: the bibliography.
        lessons: stem -> text.
        own: our repository, as owner/name.
    """
    rows, complaints = rows_of(page), []
    links, names = [key(row.link) for row in rows], [row.name for row in rows]
    complaints += [f"stands there twice: {each}" for each in sorted({x for x in links if links.count(x) > 1})]
    for row in rows:
        due = tuple(sorted(stem for stem, text in lessons.items() if cites(text, row, own)))
        if not due:
            complaints.append(f"no lesson cites it, take it out: {line(*row)}")
        elif due != row.lessons:
            complaints.append(f"lessons have changed, replace by: {line(row.name, row.link, row.said, due)}")
    missing = {}
    for stem, text in lessons.items():
        for name, link in cited_links(text, own).items():
            if name not in links:
                missing.setdefault((name, link), []).append(stem)
        for name in cited_names(text) - set(names):
            linked = re.search(rf"\[{re.escape(name.rpartition(' ')[0])},? \(?{name[-4:]}\)?\]\((\S+?)\)", text)
            if linked is None or key(linked[1]) not in {*links, *cited_links(text, own)}:
                missing.setdefault((name, "https://..."), []).append(stem)
    return complaints + [
        f"cited but not there, add: {line(name, link, f', {TO_SAY}', stems)}"
        for (name, link), stems in sorted(missing.items())
    ]


ROW = "| [Chen et al. 2018](https://arxiv.org/abs/1810.11579), *A²-Nets* | a second softmax | [02](02_a.ipynb) |"
OTHER = "| [a/b #7](https://github.com/a/b/issues/7) | a leak | [02](02_a.ipynb), [07](07_b.ipynb) |"
LESSONS = {
    "02_a": "(Chen et al., 2018), [seven](https://github.com/a/b/issues/7#comment), https://github.com/our/own.git",
    "07_b": "see <https://github.com/a/b/pull/7>. In 2022 it was so.",
}


def test_links_to_one_source_are_one():
    assert key("https://arxiv.org/pdf/1810.11579v2") == key("http://www.arxiv.org/abs/1810.11579.")
    assert key("https://github.com/a/b/blob/main/x.csv") == key("https://github.com/a/b/") == "github.com/a/b"
    assert key("https://github.com/a/b/issues/7#x") == "github.com/a/b/issues/7" != key("https://github.com/a/b")
    text = "(Chen et al., 2018), Brunner et al. (2020), Freeman and Adelson, 1991; Jordan 2024, ICLR 2021"
    assert cited_names(text) == {
        "Chen et al. 2018",
        "Brunner et al. 2020",
        "Freeman and Adelson 1991",
        "Jordan 2024",
    }  # fmt: skip


def test_a_page_that_agrees_is_left_alone():
    assert differences(f"{ROW}\n{OTHER}", LESSONS, "our/own") == []
    by_title = {"02_a": "as in *A²-Nets*, they", **{k: v for k, v in LESSONS.items() if k != "02_a"}}
    assert differences(ROW, {"02_a": by_title["02_a"]}, "our/own") == []


def test_every_difference_is_told_with_its_line():
    assert differences(f"{ROW}\n{OTHER}\n{ROW}", LESSONS, "our/own") == [
        "stands there twice: arxiv.org/abs/1810.11579"
    ]
    unused = ROW.replace("Chen", "Shen").replace("1810", "1811").replace("A²-Nets", "Efficient")
    assert differences(f"{ROW}\n{OTHER}\n{unused}", LESSONS, "our/own") == [
        f"no lesson cites it, take it out: {unused}"
    ]
    old = OTHER.replace(", [07](07_b.ipynb)", "")
    assert differences(f"{ROW}\n{old}", LESSONS, "our/own") == [f"lessons have changed, replace by: {OTHER}"]
    assert differences("", LESSONS, "our/own") == [
        f"cited but not there, add: | [Chen et al. 2018](https://...), {TO_SAY} | [02](02_a.ipynb) |",
        "cited but not there, add: | [github.com/a/b/issues/7](https://github.com/a/b/issues/7#comment), "
        f"{TO_SAY} | [02](02_a.ipynb) |",
        "cited but not there, add: | [github.com/a/b/issues/7](https://github.com/a/b/pull/7), "
        f"{TO_SAY} | [07](07_b.ipynb) |",
    ]
    assert differences(OTHER, LESSONS, "our/own") == [
        f"cited but not there, add: | [Chen et al. 2018](https://...), {TO_SAY} | [02](02_a.ipynb) |"
    ]


def test_the_bibliography_is_what_the_lessons_cite():
    lessons = {path.stem: path.read_text(encoding="utf-8") for path in sorted((NOTEBOOKS / "py").glob("*.py"))}
    page = PAGE.read_text(encoding="utf-8")
    found = differences(page, lessons, sync.repository())
    assert len(rows_of(page)) > 40
    if found:
        pytest.fail(f"{len(found)} lines differ:\n" + "\n".join(found), pytrace=False)
    dead = sorted({lesson for row in rows_of(page) for lesson in row.lessons} - set(lessons))
    assert dead == [], f"these lessons do not exist: {dead}"


def test_every_line_of_a_table_is_a_row():
    page = PAGE.read_text(encoding="utf-8")
    heads = ("| source", "|---")
    tables = [text for text in page.splitlines() if text.startswith("|") and not text.startswith(heads)]
    rows = rows_of(page)
    assert len(rows) == len(tables)
    assert all(row.said.count("|") == 1 and len(row.said.rpartition("|")[2].strip()) > 10 for row in rows)
    for section in page.split("\n## ")[1:]:
        names = [row.name.lower() for row in rows_of(section)]
        assert names == sorted(names), "in the order of the alphabet"
