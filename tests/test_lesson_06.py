"""Lesson 06: its checks know the mistakes, its bill is that of the nets, its widget answers every setting."""

import ast
import itertools
import sys
import time
from pathlib import Path

import jupytext
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn

from lambdalib import cost
from lambdalib.course.checks import check_budget, check_mix
from lambdalib.layer import LambdaLayer
from lambdalib.resnet import ResNet

LESSON = Path(__file__).resolve().parents[1] / "notebooks" / "py" / "06_lambda_resnet.py"


def norm_after(*modules):
    return nn.Sequential(*modules, nn.BatchNorm2d(6))


MIX_MISTAKES = {
    "which cannot be added to the shortcut": lambda w, s, o: norm_after(LambdaLayer(w, **o)),
    "yours makes (2, 6, 3, 5)": lambda w, s, o: norm_after(LambdaLayer(w, **o), nn.AvgPool2d(s)),
    "the norm is gone": lambda w, s, o: nn.Sequential(LambdaLayer(w, stride=s, **o)),
    "the pool comes before the layer": lambda w, s, o: norm_after(
        nn.AvgPool2d(3, s, padding=1) if s > 1 else nn.Identity(), LambdaLayer(w, **o)
    ),
    "at stride 1 nothing is to be pooled": lambda w, s, o: norm_after(
        LambdaLayer(w, **o), nn.AvgPool2d(3, s, padding=1)
    ),
    "at stride 1 nothing": lambda w, s, o: norm_after(nn.AvgPool2d(3, s, padding=1), LambdaLayer(w, **o)),
    "in this order": lambda w, s, o: norm_after(LambdaLayer(w, stride=s, **o), nn.Tanh()),
    "found 0": lambda w, s, o: norm_after(nn.Conv2d(w, w, 3, s, padding=1)),
    "raised": lambda w, s, o: norm_after(LambdaLayer(w, strides=s, **o)),
}


@pytest.mark.parametrize("message", MIX_MISTAKES)
def test_mix_mistakes(message):
    verdict = check_mix(MIX_MISTAKES[message])
    assert verdict.ok is False and message in verdict.message, verdict


def test_mix_right_and_stub():
    assert check_mix(lambda w, s, o: norm_after(LambdaLayer(w, stride=s, **o))).ok is True
    assert check_mix(lambda w, s, o: None).ok is None


@pytest.mark.parametrize(
    "message, options",
    [
        ("not one lambda layer", {"layout": "CCCC"}),
        ("too many parameters", {"layout": "CCLL"}),
        ("too many multiply-adds", {"layout": "CLLL"}),
        ("no model: ValueError: layout must have 4 letters", {"layout": "CLX"}),
        ("no model", {"laut": "CLLL"}),
    ],
)
def test_budget_mistakes(message, options):
    verdict = check_budget(options, 15.5, 3.5)
    assert verdict.ok is False and message in verdict.message, verdict


def test_budget_right_and_stub():
    assert check_budget({"layout": "CCLL", "dim_k": 8}, 15.5, 3.5).ok is True
    assert check_budget(None, 15.5, 3.5).ok is None


@pytest.fixture(scope="module")
def lesson():
    """The lesson's imports, functions and tables, without the rest of its cells."""
    source = "\n\n".join(cell.source for cell in jupytext.read(LESSON).cells if cell.cell_type == "code")
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))
        or isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") in ("PICTURES", "table_12")
    ]
    namespace = {}
    exec(compile(ast.Module(wanted, []), LESSON.name, "exec"), namespace)
    return namespace


def test_without_timm_its_cells_say_what_to_install(monkeypatch, capsys):
    cells = [
        cell.source
        for cell in jupytext.read(LESSON).cells
        if cell.cell_type == "code" and "if timm:" in cell.source
    ]
    assert len(cells) == 3
    monkeypatch.setitem(sys.modules, "timm", None)  # importing it fails
    namespace = {}
    for source in cells:
        exec(source, namespace)
    assert "pip install timm" in capsys.readouterr().out and namespace["timm"] is None


@pytest.mark.parametrize(
    "layout, k, h, u, r, side",
    [
        ("LCLL", 8, 8, 2, 15, 32),
        ("LLLL", 4, 2, 4, 3, 29),
        ("CLCC", 32, 1, 1, 7, 21),
        ("CCCC", 16, 4, 1, 23, 32),
    ],
)
def test_the_bill_is_that_of_the_net(lesson, layout, k, h, u, r, side):
    with torch.device("meta"):
        net = ResNet((2, 1, 3, 1), layout, dim_k=k, heads=h, dim_u=u, scope=r)
    bill = lesson["stage_costs"]((2, 1, 3, 1), layout, side, k, h, u, r)
    assert [cost.count_parameters(stage) for stage in net.stages] == bill[:, 2].tolist()
    assert [sum(cost.count_parameters(block.mix) for block in stage) for stage in net.stages] == [
        row[0] + depth * 2 * 64 * 2**i for i, (row, depth) in enumerate(zip(bill, (2, 1, 3, 1)))
    ]  # the norm after the mixing
    head_and_stem = 2048 * 10 + side**2 * 64 * 27
    assert cost.multiply_adds(net, (1, 3, side, side)) == bill[:, 3].sum() + head_and_stem


def test_the_builder_draws_every_setting(lesson):
    for picture, (k, h, u, r), layout in itertools.product(
        lesson["PICTURES"], ((4, 16, 4, 31), (32, 1, 1, 3)), ("CCCC", "LLLL")
    ):
        plt.close(lesson["build"](*layout, k, h, u, r, picture))
    start = time.process_time()
    lesson["stage_costs"]((3, 4, 6, 3), "LLLL", 56)
    assert time.process_time() - start < 0.05, "a formula, not a net"
