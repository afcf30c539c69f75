"""What every worker needs to write a shard, in this process, in another one or on another machine.

Files of the next shards are begun as soon as there is room for them, so that an engine that encodes many files at once
has full steps from one shard to the next. Shards are written one after another all the same.

Knows: that a worker loads its codec once, keeps what reads files for it, and how far it is ahead. Does not know:
processes, Ray, which shards are wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from ..codec import Codec
from .encode_sources import encode_sources
from .encoding.encoder import Encoder
from .encoding.open import open_encoder
from .plan import LARGEST, Shard
from .progress import OnProgress, Reports
from .settings import Settings
from .shard import ShardSummary, write_shard
from .sources import Source


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

    def write(self, shards: Iterable[Shard | None], on_progress: OnProgress) -> Generator[ShardSummary]:
        """Write shards, in their order. A summary comes as soon as its shard is written.

        Args:
            shards: the shards. Each is asked for when its first file can be begun. None: there is none yet; it may be
                given only while not all of those before are written.
            on_progress: called with each report. What it raises ends the iterator.

        Raises:
            CorpusError: a shard cannot be written; nothing is left of it, nor of those that were begun after it.
            BaseException: what ``on_progress`` or the handler of a signal raised; the same is left.
        """
        work, ahead, reports = self._work, _Ahead(shards), Reports(on_progress)
        sources = encode_sources(self._encoder, ahead.sources(), work.settings, work.folder, reports)
        with closing(sources) as encoded:
            while (shard := ahead.next_shard()) is not None:
                summary = write_shard(work.folder, shard, islice(encoded, len(shard.sources)), work.settings, reports)
                yield summary
            next(encoded, None)  # to its end: what was begun and left would end the readers

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.close()


class _Ahead:
    """Shards in their order, which are asked for when their sources are wanted."""

    def __init__(self, shards: Iterable[Shard | None]) -> None:
        self._shards = iter(shards)
        self._to_encode, self._to_write = deque[Shard](), deque[Shard]()

    def next_shard(self) -> Shard | None:
        """The next shard to be written; None: there is no further one."""
        while not self._to_write:
            if not self._came():
                return None
        return self._to_write.popleft()

    def sources(self) -> Iterator[Source | None]:
        """The sources of all shards. None: of those that are to come, none may be begun yet."""
        while True:
            if self._to_encode:
                yield from self._to_encode.popleft().sources
            elif sum(shard.size for shard in self._to_write) >= LARGEST:  # their rows would wait for too long
                yield None
            elif not self._came():
                return
            elif not self._to_encode:
                yield None

    def _came(self) -> bool:
        """Ask for a shard. False: all have come."""
        for shard in self._shards:
            if shard is not None:
                self._to_encode.append(shard)
                self._to_write.append(shard)
            return True
        return False


@lru_cache(maxsize=1)
def _codec(settings: Settings, threads: int | None, device: str | None) -> Codec:
    return settings.load(threads, device)


def largest_first(shards: Sequence[Shard]) -> list[Shard]:
    """The order in which shards are given to workers: then no worker ends long after the others."""
    return sorted(shards, key=lambda shard: (-shard.size, shard.number))
