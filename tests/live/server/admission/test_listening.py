"""Sockets that listen: one for each address, with all that belongs to the address."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from types import SimpleNamespace
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
@pytest.mark.parametrize("taken", [0, 1])
async def test_every_address_of_a_host_has_the_same_free_port(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """A name like `localhost` has several addresses, and only one port is told."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{number}", 0)) for number in (1, 2, 3)]
    bound, closed = list[Any](), list[Any]()

    def create_server(address: tuple[str, int], **_: object) -> SimpleNamespace:
        bound.append(address)
        if len(bound) == 2 and taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        name = (address[0], address[1] or 40_000 + len(bound))
        return SimpleNamespace(getsockname=lambda: name, setblocking=lambda _: None, close=lambda: closed.append(name))

    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    monkeypatch.setattr(socket, "create_server", create_server)
    opened = await listening.listening_sockets("localhost", 0)
    port = 40_003 if taken else 40_001
    assert [each.getsockname() for each in opened] == [(f"127.0.0.{number}", port) for number in (1, 2, 3)]
    assert closed == [("127.0.0.1", 40_001)] * taken


@pytest.mark.asyncio
async def test_a_port_that_is_named_is_tried_once() -> None:
    (opened,) = await listening.listening_sockets("127.0.0.1", 0)
    with opened:
        port = opened.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            await listening.listening_sockets("127.0.0.1", port)


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
