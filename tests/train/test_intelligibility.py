"""ESTOI: the published measure's values, from samples at any rate.

Knows: the package ``pystoi``, with which it is compared.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from streamrvq.train.intelligibility import estoi

RATE = 44100


def syllables(seed: int) -> tuple[Tensor, Tensor]:
    """Three seconds of bands that swell and fade each at its own pace, and noise as loud as they are."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(3 * RATE))
    hertz = np.arange(len(spectrum)) / 3
    time = np.arange(3 * RATE) / RATE
    pcm = np.zeros(3 * RATE)
    for low in (150, 300, 600, 1200, 2400):
        band = np.fft.irfft(spectrum * ((hertz > low) & (hertz < 2 * low)), 3 * RATE)
        pcm += band * np.exp(2 * np.sin(2 * np.pi * rng.uniform(2, 8) * time + rng.uniform(0, 6)))
    pcm *= 0.1 / pcm.std()
    return torch.from_numpy(pcm).float(), torch.from_numpy(0.1 * rng.standard_normal(3 * RATE)).float()


def test_a_copy_is_1_noise_is_0_and_loudness_says_nothing() -> None:
    x, noise = syllables(0)
    assert float(estoi(x, x, RATE)) == pytest.approx(1, abs=1e-4)
    assert float(estoi(x, 0.03 * x, RATE)) == pytest.approx(1, abs=1e-4)
    assert abs(float(estoi(x, noise, RATE))) < 0.1
    falling = [float(estoi(x, x + 10 ** (db / 20) * noise, RATE)) for db in (-30, -10, 10, 20)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > 0.95
    assert falling[-1] < 0.5


def test_it_is_the_published_measure() -> None:
    pystoi = pytest.importorskip("pystoi")
    for seed in range(3):
        x, noise = syllables(seed)
        for db in (-20, -5, 5):
            y = x + 10 ** (db / 20) * noise
            wanted = pystoi.stoi(x.numpy(), y.numpy(), RATE, extended=True)
            assert float(estoi(x, y, RATE)) == pytest.approx(wanted, abs=0.03), (seed, db)


@given(length=st.integers(0, 3000), rate=st.sampled_from([1000, 8000, 16000, 24000, 44100, 48000, 192000]))
@example(length=1088, rate=44100)
@example(length=1152, rate=48000)
def test_every_length_below_a_segment_has_no_figure(length: int, rate: int) -> None:
    """A segment has 30 frames of 25.6 ms, half of which overlap."""
    length = min(length, int(0.38 * rate))
    x, y = torch.rand(2, length, generator=torch.Generator().manual_seed(length))
    found = estoi(x, y, rate)
    assert found.shape == ()
    assert torch.isnan(found)


def test_what_is_too_short_has_no_figure() -> None:
    assert torch.isnan(estoi(torch.ones(8000), torch.ones(8000), RATE))
    quiet = torch.zeros(2 * RATE)
    quiet[:2000] = 0.5
    assert torch.isnan(estoi(quiet, quiet, RATE)), "a click is not speech"
