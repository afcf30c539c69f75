"""Signals that `serve` gets, and what ends it without one.

SIGHUP: it reads its certificate and its tokens again; streams go on, and bad files change nothing. SIGINT and SIGTERM
end it before it listens, too. It ends when a part of the server fails.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streamrvq.cli import serve
from streamrvq.live.server import server as server_module
from streamrvq.live.server.admission import descriptors
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.server.scheduling.warmup import GivenUpError, warm_up
from streamrvq.live.server.server import Server
from tests.live.server.conftest import certificate
from tests.support.command import Run
from tests.support.hostile.served import ended, killed_at_last, served
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, connect_raw, end_of, packet, start

STOP = '{"type":"stop"}'


@pytest.fixture(autouse=True)
def not_under_nohup() -> Iterator[None]:
    """A run under nohup ignores SIGHUP, and so would the servers that it starts."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def hang_up(server: Any, log: Path, event: str, times: int = 1) -> None:
    """Send SIGHUP, and wait until the server has logged what it did."""
    server.send_signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE):
        while log.read_text().count(f" {event} ") < times:
            assert server.poll() is None
            await asyncio.sleep(0.01)


async def code_of(url: str, token: str, **options: Any) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await end_of(url, [start(), STOP], additional_headers=headers, **options))[0]


def test_tokens_are_read_again(served_weights: Path, tmp_path: Path) -> None:
    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text("old\nboth\n")
    with log.open("wb") as lines:
        server, url = served(served_weights, "--token-file", tokens, "--max-streams", 4, stderr=lines)

        async def go() -> None:
            headers = {"Authorization": "Bearer old"}
            async with connect_raw(url, subprotocols=["streamrvq.v1"], additional_headers=headers) as before:
                await before.send(start())
                assert "ready" in str(await before.recv())
                tokens.write_text("both\nnew\n")
                await hang_up(server, log, "reloaded")
                assert [await code_of(url, token) for token in ("old", "both", "new")] == [4401, 1000, 1000]
                for times, bad in enumerate((b"", b"\n \n", b"\xff\xfe"), 1):
                    tokens.write_bytes(bad)
                    await hang_up(server, log, "not_reloaded", times)
                tokens.unlink()
                await hang_up(server, log, "not_reloaded", 4)
                assert [await code_of(url, token) for token in ("old", "both", "new")] == [4401, 1000, 1000]
                await before.send(packet(payload=bytes(2000)))  # what was begun goes on
                assert isinstance(await before.recv(), bytes)

        with killed_at_last(server):
            asyncio.run(go())
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
    assert "Traceback" not in log.read_text()
    assert "new" not in log.read_text()
    server.communicate()


def test_a_certificate_is_read_again(served_weights: Path, tmp_path: Path) -> None:
    chain, key = certificate(tmp_path, "used")
    first, log = ssl.create_default_context(cafile=str(chain)), tmp_path / "log"
    with log.open("wb") as lines:
        server, url = served(served_weights, "--tls-certificate", chain, "--tls-key", key, stderr=lines)

        async def go() -> None:
            assert await code_of(url, "", ssl=first) == 1000
            other_chain, other_key = certificate(tmp_path, "other")
            second = ssl.create_default_context(cafile=str(other_chain))
            shutil.copy(other_chain, chain)  # its key is still the old one
            await hang_up(server, log, "not_reloaded")
            assert await code_of(url, "", ssl=first) == 1000
            shutil.copy(other_key, key)
            await hang_up(server, log, "reloaded")
            assert await code_of(url, "", ssl=second) == 1000
            with pytest.raises(ssl.SSLCertVerificationError):
                await code_of(url, "", ssl=first)

        with killed_at_last(server):
            asyncio.run(go())
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
    server.communicate()


def test_nothing_to_read_again(served_weights: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as lines:
        server, url = served(served_weights, "--token", "t", stderr=lines)

        async def go() -> None:
            await hang_up(server, log, "not_reloaded")
            assert await code_of(url, "t") == 1000

        with killed_at_last(server):
            asyncio.run(go())
            server.send_signal(signal.SIGTERM)
            assert server.wait(PATIENCE) == 0
    assert "no --tls-certificate and no --token-file" in log.read_text()
    server.communicate()


def test_nohup_is_respected(served_weights: Path) -> None:
    server, url = served(served_weights, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.kill(server.pid, signal.SIGHUP)
    assert asyncio.run(end_of(url, [start(), STOP]))[0] == 1000
    assert "reloaded" not in ended(server)


# ------------------------------------------------------------- the end


@pytest.fixture
def this_process_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_collect_in_small_parts", lambda: None)
    monkeypatch.setattr(descriptors, "raise_limit", lambda: None)


@pytest.mark.usefixtures("this_process_stays_as_it_is")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_ends_the_warm_up(
    run: Run, served_weights: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int
) -> None:
    seen = []

    def warm_up_for_ever(codec: Any, max_batch: int | None, given_up: Callable[[], bool]) -> None:
        for _ in range(times):
            os.kill(os.getpid(), number)
        over, never = threading.Timer(PATIENCE, lambda: None), threading.Event()
        over.start()
        while over.is_alive() and not given_up():
            never.wait(0.001)
        seen.append(given_up())
        over.cancel()
        raise GivenUpError

    monkeypatch.setattr(server_module, "warm_up", warm_up_for_ever)
    done = run("serve", served_weights, "--port", 0)
    assert (done.code, done.out) == (0, "")
    assert "a signal ended the server before it listened" in done.err
    assert seen == [True]


def test_the_warm_up_ends_between_two_steps() -> None:
    asked = []

    def given_up() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(GivenUpError):
        warm_up(CAUSAL, 1, given_up)
    assert len(asked) == 3


@pytest.mark.usefixtures("this_process_stays_as_it_is")
@pytest.mark.parametrize(("part", "method"), [(Scheduler, "run"), (Server, "_watch_deadlines")])
def test_a_server_that_has_failed_ends_its_process(
    run: Run, served_weights: Path, monkeypatch: pytest.MonkeyPatch, part: type, method: str
) -> None:
    async def fail(self: Any) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    monkeypatch.setattr(part, method, fail)
    done = run("serve", served_weights, "--port", 0)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("streamrvq: error: the server failed, and has stopped")


def test_no_connection_of_an_address_is_refused_as_a_limit(run: Run, served_weights: Path) -> None:
    assert "max_connections_of_one is 0; wanted" in run("serve", served_weights, "--max-of-one", 0).sentence
