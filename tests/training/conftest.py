"""The toy model, one thread, few images, and a synthetic CIFAR-10, for all tests of training."""

import pytest
import torch
from tiny_cifar10 import N, Tiny, md5
from toy import Toy

from lambdalib import models
from lambdalib.training import cifar10
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.data import load_sample


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """A model called toy, and one thread: faster for so small a model."""
    monkeypatch.setitem(models.MODELS, "toy", Toy)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def images16():
    """Some of the sample, 16×16 pixels: 45 for training (5 batches of 8, and 5 left over), 40 for testing."""
    sample = load_sample()
    train, test = (
        part[:, :, ::2, ::2].contiguous() for part in (sample.train_images[:45], sample.test_images[:40])
    )
    labels = sample.train_labels[:45], sample.test_labels[:40]
    return ImageSplits(
        train, labels[0], test, labels[1], sample.train_index[:45], sample.test_index[:40], "sample"
    )


@pytest.fixture(scope="session")
def images32():
    """48 + 20 images of the sample in their full size."""
    sample = load_sample()
    train, test = sample[:2], sample[2:4]
    index = sample.train_index[:48], sample.test_index[:20]
    return ImageSplits(*(part[:48] for part in train), *(part[:20] for part in test), *index, "sample")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No mirror, no npm, and an empty data folder, unless the test makes them."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LAMBDALIB_DATA", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def made():
    return Tiny()


@pytest.fixture
def tiny(made, monkeypatch):
    """The synthetic set, with its hashes in place of the published ones."""
    monkeypatch.setattr(cifar10, "SHA256", made.sha256)
    monkeypatch.setattr(cifar10, "COUNTS", (5 * N, N))
    monkeypatch.setattr(cifar10, "BATCHES_MD5", {name: md5(content) for name, content in made.batches.items()})
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", md5(made.archive))
    monkeypatch.setattr(cifar10, "ARCHIVE_BYTES", len(made.archive))
    return made
