"""Make the sample that ships with lambdalib from the full CIFAR-10: `python tools/make_sample.py`.

The first 200 training and 50 test pictures of each class, in the official order, as lossless WebP mosaics of 50
tiles
per row, and a JSON file with their labels, their official numbers and the SHA-256 of what they contain.
"""

import json
import sys
from pathlib import Path

import torch
from PIL import Image

from lambdalib.training.cifar10 import ImageSplits, content_hash
from lambdalib.training.data import load_cifar10

ASSETS = Path(__file__).resolve().parent.parent / "lambdalib" / "assets"
COLUMNS = 50
PLANE = 44  # the test picture that the lessons share


def first_of_each_class(labels, count):
    """Positions of the first `count` pictures of every class, in ascending order."""
    return torch.cat([(labels == c).nonzero()[:count, 0] for c in range(10)]).sort().values


def save_mosaic(images, path):
    """Lay (n, 3, 32, 32) pictures out, COLUMNS per row, and write them without loss."""
    mosaic = images.view(-1, COLUMNS, 3, 32, 32).permute(0, 3, 1, 4, 2).reshape(-1, COLUMNS * 32, 3)
    Image.fromarray(mosaic.numpy()).save(path, lossless=True, quality=100, method=6)


def main(root=None):
    full = load_cifar10(root)
    if full.source == "sample":
        sys.exit("the sample is made from the full set, which was not found")
    train, test = first_of_each_class(full.train_labels, 200), first_of_each_class(full.test_labels, 50)
    assert PLANE in test
    sample = ImageSplits(
        full.train_images[train],
        full.train_labels[train],
        full.test_images[test],
        full.test_labels[test],
        train,
        test,
        "sample",
    )
    save_mosaic(sample.train_images, ASSETS / "sample_train.webp")
    save_mosaic(sample.test_images, ASSETS / "sample_test.webp")
    record = {
        "sha256": content_hash(sample),
        "train": {"index": train.tolist(), "labels": sample.train_labels.tolist()},
        "test": {"index": test.tolist(), "labels": sample.test_labels.tolist()},
    }
    (ASSETS / "sample.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
