"""Every tile at every shape of layer of a codec, timed: what the numbers in tiles.py come from.

Knows: convolutions, their parameters, tiles. Does not know: bits; the numbers that are multiplied are random.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from ctypes import sizeof
from typing import Any

import numpy as np

from streamrvq.engine.cuda.convolutions import Convolution, compiled
from streamrvq.engine.cuda.device import Device, Launch
from streamrvq.engine.cuda.structs import Activated, Conv, as_bytes
from streamrvq.engine.cuda.tiles import Tile, choose, tiles
from streamrvq.families import plan
from streamrvq.geometry import Activation

from .cases import CODECS
from .context import Context, Watched
from .times import DIRECTIONS, milliseconds

HOPS = (2048, 512, 64, 8, 1)  #: rows × hops of a step; the most important first
#: Numbers of the largest buffer; a layer that needs more is left out.
MOST = 1 << 29


@dataclasses.dataclass(frozen=True)
class Shape:
    """What of a convolution decides its time."""

    direction: str
    taps: int
    depth: int
    tap_step: int
    row_step: int
    rows: int  #: a hop
    columns: int
    joins: bool
    keeps: bool
    snake: bool

    @property
    def aligned(self) -> bool:
        return self.row_step % 4 == 0 and (self.taps == 1 or self.tap_step % 4 == 0)

    def numbers(self, hops: int) -> int:
        """That it reads or writes."""
        return max(hops * self.rows * max(self.row_step, self.columns) + self.taps * self.tap_step + self.depth, 1)


class Bench:
    """Buffers of random numbers, and launches of a shape on them."""

    def __init__(self, device: Device, most: int) -> None:
        self.device = device
        some = np.random.default_rng(0).standard_normal(1 << 22, np.float32) * np.float32(0.3)
        self._memories = [device.memory(4 * size) for size in (most, most, most, 1 << 26, 1 << 16, 256)]
        self.x, self.y, self.z, self.w, self.small, self.parameters = (memory.address for memory in self._memories)
        for memory in (*self._memories[:1], *self._memories[3:5]):  # the clock depends on what is multiplied
            for at in range(0, memory.size, some.nbytes):
                device.put(memory.address + at, some[: (memory.size - at) // 4])

    def launch(self, shape: Shape, hops: int, tile: Tile) -> Launch:
        """Of one stream of so many hops."""
        count, padded = hops * shape.rows, -(-shape.depth // tile.depth) * tile.depth
        stride = up(max(shape.row_step, shape.columns) * count, 4)
        snake = Activated(self.small, self.small, self.small, kind=int(Activation.SNAKE))
        conv = Conv(
            in_=self.x, weights=self.w, bias=self.small, active=self.z,
            activation=snake if shape.snake else Activated(),
            in_stride=stride, row_step=shape.row_step, tap_step=shape.tap_step, taps=shape.taps, depth=shape.depth,
            padded=padded, ldw=up(shape.columns, 4), columns=shape.columns, rows=count, all=count, active_stride=stride,
            quads=shape.columns % 4 == 0,
        )  # fmt: skip
        if shape.joins:
            conv.join, conv.join_stride = self.x, stride
        if shape.keeps:
            conv.plain, conv.plain_stride = self.y, stride
        assert sizeof(Conv) <= 1024
        self.device.put(self.parameters, as_bytes([conv]))
        grid = -(-count // tile.rows), -(-shape.columns // tile.columns), 1
        return Launch(tile.kernel, grid, tile.threads, tile.shared, self.parameters)


def up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def tile_times(context: Context) -> None:
    """A line for each shape of layer and number of hops, and the sums of the best and of the chosen tiles."""
    device = Watched(context.open())
    codec = next(iter(context.codecs([CODECS["dac-44khz"]])))
    shapes = shapes_of(codec.config, codec.weights().tensors)
    fitting = [shape.numbers(hops) for shape in shapes for hops in HOPS if shape.numbers(hops) <= MOST]
    bench, best_of = Bench(device, max(fitting)), dict[str, float]()
    for hops in HOPS:
        for direction in DIRECTIONS:
            sums = defaultdict[str, float](float)
            for shape, count in shapes.items():
                if shape.direction != direction or shape.numbers(hops) > MOST:
                    continue
                if context.left < 3:
                    context.say(f"no time left for {hops} hops", left_out=f"{direction} {hops}")
                    return
                _line(context, device, bench, shape, count, hops, sums, best_of)
            context.say(
                f"== {direction} {hops} hops: best tiles {sums['best']:.3f} ms, "
                f"{sums['flops'] / sums['best'] / 1e9:.1f} TFLOP/s; chosen tiles {sums['chosen']:.3f} ms",
                hops=hops, direction=direction, best_ms=sums["best"], chosen_ms=sums["chosen"],
            )  # fmt: skip
    context.say(
        "most that a tile reached, TFLOP/s: " + ", ".join(f"{k} {v:.1f}" for k, v in best_of.items()), most=best_of
    )


def shapes_of(config: Any, tensors: Any) -> Counter[Shape]:
    """The codec's convolutions, alike ones counted; without the one that has a kernel of its own."""
    found = Counter[Shape]()
    for direction in DIRECTIONS:
        for c in compiled(plan(config, direction), tensors).convolutions:
            if c.product is not None and c.columns > 1:
                found[_shape(direction, c)] += 1
    return found


def _shape(direction: str, c: Convolution) -> Shape:
    product = c.product
    assert product is not None
    return Shape(
        direction, product.taps, product.depth, product.tap_step, product.row_step, c.rows, c.columns,
        c.join is not None, c.epilogue.skip is not None, c.epilogue.activation == Activation.SNAKE,
    )  # fmt: skip


def _line(
    context: Context, device: Watched, bench: Bench, shape: Shape, count: int, hops: int, sums: defaultdict[str, float],
    best_of: dict[str, float],
) -> None:  # fmt: skip
    rows, flops = hops * shape.rows, 2.0 * shape.taps * shape.depth * shape.columns * hops * shape.rows
    times = {}
    for tile in tiles():
        if tile.fits(shape.depth, shape.aligned) and flops < 1e12 / (1 if tile.tm > 1 else 50):
            times[tile.name] = _time(device, bench.launch(shape, hops, tile), flops)
            if hops == HOPS[0]:
                best_of[tile.name] = max(best_of.get(tile.name, 0.0), flops / times[tile.name] / 1e9)
    chosen = choose(
        rows, shape.columns, shape.taps, shape.depth, shape.aligned, device.multiprocessors, shape.joins
    ).name
    best = min(times, key=lambda name: times[name])
    sums["best"] += count * times[best]
    sums["chosen"] += count * times.get(chosen, float("nan"))
    sums["flops"] += count * flops
    context.say(
        f"{shape.direction} {hops:5} hops, {rows:8} rows of {shape.columns:5} columns, {shape.taps} x {shape.depth:5}: "
        f"{best:8} {times[best]:8.4f} ms {flops / times[best] / 1e9:5.1f} TFLOP/s, chosen {chosen:8} "
        f"{times.get(chosen, float('nan')):8.4f} | "
        + " ".join(f"{name} {flops / ms / 1e9:.1f}" for name, ms in sorted(times.items(), key=lambda pair: pair[1])),
        hops=hops, count=count, best=best, chosen=chosen, ms=times, **dataclasses.asdict(shape),
    )  # fmt: skip


def _time(device: Watched, launch: Launch, flops: float) -> float:
    times = 20 if flops < 1e9 else 4 if flops < 2e10 else 1
    recording = device.device.record([launch] * times)
    recording.run()
    return milliseconds(device, recording, 2) / times
