"""Gaps and drift, on simulated clocks: without a device and without waiting."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.live.sources.clock import DeviceClock

RATES = [16_000, 44_100, 48_000]


@dataclasses.dataclass
class Simulation:
    """A device whose clock is ``ppm`` fast: when each of its blocks arrives, and what the model of its clock says.

    Attributes:
        gaps: ``(position, samples)`` as found, positions with gaps counted.
        released: samples released.
    """

    rate: int
    block: int
    ppm: float = 0.0
    jitter: float = 0.0  # seconds: each block is up to so late
    seed: int = 0

    def __post_init__(self) -> None:
        self.clock = DeviceClock(self.rate)
        self.gaps: list[tuple[int, int]] = []
        self.released = self._held = self._device = 0
        self._last = -np.inf
        self._random = np.random.default_rng(self.seed)

    @property
    def seconds(self) -> float:
        """The time on the computer's clock."""
        return 1000 + self._device / self.rate / (1 + 1e-6 * self.ppm)

    def run(
        self, seconds: float, *, stalled: float = 0.0, starved: float = 0.0, slower: float = 1.0, lost: int = 0,
        flagged: bool = False,
    ) -> None:  # fmt: skip
        """Run for ``seconds`` of the device's time.

        Args:
            seconds: how long.
            stalled: the blocks of the first ``stalled`` seconds arrive late, all at once.
            starved, slower: for the first ``starved`` seconds a block is taken every ``slower`` blocks' time.
            lost, flagged: passed on with the first block.
        """
        begin, blocks = self.seconds, round(seconds * self.rate / self.block)
        apart = 0.1 * self.block / self.rate if stalled or starved else 0.0
        for late in self._random.uniform(0, self.jitter, blocks):
            self._device += self.block
            pace = slower * self.block / self.rate if self._last < begin + starved else apart
            self._last = arrival = max(self.seconds + float(late), begin + stalled, self._last + pace)
            self._held += self.block
            missing = self.clock.add_block(self.block, arrival, lost, flagged)
            self.released += lost
            lost, flagged = 0, False
            if missing is not None:
                self._release(missing)

    def _release(self, missing: int) -> None:
        if missing:
            self.gaps.append((self.released, missing))
        self.released, self._held = self.released + self._held + missing, 0

    def lose(self, samples: int) -> None:
        self._device += samples

    def finish(self) -> None:
        self._release(self.clock.finish())
        assert self.clock.position == self.released


devices = st.builds(
    Simulation,
    rate=st.sampled_from(RATES),
    block=st.sampled_from([441, 480, 1024]),
    ppm=st.floats(-300, 300),
    jitter=st.floats(0, 0.03),
    seed=st.integers(0, 99),
)

few = settings(max_examples=15)


@given(device=devices, stall=st.floats(0.06, 1.5))
def test_temporary_lateness_is_no_gap(device, stall):
    device.run(3)
    device.run(3, stalled=stall)
    device.run(3)
    assert not device.clock.holding  # released long ago
    device.finish()
    assert device.gaps == []


@pytest.mark.parametrize("rate", RATES)
def test_a_backlog_whose_sides_are_alike_is_no_gap(rate):
    """It grows slowly and is gone at once. Its lowest values may be the same on both sides, where time is divided."""
    for slower in np.linspace(1.6, 3.4, 37):
        for seconds in (0.75, 1.0, 1.25, 1.5):
            device = Simulation(rate=rate, block=441)
            device.run(3)
            device.run(3, starved=seconds, slower=float(slower))
            device.finish()
            assert device.gaps == [], (slower, seconds)


@given(device=devices, slower=st.floats(1.1, 30.0), seconds=st.floats(0.3, 1.7))
def test_blocks_that_a_busy_machine_takes_too_slowly_are_no_gap(device, slower, seconds):
    device.run(3)
    device.run(3, starved=seconds, slower=slower)
    device.run(3)
    assert not device.clock.holding
    device.finish()
    assert device.gaps == []


@given(device=devices, seconds=st.floats(0.1, 3.0), before=st.floats(0.5, 4.0))
def test_a_jump_becomes_a_gap_of_its_position_and_length(device, seconds, before):
    device.run(before)
    at, lost = device.clock.position, round(seconds * device.rate)
    device.lose(lost)
    device.run(3)
    device.finish()
    ((position, samples),) = device.gaps
    assert position == at
    assert samples == pytest.approx(lost, abs=(device.jitter + 0.002) * device.rate)


@given(device=devices, lengths=st.lists(st.floats(0.1, 2.0), min_size=2, max_size=4))
def test_successive_gaps(device, lengths):
    device.run(2.5)
    lost = 0
    for seconds in lengths:
        lost += round(seconds * device.rate)
        device.lose(round(seconds * device.rate))
        device.run(2.5)
    device.finish()
    assert len(device.gaps) == len(lengths)
    assert sum(samples for _, samples in device.gaps) == pytest.approx(
        lost, abs=(len(lengths) * device.jitter + 0.01) * device.rate
    )


@given(device=devices, seconds=st.floats(0.001, 3.0))
def test_samples_known_to_be_missing_are_not_counted_twice(device, seconds):
    device.run(2)
    lost = round(seconds * device.rate)
    device.lose(lost)
    device.run(3, lost=lost)
    device.finish()
    assert device.gaps == []


@given(device=devices, seconds=st.floats(0, 1.0))
def test_an_overflow_is_believed_however_short(device, seconds):
    device.run(2.5)
    at, lost = device.clock.position, round(seconds * device.rate)
    device.lose(lost)
    device.run(1, flagged=True)
    device.finish()
    ((position, samples),) = device.gaps
    assert position == at
    assert samples >= 1
    assert samples == pytest.approx(lost, abs=(device.jitter + 0.002) * device.rate + 1)


def test_an_overflow_before_the_first_block_is_no_gap():
    device = Simulation(48_000, 480)
    device.run(1, flagged=True)
    assert device.gaps == []
    assert not device.clock.holding


@given(device=devices, after=st.integers(1, 3))
def test_the_end_resolves_held_blocks_into_a_gap(device, after):
    device.run(2.5)
    at = device.clock.position
    device.lose(device.rate)
    device.run(after * device.block / device.rate)
    assert device.clock.holding
    device.finish()
    ((position, samples),) = device.gaps
    assert position == at
    assert samples == pytest.approx(device.rate, abs=(device.jitter + 0.002) * device.rate)


@pytest.mark.parametrize("ppm", [-400, 0, 400])
def test_drift_for_twenty_minutes_is_no_gap(ppm):
    device = Simulation(48_000, 4800, ppm=ppm, jitter=0.02)
    device.run(1200)
    device.finish()
    assert device.gaps == []
    assert device.clock.drift_ppm() == pytest.approx(ppm, abs=8)
    # The origin follows the drift: it is where sample 0 would have been, as seen from now.
    drifted = device.seconds - device.clock.position / device.rate
    assert device.clock.origin == pytest.approx(drifted, abs=0.01)


@few
@given(device=devices, stalls=st.lists(st.floats(0.1, 1.2), max_size=5))
def test_the_drift_is_found_through_stalls(device, stalls):
    for stall in stalls:
        device.run(3, stalled=stall)
    device.run(60)
    found = device.clock.drift_ppm()
    assert found is not None
    assert found == pytest.approx(device.ppm, abs=1e6 * (0.1 * device.jitter + 1e-4) / 30)


@few
@given(device=devices, seconds=st.floats(0.1, 2.0))
def test_a_gap_does_not_look_like_drift(device, seconds):
    device.run(30)
    device.lose(round(seconds * device.rate))
    device.run(30)
    found = device.clock.drift_ppm()
    assert found is not None
    assert found == pytest.approx(device.ppm, abs=1e6 * (0.1 * device.jitter + 1e-4) / 15)


def test_no_drift_is_claimed_before_ten_seconds():
    device = Simulation(48_000, 480)
    assert device.clock.drift_ppm() is None
    assert device.clock.origin is None
    device.run(9)
    assert device.clock.drift_ppm() is None
    device.run(4)
    assert device.clock.drift_ppm() == pytest.approx(0, abs=1e-3)
