"""What this machine can do, measured: float32 arithmetic and reading memory, on as many threads as the engine uses.

Knows: for the native engine, its own loops of nothing but fused multiply-adds and nothing but loads; for torch, two of
its kernels that come near the limits: there the peak is *what a library's matrix product reaches* on large squares.
The bandwidth is that of summing an array that no cache holds. Does not know: codecs.
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


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a machine reaches.

    Attributes:
        threads: measured with.
        gflops: 10⁹ float32 operations a second; a multiply-accumulate is two.
        gbytes: 10⁹ bytes read a second.
        fed_gflops: as gflops, of numbers that come from a core's first cache, as a convolution's do. Where power bounds
            the clock, loading lowers it, and this is what a convolution can reach at most. None: not measured.
    """

    threads: int
    gflops: float
    gbytes: float
    fed_gflops: float | None = None


def measure_for(engine: Engine) -> Machine:
    """Measure with an engine's threads, by its own instructions where it has any."""
    if isinstance(engine, NativeEngine):
        gflops, fed, gbytes = engine.core.machine()
        return Machine(engine.threads, gflops, gbytes, fed)
    return measure_machine(engine.threads)


def measure_machine(threads: int, repeats: int = 5) -> Machine:
    """Measure with ``threads`` threads of torch; the setting it had is put back. It takes a second or two."""
    import torch  # only where it is needed: importing streamrvq must not load it

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
    """Seconds of the fastest of ``repeats`` runs, after one that counts not: what the machine can do, undisturbed."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
