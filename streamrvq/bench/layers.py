"""The native engine's layers one by one: the shortest time that each took in the steps that were timed.

If the two convolutions of a residual unit run as one, they are one line.

Knows: what `Core.profile` gives. Does not know: how the steps were run (steps.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from ..engine.base import Engine
from ..engine.native import NativeEngine, Program
from ..families import plan
from ..geometry import Direction
from .steps import Cell, convolutions


@dataclasses.dataclass(frozen=True)
class LayerTime:
    """One line of the table.

    Attributes:
        direction, hops, rows: the step.
        name: prefix of the weights, or "input" and "end" (quantiser or tanh).
        shape: channels, kernel, stride, in words.
        microseconds: the shortest time.
        gflops, gbytes: 10⁹ operations, and 10⁹ bytes of weights, per second at that time.
    """

    direction: Direction
    hops: int
    rows: int
    name: str
    shape: str
    microseconds: float
    gflops: float
    gbytes: float


def layer_times(engine: Engine, cells: Sequence[Cell], seconds: float = 0.5) -> Iterator[LayerTime]:
    """The layers in the smallest cell of each direction, which runs for ``seconds`` more. Nothing for other engines."""
    if not isinstance(engine, NativeEngine):
        return
    for direction in ("encode", "decode"):
        there = [cell for cell in cells if cell.direction == direction]
        if there:
            yield from _of(engine, min(there, key=lambda cell: (cell.hops * cell.rows, cell.rows)), seconds)


def _of(engine: NativeEngine, cell: Cell, seconds: float) -> Iterator[LayerTime]:
    program = Program[cell.direction.upper()]
    layers = convolutions(plan(engine.config, cell.direction))
    engine.core.profile(program, len(layers) + 2)  # from here on
    timed = len(cell.times)
    cell.run(seconds)
    del cell.times[timed:]
    _, least = engine.core.profile(program, len(layers) + 2)

    def line(name: str, shape: str, time: float, macs: int, size: int) -> LayerTime:
        hops = engine.core.least_part(cell.rows, cell.hops)  # of the part that took the least time
        return LayerTime(cell.direction, cell.hops, cell.rows, name, shape, 1e6 * time, 2e-9 * macs * hops / time,
                         1e-9 * size / time)  # fmt: skip

    yield line("input", "", least[0], 0, 0)
    i = 0
    while i < len(layers):
        last = i + (i + 1 < len(layers) and least[i + 2] > 1e6)  # the next one was run together with this
        parts = layers[i : last + 1]
        shape = " + ".join(f"{p.cin} → {p.cout}, kernel {p.kernel}, stride {p.stride}" for p in parts)
        size = sum(engine.core.weight_bytes(program, n) for n in range(i, last + 1))
        yield line(parts[0].name, shape, least[i + 1], sum(p.macs for p in parts), size)
        i = last + 1
    yield line("end", "", least[-1], 0, 0)
