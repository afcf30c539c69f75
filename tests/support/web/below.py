"""A reverse proxy that serves a server below a path, as nginx does: it strips the path, or keeps it.

Knows: the first line of a request. Does not know: what is asked, or what is asserted.
"""

from __future__ import annotations

import asyncio
import contextlib


class PathProxy:
    """Passes what is below ``path`` on to a port, and nothing else. A connection brings one request.

    Args:
        port: the server's.
        path: begins and ends with a slash.
        strip: whether the server sees paths without it.

    Attributes:
        url: the server's, through this.
    """

    def __init__(self, port: int, path: str, strip: bool) -> None:
        self._port, self._path, self._strip = port, path.encode(), strip
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> PathProxy:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self._path.decode()}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_server = None
        try:
            method, target, rest = (await reader.readuntil(b"\r\n")).split(b" ", 2)
            if not target.startswith(self._path):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
            if self._strip:
                target = b"/" + target.removeprefix(self._path)
            to_server.write(b" ".join((method, target, rest)))
            await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, to_server):
                if end is not None:
                    end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 14):
            writer.write(data)
            await writer.drain()
    writer.close()
