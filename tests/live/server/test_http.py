"""HTTP on the wire: methods, versions, bodies; what is answered from memory."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from streamrvq import InputError
from tests.support.patience import PATIENCE
from tests.support.service import RawClient, serving


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a response, up to the end of the connection."""
    client, answer = RawClient(port), b""
    async with asyncio.timeout(PATIENCE):
        await client.send(request)
        while part := await asyncio.get_running_loop().sock_recv(client.socket, 1 << 16):
            answer += part
    client.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


PATHS = ["/", "/page.js", "/health", "/metrics", "/nowhere"]


@pytest.mark.asyncio
async def test_head_is_get_without_its_body() -> None:
    async with serving() as server:
        for path in PATHS:
            target = path.encode()
            status, headers, body = await ask(server.port, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            of_head = await ask(server.port, b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            assert of_head[0] == status
            assert of_head[2] == b""
            assert set(of_head[1]) == set(headers)
            assert int(headers["content-length"]) == len(body)
            assert "date" in headers


@pytest.mark.asyncio
async def test_other_methods_are_refused_everywhere() -> None:
    async with serving() as server:
        for path in PATHS:
            for method, wanted in (("POST", 405), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("GETT", 501)):
                request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\na body."
                status, headers, _ = await ask(server.port, request.encode())
                assert status == wanted
                assert headers["allow"] == "get, head"
        assert server.metrics._refusals == {"http_405": 20, "http_501": 5}


@pytest.mark.asyncio
async def test_a_refusal_can_be_read_by_who_still_sends() -> None:
    async with serving() as server:
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + bytes(40_000)
        assert (await ask(server.port, request))[0] == 405
        assert (await ask(server.port, b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000))[0] == 431
        assert (await ask(server.port, b"GET /" + b"x" * 40_000))[0] == 414


@pytest.mark.asyncio
async def test_a_handshake_that_is_none() -> None:
    async with serving() as server:
        upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        assert (await ask(server.port, upgrade + b"\r\n"))[0] == 400
        assert (await ask(server.port, upgrade.replace(b"/ ", b"/x ", 1) + b"\r\n"))[0] == 404
        assert (await ask(server.port, upgrade.replace(b"websocket", b"h2c") + b"\r\n"))[0] == 426
        assert (await ask(server.port, upgrade.replace(b"GET", b"HEAD") + b"\r\n"))[0] == 200
        assert server.metrics._refusals == {"http_400": 1, "http_404": 1, "http_426": 1}


@pytest.mark.asyncio
async def test_metrics_are_made_once_a_second() -> None:
    async with serving() as server:
        texts, now = iter([b"first", b"second"]), [5.0]
        server._http._metrics, server._http._now = lambda: next(texts), lambda: now[0]
        bodies = []
        for moment in (5.0, 5.9, 6.0):
            now[0] = moment
            bodies.append((await ask(server.port, b"GET /metrics HTTP/1.1\r\n\r\n"))[2])
        assert bodies == [b"first", b"first", b"second"]


@pytest.mark.asyncio
async def test_what_fails_is_the_servers_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as server:

        def broken() -> bytes:
            raise ZeroDivisionError("inner workings")

        server._http._metrics = broken
        status, _, body = await ask(server.port, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert status == 500
        assert b"inner" not in body
        assert (await ask(server.port, b"GET /health HTTP/1.1\r\n\r\n"))[0] == 200
    assert "inner workings" in caplog.text


@pytest.mark.asyncio
async def test_no_file_is_opened_once_the_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be no descriptor left."""
    async with serving() as server:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("builtins.open", refuse)
        monkeypatch.setattr("io.open", refuse)
        statuses = [(await ask(server.port, b"GET %s HTTP/1.1\r\n\r\n" % path.encode()))[0] for path in PATHS]
        assert statuses == [200, 200, 200, 200, 404]


@pytest.mark.asyncio
async def test_reload_takes_new_tokens_or_nothing() -> None:
    async with serving(tokens=("old",)) as server:
        server.reload(("new",))
        assert server.settings.tokens == server._services.settings.tokens == ("new",)
        before = dataclasses.asdict(server.settings)
        with pytest.raises(InputError, match="a token is empty"):
            server.reload(("",))
        assert dataclasses.asdict(server.settings) == before
