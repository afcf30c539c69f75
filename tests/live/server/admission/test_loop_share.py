"""Whatever is done, and whenever: in the long run it has no more than its share of the time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.admission.loop_share import LoopShare


@given(
    steps=st.lists(st.tuples(st.floats(0, 0.01), st.floats(0, 0.1)), max_size=100), share=st.floats(0.01, 0.9),
    burst=st.floats(0, 0.1),
)  # fmt: skip
def test_work_that_pauses_when_it_is_told_to_keeps_its_share(
    steps: list[tuple[float, float]], share: float, burst: float
) -> None:
    loop_share, now, done = LoopShare(share, burst, 0.0), 0.0, 0.0
    for work, idle in steps:
        now += idle + loop_share.pause(now + idle)
        loop_share.spend(work, now)
        done += work
        assert done <= share * now + burst + work + 1e-6


def test_nothing_pauses_that_has_time_left() -> None:
    loop_share = LoopShare(0.5, 0.1, 0.0)
    loop_share.spend(0.1, 0.0)
    assert loop_share.pause(0.0) == 0.0
    loop_share.spend(0.1, 0.0)
    assert loop_share.pause(0.0) == pytest.approx(0.2)
    assert loop_share.pause(0.2) == 0.0
