"""A small net for tests of training, and an interruption at a chosen step."""

import signal

from torch import nn

from lambdalib.layer import LambdaLayer
from lambdalib.training import train


class Toy(nn.Sequential):
    """A lambda layer between two norms and some dropout, so that a run depends on every random state there is."""

    def __init__(self, num_classes=10, stem="cifar"):
        super().__init__(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                         LambdaLayer(8, dim_k=3, heads=2, scope=5), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))


def interrupt_at(monkeypatch, *steps):
    """Press Ctrl-C during the steps with these numbers (counted over all runs of the test)."""
    done, real = [], train.train_step

    def step(*args, **kwargs):
        done.append(1)
        if len(done) in steps:
            signal.raise_signal(signal.SIGINT)
        return real(*args, **kwargs)

    monkeypatch.setattr(train, "train_step", step)
