"""Shards written by processes on this machine. By default each has one engine thread, so that no step is shared.

Knows: how workers start and stop, and that they never outlive the process that started them. Does not know: what is in
a shard, or which shards are wanted.
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
from typing import Any

from ..errors import CorpusError
from ..system.interrupts import DeferredInterrupts
from .plan import Shard
from .progress import OnProgress, Progress
from .shard import ShardSummary
from .workers import Work, largest_first

#: Seconds between two reports of the workers' progress.
_REPORT_EVERY = 0.25


def run_here(work: Work, shards: Sequence[Shard], on_progress: OnProgress) -> Generator[ShardSummary]:
    """Write shards in this process, one after the other."""
    for shard in shards:
        yield work.write(shard, on_progress)


def run_in_processes(
    work: Work, shards: Sequence[Shard], workers: int, on_progress: OnProgress
) -> Generator[ShardSummary]:
    """Write shards in ``workers`` processes, the largest first. A summary comes as soon as its shard is written.

    Closing the iterator stops the workers within a block of audio.

    Raises:
        CorpusError: a worker died, or what `write_shard` raises.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks in a broken state
    totals = context.Array("d", 1 + 2 * workers, lock=False)
    started = context.Value("i", 0)
    reported = Progress(0.0, 0.0)
    with DeferredInterrupts() as interrupts:  # an interrupt in `wait` or `submit` would leave a lock taken for ever
        executor = ProcessPoolExecutor(workers, context, _start, (totals, started))
        try:
            waiting: set[Future[ShardSummary]] = {
                executor.submit(_write, work, shard) for shard in largest_first(shards)
            }
            while waiting:
                ended, waiting = wait(waiting, _REPORT_EVERY, FIRST_COMPLETED)
                interrupts.check()
                now = Progress(sum(totals[1::2]), sum(totals[2::2]))
                on_progress(Progress(now.size - reported.size, now.seconds - reported.seconds))
                reported = now
                for future in ended:
                    yield future.result()
        except BrokenProcessPool:
            raise CorpusError(
                "a worker process died (was it killed, or did memory run out?); run the same command again, with fewer "
                "--workers if memory is short: it goes on where it stopped"
            ) from None
        finally:
            totals[0] = 1.0
            executor.shutdown(wait=True, cancel_futures=True)


class _Stopped(BaseException):
    """The run was stopped: give up the shard, and leave nothing of it."""


_on_progress: OnProgress | None = None  # in a worker: adds to its own two numbers of the shared array


def _start(totals: Any, started: Any) -> None:
    """In a new worker: take a pair of numbers, leave interrupts to the parent, and exit when the parent does.

    Args:
        totals: shared by all processes. The first number says stop when it is not 0. Then come two for each worker: the
            bytes and the seconds that it has done so far.
        started: how many workers have taken their pair.
    """
    global _on_progress
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with started.get_lock():
        at, started.value = 1 + 2 * started.value, started.value + 1

    def on_progress(progress: Progress) -> None:
        if totals[0]:
            raise _Stopped
        totals[at] += progress.size
        totals[at + 1] += progress.seconds

    _on_progress = on_progress
    parent = multiprocessing.parent_process()
    assert parent is not None

    def exit_with_the_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=exit_with_the_parent, daemon=True).start()


def _write(work: Work, shard: Shard) -> ShardSummary:
    assert _on_progress is not None
    try:
        return work.write(shard, _on_progress)
    except _Stopped:
        raise CorpusError("stopped") from None
