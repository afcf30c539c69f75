"""A source's signals as samples at the codec's rate, block by block, and what is read of several sources in turn.

Knows: audio files, what to do with channels, rates. Does not know: codes, rows, shards, processes (readers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple, Protocol

from ...audio.files import AudioReader, Truncated, open_audio
from ...audio.pcm import Pcm, as_pcm
from ...audio.rates import check_rate
from ...errors import AudioFileError, InputError, StreamRVQError
from ...resampling import resampler
from ...system.foreign_data import one_line
from ...system.regular_file import is_pipe


class Task(NamedTuple):
    """A file to be read."""

    file: str  #: its path
    channels: str  #: what to do with several channels: ``one``, ``mean`` or ``each``, as in a run's settings
    truncated: Truncated = "refuse"  #: as `open_audio` takes it
    track: int | None = None  #: as `open_audio` takes it
    pipes: bool = False  #: whether it may be a pipe, which is read once


class Opened(NamedTuple):
    """A signal of a file begins."""

    channel: int  #: −1: the file's only one, or the mean of all
    sample_rate: int  #: Hz, of the file
    signals: int  #: of the file, with this one
    samples: int  #: of the signal, at its own rate, according to the file; 0: it does not say


class Block(NamedTuple):
    """The next samples of the signal that was opened last."""

    pcm: Pcm  #: float32 ``[n]`` at the codec's rate, n ≥ 0
    position: int  #: samples of the signal read so far, at its own rate


class Closed(NamedTuple):
    """The end of a signal."""

    position: int  #: its samples, at its own rate


class Done(NamedTuple):
    """The file has no further signal."""


class Failed(NamedTuple):
    """The file cannot be read. What was read of it so far is to be forgotten."""

    error: Exception  #: an `AudioFileError`, `InputError` or `OSError`


Event = Opened | Block | Closed | Done | Failed


class Reading(Protocol):
    """Files that are being read, known by the numbers that their tasks came with. A file's events come in order."""

    @property
    def free(self) -> bool:
        """Whether another task can be begun now."""

    def begin(self, number: int, task: Task) -> None:
        """Begin to read a file."""

    def events(self, wanted: Callable[[int], bool], within: float) -> Iterator[tuple[int, Event]]:
        """Something that was read, by the numbers of the tasks; nothing if none came ``within`` seconds.

        Args:
            wanted: whether a task's next event is wanted now. It is asked before each.
            within: seconds to wait for the first.
        """

    def close(self) -> None:
        """Give up all tasks. Others may be begun afterwards."""


def read_source(task: Task, rate: int, block: int) -> Generator[Event]:
    """All events of a file, save `Failed`: that is raised.

    Args:
        task: the file.
        rate: the codec's, Hz. Signals at other rates are resampled.
        block: samples to read at a time, so that memory does not grow with a file's length.

    Raises:
        AudioFileError, InputError, OSError: the file cannot be opened, is damaged, or holds values that are no samples.
    """
    split, number, signals = task.channels == "each", 0, 1
    if not task.pipes:
        _check_file(task.file)
    while number < signals:
        with open_audio(
            task.file, downmix=task.channels == "mean", channel=number if split else None, truncated=task.truncated,
            track=task.track,
        ) as audio:  # fmt: skip
            signals = audio.channels if split else 1
            yield Opened(number if split else -1, check_rate(audio.sample_rate), signals, audio.frames)
            yield from _blocks(audio, rate, block)
            yield Closed(audio.position)
        number += 1
    yield Done()


def _check_file(path: str) -> None:
    """Refuse a pipe: a run that is resumed, or reads each channel in turn, would find nothing in it any more."""
    if is_pipe(path):
        raise AudioFileError(f"cannot open {one_line(path, 1000)}: it is a pipe, and no file; a run reads files")


def _blocks(audio: AudioReader, rate: int, block: int) -> Iterator[Block]:
    if audio.sample_rate == rate:
        for pcm in audio.blocks(block):
            yield Block(as_pcm(pcm, position=audio.position - len(pcm)), audio.position)
        return
    converter = resampler(audio.sample_rate, rate)
    state = converter.start()
    for pcm in audio.blocks(block):
        moved, state = converter.push(state, as_pcm(pcm, position=state.taken))
        yield Block(moved, audio.position)
    yield Block(converter.finish(state), audio.position)


#: What a file raises that cannot be read.
FAULTS = (AudioFileError, InputError, OSError)


def of_a_handler(error: Exception) -> bool:
    """Whether it is what a signal's handler raises, `TimeoutError` above all. The system's own have a number."""
    of_python = isinstance(error, OSError) and error.errno is None
    return of_python and not isinstance(error, StreamRVQError) and type(error) is not OSError  # which pyarrow raises


class ReadHere:
    """Files read in this process, when their events are asked for: one event of each in turn.

    Args:
        most: files at a time.
        rate: the codec's, Hz.
        block: samples to read at a time.
    """

    def __init__(self, most: int, rate: int, block: int) -> None:
        self._most, self._rate, self._block = most, rate, block
        self._tasks: dict[int, Generator[Event]] = {}

    @property
    def free(self) -> bool:
        return len(self._tasks) < self._most

    def begin(self, number: int, task: Task) -> None:
        self._tasks[number] = read_source(task, self._rate, self._block)

    def events(self, wanted: Callable[[int], bool], within: float) -> Iterator[tuple[int, Event]]:
        for number, events in list(self._tasks.items()):
            if not wanted(number):
                continue
            try:
                event = next(events)
            except FAULTS as error:
                if of_a_handler(error):
                    raise
                event = Failed(error)
            if isinstance(event, (Done, Failed)):
                del self._tasks[number]
            yield number, event

    def close(self) -> None:
        for events in self._tasks.values():
            events.close()
        self._tasks.clear()
