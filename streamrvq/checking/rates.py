"""Does chunking show where a stream resamples? The same tables as in table.py, of live streams at another rate.

Each stream is parked in the middle: its snapshot goes through bytes, and another stream goes on from them. So the
resampler's state is checked as well as its samples.

Knows: streams at other rates and their snapshots. Does not know: how codes are compared (table.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..audio.pcm import as_pcm
from ..audio.rates import check_rate
from ..codec import Codec
from ..engine.base import Codes, Floats
from ..streaming.checks import check_codes
from ..streaming.snapshot import Snapshot
from .table import FRAME_SIZES, MOST_FRAMES, MOST_SAMPLES, SIZES, Chunk, DecodeRow, Row, compared, cut, decodings


def check_chunkings_at(
    codec: Codec,
    pcm: Any,
    sample_rate: int,
    sizes: Sequence[Chunk] = SIZES,
    *,
    seed: int = 0,
    tail: str = "pad",
    progress: Callable[[str], None] | None = None,
) -> list[Row]:
    """Encode a signal whole and by live streams in chunks, at its own rate, and compare.

    Args:
        pcm: ``[samples]`` at ``sample_rate``.
        sample_rate: Hz.
        sizes, seed, progress: as `check_chunkings`; sizes are in samples of ``pcm``.

    Returns:
        A row for each of ``sizes``, without latents.

    Raises:
        InputError: bad samples, rate or sizes.
    """
    signal, rate = as_pcm(pcm), check_rate(sample_rate)

    def run(size: Chunk | None) -> tuple[Codes, Floats | None, int]:
        if size is None:
            return codec.encode(signal, sample_rate=rate, tail=tail), None, 1
        blocks = list(cut(signal, size, seed, MOST_SAMPLES))
        parts = _pushed(codec.stream(sample_rate=rate, tail=tail), codec.stream, blocks)
        return np.concatenate(parts, axis=1), None, len(blocks)

    return compared(codec, signal, rate, sizes, tail, progress, run)


def check_decoding_at(
    codec: Codec, codes: Any, sample_rate: int, sizes: Sequence[Chunk] = FRAME_SIZES, *, seed: int = 0
) -> list[DecodeRow]:
    """Decode codes ``[K, T]`` to ``sample_rate``, whole and by live streams in chunks of ``sizes`` frames, and compare
    sample by sample.

    Raises:
        InputError: bad codes, rate or sizes.
    """
    full, rate = check_codes(codes, codec.engine, 2), check_rate(sample_rate)

    def run(size: Chunk) -> tuple[Floats, int]:
        blocks = list(cut(full, size, seed, MOST_FRAMES))
        parts = _pushed(codec.decoder_stream(sample_rate=rate), codec.decoder_stream, blocks)
        return np.concatenate(parts), len(blocks)

    return decodings(codec, codec.decode(codes, sample_rate=rate), rate, sizes, run)


def _pushed(stream: Any, resume: Callable[..., Any], blocks: Sequence[Any]) -> list[Any]:
    """What a stream gives for each block and at its end. Half-way ``resume`` makes another from its snapshot."""
    parts = []
    for number, block in enumerate(blocks):
        if number == len(blocks) // 2:
            stream = resume(snapshot=Snapshot.from_bytes(stream.snapshot().to_bytes()))
        parts.append(stream.push(block))
    return [*parts, stream.flush()]
