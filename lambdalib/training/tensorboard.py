"""A run's curves for TensorBoard, which is a package of its own: pip install tensorboard.

Taught in notebooks/07_train_on_cifar10.
"""

from collections.abc import Callable
from pathlib import Path

from lambdalib.training.train import Run

__all__ = ["board"]


def board(folder: str | Path) -> Callable[[Run], None]:
    """What fit may be given as `watch`, to see the run grow in TensorBoard. Taught in notebooks/07_train_on_cifar10.

    Written after every epoch: "loss" of every step since the last time, and "test_accuracy". A run that was resumed writes its
    curves again from the first step, and TensorBoard forgets the old ones.

    Args:
        folder: what `tensorboard --logdir` is to be given.
    Raises:
        ValueError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("tensorboard must be installed first: pip install tensorboard") from error
    writer, written = SummaryWriter(str(folder), purge_step=0), {"losses": 0, "records": 0}

    def watch(run: Run) -> None:
        for step, loss in enumerate(run.losses[written["losses"]:run.step].tolist(), start=written["losses"] + 1):
            writer.add_scalar("loss", loss, step)
        for record in run.records[written["records"]:]:
            if record["kind"] == "epoch" and "test_accuracy" in record:
                writer.add_scalar("test_accuracy", record["test_accuracy"], record["step"])
        written.update(losses=run.step, records=len(run.records))
        writer.flush()

    return watch
