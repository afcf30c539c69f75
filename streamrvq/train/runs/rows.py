"""The rows of a run's log, read: what is damaged or something else is refused in a sentence, wherever it is noticed.

Knows: what every row has, and what the rows of a validation have. Does not know: what figures mean (log.py), libraries
for audio or tensors: it is read where they are not installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...system.foreign_data import foreign_data, shown
from ...system.regular_file import check_regular
from ..numbers import is_count, is_finite, is_weight

#: Figures of a validation that are one number each, or null.
SINGLE = ("mel", "stft", "compressed", "wave", "si_sdr", "estoi", "energy")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of the log at ``path``; none if there is none. A last line that a killed process left is not one.

    Each has its ``event``, ``step``, ``audio_seconds`` and ``train_seconds``, and that of a validation has numbers or
    None for its figures, some of `SINGLE`.

    Raises:
        ConfigError: it is damaged, or something else.
    """
    if not path.exists():
        return []
    with foreign_data(ConfigError, str(path), "wanted the log of streamrvq train: move it away"):
        whole, _, _ = text_of(path).rpartition("\n")
        return [_checked(number, json.loads(line)) for number, line in enumerate(whole.split("\n") if whole else [], 1)]


def is_validated(path: Path, step: int) -> bool:
    """Whether the log at ``path`` has a validation of ``step``. Raises as `read_rows`."""
    return any(row["event"] == "validation" and row["step"] == step for row in read_rows(path))


def _checked(number: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise TypeError(f"line {number} is no object")
    good = {"event": isinstance(row.get("event"), str), "step": is_count(row.get("step"))}
    good |= {name: is_weight(row.get(name)) for name in ("audio_seconds", "train_seconds")}
    if row.get("event") == "validation":
        good |= {name: row.get(name) is None or is_finite(row[name]) for name in SINGLE}
    if wrong := [name for name in good if not good[name]]:
        raise ValueError(f"line {number} has the {wrong[0]} {shown(row.get(wrong[0]))}")
    return row


def text_of(path: Path) -> str:
    """The text of one of a run's files. Raises `ConfigError` if it is not there, no file, or may not be read."""
    try:
        check_regular(path)
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror or error}); wanted a file of streamrvq train") from None
