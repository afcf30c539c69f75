"""The true clock of a live source: one stream after another, frames counted through, every frame's time told.

A gap of up to one second is filled with zeros, so that its stream goes on and frames keep their places. A longer one
ends the stream (flushed, so the codes before the gap equal ``encode`` of the samples before it) and a new one begins
behind it. The index counts on without a hole; ``time`` jumps by what was lost. Within a segment that began at source
position P, frame i of it begins at its model-rate sample ``i · hop`` exactly, and the resampler keeps times, hence

    time = P / source rate + i · hop / model rate.

Knows: codec streams, gaps, positions. Does not know: asyncio, threads, queues, clocks on the wall. Calls in order only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import Pcm, as_pcm
from ..audio.rates import check_rate, output_length
from ..errors import SourceError
from .items import Frames, Gap

if TYPE_CHECKING:
    from ..codec import Codec

#: Gaps of up to so many seconds are filled with zeros.
FILL_SECONDS = 1.0


class SourcePosition:
    """Where a source stands: integers only, nobody computes.

    Args:
        codec: whose frames they are.
        sample_rate: of the source, Hz.

    Attributes:
        position: samples of the source so far, lost ones counted.
        start, first: of the segment under way: its first sample, and the index of its first frame.

    Raises:
        InputError: a rate that no stream has.
    """

    def __init__(self, codec: Codec, sample_rate: int) -> None:
        self._codec, self.sample_rate = codec, check_rate(sample_rate)
        self.position = self.start = self.first = 0

    @property
    def due(self) -> int:
        """Frames that hold the samples so far, in all: the last one perhaps in part. Once so many have come, every
        sample has been heard in the codes."""
        samples = output_length(self.position - self.start, self.sample_rate, self._codec.sample_rate)
        return self.first - (-samples // self._codec.hop_length)

    def check(self, block: Any) -> Pcm:
        """A source's block as float32 ``[n]``. Nothing changes.

        Raises:
            SourceError: bytes.
            InputError: what is no block of samples; a bad sample is named by its position in the source.
        """
        if isinstance(block, (bytes, bytearray, memoryview)):
            came = type(block).__name__
            raise SourceError(f"the source gave {came}; wanted arrays: np.frombuffer(block, np.int16) for 16-bit PCM")
        return as_pcm(block, position=self.position)

    def fills(self, gap: Gap) -> bool:
        """True where a gap is to be filled with zeros; False where it ends the segment.

        Raises:
            SourceError: the gap does not begin where the samples stand, or is empty.
        """
        if gap.position != self.position or gap.samples < 1:
            raise SourceError(
                f"the source gave a gap of {gap.samples} samples at {gap.position} after {self.position} samples, lost "
                "ones counted; wanted at least 1 sample, lost where the samples stand: correct the source's counting"
            )
        return gap.samples <= FILL_SECONDS * self.sample_rate

    def skip(self, gap: Gap) -> None:
        """The segment ends before a long gap, its last hop filled up; another begins behind it."""
        self.first = self.due
        self.position += gap.samples
        self.start = self.position


class Segments:
    """Streams of one codec behind one another.

    Args:
        codec, sample_rate, n_quantizers, tail: as in ``codec.stream``; ``sample_rate`` is the source's.

    Attributes:
        frames: frames given so far, which is the index of the next.

    Raises:
        InputError: a setting that the codec refuses.
    """

    def __init__(self, codec: Codec, sample_rate: int, n_quantizers: int | None = None, tail: str = "pad") -> None:
        self._source = SourcePosition(codec, sample_rate)
        self._codec, self._settings = codec, (self.sample_rate, n_quantizers, tail)
        self._hop = codec.hop_length / codec.sample_rate
        self.frames = 0
        self._begin()

    def _begin(self) -> None:
        self._stream = self._codec.stream(*self._settings)
        # Of its own count: with ``tail="valid"`` a segment may have a frame fewer than hold its samples.
        self._first = self.frames

    @property
    def sample_rate(self) -> int:
        """Of the source, Hz."""
        return self._source.sample_rate

    @property
    def position(self) -> int:
        """Samples of the source so far, lost ones counted."""
        return self._source.position

    def check(self, block: Any) -> Pcm:
        """See `SourcePosition.check`."""
        return self._source.check(block)

    def fills(self, gap: Gap) -> bool:
        """See `SourcePosition.fills`. True: push so many zeros. False: call `skip`."""
        return self._source.fills(gap)

    def push(self, pcm: Pcm) -> Frames | None:
        """Take checked samples (`check`); give the frames that they complete, if any."""
        codes = self._stream.push(pcm)
        self._source.position += len(pcm)
        return self._frames(codes)

    def finish(self) -> Frames | None:
        """End the stream; give the frames still owed, if any."""
        return self._frames(self._stream.flush())

    def skip(self, gap: Gap) -> Frames | None:
        """End the stream before a long gap and begin another behind it; give the frames that the first one owed."""
        rest = self.finish()
        self._source.skip(gap)
        self._begin()
        return rest

    def _frames(self, codes: npt.NDArray[np.int64]) -> Frames | None:
        count = codes.shape[-1]
        if not count:
            return None
        index, self.frames = self.frames, self.frames + count
        return Frames(index, self._source.start / self.sample_rate + (index - self._first) * self._hop, codes)
