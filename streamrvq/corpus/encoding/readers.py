"""Files read ahead by processes: each opens, decodes and resamples one file after another, as long as there is room.

Samples go through memory that the two processes share, one ring for each reader. Short messages say where they lie, and
give the room back. The memory has no name, and a reader ends with the process that started it, however that ends: so
nothing is left behind.

Knows: how readers start, answer and end. Does not know: what is read (reading.py), who wants it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from ...audio.pcm import Pcm
from ...errors import CorpusError
from ...system.children import end_children, exit_with_the_parent, start_children
from ...system.interrupts import DeferredInterrupts
from ..raised import named, raised
from .reading import FAULTS, Block, Done, Event, Failed, Task, read_source

#: Blocks of the usual size that a reader may be ahead.
BLOCKS_AHEAD = 2
#: Files that a reader is told of before it is done with them, and the bytes of their names. A pipe holds so much, so
#: that neither process ever waits for the other to read its messages.
_FILES_AHEAD, _NAMES_AHEAD = 8, 16 << 10


class _Samples(NamedTuple):
    """A `Block` whose samples lie in the ring."""

    start: int
    samples: int
    room: int  #: that they take, with what was skipped before them
    position: int


class _Broken(NamedTuple):
    """What a reader raised that no file is to blame for."""

    name: str
    text: str


class _Reader:
    """One process, as the process sees it that started it."""

    def __init__(self, rate: int, block: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads and locks in a broken state
        memory: Any = context.RawArray("f", BLOCKS_AHEAD * block)
        self.ring = np.frombuffer(memory, np.float32)
        self.pipe, self._theirs = context.Pipe()
        arguments = (self._theirs, memory, rate, block)
        self.process = context.Process(target=_serve, args=arguments, name="streamrvq-reader", daemon=True)
        self.tasks: deque[tuple[int, int]] = deque()  # numbers of the files, and the bytes of their names

    def start(self) -> None:
        with DeferredInterrupts():  # a process that is started by half complains of it
            start_children([self.process])
        self._theirs.close()  # now its end closes when it dies

    @property
    def free(self) -> bool:
        names = sum(size for _, size in self.tasks)
        return not self.tasks or (len(self.tasks) < _FILES_AHEAD and names < _NAMES_AHEAD)

    def begin(self, number: int, task: Task) -> None:
        self.tasks.append((number, 4 * len(task.file)))
        self._send(task)

    def receive(self) -> tuple[int, Event, int]:
        """The next event of its first file: the file's number, the event, and the room to give back after it.

        Raises:
            CorpusError: it died.
            Exception: what it raised that no file is to blame for.
        """
        number, room = self.tasks[0][0], 0
        try:
            event = self.pipe.recv()
        except (EOFError, OSError):
            raise _died() from None
        if isinstance(event, _Broken):
            raise raised(event.name, event.text)
        if isinstance(event, _Samples):
            room, event = event.room, Block(self.ring[event.start : event.start + event.samples], event.position)
        if isinstance(event, (Done, Failed)):
            self.tasks.popleft()
        return number, event, room

    def give_back(self, room: int) -> None:
        if room:
            self._send(room)

    def _send(self, message: Task | int) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            raise _died() from None


def _died() -> CorpusError:
    return CorpusError(
        "a process that reads audio files died (was it killed, or did memory run out?); run the same command again, "
        "with fewer --readers if memory is short"
    )


class Readers:
    """`Reading` by processes. They are started when there are files for them, and stay for the next ones.

    Args:
        most: processes.
        rate: the codec's, Hz.
        block: samples to read at a time.
    """

    def __init__(self, most: int, rate: int, block: int) -> None:
        self._most, self._rate, self._block = most, rate, block
        self._readers: list[_Reader] = []

    @property
    def free(self) -> bool:
        return len(self._readers) < self._most or any(reader.free for reader in self._readers)

    def begin(self, number: int, task: Task) -> None:
        reader = min((reader for reader in self._readers if reader.free), key=lambda reader: len(reader.tasks),
                     default=None)  # fmt: skip
        if reader is None or (reader.tasks and len(self._readers) < self._most):
            reader = _Reader(self._rate, self._block)
            self._readers.append(reader)
            reader.start()
        reader.begin(number, task)

    def events(self, wanted: Callable[[int], bool], within: float) -> Iterator[tuple[int, Event]]:
        by_pipe = {reader.pipe: reader for reader in self._readers if reader.tasks and wanted(reader.tasks[0][0])}
        if not by_pipe:
            return  # what is begun waits for a file before it in its reader, and that one for a step
        for pipe in multiprocessing.connection.wait(list(by_pipe), within):
            reader = by_pipe[pipe]  # type: ignore[index]
            while reader.tasks and wanted(reader.tasks[0][0]) and reader.pipe.poll():
                number, event, room = reader.receive()
                yield number, event
                reader.give_back(room)

    def close(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.pipe.close()  # it ends when it has noticed
        end_children([reader.process for reader in readers])


# ----------------------------------------------------------------------------------------------- in a reader's process


class _Gone(BaseException):
    """The process that wanted the samples is gone, or wants no more."""


class _ReaderEnd:
    """A reader's end of the pipe, and its ring."""

    def __init__(self, pipe: Connection, memory: Any) -> None:
        self._pipe, self._ring = pipe, np.frombuffer(memory, np.float32)
        self._at, self._room = 0, len(self._ring)  # where the next samples go, and how many are free from there on
        self._tasks: deque[Task] = deque()

    def next_task(self) -> Task:
        while not self._tasks:
            self._receive()
        return self._tasks.popleft()

    def put(self, event: Event) -> None:
        """Give an event, samples in as many parts as the ring asks for."""
        if not isinstance(event, Block):
            self.send(event)
            return
        most = len(self._ring) // BLOCKS_AHEAD
        for start in range(0, max(1, len(event.pcm)), most):
            self._put_samples(event.pcm[start : start + most], event.position)

    def _put_samples(self, pcm: Pcm, position: int) -> None:
        start = self._at if self._at + len(pcm) <= len(self._ring) else 0  # a part lies in one piece
        room = len(pcm) + (len(self._ring) - self._at if start != self._at else 0)
        while self._pipe_poll() or self._room < room:
            self._receive()
        self._ring[start : start + len(pcm)] = pcm
        self._at, self._room = start + len(pcm), self._room - room
        self.send(_Samples(start, len(pcm), room, position))

    def _pipe_poll(self) -> bool:
        try:
            return self._pipe.poll()
        except OSError:
            raise _Gone from None

    def _receive(self) -> None:
        try:
            message: Task | int = self._pipe.recv()
        except (EOFError, OSError):
            raise _Gone from None
        if isinstance(message, int):
            self._room += message
        else:
            self._tasks.append(message)

    def send(self, message: Event | _Samples | _Broken) -> None:
        try:
            self._pipe.send(message)
        except OSError:
            raise _Gone from None


def _serve(pipe: Connection, memory: Any, rate: int, block: int) -> None:
    """In a new reader: read files until nobody wants them."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal or a service manager sends them to all processes
        signal.signal(number, signal.SIG_IGN)
    exit_with_the_parent()
    end = _ReaderEnd(pipe, memory)
    try:
        while True:
            task = end.next_task()
            try:
                for event in read_source(task, rate, block):
                    end.put(event)
            except FAULTS as error:
                end.send(Failed(error))
    except _Gone:
        pass
    except Exception as error:
        traceback.print_exc()
        end.send(_Broken(*named(error)))
