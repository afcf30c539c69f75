"""Keeping a stream open while its user sends nothing: a microphone that is muted, say.

A server cuts off a client that it has heard nothing of for `Ready.idle_timeout`. So an empty binary message goes out
whenever nothing else did for a third of that time. Where a call was cancelled before it had sent everything, the rest
goes out in its place.

Knows: when. Does not know: what an empty message is (resend.py), who sends meanwhile.
"""

from __future__ import annotations

import asyncio

from ...errors import ServiceError
from ..protocol.text import Ready, Start
from .resend import ResendBuffer
from .resume import ResumableConnection

#: Seconds between two messages at most: proxies between may cut a connection that is silent for a minute.
MOST_SECONDS = 15.0


async def keep_alive(connection: ResumableConnection, resend: ResendBuffer, start: Start, ready: Ready) -> None:
    """Send something whenever nothing was sent for a while, until cancelled, or until the stream has ended.

    Args:
        connection, resend: those of the stream.
        start, ready: the messages that opened it.
    """
    seconds = min(MOST_SECONDS, (ready.idle_timeout or 3 * MOST_SECONDS) / 3)
    levels = 0 if start.mode == "encode" else start.n_quantizers or ready.codebooks
    now = asyncio.get_running_loop().time
    try:
        while True:
            await asyncio.sleep(max(0.0, connection.last_sent + seconds - now()))
            if now() >= connection.last_sent + seconds:
                await connection.send_sign_of_life(resend, levels)
    except ServiceError:  # the reading task raises it too, after the items before it
        pass
