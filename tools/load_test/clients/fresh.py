"""Clients that come for a moment: each shows its token, opens a stream, sends a little and wants all of its codes.

Knows: one such client, in two kinds: one connection, or one that breaks and is resumed. Does not know: when they come,
which codes are right (verify.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from ..errors import LoadError
from ..record import End, Record
from .audio import LoopedAudio
from .raw import RawClient
from .relay import Relay
from .remote_stream import RemoteStreamClient

#: Seconds to get in, as long as a server waits for a start by default; and seconds to get the codes.
_IN, _CODES = 10.0, 10.0
#: Messages that each of them sends, and seconds for which a broken connection is away.
_MESSAGES, _AWAY = 20, 1.0


@dataclasses.dataclass(frozen=True)
class Visit:
    """What came of one client: its record, and seconds until it was in. None: it did not get in."""

    record: Record
    seconds: float | None


class FreshClients:
    """Clients that come for a moment.

    Args:
        url, port: of the server.
        token: that they show.
        audio, block: what they send, and samples of a message.
    """

    def __init__(self, url: str, port: int, token: str | None, audio: LoopedAudio, block: int) -> None:
        self._url, self._port, self._token, self._audio, self._block = url, port, token, audio, block

    async def once(self, number: int) -> Visit:
        """Open a stream, send some messages, stop, and wait for the end. What goes wrong is in the record."""
        record, began = self._record(number), time.perf_counter()
        client = RawClient(record, self._audio, token=self._token)
        try:
            await client.open(self._url, _IN)
            seconds = time.perf_counter() - began
            for _ in range(_MESSAGES):
                client.send(time.perf_counter())
            client.stop()
            async with asyncio.timeout(_CODES):
                await client.closed.wait()
        except LoadError as error:
            record.ends(End.LOST, str(error))
            return Visit(record, None)
        except TimeoutError:
            record.ends(End.BROKEN, f"no end came for {_CODES:g} s")
        finally:
            client.give_up()
        return Visit(record, seconds)

    async def resuming(self, number: int) -> Visit:
        """The same, with a connection that breaks in the middle and is away for a second. The stream must be there."""
        record, began = self._record(number), time.perf_counter()
        async with Relay(self._port) as relay:
            client = RemoteStreamClient(record, self._audio, relay, self._token)
            running = asyncio.create_task(client.run(began, lambda: len(record.sent) >= _MESSAGES))
            try:
                async with asyncio.timeout(_IN + _CODES):
                    while not record.frames and not running.done():
                        await asyncio.sleep(0.005)
                    seconds = time.perf_counter() - began if record.frames else None
                    relay.cut(within_a_message=False, away=_AWAY)
                    record.resumed += 1
                    await running
            except TimeoutError:
                record.ends(End.BROKEN, f"no end came for {_IN + _CODES:g} s")
                seconds = None
            finally:
                running.cancel()
                await asyncio.wait([running])
        return Visit(record, seconds)

    def _record(self, number: int) -> Record:
        return Record(number, self._audio.offset(number), self._audio.rate, self._block)
