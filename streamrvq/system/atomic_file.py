"""A file that appears complete or not at all.

Knows: a temporary file in the same folder, forced to the disk and then renamed. Does not know: what is written, or how
a failure is reported.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: The end of a temporary file's name. The name begins with a dot, so that tools that read a whole folder skip it.
PART = ".part"


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a path at which something other than a file lies: a rename would put a file in place of ``/dev/null``.

    Raises:
        OSError: a device, a pipe or a folder lies there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EEXIST, "something that is no file lies there", os.fspath(path))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to. It gets the name ``path`` when the `with` block ends without an exception.

    A reader never finds a partial file, and after an exception the old file is still there. A process that is killed
    inside the block leaves a hidden ``.NAME.….part``, which nothing reads.

    Raises:
        OSError: the file cannot be written.
    """
    check_replaceable(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # otherwise a crash could leave an empty file with the final name
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
