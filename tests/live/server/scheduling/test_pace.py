"""The pace of a stream: how far it is ahead of real time, and when it has a right to be computed."""

from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.scheduling.pace import (
    BURST_SECONDS,
    LIVE_SECONDS_AHEAD,
    MARGIN_PER_SECOND,
    MAX_SECONDS_AHEAD,
    MAX_SECONDS_BEHIND,
    REAL_TIME,
    Pace,
)

HOP = 512 / 44_100


def test_seconds_ahead_are_a_token_bucket():
    pace = Pace(HOP, 99.0)
    assert pace.seconds_ahead(99.0) == 0.0
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
    pace, now = Pace(HOP, 100.0 - LIVE_SECONDS_AHEAD / MARGIN_PER_SECOND), 100.0
    for hop, delay in enumerate(delays):
        now = max(now, 100.0 + hop * HOP / clock + delay)
        assert pace.live(now, 0.0)
        pace.computed(HOP, now)


@given(st.lists(st.floats(0.0, 0.1), min_size=1, max_size=200))
def test_a_stream_is_live_from_its_first_hop_on(delays):
    """Its blocks are a hop long and come late by so much; no later block comes sooner than in real time."""
    pace, now = Pace(HOP, 100.0), 100.0
    for hop, delay in enumerate(delays):
        now = max(now, 100.0 + sum(delays[: hop + 1])) + HOP
        assert pace.live(now, 0.0), delay
        pace.computed(HOP, now)


@given(st.floats(0.1, 2.0), st.integers(1, 4))
def test_streams_opened_one_after_another_have_little_more_than_real_time(each, hops):
    """A client that opens a new stream whenever the last one has lived so long, and always has a hop waiting."""
    now, computed = 100.0, 0
    while now < 110.0:
        pace, until = Pace(HOP, now), now + each
        while now < until:
            if pace.live(now, 0.0):
                pace.computed(hops * HOP, now)
                computed += hops
            now += 0.002
    streams = 10.0 / each + 1
    assert computed * HOP <= (10.0 + each + 0.01) * (REAL_TIME + MARGIN_PER_SECOND) + streams * hops * HOP


@given(st.floats(0.0, 10.0), st.integers(1, 40))
def test_a_stream_that_catches_up_is_due_in_real_time_only(pause, hops):
    """It is computed as soon as it is due, for ten seconds; never more than real time comes of that."""
    pace, now, computed = Pace(HOP, 100.0), 100.0 + pause, 0
    began = now
    while now < began + 10.0:
        pace.arrived(1.0, now)
        assert not pace.live(now, 5.0)
        if pace.due(now):
            pace.computed(hops * HOP, now)
            computed += hops
        now += 0.01
    assert computed * HOP <= 10.0 * REAL_TIME + (hops + 2) * HOP
    assert computed * HOP >= 10.0 - max(hops * HOP, MAX_SECONDS_AHEAD)  # and never less


def test_a_parked_stream_is_never_due():
    pace = Pace(HOP, 100.0)
    assert pace.due(201.0)
    pace.held(False, 201.0)
    assert not pace.due(201.0)
    pace.held(True, 201.0)
    assert pace.due(201.0)


@given(st.floats(0.002, 0.1), st.floats(0.0, 0.1), st.floats(0.2, 100.0))
def test_a_stream_that_waits_for_us_is_live(block, delay, late):
    """Its blocks came in real time, each delayed by up to so much. Nothing was computed meanwhile."""
    pace, blocks = Pace(HOP, 100.0), int(late / block) + 1
    for number in range(1, min(blocks, 2000) + 1):
        now = 100.0 + number * block + delay * (number % 2)
        pace.arrived(block, now)
    assert pace.live(now, late)


def test_sending_more_than_real_time_is_remembered():
    pace = Pace(HOP, 100.0)
    pace.arrived(1000.0, 200.0)
    assert not pace.in_real_time(199.99 + BURST_SECONDS)
    assert pace.in_real_time(200.01 + BURST_SECONDS)


@given(st.floats(0.3, 5.0))
def test_large_blocks_are_not_taken_for_live_ones(block):
    pace, now = Pace(HOP, 100.0), 100.0
    for _ in range(20):
        now += block
        pace.arrived(block, now)
        assert not pace.in_real_time(now + 0.9 * block)


def test_who_resumes_catches_up():
    pace = Pace(HOP, 100.0)
    pace.computed(1.0, 200.0)
    assert pace.live(200.0, 1.0)
    pace.held(True, 200.0)
    assert not pace.live(200.0, 1.0)
