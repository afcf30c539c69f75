"""Mimi's family: a SEANet that pads with zeros, a causal transformer at 25 Hz, and a split quantiser.

The tensors' names are those of transformers' ``MimiModel`` as it saves them, with three changes: q, k and v of an
attention are one matrix, ``in_proj``; linear weights have a third dimension, of one tap; a codebook's entries are
``embed``, the quotient of what the training keeps.

Knows: the order of the layers, how transformers and the package ``moshi`` name settings and tensors. Does not know:
how a layer streams (geometry/), engines.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from ..config import LIMITS, from_values, need_int
from ..errors import ConfigError
from ..geometry import Activation, Chain, Distance, Level, Padding, Plan, PlanBuilder, Quantizer, Tensors
from ..system.foreign_data import shown
from . import seanet
from .base import Family, Foreign
from .mimi_names import CHAINS, guess_levels, tensors_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class MimiConfig(seanet.SeanetConfig):
    """A Mimi. The defaults are those of the released model.

    Args:
        latent_stride: positions of the transformer per frame.
        num_hidden_layers: blocks of each of the two transformers.
        num_attention_heads, head_dim: of an attention.
        intermediate_size: channels between the two linear layers of a block.
        sliding_window: positions that an attention sees, its own included.
        rope_theta: of the rotary positions.
        norm_eps: of the layer norms.
        upsample_groups: of the transposed convolution in front of the decoder's transformer.
        num_semantic_quantizers: levels of the first chain; the second, with the rest, begins with the same latent.
        other settings: `SeanetConfig`'s.
    """

    family: ClassVar[str] = "mimi"
    hop_of: ClassVar[str] = "upsampling_ratios and latent_stride"

    hidden_size: int = 512
    num_filters: int = 64
    upsampling_ratios: tuple[int, ...] = (8, 6, 5, 4)
    last_kernel_size: int = 3
    pad_mode: str = "constant"
    use_conv_shortcut: bool = False
    n_codebooks: int = 32
    codebook_size: int = 2048
    codebook_dim: int = 256
    latent_stride: int = 2
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    head_dim: int = 64
    intermediate_size: int = 2048
    sliding_window: int = 250
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    upsample_groups: int = 512
    num_semantic_quantizers: int = 1

    def __post_init__(self) -> None:
        need_int("latent_stride", self.latent_stride, LIMITS["hop_length"])
        super().__post_init__()
        for name in ("num_attention_heads", "head_dim", "intermediate_size", "upsample_groups"):
            need_int(name, getattr(self, name), LIMITS["channels"])
        need_int("num_hidden_layers", self.num_hidden_layers, 256)
        need_int("sliding_window", self.sliding_window, 1 << 20)
        if self.n_codebooks < 2:
            raise ConfigError(f"n_codebooks is {self.n_codebooks}; wanted at least 2: a Mimi has two chains of levels")
        need_int("num_semantic_quantizers", self.num_semantic_quantizers, self.n_codebooks - 1)
        need_int("all heads' channels together", self.num_attention_heads * self.head_dim, LIMITS["channels"])
        if self.head_dim % 2:
            raise ConfigError(f"head_dim is {self.head_dim}; wanted an even number, for positions are rotations")
        if self.hidden_size % self.upsample_groups:
            raise ConfigError(f"upsample_groups is {self.upsample_groups}; wanted a divisor of {self.hidden_size}")
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"{name} is {shown(value)}; wanted a positive number")
            object.__setattr__(self, name, float(value))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.upsampling_ratios) * self.latent_stride


def quantizer(config: MimiConfig) -> Quantizer:
    """Two chains on one latent, which both directions share."""
    counts = config.num_semantic_quantizers, config.n_codebooks - config.num_semantic_quantizers
    levels, chains = list[Level](), list[Chain]()
    for name, count in zip(CHAINS, counts, strict=True):
        books = (f"quantizer.{name}.layers.{i}.codebook.embed" for i in range(count))
        levels += [Level(None, None, book, None, None) for book in books]
        if config.codebook_dim == config.hidden_size:
            chains.append(Chain(count, config.codebook_dim))
        else:
            ends = (f"quantizer.{name}.{end}_proj.weight" for end in ("input", "output"))
            chains.append(Chain(count, config.codebook_dim, *ends))
    return Quantizer(tuple(levels), config.codebook_size, config.codebook_dim, config.hidden_size, Distance.EUCLIDEAN,
                     tuple(chains))  # fmt: skip


@lru_cache(maxsize=64)
def encoder_plan(config: MimiConfig) -> Plan:
    """SEANet's encoder, the transformer, and a strided convolution that pads by copies."""
    build = seanet.builder(config, 1, config.hop_length)
    seanet.encoder(build, config)
    _transformer(build, config, "encoder_transformer")
    if config.latent_stride > 1:
        build.conv("downsample", Tensors("downsample.conv.weight"), config.hidden_size, 2 * config.latent_stride,
                   stride=config.latent_stride, pad=Padding.REPLICATE)  # fmt: skip
    return build.plan("encode", quantizer(config))


@lru_cache(maxsize=64)
def decoder_plan(config: MimiConfig) -> Plan:
    """A transposed convolution, the transformer, SEANet's decoder."""
    build = seanet.builder(config, config.hidden_size, 1)
    if config.latent_stride > 1:
        build.transposed_conv("upsample", Tensors("upsample.conv.weight"), config.hidden_size, config.latent_stride,
                              groups=config.upsample_groups)  # fmt: skip
    _transformer(build, config, "decoder_transformer")
    seanet.decoder(build, config)
    return build.plan("decode", quantizer(config))


def _transformer(build: PlanBuilder, config: MimiConfig, name: str) -> None:
    """Blocks of attention and of two linear layers, each behind a norm, scaled, and added to its input."""
    channels = config.num_attention_heads * config.head_dim
    for number in range(config.num_hidden_layers):
        block = f"{name}.layers.{number}"
        build.hold(block)
        _norm(build, config, f"{block}.input_layernorm")
        _linear(build, f"{block}.self_attn.in_proj", 3 * channels)
        build.attention(f"{block}.self_attn", config.num_attention_heads, config.sliding_window, config.rope_theta)
        _linear(build, f"{block}.self_attn.o_proj", config.hidden_size)
        build.join(block, scale=f"{block}.self_attn_layer_scale.scale")
        build.hold(block)
        _norm(build, config, f"{block}.post_attention_layernorm")
        _linear(build, f"{block}.mlp.fc1", config.intermediate_size)
        _linear(build, f"{block}.mlp.fc2", config.hidden_size, Activation.GELU)
        build.join(block, scale=f"{block}.mlp_layer_scale.scale")


def _norm(build: PlanBuilder, config: MimiConfig, name: str) -> None:
    build.norm(name, Tensors(f"{name}.weight", f"{name}.bias"), config.norm_eps)


def _linear(build: PlanBuilder, name: str, cout: int, activation: Activation = Activation.NONE) -> None:
    build.conv(name, Tensors(f"{name}.weight"), cout, 1, activation=activation)


_NAMES = seanet.NAMES | {"n_codebooks": "num_quantizers"} | {name: name for name in (
    "codebook_dim", "num_hidden_layers", "num_attention_heads", "head_dim", "intermediate_size", "sliding_window",
    "norm_eps", "upsample_groups", "num_semantic_quantizers",
)}  # fmt: skip
_ONLY = seanet.ONLY | {"hidden_act": "gelu", "attention_bias": False}


def config_of(values: Mapping[str, Any]) -> MimiConfig:
    """The configuration in transformers' ``config.json``. Raises `ConfigError` for one that cannot be streamed."""
    settings = seanet.taken(values, _NAMES, _ONLY)
    for name in ("encoder_config", "decoder_config"):  # null where transformers made half a model
        if values.get(name, ...) is None:
            raise ConfigError(f"{name} is null, for a model without that half; wanted a Mimi with both")
    for name in ("upsampling_ratios", "head_dim"):  # for which null stands for the usual
        if settings.get(name, ...) is None:
            del settings[name]
    if settings.get("codebook_dim", ...) is None:
        settings["codebook_dim"] = settings.get("hidden_size", MimiConfig.hidden_size)
    settings["rope_theta"] = _rope_theta(values)
    whole = from_values(MimiConfig, _with_head_dim(settings))
    if values.get("num_key_value_heads", whole.num_attention_heads) != whole.num_attention_heads:
        raise ConfigError(
            f"num_key_value_heads is {shown(values['num_key_value_heads'])}; only as many as num_attention_heads, "
            f"{whole.num_attention_heads}, are supported"
        )
    if values.get("vector_quantization_hidden_dimension", whole.codebook_dim) != whole.codebook_dim:
        raise ConfigError(f"codebook_dim is {whole.codebook_dim}; wanted vector_quantization_hidden_dimension")
    rate = values.get("_frame_rate")  # as transformers 5 saves it
    if rate is None:
        rate = values.get("frame_rate")
    if rate is None:
        return whole
    inner = math.ceil(whole.sample_rate / math.prod(whole.upsampling_ratios))
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= inner:
        raise ConfigError(f"frame_rate is {shown(rate)}; wanted at most {inner} frames a second")
    if inner / 2 < rate < inner:  # transformers makes these layers with a stride of 1
        raise ConfigError(
            f"frame_rate is {shown(rate)} where the strides give {inner} frames a second; wanted {inner}, or at most "
            f"{inner / 2}: a downsampling of stride 1 is not supported"
        )
    return dataclasses.replace(whole, latent_stride=int(min(inner / rate, LIMITS["hop_length"] + 1)))


def _rope_theta(values: Mapping[str, Any]) -> Any:
    """The base of the rotary positions, found as transformers finds it in files of all its releases."""
    name = "rope_scaling" if values.get("rope_scaling") else "rope_parameters"
    rope = values.get(name) or {}
    if not isinstance(rope, dict):
        raise ConfigError(f"{name} is {shown(rope)}; wanted an object with rope_type and rope_theta")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ConfigError(f"rope_type is {shown(kind)}; only 'default' is supported")
    whole = values.get("rope_theta")
    return rope.get("rope_theta", MimiConfig.rope_theta if whole is None else whole)


def _with_head_dim(settings: dict[str, Any]) -> dict[str, Any]:
    """transformers leaves head_dim out where the heads share the channels."""
    hidden = settings.get("hidden_size", MimiConfig.hidden_size)
    heads = settings.get("num_attention_heads", MimiConfig.num_attention_heads)
    if "head_dim" in settings or not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1:
        return settings
    return settings | {"head_dim": hidden // heads}


def guess(tensors: Mapping[str, Any]) -> MimiConfig | None:
    """The released model with as many levels as there are, if the names are moshi's."""
    levels = guess_levels(tensors)
    return None if levels < 2 else MimiConfig(n_codebooks=levels)


MIMI = Family("mimi", MimiConfig, encoder_plan, decoder_plan, Foreign(config_of, tensors_of, guess))
