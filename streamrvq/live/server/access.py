"""Who may connect: origins, tokens, and how many messages a stream may send.

Knows: the rules, as values. Does not know: sockets, asyncio, clocks (the time is passed in).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from ...errors import InputError, ProtocolError
from ..protocol.constants import Close

#: Messages that may come at once, more by the second, and more by the second of audio: 5 ms blocks and slower are free,
#: as fast as the server takes them; a flood of empty or one-sample messages is not.
BURST, BY_SECOND, BY_AUDIO_SECOND = 1000, 200, 1000


def check_origin(origin: str) -> str:
    """An origin that is to be allowed: ``scheme://host[:port]``, or ``*`` for all. Raises `InputError` for another."""
    if origin == "*":
        return origin
    try:
        scheme, host, *rest = urlsplit(origin)
    except ValueError:
        scheme, host, rest = "", "", []
    if not scheme or not host or any(rest):
        raise InputError(f"origin is {origin!r}; wanted scheme://host[:port] as browsers send it, or *")
    return origin.lower()


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a browser page may connect.

    Programs send no origin, and may. A page may if its origin was named, or if the server itself served it: then origin
    and ``Host`` are the same. The latter holds only for ``localhost`` and literal addresses, for a foreign page can
    give a *name* of its own our address after it was loaded (DNS rebinding).

    Args:
        origin, host: the request's headers.
        allowed: of `check_origin`.
    """
    if origin is None or "*" in allowed or origin.lower() in allowed:
        return True
    try:
        parts = urlsplit(origin.lower())
        if parts.scheme not in ("http", "https") or host is None or parts.netloc != host.lower():
            return False
        name = parts.hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:  # no URL, or a name
        return False


def bearer(authorization: str | None) -> str | None:
    """The token of an ``Authorization`` header; None without the header, "" for another scheme."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def token_matches(token: str | None, tokens: Sequence[str]) -> bool:
    """Whether ``token`` is one of ``tokens``; always, where there are none. It takes as long for a wrong one as for the
    right one, whichever of its characters are wrong."""
    if not tokens:
        return True
    came = (token or "").encode("utf-8", "surrogatepass")
    found = [hmac.compare_digest(came, good.encode("utf-8", "surrogatepass")) for good in tokens]
    return token is not None and any(found)


def identity_of(token: str | None) -> str:
    """What a session is bound to: a digest of the token that opened it; "" without one."""
    return "" if token is None else hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class RateLimit:
    """Messages that a client may still send."""

    def __init__(self, now: float) -> None:
        self._left, self._time, self._audio = float(BURST), now, 0.0

    def spend(self, now: float, audio_seconds: float) -> None:
        """Another message has come; so much audio has come in all before it.

        Raises:
            ProtocolError: it was one too many.
        """
        more = (now - self._time) * BY_SECOND + (audio_seconds - self._audio) * BY_AUDIO_SECOND
        self._left = min(float(BURST), self._left + more) - 1
        self._time, self._audio = now, audio_seconds
        if self._left < 0:
            raise ProtocolError(
                f"more than {BY_SECOND} messages a second and {BY_AUDIO_SECOND} a second of audio; send larger blocks",
                Close.TOO_FAST,
            )
