"""The numbers that lesson 07 says in words are those of the records."""

from dataclasses import replace
from itertools import pairwise

import pytest

from lambdalib.experiments.report import PUBLISHED, fastest_epochs
from lambdalib.experiments.results import find_record, mean_difference, read_records, read_results
from lambdalib.training.recipes import RECIPES


def rounded(numbers):
    return tuple(round(100 * number, 1) for number in numbers)


def test_what_each_change_of_the_recipe_gains():
    steps = read_results("cumulative-ablation")
    gains = {row.name: mean_difference(row.accuracies, before.accuracies) for before, row in pairwise(steps)}
    assert all(len(row.accuracies) == 3 and row.epochs == 10 for row in steps)
    assert rounded(gains["ablation-average"]) == (1.9, 1.1)
    assert max(gains, key=gains.get) == "ablation-average"
    assert rounded(gains["ablation-whitening"]) == (1.2, 1.3)
    assert rounded(gains["ablation-rates"]) == (-0.7, 0.7) and sum(gains["ablation-rates"]) < 0
    for name in ("label-smoothing", "smaller-shifts", "alternating-flips"):
        gain, half = gains[f"ablation-{name}"]
        assert abs(gain) < half
    assert rounded(mean_difference(steps[-1].accuracies, steps[0].accuracies)) == (2.8, 1.1)


def test_the_first_lambda_resnet():
    first, small = find_record("lambda-resnet18-u4-11-epochs-sgd", group="early-recipe"), find_record("small")
    assert rounded([first.end["test_accuracy"], small.end["test_accuracy"]]) == (80.1, 93.3)
    assert small.start["parameters"] / first.start["parameters"] == pytest.approx(0.1, abs=0.005)
    assert (first.recipe.optimizer, first.recipe.epochs, RECIPES["resnet"].epochs) == ("sgd", 11, 14)
    assert (
        RECIPES["resnet"].optimizer == "adam" and RECIPES["resnet"].weight_decay == 0 < first.recipe.weight_decay
    )
    fastest = fastest_epochs(first)
    assert fastest[16] / fastest[32] == pytest.approx(1 / 4, abs=0.05)
    errors = {
        line["epoch"]: 1 - line["test_accuracy"]
        for line in first.lines
        if "epoch" in line
        if "test_accuracy" in line
    }
    assert errors[8] < 0.6 * errors[6], "the first epochs at 24 pixels"


def test_todays_lambda_resnet():
    """Its accuracy, hours and work, beside the first one, tiny and the public claim."""
    today, tiny = find_record("lambda-resnet18-u4"), find_record("tiny")
    first = find_record("lambda-resnet18-u4-11-epochs-sgd", group="early-recipe")
    accuracies = [100 * record.end["test_accuracy"] for record in (today, first, tiny)]
    assert accuracies[0] == pytest.approx(88.15) and today.end["seconds"] / 60 == pytest.approx(134, abs=0.5)
    assert [round(other - accuracies[0]) for other in accuracies[1:]] == [-8, 3]
    assert round(today.start["parameters"] / tiny.start["parameters"]) == 37
    recipe = RECIPES["resnet"]
    assert replace(today.recipe, seed=recipe.seed) == recipe and recipe.epochs == 14
    small = recipe.progressive_resizing
    full = sum(epochs * (side / 32) ** 2 for side, epochs in small.items()) + 14 - sum(small.values())
    assert small[16] == 9 and full == 5.5
    assert PUBLISHED["LambdaResNet-18, claimed"][2:4] == (94.20, "67 epochs, best epoch; u = 4")


def test_the_sweep_ends_at_its_best_rate():
    swept = {
        record.recipe.lr: record.end["test_accuracy"]
        for record in read_records("sweep")
        if record.row.startswith("lambda-resnet18-u4-lr")
    }
    assert max(swept, key=swept.get) == max(swept) == RECIPES["resnet"].lr


def test_seed_0_of_small_is_the_luckiest():
    (small,) = [row for row in read_results() if row.name == "small"]
    assert len(small.accuracies) == 5 and max(small.accuracies) == small.accuracies[0]
    assert small.accuracies[0] - sum(small.accuracies) / 5 == pytest.approx(0.0025, abs=0.0005)
