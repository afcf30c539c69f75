"""Why there is no connection: proxies, TLS where there is none and the reverse, certificates, each in one sentence."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import streamrvq
from streamrvq.errors import InputError, ServiceError
from streamrvq.live.client.endpoint import Endpoint
from tests.live.server.conftest import tls
from tests.support.service import serving

__all__ = ["tls"]  # a fixture
pytestmark = pytest.mark.asyncio

#: Where nothing listens.
NOBODY = "http://127.0.0.1:9"
VARIABLES = ["http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "socks_proxy", "all_proxy", "no_proxy"]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield


async def why(url: str, **options: Any) -> str:
    """The sentence that connecting ends with."""
    with pytest.raises(ServiceError) as caught:
        async with streamrvq.connect(url, timeout=20, **options):
            pass
    assert str(caught.value).isprintable()
    return str(caught.value)


@asynccontextmanager
async def port_that_answers(answer: bytes) -> AsyncIterator[int]:
    """A server that reads a little, answers this and closes."""

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("name", VARIABLES[:-1])
@pytest.mark.parametrize("proxy", [NOBODY, "socks5://127.0.0.1:9", "rubbish"])
async def test_no_proxy_of_the_environment_leads_to_loopback(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    async with serving() as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            async with streamrvq.connect(url) as stream:
                await stream.stop()


@pytest.mark.parametrize(
    ("host", "direct"),
    [("localhost", True), ("LOCALHOST", True), ("a.localhost", True), ("127.0.0.1", True), ("127.9.9.9", True),
     ("[::1]", True), ("localhost.", True), ("localhost.example", False), ("128.0.0.1", False), ("[::2]", False),
     ("127.0.0.1.example", False), ("0.0.0.0", False)],
)  # fmt: skip
async def test_what_loopback_is(monkeypatch: pytest.MonkeyPatch, host: str, direct: bool) -> None:
    monkeypatch.setenv("http_proxy", NOBODY)
    assert Endpoint(f"ws://{host}:80/").chosen_proxy() == (None if direct else NOBODY)
    assert Endpoint(f"ws://{host}:80/", proxy="http://p").chosen_proxy() == "http://p", "whoever asks for one gets it"
    assert Endpoint(f"ws://{host}:80/", proxy=None).chosen_proxy() is None
    monkeypatch.setenv("no_proxy", "*")
    assert Endpoint(f"ws://{host}:80/").chosen_proxy() is None


async def test_an_error_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "http://user:pass@127.0.0.1:9"
    monkeypatch.setenv("http_proxy", secret)
    text = await why("ws://host.example/")
    assert "through the proxy http://127.0.0.1:9, which the environment names" in text
    assert "no_proxy=host.example" in text
    async with port_that_answers(b"HTTP/1.1 403 no\r\n\r\n") as port:
        refused = await why("ws://host.example/", proxy=f"http://127.0.0.1:{port}")
    async with port_that_answers(b"rubbish\r\n\r\n") as port:
        silly = await why("ws://host.example/", proxy=f"http://127.0.0.1:{port}")
    socks = await why("ws://host.example/", proxy="socks5://user:pass@127.0.0.1:9")
    scheme = await why("ws://host.example/", proxy="ftp://user:pass@h")
    assert "HTTP 403" in refused
    assert "valid HTTP response" in silly
    assert "pip install python-socks" in socks
    assert "scheme ftp" in scheme
    for words in (refused, silly, socks, scheme):
        assert "through the proxy " in words
        assert "proxy=None" in words
        assert "environment" not in words
    assert "pass" not in text + refused + silly + socks + scheme


async def test_a_proxy_that_never_answers_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nobody takes them
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceError, match=rf"through the proxy {proxy}"):
            async with streamrvq.connect("ws://host.example/", timeout=0.3, proxy=proxy):
                pass


async def test_tls_and_none_are_told_apart(tls: tuple[Path, Path, ssl.SSLContext]) -> None:
    chain, key, context = tls
    async with serving() as plain, serving(tls_certificate=chain, tls_key=key) as secure:
        over = plain.url.replace("ws", "wss")
        assert await why(over) == f"cannot connect to {over} with TLS: the server there speaks none; use {plain.url}"
        assert await why(over, ssl=context) == await why(over)
        under = secure.url.replace("wss", "ws")
        assert await why(under) == f"cannot connect to {under} without TLS: the server there wants it; use {secure.url}"
        async with streamrvq.connect(secure.url, ssl=context) as stream:
            await stream.stop()
        assert "self-signed" in await why(secure.url)
        assert "send --ca FILE" in await why(secure.url)
        name = secure.url.replace("127.0.0.1", "localhost")
        assert "mismatch" in await why(name, ssl=context)
        assert "is a server listening" in await why("wss://127.0.0.1:9")


async def test_other_answers_are_not_taken_for_tls() -> None:
    async with port_that_answers(b"SSH-2.0-OpenSSH\r\n") as port:
        for scheme in ("ws", "wss"):
            assert "cannot connect" in await why(f"{scheme}://127.0.0.1:{port}")
    async with port_that_answers(b"HTTP/1.1 400 no\r\nContent-Length: 4\r\n\r\nbad\n") as port:
        assert "HTTP 400: bad" in await why(f"ws://127.0.0.1:{port}")


async def test_settings_that_no_server_is_reached_with() -> None:
    for options, words in (
        ({"url": "ws://h", "ssl": ssl.create_default_context()}, "it goes with wss://"),
        ({"url": "http://h"}, "wanted ws://"),
        ({"url": "ws://h", "proxy": 5}, "proxy is 5"),
        ({"url": "ws://h", "proxy": False}, "proxy is False"),
    ):
        with pytest.raises(InputError, match=words):
            streamrvq.connect(**options)  # type: ignore[arg-type]
