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
from ..resampling import ResamplerState, resampler
from ..system.copying import CopiedWhole
from .timeline import Timeline


class InputRate(CopiedWhole):
    """The conversion before an encoder. Its outputs are the timeline's ``given``."""

    def __init__(
        self, sample_rate: int, timeline: Timeline, codec_rate: int, state: ResamplerState | None = None
    ) -> None:
        self.converter = resampler(sample_rate, codec_rate)
        state = self.converter.start() if state is None else state.copy()
        self._timeline = timeline
        self._now = state, self.converter.given(state)  # with the outputs until then
        self._next = self._now
        self.ending = False  # `end` was called: no more inputs are taken

    def _current(self) -> tuple[ResamplerState, int]:
        return self._now if self.ending or self._now[1] == self._timeline.given else self._next

    @property
    def state(self) -> ResamplerState:
        """After the inputs that were taken."""
        return self._current()[0]

    def feed(self, pcm: Pcm, append: Callable[[Pcm], None]) -> None:
        """Take inputs float32 ``[n]``. ``append`` gets what they become, and counts it."""
        self._now = state, given = self._current()
        out, state = self.converter.push(state, pcm)
        self._next = state, given + len(out)
        append(out)
        self._now = self._next

    def end(self, append: Callable[[Pcm], None]) -> None:
        """The end of the signal: ``append`` gets what is left. It may be called again after an exception."""
        self._now = state, given = self._current()
        self.ending = True
        if given == self._timeline.given:
            append(self.converter.finish(state))


class OutputRate(CopiedWhole):
    """The conversion after a decoder. Its inputs are the samples that have been handed out."""

    def __init__(self, sample_rate: int, codec_rate: int, state: ResamplerState | None = None) -> None:
        self.converter = resampler(codec_rate, sample_rate)
        self._state = self.converter.start() if state is None else state.copy()
        self._next = self._state

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
