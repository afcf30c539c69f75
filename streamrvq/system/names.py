"""Names of files: which there can be, from the root, and as text. Systems allow any bytes but NUL; columns of text
Unicode only.

Knows: how Python keeps bytes that are not UTF-8. Does not know: what files are named for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path


def is_path(path: str | os.PathLike[str]) -> bool:
    """Whether a system can have a file of this name: no NUL, no half of a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse a name that no file can have, as the system refuses others. Python would raise a `ValueError`.

    Raises:
        OSError: it is one.
    """
    if not is_path(path):
        raise OSError(errno.EINVAL, "no file can be named so", os.fspath(path))


def absolute(path: str | os.PathLike[str], realpath: Callable[[str], str] = os.path.realpath) -> str:
    """A path from the root, without ``..``, that leads where ``path`` does.

    Links stay, save those before a ``..`` that leads from a link's end to another folder than from the link.

    Args:
        path: the path.
        realpath: `os.path.realpath`, or one that remembers what it gave.
    """
    plain, written = os.path.abspath(path), os.fspath(path)
    if os.pardir not in Path(written).parts:
        return plain
    folder, name = os.path.split(written)
    if name in ("", os.curdir, os.pardir):
        real = realpath(written)
        return plain if real == realpath(plain) else real
    real = realpath(folder)
    return plain if real == realpath(os.path.dirname(plain)) else os.path.join(real, name)


def as_text(name: str) -> str:
    r"""A file's name as text that can be stored. A name that is UTF-8 stays as it is.

    In any other, each byte that is not UTF-8 becomes ``\x`` and two digits, such as ``\xe9``, and a backslash becomes
    two. So no two such names become one.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.replace("\\", r"\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name
