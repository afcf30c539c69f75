"""What clients send: real audio that goes round and round, each stream beginning elsewhere in it.

Knows: samples by position, endless. Does not know: streams, messages, codecs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamrvq.audio.files import open_audio
from streamrvq.audio.pcm import to_int16
from streamrvq.audio.rates import Resampler

FOLDER = Path(__file__).parents[3] / "demos/audio"
#: Seconds that one message may hold at most; so much of the lap stands behind its end once more.
_LONGEST = 2.0
_GOLDEN = 0.6180339887498949


class Lap:
    """The clips of demos/audio one after the other, int16 at ``rate`` Hz: speech, then guitar and drums."""

    def __init__(self, rate: int) -> None:
        parts = []
        for path in sorted(FOLDER.glob("*.flac")):
            with open_audio(path, downmix=True) as reader:
                pcm = np.concatenate(list(reader.blocks(1 << 16)))
                source = reader.sample_rate
            if source != rate:
                resampler = Resampler(source, rate)
                pcm = np.concatenate([resampler.push(pcm), resampler.flush()])
            parts.append(to_int16(pcm))
        once = np.concatenate(parts)
        self.rate, self.length = rate, len(once)
        self._samples = np.concatenate([once, once[: int(_LONGEST * rate)]])
        self._bytes = self._samples.astype("<i2").tobytes()

    @property
    def longest(self) -> int:
        """Samples that may be asked for at once."""
        return len(self._samples) - self.length

    def offset(self, stream: int) -> int:
        """Where a stream begins: far from every other one."""
        return int((stream * _GOLDEN) % 1.0 * self.length)

    def samples(self, start: int, count: int) -> npt.NDArray[np.int16]:
        """``count`` samples from ``start`` on, at most `longest`."""
        at = start % self.length
        return self._samples[at : at + count]

    def wire(self, start: int, count: int) -> bytes:
        """The same as they are sent."""
        at = 2 * (start % self.length)
        return self._bytes[at : at + 2 * count]
