"""The Descript Audio Codec's family: the order of its layers, and the names and shapes of its tensors.

Knows: what ``dac.DAC`` is made of, the stem that ours may have in front, and what transformers' DacConfig and DacModel
call the same. Does not know: how a layer streams (geometry/), files, engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy.typing as npt

from ..config import CodecConfig
from ..geometry import Activation, Level, Plan, PlanBuilder, Quantizer, Tensors
from .base import OURS, Arrays, Family, Foreign, put

#: Dilations of the three residual units of a block.
DILATIONS = (1, 3, 9)


def conv(build: PlanBuilder, name: str, cout: int, kernel: int, *, stride: int = 1, dilation: int = 1,
         snake: str | None = None) -> None:  # fmt: skip
    """Add the convolution ``name``, with the Snake called ``snake`` in front of it if there is one."""
    build.conv(name, _tensors(name, snake), cout, kernel, stride=stride, dilation=dilation,
               activation=_activation(snake))  # fmt: skip


def transposed_conv(build: PlanBuilder, name: str, cout: int, stride: int, *, snake: str | None = None) -> None:
    """Add the transposed convolution ``name`` of ``2 · stride`` taps, with a Snake as in `conv`."""
    build.transposed_conv(name, _tensors(name, snake), cout, stride, activation=_activation(snake))


def residual_unit(build: PlanBuilder, name: str, dilation: int) -> None:
    """Add Snake, dilated conv 7, Snake, conv 1, and the sum with the unit's input."""
    build.hold(name)
    conv(build, f"{name}.block.1", build.channels, 7, dilation=dilation, snake=f"{name}.block.0")
    conv(build, f"{name}.block.3", build.channels, 1, snake=f"{name}.block.2")
    build.join(name)


def _tensors(name: str, snake: str | None) -> Tensors:
    return Tensors(f"{name}.weight", f"{name}.bias", None if snake is None else f"{snake}.alpha")


def _activation(snake: str | None) -> Activation:
    return Activation.NONE if snake is None else Activation.SNAKE


def quantizer(config: CodecConfig) -> Quantizer:
    """The residual vector quantiser, which both directions share."""
    names = [f"quantizer.quantizers.{i}" for i in range(config.n_codebooks)]
    levels = tuple(
        Level(
            in_weight=f"{name}.in_proj.weight",
            in_bias=f"{name}.in_proj.bias",
            codebook=f"{name}.codebook.weight",
            out_weight=f"{name}.out_proj.weight",
            out_bias=f"{name}.out_proj.bias",
        )
        for name in names
    )
    return Quantizer(levels, config.codebook_size, config.codebook_dim, config.latent_channels)


def _builder(config: CodecConfig, channels: int, rate: int) -> PlanBuilder:
    return PlanBuilder(channels, rate, causal=config.causal, output_padding=config.output_padding)


@lru_cache(maxsize=64)
def encoder_plan(config: CodecConfig) -> Plan:
    """The encoder: conv 7 or stem, one block a stride (three residual units, Snake, strided conv), Snake, conv 3."""
    build = _builder(config, 1, config.hop_length)
    conv(build, "encoder.block.0", config.encoder_dim, 7 if config.stem == 1 else 2 * config.stem, stride=config.stem)
    for i, stride in enumerate(config.encoder_rates, 1):
        block = f"encoder.block.{i}.block"
        for j, dilation in enumerate(DILATIONS):
            residual_unit(build, f"{block}.{j}", dilation)
        conv(build, f"{block}.4", 2 * build.channels, 2 * stride, stride=stride, snake=f"{block}.3")
    last = len(config.encoder_rates) + 1
    conv(build, f"encoder.block.{last + 1}", config.latent_channels, 3, snake=f"encoder.block.{last}")
    return build.plan("encode", quantizer(config))


@lru_cache(maxsize=64)
def decoder_plan(config: CodecConfig) -> Plan:
    """The decoder: conv 7, one block a stride (Snake, transposed conv, three residual units), Snake, conv 7 or the
    stem's mirror, tanh."""
    build = _builder(config, config.latent_channels, 1)
    conv(build, "decoder.model.0", config.decoder_dim, 7)
    for i, stride in enumerate(config.decoder_rates, 1):
        block = f"decoder.model.{i}.block"
        transposed_conv(build, f"{block}.1", build.channels // 2, stride, snake=f"{block}.0")
        for j, dilation in enumerate(DILATIONS, 2):
            residual_unit(build, f"{block}.{j}", dilation)
    last = len(config.decoder_rates) + 1
    if config.stem == 1:
        conv(build, f"decoder.model.{last + 1}", 1, 7, snake=f"decoder.model.{last}")
    else:
        transposed_conv(build, f"decoder.model.{last + 1}", 1, config.stem, snake=f"decoder.model.{last}")
    return build.plan("decode", quantizer(config), tanh=True)


def normalised(config: CodecConfig) -> set[str]:
    """The tensors that carry weight norm in DAC: the weight of every convolution, the quantiser's projections too."""
    encoder = encoder_plan(config)
    layers = (*encoder.layers, *decoder_plan(config).layers)
    names = {layer.tensors.weight for layer in layers if layer.tensors is not None}
    for level in encoder.quantizer.levels:
        names |= {name for name in (level.in_weight, level.out_weight) if name is not None}
    return names


#: DacConfig's names of our settings.
FIELDS = {
    "encoder_dim": "encoder_hidden_size",
    "encoder_rates": "downsampling_ratios",
    "latent_dim": "hidden_size",
    "decoder_dim": "decoder_hidden_size",
    "decoder_rates": "upsampling_ratios",
    "n_codebooks": "n_codebooks",
    "codebook_size": "codebook_size",
    "codebook_dim": "codebook_dim",
    "quantizer_dropout": "quantizer_dropout",
    "sample_rate": "sampling_rate",
}


def _theirs(config: CodecConfig) -> Iterator[tuple[str | None, str]]:
    """Hugging Face's module names in the order of the plans: each convolution's, after that of the Snake before it."""

    def unit(name: str) -> Iterator[tuple[str | None, str]]:
        yield f"{name}.snake1", f"{name}.conv1"
        yield f"{name}.snake2", f"{name}.conv2"

    yield None, "encoder.conv1"
    for i in range(len(config.encoder_rates)):
        block = f"encoder.block.{i}"
        for j in (1, 2, 3):
            yield from unit(f"{block}.res_unit{j}")
        yield f"{block}.snake1", f"{block}.conv1"
    yield "encoder.snake1", "encoder.conv2"
    yield None, "decoder.conv1"
    for i in range(len(config.decoder_rates)):
        block = f"decoder.block.{i}"
        yield f"{block}.snake1", f"{block}.conv_t1"
        for j in (1, 2, 3):
            yield from unit(f"{block}.res_unit{j}")
    yield "decoder.snake1", "decoder.conv2"


def foreign_modules(config: CodecConfig) -> dict[str, str]:
    """DAC's module names → Hugging Face's, for every module with tensors whose names differ."""
    layers = (*encoder_plan(config).layers, *decoder_plan(config).layers)
    tensors = [layer.tensors for layer in layers if layer.tensors is not None]
    names: dict[str, str] = {}
    for ours, (snake, conv) in zip(tensors, _theirs(config), strict=True):
        names[_module(ours.weight)] = conv
        if ours.activation is not None and snake is not None:
            names[_module(ours.activation)] = snake
    return names


def _module(tensor: str) -> str:
    return tensor.rpartition(".")[0]


def renamed(tensors: Mapping[str, npt.NDArray[Any]], prefixes: Mapping[str, str]) -> Arrays:
    """``tensors`` with the module part of each name replaced. Names without an entry (the quantiser's) stay."""
    renamed: Arrays = {}
    for name, value in tensors.items():
        module, dot, rest = name.partition(".parametrizations.")
        if not dot:
            module, dot, rest = name.rpartition(".")
        put(renamed, f"{prefixes.get(module, module)}{dot}{rest}", value)
    return renamed


def config_of(values: Mapping[str, Any]) -> CodecConfig:
    """The configuration in a DacConfig. Raises `ConfigError` for a bad value."""
    ours = values.get(OURS)
    settings = {name: values[theirs] for name, theirs in FIELDS.items() if theirs in values}
    rates = settings.setdefault("encoder_rates", [2, 4, 8, 8])  # DacConfig's own defaults
    if isinstance(rates, list):
        settings.setdefault("decoder_rates", rates[::-1])
    settings.setdefault("sample_rate", 16000)
    settings["output_padding"] = isinstance(ours, dict) and ours.get("output_padding") is True
    return CodecConfig.from_dict(settings)


def tensors_of(config: CodecConfig, tensors: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """DacModel's tensors under our names."""
    return renamed(tensors, {theirs: ours for ours, theirs in foreign_modules(config).items()})


def guess(tensors: Mapping[str, npt.NDArray[Any]]) -> CodecConfig | None:
    """None: descript's package writes no tensors alone."""
    return None


DAC = Family("dac", CodecConfig, encoder_plan, decoder_plan, Foreign(config_of, tensors_of, guess))
