"""Progress on stderr: bars that count seconds of audio, on a terminal only, and what `train` shows.

Knows: rich, how the figures of a training read. Does not know: what is being done.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ..corpus.progress import Progress as Report
from ..system.foreign_data import one_line
from .common import complain

_MOST_REMARK = 2000  #: characters of a remark
_EVERY = 30.0  #: seconds between two lines where there is no bar
_FIGURES = (
    "mel and STFT are distances from the original: lower is better. SI-SDR is in dB: higher is better. "
    "The first line of log.jsonl explains all figures"
)


class _Speed(TextColumn):
    """The column with the speed."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} s of audio a second" if task.speed else "")


class _Shown:
    """Rich's bar, which is on the screen while this is entered."""

    _bar: Progress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.stop()


class _Bar(_Shown):
    """What the bars of encoding share: the seconds of audio so far, the time of the start.

    Args:
        show: whether to show the bar. It is hidden as well if stderr is not a terminal. `speed` is counted in any case.
        columns: of the bar.
    """

    def __init__(self, show: bool, *columns: ProgressColumn) -> None:
        console = Console(stderr=True)
        hidden = not (show and console.is_terminal)
        self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)
        self._seconds, self._started = 0.0, time.perf_counter()

    @property
    def speed(self) -> float:
        """Seconds of audio encoded per second, since the start."""
        return self._seconds / max(1e-9, time.perf_counter() - self._started)


class AudioProgress(_Bar):
    """A bar for one file after another. Where several are done at once, it shows the one that began last.

    Args:
        files: how many there will be.
        show: see `_Bar`.
    """

    def __init__(self, files: int, show: bool) -> None:
        number = TextColumn("{task.fields[number]}/{task.fields[files]} {task.description}", markup=False)
        super().__init__(
            show, number, BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} s"), _Speed("")
        )  # fmt: skip
        self._files, self._number = files, 0
        self._task: TaskID | None = None

    def begin(self, name: str, seconds: float) -> None:
        """Start the next file, of ``seconds`` of audio."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._number += 1
        self._task = self._bar.add_task(name, total=seconds, number=self._number, files=self._files)

    def advance(self, seconds: float, shown: bool = True) -> None:
        """Count ``seconds`` more as done: of the file that began last, or of another that the bar does not show."""
        self._seconds += seconds
        if self._task is not None and shown:
            self._bar.advance(self._task, seconds)

    def print_error(self, error: object) -> None:
        """Print why a file failed, above the bar."""
        complain(error)


class BytesProgress(_Bar):
    """A bar for many files at once.

    Their durations are unknown before they are read, so the bar and its estimate count bytes. The speed is shown in
    seconds of audio.

    Args:
        show: see `_Bar`.
    """

    def __init__(self, show: bool) -> None:
        super().__init__(show, BarColumn(), DownloadColumn(), TextColumn("{task.description}", markup=False))
        self._task = self._bar.add_task("", total=None)

    def begin(self, size: int, done: int) -> None:
        """Start with ``size`` bytes in all, ``done`` of them done before."""
        self._bar.reset(self._task, total=size, completed=done)
        self._started = time.perf_counter()

    def advance(self, report: Report) -> None:
        """Show a report of progress."""
        self._seconds += report.seconds
        self._bar.update(self._task, advance=report.size, description=f"{self.speed:.1f} s of audio a second")


class TrainingProgress(_Shown):
    """A `RunObserver` on stderr: a bar on a terminal, lines elsewhere, and a line for each validation in any case.

    Args:
        steps: in all.
        show: False shows remarks only.
    """

    def __init__(self, steps: int, show: bool) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._show, self._steps = show, steps
        self._lines = show and not self._console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False), console=self._console,
            disable=not (show and self._console.is_terminal),
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=steps, figures="")
        self._said = ""
        self._next = 0.0
        self._explained = False

    def remarked(self, text: str) -> None:
        self._console.print(Text(f"streamrvq: {one_line(text, _MOST_REMARK)}"))

    def decoded(self, name: str, seconds: float) -> None:
        self._bar.update(self._task, figures=f"decoding {one_line(name)}")
        self._say("decoding audio")

    def making(self, what: str, frames: int, share: float) -> None:
        self._bar.update(self._task, figures=f"making {what} from {frames} frames: {100 * share:.0f} %")
        self._say(f"making {what} from {frames} frames")

    def stepped(self, step: int, audio_seconds: float, speed: float, figures: dict[str, Any]) -> None:
        text = f"{figures.get('speed_now', speed):.1f} s of audio a second, "
        if "tflops" in figures:
            share = figures["of_peak"]
            known = f"{100 * share:.0f} %" if isinstance(share, float) else "an unknown share"
            text += f"{figures['tflops']:.1f} TFLOP/s ({known} of the GPU's peak), "
        text += f"mel {figures['mel']:.2f}"
        self._bar.update(self._task, completed=step, figures=text)
        if self._lines and time.monotonic() >= self._next:
            self._explain()
            self._console.print(f"step {step} of {self._steps}: {text}")
            self._next = time.monotonic() + _EVERY

    def validated(self, step: int, figures: dict[str, Any]) -> None:
        if self._show:
            self._explain()
            self._console.print(f"step {step}, validation: {line_of(figures)}")

    def _say(self, text: str) -> None:
        """A line where there is no bar, once."""
        if self._lines and text != self._said:
            self._console.print(text)
        self._said = text

    def _explain(self) -> None:
        if not self._explained:
            self._console.print(_FIGURES)
        self._explained = True


def line_of(figures: dict[str, Any]) -> str:
    """The figures of a validation in a line."""
    text = f"mel {figures['mel']:.3f}, STFT {figures['stft']:.3f}, SI-SDR {figures['si_sdr']:.2f} dB"
    if "used" in figures:
        text += f", entries used {100 * min(figures['used']):.0f} % or more, {min(figures['entropy']):.1f} bits or more"
    return text
