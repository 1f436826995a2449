"""What a trained model with lambda layers does, found by taking parts of it away. Nothing is trained again.

The query of a pixel steers its lambda layer: it decides how the stencils mix there. Here a model loses this
steering, or its stencils, and keeps everything else. Used by `python -m lambdalib.experiments.steering`.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from lambdalib.layer import LambdaLayer

__all__ = ["lambda_layers", "mean_queries", "replace_queries", "replace_stencils", "centre_taps", "ablations"]


def lambda_layers(model: nn.Module) -> dict[str, LambdaLayer]:
    """The lambda layers of a model by their names in it, in the order in which they were registered.

    Raises:
        ValueError: there is none.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LambdaLayer)}
    if not layers:
        raise ValueError(f"model must have a LambdaLayer, got a {type(model).__name__} without one")
    return layers


@torch.no_grad()
def mean_queries(model: nn.Module, images: Tensor, batch_size: int = 500) -> dict[str, Tensor]:
    """The mean query of each lambda layer and head, over all pixels of all images.

    q̄_h = mean_{b,n} q_bhn,   q = BN(W_q x)
    One pass of the model as it is measures all layers. So the mean of a late layer is the one that it has while
    the earlier layers still have their own queries.

    Args:
        model: stays as it is; a copy of it runs, in eval mode.
        images: (n, 3, H, W), normalized, on the device of the model.
        batch_size: images at once.
    Returns:
        Name of the layer -> (h, k).
    Raises:
        ValueError: the model has no lambda layer.
    """
    model = copy.deepcopy(model).eval()
    layers = lambda_layers(model)
    found = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.norm_queries.register_forward_hook(partial(collect_means, found[name]))
    for batch in images.split(batch_size):
        model(batch)
    return {
        name: rearrange(torch.cat(found[name]).mean(0), "(h k) -> h k", h=layer.heads)
        for name, layer in layers.items()
    }


def collect_means(means: list[Tensor], norm: nn.Module, inputs: tuple, queries: Tensor) -> None:
    """A forward hook that keeps the mean of each image, (b, h·k)."""
    means.append(queries.mean((2, 3)))


def replace_queries(model: nn.Module, replacement: Callable[[str, Tensor], Tensor]) -> nn.Module:
    """A copy of a model whose lambda layers take other queries, after their norm.

    Args:
        model: stays as it is.
        replacement: gets the name of a layer and its queries (b, h·k, H, W), k fastest among the channels, and
            returns others that expand to this shape.
    Returns:
        The copy, with the same parameters, buffers and mode.
    Raises:
        ValueError: the model has no lambda layer.
    """
    model = copy.deepcopy(model)
    for name, layer in lambda_layers(model).items():
        layer.norm_queries.register_forward_hook(
            lambda norm, inputs, queries, name=name: replacement(name, queries).expand_as(queries)
        )
    return model


@torch.no_grad()
def replace_stencils(model: nn.Module, replacement: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of a model whose lambda layers have other stencils. The palettes (content lambdas) stay.

    Args:
        model: stays as it is.
        replacement: gets a table of stencils (k, u, r_y, r_x) and returns another of this shape, for example
            `torch.zeros_like` or `centre_taps`.
    Returns:
        The copy, in the same mode.
    Raises:
        ValueError: the model has no lambda layer.
    """
    model = copy.deepcopy(model)
    for layer in lambda_layers(model).values():
        layer.table.copy_(replacement(layer.table))
    return model


def centre_taps(table: Tensor) -> Tensor:
    """Stencils that see their own pixel only: T at offset 0, and 0 elsewhere.

    Args:
        table: (k, u, r_y, r_x), both sides odd.
    Returns:
        (k, u, r_y, r_x).
    """
    kept = torch.zeros_like(table)
    centre = (..., table.shape[2] // 2, table.shape[3] // 2)
    kept[centre] = table[centre]
    return kept


def ablations(model: nn.Module, images: Tensor, batch_size: int = 500) -> Iterator[tuple[str, nn.Module]]:
    """A trained model, and copies without its steering or its stencils. Used by experiments.steering.

    Every later layer sees other features than those that its batch norm was trained on. This alone costs accuracy,
    so the batch-norm statistics are measured again where a name ends in "_new_statistics": in train mode, without
    gradients, as the mean over the batches (`torch.optim.swa_utils.update_bn`). No parameter changes.

    Args:
        model: stays as it is.
        images: (n, 3, H, W), normalized training images, on the device of the model. They give the mean queries
            and the new statistics. Each batch counts alike in these: choose n as a multiple of batch_size.
        batch_size: images at once.
    Yields:
        Name and model, in eval mode: "as_trained"; "mean_query", one for each layer and head (see mean_queries);
        then with new statistics "mean_query", "image_mean_query" (the mean within the image), "no_stencils" and
        "centre_taps".
    Raises:
        ValueError: the model has no lambda layer.
    """
    means = mean_queries(model, images, batch_size)
    model = copy.deepcopy(model).eval()

    def constant(name: str, queries: Tensor) -> Tensor:
        return rearrange(means[name], "h k -> (h k) 1 1")

    def image_mean(name: str, queries: Tensor) -> Tensor:
        return queries.mean((2, 3), keepdim=True)

    yield "as_trained", model
    yield "mean_query", replace_queries(model, constant)
    for name, make in {
        "mean_query": partial(replace_queries, model, constant),
        "image_mean_query": partial(replace_queries, model, image_mean),
        "no_stencils": partial(replace_stencils, model, torch.zeros_like),
        "centre_taps": partial(replace_stencils, model, centre_taps),
    }.items():
        changed = make()
        update_bn(images.split(batch_size), changed)
        yield f"{name}_new_statistics", changed
