"""Signals of different lengths given to `Codec.encode` together: each gives just what it gives alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.codec import Codec
from streamrvq.errors import InputError
from streamrvq.weights import seeded
from tests.support.contract import noise
from tests.support.small_codec import CONFIG


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec(seeded(CONFIG))


@given(st.lists(st.integers(0, 300), min_size=2, max_size=5), st.sampled_from(["pad", "valid"]))
def test_each_is_as_alone(codec: Codec, lengths: list[int], tail: str) -> None:
    signals = [noise(length, seed=number) for number, length in enumerate(lengths)]
    together = codec.encode(signals, tail=tail, n_quantizers=2)
    assert len(together) == len(signals)
    for codes, signal in zip(together, signals, strict=True):
        np.testing.assert_array_equal(codes, codec.encode(signal, tail=tail, n_quantizers=2))


def test_with_latents_each_is_a_pair(codec: Codec) -> None:
    signals = (noise(40), noise(90))
    for (codes, latents), signal in zip(codec.encode(signals, return_latents=True), signals, strict=True):
        alone = codec.encode(signal, return_latents=True)
        np.testing.assert_array_equal(codes, alone[0])
        np.testing.assert_array_equal(latents, alone[1])


def test_equal_lengths_give_one_array_as_before(codec: Codec) -> None:
    assert codec.encode([noise(64), noise(64)]).ndim == 3


def test_a_bad_signal_is_refused(codec: Codec) -> None:
    with pytest.raises(InputError, match="sample 3 is nan"):
        codec.encode([noise(50), np.array([0, 0, 0, np.nan], np.float32)])


@pytest.mark.parametrize("kinds", [(np.int16, np.float32), (np.float32, np.int16), (np.int16, np.float32, np.int16)])
def test_signals_of_different_types_are_as_alone(codec: Codec, kinds: tuple[type, ...]) -> None:
    signals = [_typed(noise(64, seed=number), kind) for number, kind in enumerate(kinds)]
    together = codec.encode(tuple(signals))
    assert together.shape[0] == len(kinds)
    for codes, signal in zip(together, signals, strict=True):
        np.testing.assert_array_equal(codes, codec.encode(signal))


def test_a_type_that_is_refused_alone_is_refused_together(codec: Codec) -> None:
    for other in (np.zeros(64, np.int8), np.zeros(64, bool), np.zeros(64, np.float16)):
        with pytest.raises(InputError, match=f"samples are {other.dtype}"):
            codec.encode([noise(64), other])


def _typed(signal: Any, kind: type) -> Any:
    """The signal as float32, or as quiet int16: numbers that are amplitudes within the limits, too."""
    return signal.astype(np.float32) if kind is np.float32 else np.rint(signal * 100).astype(np.int16)
