"""Codes as the array that a reader asked for. Knows: numpy, and torch when it is asked for. Does not know: files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..engine.base import Codes
from ..errors import InputError

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor

Framework = Literal["numpy", "torch"]


def as_framework(codes: npt.NDArray[Any], framework: str) -> Codes | Tensor:
    """``codes`` as int64, of numpy or torch, in memory of its own.

    Raises:
        InputError: another name.
    """
    array = np.array(codes, np.int64, order="C")
    if framework == "numpy":
        return array
    if framework == "torch":
        import torch  # here, so that reading tokens does not load it

        return torch.from_numpy(array)
    raise InputError(f"framework is {framework!r}; wanted 'numpy' or 'torch'")
