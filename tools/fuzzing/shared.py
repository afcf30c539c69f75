"""What a fuzzing process and the one that watches it share: how many inputs ran, and which one is being read.

It lies in a file that both map, so that it is there whatever ends the process.

Knows: bytes in a file. Does not know: targets, atheris.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

#: Runs; bytes of memory at the start; the most since; bytes of the input.
_HEAD = struct.Struct("<QQQQ")
#: The largest input.
MOST_INPUT = 1 << 20


class Shared:
    """The counters. ``make`` makes the file anew.

    Attributes:
        runs: inputs read so far, by every process that used the file.
        start: memory of the process before its first input, in bytes.
        peak: the most memory that a process had, in bytes.
    """

    def __init__(self, path: Path, make: bool = False) -> None:
        if make:
            path.write_bytes(bytes(_HEAD.size + MOST_INPUT))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        values: tuple[int, ...] = _HEAD.unpack_from(self._map)
        self.runs, self.start, self.peak, _ = values

    def reading(self, data: bytes) -> None:
        """``data`` is about to be read."""
        self._map[_HEAD.size : _HEAD.size + len(data)] = data
        self._write(len(data))

    def done(self, peak: int) -> None:
        """It was read. ``peak``: the most memory so far, in bytes."""
        self.runs, self.peak = self.runs + 1, max(self.peak, peak)
        self._write(0)

    def current(self) -> bytes:
        """What is being read; nothing between inputs."""
        *_, length = _HEAD.unpack_from(self._map)
        return bytes(self._map[_HEAD.size : _HEAD.size + length])

    def _write(self, length: int) -> None:
        _HEAD.pack_into(self._map, 0, self.runs, self.start, self.peak, length)
