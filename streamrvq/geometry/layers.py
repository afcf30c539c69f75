"""The kinds of layers, and one layer: its integers, the names and shapes of its tensors, its output length, its cost.

Knows: one layer. Does not know: where it stands (builder.py), or what it computes in numbers.
"""

from __future__ import annotations

import dataclasses
import enum
import math


class LayerKind(enum.IntEnum):
    """What a layer does. The numbers are those of the native library, as far as it has the kind."""

    CONV = 0  #: a linear layer is one of one tap
    TRANSPOSED_CONV = 1
    HOLD = 2  #: sets the running value aside, at the head of a residual unit
    JOIN = 3  #: adds it back after ``history`` samples, as late as its branch; see `Layer.scale`
    LSTM = 4  #: one layer of it; its history is two rows, h and c
    NORM = 5  #: of each row over its channels, with a weight and a bias
    ATTENTION = 6  #: of rows ``[q, k, v]``, causal; its history is the rotated keys and the values


class Activation(enum.IntEnum):
    """What is applied to a convolution's input. The numbers are those of the native library, as far as it has it."""

    NONE = 0
    SNAKE = 1  #: ``x + sin²(αx) / (α + 1e-9)``, one α a channel
    ELU = 2  #: x, or ``eˣ − 1`` below 0
    GELU = 3  #: ``x · Φ(x)``, with the normal distribution itself, not its approximation by tanh


class Padding(enum.IntEnum):
    """What a causal convolution reads beside its input, after the activation in front."""

    ZERO = 0
    REPLICATE = 1  #: the first row, and the last
    REFLECT = 2  #: the mirror image; see `streamrvq.geometry`


@dataclasses.dataclass(frozen=True)
class Tensors:
    """The names of a layer's tensors in the state dict."""

    weight: str
    bias: str | None = None
    activation: str | None = None  #: the parameters of the activation in front, where it has any
    recurrent: str | None = None  #: an LSTM's second weight, which multiplies h


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of an encoder or decoder: its integers, and the names of its tensors."""

    kind: LayerKind
    name: str  #: of its module in the state dict
    tensors: Tensors | None  #: of a join: those of a convolution of one tap on what was held; None: there are none
    activation: Activation  #: in front of a convolution
    cin: int
    cout: int
    kernel: int
    stride: int
    dilation: int
    padding: int  #: left padding of a convolution; left crop of a transposed one
    right: int  #: right padding of a convolution; right crop of a transposed one, less its output padding
    delay_in: int  #: in its input's samples
    delay_out: int  #: in its output's samples
    history: int  #: past inputs kept between steps
    rate_in: int  #: input samples a hop
    rate_out: int  #: output samples a hop
    groups: int = 1  #: of a convolution's channels
    pad: Padding = Padding.ZERO  #: of a convolution in a causal plan, at both ends
    scale: str | None = None  #: of a join: the name of one factor a channel for the branch
    heads: int = 0  #: of an attention
    window: int = 0  #: positions that an attention sees, its own included
    theta: float = 0.0  #: of an attention's rotary positions
    epsilon: float = 0.0  #: of a norm, beside the variance

    @property
    def kept(self) -> int:
        """Channels of a row of its history."""
        if self.kind == LayerKind.ATTENTION:
            return 2 * self.cout
        return self.cout if self.kind == LayerKind.LSTM else self.cin

    @property
    def first(self) -> int:
        """Hops that its first step needs, unless that is the whole signal."""
        reflects = self.pad == Padding.REFLECT and self.history > 0
        return -(-(self.history + 1) // self.rate_in) if reflects else 1

    @property
    def fills_up(self) -> bool:
        """Whether a partial last window is filled up as ``pad`` says."""
        return self.kind == LayerKind.CONV and self.stride > 1 and self.right == self.stride - 1

    def out_length(self, length: int) -> int:
        """The offline network's output length for an input of ``length`` samples (the floor formulas of torch)."""
        if self.kind == LayerKind.CONV:
            k_eff = (self.kernel - 1) * self.dilation + 1
            return max(0, (length + self.padding + self.right - k_eff) // self.stride + 1)
        if self.kind == LayerKind.TRANSPOSED_CONV:
            return max(0, (length - 1) * self.stride - self.padding - self.right + self.kernel) if length else 0
        return length

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Its folded tensors by name, in torch's layouts."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.scale is not None:
            shapes[self.scale] = (self.cout,)
        if (names := self.tensors) is None:
            return shapes
        if names.activation is not None:
            shapes[names.activation] = (1, self.cin, 1)
        shapes[names.weight] = self._weight_shape
        if names.recurrent is not None:
            shapes[names.recurrent] = (4 * self.cout, self.cout)
        if names.bias is not None:
            shapes[names.bias] = (4 * self.cout if self.kind == LayerKind.LSTM else self.cout,)
        return shapes

    @property
    def _weight_shape(self) -> tuple[int, ...]:
        match self.kind:
            case LayerKind.TRANSPOSED_CONV:
                return self.cin, self.cout // self.groups, self.kernel
            case LayerKind.LSTM:
                return 4 * self.cout, self.cin
            case LayerKind.NORM:
                return (self.cout,)
        return self.cout, self.cin // self.groups, self.kernel

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop."""
        pairs = self.cin * self.cout * self.rate_out // self.groups
        match self.kind:
            case LayerKind.CONV:
                return self.kernel * pairs
            case LayerKind.TRANSPOSED_CONV:
                return 2 * pairs
            case LayerKind.JOIN:
                return 0 if self.tensors is None else pairs
            case LayerKind.LSTM:
                return 4 * (self.cin + self.cout) * self.cout * self.rate_out
            case LayerKind.ATTENTION:
                return 2 * self.window * self.cout * self.rate_out
        return 0

    @property
    def weight_count(self) -> int:
        """Numbers in its folded weights."""
        if self.tensors is None:
            return 0
        recurrent = 4 * self.cout * self.cout if self.kind == LayerKind.LSTM else 0
        return math.prod(self._weight_shape) + recurrent
