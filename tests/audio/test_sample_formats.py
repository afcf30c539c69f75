"""Formats of raw samples: what is written is read again, floats are rounded once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamrvq.audio.pcm import as_pcm, to_int16
from streamrvq.audio.sample_formats import FORMATS

names = pytest.mark.parametrize("name", FORMATS)
whole = arrays.arrays(np.int16, st.integers(0, 40))
floats = arrays.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1.5, 1.5, width=32))


def test_their_widths():
    assert {name: format.width for name, format in FORMATS.items()} == {"s16le": 2, "f32le": 4, "mulaw": 1, "alaw": 1}


@names
@given(samples=whole)
def test_whole_samples_there_and_back(name, samples):
    format = FORMATS[name]
    written = format.write(samples)
    back = format.read(written.tobytes())
    assert (len(written.tobytes()), written.dtype) == (len(samples) * format.width, format.dtype)
    assert back.dtype == (np.float32 if name == "f32le" else np.int16)
    expected = samples if format.law is None else format.law.expand(format.law.compress(samples))
    assert np.array_equal(as_pcm(back), expected / np.float32(32768))


@names
@given(samples=floats, wide=st.booleans())
def test_floats_are_rounded_as_to_16_bits(name, samples, wide):
    format, given = FORMATS[name], samples.astype(np.float64) if wide else samples
    same = samples if name == "f32le" else to_int16(samples)
    assert np.array_equal(format.write(given), format.write(same))


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
@given(data=st.binary(max_size=40))
def test_bytes_of_a_law_are_sent_as_they_are(name, data):
    format = FORMATS[name]
    assert format.write(np.frombuffer(data, np.uint8)).tobytes() == data
    assert np.array_equal(format.write(format.read(data)), format.law.compress(format.read(data)))
