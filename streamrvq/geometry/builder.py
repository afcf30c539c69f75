"""Writes layers down in order, and follows channels, rate and delay through them.

Knows: the rule of `streamrvq.geometry`. Does not know: which layers a codec has.
"""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError
from .layers import Activation, Layer, LayerKind, Padding, Tensors
from .plan import Direction, Plan
from .quantizer import Quantizer


class PlanBuilder:
    """Follows channels, rate and delay through the network.

    Args:
        channels: of the first layer's input.
        rate: samples a hop there.
        causal: pad on the left only; False pads symmetrically.
        output_padding: a symmetric transposed convolution of odd stride gives one sample more.
        pad: of causal convolutions, with what.
        fill_up: a causal convolution pads a partial last window, too.
    """

    def __init__(
        self, channels: int, rate: int, *, causal: bool, output_padding: bool = False, pad: Padding = Padding.ZERO,
        fill_up: bool = False,
    ) -> None:  # fmt: skip
        self.causal, self.output_padding = causal, output_padding
        self.pad, self.fill_up = pad, fill_up
        self.channels, self.rate, self.delay = channels, rate, 0
        self.layers: list[Layer] = []
        self._held = 0  # the delay at the last hold

    def _add(self, kind: LayerKind, name: str, *, cout: int | None = None, delay: int | None = None,
             rate: int | None = None, **others: Any) -> None:  # fmt: skip
        values: dict[str, Any] = {"tensors": None, "activation": Activation.NONE, "kernel": 1, "stride": 1,
                                  "dilation": 1, "padding": 0, "right": 0, "history": 0}  # fmt: skip
        layer = Layer(
            kind=kind, name=name, cin=self.channels, cout=cout or self.channels, delay_in=self.delay,
            delay_out=self.delay if delay is None else delay, rate_in=self.rate, rate_out=rate or self.rate,
            **values | others,
        )  # fmt: skip
        self.layers.append(layer)
        self.channels, self.delay, self.rate = layer.cout, layer.delay_out, layer.rate_out

    def conv(self, name: str, tensors: Tensors, cout: int, kernel: int, *, stride: int = 1, dilation: int = 1,
             activation: Activation = Activation.NONE, groups: int = 1,
             pad: Padding | None = None) -> None:  # fmt: skip
        """A convolution to ``cout`` channels, behind ``activation``; ``pad`` None: as all others."""
        if kernel == 1:  # one tap has nothing to space out, and engines' distances end at 64 bits
            dilation = 1
        context = (kernel - 1) * dilation + 1 - stride
        # Symmetric: a downsampling convolution (kernel 2s, s = 1 included) is padded by ceil(s/2) and any other by half
        # its context.
        same = -(-stride // 2) if kernel == 2 * stride else context // 2
        padding, right = (context, stride - 1 if self.fill_up else 0) if self.causal else (same, same)
        pad = self.pad if pad is None else pad
        if pad == Padding.REFLECT and stride > 1 and context < stride:
            raise ConfigError(
                f"{name} has kernel {kernel} and stride {stride}; wanted a kernel of at least {2 * stride} where the "
                "padding is a mirror image"
            )
        align = -(context + self.delay - padding) % stride
        delay = (context + align + self.delay - padding) // stride
        self._add(LayerKind.CONV, name, tensors=tensors, activation=activation, cout=cout, kernel=kernel,
                  stride=stride, dilation=dilation, padding=padding, right=right, history=context + align,
                  delay=delay, rate=self.rate // stride, groups=groups, pad=pad)  # fmt: skip

    def transposed_conv(self, name: str, tensors: Tensors, cout: int, stride: int, *,
                        activation: Activation = Activation.NONE, groups: int = 1) -> None:  # fmt: skip
        """A transposed convolution of ``2 · stride`` taps, with ``activation`` in front of it."""
        if self.causal:  # everything to the left of the right crop
            padding, right = 0, stride
        else:
            padding = -(-stride // 2)
            right = padding - (stride % 2 if self.output_padding else 0)
        self._add(LayerKind.TRANSPOSED_CONV, name, tensors=tensors, activation=activation, cout=cout,
                  kernel=2 * stride, stride=stride, padding=padding, right=right, history=1,
                  delay=stride * self.delay + padding, rate=self.rate * stride, groups=groups)  # fmt: skip

    def hold(self, name: str) -> None:
        """The head of a residual unit."""
        self._held = self.delay
        self._add(LayerKind.HOLD, name)

    def join(self, name: str, shortcut: Tensors | None = None, scale: str | None = None) -> None:
        """The end of a residual unit: what was held waits until its branch arrives.

        Args:
            shortcut: of a convolution of one tap, which it goes through.
            scale: the name of one factor a channel, by which the branch is multiplied.
        """
        self._add(LayerKind.JOIN, name, tensors=shortcut, scale=scale, history=self.delay - self._held)

    def lstm(self, name: str, tensors: Tensors) -> None:
        """One layer of an LSTM, as wide as its input. Gates are in torch's order; their two biases are one."""
        self._add(LayerKind.LSTM, name, tensors=tensors, history=2)

    def norm(self, name: str, tensors: Tensors, epsilon: float) -> None:
        """A layer norm."""
        self._add(LayerKind.NORM, name, tensors=tensors, epsilon=epsilon)

    def attention(self, name: str, heads: int, window: int, theta: float) -> None:
        """Attention of rows ``[q, k, v]``, all heads of each one after the other, to a third of the channels."""
        self._add(LayerKind.ATTENTION, name, cout=self.channels // 3, heads=heads, window=window, theta=theta,
                  history=window - 1)  # fmt: skip

    def plan(self, direction: Direction, quantizer: Quantizer, *, tanh: bool = False) -> Plan:
        """The layers so far as a plan; ``tanh`` is applied to its outputs."""
        return Plan(direction, tuple(self.layers), quantizer, self.causal, self.layers[0].rate_in, self.rate, tanh)
