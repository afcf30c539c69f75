"""Sample-rate conversion around a stream: before an encoder, or after a decoder.

A resampler's state is kept beside the timeline's, and an exception from a signal handler may come between the two. So
each call notes the next state first and lets the timeline move on with its own single store. What the timeline says
then tells which of the two states holds: the one whose samples it counts. Nothing else has to be put right.

Knows: two states and a count. Does not know: who counts (timeline.py), what a state is (resampling/).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import Pcm
from ..resampling import Resampler, ResamplerState, resampler
from ..system.copying import CopiedWhole
from .timeline import Timeline


class _Converted(CopiedWhole):
    def __init__(self, converter: Resampler, state: ResamplerState | None = None) -> None:
        self.converter = converter
        self._state = converter.start() if state is None else state.copy()
        self._next = self._state


class InputRate(_Converted):
    """The conversion before an encoder. Its outputs are the timeline's ``given``."""

    def __init__(
        self, sample_rate: int, timeline: Timeline, codec_rate: int, state: ResamplerState | None = None
    ) -> None:
        super().__init__(resampler(sample_rate, codec_rate), state)
        self._timeline = timeline
        self.ending = False  # `end` was called: no more inputs are taken

    @property
    def state(self) -> ResamplerState:
        """After the inputs that were taken."""
        return self._state if self.ending or self.converter.given(self._state) == self._timeline.given else self._next

    def feed(self, pcm: Pcm, append: Callable[[Pcm], None]) -> None:
        """Take inputs float32 ``[n]``. ``append`` gets what they become, and counts it."""
        self._state = self.state
        out, self._next = self.converter.push(self._state, pcm)
        append(out)
        self._state = self._next

    def end(self, append: Callable[[Pcm], None]) -> None:
        """The end of the signal: ``append`` gets what is left. It may be called again after an exception."""
        self._state = self.state
        self.ending = True
        if self.converter.given(self._state) == self._timeline.given:
            append(self.converter.finish(self._state))


class OutputRate(_Converted):
    """The conversion after a decoder. Its inputs are the samples that have been handed out."""

    def __init__(self, sample_rate: int, codec_rate: int, state: ResamplerState | None = None) -> None:
        super().__init__(resampler(codec_rate, sample_rate), state)

    def state(self, given: int) -> ResamplerState:
        """After ``given`` decoded samples."""
        return self._state if self._state.taken == given else self._next

    def given(self, given: int, ended: bool = False) -> int:
        """Outputs of ``given`` decoded samples; ``ended``: they were the last."""
        between = self.converter.ratio
        return between.length(given) if ended else between.ready(given)

    def convert(self, pcm: npt.NDArray[Any], given: int, last: bool) -> Pcm:
        """What the next decoded samples become, float32 ``[n]``. They count once the caller's own count, ``given``
        until now, has moved on.

        Args:
            pcm: ``[n]`` samples.
            given: decoded samples before them.
            last: none follow.
        """
        self._state = self.state(given)
        out, self._next = self.converter.push(self._state, np.asarray(pcm, np.float32))
        return np.concatenate([out, self.converter.finish(self._next)]) if last else out


def rates_around(
    timeline: Timeline, sample_rate: int, codec_rate: int, state: ResamplerState | None = None
) -> tuple[InputRate | None, OutputRate | None]:
    """The conversions before and after a stream at ``sample_rate``. One of them, or none, is needed.

    Args:
        timeline: the stream's.
        sample_rate: outside, Hz.
        codec_rate: inside, Hz.
        state: of the one that is needed; None: the stream is fresh.
    """
    if sample_rate == codec_rate:
        return None, None
    if timeline.plan.direction == "encode":
        return InputRate(sample_rate, timeline, codec_rate, state), None
    return None, OutputRate(sample_rate, codec_rate, state)
