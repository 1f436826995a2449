"""The lessons' code is the library's code, every library symbol names its lesson, and every printed solution
passes its check."""

import ast
import re
import symtable
from pathlib import Path
from typing import NamedTuple

import jupytext
import matplotlib.pyplot as plt
import pytest
from website import public_symbols

import lambdalib
from lambdalib.course import questions
from lambdalib.course.progress import progress

ROOT = Path(__file__).resolve().parents[1]
TWINS = sorted((ROOT / "notebooks" / "py").rglob("*.py"))
MODULES = sorted((ROOT / "lambdalib").rglob("*.py"))
SYMBOLS = public_symbols()

DEFINED_IN = {  # what a lesson must define, not import, by the module's name in lambdalib
    "01_self_attention": {
        "attention": ["softmax_attention", "relative_attention", "linear_attention", "SelfAttention"]
    },
    "02_content_lambdas": {"lambdas": ["content_lambda"]},
    "03_position_lambdas": {"lambdas": ["relative_embeddings", "position_lambdas", "apply_lambdas"]},
    "04_lambda_layer": {"layer": ["LambdaLayer"]},
    "04b_sequences": {"sequences": ["masked_content_lambdas", "written", "merge", "recall", "causal_step"]},
    "05_cost": {"contractions": ["convolution_order", "lambda_order", "position_costs", "position_numbers"]},
    "05b_fast_orders": {
        "contractions": ["scores_then_values", "attention_order", "tiling", "tile_order", "plan"],
        "layouts": ["sheets", "cut_queries", "cut_contexts", "join_tiles"],
    },
    "06_lambda_resnet": {"resnet": ["Bottleneck", "ResNet"], "cost": ["mixing_cost"]},
    "07_train_on_cifar10": {"training.train": ["train_steps", "evaluate"]},
    "08_look_inside": {
        "explain": [
            "equivalent_matrices",
            "effective_writers",
            "replace_queries",
            "within_image_share",
            "unseen_directions",
        ]
    },
}


def bare(node: ast.AST) -> str:
    """The definition as text, without docstrings and annotations: what it does, not what it says."""
    node = ast.parse(ast.unparse(node)).body[0]
    for inner in ast.walk(node):
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
            if ast.get_docstring(inner) is not None:
                inner.body = inner.body[1:] or [ast.Pass()]
        if isinstance(inner, ast.FunctionDef):
            inner.returns = None
            for argument in [*inner.args.posonlyargs, *inner.args.args, *inner.args.kwonlyargs]:
                argument.annotation = None
    return ast.unparse(node)


def definitions(source: str) -> dict[str, ast.AST]:
    return {
        node.name: node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }


def lesson_source(lesson: str) -> str:
    cells = jupytext.read(ROOT / "notebooks" / "py" / f"{lesson}.py").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("lesson", DEFINED_IN)
def test_lesson_code_is_library_code(lesson):
    in_lesson = definitions(lesson_source(lesson))
    for module, names in DEFINED_IN[lesson].items():
        in_library = definitions(
            (ROOT / "lambdalib" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        )
        for name in names:
            assert name in in_lesson, f"{lesson} must define {name}"
            assert bare(in_lesson[name]) == bare(in_library[name]), (
                f"{name} differs between {lesson} and lambdalib/{module}.py"
            )


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_whatever_else_a_lesson_repeats_is_the_same(twin):
    library = {}
    for path in MODULES:
        for name, node in definitions(path.read_text(encoding="utf-8")).items():
            library.setdefault(name, []).append(bare(node))
    listed = {name for names in DEFINED_IN.get(twin.stem, {}).values() for name in names}
    for name, node in definitions(lesson_source(twin.stem)).items():
        if name in library and name not in listed and not name.startswith("_"):
            assert bare(node) in library[name], f"{twin.stem} defines another {name} than lambdalib"


def test_the_comparison_sees_a_difference_and_only_that():
    one = ast.parse("def f(a: int) -> int:\n    'words'\n    return a + 1").body[0]
    same = ast.parse("def f(a):\n    return a + 1").body[0]
    other = ast.parse("def f(a):\n    return a + 2").body[0]
    assert bare(one) == bare(same) != bare(other)


def untrue(name: str, own: str, module: str, lesson_text) -> str | None:
    """A complaint about where a symbol says that it is taught; what uses it may stand there instead.

    own: the docstring of the symbol, "" for a constant.
    module: the docstring of its module, which speaks where the symbol does not.
    lesson_text: from a lesson's name to its text, None for no lesson.
    """
    text = next((text for text in (own, module) if "notebooks/" in text or "Used by" in text), "")
    lessons = re.findall(r"notebooks/(\w+)", text)
    if not lessons:
        return None if "Used by" in text else "needs 'Taught in notebooks/NN_name' or 'Used by ...'"
    texts = {lesson: lesson_text(lesson) for lesson in lessons}
    if None in texts.values():
        return f"{[lesson for lesson, text in texts.items() if text is None]} is no lesson"
    shown = [lesson for lesson, text in texts.items() if re.search(rf"\b{name}\b", text)]
    if text == own:
        missing = [lesson for lesson in lessons if lesson not in shown]
    else:
        missing = [] if shown or "Used by" in text else lessons
    return f"{name} does not occur in {', '.join(missing)}" if missing else None


def lesson_text(lesson: str) -> str | None:
    twin = ROOT / "notebooks" / "py" / f"{lesson}.py"
    return twin.read_text(encoding="utf-8") if twin.is_file() else None


def test_an_untrue_docstring_is_seen():
    lessons = {"01_a": "we call f(x)", "02_b": "and g(x)"}.get
    assert untrue("f", "Taught in notebooks/01_a.", "", lessons) is None
    assert untrue("f", "", "Taught in notebooks/01_a and notebooks/02_b.", lessons) is None
    assert untrue("f", "Used by `train`.", "Taught in notebooks/02_b.", lessons) is None
    assert untrue("F", "", "Taught in notebooks/02_b. Used by `train`.", lessons) is None
    assert "02_b" in untrue("f", "Taught in notebooks/01_a and notebooks/02_b.", "", lessons)
    assert "02_b" in untrue("f", "", "Taught in notebooks/02_b.", lessons)
    assert "no lesson" in untrue("f", "Taught in notebooks/03_c.", "", lessons)
    assert "needs" in untrue("f", "Words.", "More words.", lessons)
    assert len(SYMBOLS) > 100


@pytest.mark.parametrize("name, symbol, module", SYMBOLS, ids=[f"{m.__name__}.{name}" for name, _, m in SYMBOLS])
def test_every_public_symbol_names_its_lesson(name, symbol, module):
    own = symbol.__doc__ or "" if callable(symbol) else ""
    complaint = untrue(name, own, module.__doc__, lesson_text)
    home = module.__name__.removeprefix("lambdalib.")
    assert complaint is None, complaint
    for lesson, modules in DEFINED_IN.items():
        if name in modules.get(home, []):
            assert lesson in re.findall(r"notebooks/(\w+)", symbol.__doc__), (
                f"must say 'Taught in notebooks/{lesson}'"
            )


class Step(NamedTuple):
    """A statement of a lesson, or a printed solution with the calls of the checks that it answers."""

    code: ast.Module
    checks: list[ast.Call] = []
    may_raise: bool = False

    @property
    def imports(self) -> bool:
        return isinstance(self.code.body[0], (ast.Import, ast.ImportFrom))


def lesson_steps(twin: Path):
    for cell in jupytext.read(twin).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and not {"setup", "long"} & set(tags):
            for statement in ast.parse(cell.source).body:
                yield Step(ast.Module([statement], []), may_raise="raises-exception" in tags)
            if "check_" in cell.source:
                stub = cell.source
        elif "<summary>Solution" in cell.source:
            for code in re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL):
                yield Step(
                    ast.parse(code),
                    [
                        node
                        for node in ast.walk(ast.parse(stub))
                        if isinstance(node, ast.Call)
                        and isinstance(node.func, ast.Name)
                        and node.func.id.startswith("check_")
                    ],
                )


def root(node: ast.AST) -> str | None:
    """The name that an expression starts with: `net` of net.stem[0].weight."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", None)


def names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def given_and_taken(code: ast.Module) -> tuple[set[str], set[str]]:
    """The names to which a statement gives a value or may change it, and those that it or its functions read."""
    top = symtable.symtable(ast.unparse(code), "lesson", "exec")
    tables = [top]
    for table in tables:
        tables += table.get_children()
    given = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    taken = {
        symbol.get_name()
        for table in tables
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (table is top or symbol.is_global())
    }
    for node in ast.walk(code):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            given.add(root(node))
        elif isinstance(node, ast.AugAssign):
            taken.add(root(node.target))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and root(node.value) != "print":
            given |= {root(node.value), *map(root, node.value.args)} - {None}  # called for what it changes
        elif isinstance(node, (ast.For, ast.comprehension)):  # the variable of a loop stays in it
            given, taken = given - names(node.target), taken - names(node.target)
        elif isinstance(node, ast.withitem) and node.optional_vars:
            taken -= names(node.optional_vars)
    return given, taken


def needed(steps: list[Step]) -> list[Step]:
    """The steps that solutions and their checks need: imports, and what gives or changes a name that is needed.

    A slice, by names alone, that misses something fails loudly: by a NameError or a wrong verdict.
    """
    uses = [given_and_taken(step.code) for step in steps]
    imported = {name for step, (given, _) in zip(steps, uses) if step.imports for name in given}
    chosen = {place for place, step in enumerate(steps) if step.imports}
    for place, step in enumerate(steps):
        if step.checks:
            wanted, mine = uses[place][1].union(*map(names, step.checks)) - imported, {place}
            while more := {earlier for earlier in range(place) if uses[earlier][0] & wanted} - mine:
                mine |= more
                wanted |= set().union(*(uses[earlier][1] for earlier in more)) - imported
            chosen |= mine
    return [steps[place] for place in sorted(chosen)]


def solved_checks(twin: Path):
    """Run what the printed solutions of a lesson need, and yield the verdict of each check that one answers."""
    namespace: dict = {"__name__": "lesson"}
    for step in needed(list(lesson_steps(twin))):
        try:
            exec(compile(step.code, twin.name, "exec"), namespace)
        except Exception:
            if not step.may_raise:
                raise
        plt.close("all")
        for call in step.checks:
            yield ast.unparse(call), eval(compile(ast.Expression(call), "check", "eval"), namespace)


def test_a_slice_has_what_is_needed_and_no_more(tmp_path):
    twin = tmp_path / "09_x.py"
    twin.write_text("""# %%
import math
table = [0]
other = 1 / 0
for step in range(2):
    table[0] += step
def helper(value): return value + offset
offset = math.floor(2.5)
table.append(5)
print(other, table)
# %%
def stub(): ...
check_it(stub(), table)
# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def stub(): return helper(1)
# ```
""")
    chosen = [ast.unparse(step.code).splitlines()[0] for step in needed(list(lesson_steps(twin)))]
    assert chosen == [
        "import math",
        "table = [0]",
        "for step in range(2):",
        "def helper(value):",
        "offset = math.floor(2.5)",
        "table.append(5)",
        "def stub():",
        "check_it(stub(), table)",
        "def stub():",
    ]


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_every_printed_solution_passes_its_check(twin, monkeypatch, tmp_path):
    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    verdicts = list(solved_checks(twin))
    for call, verdict in verdicts:
        assert verdict.ok is True, f"{call} says {verdict}"
    assert len(verdicts) >= 2, "a lesson has at least two exercises with a check and a solution"


def progress_cells():
    """The last exercise cell of each lesson that names its verdicts: (lesson, its other code, that cell)."""
    for twin in TWINS:
        code = [cell.source for cell in jupytext.read(twin).cells if cell.cell_type == "code"]
        for place, source in enumerate(code):
            if source.startswith("progress(") and source.endswith("globals())"):
                yield twin.stem, "\n".join(code[:place]), source


def test_a_lesson_lists_its_exercises_though_no_cell_was_run():
    found = list(progress_cells())
    assert [lesson for lesson, *_ in found] == [twin.stem for twin in TWINS]
    for lesson, before, source in found:
        listed = eval(source, {"progress": progress})
        kept = re.findall(r'"(exercise_\w+)"', source)
        assert len(kept) == len(listed) - 1
        assert all(line.message.endswith(": not run yet") for line in listed[1:]), lesson
        assert set(kept) == set(re.findall(r"^(exercise_\w+) = ", before, re.MULTILINE)), lesson


def test_every_question_is_asked_somewhere():
    asked = set(
        re.findall(r'check_answer\("([^"]+)"', "".join(twin.read_text(encoding="utf-8") for twin in TWINS))
    )
    assert asked == set(questions.QUESTIONS)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_code_fits_into_a_cell_on_a_laptop(twin):
    code = [
        line for cell in jupytext.read(twin).cells if cell.cell_type == "code" for line in cell.source.splitlines()
    ]
    assert code and not [line for line in code if len(line) > 115]


def test_course_marker():
    assert lambdalib.__course__
