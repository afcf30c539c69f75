"""A device is found fit for training, and torch is set for it.

Knows: torch's switches. Does not know: what is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...errors import ConfigError

_TRIED = 5  #: algorithms that cuDNN tries for each convolution, of those that it thinks best


def check_device(device: str) -> None:
    """Raises `ConfigError` for a device that torch does not have."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; wanted cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda', and torch sees none; wanted cpu here")


def set_for_card() -> None:
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
