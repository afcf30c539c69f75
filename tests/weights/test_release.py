"""The weights that the package ships: what they are, and that they keep the promises that seeded weights keep.

Knows: real clips, levels that a microphone may give. Does not know: how good the codec sounds (tools/quality).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

import streamrvq
from streamrvq import Codec
from streamrvq.checking.near_ties import compare
from tests.support.contract import streamed
from tests.support.paths import DEMOS

DATA = Path(streamrvq.__file__).parent / "weights" / "data"
CLIPS = sorted((DEMOS / "audio").glob("*.flac"))


pytestmark = pytest.mark.skipif(
    not (DATA / "causal-44khz.safetensors").is_file(), reason="no trained weights are in the package yet"
)


@lru_cache(maxsize=1)
def codec() -> Codec:
    return streamrvq.load("causal-44khz", threads=1)


@lru_cache(maxsize=1)
def exact() -> Codec:
    return Codec(codec().weights, dtype="float64")


def clip(path: Path, seconds: float) -> np.ndarray:
    pcm, rate = soundfile.read(path, dtype="float32", frames=round(44100 * seconds))
    assert rate == 44100
    return np.asarray(pcm if pcm.ndim == 1 else pcm.mean(1), np.float32)


def test_they_are_trained_small_and_described() -> None:
    weights = codec().weights
    assert codec().trained
    assert codec().delay_frames == 0
    assert (DATA / "causal-44khz.safetensors").stat().st_size <= 25e6
    assert [n for n, v in weights.tensors.items() if not np.array_equal(v, v.astype(np.float16))] == []
    record = json.loads((DATA / "causal-44khz.json").read_text(encoding="utf-8"))
    assert record["runs"][-1]["codec_hash"] == weights.codec_hash
    card = (DATA / "causal-44khz.md").read_text(encoding="utf-8")
    assert weights.codec_hash[:12] in card, "the model card is of other weights"


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_cutting_does_not_show(path: Path) -> None:
    """Offline, hop by hop and at random; float64 is the judge where two engines or shapes round differently."""
    pcm = clip(path, 3.0)
    offline, latents = codec().encode(pcm, return_latents=True)
    reference, wanted = exact().encode(pcm, return_latents=True)
    rng = np.random.default_rng(0)
    for sizes in ([512] * 1000, [441] * 1000, rng.integers(1, 4000, 1000).tolist()):
        live = streamed(codec().stream(), pcm, sizes)
        assert compare(live, offline, wanted, codec().codebooks).equal_but_for_near_ties
        if codec().engine.name == "native":
            assert np.array_equal(live, offline)
    found = compare(offline, reference, wanted, codec().codebooks)
    assert found.equal_but_for_near_ties, found
    assert found.differing_frames <= 0.01 * offline.shape[1], found
    np.testing.assert_allclose(latents[:8], wanted[:8], atol=2e-5 * np.abs(wanted[:8]).max())

    decoded = codec().decode(offline)
    stream = codec().decoder_stream()
    parts = [stream.push(offline[:, at : at + 3]) for at in range(0, offline.shape[1], 3)] + [stream.flush()]
    np.testing.assert_allclose(np.concatenate(parts), decoded, atol=1e-5)
    np.testing.assert_allclose(decoded, exact().decode(offline), atol=1e-4)


def test_levels_that_a_microphone_may_give() -> None:
    """Silence, noise at full scale, a clipped voice, 30 dB more and less: finite, in range, and about as loud."""
    voice = clip(CLIPS[-1], 2.0)
    rng = np.random.default_rng(1)
    signals = {
        "silence": np.zeros(44100, np.float32),
        "noise": rng.uniform(-1, 1, 44100).astype(np.float32),
        "square": np.sign(np.sin(np.arange(44100) / 20)).astype(np.float32),
        "clipped": np.clip(voice * 30, -1, 1),
        "+30 dB": voice * 31.6,
        "-30 dB": voice / 31.6,
    }
    for name, pcm in signals.items():
        decoded = codec().decode(codec().encode(pcm))[: len(pcm)]
        assert np.isfinite(decoded).all(), name
        assert np.abs(decoded).max() <= 1, name
        loud, was = (float(np.sqrt(np.mean(np.square(x)))) for x in (decoded, np.clip(pcm, -1, 1)))
        if name == "silence":
            assert loud < 10 ** (-35 / 20), f"silence comes back at {20 * np.log10(loud):.0f} dBFS"
        else:
            assert 10 ** (-15 / 20) < loud / was < 10 ** (15 / 20), f"{name}: {20 * np.log10(loud / was):+.1f} dB"


def test_fewer_codebooks_are_worse_in_order() -> None:
    import torch

    from streamrvq.train.losses import Losses

    losses = Losses(44100, (2048, 512, 128))
    pcm = [clip(path, 3.0) for path in CLIPS]
    codes = [codec().encode(x) for x in pcm]
    mel = []
    for levels in (9, 4, 2, 1):
        pairs = [(x, codec().decode(k[:levels])[: len(x)]) for x, k in zip(pcm, codes, strict=True)]
        mel.append(
            np.mean([float(losses(torch.from_numpy(x)[None], torch.from_numpy(y)[None])["mel"]) for x, y in pairs])
        )
    assert mel == sorted(mel), mel
