"""Whether a file is the one that a server listed: its size, and its SHA-256 or git's name for it.

huggingface_hub compares sizes only.

Knows: how git names a file's bytes. Does not know: where the file came from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .listing import Listed


def differs(path: Path, file: Listed) -> tuple[str | None, bool]:
    """How a file differs from what was listed, in words, or None; and whether a hash was there to compare."""
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{size} bytes where {file.size} were stated", False
    if file.sha256 is not None:
        came, stated, kind = _digest(path, hashlib.sha256()), file.sha256, "SHA-256"
    elif file.blob is not None:
        came, stated, kind = (
            _digest(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)),
            file.blob,
            "git hash",
        )
    else:
        return None, False
    return (None if came == stated else f"{kind} {came[:12]}… where {stated[:12]}… was stated"), True


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
