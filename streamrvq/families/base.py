"""The interface between a codec family and everything else: what a family says about a configuration.

Knows: that a family turns a configuration into two plans, and other packages' files into a configuration and tensors.
Does not know: any family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import WeightsError
from ..geometry import Plan
from ..system.foreign_data import one_line

Shapes = dict[str, tuple[int, ...]]  #: a tensor's name → its shape
Arrays = dict[str, npt.NDArray[Any]]  #: a tensor's name → the tensor

OURS = "streamrvq"  #: a key in a ``config.json`` for what only this package writes and reads; transformers keeps it

C = TypeVar("C", bound=Config)


@dataclasses.dataclass(frozen=True)
class Foreign(Generic[C]):
    """How other packages' files become ours.

    Attributes:
        config: the configuration, from the values of a ``config.json`` of transformers. Raises `ConfigError` for what
            the plans cannot be made for.
        tensors: any package's tensors under our names and in our shapes. Weight norm stays in pairs, under our names.
            Tensors of no use are left out; others keep their names, and are refused later. Raises `WeightsError`.
        guess: the configuration of a file of tensors alone, or None if the names are not of this family.
    """

    config: Callable[[Mapping[str, Any]], C]
    tensors: Callable[[C, Mapping[str, npt.NDArray[Any]]], Arrays]
    guess: Callable[[Mapping[str, npt.NDArray[Any]]], C | None]


@dataclasses.dataclass(frozen=True)
class Family(Generic[C]):
    """One family of codecs. All functions are pure; equal configurations give equal answers.

    Attributes:
        name: lower case, such as "dac"; it is also transformers' ``model_type``.
        config: the class of its configurations, a frozen dataclass.
        encoder_plan: the layers from samples to latents, and the quantiser after them.
        decoder_plan: the layers from latents to samples, and the quantiser before them: the encoder's.
        foreign: how other packages' files are read.
    """

    name: str
    config: type[C]
    encoder_plan: Callable[[C], Plan]
    decoder_plan: Callable[[C], Plan]
    foreign: Foreign[C]


def tensor_shapes(encoder: Plan, decoder: Plan) -> Shapes:
    """Every folded tensor that two plans of one codec name, with its shape in the state dict."""
    return encoder.shapes | decoder.shapes | encoder.quantizer.shapes


def floats(name: str, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``tensor``, which is to become one with others: what it was would not show in the result.

    Raises:
        WeightsError: it is of no float type, or has numbers that are not finite.
    """
    if not np.issubdtype(tensor.dtype, np.floating):
        raise WeightsError(f"{one_line(name)} is {tensor.dtype}; wanted a float type: convert it first")
    if not np.isfinite(tensor).all():
        raise WeightsError(f"{one_line(name)} has a number that is not finite; wanted finite ones: it is damaged")
    return tensor


def put(tensors: Arrays, name: str, tensor: npt.NDArray[Any]) -> None:
    """Add a tensor under our name. Raises `WeightsError` if a file has it twice, under names of two packages."""
    if name in tensors:
        raise WeightsError(f"{one_line(name)} came under two names; wanted one of them: remove the other")
    tensors[name] = tensor
