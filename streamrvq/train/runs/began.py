"""How a run began: with first values, or with weights, which have codebooks already. It decides which settings hold.

A run that goes on began as its folder says, whatever it is called with now. So `--from` is needed once, and changes
nothing later.

Knows: the record, the settings in a checkpoint, those of a call. Does not know: torch, the other settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...errors import WeightsError
from ...weights import Weights
from ...weights.value import codec_config
from ..config import TrainConfig
from .record import Record


def settings_of(config: TrainConfig, with_weights: bool) -> TrainConfig:
    """The settings that hold: a run that begins ``with_weights`` has codebooks, and so no plain steps before them."""
    return dataclasses.replace(config, plain_steps=0) if with_weights else config


def first_weights(old: Record | None, before: Mapping[str, Any], given: str | None) -> str | None:
    """The codec hash of the weights that a run with a checkpoint began with; None: it began without.

    Args:
        old: its record; None: it is of an older version, which had none.
        before: the settings in its checkpoint, those that held.
        given: the codec hash of the weights of this call. They are believed only where nothing else is known.
    """
    if old is not None:
        return old.weights
    return given if before.get("plain_steps") == 0 else None


def check_codec(weights: Weights, config: TrainConfig) -> None:
    """Raises `WeightsError` if ``weights`` belong to another codec than ``config.codec``."""
    if dataclasses.replace(codec_config(weights), quantizer_dropout=config.codec.quantizer_dropout) != config.codec:
        raise WeightsError(
            f"the weights {weights.name} are of another codec than the configuration's; wanted its shape: "
            "train a configuration whose [codec] is theirs, or begin without weights"
        )
