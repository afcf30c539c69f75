"""cuda.core and its bindings, as far as gpu.py and compile.py use them, on a GPU that is none.

Knows: which calls there are, and what they return. Does not know: what they do (fake_card.py).
"""

from __future__ import annotations

import ctypes
import sys
import types
from typing import Any

import pytest

from .fake_card import CONTEXT, STREAM, Card, CUresult, LaunchConfig, Node, ObjectCode


def install(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    """Put the fake modules where imports find them, for the length of a test."""
    modules = {"cuda": types.ModuleType("cuda"), "cuda.core": _core(card), "cuda.core.graph": types.ModuleType("graph"),
               "cuda.core.utils": _utils(card), "cuda.bindings": types.ModuleType("bindings"),
               "cuda.bindings.driver": _driver(card), "cuda.bindings.nvrtc": _nvrtc(card)}  # fmt: skip
    modules["cuda.core.graph"].GraphDefinition = lambda: Node(card)  # type: ignore[attr-defined]
    for name, module in modules.items():
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
        monkeypatch.setitem(sys.modules, name, module)


def _core(card: Card) -> Any:
    core: Any = types.ModuleType("cuda.core")

    class Device:
        def __init__(self, number: int) -> None:
            assert 0 <= number < card.count
            self.name, self.compute_capability = card.name, card.capability
            self.properties = types.SimpleNamespace(
                multiprocessor_count=card.multiprocessors, max_shared_memory_per_block_optin=card.shared_memory
            )

        def set_current(self) -> None:
            card.stack[-1] = CONTEXT

        def create_stream(self) -> Any:
            assert card.stack
            return types.SimpleNamespace(handle=STREAM)

    class Program:
        def __init__(self, code: str, kind: str, options: Any) -> None:
            assert kind == "c++"
            self._options = options

        def compile(self, target: str, logs: Any = None) -> ObjectCode:
            assert target == "cubin"
            (macro,) = self._options.define_macro
            card.compiled.append(f"{macro} {self._options.arch}")
            return ObjectCode(card, b"cubin " + macro.encode())

    core.Device, core.Program, core.LaunchConfig = Device, Program, LaunchConfig
    core.ProgramOptions = lambda **options: types.SimpleNamespace(**options)
    core.ObjectCode = types.SimpleNamespace(from_cubin=lambda code, name: ObjectCode(card, code))
    return core


def _utils(card: Card) -> Any:
    utils: Any = types.ModuleType("cuda.core.utils")
    utils.make_program_cache_key = lambda **parts: repr((parts["options"], parts["extra_digest"])).encode()
    utils.FileStreamProgramCache = lambda max_size_bytes: card.cached
    return utils


def _nvrtc(card: Card) -> Any:
    nvrtc: Any = types.ModuleType("cuda.bindings.nvrtc")
    nvrtc.nvrtcVersion = lambda: (0, *card.nvrtc)
    nvrtc.nvrtcGetSupportedArchs = lambda: (0, list(card.architectures))
    return nvrtc


def _driver(card: Card) -> Any:
    driver: Any = types.ModuleType("cuda.bindings.driver")
    driver.CUfunction_attribute = types.SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8)
    driver.cuGetErrorName = lambda code: (0, CUresult(code).name.encode())
    driver.cuGetErrorString = lambda code: (0, b"as the driver words it")
    driver.cuDriverGetVersion = lambda: (CUresult.CUDA_SUCCESS, card.version)
    driver.cuInit = lambda flags: (card.results.get("cuInit", CUresult.CUDA_SUCCESS),)
    driver.cuDeviceGetCount = lambda: (CUresult.CUDA_SUCCESS, card.count)
    driver.cuDevicePrimaryCtxRetain = lambda number: (CUresult.CUDA_SUCCESS, CONTEXT)
    driver.cuCtxPushCurrent = lambda context: (card.stack.append(context), (CUresult.CUDA_SUCCESS,))[1]
    driver.cuCtxPopCurrent = lambda: (CUresult.CUDA_SUCCESS, card.stack.pop())
    driver.cuMemGetInfo = lambda: (card.asked("cuMemGetInfo"), card.free, 1 << 31)

    def allocated(call: str, size: int, where: dict[int, Any]) -> tuple[CUresult, int]:
        code = card.asked(call)
        if not code and size > card.free:
            code = CUresult.CUDA_ERROR_OUT_OF_MEMORY
        return code, 0 if code else card.allocate(size, where)

    def freed(call: str, address: int, where: dict[int, Any]) -> tuple[CUresult]:
        code = card.asked(call)
        card.finish()  # as the driver does
        del where[address]
        return (code,)

    def cleared(address: int, value: int, size: int, stream: int) -> tuple[CUresult]:
        assert card.has(address, size, card.alive)
        assert stream == STREAM
        ctypes.memset(address, value, size)
        return (card.asked("cuMemsetD8Async"),)

    def copied(call: str, to: int, source: int, size: int, there: int, stream: int) -> tuple[CUresult]:
        assert card.has(there, size, card.alive)
        assert stream == STREAM
        code = card.asked(call) or card.finish()
        if not code:
            card.copy(to, source, size)
        return (code,)

    def granted(attribute: int, size: int, kernel: str, number: int) -> tuple[CUresult]:
        assert attribute == 8
        assert 0 <= number < card.count
        card.granted[kernel] = size
        return (card.asked("cuKernelSetAttribute"),)

    driver.cuMemAlloc = lambda size: allocated("cuMemAlloc", size, card.alive)
    driver.cuMemHostAlloc = lambda size, flags: allocated("cuMemHostAlloc", size, card.pinned)
    driver.cuMemFree = lambda address: freed("cuMemFree", address, card.alive)
    driver.cuMemFreeHost = lambda address: freed("cuMemFreeHost", address, card.pinned)
    driver.cuMemsetD8Async = cleared
    driver.cuMemcpyHtoDAsync = lambda to, at, size, stream: copied("cuMemcpyHtoDAsync", to, at, size, to, stream)
    driver.cuMemcpyDtoHAsync = lambda to, at, size, stream: copied("cuMemcpyDtoHAsync", to, at, size, at, stream)
    driver.cuStreamSynchronize = lambda stream: (card.asked("cuStreamSynchronize") or card.finish(),)
    driver.cuKernelSetAttribute = granted
    driver.cuEventCreate = lambda flags: (card.asked("cuEventCreate"), 1)
    driver.cuEventRecord = lambda event, stream: (card.asked("cuEventRecord"),)
    driver.cuEventElapsedTime = lambda begin, end: (card.asked("cuEventElapsedTime"), 6.0)
    driver.cuEventDestroy = lambda event: (card.asked("cuEventDestroy"),)
    return driver
