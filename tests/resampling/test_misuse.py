"""A resampler that is given what it cannot take says so, and reads no memory but its own. Its memory is bounded.

Knows: samples, states, tables. Does not know: what comes out of good samples (test_resampler.py).
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from streamrvq.audio.rates import ratio
from streamrvq.errors import InputError
from streamrvq.resampling import Resampler, ResamplerState, coefficients, resample_rows
from tests.support.native import ISAS

MACHINES = ["numpy", *ISAS]
PCM = np.random.default_rng(0).uniform(-0.5, 0.5, 3000).astype(np.float32)


@pytest.mark.parametrize(
    "block",
    [PCM.astype(np.float64), np.zeros(9, np.int16), PCM.astype(">f4"), PCM[None], [0.5, 0.5], 1.0],
    ids=["doubles", "int16", "big-endian", "rows", "list", "number"],
)
def test_samples_of_another_kind_are_refused(block: Any) -> None:
    between = Resampler(48_000, 44_100)
    with pytest.raises(InputError, match=r"samples to resample are .* wanted float32"):
        between.push(between.start(), block)
    with pytest.raises(InputError, match=r"samples to resample are .* wanted float32"):
        between.whole(block)


@pytest.mark.parametrize("history", [np.zeros(96, np.float32), np.zeros(106), np.zeros((106, 1), np.float32)])
def test_a_state_of_another_ratio_is_refused(history: Any) -> None:
    between, state = Resampler(48_000, 44_100), ResamplerState(0, history)
    with pytest.raises(InputError, match=r"the state keeps .* wanted float32 .106."):
        between.push(state, PCM)
    with pytest.raises(InputError, match="the state keeps"):
        between.finish(state)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_history_may_be_a_view_with_strides(machine: str) -> None:
    between = Resampler(48_000, 44_100, machine)
    _, state = between.push(between.start(), PCM[:1000])
    strided = ResamplerState(state.taken, np.repeat(state.history, 2)[::2])
    np.testing.assert_array_equal(between.push(strided, PCM[1000:])[0], between.push(state, PCM[1000:])[0])


@pytest.mark.parametrize("machine", MACHINES)
def test_a_state_keeps_no_block(machine: str) -> None:
    between = Resampler(48_000, 44_100, machine)
    _, state = between.push(between.start(), PCM)
    assert state.history.base is None


@pytest.mark.parametrize("machine", MACHINES)
def test_positions_may_be_beyond_64_bits(machine: str) -> None:
    between = Resampler(44_100, 768_000, machine)
    far, near = (ResamplerState(n * 147, np.zeros(between.ratio.history, np.float32)) for n in (2**61 // 147, 1000))
    np.testing.assert_array_equal(between.push(far, PCM[:200])[0], between.push(near, PCM[:200])[0])


@pytest.mark.parametrize("machine", MACHINES)
def test_large_tables_together_are_bounded(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    between = ratio(8001, 44_100)
    room = sum(coefficients._in_use.values()) + between.up * coefficients.taps(between)
    monkeypatch.setattr(coefficients, "MOST_KEPT_TOGETHER", room)
    first, second = Resampler(8001, 44_100, machine), Resampler(8001, 44_100, machine)
    assert first._sums._table is not None
    assert second._sums._table is None
    np.testing.assert_array_equal(first.whole(PCM), second.whole(PCM))
    del first
    gc.collect()
    assert Resampler(8001, 44_100, machine)._sums._table is not None


@pytest.mark.parametrize(
    "pair", [(48_000, 44_100), (8000, 44_100), (192_000, 44_100), (44_100, 48_000), (44_100, 8000), (11_025, 48_000)]
)
def test_usual_rates_have_their_tables_in_any_case(pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coefficients, "MOST_KEPT_TOGETHER", 0)
    assert Resampler(*pair)._sums._table is not None


def test_no_rows_are_as_long_as_rows() -> None:
    assert resample_rows(np.zeros((0, 480), np.float32), 48_000, 44_100).shape == (0, 441)
