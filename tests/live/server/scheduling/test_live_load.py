"""How much live streams take, and what that leaves to others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.scheduling.live_load import LEAST_LEFT, MEAN_SECONDS, LiveLoad


def after_a_while(load: LiveLoad, loop: float, steps: float, others: float = 0.0, seconds: float = 10.0) -> float:
    """What is left where each second has so many of the loop, of live steps, and of the loop for others."""
    for half in range(int(2 * seconds) + 1):
        load.measure(half / 2, half / 2 * loop)
        load.step(steps / 2, live=True)
        load.others(others / 2)
    return load.left


@pytest.mark.parametrize(
    ("cores", "threads", "loop", "steps", "left"),
    [
        (1, 1, 0.2, 0.3, 0.5),
        (2, 1, 0.2, 0.3, 0.7),  # the worker is the first that has no more time
        (2, 2, 0.2, 0.3, 0.6),  # half of 0.2 + 0.3 + 0.3
        (2, 4, 0.2, 0.3, 0.6),  # there are no more cores for them
        (16, 1, 0.6, 0.3, 0.4),  # the loop is
        (1, 1, 0.8, 0.8, LEAST_LEFT),
    ],
)
def test_the_first_that_has_no_more_time_counts(cores, threads, loop, steps, left):
    assert after_a_while(LiveLoad(cores, threads), loop, steps) == pytest.approx(left, abs=1e-3)


def test_what_others_take_leaves_as_much_to_them():
    assert after_a_while(LiveLoad(), 0.6, 0.2, others=0.5) == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("live", [False, True])
def test_without_live_steps_all_is_left(live):
    load = LiveLoad()
    for second in range(20):
        load.measure(second, 0.9 * second)
        load.step(0.5, live)
    assert load.left == (LEAST_LEFT if live else 1.0)


def test_one_measurement_is_no_load_yet():
    load = LiveLoad()
    load.step(5.0, live=True)
    load.measure(100.0, 50.0)
    assert load.left == 1.0


def test_a_moment_counts_little():
    load = LiveLoad()
    after_a_while(load, 0.1, 0.1)
    load.step(0.05, live=True)
    load.measure(10.0 + MEAN_SECONDS / 20, 10.0 * 0.1 + MEAN_SECONDS / 20)
    assert load.left >= 0.7


@given(st.lists(st.tuples(*[st.floats(0.0, 3.0)] * 4), max_size=30), st.integers(1, 64), st.integers(1, 64))
def test_what_is_left_is_a_share(periods, cores, threads):
    load, now, spent = LiveLoad(cores, threads), 0.0, 0.0
    for period, loop, steps, others in periods:
        now, spent = now + period, spent + loop
        load.step(steps, live=True)
        load.others(others)
        load.measure(now, spent)
        assert LEAST_LEFT <= load.left <= 1.0
