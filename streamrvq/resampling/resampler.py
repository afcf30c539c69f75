"""A resampler: blocks of samples at one rate in, samples at another out, and its state as a value.

Knows: when an output may leave, what must be kept for the next, and that a call changes nothing: it gives the next
state with its outputs. Does not know: what a coefficient is (coefficients.py), how sums are taken (sums.py), codecs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..audio.pcm import MAX_ABS, Pcm
from ..audio.rates import check_rate, ratio
from ..errors import InputError
from ..system.copying import Shared
from .sums import Sums

_FLOAT32, _array = np.dtype(np.float32), np.ndarray  # what a push needs of numpy, near at hand
_NOTHING = np.zeros(0, np.float32)


class ResamplerState(NamedTuple):
    """Between two blocks.

    Attributes:
        taken: inputs so far. They have given ``ratio.ready(taken)`` outputs.
        history: float32 ``[ratio.history]``, the last inputs, oldest first; zeros before the start.
    """

    taken: int
    history: Pcm

    def copy(self) -> ResamplerState:
        """The same with an array of its own, so that whoever writes into one changes no other."""
        return ResamplerState(self.taken, np.array(self.history, order="C"))


class Resampler(Shared):
    """Mono audio from ``rate_in`` to ``rate_out``. `resampler` makes one of each.

    However a signal is divided into blocks, the outputs joined have the same bits, on every machine, with the native
    library or without. Output m belongs to the time ``m / rate_out``, as input n belongs to ``n / rate_in``. Outputs
    are held to ±`MAX_ABS`, the samples that a codec takes.

    Args:
        rate_in, rate_out: Hz, whole numbers from 1000 to 768 000 that differ.
        instruction_set: of the native library; "": the best. "numpy": do without it.

    Raises:
        InputError: rates out of range.

    Attributes:
        rate_in, rate_out: as given.
        ratio: of the two.
    """

    def __init__(self, rate_in: int, rate_out: int, instruction_set: str = "") -> None:
        self.rate_in = check_rate(rate_in, "the rate to convert from")
        self.rate_out = check_rate(rate_out, "the rate to convert to")
        self.ratio = ratio(self.rate_in, self.rate_out)
        self._instruction_set = instruction_set
        self._kept = (self.ratio.history,)
        self._sums = Sums(self.ratio, instruction_set, MAX_ABS)

    def __repr__(self) -> str:
        return f"<Resampler {self.rate_in} Hz to {self.rate_out} Hz>"

    def __reduce__(self) -> tuple[object, ...]:
        return Resampler, (self.rate_in, self.rate_out, self._instruction_set)

    def start(self) -> ResamplerState:
        """The state before the first sample."""
        return ResamplerState(0, np.zeros(self.ratio.history, np.float32))

    def given(self, state: ResamplerState) -> int:
        """Outputs until a state."""
        return self.ratio.ready(state.taken)

    def push(self, state: ResamplerState, block: Pcm) -> tuple[Pcm, ResamplerState]:
        """The next inputs, float32 ``[n]``, n ≥ 0 → the outputs that they complete, float32 ``[m]``, and the state
        after them. ``state`` stays as it is.

        Raises:
            InputError: samples of another type or shape, or the state of another ratio.
        """
        taken, history = state
        # A step has filled the caches since the last push, so that all that is touched costs time. `is` touches least.
        if history.dtype is not _FLOAT32 or history.shape != self._kept:
            self._check(state)
        if type(block) is not _array or block.dtype is not _FLOAT32 or block.ndim != 1:
            _check_block(block)
        out, kept = self._sums.of(history, block, taken)
        return out, ResamplerState(taken + len(block), kept)

    def finish(self, state: ResamplerState) -> Pcm:
        """The end of the signal: the outputs that are left, float32 ``[m]``. In all, ``ratio.length(taken)`` come.

        Raises as `push`.
        """
        self._check(state)
        out = np.empty(self.ratio.length(state.taken) - self.given(state), _FLOAT32)
        return self._sums.of(state.history, _NOTHING, state.taken, out)[0]

    def whole(self, pcm: Pcm) -> Pcm:
        """A whole signal, float32 ``[n]`` → float32 ``[ratio.length(n)]``. Raises as `push`."""
        _check_block(pcm)
        out: Pcm = self.rows(pcm[None])[0]
        return out

    def rows(self, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Whole signals ``[B, n]``, taken as float32 → float32 ``[B, ratio.length(n)]``."""
        out = np.empty((len(rows), self.ratio.length(rows.shape[-1])), _FLOAT32)
        silence = self.start().history
        for row, to in zip(rows, out, strict=True):
            self._sums.of(silence, np.asarray(row, _FLOAT32), 0, to)
        return out

    def _check(self, state: ResamplerState) -> None:
        if state.history.shape != self._kept or state.history.dtype != _FLOAT32:
            raise InputError(
                f"the state keeps {state.history.dtype} {list(state.history.shape)}; wanted float32 "
                f"[{self.ratio.history}]: a resampler goes on from its own states"
            )


def _check_block(block: Any) -> None:
    if getattr(block, "dtype", None) != _FLOAT32 or block.ndim != 1:
        kind = f"{block.dtype} {list(block.shape)}" if isinstance(block, np.ndarray) else type(block).__name__
        raise InputError(f"samples to resample are {kind}; wanted float32 [n]: convert with audio.pcm.as_pcm")


@lru_cache(maxsize=16)
def resampler(rate_in: int, rate_out: int) -> Resampler:
    """The resampler of two rates in Hz that differ, made once. Raises `InputError` as `Resampler`."""
    return Resampler(rate_in, rate_out)


def resample_rows(rows: npt.NDArray[Any], rate_in: int, rate_out: int) -> npt.NDArray[Any]:
    """Whole signals ``[B, n]`` at ``rate_out``, float32; at equal rates as they are. Raises as `Resampler`."""
    rates = check_rate(rate_in, "the rate to convert from"), check_rate(rate_out, "the rate to convert to")
    if rates[0] == rates[1]:
        return rows
    return resampler(*rates).rows(rows)
