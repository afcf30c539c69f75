"""CodecConfig: what a codec is, as a frozen value with the keyword names of the Descript Audio Codec.

Knows: the numbers that define a codec, the presets, JSON. Does not know: what follows from the numbers (geometry.py),
weights, or tensors.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from .errors import ConfigError


@dataclasses.dataclass(frozen=True)
class CodecConfig:
    """A codec of the DAC family. The keywords are those of ``dac.DAC``; the last three are ours.

    Args:
        encoder_dim: channels after the first convolution; every encoder block doubles them.
        encoder_rates: strides of the encoder blocks; their product, times ``stem``, is the hop length in samples.
        latent_dim: channels between encoder, quantiser and decoder; None: ``encoder_dim · 2^blocks`` as in DAC.
        decoder_dim: channels after the decoder's first convolution; every decoder block halves them.
        decoder_rates: strides of the decoder blocks; their product must be that of the encoder's.
        n_codebooks: levels of the residual vector quantiser.
        codebook_size: entries of each codebook, at most 65 536 (codes travel as uint16).
        codebook_dim: dimensions in which the nearest entry is sought.
        quantizer_dropout: share of a training batch that is quantised with a random number of levels.
        sample_rate: Hz.
        causal: True pads on the left only (no lookahead); False is DAC's own symmetric padding.
        output_padding: True adds DAC's later ``output_padding = stride % 2`` in the decoder. The released packages lack
            it, so that their decoder is a sample short at each odd stride; it makes no difference for even strides.
        stem: stride of the encoder's first convolution. 1 is DAC's own convolution of 7 taps; more makes it one of
            2 · stem taps, which turns ``stem`` samples into channels at once, and the decoder's last its mirror, a
            transposed convolution.

    Raises:
        ConfigError: a value of the wrong type or out of range, or rates whose products differ.
    """

    encoder_dim: int = 64
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    latent_dim: int | None = None
    decoder_dim: int = 1536
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2)
    n_codebooks: int = 9
    codebook_size: int = 1024
    codebook_dim: int = 8
    quantizer_dropout: float = 0.0
    sample_rate: int = 44100
    causal: bool = False
    output_padding: bool = False
    stem: int = 1

    def __post_init__(self) -> None:
        for name in ("encoder_rates", "decoder_rates"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or not value:
                raise ConfigError(f"{name} is {value!r}; wanted a list of strides such as [2, 4, 8, 8]")
            object.__setattr__(self, name, tuple(value))
            for stride in value:
                _need_int(f"a stride in {name}", stride, 1)
        for name in (
            "encoder_dim", "decoder_dim", "n_codebooks", "codebook_size", "codebook_dim", "sample_rate", "stem",
        ):  # fmt: skip
            _need_int(name, getattr(self, name), 1)
        for name in ("causal", "output_padding"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; wanted true or false")
        if self.latent_dim is None:  # DAC's rule
            object.__setattr__(self, "latent_dim", self.encoder_dim * 2 ** len(self.encoder_rates))
        _need_int("latent_dim", self.latent_dim, 1)
        if self.codebook_size > 65536:
            raise ConfigError(f"codebook_size is {self.codebook_size}; codes travel as uint16, so at most 65536")
        dropout = self.quantizer_dropout
        if not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ConfigError(f"quantizer_dropout is {dropout!r}; wanted a share from 0 to 1")
        object.__setattr__(self, "quantizer_dropout", float(dropout))
        if math.prod(self.encoder_rates) != math.prod(self.decoder_rates):
            raise ConfigError(
                f"encoder_rates multiply to {math.prod(self.encoder_rates)} and decoder_rates to "
                f"{math.prod(self.decoder_rates)}; wanted the same hop length in both"
            )
        if self.output_padding and 1 in self.decoder_rates:
            raise ConfigError(
                f"output_padding is true with decoder_rates {list(self.decoder_rates)}; wanted strides of at least 2 "
                "there, for the padding of a stride of 1 would be as long as the stride: set output_padding to false"
            )
        if self.decoder_dim % 2 ** len(self.decoder_rates):
            raise ConfigError(
                f"decoder_dim is {self.decoder_dim}; wanted a multiple of {2 ** len(self.decoder_rates)}, "
                "for each decoder block halves it"
            )

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.stem * math.prod(self.encoder_rates)

    @property
    def latent_channels(self) -> int:
        """``latent_dim`` as a plain int (it is filled in when the config is made)."""
        assert self.latent_dim is not None
        return self.latent_dim

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types, in a fixed order; ``stem`` only where it is not 1, so that a DAC's JSON, and its
        hash, are those of the versions that knew no stem."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        if self.stem == 1:
            del values["stem"]
        return values

    def to_json(self) -> str:
        """Canonical JSON: keys sorted, no spaces; equal configs give equal text (it is part of the codec hash)."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CodecConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a key that is not a field, or a bad value.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown configuration key {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str | bytes) -> CodecConfig:
        """The inverse of `to_json`. Raises `ConfigError` for text that is not a JSON object of known keys."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the configuration is not JSON ({error}); wanted an object of codec settings") from None
        if not isinstance(values, dict):
            raise ConfigError(f"the configuration is a JSON {type(values).__name__}; wanted an object of settings")
        return cls.from_dict(values)


def _need_int(name: str, value: object, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{name} is {value!r}; wanted a whole number of at least {low}")


#: The shipped configurations. The three ``dac-*`` are those of the released DAC models; ``rvq-breakdown`` is the
#: walk-through of demos/rvq_breakdown.py; ``causal-44khz`` is the default.
PRESETS: dict[str, CodecConfig] = {
    "causal-44khz": CodecConfig(encoder_dim=32, decoder_dim=512, causal=True, quantizer_dropout=0.5),
    "dac-44khz": CodecConfig(quantizer_dropout=0.5),
    "dac-24khz": CodecConfig(
        encoder_rates=(2, 4, 5, 8), decoder_rates=(8, 5, 4, 2), n_codebooks=32, sample_rate=24000, quantizer_dropout=0.5
    ),
    "dac-16khz": CodecConfig(
        encoder_rates=(2, 4, 5, 8), decoder_rates=(8, 5, 4, 2), n_codebooks=12, sample_rate=16000, quantizer_dropout=0.5
    ),
    "rvq-breakdown": CodecConfig(latent_dim=64),
}

#: The codec that is used where none is named.
DEFAULT_CODEC = "causal-44khz"
