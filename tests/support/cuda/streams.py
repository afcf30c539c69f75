"""Streams of any age and end on two engines side by side, which give the same bits.

Knows: the contract of engine/base.py. Does not know: which engines they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamrvq.config import Config
from streamrvq.engine.base import Engine
from streamrvq.geometry import Direction
from tests.support.cuda.sides import Side, inputs
from tests.support.native import same_bits


def same_streams(config: Config, direction: Direction, engines: Sequence[Engine], seed: int) -> None:
    """Steps of any rows and hops; streams begin, end and begin anew; half of them change engines in mid-stream."""
    rng, slots = np.random.default_rng(seed), 4
    sides = [Side(engine, direction, slots) for engine in engines]
    plan, clock = sides[0].states.plan, np.zeros(slots, np.int64)
    length = rng.choice([-1, 1, 5 * plan.unit_in + 1, 9 * plan.unit_in], slots)
    for turn in range(5):
        rows = [int(slot) for slot in rng.permutation(slots)[: rng.integers(1, slots + 1)]]
        hops, latents = int(rng.integers(1, 5)), bool(rng.integers(2))
        if 0 in clock[rows]:
            hops = max(hops, plan.first)
        data = inputs(config, direction, len(rows), hops, rng)
        given = [side.step(data, rows, clock[rows], length[rows], latents) for side in sides]
        for came, wanted in zip(*given, strict=True):
            same_bits(came, wanted, f"turn {turn}")
        clock[rows] += hops
        for came, wanted in zip(*(side.exported() for side in sides), strict=True):
            same_bits(came, wanted, f"states after turn {turn}")
        if turn == 2:
            for slot, (giver, taker) in zip((0, 1), (sides, sides[::-1]), strict=True):
                taker.engine.import_state(
                    taker.states, slot, giver.engine.export_state(giver.states, slot), int(clock[slot])
                )
            for side in sides:
                side.engine.reset(side.states, np.array([3]))
            clock[3] = 0
