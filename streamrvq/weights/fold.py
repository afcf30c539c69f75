"""Folding weight norm: the one place where g·v/‖v‖ becomes the weight that engines convolve with.

Weight norm (Salimans & Kingma 2016) is w = g·v/‖v‖, with the norm over all dimensions except the first. It is computed
in float64, with squares summed in index order, and rounded once to float32. So every engine and machine gets the same
bits.

Knows: the three styles in which state dicts name a weight. Does not know: which tensors a codec has, or where they came
from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import WeightsError
from ..system.foreign_data import one_line

Array = npt.NDArray[Any]

#: Numbers that are folded at a time: in float64, as many as stay in a processor's cache.
_AT_ONCE = 1 << 16


def pair_names(weight: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """The names (g, v) for ``weight``, which ends in "weight": in torch's old style and in its new one."""
    stem = weight.removesuffix("weight")
    new = f"{stem}parametrizations.weight.original"
    return (f"{weight}_g", f"{weight}_v"), (f"{new}0", f"{new}1")


def fold_pair(name: str, g: Array, v: Array) -> npt.NDArray[np.float32]:
    """``g·v/‖v‖`` as float32, C-contiguous, in the shape of ``v``. A row of zeros in ``v`` gives NaN, as in torch.

    Args:
        name: of the folded weight, for error messages.
        g: ``[rows, 1, 1]``, any float type.
        v: ``[rows, …]``.

    Raises:
        WeightsError: the shapes or types are not those of a weight-norm pair.
    """
    for part, value in (("g", g), ("v", v)):
        if not np.issubdtype(value.dtype, np.floating):
            raise WeightsError(f"{name}: its {part} is {value.dtype}; wanted a weight-norm pair of float type")
    if v.ndim < 1 or g.shape != (v.shape[0],) + (1,) * (v.ndim - 1):
        raise WeightsError(
            f"{name}: g has shape {list(g.shape)} beside v {list(v.shape)}; wanted g "
            f"{[v.shape[0], *[1] * (v.ndim - 1)] if v.ndim else 'of one value a row'}, weight norm over dimension 0"
        )
    if not v.size:
        raise WeightsError(f"{name}: v has shape {list(v.shape)}; wanted rows with at least one value each")
    gains, vectors = g.reshape(-1, 1), v.reshape(v.shape[0], -1)
    folded = np.empty(vectors.shape, np.float32)
    step = max(1, _AT_ONCE // vectors.shape[1])
    for first in range(0, len(vectors), step):  # in float64 a float16 tensor takes many times its room
        some = slice(first, first + step)
        rows, norms = _normed(vectors[some])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            folded[some] = (gains[some].astype(np.float64) * rows / norms).astype(np.float32)
    return folded.reshape(v.shape)


def fold(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """``tensors`` with every weight-norm pair replaced by its folded weight. All other tensors stay as they are.

    Raises:
        WeightsError: half a pair is missing, a weight comes in two styles, or the halves do not fit together.
    """
    folded = dict(tensors)
    weights = {weight_of(name) for name in tensors} - {None}
    for weight in sorted(str(name) for name in weights):
        for g_name, v_name in pair_names(weight):
            if g_name not in folded and v_name not in folded:
                continue
            for name, other in ((g_name, v_name), (v_name, g_name)):
                if name not in folded:
                    raise WeightsError(
                        f"{one_line(other)} came without {one_line(name)}; "
                        "wanted both halves of the weight norm: save the file again"
                    )
            if weight in folded:
                raise WeightsError(
                    f"{one_line(weight)} came both folded and as {one_line(g_name)}; "
                    "wanted one of them: remove the other"
                )
            folded[weight] = fold_pair(one_line(weight), folded.pop(g_name), folded.pop(v_name))
    return folded


def weight_of(name: str) -> str | None:
    """The folded weight that ``name`` is half of, or None."""
    for end in ("weight_g", "weight_v", "parametrizations.weight.original0", "parametrizations.weight.original1"):
        if name == end or name.endswith(f".{end}"):
            return name.removesuffix(end) + "weight"
    return None


def split(weight: Array) -> tuple[npt.NDArray[np.float32], Array]:
    """``(g, v)`` of a folded weight: ``v`` is the weight, and ``g`` its norms, rounded to float32.

    Because of this rounding, folding the pair again may change a weight by one unit in the last place.
    """
    vectors = weight.reshape(weight.shape[0], -1)
    step = max(1, _AT_ONCE // vectors.shape[1])
    norms = [_normed(vectors[first : first + step])[1] for first in range(0, len(vectors), step)]
    return np.concatenate(norms).astype(np.float32).reshape(-1, *[1] * (weight.ndim - 1)), weight


def _normed(vectors: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows in float64, and the norm of each as a column."""
    rows = vectors.astype(np.float64)
    # accumulate adds strictly in order, while sum() may add in pairs. The last column is the sum.
    return rows, np.sqrt(np.add.accumulate(rows * rows, axis=1)[:, -1:])
