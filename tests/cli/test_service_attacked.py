"""`serve` in its own process under clients without a token: memory, descriptors, log lines."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidMessage

from streamrvq.live.server.admission.listener import SHORTEST_STAY
from tests.support.hostile.hog import KINDS, hogging, periods
from tests.support.hostile.served import ended, killed_at_last, served
from tests.support.patience import PATIENCE
from tests.support.processes.children import needs_proc
from tests.support.service import end_of, start

MIXTURE = sorted(KINDS)
TOKEN = {"additional_headers": {"Authorization": "Bearer secret"}}
STOP = '{"type":"stop"}'


def megabytes(server: Any) -> float:
    """What of the server is in memory."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def held_up(pid: int) -> float:
    """Seconds that a process's main thread has waited for a core, where Linux counts them; 0 elsewhere."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


async def ends_of(server: Any, url: str, count: int) -> list[int]:
    """The close codes of so many clients with the token, one after another.

    Whoever has not sent its request within `SHORTEST_STAY` may have to go for others. So a client that gets no answer
    tries again, if it or the server had no core for half of that time. Without such a pause it fails the test.
    """
    ends: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(ends) < count:
            before = held_up(server.pid) + held_up(os.getpid())
            try:
                ends.append((await end_of(url, [start(), STOP], **TOKEN))[0])
            except (InvalidMessage, OSError):
                if held_up(server.pid) + held_up(os.getpid()) - before < SHORTEST_STAY / 2:
                    raise
    return ends


@pytest.mark.parametrize("descriptors", [64, 256])
def test_a_token_gets_in_where_there_are_few_descriptors(served_weights: Path, descriptors: int) -> None:
    limit = (descriptors, descriptors)
    began = time.monotonic()
    server, url = served(
        served_weights, "--token", "secret", "--max-streams", 2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )  # fmt: skip

    async def attack() -> list[int]:
        async with hogging(port_of(url), MIXTURE, count=descriptors):
            return await ends_of(server, url, 20)

    with killed_at_last(server):
        ends = asyncio.run(attack())
        log = ended(server)
    repeats = periods(began)
    assert ends == [1000] * 20
    assert "raise its limit (ulimit -n)" in log
    assert "Too many open files" not in log
    assert len(log.splitlines()) < 20 * 3 + 200 * repeats


@needs_proc
def test_a_full_table_of_descriptors_is_one_line(served_weights: Path) -> None:
    """The limit falls while the server runs, below what it counted on."""
    began = time.monotonic()
    server, url = served(served_weights, "--token", "secret", "--max-streams", 2)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (24, 24))

    async def attack() -> list[int]:
        async with hogging(port_of(url), ["silent"], count=64):
            return await ends_of(server, url, 3)

    with killed_at_last(server):
        ends = asyncio.run(attack())
        log = ended(server)
    repeats = periods(began)
    assert ends == [1000] * 3
    assert "why=descriptors" in log
    assert len(log.splitlines()) < 3 * 3 + 31 * repeats


@needs_proc
def test_memory_does_not_grow_with_headers(served_weights: Path) -> None:
    """100 connections that send a megabyte each; the answer is 431, or none."""
    server, url = served(served_weights, "--token", "secret", "--max-streams", 2)
    before, most, began = megabytes(server), 0.0, time.monotonic()
    head = b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: %s\r\n" % (line, b"x" * 8000) for line in range(125))
    clients = [socket.create_connection(("127.0.0.1", port_of(url))) for _ in range(100)]
    unsent = dict.fromkeys(clients, head)
    for client in clients:
        client.setblocking(False)
    deadline = time.monotonic() + PATIENCE
    while unsent and time.monotonic() < deadline:
        for client, data in list(unsent.items()):
            try:
                unsent[client] = data[client.send(data[: 1 << 16]) :]
            except BlockingIOError:
                time.sleep(0.001)
            except OSError:  # cut
                unsent[client] = b""
            if not unsent[client]:
                del unsent[client]
        most = max(most, megabytes(server))
    assert not unsent
    for client in clients:
        client.close()
    assert asyncio.run(end_of(url, [start(), STOP], **TOKEN))[0] == 1000
    after = megabytes(server)
    log = ended(server)
    assert most - before < 20
    assert after - before < 20
    assert len(log.splitlines()) < 3 + 27 * periods(began)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_under_attack_ends(served_weights: Path, number: int) -> None:
    server, url = served(served_weights, "--token", "secret", "--max-streams", 2)

    async def attack() -> str:
        async with hogging(port_of(url), MIXTURE, count=64, again=False):
            return await asyncio.to_thread(ended, server, number)

    with killed_at_last(server):
        log = asyncio.run(attack())
    assert "stopped" in log
