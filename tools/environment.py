"""Settle the environment variables that a lesson's kernel inherits, so that it prints the same for everybody."""

import atexit
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTURBING = ("MPLBACKEND", "MATPLOTLIBRC", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE")


def settle() -> None:
    """Unset what changes a lesson's output, hide the user's IPython profile, and let kernels import this
    checkout."""
    for name in [name for name in os.environ if name in DISTURBING or name.startswith("TQDM_")]:
        del os.environ[name]  # MPLBACKEND, for one, keeps figures out of the notebook
    profile = tempfile.TemporaryDirectory(prefix="ipython-")
    atexit.register(profile.cleanup)
    os.environ["IPYTHONDIR"] = profile.name
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
