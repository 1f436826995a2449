"""Notebooks for a class: teach/student without solutions, teach/solutions with nothing else. `make student`."""

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
LESSONS, TEACH = ROOT / "notebooks", ROOT / "teach"
SOLUTION = re.compile(r"<details><summary>Solution.*?</details>\n*", re.DOTALL)
EXERCISE = re.compile(r"^\*\*\d+ .*?\*\*", re.MULTILINE)


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """The lesson without its folded solutions, and without cells that held nothing else. Hints stay."""
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and SOLUTION.search(cell.source):
            cell.source = SOLUTION.sub("", cell.source).strip()
            if not cell.source:
                continue
        kept.append(cell)
    notebook.cells = kept
    return notebook


def only_solutions(notebook: NotebookNode) -> NotebookNode:
    """The lesson's title, and each exercise with its solution unfolded, as one notebook of text."""
    cells, question = [nbformat.v4.new_markdown_cell(notebook.cells[0].source.partition("\n")[0])], ""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        if EXERCISE.search(cell.source):
            question = cell.source[EXERCISE.search(cell.source).start() :]
        for solution in SOLUTION.findall(cell.source):
            answer = re.sub(r"<details><summary>(.*?)</summary>|</details>", "", solution).strip()
            words = SOLUTION.sub("", question).strip()
            cells.append(nbformat.v4.new_markdown_cell(f"{words}\n\n**Solution.**\n\n{answer}"))
    notebook.cells = cells
    return notebook


def write(teach: Path = TEACH) -> list[Path]:
    """Write both sets anew, and return their paths."""
    written = []
    for name, change in (("student", without_solutions), ("solutions", only_solutions)):
        shutil.rmtree(teach / name, ignore_errors=True)
        (teach / name).mkdir(parents=True)
        for path in sorted(LESSONS.glob("*.ipynb")):
            nbformat.write(change(nbformat.read(path, as_version=4)), teach / name / path.name)
            written.append(teach / name / path.name)
        for page in sorted(LESSONS.glob("*.md")):  # lessons link to them
            shutil.copyfile(page, teach / name / page.name)
    return written


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    written = write()
    print(f"{len(written) // 2} lessons in teach/student and teach/solutions")
    sys.exit(not written)
