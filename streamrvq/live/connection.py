"""One websocket connection of the server: every wait has an end, and every end its close code.

Reading, computing and sending take turns in one task, so nothing piles up: while a message is computed or its codes
wait to be sent, the next one is not read, and TCP slows the client down.

Knows: deadlines, errors, closing. Does not know: what a stream computes (serving.py), who else is there (server.py).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from ..errors import ProtocolError
from .access import Allowance, bearer, token_matches
from .messages import Error, Ready, Resume, Start, parse
from .protocol import SUBPROTOCOL, Close
from .serving import open_stream

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from .server import Server
    from .serving import ServedDecoder, ServedEncoder

log = logging.getLogger("streamrvq.server")


class _NotReading(Exception):
    """The client took nothing for too long; the connection has been cut."""


class _Draining(Exception):
    """The server wants to go."""


class Connection:
    """A client, from its handshake to its end.

    Args:
        server: whose codec, worker and settings it uses, and who admits its stream.
        socket: an open websocket.
        number: for the log. (The session's name is a secret, and is not logged.)
    """

    def __init__(self, server: Server, socket: ServerConnection, number: int) -> None:
        self._server, self._socket, self._number = server, socket, number
        self._settings = server.settings
        self._stream: ServedEncoder | ServedDecoder | None = None
        self._reading: asyncio.Timeout | None = None
        self._draining = self._admitted = False

    def drain(self) -> None:
        """Come to an end: what has been received is encoded, then the connection is closed with 1012."""
        self._draining = True
        if self._reading is not None:
            with suppress(RuntimeError):  # it is ending this very moment
                self._reading.reschedule(0)  # the past: the wait ends now

    def log(self, event: str, level: int = logging.INFO, **fields: object) -> None:
        """A line of the log: an event and its fields."""
        log_event(event, level, conn=self._number, **fields)

    async def refuse(self, why: str) -> None:
        """Close at once: there is no room."""
        self.log("refused", logging.WARNING, why=why)
        with suppress(ConnectionClosed, _NotReading):
            await self._close(Close.FULL, why)

    async def run(self) -> None:
        """Serve the client to its end. Whatever happens, only a cancellation is raised."""
        began, code, why = asyncio.get_running_loop().time(), Close.NORMAL, ""
        self.log("connected", peer=_peer(self._socket))
        try:
            try:
                await self._serve()
            except ProtocolError as error:
                code, why = Close(error.code), str(error)
            except _Draining:
                code, why = Close.RESTART, "the server is going down; connect again"
            await self._close(code, why)
        except _NotReading:
            code, why = Close.LOST, f"it took nothing for {self._settings.send_timeout:g} s"
        except ConnectionClosed:
            if code == Close.NORMAL:  # else the client left before it could be told
                code, why = _how_closed(self._socket)
        except Exception:
            code, why = Close.FAILED, "the server failed; its log says more"
            log.exception("failed conn=%d", self._number)
            with suppress(ConnectionClosed, _NotReading):
                await self._close(code, why)
        finally:
            if self._admitted:
                self._server.release()
            seconds = asyncio.get_running_loop().time() - began
            stream = self._stream
            audio = 0.0 if stream is None else stream.audio_seconds
            self.log("closed", code=int(code), why=why, seconds=round(seconds, 3), audio_seconds=round(audio, 3))

    async def _serve(self) -> None:
        if self._socket.subprotocol != SUBPROTOCOL:
            raise ProtocolError(f"no subprotocol {SUBPROTOCOL} was offered; offer it", Close.VERSION)
        start = await self._start()
        self._server.admit()
        self._admitted = True
        worker, settings = self._server.worker, self._settings
        stream = await worker.run(open_stream, self._server.codec, start, settings.max_message)
        self._stream = stream
        await self._send(self._ready())
        self.log("started", mode=start.mode, rate=start.sample_rate, format=start.format, levels=start.n_quantizers)
        clock = asyncio.get_running_loop().time
        allowance = Allowance(clock())
        while not stream.ended:
            try:
                data = await self._receive(settings.idle_timeout, "nothing was received")
            except _Draining:
                for out in await worker.run(stream.flush):  # no `done`: more may be on its way
                    await self._send(out)
                raise
            allowance.spend(clock(), stream.audio_seconds)
            await asyncio.sleep(0)  # messages that are here already come without a wait: let the others have a turn
            for work in stream.take(data):
                for out in await worker.run(work):
                    await self._send(out)

    async def _start(self) -> Start:
        """The client's start message, its token checked."""
        assert self._socket.request is not None  # it has been answered
        headers = self._socket.request.headers.get_all("Authorization")
        header = bearer(" ".join(headers) if headers else None)  # two of them are no token
        tokens = self._server.settings.tokens
        if header is not None and not token_matches(header, tokens):
            raise ProtocolError("the token of the Authorization header is not one of this server's", Close.UNAUTHORIZED)
        data = await self._receive(self._settings.start_timeout, "no start message came")
        if not isinstance(data, str):
            raise ProtocolError("a binary message before start; send start first and wait for ready")
        message = parse(data, "client")
        if not isinstance(message, (Start, Resume)):
            raise ProtocolError(f"{message.type} before start; send start first and wait for ready")
        if header is None and not token_matches(message.token, tokens):
            came = "no token came" if message.token is None else "the token is not one of this server's"
            raise ProtocolError(f"{came}; give it in start.token or as Authorization: Bearer", Close.UNAUTHORIZED)
        if isinstance(message, Resume):
            raise ProtocolError("no such session is parked here; start a new stream", Close.NO_SESSION)
        return message

    def _ready(self) -> str:
        codec = self._server.codec
        return Ready(
            session=self._server.new_session(), codec=codec.name, codec_hash=codec.codec_hash, trained=codec.trained,
            sample_rate=codec.sample_rate, hop=codec.hop_length, codebooks=codec.n_codebooks,
            codebook_size=codec.config.codebook_size, delay_frames=codec.delay_frames,
            decoder_delay_samples=codec.decoder_delay_samples, max_message=self._settings.max_message,
        ).to_json()  # fmt: skip

    async def _receive(self, seconds: float, otherwise: str) -> str | bytes:
        """The next message.

        Raises:
            ProtocolError: none came in time.
            _Draining: the server wants to go.
        """
        if self._draining:
            raise _Draining
        try:
            async with asyncio.timeout(seconds) as self._reading:
                return await self._socket.recv()
        except TimeoutError:
            if self._draining:
                raise _Draining from None
            raise ProtocolError(f"{otherwise} for {seconds:g} s; send at least an empty one", Close.TOO_SLOW) from None
        finally:
            self._reading = None

    async def _send(self, data: str | bytes) -> None:
        # websockets waits without a limit for a client that does not read, and so would its close
        try:
            async with asyncio.timeout(self._settings.send_timeout):
                await self._socket.send(data)
        except TimeoutError:
            self._socket.transport.abort()
            raise _NotReading from None

    async def _close(self, code: Close, why: str) -> None:
        """Say why, and close; cut the connection where the client does not answer."""
        if code != Close.NORMAL:
            await self._send(Error(code=int(code), message=why[:2000]).to_json())
        # What the client still sends is read and passed over: its answer to the close comes behind it.
        passing = asyncio.create_task(self._pass_over())
        try:
            async with asyncio.timeout(self._settings.close_timeout):
                await self._socket.close(code, _reason(why))
        except TimeoutError:
            self._socket.transport.abort()
        finally:
            passing.cancel()
            await asyncio.wait([passing])

    async def _pass_over(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._socket.recv()
                await asyncio.sleep(0)  # what has arrived already is given without a wait


def log_event(event: str, level: int = logging.INFO, **fields: object) -> None:
    """A line ``event key=value …`` in ASCII; the fields are attributes of the record's ``fields``, too."""
    if log.isEnabledFor(level):
        text = " ".join(f"{name}={_plain(value)}" for name, value in fields.items() if value not in (None, ""))
        log.log(level, "%s %s", event, text, extra={"fields": fields})


def _plain(value: object) -> str:
    if isinstance(value, (int, float)):
        return str(value)
    text = ascii(str(value))
    return text[1:-1] if " " not in text and "=" not in text else text


def _reason(why: str) -> str:
    """As much of a sentence as a close frame holds: 123 bytes."""
    return why.encode("ascii", "replace")[:123].decode()


def _peer(socket: ServerConnection) -> str:
    address = socket.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address)


def _how_closed(socket: ServerConnection) -> tuple[Close, str]:
    """How the client, or the websocket layer, ended the connection."""
    code = socket.close_code
    known = Close(code) if code in set(Close) else Close.NORMAL if code == 1001 else Close.LOST
    return known, f"closed from outside with {code}"
