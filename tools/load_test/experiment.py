"""One run, from its settings to its report: the real-time mode, and what all modes share.

Knows: the order of things. Does not know: command-line arguments (__main__.py), how each part works.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress

from streamrvq import Codec, load
from streamrvq.system.optional import need

from .clients.audio import LoopedAudio
from .cores import Cores, choose_cores, restored_affinity
from .errors import LoadError
from .latency import Shape, measure_latency
from .modes.realtime import Outcome, RealtimeRun
from .record import Record
from .report import Report, live_report
from .servers.null_codec import null_codec
from .servers.process import ServerProcess
from .settings import Settings
from .verify import Finding, is_exact, total, verify

T = TypeVar("T")


class Experiment:
    """One run as the settings ask for it: a codec, audio, cores. ``console`` shows progress, on stderr."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.codec = open_codec(settings)
        self.shape = Shape(self.codec.sample_rate, self.codec.hop_length, self.codec.delay_frames)
        self.rate = settings.rate or self.codec.sample_rate
        self.block = settings.block or round(self.codec.hop_length * self.rate / self.codec.sample_rate)
        self.audio = LoopedAudio(self.rate)
        if self.block > self.audio.longest:
            raise LoadError(f"a block of {self.block} samples; wanted at most {self.audio.longest}")
        self.cores: Cores = choose_cores(settings.pin)

    @property
    def where(self) -> dict[str, Any]:
        """The conditions of the run, for the report."""
        return {
            "codec": self.codec.name, "codec_hash": self.codec.codec_hash[:12],
            "engine": self.settings.device or self.codec.engine.description.partition(",")[0],
            "threads": self.settings.threads,
            "place": self.cores.words, "loop": "uvloop" if self.settings.uvloop else "asyncio",
            "rate": self.rate, "block": self.block,
        }  # fmt: skip

    def within(self, doing: Callable[[ServerProcess], Coroutine[Any, Any, T]]) -> T:
        """Start a server and run ``doing`` with it, on the load's core and event loop."""

        async def run() -> T:
            async with ServerProcess(self.settings, self.cores) as server:
                return await doing(server)

        with restored_affinity(), asyncio.Runner(loop_factory=_loop(self.settings.uvloop)) as runner:
            return runner.run(run())

    def verified(self, records: Sequence[Record]) -> Finding:
        """Compare all codes with offline codes. All cores are used: nothing is measured any more."""
        with Progress(console=self.console, transient=True) as progress:
            task = progress.add_task("offline", total=sum(record.samples for record in records))
            findings = []
            for record in records:
                findings.append(verify(record, self.codec, self.audio))
                progress.advance(task, record.samples)
        return total(findings)

    def live(self, sample_every: float = 5.0) -> Outcome:
        """Run clients at real-time pace."""
        settings = self.settings
        if settings.faults_per_period >= settings.streams:
            raise LoadError(f"{settings.streams} streams and {settings.faults_per_period} of them hit in each period; "
                            "wanted more streams than that")  # fmt: skip
        return self.within(lambda server: RealtimeRun(settings, server, self.audio, self.block, sample_every).run())

    def report(self, run: Outcome, bound: bool = False, period: float | None = None) -> Report:
        """The report of a run, with its codes verified. ``period``: in place of the settings', in seconds."""
        settings = self.settings
        times = [fault.at for fault in run.faults]
        latency = measure_latency(run.records, self.shape, times, run.window, run.began, run.ended,
                                  period or settings.period)  # fmt: skip
        title = f"{settings.streams} streams for {settings.seconds:g} s"
        return live_report(title, self.where, run, latency, self.verified(run.records), is_exact(self.codec),
                           self.shape, bound)  # fmt: skip


def open_codec(settings: Settings) -> Codec:
    """The codec that the server serves, opened in this process."""
    return null_codec() if settings.null else load(settings.codec, settings.engine)


def _loop(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    return functools.partial(need("uvloop", "uvloop", "--uvloop needs").new_event_loop)
