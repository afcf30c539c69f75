"""A plan: the flat program of one direction with its quantiser, and the integers of a stream that runs it.

Knows: layers in their order. Does not know: how they were laid out (builder.py), or tensors' values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

from ..system.copying import Shared
from .layers import Layer, LayerKind
from .quantizer import Quantizer

Direction = Literal["encode", "decode"]


@dataclasses.dataclass(frozen=True)
class Plan(Shared):
    """The flat program of one direction, its quantiser, and the integers of a stream that runs it.

    An encoder takes ``hop_length`` samples a hop and gives 1 frame; a decoder takes 1 frame and gives ``hop_length``
    samples.
    """

    direction: Direction
    layers: tuple[Layer, ...]
    quantizer: Quantizer  #: after an encoder's layers, before a decoder's
    causal: bool  #: padding is for the first step, and a partial last window; else values outside are zeroed everywhere
    unit_in: int  #: inputs a hop
    unit_out: int  #: outputs a hop
    tanh: bool = False  #: of a decoder's outputs

    @property
    def delay(self) -> int:
        """How many outputs late the stream runs."""
        return self.layers[-1].delay_out

    @cached_property
    def first(self) -> int:
        """Hops that a stream's first step has at least, unless it is the whole signal: layers whose padding is a mirror
        image need their beginning at once."""
        return max(layer.first for layer in self.layers)

    @cached_property
    def histories(self) -> tuple[tuple[int, int], ...]:
        """The canonical state: ``(rows, channels)`` of each layer's kept inputs, in layer order. Layers that keep
        nothing are left out."""
        return tuple((layer.history, layer.kept) for layer in self.layers if layer.history)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The folded tensors of all layers by name; the quantiser has its own."""
        return {name: shape for layer in self.layers for name, shape in layer.shapes.items()}

    @property
    def tensor_names(self) -> list[str]:
        """Of all layers."""
        return list(self.shapes)

    @property
    def state_size(self) -> int:
        """Numbers in one stream's state."""
        return sum(rows * channels for rows, channels in self.histories)

    def lengths(self, length: int) -> Iterator[int]:
        """Each layer's output length for a signal of ``length`` inputs; −1, open, stays −1."""
        for layer in self.layers:
            length = layer.out_length(length) if length >= 0 else -1
            yield length

    def outputs(self, length: int) -> int:
        """Outputs in all for a signal of ``length`` inputs."""
        *_, last = self.lengths(length)
        return last

    @cached_property
    def receptive_field(self) -> tuple[int | None, int]:
        """First and last input that output 0 sees, as offsets. For an encoder, frame t sees ``t·hop + these``. None:
        an LSTM sees all that came before. A mirror image at the start is not counted (`first`)."""
        low = high = 0
        unbounded = any(layer.kind == LayerKind.LSTM for layer in self.layers)
        for layer in reversed(self.layers):
            if layer.kind == LayerKind.CONV:
                low = low * layer.stride - layer.padding
                high = high * layer.stride - layer.padding + (layer.kernel - 1) * layer.dilation
            elif layer.kind == LayerKind.TRANSPOSED_CONV:
                low = (low + layer.padding) // layer.stride - 1
                high = (high + layer.padding) // layer.stride
            elif layer.kind == LayerKind.ATTENTION:
                low -= layer.window - 1
        return None if unbounded else low, high

    @property
    def begins_anywhere(self) -> bool:
        """Whether a fresh stream that begins ``receptive_field`` early gives an output's very bits. An LSTM remembers
        all, and rotary positions are rounded."""
        return not any(layer.kind in (LayerKind.LSTM, LayerKind.ATTENTION) for layer in self.layers)

    @property
    def lookahead(self) -> int:
        """Inputs that output 0 needs beyond the end of its own hop: 0 causal, 3733 for the symmetric encoder of strides
        2·4·8·8.

        There frame t spans samples ``t·512 … t·512 + 511`` and sees up to ``t·512 + 4244`` (`receptive_field`).
        """
        return max(0, self.receptive_field[1] - (self.unit_in - 1))

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weight_count(self) -> int:
        """Numbers in the folded weights, which every step reads once."""
        return sum(layer.weight_count for layer in self.layers)
