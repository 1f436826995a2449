"""A small model and recipe for tests of training, and an interruption at a chosen step."""

import json
import signal
from types import SimpleNamespace

import torch
from torch import nn

from lambdalib.layer import LambdaLayer
from lambdalib.training import train
from lambdalib.training.recipes import Recipe
from lambdalib.training.run import Run

# fmt: off
RECIPE = Recipe(model="toy", epochs=2.4, batch_size=8, lr=0.1, ema=0.9, cutout=4, flip="random", image_size=16,
                dtype="float32")  # 12 steps of the 45 images, 5 an epoch
# fmt: on


class Toy(nn.Sequential):
    """A lambda layer between two norms and some dropout, so that a run depends on every random state there is."""

    def __init__(self, num_classes=10, stem="cifar"):
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            LambdaLayer(8, dim_k=3, heads=2, scope=5),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, num_classes),
        )


def before_steps(monkeypatch, function):
    """Call the function with (images, labels, optimizer) before every step of fit."""
    real = train.train_steps

    def watched(model, batches, optimizer, *args, **kwargs):
        looked_at = ((function(images, labels, optimizer), (images, labels))[1] for images, labels in batches)
        return real(model, looked_at, optimizer, *args, **kwargs)

    monkeypatch.setattr(train, "train_steps", watched)


def change_losses(monkeypatch, function):
    """Put function(number of the step, its loss) in the place of every loss; steps are counted over all runs,
    from 1."""
    done, real = [], train.train_steps

    def changed(*args, **kwargs):
        for loss in real(*args, **kwargs):
            done.append(1)
            yield function(len(done), loss)

    monkeypatch.setattr(train, "train_steps", changed)


def interrupt_at(monkeypatch, *steps, signum=signal.SIGINT):
    """Press Ctrl-C during the steps with these numbers, counted over all runs of the test; twice for one named
    twice."""

    def press(number, loss):
        for _ in range(steps.count(number)):
            signal.raise_signal(signum)
        return loss

    change_losses(monkeypatch, press)


def after_epochs(function):
    """A callback for fit: the function, called with the run after every epoch."""
    return [SimpleNamespace(on_epoch_end=function)]


def train_quietly(recipe, data, out_dir=None, **options):
    """Train on the CPU without a bar."""
    return train.fit(recipe, data, out_dir, progress=False, device="cpu", **options)


def fresh_run(recipe, data):
    """The run that fit begins with."""
    torch.manual_seed(recipe.seed)
    return Run(recipe, data, torch.device("cpu"))


def read_log(path):
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]
