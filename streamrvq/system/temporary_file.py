"""What comes once, put into a file without a name, which no crash leaves behind.

Knows: the folder for temporary files, and that it may be full. Does not know: what is in the file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

from ..errors import StreamRVQError
from .foreign_data import one_line

_STEP = 1 << 20


def stored(read: Callable[[int], bytes], check: Callable[[], None], kind: type[StreamRVQError], what: str) -> BinaryIO:
    """Read to the end into a new file, which stands at its start.

    Args:
        read: gives at most so many bytes, and none at the end.
        check: raises what came while it read.
        kind: an error that takes one message.
        what: what is read, in messages.

    Raises:
        StreamRVQError: ``kind``: the file cannot be made or written. Or what ``read`` and ``check`` raise.
    """
    try:
        whole = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    except OSError as error:
        raise _no_room(kind, what, error) from None
    try:
        while data := read(_STEP):
            try:
                _write_all(whole, data)
            except OSError as error:
                raise _no_room(kind, what, error) from None
        check()
    except BaseException:
        whole.close()
        raise
    whole.seek(0)
    return whole


def _write_all(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _no_room(kind: type[StreamRVQError], what: str, error: OSError) -> StreamRVQError:
    place = "" if tempfile.tempdir is None else f" in {os.fspath(tempfile.tempdir)}"
    return kind(
        f"{what} comes once and has to be put into a temporary file{place}, which failed "
        f"({one_line(error.strerror or error)}); make room there, name another folder in TMPDIR, or save it to a file "
        "first"
    )
