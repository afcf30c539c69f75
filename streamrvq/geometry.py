"""What follows from a codec's numbers by arithmetic alone: layers, contexts, delays, lengths, state, cost.

Knows: the order of layers in a DAC encoder and decoder, their names, and the one rule by which any of them streams.
Whole numbers only. Does not know: tensors, weights, or who computes a layer.

The rule. A layer with ``k_eff = (kernel − 1)·dilation + 1``, stride ``s`` and left padding ``p`` computes, at output
``u``, a window of inputs ``u·s − p … u·s − p + k_eff − 1``. Its input arrives ``d_in`` samples late. With

    context = k_eff − s
    align   = −(context + d_in − p) mod s
    d_out   = (context + align + d_in − p) / s
    tail    = context + align

the window of the output that leaves at position ``m = u + d_out`` ends, in positions of the arriving input, at

    u·s − p + k_eff − 1 + d_in  =  m·s − d_out·s − p + k_eff − 1 + d_in  =  m·s + s − 1 − align  ≤  (m + 1)·s − 1,

which has arrived when ``m`` is due, and begins at ``m·s − tail``, which the kept tail reaches. ``align`` is the least
shift that makes the delay a whole number of outputs. Causal padding has ``p = context``, hence no delay anywhere.

A transposed convolution (kernel 2s, stride s, padding p) is, at output n with ``m = n + p``, ``τ = ⌊m/s⌋``, ``r = m
mod s``:
``y[n] = x[τ]·w[r] + x[τ−1]·w[r + s]``. Input τ arrives at position ``τ + d_in`` and completes the outputs ``τ·s + r −
p``, so that ``d_out = s·d_in + p`` and one past input is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Literal

from .config import CodecConfig

Direction = Literal["encode", "decode"]
Kind = Literal["conv", "tconv", "hold", "join"]


@dataclasses.dataclass(frozen=True)
class Layer:
    """One step of the flat program that an encoder or decoder is.

    ``conv`` and ``tconv`` are convolutions, with a Snake before them where ``snake`` names one. ``hold`` sets the
    running value aside at the head of a residual unit, and ``join`` adds it back after ``tail`` samples, as late as
    its branch.
    """

    kind: Kind
    name: str  #: prefix of its weights in the state dict
    snake: str | None  #: prefix of the Snake in front
    cin: int
    cout: int
    kernel: int
    stride: int
    dilation: int
    padding: int  #: left padding of a conv; left crop of a tconv
    right: int  #: right padding of a conv; right crop of a tconv, less its output padding
    delay_in: int  #: in its input's samples
    delay_out: int  #: in its output's samples
    tail: int  #: past inputs kept between steps
    rate_in: int  #: input samples a hop
    rate_out: int  #: output samples a hop

    def out_length(self, length: int) -> int:
        """The offline network's output length for an input of ``length`` samples (the floor formulas of torch)."""
        if self.kind == "conv":
            k_eff = (self.kernel - 1) * self.dilation + 1
            return max(0, (length + self.padding + self.right - k_eff) // self.stride + 1)
        if self.kind == "tconv":
            return max(0, (length - 1) * self.stride - self.padding - self.right + self.kernel) if length else 0
        return length

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop."""
        if self.kind == "conv":
            return self.kernel * self.cin * self.cout * self.rate_out
        return 2 * self.cin * self.cout * self.rate_out if self.kind == "tconv" else 0

    @property
    def weights(self) -> int:
        """Numbers in its folded weight."""
        return self.kernel * self.cin * self.cout if self.kind in ("conv", "tconv") else 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """The flat program of one direction, and the integers of a stream that runs it.

    An encoder takes ``hop_length`` samples a hop and gives 1 frame; a decoder takes 1 frame and gives ``hop_length``
    samples.
    """

    direction: Direction
    layers: tuple[Layer, ...]
    unit_in: int  #: inputs a hop
    unit_out: int  #: outputs a hop

    @property
    def delay(self) -> int:
        """How many outputs late the stream runs."""
        return self.layers[-1].delay_out

    @cached_property
    def tails(self) -> tuple[tuple[int, int], ...]:
        """The canonical state: ``(rows, channels)`` of every tail in layer order, layers that keep nothing left out."""
        return tuple((layer.tail, layer.cin) for layer in self.layers if layer.tail)

    @property
    def state_size(self) -> int:
        """Numbers in one stream's state."""
        return sum(rows * channels for rows, channels in self.tails)

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
    def receptive_field(self) -> tuple[int, int]:
        """First and last input that output 0 sees, as offsets. For an encoder, frame t sees ``t·hop + these``."""
        low = high = 0
        for layer in reversed(self.layers):
            if layer.kind == "conv":
                low = low * layer.stride - layer.padding
                high = high * layer.stride - layer.padding + (layer.kernel - 1) * layer.dilation
            elif layer.kind == "tconv":
                low = (low + layer.padding) // layer.stride - 1
                high = (high + layer.padding) // layer.stride
        return low, high

    @property
    def macs(self) -> int:
        """Multiply-accumulates a hop, convolutions only."""
        return sum(layer.macs for layer in self.layers)

    @property
    def weights(self) -> int:
        """Numbers in the folded weights, which every step reads once."""
        return sum(layer.weights for layer in self.layers)


class _Builder:
    """Writes layers down while it follows channels, rate and delay through the network."""

    def __init__(self, config: CodecConfig, channels: int, rate: int) -> None:
        self.causal, self.output_padding = config.causal, config.output_padding
        self.channels, self.rate, self.delay = channels, rate, 0
        self.layers: list[Layer] = []

    def _add(self, kind: Kind, name: str, *, snake: str | None = None, cout: int | None = None, kernel: int = 1,
             stride: int = 1, dilation: int = 1, padding: int = 0, right: int = 0, tail: int = 0,
             delay: int | None = None, rate: int | None = None) -> None:  # fmt: skip
        layer = Layer(
            kind=kind, name=name, snake=snake, cin=self.channels, cout=cout or self.channels, kernel=kernel,
            stride=stride, dilation=dilation, padding=padding, right=right, delay_in=self.delay,
            delay_out=self.delay if delay is None else delay, tail=tail, rate_in=self.rate, rate_out=rate or self.rate,
        )  # fmt: skip
        self.layers.append(layer)
        self.channels, self.delay, self.rate = layer.cout, layer.delay_out, layer.rate_out

    def conv(self, name: str, cout: int, kernel: int, *, stride: int = 1, dilation: int = 1,
             snake: str | None = None) -> None:  # fmt: skip
        context = (kernel - 1) * dilation + 1 - stride
        # DAC pads a downsampling convolution (kernel 2s, s = 1 included) by ceil(s/2) and any other by half its
        # context.
        same = -(-stride // 2) if kernel == 2 * stride else context // 2
        padding, right = (context, 0) if self.causal else (same, same)
        align = -(context + self.delay - padding) % stride
        delay = (context + align + self.delay - padding) // stride
        self._add("conv", name, snake=snake, cout=cout, kernel=kernel, stride=stride, dilation=dilation,
                  padding=padding, right=right, tail=context + align, delay=delay,
                  rate=self.rate // stride)  # fmt: skip

    def tconv(self, name: str, cout: int, stride: int, *, snake: str) -> None:
        if self.causal:  # everything to the left of the right crop
            padding, right = 0, stride
        else:
            padding = -(-stride // 2)
            right = padding - (stride % 2 if self.output_padding else 0)
        self._add("tconv", name, snake=snake, cout=cout, kernel=2 * stride, stride=stride, padding=padding, right=right,
                  tail=1, delay=stride * self.delay + padding, rate=self.rate * stride)  # fmt: skip

    def residual_unit(self, name: str, dilation: int) -> None:
        held = self.delay
        self._add("hold", name)
        self.conv(f"{name}.block.1", self.channels, 7, dilation=dilation, snake=f"{name}.block.0")
        self.conv(f"{name}.block.3", self.channels, 1, snake=f"{name}.block.2")
        self._add("join", name, tail=self.delay - held)


@lru_cache(maxsize=64)
def encoder_plan(config: CodecConfig) -> Plan:
    """The encoder: conv 7 or stem, one block a stride (three residual units, Snake, strided conv), Snake, conv 3."""
    build = _Builder(config, 1, config.hop_length)
    build.conv("encoder.block.0", config.encoder_dim, 7 if config.stem == 1 else 2 * config.stem, stride=config.stem)
    for i, stride in enumerate(config.encoder_rates, 1):
        block = f"encoder.block.{i}.block"
        for j, dilation in enumerate((1, 3, 9)):
            build.residual_unit(f"{block}.{j}", dilation)
        build.conv(f"{block}.4", 2 * build.channels, 2 * stride, stride=stride, snake=f"{block}.3")
    last = len(config.encoder_rates) + 1
    build.conv(f"encoder.block.{last + 1}", config.latent_channels, 3, snake=f"encoder.block.{last}")
    return Plan("encode", tuple(build.layers), config.hop_length, 1)


@lru_cache(maxsize=64)
def decoder_plan(config: CodecConfig) -> Plan:
    """The decoder: conv 7, one block a stride (Snake, transposed conv, three residual units), Snake, conv 7 or the
    stem's mirror, tanh."""
    build = _Builder(config, config.latent_channels, 1)
    build.conv("decoder.model.0", config.decoder_dim, 7)
    for i, stride in enumerate(config.decoder_rates, 1):
        block = f"decoder.model.{i}.block"
        build.tconv(f"{block}.1", build.channels // 2, stride, snake=f"{block}.0")
        for j, dilation in enumerate((1, 3, 9), 2):
            build.residual_unit(f"{block}.{j}", dilation)
    last = len(config.decoder_rates) + 1
    if config.stem == 1:
        build.conv(f"decoder.model.{last + 1}", 1, 7, snake=f"decoder.model.{last}")
    else:
        build.tconv(f"decoder.model.{last + 1}", 1, config.stem, snake=f"decoder.model.{last}")
    return Plan("decode", tuple(build.layers), 1, config.hop_length)


def plan(config: CodecConfig, direction: Direction) -> Plan:
    """`encoder_plan` or `decoder_plan`."""
    return encoder_plan(config) if direction == "encode" else decoder_plan(config)


def lookahead_samples(config: CodecConfig) -> int:
    """Samples that a frame needs beyond the end of its own hop: 0 causal, 3733 for symmetric strides 2·4·8·8.

    Frame t spans samples ``t·hop … t·hop + hop − 1`` and sees up to ``t·hop + receptive_field[1]`` (4244 there).
    """
    return max(0, encoder_plan(config).receptive_field[1] - (config.hop_length - 1))


def tensor_shapes(config: CodecConfig) -> dict[str, tuple[int, ...]]:
    """Every folded tensor of the codec with its shape, in the layout and under the names of DAC's state dict."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in (*encoder_plan(config).layers, *decoder_plan(config).layers):
        if layer.snake:
            shapes[f"{layer.snake}.alpha"] = (1, layer.cin, 1)
        if layer.weights:
            ends = (layer.cin, layer.cout) if layer.kind == "tconv" else (layer.cout, layer.cin)
            shapes[f"{layer.name}.weight"] = (*ends, layer.kernel)
            shapes[f"{layer.name}.bias"] = (layer.cout,)
    for i in range(config.n_codebooks):
        q, latent, dim = f"quantizer.quantizers.{i}", config.latent_channels, config.codebook_dim
        shapes[f"{q}.in_proj.weight"], shapes[f"{q}.in_proj.bias"] = (dim, latent, 1), (dim,)
        shapes[f"{q}.codebook.weight"] = (config.codebook_size, dim)
        shapes[f"{q}.out_proj.weight"], shapes[f"{q}.out_proj.bias"] = (latent, dim, 1), (latent,)
    return shapes


def quantizer_macs(config: CodecConfig, levels: int | None = None) -> int:
    """Multiply-accumulates a frame of ``levels`` levels (default all): two projections and the distances."""
    per_level = config.codebook_dim * (2 * config.latent_channels + config.codebook_size)
    return (config.n_codebooks if levels is None else levels) * per_level
