"""A trained model without its steering or one half: how much accuracy it loses, measured and recorded.

    python -m lambdalib.experiments.steering tiny small
    python -m lambdalib.experiments.steering NAME --weights runs/NAME/weights.safetensors

assets/steering.json holds one entry for each model: its accuracies and their evidence.
Used by `python -m lambdalib.experiments.steering`.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lambdalib.explain import ablations
from lambdalib.training.checkpoint import ASSETS, list_pretrained, load_model, read_card, read_json, whole_file
from lambdalib.training.cifar10 import SHA256, ImageSplits, content_hash
from lambdalib.training.data import load_cifar10, normalize
from lambdalib.training.downloads import DataError
from lambdalib.training.evidence import evidence, pick_device
from lambdalib.training.recipes import check_fields
from lambdalib.training.train import evaluate

__all__ = [
    "STEERING",
    "ABLATIONS",
    "steering_report",
    "measure_steering",
    "read_steering",
    "steering_table",
    "record_steering",
]

STEERING = ASSETS / "steering.json"
STATISTICS_IMAGES = 5_000  # the first training images: they give mean queries and batch-norm statistics
ABLATIONS = {
    "as_trained": "as trained",
    "mean_query": "every query replaced by its mean over the data",
    "mean_query_new_statistics": "the same, batch-norm statistics measured again",
    "image_mean_query_new_statistics": "every query replaced by its mean within the image, measured again",
    "no_palettes_new_statistics": "palettes taken away, measured again",
    "no_stencils_new_statistics": "stencils set to zero, measured again",
    "centre_taps_new_statistics": "only the centre tap of each stencil, measured again",
}


def steering_report(
    model: nn.Module, train_images: Tensor, test_images: Tensor, test_labels: Tensor, batch_size: int = 500
) -> dict[str, float]:
    """Test accuracy of a trained model, and of its copies without steering, palettes or stencils.

    Args:
        model: with lambda layers; stays as it is.
        train_images: (n, 3, H, W), normalized; see explain.ablations.
        test_images, test_labels: (n, 3, H, W), normalized, and (n,).
        batch_size: images at once.
    Returns:
        Name, a key of ABLATIONS -> accuracy between 0 and 1.
    Raises:
        ValueError: the model has no lambda layer.
    """
    return {
        name: evaluate(changed, test_images, test_labels, batch_size=batch_size)
        for name, changed in ablations(model, train_images, batch_size)
    }


def measure_steering(name: str, data: ImageSplits, weights: str | Path | None = None) -> dict:
    """One entry of the record. The first 5,000 training images give mean queries and batch-norm statistics.

    Args:
        name: of the entry.
        data: all of CIFAR-10.
        weights: NAME.safetensors, with its card beside it. Default: those that ship under this name.
    Returns:
        "accuracies" by name, the evidence, "weights_sha256", and "images", which says what was counted.
    Raises:
        FileNotFoundError: no such weights, or no card beside them.
        ValueError: the weights do not fit their card, or the model has no lambda layer.
    """
    path = Path(weights or ASSETS / f"{name}.safetensors")
    options = [name] if weights is None else [name, "--weights", str(weights)]
    device = pick_device()
    proof = evidence(device) | {
        "command": shlex.join(["python", "-m", "lambdalib.experiments.steering", *options])
    }
    train, test = (  # in the memory format in which convolutions are fastest
        normalize(images.to(device), memory_format=torch.channels_last)
        for images in (data.train_images[:STATISTICS_IMAGES], data.test_images)
    )
    accuracies = steering_report(load_model(path).to(device), train, test, data.test_labels.to(device))
    images = {
        "statistics": len(data.train_images[:STATISTICS_IMAGES]),
        "test": len(data.test_images),
        "sha256": content_hash(data),
    }
    return {"accuracies": accuracies, **proof, "weights_sha256": read_card(path)["sha256"], "images": images}


def read_steering(path: str | Path = STEERING) -> dict[str, dict]:
    """The record: name of a model -> its entry, see measure_steering. Empty where there is no record.

    Raises:
        ValueError: the file holds something else.
    """
    if not Path(path).exists():
        return {}
    (entries,) = read_json(path)
    for name, entry in entries.items():
        check_fields(entry, {"accuracies": dict.fromkeys(ABLATIONS, float)}, f"{path}: {name}")
    return entries


def steering_table(entries: dict[str, dict] | None = None) -> str:
    """The record as a table in Markdown, in %: what was taken away down, models across.

    Args:
        entries: from read_steering. Default: the record that ships.
    """
    entries = read_steering() if entries is None else entries
    lines = [f"| | {' | '.join(entries)} |", f"|---|{'---|' * len(entries)}"]
    for key, words in ABLATIONS.items():
        numbers = (f"{100 * entry['accuracies'][key]:.2f}" for entry in entries.values())
        lines.append(f"| {words} | {' | '.join(numbers)} |")
    return "\n".join(lines)


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose complaints are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


def record_steering(arguments: Sequence[str] | None = None, path: str | Path = STEERING) -> None:
    """Measure models on all of CIFAR-10, and write or replace their entries in the record.

    Args:
        arguments: the words of the command. Default: those that the program was called with.
        path: of the record.
    """
    parser = OneLineParser(
        prog="python -m lambdalib.experiments.steering",
        description="Take the steering from trained models, measure their accuracy on all of CIFAR-10, record it.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"one of {', '.join(list_pretrained())}")
    parser.add_argument("--weights", help="a weights file, with its card beside it, that NAME shall stand for")
    options = parser.parse_args(arguments)
    if options.weights and len(options.names) > 1:
        parser.error(f"--weights goes with one NAME, got {' '.join(options.names)}")
    unknown = [] if options.weights else sorted({*options.names} - {*list_pretrained()})
    if unknown:
        parser.error(f"NAME must be one of {list_pretrained()} without --weights, got {' '.join(unknown)}")
    try:
        data = load_cifar10()
        if content_hash(data) != SHA256:
            raise DataError(f"all of CIFAR-10 is needed, got {len(data.test_labels):,} test images")
        # all are measured before the first is written: a changed record is a changed commit
        measured = {name: measure_steering(name, data, options.weights) for name in options.names}
        with whole_file(path) as part:
            part.write_text(json.dumps(read_steering(path) | measured, indent=2) + "\n", encoding="utf-8")
    except (ValueError, OSError, DataError) as error:
        parser.error(str(error))
    print(steering_table(measured))


if __name__ == "__main__":
    record_steering()
