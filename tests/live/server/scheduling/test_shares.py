"""How a tick's work is divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.scheduling.live_load import LEAST_LEFT
from streamrvq.live.server.scheduling.shares import (
    CATCH_UP_SHARE,
    DUE_SHARE,
    FILL_SHARE,
    FILL_STEPS,
    LEAST_SHARE,
    Shares,
)

HOP_SECONDS = 0.01


def shares_of(most=16):
    return Shares({"encode": most, "decode": most}, HOP_SECONDS)


@given(st.lists(st.booleans(), min_size=200, max_size=400), st.integers(1, 64), st.floats(LEAST_LEFT, 1.0))
def test_others_get_their_least_share_whatever_live_streams_ask_for(gaps, most, left):
    """In each tick live streams fill a step, or leave it; the others always wait, and come first where they are due."""
    shares, work = shares_of(most), {"live": 0, "others": 0}
    for gap in gaps:
        shares.begin_tick(live=True, left=left)
        if gap or shares.owed:
            shares.other_step("encode", shares.catch_up["encode"])
            work["others"] += shares.catch_up["encode"]
        else:
            shares.live_step("encode", most)
            work["live"] += most
    assert work["others"] >= LEAST_SHARE * left * sum(work.values()) - most


@given(st.integers(1, 64), st.floats(LEAST_LEFT, 1.0), st.sampled_from(["due", "catch_up"]))
def test_others_get_no_more_than_their_share_where_live_streams_leave_no_step(most, left, of):
    """However large their steps are beside what is owed."""
    shares, work = shares_of(most), {"live": 0, "others": 0}
    for _ in range(500):
        shares.begin_tick(live=True, left=left)
        if shares.owed:
            shares.other_step("encode", getattr(shares, of)["encode"])
            work["others"] += getattr(shares, of)["encode"]
        else:
            shares.live_step("encode", most)
            work["live"] += most
    assert work["others"] == pytest.approx(LEAST_SHARE * left * sum(work.values()), abs=2 * most)


def test_what_nobody_waited_for_is_not_due_later():
    shares = shares_of()
    for _ in range(100):
        shares.live_step("encode", 16)
    assert shares.owed
    shares.none_waits()
    assert not shares.owed


def test_what_others_had_too_much_is_forgotten_with_the_last_live_stream():
    def wait():
        """How many live steps come before others are owed one."""
        steps = 0
        while not shares.owed:
            shares.live_step("encode", 4)
            steps += 1
        return steps

    shares = shares_of()
    assert wait() == 2
    shares.other_step("encode", 4)  # twice as much
    assert wait() == 4
    shares.other_step("encode", 4)
    shares.begin_tick(live=False)
    assert wait() == 2


@pytest.mark.parametrize(("live", "divided"), [(True, CATCH_UP_SHARE), (False, 1)])
def test_steps_of_others_are_small_only_beside_live_streams(live, divided):
    shares = shares_of()
    shares.begin_tick(live)
    assert shares.catch_up == {"encode": 16 // divided, "decode": 16 // divided}


def test_others_fill_the_pool_for_a_part_of_a_hop_only():
    shares = shares_of()
    for live, left in ((True, 0), (False, FILL_STEPS * 16 - 1)):
        shares.begin_tick(live)
        assert shares.to_fill("encode", False) == (16 // DUE_SHARE if live else FILL_STEPS * 16)
        shares.filled("encode", False, 1.0, 1.01 * FILL_SHARE * HOP_SECONDS)
        assert shares.to_fill("encode", False) == left
        assert shares.to_fill("decode", False) == (0 if live else FILL_STEPS * 16)
        assert shares.to_fill("encode", True) == FILL_STEPS * 16


def test_the_time_of_live_streams_leaves_the_others_theirs():
    shares = shares_of()
    shares.begin_tick(live=True)
    shares.filled("encode", True, 16.0, HOP_SECONDS)
    assert shares.to_fill("encode", False) == 16 // DUE_SHARE


def test_what_others_fill_is_not_taken_from_live_streams():
    shares = shares_of()
    shares.begin_tick(live=True)
    for _ in range(FILL_STEPS):
        shares.filled("encode", False, 16 // DUE_SHARE, 0.0)
    assert shares.to_fill("encode", False) == 0
    assert shares.to_fill("encode", True) == FILL_STEPS * 16
    assert shares.to_fill("decode", False) == 16 // DUE_SHARE
