"""Downloads from servers of the test that are slow, cut off, absent or lie. Nothing reaches the network."""

import http.server
import threading
import time

import pytest
from tiny_cifar10 import is_tiny, lay, md5

from lambdalib.training import cifar10, downloads
from lambdalib.training.data import load_cifar10
from lambdalib.training.downloads import DataError, download

pytestmark = pytest.mark.usefixtures("offline")

# --------------------------------------------------------------------------------------------------
# Servers

FILE = bytes(range(256)) * 40


def say(request, *headers, status="200 OK", body=b""):
    """Answer with these header lines, in these words."""
    request.wfile.write("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body)


def drip(request, pieces, seconds=0.02):
    """Send the pieces one by one, until the other side has had enough."""
    for piece in pieces:
        request.wfile.write(piece)
        time.sleep(seconds)


def promise(request, content, start, body=b""):
    """The headers of a good host."""
    say(
        request,
        f"Content-Length: {len(content) - start}",
        *[f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"] * (start > 0),
        status="206 Partial Content" if start else "200 OK",
        body=body,
    )


def well(request, content, start):
    """Answer as a good host does."""
    promise(request, content, start, content[start:])


def whole(request, content, start):
    """Answer with all of the file, whatever was asked."""
    well(request, content, 0)


def from_zero(request, content, start):
    piece = f"Content-Range: bytes 0-{len(content) - 1}/{len(content)}"
    say(request, f"Content-Length: {len(content)}", piece, status="206 Partial Content", body=content)


def wrong(request, content, start):
    well(request, bytes(len(content)), start)


def slow(request, content, start):
    promise(request, content, start)
    drip(request, (content[at : at + 2000] for at in range(start, len(content), 2000)), 0.01)


def cuts(request, content, start):
    """Every connection breaks after a third of the file."""
    promise(request, content, start, content[start : start + len(content) // 3 + 1])


def cuts_whole(request, content, start):
    """Every connection begins anew, and breaks after two thirds of the file."""
    say(request, f"Content-Length: {len(content)}", body=content[: len(content) // 3 * 2])


def endless(*headers, status="200 OK"):
    def serve(request, content, start):
        say(request, *headers, status=status)
        drip(request, (bytes(1 << 16) for _ in range(2000)), 0)

    return serve


def headers(*lines, status="200 OK", body=b""):
    return lambda request, content, start: say(request, *lines, status=status, body=body)


def a_piece(text):
    return headers(f"Content-Range: {text}", status="206 Partial Content", body=b"x")


def lengths(*values):
    return headers(*(f"Content-Length: {value}" for value in values))


def to(place):
    return headers(f"Location: {place}", "Content-Length: 0", status="302 Found")


def to_a_good_place(request, content, start):
    if request.path == "/file":
        return say(request, "Location: /moved", "Content-Length: 0", status="301 Moved Permanently")
    well(request, content, start)


def packed(request, content, start):
    say(request, "Content-Encoding: gzip", body=content[: len(content) // 2])


def silent(request, content, start):
    say(request, f"Content-Length: {len(content)}")
    time.sleep(4)


def dripping_headers(request, content, start):
    drip(request, (b"HTTP/1.1 200 OK\r\n", *(b"X: y\r\n" for _ in range(90))), 0.05)


def dripping_length(request, content, start):
    """The number before a chunk goes on and on."""
    say(request, "Transfer-Encoding: chunked")
    drip(request, (b"0" for _ in range(200)))


class Host:
    """A server on this machine that keeps one file, and serves it in its manner; `ranges` is what it was asked."""

    def __init__(self, content, manner):
        self.ranges, host = [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                host.ranges.append(asked)
                try:
                    manner(self, content, int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0)
                except OSError:  # the other side has had enough
                    pass
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/file"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch):
    """serve(content, manner, ...) starts such servers and returns them."""
    started = []

    def start(content, *manners):
        started.extend(hosts := [Host(content, manner) for manner in manners])
        return hosts

    monkeypatch.setattr(downloads, "TIMEOUT", 2.0)  # a busy machine may let a good host wait
    monkeypatch.setattr(downloads, "PATIENCE", 0.3)
    monkeypatch.setattr(cifar10, "FAST", 400_000)
    yield start
    for host in started:
        host.close()


@pytest.fixture
def mirrors(serve, tiny, monkeypatch):
    """mirrors(slow, well) starts such servers of the synthetic archive and makes them the mirrors."""

    def start(*manners):
        hosts = serve(tiny.archive, *manners)
        monkeypatch.setattr(cifar10, "MIRRORS", tuple(host.url for host in hosts))
        return hosts

    return start


# --------------------------------------------------------------------------------------------------
# One file

BAD = {  # what a host does, and what is said of it
    "broken": (headers(status="500 Oh no"), "HTTP Error 500: Oh no$"),
    "absent": (headers(status="404 Not Found"), "HTTP Error 404: Not Found$"),
    "no such range": (headers(status="416 Range Not Satisfiable"), "HTTP Error 416"),
    "no content": (headers(status="204 No Content"), "answers with status 204$"),
    "nothing": (lambda request, content, start: None, "closed connection without response$"),
    "not HTTP": (lambda request, content, start: request.wfile.write(b"SSH-2.0\r\n"), "SSH-2.0"),
    "ends in its headers": (
        lambda request, content, start: request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le"),
        "broke off 5 times$|cannot go on",
    ),
    "empty": (headers(), "broke off 5 times$|cannot go on"),
    "a web page": (headers("Content-Type: text/html; charset=utf-8", body=b"log in"), "answers with a web page$"),
    "short": (headers("Content-Length: 6", body=b"log in"), "offers 6 bytes, not 10240$"),
    "wrong": (wrong, "file is damaged or not the official file: md5"),
    "no number": (lengths("abc"), "offers abc bytes, not 10240$"),
    "negative": (lengths("-1"), "offers -1 bytes, not 10240$"),
    "two lengths": (lengths("10240", "7"), "offers 10240 and 7 bytes, not 10240$"),
    "a long length": (lengths("9" * 5000), "offers 9{100,}"),
    "another encoding": (packed, "sends the file in the encoding gzip$"),
    "no end": (endless(), "sends more than 10,240 bytes|cannot go on"),
    "a piece of another place": (a_piece("bytes 7-10239/10240"), "sends bytes 7-10239/10240, not bytes"),
    "a piece of another file": (a_piece("bytes 0-99/100"), "sends bytes 0-99/100, not bytes"),
    "a piece without a name": (headers(status="206 Partial Content"), "sends a piece without a name, not bytes"),
    "a circle": (to("/file"), "redirects more than 5 times$"),
    "to a file": (to("file:///etc/passwd"), "redirects to file:///etc/passwd, which is no address of the web$"),
    "to ftp": (to("ftp://127.0.0.1/file"), "redirects to ftp://127.0.0.1/file, which is no address of the web$"),
    "to nowhere": (headers(status="302 Found"), "HTTP Error 302"),
    "to nonsense": (to("http://[/"), "Invalid IPv6 URL$"),
    "an endless redirect": (endless("Location: /file", status="302 Found"), "redirects more than 5 times$"),
    "words for a terminal": (headers(status="500 \x1b[2J"), r"HTTP Error 500: \[2J$"),
}


@pytest.mark.parametrize("begun", [0, 4000])
@pytest.mark.parametrize("manner", BAD)
def test_a_bad_host_costs_nothing_and_is_left_for_the_next(manner, begun, serve, tmp_path):
    bad, good = serve(FILE, BAD[manner][0], well)
    if begun:
        lay(tmp_path, {"file.part": FILE[:begun]})
    with pytest.raises(DataError, match=f"^127.0.0.1:{bad.server.server_port}: .*({BAD[manner][1]})") as caught:
        download([bad.url], tmp_path / "file", md5(FILE), len(FILE))
    assert len(str(caught.value)) < 700 and str(caught.value).isprintable()
    assert not (tmp_path / "file").exists() and not (tmp_path / "file.new").exists()
    if begun:
        assert (tmp_path / "file.part").read_bytes()[:begun] == FILE[:begun]
    asked = len(bad.ranges)
    path = download([bad.url, good.url], tmp_path / "file", md5(FILE), len(FILE))
    assert path.read_bytes() == FILE and list(tmp_path.glob("file*")) == [path] and len(bad.ranges) > asked
    assert good.ranges[0] == (f"bytes={begun}-" if begun else None)


LATE = {  # each byte comes within the timeout of a socket
    "headers": (dripping_headers, "no answer within 0.5 s$"),
    "length of a chunk": (dripping_length, "no answer within 0.5 s$"),
    "silence": (silent, "timed out$|no answer within 0.5 s$"),
}


@pytest.mark.parametrize("late", LATE)
def test_what_drips_has_an_end(late, serve, tmp_path, monkeypatch):
    (host,) = serve(FILE, LATE[late][0])
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    began = time.monotonic()
    with pytest.raises(DataError, match=LATE[late][1]):
        download([host.url], tmp_path / "file", md5(FILE), len(FILE))
    assert time.monotonic() - began < 3


def test_a_patient_download_has_an_end_too_and_goes_on_the_next_time(serve, tmp_path, monkeypatch):
    patient, good = serve(FILE * 20, slow, well)
    monkeypatch.setattr(downloads, "SECONDS", 0.2)
    with pytest.raises(DataError, match="was not done after 0.2 s$"):
        download([patient.url], tmp_path / "file", md5(FILE * 20), len(FILE * 20))
    came = (tmp_path / "file.part").stat().st_size
    assert 2000 <= came < len(FILE * 20)
    download([good.url], tmp_path / "file", md5(FILE * 20), len(FILE * 20))
    assert good.ranges == [f"bytes={came}-"]


def test_a_host_that_is_not_there(serve, tmp_path):
    gone, good = serve(FILE, well, well)
    gone.close()
    with pytest.raises(DataError, match="refused"):
        download([gone.url], tmp_path / "file", md5(FILE), len(FILE))
    assert download([gone.url, good.url], tmp_path / "file", md5(FILE), len(FILE)).read_bytes() == FILE


@pytest.mark.parametrize("begun", [0, 4000])
def test_a_redirect_to_a_good_place_is_followed(begun, serve, tmp_path):
    (host,) = serve(FILE, to_a_good_place)
    lay(tmp_path, {"file.part": FILE[:begun]})
    assert download([host.url], tmp_path / "file", md5(FILE), len(FILE)).read_bytes() == FILE
    assert host.ranges == 2 * [f"bytes={begun}-" if begun else None]


@pytest.mark.parametrize("manner", [whole, from_zero])
def test_a_host_without_ranges_starts_over(manner, serve, tmp_path):
    (host,) = serve(FILE, manner)
    lay(tmp_path, {"file.part": b"x" * 1234})
    if manner is from_zero:  # it has ranges after all, and no other
        (host,) = serve(FILE, lambda *asked: (from_zero if asked[2] else whole)(*asked))
    assert download([host.url], tmp_path / "file", md5(FILE), len(FILE)).read_bytes() == FILE
    assert host.ranges == ["bytes=1234-", None]


def test_the_longer_start_stays(serve, tmp_path):
    (host,) = serve(FILE, cuts_whole)
    lay(tmp_path, {"file.part": FILE[:1234]})
    with pytest.raises(DataError, match="cannot go on after 1,234 bytes.*cannot go on after 6,826 bytes"):
        download([host.url], tmp_path / "file", md5(FILE), len(FILE))
    assert (tmp_path / "file.part").read_bytes() == FILE[:6826]
    lay(tmp_path, {"file.part": FILE[:9000]})
    with pytest.raises(DataError, match="cannot go on after 9,000 bytes"):
        download([host.url], tmp_path / "file", md5(FILE), len(FILE))
    assert (tmp_path / "file.part").read_bytes() == FILE[:9000]
    lay(tmp_path, {"file.part": bytes(len(FILE))})  # whole and wrong
    with pytest.raises(DataError, match="file is damaged.*cannot go on after 6,826 bytes"):
        download([host.url], tmp_path / "file", md5(FILE), len(FILE))
    assert (tmp_path / "file.part").read_bytes() == FILE[:6826]


@pytest.mark.parametrize("part", [b"x" * 1234, FILE, FILE + b"x", bytes(len(FILE)), b""])
def test_whatever_the_part_file_holds(part, serve, tmp_path):
    (host,) = serve(FILE, well)
    lay(tmp_path, {"file.part": part, "file.new": b"left by a process that was killed"})
    path = download([host.url], tmp_path / "file", md5(FILE), len(FILE))
    assert path.read_bytes() == FILE and list(tmp_path.glob("file*")) == [path]


def test_what_a_call_raises_comes_through_and_its_answer_too():
    assert downloads.within(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        downloads.within(5, divmod, 7, 0)


# --------------------------------------------------------------------------------------------------
# CIFAR-10


def test_mirror(mirrors, tiny, tmp_path):
    first, second = mirrors(well, well)
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert first.ranges == [None] and second.ranges == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        ".lock",
        cifar10.ARCHIVE,
        cifar10.CACHE,
    ]


@pytest.mark.parametrize("manner", [wrong, slow, endless()])
@pytest.mark.parametrize("source", ["mirror", "auto"])
def test_a_bad_mirror_is_left_for_the_next(manner, source, mirrors, tiny, tmp_path):
    bad, good = mirrors(manner, well)
    is_tiny(load_cifar10(tmp_path / "data", source), tiny, "mirror")
    assert bad.ranges == [None] and len(good.ranges) == 1
    assert not list((tmp_path / "data").glob("*.part"))


def test_what_a_slow_host_began_the_next_one_finishes(mirrors, tiny, tmp_path):
    _, good = mirrors(slow, well)
    load_cifar10(tmp_path, "mirror")
    assert int(good.ranges[0].removeprefix("bytes=").removesuffix("-")) >= 2000


def test_a_broken_connection_is_resumed(mirrors, tiny, tmp_path):
    (host,) = mirrors(cuts)
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    third = len(tiny.archive) // 3 + 1
    assert host.ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_an_earlier_session_is_resumed(mirrors, tiny, tmp_path):
    (host,) = mirrors(well)
    lay(tmp_path, {cifar10.ARCHIVE + ".part": tiny.archive[:1234]})
    is_tiny(load_cifar10(tmp_path, "mirror"), tiny, "mirror")
    assert host.ranges == ["bytes=1234-"]


def test_asked_for_a_mirror_a_slow_one_is_better_than_none(mirrors, tiny, tmp_path):
    mirrors(slow, headers(status="500 Oh no"))
    with pytest.raises(DataError, match="too slow"):
        cifar10.from_mirror(tmp_path / "impatient", patient=False)
    is_tiny(load_cifar10(tmp_path / "patient", "mirror"), tiny, "mirror")


def test_auto_takes_the_sample_rather_than_wait_for_a_slow_host(mirrors, tiny, tmp_path, capsys):
    mirrors(slow)
    assert load_cifar10(tmp_path).source == "sample"
    assert "too slow" in capsys.readouterr().out


def test_no_host_says_what_was_wrong_with_each(mirrors, tmp_path):
    broken, lying = mirrors(headers(status="500 Oh no"), wrong)
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path, "mirror")
    for host, words in ((broken, "HTTP Error 500"), (lying, "md5")):
        assert f"127.0.0.1:{host.server.server_port}: " in str(caught.value) and words in str(caught.value)
    assert not (tmp_path / cifar10.ARCHIVE).exists()
