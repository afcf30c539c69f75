"""A resampler's sums: each output is the products of a window of samples with a row of coefficients.

Tap j of a row goes into sum ``j mod 8``. The eight are joined as ``((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))``. Every
product is exact in double precision and every sum is rounded to it, so that one order gives one result. Only the last
step rounds to float32.

The native library takes them where it was built (kernels/resample.inl.hpp). numpy takes the same otherwise, with the
same bits.

Knows: arrays, the library's functions, which outputs a block completes. Does not know: states, nor what is refused.
"""

from __future__ import annotations

from ctypes import addressof, c_char
from functools import cache
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..audio.pcm import Pcm
from ..audio.rates import REACH, Ratio
from ..engine.native.library import ResamplerSpec, last_error, load_library
from ..errors import EngineError
from .coefficients import SUMS, gain, keeps, pad, period, rows, taps, unit
from .filter import PIECES, filter_pieces

#: Samples of windows that numpy gathers at a time, for some thousand outputs: 8 MB of doubles.
_GATHERED = 1 << 20
# In the module itself: what a push looks up elsewhere is not in the caches after a step.
_FLOAT32, _empty = np.dtype(np.float32), np.empty
#: An array as an argument of the library: where its data lies. It is the cheapest way there, and keeps the array alive.
_data: Any = (c_char * 0).from_buffer


class Sums:
    """Outputs of one ratio.

    Args:
        ratio: up and down.
        instruction_set: of the native library; "": the best; "numpy": none.
        most: outputs are held to ±``most``.
    """

    def __init__(self, ratio: Ratio, instruction_set: str, most: float) -> None:
        self._ratio, self._most = ratio, most
        self._library = None if instruction_set == "numpy" else _library()
        self._up, self._down, self._half, self._kept = ratio.up, ratio.down, ratio.half, ratio.history
        self._inverse = pow(ratio.down, -1, ratio.up)
        self._table: Any = None
        if self._library is None:
            if keeps(ratio, self):
                self._table = rows(ratio, np.arange(ratio.up) * ratio.down % ratio.up)
            return
        self._pieces = filter_pieces()
        self._spec = ResamplerSpec(
            pieces=self._pieces.ctypes.data, period=ratio.up, up=ratio.up, down=ratio.down, half=ratio.half,
            taps=taps(ratio), pad=pad(ratio), reach=REACH, pieces_per_unit=PIECES, inverse=self._inverse,
            gain=gain(ratio), unit=unit(ratio), most=most,
        )  # fmt: skip
        self._address = addressof(self._spec)
        if keeps(ratio, self):
            self._table = np.empty(pad(ratio) + period(ratio) * (pad(ratio) + taps(ratio)), np.int32)
            self._spec.period, self._spec.rows = period(ratio), self._table.ctypes.data
        if self._library.srvq_resampler_prepare(instruction_set.encode(), self._spec):
            self._complain()
        if self._table is not None and self._spec.held < period(ratio):
            self._table = self._table[: pad(ratio) + self._spec.held * (pad(ratio) + taps(ratio))].copy()
            self._spec.rows = self._table.ctypes.data
        self._resample = self._library.srvq_resample

    def of(self, history: Pcm, block: Pcm, taken: int, out: Pcm | None = None) -> tuple[Pcm, Pcm]:
        """Outputs from ``ratio.ready(taken)`` on.

        Args:
            history: float32 ``[ratio.history]``, the inputs before input ``taken``.
            block: float32 ``[n]``, the inputs from there on.
            taken: index of the first input of ``block``.
            out: float32 ``[count]``, C-contiguous, for so many outputs, as if zeros came after ``block``. None: those
                that ``block`` completes.

        Returns:
            the outputs, and the last ``ratio.history`` inputs.
        """
        # An input has `up` parts. Output m = ready(taken) lies m · down − (taken − half) · up of them after input
        # `taken − half`. Beyond the start that is less than `down`, for it is the first that does not lie before it.
        up, down, more = self._up, self._down, len(block)
        offset = (self._half - taken) * up
        if offset <= 0:
            offset %= down
        if out is None:
            count = -((offset - more * up) // down)
            out = _empty(count if count > 0 else 0, _FLOAT32)
        if self._library is None:
            return out, self._of_numpy(out, history, block, offset)
        try:
            past, new = _data(history), _data(block)
        except TypeError:  # one of them may not be written, or has strides
            history, block = (np.require(array, None, ["C", "W"]) for array in (history, block))
            past, new = _data(history), _data(block)
        kept = _empty(self._kept, _FLOAT32)
        if self._resample(self._address, past, new, more, offset, len(out), _data(out), _data(kept)):
            self._complain()
        return out, kept

    def _of_numpy(self, out: Pcm, history: Pcm, block: Pcm, offset: int) -> Pcm:
        up, down, width, count = self._up, self._down, taps(self._ratio), len(out)
        at, phase = offset // up + 1, offset % up
        first = phase * self._inverse % up
        inputs = np.concatenate([history, block])
        begins = at + (phase + np.arange(count) * down) // up
        missing = max(0, int(begins[-1]) + width - len(inputs)) if count else 0
        windows = sliding_window_view(np.concatenate([inputs, np.zeros(missing + width, np.float32)]), width)
        phases, group = (first + np.arange(count)) * down % up, max(1, _GATHERED // width)
        for i in range(0, count, group):
            part = slice(i, i + group)
            table = (
                rows(self._ratio, phases[part])
                if self._table is None
                else self._table[(first + np.arange(count)[part]) % up]
            )
            products = windows[begins[part]].astype(np.float64) * table
            sums = np.zeros((len(products), SUMS))
            for tap in range(0, width, SUMS):
                sums += products[:, tap : tap + SUMS]
            four = sums[:, :4] + sums[:, 4:]
            total = (four[:, 0] + four[:, 2]) + (four[:, 1] + four[:, 3])
            out[part] = np.clip(total, -self._most, self._most)
        return inputs[len(inputs) - len(history) :].copy()  # and let go of the block

    def _complain(self) -> NoReturn:
        raise EngineError(f"the native engine refused to resample: {last_error()}")


@cache
def _library() -> Any:
    """The native library, or None where there is none. `make_engine` warns of that; samples are the same."""
    try:
        return load_library()
    except EngineError:
        return None
