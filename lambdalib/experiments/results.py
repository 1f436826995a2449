"""The records of all runs: read, gathered by row, and printed as a table.

assets/runs.jsonl holds one line a run: {"group": ..., "row": ..., "seed": ..., "lines": [...]}. The lines are the
log.jsonl that fit wrote, unchanged; group, row and seed say where the run belongs.
Taught in notebooks/09_what_the_lambda_is_worth. Used by `lambdalib results`.
"""

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import torch

from lambdalib.cost import multiply_adds
from lambdalib.experiments.rows import CUMULATIVE_ABLATION, EVERY_ROW, ROW_ALIASES, ROWS
from lambdalib.models import create_model
from lambdalib.training.checkpoint import ASSETS
from lambdalib.training.recipes import Recipe

__all__ = [
    "RUNS", "GROUPS", "Record", "Row", "read_records", "find_record", "read_results", "add_run", "format_mean",
    "prediction_interval", "results_table",
]  # fmt: skip

RUNS = ASSETS / "runs.jsonl"
GROUPS = {
    "main": "rows as listed, scored on the test set",
    "validation": "rows of main, scored on validation images: training images that were set apart",
    "cumulative-ablation": "the recipe built up step by step, scored on validation images",
    "sweep": "short runs that chose the learning rates, scored on validation images; row: NAME-lrRATE",
    "set-aside": "runs at a learning rate that was not chosen; row: NAME-lrRATE",
    "rerun": "a row and seed of main, run again at a later commit",
    "early-recipe": "small by two recipes older than today's; no row is listed for them",
}
# 97.5 % quantiles of Student's t by the number of runs; for two runs the interval is too wide to be worth printing
STUDENT = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


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
    adds: int  # multiply-adds an image
    epochs: float
    scored_on: str  # "test" or "validation" images
    accuracies: list[float]  # in the order of the seeds
    accuracies_flip_tta: list[float]
    minutes: float  # of the fastest run: the others may have shared their machine
    hardware: str  # of the fastest run


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
    if group is not None and group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {group!r}")
    if Path(path).is_dir():
        records = [read_run(log.parent) for log in sorted(Path(path).rglob("log.jsonl"))]
    else:
        records = [Record(**json.loads(line)) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    records = [record for record in records if group in (None, record.group)]
    if not records:
        raise ValueError(f"path must hold records of group {group or 'any'}, got {str(path)!r}, which holds none")
    return records


def find_record(row: str, seed: int = 0, group: str = "main", path: str | Path = RUNS) -> Record:
    """One run. Taught in notebooks/09_what_the_lambda_is_worth.

    Raises:
        ValueError: there is no such run.
    """
    for record in read_records(group, path):
        if (record.row, record.seed) == (row, seed):
            return record
    raise ValueError(f"row and seed must be of a run in group {group}, got {row!r} and {seed}")


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
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    last = lines[-1]["kind"] if lines else "nothing"
    if last != "end":
        raise ValueError(f"a run must have ended to be a record, but {log} ends with {last!r}")
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
    if group is not None and group not in GROUPS:
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
        free["epochs"] = recipe.epochs
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
    """The records of a group, gathered by row. Taught in notebooks/09_what_the_lambda_is_worth.

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
    with torch.device("meta"):
        adds = multiply_adds(create_model(first.recipe.model, **first.recipe.model_kwargs), (1, 3, 32, 32))
    fastest = min(runs, key=lambda run: run.end["seconds"])
    threads = fastest.start["threads"]
    return Row(
        name=first.row,
        parameters=first.start["parameters"],
        adds=adds,
        epochs=first.recipe.epochs,
        scored_on="validation" if first.recipe.validation_images else "test",
        accuracies=[run.end["test_accuracy"] for run in runs],
        accuracies_flip_tta=[run.end["test_accuracy_flip_tta"] for run in runs],
        minutes=fastest.end["seconds"] / 60,
        hardware=f"{fastest.start['hardware']}, {threads} thread{'s' * (threads > 1)}",
    )


def format_mean(accuracies: list[float]) -> str:
    """Mean and standard deviation over the seeds, in percent: "91.40 ± 0.34". One seed has no deviation.

    Taught in notebooks/09_what_the_lambda_is_worth.
    """
    deviation = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * fmean(accuracies):.2f}{deviation}"


def prediction_interval(accuracies: list[float]) -> str:
    """Where one more run falls in 95 of 100 cases, in percent: "90.37 to 92.42". Used by results_table.

        mean ± t·s·√(1 + 1/n)

    for n runs with standard deviation s, if accuracies are normally distributed; t is the 97.5 % quantile of
    Student's distribution with n - 1 degrees of freedom. Empty unless n is 3 to 10.
    """
    n = len(accuracies)
    if n not in STUDENT:
        return ""
    mean, half = fmean(accuracies), STUDENT[n] * stdev(accuracies) * sqrt(1 + 1 / n)
    return f"{100 * (mean - half):.2f} to {100 * (mean + half):.2f}"


def results_table(rows: list[Row], names: Iterable[str] = ()) -> str:
    """The rows as a table in Markdown. Used by `lambdalib results`.

    Args:
        names: of ROWS; those that are not among the rows are listed as not yet measured.
    """
    scored_on = " or ".join(sorted({row.scored_on for row in rows} or {"test"}))
    lines = [
        f"| row | parameters | multiply-adds | epochs | seeds | {scored_on} accuracy, % "
        "| 95 % prediction interval | with flip TTA, % | minutes | on |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.name} | {row.parameters:,} | {row.adds / 1e6:.1f} M | {row.epochs:g} | {len(row.accuracies)} "
            f"| {format_mean(row.accuracies)} | {prediction_interval(row.accuracies)} "
            f"| {format_mean(row.accuracies_flip_tta)} | {row.minutes:.1f} | {row.hardware} |"
        )
    missing = [name for name in names if name not in {row.name for row in rows}]
    return "\n".join(
        [*lines, *(f"| {name} | | | {ROWS[name].epochs:g} | 0 | not yet measured | | | | |" for name in missing)]
    )
