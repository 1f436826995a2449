"""The tables of mutants stay true to the source; `make mutants` and `make mutmut` run them."""

import ast
from collections.abc import Iterator

import mutations
import pytest
from drawn import FILES, difference, listed
from mutations import MUTATIONS, ROOT, finished, key, run_rest, selection, split

DRAWINGS = "course/figures/"  # tests read the words and numbers of every figure; a person looks at the rest
MODULES = sorted(path.relative_to(ROOT / "lambdalib").as_posix() for path in (ROOT / "lambdalib").rglob("*.py"))


def test_there_are_enough_and_each_has_its_own_name():
    assert len(MUTATIONS) >= 20
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_fits_the_source(mutation):
    source = (ROOT / "lambdalib" / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.old) == 1
    broken = source.replace(mutation.old, mutation.new)
    assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse(source))
    assert (ROOT / split(selection(mutation))[0]).exists()


def bodies(source: str) -> Iterator[tuple[str, int, int]]:
    """The public functions, and classes with a method: name, where it begins, where it ends."""
    tree, starts = ast.parse(source), [0]
    for line in source.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)]
    names = {name.value for words in lists for name in words.elts if isinstance(name, ast.Constant)}
    for node in tree.body:
        if getattr(node, "name", None) in names and any(
            isinstance(part, ast.FunctionDef) for part in ast.walk(node)
        ):
            first = min(part.lineno for part in (node, *node.decorator_list))
            yield node.name, starts[first - 1], starts[node.end_lineno]


def test_the_bodies_of_a_module_are_found():
    source = '__all__ = ["f", "A", "B"]\n\n\n@g\ndef f():\n    pass\n\n\nclass A:\n    x = 1\n\n\n'
    source += "class B:\n    def g(self):\n        pass\n\n\ndef g():\n    pass\n"
    found = {name: source[begin:end] for name, begin, end in bodies(source)}
    assert found == {"f": "@g\ndef f():\n    pass\n", "B": "class B:\n    def g(self):\n        pass\n"}


@pytest.mark.parametrize("file", [file for file in MODULES if not file.startswith(DRAWINGS)])
def test_each_public_function_has_a_mutation(file):
    source = (ROOT / "lambdalib" / file).read_text(encoding="utf-8")
    places = [source.index(mutation.old) for mutation in MUTATIONS if mutation.file == file]
    assert [name for name, begin, end in bodies(source) if not any(begin <= at < end for at in places)] == []


@pytest.mark.parametrize("name", listed())
def test_a_survivor_is_still_in_the_source(name):
    head, _, lines = name.partition("\n")
    file, function = head.split()
    old = [line[2:] for line in lines.split("\n") if line.startswith("- ")]
    source = (ROOT / "lambdalib" / file).read_text(encoding="utf-8")
    assert (
        file in FILES
        and f"def {function}(" in source
        and "\n".join(old) in "\n".join(map(str.strip, source.split("\n")))
    )
    assert listed()[name].endswith(".")


def test_a_mutant_is_named_by_the_lines_that_differ():
    assert difference("a\n  b = 1\nc\n", "a\n  b = 2\nc\n") == "- b = 1\n+ b = 2"
    assert difference("a\nb\nc", "a\nc") == "- b"


def test_a_run_goes_on_where_the_last_one_stopped(monkeypatch, tmp_path):
    path, jobs = tmp_path / "build" / "mutants.jsonl", []

    def run_all(rows, *_):
        jobs.extend(rows)
        yield from ((tests, mutation, int(mutation is not None), 0.1, "") for tests, mutation in rows)

    monkeypatch.setattr(mutations, "run_all", run_all)
    monkeypatch.setattr(mutations, "prepare", lambda: None)
    first, second = MUTATIONS[:2]
    assert list(run_rest([first, second], path, minutes=0)) == [] and finished(path) == {}
    assert [mutation for mutation, *_ in run_rest([first, second], path, minutes=1e-9)] == [first]
    assert finished(path) == {key(first): 1} and jobs[0][1] is None, "the unbroken copy comes first"
    assert [mutation for mutation, *_ in run_rest([second], path, minutes=1)] == [second]
    assert finished(path) == {key(first): 1, key(second): 1}
    monkeypatch.setattr(mutations, "run_all", lambda rows, *_: iter([("tests", None, 1, 0.1, "it fails")]))
    with pytest.raises(SystemExit, match="it fails"):
        next(run_rest([first], path, minutes=1))
