"""What the CUDA engine asks of a device: memory, copies, kernels, and a recorded order of them.

Knows: addresses and bytes. Does not know: layers, streams, or who carries it out. `gpu.py` does it on a GPU, through
cuda.core; the tests do it on the CPU, with every thread of a block as a fibre.

All work of a device goes to one stream, in the order in which it is given. Every kernel takes one argument: the address
of its parameters in the device's memory (`structs.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Launch:
    """One kernel."""

    kernel: str  #: its name in kernels/kernels.cu
    grid: tuple[int, int, int]  #: blocks
    threads: int  #: of a block
    shared: int  #: bytes of dynamic shared memory of a block
    parameters: int  #: the address of its parameters, in the device's memory


@dataclasses.dataclass(frozen=True)
class Upload:
    """Bytes from the host to the device. ``host`` is memory that the device gave (`Device.host_memory`)."""

    address: int
    host: Bytes


@dataclasses.dataclass(frozen=True)
class Download:
    """Bytes from the device to the host."""

    host: Bytes
    address: int


Work = Launch | Upload | Download


class Memory(Protocol):
    """Memory of the device, given back when the last reference to it goes."""

    @property
    def address(self) -> int:
        """A multiple of 256."""

    @property
    def size(self) -> int:
        """Bytes."""


class Recording(Protocol):
    """Work in a fixed order, which can be asked for again and again at little cost (a CUDA graph)."""

    def run(self) -> None:
        """Ask for it. Returns at once: see `Device.synchronize`."""


class Device(Protocol):
    """A GPU, or what stands for one."""

    @property
    def name(self) -> str:
        """As the driver gives it, such as "NVIDIA H100 80GB HBM3"."""

    @property
    def multiprocessors(self) -> int: ...

    @property
    def free_memory(self) -> int:
        """Bytes that can be had at present."""

    def memory(self, size: int) -> Memory:
        """``size`` bytes, all zero.

        Raises:
            EngineError: there is not so much.
        """

    def host_memory(self, size: int) -> Bytes:
        """``size`` bytes of the host that the device reads and writes fast (pinned), all zero."""

    def put(self, address: int, values: npt.NDArray[Any]) -> None:
        """Copy an array of any kind to the device, and wait for that."""

    def get(self, values: npt.NDArray[Any], address: int) -> None:
        """Fill a C-contiguous array from the device: all that was asked for before has been done then."""

    def record(self, work: Sequence[Work]) -> Recording:
        """Prepare work that will be asked for more than once. Nothing is done yet."""

    def synchronize(self) -> None:
        """Wait for all that was asked for.

        Raises:
            EngineError: a kernel failed. The device cannot be used any more.
        """
