"""A live source as segments: one codec stream after another, with the index and the time of every frame.

A gap of up to one second is filled with zeros, so its stream continues and frames keep their times. A longer gap ends
the stream. That stream is flushed, so its codes equal ``encode`` of the samples before the gap. A new one begins after
the gap. Frame indices continue without a hole, and ``time`` jumps by what was lost.

Let a segment begin at source position P. Its frame i begins exactly at sample ``i · hop`` at the codec's rate, and the
resampler preserves times, so

    time = P / source rate + i · hop / codec rate.

Knows: codec streams, gaps, positions. Does not know: asyncio, threads, queues, the time of day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import Pcm, as_pcm
from ..audio.rates import check_rate, output_length
from ..errors import SourceError
from ..system.copying import CopiedWhole
from ..system.foreign_data import is_whole, shown
from .items import Frames, Gap

if TYPE_CHECKING:
    from ..codec import Codec

#: The longest gap that is filled with zeros, in seconds.
FILL_SECONDS = 1.0


class SourcePosition:
    """The position of a source in samples and frames. Only counts; nothing is encoded here.

    Args:
        codec: whose frames are counted.
        sample_rate: of the source, Hz.

    Attributes:
        sample_rate: as given.
        position: samples of the source so far, lost ones included.
        start: position of the present segment's first sample.
        first: index of the present segment's first frame.

    Raises:
        InputError: no stream accepts that rate.
    """

    def __init__(self, codec: Codec, sample_rate: int) -> None:
        self._codec, self.sample_rate = codec, check_rate(sample_rate)
        self.position = self.start = self.first = 0

    @property
    def due(self) -> int:
        """Frames that hold the samples so far, the last one perhaps in part. Once this many frames have come out, they
        contain every sample."""
        samples = output_length(self.position - self.start, self.sample_rate, self._codec.sample_rate)
        return self.first - (-samples // self._codec.hop_length)

    def check(self, block: Any) -> Pcm:
        """Check a block of the source. Returns it as float32 ``[n]``; no position changes.

        Raises:
            SourceError: it is bytes.
            InputError: it is not a block of valid samples. A bad sample is named by its position in the source.
        """
        if isinstance(block, (bytes, bytearray, memoryview)):
            came = type(block).__name__
            raise SourceError(f"the source gave {came}; wanted arrays: np.frombuffer(block, np.int16) for 16-bit PCM")
        return as_pcm(block, position=self.position)

    def fills(self, gap: Gap) -> bool:
        """Whether a gap is filled with zeros; if not, it ends the segment.

        Raises:
            SourceError: the gap does not begin at ``position``, is empty, or is in no whole numbers of samples.
        """
        if not (is_whole(gap.samples, 1) and is_whole(gap.position, self.position, self.position)):
            raise SourceError(
                f"the source gave a gap of {shown(gap.samples)} samples at {shown(gap.position)} after {self.position} "
                "samples, lost ones counted; wanted a whole number of at least 1 sample, lost where the samples stand: "
                "correct the source's counting"
            )
        return gap.samples <= FILL_SECONDS * self.sample_rate

    def skip(self, gap: Gap) -> None:
        """End the segment before a long gap, its last hop padded, and begin another after the gap."""
        self.first = self.due
        self.position += int(gap.samples)  # numpy's 32 bits would soon be too few
        self.start = self.position


class Segments(CopiedWhole):
    """Encodes a source: a new stream of the codec for each segment. Calls must come in the source's order.

    Args:
        codec, sample_rate, n_quantizers, tail: as in ``codec.stream``; ``sample_rate`` is the source's.

    Attributes:
        frames: frames returned so far, which is the index of the next one.

    Raises:
        InputError: the codec refuses a setting.
    """

    def __init__(self, codec: Codec, sample_rate: int, n_quantizers: int | None = None, tail: str = "pad") -> None:
        self._source = SourcePosition(codec, sample_rate)
        self._codec, self._settings = codec, (self.sample_rate, n_quantizers, tail)
        self._hop = codec.hop_length / codec.sample_rate
        self.frames = 0
        self._begin()

    def _begin(self) -> None:
        self._stream = self._codec.stream(*self._settings)
        # Not `SourcePosition.first`: with ``tail="valid"`` a segment may have one frame fewer.
        self._first = self.frames

    @property
    def sample_rate(self) -> int:
        """The source's rate, Hz."""
        return self._source.sample_rate

    @property
    def position(self) -> int:
        """Samples of the source so far, lost ones included."""
        return self._source.position

    def check(self, block: Any) -> Pcm:
        """See `SourcePosition.check`."""
        return self._source.check(block)

    def fills(self, gap: Gap) -> bool:
        """See `SourcePosition.fills`. If true, push as many zeros; if false, call `skip`."""
        return self._source.fills(gap)

    def push(self, pcm: Pcm) -> Frames | None:
        """Encode samples that passed `check`. Returns the frames that they complete; None if there are none."""
        codes = self._stream.push(pcm)
        self._source.position += len(pcm)
        return self._frames(codes)

    def finish(self) -> Frames | None:
        """End the stream. Returns the frames still owed; None if there are none."""
        return self._frames(self._stream.flush())

    def skip(self, gap: Gap) -> Frames | None:
        """End the stream before a long gap and begin another after it. Returns the frames that the first one owed."""
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
