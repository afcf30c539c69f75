"""Sources to held rows: however many are encoded at once, each is handed on whole, or as failed, in order.

Knows: progress of each source, rows that wait for those of the sources before. Does not know: shards as files, which
sources are encoded at once (encoding/).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from ..errors import CorpusError
from ..system.names import as_text
from .encoding.encoder import Coded, Encoder, Item, Read, Waited
from .encoding.reading import Closed, Done, Failed, Opened, Task, of_a_handler
from .held_rows import HeldRows
from .progress import FileProgress, OnProgress, Progress
from .rows import Row, Segments
from .settings import Settings
from .sources import Source


class Encoded(NamedTuple):
    """A source that is done."""

    source: Source
    held: HeldRows  #: its rows, until the next one is asked for
    error: Exception | None  #: why it has none


class _Source:
    """A source that is encoded, or waits until those before it are done."""

    def __init__(self, source: Source, settings: Settings, folder: Path, on_progress: OnProgress) -> None:
        self.source, self._settings, self._folder = source, settings, folder
        self._progress = FileProgress(source.size, on_progress)
        with writing_to(folder):
            self.held = HeldRows(folder)
        self.error: Exception | None = None
        self.over = False
        self._segments: Segments | None = None
        self._rate, self._whole, self._position = 1, 1.0, 0

    def take(self, item: Item) -> None:
        """Take the next of its items."""
        match item:
            case Opened(channel, rate, signals, samples):
                self._segments = Segments(self._settings, as_text(self.source.path), channel, rate)
                self._rate, self._whole, self._position = rate, max(1, samples) / rate * signals, 0
            case Coded(codes, position):
                assert self._segments is not None
                self._hold(self._segments.add(codes, position))
            case Read(position):
                seconds, self._position = (position - self._position) / self._rate, position
                self._progress.add(seconds / self._whole, seconds)
            case Closed(position):
                assert self._segments is not None
                self._hold([self._segments.end(position)])
            case Failed(error):
                self.fail(error)
            case Done():
                self._end()

    def fail(self, error: Exception) -> None:
        """It cannot be encoded: none of its rows is wanted."""
        self.error = error
        self.held.close()
        self._end()

    def _end(self) -> None:
        self._progress.finish()
        self.over = True

    def _hold(self, rows: Iterable[Row]) -> None:
        for row in rows:
            with writing_to(self._folder):
                self.held.add(row)


def encode_sources(
    encoder: Encoder, sources: Iterable[Source | None], settings: Settings, folder: Path, on_progress: OnProgress
) -> Generator[Encoded]:
    """Encode sources. Each comes with its rows, or with the reason why it cannot be encoded, in the order given.

    Args:
        encoder: what encodes.
        sources: the sources. Each is asked for when it can be begun. None: there is none yet; it may be given only
            while not all of those before are handed on.
        settings: of the run.
        folder: for temporary files.
        on_progress: called with each report. What it raises ends the iterator.

    Raises:
        CorpusError: a failed write, which ends the run, unlike a failed read; or a process that reads files died.
    """
    begun: dict[int, _Source] = {}

    def tasks() -> Iterator[tuple[int, Task] | None]:
        numbers = count()
        for source in sources:
            if source is None:
                yield None
                continue
            begun[number := next(numbers)] = _Source(source, settings, folder, on_progress)
            yield number, Task(source.file, settings.channels, settings.truncated, settings.track)

    items = encoder.run(tasks())
    following = 0
    try:
        for number, item in items:
            if isinstance(item, Waited):
                on_progress(Progress(0.0, 0.0))  # which may stop the run
                continue
            begun[number].take(item)
            while following in begun and begun[following].over:
                yield from _handed_on(begun.pop(following))
                following += 1
    finally:
        items.close()
        for source in begun.values():
            source.held.close()


def _handed_on(done: _Source) -> Iterator[Encoded]:
    with done.held as held:
        yield Encoded(done.source, held, done.error)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """What the system refuses inside becomes a `CorpusError`."""
    try:
        yield
    except OSError as error:
        if of_a_handler(error):
            raise
        raise unwritable(folder, error) from None


def unwritable(path: Path, error: OSError) -> CorpusError:
    """For what cannot be written, with a remedy."""
    return CorpusError(
        f"cannot write {path} ({error.strerror or error}); make room or give a folder that may be written to, and run "
        "the same command again: it goes on where it stopped"
    )
