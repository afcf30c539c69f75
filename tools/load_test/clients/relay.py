"""An unreliable network: a relay between one client and the server, whose connections can be cut at any byte.

Knows: bytes in both directions. Does not know: websockets, how the client reacts.
"""

from __future__ import annotations

import asyncio
import socket as sockets
import struct
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)


class Relay:
    """A relay to a server on loopback. An async context manager.

    Attributes:
        url: the address that the client connects to.
    """

    url: str

    def __init__(self, port: int) -> None:
        self._port = port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cutting, self._back = False, 0.0

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self._abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    def cut(self, within_a_message: bool, away: float = 0.0) -> None:
        """Reset both connections: at once, or when half of the client's next bytes have passed.

        For ``away`` seconds from now, new connections wait.
        """
        self._back = asyncio.get_running_loop().time() + away
        if within_a_message:
            self._cutting = True
        else:
            self._abort()

    def _abort(self) -> None:
        self._cutting = False
        for pair in list(self._pairs):
            for writer in pair:
                socket = writer.get_extra_info("socket")
                if socket is not None and socket.fileno() >= 0:
                    socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, _RESET)
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        pair = None
        try:
            await asyncio.sleep(max(0.0, self._back - asyncio.get_running_loop().time()))
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._port)
            pair = (writer, far)
            self._pairs.add(pair)
            back = asyncio.create_task(self._pump(far_reader, writer, False))
            await self._pump(reader, far, True)
            await back
        except OSError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            if pair is not None:
                self._pairs.discard(pair)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: bool) -> None:
        try:
            while data := await reader.read(1 << 16):
                if there and self._cutting:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    self._abort()
                    return
                writer.write(data)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()
