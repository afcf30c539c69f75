"""Shards by processes on this machine, one engine thread each by default: so the cores share no step.

Knows: how workers are started, stopped, and never outlive the process that started them. Does not know: what a shard is
made of, which shards are wanted.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..codec import Codec
from ..errors import CorpusError
from .plan import Shard
from .settings import Settings
from .shard import ShardSummary, Told, write_shard

#: Seconds between two looks at how far the workers are.
_LOOK = 0.25


class Work(NamedTuple):
    """What every worker needs to know."""

    folder: Path
    settings: Settings
    digest: str
    threads: int


@lru_cache(maxsize=1)
def loaded(settings: Settings, threads: int) -> Codec:
    """A worker's codec, loaded once."""
    return settings.load(threads)


def run_here(work: Work, shards: Sequence[Shard], told: Told) -> Generator[ShardSummary]:
    """Write shards in this process, one after the other."""
    for shard in shards:
        yield write_shard(work.folder, shard, work.digest, loaded(work.settings, work.threads), work.settings, told)


def run_in_processes(work: Work, shards: Sequence[Shard], workers: int, told: Told) -> Generator[ShardSummary]:
    """Write shards in ``workers`` processes, the largest first; summaries come in the order of their ends.

    Closing the iterator stops the workers within a block of audio.

    Raises:
        CorpusError: a worker died, or what `write_shard` raises.
    """
    context = multiprocessing.get_context("spawn")  # a fork would take threads and locks along half
    board = context.Array("d", 1 + 2 * workers, lock=False)
    places = context.Value("i", 0)
    seen = (0.0, 0.0)
    executor = ProcessPoolExecutor(workers, context, _start, (board, places))
    try:
        ordered = sorted(shards, key=lambda shard: (-shard.size, shard.number))
        waiting: set[Future[ShardSummary]] = {executor.submit(_write, work, shard) for shard in ordered}
        while waiting:
            ended, waiting = wait(waiting, _LOOK, FIRST_COMPLETED)
            now = sum(board[1::2]), sum(board[2::2])
            told(now[0] - seen[0], now[1] - seen[1])
            seen = now
            for future in ended:
                yield future.result()
    except BrokenProcessPool:
        raise CorpusError(
            "a worker process died (was it killed, or did memory run out?); run the same command again, with fewer "
            "--workers if memory is short: it goes on where it stopped"
        ) from None
    finally:
        board[0] = 1.0
        executor.shutdown(wait=True, cancel_futures=True)


class _Stopped(BaseException):
    """The run was stopped: leave the shard, and nothing of it."""


_place: _Place | None = None  # this worker's


class _Place:
    """A worker's numbers on the board that all share: bytes and seconds done so far. The first number says stop."""

    def __init__(self, board: Any, index: int) -> None:
        self._board, self._at = board, 1 + 2 * index

    def told(self, count: float, seconds: float) -> None:
        if self._board[0]:
            raise _Stopped
        self._board[self._at] += count
        self._board[self._at + 1] += seconds


def _start(board: Any, places: Any) -> None:
    """In a new worker: take a place, leave interrupts to the parent, and end when it does."""
    global _place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with places.get_lock():
        _place, places.value = _Place(board, places.value), places.value + 1
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _write(work: Work, shard: Shard) -> ShardSummary:
    assert _place is not None
    codec = loaded(work.settings, work.threads)
    try:
        return write_shard(work.folder, shard, work.digest, codec, work.settings, _place.told)
    except _Stopped:
        raise CorpusError("stopped") from None
