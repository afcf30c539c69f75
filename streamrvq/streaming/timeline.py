"""The integers of one stream: what it has been given, how far it has computed, which outputs are its own.

Knows: hops, delays and lengths. Does not know: samples, codes, tensors, or who computes. Both directions are one
rule: an encoder takes ``hop`` samples a hop and gives a frame, a decoder takes a frame and gives ``hop`` samples
(`Plan.unit_in`, `Plan.unit_out`).
"""

from __future__ import annotations

from typing import Literal

from ..errors import InputError
from ..geometry import Plan
from ..system.foreign_data import shown

Tail = Literal["pad", "valid"]


def check_tail(tail: str) -> Tail:
    """``tail`` itself, or `InputError`."""
    if tail == "pad":
        return "pad"
    if tail == "valid":
        return "valid"
    raise InputError(
        f"tail is {shown(tail)}; wanted 'pad' (zeros fill the last hop) or 'valid' (the bare samples' frames)"
    )


class Timeline:
    """One stream's clock.

    The engine's outputs for the hop at ``clock`` have indices ``clock · unit_out − delay …``; those below 0, before
    the signal, and those from `Plan.outputs` of the length on, after it, are discarded. While a stream is open, every
    output that only real inputs have reached is its own, so nothing given out early could turn out to be past the
    end.
    """

    __slots__ = ("_counted", "clock", "given", "length", "plan", "tail")

    def __init__(self, plan: Plan, tail: Tail = "pad", clock: int = 0, given: int = 0) -> None:
        self.plan, self.tail = plan, tail
        self.clock = clock  #: hops computed
        self.given = given  #: inputs received
        self.length = -1  #: inputs in all; −1 while the stream is open
        # A length and its number of outputs, stored as one value, because an interrupt may come between two stores.
        self._counted = -1, -1

    def close(self) -> None:
        """No more inputs will come: fix the length; ``pad`` fills the last hop."""
        unit = self.plan.unit_in
        self.length = -(-self.given // unit) * unit if self.tail == "pad" else self.given

    @property
    def total(self) -> int:
        """Outputs in all; only of a closed stream. Counted once, for it goes through all layers."""
        length, total = self._counted
        if length != self.length:
            length, total = self._counted = self.length, self.plan.outputs(self.length)
        return total

    @property
    def emitted(self) -> int:
        """Outputs given so far: the index of the next one."""
        reached = max(0, self.clock * self.plan.unit_out - self.plan.delay)
        return reached if self.length < 0 else min(reached, self.total)

    @property
    def ready(self) -> int:
        """Hops that can be computed now; none before there are enough for a first step (`Plan.first`). Of a closed
        stream: all that are still needed to get every output out."""
        if self.length < 0:
            hops = self.given // self.plan.unit_in - self.clock
            return 0 if self.clock == 0 and hops < self.plan.first else hops
        if self.emitted >= self.total:
            return 0
        return -(-(self.total + self.plan.delay) // self.plan.unit_out) - self.clock

    @property
    def least(self) -> int:
        """Hops that the next step must have at least: more than 1 only where it is the first (`Plan.first`)."""
        return 1 if self.clock or self.plan.first == 1 else min(self.plan.first, self.ready)

    def own(self, hops: int) -> slice:
        """Which of the ``hops · unit_out`` outputs of the next ``hops`` hops belong to the stream."""
        first = self.clock * self.plan.unit_out - self.plan.delay
        count = hops * self.plan.unit_out
        stop = count if self.length < 0 else min(count, self.total - first)
        start = max(0, -first)
        return slice(start, max(start, stop))
