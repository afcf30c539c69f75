"""The torch engine's states: histories and hop counts, moved on as one.

Knows: where each history lies, and how a step's result gets there, whatever interrupts it. Does not know: how a step is
computed (torch.py).
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
    fresh: torch.Tensor
    outputs: Any


@dataclasses.dataclass
class TorchStates(CopiedWhole):
    """Each slot's histories and its hop count.

    All histories of a slot are one row of ``values [slots, Plan.state_size]``, in the order of `Plan.histories`: a step
    reads and writes them all, and a small step of torch costs what its operations cost.

    To write them takes many bytecodes, and an exception may come between any two. So a step's last act is to store its
    result in ``unwritten``. Whoever uses the states next calls `write` first, which may be done any number of times.
    """

    plan: Plan
    slots: int
    values: torch.Tensor
    counts: HopCounts
    unwritten: Result | None = None

    @property
    def histories(self) -> list[torch.Tensor]:
        """Views ``[slots, rows, C]``, one for each of `Plan.histories`."""
        return self.views(self.values)

    def views(self, values: torch.Tensor) -> list[torch.Tensor]:
        """Rows of values ``[n, Plan.state_size]`` as ``[n, rows, C]`` each."""
        shapes = self.plan.histories
        parts = torch.split_with_sizes(values, [rows * channels for rows, channels in shapes], dim=1)
        return [part.view(-1, rows, channels) for part, (rows, channels) in zip(parts, shapes, strict=True)]

    def write(self) -> None:
        """Bring histories and counts up to the step that happened last."""
        if (result := self.unwritten) is not None:
            slots = np.array(result.step.slots)
            self.values[torch.as_tensor(slots)] = result.fresh
            self.counts.last = result.step, result.outputs
            self.counts.values[slots] = np.array(result.step.clock) + result.step.hops
            self.unwritten = None

    def reset(self, slots: Ints) -> None:
        """Make the named slots fresh."""
        self.write()
        self.counts.begin(slots)
        self.values[torch.as_tensor(slots)] = 0
        self.counts.set(slots, 0)

    def read(self, slot: int) -> list[Floats]:
        """A slot's histories, copied."""
        self.write()
        return [history[slot].numpy().copy() for history in self.histories]

    def replace(self, slot: int, histories: Sequence[Floats], clock: int) -> None:
        """Give a slot checked histories and their hop count."""
        self.write()
        self.counts.begin(slot)
        for own, given in zip(self.histories, histories, strict=True):
            own[slot] = torch.tensor(given)
        self.counts.set(slot, clock)
