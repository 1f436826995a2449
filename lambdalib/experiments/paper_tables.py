"""Our counts beside the paper's printed numbers: parameters, multiply-adds, bytes.

Used by `lambdalib params`; the table of memory is taught in notebooks/05_cost, those of parameters in
notebooks/06_lambda_resnet, that of the two halves in notebooks/09_what_the_lambda_is_worth.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from lambdalib.arguments import check_flags, check_sizes
from lambdalib.cost import contraction_order, count_parameters, multiply_adds, training_memory
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model
from lambdalib.resnet import DEPTHS
from lambdalib.training.recipes import Recipe, check_recipes

__all__ = ["TABLE_12", "HYBRIDS", "ABLATION", "HALVES", "attention_memory", "embedding_memory", "memory_table",
           "ModelRow", "params_table", "HybridRow", "hybrids_table", "params_report", "memory_report"]  # fmt: skip

MIB, GIB = 2**20, 2**30

# The memory column of Bello 2021, Table 4: ResNet-50 on images of 224×224, float32

# maps of the four stages, lambda layers in each, bytes of a number
SIDES, LAYERS, FLOAT32 = (56, 28, 14, 7), DEPTHS[50], 4


def attention_memory(batch: int = 128, heads: int = 8, axial: bool = False) -> int:
    """Bytes of the attention matrices of a ResNet-50 whose 3×3 convolutions became self-attention.

    4·b·h·n² in each layer; axial attention has two matrices of n·√n instead. Bello 2021, Table 4.
    Taught in notebooks/05_cost.

    Raises:
        ValueError: batch or heads is no positive integer, or axial no bool.
    """
    check_sizes(batch=batch, heads=heads)
    check_flags(axial=axial)
    sizes = [side**2 * (2 * side if axial else side**2) for side in SIDES]
    return sum(FLOAT32 * batch * heads * layers * size for layers, size in zip(LAYERS, sizes))


def embedding_memory(k: int = 16, shared: bool = False) -> int:
    """Bytes of the dense embeddings (n, m, k) of a LambdaResNet-50, for any batch; lambdas are not counted.

    4·k·n² in each layer, or once per map size where layers share them. Bello 2021, Table 4.
    Taught in notebooks/05_cost.

    Raises:
        ValueError: k is no positive integer, or shared no bool.
    """
    check_sizes(k=k)
    check_flags(shared=shared)
    return sum(FLOAT32 * k * (1 if shared else layers) * side**4 for side, layers in zip(SIDES, LAYERS))


def memory_table() -> list[tuple[str, float, float]]:
    """Rows (layer, GiB by our count, GB as printed) of Bello 2021, Table 4. Taught in notebooks/05_cost."""
    return [
        ("global self-attention", attention_memory() / GIB, 120),
        ("axial self-attention", attention_memory(axial=True) / GIB, 4.8),
        ("lambda layer", embedding_memory() / GIB, 1.9),
        ("lambda layer, k = 8", embedding_memory(k=8) / GIB, 0.95),
        ("lambda layer, shared embeddings", embedding_memory(shared=True) / GIB, 0.63),
    ]


# The parameters of the paper's nets

# Bello 2021, Table 12: layout -> parameters in millions, examples per second (inference), top-1 on ImageNet in %
TABLE_12 = {
    "CCCC": (25.6, 7240, 76.9), "LCCC": (25.5, 1880, 77.3), "LLCC": (25.0, 1280, 77.2), "LLLC": (21.7, 1160, 77.8),
    "LLLL": (15.0, 1160, 78.4), "CLLL": (15.1, 2200, 78.3), "CCLL": (15.4, 4980, 78.3), "CCCL": (18.8, 7160, 77.3),
}  # fmt: skip
HYBRIDS = {layout: parameters for layout, (parameters, _, _) in TABLE_12.items()}
ABLATION = {  # (k, h, u): printed, in millions
    (8, 2, 1): 14.8, (8, 16, 1): 15.6,
    (2, 4, 1): 14.7, (4, 4, 1): 14.7, (8, 4, 1): 14.8, (16, 4, 1): 15.0, (32, 4, 1): 15.4,
    (2, 8, 1): 14.7, (4, 8, 1): 14.7, (8, 8, 1): 14.7, (16, 8, 1): 15.1, (32, 8, 1): 15.7,
    (8, 8, 4): 15.3, (8, 8, 8): 16.0, (16, 4, 4): 16.0,
}  # fmt: skip

# ImageNet top-1 in percent of a ResNet-50 with lambda layers, one run each: Bello's first version, 2020, Table 10
HALVES = {"both halves": 78.4, "without the content half": 78.1, "without the position half": 68.8}

LARGE = [f"lambda_resnet{depth}" for depth in (152, 200, 270, 350, 420)]
# depth -> millions, as NFNet's Table 3 cites them
LARGE_HYBRIDS = {50: None, 101: None, 152: 51.5, 200: None, 270: None, 350: 105.8, 420: 124.8}

OPEN_QUESTION = """\
* open: gates squeeze to a quarter, but of what? Ours: of the block's inner width; of the outer one, it would be
  far too many. All three published numbers come out if the norms' running statistics are counted too, one block
  of c5 keeps its convolution at 350 and 420, and c4 has 7 lambda layers at 420, where the paper says 8: a guess
  that fits, no more."""


class ModelRow(NamedTuple):
    """One line of params_table: what was built, its parameters, and the paper's printed number where there is one.

    The lambda layers' k, h, u and r say nothing where the layout is CCCC. Used by `lambdalib params`.
    """

    name: str
    stem: str
    layout: str
    k: int
    h: int
    u: int
    r: int
    parameters: int
    printed: float | None


def model_row(
    name: str, stem: str, layout: str, k: int, h: int, u: int, r: int, printed: float | None = None
) -> ModelRow:
    """Count one model, built on the meta device without memory: 1000 classes, or 10 with the CIFAR stem."""
    num_classes = 1000 if stem == "imagenet" else 10
    with torch.device("meta"):
        model = create_model(name, num_classes, stem=stem, layout=layout, dim_k=k, heads=h, dim_u=u, scope=r)
    return ModelRow(name, stem, layout, k, h, u, r, count_parameters(model), printed)


def params_table() -> list[ModelRow]:
    """Count the ResNet-50s whose size the paper prints, then the large nets and those for CIFAR-10.

    Bello 2021, Table 12 (hybrids) and Table 9 (k, h, u). Used by `lambdalib params`.
    """
    specs = [("lambda_resnet50", "imagenet", layout, 16, 4, 1, 23, printed) for layout, printed in HYBRIDS.items()]
    for (k, h, u), printed in ABLATION.items():
        specs.append(("lambda_resnet50", "imagenet", "LLLL", k, h, u, 23 if u == 1 else 7, printed))
    specs += [(name, "imagenet", "LLLL", 16, 4, 1, 23) for name in LARGE]
    specs += [("lambda_resnet18", "cifar", "LLLL", 16, 4, u, 7) for u in (1, 4)]
    specs += [(name, "cifar", "CCCC", 16, 4, 1, 7) for name in ("resnet26", "resnet18")]
    return [model_row(*spec) for spec in specs]


class HybridRow(NamedTuple):
    """One line of hybrids_table: where the lambda layers are, the parameters, and the published number if any.

    Used by `lambdalib params`.
    """

    name: str
    c4: int
    c5: int
    ungated: int
    parameters: int
    printed: float | None


def hybrids_table() -> list[HybridRow]:
    """Count the paper's hybrids with 1000 classes, without their gates (squeeze and excitation) and with them.

    Bello 2021, section 5; Brock et al. 2021 (arXiv 2102.06171), Table 3. Used by `lambdalib params`.
    """
    from torchvision.ops import SqueezeExcitation  # here, since torchvision takes two seconds to import

    rows = []
    for depth, printed in LARGE_HYBRIDS.items():
        name = f"lambda_resnet{depth}_hybrid"
        with torch.device("meta"):
            model = create_model(name, 1000, stem="imagenet")
        c4, c5 = (sum(isinstance(module, LambdaLayer) for module in stage.modules()) for stage in model.stages[2:])
        gates = sum(count_parameters(gate) for gate in model.modules() if isinstance(gate, SqueezeExcitation))
        rows.append(HybridRow(name, c4, c5, count_parameters(model) - gates, count_parameters(model), printed))
    return rows


def beside(parameters: int, printed: float | None, width: int) -> str:
    """Our count in millions, the printed number beside it, and a star where they are 0.1 M or more apart."""
    if printed is None:
        return f"{parameters / 1e6:>8.2f}"
    return f"{parameters / 1e6:>8.2f}{printed:>{width}.1f}" + " *" * (abs(parameters / 1e6 - printed) >= 0.1)


def params_report() -> str:
    """Our counts beside the paper's printed numbers. Used by `lambdalib params`."""
    lines = [
        "Parameters in millions; 1000 classes with the ImageNet stem, 10 with the CIFAR stem",
        f"{'model':<17}{'stem':<9}{'layout':<7}{'k':>3}{'h':>4}{'u':>3}{'r':>4}{'ours':>8}{'paper':>7}",
    ]
    for name, stem, layout, k, h, u, r, parameters, printed in params_table():
        sizes = f"{k:>3}{h:>4}{u:>3}{r:>4}" if "L" in layout else f"{'-':>3}{'-':>4}{'-':>3}{'-':>4}"
        lines.append(f"{name:<17}{stem:<9}{layout:<7}{sizes}{beside(parameters, printed, 7)}")
    lines += ["* the paper's number is 0.1 M or more from the count", ""]

    lines += [
        "The paper's hybrids: gated convolutions, and lambda layers in so many blocks of c4 and c5",
        f"{'model':<26}{'c4':>4}{'c5':>4}{'no gates':>10}{'ours':>8}{'published':>11}",
    ]
    for name, c4, c5, ungated, parameters, printed in hybrids_table():
        lines.append(f"{name:<26}{c4:>4}{c5:>4}{ungated / 1e6:>10.2f}{beside(parameters, printed, 11)}")
    lines += [OPEN_QUESTION, ""]

    with torch.device("meta"):
        model = create_model("lambda_resnet50", 1000, stem="imagenet")
    with contraction_order(model, "convolution"):
        by_convolution = multiply_adds(model, (1, 3, 224, 224))
    planned = multiply_adds(model, (1, 3, 224, 224))
    lines += [
        "Multiply-adds of lambda_resnet50 for one image of 224×224, in billions",
        f"{'every lambda made by a convolution':<47}{by_convolution / 1e9:>8.2f}",
        f"{'the orders that the library plans':<47}{planned / 1e9:>8.2f}",
        "",
    ]

    lines.append(
        "Attention matrices (128 images, 8 heads) or embeddings, ResNet-50 at 224×224: ours in GiB, theirs in GB"
    )
    lines += [f"{layer:<47}{ours:>8.2f}{printed:>8}" for layer, ours, printed in memory_table()]
    return "\n".join(lines)


def memory_report(recipes: Mapping[str, Recipe], batch: int | None = None) -> str:
    """What a training step of every recipe needs in memory: will it fit? Used by `lambdalib params --memory`.

    Args:
        recipes: the presets by name, each a Recipe.
        batch: images per step. Default: each recipe's own.
    Raises:
        ValueError: recipes are no dict of recipes, or batch is no positive integer.
    """
    check_recipes(recipes)
    check_sizes(batch=1 if batch is None else batch)
    lines = [
        "What a training step keeps in memory at its peak, in MiB",
        f"{'':<66}{'in bfloat16':>19}{'in float32':>19}",
        f"{'preset':<10}{'model':<17}{'batch':>5}{'weights':>8}{'gradients':>10}{'optimiser':>10}{'EMA':>6}"
        + f"{'saved':>10}{'all':>9}" * 2,
    ]
    for name, recipe in recipes.items():
        model, images = create_model(recipe.model, **recipe.model_kwargs), batch or recipe.batch_size
        states = 2 if recipe.optimizer == "adam" else int(recipe.momentum > 0)
        half, full = (
            training_memory(
                model, images, side=recipe.image_size, dtype=dtype, states=states, average=recipe.ema is not None
            )
            for dtype in (torch.bfloat16, torch.float32)
        )
        mib = [size / MIB for size in (*full[:4], half.activations, half.total, full.activations, full.total)]
        lines.append(
            f"{name:<10}{recipe.model:<17}{images:>5}{mib[0]:>8.1f}{mib[1]:>10.1f}{mib[2]:>10.1f}{mib[3]:>6.1f}"
            + "".join(f"{size:>{width}.0f}" for size, width in zip(mib[4:], (10, 9, 10, 9)))
        )
    return "\n".join([*lines, MEMORY_NOTES])


MEMORY_NOTES = """\
saved: activations for the backward pass; measured on this CPU for 2 and 4 images, and extrapolated to the batch.
Products are in bfloat16 where the device has it, else in float32; GPUs before 2020 take float16 and lie between.
The peak of a step on a CPU was 1 to 4 % above such sums. A GPU adds its context, room for its kernels and the
images themselves (0.2 GB for CIFAR-10), which was not measured yet: leave a margin."""
