"""The audio files that sources on the command line name, and what folders hold beside them.

Knows: files and folders. Does not know: where tokens go.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..audio.find import Passed, search


def audio_files(sources: list[str], passed: list[Passed]) -> list[tuple[Path, Path]]:
    """Every audio file, with the relative path that it gets under -o. What folders hold beside goes to ``passed``.

    Raises:
        InputError: a folder without audio files.
    """
    found: list[tuple[Path, Path]] = []
    for text in sources:
        source = Path(text)
        if not os.path.isdir(source):  # unlike Path's, it takes a name that is too long
            found.append((source, Path(source.name)))
            continue
        inside = search(source)
        inside.check(source)
        passed += inside.passed
        found += [(path, path.relative_to(source)) for path in inside.audio]
    return found


def plain(passed: list[Passed]) -> list[dict[str, str]]:
    """What was passed over, for ``--json``."""
    return [{"path": str(item.path), "reason": item.reason} for item in passed]
