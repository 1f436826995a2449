"""Lesson 06: its checks know the mistakes, its figures are true, its widget answers every setting."""

import ast
import itertools
import sys
import urllib.error
from pathlib import Path
from unittest.mock import Mock

import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

import lambdalib
from lambdalib import cost
from lambdalib.course import figures
from lambdalib.course.checks import check_budget, check_mix
from lambdalib.experiments.paper_tables import TABLE_12
from lambdalib.layer import LambdaLayer
from lambdalib.models import create_model

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
        and getattr(node.targets[0], "id", "") == "IMAGES"
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
    assert len(cells) == 2
    monkeypatch.setitem(sys.modules, "timm", None)  # importing it fails
    namespace = {}
    for source in cells:
        exec(source, namespace)
    assert "pip install timm" in capsys.readouterr().out and namespace["timm"] is None


def test_the_builder_draws_every_setting(lesson):
    for image, (k, h, u, r), layout in itertools.product(
        lesson["IMAGES"], ((4, 16, 4, 31), (32, 1, 1, 3)), ("CCCC", "LLLL")
    ):
        plt.close(lesson["build"](*layout, k, h, u, r, image))


def test_a_bar_that_is_cut_carries_a_mark():
    bars = np.array([[1.0, 2, 3, 4], [1, 2, 3, 9]])
    figure = figures.stage_bars({"all": bars}, "ab", limits=(5,))
    (ax,) = figure.axes
    assert max(bar.get_height() for bar in ax.patches) == 5 and "9" in [text.get_text() for text in ax.texts]
    (marked,) = {round(float(np.mean(line.get_xdata())), 2) for line in ax.lines}
    assert marked == 3.22, "the second bar of c5"
    assert not figures.stage_bars({"all": bars}, "ab").axes[0].lines
    plt.close("all")


def test_the_outline_is_that_of_the_model(lesson):
    """The lesson draws small_block(32, 128, 15) as the second block of tiny."""
    steps = lesson["outline"](create_model("tiny"), 32, ["stem", "block 1", "block 2", "block 3"])
    assert steps == [
        ("stem", 31, 24, False),
        ("block 1", 15, 32, False),
        ("block 2", 7, 128, True),
        ("block 3", 3, 128, True),
    ]
    with torch.device("meta"):
        steps = lesson["outline"](create_model("lambda_resnet18", layout="CLCL"), 32, [*"abcde"])
    assert [step[1:] for step in steps] == [
        (32, 64, False), (32, 256, False), (16, 512, True), (8, 1024, False), (4, 2048, True)
    ]  # fmt: skip


def test_without_network_and_repository_the_trained_model_still_loads(monkeypatch, capsys, tmp_path):
    """Each way in which torch.hub fails is answered by the weights of the package."""
    cells = [cell.source for cell in jupytext.read(LESSON).cells]
    (place,) = [place for place, source in enumerate(cells) if "torch.hub.load(" in source]
    monkeypatch.setattr(lambdalib, "__file__", str(tmp_path / "site-packages" / "lambdalib" / "__init__.py"))
    for error in (
        urllib.error.URLError("no route"),
        RuntimeError("no internet connection"),
        ValueError("no main"),
    ):
        monkeypatch.setattr(torch.hub, "load", Mock(side_effect=error))
        exec("\n".join(cells[place : place + 2]), {"torch": torch, "lambdalib": lambdalib, "Path": Path})
        said = capsys.readouterr().out
        assert "torch.hub is out of reach" in said and "it is:   cat ship" in said


def test_the_numbers_that_the_lesson_states():
    bills = {layout: cost.stage_costs((3, 4, 6, 3), layout, 56) for layout in TABLE_12}
    work = {layout: int(bill[:, 3].sum()) + 112**2 * 64 * 3 * 49 + 2048 * 1000 for layout, bill in bills.items()}
    plain, swapped = bills["CCCC"], bills["LLLL"]
    assert (round(work["LLLL"] / 1e9, 2), round(work["CCCC"] / 1e9, 2)) == (5.57, 4.09)
    assert round(work["CCLL"] / work["CCCC"], 2) == 0.84
    assert [layout for layout in TABLE_12 if work[layout] < work["CCCC"]] == ["CCLL", "CCCL"]
    assert (swapped[:, 1] > plain[:, 1]).tolist() == [True, True, False, False]
    assert (swapped[2:, 0] < plain[2:, 0]).all()
    swing = (swapped - plain).abs() / 1e6  # what one letter changes, stage by stage
    assert (round(float(swing[3, 1]), -2), round(float(swing[0, 1]), -2)) == (300, 1000)
    assert 6.5 < swing[3, 0] < 7 and swing[0, 0] < 0.1
    narrow = cost.stage_costs((3, 4, 6, 3), "LLLL", 56, r=7)[:, 2:].sum(0)  # the solution of exercise 3
    stem_and_head = torch.tensor([64 * 3 * 49 + 128 + 2049 * 1000, 112**2 * 64 * 3 * 49 + 2048 * 1000])
    small = (narrow + stem_and_head).tolist()
    assert (round(small[0] / 1e6, 2), round(small[1] / 1e9, 2)) == (14.87, 2.83)

    lambda_layers = {
        (d, side, stride): cost.mixing_cost("L", d, side, stride, 16, 4, 1, 23)[1]
        for d, side, stride in ((64, 56, 1), (128, 56, 2), (128, 28, 1), (256, 28, 2), (256, 14, 1), (512, 14, 2))
    }
    assert max(lambda_layers, key=lambda_layers.get) == (128, 56, 2), "the first layer of c3"
    assert {cost.mixing_cost("C", 64 * 2**i, 56 // 2**i, 1, 16, 4, 1, 23)[1] for i in range(4)} == {115_605_504}

    parameters, speed, accuracy = zip(*(TABLE_12[layout] for layout in ("CCCC", "LLLL", "CCLL")))
    assert max(row[1] for row in TABLE_12.values()) == speed[0], "no swap made it faster"
    assert round(1 - parameters[1] / parameters[0], 2) == 0.41 and round(accuracy[1] - accuracy[0], 1) == 1.5
    assert round(speed[2] / speed[0], 2) == 0.69 and speed[2] > 4 * speed[1]
    error = 100 * (2 * 0.784 * 0.216 / 50_000) ** 0.5  # of a difference of two accuracies
    assert round(error, 2) == 0.26 and round(accuracy[1] - accuracy[2], 1) == 0.1


def test_the_layers_that_the_lesson_compares(lesson):
    widths, layers = np.array([64, 128, 256, 512]), np.array([3, 4, 6, 3])
    convolution = 9 * widths**2
    swapped = np.array([cost.count_parameters(LambdaLayer(int(d), scope=23)) for d in widths])
    np.testing.assert_allclose((layers * (convolution - swapped) / 1e6).round(2), [0.07, 0.50, 3.27, 6.73])
    np.testing.assert_allclose((convolution / swapped).round(1)[[0, 3]], [2.5, 20.5])
    assert round(16 * 23**2 / swapped[0], 2) == 0.57, "the part of the stencils in c2"
    share_seen = lesson["share_seen"]
    assert share_seen(4, 7) == share_seen(8, 15) == 1 and round(share_seen(8, 7), 2) == 0.69


def test_the_models_for_cifar_are_as_the_lesson_says():
    counts, work = {}, {}
    for name, u in (("tiny", 1), ("small", 1), ("lambda_resnet18", 1), ("lambda_resnet18", 4), ("resnet26", 1)):
        with torch.device("meta"):
            model = create_model(name, dim_u=u)
        counts[name, u], work[name, u] = cost.count_parameters(model), cost.multiply_adds(model, (1, 3, 32, 32))
    twin = counts["resnet26", 1]
    assert round(twin / counts["small", 1]) == 16 and round(twin / counts["tiny", 1]) == 59
    assert 0.57 < counts["lambda_resnet18", 1] / twin < counts["lambda_resnet18", 4] / twin < 0.63
    assert work["lambda_resnet18", 1] < work["resnet26", 1] < work["lambda_resnet18", 4]


def test_no_stencil_changes_the_answer_of_a_fresh_model():
    model, images = create_model("lambda_resnet18").eval(), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        before = model(images)
        for module in model.modules():
            if isinstance(module, LambdaLayer):
                module.table.normal_(std=100)
        assert torch.equal(model(images), before)
