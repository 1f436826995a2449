"""One run on several devices: each process takes its share of every batch, and the gradients are averaged.

Started by `torchrun --nproc-per-node N -m lambdalib train ...`. A process that is alone finds every function here idle.
Taught in notebooks/07_train_on_cifar10.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["joined", "rank", "size", "local_device", "share", "spread", "mean", "any_of_us"]


@contextmanager
def joined() -> Iterator[None]:
    """Meet the other processes that torchrun has started, where it has. Taught in notebooks/07_train_on_cifar10.

    Raises:
        ConnectionError: one of the others has ended.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ConnectionError(f"process {rank()} of {size()} stops, since another one has ended: its own message says why, if it "
                              "left one; --resume goes on from the last state that was saved") from error
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes train together. Taught in notebooks/07_train_on_cifar10."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; number 0 alone writes and shows things. Taught in notebooks/07_train_on_cifar10."""
    return dist.get_rank() if size() > 1 else 0


def local_device() -> torch.device | None:
    """A GPU for each process; None where there is one process, or no GPU. Taught in notebooks/07_train_on_cifar10."""
    if size() == 1 or not torch.cuda.is_available():
        return None
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def share(batch: Tensor) -> Tensor:
    """This process's part of a batch, (b, ...) -> (b / size, ...). Taught in notebooks/07_train_on_cifar10.

    The whole batch was shuffled and augmented before, in every process alike, so that the pictures do not depend on how many
    processes look at them.
    """
    return batch.chunk(size())[rank()]


def spread(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, with gradients that are the mean over all processes. Taught in notebooks/07_train_on_cifar10."""
    if size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def mean(value: Tensor) -> Tensor:
    """The mean of a number over all processes. Taught in notebooks/07_train_on_cifar10."""
    if size() > 1:
        dist.all_reduce(value)
        value /= size()
    return value


def any_of_us(asked: bool) -> bool:
    """Whether one of the processes was asked: they stop after the same step. Taught in notebooks/07_train_on_cifar10."""
    if size() == 1:
        return asked
    flag = torch.tensor(int(asked))  # on the CPU, so that no GPU has to stop for it
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)
