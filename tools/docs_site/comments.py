"""A griffe extension: a comment ``#: …`` on an attribute's own lines, or just above them, is its documentation.

The sources document fields and constants this way, and mkdocstrings by itself reads docstrings only.

Knows: where such a comment stands. Does not know: what is shown of it (mkdocs.yml).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import griffe


class CommentDocs(griffe.Extension):
    """Gives attributes without a docstring the text of their ``#:`` comment."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called by griffe for each attribute that it has read."""
        if attr.docstring is not None or attr.lineno is None or not isinstance(attr.filepath, Path):
            return
        lines = attr.filepath.read_text(encoding="utf-8").splitlines()
        text = comment(lines, attr.lineno, attr.endlineno or attr.lineno)
        if text:
            attr.docstring = griffe.Docstring(text, lineno=attr.lineno, parent=attr)


def comment(lines: list[str], first: int, last: int) -> str:
    """The ``#:`` comment of the statement on lines ``first`` to ``last``, counted from 1; empty if there is none."""
    _, mark, trailing = lines[last - 1].partition("#: ")
    if mark:
        return trailing
    above: list[str] = []
    for line in reversed(lines[: first - 1]):
        if not line.strip().startswith("#:"):
            break
        above.insert(0, line.strip().removeprefix("#:").strip())
    return " ".join(above)
