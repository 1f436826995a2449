"""Images of your own: a folder with one folder per class, as tensors. Used by `lambdalib train --data`.

Taught in notebooks/07b_train_in_earnest.
"""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lambdalib.arguments import check_sizes
from lambdalib.training.cifar10 import ImageSplits

__all__ = ["val_folder", "is_image_folder", "load_folder"]


def val_folder(root: str | Path) -> Path:
    """Where the images to test on lie: root/test, or root/val where there is none."""
    return next(
        (Path(root) / name for name in ("test", "val") if (Path(root) / name).is_dir()), Path(root) / "test"
    )


def is_image_folder(root: str | Path) -> bool:
    """Whether root has a folder train and a folder test or val."""
    return (Path(root) / "train").is_dir() and val_folder(root).is_dir()


def load_folder(root: str | Path, image_size: int = 32, workers: int | None = None) -> ImageSplits:
    """Read root/train/CLASS/*.jpg and root/test/CLASS/*.jpg (or val) into memory.

    The shorter side of an image is scaled to image_size, and what sticks out of the square in the middle is cut
    off. The classes are numbered in the order of their names; the images to train on come shuffled, the same way
    each time, so that any stretch of them holds all classes, and train_index says which they are. All images stay
    in memory, image_size²·3 bytes each, so a step never waits for a file; a folder that does not fit is refused.

    Args:
        image_size: side in pixels.
        workers: threads that decode. Default: one per core.
    Returns:
        ImageSplits, by its shape: (n, 3, image_size, image_size) uint8 and (n,) labels, to train and to test on.
    Raises:
        ValueError: a folder or class is missing, a file is no image or has too many pixels, they do not fit into
            memory, or image_size or workers is not positive.
    """
    check_sizes(image_size=image_size, workers=1 if workers is None else workers)
    from torchvision.datasets import ImageFolder  # here, since torchvision takes two seconds to import

    root = Path(root)
    try:
        parts = [ImageFolder(str(folder)) for folder in (root / "train", val_folder(root))]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"no images in {root}: {error}") from error
    if parts[0].classes != parts[1].classes:
        odd = sorted(set(parts[0].classes) ^ set(parts[1].classes))
        raise ValueError(
            f"{root}: train and {val_folder(root).name} must hold the same classes, not so {', '.join(odd[:5])}"
        )
    count, memory = sum(len(part.samples) for part in parts), memory_of_machine()
    if count * 3 * image_size**2 > memory:
        raise ValueError(
            f"{root}: {count:,} images of {image_size} pixels take {count * 3 * image_size**2 / 1e9:.0f} GB, this "
            f"machine has {memory / 1e9:.0f} GB; choose a smaller image size, or fewer images"
        )
    numbers = [
        torch.randperm(len(parts[0]), generator=torch.Generator().manual_seed(0)),
        torch.arange(len(parts[1])),
    ]
    images = [
        decode([part.samples[i][0] for i in which], image_size, workers) for part, which in zip(parts, numbers)
    ]
    labels = [torch.tensor(part.targets)[which] for part, which in zip(parts, numbers)]
    return ImageSplits(
        images[0], labels[0], images[1], labels[1], numbers[0], numbers[1], source=f"folder {root.resolve().name}"
    )


def decode(paths: list[str], image_size: int, workers: int | None) -> Tensor:
    """The images in these files, (n, 3, image_size, image_size) uint8."""
    from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

    square = Compose([Resize(image_size), CenterCrop(image_size), PILToTensor()])

    def read(path: str) -> Tensor:
        try:
            with Image.open(path) as image:
                return square(in_colour(image))
        except Image.DecompressionBombError as error:
            limit = f"{2 * Image.MAX_IMAGE_PIXELS:,} pixels (twice PIL.Image.MAX_IMAGE_PIXELS)"
            raise ValueError(f"{path} must have at most {limit}: make it smaller first") from error
        except Exception as error:  # whatever another file makes of Pillow
            raise ValueError(f"{path} is no image that can be read: {error}") from error

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # your own: half the limit is no attack
        images = torch.empty(len(paths), 3, image_size, image_size, dtype=torch.uint8)
        for place, image in zip(images, pool.map(read, paths)):
            place.copy_(image)
    return images


def in_colour(image: Image.Image) -> Image.Image:
    """Red, green and blue, 8 bits each. Of grey with 16 bits Pillow itself would make white."""
    if image.mode == "F" or image.mode == "I" and image.getextrema()[1] >= 2**16:
        raise ValueError("its numbers are no bytes, nor have they 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    return image.convert("RGB")


def memory_of_machine() -> float:
    """Bytes, as many as the machine has; infinity where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):
        return float("inf")
