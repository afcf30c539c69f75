"""check_chunkings reports every kind of difference that a test makes, and none where there is none."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from streamrvq.audio.rates import output_length
from streamrvq.checking import table
from streamrvq.checking.rates import check_chunkings_at, check_decoding_at
from streamrvq.checking.table import check_chunkings, check_decoding
from streamrvq.codec import Codec
from streamrvq.errors import InputError
from streamrvq.resampling import Resampler, ResamplerState
from tests.support.contract import QUICK, codec_of, minute, needs_torch, noise


@pytest.fixture
def quick_codec(causal: bool) -> Codec:
    """For many steps: what happens before and behind a codec does not depend on its engine."""
    return codec_of(minute(causal=causal), *QUICK)


def test_float64_never_differs(minute_codec: Codec) -> None:
    rows = check_chunkings(minute_codec, noise(640), [1, 7, 8, 9, "random"])
    assert [row.chunks for row in rows] == [1, 7, 8, 9, "random"]
    assert rows[0].pushes == 640
    assert rows[2].pushes == 80
    for row in rows:
        assert row.passed
        assert row.comparison.equal
        assert row.smallest_margin is None
        assert row.comparison.frames == 80
        assert row.latent_difference < 1e-12


def test_float32_differs_by_rounding_at_most(causal: bool) -> None:
    for row in check_chunkings(
        codec_of(minute(causal=causal), "float32"), noise(3000), [5, 64, "random"], tail="valid"
    ):
        assert row.passed
        assert row.latent_difference < 1e-4


def test_decoding(minute_codec: Codec) -> None:
    codes = minute_codec.encode(noise(1000))
    rows = check_decoding(minute_codec, codes, [1, 3, "random"])
    assert [row.pushes for row in rows][:2] == [125, 42]
    for row in rows:
        assert row.samples == len(minute_codec.decode(codes))
        assert row.difference < 1e-12
        assert row.passed


@pytest.mark.parametrize("rate", [8000, 44101, 48000])
def test_streams_at_another_rate(quick_codec: Codec, rate: int) -> None:
    rows = check_chunkings_at(quick_codec, noise(1500), rate, [1, 7, 512, "random"], tail="valid")
    assert [(row.sample_rate, row.chunks) for row in rows] == [(rate, size) for size in (1, 7, 512, "random")]
    assert [row.pushes for row in rows][:3] == [1500, 215, 3]
    for row in rows:
        assert row.comparison.equal
        assert row.latent_difference is None
        assert row.comparison.frames == quick_codec.encode(noise(1500), rate, tail="valid").shape[1]


@pytest.mark.parametrize("rate", [8000, 44101, 48000])
def test_decoding_to_another_rate(quick_codec: Codec, rate: int) -> None:
    codes = quick_codec.encode(noise(1000))
    for row in check_decoding_at(quick_codec, codes, rate, [1, 3, "random"]):
        assert row.sample_rate == rate
        assert row.samples == output_length(1000, 44100, rate)
        assert row.difference < 1e-6  # of float32 samples; the engine's own are equal, or in float64 hardly differ
        assert row.passed


def test_a_stream_that_loses_its_resamplers_state_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Resampler.push

    def push(self: Resampler, state: ResamplerState, block: Any) -> Any:
        return honest(self, state._replace(history=np.zeros_like(state.history)), block)

    monkeypatch.setattr(Resampler, "push", push)
    (row,) = check_chunkings_at(codec_of(minute()), noise(400), 48000, [100])
    assert not row.passed
    assert row.smallest_margin is not None
    (decoded,) = check_decoding_at(codec_of(minute()), np.ones((3, 60), int), 48000, [7])
    assert decoded.difference > 1e-3
    assert not decoded.passed


@pytest.mark.parametrize("rate", [44100, 16000])
def test_an_engine_with_exact_bits_has_no_rounding(rate: int) -> None:
    codec = codec_of(minute(), *QUICK)
    (row,) = check_decoding_at(codec, np.ones((3, 60), int), rate, [7])
    exact = codec.engine.name == "native"
    assert row.passed
    assert (row.allowed == 0) is exact
    assert not dataclasses.replace(row, difference=row.allowed + 1e-7).passed
    assert not dataclasses.replace(row, difference=math.nan).passed


@needs_torch
@pytest.mark.parametrize(
    ("dtype", "rate", "allowed"), [("float32", 44100, 1e-4), ("float64", 44100, 1e-11), ("float64", 16000, 1e-6)]
)
def test_torch_may_round(dtype: str, rate: int, allowed: float) -> None:
    (row,) = check_decoding_at(codec_of(minute(), dtype, "torch"), np.ones((3, 60), int), rate, [7])
    assert row.passed
    assert row.allowed == pytest.approx(allowed)


def test_progress_is_told() -> None:
    said: list[str] = []
    check_chunkings(codec_of(minute()), noise(100), [9], progress=said.append)
    assert said == ["whole signal", "chunks of 9"]


def differing(monkeypatch: pytest.MonkeyPatch, second_best: bool) -> table.Row:
    """A run whose chunks give another code at one place: the second best entry, or any."""
    codec = codec_of(minute())
    honest = table._encode

    def encode(codec: Codec, signal: Any, size: Any, seed: int, tail: str) -> Any:
        codes, latents, pushes = honest(codec, signal, size, seed, tail)
        if size is not None:
            book, inner = codec.codebooks[0].astype(np.float64), latents[:3, 20]
            order = np.argsort(book @ inner / np.linalg.norm(book, axis=1))
            codes = codes.copy()
            codes[0, 20] = order[-2 if second_best else 0]
            codes[1:, 20] += 1  # later levels of the frame do not count
        return codes, latents, pushes

    monkeypatch.setattr(table, "_encode", encode)
    (row,) = check_chunkings(codec, noise(400), [10])
    return row


def test_a_difference_is_found_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    near = differing(monkeypatch, second_best=True)
    assert not near.passed
    assert near.comparison.differing_codes == 3
    assert near.comparison.differing_frames == 1
    # The margin is the gap between the best two entries, and those two are what differs.
    assert near.smallest_margin == pytest.approx(near.comparison.largest_gap)
    # Of the other frames: torch's sums in float64, which on some processors depend on how much is computed together.
    assert near.latent_difference < 1e-12


def test_a_wide_difference_is_no_near_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = differing(monkeypatch, second_best=False)
    assert not wide.passed
    assert wide.comparison.near_ties == 0
    assert wide.smallest_margin is not None
    assert wide.comparison.largest_gap > wide.smallest_margin


def test_a_near_tie_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrvq.checking.near_ties.NEAR_TIE", 10.0)
    row = differing(monkeypatch, second_best=True)
    assert row.passed
    assert not row.comparison.equal


@pytest.mark.parametrize("size", [0, -3, True, 2.5, "any"])
def test_bad_sizes(size: Any) -> None:
    with pytest.raises(InputError, match="chunk size"):
        check_chunkings(codec_of(minute()), noise(100), [size])


def test_a_bad_tail() -> None:
    with pytest.raises(InputError, match="tail is 'end'; wanted 'pad'"):
        check_chunkings(codec_of(minute()), noise(100), [8], tail="end")


def test_bad_samples() -> None:
    with pytest.raises(InputError):
        check_chunkings(codec_of(minute()), np.zeros(100), [8])


def test_rows_are_values() -> None:
    (row,) = check_chunkings(codec_of(minute()), noise(100), [8])
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.pushes = 3  # type: ignore[misc]
