"""Many files, one engine: the streams of several files move together, in steps of the size that suits the engine.

A file's codes depend on no other file, so they are those of `Codec.encode` however steps are put together. An engine
whose steps are full with 32 hops of one stream gets one file at a time. One that is made for
2048 gets up to 64 files, or long steps of a long one.

Knows: which streams are stepped by how many hops, and how much is read ahead. Does not know: how files are read
(reading.py, readers.py), rows, shards, token files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...codec import Codec
from ...engine.base import Engine
from ...streaming.batches import StreamId
from ...streaming.pool import StreamPool
from .reading import Block, Closed, Done, Event, Failed, Opened, Reading, Task
from .underway import Underway

#: Hops in a step with which a stream's share of it costs little more than in a longer one.
ROW = 32
#: Samples that are read at a time: whole engine steps at the usual hops, and not more than 4 MiB.
_BLOCK, _LARGEST_BLOCK = 1 << 16, 1 << 20
#: Steps of the liked size that the samples read ahead may fill.
_STEPS_AHEAD = 4
_LEAST_AHEAD = 64  #: hops read ahead at least: more than a codec looks ahead
#: How many files may be begun beyond the oldest one that is not done. Whoever wants them in order keeps their codes.
_FILES_AHEAD = 256
#: Seconds to wait for samples, before a step is made with what there is.
_WAIT = 0.1
_MOMENT = 0.001  #: the same while a step is under way, which may end at any time


class Coded(NamedTuple):
    """The next codes of the signal that was opened last."""

    codes: npt.NDArray[np.uint16]  #: ``[K, n]``
    position: int  #: samples of the signal read so far, at its own rate


class Read(NamedTuple):
    """How far the reading of the signal is that was opened last."""

    position: int  #: samples, at its own rate


class Waited(NamedTuple):
    """Nothing came of any file for a while: for whoever wants to look up from time to time."""


Item = Opened | Coded | Read | Closed | Done | Failed | Waited


def streams_at_once(engine: Engine) -> int:
    """Streams in one step that suit an engine."""
    return max(1, engine.row_hops // ROW)


def block_for(engine: Engine) -> int:
    """Samples to read at a time for an engine."""
    return min(max(_BLOCK, engine.row_hops * engine.config.hop_length), _LARGEST_BLOCK)


def step_of(ready: Iterable[int], row_hops: int, streams: int) -> tuple[int, int]:
    """The rows and hops of the largest step that can be made, at most ``row_hops`` in all; 0 and 0: there is none.

    Where there may be several streams, rows are a power of two, and hops are all that so many rows may have, or a power
    of two: an engine may have to prepare for each size of step.

    Args:
        ready: hops that each stream has.
        row_hops: rows × hops at most.
        streams: how many there may be.
    """
    hops = sorted((hops for hops in ready if hops > 0), reverse=True)
    if not hops:
        return 0, 0
    if streams == 1:
        return 1, min(hops[0], row_hops)
    best = 0, 0
    for rows in _powers_of_two(min(len(hops), row_hops)):
        most = row_hops // rows
        long = most if hops[rows - 1] >= most else _powers_of_two(hops[rows - 1])[-1]
        if rows * long > best[0] * best[1]:
            best = rows, long
    return best


def _powers_of_two(most: int) -> list[int]:
    return [1 << bit for bit in range(most.bit_length())]


@dataclasses.dataclass
class _File:
    """A file that was begun."""

    stream: StreamId | None = None  # of its present signal
    position: int = 0  # samples of the signal read
    ended: bool = False  # the signal's codes are not all there yet
    reported: int = 0  # the position that was reported
    after: Event | None = None  # what came after the signal, to be taken when it has its codes


class Encoder:
    """Encodes files, as many at once as suit its engine. A context manager that ends the reading.

    Args:
        codec: what encodes.
        reading: what reads, at the codec's rate.
        levels, tail: as for `Codec.encode`.
    """

    def __init__(self, codec: Codec, reading: Reading, levels: int | None = None, tail: str = "pad") -> None:
        self.codec, self._reading, self._settings = codec, reading, (levels, tail)
        self._most, self._streams = codec.engine.row_hops, streams_at_once(codec.engine)
        self._pool: StreamPool | None = None
        self._files: dict[int, _File] = {}  # those that were begun, by number
        self._numbers: dict[StreamId, int] = {}
        self._held = 0  # samples in the pool
        self._underway = Underway(self._streams > 1)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the reading, and forget the files that were begun."""
        self._underway.close()
        self._pool = None
        self._files.clear()
        self._numbers.clear()
        self._held = 0
        self._reading.close()

    def run(self, tasks: Iterable[tuple[int, Task] | None]) -> Generator[tuple[int, Item]]:
        """Encode files.

        Args:
            tasks: the files, with numbers that grow. Whoever gets their items knows them by these. A task is asked for
                when it can be begun; None says that there is none yet, as long as others are not done.

        Returns:
            The items of all files with their numbers, those of a file in their order: for each signal `Opened`, then
            `Coded` and `Read`, then `Closed`; at last `Done`, or at any place `Failed`. `Waited` has the number −1.

        Raises:
            CorpusError: a process that reads files died.
            EngineError, MemoryError: of the engine.

        Whatever is raised, and if the iterator is closed early, the files that were begun are given up.
        """
        whole = False
        try:
            yield from self._items(iter(tasks))
            whole = True
        finally:
            if not whole:
                self.close()

    def _items(self, tasks: Iterator[tuple[int, Task] | None]) -> Iterator[tuple[int, Item]]:
        if self._pool is None:
            self._pool = self.codec.pool(self._streams, "encode", self._most)
        pool, files, underway, begin = self._pool, self._files, self._underway, self._beginning(tasks)
        waited = False
        while next(begin, False) or files:
            if underway.batch is None:
                self._begin_step(pool, waited)
                waited = False
            if underway.batch is not None and (underway.is_over or not self._wants_more(pool)):
                items = list(self._end_step(pool))
                if self._streams > 1:  # a GPU computes the next step while these are written
                    self._begin_step(pool, False)
                yield from items
                continue
            idle = underway.batch is None
            if idle:
                yield from self._reports()
            items, came = [], False
            for number, event in self._reading.events(self._wanted, _WAIT if idle else _MOMENT):
                items += self._take(pool, number, event)
                came = True
            yield from items
            if idle and not came:
                yield -1, Waited()
                waited = True

    def _beginning(self, tasks: Iterator[tuple[int, Task] | None]) -> Iterator[bool]:
        """Begin the files that can be begun, whenever it is asked. It ends with the tasks."""
        for task in tasks:
            if task is None:
                yield True
                continue
            while task[0] >= min(self._files, default=task[0]) + _FILES_AHEAD:
                yield True
            self._files[task[0]] = _File()
            self._reading.begin(*task)
            while not self._reading.free:
                yield True

    def _wanted(self, number: int) -> bool:
        """Whether a file's next event can be taken.

        Of a signal that was closed the last hops may wait long for a step that is as short. What reads the file is to
        go on meanwhile: so one further event is taken, which is the file's end if it has one signal.
        """
        file, pool = self._files[number], self._pool
        assert pool is not None
        room = self._held < max(_STEPS_AHEAD * self._most, _LEAST_AHEAD) * pool.unit
        if file.ended:
            return room and file.after is None and self._streams > 1
        return room and (file.stream is not None or pool.open_streams < self._streams)

    def _reports(self) -> Iterator[tuple[int, Item]]:
        for number, file in self._files.items():
            yield from self._report(number, file)

    def _report(self, number: int, file: _File) -> Iterator[tuple[int, Item]]:
        if file.stream is not None and file.position > file.reported:
            file.reported = file.position
            yield number, Read(file.position)

    def _take(self, pool: StreamPool, number: int, event: Event) -> Iterator[tuple[int, Item]]:
        """Take what was read of a file."""
        file = self._files[number]
        if file.ended:
            file.after = event
            return
        match event:
            case Opened():
                levels, tail = self._settings
                file.stream, file.position, file.reported = pool.open(levels, tail), 0, 0
                self._numbers[file.stream] = number
                yield number, event
            case Block(pcm, position):
                assert file.stream is not None
                pool.feed_checked(file.stream, pcm)
                self._held += len(pcm)
                file.position = position
            case Closed(position):
                assert file.stream is not None
                pool.close(file.stream)
                file.position, file.ended = position, True
            case Failed() | Done():
                if file.stream is not None:
                    self._held -= pool.waiting(file.stream)
                    pool.drop(file.stream)
                    del self._numbers[file.stream]
                del self._files[number]
                yield number, event

    def _begin_step(self, pool: StreamPool, at_once: bool) -> None:
        """Begin a step of those that have as many hops, the oldest files first, if it is worth it.

        ``at_once``: even a short one, although more may come.
        """
        ready = {stream: pool.ready(stream) for stream in self._numbers}
        rows, hops = step_of(ready.values(), self._most, self._streams)
        if 2 * rows * hops < self._most and not at_once and any(map(self._wanted, self._files)):
            return
        if rows or any(file.ended for file in self._files.values()):
            batch = pool.next_batch(rows or None, rows * hops or None, self._numbers.__getitem__,
                                    lambda stream: 0 < hops <= ready[stream])  # fmt: skip
            assert batch is not None  # a stream is ready, or has ended
            self._underway.begin(batch)

    def _wants_more(self, pool: StreamPool) -> bool:
        """Whether there is something to do until the step is over: samples for the next one are still to be taken."""
        batch = self._underway.batch
        assert batch is not None
        beyond = self._held - len(batch.slots) * batch.hops * pool.unit
        return beyond < self._most * pool.unit and any(map(self._wanted, self._files))

    def _end_step(self, pool: StreamPool) -> Iterator[tuple[int, Item]]:
        """Hand on what the step under way gave."""
        for output in pool.complete(self._underway.end()):
            number = self._numbers[output.stream]
            file = self._files[number]
            if output.data.shape[1]:
                yield number, Coded(output.data.astype(np.uint16), file.position)
            if output.final:
                yield from self._report(number, file)
                del self._numbers[output.stream]
                after, file.stream, file.ended, file.after = file.after, None, False, None
                yield number, Closed(file.position)
                if after is not None:
                    yield from self._take(pool, number, after)
        self._held = sum(map(pool.waiting, self._numbers))
