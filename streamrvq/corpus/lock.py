"""A lock file that one process holds at a time. The system releases it when the process ends, however it ends.

Knows: that the run's folder is named in the error. Does not know: how a file is locked (system/file_lock.py).
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CorpusError
from ..system.atomic_file import check_replaceable
from ..system.file_lock import take_lock


class Lock:
    """An exclusive lock, held until `release`.

    Raises:
        CorpusError: another process holds it.
        OSError: the file cannot be created, or something that is no file lies there.
    """

    def __init__(self, path: Path) -> None:
        check_replaceable(path)  # opening a pipe would wait for somebody who reads from it
        # A file, and no bare handle: should an interrupt cost its owner, the lock goes with the object.
        self._file = open(path, "ab")  # noqa: SIM115
        try:
            if not take_lock(self._file.fileno()):
                raise CorpusError(f"another run holds {path.parents[1]}; wait for its end, or stop it")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock."""
        self._file.close()
