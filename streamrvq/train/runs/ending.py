"""When a run ends before its last step. Processes that train together end together.

Knows: minutes, interrupts, what whoever started the run says. Does not know: steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ...system.interrupts import DeferredInterrupts
from ..steps.ranks import Ranks

_GO_ON, _OVER, _INTERRUPTED = range(3)


class Enough(Exception):
    """The time is over, or whoever started the run wants its end, while codebooks are being made."""


class Ending:
    """The end of a run that begins now.

    Args:
        minutes: from now on; None: any number.
        until: says whether the end is wanted.
    """

    def __init__(
        self, minutes: float | None, until: Callable[[], bool], interrupts: DeferredInterrupts, ranks: Ranks
    ) -> None:
        self._minutes, self._until, self._interrupts, self._ranks = minutes, until, interrupts, ranks
        self._began = time.perf_counter()

    def is_here(self) -> bool:
        """Whether the run ends now. All processes ask in the same places, and get the same answer.

        Raises what the handler of an interrupt raises, and `KeyboardInterrupt` where another process has one.
        """
        try:
            self._interrupts.check()
        except BaseException:
            self._ranks.most(_INTERRUPTED)  # the others must not wait for this one
            raise
        state = self._ranks.most(_OVER if self._until() or self._is_late() else _GO_ON)
        if state == _INTERRUPTED:
            raise KeyboardInterrupt
        return state == _OVER

    def _is_late(self) -> bool:
        return self._minutes is not None and time.perf_counter() - self._began >= 60 * self._minutes
