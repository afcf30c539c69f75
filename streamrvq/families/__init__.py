"""Codec families: from a configuration to layers, quantiser and tensor names.

Knows: which family a configuration is of. Does not know: what a family is made of (dac.py). The rest of the package
asks the functions here and names no family.
"""

from __future__ import annotations

import math

from ..config import LIMITS, CodecConfig
from ..errors import ConfigError, InputError
from ..geometry import Direction, Plan
from .base import Family, Shapes
from .dac import DAC

__all__ = ["Family", "decoder_plan", "encoder_plan", "family_of", "plan", "tensor_shapes"]


def family_of(config: CodecConfig) -> Family:
    """The family that ``config`` is of."""
    return DAC  # every configuration is of this one so far


def encoder_plan(config: CodecConfig) -> Plan:
    """The encoder of ``config``."""
    return family_of(config).encoder_plan(config)


def decoder_plan(config: CodecConfig) -> Plan:
    """The decoder of ``config``."""
    return family_of(config).decoder_plan(config)


def plan(config: CodecConfig, direction: Direction) -> Plan:
    """`encoder_plan` or `decoder_plan`. Raises `InputError` for any other direction."""
    if direction == "encode":
        return encoder_plan(config)
    if direction == "decode":
        return decoder_plan(config)
    raise InputError(f"direction is {direction!r}; wanted 'encode' or 'decode'")


def tensor_shapes(config: CodecConfig) -> Shapes:
    """Every folded tensor of the codec with its shape, under the names of its family's state dict.

    Raises:
        ConfigError: the tensors are larger than any codec's (`config.LIMITS`), whatever they would be made for.
    """
    shapes = family_of(config).tensor_shapes(config)
    count = sum(math.prod(shape) for shape in shapes.values())
    if count > LIMITS["weights"]:
        raise ConfigError(
            f"the configuration has {count} weights; wanted at most {LIMITS['weights']}: "
            "make its dimensions, strides or codebooks smaller"
        )
    return shapes
