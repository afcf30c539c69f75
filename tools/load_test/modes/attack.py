"""A run with an attacker: honest clients at real-time pace, quiet and attacked by turns, so that noise falls on both.

Clients and attacker have tokens of their own. The attacker runs on the load's core. While it attacks, further clients
come, which must get in.

Knows: the order of quiet and attack, who runs where. Does not know: what an attack does (attacks/), what the figures
mean (attack_report.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..attacks.attack import Attack
from ..attacks.process import AttackProcess
from ..attacks.target import Tally
from ..clients.faults import Fault
from ..clients.fresh import FreshClients, Visit
from ..experiment import Experiment
from ..servers.process import ServerProcess
from .realtime import Outcome, RealtimeRun

#: Clients that come during the attacks, and seconds between two of them at least.
VISITS, _APART = 20, 0.25
#: Where in an attack the first of them comes, and the last.
_FIRST, _LAST = 0.1, 0.8
#: Seconds after an attack that count as part of it, so that what it left behind is seen.
_AFTERMATH = 1.0
#: Seconds between two samples of the server's memory.
_SAMPLE = 0.2
#: Streams that a server keeps for lost clients by default.
_PARKED = 16


@dataclasses.dataclass(frozen=True)
class Phases:
    """When it is quiet, and when the server is attacked.

    Attributes:
        count: of quiet and attacked parts by turns, quiet first and last; all are equally long.
        seconds: of each.
    """

    count: int
    seconds: float

    @classmethod
    def of(cls, seconds: float, least: float) -> Phases:
        """As many phases as fit the whole run, each of at least ``least`` seconds; three at least."""
        fit = int(seconds / least)
        count = max(3, fit - (fit + 1) % 2)
        return cls(count, seconds / count)

    @property
    def starts(self) -> list[float]:
        """Seconds from the start of the run to the start of each attack."""
        return [number * self.seconds for number in range(1, self.count, 2)]

    def visits(self) -> list[float]:
        """Seconds from the start of the run to each further client."""
        most = int(len(self.starts) * self.seconds * (_LAST - _FIRST) / _APART)
        count = max(1, min(VISITS, most))
        places = [(number + 0.5) / count * len(self.starts) for number in range(count)]
        return [self.starts[int(place)] + self.seconds * (_FIRST + (_LAST - _FIRST) * (place % 1)) for place in places]


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What a run with an attacker gave: what `Outcome` has, and what belongs to the attack."""

    outcome: Outcome
    phases: Phases
    attacks: list[tuple[float, float, Tally]]  #: when each began and ended, of `time.perf_counter`, and what it did
    visits: list[Visit]
    log_lines: int


class _Attacking:
    """The attack, beside the clients of a run: see `realtime.Beside`."""

    def __init__(self, process: AttackProcess, name: str, fresh: FreshClients, phases: Phases, resuming: bool) -> None:
        self._process, self._name, self._phases = process, name, phases
        self._once = fresh.resuming if resuming else fresh.once
        self.window = phases.seconds + min(_AFTERMATH, phases.seconds / 4)
        self.attacks: list[tuple[float, float, Tally]] = []
        self.visits: list[Visit] = []

    async def run(self, began: float, end: float) -> list[Fault]:
        """Attack in every second phase, and let clients come meanwhile."""
        visiting: list[asyncio.Task[Visit]] = []
        try:
            for start in self._phases.starts:
                await asyncio.sleep(began + start - time.perf_counter())
                first = time.perf_counter()
                for at in self._phases.visits():
                    if start < at < start + self._phases.seconds:
                        visiting.append(asyncio.create_task(self._visit(len(visiting), first + at - start)))
                tally = await self._process.attack(self._phases.seconds)
                self.attacks.append((first, time.perf_counter(), tally))
            self.visits = [await visit for visit in visiting]
        finally:
            for visit in visiting:
                visit.cancel()
        return [Fault(first, self._name) for first, _, _ in self.attacks]

    async def _visit(self, number: int, at: float) -> Visit:
        await asyncio.sleep(at - time.perf_counter())
        return await self._once(number)


def attacked(experiment: Experiment, attack: Attack, addresses: int = 1) -> Attacked:
    """Run clients at real-time pace with an attacker beside them, against a server of their own."""
    given, phases = experiment.settings, Phases.of(experiment.settings.seconds, attack.phase)
    honest, hostile = secrets.token_urlsafe(), secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(prefix="streamrvq-load-") as folder:
        file = Path(folder) / "tokens"
        file.write_text(f"{honest}\n{hostile}\n")
        # A stream of the attacker may still end while its next one begins; further clients need theirs.
        slots = given.streams + 4 * attack.streams + VISITS
        options = ("--token-file", str(file), "--max-streams", str(slots), "--max-parked", str(_PARKED))
        settings = dataclasses.replace(
            given, options=(*options, *given.options), token=honest, descriptors=attack.descriptors
        )

        async def doing(server: ServerProcess) -> Attacked:
            async with AttackProcess(attack, server.port, hostile, addresses) as process:
                fresh = FreshClients(server.url, server.port, honest, experiment.audio, experiment.block)
                beside = _Attacking(process, attack.name, fresh, phases, attack.resuming)
                run = RealtimeRun(settings, server, experiment.audio, experiment.block, _SAMPLE, beside)
                outcome = await run.run()
            return Attacked(outcome, phases, beside.attacks, beside.visits, len(server.log_lines()))

        experiment.settings = settings
        try:
            return experiment.within(doing)
        finally:
            experiment.settings = given


def took(attacks: Sequence[tuple[float, float, Tally]]) -> tuple[float, Tally]:
    """Seconds of all attacks, and what they did."""
    seconds = sum(end - first for first, end, _ in attacks)
    sums = (sum(getattr(tally, field.name) for _, _, tally in attacks) for field in dataclasses.fields(Tally))
    return seconds, Tally(*sums)
