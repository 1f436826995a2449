"""Reading and adding records, by hand-made runs."""

import json
import shutil
from dataclasses import asdict, replace
from math import gamma, isnan, pi, sqrt
from statistics import fmean, stdev

import pytest

from lambdalib import cli
from lambdalib.cost import multiply_adds
from lambdalib.experiments.report import results_report
from lambdalib.experiments.results import (
    RUNS,
    STUDENT,
    Record,
    add_run,
    find_record,
    format_difference,
    format_mean,
    mean_difference,
    read_records,
    read_results,
    results_table,
)
from lambdalib.experiments.rows import EVERY_ROW, ROWS
from lambdalib.models import create_model


def write(folder, name, seed, accuracy, seconds=60.0, recipe=None, **changes):
    """A run's folder as `lambdalib train` leaves it; changes: of the first line."""
    recipe = (recipe or {"model": "tiny", "epochs": 7}) | {"seed": seed}
    held_out = recipe.get("validation_images", recipe.get("hold_out", 0))
    start = {"kind": "start", "recipe": recipe, "data": {"train": 50_000 - held_out, "test": held_out or 10_000}}
    start |= {"parameters": 1234, "dtype": "bfloat16", "command": "notebook", "commit": "6561f21"}
    start |= {"hardware": "a machine", "threads": 2} | changes
    end = {"kind": "end", "test_accuracy": accuracy, "test_accuracy_flip_tta": accuracy + 0.01, "seconds": seconds}
    run = folder / f"{name}-seed{seed}"
    run.mkdir(parents=True, exist_ok=True)
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (start, end)))
    return run


TINY = asdict(ROWS["tiny"])


# Reading


def test_records_by_hand(tmp_path):
    for seed, (accuracy, seconds) in enumerate([(0.90, 120), (0.92, 60), (0.93, 600)]):
        write(tmp_path, "tiny", seed, accuracy, seconds, threads=1 + seed % 2)
    write(tmp_path, "another-thing", 7, 0.5, recipe={"model": "tiny", "model_kwargs": {"dim_k": 3}, "epochs": 7})
    tiny, other = read_results(None, tmp_path)
    assert tiny.name == "tiny" and tiny.accuracies == [0.90, 0.92, 0.93]
    margin = 4.303 * stdev([90, 92, 93]) / 3**0.5  # Student's t, two degrees of freedom
    assert format_mean(tiny.accuracies) == f"91.67 ± {margin:.2f}"
    assert other.name == "another-thing" and format_mean(other.accuracies) == "50.00"
    assert tiny.adds == multiply_adds(create_model("tiny"), (1, 3, 32, 32)) and tiny.epochs == 7
    assert other.adds == multiply_adds(create_model("tiny", dim_k=3), (1, 3, 32, 32)) < tiny.adds
    assert results_table([tiny, other], {"tiny": "a small net"}).splitlines()[2:] == [
        "| a small net | 1,234 | 26.0 M | 7 at 32 | 3 | 91.67 ± 3.79 | 92.67 ± 3.79 |",
        "| another-thing | 1,234 | 25.2 M | 7 at 32 | 1 | 50.00 | 51.00 |",
    ]
    beside = results_table([tiny, other], beside=other).splitlines()
    assert beside[0].endswith("| difference, points |") and beside[3].endswith("| 51.00 |  |")
    half = 4.303 * stdev([90, 92, 93]) * (1 / 3 + 1) ** 0.5
    assert beside[2].endswith(f"| +41.67 ± {half:.2f} |")


def test_sides_are_told_with_their_epochs(tmp_path):
    recipe = {"model": "tiny", "epochs": 7.5, "progressive_resizing": {"16": 3, "24": 2}}
    write(tmp_path, "tiny", 0, 0.9, recipe=recipe)
    assert read_results(None, tmp_path)[0].sides == "3 at 16, 2 at 24, 2.5 at 32"


def test_the_difference_of_two_rows_by_hand():
    """Student 1908, two samples of different sizes; the textbook's formula with the sums written out."""
    one, other = [1.0, 2.0, 4.0, 5.0, 8.0], [2.0, 3.0, 7.0]
    mean, mean_other = fmean(one), fmean(other)
    squares = sum((x - mean) ** 2 for x in one) + sum((x - mean_other) ** 2 for x in other)
    half = 2.447 * sqrt(squares / 6) * sqrt(1 / 5 + 1 / 3)  # six degrees of freedom
    assert mean_difference(one, other) == pytest.approx((0.0, half))
    assert mean_difference([x + 1 for x in one], other) == pytest.approx((1.0, half))
    assert format_difference([0.93, 0.94], [0.92, 0.91]) == "+2.00 ± 3.04"
    points, half = mean_difference([0.5], [0.25])
    assert points == 0.25 and isnan(half) and format_difference([0.5], [0.25]) == "+25.00"


@pytest.mark.parametrize("freedom", range(1, len(STUDENT) + 1))
def test_the_quantiles_are_those_of_students_distribution(freedom):
    """Between 0 and the quantile lie 47.5 % of the density, by Simpson's rule."""

    def density(t: float) -> float:
        scale = gamma((freedom + 1) / 2) / (gamma(freedom / 2) * sqrt(freedom * pi))
        return scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)

    end, n = STUDENT[freedom - 1], 2000
    values = [density(end * i / n) for i in range(n + 1)]
    area = end / n / 3 * (values[0] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]) + values[-1])
    assert abs(area - 0.475) < 4e-5  # the quantiles have three decimals


def test_accuracies_come_in_the_order_of_the_seeds(tmp_path):
    path = tmp_path / "runs.jsonl"
    for seed in (10, 2, 0):
        add_run(write(tmp_path, "tiny", seed, seed / 100, recipe=TINY), path=path)
    assert [record.seed for record in read_records("main", path)] == [10, 2, 0]
    assert read_results("main", path)[0].accuracies == [0.0, 0.02, 0.1]


def test_the_table_says_which_images_scored():
    assert "| validation accuracy, % |" in results_table(read_results("sweep"))
    assert "| test accuracy, % |" in results_table(read_results()) and "| test accuracy, % |" in results_table([])


def test_the_command_prints_the_table(tmp_path, capsys):
    write(tmp_path, "tiny", 0, 0.9)
    assert cli.main(["results"]) == 0
    assert capsys.readouterr().out == results_report()
    assert cli.main(["results", str(tmp_path)]) == 0
    assert "| tiny | 1,234 | 26.0 M | 7 at 32 | 1 | 90.00 | 91.00 |" in capsys.readouterr().out
    assert cli.main(["results", "--group", "cumulative-ablation"]) == 0
    steps = capsys.readouterr().out
    assert "| ablation-usual | 235,352 |" in steps and "| small |" not in steps
    assert cli.main(["results", "--row", "tiny"]) == 2
    assert "argument --row: must go with --add, got 'tiny'" in capsys.readouterr().err


def test_records_that_prove_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match="which holds none"):
        read_results(None, tmp_path)
    with pytest.raises(ValueError, match="group must be one of main, .*got 'ladder'"):
        read_results("ladder")
    with pytest.raises(FileNotFoundError):
        read_results("main", tmp_path / "runs.jsonl")
    write(tmp_path, "tiny", 0, 0.9)
    run = write(tmp_path, "tiny", 1, 0.9, recipe={"model": "tiny", "epochs": 7, "lr": 0.3})
    with pytest.raises(ValueError, match="those of 'tiny' differ in more than the seed"):
        read_results(None, tmp_path)
    for change in ({"dtype": "float32"}, {"parameters": 7}, {"data": {"train": 2_000, "test": 500}}):
        write(tmp_path, "tiny", 1, 0.9, **change)
        with pytest.raises(ValueError, match="those of 'tiny' differ in more than the seed"):
            read_results(None, tmp_path)
    write(tmp_path / "again", "tiny", 0, 0.9)
    shutil.rmtree(run)
    with pytest.raises(ValueError, match="'tiny' has one of them twice"):
        read_results(None, tmp_path)
    write(tmp_path, "tiny", 1, 0.9)
    (run / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match="log.jsonl ends with 'nothing'"):
        read_results(None, tmp_path)
    (run / "log.jsonl").write_text('{"kind": "start"}\n')
    with pytest.raises(ValueError, match="log.jsonl, line 1, must have recipe, .*, but has no recipe"):
        read_results(None, tmp_path)


def test_one_record_is_found():
    assert find_record("tiny", 3).recipe == replace(ROWS["tiny"], seed=3)
    assert find_record("tiny", group="rerun").end["test_accuracy"] == 0.9098
    with pytest.raises(ValueError, match="run in group rerun, got 'tiny' and 1"):
        find_record("tiny", 1, "rerun")


# Adding


@pytest.mark.parametrize("row, command, changes, words, group, name", [
    ("tiny-u4", "lambdalib train --row tiny-u4 --seed 1", {}, "", "main", "tiny-u4"),
    ("small", "lambdalib train --preset cpu", {}, "", "main", "small"),  # by its recipe
    ("ablation-rates", "lambdalib train --row ladder-rates", {}, "", "cumulative-ablation", "ablation-rates"),
    ("ablation-average-without-rates", "notebook", {}, "", "validation", "ablation-average-without-rates"),
    ("sizes-u4", "lambdalib train --row sizes-u4", {"validation_images": 9}, "", "validation", "sizes-u4"),
    ("tiny", "lambdalib train --row tiny", {}, "--group rerun", "rerun", "tiny"),
    ("tiny", "notebook", {"lr": 0.3}, "--group set-aside --row tiny", "set-aside", "tiny-lr0.3"),
    ("tiny", "lambdalib train --row tiny", {"lr": 0.3, "epochs": 4, "validation_images": 9}, "--group sweep",
     "sweep", "tiny-lr0.3"),
    ("tiny", "notebook", {"lr": 0.3}, "--group early-recipe --row old", "early-recipe", "old"),
])  # fmt: skip
def test_a_run_is_added_where_it_belongs(tmp_path, capsys, row, command, changes, words, group, name):
    path, recipe = tmp_path / "runs.jsonl", asdict(EVERY_ROW[row]) | changes
    run = write(tmp_path, "a-run", 1, 0.9, recipe=recipe, command=command)
    assert cli.main(["results", str(path), "--add", str(run), *words.split()]) == 0
    (added,) = read_records(None, path)
    assert added[:3] == (group, name, 1)
    assert "".join(json.dumps(line) + "\n" for line in added.lines) == (run / "log.jsonl").read_text()
    out = capsys.readouterr().out
    assert f"added {name}, seed 1, to group {group}" in out and f"| {name} | 1,234 |" in out
    assert "| 1 | 90.00 |" in out


def test_a_record_is_one_more_line_and_the_table_tells_the_row(tmp_path, capsys):
    path = tmp_path / "runs.jsonl"
    shutil.copy(RUNS, path)
    before = path.read_text()
    lines = find_record("tiny").lines
    lines = [lines[0] | {"recipe": asdict(replace(ROWS["tiny"], seed=9))}, *lines[1:]]
    run = tmp_path / "runs" / "tiny-seed9"
    run.mkdir(parents=True)
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli.main(["results", str(path), "--add", str(run)]) == 0
    after = path.read_text()
    assert after == before + json.dumps(Record("main", "tiny", 9, lines)._asdict()) + "\n"
    assert "| tiny | 235,352 | 26.0 M | 48 at 32 | 6 |" in capsys.readouterr().out


def test_a_run_that_may_not_be_a_record_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"

    def refuse(words, run, **options):
        before = path.read_bytes() if path.exists() else None
        with pytest.raises(ValueError, match=words):
            add_run(run, path=path, **options)
        assert (path.read_bytes() if path.exists() else None) == before

    refuse(
        "committed code, got commit 'abc.changes'", write(tmp_path, "a", 0, 0.9, recipe=TINY, commit="abc+changes")
    )
    refuse("committed code, got commit None", write(tmp_path, "b", 0, 0.9, recipe=TINY, commit=None))
    sample = {"train": 2_000, "test": 500}
    refuse("all of CIFAR-10, got 2,000", write(tmp_path, "c", 0, 0.9, recipe=TINY, data=sample))
    other = TINY | {"lr": 0.3, "weight_decay": 0.1}
    refuse("differ in lr, weight_decay;", write(tmp_path, "tiny", 0, 0.9, recipe=other))
    refuse("row must be one of tiny, .*got 'cpu'", write(tmp_path, "cpu", 0, 0.9, recipe=other))
    run = write(tmp_path, "tiny", 0, 0.9, recipe=TINY)
    refuse("group must be one of main, .*got 'ladder'", run, group="ladder")
    add_run(run, path=path)
    refuse("has one of group main, row tiny, seed 0", run)
    refuse("has one of group main, row tiny, seed 0", run, group="rerun")  # the very same run
    again = write(tmp_path, "again", 0, 0.8, recipe=TINY)
    refuse("run again belong to group rerun", again)
    add_run(again, "rerun", path=path)
    refuse("differ in more than the seed", write(tmp_path, "tiny", 1, 0.9, recipe=TINY, dtype="float32"))
    start, end = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text(f"{start}\n")
    refuse("ends with 'start'", run)
    (run / "log.jsonl").write_text(f'{start}\n{{"kind": "resume", "step": 1, "commit": "a+changes"}}\n{end}\n')
    refuse("committed code, got commit 'a.changes'", run)
    with pytest.raises(FileNotFoundError):
        add_run(tmp_path, path=path)
