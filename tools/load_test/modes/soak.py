"""A long run with faults: does anything grow?

Knows: a series of samples of the server's usage. Does not know: clients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import LoadError
from ..experiment import Experiment
from ..report import Check, Report, merged
from ..usage import Usage

#: The warm-up: a share of the run, at most five minutes. By then rings of codes, pools and caches are full.
_WARM_SHARE, _WARM_MOST = 0.25, 300.0
_SAMPLE = 5.0  # seconds
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Trend:
    """How usage changed after the warm-up.

    Attributes:
        samples: how many were used.
        rss_mib_per_hour: the slope of a straight line fitted to memory.
        rss_mib: mean memory in the first and in the last quarter.
        fds: mean file descriptors in the first and in the last quarter.
    """

    samples: int
    rss_mib_per_hour: float
    rss_mib: tuple[float, float]
    fds: tuple[float, float]


def trend(usages: Sequence[Usage]) -> Trend:
    """The trend of a run's samples. Raises `LoadError` if there are too few."""
    if len(usages) < 4:
        raise LoadError(f"{len(usages)} samples of memory are no series; wanted a longer run: more --minutes")
    times = np.array([usage.time for usage in usages])
    warm = min(_WARM_SHARE * (times[-1] - times[0]), _WARM_MOST)
    late = [usage for usage in usages if usage.time >= times[0] + warm] if len(usages) > 8 else list(usages)
    hours = np.array([usage.time for usage in late]) / 3600
    rss, fds = np.array([usage.rss / _MIB for usage in late]), np.array([usage.fds for usage in late], float)
    slope = float(np.polyfit(hours - hours[0], rss, 1)[0])
    quarter = max(1, len(late) // 4)
    ends = [(float(series[:quarter].mean()), float(series[-quarter:].mean())) for series in (rss, fds)]
    return Trend(len(late), slope, ends[0], ends[1])


def soak_report(experiment: Experiment, flat: float) -> Report:
    """A run with faults, and what grew. ``flat``: how many MiB memory may grow by in an hour."""
    run = experiment.live(_SAMPLE)
    report, found = experiment.report(run), trend(run.usages)
    hits = experiment.settings.faults_per_period
    figures: dict[str, Any] = {"trend": {
        "samples": found.samples, "rss_mib_per_hour": round(found.rss_mib_per_hour, 2),
        "rss_mib_first_and_last_quarter": [round(value, 2) for value in found.rss_mib],
        "fds_first_and_last_quarter": [round(value, 1) for value in found.fds],
    }}  # fmt: skip
    checks = [
        Check("memory is flat", found.rss_mib_per_hour <= flat,
              f"{found.rss_mib_per_hour:+.2f} MiB an hour, at most {flat:g} wanted"),
        # A killed client and its replacement may both be connected for a moment.
        Check("file descriptors are flat", found.fds[1] - found.fds[0] <= 1 + hits,
              f"{found.fds[0]:.1f} → {found.fds[1]:.1f}"),
    ]  # fmt: skip
    return merged(report, figures, checks)
