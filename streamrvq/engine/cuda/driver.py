"""cuda.core and the driver below it: imported when first asked for, and every refusal as a sentence.

Knows: the calls of `cuda.bindings.driver`, their error codes, and what a person does about the usual ones. Does not
know: memory, recordings, kernels (gpu.py).
"""

from __future__ import annotations

import os
import threading
from typing import Any

from ...errors import EngineError
from ...system.foreign_data import shown
from ...system.optional import install

#: What to do about an error of the driver, by its name. The others are given as the driver words them.
_ADVICE = {
    "CUDA_ERROR_NO_DEVICE": "the driver sees no GPU; see nvidia-smi, and CUDA_VISIBLE_DEVICES",
    "CUDA_ERROR_NOT_INITIALIZED": "a process that was forked cannot use a GPU; start it by spawn or forkserver",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the driver was updated; restart the machine",
    "CUDA_ERROR_DEVICE_UNAVAILABLE": "another program has the GPU for itself; see nvidia-smi",
}
INSTALL = install("cuda")
OUT_OF_MEMORY = 2  #: CUDA_ERROR_OUT_OF_MEMORY
_IMPORTING = threading.Lock()  #: cuda.core 1.2 shows itself half imported where two threads import it at once


def core() -> Any:
    """The module ``cuda.core``.

    Raises:
        EngineError: it is not installed.
    """
    with _IMPORTING:
        try:
            import cuda.core
            import cuda.core.graph
            import cuda.core.utils
        except ImportError as error:
            raise EngineError(f"the cuda engine needs the package cuda-core, and {error}; {INSTALL}") from error
        return cuda.core


class Cuda:
    """What cuda.core and its bindings offer, once a driver has answered.

    Attributes:
        core: the module ``cuda.core``.
        driver: the module ``cuda.bindings.driver``.
        count: GPUs that the driver sees.

    Raises:
        EngineError: there is no cuda.core, no driver, an old one, or no GPU.
    """

    def __init__(self) -> None:
        self.core: Any = core()
        from cuda.bindings import driver  # cuda.core came with it

        self.driver: Any = driver
        try:
            error_code, version = driver.cuDriverGetVersion()
            (error_code,) = driver.cuInit(0) if not int(error_code) else (error_code,)
        except RuntimeError as error:  # of the bindings: there is no libcuda
            raise EngineError(
                f"the cuda engine needs NVIDIA's driver, and there is none here ({first_line(error)}); "
                "install it, or use engine='native'"
            ) from error
        self.check((error_code,), "the driver did not start")
        if version < 12000:
            raise EngineError(
                f"NVIDIA's driver here is of CUDA {version // 1000}.{version % 1000 // 10}; wanted 12.0 or later: "
                "update the driver"
            )
        self.version: int = version
        self.count: int = self.check(driver.cuDeviceGetCount(), "the driver did not count its GPUs")

    def check(self, result: tuple[Any, ...], what: str) -> Any:
        """The value of a call of the driver, out of the tuple that it returned; None where it has none.

        Raises:
            EngineError: the call failed; ``what`` says what did not happen.
        """
        if int(result[0]):
            raise EngineError(f"{what}: {self.said(result[0])}")
        return result[1] if len(result) > 1 else None

    def said(self, code: Any) -> str:
        """An error code as words: its name, what it means, and what to do about it."""
        name = self._text(self.driver.cuGetErrorName(code)) or f"error {int(code)}"
        means = _ADVICE.get(name) or self._text(self.driver.cuGetErrorString(code))
        return f"{name} ({means})" if means else name

    @staticmethod
    def _text(result: tuple[Any, ...]) -> str:
        return "" if int(result[0]) or not result[1] else result[1].decode(errors="replace")


class Context:
    """A GPU's context as the current one of this thread, for the length of a `with` block.

    Any thread may call an engine, and torch may be at work on another GPU in the same thread: what was current before
    is current afterwards.
    """

    __slots__ = ("_check", "_context", "_driver", "_process")

    def __init__(self, cuda: Cuda, number: int) -> None:
        self._driver, self._check = cuda.driver, cuda.check
        self._process = os.getpid()
        self._context = cuda.check(self._driver.cuDevicePrimaryCtxRetain(number), f"GPU {number} gave no context")

    @property
    def of_this_process(self) -> bool:
        """False in a process that was forked from the one that opened the GPU."""
        return os.getpid() == self._process

    def __enter__(self) -> None:
        self._check(self._driver.cuCtxPushCurrent(self._context), "the GPU's context was not made the current one")

    def __exit__(self, *_: object) -> None:
        self._driver.cuCtxPopCurrent()


def of_cuda(error: BaseException) -> bool:
    """Whether cuda.core raised it, and not a signal handler."""
    return any(kind.__name__ == "CUDAError" for kind in type(error).__mro__)


def first_line(error: BaseException) -> str:
    """What an exception says, without the page of explanations that cuda.core adds to it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def device_number(device: str) -> int:
    """The GPU that ``"cuda"`` (0) or ``"cuda:N"`` names.

    Raises:
        EngineError: it is neither.
    """
    name, colon, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    if name != "cuda" or (colon and not (number.isascii() and number.isdecimal() and len(number) < 10)):
        raise EngineError(f"device is {shown(device)}; wanted 'cuda', or 'cuda:0' and so on for one of several GPUs")
    return int(number or 0)


def find_gpu(device: str) -> tuple[Cuda, int]:
    """The driver, and the number of a GPU that it sees. The GPU is not opened.

    Raises:
        EngineError: no cuda.core, no driver, or no such GPU.
    """
    number, cuda = device_number(device), Cuda()
    if number >= cuda.count:
        there = ", ".join(f"cuda:{i}" for i in range(cuda.count))
        raise EngineError(f"device is {shown(device)}; this machine has {there or 'no GPU'}: see nvidia-smi")
    return cuda, number
