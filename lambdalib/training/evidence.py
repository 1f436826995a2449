"""What a run runs on, and what must stand beside its numbers. Used by `lambdalib train`."""

import ctypes
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import torch

from lambdalib import __version__
from lambdalib.training import distributed
from lambdalib.training.recipes import DTYPES

__all__ = ["evidence", "commit", "hardware", "pick_device", "pick_dtype", "dtype_words", "memory_kept"]

PACKAGE = Path(__file__).parents[1]  # the folder whose state in git a record tells
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The given device; by default the GPU where there is one, else the CPU.

    Raises:
        ValueError: this machine has no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be a device of this machine (cpu, cuda, cuda:1, ...), got {device!r}"
        ) from error
    return found


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type for products: the recipe's, or the nearest that this device computes in hardware.

    bfloat16 becomes float16 on GPUs before Ampere (2020), and float32 on CPUs without bfloat16 instructions. A CPU
    that PyTorch uses as AVX2 or less has none, whatever else it could do.

    Raises:
        ValueError: name is no type of a recipe.
    """
    if name not in list(DTYPES):
        raise ValueError(f"name must be one of {', '.join(DTYPES)}, got {name!r}")
    if name == "bfloat16" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < 8:
        return torch.float16
    if name == "bfloat16" and device.type == "cpu":
        if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
            return torch.float32
        probes = [
            getattr(torch.cpu, probe, None) for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        ]
        return torch.bfloat16 if any(probe() for probe in probes if probe) else torch.float32
    return DTYPES[name]


def dtype_words(asked: str, device: torch.device) -> str:
    """The type of products, why it is not the one asked for, and what that costs.

    Such as "float32, since this CPU has no bfloat16".
    """
    dtype = str(pick_dtype(asked, device)).removeprefix("torch.")
    if dtype == asked:
        return dtype
    if dtype == "float16":  # see guards.float32_under_float16
        cost = "; lambda layers compute in float32 then, which takes more time and memory"
        return f"{dtype}, since this GPU has no {asked}{cost}"
    return f"{dtype}, since this CPU has no {asked}"


@contextmanager
def memory_kept() -> Iterator[bool]:
    """Let glibc keep freed memory for the next step. Yields whether it does.

    By default glibc returns large blocks to the system after every step and asks for them again. The settings are
    those of the environment variables MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=-1, which would have to be set
    before the process starts. The process keeps them; the memory itself goes back to the system at the end.
    """
    libc = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
    keeps = libc is not None and bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, -1))
    try:
        yield keeps
    finally:
        if keeps:
            libc.malloc_trim(0)


def hardware(device: torch.device) -> str:
    """The name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of this code, with "+changes" if it was edited since; None outside its repository."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=PACKAGE, check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # a site-packages inside another repository is not ours
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def in_notebook() -> bool:
    """Whether this Python is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython else None, "kernel")


def evidence(device: torch.device) -> dict:
    """What must stand beside a number so that it can be believed: command, commit, versions, machine, time."""
    program = Path(sys.argv[0])
    words = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return {
        "command": "notebook" if in_notebook() else shlex.join([*words, *sys.argv[1:]]),
        "commit": commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "lambdalib": __version__,
        },
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "processes": distributed.size(),
        "environment": {
            name: os.environ[name]
            for name in sorted(os.environ)
            if name.startswith(("MALLOC_", "OMP_", "ONEDNN_", "ATEN_"))
        },
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
