"""The self-test: does this device compute the CPU's bits? Every kernel and tile on small layers, in milliseconds.

Knows: the kernels' parameters, and what is expected (plain.py). Does not know: codecs, steps.

A card, driver or compiler that rounds otherwise, flushes denormal numbers, fuses or reorders, is refused at the start.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from ctypes import Structure
from typing import Any

import numpy as np

from ...errors import EngineError
from . import structs as s
from .convolutions import padded, snake_constants, up
from .device import Device, Launch
from .kept import Kept
from .plain import Array, PlainLevel, chain, numbers, snake, tanh
from .quantizer import THREADS, search_shared
from .resident import COLUMN_THREADS, CONVOLVED, SAME, TRANSPOSED, column_shared
from .structs import as_bytes
from .tiles import Tile, tiles

ROWS, COLUMNS, STREAMS = 67, 68, 2
_passed: weakref.WeakSet[Any] = weakref.WeakSet()


def check_device(device: Device) -> None:
    """Refuse a device whose bits are wrong. One that passed is not asked again.

    Raises:
        EngineError: it names the kernels.
    """
    if device in _passed:
        return
    wrong = [name for name, right in _Test(device).results() if not right]
    if wrong:
        raise EngineError(
            f"{device.name} fails the self-test of its bits ({', '.join(wrong)}), and its tokens would not be the "
            "CPU's; update its driver, report this, and use engine='native'"
        )
    _passed.add(device)


class _Test:
    def __init__(self, device: Device) -> None:
        self._device, self._kept = device, Kept(device)
        self._put = self._kept.put
        self._expected: dict[tuple[int, int, int], tuple[Array, ...]] = {}

    def results(self) -> Iterator[tuple[str, bool]]:
        """Each kernel, and whether its bits are right."""
        for tile in tiles():
            yield tile.kernel, self._conv(tile, quads=1) and self._conv(tile, quads=0)
        yield "column", self._column()
        for frames in (8, 1):
            for dim in (8, 5):
                yield f"quantise_{frames}{'' if dim == 8 else '_any'}", self._quantise(frames, dim)
        yield "embed", self._embed()
        yield "spread", self._spread()
        yield "finish", self._finish()
        yield "edges", self._edges()
        yield "move", self._move()

    def _run(self, kernel: str, grid: tuple[int, int], threads: int, shared: int, parameters: Structure) -> None:
        at = self._put(as_bytes([parameters]))
        self._device.record([Launch(kernel, (*grid, 1), threads, shared, at)]).run()

    def _same(self, address: int, wanted: Any, kind: Any = np.float32) -> bool:
        wanted = np.ascontiguousarray(wanted, kind)
        came = np.empty_like(wanted)
        self._device.get(came, address)
        return bool(came.tobytes() == wanted.tobytes())

    def _nothing(self, count: int) -> int:
        return self._put(np.full(count, -7, np.float32))

    def _snake(self, columns: int) -> tuple[s.Activated, tuple[Array, ...]]:
        constants = snake_constants(np.abs(numbers(columns, 5)) + np.float32(0.3))
        return s.Activated(*map(self._put, constants), kind=1), constants

    def _edge_arrays(self, low: list[int], high: list[int]) -> dict[str, int]:
        return {
            "low": self._put(np.array(low, np.int32)),
            "high": self._put(np.array(high, np.int32)),
            "cut": self._put(np.array([1], np.int32)),
        }

    def _layer(self, taps: int, depth: int) -> tuple[Array, ...]:
        """x, w, bias, join, and what is expected plain and active; the second stream's numbers are all but denormal."""
        if (taps, depth, 0) not in self._expected:
            length = ROWS + 2 * (taps - 1)
            x = numbers(STREAMS * length * depth, 1).reshape(STREAMS, length, depth)
            x[1] *= np.float32(2.0**-124)
            w, bias = numbers(taps * depth * COLUMNS, 2).reshape(-1, COLUMNS), numbers(COLUMNS, 3)
            bias[::2] *= np.float32(2.0**-126)
            join = numbers(STREAMS * ROWS * COLUMNS, 4).reshape(STREAMS, -1)
            join[1, ::3] *= np.float32(2.0**-127)
            windows = np.concatenate([x[:, 2 * tap : 2 * tap + ROWS] for tap in range(taps)], axis=2)
            plain = chain(bias, windows.reshape(STREAMS * ROWS, -1), w).reshape(STREAMS, -1).copy()
            plain[1, : 3 * COLUMNS + 1] = plain[1, 60 * COLUMNS - 2 :] = 0
            plain = plain + join
            _, constants = self._snake(COLUMNS)
            active = snake(plain.reshape(-1, COLUMNS), *constants)
            self._expected[taps, depth, 0] = x, w, bias, join, plain, active
        return self._expected[taps, depth, 0]

    def _conv(self, tile: Tile, quads: int) -> bool:
        taps, depth = (3, 5 if tile.vector == 1 else 12) if tile.ragged else (2, 64)
        x, w, bias, join, plain, active = self._layer(taps, depth)
        to, size = up(depth, tile.depth), ROWS * COLUMNS
        out = self._nothing(size * STREAMS), self._nothing(size * STREAMS)
        conv = s.Conv(
            in_=self._put(x), weights=self._put(padded(w, taps, depth, to)), bias=self._put(bias),
            join=self._put(join), plain=out[0], active=out[1], activation=self._snake(COLUMNS)[0],
            **self._edge_arrays([0, 3 * COLUMNS + 1], [size, 60 * COLUMNS - 2]), in_stride=x[0].size, row_step=depth,
            tap_step=2 * depth, taps=taps, depth=depth, padded=to, ldw=COLUMNS, columns=COLUMNS, rows=ROWS,
            all=ROWS * STREAMS, join_stride=size, plain_stride=size, active_stride=size, quads=quads,
        )  # fmt: skip
        grid = -(-ROWS * STREAMS // tile.rows), -(-COLUMNS // tile.columns)
        self._run(tile.kernel, grid, tile.threads, tile.shared, conv)
        return self._same(out[0], plain) and self._same(out[1], active)

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

    def _levels(self, latent: int, dim: int) -> tuple[list[PlainLevel], int]:
        plain = [PlainLevel(latent, dim, 300, 10 * level + dim) for level in range(3)]
        fields = [name for name, _ in s.Level._fields_]
        padding = np.zeros(4, np.float32)
        levels = [
            s.Level(*[self._put(np.concatenate([np.ravel(getattr(level, name)), padding])) for name in fields])
            for level in plain
        ]
        return plain, self._put(as_bytes(levels))

    def _quantise(self, each: int, dim: int) -> bool:
        latent, rows, hops, slab = 37, 3, 3, 16
        levels, at = self._levels(latent, dim)
        z = numbers(rows * hops * latent, 8).reshape(-1, latent)
        codes, inner, left = [], [], z
        for level in levels:
            chosen, vectors, left = level.quantise(left)
            codes.append(chosen.reshape(rows, hops))
            inner.append(vectors.reshape(rows, hops, dim).transpose(0, 2, 1))
        counts = rows * len(levels) * hops
        out = self._nothing(counts), self._nothing(counts * dim)
        quantise = s.Quantise(self._put(z), at, *out, rows * hops, hops, latent, dim, 300, len(levels), slab)
        shared = search_shared(each, latent, dim, slab)
        name = f"quantise_{each}{'' if dim == 8 else '_any'}"
        self._run(name, (-(-rows * hops // each), 1), THREADS, shared, quantise)
        return self._same(out[0], np.stack(codes, 1), np.int32) and self._same(out[1], np.concatenate(inner, 1))

    def _embed(self) -> bool:
        latent, rows, hops = 300, 2, 3
        levels, at = self._levels(latent, 5)
        codes = (np.arange(rows * 3 * hops).reshape(rows, 3, hops) * 37) % 301 - 1
        z = np.zeros((rows * hops, latent), np.float32)
        for i, level in enumerate(levels):
            z = level.embed(codes[:, i].ravel(), z)
        out = self._nothing(z.size)
        embed = s.Embed(out, at, self._put(codes.astype(np.int32)), rows * hops, hops, latent, 5, 3)
        self._run("embed", (rows * hops, 2), THREADS, 0, embed)
        return self._same(out, z)

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
