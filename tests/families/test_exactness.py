"""200 chunkings of more than five minutes of real audio, for each family on the native engine: no bit differs.

Knows: small codecs with the released strides and paddings, and real clips. Does not know: the originals
(test_official_codes.py), pools and snapshots (test_streams.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from streamrvq.codec import Codec, load
from streamrvq.resampling import resample_rows
from tests.conftest import RealAudio
from tests.families.pairs import FAMILIES, pair
from tests.support.contract import cut, log_uniform, needs_native, streamed, streamed_latents

pytestmark = needs_native

RATE = 24000
GROUPS, PER_GROUP = 10, 20
FIXED = (1, 320, 480, 1919, 1920, 1921, 4097)
SECONDS = {1: 0.3}  #: of the chunkings of one sample a push; the others last 1.6


class Chunking(NamedTuple):
    """One excerpt, and one way to cut it and its codes."""

    pcm: Any
    sizes: list[int]
    frames: list[int]
    why: str


def chunkings(audio: RealAudio, group: int) -> Iterator[Chunking]:
    """20 of the 200: seven of fixed sizes and thirteen log-uniform, each of another excerpt."""
    names, random = sorted(audio.clips), np.random.default_rng(group)
    for i in range(PER_GROUP):
        number, size = group * PER_GROUP + i, FIXED[i] if i < len(FIXED) else 0
        clip = audio.clips[names[number % len(names)]]
        count = round(SECONDS.get(size, 1.6) * 44100) + int(random.integers(0, 3000))
        start = int(random.integers(0, len(clip) - count))
        pcm = resample_rows(clip[None, start : start + count], 44100, RATE)[0]
        own = np.random.default_rng(number)
        sizes = itertools.repeat(size) if size else log_uniform(own, 1, 20_000)
        frames = itertools.repeat(1 + i) if size else log_uniform(own, 1, 40)
        yield Chunking(
            pcm,
            [len(piece) for piece in cut(pcm, sizes)],
            list(itertools.islice(frames, 300)),
            f"chunking {number}: {names[number % len(names)]}",
        )


@lru_cache(maxsize=4)
def codec_of(name: str) -> Codec:
    return load(pair(name, "sliding").folder, engine="native", threads=2)


def test_they_are_200_over_five_minutes(real_audio: RealAudio) -> None:
    every = [chunking for group in range(GROUPS) for chunking in chunkings(real_audio, group)]
    assert len(every) == 200
    assert sum(len(chunking.pcm) for chunking in every) / RATE >= 300
    sizes = {size for chunking in every for size in chunking.sizes[:-1]}
    assert sizes >= set(FIXED)
    assert max(sizes) > 19_000


@pytest.mark.parametrize("name", FAMILIES)
def test_every_codebook_is_used_widely(real_audio: RealAudio, name: str) -> None:
    """Codes that hardly vary could be equal by chance."""
    codes = [codec_of(name).encode(chunking.pcm) for chunking in chunkings(real_audio, 0)]
    used = [len(np.unique(level)) for level in np.concatenate(codes, axis=1)]
    assert min(used) >= 24, used


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("name", FAMILIES)
def test_chunking_never_shows(real_audio: RealAudio, name: str, group: int) -> None:
    codec = codec_of(name)
    for number, (pcm, sizes, frames, why) in enumerate(chunkings(real_audio, group)):
        codes, latents = codec.encode(pcm, return_latents=True)
        if number % 2:
            np.testing.assert_array_equal(streamed_latents(codec, pcm, sizes, "pad"), latents, err_msg=why)
        else:
            np.testing.assert_array_equal(streamed(codec.stream(), pcm, sizes), codes, err_msg=why)
        whole = codec.decode(codes)
        assert whole.tobytes() == streamed(codec.decoder_stream(), codes, frames).tobytes(), why
