"""Sockets that listen: one for each address, with all that belongs to the address."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

import pytest

from streamrvq.live.protocol.constants import Close
from streamrvq.live.server.admission import listening
from tests.support.service import end_of, serving, start
from tests.support.shell import nothing_left


@pytest.mark.asyncio
async def test_a_link_local_address_keeps_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the system refuses to bind one. Which addresses a test's machine has is unknown."""
    bound: list[tuple[Any, int]] = []

    def create_server(address: Any, *, family: int, backlog: int) -> socket.socket:
        bound.append((address, family))
        return socket.socket(family)

    address = ("fe80::1", 8000, 0, 7)
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    monkeypatch.setattr(socket, "create_server", create_server)
    for opened in await listening.listening_sockets("fe80::1%7", 8000):
        opened.close()
    assert bound == [(address, socket.AF_INET6)]


@pytest.mark.asyncio
async def test_an_address_listens_once() -> None:
    (opened,) = await listening.listening_sockets("127.0.0.1", 0)
    with opened:
        _, writer = await asyncio.open_connection(*opened.getsockname())
        writer.close()
        await writer.wait_closed()


@pytest.mark.asyncio
async def test_a_server_listens_though_no_descriptor_is_left_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    opening, refused = os.open, []

    def full(path: Any, *others: Any, **options: Any) -> int:
        if path == os.devnull and not refused:
            refused.append(path)
            raise OSError(errno.EMFILE, "Too many open files")
        return opening(path, *others, **options)

    monkeypatch.setattr(os, "open", full)
    with nothing_left():
        async with serving() as server:
            assert refused
            assert (await end_of(server.url, [start(), '{"type":"stop"}']))[0] == Close.NORMAL
