"""Files in build/ that tests keep for the next run: one process makes each of them.

Knows: flock. Does not know: what is made.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether ``path`` is still to be made. Another process that asks meanwhile waits, and then finds it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)  # until it is closed
            yield not path.exists()
    else:
        yield False
