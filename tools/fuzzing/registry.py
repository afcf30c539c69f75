"""The targets, by name.

To add one:

1.  Write a file ``targets/FORMAT.py`` with a tuple ``TARGETS`` of `Target` (target.py). ``read`` takes bytes: it writes
    them with ``written`` where the reader takes a path, calls the reader, and uses what came out as its users do. It
    catches nothing. ``seeds`` makes right files, as small as they can be (``small.py`` has a small codec).
    Import the reader at the top of the file: then atheris sees the branches of the whole package. What an extra
    brings, such as pyarrow, is imported where it is used: ``--list`` works without.
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
    "audio", "configuration", "corpora", "messages", "service", "snapshots", "tokens", "weights",
    "training",  # the last, for it imports torch
)  # fmt: skip


def _of(name: str) -> tuple[Target, ...]:
    found: tuple[Target, ...] = importlib.import_module(f"{__package__}.targets.{name}").TARGETS
    return found


@lru_cache(maxsize=1)
def targets() -> dict[str, Target]:
    """Every target under its name. It imports every reader."""
    found = [target for name in _FORMATS for target in _of(name)]
    assert len({target.name for target in found}) == len(found), "two targets have one name"
    return {target.name: target for target in found}


def target_named(name: str) -> Target:
    """One target. It imports no more than it must: whoever instruments the readers calls it within that."""
    return next(target for format in _FORMATS for target in _of(format) if target.name == name)
