"""Build notebooks from their twins in notebooks/py, run them, and store them clean.

    python tools/execute.py 03_position_lambdas      one lesson (03 is enough)
    python tools/execute.py                          every lesson

The twin is the source: NN_name.ipynb is written anew from notebooks/py/NN_name.py, and blank lines of the twin are
put as jupytext writes them. The notebook keeps its outputs and figures and loses what differs from run to run:
timings, widget state, random cell ids. A cell that raises stops the lesson and leaves the notebook as it was,
unless it is tagged `raises-exception`.
"""

import re
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from environment import settle
from jupytext.config import load_jupytext_config
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parent.parent
TWINS = ROOT / "notebooks" / "py"
CELL_SECONDS = 300
LARGEST = 1_000_000  # bytes; larger notebooks are slow or broken on GitHub
WIDGET = "application/vnd.jupyter.widget-view+json"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def find_twin(name: str) -> Path:
    """The percent file that `name` means: a path, a lesson's name, or the first letters of one."""
    path = Path(name)
    if path.suffix == ".py" and path.exists():
        return path.resolve()
    matches = sorted(TWINS.glob(f"{path.stem}*.py"))
    if len(matches) != 1:
        lessons = ", ".join(p.stem for p in sorted(TWINS.glob("*.py"))) or "none yet"
        raise ValueError(f"lesson {name!r} matches {len(matches)} files; the lessons are: {lessons}")
    return matches[0]


def read_twin(twin: Path) -> nbformat.NotebookNode:
    """The twin as a notebook without outputs, its cell ids made of the lesson's number and the cell's place."""
    notebook = jupytext.read(twin)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata.pop("jupytext", None)  # pyproject.toml says how files are paired
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    for place, cell in enumerate(notebook.cells):
        cell.metadata.pop("lines_to_next_cell", None)  # a blank line more or less in the twin
        cell.id = f"{twin.stem.split('_')[0]}-{place:03d}"
    return notebook


def as_twin(notebook: nbformat.NotebookNode) -> str:
    """The text that JupyterLab's pairing would write; it refuses to open a notebook whose twin is older and
    differs from this."""
    return jupytext.writes(notebook, fmt="py:percent", config=load_jupytext_config(str(TWINS / "any.py")))


def strip(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from run to run, in place."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        ignored = "nbval-ignore-output" in cell.metadata.get("tags", [])
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(WIDGET, None) and ignored:  # its state is gone, so the page says what belongs here
                data["text/plain"] = "Run this cell to get its controls."


def run(twin: Path) -> Path:
    """Execute one lesson in the folder of its notebook and write it there.

    Raises:
        CellExecutionError, CellTimeoutError: a cell failed; nothing was written.
    """
    target = twin.parent.parent / f"{twin.stem}.ipynb"
    notebook = read_twin(twin)
    if twin.read_text(encoding="utf-8") != as_twin(notebook):
        # now, not after the run: the author may be writing on
        twin.write_text(as_twin(notebook), encoding="utf-8")
    NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # or how a text is cut into messages differs from run to run
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(target.parent)}},
    ).execute()
    strip(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, target)
    return target


def remarks(target: Path) -> list[str]:
    """What the tests would hold against a freshly written notebook."""
    cells = nbformat.read(target, as_version=4).cells
    noisy = [cell.id for cell in cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    large = target.stat().st_size >= LARGEST
    return [f"cell {name} writes to stderr" for name in noisy] + ["it is 1 MB or larger"] * large


def main(names: list[str]) -> int:
    settle()
    failed = 0
    try:
        twins = [find_twin(name) for name in names] or sorted(TWINS.glob("*.py"))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for twin in twins:
        start = time.perf_counter()
        try:
            target = run(twin)
        except (CellExecutionError, CellTimeoutError) as error:
            failed += 1
            print(
                f"{twin.stem}: FAILED after {time.perf_counter() - start:.1f} s, notebook not written\n"
                f"{ANSI.sub('', str(error))}",
                file=sys.stderr,
            )
            continue
        print(f"{twin.stem}: {time.perf_counter() - start:.1f} s, {target.stat().st_size / 1000:.0f} kB")
        for remark in remarks(target):
            print(f"  note: {remark}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
