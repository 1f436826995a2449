"""No lesson gives an answer away: a reveal follows each guess, and nothing visible up to it says the answer.

CONTRIBUTING.md states the rule under "Guesses". Each part of it is a function that returns complaints, and each is
shown bad notebooks first.
"""

import ast
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lambdalib.course.questions import QUESTIONS
from lambdalib.course.questions.question import Question, choice_of, matches

ROOT = Path(__file__).resolve().parents[1]

PROTECTED = [
    "00_start_here",
    "01_self_attention",
    "02_content_lambdas",
    "03_position_lambdas",
    "04_lambda_layer",
    "04b_sequences",
    "05_cost",
    "05b_fast_orders",
    "06_lambda_resnet",
    "07_train_on_cifar10",
    "07b_train_in_earnest",
    "08_look_inside",
    "09_what_the_lambda_is_worth",
    "09b_how_sure",
    "10_beyond",
]  # the lessons that keep the rule, by their stem, such as "03_position_lambdas"

TITLE, FOLDED = "# @title Reveal", {"cellView": "form", "jupyter": {"source_hidden": True, "outputs_hidden": True}}
TOKEN = re.compile(r"[-−]?\d+(?:[,_]\d{3})*(?:\.\d+)?|[^\W\d]\w*")


class Guess(NamedTuple):
    """A code cell that sets names to None and checks them: its place, the names, the questions it answers."""

    place: int
    names: set[str]
    questions: list[str]


def set_to_none(tree):
    """The names to which a cell gives None, also in `a, b = None, None`."""
    names = set()
    for node in tree.body:
        for target in node.targets if isinstance(node, ast.Assign) else []:
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts) if several else [(target, node.value)]
            names |= {name.id for name, value in pairs if isinstance(value, ast.Constant) and value.value is None}
    return names


def called(tree, prefix):
    """The calls of functions whose name begins so, as in `figures.show`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).startswith(prefix)]


def parse(cell):
    return ast.parse("\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!"))))


def guesses(notebook):
    found = []
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and re.search(r"^## Exercises", cell.source, re.MULTILINE):
            break
        if cell.cell_type == "code" and (names := set_to_none(tree := parse(cell))) and called(tree, "check_"):
            asked = [call.args[0].value for call in called(tree, "check_answer")]
            found.append(Guess(place, names, asked))
    return found


# ---- what a reveal is  --------------------


def unlike_a_reveal(cell, names):
    """Complaints about the code cell that follows a guess."""
    complaints = []
    if cell.source.splitlines()[0] != TITLE:
        complaints.append(f"must begin with {TITLE!r}")
    if {key: cell.metadata.get(key) for key in FOLDED} != FOLDED:
        complaints.append(f"must be folded by its metadata {FOLDED}")
    tree = parse(cell)
    gates = [node for node in tree.body if isinstance(node, ast.If) and called(node.test, "revealed")]
    read = {node.id for gate in gates for node in ast.walk(gate.test) if isinstance(node, ast.Name)}
    if not names <= read:
        complaints.append(f"must ask revealed(...) about {', '.join(sorted(names))}")
    shows = ("print", "display", "figures.show")
    inside = [call for gate in gates for line in gate.body for call in called(line, shows)]
    if len(called(tree, shows)) > len(inside):
        complaints.append("prints or draws outside of `if revealed(...):`")
    if [output.get("text") for output in cell.outputs] != ["Guess first.\n"]:
        complaints.append('stores another output than "Guess first."')
    return complaints


# ---- what says an answer  --------------------


def parts(answer):
    """The numbers and words of an answer."""
    if isinstance(answer, (set, frozenset)):
        return sorted(answer)
    return list(answer) if isinstance(answer, (tuple, list)) else [answer]


def digits(number):
    """The digits of a number or of its text, without sign, point, leading zeros and zeros that end a fraction."""
    text = number if isinstance(number, str) else f"{abs(number):.12g}"
    text = text.rstrip("0") if "." in text else text
    return re.sub(r"\D", "", text).lstrip("0")


def searchable(part):
    return len(part) >= 2 if isinstance(part, str) else len(digits(part)) >= 3


def short(question):
    """Whether a part of the answer is too short to be searched, so that a reader has to."""
    return not all(map(searchable, parts(question.answer)))


def number(token):
    """The number that a token is, None for a word."""
    if token.lstrip("-−")[0].isdigit():
        return float(re.sub("[,_]", "", token).replace("−", "-"))
    return None


def says(token, part, tolerance):
    """Whether a word or a number of a text is this part of an answer, sign included."""
    if isinstance(part, str):
        return token.lower() == part
    return number(token) is not None and matches(number(token), part, tolerance)


def says_alone(token, part, tolerance):
    """Whether a number of three or more digits is this part, or its first digits: sign and point do not matter."""
    if number(token) is None or len(shown := digits(token)) < 3:
        return False
    rounded = digits(f"{abs(part):.{len(shown) - 1}e}".split("e")[0])
    return (
        len(shown) <= len(digits(part)) and (digits(part).startswith(shown) or rounded == shown)
        or matches(abs(number(token)), abs(part), tolerance)
    )  # fmt: skip


def choices(question):
    """The words that a question offers."""
    known = [*parts(question.answer), *(word for mistake in question.mistakes for word in parts(mistake))]
    try:
        offered = re.findall(r'"(\w+)"', question.otherwise("?"))
    except Exception:  # noqa: BLE001
        offered = []
    return {word for word in [*known, *offered] if isinstance(word, str)}


def leaks(text, question):
    """The parts of the answer that a text says; a word of a choice, if it stands there oftener than another."""
    spans = list(TOKEN.finditer(text))
    tokens, answer = [span.group() for span in spans], parts(question.answer)
    words, found = Counter(token.lower() for token in tokens), []
    for part in filter(searchable, answer):
        if isinstance(part, str):
            others = choices(question) - {part}
            if words[part] > min((words[other] for other in others), default=0):
                found.append(part)
        else:
            found += [token for token in tokens if says_alone(token, part, question.tolerance)]
    if len(answer) > 2 and all(isinstance(part, (int, float)) for part in answer):  # such as a colour
        for start in range(len(tokens) - len(answer) + 1):
            run = spans[start : start + len(answer)]
            close = all(re.fullmatch(r"\W{,4}", text[a.end() : b.start()]) for a, b in zip(run, run[1:]))
            if close and all(says(a.group(), part, question.tolerance) for a, part in zip(run, answer)):
                found.append(text[run[0].start() : run[-1].end()])
    return found


def visible(cell):
    """What a reader of the stored notebook sees of a cell, figures aside, its folded source included."""
    texts = [cell.source]
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        texts += [output.get("text", ""), *output.get("traceback", [])]
        if "image/png" not in data:
            texts += [data.get("text/plain", ""), re.sub("<[^>]*>", " ", data.get("text/html", ""))]
    return "\n".join(texts)


def unprotected(notebook, questions=QUESTIONS):
    """Complaints about every guess before the exercises."""
    complaints = []
    for place, names, asked in guesses(notebook):
        after = [
            index for index in range(place + 1, len(notebook.cells)) if notebook.cells[index].cell_type == "code"
        ]
        where = ", ".join(asked) or f"cell {place}"
        if not after:
            complaints.append(f"{where}: no reveal")
            continue
        complaints += [f"{where}: {words}" for words in unlike_a_reveal(notebook.cells[after[0]], names)]
        for text in map(visible, notebook.cells[place : after[0] + 1]):
            for number in asked:
                complaints += [
                    f"{number}: {said!r} gives the answer away" for said in leaks(text, questions[number])
                ]
    return complaints


# ---- what a reader has to sign  --------------------


def signed(page):
    """The questions that the table SIGNED of CONTRIBUTING.md names; every row must be whole."""
    section = re.split(r"^#+ ", page.partition("### SIGNED\n")[2], flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    found = [re.fullmatch(r"\| (\w+\.\w+) \| read by a reviewer \| \d{4}-\d\d-\d\d \|", row) for row in rows]
    if None in found or len({row[1] for row in found}) < len(found):
        raise ValueError(f"rows of SIGNED must be '| question | read by a reviewer | date |', each once: {rows}")
    return {row[1] for row in found}


def to_sign(notebook, questions=QUESTIONS):
    return {number for guess in guesses(notebook) for number in guess.questions if short(questions[number])}


# ---- the rule is tried on notebooks of its own  --------------------

ASKED = {
    "x.1": Question(1225, "", {}),
    "x.2": Question("train", "", {"eval": ""}, choice_of("train", "eval", "both")),
    "x.3": Question((8, -8, 0), "", {}),
    "x.4": Question((0.5, 25 / 28), "", {}, tolerance=2e-3),
}


def reveal(names, source):
    gate = f"{TITLE}\nif revealed({names}):\n    {source}"
    output = new_output("stream", text="Guess first.\n")
    return new_code_cell(gate, metadata=FOLDED, outputs=[output])


def lesson():
    """A lesson with four guesses that are protected, and one exercise, which needs no reveal."""
    open_ = new_output(
        "execute_result", {"text/plain": "· no answer yet", "text/html": '<p style="a: 1225">·</p>'}
    )
    cells = [
        new_markdown_cell(
            "Is it 1225? Is it train, or (8, -8, 0)?"
        ),  # before the guess: the question may say much
        new_code_cell('guess = None  # a number\ncheck_answer("x.1", guess)', outputs=[open_]),
        reveal("guess", "print(side**2)"),
        new_markdown_cell("It was 1225."),
        new_code_cell('guess = None  # "train", "eval" or "both"\ncheck_answer("x.2", guess)', outputs=[open_]),
        new_markdown_cell("Think of the batch."),
        reveal("guess", "print(mode)"),
        new_code_cell('guess = None\ncheck_answer("x.3", guess)'),
        reveal("guess", "print(colour)"),
        new_code_cell('a, b = None, None\nprint(check_answer("x.4", (a, b)))'),
        reveal("(a, b)", "print(weights)"),
        new_code_cell("print(1225)"),
        new_markdown_cell("Text.\n## Exercises"),
        new_code_cell('guess = None\ncheck_answer("x.1", guess)'),
    ]
    cells[10].source += "\n    figures.show(figures.bars(weights))"
    return new_notebook(cells=cells)


def replace(place, old, new):
    def change(notebook):
        assert old in notebook.cells[place].source
        notebook.cells[place].source = notebook.cells[place].source.replace(old, new)

    return change


def fold(key):
    return lambda notebook: notebook.cells[2].metadata.pop(key)


def show_source(notebook):
    notebook.cells[2].metadata = {**FOLDED, "jupyter": {"outputs_hidden": True}}


def store(place, output):
    return lambda notebook: notebook.cells[place].outputs.append(output)


def no_output(notebook):
    notebook.cells[2].outputs = []


SPOILED = {
    "must begin with": replace(2, "# @title Reveal", "# Reveal"),
    "must be folded": fold("cellView"),
    "folded by its metadata": fold("jupyter"),
    "source_hidden": show_source,
    "must ask revealed(...) about guess": replace(2, "revealed(guess)", "revealed(other)"),
    "must ask revealed(...) about a, b": replace(10, "(a, b)", "a"),
    "prints or draws outside": replace(2, "if revealed", "print(side)\nif revealed"),
    "x.1: prints or draws": replace(2, "print(side**2)", "print(side**2)\nelse:\n    print(side)"),
    "draws outside": replace(10, "    figures.show", "figures.show"),
    "another output": store(2, new_output("stream", text="35\n")),
    "stores another": store(10, new_output("execute_result", {"text/plain": "(a, b)"})),
    "than \"Guess first.\"": no_output,
    "x.4: stores another": store(10, new_output("display_data", {"image/png": "", "text/plain": "bars"})),
    "x.1: '1225'": replace(1, "# a number", "# below 1225?"),
    "'1,225'": replace(2, "side**2", "'1,225'"),
    "'-12.25'": replace(2, "side**2", "-12.25"),
    "'122'": replace(2, "side**2", "122"),
    "x.1: '1225.0'": store(1, new_output("stream", text="1225.0\n")),
    "'1225' gives": store(1, new_output("execute_result", {"text/html": "<b>1225</b>"})),
    "x.1: '1_225'": store(1, new_output("error", ename="E", evalue="e", traceback=["1_225"])),
    "x.2: 'train'": replace(5, "Think", "Train"),
    "'train' gives": replace(4, '"eval" or "both"', "or another"),
    "x.2: 'train' gives": replace(4, "guess = None", "guess = None  # train?"),
    "x.3: '8, -8, 0'": replace(8, "colour", "(8, -8, 0)"),
    "'8.0 −8.0  0.00'": replace(8, "colour", "'8.0 −8.0  0.00'"),
    "x.4: '0.893'": replace(10, "weights", "0.893"),
    "x.4: '89.2'": replace(10, "weights", "89.2"),
}  # fmt: skip


def test_a_protected_lesson_has_its_guesses_found():
    assert [(guess.place, guess.names, guess.questions) for guess in guesses(lesson())] == [
        (1, {"guess"}, ["x.1"]),
        (4, {"guess"}, ["x.2"]),
        (7, {"guess"}, ["x.3"]),
        (9, {"a", "b"}, ["x.4"]),
    ]
    assert unprotected(lesson(), ASKED) == []


@pytest.mark.parametrize("words", SPOILED)
def test_an_unprotected_guess_is_seen(words):
    notebook = lesson()
    SPOILED[words](notebook)
    complaints = unprotected(notebook, ASKED)
    assert any(words in complaint for complaint in complaints), complaints


def test_a_guess_without_a_reveal_is_seen():
    notebook = lesson()
    del notebook.cells[2:]
    assert unprotected(notebook, ASKED) == ["x.1: no reveal"]
    notebook = lesson()
    notebook.cells[2].source = "print(1 + 1)"
    assert len(unprotected(notebook, ASKED)) == 3


@pytest.mark.parametrize("text", ["8, 8, 0", "12", "12251", "x_1225", "trained", "0.5", "8 - 8 + 10", "25 / 28"])
def test_what_only_looks_like_an_answer_is_none(text):
    assert [leaks(text, question) for question in ASKED.values()] == [[]] * 4


def test_short_answers_are_for_a_reader_to_sign():
    assert to_sign(lesson(), ASKED) == {"x.3", "x.4"}
    assert all(short(Question(answer, "", {})) for answer in (12, 0.25, 10.0, "b", (1225, 8), frozenset({1, 123})))
    assert not any(short(Question(answer, "", {})) for answer in (123, -0.125, "c5", (101, 149), 1 / 3))


def test_the_table_is_read():
    row = "| 03.1 | read by a reviewer | 2026-11-30 |\n"
    page = f"# A\n### SIGNED\nText.\n\n| q | r | d |\n|---|---|---|\n{row}\n## B\n| 04.1 |\n"
    assert signed(page) == {"03.1"}
    for wrong in (page.replace("2026-11-30", "soon"), page.replace(row, row + row)):
        with pytest.raises(ValueError, match="each once"):
            signed(wrong)


# ---- the lessons  --------------------


def read(stem):
    return nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)


def test_protected_lessons_protect_every_guess():
    for stem in PROTECTED:
        assert guesses(read(stem)), f"{stem} has no guess"
        assert unprotected(read(stem)) == [], stem


def test_the_signed_questions_are_those_that_cannot_be_searched():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "### SIGNED\n" in page
    assert signed(page) == set().union(*(to_sign(read(stem)) for stem in PROTECTED))
