"""Sample rates: the arithmetic of a pair, and bad rates.

Knows: whole numbers. Does not know: samples (tests/resampling).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.audio.rates import (
    MOST_SAMPLES,
    REACH,
    check_rate,
    held_back,
    output_length,
    ratio,
    samples_in,
)
from streamrvq.errors import InputError

rates = st.integers(1000, 768_000)


@given(rate_in=rates, rate_out=rates, inputs=st.integers(0, 1 << 40))
def test_an_output_is_ready_when_its_last_input_has_come(rate_in: int, rate_out: int, inputs: int) -> None:
    between = ratio(rate_in, rate_out)
    ready = between.ready(inputs)
    last = [between.place(output)[0] + between.half for output in (ready - 1, ready)]  # the last input of each
    assert last[0] < inputs or ready == 0
    assert last[1] >= inputs


@given(rate_in=rates, rate_out=rates, output=st.integers(0, 1 << 40))
def test_a_place_is_the_outputs_time(rate_in: int, rate_out: int, output: int) -> None:
    between = ratio(rate_in, rate_out)
    place, phase = between.place(output)
    assert (place + Fraction(phase, between.up)) / rate_in == Fraction(output, rate_out)


@given(rate_in=rates, rate_out=rates)
def test_the_window_reaches_as_far_as_the_filter(rate_in: int, rate_out: int) -> None:
    half, slower = ratio(rate_in, rate_out).half, min(rate_in, rate_out)
    assert Fraction(half - 1, rate_in) < Fraction(REACH, slower) <= Fraction(half, rate_in)


@given(rate_in=rates, rate_out=rates, inputs=st.integers(0, 1 << 40))
def test_the_length_is_rounded_to_the_nearest(rate_in: int, rate_out: int, inputs: int) -> None:
    exact = Fraction(inputs * rate_out, rate_in)
    length = output_length(inputs, rate_in, rate_out)
    assert abs(length - exact) <= Fraction(1, 2)
    if abs(length - exact) == Fraction(1, 2):
        assert length > exact


@given(rate_in=rates, rate_out=rates, inputs=st.integers(0, 1 << 40))
def test_the_end_needs_no_more_zeros_than_half_a_window(rate_in: int, rate_out: int, inputs: int) -> None:
    between = ratio(rate_in, rate_out)
    assert between.ready(inputs) <= between.length(inputs) <= between.ready(inputs + between.half + 1)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "most"),
    [(48_000, 44_100, 2), (96_000, 44_100, 2), (24_000, 44_100, 4), (16_000, 44_100, 6), (8000, 44_100, 12),
     (48_000, 24_000, 4), (48_000, 16_000, 4)],
)  # fmt: skip
def test_what_is_held_back_is_short(rate_in: int, rate_out: int, most: float) -> None:
    assert 1000 * held_back(rate_in, rate_out) <= most


def test_equal_rates_hold_nothing_back() -> None:
    assert held_back(44_100, 44_100) == 0


@pytest.mark.parametrize("rate", [0, -44100, 999, 10**6, 44100.5, float("nan"), float("inf"), "44100", None, True])
def test_bad_rates_are_refused(rate: object) -> None:
    with pytest.raises(InputError, match="wanted a whole number of Hz from 1000 to 768000"):
        check_rate(rate)


def test_whole_floats_are_rates_for_sound_devices_state_theirs_so() -> None:
    assert check_rate(48000.0) == 48000
    assert type(check_rate(np.float64(48000))) is int


@given(st.floats(min_value=0), rates)
@example(math.inf, 44_100)
@example(1e308, 44_100)
def test_any_time_is_a_number_of_samples(seconds: float, rate: int) -> None:
    samples = samples_in(seconds, rate)
    if seconds < 1e9:
        assert samples == round(seconds * rate)
    assert 0 <= samples <= MOST_SAMPLES
