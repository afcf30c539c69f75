"""Signals of different lengths given together: each gives what it gives alone, for it is encoded alone.

For engines made for many streams in a step there are pools (pool.py), and runs over files (corpus/).

Knows: which arguments are such signals. Does not know: engines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def is_ragged(pcm: Any) -> bool:
    """Whether it is a list or tuple of signals ``[n]`` that are not all of one length."""
    if not isinstance(pcm, (list, tuple)) or len(pcm) < 2:
        return False
    shapes = [tuple(getattr(signal, "shape", ())) for signal in pcm]
    return all(len(shape) == 1 for shape in shapes) and len(set(shapes)) > 1


def each(encode: Callable[..., Any], signals: Any, *settings: Any) -> Any:
    """What ``encode`` gives for each signal, as a list. Raises as ``encode``."""
    return [encode(signal, *settings) for signal in signals]
