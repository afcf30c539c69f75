"""Each slot's histories on the device, and its hop count.

Knows: the device's memory. Does not know: steps, turns (runner.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from ...errors import EngineError
from ...geometry import Plan
from ...system.copying import CopiedWhole
from ..base import Floats, Ints, join_state, split_state
from ..counts import HopCounts
from .device import Device


class Turns(Protocol):
    """Who sees to it that no step is under way: runner.py."""

    @property
    def device(self) -> Device: ...

    def begin(self) -> None:
        """Take the turn for the function that called this."""

    def end(self) -> None:
        """Give it back."""


class CudaStates(CopiedWhole):
    """float32 ``[slots, state_size]`` in the device's memory: histories end to end, in the order of `Plan.histories`.

    That is the order of every engine's canonical state. Whoever calls these methods sees to it that no step
    is under way.
    """

    def __init__(self, turns: Turns, plan: Plan, slots: int) -> None:
        self.plan, self.slots, self.counts = plan, slots, HopCounts(slots)
        self._turns, self._device, self._row = turns, turns.device, 4 * plan.state_size
        self._memory = self._device.memory(max(16, slots * self._row))

    @property
    def address(self) -> int:
        """Where slot 0's state lies."""
        return self._memory.address

    def read(self, slot: int) -> list[Floats]:
        """A slot's histories, copied."""
        whole = np.empty(self.plan.state_size, np.float32)
        self._device.get(whole, self.address + self._slot(slot) * self._row)
        return split_state(self.plan, whole)

    def replace(self, slot: int, histories: Sequence[Floats], clock: int) -> None:
        """Give a slot checked histories and their hop count."""
        at = self.address + self._slot(slot) * self._row
        self.counts.begin(slot)
        if histories:
            self._device.put(at, join_state(histories))
        self.counts.set(slot, clock)

    def reset(self, slots: Ints) -> None:
        """Make the named slots fresh."""
        where = np.atleast_1d(np.arange(self.slots)[slots])
        self.counts.begin(slots)
        zeros = np.zeros(self.plan.state_size, np.float32)
        for slot in where.tolist() if self.plan.state_size else []:
            self._device.put(self.address + slot * self._row, zeros)
        self.counts.set(slots, 0)

    def __deepcopy__(self, memo: dict[int, Any]) -> CudaStates:
        """The same states in memory of their own."""
        self._turns.begin()
        try:
            other = CudaStates(self._turns, self.plan, self.slots)
            row = np.empty(self.plan.state_size, np.float32)
            for slot in range(self.slots) if self.plan.state_size else ():
                self._device.get(row, self.address + slot * self._row)
                self._device.put(other.address + slot * self._row, row)
            other.counts.values[:] = self.counts.values
            other.counts.last = self.counts.last
            return other
        finally:
            self._turns.end()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise EngineError("the states of a GPU cannot be pickled; pickle a stream, or its snapshot")

    def _slot(self, slot: Any) -> int:
        """A slot's number; one that is not there raises IndexError, as of an array."""
        return int(np.arange(self.slots)[slot])
