"""What a layer or a model costs: parameters, multiply-adds, bytes; by formula, and measured on the code that runs.

Taught in notebooks/05_cost and notebooks/06_lambda_resnet. What each order of contraction costs stands beside the
orders, in contractions.position_costs.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from lambdalib.arguments import check_flags, check_module, check_sizes, describe
from lambdalib.contractions import ORDERS, plan, position_costs
from lambdalib.layer import LambdaLayer
from lambdalib.resnet import Bottleneck, check_net

__all__ = ["count_parameters", "multiply_adds", "contraction_order", "saved_activation_bytes", "recomputed_bytes",
           "TrainingMemory", "training_memory", "lambda_layer_parameters", "attention_multiply_adds",
           "content_multiply_adds", "mixing_cost", "stage_costs"]  # fmt: skip


# As measured


def count_parameters(model: nn.Module) -> int:
    """How many numbers training may change. Taught in notebooks/06_lambda_resnet.

    Raises:
        ValueError: model is no module.
    """
    check_module(model=model)
    return sum(parameter.numel() for parameter in model.parameters())


def multiply_adds(model: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Count the multiply-adds of one forward pass: half of what PyTorch's FlopCounterMode counts.

    Matrix products and convolutions are counted, sums, norms and softmaxes are not. Nothing is computed: a copy of
    the model runs on the meta device, in eval mode. Taught in notebooks/05_cost.

    Args:
        model: any module that takes one tensor.
        input_shape: the shape of that tensor, batch included.
    Raises:
        ValueError: model is no module, or input_shape no shape.
    """
    check_module(model=model)
    if not isinstance(input_shape, (tuple, list)) or any(type(n) is not int or n < 1 for n in input_shape):
        raise ValueError(f"input_shape must be positive integers, such as (1, 3, 32, 32), got {input_shape!r}")
    shadow = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(input_shape, device="meta"))
    return counter.get_total_flops() // 2


@contextmanager
def contraction_order(model: nn.Module, order: str) -> Iterator[None]:
    """Inside this context the lambda layers of a model whose order is "auto" have this one, whatever plan() says.

    For comparing and timing. Taught in notebooks/06_lambda_resnet.

    Args:
        model: a lambda layer, or a module with lambda layers inside.
        order: one of contractions.ORDERS.
    Raises:
        ValueError: order is none of these, or model is no module.
    """
    check_module(model=model)
    if order not in list(ORDERS):
        raise ValueError(f"order must be one of {list(ORDERS)}, got {order!r}")
    layers = [layer for layer in model.modules() if isinstance(layer, LambdaLayer) and layer.order == "auto"]
    for layer in layers:
        layer.order = order
    try:
        yield
    finally:
        for layer in layers:
            layer.order = "auto"


def saved_activation_bytes(model: Callable, *inputs) -> int:
    """Bytes of the activations that a forward pass saves for its backward pass, without the model's own tensors.

    Views of one storage count once; a saved input counts. Taught in notebooks/05_cost.

    Args:
        model: any module, or a function without parameters; it runs once, in the mode it is in.
        inputs: what it takes.
    Raises:
        ValueError: model cannot be called.
    """
    if not callable(model):
        raise ValueError(f"model must be a module or a function, got {describe(model)}")
    parameters = [*model.parameters(), *model.buffers()] if isinstance(model, nn.Module) else []
    own = {tensor.untyped_storage() for tensor in parameters}
    saved = set()
    with (
        torch.enable_grad(),
        saved_tensors_hooks(lambda tensor: saved.add(tensor.untyped_storage()), lambda packed: packed),
    ):
        model(*inputs)  # the hook gives None to the graph, which is never walked back
    return sum(storage.nbytes() for storage in saved - own)


def recomputed_bytes(model: nn.Module, *inputs: Tensor) -> int:
    """Bytes of the activations that the largest part with recompute computes again, without its input.

    Such parts are recomputed one at a time, so the largest counts. Used by training_memory.

    Args:
        model: any module; its parts are left without recompute.
        inputs: what it takes.
    Raises:
        ValueError: model is no module.
    """
    check_module(model=model)
    received = {}
    parts = [part for part in model.modules() if getattr(part, "recompute", False)]
    hooks = [
        part.register_forward_pre_hook(lambda part, inputs: received.update({part: inputs[0].detach()}))
        for part in parts
    ]
    with torch.no_grad():
        model(*inputs)
    for part, hook in zip(parts, hooks):
        hook.remove()
        part.recompute = False
    return max(
        (saved_activation_bytes(part, features) - features.nbytes for part, features in received.items()),
        default=0,
    )


class TrainingMemory(NamedTuple):
    """Bytes that a training step needs at least, by what they are for. Used by training_memory."""

    weights: int
    gradients: int
    optimiser: int
    average: int
    activations: int

    @property
    def total(self) -> int:
        return sum(self)


def training_memory(
    model: nn.Module,
    batch: int,
    *,
    side: int = 32,
    dtype: torch.dtype = torch.float32,
    states: int = 1,
    average: bool = False,
) -> TrainingMemory:
    """What one training step keeps in memory at its peak, when the forward pass has ended.

    Saved activations are measured on this CPU for 2 and 4 images and extrapolated in a straight line: neither the
    order of contraction depends on the batch, nor what else is saved (weights rounded to dtype, dense embeddings).
    With recompute, the backward pass recomputes one part at a time, and the largest is added. A GPU needs more:
    room for its kernels, and for gradients of features, mostly after saved activations have been freed.
    Taught in notebooks/06_lambda_resnet.

    Args:
        model: takes images; it stays as it is.
        batch: images per step.
        side: of an image, in pixels.
        dtype: what products are computed in, under autocast; weights stay as they are.
        states: numbers that the optimiser keeps for each parameter: 1 with SGD's momentum, 2 with Adam.
        average: whether training keeps a running mean of the weights (EMA).
    Raises:
        ValueError: an argument is none of these.
    """
    check_module(model=model)
    check_sizes(batch=batch, side=side)
    check_sizes(lowest=0, states=states)
    check_flags(average=average)
    if dtype not in (allowed := [torch.float32, torch.bfloat16, torch.float16]):
        raise ValueError(f"dtype must be one of {allowed}, got {dtype!r}")

    def activations(count: int) -> int:
        shadow = copy.deepcopy(model).cpu().train()  # its norms may learn from empty images
        images = torch.zeros(count, 3, side, side)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return saved_activation_bytes(shadow, images) + recomputed_bytes(shadow, images)

    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    two, four = activations(2), activations(4)
    saved = two + (four - two) // 2 * (batch - 2)
    return TrainingMemory(weights, trained, states * trained, weights if average else 0, saved)


# By formula


def lambda_layer_parameters(d_in: int, d_out: int, k: int, h: int, u: int, r: int) -> int:
    """Parameters of a lambda layer, its two norms included.

    d_in·(h·k + k·u + v·u) + 2·(h·k + v·u) + k·u·r²,  v = d_out/h        Taught in notebooks/06_lambda_resnet.

    Args:
        d_in, d_out: channels in and out.
        k, h, u: query depth, heads, intra-depth.
        r: side of the scope in pixels; 2H-1 for the global form on an H×H map.
    Raises:
        ValueError: one of them is no positive integer, r is even, or h does not divide d_out.
    """
    check_sizes(d_in=d_in, d_out=d_out, k=k, h=h, u=u)
    check_sizes(odd=True, r=r)
    if d_out % h:
        raise ValueError(f"h must divide d_out = {d_out}, got {h}")
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
    Raises:
        ValueError: one of them is no positive integer.
    """
    check_sizes(b=b, h=h, n=n, m=m, k=k, v=v)
    return b * h * n * m * (k + v)


def content_multiply_adds(b: int, h: int, n: int, m: int, k: int, v: int, u: int = 1) -> int:
    """A content lambda, after its projections: made once, applied by every query.

    b·m·k·u·v + b·h·n·k·v        Taught in notebooks/05_cost.

    Args:
        b, h, n, m, k, v, u: batch, heads, query and context positions, query and value depth, intra-depth.
    Raises:
        ValueError: one of them is no positive integer.
    """
    check_sizes(b=b, h=h, n=n, m=m, k=k, v=v, u=u)
    return b * m * k * u * v + b * h * n * k * v


def mixing_cost(letter: str, d: int, side: int, stride: int, k: int, h: int, u: int, r: int) -> tuple[int, int]:
    """Parameters, and multiply-adds for one image, of what mixes the pixels in a bottleneck.

    A 3×3 convolution computes the pixels that its stride keeps, 9·d² each. A lambda layer computes all pixels of
    the map, since its pool comes last. Taught in notebooks/06_lambda_resnet.

    Args:
        letter: "C" for the convolution, "L" for the lambda layer.
        d: channels in and out.
        side: of the square map that comes in, in pixels.
        stride: 1 or 2.
        k, h, u, r: query depth, heads, intra-depth, side of the scope in pixels.
    """
    if letter == "C":
        return 9 * d**2, 9 * d**2 * ceil(side / stride) ** 2  # only the pixels that it keeps
    n, v = side**2, d // h  # all pixels: the pool comes after the layer
    projections = n * d * (h * k + k * u + v * u)
    content = content_multiply_adds(1, h, n, n, k, v, u)
    shapes = 1, h, (side, side), k, v, u, (r, r)
    position = position_costs(*shapes)[plan(*shapes)]  # the order that the layer takes
    return lambda_layer_parameters(d, d, k, h, u, r), projections + content + position


def stage_costs(
    depths: tuple[int, ...], layout: str, side: int, k: int = 16, h: int = 4, u: int = 1, r: int = 23
) -> Tensor:
    """What the four stages of a ResNet cost by formula, without stem and head. No model is built.

    Taught in notebooks/06_lambda_resnet.

    Args:
        depths: bottlenecks in each stage.
        layout: one letter for each stage, C (3×3 convolution) or L (lambda layer).
        side: of the first map, in pixels.
        k, h, u, r: of every lambda layer.
    Returns:
        (4, 4) integers, a row for each stage: parameters and multiply-adds of what mixes the pixels, then
        parameters and multiply-adds of the whole stage, for one image.
    Raises:
        ValueError: an argument makes no net; the message names it.
    """
    check_net(depths, layout, num_classes=1, stem="cifar", block=Bottleneck)
    if not isinstance(layout, str):
        raise ValueError(f"layout must be a string, one letter for each stage, got {layout!r}")
    check_sizes(side=side, k=k, h=h, u=u)
    check_sizes(odd=True, r=r)
    rows, dim = [], 64
    for stage, (depth, letter) in enumerate(zip(depths, layout)):
        width, row = 64 * 2**stage, torch.zeros(4, dtype=torch.int64)
        for position in range(depth):
            stride = 2 if stage > 0 and position == 0 else 1
            after = ceil(side / stride)
            parameters, multiply_adds = mixing_cost(letter, width, side, stride, k, h, u, r)
            # the first shortcut of a stage has a 1×1 convolution
            way_around = 4 * dim * width if position == 0 else 0
            norms = 2 * (width + width + 4 * width) + (8 * width if position == 0 else 0)
            weights = dim * width + 4 * width**2 + way_around + norms
            work = side**2 * dim * width + after**2 * (4 * width**2 + way_around)
            row += torch.tensor((parameters, multiply_adds, parameters + weights, multiply_adds + work))
            dim, side = 4 * width, after
        rows.append(row)
    return torch.stack(rows)
