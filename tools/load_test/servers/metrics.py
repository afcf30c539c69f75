"""The server's own figures: readings of /metrics, and the difference of two of them.

Knows: Prometheus' text format, histograms. Does not know: HTTP (process.py), which figures matter.
"""

from __future__ import annotations

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Reading:
    """One reading: values by name and labels."""

    values: dict[tuple[str, Labels], float]

    @classmethod
    def parse(cls, text: str) -> Reading:
        """Parse the text of /metrics."""
        return cls({
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        })  # fmt: skip

    def since(self, earlier: Reading) -> Reading:
        """What was added since an earlier reading. For counters and histograms."""
        return Reading({key: value - earlier.values.get(key, 0.0) for key, value in self.values.items()})

    def get(self, name: str, **labels: str) -> float:
        """A value; 0 if there is none."""
        return self.values.get((f"streamrvq_{name}", tuple(sorted(labels.items()))), 0.0)

    def closes(self) -> dict[str, int]:
        """How many connections ended, by close code."""
        return {dict(labels)["code"]: int(value) for (name, labels), value in self.values.items()
                if name == "streamrvq_closed_total" and value}  # fmt: skip

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """A histogram: upper bounds, and how many values were at most that large."""
        wanted = set(labels.items())
        found = [
            (float(dict(have)["le"]), value)
            for (full, have), value in self.values.items()
            if full == f"streamrvq_{name}_bucket" and wanted <= set(have)
        ]
        return sorted(found)

    def percentile(self, name: str, share: float, **labels: str) -> float | None:
        """A percentile of a histogram: linear within a bucket, and the lower bound of an open bucket."""
        low, before = 0.0, 0.0
        buckets = self.buckets(name, **labels)
        total = buckets[-1][1] if buckets else 0.0
        if not total:
            return None
        for bound, count in buckets:
            if count >= share * total and count > before:
                inside = (share * total - before) / (count - before)
                return low if bound == float("inf") else low + inside * (bound - low)
            low, before = bound, count
        return low
