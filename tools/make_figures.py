"""Draw every image of figures/: python tools/make_figures.py

They come from the shared examples and from the records of measured runs, never by hand.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import frames
from PIL import Image

from lambdalib.course import figures
from lambdalib.course.figures.style import INK, LIT
from lambdalib.experiments.report import MODEL_WORDS, PUBLISHED, compare_rows
from lambdalib.experiments.results import find_record, mean_difference, mean_interval, read_results
from lambdalib.experiments.rows import COMPARISONS, CUMULATIVE_ABLATION
from lambdalib.training.checkpoint import ASSETS, read_card
from lambdalib.training.data import CLASSES

# What a figure of whole nets calls them.
WITH_LAMBDAS = {
    "tiny": "tiny",
    "tiny-u4": "tiny, u = 4",
    "small": "small",
}
WITH_CONVOLUTIONS = {
    "tiny-convolutions": "tiny, convolutions",
    "small-convolutions": "small, convolutions",
}
# By a recipe that is short for nets of this size, so no line joins them to the others.
SHORT_WITH_LAMBDAS = {
    "lambda-resnet18-u4": "LambdaResNet-18, 14 short epochs",
    "lambda-resnet18-u4-late": "LambdaResNet-18 CCLL, 14 short epochs",
}
SHORT_WITH_CONVOLUTIONS = {
    "lambda-resnet18-u4-convolutions": "ResNet-26, 14 short epochs",
    "resnet18": "ResNet-18, 14 short epochs",
}
FIGURES = Path(__file__).resolve().parent.parent / "figures"


def errors():
    """Test error over epochs of seed 0 of the lambda nets."""
    rows = {row.name for row in read_results()}
    names = [name for name in ("lambda-resnet18-u4", "small", "tiny") if name in rows]
    words = WITH_LAMBDAS | SHORT_WITH_LAMBDAS
    return figures.error_curves({words[name]: find_record(name).lines for name in names})


def results():
    """Accuracy over parameters and over multiply-adds: lambda nets, convolution nets and published ones."""

    rows = {row.name: row for row in read_results()}
    families = {
        "with lambda layers": (WITH_LAMBDAS, LIT),
        "with convolutions": (WITH_CONVOLUTIONS, INK),
        "large, with lambda layers": (SHORT_WITH_LAMBDAS, LIT),
        "large, with convolutions": (SHORT_WITH_CONVOLUTIONS, INK),
    }
    families = {family: pair for family, pair in families.items() if rows.keys() & pair[0].keys()}

    def ours(cost: str):
        return {
            words: (family, getattr(rows[name], cost), *percent(mean_interval(rows[name].accuracies)))
            for family, (names, _) in families.items()
            for name, words in names.items()
            if name in rows
        }

    parameters = {name: (number, accuracy) for name, (number, _, accuracy, *_) in PUBLISHED.items()}
    adds = {name: (number, accuracy) for name, (_, number, accuracy, *_) in PUBLISHED.items() if number}
    panels = {
        "parameters": (ours("parameters"), parameters),
        "multiply-adds for one image": (ours("adds"), adds),
    }
    return figures.accuracy_over_cost(panels, {family: colour for family, (_, colour) in families.items()})


def percent(numbers) -> list[float]:
    """Shares in percent."""
    return [100 * number for number in numbers]


def compared(names: list[str], reference: str):
    """Layers of one model: each one's difference to the lambda layer with u = 1."""
    shown, notes = compare_rows({row.name: row for row in read_results()}, names, reference)
    return figures.differences(shown, "test accuracy minus that of the lambda layer (u = 1), points, 95 %", notes)


def twins():
    """Other layers in the place of the lambda layers of tiny, and other sizes of the lambda layer."""
    return compared([name for name in COMPARISONS if name.startswith(("twins-", "sizes-u"))], "twins-lambda")


def alone():
    """The layers where little else lets distant pixels meet."""
    return compared([name for name in COMPARISONS if name.startswith("alone-")], "alone-lambda")


def cumulative_ablation():
    """The recipe step by step: the difference that each step makes, and all together."""
    rows = [row for row in read_results("cumulative-ablation") if row.name in CUMULATIVE_ABLATION]
    pairs = {MODEL_WORDS[row.name]: (row, before) for before, row in pairwise(rows)}
    pairs["all steps together"] = rows[-1], rows[0]
    shown = {
        name: percent(mean_difference(row.accuracies, before.accuracies)) for name, (row, before) in pairs.items()
    }
    return figures.differences(shown, "accuracy on validation images: difference to the step before, points, 95 %")


def classes():
    """Which classes the shipped model mistakes for which, on the whole test set."""
    rounded = read_card(ASSETS / "small.safetensors")["after_rounding"]
    title = f"small: {100 * rounded['test_accuracy']:.2f} % of all"
    return figures.confusion(rounded["confusion"], CLASSES, title)


def bench():
    """The recorded measurement of the layer: beside other packages' layers, and how its time grows."""
    record = json.loads((ASSETS / "bench.json").read_text(encoding="utf-8"))
    return figures.measured(record["layer"]["rows"], record["growth"]["rows"])


def with_shared_colours(images: list[Image.Image]) -> list[Image.Image]:
    """The images with 128 colours that all of them share, so that nothing flickers."""
    strip = Image.new("RGB", (images[0].width, sum(image.height for image in images)))
    for number, image in enumerate(images):
        strip.paste(image, (0, number * image.height))
    palette = strip.quantize(128, kmeans=1)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def steering():
    """Lesson 03's slider, moved once round: frames of the same function."""
    (slider,) = (
        widget
        for widget in frames.performed(frames.TWINS / "03_position_lambdas.py")[0]
        if "degrees" in widget.controls
    )
    return frames.drawn(slider, [{"degrees": degrees} for degrees in range(0, 360, 15)])


PICTURES = {
    "one_picture.png": figures.one_picture,
    "errors.png": errors,
    "accuracy.png": results,
    "ablation.png": cumulative_ablation,
    "twins.png": twins,
    "alone.png": alone,
    "classes.png": classes,
    "bench.png": bench,
}
MOVING = {"steering.gif": steering}


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    FIGURES.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        draw().savefig(FIGURES / name, dpi=200, bbox_inches="tight", metadata={"Software": None})
        print(f"figures/{name}")
    for name, draw in MOVING.items():
        first, *others = with_shared_colours(draw())
        first.save(FIGURES / name, save_all=True, append_images=others, duration=120, loop=0, optimize=True)
        print(f"figures/{name}")


if __name__ == "__main__":
    main()
