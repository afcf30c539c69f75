"""What a server counts, and how Prometheus reads it.

Counting costs a stream's frame less than a microsecond (a bisection and an addition); the text is made when it is asked
for, by prometheus-client.

Knows: names and units. Does not know: who asks, what the figures mean for anybody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..protocol.constants import Close
from .scheduler import Step
from .stream import ServedStream

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

#: Bounds in seconds, from far below a hop to where nothing is live any more.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


class Tally:
    """Counts of values by upper bounds, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Another value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: values up to each bound, the last one without."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class Metrics:
    """Args:
    hop_seconds: of audio in a hop.
    now: figures that are asked for when they are read: name → (help, value).
    """

    def __init__(self, hop_seconds: float, now: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._hop_seconds, self._now = hop_seconds, now
        self._steps = {direction: Tally(_SECONDS) for direction in ("encode", "decode")}
        self._rows = {direction: Tally(_ROWS) for direction in ("encode", "decode")}
        self._audio = dict.fromkeys(("encode", "decode"), 0.0)
        self._closes: Counter[Close] = Counter()
        self.latency = Tally(_SECONDS)
        self.lost_samples = self.resumed = self.expired = self.refused = 0

    def step(self, step: Step) -> None:
        """A step has been computed."""
        self._steps[step.direction].add(step.seconds)
        self._rows[step.direction].add(step.rows)
        self._audio[step.direction] += step.rows * step.hops * self._hop_seconds

    def ended(self, stream: ServedStream) -> None:
        """A stream has ended."""
        self.lost_samples += stream.lost

    def closed(self, code: Close) -> None:
        """A connection has ended."""
        self._closes[code] += 1

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client: this object is a collector."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, (text, value) in self._now().items():
            yield GaugeMetricFamily(f"streamrvq_{name}", text, value=value)
        for name, text, tallies in (
            ("step_seconds", "Time of a step", self._steps), ("step_streams", "Streams in a step", self._rows)
        ):  # fmt: skip
            family: Any = HistogramMetricFamily(f"streamrvq_{name}", text, labels=["direction"])
            for direction, tally in tallies.items():
                family.add_metric([direction], tally.buckets(), tally.sum)
            yield family
        audio: Any = CounterMetricFamily(
            "streamrvq_audio_seconds",
            "Audio computed; step_seconds_sum over this is the real-time factor",
            labels=["direction"],
        )
        for direction, seconds in self._audio.items():
            audio.add_metric([direction], seconds)
        yield audio
        yield HistogramMetricFamily(
            "streamrvq_latency_seconds", "From a stream's newest input to the outputs that it completed",
            buckets=self.latency.buckets(), sum_value=self.latency.sum,
        )  # fmt: skip
        closes: Any = CounterMetricFamily("streamrvq_closed", "Connections ended, by close code", labels=["code"])
        for code, count in sorted(self._closes.items()):
            closes.add_metric([str(int(code))], count)
        yield closes
        for name, text, value in (
            ("lost_samples", "Samples that clients said they lost", self.lost_samples),
            ("resumed", "Sessions taken up again", self.resumed),
            ("expired", "Sessions that nobody came back for", self.expired),
            ("refused", "Handshakes and connections refused", self.refused),
        ):
            yield CounterMetricFamily(f"streamrvq_{name}", text, value=value)

    def text(self) -> bytes:
        """Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
