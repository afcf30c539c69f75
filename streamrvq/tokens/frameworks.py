"""Codes as the kind of array that a reader asked for.

Knows: numpy, and torch, which is imported only when it is asked for. Does not know: files.
"""

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
    """A copy of ``codes`` as int64, in numpy or torch.

    Raises:
        InputError: another framework.
    """
    array = np.array(codes, np.int64, order="C")
    if framework == "numpy":
        return array
    if framework == "torch":
        import torch  # imported here, so that reading tokens does not load it

        return torch.from_numpy(array)
    raise InputError(f"framework is {framework!r}; wanted 'numpy' or 'torch'")
