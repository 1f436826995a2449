"""RESULTS.md holds what the records say, in words that a reader knows."""

import re
from pathlib import Path

import pytest

from lambdalib.experiments.report import (
    MODEL_WORDS,
    PUBLISHED,
    compare_rows,
    fastest_epochs,
    results_report,
    waiting,
)
from lambdalib.experiments.results import Record, format_difference, read_records, read_results
from lambdalib.experiments.rows import EVERY_ROW, NETS

RESULTS = Path(__file__).resolve().parents[2] / "RESULTS.md"


def section(title: str) -> str:
    """What stands between a heading and the next."""
    return results_report().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_is_what_the_records_say():
    assert RESULTS.read_text(encoding="utf-8") == results_report(), "`lambdalib results > RESULTS.md` writes it"


def test_every_row_has_words():
    assert set(MODEL_WORDS) == set(EVERY_ROW)


def test_rows_are_compared_in_words_the_best_first():
    rows = {row.name: row for row in read_results()}
    names = ["twins-pointwise", "no-such-row", "twins-lambda", "sizes-u4"]
    shown, notes = compare_rows(rows, names, "twins-lambda")
    assert list(shown) == ["lambda layer with u = 4", "1×1 convolution"]
    points, half = shown["1×1 convolution"]
    expected = format_difference(rows["twins-pointwise"].accuracies, rows["twins-lambda"].accuracies)
    assert f"{points:+.2f} ± {half:.2f}" == expected
    assert notes == [f"{rows[name].parameters:,} parameters" for name in ("sizes-u4", "twins-pointwise")]
    with pytest.raises(ValueError, match="one of the rows, got 'no-such-row'"):
        compare_rows(rows, ["twins-lambda"], "no-such-row")


def test_every_record_is_counted_once():
    """The evidence lists each run of each row; the tables of results list each row of main."""
    page = results_report()
    evidence = page.partition("## Evidence")[2]
    for record in read_records(None):
        name = record.row.partition("-lr")[0]
        lines = [line for line in evidence.splitlines() if line.startswith(f"| `{name}` | {record.group} |")]
        assert len(lines) == 1, (record.row, record.group)
        cells = [cell.strip() for cell in lines[0].split("|")]
        assert str(record.seed) in cells[3].split(", ") and record.start["commit"][:7] in cells[4].split(", ")
    for row in read_results():
        number = f"| {row.parameters:,} | {row.adds / 1e6:.1f} M | {row.sides} | {len(row.accuracies)} |"
        assert f"| {MODEL_WORDS[row.name]} {number}" in page, row.name


def test_no_table_has_an_empty_row_for_what_waits():
    rows = {row.name: row for row in read_results()}
    assert "not yet measured" not in results_report().lower().replace("not yet measured:\n", "")
    assert all(MODEL_WORDS[name] in waiting(rows) for name in NETS if name not in rows)
    assert waiting({name: None for name in EVERY_ROW}) == ""


def test_a_significant_difference_is_larger_than_its_interval():
    """Of the layers that replace u = 1 in tiny, read from the page itself."""
    table = section("One layer, many replacements")
    found = dict(re.findall(r"^\| ([^|]+) \|.*\| ([+-][\d.]+ ± [\d.]+) \|$", table, re.M))
    gain, half = map(float, found["3×3 convolution"].split(" ± "))
    assert gain > half and "lambda layer (u = 1)" not in found
    gain, half = map(float, found["1×1 convolution"].split(" ± "))
    assert abs(gain) < half


def test_the_fastest_epoch_of_each_side():
    recipe = {"model": "tiny", "epochs": 5, "progressive_resizing": {"16": 2, "24": 1}}
    seconds = [10, 18, 40, 75, 135]  # epochs of 10, 8, 22, 35 and 60 seconds; evaluated: the second and the fourth
    lines = [{"kind": "start", "recipe": recipe}]
    for epoch, clock in enumerate(seconds, 1):
        lines.append({"kind": "epoch", "epoch": float(epoch), "seconds": clock})
        if epoch % 2 == 0:
            lines[-1]["test_accuracy"] = 0.5
    assert fastest_epochs(Record("main", "tiny", 0, lines)) == {16: 10, 24: 22, 32: 60}


def test_published_numbers_have_sources():
    for name, (parameters, adds, accuracy, words, link) in PUBLISHED.items():
        assert 1e5 < parameters < 2e7 and 85 < accuracy < 97 and words and link.startswith("https://"), name
        assert adds is None or adds > 1e7
