"""The resampler: chunking never shows, lengths and times are as documented, bad rates are refused."""

import pickle

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio import rates
from streamrvq.audio.rates import Resampler, check_rate, held_back, output_length
from streamrvq.errors import InputError, StreamClosedError

PAIRS = [(48000, 44100), (16000, 44100), (44100, 24000), (44100, 16000), (8000, 44100), (96000, 16000), (44101, 44100)]
pairs = pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.2


def resample(resampler: Resampler, pcm: np.ndarray, cuts: list[int]) -> np.ndarray:
    parts = [resampler.push(part) for part in np.split(pcm, sorted(cut % (len(pcm) + 1) for cut in cuts))]
    return np.concatenate([*parts, resampler.flush()])


@given(
    pair=st.sampled_from(PAIRS),
    samples=st.one_of(st.integers(0, 200), st.integers(0, 20_000)),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=30),
    seed=st.integers(0, 100),
)
def test_any_cut_gives_the_whole_bit_for_bit(pair, samples, cuts, seed):
    pcm = noise(samples, seed)
    whole = soxr.resample(pcm, *pair, quality="HQ") if samples else pcm  # soxr.resample refuses nothing at all
    cut = resample(Resampler(*pair), pcm, cuts)
    assert cut.dtype == np.float32
    assert np.array_equal(cut, whole)


@given(
    rate_in=st.sampled_from([8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 176400, 192000]),
    rate_out=st.sampled_from([16000, 24000, 44100, 176400]),
    samples=st.integers(0, 3000),
)
def test_the_length_is_the_one_documented(rate_in, rate_out, samples):
    out = resample(Resampler(rate_in, rate_out), noise(samples), [samples // 3])
    assert len(out) == output_length(samples, rate_in, rate_out)
    assert abs(len(out) - samples * rate_out / rate_in) <= 0.5


@pairs
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])  # at 0.0 half of the filter lies outside, and soxr is less exact
def test_an_impulse_comes_out_at_its_time(rate_in, rate_out, share):
    at = round(share * rate_in)
    pcm = np.zeros(rate_in, np.float32)
    pcm[at] = 1
    out = resample(Resampler(rate_in, rate_out), pcm, [at])
    assert abs(int(np.argmax(np.abs(out))) - at * rate_out / rate_in) <= (0.5 if at else 1)


@pairs
def test_a_tone_keeps_its_phase(rate_in, rate_out):
    def tone(rate: int) -> np.ndarray:
        return (0.5 * np.sin(2 * np.pi * 997 * np.arange(rate) / rate)).astype(np.float32)

    out, wanted = resample(Resampler(rate_in, rate_out), tone(rate_in), []), tone(rate_out)
    inner = slice(len(wanted) // 4, -len(wanted) // 4)
    assert np.abs(out - wanted)[inner].max() < 1e-5


@pairs
def test_what_is_held_back_stays_within_the_stated_latency(rate_in, rate_out):
    resampler, rng = Resampler(rate_in, rate_out), np.random.default_rng(1)
    given_, taken, lead = 0, 0, 0.0
    while taken < 30_000 * max(1, rate_in // rate_out):
        block = noise(int(rng.integers(1, 300)))
        taken += len(block)
        given_ += len(resampler.push(block))
        lead = max(lead, taken / rate_in - given_ / rate_out)
    assert lead <= resampler.latency
    assert lead > 0.9 * resampler.latency  # it is a measure, not a loose bound


def test_the_latencies_in_the_docstring():
    stated = {(48000, 44100): 20, (96000, 44100): 20, (16000, 44100): 59, (44100, 24000): 39, (24000, 44100): 39,
              (32000, 44100): 30, (8000, 44100): 136, (48000, 16000): 38}  # fmt: skip
    assert {pair: round(1000 * held_back(*pair)) for pair in stated} == pytest.approx(stated, abs=1)


def test_equal_rates_pass_through():
    resampler, pcm = Resampler(44100, 44100), noise(1000)
    assert resampler.push(pcm) is pcm
    assert len(resampler.flush()) == 0
    assert resampler.latency == 0


def test_a_huge_push_reaches_soxr_in_slices(monkeypatch):
    sizes = []

    class Spy(soxr.ResampleStream):
        def resample_chunk(self, x, last=False):
            sizes.append(len(x))
            return super().resample_chunk(x, last)

    monkeypatch.setattr(rates.soxr, "ResampleStream", Spy)
    pcm = noise(500_000)
    assert np.array_equal(resample(Resampler(48000, 44100), pcm, []), soxr.resample(pcm, 48000, 44100))
    assert max(sizes) <= 1 << 16
    assert sum(sizes) == 500_000


@pytest.mark.parametrize("rate", [0, -44100, 999, 10**6, 44100.5, float("nan"), float("inf"), "44100", None, True])
def test_bad_rates_are_refused(rate):
    with pytest.raises(InputError, match="wanted a whole number of Hz from 1000 to 768000"):
        Resampler(rate, 44100)
    with pytest.raises(InputError, match="convert to"):
        Resampler(44100, rate)


def test_whole_floats_are_rates_for_sound_devices_state_theirs_so():
    assert check_rate(48000.0) == 48000
    assert type(check_rate(np.float64(48000))) is int


@pytest.mark.parametrize("pcm", [np.zeros(4), np.zeros((4, 1), np.float32), np.zeros(4, np.int16), [0.0, 1.0]])
def test_other_arrays_are_refused_and_change_nothing(pcm):
    resampler, good = Resampler(48000, 44100), noise(3000)
    first = resampler.push(good)
    with pytest.raises(InputError, match="wanted float32"):
        resampler.push(pcm)
    assert np.array_equal(np.concatenate([first, resampler.flush()]), soxr.resample(good, 48000, 44100))


@pytest.mark.parametrize("rate", [48000, 44100])
def test_nothing_after_flush(rate):
    resampler = Resampler(rate, 44100)
    resampler.flush()
    with pytest.raises(StreamClosedError):
        resampler.push(noise(10))
    with pytest.raises(StreamClosedError):
        resampler.flush()


def test_its_state_cannot_be_pickled():
    with pytest.raises(TypeError):
        pickle.dumps(Resampler(48000, 44100))
