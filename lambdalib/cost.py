"""What a layer or a net costs: parameters, multiply-adds, bytes; by formula, and as measured on the code that runs.

Taught in notebooks/05_cost and notebooks/06_lambda_resnet. What each order of contraction costs stands beside the orders,
in contractions.position_costs.
"""

import copy
from contextlib import contextmanager
from typing import Iterator, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from lambdalib import contractions
from lambdalib.resnet import create_model

__all__ = ["count_parameters", "multiply_adds", "contraction_order", "held_for_backward", "lambda_layer_parameters",
           "attention_multiply_adds", "content_multiply_adds", "attention_memory", "embedding_memory", "memory_table",
           "ModelRow", "params_table", "params_report"]

GIB = 2**30


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
    """Inside this context every lambda layer uses one order of contraction, whatever plan() would choose.

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
    """Count every net whose size the paper prints, then two large ones and those for CIFAR-10.

    Bello 2021, Table 12 (hybrids) and Table 9 (k, h, u). Taught in notebooks/06_lambda_resnet.
    """
    specs = [("lambda_resnet50", "imagenet", layout, 16, 4, 1, 23, printed) for layout, printed in HYBRIDS.items()]
    for (k, h, u), printed in ABLATION.items():
        specs.append(("lambda_resnet50", "imagenet", "LLLL", k, h, u, 23 if u == 1 else 7, printed))
    specs += [(name, "imagenet", "LLLL", 16, 4, 1, 23) for name in ("lambda_resnet152", "lambda_resnet200")]
    specs += [("lambda_resnet18", "cifar", "LLLL", 16, 4, u, 7) for u in (1, 4)]
    specs += [(name, "cifar", "CCCC", 16, 4, 1, 7) for name in ("resnet26", "resnet18")]
    return [model_row(*spec) for spec in specs]


def params_report() -> str:
    """The text of `lambdalib params`: our counts beside the paper's printed numbers. Taught in notebooks/06_lambda_resnet."""
    lines = ["Parameters in millions; 1000 classes with the ImageNet stem, 10 with the CIFAR stem",
             f"{'model':<17}{'stem':<9}{'layout':<7}{'k':>3}{'h':>4}{'u':>3}{'r':>4}{'ours':>8}{'paper':>7}"]
    for name, stem, layout, k, h, u, r, parameters, printed in params_table():
        sizes = f"{k:>3}{h:>4}{u:>3}{r:>4}" if "L" in layout else f"{'-':>3}{'-':>4}{'-':>3}{'-':>4}"
        beside = "" if printed is None else f"{printed:>7.1f}" + (" *" if abs(parameters / 1e6 - printed) >= 0.1 else "")
        lines.append(f"{name:<17}{stem:<9}{layout:<7}{sizes}{parameters / 1e6:>8.2f}{beside}")
    lines += ["* the paper's number is 0.1 M or more from the count", ""]

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
