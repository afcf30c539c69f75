"""A file of huggingface_hub's cache that makes room for another, and comes back if that does not come.

Knows: that a file there is a link to a blob, or the file itself, where the cache has no links. Does not know: what is
in a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file, and the blob that it is a link to."""
    with suppress(OSError):
        if path.is_symlink():
            (path.parent / os.readlink(path)).unlink()
        path.unlink()


@contextmanager
def aside(path: Path) -> Iterator[None]:
    """Inside, ``path`` and its blob are not there; huggingface_hub leaves a file as it is that is no link.

    If the inside fails, they are as they were before.
    """
    link = os.readlink(path) if path.is_symlink() else None
    real = path if link is None else path.parent / link
    kept = real.with_name(f"{real.name}.{os.getpid()}.aside")
    os.replace(real, kept)
    try:
        if link is not None:
            path.unlink()
        yield
    except BaseException:
        remove(path)
        os.replace(kept, real)
        if link is not None:
            os.symlink(link, path)
        raise
    if os.path.lexists(real):
        kept.unlink()
    else:  # the new one is another blob, and other commits may have this one
        os.replace(kept, real)
