"""G.711: every byte and every 16-bit sample, beside libsndfile and Python's `audioop`, as far as that goes."""

import io
import warnings

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio.companding import A_LAW, MU_LAW

BYTES = np.arange(256).astype(np.uint8)
SAMPLES = np.arange(-32768, 32768).astype(np.int16)
laws = pytest.mark.parametrize(("law", "name"), [(MU_LAW, "ulaw"), (A_LAW, "alaw")], ids=["mulaw", "alaw"])


def audioop(function, name, data):
    """What Python's own codec makes of them; skips where Python has it no longer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = pytest.importorskip("audioop")
    return getattr(module, function.format(name))(data, 2)


@laws
def test_every_byte_stands_for_its_value(law, name):
    like = {"format": "RAW", "subtype": name.upper(), "channels": 1, "samplerate": 8000}
    whole, _ = soundfile.read(io.BytesIO(BYTES.tobytes()), dtype="int16", **like)
    floats, _ = soundfile.read(io.BytesIO(BYTES.tobytes()), dtype="float32", **like)
    assert np.array_equal(law.expand(BYTES), whole)
    assert np.array_equal(law.expand(BYTES) / np.float32(32768), floats)


@laws
def test_every_sample_gets_its_byte(law, name):
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 8000, subtype=name.upper(), format="AU")
    assert np.array_equal(law.compress(SAMPLES), np.frombuffer(file.getvalue(), np.uint8)[-len(SAMPLES) :])


@laws
def test_python_expands_alike(law, name):
    theirs = np.frombuffer(audioop("{}2lin", name, BYTES.tobytes()), np.int16)
    assert np.array_equal(law.expand(BYTES), theirs)


@laws
def test_python_compresses_alike_but_for_negative_samples(law, name):
    """It shifts negative samples right, which rounds them down, and in A-law it also counts them from −1."""
    theirs = np.frombuffer(audioop("lin2{}", name, SAMPLES.tobytes()), np.uint8)
    shift = -3 if name == "ulaw" else 1
    shifted = np.clip(SAMPLES.astype(int) + shift, -32768, -1).astype(np.int16)
    assert np.array_equal(theirs, law.compress(np.where(SAMPLES < 0, shifted, SAMPLES)))


@pytest.mark.parametrize(
    ("law", "byte", "value"),
    [
        (MU_LAW, 0xFF, 0), (MU_LAW, 0xFE, 8), (MU_LAW, 0x7E, -8), (MU_LAW, 0x80, 32124), (MU_LAW, 0x00, -32124),
        (A_LAW, 0xD5, 8), (A_LAW, 0x55, -8), (A_LAW, 0xAA, 32256), (A_LAW, 0x2A, -32256),
    ],
)  # fmt: skip
def test_values_of_the_standard(law, byte, value):
    assert law.expand(np.array([byte], np.uint8)).tolist() == [value]
    assert law.compress(np.array([value], np.int16)).tolist() == [byte]


@laws
def test_bytes_there_and_back(law, name):
    back = law.compress(law.expand(BYTES))
    changed = {int(byte): int(back[byte]) for byte in np.flatnonzero(back != BYTES)}
    assert changed == ({0x7F: 0xFF} if name == "ulaw" else {}), "only the negative zero"


@laws
def test_a_sample_becomes_the_nearest_value_or_its_neighbour_at_a_border(law, name):
    """Steps are bounded by their decision values, which lie halfway but where two segments meet."""
    back = law.expand(law.compress(SAMPLES)).astype(int)
    assert np.all(np.diff(back) >= 0)
    values = np.unique(law.expand(BYTES)).astype(int)
    nearest = np.abs(values[:, None] - SAMPLES[None, ::7].astype(int)).min(axis=0)
    over = np.abs(back[::7] - SAMPLES[::7]) - nearest
    assert over.max() <= 512


@laws
@given(data=st.lists(st.integers(-32767, 32767), max_size=50))
def test_both_signs_are_treated_alike(law, name, data):
    samples = np.array([value for value in data if value], np.int16)
    assert np.array_equal(law.compress(-samples), law.compress(samples) ^ 0x80)
