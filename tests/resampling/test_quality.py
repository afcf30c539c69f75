"""What is heard: the pass band, images and aliases, distortion and noise, times.

Knows: sines. Does not know: how they are resampled.
"""

from __future__ import annotations

import numpy as np
import pytest

from streamrvq.resampling import resampler

PAIRS = [(48_000, 44_100), (96_000, 44_100), (24_000, 44_100), (16_000, 44_100), (8000, 44_100), (48_000, 24_000),
         (48_000, 16_000), (44_100, 48_000)]  # fmt: skip
pairs = pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
LEVEL = 0.5


def edge(rate_in: int, rate_out: int) -> float:
    """Of the pass band, Hz."""
    slower = min(rate_in, rate_out)
    return 20_000 if slower >= 44_100 else 0.45 * slower


def sine(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (LEVEL * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def spectrum(hz: float, rate_in: int, rate_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the amplitude at each relative to the sine's, of its steady part."""
    out = resampler(rate_in, rate_out).whole(sine(hz, rate_in))
    steady = out[len(out) // 5 : -(len(out) // 5)].astype(np.float64)
    window = np.kaiser(len(steady), 24)
    size = 4 * len(steady)
    amplitude = 2 * np.abs(np.fft.rfft(steady * window, size)) / window.sum() / LEVEL
    return np.fft.rfftfreq(size, 1 / rate_out), amplitude


@pairs
def test_the_pass_band_is_flat(rate_in: int, rate_out: int) -> None:
    for hz in np.linspace(100, edge(rate_in, rate_out), 25):
        _, amplitude = spectrum(hz, rate_in, rate_out)
        assert abs(20 * np.log10(amplitude.max())) <= 0.02, f"at {hz:.0f} Hz"


@pairs
def test_images_and_aliases_in_the_pass_band_are_not_heard(rate_in: int, rate_out: int) -> None:
    for hz in np.linspace(150, rate_in / 2 - 150, 40):
        frequencies, amplitude = spectrum(hz, rate_in, rate_out)
        others = (frequencies <= edge(rate_in, rate_out)) & (abs(frequencies - hz) > 100)
        assert 20 * np.log10(amplitude[others].max()) <= -100, f"at {hz:.0f} Hz"


@pairs
def test_distortion_and_noise_are_below_those_of_float32(rate_in: int, rate_out: int) -> None:
    frequencies, amplitude = spectrum(997, rate_in, rate_out)
    others = abs(frequencies - 997) > 100
    power = (amplitude[others] ** 2).sum() / (amplitude[~others] ** 2).sum()
    assert 10 * np.log10(power) <= -118


@pairs
def test_a_tone_keeps_its_time(rate_in: int, rate_out: int) -> None:
    out, wanted = resampler(rate_in, rate_out).whole(sine(997, rate_in)), sine(997, rate_out)
    steady = slice(len(wanted) // 5, -len(wanted) // 5)
    assert abs(out[steady] - wanted[steady]).max() < 1e-5
