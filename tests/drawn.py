"""Do the tests notice mistakes that we did not think of? Mutants drawn from those that the package mutmut makes.

    python tests/drawn.py                300 mutants, drawn by a seed; it goes on where the last call stopped
    python tests/drawn.py --count 10     the first 10 of them
    python tests/drawn.py --minutes 30   starts no other after so many minutes; 0 only counts what has run
    python tests/drawn.py --write        also writes the counts to tests/tally/mutmut.jsonl

mutations.py runs them, each against the quick tests of its file and those of bad input. A mutant that hangs is
killed. What is finished stands in build/mutmut.jsonl, and survivors run again at each call. Those that no test can
notice are listed in survivors.txt, with the reasons. The exit code is 1 if another one survives.
"""

import argparse
import os
import random
import sys

from mutations import ROOT, TESTS, Mutation, finished, key, run_rest, write_tally

FILES = [
    "layer.py",
    "lambdas.py",
    "contractions.py",
    "layouts.py",
    "guards.py",
    "sequences.py",
    "training/train.py",
]
COUNT, SEED, SECONDS = 300, 0, 300
SURVIVORS, FINISHED = ROOT / "tests" / "survivors.txt", ROOT / "build" / "mutmut.jsonl"


def difference(source: str, broken: str) -> str:
    """The lines that differ, without their indents: `- old` and `+ new`."""
    old, new = source.splitlines(), broken.splitlines()
    while old and new and old[0] == new[0]:
        del old[0], new[0]
    while old and new and old[-1] == new[-1]:
        del old[-1], new[-1]
    return "\n".join([f"- {line.strip()}" for line in old] + [f"+ {line.strip()}" for line in new])


def draw(count: int) -> list[Mutation]:
    """The first of the mutants drawn. Each is named by its file, function and lines, as in survivors.txt."""
    import libcst as cst
    from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
    from mutmut.mutation.mutators import mutation_operators
    from mutmut.mutation.pragma_handling import IgnoredCode

    class Visitor(MutationVisitor):
        """Looks at decorated functions as well, which mutmut's own runner cannot run."""

        def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
            bare = node.with_changes(decorators=()) if isinstance(node, cst.FunctionDef) else node
            return super()._skip_node_and_children(bare)

    found = []
    for file in FILES:
        source = (ROOT / "lambdalib" / file).read_text(encoding="utf-8")
        visitor = Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
        module = cst.MetadataWrapper(cst.parse_module(source)).visit(visitor)
        found += [(file, source, module, mutation) for mutation in visitor.mutations]
    drawn = []
    inside = [row for row in found if isinstance(row[3].contained_by_top_level_function, cst.FunctionDef)]
    for file, source, module, mutation in random.Random(SEED).sample(inside, COUNT)[:count]:
        broken = deep_replace(module, mutation.original_node, mutation.mutated_node).code
        name = f"{file} {mutation.contained_by_top_level_function.name.value}\n{difference(source, broken)}"
        drawn.append(Mutation(name, file, source, broken, f"{TESTS[file]} tests/test_bad_input.py"))
    return drawn


def listed() -> dict[str, str]:
    """The mutants of survivors.txt: name -> why no test can notice it."""
    blocks = SURVIVORS.read_text(encoding="utf-8").strip().split("\n\n")[1:]  # the first one says what the file is
    return {name: reason for name, _, reason in (block.rpartition("\n") for block in blocks)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT, help=f"how many, at most {COUNT}")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    drawn, before, known = draw(options.count), finished(FINISHED), listed()
    waiting = [m for m in drawn if not before.get(key(m)) and (key(m) not in before or m.name not in known)]
    print(f"{len(drawn)} mutants, {len(waiting)} to run", flush=True)
    for mutant, code, seconds, _ in run_rest(waiting, FINISHED, options.minutes, options.processes, SECONDS):
        print(f"{'killed' if code else 'SURVIVED'} ({code}) {seconds:.1f} s  {mutant.name}\n", flush=True)
    now = finished(FINISHED)
    ran = [mutant for mutant in drawn if key(mutant) in now]
    killed, survivors = ({m.name for m in ran if bool(now[key(m)]) is fate} for fate in (True, False))
    holes, wrong = survivors - known.keys(), killed & known.keys()
    counts = {"killed": sum(now[key(m)] != 0 for m in ran), "equivalent": len(survivors & known.keys())}
    print(f"{len(ran)} of {len(drawn)} mutants ran: {counts}, {len(holes)} survive")
    for name in sorted(holes):
        print(f"\nSURVIVED: {name}")
    for name in sorted(wrong):
        print(f"\nlisted in {SURVIVORS.name}, but killed: {name}")
    if options.write:
        what = "mutants drawn from mutmut's: the layer, lambdas, their orders and sequences, the training loop. "
        what += f"No test can notice {counts['equivalent']} of them: tests/survivors.txt says why"
        write_tally("mutmut", what, len(ran), len(holes), "make mutmut", **counts)
    return int(bool(holes | wrong))


if __name__ == "__main__":
    sys.exit(main())
