"""The systems that are compared: the original, a codec at several numbers of codebooks, Opus at several rates.

Knows: how each turns a clip into samples again. Does not know: metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr

from streamrvq import Codec
from streamrvq.engine.base import Codes

from .clips import RATE, Samples
from .errors import QualityError
from .opus import through_opus

Kind = Literal["original", "ours", "rival", "opus"]
OPUS_KBPS = (6, 8, 12, 16, 24)
CODEBOOKS = (9, 6, 4, 2, 1)


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        kind: ``"rival"`` is the codec of --against, with all its codebooks.
        amount: codebooks of a codec; kbit/s that Opus is asked for; 0 for the original.
    """

    kind: Kind
    amount: int = 0

    @property
    def name(self) -> str:
        if self.kind == "original":
            return "original"
        return (
            f"Opus {self.amount}"
            if self.kind == "opus"
            else f"{self.kind}, {self.amount} codebook{'s' * (self.amount != 1)}"
        )


@dataclass(frozen=True)
class Result:
    """A system's output for a clip: as many samples as the clip has, the bits used, and a codec's codes ``[K, T]``."""

    system: System
    pcm: Samples
    bits: float
    codes: Codes | None = None


def systems(codec_levels: int, codebooks: Sequence[int], opus: Sequence[int], rival_levels: int = 0) -> list[System]:
    """The rows, the best of each kind first. The codec's full number of codebooks is always included."""
    if any(number < 1 for number in (*codebooks, *opus)):
        raise QualityError(f"codebooks {codebooks} and kbit/s {opus}; wanted 1 or more of each")
    levels = sorted({codec_levels, *(number for number in codebooks if number < codec_levels)}, reverse=True)
    rival = [System("rival", rival_levels)] if rival_levels else []
    return [System("original"), *(System("ours", number) for number in levels), *rival,
            *(System("opus", kbps) for kbps in sorted(set(opus), reverse=True))]  # fmt: skip


def results(pcm: Samples, wanted: Sequence[System], codec: Codec, rival: Codec | None = None) -> Iterator[Result]:
    """The output of each wanted system for a clip, in their order. A codec encodes a clip only once."""
    codes: dict[Kind, Codes] = {}
    for system in wanted:
        if system.kind == "original":
            yield Result(system, pcm, 16.0 * len(pcm))
        elif system.kind == "opus":
            yield Result(system, *through_opus(pcm, system.amount))
        else:
            used = rival if system.kind == "rival" else codec
            assert used is not None
            if system.kind not in codes:
                codes[system.kind] = used.encode(pcm, sample_rate=RATE)
            taken = codes[system.kind][: system.amount]
            yield Result(
                system, _decoded(used, taken, len(pcm)), taken.size * np.log2(used.config.codebook_size), taken
            )


def _decoded(codec: Codec, codes: Codes, samples: int) -> Samples:
    pcm = np.asarray(codec.decode(codes), np.float32)
    if codec.sample_rate != RATE:
        pcm = np.asarray(soxr.resample(pcm, codec.sample_rate, RATE, quality="VHQ"), np.float32)
    return np.pad(pcm, (0, max(0, samples - len(pcm))))[:samples]
