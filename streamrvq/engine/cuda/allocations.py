"""Memory of a GPU and pinned memory of the host, each given back with the last reference to it.

Knows: addresses, and how the driver takes memory back. Does not know: what lies in it, or who asks for it (gpu.py).
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from ...errors import EngineError
from .device import Bytes
from .driver import Context, Cuda


class CardMemory:
    """An allocation of the GPU, freed with the last reference to it."""

    def __init__(self, cuda: Cuda, context: Context, address: int, size: int) -> None:
        self.address, self.size = address, size
        weakref.finalize(self, _free, cuda.driver.cuMemFree, context, address).atexit = False


class PinnedMemory:
    """Pinned memory of the host, in numpy's array interface: arrays that are made of it keep it."""

    def __init__(self, cuda: Cuda, context: Context, address: int, size: int) -> None:
        self.address = address
        self.__array_interface__ = {"version": 3, "typestr": "|u1", "shape": (size,), "data": (address, False)}
        weakref.finalize(self, _free, cuda.driver.cuMemFreeHost, context, address).atexit = False


def _free(call: Any, context: Context, address: int) -> None:
    """Give memory back; in a forked process it is not there. Nobody could act on an error here."""
    if context.of_this_process:
        with context:
            call(address)


def pinned_address(array: Bytes) -> int:
    """Where an array lies, if that is in memory that `Gpu.host_memory` gave."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, PinnedMemory) or not array.flags.c_contiguous:
        raise EngineError("a recording copies between the GPU and memory from host_memory, C-contiguous; got another")
    return int(array.ctypes.data)
