"""The launches of a plan's convolutions: which kernels, in what grids, with which parameters.

Knows: one shape of step, the kernels. Does not know: the order of a step (program.py), the quantiser (coding.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from ctypes import Structure
from typing import Any

import numpy as np

from ...errors import EngineError
from ...geometry import LayerKind
from .addresses import Addresses
from .products import ResidentProduct, up
from .resident import COLUMN_THREADS, ResidentConvolution
from .structs import Activated, Attend, Column, Conv, Fill, Lstm, Norm, Rotate, Scaled, Upsample
from .tiles import SHARED

#: Threads of a block, as kernels.cu has them; of attend and lstm.
THREADS, FEW_THREADS = 256, 128
#: Queries of a block of attend, rows of a block of norm_rows, units and streams of a block of lstm.
QUERIES, NORMS, UNITS, STREAMS = 4, THREADS // 16, FEW_THREADS // 4, 8

Launching = tuple[str, tuple[int, int, int], int, int, Structure]  #: name, grid, threads, shared bytes, parameters


def blocks(count: int, each: int) -> int:
    """So many blocks of ``each`` take ``count``."""
    return -(-count // each)


def product(
    resident: ResidentProduct, multiprocessors: int, *, streams: int, rows: int, fields: dict[str, Any],
    activated: Activated | None = None, scale: int = 0, more: bool = False,
) -> Launching:  # fmt: skip
    """A product over ``rows`` rows of each stream.

    Args:
        fields: of `structs.Conv`: where it reads and writes.
        more: see `Convolution.more`.
    """
    p = resident.product
    tile = resident.tile(streams * rows, multiprocessors, "join" in fields, more)
    padded = up(p.depth, tile.depth)
    conv = Conv(
        weights=resident.weights[padded], bias=resident.bias, activation=activated or Activated(),
        row_step=p.row_step, tap_step=p.tap_step, taps=p.taps, depth=p.depth, padded=padded,
        ldw=up(resident.columns, 4), columns=resident.columns, rows=rows, all=streams * rows, **fields,
    )  # fmt: skip
    numbers = resident.columns, conv.join_stride, conv.plain_stride, conv.active_stride
    addresses = conv.join, conv.plain, conv.active
    conv.quads = all(n % 4 == 0 for n in numbers) and all(a % 16 == 0 for a in addresses)
    grid = blocks(conv.all, tile.rows), blocks(resident.columns, tile.columns), 1
    if more:
        return tile.kernel_more, grid, tile.threads, tile.shared, Scaled(conv, scale)
    return tile.kernel, grid, tile.threads, tile.shared, conv


class Layers:
    """Launches of one shape of step."""

    def __init__(self, addresses: Addresses, multiprocessors: int) -> None:
        self._at, self._places, self._multiprocessors = addresses, addresses.places, multiprocessors
        self._rows, self._hops = addresses.shape.rows, addresses.shape.hops

    def launches(self) -> Iterator[Launching]:
        """Of all convolutions, in order."""
        causal = self._at.resident.plan.causal
        for i, c in enumerate(self._at.resident.convolutions):
            if causal and c.convolution.fills:
                yield self._fill(i, c)
            match c.convolution.layer.kind:
                case LayerKind.NORM:
                    yield self._norm(i, c)
                case LayerKind.ATTENTION:
                    yield self._rotate(i, c)
                    yield self._attend(i, c)
                case LayerKind.LSTM:
                    yield from self._lstm(i, c)
                case _ if c.column:
                    yield self._column(i, c)
                case _ if c.product is None:
                    yield self._upsample(i, c)
                case _:
                    yield from self._conv(i, c)

    def _fill(self, i: int, c: ResidentConvolution) -> Launching:
        layer, at = c.convolution.layer, self._at
        fill = Fill(
            clock=at.clock, length=at.length, layers=at.resident.edges, fresh=at.fresh(i),
            stride=self._places.strides[i], layer=i, rate=layer.rate_in, rows=self._hops * layer.rate_in,
            channels=layer.cin, history=layer.history, step=layer.stride, pad=int(layer.pad), fills_up=layer.fills_up,
        )  # fmt: skip
        return "fill", (self._rows, 1, 1), THREADS, 0, fill

    def _conv(self, i: int, c: ResidentConvolution) -> Iterator[Launching]:
        it, at = c.convolution, self._at
        rows = self._hops * it.rows
        if c.shortcut is not None:
            assert it.join is not None
            where, stride = at.skip(it.join)
            out, out_stride = at.extra(i, "joined")
            fields = {"in_": where, "in_stride": stride, "plain": out, "plain_stride": out_stride}
            yield product(c.shortcut, self._multiprocessors, streams=self._rows, rows=rows, fields=fields)
        assert c.product is not None
        fields = {"in_": at.buffer(i), "in_stride": self._places.strides[i], **at.edges_of(i + 1), **at.destinations(i)}
        yield product(c.product, self._multiprocessors, streams=self._rows, rows=rows, fields=fields,
                      activated=c.activated, scale=c.scale, more=it.more)  # fmt: skip

    def _column(self, i: int, c: ResidentConvolution) -> Launching:
        layer, places, rows = c.convolution.layer, self._places, self._hops * c.convolution.rows
        column = Column(
            in_=self._at.buffer(i), weights=c.weight, bias=c.bias, out=self._at.buffer(-1),
            in_stride=places.strides[i], taps=layer.kernel, depth=layer.cin, rows=rows,
            out_stride=places.strides[-1], finish=self._at.resident.finish, **self._at.edges_of(i + 1),
        )  # fmt: skip
        return "column", (blocks(rows, COLUMN_THREADS), self._rows, 1), COLUMN_THREADS, c.column_shared(), column

    def _norm(self, i: int, c: ResidentConvolution) -> Launching:
        rows = self._hops * c.convolution.rows
        norm = Norm(
            in_=self._at.buffer(i), weight=c.weight, bias=c.bias, to=self._at.passed(i, c.activated),
            in_stride=self._places.strides[i], rows=rows, all=self._rows * rows, epsilon=c.convolution.layer.epsilon,
        )  # fmt: skip
        return "norm_rows", (blocks(norm.all, NORMS), 1, 1), THREADS, norm_shared(), norm

    def _upsample(self, i: int, c: ResidentConvolution) -> Launching:
        layer = c.convolution.layer
        rows = self._hops * layer.rate_in
        upsample = Upsample(
            in_=self._at.buffer(i), weights=c.weight, bias=c.bias, to=self._at.passed(i, c.activated),
            in_stride=self._places.strides[i], rows=rows, stride=layer.stride,
        )  # fmt: skip
        grid = blocks(rows * layer.stride * layer.cin, THREADS), self._rows, 1
        return "upsample", grid, THREADS, 0, upsample

    def _rotate(self, i: int, c: ResidentConvolution) -> Launching:
        layer, rows = c.convolution.layer, self._hops * c.convolution.rows
        queries, queries_stride = self._at.extra(i, "queries")
        kept, kept_stride = self._at.extra(i, "kept")
        rotate = Rotate(
            in_=self._at.buffer(i), queries=queries, kept=kept + 4 * c.convolution.memory.size,
            frequencies=c.frequencies, clock=self._at.clock, in_stride=self._places.strides[i],
            queries_stride=queries_stride, kept_stride=kept_stride, rate=layer.rate_in, rows=rows, heads=layer.heads,
            dim=layer.cout // layer.heads,
        )  # fmt: skip
        return "rotate", (blocks(rows * rotate.dim // 2, THREADS), self._rows, 1), THREADS, 0, rotate

    def _attend(self, i: int, c: ResidentConvolution) -> Launching:
        layer, rows = c.convolution.layer, self._hops * c.convolution.rows
        queries, queries_stride = self._at.extra(i, "queries")
        kept, kept_stride = self._at.extra(i, "kept")
        dim = layer.cout // layer.heads
        attend = Attend(
            queries=queries, kept=kept, clock=self._at.clock, to=self._at.passed(i, c.activated),
            queries_stride=queries_stride, kept_stride=kept_stride, rate=layer.rate_in, rows=rows, heads=layer.heads,
            dim=dim, window=layer.window, scale=attention_scale(dim),
        )  # fmt: skip
        grid = layer.heads * blocks(rows, QUERIES), self._rows, 1
        return "attend", grid, FEW_THREADS, attend_shared(layer.name, dim, layer.window), attend

    def _lstm(self, i: int, c: ResidentConvolution) -> Iterator[Launching]:
        it, at = c.convolution, self._at
        frames, units = self._hops * it.rows, it.columns
        gates, gates_stride = at.extra(i, "gates")
        hidden, hidden_stride = at.extra(i, "hidden")
        cell, cell_stride = at.extra(i, "cell")
        assert c.product is not None
        fields = {"in_": at.buffer(i), "in_stride": self._places.strides[i], "plain": gates,
                  "plain_stride": gates_stride}  # fmt: skip
        yield product(c.product, self._multiprocessors, streams=self._rows, rows=frames, fields=fields)
        each = STREAMS if self._rows > STREAMS // 2 and lstm_shared(STREAMS, units) <= SHARED else 1
        shared = lstm_shared(each, units)
        if shared > SHARED:
            raise EngineError(
                f"the LSTM {it.layer.name} has {units} units; the cuda engine has room for about 25 000: use "
                "engine='native'"
            )
        grid = blocks(units, UNITS), blocks(self._rows, each), 1
        for frame in range(frames):
            lstm = Lstm(
                gates=gates, weights=c.recurrent, hidden=hidden, cell=cell, to=at.passed(i, c.activated),
                gates_stride=gates_stride, hidden_stride=hidden_stride, cell_stride=cell_stride, rows=self._rows,
                frame=frame, units=units,
            )  # fmt: skip
            yield f"lstm_{each}", grid, FEW_THREADS, shared, lstm


def norm_shared() -> int:
    """Bytes of shared memory of a block of norm_rows."""
    return 4 * NORMS * 17


def attention_scale(dim: int) -> float:
    """Of scores: 1/√dim, rounded once."""
    return float(np.float32(1.0 / math.sqrt(dim)))


def attend_shared(name: str, dim: int, window: int) -> int:
    """Bytes of shared memory of a block of attention.cuh.

    Raises:
        EngineError: more than there is.
    """
    shared = 4 * QUERIES * (dim + window + QUERIES - 1 + FEW_THREADS)
    if shared > SHARED:
        raise EngineError(
            f"the attention {name} sees {window} positions; the cuda engine has room for about 6000: use "
            "engine='native'"
        )
    return shared


def lstm_shared(streams: int, units: int) -> int:
    """Bytes of shared memory of a block of lstm.cuh."""
    return 4 * streams * (units + FEW_THREADS)
