"""Reading and adding records, by hand-made runs."""

import json
import shutil
from dataclasses import asdict, replace
from statistics import stdev

import pytest

from lambdalib import cli
from lambdalib.cost import multiply_adds
from lambdalib.experiments.results import (
    RUNS,
    Record,
    add_run,
    find_record,
    format_mean,
    prediction_interval,
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
    write(tmp_path, "another-thing", 7, 0.5)
    tiny, other = read_results(None, tmp_path)
    assert tiny.name == "tiny" and tiny.accuracies == [0.90, 0.92, 0.93] and tiny.minutes == 1
    margin = 4.303 * stdev([90, 92, 93]) * (4 / 3) ** 0.5  # Student's t, two degrees of freedom
    assert prediction_interval(tiny.accuracies) == f"{275 / 3 - margin:.2f} to {275 / 3 + margin:.2f}"
    assert format_mean(tiny.accuracies) == f"91.67 ± {100 * stdev([0.90, 0.92, 0.93]):.2f}"
    assert other.name == "another-thing" and format_mean(other.accuracies) == "50.00"
    assert tiny.adds == multiply_adds(create_model("tiny"), (1, 3, 32, 32)) and tiny.epochs == 7
    assert results_table([tiny, other]).splitlines()[2] == (
        "| tiny | 1,234 | 26.0 M | 7 | 3 | 91.67 ± 1.53 | 84.08 to 99.26 | 92.67 ± 1.53 | 1.0 "
        "| a machine, 2 threads |"
    )


def test_accuracies_come_in_the_order_of_the_seeds(tmp_path):
    path = tmp_path / "runs.jsonl"
    for seed in (10, 2, 0):
        add_run(write(tmp_path, "tiny", seed, seed / 100, recipe=TINY), path=path)
    assert [record.seed for record in read_records("main", path)] == [10, 2, 0]
    assert read_results("main", path)[0].accuracies == [0.0, 0.02, 0.1]


def test_what_was_not_measured_is_listed(tmp_path):
    write(tmp_path, "tiny", 0, 0.9)
    lines = results_table(read_results(None, tmp_path), ROWS).splitlines()
    assert "| resnet18 | | | 100 | 0 | not yet measured | | | | |" in lines and len(lines) == 2 + len(ROWS)


def test_the_table_says_which_images_scored():
    assert "| validation accuracy, % |" in results_table(read_results("sweep"))
    assert "| test accuracy, % |" in results_table(read_results()) and "| test accuracy, % |" in results_table([])


def test_the_command_prints_the_table(tmp_path, capsys):
    write(tmp_path, "tiny", 0, 0.9)
    assert cli.main(["results"]) == 0
    nets, comparisons = capsys.readouterr().out.strip().split("\n\n")
    assert "| small | 870,488 |" in nets and "twins-" not in nets and "| twins-lambda | 235,352 |" in comparisons
    assert {line.split(" | ")[0][2:] for line in (nets + "\n" + comparisons).splitlines()} >= set(ROWS)
    assert cli.main(["results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| tiny | 1,234 | 26.0 M | 7 | 1 | 90.00 |  | 91.00 | 1.0 | a machine, 2 threads |" in printed
    assert "not yet measured" not in printed  # a folder of runs says nothing of other rows
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
    with pytest.raises(ValueError, match="log.jsonl ends with 'start'"):
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
    assert "| tiny | 235,352 | 26.0 M | 48 | 6 |" in capsys.readouterr().out


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
    (run / "log.jsonl").write_text(f'{start}\n{{"kind": "resume", "commit": "a+changes"}}\n{end}\n')
    refuse("committed code, got commit 'a.changes'", run)
    with pytest.raises(FileNotFoundError):
        add_run(tmp_path, path=path)
