"""A file that appears whole or not at all.

Knows: a part beside the file, forced to the disk, renamed. Does not know: what is written, or how a failure is worded.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: How a part's name ends; with the dot that it begins with, tools that read a whole folder pass it over.
PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the name ``path`` when the block ends well.

    A reader never finds half of it, and a block that raises leaves what was there. A process that is killed inside
    leaves a hidden ``.NAME.….part``, which nobody reads.

    Raises:
        OSError: the place cannot be written to.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{PART}")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a crash could leave an empty file under the final name
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
