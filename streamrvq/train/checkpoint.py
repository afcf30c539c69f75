"""Checkpoints: the whole state of a run in one file, written whole or not at all.

Knows: torch's own format, of tensors and plain values. Does not know: what the state holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import WeightsError
from ..system.atomic_file import replacing
from ..weights.torchfile import read_torch

VERSION = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state``. An older file is replaced once the new one is complete. Raises `WeightsError`."""
    try:
        with replacing(path) as part:
            torch.save({"streamrvq_training": VERSION} | state, part.name)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"cannot write the checkpoint {path}: {reason}; check its folder and its space") from None


def read(path: Path) -> dict[str, Any]:
    """The inverse of `save`. Raises `WeightsError` if the file is damaged or not a checkpoint of ours."""
    try:
        state = read_torch(path, "wanted a checkpoint of streamrvq train: start in another folder")
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(f"{path} cannot be read ({reason}); wanted a checkpoint of streamrvq train") from None
    if not isinstance(state, dict) or type(state.get("streamrvq_training")) is not int:
        raise WeightsError(f"{path} is no checkpoint of streamrvq train; start in another folder")
    if state["streamrvq_training"] != VERSION:
        raise WeightsError(f"{path} is not a checkpoint of this version of streamrvq train; start in another folder")
    return state
