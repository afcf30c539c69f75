"""Where what a step's kernels read and write lies on the device: addresses, where layout.py has offsets.

Knows: a plan's convolutions, one shape of step. Does not know: kernels' work, or whose states are moved.
"""

from __future__ import annotations

from typing import Any

from .convolutions import History
from .layout import Places
from .resident import Resident
from .structs import Activated, Passed, Tail

#: Numbers of a history that one block copies at most. An attention's has a quarter of a million.
MOST_COPIED = 8192


class Addresses:
    """Of one shape of step.

    Args:
        block: where the device's memory for it begins.
    """

    def __init__(self, resident: Resident, places: Places, block: int) -> None:
        self.resident, self.places, self.block, self.shape = resident, places, block, places.shape
        self.clock, self.length = block + places.clock, block + places.length

    def buffer(self, i: int) -> int:
        """Where the rows that convolution i reads begin, its past inputs first; −1: the last one's results."""
        return self.block + self.places.buffers[i]

    def fresh(self, i: int) -> int:
        """Where new inputs of convolution i go, behind its past ones."""
        return self.buffer(i) + 4 * self.resident.convolutions[i].convolution.history.size

    def extra(self, i: int, name: str) -> tuple[int, int]:
        """Where something else of convolution i, or of a chain, begins; and from stream to stream."""
        offset, stride = self.places.extra[i, name]
        return self.block + offset, stride

    def skip(self, number: int) -> tuple[int, int]:
        """Where a skip's rows begin, the past ones first; and from stream to stream."""
        return self.block + self.places.skips[number], self.places.skip_strides[number]

    def kept_for(self, skip: int) -> tuple[int, int]:
        """Where a skip's new rows go, and from stream to stream."""
        at, stride = self.skip(skip)
        return at + 4 * self.resident.skips[skip].history.size, stride

    def edges_of(self, layer: int) -> dict[str, int]:
        """Where a layer's edges lie; layer 0 is the input."""
        if layer >= self.resident.edge_layers:
            return {}
        places, row = self.places, 4 * layer * self.shape.rows
        return {
            "low": self.block + places.low + row,
            "high": self.block + places.high + row,
            "cut": self.block + places.cut + 4 * layer,
        }

    def destinations(self, i: int) -> dict[str, Any]:
        """Where results of convolution i go: fields of `structs.Conv` and of `structs.Passed`."""
        it, to = self.resident.convolutions[i].convolution, dict[str, Any]()
        if it.join is not None:
            to["join"], to["join_stride"] = self.skip(it.join) if it.shortcut is None else self.extra(i, "joined")
        if it.epilogue.skip is not None:
            to["plain"], to["plain_stride"] = self.kept_for(it.epilogue.skip)
        if i + 1 == len(self.resident.convolutions):
            to["plain"], to["plain_stride"] = self.buffer(-1), self.places.strides[-1]
        else:
            to["active"], to["active_stride"] = self.fresh(i + 1), self.places.strides[i + 1]
        return to

    def passed(self, i: int, activated: Activated) -> Passed:
        """The same for what no tile computes."""
        columns = self.resident.convolutions[i].convolution.columns
        return Passed(activation=activated, columns=columns, **self.destinations(i))

    def tails(self) -> list[Tail]:
        """All histories: where they lie in buffers and in states."""
        tails, hops = list[Tail](), self.shape.hops
        for i, c in enumerate(resident.convolution for resident in self.resident.convolutions):
            rows = hops * c.layer.rate_in
            tails += _tails(self.buffer(i), self.places.strides[i], rows * c.layer.cin, c.history)
            if c.recurrent is not None:  # h before the first frame, and after the last; c where it is moved on
                at, units = c.memory.offset, c.columns
                tails += _tails(*self.extra(i, "hidden"), rows * units, History(1, units, at))
                tails += _tails(*self.extra(i, "cell"), 0, History(1, units, at + units))
            elif c.memory.size:
                tails += _tails(*self.extra(i, "kept"), rows * c.memory.channels, c.memory)
        for number, skip in enumerate(self.resident.skips):
            tails += _tails(*self.skip(number), hops * skip.rate * skip.channels, skip.history)
        return tails


def _tails(buffer: int, stride: int, fresh: int, history: History) -> list[Tail]:
    """A history at the head of a buffer with so many new numbers behind it."""
    return [
        Tail(buffer + 4 * at, stride, fresh, history.offset + at, min(MOST_COPIED, history.size - at))
        for at in range(0, history.size, MOST_COPIED)
    ]
