"""Who gets in: requests, then handshakes, then clients with a token, each stage within its own limits.

Whoever has no token yet is one of a bounded number, and has to go when others come. So whoever has one gets in.

Knows: the limits of each stage, tokens. Does not know: sockets (listener.py), messages (connection.py), streams.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection

from ....errors import ProtocolError
from ....system.foreign_data import one_line
from ...protocol.constants import Close
from ..connection import Connection
from ..handshake import authenticated
from ..http import HttpService
from ..logs import log_event
from ..services import Services
from ..transport import LimitedConnection
from ..websockets import Websockets
from .addresses import address_group
from .arrival import Arrival
from .descriptors import room_for
from .listener import SHORTEST_STAY, Listener
from .request import RequestRefusedError, parse_request, token_of
from .waiting import Waiting

#: Refusals that say nothing about an attack, or that their client is told in full: they are counted and not logged.
_NOT_LOGGED = {"http_404"}
_WARNINGS = {"room", "descriptors", "http_403"}


class Admission:
    """Lets clients in.

    Args:
        services: the parts that all connections share.
        http: answers requests.
        connections: every websocket → its `Connection`, or None while it is in its handshake; kept up to date here.
        draining: whether the server is going down.

    Attributes:
        listener: the connections that have not made their request yet.
        server: to be awaited to begin to listen.
    """

    def __init__(
        self, services: Services, http: HttpService, connections: dict[LimitedConnection, Connection | None],
        draining: Callable[[], bool],
    ) -> None:  # fmt: skip
        settings = services.settings
        self._services, self._http, self._connections, self._draining = services, http, connections, draining
        self._now, self._numbers = asyncio.get_running_loop().time, itertools.count(1)
        wanted = settings.connections_for(services.sessions.max_open)
        self._room = room = room_for(settings.max_unauthenticated, wanted)
        if room.authenticated < wanted:
            log_event(
                "limited", logging.WARNING, connections=room.authenticated, unauthenticated=room.unauthenticated,
                why="this process may open few files; raise its limit (ulimit -n)",
            )  # fmt: skip
        of_one = settings.max_unauthenticated_of_one
        self.listener = Listener(
            self._answer, self._turned_away, self._token_of, waiting=room.unauthenticated, waiting_of_one=of_one,
            timeout=settings.start_timeout, tls=settings.tls(), load=services.load,
        )  # fmt: skip
        websockets = self._websockets = Websockets(
            self._listen, connections, self._handle, self._handshake_failed, self.listener.answers.add,
            self.cut, self._spent, services.load, settings,
        )  # fmt: skip
        self.server = websockets.server
        self._unauthenticated: Waiting[Connection] = Waiting(room.unauthenticated, min(room.unauthenticated, of_one))
        self.listener.answers.hold = lambda: SHORTEST_STAY - self._unauthenticated.shortest_stay(self._now())
        self._admitted: set[Connection] = set()

    async def _listen(self) -> Any:
        settings = self._services.settings
        return await self.listener.listen(settings.host, settings.port)

    def _token_of(self, head: bytes) -> str | None:
        return token_of(head, self._services.settings.tokens)

    def _answer(self, arrival: Arrival) -> None:
        request = parse_request(arrival.head)
        reply = self._http.reply(request)
        if reply is None and self._draining():
            raise RequestRefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "The server is going down; try again later.\n")
        if reply is None and arrival.excess:
            text = "Wait for the answer to the handshake before you send more.\n"
            raise RequestRefusedError(HTTPStatus.BAD_REQUEST, text)
        if reply is None:
            self.listener.leave(arrival, self._websockets.new())
            return
        if reply.status >= HTTPStatus.BAD_REQUEST and reply.status != HTTPStatus.SERVICE_UNAVAILABLE:  # of /health
            origin = request.origin if reply.status == HTTPStatus.FORBIDDEN else None
            self._turned_away(f"http_{reply.status.value}", arrival.group, origin=origin and one_line(origin))
        self.listener.finish(arrival, reply.to_bytes(request.method), wait=bool(arrival.rest))

    def _handshake_failed(self, status: int) -> None:
        self._services.metrics.refuse(f"http_{status}")

    def _turned_away(self, reason: str, group: str, **fields: object) -> None:
        self._services.metrics.refuse(reason)
        if reason not in _NOT_LOGGED:
            level = logging.WARNING if reason in _WARNINGS else logging.INFO
            self._services.repeats.log(self._now(), "refused", level, reason, group, why=reason, of=group, **fields)

    def cut(self, socket: ServerConnection, why: str) -> None:
        """Log that a connection is being cut."""
        group = address_group(socket.remote_address)
        self._services.repeats.log(self._now(), "cut", logging.WARNING, why, group, why=why)

    def _spent(self, socket: LimitedConnection, seconds: float) -> None:
        (self.listener.with_token if socket.trusted else self.listener.answers).spend(seconds)

    async def _handle(self, socket: LimitedConnection) -> None:
        """Serve one connection after its handshake, or refuse it where the server is full."""
        if socket not in self._connections or socket.request is None:
            return  # it was lost already
        connection = Connection(self._services, socket, next(self._numbers))
        connection.on_authenticated = partial(self._admit, connection, socket)
        try:
            if authenticated(socket.request.headers.get_all("Authorization"), self._services.settings.tokens):
                self._admit(connection, socket)
            else:
                self._let_wait(connection)
        except ProtocolError as error:
            self._let_wait(connection)
            await connection.refuse(str(error))
        else:
            self._connections[socket] = connection
            if self._draining():
                connection.drain()
            await connection.run()
        finally:
            self._unauthenticated.remove(connection)
            self._admitted.discard(connection)
            del connection.on_authenticated  # it leads to the connection

    def _let_wait(self, connection: Connection) -> None:
        gone = self._unauthenticated.add(connection, connection.log.group, self._now())
        if gone is not None:
            self._turned_away("room", gone.log.group)
            gone.give_way()

    def _admit(self, connection: Connection, socket: LimitedConnection) -> None:
        """Count a client that has authenticated.

        Raises:
            ProtocolError: there are too many of them.
        """
        if connection in self._admitted:
            return
        of_one = sum(other.log.group == connection.log.group for other in self._admitted)
        most_of_one = self._services.settings.max_connections_of_one
        for count, most in ((len(self._admitted), self._room.authenticated), (of_one, most_of_one)):
            if most is not None and count >= most:
                self._services.metrics.refuse("full")
                raise ProtocolError(f"all {most} connections are taken; try later", Close.FULL)
        self._unauthenticated.remove(connection)
        self._admitted.add(connection)
        socket.trust()
