"""A device of the CUDA engine on the CPU: the engine's own kernels, compiled by g++, each thread a fibre.

Knows: the seam (streamrvq/engine/cuda/device.py), and how to compile. Does not know: what is launched. An address is
one of this process, so a wrong one is a crash, as it is on a GPU.
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
from tests.support.cuda.making import alone
from tests.support.paths import ROOT

KERNELS = ROOT / "streamrvq" / "engine" / "cuda" / "kernels"
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "cuda-emulator"
#: No contraction, and none of the fortified jumps, which take a change of fibre for a broken stack.
FLAGS = ["-std=c++20", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-Wall", "-Wextra",
         "-Wno-unknown-pragmas", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0"]  # fmt: skip
if platform.machine() == "x86_64":
    FLAGS += ["-mfma", "-mavx2"]


class Item(ctypes.Structure):
    """As emulator.cpp has it: a copy of bytes, or a kernel."""

    _fields_ = [
        ("kernel", ctypes.c_char_p), ("to", ctypes.c_void_p), ("from", ctypes.c_void_p), ("bytes", ctypes.c_size_t),
        ("x", ctypes.c_uint32), ("y", ctypes.c_uint32), ("threads", ctypes.c_uint32),
    ]  # fmt: skip


class Asked(ctypes.Structure):
    """A recording that was asked for."""

    _fields_ = [("items", ctypes.POINTER(Item)), ("count", ctypes.c_uint32), ("done", ctypes.c_uint32)]


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
    with alone(built) as mine:  # several processes of tests may begin at once
        if mine:
            fresh = BUILD / f"{built.stem}.{os.getpid()}"
            command = ["g++", *FLAGS, "-I", str(kernels), "-I", str(HERE), "-o", str(fresh), str(HERE / "emulator.cpp")]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            fresh.replace(built)
    loaded = ctypes.PyDLL(str(built))  # keeps the GIL: there is one set of fibres
    loaded.emulate.argtypes = [ctypes.POINTER(Asked)]
    loaded.emulate_size.argtypes, loaded.emulate_size.restype = [ctypes.c_char_p], ctypes.c_size_t
    loaded.emulate_tanh.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    loaded.emulate_activation.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
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
    """Work that is done when somebody waits for it."""

    def __init__(self, device: EmulatedDevice, work: Sequence[Work]) -> None:
        self._device, self._work = device, list(work)  # whose arrays the items point to
        self._items = (Item * len(self._work))(*map(_item, self._work))
        self._kernels = {item.kernel for item in self._work if isinstance(item, Launch)}

    def run(self) -> None:
        self._device.launched |= self._kernels
        asked = Asked(self._items, len(self._items), 0)
        self._device.queue.append(asked)


def _item(work: Work) -> Item:
    if isinstance(work, Upload):
        return Item(None, work.address, work.host.ctypes.data, work.host.nbytes)
    if isinstance(work, Download):
        return Item(None, work.host.ctypes.data, work.address, work.host.nbytes)
    x, y, z = work.grid
    assert z == 1, work
    assert x > 0, work
    assert 0 < y < 1 << 16, work
    assert work.threads % 32 == 0, work
    assert work.shared <= 99 << 10, work
    return Item(work.kernel.encode(), 0, work.parameters, work.shared, x, y, work.threads)


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
        self.queue: list[Asked] = []
        self.launched: set[str] = set()  #: names of kernels, of all steps

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
        """All of a recording is done by one call, as nothing stops a GPU that has begun."""
        self.library.emulate_order(*self._order)
        while self.queue:
            asked = self.queue[0]
            wrong = self.library.emulate(asked)
            assert not wrong, f"there is no kernel {asked.items[wrong - 1].kernel}"
            if self.queue[:1] == [asked]:
                self.queue.remove(asked)
