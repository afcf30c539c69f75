"""The ways of a run from its settings to its report: live, and what all ways share.

Knows: the order of things. Does not know: arguments (__main__.py), how anything is done.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress

from streamrvq import Codec, load

from .clients.material import Lap
from .errors import LoadError
from .latency import Shape, reckon
from .modes.live import Live, Run
from .place import Place, everywhere, find_place
from .record import Record
from .report import Report, live_report
from .servers.host import Host
from .servers.null import null_codec
from .settings import Settings
from .verify import Finding, is_exact, total, verify

T = TypeVar("T")


class Work:
    """One run: a codec, audio, a place, all as the settings say. ``console`` is for progress, on stderr."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.codec = open_codec(settings)
        self.shape = Shape(self.codec.sample_rate, self.codec.hop_length, self.codec.delay_frames)
        self.rate = settings.rate or self.codec.sample_rate
        self.block = settings.block or round(self.codec.hop_length * self.rate / self.codec.sample_rate)
        self.lap = Lap(self.rate)
        if self.block > self.lap.longest:
            raise LoadError(f"a block of {self.block} samples; wanted at most {self.lap.longest}")
        self.place: Place = find_place(settings.pin)

    @property
    def where(self) -> dict[str, Any]:
        """What was run, for the report."""
        return {
            "codec": self.codec.name, "codec_hash": self.codec.codec_hash[:12],
            "engine": self.codec.engine.description.partition(",")[0], "threads": self.settings.threads,
            "place": self.place.words, "loop": "uvloop" if self.settings.uvloop else "asyncio",
            "rate": self.rate, "block": self.block,
        }  # fmt: skip

    def within(self, doing: Callable[[Host], Coroutine[Any, Any, T]]) -> T:
        """Do something with a server, on the load's core and loop."""

        async def run() -> T:
            async with Host(self.settings, self.place) as host:
                return await doing(host)

        with everywhere(), asyncio.Runner(loop_factory=_loop(self.settings.uvloop)) as runner:
            return runner.run(run())

    def verified(self, records: Sequence[Record]) -> Finding:
        """All codes beside offline's; with all cores, now that nothing is measured."""
        with Progress(console=self.console, transient=True) as progress:
            task = progress.add_task("offline", total=sum(record.samples for record in records))
            findings = []
            for record in records:
                findings.append(verify(record, self.codec, self.lap))
                progress.advance(task, record.samples)
        return total(findings)

    def live(self, sample_every: float = 5.0) -> Run:
        """Clients at real-time pace."""
        settings = self.settings
        if settings.hits >= settings.streams:
            raise LoadError(f"{settings.streams} streams and {settings.hits} of them hit in each period; wanted more "
                            "streams than that")  # fmt: skip
        return self.within(lambda host: Live(settings, host, self.lap, self.block, sample_every).run())

    def report(self, run: Run, bound: bool = False) -> Report:
        """Verified."""
        settings = self.settings
        times = [fault.at for fault in run.faults]
        latency = reckon(run.records, self.shape, times, run.window, run.began, run.ended, settings.period)
        title = f"{settings.streams} streams for {settings.seconds:g} s"
        return live_report(title, self.where, run, latency, self.verified(run.records), is_exact(self.codec),
                           self.shape, bound)  # fmt: skip


def open_codec(settings: Settings) -> Codec:
    """What the server serves, here."""
    return null_codec() if settings.null else load(settings.codec, settings.engine)


def _loop(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    try:
        import uvloop as library
    except ImportError:
        raise LoadError("--uvloop needs uvloop; install it: pip install 'streamrvq[uvloop]'") from None
    return functools.partial(library.new_event_loop)
