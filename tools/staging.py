"""From the repository to the sources of its web site: notebooks and pages as Sphinx reads them.

Nothing is executed: a page shows the stored outputs, and what tools/frames.py has made. The sources lie as in the
repository, so relative links stay.
"""

import html
import json
import re
from base64 import b64decode
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from sync import repository

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["notebooks/glossary.md", "notebooks/bibliography.md", "RESULTS.md", "CONTRIBUTING.md", "site/pages/*.md"]
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
NO_KERNEL = re.compile(r"[^.!?\n]*\b(?:[Ww]ithout a kernel|running kernel|no code runs)\b[^.!?\n]*[.!?] ?")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(#[^)\s]*)?(?=[)\s])")
STATIC = "site/static"


def staged_files() -> list[Path]:
    """What becomes a page, as paths of the repository: the lessons in order, then the others."""
    others = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    return [path.relative_to(ROOT) for path in [*sorted((ROOT / "notebooks").glob("*.ipynb")), *others]]


def relink(text: str, page: Path, pages: set[Path]) -> str:
    """Relative links that lead to no page or figure of the site lead into the repository instead.

    Args:
        text: Markdown.
        page: where it stands, from the root of the repository.
        pages: paths of the repository that the site has.
    """

    def target(match: re.Match) -> str:
        path = (ROOT / page.parent / match[1]).resolve()
        if (
            not path.is_relative_to(ROOT)
            or path.relative_to(ROOT) in pages
            or path.parent.name in ("figures", "static")
        ):
            return match[0]
        return f"https://github.com/{repository()}/blob/main/{path.relative_to(ROOT).as_posix()}{match[2] or ''}"

    return LINK.sub(target, text)


def stage_notebook(
    notebook: NotebookNode, page: Path, pages: set[Path], sliders: dict[int, str], reveals: dict[int, list]
) -> dict[str, bytes]:
    """Turn a lesson into a page, in place, and return its images: file name -> bytes.

    The set-up cell goes. Reveals and checks are folded. An image becomes a file with its alternative text and its
    width. A widget becomes its sliders without a kernel, and no sentence says that these need one.

    Args:
        page: where the lesson stands, from the root of the repository.
        pages: see relink.
        sliders: HTML for the outputs of cells with widgets, by the number of the cell.
        reveals: the outputs of reveals after a guess, by the number of the cell; others keep the stored ones.
    """
    images, cells = {}, []
    for number, cell in enumerate(notebook.cells):
        if "setup" in cell.metadata.get("tags", []):
            continue
        cells.append(cell)
        if cell.cell_type == "markdown":
            if sliders:
                cell.source = NO_KERNEL.sub("", cell.source)
            cell.source = relink(
                BADGE.sub(r"[![Open in Colab](../site/static/colab.svg)](\1)", cell.source), page, pages
            )
            continue
        title = re.match(r"# @title (\w+)", cell.source)
        if title:
            reveal = title[1] == "Reveal"
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-cell" if reveal else "hide-input"]
            if reveal:
                cell.metadata["mystnb"] = {"code_prompt_show": "Reveal", "code_prompt_hide": "Reveal"}
                cell.outputs = reveals.get(number, cell.outputs)
        for place, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if number in sliders and "text/plain" in data:
                output.data = NotebookNode({"text/html": sliders[number]})
            elif "image/png" in data:
                name = f"{page.stem}-{number}-{place}.png"
                images[name] = b64decode(data["image/png"])
                about = output.metadata.get("image/png", {})
                output.data = NotebookNode(
                    {"text/html": image_tag(name, images[name], about.get("alt", ""), about.get("width"), page)}
                )
    notebook.cells = cells
    return images


def image_tag(name: str, png: bytes, alt: str, width: int | None, page: Path) -> str:
    """An image of the site, loaded when the reader comes near; `width` is in pixels of the page.

    Its height stands there too, from the PNG's header, so that nothing moves when it comes.
    """
    wide, high = (int.from_bytes(png[place : place + 4], "big") for place in (16, 20))
    size = f' width="{width}" height="{round(width * high / wide)}"' if width else ""
    up = "../" * (len(page.parts) - 1)
    return f'<img class="figure" src="{up}_static/images/{name}" alt="{html.escape(alt)}"{size} loading="lazy">'


def taught(stem: str, symbols: list[tuple[str, str, str]]) -> str:
    """The end of a lesson's page: links to the library's symbols that it teaches; "" if there are none.

    Args:
        stem: of the lesson.
        symbols: (module, name, docstring) of everything public.
    """
    names = sorted({(module, name) for module, name, words in symbols if re.search(rf"notebooks/{stem}\b", words)})
    links = [f"{{py:obj}}`{name} <{module}.{name}>`" for module, name in names]
    return "**In the library:** " + ", ".join(links) + "." if links else ""


def stage(target: Path, sliders: dict, reveals: dict, symbols: list[tuple[str, str, str]]) -> None:
    """Write all sources of the site below `target`.

    Args:
        sliders, reveals: stem of a lesson -> see stage_notebook.
        symbols: see taught.
    """
    files = staged_files()
    pages, images = set(files), target / STATIC / "images"
    images.mkdir(parents=True, exist_ok=True)
    for path in files:
        to = target / path
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".ipynb":
            notebook = nbformat.read(ROOT / path, as_version=4)
            made = (kept.get(path.stem, {}) for kept in (sliders, reveals))
            for name, data in stage_notebook(notebook, path, pages, *made).items():
                (images / name).write_bytes(data)
            if words := taught(path.stem, symbols):
                notebook.cells.append(nbformat.v4.new_markdown_cell(words))
            to.write_text(json.dumps(notebook), encoding="utf-8")
        else:
            text = (ROOT / path).read_text(encoding="utf-8").replace(" ± ", "\u00a0±\u00a0")  # stays on one line
            to.write_text(relink(text, path, pages), encoding="utf-8")
    for path in [*(ROOT / "figures").iterdir(), *(ROOT / STATIC).iterdir()]:
        to = target / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    index = (ROOT / "site" / "index.md").read_text(encoding="utf-8").replace("](../", "](")
    (target / "index.md").write_text(relink(index, Path("index.md"), pages), encoding="utf-8")
