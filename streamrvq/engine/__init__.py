"""Who computes a step. `make_engine` picks one; base.py is the contract, and lacking.py says who can compute what."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import EngineError, ExtraError
from ..families import decoder_plan, encoder_plan
from ..system.foreign_data import is_whole, shown
from ..system.optional import install, need
from .base import Engine
from .lacking import CUDA, NATIVE

__all__ = ["Engine", "check_device", "engines_lacking", "make_engine"]

_MOST_THREADS = 1024  #: as the native engine has it


def make_engine(
    config: Config,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    engine: str = "auto",
    threads: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Engine:
    """The engine called ``engine``: ``"native"``, ``"torch"``, ``"cuda"``, or ``"auto"``. Without a device of its own,
    that is native for float32 where it was built and has all that the codec needs, and otherwise torch, if it is
    installed (the extra [torch]). That the native engine was not built is said once, as a warning of the logger
    "streamrvq". It is cuda only where ``device`` says so.

    Args:
        config: what to compute.
        tensors: the folded weights, float32, under the names and in the shapes of `families.tensor_shapes`.
        threads: cores to compute on; None leaves it to the engine.
        dtype: ``"float32"`` or ``"float64"``.
        device: where to compute: ``"cpu"``, ``"cuda"``, which is the first GPU, or ``"cuda:N"``; None: the engine's.

    Raises:
        EngineError: an unknown engine, or one that cannot be had here.
    """
    if dtype not in ("float32", "float64"):
        raise EngineError(f"dtype is {shown(dtype)}; wanted 'float32' or 'float64'")
    if threads is not None:
        threads = _count(threads)
    if engine not in ("auto", "native", "torch", "cuda"):
        raise EngineError(f"engine is {shown(engine)}; wanted 'auto', 'native', 'torch' or 'cuda'")
    if _on_cuda(engine, device):
        return _cuda_engine(config, tensors, device or "cuda:0", threads, dtype)
    if engine == "native" and dtype != "float32":
        raise EngineError(f"the native engine computes in float32, not {dtype}; use engine='torch' or 'auto' for that")
    if engine == "native" or (engine == "auto" and dtype == "float32" and _native_computes(config)):
        from .native import NativeEngine

        return NativeEngine(config, tensors, threads=threads)
    need("torch", "torch", "the torch engine needs" if engine == "torch" else f"{dtype} needs", EngineError)
    from .torch import TorchEngine  # here, so that importing streamrvq does not load torch

    return TorchEngine(config, tensors, threads=threads, dtype=dtype)


def _count(threads: object) -> int:
    """Threads as Python's number. Torch would take True, and end the process where there cannot be so many."""
    if not is_whole(threads, 1):
        raise EngineError(
            f"threads is {shown(threads)}; wanted a whole number of at least 1, or None for the engine's choice"
        )
    if threads > _MOST_THREADS:
        raise EngineError(f"threads is {shown(threads)}; wanted at most {_MOST_THREADS}")
    return int(threads)


def _on_cuda(engine: str, device: str | None) -> bool:
    """Whether engine and device mean a GPU. Raises `EngineError` where they do not go together."""
    if device not in (None, "cpu") and (not isinstance(device, str) or device.partition(":")[0] != "cuda"):
        raise EngineError(f"device is {shown(device)}; wanted 'cpu', 'cuda' or 'cuda:N'")
    gpu = device is not None and device != "cpu"
    if (gpu and engine not in ("auto", "cuda")) or (engine == "cuda" and device == "cpu"):
        raise EngineError(
            f"engine={shown(engine)} does not compute on device={shown(device)}; leave one of the two out"
        )
    return gpu or engine == "cuda"


def check_device(device: str) -> None:
    """Refuse a device that no engine can compute on here with `EngineError`. A GPU is not opened for that."""
    if _on_cuda("auto", device):
        from . import cuda

        cuda.check_device(device)


def _cuda_engine(
    config: Config, tensors: Mapping[str, npt.NDArray[np.float32]], device: str, threads: int | None, dtype: str
) -> Engine:
    if dtype != "float32":
        raise EngineError(f"the cuda engine computes in float32, not {dtype}; use engine='torch' for that")
    if threads is not None:
        raise EngineError(f"threads is {shown(threads)}, but the cuda engine computes on {device}; leave threads out")
    from . import cuda

    return cuda.CudaEngine(config, tensors, cuda.open_device(device), device)


def engines_lacking(config: Config) -> dict[str, tuple[str, ...]]:
    """What each engine lacks for a codec, in words; an engine that lacks nothing is left out."""
    plans = encoder_plan(config), decoder_plan(config)
    lacking = {"native": NATIVE.lacking(*plans), "cuda": CUDA.lacking(*plans)}
    return {name: missing for name, missing in lacking.items() if missing}


def _native_computes(config: Config) -> bool:
    return "native" not in engines_lacking(config) and _native_is_there()


@cache
def _native_is_there() -> bool:
    from .native.library import load_library

    try:
        load_library()
    except EngineError as error:
        try:
            need("torch", "torch", "the torch engine needs")
        except ExtraError:
            raise EngineError(
                f"there is nothing to compute with: {error}; or install torch, which is slower: {install('torch')}"
            ) from None
        logging.getLogger("streamrvq").warning("%s; using the torch engine, which is slower", error)
        return False
    return True
