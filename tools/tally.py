"""What the long tests found, in tests/tally/, and the page "How it is tested" that is made of it.

    python tools/tally.py           write the page, site/pages/testing.md

A tally is a JSON object on one line: what was tried, how often, how often it failed, and the evidence. Long tests
write theirs when they are called with --write, so that a run of them leaves a clone clean.
"""

import importlib
import json
import sys
from datetime import date
from pathlib import Path

import torch

from lambdalib.training.evidence import commit, hardware

ROOT = Path(__file__).resolve().parent.parent
TALLIES, PAGE = ROOT / "tests" / "tally", ROOT / "site" / "pages" / "testing.md"
BAD_INPUT = ROOT / "tests" / "bad_input"


def tally(what: str, count: int, failures: int, command: str, **more) -> dict:
    """One line of a tally: what was tried, how often, how often it failed, the command, and the evidence."""
    machine = {"python": sys.version.split()[0], "torch": str(torch.__version__)}
    cpu = f"{hardware(torch.device('cpu'))}, {torch.backends.cpu.get_cpu_capability()}"
    when = {"commit": commit(), "date": date.today().isoformat()}
    return {
        "what": what,
        "count": count,
        "failures": failures,
        "command": command,
        **more,
        **machine,
        "cpu": cpu,
        **when,
    }


def write(name: str, line: dict, append: bool = False) -> None:
    """Put a line into tests/tally/NAME.jsonl, in the place of what is there or after it."""
    TALLIES.mkdir(parents=True, exist_ok=True)
    with open(TALLIES / f"{name}.jsonl", "a" if append else "w", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read() -> list[dict]:
    """Every line of every tally, in the order of file names."""
    files = sorted(TALLIES.glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


def bad_inputs() -> dict:
    """The line of the wrong calls, files and command lines, which `make test` tries each time."""
    if str(ROOT / "tests") not in sys.path:
        sys.path.append(str(ROOT / "tests"))
    tables = [path.stem for path in BAD_INPUT.glob("*.py") if path.stem != "case"]
    rows = sum(len(importlib.import_module(f"bad_input.{table}").ROWS) for table in tables)
    return {"what": "wrong calls, files and command lines", "count": rows, "failures": 0, "command": "make test"}


def table(lines: list[dict]) -> str:
    """A row for each thing that was tried, in Markdown; lines about the same thing are added up."""
    rows = ["| tried | times | failures | command | last |", "|---|---|---|---|---|"]
    for what in dict.fromkeys(line["what"] for line in lines):
        same = [line for line in lines if line["what"] == what]
        times, failures = sum(line["count"] for line in same), sum(line["failures"] for line in same)
        last = max(same, key=lambda line: line.get("date", ""))
        where = "every time"
        if "date" in last:
            where = f"{last['date']}, Python {last['python']}, PyTorch {last['torch'].partition('+')[0]}"
        rows.append(f"| {what} | {times:,} | {failures:,} | `{last['command']}` | {where} |")
    return "\n".join(rows)


BEGIN, END = "<!-- tallies -->\n", "\n<!-- end of tallies -->"


def page(old: str) -> str:
    """The page "How it is tested", with the table between its two marks made from the tallies."""
    before, _, rest = old.partition(BEGIN)
    return before + BEGIN + table([bad_inputs(), *read()]) + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(read())} tallies")
