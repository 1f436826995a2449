"""Draw every image of figures/: python tools/make_figures.py

They come from the shared examples and from the records of measured runs, never by hand.
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

# What others have published: single numbers, mostly without seeds; airbench's are means over many runs, with
# test-time augmentation. Sources in the README.
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


def palette_and_stencils():
    """The two halves of a lambda on the plane: what the palette keeps, what the stencils read."""
    anchors = torch.tensor([[0.8, 0.1, 0.25], [0.3, 0.45, 0.2], [0.2, 0.55, 1.0], [0.9, 0.85, 0.05]])
    colours = plane_colours()
    distances = (colours[0, :, None, :, 0] - anchors).square().sum(2)
    keys = -30 * distances[None, :, :, None]  # near an anchor: a large key
    palette = lambdas.content_lambda(keys, colours)[0]
    recipes = keys[0, :, :, 0].softmax(1)
    repainted = (recipes @ palette).T.view(3, 32, 32)
    slopes = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    brightness = plane().mean(0).view(1, 1024, 1, 1)
    table = torch.stack([slopes, slopes.T])[:, None]
    readings = lambdas.position_lambdas(lambdas.relative_embeddings(table, 32, 32), brightness)[0, :, :, 0]
    across, down = readings.T.view(2, 32, 32)[:, 1:-1, 1:-1]
    swatches = palette.T[:, None].expand(3, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    shown = {
        "the plane": plane(),
        "a palette: 4 × 3 numbers": swatches,
        "repainted with it": repainted,
        "a stencil reads: right − left": across,
        "another: below − above": down,
    }
    return figures.maps(list(shown.values()), list(shown), limit=0.3)


def read_logs(name: str) -> list[list[dict]]:
    """The log of every recorded run of a row."""
    return [record.lines for record in read_records() if record.row == name]


def training_curves():
    """All recorded runs of the two models that ship."""
    return figures.curves_over_seeds({name: read_logs(name) for name in ("small", "tiny")})


def mean_and_deviation(accuracies) -> tuple[float, float]:
    """In percent; the deviation of a single run is NaN."""
    return 100 * fmean(accuracies), 100 * stdev(accuracies) if len(accuracies) > 1 else nan


def results():
    """Accuracy over parameters and over minutes, ours and published ones; minutes only of the models that ship."""

    def ours(cost: str, label, names=NETS):
        rows = [row for row in read_results() if row.name in names]
        return {label(row): (getattr(row, cost), *mean_and_deviation(row.accuracies)) for row in rows}

    def on_what(row) -> str:  # "AMD EPYC, 2 threads" -> "2 threads"
        return f"{row.name}\n{row.hardware.rpartition(', ')[2]}"

    parameters = ours("parameters", lambda row: row.name), PUBLISHED
    minutes = ours("minutes", on_what, ("tiny", "small")), PUBLISHED_MINUTES
    return figures.sizes({"parameters": parameters, "minutes of training, ours on a CPU": minutes})


def compared(names: dict[str, str]):
    """Layers of one model, the best one last; names: row -> what the figure calls it."""
    rows = sorted((row for row in read_results() if row.name in names), key=lambda row: fmean(row.accuracies))
    runs = {names[row.name]: [100 * accuracy for accuracy in row.accuracies] for row in rows}
    notes = [f"{row.parameters:,} parameters" for row in rows]
    return figures.seeds(runs, "test accuracy after 10 epochs, %", ("lambda", "lambda, u = 4"), notes)


def twins():
    """Eight mixing layers in one model, and the lambda layer with u = 4."""
    names = {name: name.removeprefix("twins-") for name in COMPARISONS if name.startswith("twins-")}
    return compared(names | {"sizes-u4": "lambda, u = 4"})


def alone():
    """The layers where nothing else lets distant pixels meet."""
    names = [name for name in COMPARISONS if name.startswith("alone-")]
    return compared({name: name.removeprefix("alone-").replace("-u4", ", u = 4") for name in names})


def cumulative_ablation():
    """The recipe step by step: the accuracy on validation images."""
    rows = read_results("cumulative-ablation")
    names = [row.name.removeprefix("ablation-").replace("-", " ") for row in rows]
    runs = {name: [100 * accuracy for accuracy in row.accuracies] for name, row in zip(names, rows)}
    notes = [f"{row.minutes:.1f} minutes" for row in rows]
    return figures.seeds(runs, "accuracy on 5,000 validation images after 10 epochs, %", ("average",), notes)


def classes():
    """Which classes the shipped model mistakes for which, on the whole test set."""
    rounded = read_card(ASSETS / "small.safetensors")["after_rounding"]
    title = f"small: {100 * rounded['test_accuracy']:.2f} % of all"
    return figures.confusion(rounded["confusion"], CLASSES, title)


def bench():
    """The recorded measurement of the layer: beside other packages' layers, and how its time grows."""
    record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))
    return figures.measured(record["layer"]["rows"], record["growth"]["rows"])


PICTURES = {
    "palette_and_stencils.png": palette_and_stencils,
    "training_curves.png": training_curves,
    "results.png": results,
    "ladder.png": cumulative_ablation,
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
