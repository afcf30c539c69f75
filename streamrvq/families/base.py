"""The seam between a codec family and everything else: what a family says about a configuration.

Knows: that a family turns a configuration into two plans and the shapes of its tensors. Does not know: any family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..config import CodecConfig
from ..geometry import Plan

Shapes = dict[str, tuple[int, ...]]  #: a tensor's name → its shape


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of codecs. All three functions are pure; equal configurations give equal answers.

    Attributes:
        name: lower case, such as "dac".
        encoder_plan: the layers from samples to latents, and the quantiser after them.
        decoder_plan: the layers from latents to samples, and the quantiser before them: the encoder's.
        tensor_shapes: every folded tensor that the two plans name, with its shape in the state dict.
    """

    name: str
    encoder_plan: Callable[[CodecConfig], Plan]
    decoder_plan: Callable[[CodecConfig], Plan]
    tensor_shapes: Callable[[CodecConfig], Shapes]
