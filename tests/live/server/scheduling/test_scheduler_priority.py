"""Live streams first: ticks with a clock of their own, in which a step takes as long as its rows and hops say.

Nothing is computed: codes and samples are zeros.
"""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.live.server.scheduling import scheduler as scheduler_module
from streamrvq.live.server.scheduling.lane import Filled, Lane
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.server.scheduling.shares import CATCH_UP_SHARE, FILL_SHARE, LEAST_SHARE
from tests.support.service import CAUSAL, HOP, RATE

#: Rows × hops that compute within one hop of audio.
MOST = 16
HOP_SECONDS = HOP / RATE


class Simulation:
    """Streams whose hops come at their times, and a machine that computes `MOST` of them in one hop's time.

    Args:
        lives: how many streams.
        blocks: hops in a block, of all of them or of each.
        fixed: what a step costs besides, in hops.

    Attributes:
        now: the time.
        late: the seconds from each live hop to its frame, for each live stream.
        sizes: rows and hops of every step.
    """

    def __init__(self, monkeypatch, lives, blocks=1, fixed=0.0):
        self.now, self.sizes, self._work = 1000.0, [], {}
        monkeypatch.setattr(scheduler_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(CAUSAL.engine, "encode_step", lambda data, states, slots, clock, length, levels: (
            np.zeros((len(slots), levels, data.shape[-1] // HOP), np.int64), None))  # fmt: skip
        monkeypatch.setattr(CAUSAL.engine, "decode_step", lambda data, states, slots, clock, length: (
            np.zeros((len(slots), data.shape[-1] * HOP))))  # fmt: skip
        self.scheduler = Scheduler(CAUSAL, None, 64, {"encode": MOST, "decode": MOST})
        self._blocks, self._fixed = [blocks] * lives if isinstance(blocks, int) else blocks, fixed
        self.late = [[] for _ in range(lives)]
        self._came = [[] for _ in range(lives)]
        self._lanes = [self._open(number) for number in range(lives)]
        # the hops of different streams end at different times
        self._next = [self.now + number / max(1, lives) * HOP_SECONDS * self._blocks[number] for number in range(lives)]

    def _open(self, number):
        return self.scheduler.open("encode", RATE, lambda data, last: self._take(number, data.shape[1]), pytest.fail)

    def _take(self, number, frames):
        for _ in range(frames):
            self.late[number].append(self.now - self._came[number].pop(0))

    def backlog(self, hops, direction="encode"):
        """A stream that sends so many hops at once. Returns the times and sizes of its outputs."""
        outputs = []
        lane = self.scheduler.open(
            direction, RATE, lambda data, last: outputs.append((self.now, data.shape[-1])), pytest.fail
        )
        data = silence(hops) if direction == "encode" else np.zeros((3, hops), np.int64)
        lane.put(data, self.now)
        self._work[lane] = None
        return outputs

    def run(self, seconds):
        until = self.now + seconds
        while self.now < until:
            for number, lane in enumerate(self._lanes):
                while self._next[number] <= self.now:
                    lane.put(silence(self._blocks[number]), self.now)
                    self._came[number] += [self._next[number]] * self._blocks[number]
                    self._next[number] += self._blocks[number] * HOP_SECONDS
                    self._work[lane] = None
            work, self._work = self._work, {}
            tick, more = self.scheduler._tick(work)
            sizes = [(step.rows, step.hops) for step in tick.steps]
            self.now += sum(rows * hops + self._fixed for rows, hops in sizes) * HOP_SECONDS / MOST
            self.sizes += sizes
            for delivery in tick.deliveries:
                self.scheduler._deliver(*delivery)
            if not more:
                self.now = max(self.now, min([*self._next, until]))


def silence(hops):
    return np.zeros(hops * HOP, np.float32)


def worst(simulation):
    return max(itertools.chain(*simulation.late))


@functools.cache
def worst_alone(lives, blocks=1):
    """Of so many live streams with nobody beside them. The same each time: a simulation has no other clock."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        alone = Simulation(monkeypatch, lives, blocks)
        alone.run(0.5)
    return worst(alone)


@pytest.mark.parametrize("lives", [1, 4, 9])  # and three others: more than 12 streams a server like this lets not in
@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_backlogs_are_not_in_the_way_of_live_streams(monkeypatch, lives, direction):
    beside = Simulation(monkeypatch, lives)
    beside.run(0.2)
    backlogs = [beside.backlog(1000, direction) for _ in range(3)]
    beside.run(0.4)
    assert worst(beside) <= worst_alone(lives) + HOP_SECONDS
    assert all(backlogs)


def test_a_step_of_others_is_small_while_a_stream_is_live(monkeypatch):
    simulation = Simulation(monkeypatch, 2)
    simulation.run(0.05)
    simulation.backlog(1000)
    del simulation.sizes[:]
    simulation.run(0.3)
    assert max(rows * hops for rows, hops in simulation.sizes) <= MOST // CATCH_UP_SHARE


def test_without_live_streams_steps_are_large(monkeypatch):
    simulation = Simulation(monkeypatch, 0)
    simulation.backlog(1000)
    simulation.run(0.1)
    del simulation.sizes[:]
    simulation.run(0.1)
    assert max(rows * hops for rows, hops in simulation.sizes) == MOST


def test_a_backlog_gets_what_live_streams_leave(monkeypatch):
    """Beside eight live streams, half of the machine is left, and used."""
    simulation = Simulation(monkeypatch, 8)
    simulation.run(0.2)
    outputs = simulation.backlog(4000)
    simulation.run(1.0)
    computed = sum(size for _, size in outputs) * HOP_SECONDS  # seconds of audio in one second
    assert computed >= 0.9 * (MOST - 8)


@pytest.mark.parametrize("lives", [13, 20])
def test_a_backlog_is_computed_even_where_nothing_is_left(monkeypatch, lives):
    """Beside 13 live streams, which is what a server lets in, at real time. Beside more, as its share allows."""
    simulation = Simulation(monkeypatch, lives)
    simulation.run(0.2)
    outputs = simulation.backlog(4000)
    simulation.run(2.0)
    computed = sum(size for _, size in outputs) * HOP_SECONDS
    share = 1.0 if lives <= 13 else LEAST_SHARE * MOST / (lives + 1)  # of real time
    assert computed >= 0.8 * share * 2.0


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_many_backlogs_are_not_in_the_way_of_live_streams(monkeypatch, direction):
    """More of them than the machine computes in real time, each always with work, and new ones all the time."""
    beside = Simulation(monkeypatch, 6)
    beside.run(0.2)
    backlogs = []
    for _ in range(8):
        backlogs += [beside.backlog(400, direction) for _ in range(4)]
        beside.run(0.05)
    assert worst(beside) <= worst_alone(6) + HOP_SECONDS
    assert all(backlogs[:16])


def test_streams_with_large_blocks_keep_up(monkeypatch):
    """Six of 0.3 s beside six of a hop, where each step costs a tenth of a full one besides."""
    large = round(0.3 / HOP_SECONDS)
    simulation = Simulation(monkeypatch, 12, [1] * 6 + [large] * 6, fixed=MOST / 10)
    simulation.run(4.0)
    assert max(itertools.chain(*simulation.late[:6])) <= 4 * HOP_SECONDS
    assert max(itertools.chain(*simulation.late[6:])) <= 0.6
    assert min(len(late) for late in simulation.late[6:]) >= 3.0 / HOP_SECONDS


def test_those_that_catch_up_have_their_least_share(monkeypatch):
    """Beside as many live streams as a server lets in."""
    simulation = Simulation(monkeypatch, 13)
    outputs = [simulation.backlog(4000) for _ in range(8)]
    simulation.run(2.0)
    computed = sum(size for output in outputs for _, size in output) * HOP_SECONDS / MOST
    assert computed >= 0.9 * (1.0 - 13 / MOST) * 2.0


@pytest.mark.parametrize("lives", [13, 20])
def test_those_that_catch_up_have_their_least_share_however_long_live_samples_take(monkeypatch, lives):
    """Those of a few live streams take longer to go into their pool than all of the others may in a tick."""
    simulation, honest = Simulation(monkeypatch, lives), Lane.fill_pool

    def fill_pool(lane, most):
        filled = honest(lane, most)
        simulation.now += filled.hops * 0.2 * FILL_SHARE * HOP_SECONDS
        return filled

    monkeypatch.setattr(Lane, "fill_pool", fill_pool)
    simulation.run(0.2)
    del simulation.sizes[:]
    outputs = [simulation.backlog(4000) for _ in range(8)]
    simulation.run(2.0)
    computed = sum(size for output in outputs for _, size in output)
    assert computed >= 0.9 * LEAST_SHARE * sum(rows * hops for rows, hops in simulation.sizes)


@pytest.mark.parametrize("blocked", [False, True])
def test_what_is_owed_to_those_outside_the_pools_is_kept(monkeypatch, blocked):
    """Not to those that go on only after their client has read."""
    simulation, honest = Simulation(monkeypatch, 13), Lane.fill_pool

    def fill_pool(lane, most):
        if lane in simulation._lanes:
            return honest(lane, most)
        simulation.now += 0.01 * HOP_SECONDS
        return Filled(waits=True, blocked=blocked)

    monkeypatch.setattr(Lane, "fill_pool", fill_pool)
    simulation.backlog(1000)
    simulation.run(0.1)
    assert simulation.scheduler._shares.owed is not blocked


def test_a_stream_that_caught_up_is_live_again(monkeypatch):
    """Its hops wait no longer than the others' soon after its backlog is done."""
    simulation = Simulation(monkeypatch, 12)
    lane = simulation._lanes[0]
    simulation.run(0.2)
    lane.put(silence(300), simulation.now)
    simulation._came[0] += [simulation.now] * 300
    simulation._work[lane] = None
    while simulation._came[0]:
        simulation.run(0.004)
    simulation.run(0.3)
    for late in simulation.late:
        del late[:]
    simulation.run(0.5)
    own, *others = (max(late) for late in simulation.late)
    assert own <= max(others) + HOP_SECONDS


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.sampled_from([1, 2, 5]), st.lists(st.integers(33, 400), max_size=3))
def test_whatever_catches_up_the_others_are_live(lives, blocks, backlogs):
    """A backlog is more than `MAX_SECONDS_BEHIND` of audio, here 31 hops. Less is a block of a live stream."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        beside = Simulation(monkeypatch, lives, blocks)
        beside.run(0.1)
        for hops in backlogs:
            beside.backlog(hops)
        beside.run(0.4)
    assert worst(beside) <= worst_alone(lives, blocks) + HOP_SECONDS
