"""EnCodec and Mimi give their original's codes and samples, whole and as streams, in float64 and float32.

The originals are transformers' models with random weights. Ours are rounded to float32 once: a folded weight norm, the
sum of an LSTM's biases, a codebook's quotients. So latents differ by some 1e-7, and codes by near-ties alone.

Knows: the public API, and the originals. Does not know: how a layer pads, the released sizes (test_full_width.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamrvq.checking.near_ties import compare
from streamrvq.codec import Codec, load
from streamrvq.geometry import Distance
from streamrvq.weights import load_weights
from tests.families.pairs import FAMILIES, Pair, pair
from tests.reference.spread import music
from tests.support.contract import BUILT, cut, log_uniform, streamed

HOPS = {"encodec": 320, "mimi": 1920}


def lengths(hop: int, step: int) -> list[int]:
    """From 1 to 3 · hop + 3, all around the ends of hops, and some of the others."""
    ends = {n * hop + i for n in range(4) for i in range(-2, 4)}
    return sorted(n for n in ends | set(range(1, 3 * hop, step)) if 1 <= n <= 3 * hop + 3)


def same_codes(ours: Any, wanted: Any, judge: Any, codec: Codec) -> None:
    found = compare(ours, wanted, judge, codec.codebooks, Distance.EUCLIDEAN)
    assert found.equal_but_for_near_ties, found


def close(ours: Any, wanted: Any, share: float) -> None:
    """Within a share of the largest value."""
    assert ours.shape == wanted.shape
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=share * float(np.abs(wanted).max()))


def first_latents(both: Pair, z: Any) -> Any:
    """What the first level quantises."""
    chain = getattr(both.model.quantizer, "semantic_residual_vector_quantizer", None)
    return (z if chain is None else chain.input_proj(z))[0].detach().numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_length_has_the_originals_frames_and_codes(name: str) -> None:
    both = pair(name)
    for samples in lengths(HOPS[name], HOPS[name] // 8):
        pcm = music(samples, seed=samples)
        z = both.latents(pcm)
        codes, latents = both.double.encode(pcm, tail="valid", return_latents=True)
        assert codes.shape == (both.double.n_codebooks, -(-samples // HOPS[name]))
        close(latents[: both.double.config.codebook_dim], first_latents(both, z), 1e-6)
        same_codes(codes, both.codes(z), latents, both.double)
        rng = np.random.default_rng(samples)
        np.testing.assert_array_equal(streamed(both.double.stream(tail="valid"), pcm, log_uniform(rng, 1, 999)), codes)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("frames", [1, 2, 3, 6, 7, 8, 15, 24])
def test_every_number_of_frames_has_the_originals_samples(name: str, frames: int) -> None:
    both, config = pair(name), pair(name).double.config
    codes = np.random.default_rng(frames).integers(0, config.codebook_size, (config.n_codebooks, frames))
    wanted = both.decode(codes)
    pcm = both.double.decode(codes)
    assert pcm.shape == (frames * config.hop_length,)
    close(pcm, wanted, 1e-6)
    close(both.single.decode(codes), wanted, 1e-4)
    rng = np.random.default_rng(frames)
    close(streamed(both.double.decoder_stream(), codes, log_uniform(rng, 1, 9)), pcm, 1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_seconds_of_audio(name: str) -> None:
    """Twelve: Mimi's transformer sees 10. Most entries of every level are used."""
    both, pcm = pair(name), music(24000 * 12 + 7, seed=5)
    z = both.latents(pcm)
    wanted = both.codes(z)
    codes, latents = both.double.encode(pcm, tail="valid", return_latents=True)
    same_codes(codes, wanted, latents, both.double)
    assert min(len(np.unique(level)) for level in codes) >= 30
    same_codes(both.single.encode(pcm, tail="valid"), wanted, latents, both.double)
    stream, rng = both.double.stream(tail="valid"), np.random.default_rng(0)
    np.testing.assert_array_equal(streamed(stream, pcm, log_uniform(rng, 1, 20000)), codes)
    close(both.double.decode(codes), both.decode(codes), 1e-6)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("samples", [2240, 3840 + 1000])
def test_fewer_levels(name: str, samples: int) -> None:
    both, pcm = pair(name), music(samples, seed=2)
    codes = both.double.encode(pcm)
    for levels in (1, 2, 5):
        np.testing.assert_array_equal(both.double.encode(pcm, n_quantizers=levels), codes[:levels])
    close(both.double.decode(codes[:3]), both.decode(codes[:3]), 1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_pad_is_the_original_of_a_padded_signal(name: str) -> None:
    both, pcm, hop = pair(name), music(5000, seed=4), HOPS[name]
    padded = np.concatenate([pcm, np.zeros(-len(pcm) % hop, np.float32)])
    np.testing.assert_array_equal(both.double.encode(pcm), both.double.encode(padded, tail="valid"))
    assert (both.double.encode(pcm) != both.double.encode(pcm, tail="valid")).any()


@pytest.mark.parametrize("engine", BUILT)
@pytest.mark.parametrize("name", FAMILIES)
def test_an_hour_in(name: str, engine: str) -> None:
    """Positions of float32 angles: the same state, far from its start, goes on alike however it is cut."""
    both = pair(name, "minute")
    codec = both.double if engine == "torch" else load(both.folder, engine=engine)
    hop = codec.hop_length
    engine, row = codec.engine, np.zeros(1, np.int64)
    pcm, parts = music(40 * hop, seed=1), []
    for sizes in ([40], [1] * 40, [3, 7, 30]):
        states = engine.new_states(1, "encode")
        engine.encode_step(pcm[None, : 7 * hop], states, row, row, row - 1, 1)
        clock = row + 90_000
        engine.import_state(states, 0, engine.export_state(states, 0), int(clock[0]))
        codes = []
        for block in cut(pcm[None], [size * hop for size in sizes]):
            codes.append(engine.encode_step(block, states, row, clock, row - 1, codec.n_codebooks)[0])
            clock = clock + block.shape[1] // hop
        parts.append(np.concatenate(codes, axis=2))
    np.testing.assert_array_equal(parts[0], parts[1])
    np.testing.assert_array_equal(parts[0], parts[2])


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_as_ours_it_is_the_same_codec(name: str, tmp_path: Any) -> None:
    codec = pair(name).single
    codec.save(tmp_path / "w.safetensors")
    again = load_weights(tmp_path / "w.safetensors")
    assert again.codec_hash == codec.codec_hash
    assert again.config == codec.config
