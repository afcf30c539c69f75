"""The bits of outputs, as released: hashes that no change of how sums are taken may change.

A change that must change them is another resampler, and `RESAMPLER` has to change with it.

Knows: a signal made of whole numbers alone. Does not know: how samples are resampled.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from streamrvq.resampling import Resampler
from tests.support.native import ISAS

#: SHA-256 of the outputs that version fir48-1 gives for `signal`, its first 16 digits, by rates in Hz.
RELEASED = {
    (48_000, 44_100): "feb70ec97817812f",
    (16_000, 44_100): "9472602ebef8d318",
    (8000, 44_100): "65022dd2acb2693e",
    (96_000, 44_100): "e47de86a726c7062",
    (44_100, 48_000): "9750564872c13a1a",
    (48_000, 24_000): "d7b22aa688bb957d",
    (24_000, 48_000): "51fe30250bdef3bc",
    (44_100, 16_000): "809d73316fc1dd3e",
    (16_000, 24_000): "c1fb92d1746c3246",
    (44_101, 44_100): "93c1a5ac18398695",
    (768_000, 44_100): "2c0276fb8795f147",
    (768_000, 1000): "3a2ac5b60eada34a",
    (1000, 768_000): "03bd8159644dae18",
    (1001, 1000): "aa903b51fede8070",
}


def signal(samples: int) -> np.ndarray:
    """Noise of 24 bits a sample, from full scale down to the smallest float32 and back to beyond the limit."""
    state, out = 1, np.empty(samples, np.float32)
    for n in range(samples):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out[n] = np.ldexp(np.float32((state >> 40) - (1 << 23)), -23 - n % 29 * 5 + (13 if n % 113 == 0 else 0))
    return out


@pytest.mark.parametrize("pair", RELEASED, ids=str)
@pytest.mark.parametrize("machine", ["numpy", *ISAS])
def test_outputs_have_the_bits_that_were_released(pair: tuple[int, int], machine: str) -> None:
    between = Resampler(*pair, machine)
    out = between.whole(signal(min(6000, 4 * between.ratio.half + 3000 * pair[0] // pair[1])))
    assert hashlib.sha256(out.astype("<f4").tobytes()).hexdigest()[:16] == RELEASED[pair]
