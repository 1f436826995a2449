"""The lessons' code is the library's code, every library symbol names its lesson, and every printed solution passes its check."""

import ast
import importlib
import re
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest

import lambdalib
from lambdalib import checks

ROOT = Path(__file__).resolve().parents[1]
TWINS = sorted((ROOT / "notebooks" / "py").glob("*.py"))

DEFINED_IN = {  # what a lesson must define, not import
    "01_self_attention": {"attention": ["softmax_attention", "relative_attention", "linear_attention", "SelfAttention"]},
    "02_content_lambdas": {"lambdas": ["content_lambda"]},
    "03_position_lambdas": {"lambdas": ["relative_embeddings", "position_lambdas", "apply_lambdas"]},
    "04_lambda_layer": {"layer": ["LambdaLayer"]},
    "04b_sequences": {"sequences": ["masked_content_lambdas", "written", "merge", "recall", "causal_step"]},
    "05_cost": {"contractions": ["convolution_order", "lambda_order", "map_first", "sheets", "attention_order", "tiling", "tile_order",
                                 "position_costs", "position_numbers", "plan"]},
    "06_lambda_resnet": {"resnet": ["Bottleneck", "ResNet"]},
    "07_train_on_cifar10": {"train": ["train_step", "evaluate"]},
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
    return {node.name: node for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def lesson_source(lesson: str) -> str:
    cells = jupytext.read(ROOT / "notebooks" / "py" / f"{lesson}.py").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "code")


@pytest.mark.parametrize("lesson", DEFINED_IN)
def test_lesson_code_is_library_code(lesson):
    in_lesson = definitions(lesson_source(lesson))
    for module, names in DEFINED_IN[lesson].items():
        in_library = definitions((ROOT / "lambdalib" / f"{module}.py").read_text(encoding="utf-8"))
        for name in names:
            assert name in in_lesson, f"{lesson} must define {name}"
            assert bare(in_lesson[name]) == bare(in_library[name]), f"{name} differs between {lesson} and lambdalib/{module}.py"


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_whatever_else_a_lesson_repeats_is_the_same(twin):
    library = {}
    for path in (ROOT / "lambdalib").glob("*.py"):
        library |= {name: node for name, node in definitions(path.read_text(encoding="utf-8")).items() if not name.startswith("_")}
    listed = {name for names in DEFINED_IN.get(twin.stem, {}).values() for name in names}
    for name, node in definitions(lesson_source(twin.stem)).items():
        if name in library and name not in listed:
            assert bare(node) == bare(library[name]), f"{twin.stem} defines another {name} than lambdalib"


def test_the_comparison_sees_a_difference_and_only_that():
    one = ast.parse("def f(a: int) -> int:\n    'words'\n    return a + 1").body[0]
    same = ast.parse("def f(a):\n    return a + 1").body[0]
    other = ast.parse("def f(a):\n    return a + 2").body[0]
    assert bare(one) == bare(same) != bare(other)


def public_symbols():
    for path in sorted((ROOT / "lambdalib").glob("*.py")):
        if path.stem in ("__init__", "__main__", "figures", "widgets"):
            continue
        module = importlib.import_module(f"lambdalib.{path.stem}")
        for name in getattr(module, "__all__", []):
            yield pytest.param(getattr(module, name), module, id=f"{path.stem}.{name}")


@pytest.mark.parametrize("symbol, module", list(public_symbols()))
def test_every_public_symbol_names_its_lesson(symbol, module):
    if not (callable(symbol) or isinstance(symbol, type)):
        return
    lessons = re.findall(r"notebooks/(\w+)", f"{symbol.__doc__} {module.__doc__}")
    assert lessons, "no 'Taught in notebooks/NN_name' in the docstring"
    names = {twin.stem for twin in TWINS}
    assert set(lessons) <= names, f"{set(lessons) - names} is no lesson"
    for lesson, modules in DEFINED_IN.items():
        if symbol.__name__ in modules.get(module.__name__.split(".")[-1], []):
            assert lesson in re.findall(r"notebooks/(\w+)", symbol.__doc__), f"must say 'Taught in notebooks/{lesson}'"


def solved_checks(twin: Path):
    """Run a lesson with every printed solution put in, and yield the verdict of each check that a solution answers."""
    namespace: dict = {"__name__": "lesson"}
    stub = None
    for cell in jupytext.read(twin).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            if "setup" in tags or "long" in tags:
                continue
            try:
                exec(compile(cell.source, f"{twin.name}", "exec"), namespace)
            except Exception:
                if "raises-exception" not in tags:
                    raise
            plt.close("all")
            if "check_" in cell.source:
                stub = cell.source
        elif "<summary>Solution" in cell.source:
            for code in re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL):
                exec(compile(code, f"{twin.name} (solution)", "exec"), namespace)
                calls = [node for node in ast.walk(ast.parse(stub)) if isinstance(node, ast.Call)
                         and isinstance(node.func, ast.Name) and node.func.id.startswith("check_")]
                for call in calls:
                    yield ast.unparse(call), eval(compile(ast.Expression(call), "check", "eval"), namespace)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_every_printed_solution_passes_its_check(twin, monkeypatch, tmp_path):
    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    verdicts = list(solved_checks(twin))
    for call, verdict in verdicts:
        assert verdict.ok is True, f"{call} says {verdict}"
    assert len(verdicts) >= 2, "a lesson has at least two exercises with a check and a solution"


def test_every_question_is_asked_somewhere():
    asked = set(re.findall(r'check_answer\("([^"]+)"', "".join(twin.read_text(encoding="utf-8") for twin in TWINS)))
    assert asked == set(checks.QUESTIONS)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.stem)
def test_code_fits_into_a_cell_on_a_laptop(twin):
    code = [line for cell in jupytext.read(twin).cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert code and not [line for line in code if len(line) > 115]


def test_course_marker():
    assert lambdalib.__course__
