"""RESULTS.md: every table of results and its evidence, generated from the records.

`lambdalib results > RESULTS.md` writes it. Used by `lambdalib results`.
"""

from collections.abc import Iterable
from itertools import pairwise
from statistics import median

from lambdalib.experiments.results import (
    Record,
    Row,
    format_difference,
    format_mean,
    mean_difference,
    read_records,
    read_results,
    results_table,
)
from lambdalib.experiments.rows import CUMULATIVE_ABLATION, NETS, RESIZING, ROWS
from lambdalib.experiments.steering import steering_table

__all__ = ["MODEL_WORDS", "PUBLISHED", "compare_rows", "results_report"]

# What each row trains, in words.
MODEL_WORDS = {
    "tiny": "tiny: lambda layers in 2 of 3 blocks",
    "tiny-quick": "tiny, small images first",
    "tiny-u4": "tiny with u = 4",
    "tiny-convolutions": "tiny with 3×3 convolutions instead",
    "small": "small: lambda layers in 2 of 3 blocks",
    "small-convolutions": "small with 3×3 convolutions instead",
    "lambda-resnet18-u4": "LambdaResNet-18, u = 4, r = 7",
    "lambda-resnet18-u4-convolutions": "its twin with 3×3 convolutions (ResNet-26)",
    "lambda-resnet18-u4-late": "LambdaResNet-18 CCLL, u = 4, r = 7: convolutions in the first two stages",
    "resnet18": "ResNet-18 (basic blocks)",
    "twins-lambda": "lambda layer (u = 1)",
    "twins-convolution": "3×3 convolution",
    "twins-content": "content lambda only",
    "twins-position": "position lambda only",
    "twins-frozen-query": "position lambda, one learned query for all pixels",
    "twins-attention": "softmax attention",
    "twins-linear-attention": "linear attention",
    "twins-pointwise": "1×1 convolution",
    "rivals-lambda": "lambda layer (u = 1)",
    "rivals-position-scope1": "position lambda that sees its own pixel only",
    "rivals-position-scope1-u4": "position lambda that sees its own pixel only, u = 4",
    "rivals-depthwise": "3×3 depthwise and 1×1 convolution",
    "rivals-depthwise-global": "depthwise convolution over the whole map and 1×1 convolution",
    "rivals-bottleneck": "3×3 convolution of a quarter of the channels between 1×1 convolutions",
    "early-lambda": "lambda layers (u = 1) in all three blocks",
    "early-pointwise": "1×1 convolutions in all three blocks",
    "sizes-k4": "lambda layer with k = 4",
    "sizes-k64": "lambda layer with k = 64",
    "sizes-h1": "lambda layer with h = 1",
    "sizes-h16": "lambda layer with h = 16",
    "sizes-u4": "lambda layer with u = 4",
    "sizes-scope3": "lambda layer with scope 3",
    "alone-lambda": "lambda layer (u = 1)",
    "alone-convolution": "3×3 convolution",
    "alone-content": "content lambda only",
    "alone-position": "position lambda only",
    "alone-frozen-query": "position lambda, one learned query for all pixels",
    "alone-pointwise": "1×1 convolution",
    "alone-position-scope1": "position lambda that sees its own pixel only",
    "alone-lambda-u4": "lambda layer with u = 4",
    "alone-frozen-query-u4": "position lambda, one learned query for all pixels, u = 4",
    "alone-position-scope1-u4": "position lambda that sees its own pixel only, u = 4",
    "ablation-usual": "a standard recipe",
    "ablation-label-smoothing": "+ label smoothing 0.2",
    "ablation-smaller-shifts": "+ crops of 2 pixels instead of 4",
    "ablation-alternating-flips": "+ alternating flips",
    "ablation-whitening": "+ whitened stem",
    "ablation-rates": "+ learning rates, momentum and weight decay",
    "ablation-average": "+ average of the weights: the recipe",
    "ablation-average-without-rates": "whitened stem and average of the weights, without the rates",
    "resizing-small-first": "tiny, small images first",
    "resizing-full-size": "tiny, as much work at full size",
}

GITHUB = "https://github.com/"
MODEL_ZOO = GITHUB + "chenyaofo/pytorch-cifar-models"
COMPACT = GITHUB + "SHI-Labs/Compact-Transformers"
AIRBENCH = GITHUB + "KellerJordan/cifar10-airbench"
KUANGLIU = GITHUB + "kuangliu/pytorch-cifar"
LEADERJ = GITHUB + "leaderj1001/LambdaNetworks"
# What others have published, by their own recipes: parameters, multiply-adds for one image (None: not stated),
# accuracy in percent, how it was scored, and where.
# fmt: off
PUBLISHED = {
    "ResNet-20":                (0.27e6, 40.8e6, 92.60, "200 epochs, one run", MODEL_ZOO),
    "ResNet-56":                (0.85e6, 125.8e6, 94.37, "200 epochs, one run", MODEL_ZOO),
    "ResNet-18":                (11.17e6, 555.4e6, 95.67, "best epoch", KUANGLIU + "/issues/149"),
    "ResNet of the UvA course": (272_378, None, 91.06, "one run", GITHUB + "phlippe/uvadlc_notebooks"),
    "CCT-2/3×2":                (284_000, None, 89.17, "200 epochs", COMPACT),
    "ViT-Lite-7/4":             (3_717_000, None, 91.38, "200 epochs", COMPACT),
    "CCT-7/3×1":                (3_760_000, None, 94.78, "200 epochs", COMPACT),
    "airbench94":               (1.97e6, None, 94.01, "mean of many runs, with TTA", AIRBENCH),
    "airbench96":               (9.92e6, None, 96.03, "mean of many runs, with TTA", AIRBENCH),
    "LambdaResNet-18, claimed": (8.6e6, None, 94.20, "67 epochs, best epoch; u = 4", LEADERJ),
    "LambdaResNet-18, rerun":   (10.12e6, None, 89.10, "a reader's run; u = 1", LEADERJ + "/issues/1"),
    "LambdaResNet-18, rerun 2": (8.6e6, None, 94.02, "a reader's run, settings unknown", LEADERJ + "/issues/1"),
}
# fmt: on

INTRODUCTION = """# Results

`lambdalib results > RESULTS.md` writes this page from [the records](lambdalib/assets/runs.jsonl), one line
per run. A record holds the whole recipe, the command, the commit, the versions, the machine and every epoch.
To run a row again: `lambdalib train --row NAME --seed S`. The names are in the last table.

How to read the tables:

* The task is CIFAR-10: 50,000 training images, 10,000 test images.
* Accuracy is that of the last epoch, never of the best one, without test-time augmentation (TTA). "With flip
  TTA" averages the answers for an image and its mirror image.
* "±" is the half width of a 95 % confidence interval by Student's distribution: of a mean over seeds, or of a
  difference of two means. One seed has no interval. A difference is significant where it is larger than its
  ±.
* Multiply-adds are those of one image of 32 × 32 pixels. TTA doubles them.
* "6 at 16, 1 at 32" means 6 epochs on images scaled to 16 × 16 pixels, then 1 at full size."""

NOTES = {
    "convolutions": """## Lambda layers against convolutions

The same net with 3 × 3 convolutions in place of its lambda layers, trained by the same recipe. The
convolution net has more parameters. The difference is the lambda net's accuracy minus that of the
convolution net.""",
    "twins": """## One layer, many replacements

The net `tiny` has lambda layers in its last two blocks. Here other layers stand in their place, and all else
is alike. Its other convolutions are 3 × 3. Each layer has the best of three learning rates, chosen on 5,000
validation images. The difference is to the lambda layer with u = 1.""",
    "rivals": """## Controls, and convolutions of about its size

The same net and recipe, computed in float32 on every machine, so these rows have a lambda row of their own.
Beside it belong controls, position lambdas that see their own pixel only, and convolutions of about as many
parameters. What has no row yet is in the list above.""",
    "sizes": """## Other sizes of the lambda layer

The same net and recipe. The lambda layer has k = 16, h = 4, u = 1 and a scope that covers the map. Each row
changes one of them and keeps the learning rate. The difference is to the lambda layer with u = 1.""",
    "early": """## In all three blocks

The layer stands in the first block too, on a map of 15 × 15 pixels. The difference is to the lambda layer.""",
    "alone": """## Where little else lets distant pixels meet

Here the layer stands in all three blocks, and the net's other convolutions are 1 × 1. Pixels meet in these
layers, in the 2 × 2 of stem and pools, and in the last maximum. The difference is to the lambda layer with u
= 1.""",
    "steering": """## A trained net without its queries, palettes or stencils

The weights that ship, on the 10,000 test images, with nothing trained again. "Statistics measured again"
means those of batch normalisation, on 5,000 training images.""",
    "cumulative-ablation": """## How the recipe was built up

A cumulative ablation with `tiny`: each step keeps those above it. It takes 10 epochs, and 5,000 training
images serve as validation images. We chose the recipe on these images and did not tune the first row's
learning rate. So the gain is probably overestimated. The difference is to the row above.""",
    "resizing": """## Small images first

Half of the recipe of "tiny, small images first", and the same work at full size only: an epoch at 16 × 16 pixels
counts as a quarter. Both have the learning rate that was chosen at full size. 5,000 training images serve as
validation images.""",
    "sweep": """## How the learning rates were chosen

Short runs of one seed, scored on 5,000 validation images. Bold is the rate that the row has.""",
    "early-recipe": """## Older recipes

Before ours we trained `small` by two recipes with learned filters in the stem and one learning rate for all
weights. The first one's commit had changes on top, so its exact code is lost. The LambdaResNet-18 here was our
first run of it, by SGD at a learning rate of 0.1, without a sweep. Its late blocks hardly trained. All three were
scored on the test images.""",
    "set-aside": """## Set aside

Complete runs at a learning rate that the row does not have, scored on the test images. They are no result of the
row, and we keep them so that nothing is hidden.""",
    "rerun": """## Run again

The same row and seed at a later commit. The difference is to the mean of the row. In 19 of 20 cases it should
be smaller than its ±.""",
    "minutes": """## Minutes per epoch

For runs with two threads: the fastest epoch of each run, and of these the median. The machines were shared,
so this is a rough guide. On a CPU without bfloat16 instructions the same recipes compute in float32.""",
    "published": """## Published by others

Each by its own recipe; most are single runs.""",
    "evidence": """## Evidence

What each row was trained with. "AMD EPYC" is all that a virtual machine tells of its CPU.""",
}

CAPTION = "The line at 0 is the lambda layer with u = 1. Orange: significantly better or worse."
FIGURES = {
    "nets": """![accuracy over parameters and over multiply-adds](figures/accuracy.png)

Orange: nets with lambda layers. Black: nets with convolutions. Grey rings: published nets, by other recipes. The
large nets had 14 short epochs, as much work as 5.5 full ones, and no line joins them to the others.

![test error of the lambda nets over epochs](figures/errors.png)

Test error of seed 0 over epochs, on a logarithmic axis. It is always measured at full size, also while a net
trains on smaller images.""",
    "twins": "![the differences with their intervals](figures/twins.png)\n\n" + CAPTION,
    "alone": "![the differences with their intervals](figures/alone.png)\n\n" + CAPTION,
    "steering": """![which class the small net takes for which](figures/classes.png)

What `small` takes for what, on the 10,000 test images: true classes down, its answers across.""",
    "ablation": "![the gain of each step with its interval](figures/ablation.png)\n\nOrange: significant.",
}


def results_report() -> str:
    """All tables of results in Markdown: what RESULTS.md holds. Used by `lambdalib results`."""
    rows = {row.name: row for row in read_results()}
    groups = {
        kind: [row for name, row in rows.items() if name.startswith(f"{kind}-")]
        for kind in ("twins", "rivals", "sizes", "early", "alone")
    }
    nets = [row for name, row in rows.items() if name in NETS]
    parts = [INTRODUCTION, "## Whole nets", results_table(nets, MODEL_WORDS), waiting(rows), FIGURES["nets"]]
    parts += [NOTES["convolutions"], convolution_table(rows)]
    for kind, members in groups.items():
        beside = rows["twins-lambda" if kind == "sizes" else f"{kind}-lambda"]
        parts += [NOTES[kind], results_table(sorted(members, key=mean, reverse=True), MODEL_WORDS, beside)]
        parts.append(FIGURES.get(kind, ""))
    parts.insert(parts.index(NOTES["early"]), second_look())
    parts += [NOTES["steering"], steering_table(), FIGURES["steering"]]
    parts += [NOTES["cumulative-ablation"], ablation_table(), FIGURES["ablation"]]
    parts += [NOTES["resizing"], resizing_table(), NOTES["sweep"], sweep_table()]
    parts += [NOTES["early-recipe"], results_table(read_results("early-recipe"))]
    parts += [NOTES["set-aside"], results_table(read_results("set-aside"))]
    parts += [NOTES["rerun"], rerun_table(rows), NOTES["minutes"], minutes_table()]
    parts += [NOTES["published"], published_table(), NOTES["evidence"], evidence_table()]
    return "\n\n".join(part for part in parts if part) + "\n"


def mean(row: Row) -> float:
    """The mean accuracy of a row."""
    return sum(row.accuracies) / len(row.accuracies)


def compare_rows(
    rows: dict[str, Row], names: Iterable[str], reference: str
) -> tuple[dict[str, tuple[float, float]], list[str]]:
    """Each row less one reference, the best first, for figures.differences.

    Taught in notebooks/09_what_the_lambda_is_worth and notebooks/09b_how_sure.

    Args:
        rows: name -> row, as read_results gives them.
        names: what to compare; the reference may be among them, and names without a row are left out.
        reference: the name of a row.
    Returns:
        What the row is, in words -> its difference and half the width of its 95 % interval, in points (NaN for two
        single runs); and for each of them its parameters, in words.
    Raises:
        ValueError: reference has no row.
    """
    if reference not in rows:
        raise ValueError(f"reference must be one of the rows, got {reference!r}")
    order = sorted((rows[name] for name in names if name in rows and name != reference), key=mean, reverse=True)
    pairs = {MODEL_WORDS[row.name]: mean_difference(row.accuracies, rows[reference].accuracies) for row in order}
    differences = {words: (100 * points, 100 * half) for words, (points, half) in pairs.items()}
    return differences, [f"{row.parameters:,} parameters" for row in order]


def table(header: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *lines])


def waiting(rows: dict[str, Row]) -> str:
    """A list of what has a row and is not yet measured; nothing where all is."""
    missing = dict.fromkeys(MODEL_WORDS[name] for name in ROWS if name not in rows)
    return "\n".join(["Not yet measured:", "", *(f"* {words}" for words in missing)]) if missing else ""


def convolution_table(rows: dict[str, Row]) -> str:
    """Each lambda net beside its twin with convolutions."""
    twins = {name.removesuffix("-convolutions"): name for name in NETS if name.endswith("-convolutions")}
    pairs = [*twins.items(), ("tiny-u4", "tiny-convolutions"), ("twins-lambda", "twins-convolution")]
    lines = []
    for name, twin in pairs:
        if name in rows and twin in rows:
            one, other = rows[name], rows[twin]
            words = "tiny, 10 epochs" if name == "twins-lambda" else MODEL_WORDS[name].partition(":")[0]
            lines.append(
                [words, f"{one.parameters:,}", f"{other.parameters:,}", format_mean(one.accuracies)]
                + [format_mean(other.accuracies), format_difference(one.accuracies, other.accuracies)]
            )
    header = ["net", "parameters", "with convolutions", "test accuracy, %", "with convolutions, %"]
    return table([*header, "difference, points"], lines)


def second_look() -> str:
    """What u = 4 gains on validation images."""
    (wide,) = [row for row in read_results("validation") if row.name == "sizes-u4"]
    (usual,) = [row for row in read_results("cumulative-ablation") if row.name == "ablation-average"]
    gain = format_difference(wide.accuracies, usual.accuracies)
    return f"On 5,000 validation images the lambda layer with u = 4 is ahead of u = 1 by {gain} points."


def ablation_table() -> str:
    """The cumulative ablation: each step with its difference to the one before."""
    rows = [row for row in read_results("cumulative-ablation") if row.name in CUMULATIVE_ABLATION]
    lines = [[MODEL_WORDS[rows[0].name], str(len(rows[0].accuracies)), format_mean(rows[0].accuracies), ""]]
    lines += [
        [MODEL_WORDS[row.name], str(len(row.accuracies)), format_mean(row.accuracies)]
        + [format_difference(row.accuracies, before.accuracies)]
        for before, row in pairwise(rows)
    ]
    last, first = rows[-1].accuracies, rows[0].accuracies
    lines.append(["all steps together", "", "", format_difference(last, first)])
    return table(["recipe", "seeds", "validation accuracy, %", "difference, points"], lines)


def resizing_table() -> str:
    """Small images first, beside as much work at full size."""
    rows = {row.name: row for row in read_results("validation")}
    return results_table([rows[name] for name in RESIZING], MODEL_WORDS, beside=rows["resizing-full-size"])


def sweep_table() -> str:
    """Validation accuracies by row and learning rate, the chosen one in bold."""
    scores: dict[str, dict[float, float]] = {}
    for record in read_records("sweep"):
        name, _, rate = record.row.rpartition("-lr")
        scores.setdefault(name, {})[float(rate)] = 100 * record.end["test_accuracy"]
    order = {name: place for place, name in enumerate(ROWS)}
    lines = []
    for name in sorted(scores, key=order.get):
        tried = sorted(scores[name].items())
        cells = [f"{rate:g}: {score:.2f}" for rate, score in tried]
        cells = [f"**{cell}**" if rate == ROWS[name].lr else cell for cell, (rate, _) in zip(cells, tried)]
        lines.append([f"`{name}`", MODEL_WORDS[name], ", ".join(cells)])
    return table(["row", "layer or net", "learning rate: validation accuracy, %"], lines)


def rerun_table(rows: dict[str, Row]) -> str:
    """What ran again, beside the row that it repeats."""
    lines = [
        [f"`{row.name}`", format_mean(rows[row.name].accuracies), format_mean(row.accuracies)]
        + [format_difference(row.accuracies, rows[row.name].accuracies)]
        for row in read_results("rerun")
    ]
    return table(["row", "test accuracy, %", "run again", "difference, points"], lines)


def minutes_table() -> str:
    """Minutes per epoch by net, side of the images, dtype and kind of machine."""
    fastest: dict[tuple[str, int, str, str], list[float]] = {}
    for record in read_records():
        if record.row in NETS and record.start["threads"] == 2:
            for side, seconds in fastest_epochs(record).items():
                key = record.row, side, record.start["dtype"], kind_of_machine(record.start)
                fastest.setdefault(key, []).append(seconds / 60)
    order = {name: place for place, name in enumerate(NETS)}
    lines = [
        [MODEL_WORDS[name], str(side), dtype, machine, f"{median(minutes):.2f}"]
        for (name, side, dtype, machine), minutes in sorted(fastest.items(), key=lambda item: order[item[0][0]])
    ]
    return table(["net", "side of the images", "dtype", "machine", "minutes an epoch"], lines)


def kind_of_machine(start: dict) -> str:
    """The GPU, or what the CPU can do: recipes ask for bfloat16, and a CPU without it computes in float32."""
    if "NVIDIA" in start["hardware"]:
        return start["hardware"]
    return f"CPU {'with' if start['dtype'] == 'bfloat16' else 'without'} bfloat16 instructions"


def fastest_epochs(record: Record) -> dict[int, float]:
    """For each side of the images, the seconds of the fastest epoch, if possible one without an evaluation."""
    schedule, ends = record.recipe.progressive_resizing, {}
    for side, epochs in schedule.items():
        ends[side] = epochs + max(ends.values(), default=0)
    ends[record.recipe.image_size] = record.recipe.epochs
    timed: dict[int, list[tuple[bool, float]]] = {}
    before = 0.0
    for line in record.lines:
        if line["kind"] == "epoch":
            side = next(side for side, end in ends.items() if line["epoch"] <= end)
            timed.setdefault(side, []).append(("test_accuracy" in line, line["seconds"] - before))
            before = line["seconds"]
    return {side: min(epochs)[1] for side, epochs in timed.items()}


def published_table() -> str:
    """What others have published, each by its own recipe."""
    lines = [
        [f"[{name}]({link})", f"{parameters / 1e6:.2f} M", "" if adds is None else f"{adds / 1e6:.1f} M"]
        + [f"{accuracy:.2f}", words]
        for name, (parameters, adds, accuracy, words, link) in PUBLISHED.items()
    ]
    return table(["model", "parameters", "multiply-adds", "test accuracy, %", "scored"], lines)


def evidence_table() -> str:
    """For each row: seeds, commits, versions, dtype, threads and machine. The rates of a sweep are one row."""
    gathered: dict[tuple[str, str], list[Record]] = {}
    for record in read_records(None):
        gathered.setdefault((record.row.partition("-lr")[0], record.group), []).append(record)
    header = ["row", "group", "seeds", "commits", "torch", "dtype", "threads", "machine"]
    return table(header, [[f"`{row}`", group, *told_by(runs)] for (row, group), runs in gathered.items()])


def told_by(records: list[Record]) -> list[str]:
    """Each value that the first lines of some records have, once: seeds, commits, versions, machine."""
    starts = [record.start for record in records]
    columns = [
        [record.seed for record in records],
        [start["commit"][:7] for start in starts],
        [start["versions"]["torch"] for start in starts],
        *([start[name] for start in starts] for name in ("dtype", "threads", "hardware")),
    ]
    return [", ".join(dict.fromkeys(map(str, column))) for column in columns]
