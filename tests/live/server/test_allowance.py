"""Whatever is done, and whenever: in the long run it has no more than its share of the time.

And whoever sent too fast starts streams one after another.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server import access
from streamrvq.live.server.access import Allowance, Restarts


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


@given(asks=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 3)), max_size=60))
def test_streams_of_a_client_that_sent_too_fast_begin_apart(asks: list[tuple[str, bool, float]]) -> None:
    restarts, now, refused, begun = Restarts(), 0.0, dict[str, float](), dict[str, float]()
    for client, refuse, idle in asks:
        now += idle
        if refuse:
            restarts.refuse(client, now)
            refused[client] = now
            continue
        pause = restarts.pause(client, now)
        assert pause <= access.LONGEST_RESTART
        if client not in refused:
            assert pause == 0.0
        elif now - refused[client] <= access.REMEMBERED_SECONDS:
            apart = now + pause - begun.get(client, refused[client])
            assert apart >= access.RESTART_SECONDS - 1e-9 or pause == access.LONGEST_RESTART
            begun[client] = now + pause


def test_a_client_that_sent_too_fast_is_forgotten() -> None:
    restarts = Restarts()
    restarts.refuse("a", 0.0)
    assert restarts.pause("a", 1.0) == access.RESTART_SECONDS
    assert restarts.pause("a", 2.0 + access.REMEMBERED_SECONDS) == 0.0
    for number in range(2 * access.MOST_REMEMBERED):
        restarts.refuse(f"{number}", 20.0)
    assert len(restarts._next) == access.MOST_REMEMBERED
    assert restarts.pause(f"{2 * access.MOST_REMEMBERED - 1}", 20.0) > 0.0
