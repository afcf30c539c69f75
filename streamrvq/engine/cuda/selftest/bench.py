"""What the tests of all kernels share: arrays on the device, one kernel run, its results compared bit by bit.

Knows: the device. Does not know: kernels.
"""

from __future__ import annotations

from ctypes import Structure
from typing import Any

import numpy as np

from .. import structs as s
from ..convolutions import snake_constants
from ..device import Device, Launch
from ..kept import Kept
from ..structs import as_bytes
from .plain import Array, numbers

STREAMS = 2


class Bench:
    """A device, and arrays on it as long as this object lives."""

    def __init__(self, device: Device) -> None:
        self._device, self._kept = device, Kept(device)
        self._put = self._kept.put

    def _run(self, kernel: str, grid: tuple[int, int], threads: int, shared: int, parameters: Structure) -> None:
        at = self._put(as_bytes([parameters]))
        self._device.record([Launch(kernel, (*grid, 1), threads, shared, at)]).run()

    def _same(self, address: int, wanted: Any, kind: Any = np.float32) -> bool:
        wanted = np.ascontiguousarray(wanted, kind)
        came = np.empty_like(wanted)
        self._device.get(came, address)
        return bool(came.tobytes() == wanted.tobytes())

    def _nothing(self, count: int) -> int:
        return self._put(np.full(count, -7, np.float32))

    def _snake(self, columns: int) -> tuple[s.Activated, tuple[Array, ...]]:
        constants = snake_constants(np.abs(numbers(columns, 5)) + np.float32(0.3))
        return s.Activated(*map(self._put, constants), kind=1), constants

    def _edge_arrays(self, low: list[int], high: list[int]) -> dict[str, int]:
        return {
            "low": self._put(np.array(low, np.int32)),
            "high": self._put(np.array(high, np.int32)),
            "cut": self._put(np.array([1], np.int32)),
        }
