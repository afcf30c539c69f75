"""Where the time goes between a sound and its token: what each part declares, beside what was measured.

    capture of a hop's last sample → device → resampler → lookahead → compute → its frame on the queue

Each part is its own word for the worst case, known before running, but for computing, which is measured. A frame's
first sample is a hop older than its last.

Knows: seconds. Does not know: who spends them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..audio.rates import held_back
from .stats import MicrophoneStats, TokenStats

if TYPE_CHECKING:
    from ..codec import Codec


@dataclasses.dataclass(frozen=True)
class LatencyBudget:
    """All in seconds; what is measured is None before the first frame."""

    hop: float  #: from a frame's first sample to its last
    device: float  #: from the air to our hands, a block of the device's included: PortAudio's word
    resampler: float  #: held back at most between the device's rate and the codec's
    lookahead: float  #: a frame waits for so many later hops
    compute_p50: float | None  #: from a block in hand to its frame on the queue: thread, computing, room on the queue
    compute_p99: float | None
    measured_p50: float | None  #: from the capture of a frame's last sample to the frame's being on the queue
    measured_p99: float | None

    @property
    def declared_p50(self) -> float | None:
        """device + resampler + lookahead + compute."""
        return self._sum(self.compute_p50)

    @property
    def declared_p99(self) -> float | None:
        return self._sum(self.compute_p99)

    def _sum(self, compute: float | None) -> float | None:
        return None if compute is None else self.device + self.resampler + self.lookahead + compute


def latency_budget(codec: Codec, source_rate: int, mic: MicrophoneStats, tokens: TokenStats) -> LatencyBudget:
    """The budget of a microphone at ``source_rate`` in front of a codec, from the figures of a run."""
    hop = codec.hop_length / codec.sample_rate
    return LatencyBudget(
        hop=hop, device=mic.device_latency, resampler=held_back(source_rate, codec.sample_rate),
        lookahead=codec.delay_frames * hop, compute_p50=tokens.latency_p50, compute_p99=tokens.latency_p99,
        measured_p50=tokens.capture_latency_p50, measured_p99=tokens.capture_latency_p99,
    )  # fmt: skip
