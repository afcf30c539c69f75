"""EnCodec's family, its causal models: a SEANet with an LSTM that pads by mirror images, and Euclidean codebooks.

The tensors' names are those of transformers' ``EncodecModel``, folded: a convolution has one ``weight``, and an LSTM's
layer one bias, the sum of torch's two.

Knows: the order of the layers, how transformers and the package ``encodec`` name settings and tensors. Does not know:
how a layer streams (geometry/), engines. The model at 48 kHz is another family: it norms over time and is not causal.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..config import from_values
from ..errors import ConfigError, WeightsError
from ..geometry import Distance, Level, Plan, Quantizer
from ..system.foreign_data import shown
from . import seanet
from .base import Arrays, Family, Foreign, floats, put


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodecConfig(seanet.SeanetConfig):
    """An EnCodec. The settings are `SeanetConfig`'s; the defaults are those of the model at 24 kHz."""

    family: ClassVar[str] = "encodec"

    hidden_size: int = 128
    num_filters: int = 32
    upsampling_ratios: tuple[int, ...] = (8, 5, 4, 2)
    last_kernel_size: int = 7
    pad_mode: str = "reflect"
    use_conv_shortcut: bool = True
    num_lstm_layers: int = 2
    n_codebooks: int = 32
    codebook_size: int = 1024
    codebook_dim: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.codebook_dim != self.hidden_size:
            raise ConfigError(f"codebook_dim is {self.codebook_dim}; wanted hidden_size, {self.hidden_size}")


def quantizer(config: EncodecConfig) -> Quantizer:
    """The residual vector quantiser, which both directions share."""
    books = (f"quantizer.layers.{i}.codebook.embed" for i in range(config.n_codebooks))
    levels = tuple(Level(None, None, book, None, None) for book in books)
    return Quantizer(levels, config.codebook_size, config.codebook_dim, config.hidden_size, Distance.EUCLIDEAN)


@lru_cache(maxsize=64)
def encoder_plan(config: EncodecConfig) -> Plan:
    """SEANet's encoder."""
    build = seanet.builder(config, 1, config.hop_length)
    seanet.encoder(build, config)
    return build.plan("encode", quantizer(config))


@lru_cache(maxsize=64)
def decoder_plan(config: EncodecConfig) -> Plan:
    """SEANet's decoder."""
    build = seanet.builder(config, config.hidden_size, 1)
    seanet.decoder(build, config)
    return build.plan("decode", quantizer(config))


_NAMES = seanet.NAMES | {"num_lstm_layers": "num_lstm_layers"}
_ONLY = seanet.ONLY | {"norm_type": "weight_norm", "normalize": False, "chunk_length_s": None}


def config_of(values: Mapping[str, Any]) -> EncodecConfig:
    """The configuration in transformers' ``config.json``. Raises `ConfigError` for one that cannot be streamed."""
    settings = seanet.taken(values, _NAMES, _ONLY)
    hidden = settings.get("hidden_size", EncodecConfig.hidden_size)
    dim = values.get("codebook_dim")
    settings["codebook_dim"] = hidden if dim is None else dim
    whole = from_values(EncodecConfig, settings)
    bandwidths = values.get("target_bandwidths", [1.5, 3.0, 6.0, 12.0, 24.0])  # kbit/s, of the model at 24 kHz
    if not isinstance(bandwidths, list) or not bandwidths or not _is_bandwidth(bandwidths[-1]):
        raise ConfigError(f"target_bandwidths is {shown(bandwidths)}; wanted a list of kbit/s")
    frame_rate, bits = math.ceil(whole.sample_rate / whole.hop_length), math.ceil(math.log2(whole.codebook_size))
    levels = int(1000 * min(bandwidths[-1], 1e9) // (frame_rate * max(1, bits)))
    return dataclasses.replace(whole, n_codebooks=levels)


def _is_bandwidth(value: Any) -> bool:
    return isinstance(value, (int, float)) and value > 0


#: What the package ``encodec`` calls things, and what transformers does.
_RENAMED = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.conv(tr)?\.conv(tr)?\.(?=weight|bias|parametrizations\.)"), ".conv."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)
#: The package's first weight: half of a weight norm of torch's old style or its new one, or folded.
_FIRST = re.compile(r"^encoder\.model\.0\.conv\.conv\.(weight|weight_v|parametrizations\.weight\.original1)$")
#: What only training needs.
_UNUSED = re.compile(r"^quantizer\.layers\.\d+\.codebook\.(embed_avg|cluster_size|inited)$")


def tensors_of(config: EncodecConfig, tensors: Mapping[str, npt.NDArray[Any]]) -> Arrays:
    """transformers' tensors, or the package's, under our names; an LSTM's two biases are added up and rounded once."""
    renamed: Arrays = {}
    for name, value in tensors.items():
        for pattern, ours in _RENAMED:
            name = pattern.sub(ours, name)
        if not _UNUSED.match(name):
            put(renamed, name, value)
    for name in [name for name in renamed if ".lstm.bias_ih_l" in name]:
        ours, other = name.replace("bias_ih", "bias"), name.replace("bias_ih", "bias_hh")
        one, two = renamed.pop(name), renamed.pop(other, None)
        if two is None or two.shape != one.shape:
            raise WeightsError(f"{name} came without {other} of its shape; wanted both biases of the LSTM")
        one, two = floats(name, one), floats(other, two)
        put(renamed, ours, (one.astype(np.float64) + two.astype(np.float64)).astype(np.float32))
    return renamed


def guess(tensors: Mapping[str, npt.NDArray[Any]]) -> EncodecConfig | None:
    """The model at 24 kHz with as many levels as there are, if the names are the package's."""
    levels = sum(name.startswith("quantizer.vq.layers.") and name.endswith("._codebook.embed") for name in tensors)
    return EncodecConfig(n_codebooks=levels) if levels and any(map(_FIRST.match, tensors)) else None


ENCODEC = Family("encodec", EncodecConfig, encoder_plan, decoder_plan, Foreign(config_of, tensors_of, guess))
