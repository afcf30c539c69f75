"""Codec families: from a configuration to layers, quantiser and tensor names.

Knows: which families there are, and which of them a configuration is of. Does not know: what a family is made of. The
rest of the package asks the functions here and names no family.
"""

from __future__ import annotations

import math
from typing import Any

from ..config import LIMITS, Config, from_values, read_json
from ..errors import ConfigError, InputError
from ..geometry import Direction, Plan
from ..system.foreign_data import shown
from . import base
from .base import Family, Shapes
from .dac import DAC
from .encodec import ENCODEC
from .mimi import MIMI

__all__ = [
    "FAMILIES", "Family", "config_from_json", "decoder_plan", "encoder_plan", "family_of", "plan", "tensor_shapes",
]  # fmt: skip

#: By name.
FAMILIES: dict[str, Family[Any]] = {family.name: family for family in (DAC, ENCODEC, MIMI)}
_BY_CONFIG = {family.config: family for family in FAMILIES.values()}


def family_of(config: Config) -> Family[Any]:
    """The family that ``config`` is of. Raises `ConfigError` for what is no configuration."""
    family = _BY_CONFIG.get(type(config))
    if family is None:
        raise ConfigError(f"the configuration is a {type(config).__name__}; wanted that of a codec")
    return family


def config_from_json(text: str | bytes) -> Config:
    """The inverse of `Config.to_json`. Raises `ConfigError` for another family, an unknown key or a bad value."""
    values = read_json(text)
    name = values.pop("family", DAC.name)  # whose configurations are older than the key
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise ConfigError(f"the family is {shown(name)}; this release knows {', '.join(FAMILIES)}: update streamrvq")
    config: Config = from_values(family.config, values)
    return config


def encoder_plan(config: Config) -> Plan:
    """The encoder of ``config``."""
    return family_of(config).encoder_plan(config)


def decoder_plan(config: Config) -> Plan:
    """The decoder of ``config``."""
    return family_of(config).decoder_plan(config)


def plan(config: Config, direction: Direction) -> Plan:
    """`encoder_plan` or `decoder_plan`. Raises `InputError` for any other direction."""
    if direction == "encode":
        return encoder_plan(config)
    if direction == "decode":
        return decoder_plan(config)
    raise InputError(f"direction is {shown(direction)}; wanted 'encode' or 'decode'")


def tensor_shapes(config: Config) -> Shapes:
    """Every folded tensor of the codec with its shape, under the names of its family's state dict.

    Raises:
        ConfigError: the tensors are larger than any codec's (`config.LIMITS`), or what a stream keeps is, whatever they
            would be made for.
    """
    plans = encoder_plan(config), decoder_plan(config)
    shapes, state = base.tensor_shapes(*plans), max(plan.state_size for plan in plans)
    if state > LIMITS["state"]:
        raise ConfigError(
            f"the configuration has streams that keep {state} numbers; wanted at most {LIMITS['state']}: "
            "make its kernels, dilations or windows smaller"
        )
    count = sum(math.prod(shape) for shape in shapes.values())
    if count > LIMITS["weights"]:
        raise ConfigError(
            f"the configuration has {count} weights; wanted at most {LIMITS['weights']}: "
            "make its dimensions, strides or codebooks smaller"
        )
    return shapes
