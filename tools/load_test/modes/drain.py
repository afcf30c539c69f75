"""SIGTERM in the middle of it: every stream must get the codes of all that it sent, and the server must be gone soon.

Most clients answer the server's ``drain`` with ``stop``; some only stop sending; some never read.

Knows: the end. Does not know: how clients are made (live.py has the run of a whole life).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

from streamrvq.live.protocol.constants import Close

from ..clients.client import Client
from ..clients.pacer import Pacer
from ..record import End, Record
from ..report import Check, Report
from ..servers.host import Host
from ..verify import is_exact
from ..work import Work

#: Seconds within which the server must be gone.
_WITHIN = 10.0
#: Seconds in which clients see that it is: a bound on a hang, not a claim.
_NOTICED = 60.0
_GOLDEN = 0.6180339887498949


@dataclasses.dataclass
class _Drained:
    answering: list[Record]
    silent: list[Record]
    deaf: list[Record]
    seconds: float
    errors: list[str]


def drain_report(work: Work) -> Report:
    """Measured and verified."""
    drained = work.within(lambda host: _drain(work, host))
    reading = drained.answering + drained.silent
    found = work.verified(reading)
    beginnings = work.verified(drained.deaf)
    figures: dict[str, Any] = {
        **work.where,
        "streams": {"answering": len(drained.answering), "silent": len(drained.silent), "deaf": len(drained.deaf)},
        "codes": {"checked": found.codes, "wrong": found.wrong, "missing_frames": found.missing,
                  "of_deaf_streams": beginnings.codes},
        "exit_seconds": round(drained.seconds, 3),
    }  # fmt: skip
    exact, words = is_exact(work.codec), []
    for record in reading:
        told = record.told == record.frames if record in drained.answering else record.told is None
        if record.end is not End.CLOSED or record.code != Close.RESTART or not record.final or not told:
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
    return Report(f"SIGTERM under {work.settings.streams} streams", figures, checks)


async def _drain(work: Work, host: Host) -> _Drained:
    settings, pacer = work.settings, Pacer()
    odd = max(1, settings.hits, round(0.05 * settings.streams))
    clients: list[Client] = []
    for number in range(settings.streams):
        record = Record(number, work.lap.offset(number), work.rate, work.block)
        client = Client(record, work.lap, on_drain="silence" if odd <= number < 2 * odd else "stop")
        await client.open(host.url)
        clients.append(client)
    deaf, silent, answering = clients[:odd], clients[odd : 2 * odd], clients[2 * odd :]
    period = work.block / work.rate
    began = time.perf_counter() + 0.1
    for client in clients:
        pacer.add(began + client.record.number * _GOLDEN % 1.0 * period, period, _step(client))
    await asyncio.sleep(settings.seconds / 2)
    for client in deaf:
        client.deafen()
    await asyncio.sleep(settings.seconds / 2)
    seconds = await host.terminate()
    pacer.close()
    async with asyncio.timeout(_NOTICED):
        for client in clients:
            if not client.deaf:
                await client.closed.wait()
    for client in deaf:
        client.kill()
        await client.closed.wait()
    return _Drained([c.record for c in answering], [c.record for c in silent], [c.record for c in deaf], seconds,
                    host.errors())  # fmt: skip


def _step(client: Client) -> Any:
    def step(now: float) -> bool:
        if client.stopped:
            return False
        if client.deaf:
            client.shout(now)
        else:
            client.send(now)
        return True

    return step
