"""Wrong calls of the blocks and nets, of create_model and of torch.hub's entry points."""

from pathlib import Path

import numpy as np
import torch
from bad_input.case import Case
from torch import nn

from lambdalib.hybrid import HybridBottleneck, HybridResNet, lambda_positions
from lambdalib.models import create_model
from lambdalib.resnet import BasicBlock, Bottleneck, ResNet, check_net, conv_norm, shortcut
from lambdalib.small import SmallBlock, SmallResNet

ROOT = str(Path(__file__).resolve().parents[2])
POSITIVE = "positive integer"
zeros = torch.zeros


def net(layout="CCCC", depths=(1, 1, 1, 1), **options):
    """A short ResNet whose weights take no memory, with what the row gets wrong."""
    with torch.device("meta"):
        return ResNet(depths, layout, **options)


def small(widths=(24, 8, 8, 8), **options):
    return SmallResNet(widths, **{"dim_k": 3, "heads": 2} | options)


def build(name="tiny", **options):
    with torch.device("meta"):
        return create_model(name, **options)


def hub(name, **options):
    return torch.hub.load(ROOT, name, source="local", **options)


ROWS = [
    # blocks
    Case("conv_norm: an even side", lambda: conv_norm(8, 8, 2), ("side", "got 2", "odd")),
    Case("conv_norm: a side of True", lambda: conv_norm(8, 8, True), ("side", "True", "odd")),
    Case("conv_norm: no channels", lambda: conv_norm(0, 8, 3), ("dim", "got 0", POSITIVE)),
    Case("conv_norm: a stride of a half", lambda: conv_norm(8, 8, 3, 0.5), ("stride", "0.5", POSITIVE)),
    Case("shortcut: channels are words", lambda: shortcut("a", "a", 1), ("dim", "'a'", POSITIVE)),
    Case("shortcut: a negative stride", lambda: shortcut(8, 8, -1), ("stride", "-1", POSITIVE)),
    Case("bottleneck: dim is None", lambda: Bottleneck(None, 8), ("dim", "None", POSITIVE)),
    Case("bottleneck: stride is zero", lambda: Bottleneck(8, 8, 0), ("stride", "got 0", POSITIVE)),
    Case(
        "bottleneck: an unknown option", lambda: Bottleneck(8, 8, 1, {"head": 2}), ("'head'", "unexpected keyword")
    ),
    Case("bottleneck: a wrong option", lambda: Bottleneck(8, 8, 1, {"heads": 3}), ("heads", "got 3", "divide")),
    Case(
        "bottleneck: recompute is 1",
        lambda: Bottleneck(8, 8, recompute=1),
        ("recompute", "True or False", "got 1"),
    ),
    Case("bottleneck: recompute is None", lambda: Bottleneck(8, 8, recompute=None), ("recompute", "True", "None")),
    Case(
        "basic block: recompute is a word", lambda: BasicBlock(8, 8, recompute="no"), ("recompute", "True", "'no'")
    ),
    Case(
        "hybrid block: recompute is 0", lambda: HybridBottleneck(8, 8, recompute=0), ("recompute", "True", "got 0")
    ),
    Case("net: recompute is a list", lambda: net(recompute=[]), ("recompute", "True or False", "[]")),
    Case(
        "basic block: lambdas",
        lambda: BasicBlock(8, 8, 1, {"heads": 2}),
        ("lambda_options", "{'heads': 2}", "None"),
    ),
    Case("hybrid block: too narrow", lambda: HybridBottleneck(8, 3), ("width", "got 3", "at least 4")),
    Case("small block: widen is even", lambda: SmallBlock(8, 8, nn.Identity(), 2), ("widen", "got 2", "odd")),
    Case(
        "small block: dim_out is a float", lambda: SmallBlock(8, 8.0, nn.Identity()), ("dim_out", "8.0", POSITIVE)
    ),
    Case(
        "small block: recompute is a number",
        lambda: SmallBlock(8, 8, nn.Identity(), 3, 1),
        ("recompute", "got 1", "True or False"),
    ),
    # ResNet
    Case("depths are a number", lambda: net(depths=4), ("depths", "got 4", "one per stage")),
    Case("a stage without blocks", lambda: net(depths=(1, 0, 1, 1)), ("depths", "(1, 0, 1, 1)", "positive")),
    Case("depths of floats", lambda: net(depths=(1.0,) * 4), ("depths", "(1.0, 1.0, 1.0, 1.0)", "positive")),
    Case("layout is None", lambda: net(None), ("layout", "None", "4 letters")),
    Case("layout in small letters", lambda: net("ccll"), ("layout", "'ccll'", "C (convolution) or L (lambda)")),
    Case("layout is short", lambda: net("CCC"), ("layout", "'CCC'", "4 letters")),
    Case("layout of numbers", lambda: net(("C", "C", "C", 1)), ("layout", "1)", "4 letters")),
    Case("layout of too many blocks", lambda: net(("C", "CL", "C", "C")), ("layout", "'CL'", "4 letters")),
    Case("layout with L in basic blocks", lambda: net("CCCL", block=BasicBlock), ("layout", "'CCCL'", "'CCCC'")),
    Case("num_classes is zero", lambda: net(num_classes=0), ("num_classes", "got 0", POSITIVE)),
    Case("num_classes is True", lambda: net(num_classes=True), ("num_classes", "True", POSITIVE)),
    Case("num_classes are names", lambda: net(num_classes=["cat"]), ("num_classes", "['cat']", POSITIVE)),
    Case("stem is unknown", lambda: net(stem="cifar100"), ("stem", "'cifar100'", "'imagenet'")),
    Case("stem is a list", lambda: net(stem=["cifar"]), ("stem", "['cifar']", "one of")),
    Case("block is a name", lambda: net(block="Bottleneck"), ("block", "'Bottleneck'", "class")),
    Case("block is a block", lambda: net(block=nn.Identity()), ("block", "Identity()", "class")),
    Case("net: heads do not divide", lambda: net("CCCL", heads=3), ("heads", "got 3", "divide")),
    Case("net: scope is even", lambda: net("CCCL", scope=8), ("scope", "got 8", "odd")),
    Case("net: an unknown option", lambda: net(width=2), ("unexpected keyword", "'width'")),
    Case(
        "check_net: no stages", lambda: check_net((), "C", 10, "cifar", Bottleneck), ("layout", "'C'", "0 letters")
    ),
    Case("images without a batch", lambda: net()(zeros(3, 8, 8)), ("images", "(3, 8, 8)", "(b, 3, H, W)")),
    Case("grey images", lambda: net()(zeros(2, 1, 8, 8)), ("images", "(2, 1, 8, 8)", "(b, 3, H, W)")),
    Case("colours last", lambda: net()(zeros(2, 8, 8, 3)), ("images", "(2, 8, 8, 3)", "(b, 3, H, W)")),
    Case(
        "images are bytes",
        lambda: net(stem="imagenet")(zeros(2, 3, 8, 8).byte()),
        ("images", "torch.uint8", "floats"),
    ),
    Case("images are NumPy's", lambda: net()(np.zeros((2, 3, 8, 8))), ("images", "ndarray", "floats")),
    Case("images without pixels", lambda: net()(zeros(2, 3, 0, 8)), ("images", "(2, 3, 0, 8)", "at least 1 × 1")),
    # hybrids
    Case("depth is unknown", lambda: HybridResNet(18), ("depth", "got 18", "one of", "50")),
    Case("depth is a word", lambda: HybridResNet("50"), ("depth", "'50'", "one of")),
    Case("depth is a list", lambda: HybridResNet([50]), ("depth", "[50]", "one of")),
    Case("a hybrid's layout", lambda: HybridResNet(50, layout="CCLL"), ("layout", "'CCLL'", "None")),
    Case("positions: no blocks", lambda: lambda_positions(0, 1), ("blocks", "got 0", POSITIVE)),
    Case("positions: a negative count", lambda: lambda_positions(6, -1), ("lambdas", "-1", "at least 0")),
    Case("positions: a word", lambda: lambda_positions(6, "1"), ("lambdas", "'1'", "integer")),
    Case("positions: too many", lambda: lambda_positions(6, 9), ("lambdas", "got 9", "6 blocks")),
    # small nets
    Case("widths are a number", lambda: small(24), ("widths", "got 24", "four")),
    Case(
        "widths of four blocks",
        lambda: small((24, 8, 8, 8, 8), layout="CCCC"),
        ("widths", "(24, 8, 8, 8, 8)", "four"),
    ),
    Case("a width of zero", lambda: small((24, 8, 0, 8)), ("widths[2]", "got 0", POSITIVE)),
    Case("a width that is a float", lambda: small((24.0, 8, 8, 8)), ("widths[0]", "24.0", POSITIVE)),
    Case("small: layout of four", lambda: small(layout="CCLL"), ("layout", "'CCLL'", "3 letters")),
    Case("small: the other stem", lambda: small(stem="imagenet"), ("stem", "'imagenet'", "'cifar'")),
    Case("small: no stem", lambda: small(stem=None), ("stem", "None", "cifar")),
    Case("small: an unknown twin", lambda: small(twin="conv"), ("twin", "'conv'", "one of")),
    Case("small: a twin in a set", lambda: small(twin={"content"}), ("twin", "{'content'}", "one of")),
    Case("small: widen is even", lambda: small(widen=2), ("widen", "got 2", "3 or 1")),
    Case("small: widen is True", lambda: small(widen=True), ("widen", "True", "3 or 1")),
    Case("small: widen is a whole float", lambda: small(widen=3.0), ("widen", "3.0", "3 or 1")),
    Case("small: recompute is a word", lambda: small(recompute="yes"), ("recompute", "'yes'", "True or False")),
    Case("small: images of 3×3", lambda: small()(zeros(2, 3, 3, 3)), ("images", "(2, 3, 3, 3)", "at least 9 × 9")),
    Case(
        "small: one image too narrow",
        lambda: small(layout="CCC")(zeros(2, 3, 32, 8)),
        ("images", "(2, 3, 32, 8)", "at least 9 × 9"),
    ),
    Case(
        "small: a twin on larger images",
        lambda: small(twin="content")(zeros(2, 3, 64, 64)),
        ("features", "(15, 15)", "must be (7, 7)"),
    ),
    Case(
        "whiten: no images",
        lambda: small().whiten(zeros(0, 3, 32, 32)),
        ("images", "(0, 3, 32, 32)", "at least 1"),
    ),
    Case(
        "whiten: one pixel",
        lambda: small().whiten(zeros(5, 3, 1, 1)),
        ("images", "(5, 3, 1, 1)", "at least 2 × 2"),
    ),
    Case("whiten: bytes", lambda: small().whiten(zeros(5, 3, 8, 8).byte()), ("images", "torch.uint8", "floats")),
    Case(
        "whiten: another stem", lambda: small((23, 8, 8, 8)).whiten(zeros(1, 3, 8, 8)), ("widths", "got 23", "24")
    ),
    # create_model and torch.hub
    Case("a name with a slip", lambda: build("smal"), ("name", "'smal'", "did you mean 'small'?")),
    Case("a name in a list", lambda: build(["small"]), ("name", "['small']", "one of")),
    Case("a name that is None", lambda: build(None), ("name", "None", "one of")),
    Case("a name that is a net", lambda: build(nn.Identity()), ("name", "Identity()", "one of")),
    Case("an option that is not there", lambda: build(dimk=3), ("unexpected keyword", "'dimk'")),
    Case("model: num_classes is negative", lambda: build(num_classes=-10), ("num_classes", "-10", POSITIVE)),
    Case("model: layout of an unknown letter", lambda: build(layout="CXL"), ("layout", "'CXL'", "3 letters")),
    Case("model: dim_k is a float", lambda: build(dim_k=16.0), ("dim_k", "16.0", POSITIVE)),
    Case("model: heads is NaN", lambda: build(heads=float("nan")), ("heads", "nan", POSITIVE)),
    Case("model: dim_u is True", lambda: build(dim_u=True), ("dim_u", "True", POSITIVE)),
    Case(
        "model: recompute is a word",
        lambda: build("resnet18", recompute="False"),
        ("recompute", "'False'", "True or False"),
    ),
    Case("model: a twin of a ResNet", lambda: build("resnet26", twin="content"), ("twin", "'content'", "None")),
    Case("model: widen of a ResNet", lambda: build("resnet26", widen=3), ("widen", "got 3", "None")),
    Case(
        "model: scope of a twin without stencils",
        lambda: build(twin="content", scope=3),
        ("scope", "got 3", "None"),
    ),
    Case(
        "hub: pretrained is a word", lambda: hub("small", pretrained="no"), ("pretrained", "'no'", "True or False")
    ),
    Case(
        "hub: no weights", lambda: hub("resnet18", pretrained=True), ("pretrained", "resnet18", "small and tiny")
    ),
    Case(
        "hub: pretrained with options", lambda: hub("tiny", pretrained=True, heads=2), ("heads", "pretrained=True")
    ),
    Case("hub: an unknown option", lambda: hub("tiny", classes=7), ("unexpected keyword", "'classes'")),
    Case("hub: a wrong option", lambda: hub("tiny", num_classes="7"), ("num_classes", "'7'", POSITIVE)),
]
