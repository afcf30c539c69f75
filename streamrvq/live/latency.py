"""The latency between a sound and its token, part by part, beside the latency measured from end to end.

    capture of a hop's last sample → device → handover → resampler → lookahead → compute → its frame on the queue

Device, resampler and lookahead are declared: each is the part's own worst case, known before a run. The resampler's and
the lookahead follow from whole numbers, and a resampler gives its outputs as evenly as inputs come. Handover and
compute depend on the machine, and each is measured alone. So the sum of the parts can be compared with the measurement
from end to end. A frame's first sample is a hop older than its last.

Knows: seconds. Does not know: what causes them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from ..audio.rates import held_back
from .stats import MicrophoneStats, TokenStats

if TYPE_CHECKING:
    from ..codec import Codec


@dataclasses.dataclass(frozen=True)
class LatencyBudget:
    """The parts of the latency, in seconds. Measured values are None before the first frame."""

    hop: float  #: from a frame's first sample to its last
    device: float  #: from the air to the callback, one device block included, as PortAudio states it
    handover_p50: float | None  #: from the callback until the block is taken: the event loop, and the step before
    handover_p99: float | None
    resampler: float  #: the most that the resampler holds back, by arithmetic: 0.0 at the codec's own rate
    lookahead: float  #: the later hops that a frame waits for
    compute_p50: float | None  #: from taking a block to its frame on the queue: thread, computing, a full queue
    compute_p99: float | None
    measured_p50: float | None  #: from the capture of a frame's last sample until the frame is on the queue
    measured_p99: float | None

    @property
    def sum_p50(self) -> float | None:
        """device + handover + resampler + lookahead + compute."""
        return self._sum(self.handover_p50, self.compute_p50)

    @property
    def sum_p99(self) -> float | None:
        """The same sum of the 99th percentiles."""
        return self._sum(self.handover_p99, self.compute_p99)

    def shown(self, percentile: Literal["p50", "p99"]) -> dict[str, float | None]:
        """The parts, their sum and the measured whole, in milliseconds with one decimal.

        The sum is that of the rounded parts: rounded by itself, it could differ from what is shown beside it.
        """
        handover, compute, measured = (
            getattr(self, f"{part}_{percentile}") for part in ("handover", "compute", "measured")
        )
        parts = {
            "device": self.device, "handover": handover, "resampler": self.resampler, "lookahead": self.lookahead,
            "compute": compute,
        }  # fmt: skip
        tenths = {name: None if part is None else round(1e4 * part) for name, part in parts.items()}
        known = [part for part in tenths.values() if part is not None]
        tenths["sum"] = sum(known) if len(known) == len(parts) else None
        tenths["measured"] = None if measured is None else round(1e4 * measured)
        return {name: None if value is None else value / 10 for name, value in tenths.items()}

    def _sum(self, handover: float | None, compute: float | None) -> float | None:
        if handover is None or compute is None:
            return None
        return self.device + handover + self.resampler + self.lookahead + compute


def latency_budget(codec: Codec, source_rate: int, mic: MicrophoneStats, tokens: TokenStats) -> LatencyBudget:
    """The latency of a microphone at ``source_rate`` Hz in front of a codec, from the statistics of a run."""
    hop = codec.hop_length / codec.sample_rate
    return LatencyBudget(
        hop=hop, device=mic.device_latency, handover_p50=mic.handover_p50, handover_p99=mic.handover_p99,
        resampler=held_back(source_rate, codec.sample_rate),
        lookahead=codec.delay_frames * hop, compute_p50=tokens.latency_p50, compute_p99=tokens.latency_p99,
        measured_p50=tokens.capture_latency_p50, measured_p99=tokens.capture_latency_p99,
    )  # fmt: skip
