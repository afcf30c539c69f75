"""How far each slot's state has come: a hop count that lives with the state and changes with it as one.

An exception from a signal handler, such as KeyboardInterrupt, may come between any two bytecodes: after a step has
moved its slots, and before its caller has the outputs. The count then says that the step has happened. The caller asks
for the same step again and is given the outputs that it missed.

Knows: counts, and the outputs of the last step. Does not know: histories, and how a step is computed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import EngineError

#: The count of a slot whose state was being replaced when an exception came.
NO_STATE = -1


class Step(NamedTuple):
    """What a step was asked for, by value: the caller may use its arrays again."""

    slots: list[int]
    clock: list[int]
    hops: int
    levels: int
    latents: bool


class HopCounts:
    """The hop counts of ``slots`` fresh streams, and the outputs of the step that moved some of them last.

    Attributes:
        values: int64 ``[slots]``: hops that each slot's state has been moved by, or `NO_STATE`.
        last: the step that was asked for last, and its outputs. They are that step's only if the counts of its slots
            have moved by its hops.
    """

    __slots__ = ("last", "values")

    def __init__(self, slots: int) -> None:
        self.values: npt.NDArray[np.int64] = np.zeros(slots, np.int64)
        self.last: tuple[Step, Any] | None = None

    def outputs_of(self, step: Step, slots: npt.NDArray[np.int64]) -> Any:
        """The outputs of a step that has happened already, or None for a step that is next.

        Args:
            step: as it is asked for.
            slots: its slots as an array, which is faster to look up.

        Raises:
            EngineError: the slots' states come from other steps than those before this one.
        """
        counts = self.values.take(slots).tolist()
        if counts == step.clock:
            return None
        if self.last is not None and self.last[0] == step and counts == [clock + step.hops for clock in step.clock]:
            return self.last[1]
        for slot, count, clock in zip(step.slots, counts, step.clock, strict=True):
            if count == NO_STATE:
                raise EngineError(
                    f"the state of slot {slot} was being replaced when an exception came; reset it, or import a state"
                )
            if count != clock:
                raise EngineError(
                    f"the state of slot {slot} has moved by {count} hops, but the step is for the clock {clock}; "
                    "ask for the next step, or for the last one just as it was: an import_state sets the count"
                )
        raise AssertionError("the counts differ somewhere")

    def begin(self, slots: Any) -> None:
        """Before the named slots' states are replaced."""
        if self.last is not None and not set(self.last[0].slots).isdisjoint(np.atleast_1d(slots).tolist()):
            self.last = None
        self.values[slots] = NO_STATE

    def set(self, slots: Any, clock: int) -> None:
        """After it: the new states have been moved by ``clock`` hops."""
        self.values[slots] = clock
