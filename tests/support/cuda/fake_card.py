"""A GPU that is none: memory, graphs, kernels, and work that is done when somebody waits for it.

Knows: what a driver would refuse, such as a call without a current context or an address that nobody allocated; it
fails here. Does not know: how cuda.core words its calls (fake_core.py), and kernels; a test gives functions for them.
"""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

CONTEXT, STREAM = 0x1000, 0x2000


class CUresult(enum.IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_OUT_OF_MEMORY = 2
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_CONTEXT = 201
    CUDA_ERROR_NOT_FOUND = 500
    CUDA_ERROR_ILLEGAL_ADDRESS = 700


class CUDAError(Exception):
    """As cuda.core raises it: a line, and a page of explanations."""

    def __init__(self, code: CUresult) -> None:
        super().__init__(f"{code.name}: what it means\n    and much more of it")


@dataclasses.dataclass
class Card:
    """What stands for the driver, the GPU and NVRTC; tests change it, and look at what was asked.

    Attributes:
        results: call of the driver → what it returns instead of success.
        kernels: by name: what each does with the address of its parameters.
        calls: what was asked, in order.
    """

    version: int = 13000
    count: int = 2
    capability: tuple[int, int] = (9, 0)
    name: str = "Fake H100"
    multiprocessors: int = 132
    shared_memory: int = 232448
    free: int = 1 << 30
    nvrtc: tuple[int, int] = (13, 0)
    architectures: tuple[int, ...] = (75, 80, 86, 89, 90, 100, 120)
    results: dict[str, CUresult] = dataclasses.field(default_factory=dict)
    kernels: dict[str, Callable[[int], None]] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    compiled: list[str] = dataclasses.field(default_factory=list)
    granted: dict[str, int] = dataclasses.field(default_factory=dict)
    alive: dict[int, Any] = dataclasses.field(default_factory=dict)  #: allocations: address → bytes
    pinned: dict[int, Any] = dataclasses.field(default_factory=dict)
    cached: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    graphs: int = 0  #: that were not destroyed
    broken: CUresult = CUresult.CUDA_SUCCESS  #: after a kernel failed

    def __post_init__(self) -> None:
        self._queue: list[Graph] = []
        self._stack = threading.local()

    # The current context of a thread.

    @property
    def stack(self) -> list[int]:
        if not hasattr(self._stack, "contexts"):
            self._stack.contexts = []
        return self._stack.contexts

    def asked(self, call: str) -> CUresult:
        """Note a call that needs a context, and say how it ends."""
        self.calls.append(call)
        if not self.stack:
            return CUresult.CUDA_ERROR_INVALID_CONTEXT
        return self.results.get(call, self.broken)

    # Memory.

    def allocate(self, size: int, where: dict[int, Any]) -> int:
        block = np.full(size + 256, 0xFF, np.uint8)
        address = -(-block.ctypes.data // 256) * 256
        where[address] = block
        return address

    def has(self, address: int, size: int, where: dict[int, Any]) -> bool:
        return any(at <= address and address + size <= at + len(block) - 256 for at, block in where.items())

    def copy(self, to: int, source: int, size: int) -> None:
        ctypes.memmove(to, source, size)

    # Work.

    def finish(self) -> CUresult:
        """Do all that was asked for."""
        while self._queue and not self.broken:
            for node in self._queue.pop(0).nodes:
                node()
        return self.broken

    def launch(self, graph: Graph) -> None:
        if self.asked("graph.launch"):
            raise CUDAError(self.broken or CUresult.CUDA_ERROR_INVALID_CONTEXT)
        self._queue.append(graph)


class Graph:
    def __init__(self, card: Card, nodes: list[Callable[[], None]]) -> None:
        self.card, self.nodes = card, list(nodes)
        card.graphs += 1

    def upload(self, stream: Any) -> None:
        assert stream.handle == STREAM

    def launch(self, stream: Any) -> None:
        assert stream.handle == STREAM
        self.card.launch(self)

    def __del__(self) -> None:
        assert self not in self.card._queue, "a graph was destroyed at work"
        self.card.graphs -= 1


class Node:
    """The last node of a chain; the definition itself where there is none yet."""

    def __init__(self, card: Card, nodes: list[Callable[[], None]] | None = None) -> None:
        self._card, self._nodes = card, [] if nodes is None else nodes
        self._length = len(self._nodes)

    def _then(self, do: Callable[[], None]) -> Node:
        assert len(self._nodes) == self._length, "a branch: the nodes must be a chain"
        self._nodes.append(do)
        return Node(self._card, self._nodes)

    def launch(self, config: LaunchConfig, kernel: Kernel, parameters: int) -> Node:
        card = self._card
        if config.block > 1024:
            raise CUDAError(CUresult.CUDA_ERROR_INVALID_VALUE)
        assert config.shmem_size <= card.granted.get(kernel.name, 48 << 10)
        assert card.has(parameters, 1, card.alive)
        return self._then(lambda: card.kernels[kernel.name](parameters))

    def memcpy(self, to: int, source: int, size: int) -> Node:
        card = self._card
        up = card.has(to, size, card.alive) and card.has(source, size, card.pinned)
        down = card.has(to, size, card.pinned) and card.has(source, size, card.alive)
        assert up or down
        return self._then(lambda: card.copy(to, source, size))

    def instantiate(self) -> Graph:
        return Graph(self._card, self._nodes)


@dataclasses.dataclass
class LaunchConfig:
    grid: tuple[int, int, int]
    block: int
    shmem_size: int = 0


@dataclasses.dataclass
class Kernel:
    name: str

    @property
    def handle(self) -> str:
        return self.name


class ObjectCode:
    """The "cubin" is the macro of its part, and names its kernels after a colon."""

    def __init__(self, card: Card, code: bytes) -> None:
        self._card, self.code = card, code

    @property
    def handle(self) -> int:
        if not self.code.startswith(b"cubin"):
            raise CUDAError(CUresult.CUDA_ERROR_INVALID_VALUE)
        return 1

    def get_kernel(self, name: str) -> Kernel:
        if name not in self._card.kernels or (b"OTHERS" in self.code) != name.startswith("other"):
            raise CUDAError(CUresult.CUDA_ERROR_NOT_FOUND)
        return Kernel(name)
