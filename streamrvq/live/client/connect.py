"""The client of the websocket service: `connect`.

    async with streamrvq.connect("ws://127.0.0.1:8000", sample_rate=48_000) as stream:
        stream.feed(microphone)                # or: await stream.send(block) …, await stream.stop()
        async for item in stream: ...          # Frames or Gap

Knows: the settings. Does not know: what is done with them (stream.py).
"""

from __future__ import annotations

from numbers import Real
from ssl import SSLContext
from typing import Literal

from ...audio.rates import check_rate
from ...errors import InputError
from ...streaming.checks import check_count
from ...system.foreign_data import shown
from ..protocol.constants import HIGHEST_RATE, LOWEST_RATE
from ..protocol.text import Start
from .endpoint import Endpoint, ProxySetting
from .messages import checked
from .stream import RemoteStream


def connect(
    url: str, mode: Literal["encode", "decode"] = "encode", sample_rate: int | None = None, format: str = "f32le",
    n_quantizers: int | None = None, token: str | None = None, queue_size: int = 1024, timeout: float = 30.0,
    resume: float = 20.0, ssl: SSLContext | None = None, proxy: ProxySetting = True,
) -> RemoteStream:  # fmt: skip
    """A stream on a server that ``streamrvq serve`` runs.

    Args:
        url: ``ws://host:port`` or ``wss://…``, with a path if the server is below one: ``wss://host/codec/``.
        mode: ``"encode"`` sends samples and receives codes; ``"decode"`` sends codes and receives samples.
        sample_rate: of the samples in either direction, in Hz, 8000 to 192 000. None takes the rate of the server's
            codec; the formats of G.711 need one.
        format: of the samples on the wire: ``"f32le"``; ``"s16le"``, half as large; ``"mulaw"`` or ``"alaw"``, the
            G.711 of telephones, a quarter. Samples that are finer are rounded.
        n_quantizers: codebooks to encode with; None takes all of the codec's. Leave it out when decoding.
        token: the access token, where the server wants one.
        queue_size: items that may wait for the reader. While the queue is full, nothing is read from the server. In
            the end the server stops reading too, and cuts off a client that never reads.
        timeout: seconds to wait for the server: until the stream is open, to take a message, and to close in the end.
            Leaving before the end waits 2 s at most.
        resume: seconds for which an encoding stream tries to resume after its connection was lost; 0 never tries.
            The server keeps such a stream for a while (30 s). Sending waits meanwhile.
        ssl: for ``wss://``: whom to trust. None: the authorities that this system trusts. For a certificate that you
            signed yourself: ``ssl.create_default_context(cafile="cert.pem")``.
        proxy: True takes the proxy that the environment names (``https_proxy``, ``no_proxy`` and so on), if any, but
            never one to loopback. None takes none. Otherwise the URL of a proxy: ``http://…``, ``https://…``, or
            ``socks5://…``, which needs python-socks.

    Returns:
        `RemoteStream`, an async context manager. It connects when it is entered.

    Raises:
        InputError: a setting that no server takes.
        ServiceError: on entering, if there is no connection or the server refuses; ``code`` says why.
    """
    endpoint = Endpoint(url, token, timeout, ssl, proxy)
    check_count("queue_size", queue_size)
    if not (isinstance(resume, Real) and resume >= 0):
        raise InputError(f"resume is {shown(resume)}; wanted seconds, 0 or more")
    if sample_rate is not None:
        sample_rate = check_rate(sample_rate, lowest=LOWEST_RATE, highest=HIGHEST_RATE)
    start = checked(Start(mode=mode, sample_rate=sample_rate, format=format, n_quantizers=n_quantizers))
    return RemoteStream(endpoint, start, queue_size, resume)
