"""What connections wait for, since when, and for how long they may.

Knows: deadlines, as values. Does not know: sockets, asyncio, clocks (the time is passed in).
"""

from __future__ import annotations

from ...errors import ProtocolError
from ..protocol.constants import Close
from .closing import ConnectionLostError
from .settings import ServerSettings

#: A client that was told of the drain, and then sends nothing for this long, has sent everything.
_QUIET_SECONDS = 0.3


class Waits:
    """The waits of one connection.

    Args:
        settings: how long each may take.

    Attributes:
        reading_since: since when it waits for a message, in seconds; None: it does not.
        sending_since: since when it waits for the client to take a message; None: it does not.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.reading_since: float | None = None
        self.sending_since: float | None = None
        self._silent_since: float | None = None  # as `quiet` found it last

    def overdue(self, now: float, started: bool) -> Exception | None:
        """Why the connection has to end, if a wait has taken too long. ``started``: whether it has a stream."""
        settings = self._settings
        if self.sending_since is not None and now - self.sending_since > settings.send_timeout:
            return ConnectionLostError(f"it took nothing for {settings.send_timeout:g} s")
        what, most = ("nothing was received", settings.idle_timeout) if started else (
            "no start message came", settings.start_timeout
        )  # fmt: skip
        if self.reading_since is not None and now - self.reading_since > most:
            return ProtocolError(f"{what} for {most:g} s; send at least an empty one", Close.TOO_SLOW)
        return None

    def quiet(self, now: float) -> bool:
        """Whether a client that was told of the drain has sent everything; to be asked regularly.

        It is quiet when it is found so twice: the first time the event loop may have been held up, and what the client
        sent meanwhile lies unread.
        """
        since = self.reading_since
        silent = since is not None and now - since > _QUIET_SECONDS
        before, self._silent_since = self._silent_since, since if silent else None
        return silent and before == since


class Lateness:
    """Whether a round, in which deadlines are looked at, comes too late to judge by.

    Then the loop was held up, or the machine slept. What clients sent meanwhile has not been read, and they are given a
    round for it. Only one: else whoever keeps the loop busy would postpone every deadline.
    """

    def __init__(self) -> None:
        self._excused = False

    def excuses(self, due: float, interval: float, now: float) -> bool:
        """Whether the round at ``now``, which was due at ``due``, judges nobody. Rounds are ``interval`` apart."""
        self._excused = not self._excused and now - due > interval
        return self._excused
