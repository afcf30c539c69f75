"""A file that appears complete or not at all, and a line that does.

Knows: a temporary file in the same folder, forced to the disk and then renamed; a file that grows by lines. Does not
know: what is written, or how a failure is reported.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO

from .names import check_path

#: The end of a temporary file's name. The name begins with a dot, so that tools that read a whole folder skip it.
PART = ".part"
#: Bytes of the final name that a temporary name begins with at most. The rest of it takes some 24 more, and the longest
#: name that every file system takes has 143.
_MOST_NAME = 100
#: Errors of a write that do not name a file.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
#: Bytes that are read at a time on the way to the end of the last whole line.
_PIECE = 1 << 16


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a path at which something other than a file lies: a rename would put a file in place of ``/dev/null``.

    Raises:
        OSError: a device, a pipe or a folder lies there.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EEXIST, "something that is no file lies there", os.fspath(path))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuse a path at which no file can be put, before what it is to hold is made.

    Raises:
        OSError: its folder is missing or may not be written to, no file can have this name, or something else lies
            there.
    """
    check_path(path)
    check_replaceable(path)
    check_folder(Path(path).parent)
    with suppress(FileNotFoundError):
        os.lstat(path)


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder in which no file can be put.

    Raises:
        OSError: it is missing, it is no folder, or it may not be written to.
    """
    if not stat.S_ISDIR(os.stat(folder).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(folder))


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, and to read back. It gets the name ``path`` when the `with` block ends without an exception.

    A reader never finds a partial file, and after an exception the old file is still there. A process that is killed
    inside the block leaves a hidden ``.NAME.….part``, which nothing reads.

    Raises:
        OSError: the file cannot be written. It names ``path``, also where the block raised it and it named none.
    """
    check_path(path)
    check_replaceable(path)
    if len(os.fsencode(path.name)) > (most := _longest_name(path.parent)):  # the temporary name would fit
        raise OSError(errno.ENAMETOOLONG, f"the name has more than {most} bytes", os.fspath(path))
    start = path.name
    while len(os.fsencode(start)) > _MOST_NAME:  # by whole characters: some systems refuse a half
        start = start[:-1]
    part = path.with_name(f".{start}.{os.getpid()}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # otherwise a crash could leave an empty file with the final name
        os.replace(part, path)
    except OSError as error:
        if error.filename == os.fspath(part) or (error.filename is None and error.errno in _OF_THE_DISK):
            error.filename = os.fspath(path)
            del error.filename2  # a message of None would end with "-> None"
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Force a folder's new entry to the disk, where the system allows that. Raises `OSError` if that fails."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def replacing_together(folder: Path, names: Sequence[str]) -> Iterator[list[BinaryIO]]:
    """As `replacing`, for files that mean nothing apart. Without the last one nobody takes the others for whole.

    The older files stay until all are written. Then the older last one is removed, and they get their names in the
    order that was given. So a process that is killed meanwhile leaves no older last one beside newer files.

    Raises:
        OSError: as `replacing`.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(replacing(folder / name)) for name in reversed(names)][::-1]
        yield files
        for file in files:  # whatever may fail does so before anything is removed
            file.flush()
            os.fsync(file.fileno())
        (folder / names[-1]).unlink(missing_ok=True)


def _longest_name(folder: Path) -> int:
    """Bytes of the longest name in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # no such folder; a system that does not say
        return 255


def append_line(path: Path, line: str) -> None:
    """Append a line to a file of lines, whole or not at all. What a killed process left of its last line is cut off.

    Raises:
        OSError: the file cannot be written.
    """
    with open(path, "a+b", buffering=0) as file:
        end = _end_of_lines(file)
        file.truncate(end)
        try:
            left = memoryview(line.encode() + b"\n")
            while left:
                left = left[file.write(left) :]
        except BaseException:
            with suppress(OSError):
                file.truncate(end)
            raise


def _end_of_lines(file: RawIOBase) -> int:
    """Where the last whole line of a file ends."""
    at = file.seek(0, os.SEEK_END)
    while at:
        start = max(0, at - _PIECE)
        file.seek(start)
        found = (file.read(at - start) or b"").rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
