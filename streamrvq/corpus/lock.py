"""A lock file that one process holds at a time. The system releases it when the process ends, however it ends.

Knows: flock. Without flock (on Windows) nothing is locked. Does not know: what is guarded.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CorpusError

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


class Lock:
    """An exclusive lock, held until `release`.

    Raises:
        CorpusError: another process holds it.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise CorpusError(f"another run holds {path.parents[1]}; wait for its end, or stop it") from None
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock."""
        os.close(self._handle)
