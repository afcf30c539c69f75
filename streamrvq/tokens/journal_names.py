"""Names of journals, and what to say where one lies in place of a token file.

Knows: that the journal of ``x.safetensors`` is ``x.safetensors.journal``. Does not know: what is in one (journal.py).
"""

from __future__ import annotations

import os
from pathlib import Path

#: How the name of a token file ends, what the name of its journal has after that, and that of a damaged one further.
SUFFIX, JOURNAL, DAMAGED = ".safetensors", ".journal", ".damaged"


def journal_of(path: str | os.PathLike[str]) -> Path:
    """The path of a token file's journal. The path of a journal is returned as it is."""
    path = Path(path)
    return path if path.name.endswith(JOURNAL) else path.with_name(path.name + JOURNAL)


def damaged_of(path: str | os.PathLike[str]) -> Path:
    """Where a journal with more behind a damaged record is kept. ``path``: of the token file, or of the journal."""
    journal = journal_of(path)
    return journal.with_name(journal.name + DAMAGED)


def left_of_a_recording(path: str | os.PathLike[str]) -> str:
    """A sentence about the journal that a recording left at ``path`` or beside it; empty if there is none."""
    path = Path(path)
    if not path.name or path.name == "..":
        return ""
    for journal in (journal_of(path), path.with_suffix(SUFFIX + JOURNAL)):
        if os.path.isfile(journal):
            return (
                f"{journal} is of a recording that was cut off, or still runs; once it has ended, make the token file "
                f"with `streamrvq mic --recover {str(journal).removesuffix(JOURNAL)}`"
            )
    return ""
