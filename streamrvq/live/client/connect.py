"""The client of the websocket service: `connect`.

    async with streamrvq.connect("ws://127.0.0.1:8000", sample_rate=48_000) as stream:
        stream.feed(microphone)                # or: await stream.send(block) …, await stream.stop()
        async for item in stream: ...          # Frames or Gap

Knows: the settings. Does not know: what is done with them (stream.py).
"""

from __future__ import annotations

from typing import Literal

from .stream import RemoteStream


def connect(
    url: str, mode: Literal["encode", "decode"] = "encode", sample_rate: int | None = None, format: str = "f32le",
    n_quantizers: int | None = None, token: str | None = None, queue_size: int = 1024, timeout: float = 30.0,
    resume: float = 20.0,
) -> RemoteStream:  # fmt: skip
    """A stream on a server (``streamrvq serve``).

    Args:
        url: ``ws://host:port`` or ``wss://…``.
        mode: ``"encode"``: send samples, get codes; ``"decode"``: the other way round.
        sample_rate: of the samples, whoever sends them, Hz, 8000 to 192 000; None: the server's codec's.
        format: of the samples on the wire: ``"f32le"``, or ``"s16le"``, half as large, to which float samples are
            rounded.
        n_quantizers: levels to encode with; None: all of the codec's. For decoding leave it out.
        token: where the server wants one.
        queue_size: items that wait for the reader. While it is full the server is not read, and in the end stops
            reading itself; a client that never reads is cut off.
        timeout: seconds to wait for the server: to answer, to take a message, to close.
        resume: seconds to try to come back to an encoding stream whose connection was lost; 0: not at all. The server
            keeps such a stream for a while (30 s); sending waits meanwhile.

    Returns:
        `RemoteStream`, an async context manager; it connects on entering.

    Raises:
        InputError: a setting that no server takes.
        ServiceError: on entering: no connection, or the server refused (``code`` says why).
    """
    return RemoteStream(url, mode, sample_rate, format, n_quantizers, token, queue_size, timeout, resume)
