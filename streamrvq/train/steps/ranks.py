"""Several processes that train one codec, as ``torchrun`` starts them: each has a part of every batch.

What they compute is combined by sums, so they are one process with the whole batch, but for the order of summation.
All of them make the same collective calls in the same order; that is the duty of whoever calls.

Knows: torch.distributed, the environment that says who takes part. Does not know: what is summed.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import ConfigError
from ...system.foreign_data import one_line
from ..config import TrainConfig
from ..device.gpu import check_device

_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = timedelta(days=1)  #: decoding, codebooks and validation of one process take long; a dead one is seen anyway


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number.
        world: how many there are. 1: nothing here does anything.
        local: its number among those on this machine.

    Raises:
        ConfigError: in whatever waits for the others: one of them has ended.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this one logs, validates and saves."""
        return self.rank == 0

    def check(self, config: TrainConfig) -> None:
        """Raises `ConfigError` for a batch that cannot be divided."""
        if config.batch % (self.world * config.shards):
            raise ConfigError(
                f"batch is {config.batch}, shards {config.shards}, and there are {self.world} processes; "
                f"wanted a batch that is a multiple of {self.world * config.shards}, "
                "or another number of processes (--nproc-per-node)"
            )

    def place(self, device: str) -> str:
        """The ``device`` of this process: with several, each has its own GPU."""
        return device if self.world == 1 or device == "cpu" else f"{device}:{self.local}"

    def rows(self, batch: int) -> slice:
        """Those of a ``batch`` that this process takes."""
        mine = batch // self.world
        return slice(self.rank * mine, (self.rank + 1) * mine)

    def sum_(self, *tensors: Tensor) -> None:
        """Replace tensors, of one type and device, by their sums over all processes. Does not wait for a GPU."""
        if self.world == 1 or not tensors:
            return
        if len(tensors) == 1 and tensors[0].is_contiguous():
            with _others():
                dist.all_reduce(tensors[0])
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _others():
            dist.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def mean(self, tensor: Tensor) -> Tensor:
        """Its mean over all processes."""
        if self.world == 1:
            return tensor
        mean = tensor / self.world
        self.sum_(mean)
        return mean

    def same_(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.world > 1:
            for tensor in tensors:
                whole = tensor.detach().contiguous()
                with _others():
                    dist.broadcast(whole, 0)
                if whole.data_ptr() != tensor.data_ptr():
                    tensor.detach().copy_(whole)

    def most(self, number: int) -> int:
        """The greatest of the numbers of all processes. Waits for them, and for no GPU."""
        if self.world == 1:
            return number
        each = torch.tensor(number)
        with _others():
            dist.all_reduce(each, dist.ReduceOp.MAX)
        return int(each)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process runs the block, and then the others do, which find what it made.

        Raises:
            ConfigError: in the others: the first one failed, and says why.
        """
        if not self.is_first and self._first_says(0):
            raise ConfigError("process 0 of those that train together could not begin; it says why")
        try:
            yield
        except BaseException:
            if self.is_first:
                self._first_says(1)
            raise
        if self.is_first:
            self._first_says(0)

    def _first_says(self, number: int) -> int:
        said = torch.tensor(number)
        self.same_([said])
        return int(said)

    def close(self) -> None:
        """Take no more part."""
        if self.world > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _others() -> Iterator[None]:
    """A call that waits for the other processes. Raises `ConfigError` where one of them has ended."""
    try:
        yield
    except RuntimeError as error:  # whatever became of them, torch has no class for it
        raise ConfigError(
            f"another process of those that train together has ended, or is not to be reached ({one_line(error)}); "
            "wanted all of them until the end: run the same command again, and the run goes on from its checkpoint"
        ) from None


ALONE = Ranks()


def find_ranks(device: str) -> Ranks:
    """Join the processes that the environment speaks of, to train on "cpu" or "cuda". `ALONE` if it speaks of none.

    Raises:
        ConfigError: torch has no such device, or not as many as there are processes here; or the others are not found.
    """
    if not all(name in os.environ for name in _NAMES) or os.environ["WORLD_SIZE"] == "1":
        return ALONE
    check_device(device)
    rank, world, local = (int(os.environ[name]) for name in _NAMES[:3])
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"this is process {local + 1} of this machine, and torch sees {torch.cuda.device_count()} GPUs; "
                "wanted at most as many processes as GPUs: lower --nproc-per-node"
            )
        torch.cuda.set_device(local)
    with _others():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device != "cpu" else "gloo", timeout=_PATIENCE)
    return Ranks(rank, world, local)
