"""Sample-rate conversion as a stream, over soxr.

Knows: soxr, its length rule, what it holds back. Does not know: codecs, hops, files, or who pushes.

Quality is soxr's HQ (20 bit, its default). VHQ (28 bit) holds back twice as long in the commonest case, 39 ms against
19 for 48 to 44.1 kHz, and what it adds lies below the noise of a 16-bit recording.

soxr is linear-phase and takes its own delay off: sample m of the output belongs to the time ``m / rate_out``, as sample
n of the input belongs to ``n / rate_in``. The delay shows only as output that comes late, `held_back` seconds at most:

    48 → 44.1 kHz   20 ms      96 → 44.1 kHz    20 ms      16 → 44.1 kHz    59 ms      44.1 → 24 kHz   39 ms
    24 → 44.1 kHz   39 ms      32 → 44.1 kHz    30 ms       8 → 44.1 kHz   136 ms      48 → 16 kHz     38 ms
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import soxr

from ..errors import InputError, StreamClosedError
from .pcm import Pcm

#: Rates outside are nobody's audio, and soxr's filters grow with the ratio.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000

# Input samples given to soxr at a time, so that its inner buffers stay small however long a push is.
_SLICE = 1 << 16


def check_rate(rate: Any, what: str = "sample_rate") -> int:
    """A sample rate in Hz as an int; a float that is whole will do, for sound devices state theirs so.

    Raises:
        InputError: not a whole number, or outside 1000 … 768 000 Hz.
    """
    number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
    if not number or rate != rate or not LOWEST_RATE <= rate <= HIGHEST_RATE or int(rate) != rate:
        raise InputError(f"{what} is {rate!r}; wanted a whole number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}")
    return int(rate)


def output_length(samples: int, rate_in: int, rate_out: int) -> int:
    """Samples that come out in all for ``samples`` in: ``samples · rate_out / rate_in``, rounded to the nearest.

    Written as soxr computes it, in doubles, for an exact half is not always rounded up there.
    """
    return samples if rate_in == rate_out else int(samples / (rate_in / rate_out) + 0.5)


@lru_cache(maxsize=64)
def held_back(rate_in: int, rate_out: int) -> float:
    """Seconds by which output comes late at the most: pushed until then, a sample's output is still inside.

    soxr states no such bound, so it is measured, once for each pair of rates (some ms): silence goes in by small steps,
    and the largest lead of input over output seen *before* each step's output bounds every instant within the step.
    """
    if rate_in == rate_out:
        return 0.0
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality="HQ")
    # soxr works in bursts of up to about 1300 samples of the slower rate; 16 such bursts are plenty to see them all.
    coarse = max(1, rate_in // rate_out)
    step = np.zeros(16 * coarse, np.float32)
    given, lead = 0, 0.0
    for taken in range(len(step), 20_000 * coarse, len(step)):
        lead = max(lead, taken / rate_in - given / rate_out)
        given += len(stream.resample_chunk(step))
    return lead


class Resampler:
    """One mono stream from ``rate_in`` to ``rate_out``.

    Whatever the sizes of the pushes, the outputs put one after the other are the same bit for bit (on one machine; soxr
    chooses its arithmetic by processor), and equal ``soxr.resample`` of the whole. Equal rates pass samples through.

    soxr's state can be neither copied nor pickled, so there is no snapshot: whoever parks a stream keeps this object.

    Raises:
        InputError: a rate that is no whole number of Hz from 1000 to 768 000.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self.rate_in = check_rate(rate_in, "the rate to convert from")
        self.rate_out = check_rate(rate_out, "the rate to convert to")
        self._taken = self._given = 0
        self._closed = False
        self._soxr = None
        if self.rate_in != self.rate_out:
            self._soxr = soxr.ResampleStream(self.rate_in, self.rate_out, 1, dtype="float32", quality="HQ")

    @property
    def latency(self) -> float:
        """Seconds of signal held back at the most: see `held_back`. Lateness only; times are not shifted."""
        return held_back(self.rate_in, self.rate_out)

    def push(self, pcm: Pcm) -> Pcm:
        """Take the next samples, float32 ``[n]``, n ≥ 0; give what is ready, float32 ``[m]``, m ≥ 0.

        Raises:
            InputError: another dtype or shape.
            StreamClosedError: after `flush`.
        """
        if self._closed:
            raise StreamClosedError("samples came to a resampler that was flushed; make a new one for a new signal")
        if getattr(pcm, "dtype", None) != np.float32 or pcm.ndim != 1:
            came = f"{getattr(pcm, 'dtype', type(pcm).__name__)} {list(np.shape(pcm))}"
            raise InputError(f"a resampler was given {came}; wanted float32 [samples]: convert with as_pcm first")
        self._taken += len(pcm)
        if self._soxr is None:
            return pcm
        # The length rule bounds what can be inside, so one array of that size is all that a large push needs.
        out = np.empty(output_length(self._taken, self.rate_in, self.rate_out) - self._given + 1, np.float32)
        filled = 0
        for start in range(0, len(pcm), _SLICE):
            part = self._soxr.resample_chunk(pcm[start : start + _SLICE])
            out[filled : filled + len(part)] = part
            filled += len(part)
        self._given += filled
        return out[:filled]

    def flush(self) -> Pcm:
        """End the signal: the samples still inside, so that `output_length` of them came in all.

        Raises:
            StreamClosedError: the second time.
        """
        if self._closed:
            raise StreamClosedError("flush came to a resampler that was flushed; make a new one for a new signal")
        self._closed = True
        if self._soxr is None:
            return np.zeros(0, np.float32)
        rest: Pcm = self._soxr.resample_chunk(np.zeros(0, np.float32), last=True)
        self._given += len(rest)
        return rest
