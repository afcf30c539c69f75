"""Arrays that stay on the device as long as an engine lives.

Knows: a device. Does not know: what the arrays are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .device import Device, Memory


class Kept:
    """Memory of a device that is given back with this object."""

    def __init__(self, device: Device) -> None:
        self._device, self._memories = device, list[Memory]()

    def put(self, values: npt.NDArray[Any]) -> int:
        """The address of a copy of an array. An empty one gets an address too."""
        values = np.ascontiguousarray(values)
        memory = self._device.memory(max(values.nbytes, 16))
        self._device.put(memory.address, values)
        self._memories.append(memory)
        return memory.address
