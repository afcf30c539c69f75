"""Which echoes of markers are answers that somebody waits for.

A server that resumes a stream at frame F sends the echoes at exactly F again. A client that resumes sends markers again
that the server may have, and gets their echo twice. The same id may have been asked for again meanwhile, and must not
be answered by such an echo.

Knows: ids, positions, frames. Does not know: messages, sockets, asyncio, how long a frame is.
"""

from __future__ import annotations


class Markers:
    """The markers that a stream has asked for and not received yet."""

    def __init__(self) -> None:
        self._asked: list[tuple[int | str, int]] = []  # ids, with their positions among what was sent
        self._frame = 0  # the newest frame that an echo came behind
        self._received: list[int | str] = []  # the echoes that were taken there
        self._repeated: list[int | str] = []  # those of them that come again
        self._resumed = False

    def ask(self, id: int | str, position: int) -> None:
        """A marker is sent after everything before ``position``."""
        self._asked.append((id, position))

    def resume(self, frame: int) -> None:
        """The server continues at ``frame``, with the echoes there."""
        self._resumed = True
        self._turn_to(frame)
        self._repeated = list(self._received)

    def take(self, id: int | str, frame: int, reached: int) -> bool:
        """Whether an echo is an answer to a marker that waits, which it then does no longer.

        Args:
            id: the marker's.
            frame: the next frame that the server will send.
            reached: what was sent before this position is all in the frames so far.
        """
        self._turn_to(frame)
        if id in self._repeated:
            self._repeated.remove(id)
            return False
        for number, (asked, position) in enumerate(self._asked):
            if asked == id:
                if self._resumed and position > reached:
                    return False  # of an earlier marker with this id, which was sent twice
                del self._asked[number]
                self._received.append(id)
                return True
        return False

    def _turn_to(self, frame: int) -> None:
        if frame != self._frame:
            self._frame, self._received, self._repeated = frame, [], []
