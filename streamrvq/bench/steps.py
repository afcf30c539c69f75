"""The time of one step (k hops of B streams) in the steady state.

Knows: how to drive an engine as a pool does, with clocks far from both ends of the signal; and a step's arithmetic and
bytes of weights. Does not know: streams, hop buffers, files. Their cost is not in these figures.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..engine.base import Engine
from ..engine.native import NativeEngine, Program
from ..families import plan
from ..geometry import Direction, Layer, LayerKind, Plan
from .machine import Machine


@dataclasses.dataclass(frozen=True)
class Timed:
    """One cell of the table.

    Attributes:
        direction, hops, rows: a step took ``hops`` of each of ``rows`` streams.
        steps: how many were timed.
        p50_ms, p99_ms: of the step times. With fewer than 100 steps the latter is almost their maximum.
        rtf: median step time ÷ audio time of the hops. Below 1, all these streams can be live.
        rtf_per_stream: ``rtf`` ÷ rows: the cost of a second of one stream.
        gflops: 10⁹ operations that the network needs, per second (a multiply-accumulate is two).
        weights_gbytes: 10⁹ bytes of weights per second, if each weight is read once in a step.
        peak_share, bandwidth_share: shares of the machine's measured limits, 0 to about 1. None: they are not known.
        roofline_share: the share of the lower limit, for these operations and bytes; or None.
    """

    direction: Direction
    hops: int
    rows: int
    steps: int
    p50_ms: float
    p99_ms: float
    rtf: float
    rtf_per_stream: float
    gflops: float
    weights_gbytes: float
    peak_share: float | None
    bandwidth_share: float | None
    roofline_share: float | None


class Cell:
    """Steps of one shape on one engine, timed when `run` is called.

    With ``paced`` a step begins when the next hops of a live stream would be there, not when the last step ends. In the
    meantime others use the shared caches, and idle cores lower their clocks.
    """

    def __init__(self, engine: Engine, direction: Direction, hops: int, rows: int, paced: bool = False) -> None:
        self.engine, self.direction, self.hops, self.rows = engine, direction, hops, rows
        self._pause = hops * engine.config.hop_length / engine.config.sample_rate if paced else 0.0
        self.times: list[float] = []
        self._states = engine.new_states(rows, direction)
        random, config = np.random.default_rng(0), engine.config
        self._inputs: npt.NDArray[Any]
        if direction == "encode":
            noise = 0.1 * random.standard_normal((rows, hops * config.hop_length))
            self._inputs = noise.astype(np.float32)
        else:
            self._inputs = random.integers(0, config.codebook_size, (rows, config.n_codebooks, hops))
        self._slots, self._length = np.arange(rows), np.full(rows, -1)
        # Beyond every delay, so that no edge has to be masked.
        clock = 1 + plan(config, direction).delay
        for row in range(rows):
            engine.import_state(self._states, row, engine.export_state(self._states, row), clock)
        self._clock = np.full(rows, clock)

    def _step(self) -> None:
        where = (self._states, self._slots, self._clock, self._length)
        if self.direction == "encode":
            self.engine.encode_step(self._inputs, *where, self.engine.config.n_codebooks)
        else:
            self.engine.decode_step(self._inputs, *where)
        self._clock = self._clock + self.hops

    def run(self, seconds: float) -> None:
        """Run steps for ``seconds`` of wall time, at least two, after one that only warms the caches."""
        self._step()
        begun, count = time.perf_counter(), 0
        while count < 2 or time.perf_counter() - begun < seconds:
            start = time.perf_counter()
            self._step()
            self.times.append(time.perf_counter() - start)
            count += 1
            if self._pause > self.times[-1]:  # sleeping for no time is a system call too, and would cost time
                time.sleep(self._pause - self.times[-1])


def gflop_per_hop(config: Config, direction: Direction) -> float:
    """10⁹ operations for a hop: the convolutions, and in encoding the quantiser."""
    layers = plan(config, direction)
    return 2 * (layers.macs + (layers.quantizer.macs() if direction == "encode" else 0)) / 1e9


def gbytes_per_step(engine: Engine, direction: Direction) -> float:
    """10⁹ bytes of weights that a step needs, whatever its hops and rows. In encoding the quantiser's too."""
    steps = plan(engine.config, direction)
    numbers = steps.quantizer.macs() if direction == "encode" else 0  # a level multiplies by each of its weights once
    if isinstance(engine, NativeEngine):  # some are in half precision
        program = Program[direction.upper()]
        packed = sum(engine.core.weight_bytes(program, i) for i in range(len(convolutions(steps))))
        return (packed + numbers * engine.dtype.itemsize) / 1e9
    return (steps.weight_count + numbers) * engine.dtype.itemsize / 1e9


def convolutions(steps: Plan) -> list[Layer]:
    """The layers that the native engine counts; a join's shortcut belongs to the one in front of it."""
    return [layer for layer in steps.layers if layer.kind not in (LayerKind.HOLD, LayerKind.JOIN)]


def summarise(cell: Cell, machine: Machine | None) -> Timed:
    """The figures of a cell that has run. ``machine``: the limits of what it ran on, if they are known."""
    config = cell.engine.config
    p50, p99 = (float(q) for q in np.quantile(cell.times, (0.5, 0.99)))
    rtf = p50 * config.sample_rate / (cell.hops * config.hop_length)
    gflops = gflop_per_hop(config, cell.direction) * cell.hops * cell.rows / p50
    gbytes = gbytes_per_step(cell.engine, cell.direction) / p50
    shares = (None, None) if machine is None else (gflops / machine.gflops, gbytes / machine.gbytes)
    return Timed(
        direction=cell.direction,
        hops=cell.hops,
        rows=cell.rows,
        steps=len(cell.times),
        p50_ms=1e3 * p50,
        p99_ms=1e3 * p99,
        rtf=rtf,
        rtf_per_stream=rtf / cell.rows,
        gflops=gflops,
        weights_gbytes=gbytes,
        peak_share=shares[0],
        bandwidth_share=shares[1],
        roofline_share=None if machine is None else max(gflops / machine.gflops, gbytes / machine.gbytes),
    )
