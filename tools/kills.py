"""Does a training that is killed again and again end with the same bits? Kill it 30 times, and see.

python tools/kills.py                six epochs of the preset demo on a quarter of its images, at 2 threads
python tools/kills.py --write        and keep the outcome in tests/tally/kills.jsonl

Each training is a fork of this process, so it needs Linux or macOS. It is killed at a random moment within a
quarter of its undisturbed time, every third time while it writes a file. Then it resumes.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

import tally
import torch

from lambdalib.training.checkpoint import load_state
from lambdalib.training.cifar10 import ImageSplits
from lambdalib.training.data import load_sample
from lambdalib.training.recipes import RECIPES
from lambdalib.training.train import fit

LOGGED = ("kind", "recipe", "data", "epoch", "step", "loss", "test_accuracy", "test_accuracy_flip_tta")


def start(folder: Path) -> int:
    """Train into the folder in a process of its own, or go on if there is a state: the process's number."""
    if process := os.fork():
        return process
    try:  # the child, which never returns
        torch.set_num_threads(2)
        parts, resume = load_sample(), (folder / "state.pt").exists()
        data = ImageSplits(*(part[:500] for part in parts[:2]), *(part[:100] for part in parts[2:4]), *parts[4:])
        recipe = replace(RECIPES["demo"], epochs=6)
        fit(recipe, data, folder, resume=resume, save_every=1.0, device="cpu", progress=False)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(process: int) -> bool:
    """Whether a process has trained to the end. Raises RuntimeError if it has failed."""
    done, status = os.waitpid(process, os.WNOHANG)
    if done and status:
        raise RuntimeError(f"a training failed with code {os.waitstatus_to_exitcode(status)}")
    return bool(done)


def writing(process: int, folder: Path) -> bool:
    """Whether there is a half-written file of this process."""
    return any(folder.glob(f"*.{process}.part"))


def wait(process: int, folder: Path, seconds: float, for_part: bool) -> bool:
    """Let the process train for so long, then until it is writing a file if that is asked. Returns if it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end or (for_part and not writing(process, folder)):
        if ended(process):
            return True
        time.sleep(0.0005)
    return False


def outcome(folder: Path) -> dict:
    """What must be equal to the bit: final weights, losses, and the log without evidence and resumptions."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "final weights": (folder / "weights.safetensors").read_bytes(),
        "losses": load_state(folder / "state.pt")["losses"].tolist(),
        "log": [[line.get(name) for name in LOGGED] for line in lines if line["kind"] != "resume"],
        "names of files": sorted(path.name for path in folder.iterdir()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("times", type=int, nargs="?", default=30)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.times < 1:
        parser.error(f"times must be at least 1, got {options.times}")
    chance, kills, halves, runs, wrong = random.Random(0), 0, 0, 0, 0
    torch.set_num_threads(1)  # a fork has none of this process's threads, so it must not have begun any
    with tempfile.TemporaryDirectory() as name:
        began, whole = time.monotonic(), Path(name) / "whole"
        process = start(whole)
        while not ended(process):
            time.sleep(0.01)
        longest, expected = (time.monotonic() - began) / 4, outcome(whole)
        while kills < options.times:
            runs, folder, done = runs + 1, Path(name) / f"run{runs}", False
            while not done:
                process = start(folder)
                seconds = chance.uniform(0, longest) if kills < options.times else float("inf")
                done = wait(process, folder, seconds, kills % 3 == 2)
                if not done:
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)
                    kills += 1
                    halves += writing(process, folder)
            found = outcome(folder)
            different = [name for name in expected if found[name] != expected[name]]
            wrong += bool(different)
            if different:
                print(f"run {runs} has other {', '.join(different)}")
    equal = "final weights equal" if not wrong else f"{wrong} NOT equal"
    print(f"{kills} kills, {halves} of them in a half-written file: {runs} runs, {equal}")
    if options.write:
        line = tally.tally(
            "kills of a training, which then resumes", kills, wrong, "make kills", runs=runs, half_written=halves
        )
        tally.write("kills", line)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
