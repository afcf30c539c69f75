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
from ..audio.rates import check_rate, output_length, ratio
from ..errors import InputError
from ..system.copying import Shared
from .sums import Sums


class ResamplerState(NamedTuple):
    """Between two blocks.

    Attributes:
        taken: inputs so far. They have given ``ratio.ready(taken)`` outputs.
        history: float32 ``[ratio.history]``, the last inputs, oldest first; zeros before the start.
    """

    taken: int
    history: Pcm

    def copy(self) -> ResamplerState:
        """The same with an array of its own, so that who writes into one changes no other."""
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
        self._check(state)
        if getattr(block, "dtype", None) != np.float32 or block.ndim != 1:
            kind = f"{block.dtype} {list(block.shape)}" if isinstance(block, np.ndarray) else type(block).__name__
            raise InputError(f"samples to resample are {kind}; wanted float32 [n]: convert with audio.pcm.as_pcm")
        taken, given = state.taken + len(block), self.given(state)
        count = self.ratio.ready(taken) - given
        out, history = self._sums.of(state.history, block, state.taken, given, count)
        return out, ResamplerState(taken, history)

    def finish(self, state: ResamplerState) -> Pcm:
        """The end of the signal: the outputs that are left, float32 ``[m]``. In all, ``ratio.length(taken)`` come.

        Raises as `push`.
        """
        self._check(state)
        given, silence = self.given(state), np.zeros(self.ratio.half + 1, np.float32)
        left = self.ratio.length(state.taken) - given
        return self._sums.of(state.history, silence, state.taken, given, left)[0]

    def whole(self, pcm: Pcm) -> Pcm:
        """A whole signal, float32 ``[n]`` → float32 ``[ratio.length(n)]``. Raises as `push`."""
        out, state = self.push(self.start(), pcm)
        return np.concatenate([out, self.finish(state)])

    def _check(self, state: ResamplerState) -> None:
        if state.history.shape != (self.ratio.history,) or state.history.dtype != np.float32:
            raise InputError(
                f"the state keeps {state.history.dtype} {list(state.history.shape)}; wanted float32 "
                f"[{self.ratio.history}]: a resampler goes on from its own states"
            )


@lru_cache(maxsize=16)
def resampler(rate_in: int, rate_out: int) -> Resampler:
    """The resampler of two rates in Hz that differ, made once. Raises `InputError` as `Resampler`."""
    return Resampler(rate_in, rate_out)


def resample_rows(rows: npt.NDArray[Any], rate_in: int, rate_out: int) -> npt.NDArray[Any]:
    """Whole signals ``[B, n]`` at ``rate_out``, float32; at equal rates as they are. Raises as `Resampler`."""
    rates = check_rate(rate_in, "the rate to convert from"), check_rate(rate_out, "the rate to convert to")
    if rates[0] == rates[1]:
        return rows
    moved = [resampler(*rates).whole(np.asarray(row, np.float32)) for row in rows]
    return np.stack(moved) if moved else np.zeros((0, output_length(rows.shape[-1], *rates)), np.float32)
