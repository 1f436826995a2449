"""How long a training takes by a rule, for machines on which nothing was recorded.

    seconds = 3 · 2 · multiply-adds of an image · images · full epochs / (share · rate)

A step does three times the work of a forward pass, and a multiply-add is two operations. Full epochs are epochs
with each image weighted by its pixels. rate: operations per second of a large matrix product. share: the part of
it that lambda layers reach, by the record of `lambdalib bench`. Taught in notebooks/07_train_on_cifar10.
"""

import json
from collections.abc import Mapping
from statistics import median

import torch

from lambdalib.arguments import check_sizes
from lambdalib.cost import multiply_adds
from lambdalib.models import create_model
from lambdalib.training.callbacks import duration
from lambdalib.training.checkpoint import ASSETS
from lambdalib.training.recipes import Recipe, check_recipes

__all__ = ["training_operations", "machine_speeds", "duration_table"]

T4_FLOAT32, RTX_3090 = 8.1e12, 71e12  # by NVIDIA's data sheets; the second for products in bfloat16


def training_operations(recipe: Recipe, images: int = 50_000) -> float:
    """Operations of a whole training, 6 for every multiply-add of a forward pass. Used by duration_table.

    Args:
        recipe: of images with 32 pixels a side.
        images: of the training set.
    Raises:
        ValueError: recipe is no Recipe, or images is no positive integer.
    """
    check_recipes({"recipe": recipe})
    check_sizes(images=images)
    schedule = recipe.progressive_resizing
    schedule = {**schedule, recipe.image_size: recipe.epochs - sum(schedule.values())}
    full_epochs = sum(epochs * (side / recipe.image_size) ** 2 for side, epochs in schedule.items())
    with torch.device("meta"):
        model = create_model(recipe.model, **recipe.model_kwargs)
    side = recipe.image_size
    return 6 * multiply_adds(model, (1, 3, side, side)) * images * full_epochs


def machine_speeds() -> dict[str, float]:
    """Operations per second that a lambda layer reaches, share · rate, by machine. Used by duration_table.

    Two CPU cores as recorded. Four cores of a laptop without bfloat16: twice as fast as our two in float32. A T4
    has no bfloat16, and lambda layers compute in float32 there. GPUs get the recorded share of bfloat16.
    """
    rows = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))["layer"]["rows"]
    rate = {row["dtype"]: 2 * row["rate"] for row in rows}
    share = {dtype: median(row["share"] for row in rows if row["dtype"] == dtype) for dtype in rate}
    return {
        "2 cores, bfloat16": share["bfloat16"] * rate["bfloat16"],
        "4 cores, float32": share["float32"] * 2 * rate["float32"],
        "T4": share["bfloat16"] * T4_FLOAT32,
        "RTX 3090": share["bfloat16"] * RTX_3090,
    }


def duration_table(recipes: dict[str, Recipe], recorded: dict[str, float]) -> str:
    """Recorded times, and the rule's times on each machine. Taught in notebooks/07_train_on_cifar10.

    Args:
        recipes: name -> what is trained.
        recorded: name -> seconds that a run took; names that are missing have none.
    Raises:
        ValueError: recipes are no dict of recipes, or recorded is no dict of numbers.
    """
    check_recipes(recipes)
    if not isinstance(recorded, Mapping):
        raise ValueError(f"recorded must be a dict from names to seconds, got {recorded!r}")
    speeds = machine_speeds()
    machines, dtypes = zip(*(name.partition(", ")[::2] for name in speeds))
    lines = [
        f"{'':13}{'recorded':>11}" + "".join(f"{machine:>12}" for machine in machines),
        f"{'by the rule:':24}" + "".join(f"{dtype:>12}" for dtype in dtypes),
    ]
    for name, recipe in recipes.items():
        known, work = duration(recorded[name]) if name in recorded else "-", training_operations(recipe)
        estimates = "".join(f"{duration(work / speed):>12}" for speed in speeds.values())
        lines.append(f"{name:13}{known:>11}{estimates}")
    reached = "".join(f"{speed / 1e12:12.2f}" for speed in speeds.values())
    return "\n".join([*lines, f"{'share · rate, 10¹² / s':24}{reached}"])
