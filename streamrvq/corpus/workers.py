"""What every worker needs to write a shard, in this process, in another one or on another machine.

Knows: that a worker loads its codec once, and keeps what reads files for it. Does not know: processes, Ray, which
shards are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..codec import Codec
from .encoding.encoder import Encoder
from .encoding.open import open_encoder
from .plan import Shard
from .progress import OnProgress
from .settings import Settings
from .shard import ShardSummary, write_shard


class Work(NamedTuple):
    """What is the same for all shards of a run. ``devices`` are shared out to the workers, in turn."""

    folder: Path
    settings: Settings
    threads: int
    devices: tuple[str, ...] = ()  #: where the engines compute; none: on the CPU
    readers: int | None = None  #: processes of each worker that read ahead, if its engine encodes many files at once

    def for_worker(self, number: int) -> Work:
        """The work of one of several workers, from 0: it has at most one device."""
        return self._replace(devices=self.devices[number % len(self.devices) :][:1] if self.devices else ())

    def opened(self) -> Writer:
        """What writes shards. Raises as `Settings.load`."""
        codec = _codec(self.settings, *((None, self.devices[0]) if self.devices else (self.threads, None)))
        return Writer(self, open_encoder(codec, self.settings.n_quantizers, self.settings.tail, self.readers))


class Writer:
    """Writes one shard after another, with one codec. A context manager that ends the processes that read files."""

    def __init__(self, work: Work, encoder: Encoder) -> None:
        self._work, self._encoder = work, encoder

    def write(self, shard: Shard, on_progress: OnProgress) -> ShardSummary:
        """Write one shard. Raises as `write_shard`."""
        work = self._work
        return write_shard(work.folder, shard, self._encoder, work.settings, on_progress)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.close()


@lru_cache(maxsize=1)
def _codec(settings: Settings, threads: int | None, device: str | None) -> Codec:
    return settings.load(threads, device)


def largest_first(shards: Sequence[Shard]) -> list[Shard]:
    """The order in which shards are given to workers: then no worker ends long after the others."""
    return sorted(shards, key=lambda shard: (-shard.size, shard.number))
