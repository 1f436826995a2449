"""Wrong calls of what converts, prices and explains a model."""

import numpy as np
import torch
from bad_input.case import Case
from timm.layers.lambda_layer import LambdaLayer as TimmLayer
from torch import nn

from lambdalib import convert, cost, explain
from lambdalib.layer import LambdaLayer
from lambdalib.small import SmallResNet

POSITIVE = "positive integer"
zeros = torch.zeros


def small(widths=(24, 8, 8, 8), **options):
    return SmallResNet(widths, **{"dim_k": 3, "heads": 2} | options)


def layer(**options):
    return LambdaLayer(8, **{"dim_k": 3, "heads": 2, "scope": 3} | options)


def theirs(r=3):
    return TimmLayer(8, num_heads=2, dim_head=3, r=r)


def parts(**changed):
    """LayerParts of zeros, with what the row gets wrong."""
    shapes = {
        "queries": (1, 2, 4, 3),
        "soft_keys": (1, 4, 3, 1),
        "values": (1, 4, 5, 1),
        "embeddings": (4, 4, 3, 1),
    }
    return explain.LayerParts(**{name: zeros(shape) for name, shape in (shapes | changed).items()})


def inside(order, model=None):
    with cost.contraction_order(layer() if model is None else model, order):
        pass


def memory(**options):
    return cost.training_memory(**{"model": nn.Conv2d(3, 4, 1), "batch": 8} | options)


LAYER = dict(d_in=8, d_out=8, k=3, h=2, u=1, r=3)
PAIRS = dict(b=1, h=2, n=4, m=4, k=3, v=5)

ROWS = [
    # convert
    Case("from_timm: None", lambda: convert.from_timm(None), ("layer", "NoneType", "LambdaLayer of timm")),
    Case(
        "from_timm: a state dict",
        lambda: convert.from_timm(layer().state_dict()),
        ("layer", "OrderedDict", "LambdaLayer of timm"),
    ),
    Case(
        "from_timm: ours",
        lambda: convert.from_timm(layer()),
        ("layer", "lambdalib.layer.LambdaLayer", "LambdaLayer of timm"),
    ),
    Case("from_timm: the class", lambda: convert.from_timm(TimmLayer), ("layer", "type", "LambdaLayer of timm")),
    Case("from_timm: an even window", lambda: convert.from_timm(theirs(r=4)), ("scope", "got 4", "odd")),
    Case(
        "from_lambda_networks: timm's",
        lambda: convert.from_lambda_networks(theirs()),
        ("layer", "timm", "LambdaLayer of lambda-networks"),
    ),
    Case("to_timm: a name", lambda: convert.to_timm("layer"), ("layer", "str", "LambdaLayer of lambdalib")),
    Case("to_timm: intra-depth", lambda: convert.to_timm(layer(dim_u=2)), ("dim_u = 2", "dim_u = 1")),
    Case(
        "to_timm: other channels out",
        lambda: convert.to_timm(layer(dim_out=4)),
        ("layer", "8", "4", "cannot change"),
    ),
    Case(
        "to_lambda_networks: a stride",
        lambda: convert.to_lambda_networks(layer(stride=2)),
        ("layer", "AvgPool2d", "no stride"),
    ),
    Case(
        "to_lambda_networks: a long map",
        lambda: convert.to_lambda_networks(layer(scope=None, feat_size=(3, 5))),
        ("feat_size", "(3, 5)", "square"),
    ),
    Case("swap: None", lambda: convert.swap(None), ("model", "NoneType", "Module")),
    Case(
        "swap: a state dict",
        lambda: convert.swap(nn.Linear(2, 2).state_dict()),
        ("model", "OrderedDict", "Module"),
    ),
    Case("swap: a layer alone", lambda: convert.swap(theirs()), ("model", "from_timm")),
    Case("swap: images are a list", lambda: convert.swap(nn.Identity(), [1.0]), ("images", "list", "tensor")),
    Case(
        "swap: no images",
        lambda: convert.swap(nn.Identity(), zeros(0, 3, 8, 8)),
        ("images", "(0, 3, 8, 8)", "at least one image"),
    ),
    # cost
    Case("parameters of a name", lambda: cost.count_parameters("small"), ("model", "str", "Module")),
    Case(
        "parameters of a class", lambda: cost.count_parameters(nn.Identity), ("model", "object of type", "Module")
    ),
    Case("multiply-adds of None", lambda: cost.multiply_adds(None, (1, 3, 8, 8)), ("model", "NoneType", "Module")),
    Case(
        "multiply-adds: a shape that is a number",
        lambda: cost.multiply_adds(nn.Identity(), 3),
        ("input_shape", "got 3", "positive"),
    ),
    Case(
        "multiply-adds: an unknown side",
        lambda: cost.multiply_adds(nn.Identity(), (1, 3, -1, 8)),
        ("input_shape", "(1, 3, -1, 8)", "positive"),
    ),
    Case(
        "multiply-adds: a tensor as shape",
        lambda: cost.multiply_adds(nn.Identity(), torch.ones(2)),
        ("input_shape", "tensor", "positive"),
    ),
    Case(
        "multiply-adds: images too small",
        lambda: cost.multiply_adds(small(), (1, 3, 3, 3)),
        ("images", "(1, 3, 3, 3)", "at least 9 × 9"),
    ),
    Case("contraction_order: auto", lambda: inside("auto"), ("order", "'auto'", "one of")),
    Case("contraction_order: a list", lambda: inside(["tiles"]), ("order", "['tiles']", "one of")),
    Case("contraction_order: no model", lambda: inside("tiles", "small"), ("model", "str", "Module")),
    Case("saved bytes of a name", lambda: cost.saved_activation_bytes("small"), ("model", "str", "function")),
    Case(
        "recomputed bytes of a function",
        lambda: cost.recomputed_bytes(len, zeros(1)),
        ("model", "builtin_function", "Module"),
    ),
    Case("memory: no model", lambda: memory(model=None), ("model", "NoneType", "Module")),
    Case("memory: no batch", lambda: memory(batch=0), ("batch", "got 0", POSITIVE)),
    Case("memory: half an image", lambda: memory(batch=0.5), ("batch", "0.5", POSITIVE)),
    Case("memory: a side of a pair", lambda: memory(side=(32, 32)), ("side", "(32, 32)", POSITIVE)),
    Case("memory: a type by name", lambda: memory(dtype="bfloat16"), ("dtype", "'bfloat16'", "torch.bfloat16")),
    Case(
        "memory: a type without autocast",
        lambda: memory(dtype=torch.int8),
        ("dtype", "torch.int8", "torch.float16"),
    ),
    Case("memory: negative states", lambda: memory(states=-1), ("states", "-1", "at least 0")),
    Case("memory: average is a decay", lambda: memory(average=0.999), ("average", "0.999", "True or False")),
    Case("formula: no heads", lambda: cost.lambda_layer_parameters(**LAYER | {"h": 0}), ("h ", "got 0", POSITIVE)),
    Case(
        "formula: uneven heads",
        lambda: cost.lambda_layer_parameters(**LAYER | {"h": 3}),
        ("h ", "got 3", "divide d_out = 8"),
    ),
    Case(
        "formula: an even scope", lambda: cost.lambda_layer_parameters(**LAYER | {"r": 4}), ("r ", "got 4", "odd")
    ),
    Case(
        "formula: d_in is a word",
        lambda: cost.lambda_layer_parameters(**LAYER | {"d_in": "8"}),
        ("d_in", "'8'", POSITIVE),
    ),
    Case(
        "formula: attention over no positions",
        lambda: cost.attention_multiply_adds(**PAIRS | {"n": 0}),
        ("n ", "got 0", POSITIVE),
    ),
    Case(
        "formula: attention of a pair",
        lambda: cost.attention_multiply_adds(**PAIRS | {"m": (2, 2)}),
        ("m ", "(2, 2)", POSITIVE),
    ),
    Case(
        "formula: content of a negative depth",
        lambda: cost.content_multiply_adds(**PAIRS, u=-1),
        ("u ", "-1", POSITIVE),
    ),
    Case(
        "formula: content of None",
        lambda: cost.content_multiply_adds(**PAIRS | {"v": None}),
        ("v ", "None", POSITIVE),
    ),
    Case(
        "stages: depths without a stage",
        lambda: cost.stage_costs(None, "CCLL", 56),
        ("depths", "None", "one per stage"),
    ),
    Case(
        "stages: an unknown letter",
        lambda: cost.stage_costs((1, 1, 1, 1), "CCXL", 56),
        ("layout", "'CCXL'", "C (convolution)"),
    ),
    Case(
        "stages: letters block by block",
        lambda: cost.stage_costs((2, 1, 1, 1), ("CL", "C", "C", "C"), 56),
        ("layout", "'CL'", "string"),
    ),
    Case("stages: a side of zero", lambda: cost.stage_costs((1, 1, 1, 1), "CCLL", 0), ("side", "got 0", POSITIVE)),
    Case("stages: an even scope", lambda: cost.stage_costs((1, 1, 1, 1), "CCLL", 56, r=8), ("r ", "got 8", "odd")),
    # explain
    Case("layers of None", lambda: explain.lambda_layers(None), ("model", "NoneType", "Module")),
    Case(
        "layers of a net without",
        lambda: explain.lambda_layers(nn.Identity()),
        ("model", "Identity", "LambdaLayer"),
    ),
    Case(
        "inputs: grey images",
        lambda: explain.layer_inputs(small(), zeros(1, 1, 32, 32)),
        ("images", "(1, 1, 32, 32)", "(b, 3, H, W)"),
    ),
    Case(
        "parts of a net",
        lambda: explain.layer_parts(small(), zeros(1, 3, 32, 32)),
        ("layer", "SmallResNet", "LambdaLayer"),
    ),
    Case(
        "parts: other channels",
        lambda: explain.layer_parts(layer(), zeros(1, 3, 5, 5)),
        ("features", "(1, 3, 5, 5)", "(b, 8, H, W)"),
    ),
    Case(
        "kernels: another depth",
        lambda: explain.pixel_kernels(zeros(1, 2, 4, 3), zeros(5, 1, 3, 3)),
        ("table", "(5, 1, 3, 3)", "(3, u, r_y, r_x)"),
    ),
    Case(
        "kernels: queries without heads",
        lambda: explain.pixel_kernels(zeros(4, 3), zeros(3, 1, 3, 3)),
        ("queries", "(4, 3)", "(b, h, n, k)"),
    ),
    Case("energies of a layer", lambda: explain.output_energies(layer()), ("parts", "LambdaLayer", "layer_parts")),
    Case(
        "energies: another context",
        lambda: explain.output_energies(parts(values=(1, 9, 5, 1))),
        ("values", "(1, 9, 5, 1)", "(1, 4, v, 1)"),
    ),
    Case(
        "field: a net with its head",
        lambda: explain.effective_receptive_field(small(), zeros(1, 3, 32, 32)),
        ("model", "(2, 10)", "maps (b, d, H, W)"),
    ),
    Case(
        "field: no images",
        lambda: explain.effective_receptive_field(small().stem, zeros(0, 3, 32, 32)),
        ("images", "(0, 3, 32, 32)", "at least 1"),
    ),
    Case(
        "field: bytes",
        lambda: explain.effective_receptive_field(small().stem, zeros(1, 3, 32, 32).byte()),
        ("images", "torch.uint8", "floats"),
    ),
    Case(
        "field: no model",
        lambda: explain.effective_receptive_field(len, zeros(1, 3, 32, 32)),
        ("model", "builtin_function", "Module"),
    ),
    Case(
        "mean queries: no images",
        lambda: explain.mean_queries(small(), zeros(0, 3, 32, 32)),
        ("images", "(0, 3, 32, 32)", "at least 1"),
    ),
    Case(
        "mean queries: NumPy's images",
        lambda: explain.mean_queries(small(), np.zeros((1, 3, 32, 32))),
        ("images", "ndarray", "floats"),
    ),
    Case(
        "mean queries: batches of none",
        lambda: explain.mean_queries(small(), zeros(1, 3, 32, 32), 0),
        ("batch_size", "got 0", POSITIVE),
    ),
    Case(
        "mean queries: no lambda layer",
        lambda: explain.mean_queries(small(layout="CCC"), zeros(1, 3, 32, 32)),
        ("model", "SmallResNet", "LambdaLayer"),
    ),
    Case("queries replaced in a name", lambda: explain.replace_queries("small", len), ("model", "str", "Module")),
    Case(
        "stencils of one number",
        lambda: explain.replace_stencils(layer(), torch.sum),
        ("replacement", "()", "(3, 1, 3, 3)"),
    ),
    Case(
        "stencils that are None",
        lambda: explain.replace_stencils(layer(), lambda table: None),
        ("replacement", "NoneType", "(3, 1, 3, 3)"),
    ),
    Case(
        "stencils without a middle",
        lambda: explain.centre_taps(zeros(3, 1, 4, 3)),
        ("table", "(3, 1, 4, 3)", "odd"),
    ),
    Case(
        "stencils without a depth",
        lambda: explain.centre_taps(zeros(3, 3)),
        ("table", "(3, 3)", "(k, u, r_y, r_x)"),
    ),
    Case(
        "ablations: batches of a float",
        lambda: next(explain.ablations(small(), zeros(1, 3, 32, 32), 0.5)),
        ("batch_size", "0.5", POSITIVE),
    ),
]
