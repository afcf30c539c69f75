"""The pace of a stream: how far it is ahead of real time, and when it has a right to be computed."""

from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.pace import (
    LIVE_BLOCK_SECONDS,
    LIVE_SECONDS_AHEAD,
    MAX_SECONDS_AHEAD,
    MAX_SECONDS_BEHIND,
    REAL_TIME,
    Pace,
)

HOP = 512 / 44_100


def test_seconds_ahead_are_a_token_bucket():
    pace = Pace(HOP)
    assert pace.seconds_ahead(100.0) == -MAX_SECONDS_BEHIND
    pace.computed(0.5, 100.0)
    assert pace.seconds_ahead(100.0) == 0.5 - MAX_SECONDS_BEHIND
    assert pace.seconds_ahead(100.25) == 0.5 - MAX_SECONDS_BEHIND - 0.25 * REAL_TIME
    assert pace.seconds_ahead(1000.0) == -MAX_SECONDS_BEHIND
    pace.computed(60.0, 1000.0)
    assert pace.seconds_ahead(1000.0) == MAX_SECONDS_AHEAD


@given(st.lists(st.floats(0.0, 0.1), min_size=1, max_size=200), st.floats(0.9, 1.08))
def test_a_live_stream_always_has_the_right(delays, clock):
    """Whatever delays its hops had, and although its clock is faster: a hop at a time may be computed at once."""
    pace, now = Pace(HOP), 100.0
    for hop, delay in enumerate(delays):
        now = max(now, 100.0 + hop * HOP / clock + delay)
        assert pace.urgent(now, 0.0)
        pace.computed(HOP, now)


@given(st.floats(0.0, 10.0), st.integers(1, 40))
def test_a_stream_that_catches_up_has_a_right_to_real_time_only(pause, hops):
    """It is computed at once as soon as it has the right, for ten seconds; never more than real time comes of that."""
    pace, now, computed = Pace(HOP), 100.0 + pause, 0
    began = now
    while now < began + 10.0:
        if pace.urgent(now, 5.0):
            pace.computed(hops * HOP, now)
            computed += hops
        now += 0.01
    assert computed * HOP <= 10.0 * REAL_TIME + (hops + 2) * HOP
    assert computed * HOP >= 10.0 - max(hops * HOP, MAX_SECONDS_AHEAD)  # and never less


def test_who_was_computed_far_ahead_is_live_again_soon():
    pace = Pace(HOP)
    for _ in range(1000):
        pace.computed(HOP, 100.0)
    assert not pace.urgent(100.0, 0.0)
    late = (MAX_SECONDS_AHEAD - LIVE_SECONDS_AHEAD) / REAL_TIME
    assert pace.urgent(100.001 + late, 0.0)
    assert pace.urgent(100.001 + late, LIVE_BLOCK_SECONDS)
    assert not pace.urgent(100.001 + late, 2 * LIVE_BLOCK_SECONDS)
