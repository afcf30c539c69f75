"""Twenty seconds on a GPU: what gpu.py takes for granted of cuda.core and of the driver, tried with tiny kernels.

    python -m tools.gpu_check.probe

Each line says what was tried, and whether it held. The exit status is the number of lines that did not. The last lines
make a kernel fail, so the process is of no further use.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamrvq.engine.cuda.compile import PARTS
from streamrvq.engine.cuda.device import Download, Launch, Memory, Upload, Work
from streamrvq.engine.cuda.gpu import Gpu
from streamrvq.errors import EngineError

from .context import Context

SOURCE = r"""
#include "probe.cuh"
#if !defined(ONLY_OTHERS) && !defined(ONLY_LARGE_TILES)
extern "C" __global__ void scale(const Parameters *p) {  // y = fma(x, factor, 1), by way of the end of shared memory
    extern __shared__ float shared[];
    const int i = blockIdx.x * blockDim.x + threadIdx.x, n = p->count, last = p->shared / 4 - 1 - threadIdx.x;
    auto scaled = [&](float x) { return __fmaf_rn(x, p->factor, 1.0f); };
    shared[last] = i < n ? p->x[i] : 0.0f;
    __syncthreads();
    if (i < n) p->y[i] = scaled(shared[last]);
}
#endif
#if !defined(ONLY_LARGE_TILES) && !defined(ONLY_SMALL_TILES)
extern "C" __global__ void wrong(const Parameters *p) { *reinterpret_cast<float *>(8) = p->factor; }
extern "C" __global__ void slow(const Parameters *p) {
    const long long begin = clock64();
    while (clock64() - begin < 200000000ll) {}
    p->y[0] = 5.0f;
}
#endif
"""
HEADER = "struct Parameters { const float *x; float *y; int count, shared; float factor; };\n"
COUNT, SHARED = 10000, 100 << 10
Floats = npt.NDArray[np.float32]


class Probe:
    """A GPU, two arrays on it, and how many of the claims about it did not hold."""

    def __init__(self, folder: Path) -> None:
        self.wrong, self.folder = 0, folder
        (folder / "kernels.cu").write_text(SOURCE)
        (folder / "probe.cuh").write_text(HEADER)
        begin = time.perf_counter()
        self.gpu = gpu = Gpu("cuda", folder=folder)
        self.tried(
            "opened", True, f"{gpu.name}, {gpu.capability}, {gpu.multiprocessors} multiprocessors, "
            f"{gpu.shared_memory} bytes of shared memory, {gpu.free_memory / 1e9:.1f} GB free, NVRTC and all "
            f"{time.perf_counter() - begin:.2f} s",
        )  # fmt: skip
        self.x, self.y, self.parameters = gpu.memory(COUNT * 4), gpu.memory(COUNT * 4), gpu.memory(64)
        self.x_host, self.y_host = gpu.host_memory(COUNT * 4), gpu.host_memory(COUNT * 4)
        self.scale = self.launch("scale", (COUNT + 255) // 256, 256, SHARED)
        self.step: list[Work] = [Upload(self.x.address, self.x_host), self.scale, Download(self.y_host, self.y.address)]

    def tried(self, what: str, held: bool, more: str = "") -> None:
        self.wrong += not held
        print(f"{'ok   ' if held else 'WRONG'} {what}{': ' if more else ''}{more}", flush=True)

    def launch(self, kernel: str, blocks: int, threads: int, shared: int) -> Launch:
        return Launch(kernel, (blocks, 1, 1), threads, shared, self.parameters.address)

    def cache(self) -> None:
        """A second start reads the cache, and one with a damaged file compiles."""
        files = [path for path in Path(os.environ["XDG_CACHE_HOME"]).rglob("*") if path.is_file()]
        begin = time.perf_counter()
        Gpu("cuda:0", folder=self.folder)
        self.tried("opened again, from the cache", len(files) == len(PARTS), f"{time.perf_counter() - begin:.2f} s")
        for path in files:
            path.write_bytes(b"damaged")
        Gpu("cuda:0", folder=self.folder)
        self.tried("a damaged file of the cache is compiled anew", True)

    def copies(self) -> None:
        gpu, back = self.gpu, np.full(COUNT, 7, np.float32)
        gpu.get(back, self.x.address)
        self.tried("memory is zero and aligned", not back.any() and self.x.address % 256 == 0, hex(self.x.address))
        values = np.arange(COUNT, dtype=np.float32).reshape(100, 100).T
        gpu.put(self.x.address, values)
        gpu.get(back, self.x.address)
        self.tried("put and get", np.array_equal(back, values.ravel()))
        self.tried("host memory is zero", not self.x_host.any() and self.x_host.size == COUNT * 4)
        host, card = gpu.host_memory(64 << 20), gpu.memory(64 << 20)
        up, down = gpu.record([Upload(card.address, host)]), gpu.record([Download(host, card.address)])
        speeds = [(64 << 20) / gpu.milliseconds(one, 5) / 1e6 for one in (up, down)]
        self.tried("copies of 64 MB", True, "up {:.1f}, down {:.1f} GB/s".format(*speeds))
        before = gpu.free_memory
        block: Memory | None = gpu.memory(1 << 30)
        during = gpu.free_memory
        block = None
        held = before - during >= 1 << 30 and gpu.free_memory >= before - (8 << 20) and block is None
        self.tried("memory comes back", held, f"{before - during} bytes taken, {before - gpu.free_memory} left taken")

    def recordings(self) -> None:
        gpu, step, times, same = self.gpu, self.gpu.record(self.step), [], True
        raw = np.zeros(32, np.uint8)
        raw[:16].view(np.uint64)[:] = self.x.address, self.y.address
        raw[16:24].view(np.int32)[:] = COUNT, SHARED
        raw[24:28].view(np.float32)[:] = 1.5
        gpu.put(self.parameters.address, raw)
        for i in range(300):
            x: Floats = (np.arange(COUNT) * 0.25 + i).astype(np.float32)
            self.x_host.view(np.float32)[:] = x
            begin = time.perf_counter()
            step.run()
            gpu.synchronize()
            times.append(time.perf_counter() - begin)
            same &= np.array_equal(self.y_host.view(np.float32), x * np.float32(1.5) + np.float32(1))  # exact here
        middle, late = np.percentile(times, (50, 99)) * 1e6
        self.tried("upload, launch, download, 300 times", same, f"p50 {middle:.0f} us, p99 {late:.0f} us")
        part = gpu.record(
            [Upload(self.x.address, self.x_host[4000:8000]), self.scale, Download(self.y_host[:20], self.y.address)]
        )
        self.y_host[...] = 0
        self.x_host.view(np.float32)[1000:2000] = 3
        part.run()
        gpu.synchronize()
        held = bool((self.y_host[:20].view(np.float32) == 5.5).all()) and not self.y_host[20:].any()
        self.tried("parts of host memory", held)
        each = gpu.milliseconds(gpu.record([self.scale] * 150), 20) / 150
        self.tried("150 launches in a recording", True, f"{each * 1e3:.2f} us each")

    def threads(self) -> None:
        gpu = self.gpu
        slow = gpu.record([self.launch("slow", 1, 1, 0), Download(self.y_host[:4], self.y.address)])
        ticks: list[float] = []

        def tick() -> None:
            for _ in range(20):
                ticks.append(time.perf_counter())
                time.sleep(0.001)

        other = threading.Thread(target=tick)
        begin = time.perf_counter()
        slow.run()
        asked = time.perf_counter() - begin
        other.start()
        gpu.synchronize()
        end = time.perf_counter()
        other.join()
        meanwhile = sum(tick < end for tick in ticks)
        held = asked < 0.01 < end - begin and meanwhile > 5 and self.y_host[:4].view(np.float32)[0] == 5
        self.tried(
            "run() returns at once, and waiting lets others go on", bool(held), f"{asked * 1e6:.0f} us, {meanwhile}"
        )
        done: list[int] = []

        def all_calls() -> None:
            gpu.record(self.step).run()
            gpu.synchronize()
            memory = gpu.memory(COUNT * 4)  # named, or it would be given back before the copy
            gpu.get(np.zeros(COUNT, np.float32), memory.address)
            done.append(gpu.free_memory)

        thread = threading.Thread(target=all_calls)
        thread.start()
        thread.join()
        self.tried("another thread", len(done) == 1)

    def refusals(self) -> None:
        gpu = self.gpu
        calls: dict[str, Callable[[], object]] = {
            "too much memory": lambda: gpu.memory(1 << 41),
            "too much shared memory": lambda: gpu.record([self.launch("scale", 1, 256, 300 << 10)]),
            "an unknown kernel": lambda: gpu.record([self.launch("nothing", 1, 256, 0)]),
            "too many threads": lambda: gpu.record([self.launch("scale", 1, 2048, 0)]),
            "host memory of others": lambda: gpu.record([Upload(self.x.address, np.zeros(8, np.uint8))]),
            "no such GPU": lambda: Gpu("cuda:77"),
            "no such device": lambda: Gpu("gpu"),
        }
        for what, call in calls.items():
            text = refusal(call)
            self.tried(f"refused {what}", bool(text), text)
        gpu.record(self.step).run()
        gpu.synchronize()
        self.tried("works as before", bool((self.y_host.view(np.float32)[1000:2000] == 5.5).all()))
        gpu.record([self.launch("wrong", 1, 1, 0)]).run()
        for what, call in {"a kernel failed": gpu.synchronize, "told again": lambda: gpu.memory(8)}.items():
            text = refusal(call)
            self.tried(what, bool(text), text)


def refusal(call: Callable[[], object]) -> str:
    """The sentence that a call was refused with, or "" if it was not."""
    try:
        call()
    except EngineError as error:
        return str(error)
    return ""


def part(context: Context) -> None:
    """The same as a part of the check."""
    context.result["wrong"] = main()


def main() -> int:
    """Try everything, and give how much did not hold."""
    wrong = 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folders = [Path(scratch, name) for name in ("cache", "files")]
        for folder in folders:
            folder.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(folders[0])
        try:
            probe = Probe(folders[1])
            for part in (probe.cache, probe.copies, probe.recordings, probe.threads, probe.refusals):
                try:
                    part()
                except Exception:
                    traceback.print_exc()
                    wrong += 1
            wrong += probe.wrong
        except Exception:
            traceback.print_exc()
            wrong += 1
    print(f"{wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
