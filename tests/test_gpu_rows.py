"""tools/gpu_rows.sh at toy size on a CPU: the order, the limit of time, going on, and what is brought home."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lambdalib.experiments import bench
from lambdalib.experiments.rows import EVERY_ROW
from lambdalib.training.checkpoint import load_model, load_weights

SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "gpu_rows.sh"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
# A Python that writes down its arguments and does nothing else: `train` leaves a log, `bench` its part.
PRETENDED = """#!/bin/bash
[ "$1" != - ] || exec PYTHON "$@"
echo "$@" >> FOLDER/calls
while [ $# -gt 0 ]; do
    case $1 in
    --row) row=$2 ;;
    --out) out=$2 ;;
    --part) part=$2 ;;
    esac
    shift
done
if [ -n "${part:-}" ]; then
    echo " \\"$part\\": {" >> "$out"
elif [ "$row" = resnet18 ]; then
    exit 1
else
    mkdir -p "$out" && echo '{"kind": "epoch", "test_accuracy": 0.95, "seconds": 61.4}' > "$out/log.jsonl"
fi
"""


def run(folder, minutes, **variables):
    """Run the script. Returns its exit code and its lines."""
    variables = {"OUT": folder / "out", "WORK": folder / "work", "PYTHON": sys.executable, **variables}
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run(
        ["bash", SCRIPT, str(minutes)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_order_and_what_fails(tmp_path):
    program = tmp_path / "python"
    program.write_text(PRETENDED.replace("PYTHON", sys.executable).replace("FOLDER", str(tmp_path)))
    program.chmod(0o755)
    code, lines = run(tmp_path, 5, PYTHON=program, ARGS="--device cpu")
    calls = [line.split()[2:] for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[0] for call in calls] == ["train"] * 5 + ["bench"] * 5 + ["train"]
    assert all(call[-2:] == ["--device", "cpu"] for call in calls if call[0] == "train")
    trained = [f"{call[2]}:{call[4]}" for call in calls if call[0] == "train"]
    lambdas = [f"lambda-resnet18-u4:{seed}" for seed in range(3)]
    assert trained == [*lambdas, "lambda-resnet18-u4-convolutions:0", "resnet18:0", "small:0"]
    assert {row.partition(":")[0] for row in trained} <= EVERY_ROW.keys()
    assert [call[2] for call in calls if call[0] == "bench"] == list(bench.PARTS)
    minutes = [float(call[call.index("--minutes") + 1]) for call in calls if call[0] == "train"]
    assert minutes == sorted(minutes, reverse=True) and 3 < minutes[0] <= 4.5
    assert code == 1 and "resnet18:0: failed" in lines  # and the others ran
    assert lines[-1] == "small-seed0: 94 % after 61 s" and sum("94 %" in line for line in lines) == 5
    assert (tmp_path / "out" / "bench.json").read_text() == (tmp_path / "work" / "bench.json").read_text()

    _, lines = run(tmp_path, 5, PYTHON=program, JOBS="bench:step")
    assert lines[0] == "bench, step: done before"
    code, lines = run(tmp_path, 0.4, PYTHON=program)
    assert code == 0 and lines[0] == "lambda-resnet18-u4:0: no time left"
    assert len((tmp_path / "calls").read_text().splitlines()) == len(calls)


def test_it_trains_goes_on_and_rounds(tmp_path):
    small = (
        "--source sample --device cpu --threads 1 --model tiny --batch-size 16 --max-steps 3 --set dtype=float32"
    )
    job, name = "lambda-resnet18-u4:1", "lambda-resnet18-u4-seed1"
    # a nanosecond is over after the first step
    code, lines = run(tmp_path, 1, JOBS=job, ARGS=f"{small} --minutes 1e-11")
    assert code == 0 and lines[0].startswith(f"{name}: ") and lines[0].endswith(" seconds left")
    assert lines[1].startswith("stopped after step 1 of 3; ") and lines[-1] == f"{name}: 94 % not reached"
    home = tmp_path / "out" / name
    assert sorted(path.name for path in home.iterdir()) == ["log.jsonl"]
    code, lines = run(tmp_path, 10, JOBS=job, ARGS=small)
    assert code == 0 and lines[1].startswith("test accuracy ")
    log = [json.loads(line) for line in (home / "log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in log] == ["start", "resume", "epoch", "end"]
    assert log[0]["recipe"]["seed"] == 1 and log[0]["recipe"]["progressive_resizing"] == {"16": 9, "24": 4}
    rounded, whole = home / "lambda-resnet18-u4.safetensors", tmp_path / "work" / name / "weights.safetensors"
    assert load_weights(rounded)["head.weight"].dtype == torch.float16
    for (key, ours), theirs in zip(
        load_model(rounded).state_dict().items(), load_model(whole).state_dict().values()
    ):
        torch.testing.assert_close(ours, theirs.half().to(ours.dtype), rtol=0, atol=0, msg=key)
    before = rounded.stat().st_mtime_ns
    code, lines = run(tmp_path, 10, JOBS=job, ARGS=small)
    assert code == 0 and lines == [f"{name}: done before", f"{name}: 94 % not reached"]
    assert rounded.stat().st_mtime_ns == before
