"""What a layer or a net costs: parameters, multiply-adds, bytes; by formula, and as measured on the code that runs.

Taught in notebooks/05_cost and notebooks/06_lambda_resnet. What each order of contraction costs stands beside the orders,
in contractions.position_costs.
"""

import copy
from contextlib import contextmanager
from typing import Any, Iterator, Mapping, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import contractions
from lambdalib.layer import LambdaLayer
from lambdalib.pareto import SqueezeExcitation
from lambdalib.resnet import create_model

__all__ = ["count_parameters", "multiply_adds", "contraction_order", "held_for_backward", "lambda_layer_parameters",
           "attention_multiply_adds", "content_multiply_adds", "attention_memory", "embedding_memory", "memory_table",
           "ModelRow", "params_table", "HybridRow", "hybrids_table", "params_report", "TrainingMemory", "training_memory",
           "memory_report"]

MIB, GIB = 2**20, 2**30


# As measured


def count_parameters(model: nn.Module) -> int:
    """How many numbers training may change. Taught in notebooks/06_lambda_resnet."""
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Count the multiply-adds of one forward pass: half of what PyTorch's FlopCounterMode counts.

    Matrix products and convolutions are counted, sums, norms and softmaxes are not. Nothing is computed: a copy of the
    model runs on the meta device, in eval mode. Taught in notebooks/05_cost.

    Args:
        model: any module that takes one tensor.
        input_shape: the shape of that tensor, batch included.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(input_shape, device="meta"))
    return counter.get_total_flops() // 2


@contextmanager
def contraction_order(order: str) -> Iterator[None]:
    """Inside this context every lambda layer whose order is "auto" uses this one, whatever plan() would choose.

    For comparing and timing; not for several threads at once. Taught in notebooks/05_cost.

    Args:
        order: one of contractions.ORDERS.
    Raises:
        ValueError: order is none of these.
    """
    if order not in contractions.ORDERS:
        raise ValueError(f"order must be one of {list(contractions.ORDERS)}, got {order!r}")
    planned = contractions.plan
    contractions.plan = lambda *shapes: order
    try:
        yield
    finally:
        contractions.plan = planned


def held_for_backward(model: nn.Module, *inputs: Tensor) -> int:
    """Bytes that a forward pass keeps alive for its backward pass, the model's own tensors not counted.

    Views of one storage count once; a saved input counts. Taught in notebooks/05_cost.

    Args:
        model: any module; it runs once, in the mode it is in.
        inputs: what it takes.
    """
    own = {tensor.untyped_storage() for tensor in [*model.parameters(), *model.buffers()]}
    saved = set()
    with torch.enable_grad(), saved_tensors_hooks(lambda tensor: saved.add(tensor.untyped_storage()), lambda packed: packed):
        model(*inputs)  # the hook gives None to the graph, which is never walked back
    return sum(storage.nbytes() for storage in saved - own)


def made_again(model: nn.Module, *inputs: Tensor) -> int:
    """Bytes that the hungriest part with recompute makes again for its own backward pass, what came in not counted.

    Such parts are made again one at a time. Taught in notebooks/06_lambda_resnet.

    Args:
        model: any module; its parts with recompute lose it.
        inputs: what it takes.
    """
    came_in = {}
    parts = [part for part in model.modules() if getattr(part, "recompute", False)]
    hooks = [part.register_forward_pre_hook(lambda part, given: came_in.update({part: given[0].detach()})) for part in parts]
    with torch.no_grad():
        model(*inputs)
    for part, hook in zip(parts, hooks):
        hook.remove()
        part.recompute = False
    return max((held_for_backward(part, features) - features.nbytes for part, features in came_in.items()), default=0)


class TrainingMemory(NamedTuple):
    """Bytes that a training step needs at least, by what they are for. Taught in notebooks/06_lambda_resnet."""

    weights: int
    gradients: int
    optimiser: int
    average: int
    held: int

    @property
    def total(self) -> int:
        return sum(self)


def training_memory(model: nn.Module, batch: int, *, side: int = 32, dtype: torch.dtype = torch.float32, states: int = 1,
                    average: bool = False) -> TrainingMemory:
    """What one training step keeps in memory at its fullest, when the forward pass has ended.

    With recompute the way back begins with one part that is made again, whole: the hungriest is counted as held.

    What is held for the backward pass is measured on this CPU for 2 and 4 pictures and continued in a straight line: the
    order of contraction does not depend on the batch, nor does what is held besides (weights rounded to dtype, dense
    embeddings). A GPU needs more: room for the kernels, and gradients of features, mostly while what was held is set free.
    Taught in notebooks/06_lambda_resnet.

    Args:
        model: a net for pictures; it stays as it is.
        batch: pictures per step.
        side: of a picture, in pixels.
        dtype: what products are computed in, under autocast; weights stay as they are.
        states: numbers that the optimiser keeps for each parameter: 1 with SGD's momentum, 2 with Adam.
        average: whether a running mean of the weights (EMA) is kept.
    """

    def held(pictures: int) -> int:
        shadow, images = copy.deepcopy(model).cpu().train(), torch.zeros(pictures, 3, side, side)  # its norms may learn from them
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return held_for_backward(shadow, images) + made_again(shadow, images)

    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    two, four = held(2), held(4)
    return TrainingMemory(weights, trained, states * trained, weights if average else 0, two + (four - two) // 2 * (batch - 2))


# By formula


def lambda_layer_parameters(d_in: int, d_out: int, k: int, h: int, u: int, r: int) -> int:
    """Parameters of a lambda layer, its two norms included.

    d_in·(h·k + k·u + v·u) + 2·(h·k + v·u) + k·u·r²,  v = d_out/h        Taught in notebooks/06_lambda_resnet.

    Args:
        d_in, d_out: channels in and out.
        k, h, u: query depth, heads, intra-depth.
        r: side of the scope in pixels; 2H-1 for the global form on an H×H map.
    """
    v = d_out // h
    projections = d_in * (h * k + k * u + v * u)
    norms = 2 * (h * k + v * u)
    table = k * u * r**2
    return projections + norms + table


def attention_multiply_adds(b: int, h: int, n: int, m: int, k: int, v: int) -> int:
    """Softmax attention, after its projections: every query meets every key, then every value.

    b·h·n·m·(k + v)        Taught in notebooks/05_cost.

    Args:
        b, h, n, m, k, v: batch, heads, query and context positions, query and value depth of one head.
    """
    return b * h * n * m * (k + v)


def content_multiply_adds(b: int, h: int, n: int, m: int, k: int, v: int, u: int = 1) -> int:
    """A content lambda, after its projections: made once, applied by every query.

    b·m·k·u·v + b·h·n·k·v        Taught in notebooks/05_cost.

    Args:
        b, h, n, m, k, v, u: batch, heads, query and context positions, query and value depth, intra-depth.
    """
    return b * m * k * u * v + b * h * n * k * v


# The memory column of Bello 2021, Table 4: ResNet-50 on 224×224 pictures, float32

SIDES, DEPTHS, FLOAT32 = (56, 28, 14, 7), (3, 4, 6, 3), 4


def attention_memory(batch: int = 128, heads: int = 8, axial: bool = False) -> int:
    """Bytes of the attention maps of a ResNet-50 whose 3×3 convolutions became self-attention.

    4·b·h·n² in each layer; axial attention has two maps of n·√n instead. Bello 2021, Table 4. Taught in notebooks/05_cost.
    """
    sizes = [side**2 * (2 * side if axial else side**2) for side in SIDES]
    return sum(FLOAT32 * batch * heads * depth * size for depth, size in zip(DEPTHS, sizes))


def embedding_memory(k: int = 16, shared: bool = False) -> int:
    """Bytes of the dense embeddings (n, m, k) of a LambdaResNet-50; no batch in them, and the lambdas are not counted.

    4·k·n² in each layer, or once per map size where layers share them. Bello 2021, Table 4. Taught in notebooks/05_cost.
    """
    return sum(FLOAT32 * k * (1 if shared else depth) * side**4 for side, depth in zip(SIDES, DEPTHS))


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

HYBRIDS = {"CCCC": 25.6, "LCCC": 25.5, "LLCC": 25.0, "LLLC": 21.7, "LLLL": 15.0, "CLLL": 15.1, "CCLL": 15.4, "CCCL": 18.8}
ABLATION = {  # (k, h, u): printed, in millions
    (8, 2, 1): 14.8, (8, 16, 1): 15.6,
    (2, 4, 1): 14.7, (4, 4, 1): 14.7, (8, 4, 1): 14.8, (16, 4, 1): 15.0, (32, 4, 1): 15.4,
    (2, 8, 1): 14.7, (4, 8, 1): 14.7, (8, 8, 1): 14.7, (16, 8, 1): 15.1, (32, 8, 1): 15.7,
    (8, 8, 4): 15.3, (8, 8, 8): 16.0, (16, 4, 4): 16.0,
}  # fmt: skip

LARGE = [f"lambda_resnet{depth}" for depth in (152, 200, 270, 350, 420)]
LARGE_HYBRIDS = {50: None, 101: None, 152: 51.5, 200: None, 270: None, 350: 105.8, 420: 124.8}  # as NFNet's Table 3 cites them

OPEN_QUESTION = """\
* open: gates squeeze to a quarter, but of what? Ours: of the block's inner width; of the outer one, it would be far too many. All
  three published numbers come out if the norms' running statistics are counted too, one block of c5 keeps its convolution at 350
  and 420, and c4 has 7 lambda layers at 420, where the paper says 8: a guess that fits, no more."""


class ModelRow(NamedTuple):
    """One line of params_table: what was built, its parameters, and the paper's printed number where there is one.

    The lambda layers' k, h, u and r say nothing where the layout is CCCC. Taught in notebooks/06_lambda_resnet.
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


def model_row(name: str, stem: str, layout: str, k: int, h: int, u: int, r: int, printed: float | None = None) -> ModelRow:
    """Build one net on the meta device, where it takes no memory, and count it: 1000 classes, or 10 with the CIFAR stem."""
    num_classes = 1000 if stem == "imagenet" else 10
    with torch.device("meta"):
        model = create_model(name, num_classes, stem=stem, layout=layout, dim_k=k, heads=h, dim_u=u, scope=r)
    return ModelRow(name, stem, layout, k, h, u, r, count_parameters(model), printed)


def params_table() -> list[ModelRow]:
    """Count the ResNet-50s whose size the paper prints, then the large nets and those for CIFAR-10.

    Bello 2021, Table 12 (hybrids) and Table 9 (k, h, u). Taught in notebooks/06_lambda_resnet.
    """
    specs = [("lambda_resnet50", "imagenet", layout, 16, 4, 1, 23, printed) for layout, printed in HYBRIDS.items()]
    for (k, h, u), printed in ABLATION.items():
        specs.append(("lambda_resnet50", "imagenet", "LLLL", k, h, u, 23 if u == 1 else 7, printed))
    specs += [(name, "imagenet", "LLLL", 16, 4, 1, 23) for name in LARGE]
    specs += [("lambda_resnet18", "cifar", "LLLL", 16, 4, u, 7) for u in (1, 4)]
    specs += [(name, "cifar", "CCCC", 16, 4, 1, 7) for name in ("resnet26", "resnet18")]
    return [model_row(*spec) for spec in specs]


class HybridRow(NamedTuple):
    """One line of hybrids_table: the net, where its lambda layers are, its parameters, and the published number if any.

    Taught in notebooks/06_lambda_resnet.
    """

    name: str
    c4: int
    c5: int
    ungated: int
    parameters: int
    printed: float | None


def hybrids_table() -> list[HybridRow]:
    """Count the paper's hybrids with 1000 classes, without their gates (squeeze and excitation) and with them.

    Bello 2021, section 5; Brock et al. 2021 (arXiv 2102.06171), Table 3. Taught in notebooks/06_lambda_resnet.
    """
    rows = []
    for depth, printed in LARGE_HYBRIDS.items():
        name = f"lambda_resnet{depth}_hybrid"
        with torch.device("meta"):
            model = create_model(name, 1000, stem="imagenet")
        c4, c5 = (sum(isinstance(module, LambdaLayer) for module in stage.modules()) for stage in model.stages[2:])
        gates = sum(count_parameters(module) for module in model.modules() if isinstance(module, SqueezeExcitation))
        rows.append(HybridRow(name, c4, c5, count_parameters(model) - gates, count_parameters(model), printed))
    return rows


def params_report() -> str:
    """The text of `lambdalib params`: our counts beside the paper's printed numbers. Taught in notebooks/06_lambda_resnet."""
    lines = ["Parameters in millions; 1000 classes with the ImageNet stem, 10 with the CIFAR stem",
             f"{'model':<17}{'stem':<9}{'layout':<7}{'k':>3}{'h':>4}{'u':>3}{'r':>4}{'ours':>8}{'paper':>7}"]
    for name, stem, layout, k, h, u, r, parameters, printed in params_table():
        sizes = f"{k:>3}{h:>4}{u:>3}{r:>4}" if "L" in layout else f"{'-':>3}{'-':>4}{'-':>3}{'-':>4}"
        beside = "" if printed is None else f"{printed:>7.1f}" + (" *" if abs(parameters / 1e6 - printed) >= 0.1 else "")
        lines.append(f"{name:<17}{stem:<9}{layout:<7}{sizes}{parameters / 1e6:>8.2f}{beside}")
    lines += ["* the paper's number is 0.1 M or more from the count", ""]

    lines += ["The paper's hybrids: gated convolutions, and lambda layers in so many blocks of c4 and c5",
              f"{'model':<26}{'c4':>4}{'c5':>4}{'no gates':>10}{'ours':>8}{'published':>11}"]
    for name, c4, c5, ungated, parameters, printed in hybrids_table():
        beside = "" if printed is None else f"{printed:>11.1f}" + (" *" if abs(parameters / 1e6 - printed) >= 0.1 else "")
        lines.append(f"{name:<26}{c4:>4}{c5:>4}{ungated / 1e6:>10.2f}{parameters / 1e6:>8.2f}{beside}")
    lines += [OPEN_QUESTION, ""]

    with torch.device("meta"):
        model = create_model("lambda_resnet50", 1000, stem="imagenet")
    with contraction_order("convolution"):
        by_convolution = multiply_adds(model, (1, 3, 224, 224))
    planned = multiply_adds(model, (1, 3, 224, 224))
    lines += ["Multiply-adds of lambda_resnet50 for one picture of 224×224, in billions",
              f"{'every lambda made by a convolution':<47}{by_convolution / 1e9:>8.2f}",
              f"{'the orders that the library plans':<47}{planned / 1e9:>8.2f}", ""]

    lines.append("Maps (128 pictures, 8 heads) or embeddings of a ResNet-50 at 224×224 in float32: ours in GiB, paper in GB")
    lines += [f"{layer:<47}{ours:>8.2f}{printed:>8}" for layer, ours, printed in memory_table()]
    return "\n".join(lines)


def memory_report(recipes: Mapping[str, Any], batch: int | None = None) -> str:
    """The text of `lambdalib params --memory`: will it fit? Taught in notebooks/06_lambda_resnet.

    Args:
        recipes: the presets by name, each a train.Recipe.
        batch: pictures per step. Default: each recipe's own.
    """
    lines = ["What a training step keeps in memory at its fullest, in MiB",
             f"{'':<66}{'in bfloat16':>19}{'in float32':>19}",
             f"{'preset':<10}{'model':<17}{'batch':>5}{'weights':>8}{'gradients':>10}{'optimiser':>10}{'EMA':>6}"
             + f"{'held':>10}{'all':>9}" * 2]
    for name, recipe in recipes.items():
        model, pictures = create_model(recipe.model, **recipe.model_kwargs), batch or recipe.batch_size
        states = 2 if recipe.optimizer == "adam" else int(recipe.momentum > 0)
        half, full = (training_memory(model, pictures, side=recipe.image_size, dtype=dtype, states=states,
                                      average=recipe.ema is not None) for dtype in (torch.bfloat16, torch.float32))
        mib = [size / MIB for size in (*full[:4], half.held, half.total, full.held, full.total)]
        lines.append(f"{name:<10}{recipe.model:<17}{pictures:>5}{mib[0]:>8.1f}{mib[1]:>10.1f}{mib[2]:>10.1f}{mib[3]:>6.1f}"
                     + "".join(f"{size:>{width}.0f}" for size, width in zip(mib[4:], (10, 9, 10, 9))))
    return "\n".join([*lines, MEMORY_NOTES])


MEMORY_NOTES = """\
held: for the backward pass; measured on this CPU for 2 and 4 pictures, and continued in a straight line to the batch.
Products are in bfloat16 where the device has it, else in float32; GPUs before 2020 take float16 and lie between the two.
The peak of a step on a CPU was 1 to 4 % above such sums. A GPU adds its context, room for its kernels and the pictures
themselves (0.2 GB for CIFAR-10), which was not measured yet: leave a margin."""
