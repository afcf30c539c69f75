"""What a target is: a reader of foreign bytes, under a name, with right bytes to begin from.

Knows: how bytes become a file for a reader that takes a path. Does not know: any format, who makes the bytes.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

#: Where files are kept in memory, on Linux.
_IN_MEMORY = Path("/dev/shm")


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: for the command line: lower case, with hyphens.
        reads: what its bytes are, in a few words.
        read: gives bytes to the reader. It returns anything, or raises a `StreamRVQError`; all else is a fault.
        seeds: makes right bytes, which ``read`` takes without an error. They are small: a few KB at most.
    """

    name: str
    reads: str
    read: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]


def in_memory() -> str | None:
    """A folder in memory for temporary files; None where there is none."""
    return str(_IN_MEMORY) if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) else None


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="streamrvq-fuzz-", dir=os.environ.get("TMPDIR", in_memory()))


def scratch(name: str) -> Path:
    """A path of this process for a file called ``name``. It is removed when the process ends."""
    return Path(_folder().name) / name


def written(name: str, data: bytes) -> Path:
    """A file of this process, called ``name``, that holds ``data``; the one before it is replaced."""
    path = scratch(name)
    path.write_bytes(data)
    return path
