"""The experiments: one list of runs, and what their records say.

`lambdalib train --row NAME --seed S` runs one; its log is the record. RECORDS holds those that come with the package, and below
it sweep those that chose the learning rates, ladder those that say what the recipe's parts are worth, held-out and again rows
judged by held-out pictures and rows run once more, set-aside runs at a rate that was not chosen; `lambdalib results` reads them.
A row and its twin differ in one thing only, and in the learning rate where the sweep said so.
Taught in notebooks/09_what_the_lambda_is_worth, the ladder in notebooks/07_train_on_cifar10.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import torch

from lambdalib.training.checkpoint import ASSETS
from lambdalib.cost import multiply_adds
from lambdalib.resnet import create_model
from lambdalib.training.recipes import RECIPES, Recipe
from lambdalib.twins import TWINS

__all__ = ["RECORDS", "NETS", "COMPARISONS", "ROWS", "LADDER", "Row", "read_results", "results_table"]

RECORDS = ASSETS / "results"
SMALL = RECIPES["cpu"]
TINY = replace(SMALL, model="tiny", epochs=48)
LARGE = RECIPES["gpu"]
CONVOLUTIONS = {"layout": "CCC"}
COMPARED = replace(TINY, epochs=10)  # a fifth of that: eight layers with three seeds are 24 runs
RATES = {"convolution": 1.5, "position": 1.5, "linear-attention": 1.5}  # by RECORDS/sweep: of 0.375, 0.75 and 1.5 the best one, 0.75 for the others
EARLY = ("lambda", "pointwise")  # the same in all three blocks: the first map has 15 × 15 pixels
# What the lambda layers of twins-lambda have otherwise: k = 16, h = 4, u = 1, and a scope that covers the map.
SIZES = {"k4": {"dim_k": 4}, "k64": {"dim_k": 64}, "h1": {"heads": 1}, "h16": {"heads": 16}, "u4": {"dim_u": 4}, "scope3": {"scope": 3}}
# In all three blocks of a net whose other convolutions are 1×1: pixels meet in these layers, in the 2×2 of stem and pools, and in the last maximum.
ALONE = {"lambda": {}, "convolution": {"layout": "CCC"}, **{twin: {"twin": twin} for twin in ("content", "position", "frozen-query", "pointwise")},
         "lambda-u4": {"dim_u": 4}, "frozen-query-u4": {"twin": "frozen-query", "dim_u": 4}}

NETS: dict[str, Recipe] = {
    "tiny": TINY,
    "tiny-u4": replace(TINY, model_kwargs={"dim_u": 4}),
    "tiny-convolutions": replace(TINY, model_kwargs=CONVOLUTIONS),
    "small": SMALL,
    "small-convolutions": replace(SMALL, model_kwargs=CONVOLUTIONS),
    "lambda-resnet18-u4": LARGE,
    "lambda-resnet18-u4-convolutions": replace(LARGE, model="resnet26", model_kwargs={}),
    "resnet18": replace(LARGE, model="resnet18", model_kwargs={}),
    "lambda-resnet18-u4-scope5": replace(LARGE, model_kwargs={"dim_u": 4, "scope": 5}),
    "lambda-resnet18-u1-scope23": replace(LARGE, model_kwargs={"dim_u": 1, "scope": 23}),
    "lambda-resnet50-u4": replace(LARGE, model="lambda_resnet50"),
}

# One net, and in it one layer after the other; all else alike.
COMPARISONS: dict[str, Recipe] = {
    "twins-lambda": COMPARED,
    "twins-convolution": replace(COMPARED, model_kwargs=CONVOLUTIONS, lr=RATES["convolution"]),
    **{f"twins-{twin}": replace(COMPARED, model_kwargs={"twin": twin}, lr=RATES.get(twin, COMPARED.lr)) for twin in TWINS},
    **{f"early-{name}": replace(COMPARED, model_kwargs={"layout": "LLL", **({} if name == "lambda" else {"twin": name})},
                                lr=RATES.get(name, COMPARED.lr)) for name in EARLY},
    **{f"sizes-{name}": replace(COMPARED, model_kwargs=size) for name, size in SIZES.items()},
    **{f"alone-{name}": replace(COMPARED, model_kwargs={"widen": 1, "layout": "LLL", **mixer}, lr=1.5 if name == "content" else COMPARED.lr)
       for name, mixer in ALONE.items()},  # the rates by RECORDS/sweep as well; with u = 4 they are those of u = 1
}
ROWS = NETS | COMPARISONS

# The recipe of tiny, built up from a usual one: every rung keeps what is below it. Judged by held-out pictures, as it is for choosing.
USUAL = replace(COMPARED, lr=0.4, bias_lr_multiplier=1.0, momentum=0.9, weight_decay=5e-4, min_lr=0.0, label_smoothing=0.0, whiten=False, ema=None,
                flip="random", padding=4, validation_images=5000)
RUNGS = {
    "label-smoothing": {"label_smoothing": COMPARED.label_smoothing},
    "smaller-shifts": {"padding": COMPARED.padding},
    "alternating-flips": {"flip": COMPARED.flip},
    "whitening": {"whiten": COMPARED.whiten},
    "rates": {name: getattr(COMPARED, name) for name in ("lr", "bias_lr_multiplier", "momentum", "weight_decay", "min_lr")},
    "average": {"ema": COMPARED.ema},
}
CLIMBED = accumulate(RUNGS.values(), lambda recipe, rung: replace(recipe, **rung), initial=USUAL)
LADDER: dict[str, Recipe] = {f"ladder-{name}": recipe for name, recipe in zip(["usual", *RUNGS], CLIMBED)}


# 97.5 % quantiles of Student's distribution, by the number of runs; with two runs it says nothing worth printing.
STUDENT = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


class Row(NamedTuple):
    """What the records of one row say. Accuracies are of the last epoch, between 0 and 1; adds are multiply-adds for a picture.

    Taught in notebooks/09_what_the_lambda_is_worth.
    """

    name: str
    parameters: int
    adds: int
    epochs: float
    accuracies: list[float]
    accuracies_flip_tta: list[float]
    minutes: float  # of the fastest run: the others may have shared their machine
    hardware: str  # and what that ran on

    def told(self, accuracies: list[float]) -> str:
        """Mean and standard deviation over the seeds, in percent; of one seed no deviation."""
        spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
        return f"{100 * fmean(accuracies):.2f}{spread}"

    def expected(self) -> str:
        """Between which two accuracies, in percent, one more run should fall in 95 cases of 100, were they normally distributed.

        mean ± t·s·√(1 + 1/n) of n runs, t the 97.5 % quantile of Student's distribution with n - 1 degrees of freedom; for
        3 to 10 runs, of others it says nothing.
        """
        n = len(self.accuracies)
        if n not in STUDENT:
            return ""
        mean, half = fmean(self.accuracies), STUDENT[n] * stdev(self.accuracies) * sqrt(1 + 1 / n)
        return f"{100 * (mean - half):.2f} to {100 * (mean + half):.2f}"


def read_results(folder: str | Path) -> list[Row]:
    """The records NAME-seedS.jsonl of a folder, gathered by name. Taught in notebooks/09_what_the_lambda_is_worth.

    Args:
        folder: where the records are.
    Returns:
        One row for each name, in the order of ROWS and LADDER; names that they do not have come last.
    Raises:
        ValueError: there is no record, one has not ended, or two of one row were made by different recipes.
    """
    records: dict[str, list[list[dict]]] = {}
    for path in sorted(Path(folder).glob("*-seed*.jsonl")):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        last = lines[-1]["kind"] if lines else "nothing"
        if last != "end":
            raise ValueError(f"folder must hold records of runs that have ended, but {path.name} ends with {last!r}")
        records.setdefault(path.stem.rpartition("-seed")[0], []).append(lines)
    if not records:
        raise ValueError(f"folder must hold records NAME-seedS.jsonl, got {str(folder)!r}, which holds none")
    order = [*ROWS, *LADDER]
    names = sorted(records, key=lambda name: order.index(name) if name in order else len(order))
    return [gathered(name, records[name]) for name in names]


def gathered(name: str, runs: list[list[dict]]) -> Row:
    """The runs of one row, which must agree on recipe, pictures and type, in all but the seed; commit and machine may differ."""
    starts, ends = [run[0] for run in runs], [run[-1] for run in runs]
    recipes = [replace(Recipe.from_record(start["recipe"]), seed=0) for start in starts]  # a field younger than a record has its default
    alike = [(recipe, start["parameters"], start["dtype"], start["data"]["train"], start["data"]["test"])
             for recipe, start in zip(recipes, starts)]
    if any(each != alike[0] for each in alike):
        raise ValueError(f"folder must hold like runs for each row, but the records of {name!r} differ in more than the seed")
    start, end = min(zip(starts, ends), key=lambda run: run[1]["seconds"])  # of the fastest
    with torch.device("meta"):
        adds = multiply_adds(create_model(recipes[0].model, **recipes[0].model_kwargs), (1, 3, 32, 32))
    return Row(name, starts[0]["parameters"], adds, recipes[0].epochs, [end["test_accuracy"] for end in ends],
               [end["test_accuracy_flip_tta"] for end in ends], end["seconds"] / 60,
               f"{start['hardware']}, {start['threads']} thread{'s' * (start['threads'] > 1)}")


def results_table(rows: list[Row], names: Iterable[str] = ()) -> str:
    """The rows as a table in Markdown. Taught in notebooks/09_what_the_lambda_is_worth.

    Args:
        names: of ROWS; those that are no row here are told to be not yet measured.
    """
    lines = ["| row | parameters | multiply-adds | epochs | seeds | test accuracy, % | one more run, 95 % | with flip TTA, % | minutes | on |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.name} | {row.parameters:,} | {row.adds / 1e6:.1f} M | {row.epochs:g} | {len(row.accuracies)} "
                     f"| {row.told(row.accuracies)} | {row.expected()} | {row.told(row.accuracies_flip_tta)} | {row.minutes:.1f} | {row.hardware} |")
    missing = [name for name in names if name not in {row.name for row in rows}]
    return "\n".join([*lines, *(f"| {name} | | | {ROWS[name].epochs:g} | 0 | not yet measured | | | | |" for name in missing)])
