"""Two loss curves: read from every kind of file, aligned or refused, judged by hand-made numbers."""

import json

import pytest
import torch

from lambdalib import cli
from lambdalib.experiments.compare import Curve, align, compare, plot_comparison, read_curve
from lambdalib.training.checkpoint import save_state


def curve(losses, steps=None, **options):
    steps = range(1, len(losses) + 1) if steps is None else steps
    return Curve(torch.tensor(list(steps)), torch.tensor(losses, dtype=torch.float64), **options)


def write_run(folder, losses, per_epoch=3, batch=8, trained=None):
    """A folder as fit leaves it: a state with a loss per step, a log with a mean per epoch."""
    folder.mkdir()
    trained = len(losses) if trained is None else trained
    state = {"losses": torch.tensor(losses), "step": trained, "recipe": {"batch_size": batch}}
    state |= {"data": {"source": "sample", "train": 24, "test": 8}, "seconds": 1.0, "records": []}
    state |= {"random": {"cpu": torch.get_rng_state()}}
    state |= {name: {} for name in ("model", "optimizer", "scheduler", "scaler")}
    save_state(state, folder / "state.pt")
    rows = [{"kind": "start", "recipe": {"batch_size": batch}}]
    for start in range(0, trained, per_epoch):
        end = min(start + per_epoch, trained)
        rows.append({"kind": "epoch", "step": end, "loss": sum(losses[start:end]) / (end - start)})
    rows += [{"kind": "resume", "step": 3}, {"kind": "end", "test_accuracy": 0.5}]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


LOSSES = [4.0, 2.0, 1.0, 0.5, 8.0, 5.0, 2.0]


# Reading


def test_a_run_is_read_step_by_step_from_its_state(tmp_path):
    folder = write_run(tmp_path / "run", LOSSES, trained=5)
    for run in (folder, folder / "state.pt", str(folder)):
        found = read_curve(run)
        assert found.steps.tolist() == [1, 2, 3, 4, 5] and found.losses.tolist() == LOSSES[:5]
        assert (found.means, found.batch) == (False, 8)


def test_a_log_is_read_epoch_by_epoch(tmp_path):
    folder = write_run(tmp_path / "run", LOSSES)
    from_log = read_curve(folder / "log.jsonl")
    assert from_log.steps.tolist() == [3, 6, 7] and from_log.losses.tolist() == pytest.approx([7 / 3, 4.5, 2.0])
    assert (from_log.means, from_log.batch) == (True, 8)
    (folder / "state.pt").unlink()
    assert torch.equal(read_curve(folder).losses, from_log.losses)


@pytest.mark.parametrize("name, text, steps", [
    ("a.txt", "2.5\n1.5\n\n0.5\n", [1, 2, 3]),
    ("a.txt", "10 2.5\n20 1.5\n30 0.5\n", [10, 20, 30]),
    ("a.csv", "10,2.5\n20,1.5\n30,0.5\n", [10, 20, 30]),
    ("a.csv", "epoch,Loss,lr\n1,2.5,7\n1,1.5,7\n2,0.5,7\n", [1, 2, 3]),
    ("a.csv", "Wall time,Step,Value\n99.5,10,2.5\n99.6,20,1.5\n99.7,30,0.5\n", [10, 20, 30]),
    ("a.jsonl", '{"loss": 2.5, "iter": 5}\n{"iter": 6, "loss": 1.5}\n{"iter": 8, "loss": 0.5}\n', [5, 6, 8]),
])  # fmt: skip
def test_tables(tmp_path, name, text, steps):
    (tmp_path / name).write_text(text)
    found = read_curve(tmp_path / name)
    assert found.steps.tolist() == steps and found.losses.tolist() == [2.5, 1.5, 0.5]
    assert (found.means, found.batch) == (False, None)


@pytest.mark.parametrize("name, text, words", [
    ("a.txt", "2.5\nnan\n", "loss of step 2 is nan"),
    ("a.csv", "step,loss\n3,inf\n", "loss of step 3 is inf"),
    ("a.txt", "1 2.5\n1 2.0\n", "step 1 follows step 1"),
    ("a.csv", "step,loss\n1,2.5\n2\n", r"expected 2 columns \(step, loss\), got \['2'\]"),
    ("a.txt", "2.5\nhello\n", "row 2 has no loss"),
    ("a.csv", "step,loss\n1.5,2\n", "row 1 has no loss, or no whole step"),
    ("a.jsonl", '{"step": 1.9, "loss": 2}\n', "row 1 has no loss, or no whole step"),
    ("a.jsonl", '{"accuracy": 1}\n', "row 1 has no loss"),
    ("a.jsonl", '[1]\n', "line 1, must be a dict, got .1."),
    ("a.jsonl", "loss 3\n", "is not JSON line by line"),
    ("a.png", "", "must be a folder of fit or a file .pt, .jsonl, .csv, .txt, got"),
])  # fmt: skip
def test_what_is_no_curve_is_refused(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        read_curve(tmp_path / name)


def test_what_is_not_there_is_refused(tmp_path):
    for run, words in ((tmp_path, "neither state.pt nor log.jsonl"), (tmp_path / "a.csv", "no run at .*a.csv")):
        with pytest.raises(FileNotFoundError, match=words):
            read_curve(run)
    save_state({"step": 3}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other.pt must have recipe, .* but has no recipe"):
        read_curve(tmp_path / "other.pt")


# Aligning


def test_equal_steps():
    steps, a, b = align(curve([3.0, 2.0, 1.0]), curve([5.0, 4.0, 3.0]))
    assert (steps.tolist(), a.tolist(), b.tolist()) == ([1, 2, 3], [3, 2, 1], [5, 4, 3])


def test_gaps_strides_and_lengths_leave_the_common_steps():
    every = curve([float(step) for step in range(1, 13)])
    gappy = curve([1.5, 2.5, 7.5, 8.5, 9.5], steps=[1, 2, 7, 8, 9])
    steps, a, b = align(every, gappy)
    assert (steps.tolist(), a.tolist(), b.tolist()) == (
        [1, 2, 7, 8, 9],
        [1, 2, 7, 8, 9],
        [1.5, 2.5, 7.5, 8.5, 9.5],
    )
    steps, b, a = align(curve([4.5, 8.5, 12.5], steps=[4, 8, 12]), every)
    assert (steps.tolist(), a.tolist(), b.tolist()) == ([4, 8, 12], [4, 8, 12], [4.5, 8.5, 12.5])
    assert align(every, curve([9.0] * 6))[0].tolist() == [1, 2, 3, 4, 5, 6]


def test_steps_are_averaged_over_the_epochs_of_a_log():
    log = curve([7.0, 8.0, 9.0], steps=[3, 6, 7], means=True)
    for first, second, swapped in ((log, curve(LOSSES), False), (curve(LOSSES), log, True)):
        steps, a, b = align(first, second)
        a, b = (b, a) if swapped else (a, b)
        assert (
            steps.tolist() == [3, 6, 7]
            and a.tolist() == [7, 8, 9]
            and b.tolist() == pytest.approx([7 / 3, 4.5, 2.0])
        )
    holes = curve([1.0, 2.0, 4.0, 5.0, 6.0, 7.0], steps=[1, 2, 4, 5, 6, 7])  # the first epoch is not whole
    assert align(log, holes)[0].tolist() == [6, 7]


@pytest.mark.parametrize("first, second, words", [
    (curve([1.0, 2.0], batch=8), curve([1.0, 2.0], batch=16), "a step is 8 images in one and 16 in the other"),
    (curve([1.0, 2.0], steps=[2, 4]), curve([1.0, 2.0], steps=[1, 3]), "no step in common"),
    (curve([]), curve([1.0]), "no step in common"),
    (curve([1.0, 2.0, 3.0, 4.0, 5.0], steps=[1, 3, 5, 7, 9]), curve([1.0, 2.0, 3.0], steps=[2, 4, 9]),
     "only 1 steps .* half of 3"),
    (curve([1.0] * 11), curve([1.0] * 5), "the last step in both is 5, less than half of 11"),
    (curve([1.0] * 5), curve([1.0, 2.0], steps=[4, 11], means=True),
     "the last step in both is 4, less than half of 11"),
])  # fmt: skip
def test_what_cannot_be_aligned_is_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        align(first, second)


# Judging


def test_errors_by_hand():
    result = compare(curve([4.0, 2.0, -1.0]), curve([5.0, 1.5, -1.25]))
    assert result.relative == pytest.approx((1 / 4 + 1 / 4 + 1 / 4) / 3) and result.absolute == pytest.approx(
        1.75 / 3
    )
    assert compare(curve([5.0, 1.5]), curve([4.0, 2.0])).relative == pytest.approx(
        (1 / 5 + 1 / 3) / 2
    )  # of the first
    assert compare(curve([0.0, 1.0]), curve([0.0, 1.0])).relative == 0


@pytest.mark.parametrize("first, second, passed", [
    ([2.0], [2.09], True),          # 4.5 %
    ([2.0], [2.11], False),         # 5.5 %, 0.11
    ([1e-3], [1.19e-3], True),      # 19 %, 0.00019
    ([1e-3], [1.21e-3], False),     # 21 %, 0.00021
    ([0.0], [1e-4], True),          # no share of nothing, yet near
])  # fmt: skip
def test_one_of_two_errors_may_be_large(first, second, passed):
    assert compare(curve(first), curve(second)).passed == passed


def test_the_figure_shows_both_curves_and_their_difference():
    figure = plot_comparison(compare(curve([4.0, 2.0, 1.0]), curve([5.0, 1.5, 1.0])), ("old", "new"))
    top, bottom = figure.axes
    assert [line.get_label() for line in top.lines] == ["old", "new"]
    assert [line.get_ydata().tolist() for line in top.lines] == [[4, 2, 1], [5, 1.5, 1]]
    assert bottom.lines[0].get_ydata().tolist() == [1, -0.5, 0]


# The command


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", LOSSES)
    write_run(tmp_path / "b", [loss * 1.04 for loss in LOSSES])
    write_run(tmp_path / "c", [loss * 1.06 for loss in LOSSES], trained=6)
    assert cli.main("compare a b".split()) == 0
    out = capsys.readouterr().out
    assert (
        "mean relative error 0.040000, allowed 0.05" in out
        and "a: 7 losses, steps 1 to 7" in out
        and "pass; figure: compare.png" in out
    )
    assert (tmp_path / "compare.png").read_bytes()[:4] == b"\x89PNG"
    assert cli.main("compare a c/log.jsonl --figure x.png".split()) == 1
    out = capsys.readouterr().out
    assert "c/log.jsonl: 2 losses" in out and "compared at 2 steps, 3 to 6" in out and "FAIL; figure: x.png" in out
    assert (tmp_path / "x.png").exists()


@pytest.mark.parametrize("words, parts", [
    ("compare a", ("RUN", "required")),
    ("compare a nowhere.csv", ("no run at nowhere.csv",)),
    ("compare a nowhere", ("must be a folder of fit or a file", "'nowhere'")),
    ("compare a short", ("last step in both is 3, less than half of 7",)),
])  # fmt: skip
def test_the_command_refuses_with_one_line(tmp_path, monkeypatch, capsys, words, parts):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", LOSSES)
    write_run(tmp_path / "short", LOSSES[:3])
    assert cli.main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and all(part in err for part in parts), err
