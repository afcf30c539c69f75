"""Where everything of a step lies: in the pinned memory of the host, and in one block of the device's.

Knows: sizes. Does not know: addresses, kernels.

A block of the device begins with the request, as the host sends it, and the answer, as it comes back. Behind them are
the layers' buffers: each convolution has one of its own, so that all past inputs are loaded before the first and saved
after the last. A row of a buffer is ``[past inputs, new inputs]`` of one stream.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...errors import EngineError
from ...geometry import LayerKind
from .convolutions import Convolution
from .products import up
from .quantizer import Books
from .resident import Resident

#: Bytes before what a request or an answer holds.
HEADER = 256
#: Kernels count in 32 bits: rows of a grid, and numbers of a buffer.
MOST_ROWS, MOST_NUMBERS = (1 << 16) - 1, (1 << 31) - 1


@dataclasses.dataclass(frozen=True)
class Shape:
    """Of a step; ``rows`` as `roomy` gives them."""

    rows: int
    hops: int
    levels: int = 0
    latents: bool = False


def roomy(rows: int) -> int:
    """Rows of the program that runs a step of ``rows`` rows: rounded up by at most a sixteenth, so that few programs
    serve all sizes.

    The number of live streams that have a hop ready changes from step to step. Of its binary digits, five are kept.
    """
    unit = 1 << max(0, rows.bit_length() - 5)
    return min(up(rows, unit), max(rows, MOST_ROWS))


def _extras(c: Convolution, hops: int) -> list[tuple[str, int]]:
    """What a convolution needs besides its input's buffer, and numbers of a stream."""
    found, rows = [], hops * c.layer.rate_out
    if c.recurrent is not None:
        found += [("gates", 4 * rows * c.columns), ("hidden", (1 + rows) * c.columns), ("cell", c.columns)]
    elif c.layer.kind == LayerKind.ATTENTION:
        found += [("queries", rows * c.columns), ("kept", c.memory.size + 2 * rows * c.columns)]
    if c.shortcut is not None:
        found.append(("joined", hops * c.rows * c.columns))
    return found


class Places:
    """Offsets in bytes; strides, from row to row, in numbers. See the head of this file for each.

    Raises:
        EngineError: more than a step can have.
    """

    def __init__(self, resident: Resident, shape: Shape) -> None:
        self.shape, self._top = shape, HEADER
        plan, kind, rows, hops = resident.plan, resident.kind, shape.rows, shape.hops
        sizes = plan.quantizer
        codes = rows, shape.levels, hops
        first, last = resident.convolutions[0].convolution, resident.convolutions[-1].convolution
        given = rows, hops * plan.unit_in * first.layer.cin
        results = hops * last.rows * last.columns

        self.slots, self.clock, self.length = self._take(4 * rows), self._take(8 * rows), self._take(8 * rows)
        self.input_kind: Any = np.int32 if kind == "decode" else np.float32
        self.input_shape = codes if kind == "decode" else given
        self.inputs = self._take(4 * int(np.prod(self.input_shape)))
        self.request_size = self._top

        self.answer = self._take(HEADER)
        self.output_kind: Any = np.int32 if kind == "encode" else np.float32
        self.output_shape = codes if kind == "encode" else (rows, results)
        out = self._take(4 * int(np.prod(self.output_shape)))
        self.latents_shape = (rows, shape.levels * sizes.codebook_dim, hops) if shape.latents else None
        #: Counted from the answer on.
        self.latents = self._take(4 * int(np.prod(self.latents_shape))) - self.answer if self.latents_shape else 0
        self.host_size = self._top

        self.low, self.high = (self._take(4 * rows * resident.edge_layers) for _ in range(2))
        self.cut = self._take(4 * resident.edge_layers)
        #: What the first layer's input is made of: latents, in a decoder.
        self.given = self._take(4 * int(np.prod(given))) if kind == "decode" else self.inputs
        self.buffers: list[int] = []
        self.strides: list[int] = []
        self.skips: list[int] = []
        self.skip_strides: list[int] = []
        #: Offsets and strides of what some convolutions need besides, by their numbers, and what a quantiser's chains
        #: do, by theirs from −1 down.
        self.extra: dict[tuple[int, str], tuple[int, int]] = {}
        for i, c in enumerate(resident.convolution for resident in resident.convolutions):
            numbers = c.history.size + hops * c.layer.rate_in * c.layer.cin
            self._buffer(self.buffers, self.strides, up(numbers, 4))
            for name, numbers in _extras(c, hops):
                self._extra(i, name, numbers)
        for skip in resident.skips:
            numbers = skip.history.size + hops * skip.rate * skip.channels
            self._buffer(self.skips, self.skip_strides, up(numbers, 4))
        if kind == "encode":  # the latents, which the quantiser reads
            self._buffer(self.buffers, self.strides, results)
        else:
            self._refuse(results)
            self.buffers.append(out)
            self.strides.append(results)
        if isinstance(resident.levels, Books):
            for number, chain in enumerate(resident.levels.chains):
                if chain.into is not None or chain.out is not None:
                    self._extra(-1 - number, "inner", hops * sizes.codebook_dim)
        self.size = self._top
        if rows > MOST_ROWS:
            raise EngineError(f"a step got {rows} rows; the cuda engine takes {MOST_ROWS} at most: use smaller steps")

    def _take(self, size: int) -> int:
        at = self._top
        self._top += up(max(size, 16), HEADER)
        return at

    def _buffer(self, places: list[int], strides: list[int], numbers: int) -> None:
        self._refuse(numbers)
        places.append(self._take(4 * self.shape.rows * numbers))
        strides.append(numbers)

    def _extra(self, number: int, name: str, numbers: int) -> None:
        offsets, strides = list[int](), list[int]()
        self._buffer(offsets, strides, numbers if number < 0 else up(numbers, 4))
        self.extra[number, name] = offsets[0], strides[0]

    def _refuse(self, numbers: int) -> None:
        if self.shape.rows * numbers > MOST_NUMBERS:
            raise EngineError(
                f"a step of {self.shape.rows} rows and {self.shape.hops} hops has a layer of "
                f"{self.shape.rows * numbers} numbers; the cuda engine takes {MOST_NUMBERS} at most: use smaller steps"
            )
