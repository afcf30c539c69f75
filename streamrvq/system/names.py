"""Names of files: which there can be, and as text. Systems allow any bytes but NUL; columns of text Unicode only.

Knows: how Python keeps bytes that are not UTF-8. Does not know: what files are named for.
"""

from __future__ import annotations

import errno
import os


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
