"""`make lab` opens copies of the lessons that are the reader's own."""

import ast
import re

import lab
import nbformat


def test_lab_opens_the_first_lesson():
    plain = lab.arguments([], root_user=False, screen=True)
    assert f"--LabApp.default_url=/lab/tree/my/{lab.FIRST_LESSON}" in plain
    assert (lab.LESSONS / lab.FIRST_LESSON).is_file() and lab.MINE == lab.ROOT / "my"
    assert "--allow-root" not in plain and "--no-browser" not in plain
    assert lab.arguments(["--port=9"], root_user=True, screen=False)[-3:] == [
        "--allow-root",
        "--no-browser",
        "--port=9",
    ]


def test_git_ignores_the_copies():
    assert "/my/" in (lab.ROOT / ".gitignore").read_text().splitlines()


def test_copies_are_complete_and_without_what_only_colab_needs(tmp_path):
    copied = lab.own_copies(tmp_path)
    names = {path.name for path in lab.LESSONS.glob("*.ipynb")} | {path.name for path in lab.LESSONS.glob("*.md")}
    assert {path.name for path in copied} == {path.name for path in tmp_path.iterdir()} == names
    for path in tmp_path.glob("*.ipynb"):
        copy = nbformat.read(path, as_version=4)
        lesson = nbformat.read(lab.LESSONS / path.name, as_version=4)
        nbformat.validate(copy)
        assert copy.cells[0].source == lesson.cells[0].source.partition("\n")[0]
        assert copy.cells[1:] == [
            cell for cell in lesson.cells[1:] if "setup" not in cell.metadata.get("tags", [])
        ]
        assert len(copy.cells) == len(lesson.cells) - 1
        assert "colab.research" not in path.read_text(encoding="utf-8")


def test_copies_need_no_name_that_only_the_set_up_cell_has(tmp_path):
    lessons = [path for path in lab.own_copies(tmp_path) if path.suffix == ".ipynb"]
    assert len(lessons) > 9
    for path in lessons:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        nodes = [node for source in code for node in ast.walk(ast.parse(source))]
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        imported = {
            (name.asname or name.name).partition(".")[0]
            for node in nodes
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in node.names
        }
        assert used & {"importlib", "lambdalib", "subprocess", "sys"} <= imported, path.name


def test_what_a_reader_wrote_stays(tmp_path):
    lab.own_copies(tmp_path)
    mine = tmp_path / lab.FIRST_LESSON
    mine.write_text("mine")
    (tmp_path / "01_self_attention.ipynb").unlink()
    assert [path.name for path in lab.own_copies(tmp_path)] == ["01_self_attention.ipynb"]
    assert mine.read_text() == "mine"


def test_fresh_copies_keep_the_old_ones(tmp_path):
    count = len(lab.own_copies(tmp_path))
    (tmp_path / lab.FIRST_LESSON).write_text("mine")
    assert len(lab.own_copies(tmp_path, fresh=True)) == count
    (kept,) = (tmp_path / "old").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d", kept.name) and len(list(kept.iterdir())) == count
    assert (kept / lab.FIRST_LESSON).read_text() == "mine"
    assert (tmp_path / lab.FIRST_LESSON).read_text() != "mine"
