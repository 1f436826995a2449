"""What a trained model with lambda layers does: read from its layers, then found by taking parts of it away.

A lambda layer is a matrix times its values, y = A v, where A is the sum of a content and a position matrix. The
first functions write A down and measure it. The query of a pixel steers its layer: it decides how palette and
stencils mix there. The last functions take this steering away, or one half, and keep everything else. Nothing
is trained again.

Axes: b batch, h heads, n query positions, m context positions, k query/key depth, v value depth, u intra-depth.
Taught in notebooks/08_look_inside. Used by `python -m lambdalib.experiments.steering`.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, einsum, nn
from torch.optim.swa_utils import update_bn

from lambdalib.arguments import check_axes, check_images, check_module, check_sizes, describe
from lambdalib.guards import check_features
from lambdalib.lambdas import apply_lambdas, position_lambdas, relative_embeddings
from lambdalib.layer import LambdaLayer

__all__ = [
    "LayerParts",
    "lambda_layers",
    "layer_inputs",
    "layer_parts",
    "equivalent_matrices",
    "unseen_directions",
    "pixel_kernels",
    "effective_writers",
    "output_energies",
    "within_image_share",
    "effective_receptive_field",
    "mean_queries",
    "replace_queries",
    "replace_stencils",
    "without_palettes",
    "centre_taps",
    "ablations",
]


def lambda_layers(model: nn.Module) -> dict[str, LambdaLayer]:
    """The lambda layers of a model by their names in it, in the order in which they were registered.

    Taught in notebooks/08_look_inside.

    Raises:
        ValueError: there is none, or model is no module.
    """
    check_module(model=model)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LambdaLayer)}
    if not layers:
        raise ValueError(f"model must have a LambdaLayer, got a {type(model).__name__} without one")
    return layers


@torch.no_grad()
def layer_inputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """The features that each lambda layer of a model gets. Taught in notebooks/08_look_inside.

    Args:
        model: stays as it is; a copy of it runs, in eval mode.
        images: (b, 3, H, W), normalized, on the device of the model.
    Returns:
        Name of the layer -> its features, (b, d, H', W').
    Raises:
        ValueError: the model has no lambda layer.
    """
    model, found = copy.deepcopy(model).eval(), {}
    for name, layer in lambda_layers(model).items():
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: found.update({name: inputs[0]}))
    model(images)
    return found


class LayerParts(NamedTuple):
    """All that the output of a lambda layer is made of. Made by layer_parts. Used by output_energies."""

    queries: Tensor  # (b, h, n, k), after their norm
    soft_keys: Tensor  # (b, m, k, u): the softmax of the keys, each column sums to 1 over m
    values: Tensor  # (b, m, v, u), after their norm
    embeddings: Tensor  # (n, m, k, u): the stencils laid out, see lambdas.relative_embeddings


def layer_parts(layer: LambdaLayer, features: Tensor) -> LayerParts:
    """Queries, soft keys, values and embeddings of a layer, with the projections and norms that it has.

    q = BN(W_q x),   softmax_m(W_k x),   v = BN(W_v x),   E[n, m] = T[m - n]
    Taught in notebooks/08_look_inside. The embeddings hold n·m·k·u numbers, so this is for small maps.

    Args:
        layer: in the mode that is wanted; in eval mode the output is linear in the values that come back.
        features: (b, d, H, W).
    Raises:
        ValueError: layer is none, or the features are no map for it.
    """
    if not isinstance(layer, LambdaLayer):
        raise ValueError(f"layer must be a LambdaLayer, got {describe(layer)}")
    check_features(features, layer.to_keys.in_channels, layer.feat_size)
    queries = layer.norm_queries(layer.to_queries(features))
    keys = layer.to_keys(features)
    values = layer.norm_values(layer.to_values(features))
    return LayerParts(
        rearrange(queries, "b (h k) y x -> b h (y x) k", h=layer.heads),
        rearrange(keys, "b (k u) y x -> b (y x) k u", u=layer.dim_u).softmax(1),
        rearrange(values, "b (v u) y x -> b (y x) v u", u=layer.dim_u),
        relative_embeddings(layer.table, *features.shape[2:]),
    )


def equivalent_matrices(queries: Tensor, soft_keys: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """The two matrices whose sum A turns the values into the output of a lambda layer: content and position.

    y_hn = Σ_m A[h, n, m] v_m,   A[h, n, m] = q_hn · softmax_m(K)_m  +  q_hn · E_nm,        y also summed over u
    A is signed, and its rows need not sum to 1. Taught in notebooks/08_look_inside. A layer's position_bias reads
    no values and its pool comes later: neither is part of A.

    Args:
        queries, soft_keys, embeddings: (b, h, n, k), (b, m, k, u) and (n, m, k, u), from layer_parts.
    Returns:
        content and position, (b, h, n, m, u) each.
    """
    content = einsum("bhnk,bmku->bhnmu", queries, soft_keys)
    position = einsum("bhnk,nmku->bhnmu", queries, embeddings)
    return content, position


def unseen_directions(values: Tensor) -> Tensor:
    """What can be added to any row of an equivalent matrix without a change of the output: all z with zᵀV = 0.

    Σ_m z_m v_m = 0,        also summed over u
    Taught in notebooks/08_look_inside. Brunner et al. 2020, "On Identifiability in Transformers", for attention.

    Args:
        values: (m, v, u), those of one image.
    Returns:
        (z, m, u): orthonormal directions, z = m·u - rank(V) of them, which may be none.
    """
    rows = rearrange(values, "m v u -> (m u) v")
    directions, _, _ = torch.linalg.svd(rows)
    unseen = directions[:, torch.linalg.matrix_rank(rows) :]
    return rearrange(unseen, "(m u) z -> z m u", u=values.shape[2])


def pixel_kernels(queries: Tensor, table: Tensor) -> Tensor:
    """The one filter that each query mixes from the stencils: what the position half is at this pixel.

    κ_hn = Σ_k q_hnk T_k        Taught in notebooks/08_look_inside.

    Args:
        queries: (b, h, n, k).
        table: (k, u, r_y, r_x), a layer's stencils.
    Returns:
        (b, h, n, u, r_y, r_x).
    Raises:
        ValueError: the two do not agree.
    """
    check_axes("b h n k, k u r_y r_x", queries=queries, table=table)
    return einsum("bhnk,kuyx->bhnuyx", queries, table)


def effective_writers(soft_keys: Tensor) -> Tensor:
    """By how many positions each colour of a palette is written, in effect: exp of the entropy of its weights.

    w = exp(-Σ_m σ_m log σ_m),   from 1 (one position has all the weight) to m (all have the same)
    Taught in notebooks/08_look_inside.

    Args:
        soft_keys: (b, m, k, u), from layer_parts.
    Returns:
        (b, k, u).
    """
    return torch.special.entr(soft_keys).sum(1).exp()


def content_output(parts: LayerParts) -> Tensor:
    """The content half of a layer's output, q·λᶜ: (b, h, n, v)."""
    queries, soft_keys, values, _ = parts
    return apply_lambdas(queries, einsum("bmku,bmvu->bkv", soft_keys, values))


def output_energies(parts: LayerParts) -> tuple[float, float]:
    """The sums of squares of the two halves of a layer's output: content, position.

    ‖q·λᶜ‖²,   ‖q·λᵖ‖²        Taught in notebooks/08_look_inside. Energy is not use: later layers may ignore it.

    Args:
        parts: from layer_parts.
    Raises:
        ValueError: parts are none, or do not agree.
    """
    if not isinstance(parts, LayerParts):
        raise ValueError(f"parts must be LayerParts, from layer_parts, got {describe(parts)}")
    check_axes("b h n k, b m k u, b m v u, n m k u", **parts._asdict())
    queries, _, values, embeddings = parts
    content = content_output(parts)
    position = apply_lambdas(queries, position_lambdas(embeddings, values))
    return content.square().sum().item(), position.square().sum().item()


def within_image_share(queries: Tensor) -> float:
    """The share of the queries' variance that lies within an image: 0 if a query never moves with the pixel.

    Σ_bhn ‖q_bhn - mean_n q_bhn‖²  /  Σ_bhn ‖q_bhn - mean_bn q_bhn‖²        Taught in notebooks/08_look_inside.

    Args:
        queries: (b, h, n, k), from layer_parts; not all of them equal.
    Returns:
        Between 0 and 1; the rest is how much the mean queries of images differ.
    """
    within = queries - queries.mean(2, keepdim=True)
    overall = queries - queries.mean((0, 2), keepdim=True)
    return (within.square().sum() / overall.square().sum()).item()


def effective_receptive_field(model: nn.Module, images: Tensor) -> Tensor:
    """On which pixels the features in the centre of a map depend, and how much: shares that sum to 1.

    R[y, x] ∝ Σ |∂ Σ_c f_c(centre) / ∂ input[y, x]|, over images and colours;   c the channels of the features f
    Luo et al. 2016, "Understanding the Effective Receptive Field". Taught in notebooks/08_look_inside.

    Args:
        model: from images to maps, (b, 3, H, W) -> (b, d, H', W'); stays as it is; a copy runs, in eval mode. The
            centre is row H'//2, column W'//2.
        images: (b, 3, H, W), normalized, on the device of the model.
    Returns:
        (H, W).
    Raises:
        ValueError: images are none, or the model answers with something else than maps.
    """
    check_module(model=model)
    check_images(images, count=1, channels="c")
    # a single image is taken twice: PyTorch 2.14 gets a batch norm's gradient wrong on CPUs for a batch of one
    images = images.detach().expand(max(2, len(images)), -1, -1, -1).clone().requires_grad_()
    features = copy.deepcopy(model).eval()(images)
    if not isinstance(features, Tensor) or features.dim() != 4:
        raise ValueError(
            f"model must answer with maps (b, d, H, W), such as its stages do, got {describe(features)}"
        )
    centre = features[:, :, features.shape[2] // 2, features.shape[3] // 2].sum()
    (gradient,) = torch.autograd.grad(centre, images)
    strengths = gradient.abs().sum((0, 1))
    return strengths / strengths.sum()


@torch.no_grad()
def mean_queries(model: nn.Module, images: Tensor, batch_size: int = 500) -> dict[str, Tensor]:
    """The mean query of each lambda layer and head, over all pixels of all images.

    q̄_h = mean_{b,n} q_bhn,   q = BN(W_q x)
    One pass of the model as it is measures all layers. So the mean of a late layer is the one that it has while
    the earlier layers still have their own queries. Taught in notebooks/08_look_inside.

    Args:
        model: stays as it is; a copy of it runs, in eval mode.
        images: (n, 3, H, W), normalized, on the device of the model.
        batch_size: images at once.
    Returns:
        Name of the layer -> (h, k).
    Raises:
        ValueError: the model has no lambda layer, images are none, or batch_size is no size.
    """
    check_images(images, count=1, channels="c")
    check_sizes(batch_size=batch_size)
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

    Taught in notebooks/08_look_inside.

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
        ValueError: the model has no lambda layer, or replacement returns no table of the same shape.
    """
    model = copy.deepcopy(model)
    for layer in lambda_layers(model).values():
        table = replacement(layer.table)
        check_axes("k u r_y r_x, k u r_y r_x", table=layer.table, replacement=table)
        layer.table.copy_(table)
    return model


def without_palettes(model: nn.Module) -> nn.Module:
    """A copy of a model whose lambda layers have no palettes (content lambdas). The stencils stay.

    y_hn = (λᵖ_n)ᵀ q_hn        Used by ablations.

    Args:
        model: stays as it is.
    Returns:
        The copy, in the same mode.
    Raises:
        ValueError: the model has no lambda layer.
    """
    model = copy.deepcopy(model)
    for layer in lambda_layers(model).values():
        layer.register_forward_hook(subtract_palette)
    return model


def subtract_palette(layer: LambdaLayer, inputs: tuple, output: Tensor) -> Tensor:
    """A forward hook that takes the content half from a layer's output.

    In train mode the norms see each batch twice, which leaves a plain mean over batches as it is.
    """
    (features,) = inputs
    content = content_output(layer_parts(layer, features))
    return output - layer.pool(rearrange(content, "b h (y x) v -> b (h v) y x", y=features.shape[2]))


def centre_taps(table: Tensor) -> Tensor:
    """Stencils that see their own pixel only: T at offset 0, and 0 elsewhere.

    Args:
        table: (k, u, r_y, r_x), both sides odd.
    Returns:
        (k, u, r_y, r_x).
    Raises:
        ValueError: table is none.
    """
    check_axes("k u r_y r_x", table=table)
    kept = torch.zeros_like(table)
    centre = (..., table.shape[2] // 2, table.shape[3] // 2)
    kept[centre] = table[centre]
    return kept


def ablations(model: nn.Module, images: Tensor, batch_size: int = 500) -> Iterator[tuple[str, nn.Module]]:
    """A trained model, and copies without its steering or one of its halves. Used by experiments.steering.

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
        then with new statistics "mean_query", "image_mean_query" (the mean within the image), "no_palettes",
        "no_stencils" and "centre_taps".
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
        "no_palettes": partial(without_palettes, model),
        "no_stencils": partial(replace_stencils, model, torch.zeros_like),
        "centre_taps": partial(replace_stencils, model, centre_taps),
    }.items():
        changed = make()
        update_bn(images.split(batch_size), changed)
        yield f"{name}_new_statistics", changed
