"""Draw every picture of figures/ anew: python tools/make_figures.py

The pictures of the README come from the shared examples and from the records of measured runs, never by hand.
"""

import json
from importlib import resources
from pathlib import Path

import torch

from lambdalib import figures, lambdas
from lambdalib.examples import plane, plane_colours

FIGURES = Path(__file__).resolve().parent.parent / "figures"


def palette_and_stencils():
    """The two halves of a lambda on the plane: what the palette keeps, what the stencils read."""
    anchors = torch.tensor([[0.8, 0.1, 0.25], [0.3, 0.45, 0.2], [0.2, 0.55, 1.0], [0.9, 0.85, 0.05]])
    colours = plane_colours()
    keys = -30 * (colours[0, :, None, :, 0] - anchors).square().sum(2)[None, :, :, None]  # near an anchor: a large key
    palette = lambdas.content_lambda(keys, colours)[0]
    recipes = keys[0, :, :, 0].softmax(1)
    repainted = (recipes @ palette).T.view(3, 32, 32)
    slopes = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    brightness = plane().mean(0).view(1, 1024, 1, 1)
    table = torch.stack([slopes, slopes.T])[:, None]
    readings = lambdas.position_lambdas(lambdas.relative_embeddings(table, 32, 32), brightness)[0, :, :, 0]
    across, down = readings.T.view(2, 32, 32)[:, 1:-1, 1:-1]
    swatches = palette.T[:, None].expand(3, 4, 4).repeat_interleave(8, 1).repeat_interleave(8, 2)
    titles = ["the plane", "a palette: 4 × 3 numbers", "repainted with it", "a stencil reads: right − left", "another: below − above"]
    return figures.maps([plane(), swatches, repainted, across, down], titles, limit=0.3)


def training_curve():
    """The recorded run of the shipped net."""
    log = (resources.files("lambdalib") / "assets" / "results" / "small-seed0.jsonl").read_text(encoding="utf-8")
    return figures.training_curve([json.loads(line) for line in log.splitlines()])


def bench():
    """The recorded measurement of the layer: beside other packages' layers, and how its time grows."""
    record = json.loads((resources.files("lambdalib") / "assets" / "bench.json").read_text(encoding="utf-8"))
    return figures.measured(record["layer"]["rows"], record["growth"]["rows"])


PICTURES = {"palette_and_stencils.png": palette_and_stencils, "training_curve.png": training_curve, "bench.png": bench}

if __name__ == "__main__":
    FIGURES.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        draw().savefig(FIGURES / name, dpi=120, bbox_inches="tight", metadata={"Software": None})
        print(f"figures/{name}")
