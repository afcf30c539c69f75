"""Configurations of codecs, as JSON."""

from __future__ import annotations

from streamrvq.config import PRESETS, CodecConfig
from streamrvq.families import decoder_plan, encoder_plan, tensor_shapes

from ..target import Target


def _read(data: bytes) -> None:
    config = CodecConfig.from_json(data)
    assert CodecConfig.from_json(config.to_json()) == config
    encoder_plan(config)
    decoder_plan(config)
    tensor_shapes(config)


def _seeds() -> list[bytes]:
    return [config.to_json().encode() for config in PRESETS.values()]


TARGETS = (Target("config", "a codec's configuration: JSON", _read, _seeds),)
