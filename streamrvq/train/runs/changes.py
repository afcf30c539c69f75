"""The settings of a run that is continued: which must be the same, and which of the others differ.

Knows: which settings may change. Does not know: what they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...system.foreign_data import shown

#: Settings that may change when a run continues.
_FREE = {"steps", "train", "validation", "log_every", "validate_every", "checkpoint_every", "validation_clips",
         "validation_seconds", "lr", "small_lr", "lr_final", "decay_from", "adversarial_from",
         "discriminator_width", "discriminator_lr", "kinds", "augment", "loss", "ema", "expire", "codebook_decay",
         "batch", "frames", "precision", "clip", "shards", "ns_steps", "codebooks_again"}  # fmt: skip
#: Where the data lies may change; what it is may not, and record.py sees to that.
_PLACES = {"train", "validation"}


def changes(folder: Path, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a run continues with that is not as before, such as "lr 0.003 → 0.001".

    Args:
        folder: of the run, for the message.
        was: its settings, from a file (`TrainConfig.to_dict`).
        now: those that it is to continue with.

    Raises:
        ConfigError: a setting differs that must be the same.
    """
    differ = [name for name in sorted(now) if was.get(name) != now[name] and name not in _PLACES]
    fixed = [name for name in differ if name not in _FREE]
    if fixed:
        raise ConfigError(
            f"{folder} holds a run with {_both(fixed, was)}, and this one has {_both(fixed, now, bare=True)}; "
            "wanted the same: start in another folder"
        )
    return [
        f"{name} {shown(before)} → {shown(after)}"
        for name in differ
        for before, after in _parts(was.get(name), now[name])
    ]


def _both(names: list[str], values: Mapping[str, Any], bare: bool = False) -> str:
    bare = bare and len(names) == 1
    return ", ".join(shown(values.get(name)) if bare else f"{name} {shown(values.get(name))}" for name in names)


def _parts(was: Any, now: Any) -> list[tuple[Any, Any]]:
    """What differs: of two tables only the entries that do."""
    if not (isinstance(was, dict) and isinstance(now, dict)):
        return [(was, now)]
    keys = [key for key in now if was.get(key) != now[key]]
    return [({key: was.get(key) for key in keys}, {key: now[key] for key in keys})] if keys else [(was, now)]
