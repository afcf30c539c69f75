"""Who may connect, and how much a client may send: origins, tokens, message rates.

Knows: the rules, as values. Does not know: sockets, asyncio, clocks (the time is passed in).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from ...errors import InputError, ProtocolError
from ..protocol.constants import Close

#: Messages that may come at once, that are added per second, and that are added per second of audio. Blocks of 5 ms or
#: more may come as fast as the server takes them. A flood of empty or one-sample messages may not.
BURST, PER_SECOND, PER_AUDIO_SECOND = 1000, 200, 1000
#: Of clients that sent too fast: seconds between the streams that one starts afterwards, the longest that one of these
#: waits, and for how long a client is remembered. Of more clients than this, the one refused longest ago is forgotten.
RESTART_SECONDS, LONGEST_RESTART, REMEMBERED_SECONDS, MOST_REMEMBERED = 0.5, 5.0, 10.0, 1024


def check_origin(origin: str) -> str:
    """Check an origin from the settings: ``scheme://host[:port]``, or ``*`` for all. Returns it in lower case.

    Raises:
        InputError: it is something else.
    """
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

    Programs send no origin and may connect. A page may connect if its origin is in ``allowed``. It may also connect if
    the server itself served it: then ``Origin`` and ``Host`` agree. That is trusted for ``localhost`` and literal
    addresses only. A foreign page could point a *name* of its own at this server after it was loaded (DNS rebinding).

    Args:
        origin, host: the request's headers.
        allowed: origins that passed `check_origin`.
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


def bearer_token(authorization: str | None) -> str | None:
    """The token of an ``Authorization`` header; None without the header, "" for a scheme other than Bearer."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def token_matches(token: str | None, tokens: Sequence[str]) -> bool:
    """Whether ``token`` is one of ``tokens``; always true where these are empty.

    The time does not depend on which characters of the token are right.
    """
    if not tokens:
        return True
    came = (token or "").encode("utf-8", "surrogatepass")
    found = [hmac.compare_digest(came, good.encode("utf-8", "surrogatepass")) for good in tokens]
    return token is not None and any(found)


def header_matches(token: str | None, tokens: Sequence[str]) -> str | None:
    """The one of ``tokens`` that came in a header; None where it is none of them.

    Headers have no encoding. Clients send other characters than ASCII as ISO-8859-1 or as UTF-8, so both are right.

    Args:
        token: as `bearer_token` gives it, from a header decoded as ISO-8859-1.
        tokens: the server's tokens.
    """
    if token is None:
        return None
    readings = [token]
    if not token.isascii():
        with suppress(UnicodeError):
            readings.append(token.encode("latin-1").decode("utf-8", "surrogatepass"))
    found = [reading for reading in readings if tokens and token_matches(reading, tokens)]
    return found[0] if found else None


def identity_of(token: str | None) -> str:
    """The identity that a session is bound to: a digest of the token that opened it; "" without a token."""
    return "" if token is None else hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Allowance:
    """A token bucket.

    Args:
        most: units that may be used at once.
        per_second: units that time adds.
        now: the time, in seconds.
        first: units that may be used at first; None: ``most``.
        longest: the longest `pause` in seconds. What is used beyond that is forgiven.
    """

    def __init__(
        self, most: float, per_second: float, now: float, first: float | None = None, longest: float = math.inf
    ) -> None:
        self._most, self._per_second = most, per_second
        self._least = -math.inf if longest == math.inf else -longest * per_second
        self._left, self._time = most if first is None else first, now

    def left(self, now: float) -> float:
        """Units that may be used now; negative where more were used."""
        self._left, self._time = min(self._most, self._left + (now - self._time) * self._per_second), now
        return self._left

    @property
    def used_up(self) -> bool:
        """Whether nothing was left the last time. Since then time may have added some."""
        return self._left <= 0

    def add(self, units: float, now: float) -> None:
        """Add units, beside those that time adds."""
        self._left = min(self._most, self.left(now) + units)

    def use(self, units: float, now: float) -> float:
        """Count units. Returns what is left."""
        self._left = max(self._least, self.left(now) - units)
        return self._left

    def pause(self, now: float) -> float:
        """Seconds until more may be used; 0.0: it may be used now."""
        return max(0.0, -self.left(now) / self._per_second)


class RateLimit:
    """Counts the messages that a client may still send: an allowance that time and audio fill.

    Args:
        now: the time, in seconds.
    """

    def __init__(self, now: float) -> None:
        self._allowance, self._audio = Allowance(BURST, PER_SECOND, now), 0.0

    def spend(self, now: float, audio_seconds: float) -> None:
        """Count one message.

        Args:
            now: the time, in seconds.
            audio_seconds: seconds of audio that came before it, in all.

        Raises:
            ProtocolError: it is one too many.
        """
        self._allowance.add((audio_seconds - self._audio) * PER_AUDIO_SECOND, now)
        self._audio = audio_seconds
        if self._allowance.use(1, now) < 0:
            raise ProtocolError(
                f"more than {PER_SECOND} messages a second and {PER_AUDIO_SECOND} a second of audio; "
                "send larger blocks",
                Close.TOO_FAST,
            )


class Restarts:
    """When clients that sent too fast may start again: one stream after another, some time apart.

    Beginning and ending a stream takes the event loop's time. A client that sends too fast, is refused or leaves, and
    comes back at once would take it from the others again and again.
    """

    def __init__(self) -> None:
        # client → until when it is remembered, and when its last stream may start; who was refused last comes last
        self._known: dict[str, tuple[float, float]] = {}

    def refuse(self, client: str, now: float) -> None:
        """Note that a client sent too fast, and that its stream has ended.

        Args:
            client: its identity and address.
            now: the time, in seconds.
        """
        for known, (until, _) in list(self._known.items()):
            if len(self._known) < MOST_REMEMBERED and until >= now:
                break
            del self._known[known]
        _, last = self._known.pop(client, (now, now))
        self._known[client] = now + REMEMBERED_SECONDS, max(now, last)

    def pause(self, client: str, now: float) -> float:
        """Seconds that a client's next stream, which it asks for now, has to wait. The one after that waits longer."""
        until, last = self._known.get(client, (-math.inf, now))
        if until < now:
            return 0.0
        start = min(max(last, now) + RESTART_SECONDS, now + LONGEST_RESTART)
        self._known[client] = until, start
        return start - now
