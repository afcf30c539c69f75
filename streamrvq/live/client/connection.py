"""A websocket to a server. Its failures are raised as `ServiceError`.

Knows: websockets, deadlines, how a server refuses. Does not know: the way to it (endpoint.py), why there is none
(unreachable.py), streams, samples, codes, tasks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ...errors import ServiceError
from ...system.foreign_data import one_line
from ..protocol.constants import SUBPROTOCOL, Close
from ..protocol.text import Error, Message, parse
from .endpoint import Endpoint
from .unreachable import why_unreachable

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class Connection:
    """An open connection; `open_connection` makes it.

    Args:
        url: the server's, for error messages.
        socket: the websocket.
        timeout: seconds to wait for the server.
    """

    def __init__(self, url: str, socket: ClientConnection, timeout: float) -> None:
        self._url, self._socket, self._timeout = url, socket, timeout
        self._timeout_error: ServiceError | None = None

    async def send(self, data: str | bytes) -> None:
        """Send a message. Raises `ServiceError` if the server does not take it or is gone."""
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(self._timeout):
                await self._socket.send(data)
        except TimeoutError:
            text = f"{self._url} took no message for {self._timeout:g} s; it is cut off"
            self._timeout_error = ServiceError(text, Close.LOST)
            self._socket.transport.abort()
            raise self._timeout_error from None
        except ConnectionClosed:
            raise self._failure() from None

    async def receive(self) -> Message | bytes:
        """The next message. Those of types that only newer clients know are passed over.

        Raises:
            ServiceError: the server refused, closed, or broke off.
            ProtocolError: the message does not belong to the protocol.
        """
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                data = await self._socket.recv()
            except ConnectionClosed:
                raise self._failure() from None
            if isinstance(data, bytes):
                return data
            message = parse(data, "server")
            if isinstance(message, Error):
                raise ServiceError(one_line(message.message, 2048), message.code)
            if type(message) is not Message:  # a plain one is of an unknown type
                return message

    def _failure(self) -> ServiceError:
        code = self._socket.close_code or Close.LOST
        reason = self._socket.close_reason or ("it broke" if code == Close.LOST else "no reason given")
        text = f"the connection to {self._url} ended before the stream did (code {code}: {one_line(reason)})"
        return self._timeout_error or ServiceError(text, code)

    async def close(self, seconds: float) -> None:
        """Close; cut the connection if the server does not answer within ``seconds``, or if this is cancelled."""
        try:
            async with asyncio.timeout(min(seconds, self._timeout)):
                await self._socket.close()
        except asyncio.CancelledError:
            self._socket.transport.abort()
            raise
        except TimeoutError:
            self._socket.transport.abort()
            await self._socket.wait_closed()


async def open_connection(endpoint: Endpoint) -> Connection:
    """Connect. Raises `ServiceError` if no server answers or the handshake is refused."""
    from websockets.asyncio.client import connect  # here because it is slow to import
    from websockets.exceptions import WebSocketException
    from websockets.typing import Subprotocol

    token, timeout, proxy = endpoint.token, endpoint.timeout, None
    headers = {"Authorization": f"Bearer {_in_header(token)}"} if token is not None else {}
    trust: dict[str, Any] = {} if endpoint.ssl is None else {"ssl": endpoint.ssl}  # None would forbid wss
    try:
        proxy = endpoint.chosen_proxy()
        socket = await connect(
            endpoint.url, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None, additional_headers=headers,
            open_timeout=timeout, close_timeout=timeout, proxy=proxy,
            ping_interval=None,  # a ping queues after the audio, so a late answer would prove nothing
            **trust,
        )  # fmt: skip
    except (OSError, ValueError, ImportError, WebSocketException) as error:
        # TimeoutError is an OSError; ValueError: a wrong URL; ImportError: what a SOCKS proxy needs
        raise await why_unreachable(endpoint, proxy, error) from None
    return Connection(endpoint.url, socket, timeout)


def _in_header(token: str) -> str:
    """A token as a header can have it: websockets sends ISO-8859-1, and what that lacks goes as UTF-8."""
    try:
        token.encode("latin-1")
    except UnicodeEncodeError:
        return token.encode("utf-8", "surrogatepass").decode("latin-1")
    return token
