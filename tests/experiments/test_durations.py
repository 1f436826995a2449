"""The rule for the time of a training: its pieces, and how far it is from the recorded runs."""

import pytest

from lambdalib.cost import multiply_adds
from lambdalib.experiments.durations import duration_table, machine_speeds, training_operations
from lambdalib.experiments.results import find_record
from lambdalib.models import create_model
from lambdalib.training.recipes import Recipe


def test_operations_follow_epochs_images_and_pixels():
    adds = multiply_adds(create_model("tiny"), (1, 3, 32, 32))
    full = Recipe(model="tiny", epochs=3)
    small_first = Recipe(model="tiny", epochs=3, progressive_resizing={16: 2})
    assert training_operations(full, images=10) == 6 * adds * 10 * 3
    assert training_operations(small_first, images=10) == 6 * adds * 10 * 1.5


def test_a_table_has_what_was_recorded_and_estimates_for_the_rest():
    table = duration_table({"one": Recipe(model="tiny"), "other": Recipe(model="tiny", epochs=48)}, {"one": 600.0})
    head, dtypes, one, other, reached = table.splitlines()
    assert head.split() == ["recorded", "2", "cores", "4", "cores", "T4", "RTX", "3090"]
    assert dtypes.split() == ["by", "the", "rule:", "bfloat16", "float32"]
    assert one.split()[:3] == ["one", "10", "min"] and other.split()[:2] == ["other", "-"]
    seconds = training_operations(Recipe(model="tiny", epochs=48)) / machine_speeds()["RTX 3090"]
    assert other.endswith(f" {seconds:.0f} s")
    assert all(len(line) == len(head) <= 74 for line in (dtypes, one, other, reached)), "it fits into a cell"
    assert reached.split()[-1] == f"{machine_speeds()['RTX 3090'] / 1e12:.2f}"


def test_the_rule_is_within_a_factor_of_two_of_the_recorded_runs():
    """Lesson 07 says: twice too slow for small, too fast by a half for a LambdaResNet-18."""
    speed = machine_speeds()["2 cores, bfloat16"]
    small, today = find_record("small"), find_record("lambda-resnet18-u4")
    first = find_record("lambda-resnet18-u4-11-epochs-sgd", group="early-recipe")
    ratio = {
        record.row: record.end["seconds"] * speed / training_operations(record.recipe)
        for record in (small, first, today)
    }
    assert ratio == {
        "small": pytest.approx(0.5, abs=0.1),
        first.row: pytest.approx(1.6, abs=0.2),
        today.row: pytest.approx(1.4, abs=0.1),
    }


def test_timms_lambda_resnet_reaches_a_fifth_of_an_rtx_3090():
    """751 images a second with 3.00 billion multiply-adds: the check of the rule in lesson 07."""
    assert 6 * 3.00e9 * 751 / 71e12 == pytest.approx(0.19, abs=0.005)
    assert machine_speeds()["RTX 3090"] / 71e12 == pytest.approx(0.26, abs=0.005)
