"""A lock file that one process holds at a time. The system releases it when the process ends, however it ends.

Knows: that the run's folder is named in the error. Does not know: how a file is locked (system/file_lock.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CorpusError
from ..system.file_lock import take_lock


class Lock:
    """An exclusive lock, held until `release`.

    Raises:
        CorpusError: another process holds it.
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not take_lock(self._handle):
                raise CorpusError(f"another run holds {path.parents[1]}; wait for its end, or stop it")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock."""
        os.close(self._handle)
