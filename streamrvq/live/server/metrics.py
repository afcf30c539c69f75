"""What a server counts, and how Prometheus reads it.

Counting takes less than a microsecond a frame: a bisection and an addition. prometheus-client makes the text when it is
asked for.

Knows: names and units. Does not know: who reads them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..protocol.constants import Close

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from .scheduling.results import Step
    from .stream import ServedStream

#: Bounds in seconds: from far below a hop to far above what is live.
_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)


class Histogram:
    """Counts of values in buckets, and the sum of the values.

    Args:
        bounds: the buckets' upper bounds, ascending. One more bucket is for all larger values.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus wants them: the number of values up to each bound, the last one "+Inf"."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class Metrics:
    """The counters of a server, and a collector for prometheus-client.

    Args:
        hop_seconds: seconds of audio in a hop.
        gauges: called when the metrics are read, for values of the moment: name → (help, value).

    Attributes:
        latency: seconds from a stream's newest input to the outputs that it completed.
        lost_samples, resumed, expired: counters; see their help texts in `collect`.
    """

    def __init__(self, hop_seconds: float, gauges: Callable[[], dict[str, tuple[str, float]]]) -> None:
        self._hop_seconds, self._gauges = hop_seconds, gauges
        self._steps = {direction: Histogram(_SECONDS) for direction in ("encode", "decode")}
        self._rows = {direction: Histogram(_ROWS) for direction in ("encode", "decode")}
        self._audio = dict.fromkeys(("encode", "decode"), 0.0)
        self._closes: Counter[Close] = Counter()
        self._refusals: Counter[str] = Counter()
        self.latency = Histogram(_SECONDS)
        self.lost_samples = self.resumed = self.expired = 0

    def step_done(self, step: Step) -> None:
        """Count a step that was computed."""
        self._steps[step.direction].add(step.seconds)
        self._rows[step.direction].add(step.rows)
        self._audio[step.direction] += step.rows * step.hops * self._hop_seconds

    def stream_ended(self, stream: ServedStream) -> None:
        """Count a stream that has ended."""
        self.lost_samples += stream.lost

    def connection_closed(self, code: Close) -> None:
        """Count a connection that has ended."""
        self._closes[code] += 1

    def refuse(self, reason: str) -> None:
        """Count a connection or request that was refused; ``reason`` is one of few, never what a client sent."""
        self._refusals[reason] += 1

    @property
    def refused(self) -> int:
        """Connections and requests refused, for all reasons."""
        return self._refusals.total()

    def collect(self) -> Iterator[Metric]:
        """All metrics; prometheus-client calls this."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        for name, (text, value) in self._gauges().items():
            yield GaugeMetricFamily(f"streamrvq_{name}", text, value=value)
        for name, text, histograms in (
            ("step_seconds", "Time of a step", self._steps), ("step_streams", "Streams in a step", self._rows)
        ):  # fmt: skip
            family: Any = HistogramMetricFamily(f"streamrvq_{name}", text, labels=["direction"])
            for direction, histogram in histograms.items():
                family.add_metric([direction], histogram.buckets(), histogram.sum)
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
        refusals: Any = CounterMetricFamily("streamrvq_refusals", "Refusals, by reason", labels=["reason"])
        for reason, times in sorted(self._refusals.items()):
            refusals.add_metric([reason], times)
        yield refusals
        for name, text, value in (
            ("lost_samples", "Samples that clients said they lost", self.lost_samples),
            ("resumed", "Sessions resumed", self.resumed),
            ("expired", "Sessions that were not resumed in time", self.expired),
            ("refused", "Connections and requests refused", self.refused),
        ):
            yield CounterMetricFamily(f"streamrvq_{name}", text, value=value)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)
