"""Open JupyterLab on the first lesson; arguments are handed on to JupyterLab.

The lessons are copied to my/, which git ignores: what you write there never conflicts with an update. A copy that
exists is left as it is. `make lab ARGS=--fresh` makes all copies anew and moves the old ones to my/old/.
It works as root in a container and without a browser (open the printed address), and on the next free port when
one is taken. The server stays on the loopback interface and keeps its token unless you say otherwise.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
LESSONS, MINE = ROOT / "notebooks", ROOT / "my"
FIRST_LESSON = "00_start_here.ipynb"
OVERRIDES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/application-extension:sidebar": {"overrides": {"table-of-contents": "left"}},
}


def own_copies(mine: Path = MINE, fresh: bool = False) -> list[Path]:
    """Copy lessons and their pages to `mine`, without what only Colab needs, and return what was copied.

    Args:
        fresh: move the copies that exist to mine/old/ first.
    """
    kept = mine / "old" / time.strftime("%Y-%m-%d_%H.%M.%S")
    copied = []
    for path in sorted([*LESSONS.glob("*.ipynb"), *LESSONS.glob("*.md")]):
        copy = mine / path.name
        if copy.exists():
            if not fresh:
                continue
            kept.mkdir(parents=True, exist_ok=True)
            copy.rename(kept / path.name)
        mine.mkdir(exist_ok=True)
        part = copy.with_name(f"{copy.name}.part")
        if path.suffix == ".ipynb":
            nbformat.write(without_colab(nbformat.read(path, as_version=4)), part)
        else:
            shutil.copyfile(path, part)
        part.rename(copy)
        copied.append(copy)
    return copied


def without_colab(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without the Colab badge under its title and without the cell that installs the course."""
    notebook.cells = [cell for cell in notebook.cells if "setup" not in cell.metadata.get("tags", [])]
    lines = notebook.cells[0].source.splitlines()
    kept = [line for line in lines if not line.startswith("[![Open in Colab]")]
    notebook.cells[0].source = "\n".join(kept).strip()
    return notebook


def has_screen() -> bool:
    """Whether a browser can open a window; without one, Python may start a text browser that takes over the
    terminal."""
    return sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def arguments(extra: list[str], root_user: bool, screen: bool) -> list[str]:
    """The command line of JupyterLab; `extra` comes last, so that it wins."""
    return [
        "--ServerApp.ip=127.0.0.1",  # even where the settings of this machine say otherwise
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{MINE.name}/{FIRST_LESSON}",
        "--log-level=ERROR",  # what remains is the address
        *["--KernelManager.transport=ipc"] * (os.name == "posix"),  # no warning about kernels on open ports
        *["--allow-root"] * root_user,
        *["--no-browser"] * (not screen),
        *extra,
    ]


def main() -> None:
    extra = [argument for argument in sys.argv[1:] if argument != "--fresh"]
    own_copies(fresh="--fresh" in sys.argv[1:])
    settings = json.loads(OVERRIDES.read_text(encoding="utf-8")) if OVERRIDES.exists() else {}
    if settings != (wanted := SETTINGS | settings):  # what is set there already stays
        OVERRIDES.parent.mkdir(parents=True, exist_ok=True)
        OVERRIDES.write_text(json.dumps(wanted, indent=2), encoding="utf-8")
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    command = [sys.executable, "-m", "jupyterlab", *arguments(extra, root_user, has_screen())]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
