"""An exception in the resampler costs its state; it says so, and gives no samples that are wrong.

Knows: every bytecode of its calls. Streams that resample: tests/streaming/test_interrupts.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from streamrvq.audio.rates import Resampler
from streamrvq.errors import StreamClosedError
from tests.support.interrupting import LAST_PLACES, every_place

PCM = np.sin(np.arange(9000) * 0.05).astype(np.float32)


@pytest.mark.parametrize("call", ["push", "flush"])
def test_after_an_exception_it_gives_what_is_right_or_nothing(call: str) -> None:
    whole = Resampler(48_000, 44_100)
    wanted, lost = np.concatenate([whole.push(PCM), whole.flush()]), 0
    less = Resampler(48_000, 44_100)
    shorter = np.concatenate([less.push(PCM[:5000]), less.flush()])
    late = 0
    for interrupt in every_place():
        resampler = Resampler(48_000, 44_100)
        parts, came = [resampler.push(PCM[:5000])], False
        with interrupt:
            parts.append(resampler.push(PCM[5000:]) if call == "push" else resampler.flush())
            came = True
        try:
            if not came and call == "push":
                parts.append(resampler.push(PCM[5000:]))
            if not came or call == "push":
                parts.append(resampler.flush())
        except StreamClosedError as error:
            assert "make a new one" in str(error)
            lost += 1
        else:
            samples = np.concatenate(parts)
            if came or not interrupt.where or len(samples) == len(wanted):
                np.testing.assert_array_equal(samples, wanted if call == "push" else shorter)
            else:
                late += len(samples) < len(wanted) if call == "push" else len(samples) < len(shorter)
    assert lost > 4
    assert late <= LAST_PLACES
