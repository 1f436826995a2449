"""Build the course's web site from the stored notebooks: `make site`, and `make site ARGS=--serve` to look at it.

Nothing is executed here: what tools/frames.py has made is taken as it is. A page loads nothing from elsewhere.
"""

import argparse
import functools
import hashlib
import http.server
import importlib
import inspect
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

from nbformat import NotebookNode
from staging import ROOT, STATIC, stage

from lambdalib.training.downloads import DataError, npm_pack

SITE = ROOT / "site"
BUILD, CACHE = SITE / "_build", SITE / "_cache"
MATHJAX = "mathjax@3.2.2"
MATHJAX_SHA512 = (  # of the package's archive, in hex
    "06df9249553c7811b6ef30a155ec0e89c62ced7b1db78d2a9b8f94a47c97ee4d"
    "3f3bd36588f73ec7bee4d7f144b0fb2328f64626fb5164cd6f3be81e5b43a11b"
)
WANTED = ("es5/tex-chtml.js", "es5/output/chtml/fonts/woff-v2/", "es5/a11y/assistive-mml.js")


def modules() -> list[ModuleType]:
    """Every module of the library, imported, in the order of their paths."""
    paths = sorted((ROOT / "lambdalib").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def public_symbols() -> list[tuple[str, object, ModuleType]]:
    """(name, symbol, module) of every name in an `__all__`, at the module that defines it."""
    return [
        (name, getattr(module, name), module)
        for module in modules()
        for name in getattr(module, "__all__", [])
        if getattr(getattr(module, name), "__module__", module.__name__) == module.__name__
    ]


def symbols() -> list[tuple[str, str, str]]:
    """(module, name, docstring) of everything public; a constant, or what names no lesson, has its module's."""
    found = []
    for name, symbol, module in public_symbols():
        own = inspect.getdoc(symbol) or "" if callable(symbol) else ""
        words = own if "notebooks/" in own or "Used by" in own else module.__doc__ or ""
        found.append((module.__name__, name, words))
    return found


def api_page() -> str:
    """The library's reference, one section a module, for Sphinx's autodoc."""
    layer = "{py:obj}`LambdaLayer <lambdalib.layer.LambdaLayer>`"
    parts = ["# The library", f"Every public name, with the lesson that teaches it. The layer itself is {layer}."]
    for module in modules():
        if names := [name for name, _, home in public_symbols() if home is module]:
            members = f"   :members: {', '.join(names)}"
            parts.append(
                f"## {module.__name__}\n\n```{{eval-rst}}\n.. automodule:: {module.__name__}\n{members}\n```"
            )
    return "\n\n".join(parts) + "\n"


def fetch_mathjax(to: Path) -> bool:
    """Copy MathJax and its fonts from its npm package, fetched once. False, with a word why, without npm."""
    kept = CACHE / "mathjax"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            try:
                content = npm_pack(MATHJAX, Path(folder)).read_bytes()
            except DataError as error:
                print(f"{MATHJAX} cannot be fetched, so formulas stay as they are typed: {error}")
                return False
            if hashlib.sha512(content).hexdigest() != MATHJAX_SHA512:  # its files keep their names on our disk
                raise DataError(f"{MATHJAX} has not the SHA-512 that tools/website.py knows")
            part = kept.with_name("mathjax.part")
            shutil.rmtree(part, ignore_errors=True)
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive:
                    name = member.name.removeprefix("package/")
                    if member.isfile() and name.startswith(WANTED):
                        file = part / name.removeprefix("es5/")
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(archive.extractfile(member).read())
            part.rename(kept)
    shutil.copytree(kept, to, dirs_exist_ok=True)
    return True


def read_frames(name: str) -> dict[str, dict]:
    """What tools/frames.py made, "sliders" or "reveals": stem of a lesson -> number of a cell -> what it shows."""
    kept = CACHE / "frames" / f"{name}.json"
    text = kept.read_text(encoding="utf-8") if kept.exists() else "{}"
    stored = json.loads(text, object_hook=NotebookNode)
    return {lesson: {int(cell): made for cell, made in cells.items()} for lesson, cells in stored.items()}


def build() -> int:
    """Stage the sources and run Sphinx; its exit code."""
    source = BUILD / "source"
    shutil.rmtree(source, ignore_errors=True)
    stage(source, read_frames("sliders"), read_frames("reveals"), symbols())
    (source / "api.md").write_text(api_page(), encoding="utf-8")
    shutil.copy(SITE / "conf.py", source / "conf.py")
    fetch_mathjax(source / STATIC / "mathjax")
    if (CACHE / "frames").exists():
        shutil.copytree(CACHE / "frames", source / STATIC / "frames", dirs_exist_ok=True)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-j", "auto", source, BUILD / "html"]
    return subprocess.run(command).returncode


def serve(port: int) -> None:
    """Serve the built site on the loopback interface until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=BUILD / "html")
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make site", description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", action="store_true", help="serve the site on this machine afterwards")
    parser.add_argument("--port", type=int, default=8000, help="where (default 8000; 0: any free one)")
    options = parser.parse_args(arguments)
    code = build()
    if code == 0:
        print(f"site: {BUILD / 'html' / 'index.html'}")
        if options.serve:
            serve(options.port)
    return code


if __name__ == "__main__":
    sys.exit(main())
