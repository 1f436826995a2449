"""What a run depends on: versions, device and its speed, data, weights. Used by `lambdalib doctor`."""

import platform

import torch

import lambdalib
from lambdalib.experiments.bench import matrix_rate
from lambdalib.training import data
from lambdalib.training.checkpoint import list_pretrained, load_pretrained
from lambdalib.training.cifar10 import copies_on_disk
from lambdalib.training.downloads import DataError
from lambdalib.training.evidence import commit, dtype_words, hardware, pick_device
from lambdalib.training.recipes import DTYPES

__all__ = ["look_around"]


def look_around(root: str | None = None) -> tuple[dict[str, str], bool]:
    """Everything that a run depends on. Used by `lambdalib doctor`.

    Args:
        root: folder of the data. Default: data_root()'s.
    Returns:
        The findings by name, in words, and whether sample and weights of the package are undamaged.
    """
    device, root = pick_device(), data.data_root(root)
    (sample, sample_right), (weights, weights_right) = check_sample(), check_weights()
    copies = ", ".join(str(path) for path, _ in copies_on_disk(root))
    return {
        "lambdalib": f"{lambdalib.__version__}, commit {commit() or 'unknown'}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "device": f"{device} ({hardware(device)})",
        "speed": speed(device),
        "recipes": f"bfloat16 runs as {dtype_words('bfloat16', device)}",
        "CIFAR-10": copies or f"no copy below {root}; `--source mirror` fetches one",
        "sample": sample,
        "weights": weights,
    }, sample_right and weights_right


def speed(device: torch.device) -> str:
    """The rate of a large matrix product in each type; float16 crawls on a CPU and is left out there."""
    names = [name for name in DTYPES if name != "float16" or device.type == "cuda"]
    rates = {name: 2e-9 * matrix_rate(DTYPES[name], device, 1024, 0.3) for name in names}
    return ", ".join(f"{rate:,.0f} GFLOP/s in {name}" for name, rate in rates.items())


def check_sample() -> tuple[str, bool]:
    """The sample that ships, in words, and whether it is undamaged."""
    try:
        sample = data.load_sample()
    except (DataError, OSError) as error:
        return f"DAMAGED: {error}", False
    return f"{len(sample.train_labels):,} + {len(sample.test_labels):,} images, hash right", True


def check_weights() -> tuple[str, bool]:
    """The weights that ship, in words, and whether they are undamaged."""
    words, right = [], True
    for name in list_pretrained():
        try:
            load_pretrained(name)
            words.append(f"{name}, hash right")
        except (ValueError, OSError, KeyError, RuntimeError) as error:
            words.append(f"{name} DAMAGED: {error}")
            right = False
    return "; ".join(words) or "none", right
