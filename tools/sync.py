"""Keep the repository's name, the Colab badges and the set-up cells the same everywhere.

    make sync REPO=owner/name                        rename the repository in every file that repeats its name
    make sync                                        only rewrite badges and set-up cells
    python tools/sync.py --head 03_position_lambdas  print the badge and the set-up cell for a lesson's twin

pyproject.toml's [project.urls] Repository is where the name is kept; everything else follows it.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = re.compile(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"$', re.MULTILINE)
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)\n]*\)\]\([^)\n]*\)")
SET_UP_IN_TWIN = re.compile(r'(?<=^# %% )([^\n]*"setup"[^\n]*)\n(.*?)(?=\n+# %%|\n*\Z)', re.MULTILINE | re.DOTALL)
SET_UP_OPTIONS = 'cellView="form" jupyter={"source_hidden": true} tags=["setup", "nbval-ignore-output"]'
REPEATS_THE_NAME = (
    "pyproject.toml",
    "README.md",
    "CITATION.cff",
    "environment.yml",
    "lambdalib/**/*.py",
    "tests/**/*.py",
    "notebooks/*.ipynb",
    "notebooks/py/*.py",
    "site/**/*.md",
    "site/conf.py",
)

SET_UP = """\
# @title Set-up: run this cell first
import importlib.util, subprocess, sys
if importlib.util.find_spec("lambdalib") is None:  # on Colab, for one; an installed course is left as it is
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet",
                           "{distribution} @ git+https://github.com/{name}.git"])
import lambdalib
if not hasattr(lambdalib, "__course__"):  # another project on PyPI has the same import name
    raise ImportError("Another lambdalib: `pip uninstall -y lambdalib`, restart the kernel and run this again.")
print("lambdalib", lambdalib.__version__, "is ready.")"""


def repository(root: Path = ROOT) -> str:
    """The repository's owner/name, as pyproject.toml has it."""
    return REPOSITORY.search((root / "pyproject.toml").read_text(encoding="utf-8"))[1]


def badge(name: str, lesson: str) -> str:
    """Markdown that opens `lesson` of repository `name` in Colab."""
    return (
        "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{name}/blob/main/notebooks/{lesson}.ipynb)"
    )


def set_up_cell(name: str) -> str:
    """The source of the cell that every lesson starts with."""
    return SET_UP.format(distribution="lambdanetworks-course", name=name)


def head(name: str, lesson: str) -> str:
    """Badge and set-up cell as they stand in a lesson's twin."""
    return f"# {badge(name, lesson)}\n\n# %% {SET_UP_OPTIONS}\n{set_up_cell(name)}\n"


def sync_twin(path: Path, name: str) -> None:
    text = BADGE.sub(lambda _: badge(name, path.stem), path.read_text(encoding="utf-8"))
    write(path, SET_UP_IN_TWIN.sub(lambda _: f"{SET_UP_OPTIONS}\n{set_up_cell(name)}", text))


def sync_notebook(path: Path, name: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub(lambda _: badge(name, path.stem), cell.source)
        elif "setup" in cell.metadata.get("tags", []):
            cell.source = set_up_cell(name)
    write(path, nbformat.writes(notebook) + "\n")


def write(path: Path, text: str) -> None:
    """Write and report, but only where something changes."""
    if path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"changed {path.name}")


def sync(root: Path, name: str) -> None:
    """Make every file below `root` agree on the repository's name."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"REPO={name!r} is not of the form owner/name")
    old = repository(root)
    if name != old:
        for path in sorted(path for pattern in REPEATS_THE_NAME for path in root.glob(pattern)):
            write(path, re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", name, path.read_text(encoding="utf-8")))
    for path in sorted(root.glob("notebooks/py/*.py")):
        sync_twin(path, name)
    for path in sorted(root.glob("notebooks/*.ipynb")):
        sync_notebook(path, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default=repository(), metavar="owner/name")
    parser.add_argument(
        "--head", metavar="LESSON", help="print the badge and the set-up cell for this lesson, change nothing"
    )
    arguments = parser.parse_args()
    if arguments.head:
        print(head(arguments.name, arguments.head))
        return 0
    try:
        sync(ROOT, arguments.name)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
