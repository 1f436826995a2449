"""Whatever is handed over wrongly is answered by a sentence: which argument, its value, and what is allowed."""

import importlib
from pathlib import Path

import pytest
from bad_input.case import Case, Command

from lambdalib import cli

TABLES = sorted(path.stem for path in (Path(__file__).parent / "bad_input").glob("*.py") if path.stem != "case")
ROWS = [(table, row) for table in TABLES for row in importlib.import_module(f"bad_input.{table}").ROWS]
CALLS = [pytest.param(row, id=f"{table}: {row.name}") for table, row in ROWS if isinstance(row, Case)]
COMMANDS = [pytest.param(row, id=f"{table}: {row.name}") for table, row in ROWS if isinstance(row, Command)]


def test_there_are_three_hundred_and_each_is_named_once():
    assert len(ROWS) >= 300
    assert len({(table, row.name) for table, row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_call_is_explained(case):
    with pytest.raises((ValueError, TypeError)) as caught:
        case.call()
    message = str(caught.value)
    assert all(word in message for word in case.words), message


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_is_explained_in_one_line(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAMBDALIB_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    command.prepare(tmp_path)
    code = cli.main([part.format(folder=tmp_path) for part in command.line.split()])
    said = capsys.readouterr().err.strip()
    assert code == 2
    assert len(said.splitlines()) == 1, said
    assert all(word in said for word in command.words), said
