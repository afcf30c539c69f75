"""The torch engine's states: histories as tensors, and hop counts, moved on as one.

Knows: how a step's result gets into the tensors, whatever interrupts it. Does not know: how a step is computed
(torch.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..geometry import Plan
from ..system.copying import CopiedWhole
from .base import Floats, Ints
from .counts import HopCounts, Step


class Result(NamedTuple):
    """A step that has happened: what it was asked for, the histories that it leaves, and its outputs."""

    step: Step
    fresh: list[torch.Tensor]
    outputs: Any


@dataclasses.dataclass
class TorchStates(CopiedWhole):
    """One ``[slots, rows, C]`` tensor for each of `Plan.histories`, and the hop counts.

    To write them takes many bytecodes, and an exception may come between any two. So a step's last act is to store its
    result in ``unwritten``. Whoever uses the states next calls `write` first, which may be done any number of times.
    """

    plan: Plan
    slots: int
    histories: list[torch.Tensor]
    counts: HopCounts
    unwritten: Result | None = None

    def write(self) -> None:
        """Bring histories and counts up to the step that happened last."""
        if (result := self.unwritten) is not None:
            slots = np.array(result.step.slots)
            self.keep(slots, result.fresh)
            self.counts.last = result.step, result.outputs
            self.counts.values[slots] = np.array(result.step.clock) + result.step.hops
            self.unwritten = None

    def keep(self, slots: Ints, fresh: Sequence[torch.Tensor]) -> None:
        """Write histories alone."""
        where = torch.as_tensor(slots)
        for history, value in zip(self.histories, fresh, strict=True):
            history[where] = value

    def reset(self, slots: Ints) -> None:
        """Make the named slots fresh."""
        self.write()
        self.counts.begin(slots)
        self.keep(slots, [torch.zeros_like(history[:1]) for history in self.histories])
        self.counts.set(slots, 0)

    def read(self, slot: int) -> list[Floats]:
        """A slot's histories, copied."""
        self.write()
        return [history[slot].numpy().copy() for history in self.histories]

    def replace(self, slot: int, histories: Sequence[Floats], clock: int) -> None:
        """Give a slot checked histories and their hop count."""
        self.write()
        self.counts.begin(slot)
        self.keep(np.array([slot]), [torch.tensor(history)[None] for history in histories])
        self.counts.set(slot, clock)
