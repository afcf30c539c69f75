"""Sample-rate conversion as a stream, over soxr.

The quality is soxr's HQ (20 bit), its default. VHQ (28 bit) gains less than the noise of a 16-bit recording, and holds
samples back for longer: 39 ms instead of 19 in the most common case, 48 to 44.1 kHz.

soxr is linear-phase and removes its own delay: output sample m belongs to the time ``m / rate_out``, just as input
sample n belongs to ``n / rate_in``. The delay only makes output come late, by at most `held_back` seconds:

    48 → 44.1 kHz   20 ms      96 → 44.1 kHz    20 ms      16 → 44.1 kHz    59 ms      44.1 → 24 kHz   39 ms
    24 → 44.1 kHz   39 ms      32 → 44.1 kHz    30 ms       8 → 44.1 kHz   136 ms      48 → 16 kHz     38 ms

Knows: soxr, its length rule, what it holds back. Does not know: codecs, hops, files, or who pushes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import soxr

from ..errors import InputError, SnapshotError, StreamClosedError
from ..system.copying import NeverCopied
from .pcm import Pcm

#: No audio has a rate outside of these limits, and soxr's filters grow with the ratio.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000

# Input samples given to soxr at a time, so that its buffers stay small however long a push is.
_SLICE = 1 << 16


def check_rate(rate: Any, what: str = "sample_rate") -> int:
    """A sample rate in Hz as an int. A whole float is accepted, because sound devices state floats.

    Raises:
        InputError: the rate is not a whole number, or is outside 1000 … 768 000 Hz.
    """
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or rate != rate or not LOWEST_RATE <= rate <= HIGHEST_RATE or int(rate) != rate:
        raise InputError(f"{what} is {rate!r}; wanted a whole number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}")
    return int(rate)


def output_length(samples: int, rate_in: int, rate_out: int) -> int:
    """How many samples come out for ``samples`` in: ``samples · rate_out / rate_in``, rounded to the nearest.

    It is computed in doubles as soxr does, which does not always round an exact half up.
    """
    return samples if rate_in == rate_out else int(samples / (rate_in / rate_out) + 0.5)


@lru_cache(maxsize=64)
def held_back(rate_in: int, rate_out: int) -> float:
    """The most seconds by which output comes late.

    soxr states no such bound, so it is measured once for each pair of rates, which takes some ms. Silence is pushed in
    small steps. The largest lead of input over output, taken *before* each step's output, is the bound.
    """
    if rate_in == rate_out:
        return 0.0
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    # soxr works in bursts of up to about 1300 samples at the slower rate. 16 such bursts show the largest lead.
    coarse = max(1, rate_in // rate_out)
    step = np.zeros(16 * coarse, np.float32)
    given, lead = 0, 0.0
    for taken in range(len(step), 20_000 * coarse, len(step)):
        lead = max(lead, taken / rate_in - given / rate_out)
        given += len(stream.resample_chunk(step))
    return lead


def resample_rows(rows: Pcm, rate_in: int, rate_out: int) -> Pcm:
    """Whole signals ``[B, n]`` at ``rate_out``: the push and flush of a `Resampler` each. Raises `InputError` as it."""
    if rate_in == rate_out:
        return rows
    moved = []
    for row in rows:
        resampler = Resampler(rate_in, rate_out)
        moved.append(np.concatenate([resampler.push(row), resampler.flush()]))
    return np.stack(moved) if moved else np.zeros((0, 0), np.float32)


class Resampler(NeverCopied, error=SnapshotError, holds="soxr's state", instead="keep the object itself"):
    """One mono stream from ``rate_in`` to ``rate_out``.

    However the input is divided into pushes, the joined output has the same bits and equals ``soxr.resample`` of the
    whole. (This holds on one machine: soxr chooses its arithmetic by processor.) Equal rates pass samples through.

    soxr's state can be neither copied nor pickled, so there is no snapshot. To keep a stream, keep this object. Nor can
    soxr go back. If an exception comes in a call, such as KeyboardInterrupt, every later call is refused.

    Raises:
        InputError: a rate is not a whole number of Hz from 1000 to 768 000.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rate_in = check_rate(rate_in, "the rate to convert from")
        self.rate_out = check_rate(rate_out, "the rate to convert to")
        self._taken = self._given = 0
        self._closed = False
        self._moving = False  # soxr has moved on, and nobody has its output yet
        self._soxr = None
        if self.rate_in != self.rate_out:
            self._soxr = soxr.ResampleStream(self.rate_in, self.rate_out, 1, dtype="float32", quality="HQ")

    @property
    def latency(self) -> float:
        """The most seconds of signal that are held back: see `held_back`. Output is late, but not shifted in time."""
        return held_back(self.rate_in, self.rate_out)

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next samples, float32 ``[n]``, n ≥ 0, and return those that are ready, float32 ``[m]``, m ≥ 0.

        Raises:
            InputError: another dtype or shape.
            StreamClosedError: after `flush`, or after an exception in a call.
        """
        self._check_open("samples came")
        if getattr(pcm, "dtype", None) != np.float32 or pcm.ndim != 1:
            came = f"{getattr(pcm, 'dtype', type(pcm).__name__)} {list(np.shape(pcm))}"
            raise InputError(f"a resampler was given {came}; wanted float32 [samples]: convert with as_pcm first")
        if self._soxr is None:
            return pcm
        self._moving = True
        self._taken += len(pcm)
        # The length rule bounds the output, so one array of that size is enough for a large push.
        out = np.empty(output_length(self._taken, self.rate_in, self.rate_out) - self._given + 1, np.float32)
        filled = 0
        for start in range(0, len(pcm), _SLICE):
            part = self._soxr.resample_chunk(pcm[start : start + _SLICE])
            out[filled : filled + len(part)] = part
            filled += len(part)
        self._given += filled
        self._moving = False
        return out[:filled]

    def flush(self) -> Pcm:
        """End the signal and return the remaining samples. In all, `output_length` samples have come.

        Raises:
            StreamClosedError: the resampler was flushed before, or an exception came in a call.
        """
        self._check_open("flush came")
        self._closed = True
        if self._soxr is None:
            return np.zeros(0, np.float32)
        rest: Pcm = self._soxr.resample_chunk(np.zeros(0, np.float32), last=True)
        self._given += len(rest)
        return rest

    def _check_open(self, what: str) -> None:
        if self._closed:
            raise StreamClosedError(f"{what} to a resampler that was flushed; make a new one for a new signal")
        if self._moving:
            raise StreamClosedError(f"{what} to a resampler whose state an exception has cost; make a new one")
