"""The project agrees with itself: notebooks with their twins, names with pyproject.toml, conda's environment
with pip's.

Every rule is a function that returns complaints; each is shown a bad example first, so that none can pass by
looking away.
"""

import ast
import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import environment
import execute
import jupytext
import nbformat
import pytest
import sync
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.requirements import Requirement

import lambdalib

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
TWINS = sorted((ROOT / "notebooks" / "py").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


# ---- pairing  --------------------


def unpaired(notebooks, twins):
    return sorted({path.stem for path in notebooks} ^ {path.stem for path in twins})


def differences(notebook, twin):
    """The lines by which a notebook differs from its twin; JupyterLab's pairing wants none, blank lines
    included."""
    ours, theirs = twin.read_text(encoding="utf-8"), execute.as_twin(read(notebook))
    return list(difflib.unified_diff(ours.splitlines(), theirs.splitlines(), "twin", "notebook", lineterm=""))


def test_there_are_lessons():
    assert NOTEBOOKS and NOTEBOOKS[0].stem == "00_start_here"


def test_every_notebook_has_a_twin_and_every_twin_a_notebook():
    assert unpaired([Path("00_a.ipynb")], [Path("py/00_a.py"), Path("py/01_b.py")]) == ["01_b"]
    assert unpaired(NOTEBOOKS, TWINS) == []


@each_notebook
def test_twin_says_the_same(path):
    assert differences(path, path.parent / "py" / f"{path.stem}.py") == []


@pytest.mark.parametrize("change", ["source", "tags", "order", "blank line", None])
def test_a_difference_between_twins_is_seen(tmp_path, change):
    first, second = new_code_cell("1 + 1", metadata={"tags": ["nbval-skip"]}), new_markdown_cell("Text.\n\nMore.")
    twin = tmp_path / "a.py"
    twin.write_text(execute.as_twin(new_notebook(cells=[first, second])))
    metadata = {} if change == "tags" else first.metadata
    cells = [new_code_cell("1 + 2" if change == "source" else "1 + 1", metadata=metadata), second]
    twin.write_text(twin.read_text() + "\n" * (change == "blank line"))
    notebook = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=cells[::-1] if change == "order" else cells), notebook)
    assert bool(differences(notebook, twin)) == (change is not None)


# ---- what a stored notebook may hold  --------------------

RELATIVE_PICTURE = re.compile(r"""!\[[^\]]*\]\((?!https?:|data:)|<img[^>]*\ssrc=["']?(?!["']?(https?:|data:))""")


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


WIDE = 74  # characters that JupyterLab shows in one row: a window of 1024 pixels with its side bar open
SENTENCES = ("an even scope: ", "three heads: ")  # errors of the layer, in words: they may wrap, tables may not


def preformatted(output):
    """The lines that JupyterLab shows as they were printed."""
    data = output.get("data", {})
    shown = "" if {"text/html", "image/png"} & set(data) else data.get("text/plain", "")
    return (output.get("text", "") + shown).splitlines()


def untidy(notebook):
    """Complaints about outputs and metadata that make a notebook stale, noisy or broken elsewhere."""
    complaints = []
    if "widgets" in notebook.metadata:
        complaints.append("holds widget state")
    if [cell.execution_count for cell in code_cells(notebook)] != list(range(1, len(code_cells(notebook)) + 1)):
        complaints.append("was not run once from top to bottom")
    if not any(cell.outputs for cell in code_cells(notebook)):
        complaints.append("shows no output")
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        kinds = {output.get("name", output.output_type) for output in outputs}
        if cell.cell_type == "markdown" and RELATIVE_PICTURE.search(cell.source):
            complaints.append(f"{cell.id}: a picture by relative path, which Colab does not have")
        if not cell.source.strip():
            complaints.append(f"{cell.id}: an empty cell")
        if "execution" in cell.metadata:
            complaints.append(f"{cell.id}: timings")
        if any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in outputs):
            complaints.append(f"{cell.id}: a widget view without its state")
        if "stderr" in kinds:
            complaints.append(f"{cell.id}: writes to stderr")
        lines = [line for output in outputs for line in preformatted(output) if not line.startswith(SENTENCES)]
        if widest := max((line for line in lines if len(line) > WIDE), key=len, default=""):
            complaints.append(f"{cell.id}: wraps in a narrow window, {len(widest)} > {WIDE} characters: {widest}")
        if "error" in kinds and "raises-exception" not in tags(cell):
            complaints.append(f"{cell.id}: raises")
        if cell.cell_type == "code" and cell.source.rstrip().endswith(";"):
            complaints.append(f"{cell.id}: ends with a semicolon, which nbval does not honour")
    return complaints


def tidy_notebook():
    cells = [
        new_markdown_cell("![logo](https://example.org/a.png)", id="a"),
        new_code_cell("print(1)", execution_count=1, outputs=[new_output("stream", text="1\n")], id="b"),
        new_code_cell(
            "1 + 1", execution_count=2, outputs=[new_output("execute_result", {"text/plain": "2"})], id="c"
        ),
    ]
    return new_notebook(cells=cells)


def spoil_picture(notebook):
    notebook.cells[0].source = "![logo](figures/a.png)"


def spoil_html_picture(notebook):
    notebook.cells[0].source = '<img width="3" src="../figures/a.png">'


def spoil_widget_state(notebook):
    notebook.metadata["widgets"] = {}


def spoil_widget_view(notebook):
    notebook.cells[2].outputs[0].data["application/vnd.jupyter.widget-view+json"] = {"model_id": "1"}


def spoil_order(notebook):
    notebook.cells[2].execution_count = 7


def spoil_timing(notebook):
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2026"}


def spoil_stderr(notebook):
    notebook.cells[1].outputs[0]["name"] = "stderr"


def spoil_line(notebook):
    notebook.cells[1].outputs[0].text += 75 * "1" + "\n"


def spoil_result(notebook):
    notebook.cells[2].outputs[0].data["text/plain"] = 75 * "2"


def spoil_error(notebook):
    notebook.cells[1].outputs = [new_output("error", ename="E", evalue="e", traceback=[])]


def spoil_semicolon(notebook):
    notebook.cells[2].source += ";"


def spoil_text(notebook):
    notebook.cells[0].source = "\n"


def spoil_outputs(notebook):
    notebook.cells[1].outputs = notebook.cells[2].outputs = []


SPOILERS = [value for name, value in list(globals().items()) if name.startswith("spoil_")]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_untidiness_is_seen(spoil):
    notebook = tidy_notebook()
    assert untidy(notebook) == []
    spoil(notebook)
    assert len(untidy(notebook)) == 1


def test_what_may_be_wide_is_no_complaint():
    notebook = tidy_notebook()
    notebook.cells[1].outputs[0].text = f"{74 * '1'}\n{SENTENCES[0]}{75 * '1'}\n"
    notebook.cells[2].outputs[0].data |= {"text/plain": 75 * "2", "text/html": 75 * "2"}
    assert untidy(notebook) == []


@each_notebook
def test_notebook_is_tidy(path):
    assert untidy(read(path)) == []
    assert path.stat().st_size < execute.LARGEST


def dead_links(notebook, folder):
    """Relative links whose file is not there, and links to headings of other lessons that those do not have."""
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"(?<!!)\[[^\]]*\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)", text)
    return [
        target + anchor
        for target, anchor in links
        if not (folder / target).exists() or anchor and anchor[1:] not in headings(folder / target)
    ]


def headings(path):
    """The anchors that JupyterLab gives to a notebook's headings."""
    lines = [
        line for cell in read(path).cells if cell.cell_type == "markdown" for line in cell.source.splitlines()
    ]
    return {re.sub(r"^#+ ", "", line).strip().replace(" ", "-") for line in lines if line.startswith("#")}


def test_dead_links_are_seen(tmp_path):
    nbformat.write(new_notebook(cells=[new_markdown_cell("# The lambda layer")]), tmp_path / "04_x.ipynb")
    text = "[a](04_x.ipynb) [b](05_y.ipynb) [c](04_x.ipynb#The-lambda-layer) [d](04_x.ipynb#Elsewhere) [e](https://a.b)"
    assert dead_links(new_notebook(cells=[new_markdown_cell(text)]), tmp_path) == [
        "05_y.ipynb",
        "04_x.ipynb#Elsewhere",
    ]


@each_notebook
def test_links_lead_somewhere(path):
    assert dead_links(read(path), path.parent) == []


@each_notebook
def test_each_card_links_the_glossary(path):
    card = next(cell.source for cell in read(path).cells if "> **You need**" in cell.source)
    assert "[glossary](glossary.md)" in card


def test_the_glossary_leads_to_lessons():
    text = (ROOT / "notebooks" / "glossary.md").read_text(encoding="utf-8")
    assert dead_links(new_notebook(cells=[new_markdown_cell(text)]), ROOT / "notebooks") == []
    words = [line.split("|")[1].strip() for line in text.splitlines() if line.count("|") == 4]
    assert len(words) > 30 and words.count("word") == 2
    field = words[words.index("word", words.index("word") + 1) + 2 :]
    assert field == sorted(field, key=str.lower), "in the order of the alphabet"


# ---- how much of a lesson is tested  --------------------


def compared_share(notebook):
    """Of the cells that print or return something, the share whose stored output nbval compares."""
    speaking = [
        cell
        for cell in code_cells(notebook)
        if any(output.output_type == "execute_result" or output.get("name") == "stdout" for output in cell.outputs)
    ]
    compared = [
        cell
        for cell in speaking
        if not {"nbval-ignore-output", "nbval-skip"} & set(tags(cell))
        and not re.search(r"NBVAL_(IGNORE_OUTPUT|SKIP)", cell.source)
    ]
    return len(compared) / len(speaking) if speaking else 0.0


def count_asserts(notebook):
    """The assert statements and assert_close-like calls that a reader runs."""
    nodes = [node for cell in code_cells(notebook) for node in ast.walk(parse(cell.source))]
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls]
    return sum(isinstance(node, ast.Assert) for node in nodes) + sum(name.startswith("assert_") for name in names)


def parse(source):
    """A cell as a syntax tree, line magics left out."""
    return ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!"))))


def test_compared_share_and_asserts_are_counted():
    notebook = tidy_notebook()
    assert compared_share(notebook) == 1 and count_asserts(notebook) == 0
    notebook.cells[1].metadata["tags"] = ["nbval-ignore-output"]
    assert compared_share(notebook) == 0.5
    notebook.cells[2].source = "# NBVAL_SKIP\n1 + 1"
    assert compared_share(notebook) == 0
    notebook.cells[2].source = "%time\nassert 1\ntorch.testing.assert_close(a, b)\nprint('assert')"
    assert count_asserts(notebook) == 2


@each_notebook
def test_outputs_are_compared(path):
    assert compared_share(read(path)) >= 0.8


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_lesson_asserts_properties(path):
    assert count_asserts(read(path)) >= 5


# ---- the repository's name, badges, set-up cells  --------------------


def misnamed(path, name):
    """Complaints about a lesson's badge and set-up cell, given the repository's name."""
    notebook = read(path)
    badges = [
        found
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for found in sync.BADGE.findall(cell.source)
    ]
    set_ups = [cell for cell in notebook.cells if "setup" in tags(cell)]
    complaints = []
    if badges != [sync.badge(name, path.stem)]:
        complaints.append("needs one Colab badge, as `tools/sync.py --head` prints it")
    if [cell.source for cell in set_ups] != [sync.set_up_cell(name)]:
        complaints.append("needs one set-up cell, as `tools/sync.py --head` prints it")
    if any("nbval-ignore-output" not in tags(cell) for cell in set_ups) or code_cells(notebook)[:1] != set_ups[:1]:
        complaints.append("the set-up cell comes before other code and its output is not compared")
    return complaints


@pytest.fixture
def checkout(tmp_path):
    """A small copy of the project with one lesson."""
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    (tmp_path / "README.md").write_text("see https://github.com/old/name/issues, not cold/name2")
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/old/name"\n')
    twin = tmp_path / "notebooks" / "py" / "04_x.py"
    twin.write_text(f"# %% [markdown]\n# # Lesson\n#\n{sync.head('old/name', '04_x')}\n# %%\nprint(1)\n")
    jupytext.write(jupytext.read(twin), tmp_path / "notebooks" / "04_x.ipynb")
    return tmp_path


def test_sync_renames_everything(checkout):
    notebook, twin = checkout / "notebooks" / "04_x.ipynb", checkout / "notebooks" / "py" / "04_x.py"
    assert misnamed(notebook, "old/name") == [] and len(misnamed(notebook, "new/repo")) == 2
    sync.sync(checkout, "new/repo")
    assert sync.repository(checkout) == "new/repo"
    assert misnamed(notebook, "new/repo") == [] and differences(notebook, twin) == []
    assert "old/name" not in twin.read_text() + notebook.read_text()
    assert (checkout / "README.md").read_text() == "see https://github.com/new/repo/issues, not cold/name2"


def test_sync_mends_badge_and_set_up(checkout):
    twin = checkout / "notebooks" / "py" / "04_x.py"
    text = twin.read_text()
    sync.sync(checkout, "old/name")
    assert twin.read_text() == text
    twin.write_text(text.replace("is ready", "is odd").replace("04_x.ipynb", "05_y.ipynb"))
    sync.sync(checkout, "old/name")
    assert twin.read_text() == text


def test_sync_refuses_a_malformed_name(checkout):
    with pytest.raises(ValueError, match="REPO='no-slash'"):
        sync.sync(checkout, "no-slash")


@each_notebook
def test_badge_and_set_up_follow_pyproject(path):
    assert misnamed(path, sync.repository()) == []


def strange_links(text, name):
    """Repositories other than `name` that badges and installations in `text` name, and linked lessons that do
    not exist."""
    owners = re.findall(r"(?:research\.google\.com/github/|git\+https://github\.com/)([\w.-]+/[\w-]+)", text)
    lessons = re.findall(r"notebooks/(\w+)\.ipynb", text)
    return sorted(
        {owner for owner in owners if owner != name} | {lesson for lesson in lessons if lesson not in stems()}
    )


def stems():
    return {path.stem for path in NOTEBOOKS}


def test_strange_links_are_seen():
    text = "https://colab.research.google.com/github/else/where/blob/main/notebooks/77_nowhere.ipynb"
    assert strange_links(text, "a/b") == ["77_nowhere", "else/where"]


def test_names_agree_with_pyproject():
    name = sync.repository()
    assert PROJECT["project"]["urls"]["Repository"] == f"https://github.com/{name}"
    assert strange_links((ROOT / "README.md").read_text(encoding="utf-8"), name) == []
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == f"https://github.com/{name}"
    assert citation["version"] == lambdalib.__version__
    assert PROJECT["project"]["name"] in sync.set_up_cell(name)


def test_set_up_cell_refuses_another_lambdalib(tmp_path):
    (tmp_path / "lambdalib.py").write_text("__version__ = '1'")
    result = subprocess.run(
        [sys.executable, "-c", sync.set_up_cell("a/b")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1 and "pip uninstall -y lambdalib" in result.stderr


def test_set_up_cell_accepts_ours():
    result = subprocess.run(
        [sys.executable, "-c", sync.set_up_cell("a/b")], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0 and "is ready." in result.stdout, result.stderr


# ---- dependencies  --------------------

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # pip's name -> conda-forge's


def pinned(requirements):
    """The requirements that say more than a lower bound."""
    return [text for text in requirements if {spec.operator for spec in Requirement(text).specifier} != {">="}]


def missing_in_conda(requirements, environment_file):
    """The requirements of pyproject.toml that environment.yml does not repeat with the same bound."""
    conda = [entry.replace(" ", "") for entry in environment_file["dependencies"] if isinstance(entry, str)]
    pip = [entry for part in environment_file["dependencies"] if isinstance(part, dict) for entry in part["pip"]]
    wanted = [Requirement(text) for text in requirements]
    return [
        str(want)
        for want in wanted
        if f"{CONDA_NAMES.get(want.name, want.name).lower()}{want.specifier}" not in conda + pip
    ]


def all_requirements():
    return PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["dev"]


def test_dependencies_have_lower_bounds_only():
    assert pinned(["a>=1", "b==1", "c", "d>=1,<2"]) == ["b==1", "c", "d>=1,<2"]
    assert pinned(all_requirements()) == []


def test_conda_environment_agrees_with_pyproject():
    small = {"dependencies": ["python >=3.10", "pytorch >=2.6", {"pip": ["b>=1"]}]}
    assert missing_in_conda(["torch>=2.6", "b>=1"], small) == []
    assert missing_in_conda(["torch>=2.7", "c>=1"], small) == ["torch>=2.7", "c>=1"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert missing_in_conda(all_requirements(), conda) == []
    assert f"python {PROJECT['project']['requires-python']}" in conda["dependencies"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]


def test_every_import_of_the_library_is_declared():
    used = {name for path in (ROOT / "lambdalib").rglob("*.py") for name in imported(path)}
    assert {"torch", "tqdm", "ipywidgets"} <= used
    declared = {Requirement(text).name.lower() for text in PROJECT["project"]["dependencies"]}
    assert used - set(sys.stdlib_module_names) - declared <= {"lambdalib", "pil", "ipython"}, (
        "IPython comes with ipywidgets"
    )


def imported(path):
    """The top-level packages that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0].lower() for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0].lower()


# ---- one name, one thing ----


def defined_names(source):
    """The public names that a module defines at its top level."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names = [node.name]
        else:  # X = 1 and X, Y = 1, 2 have targets, X: int = 1 has a target
            targets = getattr(node, "targets", [node.target] if hasattr(node, "target") else [])
            leaves = [leaf for target in targets for leaf in ast.walk(target)]
            names = [leaf.id for leaf in leaves if isinstance(leaf, ast.Name)]
        yield from (name for name in names if not name.startswith("_"))


def shared_names(sources):
    """The names that more than one module defines, each with its modules; sources: module -> its text."""
    homes = {}
    for module, source in sources.items():
        for name in defined_names(source):
            homes.setdefault(name, set()).add(module)
    return {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}


def test_a_shared_name_is_seen():
    sources = {
        "a": "from b import f\ndef g(): pass\nX, Y = 1, 2\n_Z = 1",
        "b": "def f(): pass\nclass h: pass\nY: list = [i for i in ()]\n_Z = 2",
        "c": "h = g = [i for i in ()]",
    }
    assert shared_names(sources) == {"Y": ["a", "b"], "g": ["a", "c"], "h": ["b", "c"]}


def test_one_public_name_means_one_thing():
    library = ROOT / "lambdalib"
    sources = {str(path.relative_to(library)): path.read_text(encoding="utf-8") for path in library.rglob("*.py")}
    assert len(sources) > 20 and shared_names(sources) == {}


# ---- the tree  --------------------

FOREIGN = re.compile(r"(?<![\w.:/])/(?:work|root|home|Users)/\w|inde[x]-url|INDEX_UR[L]|find-link[s]")
TEXT = {".py", ".md", ".toml", ".yml", ".cff", ".cfg", ".ipynb", ".json", ".csv", ""}


def foreign(text):
    """Paths of one machine and package indexes, which mean nothing on another."""
    return FOREIGN.findall(re.sub(r'"image/png": "[^"]*"', "", text))


def project_files():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_nothing_of_one_machine_stands_in_the_tree():
    assert (
        foreign("see /home" + "/me/x")
        and foreign("pip --inde" + "x-url=")
        and not foreign("https://a.b/work/c ../home/x")
    )
    files = [path for path in project_files() if path.suffix in TEXT and path.is_file()]
    assert ROOT / "pyproject.toml" in files
    assert [path.name for path in files if foreign(path.read_text(encoding="utf-8"))] == []


def test_both_commands_are_in_the_readme_and_ci_calls_one():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"lab", "test"} <= set(re.findall(r"\bmake ([a-z]+)\b", readme)) <= set(targets)
    assert [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if "make" in line] == [
        "exec make test"
    ]


# ---- the tools  --------------------


@pytest.fixture
def lesson(tmp_path):
    """Writes a twin with the given cells and returns its path."""

    def write(*cells):
        twin = tmp_path / "py" / "09_x.py"
        twin.parent.mkdir(exist_ok=True)
        twin.write_text("# %% [markdown]\n# # Title\n\n" + "\n\n".join(cells) + "\n")
        return twin

    return write


def test_execute_stores_a_tidy_notebook(lesson):
    slider = "from ipywidgets import IntSlider, interact\n_ = interact(lambda x: x, x=IntSlider(3))"
    twin = lesson(
        "# %%\nprint('sum', 1 + 1)",
        f'# %% tags=["nbval-ignore-output"]\n{slider}',
        '# %% tags=["raises-exception"]\n1 / 0',
    )
    notebook = execute.run(twin)
    stored = read(notebook)
    assert untidy(stored) == [] and differences(notebook, twin) == [] and execute.remarks(notebook) == []
    assert [cell.id for cell in stored.cells] == ["09-000", "09-001", "09-002", "09-003"]
    assert stored.cells[1].outputs[0].text == "sum 2\n"
    assert stored.cells[2].outputs[-1].data["text/plain"] == "Run this cell to get its controls."


def test_execute_keeps_the_old_notebook_when_a_cell_fails(lesson, capsys):
    twin = lesson("# %%\nanswer = undefined_name")
    target = twin.parent.parent / "09_x.ipynb"
    target.write_text("old")
    assert execute.main([str(twin)]) == 1
    assert target.read_text() == "old" and "answer = undefined_name" in capsys.readouterr().err


def test_execute_names_the_lessons_when_it_finds_none(capsys):
    assert execute.main(["77_nowhere"]) == 2
    assert "77_nowhere" in capsys.readouterr().err


def test_settle_unsets_what_disturbs(monkeypatch):
    for name in ("MPLBACKEND", "TQDM_DISABLE", "IPYTHONDIR", "PYTHONPATH"):
        monkeypatch.setenv(name, "agg")
    environment.settle()
    assert (
        "MPLBACKEND" not in os.environ and "TQDM_DISABLE" not in os.environ and os.environ["IPYTHONDIR"] != "agg"
    )
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "agg"]


def test_plain_nbval_gets_our_settings(pytestconfig, monkeypatch):
    """What conftest.py sets, from whatever folder pytest was called in."""
    configure = pytestconfig.pluginmanager.get_plugin(str(ROOT / "conftest.py")).pytest_configure
    options = SimpleNamespace(
        nbval=True,
        nbval_sanitize_with=None,
        nbval_kernel_name=None,
        nbval_current_env=False,
        nbval_cell_timeout=2000,
        numprocesses=2,
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "0")  # so that it is put back, whatever it was
    monkeypatch.delenv("OMP_NUM_THREADS")
    configure(SimpleNamespace(option=options))
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert Path(options.nbval_sanitize_with).is_file() and options.nbval_current_env
    assert options.nbval_cell_timeout == 600


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_lists_the_targets():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "make lab" in listed and "make test" in listed


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_test_avx2_imitates_the_other_kind_of_cpu():
    imitated = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    plain = {name: value for name, value in os.environ.items() if name not in imitated}
    for target, expected in (("test", {}), ("test-avx2", imitated)):
        command = ["make", "-o", ".venv/ready", target, "PY=env #"]  # instead of pytest; nothing is set up
        told = dict(
            line.split("=", 1)
            for line in subprocess.run(
                command, cwd=ROOT, env=plain, capture_output=True, text=True
            ).stdout.splitlines()
            if "=" in line
        )
        assert "PATH" in told and {name: told[name] for name in imitated if name in told} == expected


# ---- the map of the course  --------------------


def card(path) -> tuple[str, str, str, int]:
    """What a lesson says of itself: number, title, question, and the minutes of its card."""
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    number, title = re.search(r"^# (\w+) · (.+)$", text, re.MULTILINE).groups()
    question = re.search(r"^## (.+)$", text, re.MULTILINE)[1].replace("*", "")
    time = re.search(r"\*\*Time\*\* (.+)", text)[1]
    minutes = re.findall(r"(\d+)(?= minutes to read| for the exercises)", time)
    return number, title, question[0].lower() + question[1:], sum(map(int, minutes))


def test_both_maps_of_the_course_say_what_the_lessons_say():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = "\n".join(cell.source for cell in read(NOTEBOOKS[0]).cells)
    for path in NOTEBOOKS:
        number, title, question, minutes = card(path)
        side = "*side path:* " if number.endswith("b") else ""
        assert (
            minutes and f"| [{number} {title}](notebooks/{path.name}) | {side}{question} | {minutes} |" in readme
        )
        side = ", a side path" if number.endswith("b") else ""
        assert number == "00" or f"| [{number} {title}]({path.name}){side} | {question} |" in first
    assert readme.count("](notebooks/") >= len(NOTEBOOKS) > 10
