"""The first messages of a connection: the client's `start` or `resume`, its token, and the server's `ready`.

Knows: the rules of these messages. Does not know: sockets, asyncio, streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import ProtocolError
from ...families import plan
from ...resampling import resampler_between
from ..protocol.constants import Close
from ..protocol.text import Ready, Resume, Start, parse, whole_seconds
from .access import bearer_token, header_matches, identity_of, token_matches

if TYPE_CHECKING:
    from ...codec import Codec


def header_token(headers: Sequence[str], tokens: Sequence[str]) -> str | None:
    """The token of the ``Authorization`` headers; None without such a header.

    Args:
        headers: the values of all these headers.
        tokens: the server's tokens; empty: every token is accepted.

    Raises:
        ProtocolError: the token is not one of ``tokens``.
    """
    token = _token(headers)
    if token is None or not tokens:
        return token
    found = header_matches(token, tokens)
    if found is None:
        raise ProtocolError("the token of the Authorization header is not one of this server's", Close.UNAUTHORIZED)
    return found


def authenticated(headers: Sequence[str], tokens: Sequence[str]) -> bool:
    """Whether the handshake alone lets a client in: its token is right, or the server has none.

    Args:
        headers: the values of all ``Authorization`` headers.
        tokens: the server's tokens.
    """
    return not tokens or header_matches(_token(headers), tokens) is not None


def _token(headers: Sequence[str]) -> str | None:
    return bearer_token(" ".join(headers) if headers else None)  # two headers make no valid token


def first_message(data: str | bytes, header: str | None, tokens: Sequence[str]) -> tuple[Start | Resume, str]:
    """Parse a connection's first message. Returns it, and the identity that its session is bound to.

    Args:
        data: what came.
        header: the token of `header_token`. Where there is one, the message's own token does not count.
        tokens: the server's tokens; empty: every client may connect.

    Raises:
        ProtocolError: the message is not `start` or `resume`, or its token is missing or wrong.
    """
    if not isinstance(data, str):
        raise ProtocolError("a binary message before start; send start first and wait for ready")
    message = parse(data, "client")
    if not isinstance(message, (Start, Resume)):
        raise ProtocolError(f"{message.type} before start; send start first and wait for ready")
    token = message.token if header is None else header
    if header is None and not token_matches(token, tokens):
        came = "no token came" if token is None else "the token is not one of this server's"
        raise ProtocolError(f"{came}; give it in start.token or as Authorization: Bearer", Close.UNAUTHORIZED)
    return message, identity_of(token if tokens else None)


def ready_message(codec: Codec, session: str, start: Start, max_message: int, idle_timeout: float) -> Ready:
    """The message that tells a client about the codec and its session, which ``start`` opened."""
    rate = start.sample_rate or codec.sample_rate
    first = plan(codec.config, "decode" if start.mode == "decode" else "encode").first
    return Ready(
        session=session, codec=codec.name, codec_hash=codec.codec_hash, trained=codec.trained,
        sample_rate=codec.sample_rate, hop=codec.hop_length, codebooks=codec.n_codebooks,
        codebook_size=codec.config.codebook_size, delay_frames=codec.delay_frames,
        decoder_delay_samples=codec.decoder_delay_samples, max_message=max_message,
        resampler=resampler_between(rate, codec.sample_rate), idle_timeout=whole_seconds(idle_timeout) or None,
        first_frames=first if first > 1 else None,
    )  # fmt: skip
