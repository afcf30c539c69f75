"""The kernels that a GPU has loaded, by name.

Knows: object code of cuda.core, and the shared memory that a kernel must be granted. Does not know: how kernels are
compiled (compile.py) or what they compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import EngineError
from .driver import Cuda, first_line

_PLAIN_SHARED = 48 << 10  #: bytes of dynamic shared memory that a kernel may have without being granted more


class Kernels:
    """The kernels of all parts by name, each with the shared memory that it was last asked for with."""

    def __init__(self, cuda: Cuda, parts: Sequence[Any], number: int, shared_memory: int) -> None:
        self._cuda, self._parts, self._number, self._most = cuda, parts, number, shared_memory
        self._found: dict[str, Any] = {}
        self._shared: dict[str, int] = {}

    def get(self, name: str, shared: int) -> Any:
        if name not in self._found:
            self._found[name] = self._find(name)
        kernel = self._found[name]
        if shared > self._most:
            raise EngineError(
                f"the kernel {name} wants {shared} bytes of shared memory a block; the GPU has {self._most}: "
                "another tile must be chosen for it (tiles.py)"
            )
        if shared > self._shared.get(name, _PLAIN_SHARED):
            driver = self._cuda.driver
            what = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            result = driver.cuKernelSetAttribute(what, shared, kernel.handle, self._number)
            self._cuda.check(result, f"the kernel {name} did not get {shared} bytes of shared memory")
            self._shared[name] = shared
        return kernel

    def _find(self, name: str) -> Any:
        refusal: Exception | None = None
        for part in self._parts:
            try:
                return part.get_kernel(name)
            except Exception as error:  # of cuda.core: not in this part
                refusal = error
        raise EngineError(f"there is no kernel {name}: {first_line(refusal) if refusal else 'nothing was compiled'}")
