"""Sessions: streams that outlive their connections for a while.

A session's name is 128 random bits and is bound to the token that opened it: whoever resumes must show both. It has one
holder at a time; the newest connection that can show them takes it over, for a client whose network went away comes
back before the server has noticed. Parked sessions are bounded in number, the oldest leaving first, and in time, and
each of them in bytes (outbox.py).

Knows: who holds what, since when. Does not know: sockets, messages, what a stream computes.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable

from ...errors import ProtocolError
from ..protocol.constants import Close
from .stream import ServedEncoder, ServedStream


@dataclasses.dataclass(eq=False)
class Session:
    """A stream and its holder."""

    name: str
    stream: ServedStream
    identity: str  #: of the token; "" where none is asked for
    taken_over: Callable[[], None]  #: tells the holder that another has come
    parked_at: float | None = None


class Sessions:
    """Args:
    most_open, most_parked: held at once; parked at once, 0 for no parking at all.
    park_seconds: how long one stays parked.
    ended: called with the stream of each that has ended.
    """

    def __init__(
        self, most_open: int, most_parked: int, park_seconds: float, ended: Callable[[ServedStream], None]
    ) -> None:
        self._most_open, self._most_parked, self._park_seconds = most_open, most_parked, park_seconds
        self._ended = ended
        self._all: dict[str, Session] = {}
        self._open = 0

    @property
    def open(self) -> int:
        """Sessions with a holder."""
        return self._open

    @property
    def parked(self) -> int:
        """Sessions without one."""
        return len(self._all) - self._open

    def admit(self) -> None:
        """Raises `ProtocolError` where there is no place for another."""
        if self._open >= self._most_open:
            raise ProtocolError(f"all {self._most_open} streams are taken; try later", Close.FULL)

    def add(self, stream: ServedStream, identity: str, taken_over: Callable[[], None]) -> Session:
        """A new session, held by the caller; after `admit`, without a wait in between."""
        session = Session(secrets.token_hex(16), stream, identity, taken_over)
        self._all[session.name] = session
        self._open += 1
        return session

    def take(self, name: str, identity: str, next_frame: int, taken_over: Callable[[], None]) -> Session:
        """The session of that name, held by the caller from now on; its codes come again from ``next_frame`` on.

        Raises:
            ProtocolError: there is none that this identity may have, it has no such frame, or there is no place. It is
                as it was then.
        """
        session = self._all.get(name)
        stream = None if session is None else session.stream
        if session is None or session.identity != identity or not isinstance(stream, ServedEncoder):
            raise ProtocolError("no such session is parked here; start a new stream", Close.NO_SESSION)
        if session.parked_at is not None:
            self.admit()
        stream.rewind(next_frame)
        if session.parked_at is None:
            session.taken_over()
        else:
            session.parked_at = None
            self._open += 1
        session.taken_over = taken_over
        return session

    def park(self, session: Session, now: float) -> bool:
        """ResendBuffer a session whose holder went away without a word; False where it could not be resumed."""
        if not isinstance(session.stream, ServedEncoder) or not self._most_parked:
            self.end(session)
            return False
        if self.parked >= self._most_parked:
            oldest = min((s for s in self._all.values() if s.parked_at is not None), key=lambda s: s.parked_at or 0.0)
            self.end(oldest)
        session.parked_at = now
        self._open -= 1
        return True

    def end(self, session: Session) -> None:
        """Forget a session and its stream. Again is harmless."""
        if self._all.pop(session.name, None) is not None:
            self._open -= session.parked_at is None
            session.stream.drop()
            self._ended(session.stream)

    def fail(self, error: BaseException) -> None:
        """None of them can be computed any more."""
        for session in list(self._all.values()):
            session.stream.fail(error)

    def expire(self, now: float) -> int:
        """End what has been parked for too long; how many."""
        late = [s for s in self._all.values() if s.parked_at is not None and now - s.parked_at > self._park_seconds]
        for session in late:
            self.end(session)
        return len(late)
