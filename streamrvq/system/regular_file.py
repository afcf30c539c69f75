"""Files of others are files: what stands in their place and has no end, or never begins, is not waited for.

Opening a named pipe waits until somebody writes to it. A device such as ``/dev/zero`` has no end, and states a size
of 0. A size may also be another by the time that the file is read.

Knows: what the system says of a path. Does not know: what is in a file.
"""

from __future__ import annotations

import errno
import os
import stat

from .names import check_path


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse a pipe, a socket or a device before it is opened. A folder is refused by whoever opens it.

    Raises:
        OSError: such a thing lies there, or nothing does, or no file can have this name.
    """
    check_path(path)
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file", os.fspath(path))


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a named pipe lies there, or a link to one; not if nothing does."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_at_most(path: str | os.PathLike[str], most: int) -> bytes | None:
    """The bytes of a regular file; None if they are more than ``most``. Raises as `check_regular` and `open`."""
    check_regular(path)
    with open(path, "rb") as file:
        data = file.read(most + 1)
    return None if len(data) > most else data
