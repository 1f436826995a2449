"""Open JupyterLab on the first lesson; arguments are handed on to JupyterLab.

Works as root in a container and without a browser (open the printed address), and on the next free port when
one is taken.
The server stays on the loopback interface and keeps its token unless you say otherwise.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_LESSON = "notebooks/00_start_here.ipynb"
OVERRIDES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


def has_screen() -> bool:
    """Whether a browser can open a window; without one, Python may start a text browser that takes over the
    terminal."""
    return sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def arguments(extra: list[str], root_user: bool, screen: bool) -> list[str]:
    """The command line of JupyterLab; `extra` comes last, so that it wins."""
    return [
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}",
        "--log-level=WARN",  # what remains is the address
        *["--allow-root"] * root_user,
        *["--no-browser"] * (not screen),
        *extra,
    ]


def main() -> None:
    if not OVERRIDES.exists():  # no pop-up about news on the first start
        OVERRIDES.parent.mkdir(parents=True, exist_ok=True)
        OVERRIDES.write_text(json.dumps(NO_NEWS, indent=2))
    root_user = hasattr(os, "geteuid") and os.geteuid() == 0
    command = [sys.executable, "-m", "jupyterlab", *arguments(sys.argv[1:], root_user, has_screen())]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
