"""Spans of time of a signal: any float is a time, or is refused in a sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamrvq.errors import InputError
from streamrvq.tokens import Signal, TokenFile, open_tokens, write_tokens

FRAMES, HOP, RATE = 40, 512, 44_100


@pytest.fixture(scope="module")
def signal(tmp_path_factory: pytest.TempPathFactory) -> Signal:
    path = tmp_path_factory.mktemp("times") / "a.safetensors"
    codes = np.arange(2 * FRAMES).reshape(2, FRAMES)
    write_tokens(path, TokenFile(codes, "c", "ab" * 32, True, RATE, HOP, RATE, FRAMES * HOP))
    (found,) = open_tokens(path)
    assert isinstance(found, Signal)
    return found


TIMES = st.floats() | st.floats(0, 1) | st.integers(-1, 10**400)


@given(TIMES, st.none() | TIMES)
@example(math.inf, None)
@example(1e308, None)
@example(0.1, 1e308)
@example(0.1, math.inf)
@example(math.nan, None)
@example(0.0, math.nan)
@example(10**400, None)
def test_a_span_has_the_frames_that_overlap_it(signal: Signal, start: float, stop: float | None) -> None:
    end = math.inf if stop is None else stop
    if not 0 <= start <= end:
        with pytest.raises(InputError, match=r" s to .* s was asked for; wanted times from 0 on"):
            signal.read(start, stop)
        return
    near = 1e-5  # of a frame: so near its edge either is right
    frames = np.arange(FRAMES)
    begin, end = (min(time, 2.0) * RATE / HOP for time in (start, end))
    surely = (frames + 1 > begin + near) & (frames < end - near) & (end > begin + near)
    perhaps = (frames + 1 > begin - near) & (frames < end + near)
    got = signal.read(start, stop)[0]
    assert set(frames[surely]) <= set(got) <= set(frames[perhaps])
    assert (np.diff(got) == 1).all()
