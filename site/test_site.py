"""The built site in headless Chromium: `make test-site`."""

import functools
import gzip
import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import pytest

HTML = Path(__file__).resolve().parent / "_build" / "html"
CACHE = Path(__file__).resolve().parent / "_cache"
PAGES = sorted(
    path.relative_to(HTML).as_posix() for path in HTML.rglob("*.html") if not path.is_relative_to(HTML / "_static")
)
LESSONS = [page for page in PAGES if page.startswith("notebooks/") and page[10].isdigit()]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MOST = 4_000_000  # bytes of a page at first load
AXE = "axe-core@4.10.2"
SHOWN = "image => [image.src || image.innerHTML, image.alt || image.ariaLabel]"  # of an image or a drawn figure


def test_there_is_a_site():
    assert len(LESSONS) > 10 and {"index.html", "api.html", "RESULTS.html"} <= set(PAGES), "run `make site` first"


# ---- without a browser --------------------


class Links(HTMLParser):
    """All that a page points to, all its anchors, and its images without words."""

    def __init__(self, page: str):
        super().__init__()
        self.targets, self.anchors, self.mute = [], set(), []
        self.feed((HTML / page).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.targets += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag == "img" and not attributes.get("alt"):
            self.mute.append(attributes.get("src"))


@functools.cache
def links(page: str) -> Links:
    return Links(page)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_inside_leads_somewhere(page):
    dead = []
    for target in links(page).targets:
        path, anchor = urldefrag(urljoin(page, target))
        if urlparse(target).scheme or not (path or anchor):
            continue
        path = path.partition("?")[0]
        file = HTML / unquote(path or page)
        inside = path.endswith(".html") and anchor
        if not file.exists() or inside and unquote(anchor) not in links(unquote(path)).anchors:
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES)
def test_every_image_has_words(page):
    assert links(page).mute == []


@pytest.mark.parametrize("page", LESSONS)
def test_a_lesson_has_no_set_up_and_folds_what_answers(page):
    text = (HTML / page).read_text(encoding="utf-8")
    assert "Set-up: run this cell first" not in text and "Open in Colab" in text
    assert text.count("# @title Reveal") == text.count("tag_hide-cell") > 0
    drawn = CACHE / "frames" / "sliders.json"
    lessons = json.loads(drawn.read_text(encoding="utf-8")) if drawn.exists() else {}
    if Path(page).stem in lessons:
        assert "<span></span>Guess first." not in text  # as an output
    if lessons.get(Path(page).stem):
        assert "Run this cell to get its controls" not in text and 'class="slider"' in text
        assert "without a kernel" not in text.lower() and "running kernel" not in text


# ---- in a browser --------------------


@pytest.fixture(scope="session")
def address():
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HTML))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: `make test-site` does it"
    )
    program = os.environ.get("BROWSER_PROGRAM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium found: install one, or name it in BROWSER_PROGRAM")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@functools.cache
def sent(file: Path) -> int:
    """Bytes of a file as web servers send it: text is compressed."""
    data = file.read_bytes()
    return len(gzip.compress(data)) if file.suffix in (".html", ".css", ".js", ".svg") else len(data)


@pytest.fixture
def visit(browser, address):
    """Opens a page, and collects what it complains about and what it asks for."""
    contexts = []

    def go(page, width=1440, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(120_000)  # a busy machine takes its time
        tab.errors, tab.foreign, tab.bytes = [], [], 0
        tab.on("console", lambda message: tab.errors.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.on(
            "request",
            lambda request: (
                tab.foreign.append(request.url) if not request.url.startswith((address, "data:")) else None
            ),
        )

        def count(response):
            file = HTML / unquote(urlparse(response.url).path).lstrip("/")
            if file.is_file():
                tab.bytes += sent(file)
            if response.status >= 400:
                tab.errors.append(f"{response.status} {response.url}")

        tab.on("response", count)
        tab.goto(f"{address}/{page}", wait_until="load")
        tab.wait_for_timeout(300)
        return tab

    yield go
    for context in contexts:
        context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_quiet_light_and_asks_nobody_else(visit, page):
    tab = visit(page)
    assert (tab.errors, tab.foreign) == ([], []) and 0 < tab.bytes < MOST, tab.bytes


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone(visit, page):
    tab = visit(page, width=400, scheme="dark")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400


PUT_BACK = """(control, [value, checked]) => {
    [control.value, control.checked] = [value, checked];
    control.dispatchEvent(new Event("input"));
}"""


@pytest.mark.parametrize("page", LESSONS)
def test_every_control_moves_its_picture(visit, page):
    tab = visit(page)
    boxes = tab.locator(".slider")
    for box in [boxes.nth(number) for number in range(boxes.count())]:
        box.scroll_into_view_if_needed()
        image, controls = box.locator("img, .drawn"), box.locator("input, select")
        assert controls.count() and box.locator("label").count() == controls.count()
        for control in [controls.nth(number) for number in range(controls.count())]:
            before, words = image.evaluate(SHOWN)
            start = control.evaluate("control => [control.value, control.checked]")
            kind = control.evaluate("control => control.type")
            if kind == "range":
                end = control.evaluate("control => control.value === control.max")
                control.press("Home" if end else "End")  # one step may be too small to see
            elif kind == "checkbox":
                control.click()
            else:
                control.select_option(index=int(control.evaluate("control => +(control.selectedIndex === 0)")))
            after, other_words = image.evaluate(SHOWN)
            assert after != before and words and other_words != words
            tab.wait_for_function(
                "image => image.complete ? image.naturalWidth : image.firstChild", arg=image.element_handle()
            )
            control.evaluate(PUT_BACK, start)  # at its end, another control may change nothing


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, from its npm package, fetched once."""
    kept = CACHE / "axe.min.js"
    if not kept.exists():
        if shutil.which("npm") is None:
            pytest.skip("npm not found: accessibility is not tested")
        CACHE.mkdir(exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", AXE], cwd=CACHE, capture_output=True, text=True)
        assert packed.returncode == 0, packed.stderr
        archive = CACHE / packed.stdout.split()[-1]
        with tarfile.open(archive) as tar:
            kept.write_bytes(tar.extractfile("package/axe.min.js").read())
        archive.unlink()
    return kept.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_no_serious_fault_of_accessibility(visit, axe, page, scheme):
    tab = visit(page, scheme=scheme)
    tab.evaluate(axe)
    found = tab.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    serious = [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]} ({len(fault['nodes'])})"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
