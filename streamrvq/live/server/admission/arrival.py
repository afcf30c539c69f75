"""A connection from its accept to the end of its request: a socket first, a transport when something has come.

Knows: how bytes become the head of a request, and their limits. Does not know: what is answered, how many connections
there are (listener.py).
"""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import thread_time
from typing import Protocol, cast

from ....system.tcp import ESTABLISHED, tcp_state
from .request import HEAD_END, RequestRefusedError, check_beginning

#: What is read at a time before the request is complete.
_READ_BYTES = 4096
#: In how many pieces a head may come.
_MOST_READS = 64
#: How many pieces of a body that nobody wants are read, so that its sender can read the refusal.
_MOST_DISCARDED = 16


class Listens(Protocol):
    """What an arrival tells the listener."""

    def head_complete(self, arrival: Arrival) -> None:
        """A whole request has come; nothing more is read."""

    def refused(self, arrival: Arrival, refusal: RequestRefusedError) -> None:
        """What has come is no request; nothing more is read."""

    def ended(self, arrival: Arrival) -> None:
        """The client has gone."""

    def worked(self, seconds: float) -> None:
        """Reading took so much of the event loop's time."""


class Arrival(asyncio.Protocol):
    """A connection that has not made its request yet.

    Args:
        socket: as accepted.
        group: whose it is, see `addresses.address_group`.
        listener: who decides what becomes of it.

    Attributes:
        transport: None until something has come.
        opening: the task that makes the transport, while it does.
        head: what has come up to the end of the head.
        rest, excess: what came after it, and whether there was too much of that.
        left: whether another protocol has it now.
    """

    def __init__(self, socket: sockets.socket, group: str, listener: Listens) -> None:
        self.group = group
        self.transport: asyncio.Transport | None = None
        self.head, self.rest, self.excess, self.left = b"", b"", False, False
        self._socket, self._listener, self._loop = socket, listener, asyncio.get_running_loop()
        self.opening: asyncio.Task[object] | None = None
        self._reads, self._wanted, self._over, self._answered = 0, 1, False, False

    @property
    def over(self) -> bool:
        """Whether it has been aborted, or lost. A TLS transport tells a turn of the loop later that it is lost."""
        return self._over or (self.transport is not None and self.transport.is_closing())

    @property
    def gone(self) -> bool:
        """Whether the client has closed its side, or reset the connection. While nothing is read, only Linux tells."""
        return tcp_state(self._socket) not in (None, ESTABLISHED)

    def when_readable(self, then: Callable[[], None], count: int = 1) -> None:
        """Call ``then`` once ``count`` bytes have come, or the end; where the system cannot wait so, sooner."""

        def readable() -> None:
            self._loop.remove_reader(self._socket)
            then()

        self._want(count)
        self._loop.add_reader(self._socket, readable)

    def _want(self, count: int) -> None:
        if count != self._wanted:
            self._wanted = count
            with suppress(OSError):  # Windows cannot
                self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVLOWAT, count)

    def first_bytes(self, most: int = 1) -> bytes | None:
        """The first bytes that have come, which stay there; b"": the client has gone; None: nothing has come yet."""
        try:
            return self._socket.recv(most, sockets.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def open(self, tls: ssl.SSLContext | None, timeout: float) -> None:
        """Begin to read.

        Args:
            tls: a TLS context, or None.
            timeout: seconds for a TLS handshake.
        """
        self._want(1)
        connecting = self._loop.connect_accepted_socket(
            lambda: self, self._socket, ssl=tls, ssl_handshake_timeout=timeout if tls is not None else None
        )
        self.opening = self._loop.create_task(connecting, name="streamrvq-arrival")
        self.opening.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self.opening = None
        if (task.cancelled() or task.exception() is not None) and self.transport is None:  # no TLS, or a lost client
            self._socket.close()
            self._end()

    def abort(self) -> None:
        """End it at once, without a word."""
        self._over = True
        if self.transport is not None:
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()
        else:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let another protocol have the connection, from its first byte on."""
        transport = self.transport
        assert transport is not None  # it has been read from
        self.left = True
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()  # before the protocol has bytes: it may pause reading because of them
        protocol.data_received(self.head)
        if self.rest:
            protocol.data_received(self.rest)

    def reply(self, data: bytes, wait: bool) -> None:
        """Send a response and close.

        Args:
            data: the response.
            wait: the client may still be sending. Closing at once would make the response unreadable for it, so only
                this direction is closed, and some of what comes is discarded.
        """
        transport = self.transport
        assert transport is not None  # it has been read from
        self._answered, self._reads, self.head, self.rest = True, 0, b"", b""
        transport.write(data)
        if wait and transport.can_write_eof():
            try:
                transport.write_eof()
            except (OSError, RuntimeError):  # the client has gone
                transport.abort()
                return
            transport.resume_reading()
        else:
            transport.close()

    # ------------------------------------------------------------- asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if hasattr(transport, "max_size"):  # of asyncio's own loop
            transport.max_size = _READ_BYTES
        if self._over:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._over or self.transport is None:
            return
        began = thread_time()
        self._reads += 1
        if not self._answered:
            self._read_head(self.transport, data)
        elif self._reads >= _MOST_DISCARDED:
            self._give_up()
        self._listener.worked(thread_time() - began)

    def _read_head(self, transport: asyncio.Transport, data: bytes) -> None:
        searched = max(0, len(self.head) - 3)
        self.head += data
        end = HEAD_END.search(self.head, searched)
        if end is not None:
            transport.pause_reading()
            rest = self.head[end.end() :]
            self.head, self.rest, self.excess = self.head[: end.end()], rest[:_READ_BYTES], len(rest) > _READ_BYTES
            self._listener.head_complete(self)
            return
        try:
            check_beginning(self.head)
        except RequestRefusedError as refusal:
            transport.pause_reading()
            self._listener.refused(self, refusal)
        else:
            if self._reads >= _MOST_READS:
                self._give_up()

    def eof_received(self) -> None:
        """The client will send nothing more: the transport closes by itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _give_up(self) -> None:
        self.abort()
        self._listener.ended(self)

    def _end(self) -> None:
        self._over = True
        self._listener.ended(self)
