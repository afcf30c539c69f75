"""Sockets that listen: one for each address of a host, all on one port.

Knows: names, addresses, ports. Does not know: connections.
"""

from __future__ import annotations

import asyncio
import errno
import socket as sockets
from collections.abc import Sequence
from typing import Any

from ....system.foreign_data import one_line

#: Connections that the kernel holds for us while we pause.
_BACKLOG = 1024
#: How often a free port is looked for that is free on every address.
_ATTEMPTS = 16


async def listening_sockets(host: str, port: int) -> tuple[sockets.socket, ...]:
    """Listen on every address of a host that the machine has.

    Raises:
        OSError: there is none, or it is taken. `remedy` says what to do.
    """
    kind, flags = sockets.SOCK_STREAM, sockets.AI_PASSIVE
    try:  # an address needs no thread that asks for a name
        found = sockets.getaddrinfo(host or None, port, type=kind, flags=flags | sockets.AI_NUMERICHOST)
    except (sockets.gaierror, ValueError):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind, flags=flags)
        except ValueError as error:  # of labels that no name has
            raise sockets.gaierror(sockets.EAI_NONAME, f"no host can be named so: {one_line(error)}") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    attempts = 1 if port else _ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _listen(addresses)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not attempts:
                raise


def _listen(addresses: Sequence[tuple[int, tuple[Any, ...]]]) -> tuple[sockets.socket, ...]:
    listening: list[sockets.socket] = []
    skipped: OSError | None = None
    try:
        for family, (host, port, *rest) in addresses:
            if not port and listening:  # any free one, but the same on every address
                port = listening[0].getsockname()[1]
            try:
                listening.append(sockets.create_server((host, port, *rest), family=family, backlog=_BACKLOG))
            except OSError as error:
                if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                    raise
                skipped = error
        if skipped is not None and not listening:
            raise skipped
    except OSError:
        for socket in listening:
            socket.close()
        raise
    for socket in listening:
        socket.setblocking(False)
    return tuple(listening)


def remedy(error: OSError) -> str:
    """What to do where nobody could listen."""
    if isinstance(error, sockets.gaierror) or error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
        return "choose another --host: an address of this machine, or a name of one"
    return "choose another --port"
