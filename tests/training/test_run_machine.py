"""Train, stop, kill, resume, evaluate, save and load in any order: always the bits of one undisturbed run."""

import shutil
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from toy import RECIPE, train_quietly

from lambdalib.training import evidence
from lambdalib.training.callbacks import StopTraining
from lambdalib.training.checkpoint import load_model, load_state, save_weights
from lambdalib.training.data import normalize
from lambdalib.training.train import evaluate

EPOCH_ENDS, TOTAL = (5, 10, 12), 12


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def kill():
    raise Killed


def stop():
    raise StopTraining


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def accuracy(model, images):
    return evaluate(model, normalize(images.test_images), images.test_labels)


def undisturbed(images):
    """The losses of a run, and what is evaluated after every step: weights and accuracy."""
    weights, accuracies = {}, {}

    def note(run):
        weights[run.step] = {name: value.clone() for name, value in run.eval_model.state_dict().items()}
        accuracies[run.step] = accuracy(run.eval_model, images)

    run = train_quietly(RECIPE, images, callbacks=[SimpleNamespace(on_step=note)])
    return SimpleNamespace(losses=run.losses, weights=weights, accuracies=accuracies)


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_any_order_of_events_gives_the_same_run(images16, monkeypatch):
    monkeypatch.setattr(evidence, "commit", lambda: None)  # git is slow
    expected = undisturbed(images16)

    class Training(RuleBasedStateMachine):
        """A folder; saved: the step of its state, 0 without; run: the one in memory, if any."""

        def __init__(self):
            super().__init__()
            self.folder, self.saved, self.run, self.kept = Path(tempfile.mkdtemp()), 0, None, None

        def teardown(self):
            shutil.rmtree(self.folder)

        @rule(
            steps=st.integers(1, 7),
            happens=st.sampled_from([kill, stop, press_ctrl_c]),
            save_every=st.sampled_from([0, 1e9]),
        )
        def train(self, steps, happens, save_every):
            """Begin or go on; after so many steps something happens, unless the run ends before."""
            last, self.run = self.saved + steps, None
            at_last = SimpleNamespace(on_step=lambda run: happens() if run.step == last else None)
            options = {"resume": self.saved > 0, "save_every": save_every, "callbacks": [at_last]}
            try:
                self.run = train_quietly(RECIPE, images16, self.folder, **options)
            except (Killed, KeyboardInterrupt):
                assert happens is not stop and last <= TOTAL
            if save_every == 0 or happens is press_ctrl_c or last > TOTAL:
                self.saved = min(last, TOTAL)
            else:
                self.saved = max([self.saved, *(end for end in EPOCH_ENDS if end <= last)])

        @rule()
        def leave_half_a_file(self):
            (self.folder / "state.pt.1.part").write_bytes(b"half")

        @precondition(lambda self: self.run)
        @rule()
        def evaluate_it(self):
            assert accuracy(self.run.eval_model, images16) == expected.accuracies[self.run.step]

        @precondition(lambda self: self.run)
        @rule()
        def save_its_weights(self):
            save_weights(self.run.eval_model, self.folder / "my.safetensors", {"model": "toy", "model_kwargs": {}})
            self.kept = self.run.step

        @precondition(lambda self: self.kept)
        @rule()
        def load_the_weights(self):
            assert_same(dict(load_model(self.folder / "my.safetensors").state_dict()), expected.weights[self.kept])

        @invariant()
        def it_is_the_undisturbed_run(self):
            if self.run:
                assert_same(self.run.losses[: self.run.step], expected.losses[: self.run.step])
            if not self.saved:
                return
            state = load_state(self.folder / "state.pt")
            assert state["step"] == self.saved
            assert_same(state["losses"][: self.saved], expected.losses[: self.saved])
            if state["records"][-1]["kind"] == "end":
                final = load_model(self.folder / "weights.safetensors").state_dict()
                assert_same(dict(final), expected.weights[TOTAL])

    few = settings(max_examples=10, stateful_step_count=8, deadline=None, derandomize=True)
    run_state_machine_as_test(Training, settings=few)
