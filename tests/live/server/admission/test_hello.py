"""The ClientHello is recognised whole, in however many parts it comes, and TLS begins no sooner."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.admission.hello import MAX_HELLO_BYTES, hello_bytes
from tests.support.patience import PATIENCE
from tests.support.service import RawClient, serving, until


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


HELLO = client_hello()


def in_records(cuts: list[int]) -> bytes:
    """The same hello in several records."""
    message = HELLO[5:]
    edges = [0, *sorted(set(cuts) - {0, len(message)}), len(message)]
    parts = [message[begin:end] for begin, end in itertools.pairwise(edges)]
    return b"".join(HELLO[:3] + len(part).to_bytes(2, "big") + part for part in parts)


@given(cuts=st.lists(st.integers(1, len(HELLO) - 6), max_size=3), data=st.data())
def test_a_hello_is_complete_with_its_last_byte(cuts: list[int], data: st.DataObject) -> None:
    hello = in_records(cuts)
    some = data.draw(st.integers(0, len(hello) - 1))
    wanted = hello_bytes(hello[:some])
    assert wanted is not None
    assert some < wanted <= len(hello)
    assert hello_bytes(hello) == hello_bytes(hello + b"more") == len(hello)


@given(st.binary(max_size=64) | st.integers(0, 64).map(lambda end: HELLO[:end]), st.binary(max_size=16))
def test_whatever_comes_wants_a_bounded_number_of_bytes(begin: bytes, end: bytes) -> None:
    wanted = hello_bytes(begin + end)
    assert wanted is None or 0 < wanted <= MAX_HELLO_BYTES


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n", b"\x15\x03\x01\0\x02\x02\x28", b"\x16\x03\x01\0\0", b"\x16\x03\x01\0\x04\x02\0\0\0",
     b"\x16\x03\x01\xff\xff\x01", b"\x16\x03\x01\0\x01\x01" + b"\x16\x03\x01\0\x01\xff" * 4],
)  # fmt: skip
def test_what_is_no_hello(data: bytes) -> None:
    assert hello_bytes(data) is None


@pytest.mark.asyncio
async def test_tls_begins_when_the_hello_is_complete(tls: tuple[Path, Path, ssl.SSLContext]) -> None:
    """Signing takes time: many hellos that are completed at once would take it from live streams at once."""
    chain, key, _ = tls
    async with serving(tls_certificate=chain, tls_key=key) as server:
        assert server._admission is not None
        client = RawClient(server.port)
        await client.send(HELLO[:1])
        await until(lambda: len(server._admission.listener))
        (arrival,) = server._admission.listener._waiting
        for end in range(1, len(HELLO), 100):
            await client.send(HELLO[end : min(end + 100, len(HELLO) - 1)])
            await asyncio.sleep(0.002)
        assert arrival.opening is None
        await client.send(HELLO[-1:])
        async with asyncio.timeout(PATIENCE):
            answer = await asyncio.get_running_loop().sock_recv(client.socket, 1 << 16)
        assert answer[:1] == b"\x16"
        client.close()
        await until(lambda: not len(server._admission.listener))


@pytest.mark.asyncio
async def test_who_goes_in_the_middle_of_a_hello_is_gone(tls: tuple[Path, Path, ssl.SSLContext]) -> None:
    chain, key, _ = tls
    async with serving(tls_certificate=chain, tls_key=key) as server:
        assert server._admission is not None
        client = RawClient(server.port)
        await client.send(HELLO[:100])
        await until(lambda: len(server._admission.listener))
        client.close()
        await until(lambda: not len(server._admission.listener))
