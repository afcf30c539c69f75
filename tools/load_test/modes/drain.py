"""SIGTERM in the middle of a run: every stream must get the codes of all its audio, and the server must exit soon.

Most clients answer the server's ``drain`` with ``stop``, some only stop sending, and some never read.

Knows: how a run ends. Does not know: clients that come, go and fail during a run (realtime.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from streamrvq.live.protocol.constants import Close

from ..clients.pacer import Pacer
from ..clients.phase import phase
from ..clients.raw import RawClient
from ..errors import LoadError
from ..experiment import Experiment
from ..record import End, Record
from ..report import Check, Report
from ..servers.process import ServerProcess
from ..settings import Settings
from ..verify import is_exact

#: Seconds within which the server must exit.
_WITHIN = 10.0
#: Seconds in which clients see that it is: a bound on a hang, not a claim.
_NOTICED = 60.0


@dataclasses.dataclass
class _Drained:
    answering: list[Record]
    silent: list[Record]
    deaf: list[Record]
    seconds: float
    errors: list[str]


def drain_report(experiment: Experiment) -> Report:
    """Run, verify and report."""
    streams, odd = experiment.settings.streams, _odd(experiment.settings)
    if streams <= 2 * odd:
        raise LoadError(
            f"{streams} streams with --drain, of which {odd} never read and {odd} only stop sending; wanted more "
            "streams than that, or a smaller share of --faults"
        )
    drained = experiment.within(lambda server: _drain(experiment, server))
    reading = drained.answering + drained.silent
    found = experiment.verified(reading)
    beginnings = experiment.verified(drained.deaf)
    figures: dict[str, Any] = {
        **experiment.where,
        "streams": {"answering": len(drained.answering), "silent": len(drained.silent), "deaf": len(drained.deaf)},
        "codes": {"checked": found.codes, "wrong": found.wrong, "missing_frames": found.missing,
                  "of_deaf_streams": beginnings.codes},
        "exit_seconds": round(drained.seconds, 3),
    }  # fmt: skip
    exact, words = is_exact(experiment.codec), []
    for record in reading:
        announced = record.announced == record.frames if record in drained.answering else record.announced is None
        if record.end is not End.CLOSED or record.code != Close.RESTART or not record.final or not announced:
            words.append(f"stream {record.number} {record.end} {record.code} final={record.final} {record.why}")
    checks = [
        Check("every stream got the codes of all that it sent", found.codes > 0 and found.good(exact),
              f"{found.codes} codes, {found.wrong} wrong, {found.missing} frames missing. {found.first}"),
        Check("what deaf streams got was right", beginnings.good(exact),
              f"{beginnings.codes} codes, {beginnings.wrong} wrong. {beginnings.first}"),
        Check("then 1012", not words, "; ".join(words[:5]) or f"{len(reading)} of {len(reading)}"),
        Check(f"gone within {_WITHIN:g} s", drained.seconds <= _WITHIN, f"{drained.seconds:.2f} s"),
        Check("no error in its log", not drained.errors, "; ".join(drained.errors[:2]) or "none"),
    ]  # fmt: skip
    return Report(f"SIGTERM under {experiment.settings.streams} streams", figures, checks)


def _odd(settings: Settings) -> int:
    """How many clients never read, and how many only stop sending."""
    return max(1, settings.faults_per_period, round(0.05 * settings.streams))


async def _drain(experiment: Experiment, server: ServerProcess) -> _Drained:
    settings, pacer = experiment.settings, Pacer()
    odd = _odd(settings)
    clients: list[RawClient] = []
    for number in range(settings.streams):
        record = Record(number, experiment.audio.offset(number), experiment.rate, experiment.block)
        client = RawClient(record, experiment.audio, on_drain="silence" if odd <= number < 2 * odd else "stop")
        await client.open(server.url)
        clients.append(client)
    deaf, silent, answering = clients[:odd], clients[odd : 2 * odd], clients[2 * odd :]
    period = experiment.block / experiment.rate
    began = time.perf_counter() + 0.1
    for client in clients:
        pacer.add(began + phase(client.record.number) * period, period, _step(client))
    await asyncio.sleep(settings.seconds / 2)
    for client in deaf:
        client.stop_reading()
    await asyncio.sleep(settings.seconds / 2)
    seconds = await server.terminate()
    pacer.close()
    async with asyncio.timeout(_NOTICED):
        for client in clients:
            if not client.deaf:
                await client.closed.wait()
    for client in deaf:
        client.kill()
        await client.closed.wait()
    return _Drained([c.record for c in answering], [c.record for c in silent], [c.record for c in deaf], seconds,
                    server.errors())  # fmt: skip


def _step(client: RawClient) -> Any:
    def step(now: float) -> bool:
        if client.stopped:
            return False
        if client.deaf:
            client.send_unread(now)
        else:
            client.send(now)
        return True

    return step
