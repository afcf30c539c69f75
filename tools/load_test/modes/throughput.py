"""How much of the bare engine's speed the service keeps. Both are measured in turn, on the same core, in one run.

Knows: clients that send as fast as the server reads, and the batches that they make. Does not know: real-time pace.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..clients.raw import RawClient
from ..errors import LoadError
from ..experiment import Experiment
from ..record import Record
from ..report import Check, Report
from ..servers.process import ROOT, ServerProcess
from ..usage import usage
from ..verify import is_exact

#: The share of the bare engine's speed that the service must keep; hops in a message; turns of each.
LEAST, _HOPS, _TURNS = 0.85, 16, 4
_MOST = 16_000  #: samples that a message holds, with its head
_ENDING = 60.0  # seconds


@dataclasses.dataclass
class _Turn:
    """One turn of each.

    Attributes:
        service, bare: seconds of audio encoded per second.
        rows, hops: of the mean batch in the service's turn.
        engine_share: the share of the service's turn that was spent in engine steps.
        load_cores: cores that the load used meanwhile.
    """

    service: float
    rows: float
    hops: float
    engine_share: float
    load_cores: float
    bare: float = 0.0


def throughput_report(experiment: Experiment) -> Report:
    """Run, verify and report."""
    if experiment.rate != experiment.codec.sample_rate:
        raise LoadError(
            f"--rate {experiment.rate} with --throughput; wanted the codec's own: bare steps know no resampler"
        )
    hop = experiment.codec.hop_length
    experiment.block = experiment.settings.block or max(1, min(_HOPS, _MOST // hop)) * hop
    if experiment.block > min(_MOST, experiment.audio.longest):
        raise LoadError(f"a block of {experiment.block} samples; wanted at most {_MOST}, for a message has 32768 bytes")
    turns, records = experiment.within(lambda server: _measure(experiment, server))
    found = experiment.verified(records)
    service, bare, own = (
        float(np.mean([getattr(turn, name) for turn in turns])) for name in ("service", "bare", "load_cores")
    )
    share, drops = service / bare, [record for record in records if record.dropped]
    figures: dict[str, Any] = {
        **experiment.where,
        "clients": experiment.settings.streams,
        "codes": {"checked": found.codes, "wrong": found.wrong, "missing_frames": found.missing},
        "service_audio_per_second": round(service, 2),
        "bare_audio_per_second": round(bare, 2),
        "share": round(share, 3),
        "turns": [{"service": round(turn.service, 2), "bare": round(turn.bare, 2), "streams": round(turn.rows, 2),
                   "hops": round(turn.hops, 2), "engine_share": round(turn.engine_share, 3)} for turn in turns],
        "load_cores": round(own, 3),
    }  # fmt: skip
    least = f"{100 * share:.1f} %, wanted {100 * LEAST:g} %"
    checks = [
        Check("every code equals offline", found.codes > 0 and found.good(is_exact(experiment.codec)),
              f"{found.codes} codes, {found.wrong} wrong, {found.missing} frames missing. {found.first}"),
        Check("no drop", not drops, "; ".join(f"stream {r.number} {r.end} {r.why}" for r in drops[:5]) or "none"),
    ]  # fmt: skip
    if not experiment.settings.null:  # with the null codec the figure says what the service alone can do
        checks.append(Check("service keeps the bare engine's speed", share >= LEAST, least))
    return Report(f"{experiment.settings.streams} clients as fast as they are read", figures, checks)


async def _measure(experiment: Experiment, server: ServerProcess) -> tuple[list[_Turn], list[Record]]:
    settings, turns, records = experiment.settings, list[_Turn](), list[Record]()
    seconds = settings.seconds / (2 * _TURNS)
    with _bare(experiment) as bare:
        assert bare.stdin is not None and bare.stdout is not None
        for _ in range(_TURNS):
            turn = await _service(experiment, server, seconds, records)
            bare.stdin.write(f"{max(1, round(turn.rows))} {max(1, round(turn.hops))} {seconds}\n".encode())
            bare.stdin.flush()
            turn.bare = float(await asyncio.to_thread(bare.stdout.readline))
            turns.append(turn)
    return turns, records


@contextlib.contextmanager
def _bare(experiment: Experiment) -> Iterator[subprocess.Popen[bytes]]:
    """The process of the bare engine, ready. It ends with the block, whatever ends that."""
    settings = experiment.settings
    source = "--null" if settings.null else settings.codec
    module = "tools.load_test.servers.bare_engine"
    command = [sys.executable, "-m", module, source, settings.engine, str(settings.threads)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(settings.threads)}
    with experiment.cores.started_on_server_core():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    with process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise LoadError("the bare engine did not start; what it said is above")
            yield process
        finally:
            process.kill()


async def _service(experiment: Experiment, server: ServerProcess, seconds: float, records: list[Record]) -> _Turn:
    """A turn: all clients connect, send as fast as the server reads, stop after a while and get the rest."""
    ending = asyncio.Event()

    def on_writable(client: RawClient) -> None:
        while client.writable and not client.stopped:
            if ending.is_set():
                client.stop()
            else:
                client.send(time.perf_counter())

    clients = []
    for _ in range(experiment.settings.streams):
        number = len(records)
        records.append(Record(number, experiment.audio.offset(number), experiment.rate, experiment.block))
        clients.append(RawClient(records[-1], experiment.audio, on_writable))
        await clients[-1].open(server.url)
    for client in clients:
        on_writable(client)
    await asyncio.sleep(seconds / 10)
    before, own = await server.fresh_reading(), usage(os.getpid())
    await asyncio.sleep(seconds)
    figures, now = (await server.fresh_reading()).since(before), usage(os.getpid())
    passed = figures.get("uptime_seconds")
    ending.set()
    for client in clients:
        on_writable(client)
    try:
        async with asyncio.timeout(_ENDING):
            for client in clients:
                await client.closed.wait()
    except TimeoutError:
        why = f"clients had not ended {_ENDING:g} s after they stopped; the server's log: {server.log}"
        raise LoadError(why) from None
    audio = figures.get("audio_seconds_total", direction="encode")
    steps = figures.get("step_streams_count", direction="encode")
    rows = figures.get("step_streams_sum", direction="encode")
    if not rows:
        raise LoadError(f"nothing was computed within {seconds:g} s; wanted longer turns: more --seconds")
    computing = figures.get("step_seconds_sum", direction="encode")
    cores = (now.cpu - own.cpu) / (now.time - own.time)
    return _Turn(audio / passed, rows / steps, audio / experiment.shape.hop_seconds / rows, computing / passed, cores)
