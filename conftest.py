"""Makes plain `pytest --nbval notebooks/` right from any folder."""

import os
from pathlib import Path

import matplotlib
import pytest
import torch
from environment import settle  # tools/ is on pytest's path, see pyproject.toml
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent
NBVAL_CELL_SECONDS = 2000  # the plugin's own default, which nobody asked for

matplotlib.use("Agg")  # for the tests; kernels keep their inline figures
settings.register_profile(
    "course", deadline=None, derandomize=True
)  # slow machines and repeated runs see the same
settings.load_profile("course")


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers, whichever ran before it."""
    torch.manual_seed(0)


def pytest_configure(config):
    settle()
    options = config.option
    if getattr(options, "numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # side by side: for workers, their kernels and children
    if not (getattr(options, "nbval", False) or getattr(options, "nbval_lax", False)):
        return
    if options.nbval_sanitize_with is None:
        options.nbval_sanitize_with = str(ROOT / "notebooks" / "nbval_sanitize.cfg")
    if options.nbval_kernel_name is None:
        options.nbval_current_env = True  # whatever kernel name a notebook was saved with
    if options.nbval_cell_timeout == NBVAL_CELL_SECONDS:
        options.nbval_cell_timeout = 600  # a busy machine is several times slower


class Together(LoadScopeScheduling):
    """Any test goes to any worker; but the cells of a notebook share a kernel, the tests of the wheel one
    build."""

    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        return file if file.endswith((".ipynb", "test_wheel.py")) else nodeid


@pytest.hookimpl(optionalhook=True)  # there is no such hook without xdist
def pytest_xdist_make_scheduler(config, log):
    return Together(config, log) if config.option.dist == "load" else None


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):  # an nbval notebook
        # libraries warn differently from version to version; what HTML says is compared as plain text
        collector.skip_compare += ("stderr", "text/html")
