"""Which faults happen, and when: a list that is made from the seed before the run.

Knows: kinds of faults and their times. Does not know: which clients they happen to (modes/realtime.py).
"""

from __future__ import annotations

import dataclasses
import random

from ..settings import Settings

#: kill: the client resets the connection and does not come back. stall: it reads nothing for a while. cut: the
#: connection ends within a message. resume: the connection is reset, and the client reconnects. deaf: it never reads
#: again.
KINDS = ("kill", "stall", "cut", "resume", "deaf")
#: Seconds for which a client stalls, and seconds after a fault within which other clients may notice it. Less if faults
#: follow each other quickly.
STALL, WINDOW = 3.0, 5.0


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault, ``at`` seconds after the start."""

    at: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Faults:
    """All faults of a run, and the times that belong to them."""

    list: tuple[Fault, ...] = ()
    stall: float = STALL
    window: float = WINDOW


def make_faults(settings: Settings) -> Faults:
    """As many faults in each period as the settings say, of every kind in turn, at times that depend on the seed.

    There is none in the last seconds, so that the effect of each fault is seen completely.
    """
    rng, deck, faults = random.Random(settings.seed), list[str](), list[Fault]()
    if not settings.faults_per_period:
        return Faults()
    apart = settings.period / settings.faults_per_period
    at = 0.0
    while at + apart <= settings.seconds:
        if not deck:
            deck = rng.sample(KINDS, len(KINDS))
        faults.append(Fault(at + apart * rng.uniform(0.2, 0.4), deck.pop()))
        at += apart
    return Faults(tuple(faults), min(STALL, apart / 4), min(WINDOW, apart / 2))
