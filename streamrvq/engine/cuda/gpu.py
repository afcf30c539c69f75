"""The device of device.py on an NVIDIA GPU, through cuda.core.

Knows: a GPU's context, stream, memory, and graphs. Does not know: layers, streams of audio, and what kernels compute.

A GPU has one stream here, and every call sends its work there: copies that the host waits for as well. Memory comes
from plain allocations, since there are few and large ones, so that `free_memory` is what others see too. A recording is
a CUDA graph, a chain of nodes built one by one. Nothing is captured: another thread's work cannot get into it, and an
exception in the middle leaves nothing open.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import EngineError
from . import compile as compiling
from .allocations import CardMemory, PinnedMemory, pinned_address
from .device import Bytes, Launch, Memory, Recording, Upload, Work
from .driver import OUT_OF_MEMORY, Context, find_gpu, first_line, of_cuda
from .loaded import Kernels


class Gpu:
    """A GPU. Any thread may call it, one at a time.

    Args:
        device: ``"cuda"``, which is GPU 0, or ``"cuda:N"``.
        parts: how to compile the kernels.
        folder: where their sources lie.

    Attributes:
        capability: the GPU's compute capability, such as (9, 0).
        shared_memory: bytes of shared memory that a block may have.

    Raises:
        EngineError: no cuda.core, no driver, no such GPU, an old one, or kernels that it does not load.
    """

    def __init__(
        self, device: str = "cuda", parts: Sequence[compiling.Part] = compiling.PARTS, folder: Path = compiling.KERNELS
    ) -> None:
        cuda, number = find_gpu(device)
        self._cuda = cuda
        self._failure = ""
        self._running: list[Any] = []  # graphs that may be at work; none is destroyed before it has ended
        try:
            gpu = cuda.core.Device(number)
            self._name = str(gpu.name)
            self.capability: tuple[int, int] = tuple(gpu.compute_capability)
            architecture = compiling.architecture(self.capability, compiling.known_architectures())
            self._context = Context(cuda, number)
            with self._context:
                gpu.set_current()
                self._multiprocessors: int = gpu.properties.multiprocessor_count
                self.shared_memory: int = gpu.properties.max_shared_memory_per_block_optin
                self._stream: Any = gpu.create_stream()
                self._number = number
                self._kernels = self._load(architecture, parts, folder)
        except EngineError:
            raise
        except Exception as error:  # of cuda.core, in several kinds
            raise EngineError(f"{device} did not open: {first_line(error)}; see nvidia-smi") from error

    def _load(self, architecture: str, parts: Sequence[compiling.Part], folder: Path) -> Kernels:
        def compiled(part: compiling.Part, anew: bool = False) -> bytes:
            return compiling.compile_part(architecture, part, folder, anew)

        def loaded(cubin: bytes) -> Any:
            code = self._cuda.core.ObjectCode.from_cubin(cubin, name=compiling.SOURCE)
            _ = code.handle  # loads it now, not when its first kernel is asked for
            return code

        compiling.check_driver(self._cuda.version)
        with ThreadPoolExecutor(len(parts)) as pool:  # NVRTC lets go of the GIL
            cubins = list(pool.map(compiled, parts))
        codes = []
        for part, cubin in zip(parts, cubins, strict=True):
            try:
                codes.append(loaded(cubin))
            except Exception:  # of cuda.core: a file of the cache may be damaged
                codes.append(loaded(compiled(part, anew=True)))
        return Kernels(self._cuda, codes, self._number, self.shared_memory)

    # What the GPU is.

    @property
    def name(self) -> str:
        return self._name

    @property
    def multiprocessors(self) -> int:
        return self._multiprocessors

    @property
    def free_memory(self) -> int:
        return self._free_and_total()[0]

    def _free_and_total(self) -> tuple[int, int]:
        with self._usable():
            code, free, total = self._cuda.driver.cuMemGetInfo()
        self._worked(code, "did not tell its free memory")
        return int(free), int(total)

    # Memory and copies.

    def memory(self, size: int) -> Memory:
        with self._usable():
            code, address = self._cuda.driver.cuMemAlloc(max(size, 1))
            if int(code):
                self._refuse_memory(size, code)
            memory = CardMemory(self._cuda, self._context, int(address), size)
            (code,) = self._cuda.driver.cuMemsetD8Async(memory.address, 0, max(size, 1), self._stream.handle)
        self._worked(code, "did not clear memory")
        return memory

    def _refuse_memory(self, size: int, code: Any) -> None:
        if int(code) != OUT_OF_MEMORY:
            self._worked(code, f"gave no {_megabytes(size)}")
        free, total = self._free_and_total()
        raise EngineError(
            f"{self._name} has {_megabytes(free)} of its {_megabytes(total)} free; {_megabytes(size)} more were "
            "wanted: use fewer streams, or end what else uses the GPU (nvidia-smi)"
        )

    def host_memory(self, size: int) -> Bytes:
        with self._usable():
            code, address = self._cuda.driver.cuMemHostAlloc(max(size, 1), 0)
        if int(code) == OUT_OF_MEMORY:
            raise EngineError(
                f"the host gave no {_megabytes(size)} of pinned memory; use fewer streams, or free memory of the host"
            )
        self._worked(code, f"gave no {_megabytes(size)} of pinned memory")
        array: Bytes = np.asarray(PinnedMemory(self._cuda, self._context, int(address), size))
        array[...] = 0
        return array

    def put(self, address: int, values: npt.NDArray[Any]) -> None:
        values = np.ascontiguousarray(values)
        if values.nbytes:
            driver, stream = self._cuda.driver, self._stream.handle
            with self._usable():
                (code,) = driver.cuMemcpyHtoDAsync(address, values.ctypes.data, values.nbytes, stream)
            self._worked(code, "failed at its work")
            self.synchronize()

    def get(self, values: npt.NDArray[Any], address: int) -> None:
        if not values.flags.c_contiguous or not values.flags.writeable:
            raise EngineError("a copy from the GPU wants an array that is C-contiguous and can be written")
        if values.nbytes:
            driver, stream = self._cuda.driver, self._stream.handle
            with self._usable():
                (code,) = driver.cuMemcpyDtoHAsync(values.ctypes.data, address, values.nbytes, stream)
            self._worked(code, "failed at its work")
        self.synchronize()

    # Work.

    def record(self, work: Sequence[Work]) -> Recording:
        with self._usable():
            try:
                graph = self._graph(work)
                graph.upload(self._stream)
            except Exception as error:
                if not of_cuda(error):
                    raise
                raise EngineError(f"{self._name} did not take a recording: {first_line(error)}") from error
        return _Recording(self, graph, work)

    def _graph(self, work: Sequence[Work]) -> Any:
        definition: Any = self._cuda.core.graph.GraphDefinition()
        last = definition
        for item in work:
            if isinstance(item, Launch):
                config = self._cuda.core.LaunchConfig(grid=item.grid, block=item.threads, shmem_size=item.shared)
                last = last.launch(config, self._kernels.get(item.kernel, item.shared), int(item.parameters))
            elif item.host.nbytes:
                host = pinned_address(item.host)
                to, source = (item.address, host) if isinstance(item, Upload) else (host, item.address)
                last = last.memcpy(int(to), int(source), item.host.nbytes)
        return definition.instantiate()

    def _run(self, graph: Any) -> None:
        with self._usable():
            self._running.append(graph)
            try:
                graph.launch(self._stream)
            except Exception as error:  # a signal handler's, or of cuda.core: mostly the failure of a kernel before
                if not of_cuda(error):
                    raise
                self._fail(first_line(error))

    def synchronize(self) -> None:
        with self._usable():
            asked = len(self._running)
            (code,) = self._cuda.driver.cuStreamSynchronize(self._stream.handle)
        self._worked(code, "failed at its work")
        del self._running[:asked]

    def milliseconds(self, recording: Recording, times: int = 1) -> float:
        """How long the GPU takes for one run of a recording: the mean of ``times`` runs, one behind the other."""
        driver, stream = self._cuda.driver, self._stream.handle
        with self._usable():
            begin, end = (self._cuda.check(driver.cuEventCreate(0), "the driver gave no event") for _ in range(2))
            try:
                self._cuda.check(driver.cuEventRecord(begin, stream), "an event was not recorded")
                for _ in range(times):
                    recording.run()
                self._cuda.check(driver.cuEventRecord(end, stream), "an event was not recorded")
                self.synchronize()
                total = self._cuda.check(driver.cuEventElapsedTime(begin, end), "an event told no time")
            finally:
                driver.cuEventDestroy(begin)
                driver.cuEventDestroy(end)
        return float(total) / times

    # After a failure the driver refuses everything until the process ends; the reason is told every time.

    def _usable(self) -> Context:
        if self._failure:
            raise EngineError(self._failure)
        return self._context

    def _worked(self, code: Any, what: str) -> None:
        if int(code):
            self._fail(f"{what}: {self._cuda.said(code)}")

    def _fail(self, what: str) -> None:
        self._failure = (
            f"{self._name} {what}; it cannot be used any more by this process: start the program again, and look at "
            "dmesg for what the driver says"
        )
        raise EngineError(self._failure)


class _Recording:
    """A graph, and the host memory that it copies from and to."""

    def __init__(self, gpu: Gpu, graph: Any, work: Sequence[Work]) -> None:
        self._gpu, self._graph, self._work = gpu, graph, tuple(work)

    def run(self) -> None:
        self._gpu._run(self._graph)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
