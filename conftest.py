"""Makes plain `pytest --nbval notebooks/` right from any folder."""

from pathlib import Path

import matplotlib
import pytest
import torch
from environment import settle                                         # tools/ is on pytest's path, see pyproject.toml
from hypothesis import settings

ROOT = Path(__file__).resolve().parent
NBVAL_CELL_SECONDS = 2000                                              # the plugin's own default, which nobody asked for

matplotlib.use("Agg")                                                  # for the tests; kernels keep their inline figures
settings.register_profile("course", deadline=None, derandomize=True)  # slow machines and repeated runs see the same
settings.load_profile("course")


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers, whichever ran before it."""
    torch.manual_seed(0)


def pytest_configure(config):
    settle()
    options = config.option
    if not (getattr(options, "nbval", False) or getattr(options, "nbval_lax", False)):
        return
    if options.nbval_sanitize_with is None:
        options.nbval_sanitize_with = str(ROOT / "notebooks" / "nbval_sanitize.cfg")
    if options.nbval_kernel_name is None:
        options.nbval_current_env = True                               # whatever kernel name a notebook was saved with
    if options.nbval_cell_timeout == NBVAL_CELL_SECONDS:
        options.nbval_cell_timeout = 300
    if getattr(options, "numprocesses", None):
        options.dist = "loadscope"                                     # the cells of one notebook share one kernel


def pytest_collectstart(collector):
    if hasattr(collector, "skip_compare"):                             # an nbval notebook
        collector.skip_compare += ("stderr",)                          # libraries warn differently from version to version
