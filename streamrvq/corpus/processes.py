"""Worker processes: each writes one shard after another, and none outlives the process that started it.

A worker asks for its next shard when it could begin a file of it: an engine that encodes many files at once may do so
before the shard is written that it has.

Between the two processes go only short messages, which a pipe takes whole: so the parent never waits for a worker that
was stopped while it wrote one. A shard's sources may be many, so a thread sends them. What the shard holds, the parent
reads in the shard itself.

Knows: how workers start, answer and end. Does not know: what is in a shard, or which shards are wanted.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ..errors import CorpusError, StreamRVQError
from ..system.children import end_children, exit_with_the_parent, start_children
from .plan import Shard
from .progress import OnProgress, Progress
from .raised import named, raised
from .workers import Work

#: Seconds in which a worker must stop that was asked to. It looks up after each block of audio.
STOP_WITHIN = 5.0
#: Seconds between two looks at whether to wait on.
_LOOK_EVERY = 0.1

#: Seconds after which a thread makes way for another, where a step's thread waits for a GPU. The usual 5 ms are longer
#: than some steps.
_SWITCH = 5e-4

_ASKS, _WRITTEN, _STOPPED, _FAILED = "asks", "written", "stopped", "failed"

_log = logging.getLogger(__name__)


class Worker:
    """One process, and the shards that it has: the first is being written."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.shards = deque[Shard]()
        self.asks = False


class Workers:
    """Some worker processes.

    Args:
        work: what they do.
        count: how many.
    """

    def __init__(self, work: Work, count: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks in a broken state
        # Says stop, when it is not 0; then, for each worker, the bytes and the seconds that it has done so far.
        self._totals: Any = context.RawArray("d", 1 + 2 * count)
        self._workers: list[Worker] = []
        self._theirs: list[Connection] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            arguments = (work.for_worker(number), theirs, self._totals, 1 + 2 * number)
            process = context.Process(target=_serve, args=arguments)
            self._workers.append(Worker(process, ours))
            self._theirs.append(theirs)

    def start(self) -> None:
        """Start the processes."""
        start_children(worker.process for worker in self._workers)
        for pipe in self._theirs:  # now a worker's end closes when it dies
            pipe.close()

    @property
    def done(self) -> Progress:
        """What all of them have done so far."""
        return Progress(sum(self._totals[1::2]), sum(self._totals[2::2]))

    def share_out(self, left: deque[Shard]) -> None:
        """Give the first of the shards that are left to the workers that ask for one, and may have one more.

        A worker gets one before it needs it, unless others have none yet; and more only while all can have as many.
        """
        for worker in sorted(self._workers, key=lambda worker: len(worker.shards)):
            without = sum(not other.shards for other in self._workers)  # some may not have started yet
            ahead = len(left) > without and len(worker.shards) < max(2, len(left) // len(self._workers))
            if left and worker.asks and (ahead or not worker.shards):
                self._give(worker, left.popleft())

    def _give(self, worker: Worker, shard: Shard) -> None:
        """Have a worker that asks for a shard write one."""
        worker.asks = False
        worker.shards.append(shard)
        threading.Thread(target=_send, args=(worker.pipe, shard), name="streamrvq-shard", daemon=True).start()

    def answers(self, within: float) -> Iterator[Shard | None]:
        """Wait for answers, at most ``within`` s: shards that were written, and None for each worker that asks for one.

        Raises:
            CorpusError: a worker died.
            StreamRVQError: what a worker's shard raised.
        """
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in multiprocessing.connection.wait(list(by_pipe), within):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                kind, name, text = worker.pipe.recv()
            except (EOFError, OSError):
                raise CorpusError(
                    "a worker process died (was it killed, or did memory run out?); run the same command again, with "
                    "fewer --workers if memory is short: it goes on where it stopped"
                ) from None
            if kind == _FAILED:
                raise raised(name, text)
            worker.asks |= kind == _ASKS
            yield worker.shards.popleft() if kind == _WRITTEN else None

    def end(self, at_once: Callable[[], bool]) -> None:
        """End all workers. Those that are writing leave nothing of their shards, if they answer.

        Args:
            at_once: asked again and again: whether not to wait for answers any longer.
        """
        self._totals[0] = 1.0
        until = time.monotonic() + STOP_WITHIN
        asked = [worker for worker in self._workers if worker.shards]
        while asked and not at_once():
            late = time.monotonic() >= until  # a last look, in which all that has come by now is read
            answered = multiprocessing.connection.wait([worker.pipe for worker in asked], 0 if late else _LOOK_EVERY)
            asked = [worker for worker in asked if worker.pipe not in answered or not _stopped(worker.pipe)]
            if late and not answered:
                break
        for worker in [] if at_once() else asked:
            _log.warning(
                "streamrvq: the worker process %s, at %s, did not stop within %g s and is killed; its shard is "
                "written when the run goes on", worker.process.pid, worker.shards[0].name, STOP_WITHIN,
            )  # fmt: skip
        killed = end_children([worker.process for worker in self._workers])
        for worker in self._workers:
            if worker.process in killed and worker not in asked and not at_once():
                _log.warning(
                    "streamrvq: the worker process %s did not end by itself and was killed", worker.process.pid
                )
            worker.pipe.close()


def _stopped(pipe: Connection) -> bool:
    """Whether a worker has answered that it has stopped, or has ended, rather than that it asks or has written."""
    try:
        return pipe.recv()[0] in (_STOPPED, _FAILED)
    except (EOFError, OSError):
        return True


def _send(pipe: Connection, shard: Shard) -> None:
    with suppress(OSError, ValueError):  # the worker died, which its parent sees; or the pipe was closed since
        pipe.send(shard)


class _Stopped(BaseException):
    """The run was stopped: give up what was begun, and leave nothing of it."""


def _serve(work: Work, pipe: Connection, totals: Any, at: int) -> None:
    """In a new worker: write shards until the parent ends it. ``at``: the place of its two totals."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    exit_with_the_parent()
    if work.devices:
        sys.setswitchinterval(_SWITCH)

    def on_progress(progress: Progress) -> None:
        if totals[0]:
            raise _Stopped
        totals[at] += progress.size
        totals[at + 1] += progress.seconds

    try:
        with work.opened() as writer:
            given = _Given(pipe, on_progress)
            for _ in writer.write(given.shards(), on_progress):
                given.written()
    except _Stopped:
        _answer(pipe, _STOPPED)
    except Exception as error:
        if not isinstance(error, (StreamRVQError, MemoryError)):
            traceback.print_exc()
        _answer(pipe, _FAILED, *named(error))


class _Given:
    """The shards that this worker is given. ``on_progress`` is called while it waits for one, and may raise."""

    def __init__(self, pipe: Connection, on_progress: OnProgress) -> None:
        self._pipe, self._on_progress, self._unwritten = pipe, on_progress, 0

    def shards(self) -> Iterator[Shard | None]:
        """Ask for each shard, and wait for it if no other is left to write; None: it has not come. It ends with the
        parent."""
        while True:
            _answer(self._pipe, _ASKS)
            try:
                while not self._pipe.poll(0 if self._unwritten else _LOOK_EVERY):
                    if self._unwritten:
                        yield None
                    else:
                        self._on_progress(Progress(0.0, 0.0))
                shard: Shard = self._pipe.recv()
            except (EOFError, OSError):
                return
            self._unwritten += 1
            yield shard

    def written(self) -> None:
        """The first of them is written."""
        self._unwritten -= 1
        _answer(self._pipe, _WRITTEN)


def _answer(pipe: Connection, kind: str, name: str = "", text: str = "") -> None:
    with suppress(OSError):  # the parent is gone
        pipe.send((kind, name, text))
