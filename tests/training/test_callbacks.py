"""What happens beside the steps: saving, Ctrl-C, broken runs, the lock, the estimate of the time."""

import math
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from toy import RECIPE, after_epochs, change_losses, fresh_run, interrupt_at, read_log, train_quietly

from lambdalib.training import callbacks
from lambdalib.training.checkpoint import load_state
from lambdalib.training.train import fit


def test_saves_within_an_epoch(images16, tmp_path, monkeypatch):
    steps, real = [], callbacks.save_state
    monkeypatch.setattr(
        callbacks, "save_state", lambda state, path: (steps.append(state["step"]), real(state, path))
    )
    train_quietly(replace(RECIPE, epochs=1), images16, tmp_path, save_every=0)
    assert steps == [*range(1, 6), 5]
    steps.clear()
    train_quietly(replace(RECIPE, epochs=2), images16, tmp_path / "slow", save_every=1000)
    assert steps == [5, 10, 10]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_stops_the_run(images16, tmp_path, monkeypatch, value):
    # step 7, counted from 0, in the second epoch; repeated, it is a number
    change_losses(monkeypatch, lambda number, loss: loss + (value if number in (8, 17) else 0))
    words = rf"the loss became {value} at step 7 of 12, epoch 1.40; the last good state is .*state.pt.*No layer's"
    with pytest.raises(FloatingPointError, match=words):
        train_quietly(RECIPE, images16, tmp_path, save_every=0)
    assert load_state(tmp_path / "state.pt")["step"] == 7  # the eighth step was not saved
    with pytest.raises(FloatingPointError, match="no state was saved"):
        train_quietly(RECIPE, images16)


def test_a_second_ctrl_c_stops_at_once_and_the_usual_handler_comes_back(images16, monkeypatch):
    usual = signal.getsignal(signal.SIGINT)
    with callbacks.StopSignal(callbacks.Checkpoint(None, 60)) as ctrl_c:
        signal.raise_signal(signal.SIGINT)
        assert ctrl_c.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual
    interrupt_at(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3 of 12; nothing was saved"):
        train_quietly(RECIPE, images16)


def test_callbacks_are_called_by_name(images16):
    class Notes:
        def __init__(self):
            self.epochs, self.steps, self.ends = [], [], []

        def on_epoch_end(self, run):
            self.epochs.append((run.step, run.records[-1]["kind"], len(self.steps)))

        def on_step(self, run):
            self.steps.append(run.step)

        def on_end(self, run):
            self.ends.append((run.step, run.records[-1]["kind"]))

    notes = Notes()
    train_quietly(RECIPE, images16, callbacks=[notes, object()])
    assert notes.epochs == [(5, "epoch", 4), (10, "epoch", 9), (12, "epoch", 11)]  # before the step's own call
    assert notes.steps == [*range(1, 13)] and notes.ends == [(12, "end")]


def sentences(recipe, images, seconds, start=0):
    """What the estimate says of a run whose steps take these seconds each."""
    said, now, run = [], [100.0], fresh_run(recipe, images)
    estimate, run.step = callbacks.TimeEstimate(True, clock=lambda: now[0], say=said.append), start
    while run.step < run.total:
        now[0] += seconds(run.step)
        run.step += 1
        if run.at_epoch_end:
            now[0] += 1000  # evaluation is not a step
            estimate.on_epoch_end(run)
        estimate.on_step(run)
    return said


def test_the_time_is_estimated_and_corrected(images16):
    """15 steps an epoch, 20 epochs, 7 evaluations and one with flip, which count as two; a forward pass is a
    third."""
    recipe = replace(RECIPE, batch_size=3, epochs=20, evaluate_every=3, dtype="float32")
    per_epoch, tests = 15, 40 / 3 / 3
    first, second = sentences(recipe, images16, lambda step: 900 if step == 0 else 10 if step < 6 else 24)
    assert round(10 * (20 * per_epoch + (7 + 2) * tests) / 60) == 57
    assert first == "This takes about 57 min: 20 epochs of 2.5 min, in float32."
    per_step = (5 * 10 + 8 * 24) / 13  # 14 steps ended before the epoch's last; the first one warmed up
    assert round(per_step * (19 * per_epoch + (7 + 2) * tests) / 60) == 101
    assert second == "After the first epoch, about 1 h 41 min to go: 19 epochs of 4.7 min."
    assert len(sentences(recipe, images16, lambda step: 1, start=290)) == 1  # the last epoch needs no correction
    assert sentences(replace(recipe, max_steps=4), images16, lambda step: 1) == []


def test_the_estimate_tells_why_products_are_float32(images16, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    said = sentences(replace(RECIPE, dtype="bfloat16", epochs=20, batch_size=4), images16, lambda step: 0.5)
    assert said[0] == "This takes about 2.4 min: 20 epochs of 5.5 s, in float32, since this CPU has no bfloat16."


def test_the_estimate_tells_what_float16_costs(images16, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    run = fresh_run(replace(RECIPE, dtype="bfloat16", epochs=20, batch_size=4), images16)
    run.device, said, now = torch.device("cuda"), [], iter(range(100))
    estimate = callbacks.TimeEstimate(True, clock=lambda: next(now), say=said.append)
    for run.step in range(1, 7):
        estimate.on_step(run)
    words = "in float16, since this GPU has no bfloat16; lambda layers compute in float32 then, which takes more "
    assert len(said) == 1 and said[0].endswith(words + "time and memory.")


def test_small_images_take_less_time(images16):
    """66 steps at 8 pixels take 1 s each, 55 at 12 pixels 2.25 s, 79 at 16 pixels 4 s; 11 steps an epoch.

    Tests: 10 evaluations and one with flip, which counts as two, each of 10 batches, a third of a step, at 16.
    """
    recipe = replace(RECIPE, batch_size=4, epochs=200 / 11, evaluate_every=2, progressive_resizing={8: 6, 12: 5})
    run = fresh_run(recipe, images16)
    assert (run.per_epoch, run.total) == (11, 200)
    sides = [8] * 66 + [12] * 55 + [16] * 79
    first, second = sentences(recipe, images16, lambda step: (sides[step] / 8) ** 2)
    tests = (10 + 2) * 10 / 3 * 4
    assert round((66 + 55 * 2.25 + 79 * 4 + tests) / 6) == 111
    growing = ", which take longer as the images grow"
    assert first == f"This takes about 11 min: 18.2 epochs of 11 s{growing}, in float32."
    assert second == f"After the first epoch, about 11 min to go: 17.2 epochs of 11 s{growing}."
    both = replace(recipe, progressive_resizing={8: 6 / 11, 12: 5 / 11})  # two sizes in the first epoch
    sides[:] = [8] * 6 + [12] * 5 + [16] * 189
    later = sentences(both, images16, lambda step: (sides[step] / 8) ** 2)[1]
    assert round((189 * 4 + tests) / 60) == 15
    assert later == "After the first epoch, about 15 min to go: 17.2 epochs of 44 s."


def test_a_run_stops_when_its_minutes_are_over(images16):
    saved, now, run = [], [50.0], fresh_run(RECIPE, images16)
    checkpoint = SimpleNamespace(save=lambda run: saved.append(run.step))
    limit, none = (callbacks.TimeLimit(checkpoint, minutes, clock=lambda: now[0]) for minutes in (2, None))
    for run.step, now[0] in ((1, 51.0), (2, 169.9), (12, 400.0)):  # the last step needs no stop
        limit.on_step(run)
        none.on_step(run)
    assert saved == []
    run.step, now[0] = 11, 170.0
    with pytest.raises(callbacks.StopTraining):
        limit.on_step(run)
    none.on_step(run)
    assert saved == [11]


def test_a_bar_brings_the_estimate(images16, capsys):
    train_quietly(replace(RECIPE, epochs=2, batch_size=4), images16)
    assert capsys.readouterr().err == ""
    fit(replace(RECIPE, epochs=2, batch_size=4), images16, device="cpu", progress=True)
    err = capsys.readouterr().err
    assert err.count("This takes about") == 1 and err.count("After the first epoch, about") == 1


@pytest.mark.parametrize("seconds, words", [
    (0.42, "0.42 s"), (9.9, "9.9 s"), (40, "40 s"), (89, "89 s"), (90, "1.5 min"), (234, "3.9 min"),
    (3000, "50 min"),
    (3569, "59 min"), (3571, "1 h 0 min"), (7500, "2 h 5 min"), (100_000, "27 h 47 min"),
])  # fmt: skip
def test_durations(seconds, words):
    assert callbacks.duration(seconds) == words


def test_two_runs_do_not_write_into_one_folder(images16, tmp_path):
    recipe, asked = replace(RECIPE, max_steps=6), []

    def second_run(run):
        for resume in (False, True):
            with pytest.raises(
                ValueError, match="out_dir must be a folder of its own .* another process is training into"
            ):
                train_quietly(recipe, images16, tmp_path, resume=resume)
            asked.append(resume)

    first = train_quietly(recipe, images16, tmp_path, callbacks=after_epochs(second_run))
    assert asked == [False, True] * 2 and read_log(tmp_path / "log.jsonl") == first.records
    assert (
        train_quietly(recipe, images16, tmp_path, resume=True).records == first.records
    )  # the lock went with the run


def test_a_bar_goes_on_where_the_run_stood():
    run = SimpleNamespace(recipe=RECIPE, total=10, step=4, records=[{"kind": "epoch", "loss": 0.25}])
    with callbacks.ProgressBar(run, shown=True) as bar:
        bar.on_step(run)
        bar.on_epoch_end(run)
        assert (bar.bar.n, bar.bar.total, bar.bar.postfix) == (5, 10, "loss=0.250")


def test_the_live_curve_is_drawn_in_one_place(images16, monkeypatch):
    shown, handle = [], SimpleNamespace(update=lambda image: shown.append("update"))
    monkeypatch.setattr("IPython.display.display", lambda image, display_id: shown.append("new") or handle)
    train_quietly(replace(RECIPE, epochs=2), images16, live=True)  # draws at step 10 and at the end
    assert shown == ["new", "update"]
    train_quietly(replace(RECIPE, epochs=2), images16, live=False)
    assert shown == ["new", "update"]


def test_the_curve_has_losses_by_epochs_and_accuracies_in_per_cent(images16):
    run = train_quietly(replace(RECIPE, epochs=2), images16)
    left, right = callbacks.loss_curve(run).axes
    assert left.lines[0].get_xdata().tolist() == pytest.approx([step / 5 for step in range(1, 11)])
    assert left.lines[0].get_ydata().tolist() == run.losses.tolist()
    accuracies = [record["test_accuracy"] for record in run.records if record["kind"] == "epoch"]
    assert right.lines[0].get_ydata().tolist() == pytest.approx([100 * accuracy for accuracy in accuracies])
