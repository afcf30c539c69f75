"""Who may do something that only one function at a time may do.

An exception from a signal handler may come between any two bytecodes: after a lock was taken, and before it is known
that it must be given back. So nobody has to give a turn back: what has it is the frame of a function, and a frame whose
function has ended has it no longer.

Knows: frames. Does not know: what is done in turn, nor threads: it refuses, and never waits.
"""

from __future__ import annotations

from types import FrameType


class Turn:
    """Who may do something that only one function at a time may do."""

    __slots__ = ("_holders",)

    def __init__(self) -> None:
        self._holders: dict[FrameType | None, FrameType] = {}  # the first, and who followed each that had ended

    def take(self, frame: FrameType) -> bool:
        """Give the turn to the function of a frame. False: it is another's, which still runs.

        To take a turn and to note its holder is one act (`dict.setdefault`). So is to follow a holder that an exception
        kept from giving its turn back: of two that try, one comes first.
        """
        holder = self._holders.setdefault(None, frame)
        while holder is not frame:
            if _runs(holder):
                return False
            holder = self._holders.setdefault(holder, frame)
        return True

    def is_below(self, frame: FrameType) -> bool:
        """Whether a function that has it waits for the function of a frame to return, as one below a signal handler."""
        holders = tuple(self._holders.values())
        below = frame.f_back
        while below is not None and not any(below is holder for holder in holders):
            below = below.f_back
        return below is not None

    @property
    def taken(self) -> bool:
        """Whether a function that has it still runs."""
        return any(map(_runs, tuple(self._holders.values())))


def _runs(frame: FrameType) -> bool:
    """Whether a frame's function runs, on whatever thread."""
    try:
        frame.clear()  # refused just then; else it lets go of the variables of a function that has ended
    except RuntimeError:
        return True
    return False
