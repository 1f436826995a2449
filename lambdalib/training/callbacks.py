"""What may happen beside training: saving, signals, a bar, a curve, a time estimate. Used by `lambdalib train`.

A callback is an object with methods on_step(run), on_epoch_end(run) or on_end(run). The loop calls those that it
has, by name; after the last step of an epoch on_epoch_end comes first, when the epoch's line is in the log
already.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from lambdalib.arguments import check_numbers
from lambdalib.training import distributed
from lambdalib.training.checkpoint import save_state, save_weights, whole_file
from lambdalib.training.evidence import dtype_words, in_notebook
from lambdalib.training.recipes import image_side
from lambdalib.training.run import Run

__all__ = [
    "call", "Checkpoint", "StopTraining", "TimeLimit", "Terminated", "StopSignal", "ProgressBar", "TimeEstimate",
    "LiveCurve", "loss_curve",
]  # fmt: skip


def call(callbacks: Iterable, event: str, run: Run) -> None:
    """Call the method `event` of every callback that has it."""
    for callback in callbacks:
        getattr(callback, event, lambda run: None)(run)


class Checkpoint:
    """Saves the run after every epoch, every `seconds` in between, and the result at the end; stops a broken run.

    With several processes the first one writes. Without a folder nothing is written.

    Raises:
        FloatingPointError: a loss or a weight was NaN or infinite. No later step mends the weights, so nothing is
            saved any more.
    """

    def __init__(self, folder: Path | None, seconds: float):
        self.folder, self.seconds = folder, seconds
        self.saved_at, self.saved_step = time.monotonic(), None

    def on_step(self, run: Run) -> None:
        if run.step % 10 == 0:  # now and then, since a GPU has to wait for it
            self.check(run)
        due = time.monotonic() - self.saved_at > self.seconds and run.step != self.saved_step
        if distributed.all_reduce_any(due):  # so that all processes check the same step
            self.save(run)

    def on_epoch_end(self, run: Run) -> None:
        self.save(run)

    def on_end(self, run: Run) -> None:
        """Write the weights with their card, the loss curve, and the finished state and log."""
        if self.folder is None or distributed.rank() > 0:
            return
        recipe = run.recipe
        card = {
            "model": recipe.model,
            "model_kwargs": recipe.model_kwargs,
            "result": run.records[-1],
            "run": run.records[0],
        }
        save_weights(run.eval_model, self.folder / "weights.safetensors", card)
        with whole_file(self.folder / "curve.png") as part:
            loss_curve(run).savefig(part, format="png", dpi=120)
        self.save(run)

    def save(self, run: Run) -> None:
        """Write state.pt and log.jsonl, each whole or not at all."""
        self.check(run)
        self.saved_at, self.saved_step = time.monotonic(), run.step
        if self.folder is None or distributed.rank() > 0:
            return
        save_state(run.state(), self.folder / "state.pt")
        with whole_file(self.folder / "log.jsonl") as part:
            part.write_text("".join(json.dumps(record) + "\n" for record in run.records))

    def check(self, run: Run) -> None:
        """Raise FloatingPointError if a loss or a weight is NaN or infinite, and name the last good state."""
        steps = (~run.losses[: run.step].isfinite()).nonzero()
        weights = [name for name, weight in run.model.named_parameters() if not weight.isfinite().all()]
        if len(steps):
            step = steps[0].item()
            what = f"the loss became {run.losses[step].item()}"
        elif weights:
            step, what = run.step - 1, f"the weight {weights[0]} became NaN or infinite"
        else:
            return
        saved = self.folder is not None and (self.folder / "state.pt").exists()
        good = f"the last good state is {self.folder / 'state.pt'}" if saved else "no state was saved before"
        wider = "" if run.dtype == torch.float32 else ", or with dtype=float32,"
        raise FloatingPointError(
            f"{what} at step {step} of {run.total}, epoch {step / run.per_epoch:.2f}; {good}. "
            f"A new run with a smaller lr or a longer warmup{wider} may help"
        )


class StopTraining(Exception):
    """Raised by a callback that has saved the run: fit then stops without an error."""


class TimeLimit:
    """Saves the run and stops it after so many minutes. A run that is at its last step ends as usual.

    Args:
        checkpoint: saves the run.
        minutes: from now on. None: no limit.
        clock: gives seconds.
    """

    def __init__(self, checkpoint: Checkpoint, minutes: float | None, clock: Callable[[], float] = time.monotonic):
        self.checkpoint, self.clock = checkpoint, clock
        self.end = None if minutes is None else clock() + 60 * minutes

    def on_step(self, run: Run) -> None:
        if self.end is None or run.step == run.total:
            return
        if distributed.all_reduce_any(self.clock() >= self.end):
            self.checkpoint.save(run)
            raise StopTraining


class Terminated(KeyboardInterrupt):
    """Another program asked this one to end, by SIGTERM: a cluster whose time is up, or torchrun."""


class StopSignal:
    """A context manager: the first Ctrl-C or SIGTERM finishes the step, saves and stops; a second ends at once.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Terminated: SIGTERM. Windows never sends one.
    """

    ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint, self.asked, self.usual = checkpoint, None, {}

    def __enter__(self) -> "StopSignal":
        with suppress(ValueError):  # not in the main thread, the only one that gets signals
            self.usual = {number: signal.signal(number, self.note) for number in self.ERRORS}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.usual.items():
            if handler is not None:  # None stands for one that Python did not set
                signal.signal(number, handler)

    def note(self, signum, frame) -> None:
        """The handler of the signals."""
        if self.asked is not None:
            raise self.ERRORS[signum]
        self.asked = self.ERRORS[signum]

    def on_step(self, run: Run) -> None:
        if not distributed.all_reduce_any(self.asked is not None):
            return
        self.checkpoint.save(run)
        error = Terminated if distributed.all_reduce_any(self.asked is Terminated) else KeyboardInterrupt
        folder, done = self.checkpoint.folder, f"stopped after step {run.step} of {run.total}"
        if folder is None:
            raise error(f"{done}; nothing was saved, since there is no out_dir")
        raise error(f"{done}; saved in {folder / 'state.pt'}: continue with resume=True (--resume)")


class ProgressBar:
    """A bar of steps with the last epoch's loss and accuracy. A context manager."""

    def __init__(self, run: Run, shown: bool):
        self.bar = tqdm(desc=run.recipe.model, total=run.total, initial=run.step, unit="step", disable=not shown)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def on_step(self, run: Run) -> None:
        self.bar.update()

    def on_epoch_end(self, run: Run) -> None:
        record = run.records[-1]
        self.bar.set_postfix({name: f"{record[name]:.3f}" for name in ("loss", "test_accuracy") if name in record})


class TimeEstimate:
    """Says how long the run will take: after its first steps, and again after its first epoch.

    Args:
        shown: whether to say it.
        clock: gives seconds.
        say: gets the sentence. Default: a line beside the bar.
    """

    STEPS = 5  # timed before the first estimate; the very first step, which warms up, comes before them

    def __init__(
        self, shown: bool, clock: Callable[[], float] = time.monotonic, say: Callable[[str], None] | None = None
    ):
        self.shown, self.clock, self.say = shown, clock, say or say_beside_the_bar
        self.began = self.timed = None

    def on_step(self, run: Run) -> None:
        if self.began is None:
            self.began = run.step, self.clock()
            return
        self.timed = run.step, self.clock()
        if self.shown and run.step - self.began[0] == self.STEPS:
            total, epochs = self.words(run, self.began[0] - 1)
            self.say(f"This takes about {total}: {epochs}, in {dtype_words(run.recipe.dtype, run.device)}.")

    def on_epoch_end(self, run: Run) -> None:
        if self.shown and self.timed is not None and run.step < run.total:
            self.shown = False  # one correction is enough: the bar tells the rest
            total, epochs = self.words(run, run.step)
            self.say(f"After the first epoch, about {total} to go: {epochs}.")

    def words(self, run: Run, start: int) -> tuple[str, str]:
        """The time from step `start` to the end of the run, "2 h 5 min", and its parts, "32 epochs of 3.9 min".

        A step takes as long as its images have pixels.
        """
        recipe, (first, began), (last, now) = run.recipe, self.began, self.timed
        pixels = [image_side(step, recipe, run.total) ** 2 for step in range(run.total)]
        per_pixel = (now - began) / sum(pixels[first:last])
        period = run.per_epoch * recipe.evaluate_every  # in steps
        evaluations = -(-run.total // period) - start // period + 2  # with flip augmentation at the end: two more
        test_size = run.records[0]["data"]["test"]
        test_steps = test_size / recipe.batch_size / 3  # a forward pass is a third of a step
        total = per_pixel * (sum(pixels[start:]) + evaluations * test_steps * recipe.image_size**2)
        epochs, seconds = (run.total - start) / run.per_epoch, per_pixel * pixels[start] * run.per_epoch
        growing = ", which take longer as the images grow" if pixels[start] < pixels[-1] else ""
        return duration(total), f"{epochs:.3g} epochs of {duration(seconds)}{growing}"


def duration(seconds: float) -> str:
    """Seconds in words: "40 s", "3.9 min", "2 h 5 min". Raises ValueError for what are none."""
    check_numbers(seconds=seconds)
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{seconds / 60:.1f} min" if seconds < 597 else f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def say_beside_the_bar(text: str) -> None:
    """Print a line above the bar: in a notebook below the cell, else to stderr, where the bar is."""
    tqdm.write(text, file=sys.stdout if in_notebook() else sys.stderr)


class LiveCurve:
    """Shows the loss curve in a notebook and redraws it in place, in at most a twentieth of the time."""

    def __init__(self, shown: bool):
        self.shown, self.handle, self.due = shown, None, 0.0

    def on_step(self, run: Run) -> None:
        if self.shown and run.step % 10 == 0 and time.monotonic() >= self.due:
            self.draw(run)

    def on_end(self, run: Run) -> None:
        if self.shown:
            self.draw(run)

    def draw(self, run: Run) -> None:
        """Show the curve as it is now, in the place of the last one."""
        from IPython.display import Image, display  # only notebooks need IPython

        began, png = time.monotonic(), BytesIO()
        loss_curve(run).savefig(png, format="png", dpi=80)
        image = Image(png.getvalue())
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
        now = time.monotonic()
        self.due = now + max(2.0, 20 * (now - began))


def loss_curve(run: Run) -> Figure:
    """Over epochs: the loss of every step, its running mean, and the test accuracy."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left = figure.add_subplot(xlabel="epoch", ylabel="training loss", xlim=(0, run.total / run.per_epoch))
    right = left.twinx()
    losses, window = run.losses[: run.step].cpu(), max(1, min(run.per_epoch // 4, run.step))
    epochs = torch.arange(1, run.step + 1) / run.per_epoch
    left.plot(epochs, losses, color="#c9ced6", linewidth=0.8)
    if run.step:
        left.plot(epochs[window - 1 :], losses.unfold(0, window, 1).mean(1), color="#2b2f36", linewidth=1.5)
    tested = [record for record in run.records if record["kind"] == "epoch" and "test_accuracy" in record]
    right.plot([r["epoch"] for r in tested], [100 * r["test_accuracy"] for r in tested], ".-", color="#e8730c")
    right.set_ylabel("test accuracy, %", color="#e8730c")
    right.set_ylim(0, 100)
    return figure
