"""Codes as the kind of array that a reader asked for.

Knows: numpy, and torch, which is asked for by name and only when it is wanted. Does not know: files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..engine.base import Codes
from ..errors import InputError
from ..system.foreign_data import shown
from ..system.optional import need

if TYPE_CHECKING:
    import torch

    Tensor = torch.Tensor

Framework = Literal["numpy", "torch"]


def as_framework(codes: npt.NDArray[Any], framework: str) -> Codes | Tensor:
    """A copy of ``codes`` as int64, in numpy or torch.

    Raises:
        InputError: another framework.
        ExtraError: torch is wanted and not installed.
    """
    array = np.array(codes, np.int64, order="C")
    if framework == "numpy":
        return array
    if framework == "torch":
        tensor: Tensor = need("torch", "torch", 'framework="torch" needs').from_numpy(array)
        return tensor
    raise InputError(f"framework is {shown(framework)}; wanted 'numpy' or 'torch'")
