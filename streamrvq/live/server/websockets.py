"""Makes websockets of connections whose requests have been read, and serves them to their end.

Knows: websockets' servers and protocols. Does not know: the limits of a socket (transport.py), who may connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from ..protocol.constants import SUBPROTOCOL
from .intake import Rounds
from .logs import transport_log
from .metered import Metered
from .scheduling.live_load import LiveLoad
from .settings import ServerSettings
from .transport import LimitedConnection, TakeTurns


class Websockets:
    """Makes connections whose requests have been read.

    Args:
        listen: begins to listen, see `admission.listener.Listener`.
        known: connection → None from its first byte to its last; the caller may set another value.
        handle: serves a connection after its handshake.
        refused: called with the HTTP status of a handshake that fails.
        take_turns: see `LimitedConnection`.
        cut: called with a connection that is being cut, and the reason.
        on_spent: called with a connection that is young, and seconds of loop time that its tasks took.
        load: what live streams leave to connections that send too much.
        settings: timeouts, and bytes of a message.

    Attributes:
        server: what the connections belong to.
    """

    def __init__(
        self, listen: Callable[[], Coroutine[Any, Any, Any]], known: dict[LimitedConnection, Any],
        handle: Callable[[LimitedConnection], Awaitable[None]], refused: Callable[[int], None], take_turns: TakeTurns,
        cut: Callable[[ServerConnection, str], None], on_spent: Callable[[LimitedConnection, float], None],
        load: LiveLoad, settings: ServerSettings,
    ) -> None:  # fmt: skip
        self.server = WebsocketServer(listen, self._serve, transport_log())
        self._handle, self._refused, self._settings = handle, refused, settings
        self._known, self._take_turns, self._cut, self._rounds = known, take_turns, cut, Rounds(load=load)
        self._on_spent = on_spent

    def new(self) -> LimitedConnection:
        """A connection, to be given its transport and its first bytes."""
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(SUBPROTOCOL)], select_subprotocol=select_subprotocol,
            max_size=self._settings.max_message, logger=transport_log(),
        )  # fmt: skip
        # Pings keep routers awake. A late answer is not a fault: it may wait behind audio that TCP holds back.
        connection = LimitedConnection(
            protocol, self.server, ping_interval=20, ping_timeout=None, close_timeout=self._settings.close_timeout
        )
        connection.known, connection.take_turns = self._known, self._take_turns
        connection.cut, connection.rounds, connection.on_spent = self._cut, self._rounds, self._on_spent
        return connection

    def _serve(self, connection: Any) -> Metered[None]:
        return Metered(self._serve_to_end(connection), connection.spend, connection.counts)

    async def _serve_to_end(self, connection: Any) -> None:
        """Serve a connection from its handshake to its end; it is closed then."""
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                await connection.handshake()
            if connection.protocol.state is not OPEN:
                if connection.response is not None:
                    self._refused(connection.response.status_code)
                connection.transport.abort()
                return
            connection.start_keepalive()
            async with connection:
                await self._handle(connection)
        except Exception:  # the handshake took too long, or the client has gone; `handle` logs its own failures
            connection.transport.abort()
        finally:
            self.server.handler_tasks.discard(asyncio.current_task())
            connection.served()


def select_subprotocol(protocol: Any, offered: Any) -> Subprotocol | None:
    """This server's subprotocol, if it was offered. Otherwise none, and the client is told after the handshake."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
