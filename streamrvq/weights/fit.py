"""Do the tensors fit the codec? Names, shapes, types and finite values are checked before anything is built.

Knows: which tensors and shapes a configuration has. Does not know: files, how weight norm is folded (fold.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import Config
from ..errors import WeightsError
from ..families import tensor_shapes
from ..system.foreign_data import one_line
from .fold import pair_names, weight_of

#: A reader of bfloat16 widens it to float32, because numpy does not know it.
_TAKEN = (np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64))


def fit(config: Config, tensors: Mapping[str, npt.NDArray[Any]], source: str) -> dict[str, npt.NDArray[np.float32]]:
    """``tensors`` as float32, C-contiguous and read-only, in the order of `tensor_shapes`.

    They are copies, unless they are that already, and parts of a bytes object, which nobody can change.

    Args:
        config: the codec that the tensors should belong to.
        tensors: folded; float16, float32 or float64.
        source: what they were read from, for error messages.

    Raises:
        WeightsError: a tensor is missing, unknown, not finite, or of a wrong shape or type. The message names it.
    """
    wanted = tensor_shapes(config)
    _check_names(set(wanted), set(tensors), source)
    fitted: dict[str, npt.NDArray[np.float32]] = {}
    for name, shape in wanted.items():
        value = tensors[name]
        _check_shape(name, value, shape, source)
        if value.dtype not in _TAKEN:
            raise WeightsError(
                f"{name} in {source} is {value.dtype}; wanted float16, bfloat16, float32 or float64: convert it first"
            )
        with np.errstate(over="ignore"):  # a float64 that is too large for float32 becomes Inf, which is refused below
            single = value if _lasts(value) else np.array(value, dtype=np.float32, order="C")
        if not np.isfinite(single).all():
            at = [int(i) for i in np.argwhere(~np.isfinite(single))[0]]
            raise WeightsError(
                f"{name} in {source} is {single[tuple(at)]} at {at}; wanted finite numbers: these weights are damaged"
            )
        single.flags.writeable = False
        fitted[name] = single
    return fitted


def _lasts(value: npt.NDArray[Any]) -> bool:
    """Whether it is float32 as `fit` gives it, of numbers that cannot change."""
    owner: Any = value
    while isinstance(owner, np.ndarray):
        owner = owner.base
    of_bytes = isinstance(owner, memoryview) and isinstance(owner.obj, bytes)
    return of_bytes and value.dtype == np.float32 and value.flags.c_contiguous and value.flags.aligned


def check_unfolded(config: Config, tensors: Mapping[str, npt.NDArray[Any]], source: str) -> None:
    """Refuse tensors of another codec before they are read, or folded, which takes several times their room.

    Raises:
        WeightsError: a tensor is missing or unknown, or one has another shape; of a weight-norm pair the larger half.
    """
    wanted = tensor_shapes(config)
    _check_names(set(wanted), {weight_of(name) or name for name in tensors}, source)
    for weight, shape in wanted.items():
        for name in (weight, *(v for _, v in pair_names(weight))):
            if name in tensors:
                _check_shape(name, tensors[name], shape, source)


def most_bytes(config: Config) -> int:
    """Bytes of all tensors in a file of ``config``'s weights at most, whoever wrote it: as float64, each with no more
    than its own size of gains beside it, and of what only training needs.

    Raises:
        ConfigError: the tensors are larger than any codec's.
    """
    return 3 * 8 * sum(math.prod(shape) for shape in tensor_shapes(config).values())


def _check_shape(name: str, value: npt.NDArray[Any], shape: tuple[int, ...], source: str) -> None:
    if value.shape != shape:
        raise WeightsError(
            f"{name} in {source} has shape {list(value.shape)}; wanted {list(shape)}: "
            "the configuration and the weights are of different codecs"
        )


def _check_names(wanted: set[str], came: set[str], source: str) -> None:
    missing, unknown = sorted(wanted - came), sorted(came - wanted)
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        beside = f" (it has {one_line(unknown[0])}, which is not wanted)" if unknown else ""
        raise WeightsError(
            f"{source} lacks {missing[0]}{others}{beside}; wanted every tensor of the configuration: "
            "check that file and configuration are of one codec"
        )
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise WeightsError(
            f"{source} has {one_line(unknown[0])}{others}, which the configuration does not know; "
            "wanted only its own tensors: check that file and configuration are of one codec"
        )
