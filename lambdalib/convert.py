"""Lambda layers of timm and of lambda-networks, with their weights, as ours; and back.

The three compute the same function, and none scales anything (attention's 1/√k is absorbed in the start of W_q).
So no number changes its value, only its place; channels of two indices are written with the slow one first:

    ours                             timm                               lambda-networks
    to_queries.weight (h k)          qkv.weight, first h·k rows         to_q.weight (h k)
    to_keys.weight (k u)             qkv.weight, next k rows            to_k.weight (u k)
    to_values.weight (v u)           qkv.weight, last v rows            to_v.weight (u v)
    norm_queries.*, norm_values.*    norm_q.*, norm_v.*                 norm_q.*, norm_v.* (u v)
    table, local (k, u, r, r)        conv_lambda.weight (k, 1, r, r, 1) pos_conv.weight (k, u, 1, r, r)
    table, global (k, u, y, x)       pos_emb (y, x, k)                  rel_pos_emb (y, x, k, u)
    position_bias, local form only   conv_lambda.bias                   pos_conv.bias

timm has no intra-depth: there u = 1. A bias of its qkv, off by default, changes nothing that the norms and the
softmax do not take back; the norms' running means take it over. Neither package is needed to import this module,
and each only to make its own layers. Bello 2021, section 3. Taught in notebooks/06_lambda_resnet.
"""

from copy import deepcopy
from importlib import import_module
from statistics import median
from time import perf_counter

import torch
from einops import rearrange
from torch import Tensor, nn

from lambdalib.arguments import check_module, describe
from lambdalib.layer import LambdaLayer

__all__ = ["from_timm", "to_timm", "from_lambda_networks", "to_lambda_networks", "swap"]

HOMES = {"timm": "timm.layers.lambda_layer", "lambda_networks": "lambda_networks"}  # where each LambdaLayer is


def package_of(module: nn.Module) -> str | None:
    """The package of a peer's LambdaLayer, else None; told by name, since neither need be installed."""
    package = type(module).__module__.partition(".")[0]
    return package if package in HOMES and type(module).__name__ == "LambdaLayer" else None


def rename(state: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    """The entries whose name starts with `old`, which becomes `new`."""
    return {new + name[len(old) :]: tensor for name, tensor in state.items() if name.startswith(old)}


def reorder(state: dict[str, Tensor], pattern: str, u: int) -> dict[str, Tensor]:
    """The channels of every tensor in another order; a tensor without channels (a count) stays as it is."""
    return {name: rearrange(tensor, pattern, u=u) if tensor.dim() else tensor for name, tensor in state.items()}


def read_timm(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names and shapes -> ours."""
    if "conv_lambda.weight" in state:
        position = {"table": state["conv_lambda.weight"].squeeze(4), "position_bias": state["conv_lambda.bias"]}
    else:
        position = {"table": state["pos_emb"].permute(2, 0, 1).unsqueeze(1)}
    sizes = [len(state["norm_q.weight"]), len(position["table"]), len(state["norm_v.weight"])]
    names = ["to_queries.weight", "to_keys.weight", "to_values.weight"]
    norms = rename(state, "norm_q", "norm_queries") | rename(state, "norm_v", "norm_values")
    if "qkv.bias" in state:
        # one number per key channel: the softmax does not see it
        queries, _, values = state["qkv.bias"].split(sizes)
        norms["norm_queries.running_mean"] = norms["norm_queries.running_mean"] - queries
        norms["norm_values.running_mean"] = norms["norm_values.running_mean"] - values
    return dict(zip(names, state["qkv.weight"].split(sizes))) | norms | position


def write_timm(state: dict[str, Tensor], local: bool) -> dict[str, Tensor]:
    """Our names and shapes -> timm's. Its convolution always has a bias: zero where ours has none."""
    table = state["table"]
    if local:
        bias = state.get("position_bias", table.new_zeros(len(table)))
        position = {"conv_lambda.weight": table.unsqueeze(4), "conv_lambda.bias": bias}
    else:
        position = {"pos_emb": table.squeeze(1).permute(1, 2, 0)}
    weights = [state["to_queries.weight"], state["to_keys.weight"], state["to_values.weight"]]
    norms = rename(state, "norm_queries", "norm_q") | rename(state, "norm_values", "norm_v")
    return {"qkv.weight": torch.cat(weights)} | norms | position


def read_lambda_networks(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """lambda-networks' names and shapes -> ours."""
    if "pos_conv.weight" in state:
        position = {"table": state["pos_conv.weight"].squeeze(2), "position_bias": state["pos_conv.bias"]}
    else:
        position = {"table": state["rel_pos_emb"].permute(2, 3, 0, 1)}
    u = position["table"].shape[1]
    doubled = (
        rename(state, "to_k", "to_keys")
        | rename(state, "to_v", "to_values")
        | rename(state, "norm_v", "norm_values")
    )
    single = rename(state, "to_q", "to_queries") | rename(state, "norm_q", "norm_queries")
    return single | reorder(doubled, "(u depth) ... -> (depth u) ...", u) | position


def write_lambda_networks(state: dict[str, Tensor], local: bool) -> dict[str, Tensor]:
    """Our names and shapes -> lambda-networks'. Its convolution always has a bias: zero where ours has none."""
    table = state["table"]
    if local:
        bias = state.get("position_bias", table.new_zeros(len(table)))
        position = {"pos_conv.weight": table.unsqueeze(2), "pos_conv.bias": bias}
    else:
        position = {"rel_pos_emb": table.permute(2, 3, 0, 1)}
    doubled = (
        rename(state, "to_keys", "to_k")
        | rename(state, "to_values", "to_v")
        | rename(state, "norm_values", "norm_v")
    )
    single = rename(state, "to_queries", "to_q") | rename(state, "norm_queries", "norm_q")
    return single | reorder(doubled, "(depth u) ... -> (u depth) ...", table.shape[1]) | position


def fill(new: nn.Module, old: nn.Module, parts: dict[str, str], state: dict[str, Tensor]) -> nn.Module:
    """Give the new layer the old one's device, type, mode, numbers, and whole parts: norms and pool."""
    new.to(next(old.parameters())).train(old.training)
    new.requires_grad_(any(parameter.requires_grad for parameter in old.parameters()))
    for name, old_name in parts.items():  # after the mode: a norm that was frozen stays so
        setattr(new, name, deepcopy(getattr(old, old_name)))
    new.load_state_dict(state)
    return new


def ours_from(layer: nn.Module, state: dict[str, Tensor]) -> LambdaLayer:
    """Our layer for a state that was read from another's; only their local forms have a position bias."""
    k, u, *sides = state["table"].shape
    heads, local = len(state["to_queries.weight"]) // k, "position_bias" in state
    form = {"scope": sides[0]} if local else {"scope": None, "feat_size": tuple(side // 2 + 1 for side in sides)}
    ours = LambdaLayer(
        state["to_queries.weight"].shape[1],
        heads * len(state["to_values.weight"]) // u,
        dim_k=k,
        heads=heads,
        dim_u=u,
        position_bias=local,
        **form,
    )
    pool = {"pool": "pool"} if hasattr(layer, "pool") else {}
    return fill(ours, layer, {"norm_queries": "norm_q", "norm_values": "norm_v"} | pool, state)


def from_timm(layer: nn.Module) -> LambdaLayer:
    """Our layer with the weights of timm's, in either form, and with its pool, device, type and mode.

    Taught in notebooks/06_lambda_resnet.

    Args:
        layer: a timm LambdaLayer.
    Returns:
        A new layer with the same outputs; the old one is left alone. Biases of qkv are absorbed, see above.
    Raises:
        ValueError: layer is something else, or its window has no middle.
    """
    if package_of(layer) != "timm":
        raise ValueError(
            f"layer must be a LambdaLayer of timm, got {type(layer).__module__}.{type(layer).__name__}"
        )
    return ours_from(layer, read_timm(layer.state_dict()))


def from_lambda_networks(layer: nn.Module) -> LambdaLayer:
    """Our layer with the weights of lambda-networks', in either form, and with its device, type and mode.

    Used by swap.

    Args:
        layer: a lambda_networks.LambdaLayer.
    Returns:
        A new layer with the same outputs; the old one is left alone.
    Raises:
        ValueError: layer is something else.
    """
    if package_of(layer) != "lambda_networks":
        raise ValueError(
            f"layer must be a LambdaLayer of lambda-networks, got {type(layer).__module__}.{type(layer).__name__}"
        )
    return ours_from(layer, read_lambda_networks(layer.state_dict()))


def check_ours(layer: nn.Module, package: str) -> None:
    """Refuse what is no layer of ours, and the form that nobody else has. Raises ValueError."""
    if not isinstance(layer, LambdaLayer):
        raise ValueError(
            f"layer must be a LambdaLayer of lambdalib, got {type(layer).__module__}.{type(layer).__name__}"
        )
    if layer.feat_size is not None and layer.position_bias is not None:
        raise ValueError(f"layer has a position_bias in the global form, for which {package}'s has no place")


def to_timm(layer: LambdaLayer) -> nn.Module:
    """timm's layer with the weights of ours, and with its pool, device, type and mode; needs timm.

    Taught in notebooks/06_lambda_resnet.

    Args:
        layer: with dim_u = 1, dim_out = dim, and no position_bias in the global form.
    Returns:
        A new timm LambdaLayer with the same outputs.
    Raises:
        ValueError: timm's layer has no place for something that this one has.
        ModuleNotFoundError: timm is not installed.
    """
    check_ours(layer, "timm")
    dim, dim_out = layer.to_queries.in_channels, layer.heads * layer.dim_v
    if layer.dim_u != 1:
        raise ValueError(f"layer has dim_u = {layer.dim_u}, but timm's has no intra-depth, which means dim_u = 1")
    if dim_out != dim:
        raise ValueError(f"layer takes {dim} channels and gives {dim_out}, but timm's cannot change their number")
    local = layer.feat_size is None
    make = import_module(HOMES["timm"]).LambdaLayer
    theirs = make(
        dim,
        feat_size=layer.feat_size,
        num_heads=layer.heads,
        dim_head=layer.dim_k,
        r=layer.table.shape[2] if local else None,
    )
    parts = {"norm_q": "norm_queries", "norm_v": "norm_values", "pool": "pool"}
    return fill(theirs, layer, parts, write_timm(layer.state_dict(), local))


def to_lambda_networks(layer: LambdaLayer) -> nn.Module:
    """lambda-networks' layer with the weights of ours, and with its device, type and mode; needs lambda-networks.

    Used by `lambdalib bench`.

    Args:
        layer: with stride 1; in the global form for a square map and without position_bias.
    Returns:
        A new lambda_networks.LambdaLayer with the same outputs.
    Raises:
        ValueError: lambda-networks' layer has no place for something that this one has.
        ModuleNotFoundError: lambda-networks is not installed.
    """
    check_ours(layer, "lambda-networks")
    if not isinstance(layer.pool, nn.Identity):
        raise ValueError(f"layer pools ({layer.pool}), but lambda-networks' has no stride: put the pool after it")
    local = layer.feat_size is None
    if not local and layer.feat_size[0] != layer.feat_size[1]:
        raise ValueError(
            f"layer has feat_size = {tuple(layer.feat_size)}, but lambda-networks' knows square maps only"
        )
    form = {"r": layer.table.shape[2]} if local else {"n": layer.feat_size[0]}
    make = import_module(HOMES["lambda_networks"]).LambdaLayer
    theirs = make(
        layer.to_queries.in_channels,
        dim_k=layer.dim_k,
        heads=layer.heads,
        dim_out=layer.heads * layer.dim_v,
        dim_u=layer.dim_u,
        **form,
    )
    parts = {"norm_q": "norm_queries", "norm_v": "norm_values"}
    return fill(theirs, layer, parts, write_lambda_networks(layer.state_dict(), local))


def put(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Exchange modules of a model wherever it names them, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children would leave out a child's second name
            if child in replacements:
                setattr(parent, name, replacements[child])


def measure(
    model: nn.Module, replacements: dict[nn.Module, nn.Module], images: Tensor, rounds: int = 5
) -> tuple[float, ...]:
    """Run the model with its old layers and with the new ones in alternation, in eval mode and without gradients.

    The first of each kind warms up. The model is given back as it was, modes included, whatever happens.

    Returns:
        The largest difference of outputs, relative to the largest output; seconds before and after, medians over
        the rounds.
    """
    exchanges = replacements, {new: old for old, new in replacements.items()}
    modes = {module: module.training for root in (model, *replacements.values()) for module in root.modules()}
    outputs, seconds = [None, None], [[], []]
    try:
        for module in modes:
            module.training = False
        with torch.no_grad():
            for new in [0, 1] * (1 + rounds):
                began = perf_counter()
                outputs[new] = model(images)
                if images.device.type != "cpu":
                    torch.accelerator.synchronize(images.device)
                seconds[new].append(perf_counter() - began)
                put(model, exchanges[new])
    finally:
        put(model, exchanges[1])
        for module, mode in modes.items():
            module.training = mode
    before, after = outputs
    if not isinstance(before, Tensor):
        raise ValueError(f"model must answer with one tensor to be compared, got {type(before).__name__}")
    return ((after - before).abs().max() / before.abs().max()).item(), *(median(times[1:]) for times in seconds)


def swap(model: nn.Module, images: Tensor | None = None) -> int:
    """Replace every lambda layer of timm and lambda-networks inside a model by ours, with weights and pool.

    It works in place. Swap before an optimiser takes the model's parameters: the new layers have their own. Hooks
    stay with the old ones.
    Taught in notebooks/06_lambda_resnet.

    Args:
        model: any, yours; one that calls a layer at several places will call its one replacement there.
        images: what it takes, on its device: then two lines are printed that say how far its answers and its speed
            have changed, for the better or the worse. Nothing is learnt from them.
    Returns:
        How many layers were replaced, 0 if there are none.
    Raises:
        ValueError: model is no module or a lambda layer itself, there is no image, or a layer cannot be converted;
            the message says where it is, and the model is as before.
    """
    check_module(model=model)
    if images is not None and not (isinstance(images, Tensor) and images.numel()):
        raise ValueError(f"images must be None or a tensor with at least one image, got {describe(images)}")
    if package_of(model):
        raise ValueError(
            f"model is itself a lambda layer, and nothing around it can change: use from_{package_of(model)}"
        )
    converters = {"timm": from_timm, "lambda_networks": from_lambda_networks}
    replacements = {}
    for name, module in model.named_modules():
        if package := package_of(module):
            try:
                replacements[module] = converters[package](module)
            except ValueError as error:
                raise ValueError(f"model.{name} cannot be converted: {error}") from error
    if images is not None:
        difference, before, after = measure(model, replacements, images)
        print(
            f"Layers replaced: {len(replacements)}. Outputs differ by {difference:.1e} of the largest.\n"
            f"{before / after:.2f} times as fast: {1000 * before:.1f} ms before, {1000 * after:.1f} ms after."
        )
    put(model, replacements)
    return len(replacements)
