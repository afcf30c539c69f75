"""What the time of a run's steps is spent on: a measurement without a profiler, and then a few steps under torch's.

Knows: when to measure, torch's events, the table. Does not know: what a step does, how a run goes on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch.profiler import ProfilerActivity, profile

TRACED = 8  #: steps under the profiler; more would take minutes to read
_ROWS = 25  #: of the table
_WIDTH = 90  #: characters of a name

Span = tuple[str, float, float]  #: a kernel's name, its start and its end in µs


class Profile:
    """Profiles a run once, from its first settled step on.

    Args:
        seconds: to measure without the profiler.
        device: "cpu" or "cuda".
        say: is given the result, line by line.
    """

    def __init__(self, seconds: float, device: str, say: Callable[[str], None]) -> None:
        self._seconds, self._device, self._say = seconds, device, say
        self._began = self._step_time = 0.0
        self._steps = 0
        self._trace: profile | None = None
        self.is_over = False

    def stepped(self, settled: bool, audio_seconds: float) -> None:
        """A step was launched. ``settled``: those that follow are like it. ``audio_seconds``: of audio in each."""
        if self.is_over or not settled:
            return
        self._steps += 1
        if self._trace is not None:
            if self._steps == TRACED:
                self._finish()
        elif self._steps == 1:
            self._began = self._now()
        elif time.perf_counter() - self._began >= self._seconds:
            self._step_time = (self._now() - self._began) / (self._steps - 1)
            self._say(
                f"profile: {self._steps - 1} steps, each {1e3 * self._step_time:.2f} ms: "
                f"{audio_seconds / self._step_time:.0f} s of audio a second"
            )
            self._steps = 0
            activity = ProfilerActivity.CUDA if self._device == "cuda" else ProfilerActivity.CPU
            self._trace = profile(activities=[activity])
            self._trace.start()

    def _now(self) -> float:
        if self._device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _finish(self) -> None:
        assert self._trace is not None
        self._now()
        self._trace.stop()
        self.is_over = True
        kind = self._device.upper()
        spans = [
            (event.name, event.time_range.start, event.time_range.end)
            for event in self._trace.events() or []  # type: ignore[no-untyped-call]
            if event.device_type.name == kind and (kind == "CUDA" or event.cpu_parent is None)
        ]
        self._trace = None
        for line in table(spans, TRACED, self._step_time):
            self._say(line)


def table(spans: Iterable[Span], steps: int, step_time: float) -> list[str]:
    """The lines that say what kernels took the time.

    Args:
        spans: of the kernels of ``steps`` steps.
        step_time: seconds of a step without the profiler.
    """
    spans = list(spans)
    if not spans:
        return ["profile: the profiler saw no kernels; wanted CUPTI, which the driver may keep for administrators"]
    times: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    for name, start, end in spans:
        times[name] += end - start
        counts[name] += 1
    busy = _union(spans) / steps / 1e6
    idle = max(0.0, 1 - busy / step_time) if step_time else 0.0
    lines = [
        f"profile: {len(spans) / steps:.0f} kernels and copies in a step, busy for {1e3 * busy:.2f} ms of it; "
        f"idle {100 * idle:.0f} % of the time of a step without the profiler",
        f"{'ms a step':>10} {'share':>6} {'calls':>6}  kernel",
    ]
    whole = sum(times.values())
    for name in sorted(times, key=times.__getitem__, reverse=True)[:_ROWS]:
        lines.append(
            f"{times[name] / steps / 1e3:10.3f} {100 * times[name] / whole:5.1f}% {counts[name] / steps:6.0f}  "
            f"{name[:_WIDTH]}"
        )
    rest = len(times) - _ROWS
    return [*lines, f"and {rest} more"] if rest > 0 else lines


def _union(spans: list[Span]) -> float:
    """µs in which at least one of them ran."""
    total, reached = 0.0, float("-inf")
    for _, start, end in sorted(spans, key=lambda span: span[1]):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
