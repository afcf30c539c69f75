"""The official model of a codec's shape, offline, to compare with.

The weights are random, since the time does not depend on them. Padding is symmetric, and widths, strides and codebooks
are the codec's. Neither package is a dependency: if both are missing, there is nothing to compare with, and the report
says so.

Knows: Hugging Face's `DacModel` and descript's `dac.DAC`. Does not know: our engines.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from ..config import CodecConfig, Config
from ..errors import ExtraError
from ..system.optional import need


@dataclasses.dataclass(frozen=True)
class Official:
    """The official model's times: medians over the rounds.

    Attributes:
        name: package, version and class.
        audio_seconds: how many a run encoded.
        rtf, decode_rtf: time ÷ audio time of encoding and of decoding. The latter is None if it was not asked for.
    """

    name: str
    audio_seconds: float
    rtf: float
    decode_rtf: float | None


class OfficialModel:
    """A model that is timed with `run`, once in each round."""

    def __init__(
        self, name: str, encode: Callable[[Any], Any], decode: Callable[[Any], Any] | None, pcm: Any,
        seconds: float, threads: int,
    ) -> None:  # fmt: skip
        self.name, self.audio_seconds, self.threads = name, seconds, threads
        self._encode, self._decode, self._pcm = encode, decode, pcm
        self._times: list[float] = []
        self._decode_times: list[float] = []
        self._warm = False

    @classmethod
    def make(
        cls, config: Config, seconds: float, threads: int, *, decode: bool
    ) -> tuple[OfficialModel | None, str | None]:
        """The model, or None and the reason. It encodes ``seconds`` of noise with ``threads`` threads."""
        if not isinstance(config, CodecConfig):
            return None, "only DAC's official models are timed here"
        if config.stem != 1:
            return None, f"no official model has a strided stem, and this codec's is {config.stem}"
        try:
            torch = need("torch", "torch", "official models need")
        except ExtraError as error:
            return None, str(error)
        reasons = []
        for build in (_transformers, _descript):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # from the foreign packages
                    name, encoder, decoder = build(config)
            except Exception as error:  # whatever is wrong with a foreign package, the benchmark continues
                reasons.append(f"{build.__name__[1:]}: {error}")
                continue
            hops = max(1, round(seconds * config.sample_rate / config.hop_length))
            samples = hops * config.hop_length
            pcm = 0.1 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0))
            return cls(name, encoder, decoder if decode else None, pcm, samples / config.sample_rate, threads), None
        return None, f"no official model is installed ({'; '.join(reasons)}): pip install transformers"

    def run(self) -> None:
        """Encode once, and decode if that was asked for. The first call does a warm-up run before that."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not self._warm:
                    self._once(None, None)
                    self._warm = True
                self._once(self._times, self._decode_times)
        finally:
            torch.set_num_threads(before)

    def _once(self, times: list[float] | None, decode_times: list[float] | None) -> None:
        start = time.perf_counter()
        z = self._encode(self._pcm)
        middle = time.perf_counter()
        if self._decode is not None:
            self._decode(z)
        if times is not None and decode_times is not None:
            times.append(middle - start)
            decode_times.append(time.perf_counter() - middle)

    def result(self) -> Official:
        """The medians of the runs so far."""
        rtf, decode_rtf = (median(times) / self.audio_seconds for times in (self._times, self._decode_times))
        return Official(self.name, self.audio_seconds, rtf, None if self._decode is None else decode_rtf)


def _transformers(config: CodecConfig) -> tuple[str, Callable[[Any], Any], Callable[[Any], Any]]:
    module = importlib.import_module("transformers")
    settings = module.DacConfig(
        encoder_hidden_size=config.encoder_dim, downsampling_ratios=list(config.encoder_rates),
        decoder_hidden_size=config.decoder_dim, n_codebooks=config.n_codebooks, codebook_size=config.codebook_size,
        codebook_dim=config.codebook_dim, sampling_rate=config.sample_rate,
    )  # fmt: skip
    # DacConfig derives these by DAC's rules, but the codec has its own values.
    settings.hidden_size, settings.upsampling_ratios = config.latent_channels, list(config.decoder_rates)
    model = module.DacModel(settings).eval()
    return (
        f"transformers {module.__version__} DacModel",
        lambda pcm: model.encode(pcm).quantized_representation,
        lambda z: model.decode(quantized_representation=z),
    )


def _descript(config: CodecConfig) -> tuple[str, Callable[[Any], Any], Callable[[Any], Any]]:
    module = importlib.import_module("dac")
    keywords = config.to_dict()
    for ours in ("causal", "output_padding"):
        del keywords[ours]
    model = module.DAC(**keywords).eval()
    return f"descript-audio-codec {module.__version__}", lambda pcm: model.encode(pcm)[0], lambda z: model.decode(z)
