"""What callers give, checked before anything is done with it: counts, levels and codes.

Knows: a codec's sizes. Does not know: samples (audio/pcm.py), streams, pools.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..audio.pcm import as_array
from ..engine.base import Codes, Engine
from ..errors import InputError
from ..system.foreign_data import is_whole, shown


def check_count(name: str, value: object) -> int:
    """A whole number as Python's, which does not overflow. Refuses anything below 1, with `InputError`."""
    if not is_whole(value, 1):
        raise InputError(f"{name} is {shown(value)}; wanted a whole number of at least 1")
    return int(value)


def check_levels(n_quantizers: int | None, n_codebooks: int) -> int:
    """How many levels to encode with: ``n_quantizers``, or all. Raises `InputError` out of 1 … n_codebooks."""
    levels = n_codebooks if n_quantizers is None else n_quantizers
    if not is_whole(levels, 1, n_codebooks):
        raise InputError(f"n_quantizers is {shown(n_quantizers)}; wanted a whole number from 1 to {n_codebooks}")
    return int(levels)


def check_codes(codes: Any, engine: Engine, ndim: int) -> Codes:
    """Codes ``[(B,) K, T]`` of any integer dtype as int64 ``[(B,) n_codebooks, T]``, missing levels −1.

    Raises:
        InputError: no integers, another shape, more levels than the codec has, or a code out of range (it is named).
    """
    array = as_array(codes, "codes")
    size, levels = engine.config.codebook_size, engine.config.n_codebooks
    wanted = "[K, T]" if ndim == 2 else "[B, K, T]"
    if array.ndim != ndim or not 1 <= array.shape[-2] <= levels:
        raise InputError(f"codes have shape {list(array.shape)}; wanted {wanted} with K from 1 to {levels} codebooks")
    if array.dtype.kind not in "iu":
        raise InputError(f"codes are {array.dtype}; wanted integers, as encode gives them")
    if array.size and not (array.min() >= 0 and array.max() < size):
        *_, k, t = np.unravel_index(int(np.argmax((array < 0) | (array >= size))), array.shape)
        bad = array[(array < 0) | (array >= size)][0]
        raise InputError(f"code {int(bad)} at codebook {int(k)}, frame {int(t)}; wanted codes from 0 to {size - 1}")
    full = np.full((*array.shape[:-2], levels, array.shape[-1]), -1, np.int64)
    full[..., : array.shape[-2], :] = array
    return full
