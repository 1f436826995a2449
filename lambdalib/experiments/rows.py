"""The list of experiments: a name for each, and the recipe that it trains by.

`lambdalib train --row NAME --seed S` runs one, `lambdalib results --add RUN_FOLDER` adds it to the records.
Two rows that are compared differ in one layer only, and in the learning rate where the sweep chose another one.
Used by `lambdalib train` and `lambdalib results`. Taught in notebooks/09_what_the_lambda_is_worth, the cumulative
ablation in notebooks/07_train_on_cifar10.
"""

from dataclasses import replace
from itertools import accumulate

from lambdalib.training.recipes import RECIPES, Recipe

__all__ = [
    "NETS", "COMPARISONS", "RIVALS", "ROWS", "CUMULATIVE_ABLATION", "MISSING_STEPS", "RESIZING", "EVERY_ROW",
    "ROW_ALIASES",
]  # fmt: skip

SMALL = RECIPES["cpu"]
TINY = replace(SMALL, model="tiny", epochs=48)
RESNET = RECIPES["resnet"]
CONVOLUTIONS = {"layout": "CCC"}

# Whole nets.
NETS: dict[str, Recipe] = {
    "tiny": TINY,
    "tiny-quick": RECIPES["quick"],
    "tiny-u4": replace(TINY, model_kwargs={"dim_u": 4}),
    "tiny-convolutions": replace(TINY, model_kwargs=CONVOLUTIONS),
    "small": SMALL,
    "small-convolutions": replace(SMALL, model_kwargs=CONVOLUTIONS),
    "lambda-resnet18-u4": RESNET,
    "lambda-resnet18-u4-convolutions": replace(RESNET, model="resnet26", model_kwargs={}),
    "lambda-resnet18-u4-late": replace(RESNET, model_kwargs={"dim_u": 4, "scope": 7, "layout": "CCLL"}),
    "resnet18": replace(RESNET, model="resnet18", model_kwargs={}),
}

# One net, and in it one layer after the other. Fewer epochs than tiny: eight layers with three seeds are 24 runs.
COMPARED = replace(TINY, epochs=10)


def compared(layer: str, lr: float = COMPARED.lr, **model_kwargs) -> Recipe:
    """The recipe of a comparison, with one layer in the net's lambda blocks. Used by COMPARISONS.

    Args:
        layer: "lambda", "convolution" or one of twins.TWINS.
        lr: the best of 0.375, 0.75 and 1.5 on validation images, by the records' group "sweep".
        model_kwargs: what else create_model takes.
    """
    mixer = {"lambda": {}, "convolution": CONVOLUTIONS}.get(layer, {"twin": layer})
    return replace(COMPARED, lr=lr, model_kwargs=model_kwargs | mixer)


ALL_BLOCKS = {"layout": "LLL"}  # from the first block on, where the map has 15 × 15 pixels
# In all blocks of a net whose other convolutions are 1×1. Pixels meet only in these layers, in the 2×2 of stem and
# pools, and in the last maximum.
ALONE = {"widen": 1, "layout": "LLL"}

COMPARISONS: dict[str, Recipe] = {
    "twins-lambda": compared("lambda"),
    "twins-convolution": compared("convolution", lr=1.5),
    "twins-content": compared("content"),
    "twins-position": compared("position", lr=1.5),
    "twins-frozen-query": compared("frozen-query"),
    "twins-attention": compared("attention"),
    "twins-linear-attention": compared("linear-attention", lr=1.5),
    "twins-pointwise": compared("pointwise"),
    "early-lambda": compared("lambda", **ALL_BLOCKS),
    "early-pointwise": compared("pointwise", **ALL_BLOCKS),
    # twins-lambda has k = 16, h = 4, u = 1 and a scope that covers the map; one of these changes
    "sizes-k4": compared("lambda", dim_k=4),
    "sizes-k64": compared("lambda", dim_k=64),
    "sizes-h1": compared("lambda", heads=1),
    "sizes-h16": compared("lambda", heads=16),
    "sizes-u4": compared("lambda", dim_u=4),
    "sizes-scope3": compared("lambda", scope=3),
    "alone-lambda": compared("lambda", **ALONE),
    "alone-convolution": compared("convolution", **ALONE),
    "alone-content": compared("content", lr=1.5, **ALONE),
    "alone-position": compared("position", **ALONE),
    "alone-frozen-query": compared("frozen-query", **ALONE),
    "alone-pointwise": compared("pointwise", **ALONE),
    "alone-lambda-u4": compared("lambda", dim_u=4, **ALONE),  # no sweep: the rate of u = 1
    "alone-frozen-query-u4": compared("frozen-query", dim_u=4, **ALONE),
    # the control of alone-position: its query acts, but on the pixel's own values only; no sweep yet
    "alone-position-scope1": compared("position", scope=1, **ALONE),
    "alone-position-scope1-u4": compared("position", scope=1, dim_u=4, **ALONE),
}

# Controls of the lambda layer and convolutions of about its size, in its place. In float32 on every machine, so
# that they can be compared with their own lambda row, and with no other.
RIVALS: dict[str, Recipe] = {
    name: replace(recipe, dtype="float32")
    for name, recipe in {
        "rivals-lambda": compared("lambda"),
        # The control of a position lambda: its query acts, but on the pixel's own values only.
        "rivals-position-scope1": compared("position", scope=1),
        "rivals-position-scope1-u4": compared("position", scope=1, dim_u=4),
        "rivals-depthwise": compared("depthwise"),
        "rivals-depthwise-global": compared("depthwise-global"),  # as many parameters as with u = 4
        "rivals-bottleneck": compared("bottleneck"),
    }.items()
}
ROWS = NETS | COMPARISONS | RIVALS

# The recipe of tiny, built up from a standard one: every step keeps those before it. Scored on validation images,
# since the recipe was chosen by such scores.
USUAL = replace(
    COMPARED,
    lr=0.4,
    bias_lr_multiplier=1.0,
    momentum=0.9,
    weight_decay=5e-4,
    min_lr=0.0,
    label_smoothing=0.0,
    whiten=False,
    ema=None,
    flip="random",
    padding=4,
    validation_images=5000,
)
STEPS = {
    "label-smoothing": ["label_smoothing"],
    "smaller-shifts": ["padding"],
    "alternating-flips": ["flip"],
    "whitening": ["whiten"],
    "rates": ["lr", "bias_lr_multiplier", "momentum", "weight_decay", "min_lr"],
    "average": ["ema"],
}
STEP_RECIPES = accumulate(
    STEPS.values(),
    lambda recipe, fields: replace(recipe, **{name: getattr(COMPARED, name) for name in fields}),
    initial=USUAL,
)
CUMULATIVE_ABLATION: dict[str, Recipe] = {
    f"ablation-{name}": recipe for name, recipe in zip(["usual", *STEPS], STEP_RECIPES)
}
# What the steps leave out: the average without the rates before it. It is no step itself, so the figure of the
# cumulative ablation does not show it, and its runs belong to the records' group "validation".
MISSING_STEPS: dict[str, Recipe] = {
    "ablation-average-without-rates": replace(CUMULATIVE_ABLATION["ablation-whitening"], ema=COMPARED.ema)
}

# What small images gain: the recipe of tiny-quick at half its length, and with the same work at full size only.
# In float32 on every machine, so that all runs of the two can be compared.
SMALL_FIRST = replace(
    RECIPES["quick"],
    epochs=15,
    progressive_resizing={16: 6, 24: 5},
    dtype="float32",
    validation_images=5000,
)
FULL_EPOCHS = 6 * (16 / 32) ** 2 + 5 * (24 / 32) ** 2 + 4  # an epoch at 16 × 16 pixels is a quarter of one
RESIZING: dict[str, Recipe] = {
    "resizing-small-first": SMALL_FIRST,
    "resizing-full-size": replace(SMALL_FIRST, epochs=FULL_EPOCHS, progressive_resizing={}),
}
EVERY_ROW = ROWS | CUMULATIVE_ABLATION | MISSING_STEPS | RESIZING
# old name -> name, since recorded commands use the old ones
ROW_ALIASES = {name.replace("ablation-", "ladder-"): name for name in CUMULATIVE_ABLATION}
