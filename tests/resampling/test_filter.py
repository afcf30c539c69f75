"""The filter: its bits, its values, and the coefficients made of it.

Knows: the formula, with numpy's own sine and Bessel function. Does not know: signals.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio.rates import REACH, Ratio, ratio
from streamrvq.errors import EngineError
from streamrvq.resampling import Resampler, coefficients
from streamrvq.resampling.filter import BETA, PIECES, SHA256, filter_pieces
from tests.support.contract import NATIVE

#: SHA-256 of the rows of 48 to 44.1 kHz.
ROWS_HASH = "85903292e7d0f94968a15a7ae0fbda6e0e421ee46f9fc95bf039266efbaef9b0"


def formula(u: np.ndarray) -> np.ndarray:
    return np.sinc(u) * np.i0(BETA * np.sqrt(np.clip(1 - (u / REACH) ** 2, 0, None))) / np.i0(BETA) * (abs(u) < REACH)


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, "<f8").tobytes()).hexdigest()


def all_rows(between: Ratio) -> np.ndarray:
    return coefficients.rows(between, np.arange(between.up) * between.down % between.up)


def test_its_bits_are_these() -> None:
    assert sha256(filter_pieces()) == SHA256
    assert sha256(all_rows(ratio(48_000, 44_100))) == ROWS_HASH


def test_other_bits_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrvq.resampling.filter.BETA", 12.5)
    filter_pieces.cache_clear()
    with pytest.raises(EngineError, match="the resampler's filter has the hash"):
        filter_pieces()


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 0.75])
def test_it_is_a_sinc_under_a_kaiser_window(t: float) -> None:
    pieces = filter_pieces()
    u = -REACH + (np.arange(len(pieces)) + t) / PIECES
    value = ((pieces[:, 3] * t + pieces[:, 2]) * t + pieces[:, 1]) * t + pieces[:, 0]
    assert abs(value - formula(u)).max() < 2e-9


@given(rate_in=st.integers(1000, 768_000), rate_out=st.integers(1000, 768_000), seed=st.integers(0, 99))
def test_a_row_is_the_filter_at_its_phase(rate_in: int, rate_out: int, seed: int) -> None:
    between = ratio(rate_in, rate_out)
    phases = np.random.default_rng(seed).integers(0, between.up, 3)
    rows = coefficients.rows(between, phases)
    inputs = np.arange(2 * between.half) + 1 - between.half
    unit = max(between.up, between.down)
    u = (inputs * between.up - phases[:, None]) / unit
    gain = min(1.0, between.up / between.down)
    assert abs(rows[:, : len(inputs)] - gain * formula(u)).max() < 6e-9 * gain
    assert not rows[:, len(inputs) :].any()


@given(rate_in=st.integers(1000, 768_000), rate_out=st.integers(1000, 768_000), seed=st.integers(0, 99))
def test_the_product_of_a_coefficient_and_a_sample_is_exact(rate_in: int, rate_out: int, seed: int) -> None:
    between = ratio(rate_in, rate_out)
    rows = coefficients.rows(between, np.random.default_rng(seed).integers(0, between.up, 2))
    mantissa, _ = np.frexp(rows)
    whole = mantissa * 2.0**29  # 29 bits: with the 24 of a sample, 53
    np.testing.assert_array_equal(whole, np.round(whole))


RATIOS = st.builds(ratio, st.integers(1000, 768_000), st.integers(1000, 768_000))
EXTREME = [ratio(*pair) for pair in [(1000, 768_000), (768_000, 1000), (767_999, 768_000), (768_000, 767_999)]]


@given(between=st.one_of(st.sampled_from(EXTREME), RATIOS), seed=st.integers(0, 99))
def test_a_coefficient_is_a_whole_number_of_units_of_at_most_29_bits(between: Ratio, seed: int) -> None:
    phases = np.append(0, np.random.default_rng(seed).integers(0, between.up, 2))  # at phase 0 it is the largest
    units = coefficients.rows(between, phases) / coefficients.unit(between)
    np.testing.assert_array_equal(units, np.round(units))
    assert 2**27 < abs(units).max() <= 2**28


@given(between=st.one_of(st.sampled_from(EXTREME), RATIOS), phase=st.integers(0, 768_000))
def test_four_windows_begin_within_the_zeros_before_a_row(between: Ratio, phase: int) -> None:
    assert (phase % between.up + 3 * between.down) // between.up <= coefficients.pad(between)


@pytest.mark.skipif(not NATIVE, reason="no native library")
@pytest.mark.parametrize("pair", [(48_000, 44_100), (8000, 44_100), (44_100, 8000), (768_000, 1000), (1000, 768_000)])
def test_the_native_table_holds_the_same_coefficients(pair: tuple[int, int]) -> None:
    between = ratio(*pair)
    pad, width, count = coefficients.pad(between), coefficients.taps(between), coefficients.period(between)
    sums = Resampler(*pair)._sums
    table, held = sums._table, sums._spec.held
    came = table[: held * (pad + width)].reshape(held, pad + width)
    wanted = coefficients.rows(between, np.arange(count) * between.down % between.up) / coefficients.unit(between)
    np.testing.assert_array_equal(came[:, pad:], wanted[:held])
    assert not came[:, :pad].any()
    assert not table[held * (pad + width) :].any()
    # Row m of those that are missing is row `count` − m backwards. Rows of a whole ratio are repeated, and all there.
    assert held == (count // 2 + 1 if between.up > 8 else count)
    length = 2 * between.half
    np.testing.assert_array_equal(came[count - held : 0 : -1, pad : pad + length][:, ::-1], wanted[held:, :length])


def test_a_constant_keeps_its_value() -> None:
    for pair in [(48_000, 44_100), (16_000, 44_100), (96_000, 16_000)]:
        sums = all_rows(ratio(*pair)).sum(axis=1)
        np.testing.assert_allclose(sums, 1, atol=3e-6, err_msg=str(pair))


def test_it_is_symmetric() -> None:
    between = ratio(44_100, 48_000)
    phases = np.arange(1, between.up)
    rows, mirrored = (coefficients.rows(between, at)[:, : 2 * between.half] for at in (phases, between.up - phases))
    np.testing.assert_allclose(rows, mirrored[:, ::-1], atol=2.0**-28)
