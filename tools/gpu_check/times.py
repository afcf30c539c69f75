"""Times of whole steps, and of each kernel within one.

Knows: the engine contract, and recordings. Does not know: bits. A time is of the whole call, numpy in and out. The
card's own time of the same recording stands beside it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from ctypes import sizeof
from typing import Any

import numpy as np

from streamrvq.config import CodecConfig
from streamrvq.engine.cuda.device import Launch, Recording
from streamrvq.engine.cuda.engine import CudaEngine
from streamrvq.engine.cuda.structs import Conv
from streamrvq.errors import EngineError
from streamrvq.geometry import Direction

from .cases import CODECS, Case, Codec, Streams
from .context import Context, Watched

STREAMS = (1, 8, 64, 128, 256, 512)
DIRECTIONS: tuple[Direction, ...] = ("encode", "decode")


class Steps:
    """Steps of one shape, all levels, no latents, of streams in the middle of their signals."""

    def __init__(self, engine: CudaEngine, codec: Codec, direction: Direction, rows: int, hops: int) -> None:
        self.engine, self.config, self.rows, self.hops = engine, codec.config, rows, hops
        streams = Streams(Case(codec, direction, rows, hops, 1))
        streams.levels = codec.config.n_codebooks
        self._encodes, self._inputs = direction == "encode", streams.inputs()
        self._states, self._slots = engine.new_states(rows, direction), np.arange(rows)
        self._clock, self._length = np.zeros(rows, np.int64), np.full(rows, -1, np.int64)
        first = self._states.plan.first
        for slot in range(rows if first > hops else 0):  # no signal can begin with so short a step
            engine.import_state(self._states, slot, engine.export_state(self._states, slot), first)
            self._clock[slot] = first

    def step(self) -> float:
        """Seconds that one took."""
        where = self._states, self._slots, self._clock, self._length
        begin = time.perf_counter()
        if self._encodes:
            self.engine.encode_step(self._inputs, *where, self.config.n_codebooks)
        else:
            self.engine.decode_step(self._inputs, *where)
        end = time.perf_counter()
        self._clock = self._clock + self.hops
        return end - begin

    def times(self, steps: int, seconds: float) -> np.ndarray[Any, Any]:
        """Of ``steps`` steps at least, for ``seconds`` at least, after three that only warm up."""
        for _ in range(3):
            self.step()
        found, begin = list[float](), time.monotonic()
        while len(found) < steps or time.monotonic() - begin < seconds:
            found.append(self.step())
        return np.array(found)

    def real_time(self, seconds: float) -> float:
        """How many seconds of audio there are in one second."""
        return self.rows * self.hops * self.config.hop_length / self.config.sample_rate / seconds


def live(context: Context) -> None:
    """p50 and p99 of steps of one hop."""
    device = Watched(context.open())
    for codec in context.codecs([CODECS["dac-44khz"]]):
        engine, hop = context.engine(codec, device), 1e3 * codec.config.hop_length / codec.config.sample_rate
        for rows in STREAMS:
            for direction in DIRECTIONS:
                if context.left < 5:
                    context.say(f"no time left for {rows} streams", left_out=f"{direction} {rows}")
                    continue
                steps = Steps(engine, codec, direction, rows, 1)
                taken = 1e3 * steps.times(200, 0.5)
                p50, p99 = np.percentile(taken, (50, 99))
                card = on_gpu(device, 20)
                context.say(
                    f"{codec.name} {direction} {rows:4} streams: p50 {p50:7.3f} p99 {p99:7.3f} "
                    f"most {taken.max():7.3f} ms of {hop:.1f} ms ({len(taken)} steps); on the GPU {card:7.3f} ms",
                    codec=codec.name, direction=direction, streams=rows, p50_ms=p50, p99_ms=p99, most_ms=taken.max(),
                    steps=len(taken), hop_ms=hop, card_ms=card,
                )  # fmt: skip


def bulk(context: Context) -> None:
    """Audio a second in large steps."""
    device = Watched(context.open())
    for codec in context.codecs([CODECS["dac-44khz"], CODECS["causal-44khz"]]):
        engine = context.engine(codec, device)
        most = engine.row_hops
        context.say(f"{codec.name}: likes {most} rows x hops", codec=codec.name, row_hops=most)
        shapes = [(64, 8), (max(1, most // 32), 32), (max(1, most // 8), 8), (8, max(1, most // 8))]
        if isinstance(codec.config, CodecConfig) and codec.config.stem > 1:
            shapes.append((most // 8, 32))
        for rows, hops in dict.fromkeys(shapes):
            for direction in DIRECTIONS:
                if context.left < 5:
                    context.say(f"no time left for {rows}x{hops}", left_out=f"{codec.name} {direction} {rows}x{hops}")
                    continue
                try:
                    steps = Steps(engine, codec, direction, rows, hops)
                    taken = float(np.median(steps.times(10, 0.7)))
                except EngineError as error:  # more than a GPU has memory for
                    context.say(f"{codec.name} {direction} {rows}x{hops}: {error}", left_out=str(error))
                    continue
                card = on_gpu(device, 5)
                context.say(
                    f"{codec.name} {direction} {rows:4} rows x {hops:4} hops: {1e3 * taken:8.2f} ms, "
                    f"{steps.real_time(taken):8.0f} x real time; on the GPU {card:8.2f} ms, "
                    f"{steps.real_time(card / 1e3):8.0f} x",
                    codec=codec.name, direction=direction, rows=rows, hops=hops, ms=1e3 * taken, card_ms=card,
                    real_time=steps.real_time(taken), card_real_time=steps.real_time(card / 1e3),
                )  # fmt: skip


def kernels(context: Context) -> None:
    """Where the time of a step goes: each of its kernels on its own, in the order of the step."""
    device = Watched(context.open())
    for codec in context.codecs([CODECS["dac-44khz"]]):
        engine = context.engine(codec, device)
        for rows, hops in ((1, 1), (64, 1), (512, 1), (64, 32)):
            for direction in DIRECTIONS:
                if context.left < 5:
                    context.say(f"no time left for {rows}x{hops}", left_out=f"{direction} {rows}x{hops}")
                    continue
                steps = Steps(engine, codec, direction, rows, hops)  # kept: what is timed moves its states
                steps.step()
                _of_each_kernel(context, device, f"{codec.name} {direction} {rows}x{hops}")


def _of_each_kernel(context: Context, device: Watched, what: str) -> None:
    whole = on_gpu(device, 10)
    work = device.work
    sums: defaultdict[str, float] = defaultdict(float)
    rows = []
    for item in work:
        name = item.kernel if isinstance(item, Launch) else type(item).__name__.lower()
        alone = device.device.record([item] * 5)
        alone.run()
        ms = milliseconds(device, alone, 3) / 5
        flops = operations(device, item) if isinstance(item, Launch) else 0.0
        sums[name] += ms
        grid = list(item.grid) if isinstance(item, Launch) else []
        rows.append({"kernel": name, "grid": grid, "ms": ms, "tflops": flops / ms / 1e9 if ms else 0.0})
    total = sum(sums.values())
    context.say(
        f"{what}: {whole:.3f} ms as a recording, {total:.3f} ms kernel by kernel", what=what, ms=whole, kernels=rows
    )
    for name, ms in sorted(sums.items(), key=lambda pair: -pair[1]):
        print(f"    {name:16} {ms:8.3f} ms {100 * ms / total:5.1f} %")
    if whole > 1:
        for row in rows:
            print(f"        {row['kernel']:16} {row['grid']!s:18} {row['ms']:8.4f} ms {row['tflops']:6.1f} TFLOP/s")


def operations(device: Watched, launch: Launch) -> float:
    """Of a convolution: a fused multiply-add is two. Of other kernels 0."""
    if not launch.kernel.startswith("conv_"):
        return 0.0
    raw = np.zeros(sizeof(Conv), np.uint8)
    device.get(raw, launch.parameters)
    conv = Conv.from_buffer_copy(raw.tobytes())
    return float(2 * conv.taps * conv.depth * conv.columns * conv.all)


def on_gpu(device: Watched, times: int) -> float:
    """Milliseconds of the step that was recorded last."""
    device.recording.run()
    return milliseconds(device, device.recording, times)


def milliseconds(device: Watched, recording: Recording, times: int) -> float:
    """On a GPU by its events; on the emulator by the clock."""
    if hasattr(device.device, "milliseconds"):
        return float(device.device.milliseconds(recording, times))
    begin: float = time.perf_counter()
    for _ in range(times):
        recording.run()
    device.device.synchronize()
    spent: float = time.perf_counter() - begin
    return 1e3 * spent / times
