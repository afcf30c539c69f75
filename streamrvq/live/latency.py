"""Where the time goes between a sound and its token: what each part declares, beside what was measured.

    capture of a hop's last sample → device → handover → resampler → lookahead → compute → its frame on the queue

Device, resampler and lookahead are declared: each part's own word for its worst case, known before running. Handover
and compute depend on the machine and are measured by themselves, so that the sum can be held against what was measured
from end to end. A frame's first sample is a hop older than its last.

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
    handover_p50: float | None  #: from the device's thread into hand: the event loop, and the step before
    handover_p99: float | None
    resampler: float  #: held back at most between the device's rate and the codec's
    lookahead: float  #: a frame waits for so many later hops
    compute_p50: float | None  #: from a block in hand to its frame on the queue: thread, computing, room on the queue
    compute_p99: float | None
    measured_p50: float | None  #: from the capture of a frame's last sample to the frame's being on the queue
    measured_p99: float | None

    @property
    def sum_p50(self) -> float | None:
        """device + handover + resampler + lookahead + compute."""
        return self._sum(self.handover_p50, self.compute_p50)

    @property
    def sum_p99(self) -> float | None:
        return self._sum(self.handover_p99, self.compute_p99)

    def _sum(self, handover: float | None, compute: float | None) -> float | None:
        if handover is None or compute is None:
            return None
        return self.device + handover + self.resampler + self.lookahead + compute


def latency_budget(codec: Codec, source_rate: int, mic: MicrophoneStats, tokens: TokenStats) -> LatencyBudget:
    """The budget of a microphone at ``source_rate`` in front of a codec, from the figures of a run."""
    hop = codec.hop_length / codec.sample_rate
    return LatencyBudget(
        hop=hop, device=mic.device_latency, handover_p50=mic.handover_p50, handover_p99=mic.handover_p99,
        resampler=held_back(source_rate, codec.sample_rate),
        lookahead=codec.delay_frames * hop, compute_p50=tokens.latency_p50, compute_p99=tokens.latency_p99,
        measured_p50=tokens.capture_latency_p50, measured_p99=tokens.capture_latency_p99,
    )  # fmt: skip
