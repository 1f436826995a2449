"""A run's curves for TensorBoard, an optional package: pip install tensorboard. Used by `lambdalib train`.

Taught in notebooks/07b_train_in_earnest.
"""

from pathlib import Path

from lambdalib.training.run import Run

__all__ = ["TensorBoard"]


class TensorBoard:
    """A callback for fit that writes "loss" of every step and "test_accuracy" after every epoch.

    A resumed run writes its curves again from the first step, and TensorBoard drops the old ones.

    Args:
        folder: the one that `tensorboard --logdir` gets.
    Raises:
        ValueError: tensorboard is not installed.
    """

    def __init__(self, folder: str | Path):
        try:
            from torch.utils.tensorboard import SummaryWriter  # optional, and slow to import
        except ImportError as error:
            raise ValueError("tensorboard must be installed first: pip install tensorboard") from error
        self.writer, self.losses, self.records = SummaryWriter(str(folder), purge_step=0), 0, 0

    def on_epoch_end(self, run: Run) -> None:
        for step, loss in enumerate(run.losses[self.losses : run.step].tolist(), start=self.losses + 1):
            self.writer.add_scalar("loss", loss, step)
        for record in run.records[self.records :]:
            if record["kind"] == "epoch" and "test_accuracy" in record:
                self.writer.add_scalar("test_accuracy", record["test_accuracy"], record["step"])
        self.losses, self.records = run.step, len(run.records)
        self.writer.flush()
