"""Messages of the websocket protocol, as a server and as a client take them."""

from __future__ import annotations

import numpy as np

from streamrvq.live.client.timing import FrameTiming
from streamrvq.live.protocol import text
from streamrvq.live.protocol.binary import Incoming, Outgoing, PayloadFormat, PayloadKind
from streamrvq.live.server.access import identity_of, token_matches
from streamrvq.live.server.handshake import first_message

from ..small import codec
from ..target import Target

_FORMAT = PayloadFormat("s16le", 16, range(1, 4))


def _from_client(data: bytes) -> None:
    message = text.parse(data.decode("utf-8", "replace"), "client")  # the websocket layer refuses other bytes
    assert text.parse(message.to_json(), "client") == message
    if isinstance(message, (text.Start, text.Resume)):
        first_message(message.to_json(), None, ())
        token_matches(message.token, ("secret",))
        identity_of(message.token)


def _from_server(data: bytes) -> None:
    message = text.parse(data.decode("utf-8", "replace"), "server")
    assert text.parse(message.to_json(), "server") == message
    if isinstance(message, text.Ready):
        timing = FrameTiming(48_000, message.hop / message.sample_rate)
        timing.gap(2**53, 2**53, False, message.delay_frames)
        timing.covered_samples(message.delay_frames + 1)
        timing.frames(message.delay_frames, np.zeros((1, 2), np.int64), 0.0)
    elif isinstance(message, text.GapMark):
        FrameTiming(48_000, 0.01).gap(message.pos, message.samples, bool(message.filled), message.next_frame or 0)


def _client_seeds() -> list[bytes]:
    messages = (
        text.Start(mode="encode", sample_rate=48_000, n_quantizers=2, token="secret"),
        text.Resume(session="abc", next_frame=7, token="secret"), text.Stop(), text.Marker(id="m"),
        text.SetLevels(n_quantizers=2), text.GapMark(pos=3, samples=4),
    )  # fmt: skip
    return [message.to_json().encode() for message in messages]


def _server_seeds() -> list[bytes]:
    messages = (
        text.Ready(session="abc", codec="small", codec_hash=codec().codec_hash, trained=False, sample_rate=44_100,
                   hop=8, codebooks=3, codebook_size=16, delay_frames=8, decoder_delay_samples=50, max_message=4096),
        text.Resumed(pos=3, next_frame=7), text.Drain(seconds=3), text.Done(frames=3, samples=24),
        text.Error(code=4400, message="no"), text.GapMark(pos=3, samples=4, filled=True, next_frame=2),
    )  # fmt: skip
    return [message.to_json().encode() for message in messages]


def _binary_seeds() -> list[bytes]:
    pcm = Outgoing(PayloadKind.PCM, 4096, _FORMAT).pack(np.arange(5, dtype=np.int16), final=True)
    codes = Outgoing(PayloadKind.CODES, 4096, _FORMAT).pack(np.arange(9).reshape(3, 3))
    return [*pcm, *codes]


def _pcm(data: bytes) -> None:
    Incoming(PayloadKind.PCM, _FORMAT).take(data)


def _codes(data: bytes) -> None:
    Incoming(PayloadKind.CODES, _FORMAT).take(data)


TARGETS = (
    Target("message-client", "a text message of a client", _from_client, _client_seeds),
    Target("message-server", "a text message of a server", _from_server, _server_seeds),
    Target("message-pcm", "a binary message of samples", _pcm, lambda: _binary_seeds()[:1]),
    Target("message-codes", "a binary message of codes", _codes, lambda: _binary_seeds()[1:]),
)
