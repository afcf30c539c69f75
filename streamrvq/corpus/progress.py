"""Progress of a run: one value, and the one callback that takes it, from a block of a file up to the progress bar.

Knows: what is counted, and that a file counts as its size exactly, even if it fails. Does not know: who encodes, or who
shows the progress.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """What has been done since the last report. Reports are added up."""

    size: float  #: bytes of audio files; a part of a file counts as its share of the file's bytes
    seconds: float  #: of audio, each channel counted where each is a signal of its own


#: Called with each report. It may raise to stop the run.
OnProgress = Callable[[Progress], None]


class Reports:
    """The callback, remembering what it raised: that ends the run whatever its class, and says nothing of a file.

    Args:
        on_progress: the callback.

    Attributes:
        raised: what it raised.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.raised: BaseException | None = None

    def __call__(self, progress: Progress) -> None:
        try:
            self._on_progress(progress)
        except BaseException as error:
            self.raised = error
            raise


class FileProgress:
    """Reports the progress of one file.

    A header may state a wrong length, and a file may fail halfway. The reported bytes still add up to the file's size.

    Args:
        size: bytes of the file.
        on_progress: is called with each report.
    """

    def __init__(self, size: int, on_progress: OnProgress) -> None:
        self._size, self._left, self._on_progress = size, float(size), on_progress

    def add(self, share: float, seconds: float) -> None:
        """Report a further share of the file, 0 to 1, and the seconds of audio in it."""
        size = min(self._left, share * self._size)
        self._left -= size
        self._on_progress(Progress(size, seconds))

    def finish(self) -> None:
        """Report the bytes that are left."""
        self._on_progress(Progress(self._left, 0.0))
