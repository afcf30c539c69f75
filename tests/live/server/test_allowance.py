"""Whatever is done, and whenever: in the long run it has no more than its share of the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.access import Allowance


@given(
    steps=st.lists(st.tuples(st.floats(0, 0.01), st.floats(0, 0.1)), max_size=100), share=st.floats(0.01, 0.9),
    burst=st.floats(0, 0.1),
)  # fmt: skip
def test_work_that_pauses_when_it_is_told_to_keeps_its_share(
    steps: list[tuple[float, float]], share: float, burst: float
) -> None:
    allowance, now, done = Allowance(burst, share, 0.0), 0.0, 0.0
    for work, idle in steps:
        now += idle + allowance.pause(now + idle)
        allowance.use(work, now)
        done += work
        assert done <= share * now + burst + work + 1e-6


def test_nothing_pauses_that_has_time_left() -> None:
    allowance = Allowance(0.1, 0.5, 0.0)
    allowance.use(0.1, 0.0)
    assert allowance.pause(0.0) == 0.0
    allowance.use(0.1, 0.0)
    assert allowance.pause(0.0) == pytest.approx(0.2)
    assert allowance.pause(0.2) == 0.0


def test_an_allowance_is_filled_by_time() -> None:
    allowance = Allowance(10.0, 2.0, 100.0)
    assert allowance.use(12.0, 100.0) == -2.0
    assert allowance.left(102.0) == 2.0
    assert allowance.left(1000.0) == 10.0
