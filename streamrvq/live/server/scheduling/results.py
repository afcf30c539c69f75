"""What a tick gives: outputs for lanes, and how large its steps were.

Knows: values. Does not know: how they come about.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy.typing as npt

from ....geometry import Direction
from .lane import Lane


@dataclasses.dataclass(frozen=True)
class Step:
    """The size and duration of one step, for metrics."""

    direction: Direction
    rows: int
    hops: int
    seconds: float
    live: bool  #: whether it was for live streams


class Delivery(NamedTuple):
    """What a tick has for one lane: an output, or the error that ended it."""

    lane: Lane
    data: npt.NDArray[Any] | None
    last: bool
    error: BaseException | None


@dataclasses.dataclass
class Tick:
    """What a tick has given so far."""

    deliveries: list[Delivery] = dataclasses.field(default_factory=list)
    steps: list[Step] = dataclasses.field(default_factory=list)
    seconds: float = 0.0  #: that it took in all

    @property
    def live_seconds(self) -> float:
        """Of these, those for live streams: as of its steps."""
        steps = sum(step.seconds for step in self.steps)
        return self.seconds * sum(step.seconds for step in self.steps if step.live) / steps if steps else 0.0
