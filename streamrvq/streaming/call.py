"""The call that is under way on a stream: who runs it, and the outputs that it has computed so far.

An exception from a signal handler, such as KeyboardInterrupt, may come between any two bytecodes. So a call begins with
one call of a dict's method (`Turn.take`) and ends with one attribute store. That store hands out its outputs and lets
the next call in. Whatever comes in between leaves the outputs owed.

Knows: outputs by their clock. Does not know: what a call does, nor threads: it refuses, and never waits.
"""

from __future__ import annotations

from typing import Any

from ..system.turn import Turn


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
