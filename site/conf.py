"""How Sphinx builds the course's web site: `make site` stages the sources and calls it."""

import re

project = "lambdalib"
author = "lambdalib contributors"
copyright = "2026, lambdalib contributors. Text and figures CC BY 4.0, code MIT"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["site/index.md", "site/conf.py"]
html_theme = "sphinx_book_theme"
html_title = "LambdaNetworks, step by step"
html_static_path = ["site/static"]
html_css_files = ["course.css"]
html_js_files = [("dials.js", {"defer": "defer"}), ("sliders.js", {"defer": "defer"})]
html_favicon = "site/static/favicon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "repository_url": "https://github.com/lambdalib-course/lambdalib",
    "use_repository_button": True,
    "home_page_in_toc": True,
    "use_download_button": False,
    "show_toc_level": 2,
}

# Stored outputs only, and nothing from elsewhere: MathJax lies beside the pages, widgets need no script.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
mathjax_path = "mathjax/tex-chtml.js"
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "autosectionlabel.*"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
default_role = "literal"
napoleon_use_rtype = False


def plain_docstring(app, what, name, obj, options, lines):
    """Our docstrings are plain text: stars and bars are themselves, indented formulas stay as typed.

    "Taught in notebooks/NN_name" becomes a link to the lesson.
    """
    changed, formula = [], False
    for number, line in enumerate(lines):
        if line.startswith("    ") and number and not lines[number - 1].strip() and not formula:
            formula = True  # a section's first line has no empty one before it
            changed += ["::", ""]
        elif line.strip() and not line.startswith("    "):
            formula = False
        if not formula:
            parts = re.split(r"(`[^`]*`)", line)
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            line = re.sub(r"notebooks/((\d+b?)_\w+)", r":doc:`lesson \2 </notebooks/\1>`", "".join(parts))
        changed.append(line)
    for start, end in reversed(paragraphs(changed)):
        formulas = [place for place in range(start, end) if " = " in changed[place]]
        if formulas and not re.match(r" |\w+:$", changed[start]):  # no indented formula, no "Args:"
            stop = formulas[-1] + 1
            changed[start:stop] = [*(f"| {line}" for line in changed[start:stop]), ""]  # its lines stay lines
    lines[:] = changed


def paragraphs(lines):
    """(start, end) of every run of lines that are not empty."""
    edges = [number for number in range(len(lines) + 1) if number == len(lines) or not lines[number].strip()]
    return [(before + 1, after) for before, after in zip([-1, *edges], edges) if after - before > 1]


def setup(app):
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon's
