"""A resampler's sums: each output is the products of a window of samples with a row of coefficients.

Tap j of a row goes into sum ``j mod 8``. The eight are joined as ``((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))``. Every
product is exact in double precision and every sum is rounded to it, so that one order gives one result. Only the last
step rounds to float32.

The native library takes them where it was built (kernels/resample.inl.hpp). numpy takes the same otherwise, with the
same bits.

Knows: arrays, and the library's functions. Does not know: states, when outputs are due.
"""

from __future__ import annotations

from ctypes import byref
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..audio.pcm import Pcm
from ..audio.rates import REACH, Ratio
from ..engine.native.core import address
from ..engine.native.library import ResamplerSpec, last_error, load_library
from ..errors import EngineError
from .coefficients import LANES, gain, grid, keeps, rows, taps
from .filter import PIECES, filter_pieces

#: Samples of windows that numpy gathers at a time, for some thousand outputs: 8 MB of doubles.
_GATHERED = 1 << 20


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
        self._set = instruction_set.encode()
        self._table: Any = None
        if self._library is None:
            if keeps(ratio, self):
                self._table = rows(ratio, np.arange(ratio.up) * ratio.down % ratio.up)
            return
        self._pieces = filter_pieces()
        self._spec = ResamplerSpec(
            pieces=self._pieces.ctypes.data, period=ratio.up, up=ratio.up, down=ratio.down, half=ratio.half,
            taps=taps(ratio), reach=REACH, pieces_per_unit=PIECES, gain=gain(ratio), grid=grid(ratio), most=most,
        )  # fmt: skip
        self._address = byref(self._spec)
        if keeps(ratio, self):
            self._table = np.empty((ratio.up, taps(ratio)))
            self._check(self._library.srvq_resampler_rows(self._address, 0, ratio.up, address(self._table)))
            self._spec.rows = self._table.ctypes.data

    def of(self, history: Pcm, block: Pcm, taken: int, first: int, count: int) -> tuple[Pcm, Pcm]:
        """``count`` outputs from ``first`` on.

        Args:
            history: float32 ``[ratio.history]``, the inputs before input ``taken``.
            block: float32 ``[n]``, the inputs from there on. After them, the signal is zero.
            taken: index of the first input of ``block``.
            first: index of the first output; its window begins in ``history``.
            count: of outputs.

        Returns:
            float32 ``[count]``, and the last ``ratio.history`` inputs.
        """
        place, phase = self._ratio.place(first)
        at = place + 1 - self._ratio.half - (taken - len(history))
        if self._library is None:
            return self._of_numpy(history, block, at, first, count)
        history, block = np.ascontiguousarray(history), np.ascontiguousarray(block)
        out, after = np.empty(count, np.float32), np.empty(len(history), np.float32)
        self._check(self._library.srvq_resample(
            self._set, self._address, address(history), address(block) if len(block) else None, len(block), at, phase,
            first % self._ratio.up, count, address(out) if count else None, address(after),
        ))  # fmt: skip
        return out, after

    def _of_numpy(self, history: Pcm, block: Pcm, at: int, first: int, count: int) -> tuple[Pcm, Pcm]:
        up, down, width = self._ratio.up, self._ratio.down, taps(self._ratio)
        inputs = np.concatenate([history, block])
        begins = at + (self._ratio.place(first)[1] + np.arange(count) * down) // up
        missing = max(0, int(begins[-1]) + width - len(inputs)) if count else 0
        windows = sliding_window_view(np.concatenate([inputs, np.zeros(missing + width, np.float32)]), width)
        phases = (first % up + np.arange(count)) * down % up
        out, group = np.empty(count, np.float32), max(1, _GATHERED // width)
        for i in range(0, count, group):
            part = slice(i, i + group)
            table = (
                rows(self._ratio, phases[part])
                if self._table is None
                else self._table[(first % up + np.arange(count)[part]) % up]
            )
            products = windows[begins[part]].astype(np.float64) * table
            sums = np.zeros((len(products), LANES))
            for tap in range(0, width, LANES):
                sums += products[:, tap : tap + LANES]
            four = sums[:, :4] + sums[:, 4:]
            total = (four[:, 0] + four[:, 2]) + (four[:, 1] + four[:, 3])
            out[part] = np.clip(total, -self._most, self._most)
        return out, inputs[len(inputs) - len(history) :].copy()  # and let go of the block

    def _check(self, status: int) -> None:
        if status:
            raise EngineError(f"the native engine refused to resample: {last_error()}")


@cache
def _library() -> Any:
    """The native library, or None where there is none. `make_engine` warns of that; samples are the same."""
    try:
        return load_library()
    except EngineError:
        return None
