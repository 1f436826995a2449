"""Wrong calls of the layer, its orders, sequences, twins and guards."""

import numpy as np
import torch
from bad_input.case import Case

from lambdalib.attention import SelfAttention
from lambdalib.contractions import plan, position_output, tiling
from lambdalib.guards import check_arguments, check_features, preserve_running_stats
from lambdalib.layer import LambdaLayer
from lambdalib.layouts import convolve, permute_contiguous, windows
from lambdalib.sequences import (
    LambdaLayer1d,
    causal_content_lambdas,
    masked_content_lambdas,
    masked_position_lambdas,
)
from lambdalib.twins import Twin

nan, inf = float("nan"), float("inf")
zeros = torch.zeros


def layer(**options):
    """A small layer, with what the row gets wrong."""
    return LambdaLayer(**{"dim": 8, "dim_k": 3, "heads": 2, "scope": 3} | options)


def sequence(**options):
    return LambdaLayer1d(**{"dim": 8, "dim_k": 3, "heads": 2, "scope": 3} | options)


def twin(kind="content", feat_size=(3, 3), **options):
    return Twin(**{"dim": 8, "kind": kind, "feat_size": feat_size, "dim_k": 3, "heads": 2} | options)


def position(queries=(2, 2, 6, 3), table=(3, 1, 3, 3), values=(2, 6, 4, 1), size=(2, 3), order="auto"):
    """position_output on zeros of these shapes; what is no shape is handed over as it is."""
    tensors = [zeros(shape) if isinstance(shape, tuple) else shape for shape in (queries, table, values)]
    return position_output(*tensors, size, order)


def step(state, features=(2, 8)):
    return sequence(causal=True).step(state, zeros(features))


SIZES = {"size": (8, 8), "sides": (3, 3)}
SHAPES = {"b": 1, "h": 2, "k": 3, "v": 4, "u": 1} | SIZES
PAIRS = [  # of tiling and plan
    ("size", (0, 8)),
    ("size", (8, 0)),
    ("size", (8, -1)),
    ("size", 8),
    ("size", None),
    ("sides", (0, 3)),
    ("sides", (3, nan)),
    ("sides", "33"),
    ("sides", [3]),
]
MASK = torch.ones(5, 5, dtype=torch.bool)
POSITIVE = "positive integer"

ROWS = [
    # LambdaLayer: sizes
    Case("dim is missing", lambda: layer(dim=None), ("dim", "None", POSITIVE)),
    Case("dim is a float", lambda: layer(dim=8.0), ("dim", "8.0", POSITIVE)),
    Case("dim is NaN", lambda: layer(dim=nan), ("dim", "nan", POSITIVE)),
    Case("dim is a list", lambda: layer(dim=[8]), ("dim", "[8]", POSITIVE)),
    Case("dim is a tensor", lambda: layer(dim=torch.tensor(8)), ("dim", "tensor(8)", POSITIVE)),
    Case("dim_out is a string", lambda: layer(dim_out="8"), ("dim_out", "'8'", POSITIVE)),
    Case("dim_out is no multiple of heads", lambda: layer(dim_out=9), ("heads", "dim_out = 9", "divide", "got 2")),
    Case("dim_k is True", lambda: layer(dim_k=True), ("dim_k", "True", POSITIVE)),
    Case("dim_k is infinite", lambda: layer(dim_k=inf), ("dim_k", "inf", POSITIVE)),
    Case("heads is a whole float", lambda: layer(heads=2.0), ("heads", "2.0", POSITIVE)),
    Case("heads is zero", lambda: layer(heads=0), ("heads", "got 0", POSITIVE)),
    Case("heads is a dict", lambda: layer(heads={}), ("heads", "{}", POSITIVE)),
    Case("dim_u is negative", lambda: layer(dim_u=-1), ("dim_u", "-1", POSITIVE)),
    Case("dim_u is complex", lambda: layer(dim_u=1j), ("dim_u", "1j", POSITIVE)),
    Case("stride is zero", lambda: layer(stride=0), ("stride", "got 0", POSITIVE)),
    Case("stride is a pair", lambda: layer(stride=(2, 2)), ("stride", "(2, 2)", POSITIVE)),
    Case("an argument that is not there", lambda: layer(dimk=3), ("unexpected keyword argument", "dimk")),
    # LambdaLayer: scope, feat_size, order
    Case("scope is even", lambda: layer(scope=4), ("scope", "got 4", "odd")),
    Case("scope is negative", lambda: layer(scope=-3), ("scope", "-3", "odd")),
    Case("scope is a pair", lambda: layer(scope=(3, 3)), ("scope", "(3, 3)", "odd")),
    Case("scope is False", lambda: layer(scope=False), ("scope", "False", "odd")),
    Case("global without a size", lambda: layer(scope=None), ("feat_size", "None", "(height, width)")),
    Case(
        "three sides",
        lambda: layer(scope=None, feat_size=(1, 2, 3)),
        ("feat_size", "(1, 2, 3)", "(height, width)"),
    ),
    Case(
        "a side of zero", lambda: layer(scope=None, feat_size=(0, 3)), ("feat_size", "(0, 3)", "(height, width)")
    ),
    Case("sides as a string", lambda: layer(scope=None, feat_size="33"), ("feat_size", "'33'", "(height, width)")),
    Case(
        "a side that is True",
        lambda: layer(scope=None, feat_size=(3, True)),
        ("feat_size", "True", "(height, width)"),
    ),
    Case("local with a size", lambda: layer(feat_size=(3, 3)), ("feat_size", "(3, 3)", "scope=None", "scope=3")),
    Case("order is a list", lambda: layer(order=["tiles"]), ("order", "['tiles']", "one of", "'auto'")),
    Case("order is unknown", lambda: layer(order="fft"), ("order", "'fft'", "one of", "'tiles'")),
    Case("order is None", lambda: layer(order=None), ("order", "None", "one of")),
    # LambdaLayer: switches
    Case("recompute is 1", lambda: layer(recompute=1), ("recompute", "True or False", "got 1")),
    Case("recompute is None", lambda: layer(recompute=None), ("recompute", "True or False", "None")),
    Case("recompute is a word", lambda: layer(recompute="no"), ("recompute", "True or False", "'no'")),
    Case("position_bias is 0", lambda: layer(position_bias=0), ("position_bias", "True or False", "got 0")),
    Case(
        "position_bias is a word", lambda: layer(position_bias="yes"), ("position_bias", "True or False", "'yes'")
    ),
    Case("position_bias is a tensor", lambda: layer(position_bias=zeros(3)), ("position_bias", "True or False")),
    # LambdaLayer: features
    Case("features are a list", lambda: layer()([[1.0]]), ("features", "list", "(b, 8, H, W)")),
    Case("features are NumPy's", lambda: layer()(np.zeros((2, 8, 5, 7))), ("features", "ndarray", "(b, 8, H, W)")),
    Case("features are None", lambda: layer()(None), ("features", "NoneType", "(b, 8, H, W)")),
    Case("features are integers", lambda: layer()(zeros(2, 8, 5, 7).int()), ("features", "torch.int32", "floats")),
    Case("features are bool", lambda: layer()(zeros(2, 8, 5, 7) > 0), ("features", "torch.bool", "floats")),
    Case(
        "features are complex",
        lambda: layer()(zeros(2, 8, 5, 7, dtype=torch.complex64)),
        ("features", "torch.complex64", "floats"),
    ),
    Case("features without a batch", lambda: layer()(zeros(8, 5, 7)), ("features", "(8, 5, 7)", "(b, 8, H, W)")),
    Case(
        "features of a video",
        lambda: layer()(zeros(1, 8, 2, 5, 7)),
        ("features", "(1, 8, 2, 5, 7)", "(b, 8, H, W)"),
    ),
    Case("channels last", lambda: layer()(zeros(2, 5, 7, 8)), ("features", "(2, 5, 7, 8)", "(b, 8, H, W)")),
    Case("features without a row", lambda: layer()(zeros(2, 8, 0, 7)), ("features", "(2, 8, 0, 7)", "one pixel")),
    Case(
        "features of another map",
        lambda: layer(scope=None, feat_size=(5, 7))(zeros(2, 8, 7, 5)),
        ("features", "(7, 5)", "must be (5, 7)"),
    ),
    # guards
    Case(
        "check_arguments: dim is a set",
        lambda: check_arguments({8}, 8, 3, 2, 1, 3, None, 1),
        ("dim", "{8}", POSITIVE),
    ),
    Case("check_features: a string", lambda: check_features("map", 8, None), ("features", "str", "(b, 8, H, W)")),
    Case("running statistics of nothing", lambda: preserve_running_stats(None), ("module", "NoneType", "Module")),
    Case(
        "running statistics of a class",
        lambda: preserve_running_stats(torch.nn.BatchNorm2d),
        ("module", "object of type", "Module"),
    ),
    # position_output
    Case("queries are a list", lambda: position(queries=[1.0]), ("queries", "list", "(b, h, n, k)")),
    Case("queries without heads", lambda: position(queries=(2, 6, 3)), ("queries", "(2, 6, 3)", "(b, h, n, k)")),
    Case(
        "the table has another k",
        lambda: position(table=(4, 1, 3, 3)),
        ("table", "(4, 1, 3, 3)", "(3, u, r_y, r_x)"),
    ),
    Case("the table is flat", lambda: position(table=(3, 1, 9)), ("table", "(3, 1, 9)", "(3, u, r_y, r_x)")),
    Case("the table has an even side", lambda: position(table=(3, 1, 3, 4)), ("table", "(3, 1, 3, 4)", "odd")),
    Case("the table has no side", lambda: position(table=(3, 1, 0, 3)), ("table", "(3, 1, 0, 3)", "odd")),
    Case(
        "the table is of integers",
        lambda: position(table=zeros(3, 1, 3, 3).long()),
        ("table", "torch.int64", "floats"),
    ),
    Case("values of another u", lambda: position(values=(2, 6, 4, 2)), ("values", "(2, 6, 4, 2)", "(2, 6, v, 1)")),
    Case(
        "values of one position", lambda: position(values=(2, 1, 4, 1)), ("values", "(2, 1, 4, 1)", "(2, 6, v, 1)")
    ),
    Case(
        "values of another batch",
        lambda: position(values=(1, 6, 4, 1)),
        ("values", "(1, 6, 4, 1)", "(2, 6, v, 1)"),
    ),
    Case("size holds other pixels", lambda: position(size=(3, 3)), ("size", "(3, 3)", "n = 6")),
    Case("size is a number", lambda: position(size=6), ("size", "got 6", "(height, width)")),
    Case("size is of floats", lambda: position(size=(2.0, 3.0)), ("size", "(2.0, 3.0)", "(height, width)")),
    Case("size is negative", lambda: position(size=(-2, -3)), ("size", "(-2, -3)", "(height, width)")),
    Case(
        "size is empty",
        lambda: position((2, 2, 0, 3), values=(2, 0, 4, 1), size=(0, 3)),
        ("size", "(0, 3)", "positive"),
    ),
    Case("order is no order", lambda: position(order="fastest"), ("order", "'fastest'", "one of")),
    Case("order is a function", lambda: position(order=len), ("order", "len", "one of")),
    # tiling and plan
    *(
        Case(
            f"{function.__name__}: {name} = {value}",
            lambda function=function, pairs=pairs: function(**pairs),
            (name, repr(value), "two positive"),
        )
        for name, value in PAIRS
        for function, pairs in ((tiling, SIZES | {name: value}), (plan, SHAPES | {name: value}))
    ),
    # layouts
    Case("a pattern without an arrow", lambda: permute_contiguous(zeros(2, 3), "a b"), ("pattern", "'a b'", "->")),
    Case(
        "a pattern that loses an axis",
        lambda: permute_contiguous(zeros(2, 3), "a b -> a"),
        ("pattern", "'a b -> a'", "same axes"),
    ),
    Case(
        "a context larger than the images",
        lambda: windows(zeros(1, 3, 3, 2), (5, 3), (1, 1)),
        ("context", "(5, 3)", "(3, 3)"),
    ),
    Case(
        "windows that leave pixels over",
        lambda: windows(zeros(1, 6, 6, 2), (3, 3), (2, 2)),
        ("context", "(3, 3)", "tile = (2, 2)"),
    ),
    Case(
        "tiles without pixels", lambda: windows(zeros(1, 6, 6, 2), (3, 3), (0, 0)), ("tile", "(0, 0)", "positive")
    ),
    Case("windows of a list", lambda: windows([[0.0]], (3, 3), (1, 1)), ("images", "list", "(b, H, W, d)")),
    Case(
        "an even kernel",
        lambda: convolve(zeros(1, 5, 5, 2), zeros(3, 4, 4, 2)),
        ("kernels", "(3, 4, 4, 2)", "odd"),
    ),
    Case(
        "kernels of other channels",
        lambda: convolve(zeros(1, 5, 5, 2), zeros(3, 3, 3, 1)),
        ("kernels", "(3, 3, 3, 1)", "(k, r_y, r_x, 2)"),
    ),
    # SelfAttention
    Case(
        "attention: uneven heads",
        lambda: SelfAttention(10, heads=3, feat_size=(3, 3)),
        ("heads", "got 3", "divide dim_out = 10"),
    ),
    Case("attention: no heads", lambda: SelfAttention(8, heads=0, feat_size=(3, 3)), ("heads", "got 0", "divide")),
    Case(
        "attention: another map",
        lambda: SelfAttention(8, heads=2, feat_size=(3, 5))(zeros(1, 8, 5, 3)),
        ("features", "(5, 3)", "must be (3, 5)"),
    ),
    # sequences
    Case("1d: dim is a string", lambda: sequence(dim="8"), ("dim", "'8'", POSITIVE)),
    Case("1d: heads do not divide", lambda: sequence(heads=3), ("heads", "got 3", "divide")),
    Case("1d: no scope", lambda: sequence(scope=None), ("scope", "None", "odd")),
    Case("1d: scope is even", lambda: sequence(scope=2), ("scope", "got 2", "odd")),
    Case("1d: scope is a float", lambda: sequence(scope=3.0), ("scope", "3.0", "odd")),
    Case("1d: causal is a word", lambda: sequence(causal="False"), ("causal", "'False'", "True or False")),
    Case(
        "1d: features of a map", lambda: sequence()(zeros(2, 8, 1, 5)), ("features", "(2, 8, 1, 5)", "(b, 8, n)")
    ),
    Case("1d: channels last", lambda: sequence()(zeros(2, 5, 8)), ("features", "(2, 5, 8)", "(b, 8, n)")),
    Case(
        "1d: features are tokens", lambda: sequence()(zeros(2, 8, 5).long()), ("features", "torch.int64", "floats")
    ),
    Case(
        "1d: features are NumPy's", lambda: sequence()(np.zeros((2, 8, 5))), ("features", "ndarray", "(b, 8, n)")
    ),
    Case("1d: an empty sequence", lambda: sequence()(zeros(2, 8, 0)), ("features", "(2, 8, 0)", "one position")),
    Case(
        "1d: mask of another length", lambda: sequence()(zeros(2, 8, 5), MASK[:, :4]), ("mask", "(5, 4)", "(5, 5)")
    ),
    Case("1d: mask of numbers", lambda: sequence()(zeros(2, 8, 5), MASK.float()), ("mask", "(5, 5)", "bool")),
    Case("1d: mask is a list", lambda: sequence()(zeros(2, 8, 5), MASK.tolist()), ("mask", "list", "bool")),
    Case(
        "1d: mask of each example",
        lambda: sequence()(zeros(2, 8, 5), MASK.expand(2, 5, 5)),
        ("mask", "(2, 5, 5)", "(5, 5)"),
    ),
    Case("1d: causal and masked", lambda: sequence(causal=True)(zeros(2, 8, 5), MASK), ("mask", "(5, 5)", "None")),
    Case(
        "1d: causal and masked by a word",
        lambda: sequence(causal=True)(zeros(2, 8, 5), "causal"),
        ("mask", "str", "None"),
    ),
    Case("step: not causal", lambda: sequence().step(None, zeros(2, 8)), ("causal", "False", "True")),
    Case("step: two positions", lambda: step(None, (2, 8, 2)), ("features", "(2, 8, 2)", "(b, 8)")),
    Case("step: other channels", lambda: step(None, (2, 9)), ("features", "(2, 9)", "(b, 8)")),
    Case("step: state is the output", lambda: step(zeros(2, 8)), ("state", "(2, 8)", "None or the pair")),
    Case("step: state is a triple", lambda: step((1, 2, 3)), ("state", "tuple", "None or the pair")),
    Case("step: state of None", lambda: step((None, None)), ("state[0]", "NoneType", "(2, 3, 1, 5)")),
    Case(
        "step: memory of another batch",
        lambda: step((zeros(1, 3, 1, 5), zeros(1, 1, 4, 1))),
        ("state[0]", "(1, 3, 1, 5)", "(2, 3, 1, 5)"),
    ),
    Case(
        "step: window of another depth",
        lambda: step((zeros(2, 3, 1, 5), zeros(2, 1, 3, 1))),
        ("state[1]", "(2, 1, 3, 1)", "(2, r, 4, 1)"),
    ),
    Case(
        "a mask that is None",
        lambda: masked_content_lambdas(zeros(1, 5, 3, 1), zeros(1, 5, 4, 1), None),
        ("mask", "NoneType", "bool"),
    ),
    Case(
        "a mask of one axis",
        lambda: masked_content_lambdas(zeros(1, 5, 3, 1), zeros(1, 5, 4, 1), MASK[0]),
        ("mask", "(5,)", "(n, 5)"),
    ),
    Case(
        "embeddings of another context",
        lambda: masked_position_lambdas(zeros(5, 4, 3, 1), zeros(1, 5, 4, 1), MASK),
        ("values", "(1, 5, 4, 1)", "(b, 4, v, 1)"),
    ),
    Case(
        "embeddings with a batch",
        lambda: masked_position_lambdas(zeros(1, 5, 5, 3, 1), zeros(1, 5, 4, 1), MASK),
        ("embeddings", "(1, 5, 5, 3, 1)", "(n, m, k, u)"),
    ),
    Case(
        "positions masked by numbers",
        lambda: masked_position_lambdas(zeros(5, 5, 3, 1), zeros(1, 5, 4, 1), MASK.int()),
        ("mask", "torch.int32", "bool"),
    ),
    Case(
        "keys without u",
        lambda: causal_content_lambdas(zeros(1, 5, 3), zeros(1, 5, 4, 1)),
        ("keys", "(1, 5, 3)", "(b, n, k, u)"),
    ),
    Case(
        "values of another length",
        lambda: causal_content_lambdas(zeros(1, 5, 3, 1), zeros(1, 4, 4, 1)),
        ("values", "(1, 4, 4, 1)", "(1, 5, v, 1)"),
    ),
    Case(
        "keys of integers",
        lambda: causal_content_lambdas(zeros(1, 5, 3, 1).int(), zeros(1, 5, 4, 1)),
        ("keys", "torch.int32", "floats"),
    ),
    # twins
    Case("kind is unknown", lambda: twin("contents"), ("kind", "'contents'", "one of", "'content'")),
    Case("kind is a list", lambda: twin(["content"]), ("kind", "['content']", "one of")),
    Case("twin: dim is None", lambda: twin(dim=None), ("dim", "None", POSITIVE)),
    Case("twin: heads is a string", lambda: twin(heads="2"), ("heads", "'2'", POSITIVE)),
    Case("twin: heads is True", lambda: twin(heads=True), ("heads", "True", POSITIVE)),
    Case("twin: heads do not divide", lambda: twin(heads=3), ("heads", "got 3", "divide dim = 8")),
    Case("twin: dim_k is zero", lambda: twin(dim_k=0), ("dim_k", "got 0", POSITIVE)),
    Case("twin: dim_u is a float", lambda: twin(dim_u=1.0), ("dim_u", "1.0", POSITIVE)),
    Case("twin: dim_u without lambdas", lambda: twin("attention", dim_u=2), ("dim_u", "got 2", "must be 1")),
    Case("twin: scope is even", lambda: twin("position", scope=2), ("scope", "got 2", "odd")),
    Case("twin: scope without stencils", lambda: twin("pointwise", scope=3), ("scope", "got 3", "None")),
    Case("twin: a thin bottleneck", lambda: twin("bottleneck", dim=2), ("dim", "got 2", "at least 4")),
    Case("twin: a map of a number", lambda: twin(feat_size=3), ("feat_size", "got 3", "(height, width)")),
    Case(
        "twin: a map without a row", lambda: twin("position", (0, 3)), ("feat_size", "(0, 3)", "(height, width)")
    ),
    Case("twin: a map of None", lambda: twin("depthwise-global", None), ("feat_size", "None", "(height, width)")),
    Case(
        "twin: another map", lambda: twin("attention")(zeros(1, 8, 3, 5)), ("features", "(3, 5)", "must be (3, 3)")
    ),
    Case(
        "twin: other channels",
        lambda: twin("depthwise")(zeros(1, 4, 3, 3)),
        ("features", "(1, 4, 3, 3)", "(b, 8, H, W)"),
    ),
    Case(
        "twin: features are bytes",
        lambda: twin("pointwise")(zeros(1, 8, 3, 3).byte()),
        ("features", "torch.uint8", "floats"),
    ),
    Case(
        "twin: features are NumPy's",
        lambda: twin("bottleneck")(np.zeros((1, 8, 3, 3))),
        ("features", "ndarray", "floats"),
    ),
]
