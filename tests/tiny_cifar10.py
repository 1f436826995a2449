"""A CIFAR-10 of 35 + 7 images, in every form: tensors, official files, official archive, npm package."""

import hashlib
import io
import json
import struct
import tarfile

import torch
from PIL import Image

from lambdalib.training import cifar10

N = 7  # images per file


def text(string):
    """A Python 2 str as pickle protocol 2 wrote it."""
    return b"T" + struct.pack("<i", len(string)) + string


def python2_batch(images, labels):
    """The bytes of an official batch file: a dict with an array of uint8 and a list, pickled by Python 2."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
        b"(K\x01(" + b"K" + bytes([len(images)]) + b"M\x00\x0ct"
        b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"I00\n" + text(images.flatten().numpy().tobytes()) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels.tolist()) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def png_sheet(images):
    """Images as the npm package keeps them: one per row of a PNG."""
    rows = images.permute(0, 2, 3, 1).reshape(len(images), 1024, 3)
    Image.fromarray(rows.numpy()).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def targz(members):
    """A tar.gz with these {path: bytes}."""
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class Tiny:
    """The synthetic set as tensors, as official files, as official archive and as npm package."""

    def __init__(self):
        generator = torch.Generator().manual_seed(11)
        images = torch.randint(256, (6, N, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.randint(10, (6, N), generator=generator)
        self.train_images, self.train_labels = images[:5].flatten(0, 1), labels[:5].flatten()
        self.test_images, self.test_labels = images[5], labels[5]
        pixels = [self.train_images, self.train_labels.byte(), self.test_images, self.test_labels.byte()]
        self.sha256 = hashlib.sha256(b"".join(part.numpy().tobytes() for part in pixels)).hexdigest()
        self.batches = {name: python2_batch(x, y) for name, x, y in zip(cifar10.BATCHES_MD5, images, labels)}
        self.archive = targz({f"{cifar10.FOLDER}/{name}": content for name, content in self.batches.items()})
        self.package = {name: png_sheet(x) for name, x in zip(cifar10.SHEETS, images)}
        self.package["train_lables.json"] = json.dumps(self.train_labels.tolist()).encode()
        self.package["test_lables.json"] = json.dumps(self.test_labels.tolist()).encode()
        self.tgz = targz({f"package/{name}": content for name, content in self.package.items()})


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def lay(folder, members):
    """Write {name: bytes} into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in members.items():
        (folder / name).write_bytes(content)


def is_tiny(loaded, tiny, source):
    """Assert that these are the synthetic images and labels, in order, typed as promised."""
    assert loaded.source == source
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(loaded, name), getattr(tiny, name)), name
    assert loaded.train_images.dtype == torch.uint8 and loaded.train_labels.dtype == torch.int64
    assert loaded.train_index.tolist() == list(range(5 * N)) and loaded.test_index.tolist() == list(range(N))
