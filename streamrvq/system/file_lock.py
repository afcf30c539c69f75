"""A lock on an open file, which has one holder at a time. The system releases it when the process ends in any way.

Knows: flock. Without flock (on Windows) nothing is locked. Does not know: what is guarded.
"""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


def take_lock(handle: int) -> bool:
    """Take the lock of an open file, without waiting.

    Returns:
        False: who opened the file elsewhere holds it, in this process or in another.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def release_lock(handle: int) -> None:
    """Release it, even if a child that was forked has the file open, too. Raises `OSError` as `take_lock`."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)
