"""The ring between the device's thread and the loop: a model of it, and two real threads."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.sources.ring import Ring
from tests.support.patience import PATIENCE


@given(
    size=st.integers(1, 40),
    blocks=st.integers(1, 6),
    steps=st.lists(st.one_of(st.just(None), st.tuples(st.integers(1, 50), st.booleans())), max_size=60),
)
def test_every_sample_comes_out_in_order_or_is_counted_where_it_was(size, blocks, steps):
    ring, now = Ring(size, blocks), 0
    kept: list[tuple[np.ndarray, float, bool, int]] = []  # the model
    written = dropped = overruns = missing = 0
    flag = False
    for step in [*steps, *[None] * blocks]:
        if step is None:
            block = ring.read()
            assert (block is None) == (not kept)
            if block is not None:
                pcm, time, flagged, lost = kept.pop(0)
                assert np.array_equal(block.pcm, pcm)
                assert block.pcm.dtype == np.float32
                assert (block.time, block.flagged, block.lost) == (time, flagged, lost)
        else:
            count, flagged = step
            pcm = np.arange(written, written + count)
            was_empty = not kept
            woken, now, written = ring.write(pcm, now, flagged), now + 1, written + count
            if len(kept) < blocks and sum(len(block[0]) for block in kept) + count <= size:
                kept.append((pcm, now - 1, flagged or flag, missing))
                missing, flag = 0, False
                assert woken == was_empty
            else:
                overruns += not missing
                missing, dropped, flag = missing + count, dropped + count, flag or flagged
                assert not woken
        assert ring.held == sum(len(block[0]) for block in kept)
        assert (ring.missing, ring.dropped, ring.overruns) == (missing, dropped, overruns)


def test_a_block_that_was_read_is_a_copy():
    ring = Ring(4, 4)
    ring.write(np.ones(4), 0.0)
    first = ring.read()
    ring.write(np.zeros(4), 0.0)
    assert first is not None
    assert first.pcm.tolist() == [1, 1, 1, 1]


def test_two_threads_miss_no_wake_up_and_no_sample():
    ring, woken, done, total = Ring(3000, 16), threading.Event(), threading.Event(), 400_000
    sizes = np.random.default_rng(0).integers(1, 500, total)

    def write() -> None:
        position = 0
        for size in sizes:
            if position + size > total:
                break
            if ring.write(np.arange(position, position + size, dtype=np.float32), position):
                woken.set()
            position += int(size)
        end.append(position)
        done.set()
        woken.set()

    end: list[int] = []
    writer = threading.Thread(target=write)
    writer.start()
    position = lost = 0
    while not (done.is_set() and not ring.held):
        assert woken.wait(PATIENCE), "a wake-up was missed"
        woken.clear()
        while (block := ring.read()) is not None:
            position += block.lost
            lost += block.lost
            assert block.time == position == block.pcm[0]
            assert block.pcm[-1] == position + len(block.pcm) - 1
            position += len(block.pcm)
        if done.is_set():
            woken.set()
    writer.join()
    assert position + ring.missing == end[0]
    assert lost + ring.missing == ring.dropped
