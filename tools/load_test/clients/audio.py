"""What clients send: real audio in an endless loop. Each stream starts at another place in it.

Knows: samples by position. Does not know: streams, messages, codecs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamrvq.audio.files import open_audio
from streamrvq.audio.pcm import to_int16
from streamrvq.resampling import resampler

from .phase import phase

FOLDER = Path(__file__).parents[3] / "demos/audio"
#: Seconds that one message may hold. That much of the loop's start is repeated after its end.
_LONGEST = 2.0


class LoopedAudio:
    """The clips of demos/audio, one after the other, int16 at ``rate`` Hz."""

    def __init__(self, rate: int) -> None:
        parts = []
        for path in sorted(FOLDER.glob("*.flac")):
            with open_audio(path, downmix=True) as reader:
                pcm = np.concatenate(list(reader.blocks(1 << 16)))
                source = reader.sample_rate
            if source != rate:
                pcm = resampler(source, rate).whole(pcm)
            parts.append(to_int16(pcm))
        once = np.concatenate(parts)
        self.rate, self.length = rate, len(once)
        self._samples = np.concatenate([once, once[: int(_LONGEST * rate)]])
        self._bytes = self._samples.astype("<i2").tobytes()

    @property
    def longest(self) -> int:
        """The most samples that `samples` and `wire` can give at once."""
        return len(self._samples) - self.length

    def offset(self, stream: int) -> int:
        """The start of a stream, far from that of every other stream."""
        return int(phase(stream) * self.length)

    def samples(self, start: int, count: int) -> npt.NDArray[np.int16]:
        """``count`` samples from ``start`` on; at most `longest`."""
        at = start % self.length
        return self._samples[at : at + count]

    def wire(self, start: int, count: int) -> bytes:
        """The same samples as bytes, as they are sent."""
        at = 2 * (start % self.length)
        return self._bytes[at : at + 2 * count]
