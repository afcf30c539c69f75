"""Loudness is asked for at any time: the question changes nothing of what comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.audio import loudness
from streamrvq.audio.loudness import LEAST, Loudness

RATE = 8000
PCM = (0.1 * np.random.default_rng(0).standard_normal(3 * RATE)).astype(np.float32)


def of(parts: list[np.ndarray], asked: list[bool]) -> float:
    measure = Loudness(RATE)
    for part, ask in zip(parts, asked, strict=True):
        measure.push(part)
        if ask:
            assert measure.value() == measure.value()
    return measure.value()


@settings(max_examples=60)
@given(st.data())
def test_asking_in_between_changes_nothing(data: st.DataObject) -> None:
    """Also while pieces are filtered: they are shorter here than the signal."""
    ends = sorted(data.draw(st.lists(st.integers(0, len(PCM)), max_size=6)))
    parts = np.split(PCM[: ends.pop() if ends else len(PCM)], ends)
    asked = data.draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    piece, loudness._PIECE = loudness._PIECE, data.draw(st.sampled_from([800, 5000, 1 << 18]))
    try:
        assert of(parts, asked) == of(parts, [False] * len(parts))
    finally:
        loudness._PIECE = piece


def test_the_loudness_so_far_is_that_of_a_signal_that_ends_there() -> None:
    measure = Loudness(RATE)
    assert measure.value() == LEAST
    for at in range(0, len(PCM), 5000):
        measure.push(PCM[at : at + 5000])
        whole = Loudness(RATE)
        whole.push(PCM[: at + 5000])
        assert abs(measure.value() - whole.value()) < 1e-9


def test_a_long_signal_at_once_is_filtered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """One transform of an hour takes 12 GB."""
    whole = of([PCM], [False])
    sizes: list[int] = []
    response = loudness._k_weighting
    monkeypatch.setattr(loudness, "_PIECE", 800)
    monkeypatch.setattr(loudness, "_k_weighting", lambda rate, size: (sizes.append(size), response(rate, size))[1])
    assert abs(of([PCM], [False]) - whole) < 1e-9
    assert len(sizes) > 20
    assert max(sizes) < len(PCM)
