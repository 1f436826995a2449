"""The house stands as CONTRIBUTING.md draws it: nothing lower imports anything higher, and every room is small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lambdalib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lambdalib"
MODULES = sorted(PACKAGE.rglob("*.py"))
LEVELS = [  # a module imports from earlier lines, or from its own
    {"lambdalib", "arguments", "lambdas", "attention"},
    {"layouts"},
    {"contractions", "guards"},
    {"layer", "sequences", "twins"},
    {"resnet", "small", "hybrid", "convert", "cost", "explain"},
    {"models"},
    {"training"},
    {"experiments"},
    {"course"},
    {"cli", "__main__"},
]
WIDTH, LONGEST = 115, 500


def place(path: Path) -> str:
    """The module's name on the levels: its room, or its own."""
    inside = path.relative_to(PACKAGE)
    return (
        "lambdalib"
        if inside.name == "__init__.py" and len(inside.parts) == 1
        else inside.parts[0].removesuffix(".py")
    )


def level(name: str) -> int:
    return next(height for height, names in enumerate(LEVELS) if name in names)


def imported(tree: ast.AST) -> list[str]:
    """The modules of ours that a syntax tree imports, as dotted names."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "lambdalib":
            found += [f"lambdalib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return [name for name in found if name.startswith("lambdalib.") and not name.startswith("lambdalib.__")]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports; `from room import module` counts as the module."""
    names = {dotted(path) for path in MODULES}
    edges = {}
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        targets = set(imported(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                targets |= {f"{node.module}.{alias.name}" for alias in node.names} & names
        edges[dotted(path)] = targets & names - {dotted(path)}
    return edges


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules that are left when all that import nothing more are taken away, again and again."""
    left = {name: set(targets) for name, targets in edges.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["a", "b", "c", "d"]
    assert circle({"a": {"b"}, "b": set()}) == []


def test_there_is_no_circle():
    edges = graph()
    assert sum(map(len, edges.values())) > 50
    # a room's __init__ hands names on from its own modules, which then import the room
    assert circle(edges) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_nothing_lower_imports_anything_higher(path):
    own = level(place(path))
    for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
        assert level(name.split(".")[1]) <= own, f"{dotted(path)} imports {name}, which stands above it"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_no_function_imports_our_modules(path):
    functions = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    ]
    assert [name for function in functions for name in imported(function)] == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_is_small_enough_to_read(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST
    assert [number for number, line in enumerate(lines, start=1) if len(line) > WIDTH] == []


def test_the_short_names_are_the_real_ones():
    for name in lambdalib.__all__:
        found = getattr(lambdalib, name)
        assert found.__module__ == f"lambdalib.{lambdalib.SHORT_NAMES[name]}", (
            f"{name} is defined in {found.__module__}"
        )
    assert set(lambdalib.__all__) <= set(dir(lambdalib))
    with pytest.raises(AttributeError, match="no attribute 'LambdaLayr'"):
        _ = lambdalib.LambdaLayr


def test_importing_costs_nothing():
    code = "import time, torch; start = time.perf_counter(); import lambdalib; print(time.perf_counter() - start)"
    seconds = [
        float(
            subprocess.run(
                [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(2)
    ]
    assert min(seconds) < 0.1
