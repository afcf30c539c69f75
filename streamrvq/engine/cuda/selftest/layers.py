"""The self-test of the kernels that a plan's ends and convolutions take: tiles, edges, histories.

Knows: the kernels' parameters, and what is expected (plain.py). Does not know: codecs, steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import Structure

import numpy as np

from ....geometry import Activation
from .. import structs as s
from ..device import Device
from ..products import padded, up
from ..quantizer import THREADS
from ..resident import COLUMN_THREADS, CONVOLVED, SAME, TRANSPOSED, column_shared
from ..structs import as_bytes
from ..tiles import Tile, tiles
from .bench import STREAMS, Bench
from .plain import Array, chain, fma, numbers, snake, tanh
from .plain_rows import elu, gelu

ROWS, COLUMNS = 67, 68


class Expected:
    """A convolution, and what comes of it; the second stream's numbers are all but denormal."""

    def __init__(self, taps: int, depth: int, constants: tuple[Array, ...]) -> None:
        length = ROWS + 2 * (taps - 1)
        self.x = x = numbers(STREAMS * length * depth, 1).reshape(STREAMS, length, depth)
        x[1] *= np.float32(2.0**-124)
        self.w = numbers(taps * depth * COLUMNS, 2).reshape(-1, COLUMNS)
        self.bias, self.scale = numbers(COLUMNS, 3), numbers(COLUMNS, 16)
        self.bias[::2] *= np.float32(2.0**-126)
        self.join = numbers(STREAMS * ROWS * COLUMNS, 4).reshape(STREAMS, -1)
        self.join[1, ::3] *= np.float32(2.0**-127)
        windows = np.concatenate([x[:, 2 * tap : 2 * tap + ROWS] for tap in range(taps)], axis=2)
        masked = chain(self.bias, windows.reshape(STREAMS * ROWS, -1), self.w).reshape(STREAMS, -1).copy()
        masked[1, : 3 * COLUMNS + 1] = masked[1, 60 * COLUMNS - 2 :] = 0
        rows, join = masked.reshape(-1, COLUMNS), self.join.reshape(-1, COLUMNS)
        self.joined, self.scaled = rows + join, fma(self.scale, rows, join)
        self.snake, self.elu, self.gelu = snake(self.joined, *constants), elu(self.joined), gelu(self.scaled)


class LayerTests(Bench):
    """Each kernel, and whether its bits are right."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._expected: dict[tuple[int, int], Expected] = {}

    def results(self) -> Iterator[tuple[str, bool]]:
        for tile in tiles():
            yield tile.kernel, self._conv(tile, quads=1) and self._conv(tile, quads=0)
            if tile.more:
                yield tile.kernel_more, self._more(tile, quads=1) and self._more(tile, quads=0)
        yield "column", self._column()
        yield "spread", self._spread()
        yield "finish", self._finish()
        yield "edges", self._edges()
        yield "move", self._move()

    def _layer(self, taps: int, depth: int) -> Expected:
        if (taps, depth) not in self._expected:
            self._expected[taps, depth] = Expected(taps, depth, self._snake(COLUMNS)[1])
        return self._expected[taps, depth]

    def _conv(self, tile: Tile, quads: int) -> bool:
        conv, expected = self._parameters(tile, quads)
        conv.activation = self._snake(COLUMNS)[0]
        self._launch(tile, tile.kernel, conv)
        return self._same(conv.plain, expected.joined) and self._same(conv.active, expected.snake)

    def _more(self, tile: Tile, quads: int) -> bool:
        """With factors and GELU, then without and ELU."""
        conv, expected = self._parameters(tile, quads)
        conv.activation.kind = Activation.GELU
        self._launch(tile, tile.kernel_more, s.Scaled(conv, self._put(expected.scale)))
        same = self._same(conv.plain, expected.scaled) and self._same(conv.active, expected.gelu)
        conv.activation.kind = Activation.ELU
        self._launch(tile, tile.kernel_more, s.Scaled(conv, 0))
        return same and self._same(conv.plain, expected.joined) and self._same(conv.active, expected.elu)

    def _launch(self, tile: Tile, kernel: str, parameters: Structure) -> None:
        grid = -(-ROWS * STREAMS // tile.rows), -(-COLUMNS // tile.columns)
        self._run(kernel, grid, tile.threads, tile.shared, parameters)

    def _parameters(self, tile: Tile, quads: int) -> tuple[s.Conv, Expected]:
        """Of a convolution, without an activation."""
        taps, depth = (3, 5 if tile.vector == 1 else 12) if tile.ragged else (2, 64)
        it = self._layer(taps, depth)
        to, size = up(depth, tile.depth), ROWS * COLUMNS
        conv = s.Conv(
            in_=self._put(it.x), weights=self._put(padded(it.w, taps, depth, to)), bias=self._put(it.bias),
            join=self._put(it.join), plain=self._nothing(size * STREAMS), active=self._nothing(size * STREAMS),
            **self._edge_arrays([0, 3 * COLUMNS + 1], [size, 60 * COLUMNS - 2]), in_stride=it.x[0].size, row_step=depth,
            tap_step=2 * depth, taps=taps, depth=depth, padded=to, ldw=COLUMNS, columns=COLUMNS, rows=ROWS,
            all=ROWS * STREAMS, join_stride=size, plain_stride=size, active_stride=size, quads=quads,
        )  # fmt: skip
        return conv, it

    def _column(self) -> bool:
        taps, depth, rows, bias = 3, 8, COLUMN_THREADS + 5, numbers(1, 15)
        x, w = numbers(STREAMS * (rows + 2) * depth, 6).reshape(STREAMS, -1), numbers(taps * depth, 7)
        windows = [x[b, t * depth : (t + taps) * depth] for b in range(STREAMS) for t in range(rows)]
        wanted = chain(bias, np.array(windows), w[:, None]).reshape(STREAMS, rows).copy()
        wanted[0, :2] = wanted[1, 130:] = 0
        out = self._nothing(wanted.size)
        column = s.Column(
            in_=self._put(x), weights=self._put(w), bias=self._put(bias), out=out,
            **self._edge_arrays([2, 0], [rows, 130]), in_stride=x.shape[1], taps=taps, depth=depth, rows=rows,
            out_stride=rows, finish=1,
        )  # fmt: skip
        self._run("column", (2, STREAMS), COLUMN_THREADS, column_shared(taps, depth), column)
        return self._same(out, tanh(wanted))

    def _spread(self) -> bool:
        count, channels = 300, 3
        x, (activated, constants) = numbers(STREAMS * count, 9).reshape(STREAMS, count), self._snake(channels)
        plain, edges = x.copy(), self._edge_arrays([7, 0], [count, 290])
        plain[0, :7] = plain[1, 290:] = 0
        out = self._nothing(x.size), self._nothing(x.size)
        spread = s.Spread(self._put(x), *out, edges["low"], edges["high"], activated, count, channels, count, count)
        self._run("spread", (2, STREAMS), THREADS, 0, spread)
        return self._same(out[0], plain) and self._same(out[1], snake(plain.reshape(-1, channels), *constants))

    def _finish(self) -> bool:
        x = np.concatenate([numbers(500, 11, 12.0), numbers(500, 12)])
        at = self._put(x)
        self._run("finish", (4, 1), THREADS, 0, s.Finish(at, x.size))
        return self._same(at, tanh(x))

    def _edges(self) -> bool:
        """The input, a convolution and a transposed one; streams at their start, in the middle, and at their end."""
        fields = (SAME, 1, 0, 6, 0, 2), (CONVOLVED, 3, -2, 2, 1, 5), (TRANSPOSED, 4, 5, 8, 3, 1)
        layers = [s.EdgeLayer(*each) for each in fields]
        clock, length = np.array([0, 1, 7, 0]), np.array([-1, 13, -1, 0])
        low, high = [[0] * 4, [5, 0, 0, 5], [3, 0, 0, 3]], [[24, 14, 24, 0], [20, 15, 20, 5], [16, 12, 16, 3]]
        out = [self._nothing(12), self._nothing(12), self._nothing(3)]
        edges = s.Edges(self._put(clock), self._put(length), self._put(as_bytes(layers)), *out, 4, 2)
        self._run("edges", (3, 1), 128, 512, edges)
        cut = self._same(out[2], [1, 1, 1], np.int32)
        return cut and self._same(out[0], low, np.int32) and self._same(out[1], high, np.int32)

    def _move(self) -> bool:
        states, buffers = numbers(4 * 10, 13).reshape(4, 10), numbers(2 * 20, 14).reshape(2, 20)
        at, to, done = self._put(states), self._put(buffers), self._put(np.zeros(1, np.int64))
        request, slots = self._put(as_bytes([s.Request(at, 5)])), self._put(np.array([3, 1], np.int32))
        tails = self._put(as_bytes([s.Tail(to, 20, 12, 2, 7)]))
        self._run("move", (1, 2), THREADS, 0, s.Move(request, slots, tails, done, 10, 1, 0))
        buffers[:, :7] = states[[3, 1], 2:9]
        loaded = self._same(to, buffers)
        self._run("move", (1, 2), THREADS, 0, s.Move(request, slots, tails, done, 10, 1, 1))
        states[[3, 1], 2:9] = buffers[:, 12:19]
        return loaded and self._same(at, states) and self._same(done, [5], np.int64)
