"""State and hop count move as one: what each engine does when a step is asked for too early, too late, or again.

Knows: the contract of engine/base.py, driven by hand. The streams built on it: tests/streaming/test_interrupts.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streamrvq.engine.base import Engine
from streamrvq.errors import EngineError, InputError
from tests.support.contract import ENGINES, EXACT, codec_of, minute, needs_native, noise
from tests.support.interrupting import ARITHMETIC, EXCEPTIONS, after, every_place

HOP = 8


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return codec_of(minute(causal=False), EXACT[request.param], request.param).engine


class Driver:
    """Two slots of one engine, moved on by hand."""

    def __init__(self, engine: Engine, direction: Any) -> None:
        self.engine, self.direction = engine, direction
        self.states = engine.new_states(3, direction)
        self.pcm = np.stack([noise(40 * HOP, seed=row) for row in range(2)])
        self.codes = np.random.default_rng(1).integers(0, 64, (2, 3, 40))

    def step(self, clock: int, hops: int, slots: tuple[int, ...] = (0, 2), levels: int = 3) -> Any:
        rows = len(slots)
        where = np.array(slots), np.full(rows, clock), np.full(rows, -1)
        if self.direction == "encode":
            pcm = self.pcm[:rows, clock * HOP : (clock + hops) * HOP]
            return self.engine.encode_step(pcm, self.states, *where, levels)[0]
        return self.engine.decode_step(self.codes[:rows, :levels, clock : clock + hops], self.states, *where)

    def counts(self) -> list[int]:
        return self.engine.hop_counts(self.states, np.arange(3)).tolist()

    def exported(self) -> list[bytes]:
        return [history.tobytes() for slot in range(3) for history in self.engine.export_state(self.states, slot)]


@pytest.fixture(params=["encode", "decode"])
def driver(engine: Engine, request: pytest.FixtureRequest) -> Driver:
    return Driver(engine, request.param)


def test_steps_count_hops_of_the_named_slots(driver: Driver) -> None:
    assert driver.counts() == [0, 0, 0]
    driver.step(0, 4)
    driver.step(4, 1)
    assert driver.counts() == [5, 0, 5]


def test_the_last_step_again_gives_its_outputs_and_changes_nothing(driver: Driver) -> None:
    driver.step(0, 4)
    outputs = driver.step(4, 3)
    before = driver.exported()
    for _ in range(2):
        np.testing.assert_array_equal(driver.step(4, 3), outputs)
        assert driver.exported() == before
        assert driver.counts() == [7, 0, 7]
    driver.step(7, 1)


@pytest.mark.parametrize(
    "asked",
    [(3, 1), (4, 2), (4, 3, (2, 0)), (4, 3, (0,)), (4, 3, (0, 1)), (8, 1), (0, 4), (4, 3, (0, 2), 2)],
    ids=["earlier", "fewer hops", "other order", "one slot", "other slots", "later", "the step before", "levels"],
)
def test_any_other_step_is_refused_and_changes_nothing(driver: Driver, asked: tuple[Any, ...]) -> None:
    driver.step(0, 4)
    driver.step(4, 3)
    before = driver.exported()
    with pytest.raises(EngineError, match=r"has moved by \d+ hops, but the step is for the clock \d+"):
        driver.step(*asked)
    assert driver.exported() == before
    assert driver.counts() == [7, 0, 7]
    driver.step(7, 2)


def test_a_refused_step_does_not_cost_the_last_ones_outputs(driver: Driver) -> None:
    outputs = driver.step(0, 4)
    with pytest.raises(EngineError):
        driver.step(9, 1)
    with pytest.raises(InputError):
        driver.step(4, 1, (0, 0))
    np.testing.assert_array_equal(driver.step(0, 4), outputs)


def test_a_caller_may_use_its_arrays_again(driver: Driver) -> None:
    outputs = driver.step(0, 4).copy()
    driver.pcm[:] = 0
    driver.codes[:] = 0
    np.testing.assert_array_equal(driver.step(0, 4), outputs)


def test_a_reset_or_imported_slot_has_no_last_step(driver: Driver) -> None:
    driver.step(0, 4)
    driver.engine.reset(driver.states, np.array([2]))
    assert driver.counts() == [4, 0, 0]
    with pytest.raises(EngineError):
        driver.step(0, 4)
    driver.step(0, 4, (2,))
    driver.engine.import_state(driver.states, 0, driver.engine.export_state(driver.states, 0), 0)
    driver.engine.import_state(driver.states, 2, driver.engine.export_state(driver.states, 2), 4)
    with pytest.raises(EngineError):
        driver.step(0, 4, (2,))
    driver.step(4, 1, (2,))


def test_a_reset_of_another_slot_keeps_the_last_step(driver: Driver) -> None:
    outputs = driver.step(0, 4)
    driver.engine.reset(driver.states, np.array([1]))
    np.testing.assert_array_equal(driver.step(0, 4), outputs)


def test_an_import_takes_its_clock_along(driver: Driver) -> None:
    driver.step(0, 4)
    wanted = driver.step(4, 2)
    other = Driver(driver.engine, driver.direction)
    other.step(0, 4)
    histories = [driver.engine.export_state(other.states, slot) for slot in (0, 2)]
    moved = Driver(driver.engine, driver.direction)
    for slot, history in zip((0, 2), histories, strict=True):
        moved.engine.import_state(moved.states, slot, history, 4)
    np.testing.assert_array_equal(moved.step(4, 2), wanted)


def test_an_exception_at_any_place_of_a_step_moved_all_or_nothing(driver: Driver) -> None:
    driver.step(0, 4)
    clock = 4
    whole = Driver(driver.engine, driver.direction)
    whole.step(0, 4)
    for interrupt in every_place(5, ARITHMETIC):
        if clock > 30:  # the signal's end: from the beginning
            driver.engine.reset(driver.states, np.array([0, 2]))
            whole.engine.reset(whole.states, np.array([0, 2]))
            clock = 0
        wanted = whole.step(clock, 2)
        with interrupt:
            driver.step(clock, 2)
        np.testing.assert_array_equal(driver.step(clock, 2), wanted)
        assert driver.exported() == whole.exported()
        clock += 2


@pytest.mark.parametrize("exception", EXCEPTIONS)
@needs_native
def test_an_exception_as_the_library_returns(exception: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """The call itself has moved states and counts; what came of it is in the arrays that it was given."""
    codec = codec_of(minute(causal=False), "float32", "native")
    core: Any = codec.engine.core  # type: ignore[attr-defined]

    class Library:
        srvq_step = staticmethod(after(core._lib.srvq_step, 2, exception))

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    driver, whole, real = Driver(codec.engine, "encode"), Driver(codec.engine, "encode"), core._lib
    whole.step(0, 4)
    wanted = whole.step(4, 3)
    monkeypatch.setattr(core, "_lib", Library())
    driver.step(0, 4)
    with pytest.raises(exception):
        driver.step(4, 3)
    assert driver.counts() == [7, 0, 7]
    np.testing.assert_array_equal(driver.step(4, 3), wanted)


def test_a_slot_whose_state_was_being_replaced_says_so(driver: Driver) -> None:
    driver.step(0, 4)
    histories = driver.engine.export_state(driver.states, 0)
    for change in (
        lambda: driver.engine.reset(driver.states, np.array([0])),
        lambda: driver.engine.import_state(driver.states, 0, histories, 4),
    ):
        torn = 0
        for interrupt in every_place():
            with interrupt:
                change()
            if driver.counts()[0] == -1:
                torn += 1
                with pytest.raises(EngineError, match="was being replaced"):
                    driver.step(4, 1, (0,))
        assert torn
    driver.step(4, 1, (0,))
