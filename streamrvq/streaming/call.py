"""The call that is under way on a stream: who runs it, and the outputs that it has computed so far.

An exception from a signal handler, such as KeyboardInterrupt, may come between any two bytecodes. So a call begins with
one call of a dict's method and ends with one attribute store, which hands out its outputs and lets the next call in.
Whatever comes in between leaves the outputs owed. And nobody has to give a lock back: what has the turn is the frame of
a function, and a frame whose function has ended has it no longer.

Knows: frames and outputs by their clock. Does not know: what a call does, nor threads: it refuses, and never waits.
"""

from __future__ import annotations

from types import FrameType
from typing import Any


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

    @property
    def taken(self) -> bool:
        """Whether a function that has it still runs."""
        return any(map(_runs, tuple(self._holders.values())))


class Call(Turn):
    """One call, or the gap between two.

    Args:
        outputs: of steps that earlier calls computed and did not hand out.
        ended: the stream was flushed; nothing may be called any more.

    Attributes:
        outputs: what the step at a clock gave.
        ended: as given.
    """

    __slots__ = ("ended", "outputs")

    def __init__(self, outputs: dict[int, Any] | None = None, ended: bool = False) -> None:
        self.outputs: dict[int, Any] = {} if outputs is None else outputs
        self.ended = ended
        self._holders = {}


def _runs(frame: FrameType) -> bool:
    """Whether a frame's function runs, on whatever thread."""
    try:
        frame.clear()  # refused just then; else it lets go of the variables of a function that has ended
    except RuntimeError:
        return True
    return False
