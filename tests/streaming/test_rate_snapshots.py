"""A snapshot with a resampler is a value: nobody who has it changes a stream.

Knows: both directions. Does not know: what snapshots are refused (test_rates.py, test_hostile_snapshots.py).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from streamrvq.resampling import ResamplerState
from tests.support.contract import noise


def opened(codec: Codec, direction: str) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """A stream at 48 kHz, what makes another, and inputs to begin and to end with."""
    if direction == "encode":
        pcm = noise(900)
        return codec.stream(48_000), codec.stream, pcm[:500], pcm[500:]
    codes = np.random.default_rng(3).integers(0, 64, (codec.n_codebooks, 120))
    return codec.decoder_stream(sample_rate=48_000), codec.decoder_stream, codes[:, :80], codes[:, 80:]


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_writing_into_a_snapshot_changes_no_stream(minute_codec: Codec, direction: str) -> None:
    stream, make, first, rest = opened(minute_codec, direction)
    stream.push(first)
    untouched = make(snapshot=stream.snapshot())
    snapshot = stream.snapshot()
    resumed = make(snapshot=snapshot)
    snapshot.resampler.history[:] = 1.0
    wanted = untouched.push(rest)
    np.testing.assert_array_equal(resumed.push(rest), wanted)
    np.testing.assert_array_equal(stream.push(rest), wanted)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_a_resampler_with_strides_goes_on_as_it_is(minute_codec: Codec, direction: str) -> None:
    stream, make, first, rest = opened(minute_codec, direction)
    stream.push(first)
    snapshot = stream.snapshot()
    strided = ResamplerState(snapshot.resampler.taken, np.repeat(snapshot.resampler.history, 2)[::2])
    resumed = make(snapshot=dataclasses.replace(snapshot, resampler=strided))
    np.testing.assert_array_equal(resumed.push(rest), stream.push(rest))
