"""Dry sound in simulated rooms, with a little noise.

Impulse responses come from the image method of Allen and Berkley (1979) in a box: each image of the source is an
impulse, placed between samples by computing at several times the rate. Walls absorb more above 2 kHz, as real ones do.
Each room follows from its name alone.

It is done when the set is made, not while training: a batch stays as cheap as it was, the rooms can be listened to, and
the dry clips stay in the set beside them. Mixing with other clips is the trainer's own augmentation.

Knows: rooms, noise. Does not know: files, sources.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .audio import RATE, Samples, faded

SOUND = 343.0  #: metres in a second
_FINER = 8  #: impulses are placed on a grid this much finer than the samples
_SPLIT_HZ = (1000.0, 4000.0)  #: from the low band's absorption to the high band's
_PEAK = 0.99


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def place(pcm: Samples, name: str) -> Samples:
    """``pcm`` in the room ``name``, with noise, as loud and as long as before. float32 at 44.1 kHz, peaks ≤ 0.99."""
    rng = _rng(name)
    size = rng.uniform((2.5, 2.5, 2.3), (10.0, 8.0, 4.0))
    low, high = rng.uniform(0.2, 0.8), rng.uniform(0.35, 0.8)
    source, listener = rng.uniform(0.15, 0.85, (2, 3)) * size
    response = impulse_response(tuple(size), tuple(source), tuple(listener), low, low * high)
    count = len(pcm) + len(response) - 1
    length = _fast(count)
    wet = np.fft.irfft(np.fft.rfft(pcm, length) * np.fft.rfft(response, length), length)[: len(pcm)]
    power = np.mean(np.square(pcm, dtype=np.float64))
    wet *= np.sqrt(power / max(float(np.mean(wet**2)), 1e-20))
    wet += noise(len(wet), rng) * np.sqrt(power) * 10 ** (-rng.uniform(15, 45) / 20)
    return faded((wet * min(1.0, _PEAK / max(float(np.abs(wet).max()), 1e-9))).astype(np.float32))


def _fast(count: int) -> int:
    """A length of at least ``count`` whose Fourier transform is fast."""
    return min(odd << max(0, (-(-count // odd) - 1).bit_length()) for odd in (1, 3, 5, 9))


def noise(count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Noise of root mean square 1, whose power falls by 0 to 6 dB an octave above 50 Hz."""
    length = _fast(count)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    slope = rng.uniform(0.0, 1.0)
    spectrum *= np.maximum(np.fft.rfftfreq(length, 1 / RATE), 50.0) ** -slope
    spectrum[0] = 0
    made: npt.NDArray[np.float64] = np.fft.irfft(spectrum, length)[:count]
    made /= np.sqrt(np.mean(made**2))
    return made


@lru_cache(maxsize=4)
def impulse_response(
    size: tuple[float, ...], source: tuple[float, ...], listener: tuple[float, ...], low: float, high: float
) -> npt.NDArray[np.float64]:
    """What arrives at ``listener`` from an impulse at ``source``: ``[samples]`` at 44.1 kHz, until it is 50 dB weaker.

    Args:
        size: of the box, in metres; the points lie inside.
        source, listener: in metres from one corner.
        low, high: seconds in which sound decays by 60 dB by Eyring's formula, below 1 kHz and above 4 kHz.
    """
    box = np.array(size)
    seconds = max(low, high) * 50 / 60
    surface, volume = 2 * (box[0] * box[1] + box[1] * box[2] + box[2] * box[0]), float(box.prod())
    # Eyring's formula: how much of the amplitude a wall reflects.
    reflected = [np.exp(-0.5 * 24 * np.log(10) / SOUND * volume / (surface * decay)) for decay in (low, high)]
    axes = [_images(box[i], source[i], listener[i], seconds * SOUND) for i in range(3)]
    squares = [along**2 for along, _ in axes]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    walls = axes[0][1][:, None, None] + axes[1][1][:, None] + axes[2][1]
    near = distance < seconds * SOUND
    distance, walls = distance[near], walls[near]
    at = np.rint(distance / SOUND * RATE * _FINER).astype(np.int64)
    length = 1 << (int(at.max()) // _FINER).bit_length()
    bands = []
    for reflection in reflected:
        grid = np.bincount(at, reflection**walls / np.maximum(distance, 0.1), length * _FINER)
        bands.append(np.fft.rfft(grid)[: length // 2 + 1])
    octaves = np.log(np.maximum(np.fft.rfftfreq(length, 1 / RATE), 1.0))
    share = np.clip((octaves - np.log(_SPLIT_HZ[0])) / np.log(_SPLIT_HZ[1] / _SPLIT_HZ[0]), 0, 1)
    spectrum = bands[0] * (1 - share) + bands[1] * share
    spectrum[-1] = spectrum[-1].real
    response: npt.NDArray[np.float64] = np.fft.irfft(spectrum, length)
    return response


def _images(
    size: float, source: float, listener: float, reach: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Along one axis: the distances of all images of the source within ``reach``, and the walls that each crossed."""
    most = int(np.ceil(reach / (2 * size))) + 1
    turns = np.arange(-most, most + 1)
    distances = np.concatenate([2 * turns * size + source - listener, 2 * turns * size - source - listener])
    walls = np.concatenate([np.abs(2 * turns), np.abs(2 * turns - 1)])
    near = np.abs(distances) <= reach
    return distances[near], walls[near]
