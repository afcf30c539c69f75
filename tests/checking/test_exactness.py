"""Promise 1 on real audio: 200 chunkings of more than five minutes, causal and symmetric, encoded and decoded.

Knows: a codec of width 2 with spread weights, the reference, and what a near-tie is (checking/near_ties.py).
The native engine, which people use, must give the bits of its own offline run in every chunking of both kinds, and
differ from the float64 reference in near-ties only. float64 must not differ at all, neither from its offline run nor
from the reference: in every chunking of one kind or the other, for a small step of torch costs ten of the native
engine's. STREAMRVQ_FULL=1 makes it both.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from streamrvq.checking.near_ties import compare
from streamrvq.codec import Codec
from streamrvq.config import PRESETS
from tests.conftest import RealAudio
from tests.support.contract import CLOSE, QUICK, codec_of, cut, log_uniform, plain_of, streamed, tiny, weights_of
from tests.support.native import FULL

GROUPS = 10  # of 20 chunkings each, so that workers share them
PER_GROUP = 20
FIXED = (1, 441, 480, 511, 512, 513, 960)
#: What `tiny` costs is mostly width, and nothing here depends on that: its layers have 1 to 32 channels, which is less
#: than one vector of the native engine and up to two of the longest.
narrow = partial(tiny, encoder_dim=2, decoder_dim=16)
#: Of one sample a push, of the other fixed sizes, and of random ones (0). What fixed sizes cost is the number of their
#: steps, and all ages of a stream and both its ends come within a quarter of a second.
SECONDS = dict.fromkeys(FIXED, 0.3) | {1: 0.25, 0: 2.2}


class Chunking(NamedTuple):
    """One excerpt, and one way to cut it and its codes."""

    number: int
    pcm: Any
    sizes: list[int]
    frames: list[int]
    why: str


def chunkings(audio: RealAudio, group: int) -> Iterator[Chunking]:
    """20 of the 200: seven of fixed sizes and thirteen log-uniform, each on another excerpt."""
    names = sorted(audio.clips)
    rng = np.random.default_rng(group)
    for i in range(PER_GROUP):
        number = group * PER_GROUP + i
        size = FIXED[i] if i < len(FIXED) else 0
        clip = audio.clips[names[number % len(names)]]
        count = round(SECONDS[size] * 44100) + int(rng.integers(0, 512))  # no whole number of hops
        start = int(rng.integers(0, len(clip) - count))
        sizes = itertools.repeat(size) if size else log_uniform(np.random.default_rng(number), 1, 20_000)
        frames = itertools.repeat(1 + i) if size else log_uniform(np.random.default_rng(number), 1, 40)
        pcm = clip[start : start + count]
        yield Chunking(
            number,
            pcm,
            [len(piece) for piece in cut(pcm, sizes)],
            list(itertools.islice(frames, -(-count // 512))),
            f"chunking {number}: {names[number % len(names)]}",
        )


def test_the_chunkings_are_200_over_five_minutes_and_reach_both_ends(real_audio: RealAudio) -> None:
    every = [c for group in range(GROUPS) for c in chunkings(real_audio, group)]
    assert len(every) == 200
    assert sum(len(c.pcm) for c in every) / 44100 >= 300
    assert real_audio.seconds >= 300
    assert len(real_audio.clips) == 12
    sizes = {size for c in every for size in c.sizes}
    assert min(sizes) == 1
    assert max(sizes) > 19_000
    assert set(FIXED) <= sizes


@pytest.mark.parametrize("kind", ["causal", "symmetric"])
def test_every_codebook_is_used_widely(real_audio: RealAudio, kind: str) -> None:
    """Codes that hardly vary could be equal by chance."""
    codec = codec_of(narrow(causal=kind == "causal"), "float32")
    pcm = np.concatenate([clip[44100 : 44100 * 3] for clip in real_audio.clips.values()])
    codes = codec.encode(pcm)
    used = [len(np.unique(level)) for level in codes]
    assert min(used) >= 100, used


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("kind", ["causal", "symmetric"])
def test_chunking_never_shows(real_audio: RealAudio, kind: str, group: int) -> None:
    config = narrow(causal=kind == "causal")
    plain, quick = plain_of(config), codec_of(config, *QUICK)
    for chunking in chunkings(real_audio, group):
        judge = plain.encode(chunking.pcm, pad=True)
        codes = judge.codes[0].numpy()
        samples = plain.decode(codes)[0].numpy()
        latents = judge.latents[0].numpy()
        # torch in float32 may differ from itself, too. What it costs leaves it every eighth.
        single = codec_of(config, "float32", "torch") if chunking.number % 8 == 0 else quick
        check_float32(single, chunking, codes, latents, samples)
        if FULL or (chunking.number % 2 == 0) == (kind == "causal"):
            check_float64(codec_of(config, "float64"), chunking, codes, latents, samples)


def check_float32(codec: Codec, chunking: Chunking, codes: Any, latents: Any, samples: Any) -> None:
    pcm, why = chunking.pcm, chunking.why
    chunked, whole = streamed(codec.stream(), pcm, chunking.sizes), codec.encode(pcm)
    heard, decoded = streamed(codec.decoder_stream(), codes, chunking.frames), codec.decode(codes)
    runs = [chunked, whole]
    if codec.engine.name == "native":
        runs = [chunked]
        np.testing.assert_array_equal(chunked, whole, err_msg=why)
        np.testing.assert_array_equal(heard, decoded, err_msg=why)
    for run in runs:
        found = compare(run, codes, latents, codec.codebooks)
        assert found.equal_but_for_near_ties, f"{why}: {found}"
        # ≤ 1e-4 of frames × levels, but one frame of a short excerpt may be a tie.
        assert found.differing_frames <= max(1, 1e-4 * codes.size), f"{why}: {found}"
    np.testing.assert_allclose(heard, samples, rtol=0, atol=1e-4, err_msg=why)


def check_float64(codec: Codec, chunking: Chunking, codes: Any, latents: Any, samples: Any) -> None:
    pcm, why = chunking.pcm, chunking.why
    offline, own = codec.encode(pcm, return_latents=True)
    np.testing.assert_array_equal(offline, codes, err_msg=f"{why}, offline")
    np.testing.assert_array_equal(streamed(codec.stream(), pcm, chunking.sizes), codes, err_msg=why)
    np.testing.assert_allclose(own, latents, rtol=0, atol=CLOSE, err_msg=why)
    whole, chunked = codec.decode(codes), streamed(codec.decoder_stream(), codes, chunking.frames)
    assert whole.shape == chunked.shape == samples.shape == (codes.shape[1] * 512,)
    np.testing.assert_allclose(chunked, whole, rtol=0, atol=1e-12, err_msg=why)
    np.testing.assert_allclose(chunked, samples, rtol=0, atol=1e-12, err_msg=why)
    # As 16-bit samples they do not differ at all.
    np.testing.assert_array_equal(np.rint(chunked * 2**15), np.rint(whole * 2**15), err_msg=why)
    np.testing.assert_array_equal(np.rint(chunked * 2**15), np.rint(samples * 2**15), err_msg=why)


@pytest.mark.heavy
def test_full_width_differs_in_near_ties_only(real_audio: RealAudio) -> None:
    """dac-44khz as it is, 5 s in float32: two streams against the offline run; float64 judges where they differ.

    One has steps of a hop, whichever of its two sizes comes. The other's are of any length up to 40 hops.
    """
    pcm = real_audio.excerpt(5)
    config = PRESETS["dac-44khz"]
    codec = codec_of(config, "float32")
    offline = codec.encode(pcm)
    for sizes in ((512, 441), (20_000, 1, 5000, 37)):
        codes = streamed(codec.stream(), pcm, itertools.cycle(sizes))
        assert codes.shape == offline.shape == (9, 431)
        if (codes != offline).any():
            latents = Codec(weights_of(config), dtype="float64").encode(pcm, return_latents=True)[1]
            found = compare(codes, offline, latents, codec.codebooks)
            assert found.equal_but_for_near_ties, (sizes, found)
            assert found.differing_frames <= 1e-4 * codes.size, (sizes, found)
