"""The state of a TCP connection, where the system tells.

Knows: Linux's TCP_INFO. Does not know: what a connection is for.
"""

from __future__ import annotations

import socket as sockets
from contextlib import suppress
from typing import Any

ESTABLISHED, CLOSED = 1, 7


def tcp_state(socket: Any) -> int | None:
    """The state of a connected socket: `ESTABLISHED` while neither side has closed, `CLOSED` after a reset.

    Args:
        socket: a socket, or what asyncio's transports give for one: None by a TLS transport that was lost.

    Returns:
        None where the system does not tell, or the socket is closed.
    """
    if not hasattr(sockets, "TCP_INFO") or socket is None or socket.fileno() < 0:
        return None
    with suppress(OSError):
        return int(socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, 1)[0])
    return None
