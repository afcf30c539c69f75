"""The CUDA engine: the native engine's bits on a GPU. README.md beside this file introduces it.

engine.py keeps the contract; device.py is what it asks of a GPU, and gpu.py the GPU.
"""

from __future__ import annotations

from .device import Device
from .engine import CudaEngine

__all__ = ["CudaEngine", "check_device", "open_device"]


def check_device(name: str) -> None:
    """Refuse a GPU that is not there with `EngineError`, without opening it."""
    from .driver import find_gpu

    find_gpu(name)


def open_device(name: str) -> Device:
    """The GPU called ``"cuda"`` (the first), or ``"cuda:N"``.

    Raises:
        EngineError: there is none, or something of what it takes is missing or too old. The message says what to do.
    """
    from .gpu import Gpu  # here, for it loads NVIDIA's libraries

    return Gpu(name)
