"""Sessions: streams that survive the loss of their connection for a while.

A session's name is 128 random bits. The session is bound to the token that opened it, so a client that resumes must
show both. One connection holds a session at a time. The newest connection that can show both takes it over: a client
whose network broke may come back before the server has noticed.

Parked sessions, which no connection holds, are limited in number, in time, and each of them in bytes (outbox.py). Where
there is one too many, it is an empty one that ends, if there are any. Otherwise it is the oldest of the identity that
has most of them, and of that identity's addresses the one that has most. So nobody can end the others' sessions with
many of their own.

Knows: which connection holds which session, and since when one is parked. Does not know: sockets, messages, what a
stream computes.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections import Counter
from collections.abc import Callable

from ...errors import ProtocolError
from ..protocol.constants import Close
from .modes import ServedEncoder
from .stream import ServedStream, ignore_change


def _never() -> bool:
    return False


@dataclasses.dataclass(eq=False)
class Session:
    """A stream, and which client may resume it."""

    name: str
    stream: ServedStream
    identity: str  #: of the token that opened it; "" where the server asks for none
    on_takeover: Callable[[], None]  #: tells the connection that holds it that another one has taken it over
    address: str = ""  #: of the client that held it last
    closing: Callable[[], bool] = _never  #: whether the connection that holds it is being closed by a side
    sealed: bool = False  #: whether it has ended, while its connection is being closed
    parked_at: float | None = None  #: since when no connection holds it; None: one does

    def let_go(self) -> None:
        """Forget the connection that held it, which would stay in memory as long as the session."""
        self.on_takeover, self.closing = ignore_change, _never


class Sessions:
    """All sessions of a server.

    Args:
        max_open: sessions held by a connection at once.
        max_parked: sessions parked at once; 0 turns parking off.
        park_seconds: how long a session stays parked.
        on_end: called with the stream of each session that has ended.
    """

    def __init__(
        self, max_open: int, max_parked: int, park_seconds: float, on_end: Callable[[ServedStream], None]
    ) -> None:
        self.max_open, self._max_parked, self._park_seconds = max_open, max_parked, park_seconds
        self._on_end = on_end
        self._all: dict[str, Session] = {}
        self._open = 0

    @property
    def open(self) -> int:
        """Sessions that a connection holds, sealed ones not counted."""
        return self._open

    @property
    def parked(self) -> int:
        """Sessions that no connection holds."""
        return sum(session.parked_at is not None for session in self._all.values())

    def check_capacity(self) -> None:
        """Check that another session may be held.

        Raises:
            ProtocolError: as many as allowed are held already.
        """
        if self._open >= self.max_open:
            raise ProtocolError(f"all {self.max_open} streams are taken; try later", Close.FULL)

    def add(self, stream: ServedStream, identity: str, on_takeover: Callable[[], None], address: str = "") -> Session:
        """Add a session, held by the caller. Call `check_capacity` before, without an ``await`` in between."""
        session = Session(secrets.token_hex(16), stream, identity, on_takeover, address)
        self._all[session.name] = session
        self._open += 1
        return session

    def resume(
        self, name: str, identity: str, next_frame: int, on_takeover: Callable[[], None], address: str = ""
    ) -> Session:
        """Give a session to the caller. Its codes are sent again from ``next_frame`` on.

        Raises:
            ProtocolError: this identity has no session of that name, or the session decodes, has ended or failed, or
                does not have that frame, or as many sessions as allowed are held. The session is then as it was.
        """
        session = self._all.get(name)
        held = session is not None and session.parked_at is None
        if session is None or session.identity != identity or not _resumable(session) or (held and session.closing()):
            raise ProtocolError("no such session is parked here; start a new stream", Close.NO_SESSION)
        if session.parked_at is not None:
            self.check_capacity()
        assert isinstance(session.stream, ServedEncoder)  # it is resumable
        session.stream.rewind(next_frame)
        if session.parked_at is None:
            session.on_takeover()
        else:
            session.parked_at = None
            self._open += 1
        session.on_takeover, session.address = on_takeover, address
        return session

    def park(self, session: Session, now: float) -> bool:
        """Keep a session whose connection broke. Where it cannot be kept it ends instead, and this is False."""
        if not _resumable(session) or not self._max_parked:
            self.end(session)
            return False
        session.parked_at = now
        session.stream.park()
        session.let_go()
        self._open -= 1
        if self.parked > self._max_parked:
            self.end(self._least_missed())
        return session.name in self._all

    def _least_missed(self) -> Session:
        """The parked session that ends where there is one too many."""
        parked = [session for session in self._all.values() if session.parked_at is not None]
        some = [session for session in parked if session.stream.empty] or parked
        some = _of_whoever_has_most(some, lambda session: session.identity)
        some = _of_whoever_has_most(some, lambda session: session.address)
        return min(some, key=lambda session: session.parked_at or 0.0)

    def seal(self, session: Session) -> None:
        """Drop a session's stream. Nobody can resume it, and another one may be opened: closing its connection may take
        as long as the client likes."""
        if not session.sealed:
            session.sealed = True
            self._open -= session.name in self._all and session.parked_at is None
            session.stream.drop()

    def end(self, session: Session) -> None:
        """Forget a session and its stream. Calling it again is harmless."""
        if self._all.pop(session.name, None) is not None:
            self._open -= session.parked_at is None and not session.sealed
            session.let_go()
            session.stream.drop()
            self._on_end(session.stream)

    def fail(self, error: BaseException) -> None:
        """Tell every stream that it cannot be computed any more."""
        for session in list(self._all.values()):
            session.stream.fail(error)

    def expire(self, now: float) -> int:
        """End the sessions that were parked for too long. Returns how many."""
        late = [s for s in self._all.values() if s.parked_at is not None and now - s.parked_at > self._park_seconds]
        for session in late:
            self.end(session)
        return len(late)


def _resumable(session: Session) -> bool:
    return isinstance(session.stream, ServedEncoder) and session.stream.error is None and not session.sealed


def _of_whoever_has_most(sessions: list[Session], owner: Callable[[Session], str]) -> list[Session]:
    counts = Counter(owner(session) for session in sessions)
    most = max(counts.values())
    return [session for session in sessions if counts[owner(session)] == most]
