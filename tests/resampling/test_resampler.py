"""The resampler: one result for every cut, instruction set and length of table, and the right one.

Knows: signals, float64 references. Does not know: codecs (tests/streaming/test_rates.py).
"""

from __future__ import annotations

import copy
import functools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio.pcm import MAX_ABS
from streamrvq.audio.rates import REACH, ratio
from streamrvq.errors import InputError
from streamrvq.resampling import Resampler, ResamplerState, coefficients, resample_rows, resampler
from streamrvq.resampling.filter import BETA
from tests.support.native import ISAS

COMMON = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]
#: Every pair of the common rates, high ones, and some whose phases are too many for a table.
PAIRS = [(a, b) for a in COMMON for b in (16_000, 24_000, 44_100, 48_000) if a != b]
PAIRS += [(b, a) for a in (8000, 22_050, 96_000) for b in (16_000, 24_000, 44_100)]
PAIRS += [
    (192_000, 44_100),
    (176_400, 24_000),
    (384_000, 16_000),
    (768_000, 44_100),
    (44_100, 192_000),
    (1000, 768_000),
]
PAIRS += [
    (44_101, 44_100),
    (44_100, 44_101),
    (47_999, 44_100),
    (7919, 16_000),
    (191_999, 24_000),
    (1001, 1000),
    (9973, 9967),
]
PAIRS += [(12_000, 44_100), (37_800, 44_100), (18_900, 24_000), (88_200, 44_100), (48_000, 8000), (44_100, 11_025)]
MACHINES = ["numpy", *ISAS]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).standard_normal(samples) * 0.3, -1, 1).astype(np.float32)


@functools.cache
def machine_for(pair: tuple[int, int], machine: str) -> Resampler:
    return Resampler(*pair, machine)


def in_pieces(between: Resampler, pcm: np.ndarray, cuts: list[int]) -> np.ndarray:
    state, parts = between.start(), []
    for block in np.split(pcm, sorted(cut % (len(pcm) + 1) for cut in cuts)):
        out, state = between.push(state, block)
        parts.append(out)
    return np.concatenate([*parts, between.finish(state)])


def reference(pcm: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """The sums in float64, with numpy's sine and Bessel function."""
    between = ratio(rate_in, rate_out)
    unit, gain = max(between.up, between.down), min(1.0, between.up / between.down)
    padded = np.concatenate([np.zeros(between.half), pcm.astype(np.float64), np.zeros(between.half + 1)])
    out = []
    for m in range(between.length(len(pcm))):
        place, phase = between.place(m)
        inputs = np.arange(2 * between.half) + 1 - between.half
        u = (inputs * between.up - phase) / unit
        window = np.i0(BETA * np.sqrt(np.clip(1 - (u / REACH) ** 2, 0, None))) / np.i0(BETA)
        out.append(gain * (padded[place + inputs + between.half] * np.sinc(u) * window * (abs(u) < REACH)).sum())
    return np.array(out)


def test_there_are_sixty_pairs() -> None:
    assert len(set(PAIRS)) >= 60


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_every_machine_and_every_cut_gives_the_same_bits(pair: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(pair))
    pcm = noise(min(4000, 4000 * pair[0] // pair[1] + 100), seed=1)
    whole = Resampler(*pair, "numpy").whole(pcm)
    assert len(whole) == ratio(*pair).length(len(pcm))
    for machine in MACHINES:
        between = Resampler(*pair, machine)
        np.testing.assert_array_equal(between.whole(pcm), whole, err_msg=machine)
        cuts = list(rng.integers(0, 1 << 20, 12))
        np.testing.assert_array_equal(in_pieces(between, pcm, cuts), whole, err_msg=machine)


@given(
    pair=st.sampled_from(PAIRS), samples=st.one_of(st.integers(0, 200), st.integers(0, 3000)),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=30), seed=st.integers(0, 100), machine=st.sampled_from(MACHINES),
)  # fmt: skip
def test_any_cut_gives_the_whole_bit_for_bit(
    pair: tuple[int, int], samples: int, cuts: list[int], seed: int, machine: str
) -> None:
    pcm = noise(min(samples, 20_000 * pair[0] // pair[1]), seed)
    between = machine_for(pair, machine)
    np.testing.assert_array_equal(in_pieces(between, pcm, cuts), resampler(*pair).whole(pcm))


@given(
    pair=st.sampled_from(PAIRS), machine=st.sampled_from(MACHINES), more=st.integers(0, 300),
    taken=st.one_of(st.integers(0, 3000), st.integers(0, 1 << 70)),
)  # fmt: skip
def test_a_block_gives_what_becomes_ready(pair: tuple[int, int], machine: str, more: int, taken: int) -> None:
    between = machine_for(pair, machine)
    state = ResamplerState(taken, np.zeros(between.ratio.history, np.float32))
    out, after = between.push(state, np.zeros(more, np.float32))
    assert len(out) == between.ratio.ready(taken + more) - between.ratio.ready(taken)
    assert after.taken == taken + more


@pytest.mark.parametrize("machine", MACHINES)
def test_samples_may_be_read_only(machine: str) -> None:
    between, pcm = Resampler(48_000, 44_100, machine), noise(900)
    _, state = between.push(between.start(), pcm[:400])
    kept = ResamplerState(state.taken, state.history.copy())
    wanted, _ = between.push(state, pcm[400:])
    kept.history.flags.writeable = pcm.flags.writeable = False
    np.testing.assert_array_equal(between.push(kept, pcm[400:])[0], wanted)
    np.testing.assert_array_equal(between.push(state, pcm[400:])[0], wanted)


@pytest.mark.parametrize("machine", MACHINES)
def test_coefficients_computed_as_they_come_are_those_of_the_table(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm, tabled = noise(3000), Resampler(48_000, 44_100, machine)
    monkeypatch.setattr(coefficients, "MOST_KEPT", 0)
    as_they_come = Resampler(48_000, 44_100, machine)
    np.testing.assert_array_equal(as_they_come.whole(pcm), tabled.whole(pcm))


def test_a_long_block_is_one_of_many_groups() -> None:
    pcm = noise(300_000)
    whole = resampler(48_000, 44_100).whole(pcm)
    np.testing.assert_array_equal(in_pieces(resampler(48_000, 44_100), pcm, list(range(0, 300_000, 997))), whole)


@pytest.mark.parametrize(
    "pair", [(48_000, 44_100), (16_000, 44_100), (44_100, 16_000), (44_101, 44_100), (192_000, 44_100)], ids=str
)
def test_it_is_right(pair: tuple[int, int]) -> None:
    pcm = noise(3000, seed=5)
    assert abs(resampler(*pair).whole(pcm) - reference(pcm, *pair)).max() <= 1e-7


@pytest.mark.parametrize("machine", MACHINES)
def test_outputs_are_held_to_what_a_codec_takes(machine: str) -> None:
    square = np.where(np.arange(2000) // 20 % 2, MAX_ABS, -MAX_ABS).astype(np.float32)
    out = Resampler(48_000, 44_100, machine).whole(square)
    assert out.max() == MAX_ABS
    assert out.min() == -MAX_ABS


@pytest.mark.parametrize("machine", MACHINES)
def test_subnormal_samples_count(machine: str) -> None:
    pcm = np.full(500, 1e-40, np.float32)
    out = Resampler(22_050, 44_100, machine).whole(pcm)
    assert 0.9e-40 < out[500] < 1.1e-40


@pytest.mark.parametrize("machine", MACHINES)
def test_rows_are_whole_signals(machine: str) -> None:
    between = Resampler(16_000, 44_100, machine)
    rows = np.stack([noise(700, seed) for seed in range(3)])
    for came, row in zip(between.rows(rows.astype(np.float64)), rows, strict=True):
        np.testing.assert_array_equal(came, between.whole(row))


def test_a_state_is_a_value() -> None:
    between, pcm = resampler(48_000, 44_100), noise(2000)
    _, state = between.push(between.start(), pcm[:700])
    once, _ = between.push(state, pcm[700:])
    again, _ = between.push(state, pcm[700:])
    np.testing.assert_array_equal(once, again)


def test_a_block_may_be_a_view_with_strides() -> None:
    between, pcm = resampler(48_000, 44_100), noise(4000)
    np.testing.assert_array_equal(between.whole(pcm[::2]), between.whole(pcm[::2].copy()))


def test_copies_and_pickles_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    between, pcm = Resampler(48_000, 44_100), noise(500)
    assert copy.deepcopy(between) is between
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(between)).whole(pcm), between.whole(pcm))


@pytest.mark.parametrize("rates", [(0, 44_100), (44_100, 10**6), (44_100.5, 44_100)])
def test_bad_rates_are_refused(rates: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="the rate to convert"):
        Resampler(*rates)
    with pytest.raises(InputError, match="the rate to convert"):
        resample_rows(noise(10)[None], *rates)


def test_equal_rates_pass_through() -> None:
    rows = noise(100)[None]
    assert resample_rows(rows, 44_100, 44_100) is rows
