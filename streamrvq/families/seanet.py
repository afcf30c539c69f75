"""SEANet, which EnCodec and Mimi are made of: strided convolutions with a residual unit at each rate, ELU in front.

Knows: its settings and the order of its layers, with the names that transformers gives them. Does not know: what stands
between encoder and quantiser (encodec.py, mimi.py), how a layer streams (geometry/), tensors' values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ..config import LIMITS, canonical_json, need_int
from ..errors import ConfigError
from ..geometry import Activation, Padding, PlanBuilder, Tensors
from ..system.foreign_data import shown

#: By the names of ``pad_mode``, which are torch's.
PADDINGS = {"constant": Padding.ZERO, "replicate": Padding.REPLICATE, "reflect": Padding.REFLECT}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeanetConfig:
    """The settings of a causal SEANet, mono, under transformers' names where it has them.

    Args:
        sample_rate: Hz.
        hidden_size: channels of the encoder's last convolution, and of the decoder's input.
        num_filters: channels after the first convolution; every strided one doubles them.
        num_residual_layers: residual units at each rate.
        upsampling_ratios: strides of the decoder; the encoder has them in reverse.
        kernel_size, last_kernel_size, residual_kernel_size: taps of the convolutions.
        dilation_growth_rate: from one residual unit of a rate to the next.
        pad_mode: ``"constant"``, ``"replicate"`` or ``"reflect"``.
        compress: by what a residual unit's inner channels are fewer.
        use_conv_shortcut: a residual unit's input goes through a convolution of one tap.
        num_lstm_layers: between the strided convolutions and the one at the end.
        n_codebooks, codebook_size, codebook_dim: of the quantiser.

    Raises:
        ConfigError: a value of the wrong type or out of range (`LIMITS`).
    """

    family: ClassVar[str]
    hop_of: ClassVar[str] = "upsampling_ratios"  #: the settings whose product the hop length is, in words

    sample_rate: int = 24000
    hidden_size: int
    num_filters: int
    num_residual_layers: int = 1
    upsampling_ratios: tuple[int, ...]
    kernel_size: int = 7
    last_kernel_size: int
    residual_kernel_size: int = 3
    dilation_growth_rate: int = 2
    pad_mode: str
    compress: int = 2
    use_conv_shortcut: bool
    num_lstm_layers: int = 0
    n_codebooks: int
    codebook_size: int
    codebook_dim: int

    def __post_init__(self) -> None:
        ratios = self.upsampling_ratios
        if not isinstance(ratios, (list, tuple)) or not 1 <= len(ratios) <= LIMITS["strides"]:
            raise ConfigError(f"upsampling_ratios is {shown(ratios)}; wanted 1 to {LIMITS['strides']} strides")
        object.__setattr__(self, "upsampling_ratios", tuple(ratios))
        for stride in ratios:
            need_int("a stride in upsampling_ratios", stride, LIMITS["hop_length"])
        for name in ("hidden_size", "num_filters", "codebook_dim"):
            need_int(name, getattr(self, name), LIMITS["channels"])
        for name in ("n_codebooks", "codebook_size", "sample_rate"):
            need_int(name, getattr(self, name), LIMITS[name])
        for name in ("num_residual_layers", "compress", "dilation_growth_rate"):
            need_int(name, getattr(self, name), 64)
        for name in ("kernel_size", "last_kernel_size", "residual_kernel_size"):
            need_int(name, getattr(self, name), 1024)
        if self.num_lstm_layers != 0 or isinstance(self.num_lstm_layers, (bool, float)):
            need_int("num_lstm_layers", self.num_lstm_layers, 64)
        if self.pad_mode not in PADDINGS:
            raise ConfigError(f"pad_mode is {shown(self.pad_mode)}; wanted one of {', '.join(PADDINGS)}")
        if not isinstance(self.use_conv_shortcut, bool):
            raise ConfigError(f"use_conv_shortcut is {shown(self.use_conv_shortcut)}; wanted true or false")
        need_int(f"hop length, the product of {self.hop_of},", self.hop_length, LIMITS["hop_length"])
        widest = self.num_filters * 2 ** len(ratios)
        need_int("the number of channels that num_filters is doubled to", widest, LIMITS["channels"])
        if self.num_filters < self.compress:
            raise ConfigError(f"num_filters is {self.num_filters}; wanted at least compress, {self.compress}")

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.upsampling_ratios)

    @property
    def latent_channels(self) -> int:
        """Channels of what is quantised."""
        return self.hidden_size

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types, and the family."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return {"family": self.family, **values}

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces; equal configs give equal text (it is part of the codec hash)."""
        return canonical_json(self.to_dict())


def taken(values: Mapping[str, Any], names: Mapping[str, str], only: Mapping[str, Any]) -> dict[str, Any]:
    """Settings out of transformers' ``config.json``.

    Args:
        values: what the file holds.
        names: our names → theirs; what the file does not have is left out.
        only: by their names, the one value that the plans are made for.

    Raises:
        ConfigError: another value.
    """
    for name, wanted in only.items():
        if values.get(name, wanted) != wanted:
            raise ConfigError(f"{name} is {shown(values[name])}; only {wanted!r} is supported")
    return {ours: values[theirs] for ours, theirs in names.items() if theirs in values}


#: Our names → transformers'.
NAMES = {
    "sample_rate": "sampling_rate",
    **{name: name for name in (
        "hidden_size", "num_filters", "num_residual_layers", "upsampling_ratios", "kernel_size", "last_kernel_size",
        "residual_kernel_size", "dilation_growth_rate", "pad_mode", "compress", "use_conv_shortcut", "codebook_size",
    )},
}  # fmt: skip
#: By transformers' names, what is supported.
ONLY = {"audio_channels": 1, "use_causal_conv": True, "trim_right_ratio": 1.0}


def builder(config: SeanetConfig, channels: int, rate: int) -> PlanBuilder:
    """An empty plan that pads as ``config`` says."""
    return PlanBuilder(channels, rate, causal=True, pad=PADDINGS[config.pad_mode], fill_up=True)


def encoder(build: PlanBuilder, config: SeanetConfig) -> None:
    """Add the encoder: conv, residual units and a strided conv a rate, the LSTM if there is one, conv."""
    stack = _Stack(build, config, "encoder")
    stack.conv(config.num_filters, config.kernel_size)
    for stride in reversed(config.upsampling_ratios):
        stack.residual_units()
        stack.activation()
        stack.conv(2 * build.channels, 2 * stride, stride=stride, activation=Activation.ELU)
    stack.lstm()
    stack.activation()
    stack.conv(config.hidden_size, config.last_kernel_size, activation=Activation.ELU)


def decoder(build: PlanBuilder, config: SeanetConfig) -> None:
    """Add the decoder: conv, the LSTM if there is one, a transposed conv and residual units a rate, conv."""
    stack = _Stack(build, config, "decoder")
    stack.conv(config.num_filters * 2 ** len(config.upsampling_ratios), config.kernel_size)
    stack.lstm()
    for stride in config.upsampling_ratios:
        stack.activation()
        name = stack.next()
        build.transposed_conv(name, tensors(name), build.channels // 2, stride, activation=Activation.ELU)
        stack.residual_units()
    stack.activation()
    stack.conv(1, config.last_kernel_size, activation=Activation.ELU)


def tensors(name: str) -> Tensors:
    """Of the convolution called ``name``."""
    return Tensors(f"{name}.conv.weight", f"{name}.conv.bias")


class _Stack:
    """Counts modules as the state dict does: an activation is one, and so is a residual unit, whatever is in it."""

    def __init__(self, build: PlanBuilder, config: SeanetConfig, name: str) -> None:
        self._build, self._config, self._name, self._count = build, config, name, 0

    def next(self) -> str:
        self._count += 1
        return f"{self._name}.layers.{self._count - 1}"

    def activation(self) -> None:
        self.next()

    def conv(self, cout: int, kernel: int, *, stride: int = 1, activation: Activation = Activation.NONE) -> None:
        name = self.next()
        self._build.conv(name, tensors(name), cout, kernel, stride=stride, activation=activation)

    def residual_units(self) -> None:
        """ELU, conv, ELU, conv 1, and the sum with the input, or with a convolution of it."""
        build, config = self._build, self._config
        for number in range(config.num_residual_layers):
            name, channels = self.next(), build.channels
            wide, narrow = f"{name}.block.1", f"{name}.block.3"
            build.hold(name)
            build.conv(wide, tensors(wide), channels // config.compress, config.residual_kernel_size,
                       dilation=config.dilation_growth_rate**number, activation=Activation.ELU)  # fmt: skip
            build.conv(narrow, tensors(narrow), channels, 1, activation=Activation.ELU)
            build.join(name, tensors(f"{name}.shortcut") if config.use_conv_shortcut else None)

    def lstm(self) -> None:
        """The sum of an LSTM and its input."""
        if not self._config.num_lstm_layers:
            return
        name = self.next()
        self._build.hold(name)
        for layer in range(self._config.num_lstm_layers):
            names = (f"{name}.lstm.{part}_l{layer}" for part in ("weight_ih", "bias", "weight_hh"))
            weight, bias, recurrent = names
            self._build.lstm(name, Tensors(weight, bias, recurrent=recurrent))
        self._build.join(name)
