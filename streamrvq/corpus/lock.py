"""A file that one process at a time holds, and the system takes back when the process ends, however it ends.

Knows: flock. Does not know: what is guarded. Where there is no flock (Windows) nothing is held.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CorpusError

try:
    import fcntl
except ImportError:  # not on every platform
    fcntl = None  # type: ignore[assignment]


class Lock:
    """Held from the start until `release`.

    Raises:
        CorpusError: another process holds it.
        OSError: the file cannot be made.
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
        """Let it go."""
        os.close(self._handle)
