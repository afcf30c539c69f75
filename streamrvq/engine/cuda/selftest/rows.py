"""The self-test of what has no matrix: norms, attention, LSTMs, depthwise convolutions, filled edges.

Knows: the kernels' parameters, and what is expected (plain_rows.py). Does not know: codecs, steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ....geometry import Padding
from ...rotary import inverse_frequencies, rotations
from .. import structs as s
from ..layers import (
    FEW_THREADS,
    NORMS,
    QUERIES,
    THREADS,
    UNITS,
    attend_shared,
    attention_scale,
    lstm_shared,
    norm_shared,
)
from ..structs import as_bytes
from .bench import STREAMS, Bench
from .plain import Array, fma, numbers
from .plain_rows import attend, elu, gelu, lstm, norm

ELU, GELU = s.Activated(kind=2), s.Activated(kind=3)


class RowTests(Bench):
    """Each kernel, and whether its bits are right."""

    def results(self) -> Iterator[tuple[str, bool]]:
        yield "norm_rows", self._norm()
        yield "upsample", self._upsample()
        yield "rotate", self._rotate()
        yield "attend", self._attend()
        for each in (8, 1):
            yield f"lstm_{each}", self._lstm(each)
        yield "fill", all([self._fill(pad) for pad in Padding])

    def _passed(
        self, size: int, columns: int, activated: s.Activated, join: Array | None = None
    ) -> tuple[s.Passed, int, int]:
        """Where results of each stream go, and the addresses of those that stay plain and that are activated."""
        plain, active = self._nothing(STREAMS * size), self._nothing(STREAMS * size)
        to = s.Passed(plain=plain, active=active, activation=activated, plain_stride=size, active_stride=size,
                      columns=columns)  # fmt: skip
        if join is not None:
            to.join, to.join_stride = self._put(join), size
        return to, plain, active

    def _norm(self) -> bool:
        rows, columns = 13, 37
        x = numbers(STREAMS * rows * columns, 31).reshape(STREAMS, rows, columns)
        weight, bias, join = numbers(columns, 32), numbers(columns, 33), numbers(x.size, 34).reshape(x.shape)
        to, plain, active = self._passed(rows * columns, columns, ELU, join)
        test = s.Norm(self._put(x), self._put(weight), self._put(bias), to, rows * columns, rows, STREAMS * rows, 1e-5)
        self._run("norm_rows", (-(-STREAMS * rows // NORMS), 1), THREADS, norm_shared(), test)
        wanted = norm(x.reshape(-1, columns), weight, bias, 1e-5) + join.reshape(-1, columns)
        return self._same(plain, wanted) and self._same(active, elu(wanted))

    def _upsample(self) -> bool:
        rows, channels, stride = 7, 21, 3
        x = numbers(STREAMS * (rows + 1) * channels, 35).reshape(STREAMS, rows + 1, channels)
        weights, bias = numbers(channels * 2 * stride, 36).reshape(channels, 2, stride), numbers(channels, 37)
        size = rows * stride * channels
        to, plain, active = self._passed(size, channels, GELU)
        test = s.Upsample(self._put(x), self._put(weights), self._put(bias), to, x[0].size, rows, stride)
        self._run("upsample", (-(-size // THREADS), STREAMS), THREADS, 0, test)
        first, later = weights.transpose(1, 2, 0)
        wanted = fma(x[:, 1:, None], first, fma(x[:, :-1, None], later, bias))
        return self._same(plain, wanted) and self._same(active, gelu(wanted))

    def _rotate(self) -> bool:
        rows, heads, dim, rate, clock = 9, 3, 6, 2, np.array([0, 1 << 20])
        x = numbers(STREAMS * rows * 3 * heads * dim, 38).reshape(STREAMS, rows, 3, heads, 2, dim // 2)
        frequencies, width = inverse_frequencies(dim, 10000.0), heads * dim
        queries, kept = self._nothing(STREAMS * rows * width), self._nothing(STREAMS * rows * 2 * width)
        test = s.Rotate(self._put(x), queries, kept, self._put(frequencies), self._put(clock), x[0].size, rows * width,
                        rows * 2 * width, rate, rows, heads, dim)  # fmt: skip
        self._run("rotate", (-(-rows * dim // 2 // THREADS), STREAMS), THREADS, 0, test)
        position: Any = clock[:, None] * rate + np.arange(rows)
        cos, sin = (turn[:, :, None, None] for turn in rotations(position, dim, 10000.0))
        one, two = x[:, :, :2, :, 0], x[:, :, :2, :, 1]
        turned = np.stack([fma(one, cos, -(two * sin)), fma(two, cos, one * sin)], axis=4)
        key = np.stack([turned[:, :, 1], x[:, :, 2]], axis=2)
        return self._same(queries, turned[:, :, 0]) and self._same(kept, key)

    def _attend(self) -> bool:
        rows, heads, window, rate, clock = 7, 2, 5, 1, np.array([1, 1 << 20])
        same = True
        for dim in (8, 6):
            width, before = heads * dim, window - 1
            queries = numbers(STREAMS * rows * width, 39, 4.0).reshape(STREAMS, rows, heads, dim)
            kept = numbers(STREAMS * (before + rows) * 2 * width, 40, 4.0).reshape(STREAMS, -1, 2, heads, dim)
            to, plain, active = self._passed(rows * width, width, ELU)
            test = s.Attend(
                self._put(queries), self._put(kept), self._put(clock), to, rows * width, kept[0].size, rate, rows,
                heads, dim, window, attention_scale(dim),
            )  # fmt: skip
            shared = attend_shared("of the self-test", dim, window)
            self._run("attend", (heads * -(-rows // QUERIES), STREAMS), FEW_THREADS, shared, test)
            wanted, end = np.empty_like(queries), np.arange(rows) + window
            for b, h in np.ndindex(STREAMS, heads):
                begin = np.maximum(np.arange(rows), before - clock[b] * rate)
                wanted[b, :, h] = attend(queries[b, :, h], kept[b, :, 0, h], kept[b, :, 1, h], begin, end)
            same = same and self._same(plain, wanted) and self._same(active, elu(wanted))
        return same

    def _lstm(self, each: int) -> bool:
        units, frames, frame = 37, 3, 1
        gates = numbers(STREAMS * frames * 4 * units, 41, 2.0).reshape(STREAMS, frames, -1)
        hidden = numbers(STREAMS * (frames + 1) * units, 42).reshape(STREAMS, frames + 1, units)
        cell, weights = numbers(STREAMS * units, 43).reshape(STREAMS, -1), numbers(units * 4 * units, 44, 0.3)
        weights = weights.reshape(units, -1)
        join = numbers(STREAMS * frames * units, 45).reshape(STREAMS, frames, units)
        to, plain, active = self._passed(frames * units, units, ELU, join)
        cell_at, hidden_at = self._put(cell), self._put(hidden)
        test = s.Lstm(self._put(gates), self._put(weights), hidden_at, cell_at, to, gates[0].size, hidden[0].size,
                      units, STREAMS, frame, units)  # fmt: skip
        shared = lstm_shared(each, units)
        self._run(f"lstm_{each}", (-(-units // UNITS), -(-STREAMS // each)), FEW_THREADS, shared, test)
        h, cell = lstm(gates[:, frame], hidden[:, frame], cell, weights)
        hidden[:, frame + 1] = h
        wanted = np.full(join.shape, -7, np.float32)
        wanted[:, frame] = h + join[:, frame]
        activated = wanted.copy()
        activated[:, frame] = elu(wanted[:, frame])
        results = [(hidden_at, hidden), (cell_at, cell), (plain, wanted), (active, activated)]
        return all([self._same(at, values) for at, values in results])

    def _fill(self, pad: Padding) -> bool:
        """A stream that begins, one that begins and ends, one that ends within a window, and one in its middle."""
        rows, channels, history, step = 8, 3, 4, 4
        clock, length = np.array([0, 0, 2, 5]), np.array([-1, 3, 22, -1])
        x = numbers(4 * (history + rows) * channels, 46).reshape(4, history + rows, channels)
        at, fresh = self._put(x), 4 * history * channels
        layers = self._put(as_bytes([s.EdgeLayer(0, 1, 0, rows, 0, channels)]))
        test = s.Fill(self._put(clock), self._put(length), layers, at + fresh, x[0].size, 0, rows, rows, channels,
                      history, step, int(pad), 1)  # fmt: skip
        self._run("fill", (4, 1), THREADS, 0, test)
        if pad == Padding.ZERO:
            x[1, 7] = x[2, [10, 11]] = 0
        elif pad == Padding.REPLICATE:
            x[0, :4] = x[0, 4]
            x[1, :4], x[1, 7], x[2, [10, 11]] = x[1, 4], x[1, 6], x[2, 9]
        else:
            x[0, :4] = x[0, [8, 7, 6, 5]]
            x[1, [2, 3]], x[1, [0, 1]] = x[1, [6, 5]], 0
            x[1, 7] = 0  # too short for a mirror image
            x[2, [10, 11]] = x[2, [8, 7]]
        return self._same(at, x)
