"""The page "How it is tested" says what the tallies say, and a run of the lessons is counted rightly."""

import json
from pathlib import Path
from types import SimpleNamespace

import frames
import kills
import pytest
import steady
import tally
import time_widgets
from test_versions import REPORT


def test_the_page_is_made_of_the_tallies():
    text = tally.PAGE.read_text(encoding="utf-8")
    assert tally.page(text) == text
    assert tally.read(), "no long test has left a tally"
    first = {line["what"]: line["command"] for line in reversed(tally.read())}  # as the page does
    assert all(f"| {what} |" in text and f"`{command}`" in text for what, command in first.items())


def test_lines_about_one_thing_are_added_up(monkeypatch, tmp_path):
    monkeypatch.setattr(tally, "TALLIES", tmp_path)
    tally.write("a", tally.tally("kills", 3, 1, "make kills"))
    tally.write("b", tally.tally("runs", 5, 0, "make steady"), append=True)
    tally.write("b", tally.tally("runs", 2, 1, "make steady", cells=7), append=True)
    tally.write("a", tally.tally("kills", 30, 0, "make kills"))  # in the place of the first
    rows = tally.table(tally.read()).splitlines()
    assert [row.split("|")[1:4] for row in rows[2:]] == [[" kills ", " 30 ", " 0 "], [" runs ", " 7 ", " 1 "]]


def test_a_tally_carries_its_evidence():
    line = tally.tally("kills", 3, 1, "make kills")
    assert {"commit", "date", "cpu", "python", "torch", "command"} <= line.keys()


@pytest.mark.parametrize("tool", [steady, kills])
def test_no_times_are_refused(tool, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tool", "0"])
    with pytest.raises(SystemExit) as end:
        tool.main()
    assert end.value.code == 2 and "times must be at least 1, got 0" in capsys.readouterr().err


def test_no_lesson_of_that_name_is_told(capsys):
    assert time_widgets.main(["zz"]) == 2 and "'zz'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        frames.main(["zz"])
    assert end.value.code == 2 and "got zz" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "tests", "failed"), [(0, 9, 0), (2, 0, 1)])
def test_each_run_adds_a_line(monkeypatch, tmp_path, code, tests, failed):
    def run(command, env, **_):
        assert command[1:5] == ["-m", "pytest", "--nbval", "notebooks"] and env["OMP_NUM_THREADS"] == "1"
        Path(command[-1]).write_text(REPORT.format(tests=tests, failures=0, errors=0, skipped=0))
        return SimpleNamespace(stdout="", returncode=code)

    monkeypatch.setattr(steady, "subprocess", SimpleNamespace(run=run))
    monkeypatch.setattr(tally, "TALLIES", tmp_path)
    monkeypatch.setattr("sys.argv", ["steady.py", "2", "--way", "one", "--write"])
    assert steady.main() == failed
    lines = [json.loads(line) for line in (tmp_path / "steady.jsonl").read_text().splitlines()]
    assert [(line["what"], line["count"], line["failures"], line["cells"]) for line in lines] == [
        ("the lessons, at one thread", 1, failed, tests)
    ] * 2
