"""The records of all runs: read, gathered by row, and printed as a table.

assets/runs.jsonl holds one line a run: {"group": ..., "row": ..., "seed": ..., "lines": [...]}. The lines are the
log.jsonl that fit wrote, unchanged; group, row and seed say where the run belongs.
Taught in notebooks/09b_how_sure. Used by `lambdalib results`.
"""

import json
from dataclasses import fields, replace
from functools import cache
from math import nan, sqrt
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch

from lambdalib.cost import multiply_adds
from lambdalib.experiments.rows import CUMULATIVE_ABLATION, EVERY_ROW, ROW_ALIASES
from lambdalib.models import create_model
from lambdalib.training.checkpoint import ASSETS, check_log, read_json
from lambdalib.training.recipes import Recipe, check_fields, is_a

__all__ = [
    "RUNS", "GROUPS", "Record", "Row", "read_records", "find_record", "read_results", "add_run", "format_mean",
    "mean_interval", "mean_difference", "format_difference", "results_table",
]  # fmt: skip

RUNS = ASSETS / "runs.jsonl"
GROUPS = {
    "main": "rows as listed, scored on the test set",
    "validation": "rows of main or missing steps, scored on validation images: training images set apart",
    "cumulative-ablation": "the recipe built up step by step, scored on validation images",
    "sweep": "short runs that chose the learning rates, scored on validation images; row: NAME-lrRATE",
    "set-aside": "runs at a learning rate that was not chosen; row: NAME-lrRATE",
    "rerun": "a row and seed of main, run again at a later commit",
    "early-recipe": "complete runs by recipes older than today's; no row is listed for them",
}
# 97.5 % quantiles of Student's t distribution with 1, 2, ... 24 degrees of freedom
STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179,
    2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
)  # fmt: skip


class Record(NamedTuple):
    """One recorded run. Used by read_records.

    group: one of GROUPS; row: its name in rows.py; seed: its seed.
    lines: the log of the run: a start with all that decided it, one line an epoch, an end with its accuracy.
    """

    group: str
    row: str
    seed: int
    lines: list[dict]

    @property
    def start(self) -> dict:
        """The first line: recipe, data, command, commit, versions, machine."""
        return self.lines[0]

    @property
    def end(self) -> dict:
        """The last line: accuracy without and with flip test-time augmentation, seconds."""
        return self.lines[-1]

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run. A field younger than the record has its default."""
        return read_recipe(self.start["recipe"])


class Row(NamedTuple):
    """What the records of one row say. Accuracies are of the last epoch, from 0 to 1. Used by read_results."""

    name: str
    parameters: int
    recipe: Recipe  # that of its first seed
    epochs: float
    sides: str  # of the images in pixels, with the epochs at each: "6 at 16, 4 at 24, 1 at 32"
    scored_on: str  # "test" or "validation" images
    accuracies: list[float]  # in the order of the seeds
    accuracies_flip_tta: list[float]

    @property
    def adds(self) -> int:
        """Multiply-adds of a forward pass, for one image of 32×32 pixels."""
        return adds_of_net(self.recipe.model, json.dumps(self.recipe.model_kwargs))


@cache  # counting takes a good part of a second, and few records are of a net of their own
def adds_of_net(model: str, model_kwargs: str) -> int:
    """Row.adds of a net, its options as JSON."""
    with torch.device("meta"):
        return multiply_adds(create_model(model, **json.loads(model_kwargs)), (1, 3, 32, 32))


def read_recipe(values: dict) -> Recipe:
    """The recipe in a record's first line."""
    return Recipe.from_record(values)


# -----------------------------------------------------------------------------------------------------------------
# Reading


def read_records(group: str | None = "main", path: str | Path = RUNS) -> list[Record]:
    """The recorded runs of a group. Used by read_results.

    Args:
        group: one of GROUPS; None: all.
        path: a file like runs.jsonl, or a folder in which each run of `lambdalib train` has its own folder.
    Raises:
        ValueError: there is no such group or no record of it, or a run has not ended.
        FileNotFoundError: there is no such file or folder.
    """
    if group not in [None, *GROUPS]:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")
    if Path(path).is_dir():
        records = [read_run(log.parent) for log in sorted(Path(path).rglob("log.jsonl"))]
    else:
        records = [read_record(*line, path) for line in enumerate(read_json(path, lines=True), start=1)]
    records = [record for record in records if group in (None, record.group)]
    if not records:
        raise ValueError(f"path must hold records of group {group or 'any'}, got {str(path)!r}, which holds none")
    return records


def find_record(row: str, seed: int = 0, group: str = "main", path: str | Path = RUNS) -> Record:
    """One run. Taught in notebooks/09b_how_sure.

    Raises:
        ValueError: there is no such run.
    """
    for record in read_records(group, path):
        if (record.row, record.seed) == (row, seed):
            return record
    raise ValueError(f"row and seed must be of a run in group {group}, got {row!r} and {seed}")


def read_record(number: int, values: dict, path: str | Path) -> Record:
    """The record on a line of a file like runs.jsonl."""
    check_fields(values, {"group": str, "row": str, "seed": int, "lines": list}, f"{path}, line {number},")
    if values["group"] not in GROUPS:
        raise ValueError(
            f"{path}, line {number}: group must be one of {', '.join(GROUPS)}, got {values['group']!r}"
        )
    lines = ended(values["lines"], f"{path}, line {number}: lines")
    return Record(values["group"], values["row"], values["seed"], lines)


def ended(lines: list, where: str) -> list[dict]:
    """The log of a run that has ended. Raises ValueError for another one."""
    check_log(lines, where)
    last = lines[-1]["kind"] if lines else "nothing"
    if last != "end":
        raise ValueError(f"a run must have ended to be a record, but {where} ends with {last!r}")
    return lines


def read_run(folder: str | Path, group: str | None = None, row: str | None = None) -> Record:
    """The run that `lambdalib train` left in a folder. Used by read_records and add_run.

    Args:
        group: default: that of the row, of its recipe's validation images, or main.
        row: default: the one that its command names, else the one that has its recipe, else the folder's name.
    Raises:
        FileNotFoundError: the folder has no log.jsonl.
        ValueError: the run has not ended.
    """
    log = Path(folder) / "log.jsonl"
    lines = ended(read_json(log, lines=True), str(log))
    recipe, words = read_recipe(lines[0]["recipe"]), lines[0].get("command", "").split()
    if row is None and "--row" in words[:-1]:
        row = words[words.index("--row") + 1]
    if row is None:
        listed = (name for name, other in EVERY_ROW.items() if replace(other, seed=recipe.seed) == recipe)
        row = next(listed, Path(folder).resolve().name.partition("-seed")[0])
    row = ROW_ALIASES.get(row, row)
    if group is None:
        group = "validation" if recipe.validation_images else "main"
        group = "cumulative-ablation" if row in CUMULATIVE_ABLATION else group
    if group in ("sweep", "set-aside") and "-lr" not in row:
        row = f"{row}-lr{recipe.lr:g}"
    return Record(group, row, recipe.seed, lines)


# -----------------------------------------------------------------------------------------------------------------
# Adding


def add_run(folder: str | Path, group: str | None = None, row: str | None = None, path: Path = RUNS) -> Record:
    """Append the run in a folder to the records. Used by `lambdalib results --add`.

    Args:
        folder: what `lambdalib train` wrote.
        group, row: where it belongs. Default: see read_run.
        path: the file to append to; it need not exist.
    Returns:
        The record.
    Raises:
        FileNotFoundError: the folder has no log.jsonl.
        ValueError: the run has not ended, its code was not committed, it was not trained on all of CIFAR-10, its
            recipe is not the row's, or the records have it already.
    """
    if group not in [None, *GROUPS]:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")
    record = read_run(folder, group, row)
    for line in record.lines:
        commit = line.get("commit", "") if line["kind"] in ("start", "resume") else "same"
        if not commit or "+" in commit:
            raise ValueError(f"a record must be made of committed code, got commit {commit!r} in {folder}")
    data, held_out = record.start["data"], record.recipe.validation_images
    if (data["train"], data["test"]) != (50_000 - held_out, held_out or 10_000):
        raise ValueError(f"a record must be of all of CIFAR-10, got {data['train']:,} training images in {folder}")
    if record.group != "early-recipe":
        check_recipe(record)
    others = read_records(None, path) if path.is_file() else []
    for other in others:
        if other.lines == record.lines or other[:3] == record[:3]:
            raise ValueError(
                f"a run must be new, but {path.name} has one of group {other.group}, row {other.row}, "
                f"seed {other.seed}; the same row and seed run again belong to group rerun"
            )
    gather([other for other in others if other[:2] == record[:2]] + [record])  # raises unless they are alike
    with open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(record._asdict()) + "\n")
    return record


def check_recipe(record: Record) -> None:
    """Raise ValueError unless a record's recipe is the one that its row has, as far as its group says."""
    name, _, rate = record.row.partition("-lr")
    if name not in EVERY_ROW:
        raise ValueError(f"row must be one of {', '.join(EVERY_ROW)}, got {name!r}")
    recipe = record.recipe
    free = {"seed": recipe.seed}  # the fields that this group leaves open
    if record.group in ("sweep", "set-aside"):
        free["lr"] = float(rate)
    if record.group in ("sweep", "validation"):
        free["validation_images"] = recipe.validation_images
    if record.group == "sweep":
        free |= {"epochs": recipe.epochs, "progressive_resizing": recipe.progressive_resizing}
    listed = replace(EVERY_ROW[name], **free)
    differing = [one.name for one in fields(Recipe) if getattr(listed, one.name) != getattr(recipe, one.name)]
    if differing:
        raise ValueError(
            f"the recipe of a run in group {record.group} must be that of its row {name!r}, but they differ in "
            f"{', '.join(differing)}; --group and --row say where it belongs"
        )


# -----------------------------------------------------------------------------------------------------------------
# Telling


def read_results(group: str | None = "main", path: str | Path = RUNS) -> list[Row]:
    """The records of a group, gathered by row. Taught in notebooks/09b_how_sure.

    Args:
        group, path: as in read_records.
    Returns:
        One Row for each row, in the order of rows.py; names that are not listed there come last.
    Raises:
        ValueError: there is no such group or no record of it, a run has not ended, or the runs of one row repeat a
            seed or differ in more than the seed.
        FileNotFoundError: there is no such file or folder.
    """
    rows: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(read_records(group, path), key=lambda record: record.seed):
        rows.setdefault((record.row, record.group), []).append(record)
    order = {name: place for place, name in enumerate(EVERY_ROW)}
    return [gather(rows[key]) for key in sorted(rows, key=lambda key: (order.get(key[0], len(order)), key))]


def gather(runs: list[Record]) -> Row:
    """The runs of one row: same recipe, data and dtype, different seeds. Commit and machine may differ."""
    first = runs[0]
    if len({run.seed for run in runs}) < len(runs):
        raise ValueError(f"runs of a row must have different seeds, but {first.row!r} has one of them twice")
    alike = [
        (replace(run.recipe, seed=0), run.start["parameters"], run.start["dtype"])
        + (run.start["data"]["train"], run.start["data"]["test"])
        for run in runs
    ]
    if any(each != alike[0] for each in alike):
        raise ValueError(f"runs of a row must be alike, but those of {first.row!r} differ in more than the seed")
    return Row(
        name=first.row,
        parameters=first.start["parameters"],
        recipe=first.recipe,
        epochs=first.recipe.epochs,
        sides=sides_of(first.recipe),
        scored_on="validation" if first.recipe.validation_images else "test",
        accuracies=[run.end["test_accuracy"] for run in runs],
        accuracies_flip_tta=[run.end["test_accuracy_flip_tta"] for run in runs],
    )


def sides_of(recipe: Recipe) -> str:
    """The sides of the images that a run trains on, with the epochs at each."""
    schedule = recipe.progressive_resizing
    schedule = {**schedule, recipe.image_size: recipe.epochs - sum(schedule.values())}
    return ", ".join(f"{epochs:g} at {side}" for side, epochs in schedule.items())


def deviations(runs: list[float]) -> tuple[float, int]:
    """The sum of squared deviations from the mean, and its degrees of freedom."""
    if not runs or not all(is_a(run, float) for run in runs):
        raise ValueError(f"accuracies must be a list of numbers, at least one, got {runs!r}")
    mean = fmean(runs)
    return sum((run - mean) ** 2 for run in runs), len(runs) - 1


def mean_difference(one: list[float], other: list[float]) -> tuple[float, float]:
    """The mean of one row minus that of another, and the half width of its 95 % confidence interval.

        x̄ - ȳ ± t·s·√(1/n + 1/m),   s² = (Σ(x - x̄)² + Σ(y - ȳ)²) / (n + m - 2)

    t is the 97.5 % quantile of Student's distribution with n + m - 2 degrees of freedom. Accuracies are taken to
    be normally distributed with one variance (Student 1908). A difference is significant where its interval does
    not contain 0. Taught in notebooks/09b_how_sure.

    Args:
        one, other: accuracies of n and of m runs with different seeds.
    Returns:
        In the unit of the accuracies. The half width is NaN where both rows have a single run.
    """
    (squares, freedom), (squares_other, freedom_other) = deviations(one), deviations(other)
    half = nan
    if freedom + freedom_other:
        s = sqrt((squares + squares_other) / (freedom + freedom_other))
        half = quantile(freedom + freedom_other) * s * sqrt(1 / len(one) + 1 / len(other))
    return fmean(one) - fmean(other), half


def quantile(freedom: int) -> float:
    """Student's t for a 95 % interval. Beyond 24 degrees of freedom that of 24, at most 6 % too wide."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def format_difference(one: list[float], other: list[float]) -> str:
    """The difference of two rows in points, with its 95 % interval: "+0.74 ± 0.36". Two single runs have none.

    Taught in notebooks/09b_how_sure.
    """
    points, half = mean_difference(one, other)
    return f"{100 * points:+.2f}" + (f" ± {100 * half:.2f}" if half == half else "")


def mean_interval(accuracies: list[float]) -> tuple[float, float]:
    """The mean of a row, and the half width of its 95 % confidence interval.

        x̄ ± t·s/√n

    for n runs with standard deviation s; t as in mean_difference, with n - 1 degrees of freedom. Used by
    format_mean.

    Returns:
        In the unit of the accuracies. The half width of a single run is NaN.
    """
    squares, freedom = deviations(accuracies)
    return fmean(accuracies), quantile(freedom) * sqrt(squares / freedom / len(accuracies)) if freedom else nan


def format_mean(accuracies: list[float]) -> str:
    """The mean with its 95 % confidence interval, in percent: "91.40 ± 0.42". A single run has no interval.

    Taught in notebooks/09b_how_sure.
    """
    mean, half = mean_interval(accuracies)
    return f"{100 * mean:.2f}" + (f" ± {100 * half:.2f}" if half == half else "")


def results_table(rows: list[Row], names: dict[str, str] | None = None, beside: Row | None = None) -> str:
    """The rows as a table in Markdown. Used by `lambdalib results`.

    Args:
        names: row -> what the model is, in words. Default: the name of the row.
        beside: a row to which the others are compared, in one more column.
    """
    scored_on = " or ".join(sorted({row.scored_on for row in rows} or {"test"}))
    header = ["model", "parameters", "multiply-adds", "epochs at side", "seeds"]
    header += [f"{scored_on} accuracy, %", "with flip TTA, %"]
    header += [] if beside is None else ["difference, points"]
    lines = [header, ["---"] * len(header)]
    for row in rows:
        cells = [(names or {}).get(row.name, row.name), f"{row.parameters:,}", f"{row.adds / 1e6:.1f} M"]
        cells += [row.sides, str(len(row.accuracies)), format_mean(row.accuracies)]
        cells += [format_mean(row.accuracies_flip_tta)]
        if beside is not None:
            cells.append("" if row == beside else format_difference(row.accuracies, beside.accuracies))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
