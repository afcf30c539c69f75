"""The targets, by name.

To add one:

1.  Write a file ``targets/FORMAT.py`` with a tuple ``TARGETS`` of `Target` (target.py). ``read`` takes bytes: it writes
    them with ``written`` where the reader takes a path, calls the reader, and uses what came out as its users do. It
    catches nothing. ``seeds`` makes right files, as small as they can be (``small.py`` has a small codec).
    Import the reader at the top of the file: then atheris sees the branches of the whole package.
2.  Name the file in `_FORMATS` below. ``tools/fuzz --list`` shows the new targets.
3.  Write a test beside the reader's others that gives the same target files with one thing broken, drawn by Hypothesis:
    ``tests/support/fuzzing/`` has ``assert_survives`` and the parts that formats share.

Knows: which files hold targets. Does not know: formats.
"""

from __future__ import annotations

import importlib
from functools import lru_cache

from .target import Target

_FORMATS: tuple[str, ...] = (
    "audio", "configuration", "messages", "service", "snapshots", "training", "weights",
)  # fmt: skip


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    """Every target under its name. It imports the readers, so whoever instruments them calls it after that."""
    found: dict[str, Target] = {}
    for name in _FORMATS:
        module = importlib.import_module(f"{__package__}.targets.{name}")
        for target in module.TARGETS:
            assert target.name not in found, target.name
            found[target.name] = target
    return found
