"""A hostile server, and settings that no server can be reached with: an error of ours, in one line."""

from __future__ import annotations

import asyncio

import pytest

import streamrvq
from streamrvq.errors import ServiceError


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url",
    ["ws://", "ws://[::1", "ws://h:99999", "ws://h:x", "ws://\ud800", "ws://a\0b", "ws://127.0.0.1:1/\ud800",
     "ws://127.0.0.1:1/a\r\nX: y", "ws://" + "a" * 300 + ":1", "ws://a..b:1"],
)  # fmt: skip
async def test_a_url_that_is_none_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        async with streamrvq.connect(url, timeout=2):
            pass
    assert str(caught.value).isprintable()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 100, b"HTTP/1.1 403 no\r\nContent-Length: 12\r\n\r\n\x1b[31ma\nb\xff\xfe\n",
     b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 x\r\n" + b"a: b\r\n" * 1000, b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n"],
)  # fmt: skip
async def test_an_answer_that_is_none_is_told_in_one_line(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1) == b"G":  # the client also asks whether it is TLS that is spoken here
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServiceError) as caught:
            async with streamrvq.connect(f"ws://127.0.0.1:{port}", timeout=20):
                pass
    assert str(caught.value).isprintable()
