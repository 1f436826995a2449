"""What goes wrong while a model trains: it is said in one line, the last good state stays, and a run resumes."""

import gc
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from toy import RECIPE, Toy, after_epochs, fresh_run, interrupt_at, train_quietly

from lambdalib import cli, models
from lambdalib.training import callbacks, checkpoint, cifar10, data, train
from lambdalib.training.checkpoint import load_state
from lambdalib.training.recipes import RECIPES


@pytest.fixture(scope="module")
def undisturbed(images16, tmp_path_factory):
    """The final weights of the toy's run, as bytes."""
    models.MODELS["toy"], folder = Toy, tmp_path_factory.mktemp("undisturbed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_quietly(RECIPE, images16, folder)
    torch.set_num_threads(threads)
    del models.MODELS["toy"]
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture
def command(images16, monkeypatch, tmp_path, capsys):
    """A function that trains the toy by a command line: its exit code, and what it said on stderr."""
    monkeypatch.setattr(data, "load_cifar10", lambda root=None, source="auto": images16._replace(source="sample"))
    monkeypatch.setattr(cli, "load_data", lambda options, usual, image_size: images16)
    monkeypatch.setitem(RECIPES, "demo", RECIPE)
    monkeypatch.chdir(tmp_path)

    def run(words="--preset demo"):
        code = cli.main(["train", *words.split(), "--quiet", "--out", "run", "--device", "cpu"])
        return code, capsys.readouterr().err

    return run


# The disk


def full_disk_for(folder, name):
    """A callback: from the first epoch on, writing this file meets a full disk."""
    part = folder / f"{name}.{os.getpid()}.part"
    return after_epochs(lambda run: part.is_symlink() or part.symlink_to("/dev/full"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("name", ["state.pt", "log.jsonl", "curve.png", "weights.safetensors", "weights.json"])
def test_a_full_disk_leaves_the_last_good_state(images16, tmp_path, undisturbed, name):
    with pytest.raises(OSError, match=f"{name} could not be written, is the disk full.*still there") as caught:
        train_quietly(RECIPE, images16, tmp_path, callbacks=full_disk_for(tmp_path, name))
    assert "\n" not in str(caught.value) and not list(tmp_path.glob("*.part"))
    last = {"state.pt": 5, "log.jsonl": 10}.get(name, 12)  # the log comes after the state
    assert load_state(tmp_path / "state.pt")["step"] == last
    train_quietly(RECIPE, images16, tmp_path, resume=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == undisturbed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_one_line_and_code_1(command, monkeypatch):
    monkeypatch.setattr(cli, "TensorBoard", lambda folder: full_disk_for(Path("run"), "state.pt")[0])
    code, said = command("--preset demo --tensorboard board")
    assert code == 1 and said.count("\n") == 1 and "state.pt could not be written, is the disk full?" in said


def test_a_folder_that_cannot_be_written_to_is_told_before_the_first_step(command, monkeypatch):
    monkeypatch.setattr(train, "train_steps", lambda *args, **options: 1 / 0)
    Path("run").write_text("a file")
    code, said = command()
    assert code == 2 and said.count("\n") == 1
    assert "out_dir must be a folder that can be written to, got 'run' (" in said
    Path("run").unlink()

    def read_only(dir):
        raise OSError(30, "Read-only file system", str(dir))

    monkeypatch.setattr(train, "TemporaryFile", read_only)
    code, said = command()
    assert code == 2 and "got 'run' ([Errno 30] Read-only file system: 'run')" in said


def test_a_file_system_without_locks_is_told(command, images16, tmp_path, monkeypatch, capsys):
    def no_locks(lock):
        raise NotImplementedError("FileSystem does not appear to support flock; use SoftFileLock instead")

    monkeypatch.setattr(checkpoint.FileLock, "_acquire", no_locks)
    code, said = command()
    assert code == 2 and said.count("\n") == 1 and "got 'run' (its file system has no locks)" in said
    cifar10.write_cache(tmp_path, images16)
    assert "could not be kept" in (said := capsys.readouterr().out) and "has no locks" in said


def test_a_cache_that_cannot_be_written_is_told(images16, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    cifar10.write_cache(tmp_path / "file" / "cache", images16)
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "could not be kept" in said and str(tmp_path / "file" / "cache") in said


def test_what_killed_processes_left_is_removed(images16, tmp_path, monkeypatch):
    names = ["state.pt.123.part", "log.jsonl.123.part", "curve.png.9.part", "weights.safetensors.9.part"]
    for name in [*names, "mine.part"]:
        (tmp_path / name).write_text("half")
    left = lambda: sorted(path.name for path in tmp_path.glob("*.part"))  # noqa: E731

    def second_run(run):
        (tmp_path / names[0]).write_text("of a living process")
        with pytest.raises(ValueError, match="another process is training into"):
            train_quietly(RECIPE, images16, tmp_path, resume=True)
        assert left() == ["mine.part", names[0]]

    train_quietly(replace(RECIPE, epochs=1), images16, tmp_path, callbacks=after_epochs(second_run))


HOLD = "import filelock; lock = filelock.FileLock('.lock'); lock.acquire(); print('held', flush=True); input()"


def test_the_lock_of_a_killed_process_blocks_nobody(images16, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"held"
    with pytest.raises(ValueError, match="another process is training into"):
        train_quietly(RECIPE, images16, tmp_path)
    process.kill()
    process.communicate()
    assert train_quietly(replace(RECIPE, max_steps=1), images16, tmp_path).ended


# Signals and clocks


def test_sigterm_finishes_the_step_and_saves(images16, tmp_path, monkeypatch, undisturbed, command):
    usual = signal.getsignal(signal.SIGTERM)
    interrupt_at(monkeypatch, 3, signum=signal.SIGTERM)
    code, said = command()
    assert code == 143 and said.count("\n") == 1 and "stopped after step 3 of 12; saved in run" in said
    assert signal.getsignal(signal.SIGTERM) is usual and load_state("run/state.pt")["step"] == 3
    assert command("--resume") == (0, "")
    assert Path("run/weights.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_at_once(command, monkeypatch, number, code):
    interrupt_at(monkeypatch, 3, 3, signum=number)
    assert command() == (code, "lambdalib train: error: interrupted\n")
    assert not Path("run/state.pt").exists()


def test_a_clock_that_jumps_changes_no_seconds(images16, tmp_path, monkeypatch):
    now = iter(range(10**9, 0, -3600))  # an hour back each time that it is asked
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    said, steady = [], iter(range(10**6))
    estimate = callbacks.TimeEstimate(True, clock=lambda: next(steady), say=said.append)
    run = train_quietly(RECIPE, images16, tmp_path, minutes=60, callbacks=[estimate])
    seconds = [record["seconds"] for record in run.records[1:]]
    assert run.ended and seconds == sorted(seconds) and 0 <= seconds[0] and seconds[-1] < 600
    assert said and all("-" not in words for words in said)


# Numbers that are none


class Breaks(nn.Module):
    """Hands its input on, but infinite in its call number `at` of training."""

    def __init__(self, at):
        super().__init__()
        self.at = at
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, features):
        self.calls += self.training
        return features * math.inf if self.training and self.calls == self.at else features


class Root(nn.Module):
    """Adds √weight with weight = 0: the loss is a number, its gradient is infinite."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, features):
        return features + self.weight.sqrt()


def toy_with(monkeypatch, layer):
    """Make the model toy end with this layer."""
    monkeypatch.setitem(models.MODELS, "toy", lambda **options: nn.Sequential(Toy(), layer()))


@pytest.mark.parametrize("saved", [True, False])
def test_a_broken_loss_names_step_and_layer(images16, tmp_path, monkeypatch, saved):
    toy_with(monkeypatch, lambda: Breaks(at=8))
    with pytest.raises(FloatingPointError) as caught:
        train_quietly(RECIPE, images16, tmp_path, save_every=0 if saved else 1e9)
    words = str(caught.value)
    assert "the loss became nan at step 7 of 12, epoch 1.40; the last good state is" in words
    assert words.endswith(
        "may help. '1' was the first layer whose output was NaN or infinite when the steps were repeated"
    )
    assert load_state(tmp_path / "state.pt")["step"] == (7 if saved else 5)
    toy_with(monkeypatch, lambda: Breaks(at=99))
    assert train_quietly(RECIPE, images16, tmp_path, resume=True).ended


def test_a_model_that_breaks_by_itself_is_called_model(images16, monkeypatch):
    class Whole(Breaks):
        def __init__(self):
            super().__init__(at=2)
            self.inside = Toy()

        def forward(self, images):
            return super().forward(self.inside(images))

    monkeypatch.setitem(models.MODELS, "toy", lambda **options: Whole())
    with pytest.raises(FloatingPointError, match="'model' was the first layer"):
        train_quietly(RECIPE, images16)


def test_a_break_that_does_not_come_again_is_told(images16, monkeypatch):
    left = [True]

    class Once(nn.Module):
        def forward(self, features):
            return features * math.inf if self.training and left and left.pop() else features

    toy_with(monkeypatch, Once)
    with pytest.raises(FloatingPointError, match="No layer's output was NaN or infinite when the steps"):
        train_quietly(RECIPE, images16)


def test_without_a_folder_only_the_first_epoch_is_repeated(images16, monkeypatch):
    toy_with(monkeypatch, lambda: Breaks(at=2))
    with pytest.raises(FloatingPointError, match="at step 1 of 12.*no state was saved before.*'1' was the first"):
        train_quietly(RECIPE, images16)
    toy_with(monkeypatch, lambda: Breaks(at=7))
    with pytest.raises(FloatingPointError, match="at step 6 of 12.*may help$"):
        train_quietly(RECIPE, images16)


def test_a_broken_weight_is_not_saved(images16, tmp_path, monkeypatch):
    toy_with(monkeypatch, Root)
    words = "^the weight 1.weight became NaN or infinite at step 0 of 12.*no state was saved before.*may help$"
    with pytest.raises(FloatingPointError, match=words):
        train_quietly(RECIPE, images16, tmp_path, save_every=0)
    assert not (tmp_path / "state.pt").exists()


def test_all_processes_save_when_it_is_due_in_any_process(images16, monkeypatch):
    """Saving looks for broken numbers, which must stop all processes after the same step."""
    asked = []
    monkeypatch.setattr(callbacks.distributed, "all_reduce_any", lambda flag: asked.append(flag) or True)
    checkpoint, run = callbacks.Checkpoint(None, 1e9), fresh_run(RECIPE, images16)
    run.step = 1
    checkpoint.on_step(run)
    assert asked == [False] and checkpoint.saved_step == 1


# Memory


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells")
def test_memory_stays_flat(images16):
    resident = []

    def look(run):
        if run.step in (200, 1000):
            gc.collect()
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]))

    train_images, test_images = (
        part[:, :, ::2, ::2].contiguous() for part in (images16.train_images, images16.test_images)
    )
    few = images16._replace(train_images=train_images, test_images=test_images)
    quick = {"image_size": 8, "batch_size": 2, "padding": 0, "flip": "none", "cutout": 0, "evaluate_every": 20}
    recipe = replace(RECIPE, epochs=100, max_steps=1000, **quick)
    train_quietly(recipe, few, callbacks=[SimpleNamespace(on_step=look)])
    assert len(resident) == 2 and resident[1] < 1.01 * resident[0], resident
