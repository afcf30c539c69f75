"""No attack: the same work on the load's core, which never reaches the server. It shows what the measurement costs.

Knows: a listening socket of its own. Does not know: the server.
"""

from __future__ import annotations

import socket as sockets

from .attack import Attack
from .target import Target


async def _to_itself(target: Target) -> None:
    with sockets.create_server(("127.0.0.1", 0)) as server:
        for _ in range(100):
            client = sockets.create_connection(server.getsockname())
            server.accept()[0].close()
            client.close()
            target.tally.attempts += 1


ATTACKS = (Attack("control", "no attack: connections of the attacker to itself", _to_itself, connections=1),)
