"""The limits of this machine, measured: float32 arithmetic and reading memory, with as many threads as the engine.

For the native engine its own loops are measured: one of fused multiply-adds only, and one of loads only. For torch two
of its kernels are measured that come close to the limits: the product of large square matrices, and the sum of an array
that fits in no cache.

Knows: how these are timed. Does not know: codecs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from ..engine.base import Engine
from ..engine.native import NativeEngine

#: Sides of the squares that are multiplied, and bytes of the array that is read: 8 times a large last-level cache.
SIDES = (1024, 2048)
READ_BYTES = 256 << 20
SECONDS = 1.5  #: that the native engine's loops are measured for


@dataclasses.dataclass(frozen=True)
class Machine:
    """The measured limits of a machine.

    Attributes:
        threads: how many were used.
        gflops: 10⁹ float32 operations per second. A multiply-accumulate is two.
        gbytes: 10⁹ bytes read per second.
        fed_gflops: like gflops, for numbers from a core's first-level cache, as in a convolution. If power limits the
            clock, loads lower it, and this is the most that a convolution can reach. None: not measured.
    """

    threads: int
    gflops: float
    gbytes: float
    fed_gflops: float | None = None


def measure_for(engine: Engine) -> Machine | None:
    """Measure with an engine's threads, and with its own instructions if it has any. None: it is not on the CPU."""
    if not on_the_cpu(engine):
        return None
    if isinstance(engine, NativeEngine):
        gflops, load_gflops, gbytes = engine.core.machine(SECONDS)
        return Machine(engine.threads, gflops, gbytes, load_gflops)
    return measure_machine(engine.threads)


def on_the_cpu(engine: Engine) -> bool:
    """Whether an engine computes on the CPU."""
    return engine.name in ("native", "torch")


def measure_machine(threads: int, repeats: int = 5) -> Machine:
    """Measure with ``threads`` threads of torch, and then restore torch's setting. It takes a second or two."""
    import torch  # imported here: importing streamrvq must not load it

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            gflops = 0.0
            for side in SIDES:
                a, b, c = torch.rand(side, side), torch.rand(side, side), torch.empty(side, side)
                seconds = _best(lambda a=a, b=b, c=c: torch.mm(a, b, out=c), repeats)  # type: ignore[misc]
                gflops = max(gflops, 2 * side**3 / seconds / 1e9)
            array = torch.ones(READ_BYTES // 4)
            gbytes = READ_BYTES / _best(array.sum, repeats) / 1e9
    finally:
        torch.set_num_threads(before)
    return Machine(threads, gflops, gbytes)


def _best(run: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of ``repeats`` runs, after a warm-up run."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
