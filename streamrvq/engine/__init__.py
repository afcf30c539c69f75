"""Who computes a step. `make_engine` picks one; base.py is the contract."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..config import CodecConfig
from ..errors import EngineError
from .base import Engine

__all__ = ["Engine", "make_engine"]


def make_engine(
    config: CodecConfig,
    tensors: Mapping[str, npt.NDArray[np.float32]],
    engine: str = "auto",
    threads: int | None = None,
    dtype: str = "float32",
) -> Engine:
    """The engine called ``engine``: ``"auto"`` (the best there is) or ``"torch"``.

    Args:
        tensors: the folded weights, under the names and in the shapes of `geometry.tensor_shapes`.
        threads: cores to compute on; None leaves it to the engine.
        dtype: ``"float32"`` or ``"float64"``.

    Raises:
        EngineError: an unknown engine, or one that cannot be had here.
    """
    if dtype not in ("float32", "float64"):
        raise EngineError(f"dtype is {dtype!r}; wanted 'float32' or 'float64'")
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise EngineError(
            f"threads is {threads!r}; wanted a whole number of at least 1, or None for the engine's choice"
        )
    if engine == "native":
        raise EngineError("the native engine is not part of this version; use engine='torch' or 'auto'")
    if engine not in ("auto", "torch"):
        raise EngineError(f"engine is {engine!r}; wanted 'auto' or 'torch'")
    from .torch import TorchEngine  # here, so that importing streamrvq does not load torch

    return TorchEngine(config, tensors, threads=threads, dtype=dtype)
