"""Progress bars that count seconds of audio. Knows: rich. On stderr, and only if a person looks at it."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from .common import complain


class _Speed(TextColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} s of audio a second" if task.speed else "")


class AudioProgress:
    """A bar for one file after another.

    Args:
        files: how many there will be.
        show: False, or a stderr that is no terminal, shows nothing; `speed` is kept all the same.
    """

    def __init__(self, files: int, show: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[number]}/{task.fields[files]} {task.description}", markup=False),
            BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} s"), _Speed(""), TimeRemainingColumn(),
            console=console, transient=True, disable=not (show and console.is_terminal),
        )  # fmt: skip
        self._files, self._number, self._seconds = files, 0, 0.0
        self._task: TaskID | None = None
        self._started = time.perf_counter()

    def __enter__(self) -> AudioProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, name: str, seconds: float) -> None:
        """The next file, and how long it is."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._number += 1
        self._task = self._bar.add_task(name, total=seconds, number=self._number, files=self._files)

    def advance(self, seconds: float) -> None:
        """So much more of it is done."""
        self._seconds += seconds
        if self._task is not None:
            self._bar.advance(self._task, seconds)

    def print_error(self, error: object) -> None:
        """Print why a file failed, above the bar."""
        complain(error)

    @property
    def speed(self) -> float:
        """Seconds of audio a second since the start."""
        return self._seconds / max(1e-9, time.perf_counter() - self._started)


class BytesProgress:
    """A bar for many files at once. How long they are is not known before they are read, so it is counted in bytes of
    them, from which the estimate comes, and the speed in seconds of audio beside it.

    Args:
        show: see `AudioProgress`.
    """

    def __init__(self, show: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(), DownloadColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn(),
            console=console, transient=True, disable=not (show and console.is_terminal),
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)
        self._seconds, self._started = 0.0, time.perf_counter()

    def __enter__(self) -> BytesProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, size: int, done: int) -> None:
        """How many bytes there are, and how many were done before."""
        self._bar.reset(self._task, total=size, completed=done)
        self._started = time.perf_counter()

    def advance(self, size: float, seconds: float) -> None:
        """So many more bytes, and seconds of audio, are done."""
        self._seconds += seconds
        speed = self._seconds / max(1e-9, time.perf_counter() - self._started)
        self._bar.update(self._task, advance=size, description=f"{speed:.1f} s of audio a second")
