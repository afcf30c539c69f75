"""A device of the CUDA engine on the CPU: the engine's own kernels, compiled by g++, each thread a fibre.

Knows: the seam (streamrvq/engine/cuda/device.py), and how to compile. Does not know: what is launched. An address is
one of this process, so a wrong one is a crash, as it is on a card.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamrvq.engine.cuda.device import Bytes, Download, Launch, Memory, Recording, Upload, Work
from tests.support.paths import ROOT

KERNELS = ROOT / "streamrvq" / "engine" / "cuda" / "kernels"
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "cuda-emulator"
#: No contraction, and none of the fortified jumps, which take a change of fibre for a broken stack.
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-Wall", "-Wextra",
         "-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0"]  # fmt: skip
if platform.machine() == "x86_64":
    FLAGS += ["-mfma", "-mavx2"]


def missing() -> str:
    """Why there can be no emulator here; empty: there can."""
    if shutil.which("g++") is None:
        return "there is no g++ to compile the kernels for the CPU"
    if platform.machine() == "x86_64" and "fma" not in Path("/proc/cpuinfo").read_text():
        return "this processor has no fused multiply-add"
    return ""


@cache
def library(kernels: Path = KERNELS) -> ctypes.CDLL:
    """The kernels of a folder, compiled once for the same sources."""
    sources = sorted([*kernels.iterdir(), *HERE.glob("*.[ch]pp")])
    digest = hashlib.sha256(repr(FLAGS).encode())
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    built = BUILD / f"{digest.hexdigest()[:16]}.so"
    if not built.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        fresh = BUILD / f"{built.stem}.{os.getpid()}"  # several processes of tests may begin at once
        command = ["g++", *FLAGS, "-I", str(kernels), "-I", str(HERE), "-o", str(fresh), str(HERE / "emulator.cpp")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        fresh.replace(built)
    loaded = ctypes.PyDLL(str(built))  # keeps the GIL: there is one set of fibres
    loaded.emulate.argtypes = [ctypes.c_char_p, *[ctypes.c_uint] * 3, ctypes.c_size_t, ctypes.c_void_p]
    loaded.emulate_size.argtypes, loaded.emulate_size.restype = [ctypes.c_char_p], ctypes.c_size_t
    loaded.emulate_tanh.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    loaded.emulate_snake.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_float] * 3]
    return loaded


@cache
def emulated_device() -> EmulatedDevice:
    """One for all."""
    return EmulatedDevice()


class EmulatedMemory:
    """Memory of this process that begins at a multiple of 256."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = np.zeros(size + 256, np.uint8)
        self.address = -(-self._bytes.ctypes.data // 256) * 256


class EmulatedRecording:
    """Work that is done when the device comes to it."""

    def __init__(self, device: EmulatedDevice, work: Sequence[Work]) -> None:
        self._device, self.work = device, list(work)

    def run(self) -> None:
        self._device.queue.append(self)


class EmulatedDevice:
    """A device on the CPU. What is asked for is done when somebody waits for it, as late as it may be.

    Args:
        early: carry out asynchronous copies at once; ``downward``: threads from the last to the first (emulate.hpp).
        free: bytes of memory that the device pretends to have.
        multiprocessors: how many it pretends to have: few, and steps take large tiles.
    """

    name = "emulated on the CPU"

    def __init__(
        self, *, early: bool = False, downward: bool = False, free: int = 1 << 30, multiprocessors: int = 2,
        kernels: Path = KERNELS,
    ) -> None:  # fmt: skip
        self.library, self._order = library(kernels), (early, downward)
        self.free_memory, self.multiprocessors = free, multiprocessors
        self.queue: list[EmulatedRecording] = []
        self.launched: list[str] = []  #: names of kernels, of all steps

    def memory(self, size: int) -> Memory:
        return EmulatedMemory(size)

    def host_memory(self, size: int) -> Bytes:
        return np.zeros(size, np.uint8)

    def put(self, address: int, values: npt.NDArray[Any]) -> None:
        self.synchronize()
        values = np.ascontiguousarray(values)
        ctypes.memmove(address, values.ctypes.data, values.nbytes)

    def get(self, values: npt.NDArray[Any], address: int) -> None:
        self.synchronize()
        ctypes.memmove(values.ctypes.data, address, values.nbytes)

    def record(self, work: Sequence[Work]) -> Recording:
        return EmulatedRecording(self, work)

    def synchronize(self) -> None:
        while self.queue:
            for item in self.queue.pop(0).work:
                self._do(item)

    def _do(self, item: Work) -> None:
        if isinstance(item, Upload):
            ctypes.memmove(item.address, item.host.ctypes.data, item.host.nbytes)
        elif isinstance(item, Download):
            ctypes.memmove(item.host.ctypes.data, item.address, item.host.nbytes)
        else:
            self._launch(item)

    def _launch(self, item: Launch) -> None:
        assert item.shared <= 99 << 10, item
        assert max(item.grid[1:]) < 1 << 16, item
        assert item.grid[2] == 1 and min(item.grid) > 0 and item.threads % 32 == 0, item
        self.launched.append(item.kernel)
        self.library.emulate_order(*self._order)
        x, y, _ = item.grid
        missing = self.library.emulate(item.kernel.encode(), x, y, item.threads, item.shared, item.parameters)
        assert not missing, f"there is no kernel {item.kernel}"
