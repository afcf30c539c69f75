"""Checks that a device can train, sets torch up for it, and tries kernels on it.

Knows: torch's switches. Does not know: what is trained, or what kernels compute.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import ConfigError

_TRIED = 5  #: algorithms that cuDNN tries for each convolution, of those that it thinks best
_LONGEST = 300  #: characters of a reason


def check_device(device: str) -> None:
    """Raises `ConfigError` for a device that torch does not have."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; wanted cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', and torch sees none; wanted cpu here")


def set_for_gpu() -> None:
    """float32 means float32 there: losses are small differences.

    Some images of containers turn TF32 on for products of matrices, by TORCH_ALLOW_TF32_CUBLAS_OVERRIDE.
    """
    torch.backends.cudnn.benchmark_limit = _TRIED
    if hasattr(torch.backends.cudnn, "conv"):  # torch 2.9 and later warn of the older name
        torch.backends.cudnn.conv.fp32_precision = "ieee"
        torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
        if torch.backends.cuda.matmul.fp32_precision == "tf32":  # only the older name undoes what the variable did
            torch.backends.cuda.matmul.allow_tf32 = False
    else:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def trying() -> Iterator[None]:
    """cuDNN tries its algorithms for each new shape: worth it for steps, which are alike, and not for validation."""
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


def tried(trial: Callable[[], Any]) -> Callable[[], tuple[Any, str]]:
    """A function that runs ``trial`` once: what it returns and "", or None and why it raised.

    A trial imports kernels, compares them with torch's own operations on a GPU, and returns them. A compiler, a driver
    or wrong numbers may end it; then training goes on without these kernels.
    """

    @functools.cache
    def once() -> tuple[Any, str]:
        try:
            return trial(), ""
        except Exception as error:
            return None, " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]

    functools.update_wrapper(once, trial)
    return once
