"""Are the loss curves of two runs the same, within the error of model zoos? Used by `lambdalib compare`.

Taught in notebooks/07b_train_in_earnest.
"""

import csv
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lambdalib.training.checkpoint import load_state, read_json, read_text
from lambdalib.training.recipes import Recipe, check_fields

__all__ = ["Curve", "Comparison", "read_curve", "align", "compare", "plot_comparison", "RELATIVE", "ABSOLUTE"]

RELATIVE, ABSOLUTE = 0.05, 0.0002  # a run passes if one of its two errors is no larger
STEP_NAMES = ("step", "iteration", "iter")
LOSS_NAMES = ("loss", "value")  # "value" is TensorBoard's word


class Curve(NamedTuple):
    """A loss curve.

    steps: (n,) int64, rising; step s is the s-th of the run, counted from 1.
    losses: (n,) float64.
    means: whether each loss is the mean over the steps since the one before, as in fit's log.
    batch: images per step, None where the file does not say.
    """

    steps: Tensor
    losses: Tensor
    means: bool = False
    batch: int | None = None


class Comparison(NamedTuple):
    """Two curves at the steps that both have, and how far they lie apart.

    steps, first, second: (n,) each.
    relative: mean of |first - second| / |first|.
    absolute: mean of |first - second|.
    """

    steps: Tensor
    first: Tensor
    second: Tensor
    relative: float
    absolute: float

    @property
    def passed(self) -> bool:
        """Whether one of the two errors is small enough: relative <= 0.05 or absolute <= 0.0002."""
        return self.relative <= RELATIVE or self.absolute <= ABSOLUTE


# -----------------------------------------------------------------------------------------------------------------
# Reading


def read_curve(run: str | Path) -> Curve:
    """Read the losses of a run.

    Args:
        run: a folder that fit wrote: its state.pt has the loss of every step. Without state.pt its log.jsonl is
            read, which has the mean of every epoch. Or one of these files. Or a table: .jsonl (one object a line),
            .csv or .txt, with a column "loss" or "value" and perhaps "step", "iteration" or "iter". Without names:
            losses, or steps and losses.
    Raises:
        FileNotFoundError: no such file or folder, or a folder without a run.
        ValueError: the file holds no curve; the message says why.
    """
    path = Path(run)
    if path.is_dir():
        found = [path / name for name in ("state.pt", "log.jsonl") if (path / name).is_file()]
        if not found:
            raise FileNotFoundError(f"no run in {path}: neither state.pt nor log.jsonl is there")
        path = found[0]
    readers = {".pt": from_state, ".jsonl": from_jsonl, ".csv": from_text, ".txt": from_text}
    if path.suffix not in readers:
        raise ValueError(f"run must be a folder of fit or a file {', '.join(readers)}, got {str(run)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"no run at {path}")
    curve = readers[path.suffix](path)
    for step, loss in zip(curve.steps.tolist(), curve.losses.tolist()):
        if not abs(loss) < float("inf"):
            raise ValueError(f"{path}: the loss of step {step} is {loss}; a broken run is like no other")
    for before, after in pairwise(curve.steps.tolist()):
        if after <= before:
            raise ValueError(f"{path}: step {after} follows step {before}; steps must rise")
    return curve


def from_state(path: Path) -> Curve:
    """The loss of every step that was trained."""
    state = load_state(path)
    done, recipe = state["step"], Recipe.from_record(state["recipe"])
    return Curve(torch.arange(1, done + 1), state["losses"][:done].double(), batch=recipe.batch_size)


def from_jsonl(path: Path) -> Curve:
    """The log of fit, or another table."""
    rows = read_json(path, lines=True)
    if rows and rows[0].get("kind") == "start":
        check_fields(rows[0], {"recipe": Recipe}, f"{path}, line 1,")
        table = from_rows(path, [row for row in rows if row.get("kind") == "epoch"])
        return table._replace(means=True, batch=Recipe.from_record(rows[0]["recipe"]).batch_size)
    return from_rows(path, rows)


def from_text(path: Path) -> Curve:
    """Columns apart by commas or blanks, with or without their names."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    rows = list(csv.reader(lines)) if path.suffix == ".csv" else [line.replace(",", " ").split() for line in lines]
    if rows and {name.strip().lower() for name in rows[0]} & set(LOSS_NAMES):
        names = rows.pop(0)
    else:
        names = ("loss",) if all(len(row) == 1 for row in rows) else ("step", "loss")
    for row in rows:
        if len(row) != len(names):
            raise ValueError(f"{path}: expected {len(names)} columns ({', '.join(names)}), got {row}")
    return from_rows(path, [dict(zip(names, row)) for row in rows])


def from_rows(path: Path, rows: list[dict]) -> Curve:
    """The curve in a table; steps that have no name are counted."""
    steps, losses = [], []
    for count, row in enumerate(rows, start=1):
        row = {str(name).strip().lower(): value for name, value in row.items()}
        loss = next((row[name] for name in LOSS_NAMES if name in row), None)
        step = next((row[name] for name in STEP_NAMES if name in row), count)
        try:
            losses.append(float(loss))
            steps.append(int(step))
            if float(step) != steps[-1] or not 0 <= steps[-1] < 2**63:
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{path}: row {count} has no loss, or no whole step: {rows[count - 1]}") from None
    return Curve(torch.tensor(steps, dtype=torch.int64), torch.tensor(losses, dtype=torch.float64))


# -----------------------------------------------------------------------------------------------------------------
# Comparing


def epoch_means(curve: Curve, ends: Tensor) -> Curve:
    """The mean of a curve between one end and the next, where it has every step.

    Args:
        ends: (n,) steps, rising.
    """
    complete, means = [], []
    for start, end in pairwise([0, *ends.tolist()]):
        within = (curve.steps > start) & (curve.steps <= end)
        if within.sum() == end - start:
            complete.append(end)
            means.append(curve.losses[within].mean())
    steps, losses = torch.tensor(complete, dtype=torch.int64), torch.tensor(means, dtype=torch.float64)
    return Curve(steps, losses, True, curve.batch)


def align(first: Curve, second: Curve) -> tuple[Tensor, Tensor, Tensor]:
    """The steps that both curves have, and the two losses there.

    If one has epoch means only, the other one is averaged over the same epochs. Nothing is interpolated.

    Returns:
        steps, losses of the first, losses of the second, (n,) each.
    Raises:
        ValueError: one of them is no Curve; or their batches differ, or too little can be compared: less than half
            of the steps of the curve that has fewer, or of the length of the longer one.
    """
    for name, curve in {"first": first, "second": second}.items():
        if not isinstance(curve, Curve):
            raise ValueError(f"{name} must be a Curve, from read_curve, got {curve!r}")
    if None not in (first.batch, second.batch) and first.batch != second.batch:
        raise ValueError(
            f"the runs cannot be compared: a step is {first.batch} images in one and {second.batch} in the other"
        )
    length = max(curve.steps[-1].item() if len(curve.steps) else 0 for curve in (first, second))
    if first.means and not second.means:
        second = epoch_means(second, first.steps)
    elif second.means and not first.means:
        first = epoch_means(first, second.steps)
    steps = first.steps[torch.isin(first.steps, second.steps)]
    if len(steps) == 0:
        raise ValueError("the runs cannot be compared: they have no step in common")
    fewest = min(len(first.steps), len(second.steps))
    if 2 * len(steps) < fewest:
        raise ValueError(
            f"the runs cannot be compared: only {len(steps)} steps are in both, less than half of {fewest}"
        )
    if 2 * steps[-1] < length:
        raise ValueError(
            f"the runs cannot be compared: the last step in both is {steps[-1]}, less than half of {length}"
        )
    return steps, first.losses[torch.isin(first.steps, steps)], second.losses[torch.isin(second.steps, steps)]


def compare(first: Curve, second: Curve) -> Comparison:
    """How far two loss curves lie apart; the first is the one to reproduce.

        relative = 1/n Σ_s |a_s - b_s| / |a_s|,   absolute = 1/n Σ_s |a_s - b_s|   over the n common steps s

    The rule (relative <= 0.05 or absolute <= 0.0002) is that of model zoos. They ask with it whether a run on new
    hardware repeats a run on old. It is coarse. Two seeds of the demo preset pass with --max-steps 60 (0.020).

    Raises:
        ValueError: the curves cannot be aligned.
    """
    steps, a, b = align(first, second)
    apart = (a - b).abs()
    relative = torch.where(apart == 0, 0.0, apart / a.abs())  # two zeros agree
    return Comparison(steps, a, b, relative.mean().item(), apart.mean().item())


def plot_comparison(result: Comparison, names: tuple[str, str]) -> Figure:
    """Both curves, and below them their difference."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    for name, losses, colour in zip(names, (result.first, result.second), ("#2b2f36", "#e8730c")):
        top.plot(result.steps, losses, color=colour, linewidth=1, label=name)
    top.set(ylabel="training loss")
    top.legend(frameon=False, fontsize=9)
    bottom.plot(result.steps, result.second - result.first, color="#8a93a0", linewidth=1)
    bottom.axhline(0, color="#2b2f36", linewidth=0.8, linestyle=":")
    bottom.set(xlabel="step", ylabel="difference")
    return figure
