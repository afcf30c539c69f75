"""Loudness of a signal by ITU-R BS.1770-4, in LUFS: of one channel, as it comes block by block.

The signal passes two filters, K-weighting: a shelf of 4 dB above 1.5 kHz, and a high-pass at 38 Hz. Its mean squares
over 400 ms, every 100 ms, are averaged; blocks below −70 LUFS do not count, nor those 10 below the average of the rest.

The filters are multiplied in the frequency domain, piece by piece, each with the samples before it. The high-pass has
two poles at ``exp(−2π·38/rate)``, nearly: after half a second its response has fallen by exp(−119), far below what a
float64 can add.

Knows: the standard. Does not know: where samples come from.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .pcm import Pcm

#: What silence has, and the least that is stated.
LEAST = -70.0
_GATE = -10.0
_OFFSET = -0.691
#: Samples that are filtered at a time, beside those before them.
_PIECE = 1 << 18


class Loudness:
    """The loudness of samples that come in blocks.

    Args:
        rate: Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._step = rate, max(1, rate // 10)
        self._before = np.zeros(rate // 2)
        self._held = np.zeros(0)
        self._squares: list[float] = []  # sums over 100 ms each

    def push(self, pcm: Pcm) -> None:
        """Take the next samples, float32 ``[n]``, however many: they are filtered in pieces."""
        for at in range(0, len(pcm), _PIECE):
            self._held = np.concatenate([self._held, pcm[at : at + _PIECE].astype(np.float64)])
            whole = len(self._held) // self._step * self._step
            if whole >= _PIECE:
                self._filter(whole)

    def value(self) -> float:
        """LUFS of all samples so far, at least −70. Zeros fill the last block for it. It changes nothing: more may
        follow."""
        taken = len(self._squares) * self._step + len(self._held)
        missing = max(0, self._rate // 2 - taken)  # of half a second
        missing += -(len(self._held) + missing) % self._step
        last = np.concatenate([self._held, np.zeros(missing)])
        sums = np.array(self._squares + self._sums(np.concatenate([self._before, last]), len(last)))
        blocks = np.convolve(sums, np.ones(4), "valid") / (4 * self._step)
        loud = blocks[_lufs(blocks) > LEAST]
        if len(loud):
            loud = loud[_lufs(loud) > _lufs(loud.mean()) + _GATE]
        return max(LEAST, float(_lufs(loud.mean()))) if len(loud) else LEAST

    def _filter(self, count: int) -> None:
        """Add the squares of the first ``count`` samples held, whole steps of them."""
        signal = np.concatenate([self._before, self._held[:count]])
        self._squares += self._sums(signal, count)
        self._before, self._held = signal[count:], self._held[count:]

    def _sums(self, signal: npt.NDArray[np.float64], count: int) -> list[float]:
        """The sums of squares over 100 ms each, of the last ``count`` samples of a signal, whole steps of them."""
        size = 1 << (len(signal) + self._rate // 2).bit_length()  # so that the filters' response does not wrap around
        filtered = np.fft.irfft(np.fft.rfft(signal, size) * _k_weighting(self._rate, size), size)
        power = np.square(filtered[len(signal) - count : len(signal)])
        sums: list[float] = power.reshape(-1, self._step).sum(axis=1).tolist()
        return sums


def _lufs(mean_square: Any) -> Any:
    with np.errstate(divide="ignore"):
        return _OFFSET + 10 * np.log10(mean_square)


def _k_weighting(rate: int, size: int) -> npt.NDArray[np.complex128]:
    """The response of both filters at the frequencies of a transform of ``size``: biquads of the audio EQ cookbook."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(size))
    omega, gain = 2 * math.pi * 1500.0 / rate, 10 ** (4.0 / 40)
    cosine, alpha = math.cos(omega), math.sin(omega) / math.sqrt(2)
    root = 2 * math.sqrt(gain) * alpha
    shelf = (
        gain * (gain + 1 + (gain - 1) * cosine + root), -2 * gain * (gain - 1 + (gain + 1) * cosine),
        gain * (gain + 1 + (gain - 1) * cosine - root), gain + 1 - (gain - 1) * cosine + root,
        2 * (gain - 1 - (gain + 1) * cosine), gain + 1 - (gain - 1) * cosine - root,
    )  # fmt: skip
    omega = 2 * math.pi * 38.0 / rate
    cosine, alpha = math.cos(omega), math.sin(omega)
    high = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2, 1 + alpha, -2 * cosine, 1 - alpha)
    response = np.ones(len(z), np.complex128)
    for b0, b1, b2, a0, a1, a2 in (shelf, high):
        response *= (b0 + b1 * z + b2 * z**2) / (a0 + a1 * z + a2 * z**2)
    return response
