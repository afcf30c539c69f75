"""What goes wrong, when: a list made before the run from its seed.

Knows: kinds of faults and their times. Does not know: whom they hit (live.py).
"""

from __future__ import annotations

import dataclasses
import random

from ..settings import Settings

#: kill: RST, never seen again. cut: the connection ends within a message. stall: reads nothing for a while. deaf: never
#: reads again. resume: the connection is reset, and the client comes back and goes on.
KINDS = ("kill", "stall", "cut", "resume", "deaf")
#: A client that stalls does so for so long, and what others feel of a fault they feel within so long. Seconds, or as
#: much of the time between two faults.
STALL, WINDOW = 3.0, 5.0


@dataclasses.dataclass(frozen=True)
class Fault:
    """``at`` seconds after the beginning."""

    at: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Faults:
    """All of a run."""

    list: tuple[Fault, ...] = ()
    stall: float = STALL
    window: float = WINDOW


def make_faults(settings: Settings) -> Faults:
    """As many in each period as the settings say, of every kind in turn, at times that a seed decides. None in the last
    seconds, so that every one of them is seen to its end."""
    rng, deck, faults = random.Random(settings.seed), list[str](), list[Fault]()
    if not settings.hits:
        return Faults()
    apart = settings.period / settings.hits
    at = 0.0
    while at + apart <= settings.seconds:
        if not deck:
            deck = rng.sample(KINDS, len(KINDS))
        faults.append(Fault(at + apart * rng.uniform(0.2, 0.4), deck.pop()))
        at += apart
    return Faults(tuple(faults), min(STALL, apart / 4), min(WINDOW, apart / 2))
