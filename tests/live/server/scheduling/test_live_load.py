"""How much live streams take, and what that leaves to others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.scheduling.live_load import LEAST_LEFT, SHORTEST_PERIOD, LiveLoad
from streamrvq.live.server.scheduling.results import Step, Tick


def after_a_while(load: LiveLoad, loop: float, steps: float, others: float = 0.0, seconds: float = 10.0) -> float:
    """What is left where each second has so many of the loop, of live steps, and of the loop for others."""
    for half in range(int(2 * seconds) + 1):
        load.measure(half / 2, half / 2 * loop)
        load.tick(steps / 2)
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


@pytest.mark.parametrize("ticks", [0.0, 0.5])
def test_without_live_steps_all_is_left(ticks):
    load = LiveLoad()
    for second in range(20):
        load.measure(second, 0.9 * second)
        load.tick(ticks)
    assert load.left == (LEAST_LEFT if ticks else 1.0)


def test_short_periods_are_joined():
    """A tick of 0.1 s would else be clipped in one of them and no live work at all in nine."""
    load = LiveLoad()
    for hundredth in range(3000):
        load.measure(hundredth / 100, 0.2 * hundredth / 100)
        load.tick(0.03 if hundredth % 10 == 0 else 0.0)
    assert load.left == pytest.approx(0.5, abs=0.05)


def test_one_measurement_is_no_load_yet():
    load = LiveLoad()
    load.tick(5.0)
    load.measure(100.0, 50.0)
    assert load.left == 1.0


def test_a_moment_counts_little():
    load = LiveLoad()
    after_a_while(load, 0.1, 0.1)
    load.tick(SHORTEST_PERIOD)
    load.measure(10.0 + SHORTEST_PERIOD, 10.0 * 0.1 + SHORTEST_PERIOD)
    assert 0.55 <= load.left <= 0.7


@given(st.lists(st.tuples(*[st.floats(0.0, 3.0)] * 4), max_size=30), st.integers(1, 64), st.integers(1, 64))
def test_what_is_left_is_a_share(periods, cores, threads):
    load, now, spent = LiveLoad(cores, threads), 0.0, 0.0
    for period, loop, steps, others in periods:
        now, spent = now + period, spent + loop
        load.tick(steps)
        load.others(others)
        load.measure(now, spent)
        assert LEAST_LEFT <= load.left <= 1.0


@pytest.mark.parametrize(("steps", "live"), [
    ([], 0.0), ([(0.5, True)], 3.0), ([(0.5, False)], 0.0), ([(0.2, True), (0.4, False)], 1.0),
])  # fmt: skip
def test_a_tick_is_for_live_streams_as_its_steps_are(steps, live):
    tick = Tick(steps=[Step("encode", 1, 1, seconds, of_live) for seconds, of_live in steps], seconds=3.0)
    assert tick.live_seconds == pytest.approx(live)
