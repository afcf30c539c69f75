"""A signal whose codes are read only when asked for: by frame or by time, all levels or the first few.

Knows: how time and frames correspond. Does not know: where the codes are stored; shards.py and reader.py do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, overload

import numpy as np
import numpy.typing as npt

from ..audio.rates import output_length
from ..engine.base import Codes
from ..errors import InputError
from ..system.foreign_data import is_whole, shown
from .frameworks import as_framework
from .further import Value

if TYPE_CHECKING:
    from .frameworks import Tensor

#: Given the first frame, the one after the last, and the number of levels, gives codes: integers ``[levels, T]``.
Fetch = Callable[[int, int, int], npt.NDArray[np.integer]]
#: What a manifest's columns say, by their names.
Columns = dict[str, Value]

# A time may be this many frames off, by rounding, before it counts as part of the next frame.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Signal:
    """One encoded signal of a `TokenSet`. Two are equal if they are the same one of the same file.

    Attributes:
        path: the source, as it was given for encoding. For a token file: the path of that file.
        channel: of the source, if each channel was encoded; otherwise −1.
        source_rate, num_samples: of the original signal: Hz, and samples at that rate.
        frames, n_quantizers: T and K of its codes.
        sample_rate, hop_length, codec_hash: of the codec; decode with no other codec.
        codec: the name that the codec was loaded under.
        trained: False if its weights were seeded: the codes mean nothing.
        resampler: what brought the signal from ``source_rate`` to ``sample_rate``. None: the rates are equal, or the
            token file does not say.
    """

    path: str
    channel: int
    source_rate: int
    num_samples: int
    frames: int
    n_quantizers: int
    sample_rate: int
    hop_length: int
    codec_hash: str
    codec: str
    trained: bool
    resampler: str | None
    _fetch: Fetch = dataclasses.field(repr=False, compare=False)
    _further: Callable[[], Columns] = dataclasses.field(default=dict, repr=False, compare=False)
    _place: tuple[str, int] = dataclasses.field(default=("", 0), repr=False)  # its file, and its number there

    @property
    def columns(self) -> Columns:
        """What the manifest said of the source beside its path, such as text, speaker and language; None where it said
        nothing. Empty for a token file, and for shards of sources that no manifest named.

        Raises:
            TokensError: the file is missing or damaged.
        """
        return self._further()

    @property
    def seconds(self) -> float:
        """Length of the original signal, in seconds."""
        return self.num_samples / self.source_rate

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def pcm_length(self) -> int:
        """Samples at ``sample_rate``. Decoded pcm of the whole signal is trimmed to this."""
        return output_length(self.num_samples, self.source_rate, self.sample_rate)

    @overload
    def read(
        self, start: float = ..., stop: float | None = ..., n_quantizers: int | None = ...,
        framework: Literal["numpy"] = ...,
    ) -> Codes: ...  # fmt: skip

    @overload
    def read(
        self, start: float = ..., stop: float | None = ..., n_quantizers: int | None = ..., *,
        framework: Literal["torch"],
    ) -> Tensor: ...  # fmt: skip

    def read(
        self, start: float = 0.0, stop: float | None = None, n_quantizers: int | None = None, framework: str = "numpy"
    ) -> Codes | Tensor:
        """The codes of a span of time: every frame that overlaps it.

        Args:
            start: seconds from the signal's start.
            stop: seconds from the signal's start; None: to its end. Times beyond the end give no frames.
            n_quantizers: how many levels, from the first; None: all.
            framework: ``"numpy"`` or ``"torch"``.

        Returns:
            int64 ``[K, T]``.

        Raises:
            InputError: a negative time or none, an end before the start, a bad number of levels, or another framework.
            TokensError: the file is missing or damaged.
            ExtraError: torch is wanted and not installed.
        """
        end = math.inf if stop is None else stop
        try:
            fits = bool(0 <= start <= end)
        except (TypeError, ValueError, RuntimeError):  # text, or arrays
            fits = False
        if not fits:
            raise InputError(
                f"{shown(start)} s to {shown(stop)} s was asked for; wanted times from 0 on, the first not after the "
                "last"
            )
        # Kept near the signal before they are multiplied and made whole: a time may be infinite, or as large as any.
        # As a float32 it would be multiplied as such, and be frames off.
        beyond = (self.frames + 1) / self.frame_rate
        first = math.floor(float(min(start, beyond)) * self.frame_rate + _ROUNDING)
        last = math.ceil(float(min(end, beyond)) * self.frame_rate - _ROUNDING)
        return self.read_frames(min(first, self.frames), min(max(first, last), self.frames), n_quantizers, framework)

    def read_frames(
        self, first: int = 0, stop: int | None = None, n_quantizers: int | None = None, framework: str = "numpy"
    ) -> Codes | Tensor:
        """The codes of frames ``first`` to before ``stop`` (None: all after ``first``), int64 ``[K, T]``; see `read`.

        Raises:
            InputError: the signal does not have these frames, a bad number of levels, or another framework.
            TokensError: the file is missing or damaged.
            ExtraError: torch is wanted and not installed.
        """
        end = self.frames if stop is None else stop
        if not (is_whole(end, 0, self.frames) and is_whole(first, 0, int(end))):
            raise InputError(
                f"frames {shown(first)} to {shown(end)} were asked for; {self.path} has {self.frames}, from 0"
            )
        levels = self.n_quantizers if n_quantizers is None else n_quantizers
        if not is_whole(levels, 1, self.n_quantizers):
            raise InputError(f"n_quantizers is {shown(levels)}; {self.path} has 1 to {self.n_quantizers}")
        return as_framework(self._fetch(int(first), int(end), int(levels)), framework)  # numpy's would wrap around
