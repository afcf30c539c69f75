"""Several signals given together: each gives what it gives alone.

Signals of different lengths are encoded alone. For engines made for many streams in a step there are pools (pool.py),
and runs over files (corpus/).

Knows: which arguments are such signals. Does not know: engines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..audio.pcm import Pcm, as_array, as_pcm


def is_ragged(pcm: Any) -> bool:
    """Whether it is a list or tuple of signals ``[n]`` that are not all of one length."""
    if not isinstance(pcm, (list, tuple)) or len(pcm) < 2:
        return False
    shapes = [tuple(getattr(signal, "shape", ())) for signal in pcm]
    return all(len(shape) == 1 for shape in shapes) and len(set(shapes)) > 1


def each(encode: Callable[..., Any], signals: Any, *settings: Any) -> Any:
    """What ``encode`` gives for each signal, as a list. Raises as ``encode``."""
    return [encode(signal, *settings) for signal in signals]


def rows_of(pcm: Any) -> tuple[Pcm, bool]:
    """Samples ``[n]`` or ``[B, n]`` as rows ``[B, n]``, and whether they are one signal. Raises as `as_pcm`."""
    array = as_array(_of_one_type(pcm), "samples")
    single = array.ndim != 2
    return as_pcm(array)[None] if single else as_pcm(array, ndim=2), single


def _of_one_type(pcm: Any) -> Any:
    """A list or tuple of signals of different types as one of float32 signals; anything else as it is.

    numpy would find one type for all of them, in which int16 samples are no longer divided by 32768.
    """
    if not isinstance(pcm, (list, tuple)) or not pcm or np.isscalar(pcm[0]):
        return pcm
    signals = [as_array(signal, "samples") for signal in pcm]
    return [as_pcm(signal) for signal in signals] if len({signal.dtype for signal in signals}) > 1 else pcm
