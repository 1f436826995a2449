"""Data-parallel training: each process takes its shard of every batch, and the gradients are averaged.

Started by `torchrun --nproc-per-node N -m lambdalib train ...`. With one process every function here does nothing.
Used by `lambdalib train`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "process_group",
    "rank",
    "size",
    "local_device",
    "local_shard",
    "wrap_ddp",
    "all_reduce_mean",
    "all_reduce_any",
]


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun has started, if it has started several.

    Raises:
        ConnectionError: another process has ended.
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
        raise ConnectionError(
            f"process {rank()} of {size()} stops, since another one has ended: its own message says why, "
            "if it left one; --resume continues from the last saved state"
        ) from error
    finally:
        dist.destroy_process_group()


def size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; only process 0 writes and shows things."""
    return dist.get_rank() if size() > 1 else 0


def local_device() -> torch.device | None:
    """A GPU for each process; None with one process, or without a GPU."""
    if size() == 1 or not torch.cuda.is_available():
        return None
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


def local_shard(batch: Tensor) -> Tensor:
    """This process's part of a batch, (b, ...) -> (b / size, ...).

    Every process shuffles and augments the whole batch, so the images do not depend on the number of processes.
    """
    return batch.chunk(size())[rank()]


def wrap_ddp(model: nn.Module, device: torch.device) -> nn.Module:
    """The model, with gradients that are averaged over all processes."""
    if size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def all_reduce_mean(value: Tensor) -> Tensor:
    """The mean of a number over all processes."""
    if size() > 1:
        dist.all_reduce(value)
        value /= size()
    return value


def all_reduce_any(flag: bool) -> bool:
    """Whether the flag is set in any process: all processes stop after the same step."""
    if size() == 1:
        return flag
    shared = torch.tensor(int(flag))  # on the CPU, so that no GPU has to wait
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared)
