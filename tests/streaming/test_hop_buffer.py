"""HopBuffer: a queue of inputs whose only counters are its timeline's.

Knows: a list as the model. Does not know: streams.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.families import encoder_plan
from streamrvq.streaming.hop_buffer import HopBuffer
from streamrvq.streaming.timeline import Timeline
from tests.support.contract import minute

UNIT = 8


def fresh(leading: tuple[int, ...] = ()) -> tuple[Timeline, HopBuffer]:
    timeline = Timeline(encoder_plan(minute()))
    return timeline, HopBuffer(timeline, np.zeros((*leading, 0), np.float32))


@given(
    moves=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30), st.booleans()), max_size=40),
    leading=st.sampled_from([(), (1,), (2, 3)]),
)
def test_what_goes_in_comes_out_in_order(moves: list[tuple[int, int, bool]], leading: tuple[int, ...]) -> None:
    timeline, buffer = fresh(leading)
    model: list[float] = []
    count = 0
    for size, hops, trim in moves:
        block = np.broadcast_to(np.arange(count, count + size, dtype=np.float32), (*leading, size))
        buffer.append(block)
        model += range(count, count + size)
        count += size
        assert timeline.given == count
        hops = min(hops, buffer.held // UNIT)
        came: Any = buffer.peek(hops)
        assert came.shape == (*leading, hops * UNIT)
        assert (came == np.array(model[: hops * UNIT], np.float32)).all()
        timeline.clock += hops
        del model[: hops * UNIT]
        if trim:
            buffer.trim()
        assert buffer.held == len(model)
        assert (buffer.remainder() == np.array(model, np.float32)).all()


def test_inputs_count_with_the_last_act() -> None:
    """So that a block that was interrupted half-way was never there."""
    timeline, buffer = fresh()
    buffer.append(np.arange(5))
    buffer.append(np.arange(70))
    timeline.given -= 70
    buffer.append(np.arange(10, 13))
    assert buffer.remainder().tolist() == [0, 1, 2, 3, 4, 10, 11, 12]


def test_a_used_block_is_let_go() -> None:
    timeline, buffer = fresh()
    buffer.append(np.zeros(100_003, np.float32))
    timeline.clock = 100_003 // UNIT
    buffer.trim()
    assert buffer._window[0].size < 10 * UNIT
    assert buffer.held == 3


def test_past_the_end_it_is_filled() -> None:
    timeline, buffer = fresh()
    buffer.append(np.ones(3, np.float32))
    assert buffer.peek(1).tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    timeline.clock = 2
    assert buffer.held == 0
    assert buffer.peek(1).tolist() == [0] * 8
