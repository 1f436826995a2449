"""Do the lessons give the same outputs every time? Run them again and again, as learners' machines would.

python tools/steady.py 3                  three runs of `pytest --nbval notebooks/`
python tools/steady.py 3 --way one        at one thread; also: two (side by side), avx2 (the other kind of CPU)
python tools/steady.py 3 --write          and add each run to tests/tally/steady.jsonl, so that runs may be spread
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tally
import versions

ROOT = Path(__file__).resolve().parent.parent
WAYS = {  # what is tried, options of pytest, environment
    "plain": ("the lessons, as they are", [], {}),
    "one": ("the lessons, at one thread", [], {"OMP_NUM_THREADS": "1"}),
    "two": ("the lessons, two side by side", ["-n", "2"], {}),
    "avx2": (
        "the lessons, on the imitated other CPU",
        [],
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=1)
    parser.add_argument("--way", choices=WAYS, default="plain")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.times < 1:
        parser.error(f"times must be at least 1, got {options.times}")
    what, more, variables = WAYS[options.way]
    bad = 0
    for run in range(1, options.times + 1):
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "--nbval", "notebooks", "-q", "-p", "no:cacheprovider", *more]
        with tempfile.TemporaryDirectory() as folder:
            command += ["--junitxml", f"{folder}/report.xml"]
            done = subprocess.run(
                command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
            )
            passed, failed = versions.outcome(Path(folder) / "report.xml")
        failed = failed or int(done.returncode != 0)
        bad += failed > 0
        print(f"run {run}: {passed} cells passed, {failed} failed, {time.monotonic() - began:.0f} s", flush=True)
        if failed:
            print(done.stdout[-4000:])
        if options.write:
            command = f"make steady ARGS='{options.times} --way {options.way}'"
            tally.write("steady", tally.tally(what, 1, int(failed > 0), command, cells=passed), append=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
