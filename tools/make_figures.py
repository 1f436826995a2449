"""Draw every picture of figures/ anew: python tools/make_figures.py

The pictures of the README come from the shared examples and from the records of measured runs, never by hand.
"""

import json
from math import nan
from pathlib import Path
from statistics import fmean, stdev

import torch

from lambdalib import lambdas
from lambdalib.course import figures
from lambdalib.course.examples import plane, plane_colours
from lambdalib.experiments.results import read_records, read_results
from lambdalib.experiments.rows import COMPARISONS, NETS
from lambdalib.training.checkpoint import ASSETS, read_card
from lambdalib.training.data import CLASSES

FIGURES = Path(__file__).resolve().parent.parent / "figures"


def palette_and_stencils():
    """The two halves of a lambda on the plane: what the palette keeps, what the stencils read."""
    anchors = torch.tensor([[0.8, 0.1, 0.25], [0.3, 0.45, 0.2], [0.2, 0.55, 1.0], [0.9, 0.85, 0.05]])
    colours = plane_colours()
    keys = (
        -30 * (colours[0, :, None, :, 0] - anchors).square().sum(2)[None, :, :, None]
    )  # near an anchor: a large key
    palette = lambdas.content_lambda(keys, colours)[0]
    recipes = keys[0, :, :, 0].softmax(1)
    repainted = (recipes @ palette).T.view(3, 32, 32)
    slopes = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    brightness = plane().mean(0).view(1, 1024, 1, 1)
    table = torch.stack([slopes, slopes.T])[:, None]
    readings = lambdas.position_lambdas(lambdas.relative_embeddings(table, 32, 32), brightness)[0, :, :, 0]
    across, down = readings.T.view(2, 32, 32)[:, 1:-1, 1:-1]
    swatches = palette.T[:, None].expand(3, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    titles = [
        "the plane",
        "a palette: 4 × 3 numbers",
        "repainted with it",
        "a stencil reads: right − left",
        "another: below − above",
    ]
    return figures.maps([plane(), swatches, repainted, across, down], titles, limit=0.3)


# What others have published, single numbers, mostly without seeds; airbench's are means over many, with
# test-time augmentation.
# Sources in the README.
PUBLISHED = {
    "airbench94": (1_970_000, 94.01),
    "airbench96": (9_920_000, 96.03),
    "ResNet of the UvA course": (272_378, 91.06),
    "CCT-2/3x2": (284_000, 89.17),
    "ViT-Lite-7/4": (3_717_000, 91.38),
    "CCT-7/3x1": (3_760_000, 94.78),
    "LambdaResNet-18, claimed": (8_600_000, 93.28),
    "the same, rerun": (8_600_000, 89.10),
    "ResNet-18, best epoch": (11_200_000, 95.67),
}
PUBLISHED_MINUTES = {
    "airbench94, A100": (3.83 / 60, 94.01),
    "airbench96, A100": (34.7 / 60, 96.03),
    "ResNet-9 of cifar10-fast, V100": (74.7 / 60, 93.95),
    "ResNet-18, A100": (7, 96.0),
}


def training_curves():
    """All recorded runs of the two nets that ship."""
    logs = {name: [record.lines for record in read_records() if record.row == name] for name in ("small", "tiny")}
    return figures.curves_over_seeds(logs)


def results():
    """Accuracy over parameters and over minutes, ours and what others have published; minutes of the nets that
    ship."""

    def ours(cost, called, names=NETS):
        return {
            called(row): (
                getattr(row, cost),
                100 * fmean(row.accuracies),
                100 * stdev(row.accuracies) if len(row.accuracies) > 1 else nan,
            )
            for row in read_results()
            if row.name in names
        }

    def on_what(row):  # "AMD EPYC, 2 threads" -> "2 threads"
        return f"{row.name}\n{row.hardware.rpartition(', ')[2]}"

    return figures.sizes(
        {
            "parameters": (ours("parameters", lambda row: row.name), PUBLISHED),
            "minutes of training, ours on a CPU": (ours("minutes", on_what, ("tiny", "small")), PUBLISHED_MINUTES),
        }
    )


def compared(names: dict[str, str], lit: tuple[str, ...]):
    """Layers of one net, the best one last; names: row -> what the picture calls it."""
    rows = sorted((row for row in read_results() if row.name in names), key=lambda row: fmean(row.accuracies))
    runs = {names[row.name]: [100 * accuracy for accuracy in row.accuracies] for row in rows}
    return figures.seeds(
        runs, "test accuracy after 10 epochs, %", lit, notes=[f"{row.parameters:,} parameters" for row in rows]
    )


def twins():
    """Eight middles of one net, and the lambda layer with u = 4."""
    names = {name: name.removeprefix("twins-") for name in COMPARISONS if name.startswith("twins-")} | {
        "sizes-u4": "lambda, u = 4"
    }
    return compared(names, ("lambda", "lambda, u = 4"))


def alone():
    """The layers where nothing else lets distant pixels meet."""
    names = {
        name: name.removeprefix("alone-").replace("-u4", ", u = 4")
        for name in COMPARISONS
        if name.startswith("alone-")
    }
    return compared(names, ("lambda", "lambda, u = 4"))


def ladder():
    """The recipe, rung by rung, judged by held-out pictures."""
    rungs = read_results("cumulative-ablation")
    runs = {
        row.name.removeprefix("ablation-").replace("-", " "): [100 * accuracy for accuracy in row.accuracies]
        for row in rungs
    }
    return figures.seeds(
        runs,
        "accuracy on 5,000 held-out pictures after 10 epochs, %",
        lit=("average",),
        notes=[f"{row.minutes:.1f} minutes" for row in rungs],
    )


def classes():
    """What the shipped net takes for what, on the whole test set."""
    rounded = read_card(ASSETS / "small.safetensors")["after_rounding"]
    return figures.confusion(
        rounded["confusion"], CLASSES, f"small: {100 * rounded['test_accuracy']:.2f} % of all"
    )


def bench():
    """The recorded measurement of the layer: beside other packages' layers, and how its time grows."""
    record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))
    return figures.measured(record["layer"]["rows"], record["growth"]["rows"])


PICTURES = {
    "palette_and_stencils.png": palette_and_stencils,
    "training_curves.png": training_curves,
    "results.png": results,
    "ladder.png": ladder,
    "twins.png": twins,
    "alone.png": alone,
    "classes.png": classes,
    "bench.png": bench,
}

if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        draw().savefig(FIGURES / name, dpi=120, bbox_inches="tight", metadata={"Software": None})
        print(f"figures/{name}")
