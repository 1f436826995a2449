"""Notebooks for a class: none of the solutions in one set, all of them in the other."""

import subprocess
import sys

import nbformat
import pytest
import student


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teach")
    written = student.write(folder)
    lessons = sorted(path.name for path in student.LESSONS.glob("*.ipynb"))
    assert [path.name for path in written] == lessons * 2 and len(lessons) > 9
    return folder


def cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook.cells


def test_students_get_everything_but_the_solutions(sets):
    for path in student.LESSONS.glob("*.ipynb"):
        lesson, given = cells(path), cells(sets / "student" / path.name)
        code = [cell.source for cell in lesson if cell.cell_type == "code"]
        assert [cell.source for cell in given if cell.cell_type == "code"] == code
        text = "\n".join(cell.source for cell in given if cell.cell_type == "markdown")
        assert "<summary>Solution" not in text and text.count("<summary>Hint") == sum(
            cell.source.count("<summary>Hint") for cell in lesson
        )
        missing = [
            cell.source
            for cell in lesson
            if cell.cell_type == "markdown" and "<summary>Solution" not in cell.source and cell.source not in text
        ]
        assert missing == []


def test_the_other_set_has_every_solution_below_its_exercise(sets):
    for path in student.LESSONS.glob("*.ipynb"):
        solutions = sum(cell.source.count("<summary>Solution") for cell in cells(path))
        title, *answers = cells(sets / "solutions" / path.name)
        assert title.source.startswith("# ") and len(answers) == solutions >= 3, path.name
        for answer in answers:
            assert answer.cell_type == "markdown" and answer.source.startswith("**"), answer.source[:80]
            assert (
                "**Solution.**" in answer.source and "details>" not in answer.source.partition("**Solution.**")[2]
            )


def test_a_cell_that_is_only_a_solution_goes():
    new = nbformat.v4.new_markdown_cell
    text = "<details><summary>Solution</summary>\n\n42\n\n</details>"
    notebook = nbformat.v4.new_notebook(
        cells=[new("# T"), new("**1 ★ Predict.** What?"), new(text), new(f"a\n\n{text}\n\nb")]
    )
    assert [cell.source for cell in student.without_solutions(notebook).cells] == [
        "# T",
        "**1 ★ Predict.** What?",
        "a\n\nb",
    ]


def test_an_unknown_word_writes_nothing():
    done = subprocess.run([sys.executable, student.__file__, "--solution"], capture_output=True, text=True)
    assert done.returncode == 2 and "--solution" in done.stderr and not done.stdout
