"""The table of mutations stays true to the source; `make mutants` runs them."""

import ast

import pytest
from mutations import MUTATIONS, ROOT, selection, split


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
