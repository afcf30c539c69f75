"""The token files of a capture: one, and another after every gap that was too long to be filled.

Each file holds one signal and can be decoded by itself. It records where in the capture it begins, and where zeros
replace lost samples. While it is being recorded, its journal is on disk (tokens/journal.py).

Knows: frames, gaps, file names. Does not know: microphones, threads.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..errors import TokensError
from ..live.items import Frames, Gap
from ..live.segments import FILL_SECONDS
from ..tokens import TokenFile
from ..tokens.journal import TokenJournal, journal_of


class Recording:
    """Writes the token files of one capture while it runs. Used by one thread at a time.

    Args:
        path: of the first file. Those after long gaps get ``-2``, ``-3`` … appended to their names.
        empty: the first file, without frames.

    Attributes:
        files: paths of the files that are finished.

    Raises:
        TokensError: the file or its journal exists already, or cannot be written.
    """

    def __init__(self, path: Path, empty: TokenFile) -> None:
        if path.suffix != ".safetensors":
            raise TokensError(f"--out is {path}; wanted a name that ends in .safetensors")
        self._first, self._empty, self._number = path, empty, 1
        self._journal: TokenJournal | None = TokenJournal(path, empty)
        self._frames = 0  # in this file
        self.files: list[Path] = []

    def add(self, item: Frames | Gap) -> None:
        """Write the next item of the tokens."""
        assert self._journal is not None
        if isinstance(item, Frames):
            self._journal.frames(item.codes)
            self._frames += item.codes.shape[1]
        elif item.samples <= FILL_SECONDS * self._empty.source_rate:
            self._journal.gap(item.position - self._empty.start, item.samples)
        else:
            self._end(item.position)
            self._empty = dataclasses.replace(self._empty, start=item.position + item.samples)
            self._journal, self._frames = TokenJournal(self._next(), self._empty), 0

    def _next(self) -> Path:
        while True:
            self._number += 1
            path = self._first.with_stem(f"{self._first.stem}-{self._number}")
            if not path.exists() and not journal_of(path).exists():
                return path

    def finish(self, position: int | None) -> None:
        """End the last file.

        Args:
            position: samples of the capture in all, lost ones included; None: some of its frames are missing.
        """
        if self._journal is not None:
            self._end(position)

    def discard(self) -> None:
        """Delete the journal of a recording that did not begin."""
        if self._journal is not None:
            self._journal.discard()

    def _end(self, position: int | None) -> None:
        assert self._journal is not None
        journal, self._journal = self._journal, None
        if not self._frames and self._number > 1:
            journal.discard()
            return
        journal.finish(None if position is None else position - self._empty.start)
        self.files.append(journal.path)
