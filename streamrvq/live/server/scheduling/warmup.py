"""Before the first client: run every size of step, and measure how many streams the machine computes in real time.

Knows: steps and how long they take. Does not know: clients, the event loop. Call it in the worker thread.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ....families import plan
from ....geometry import Direction

if TYPE_CHECKING:
    from ....codec import Codec

#: The most rows × hops of a step, however fast the codec. The work around the step for each of them takes time, too.
#: For an engine that is made for wide steps it is its `row_hops` divided by `WIDE`, if that is more.
MAX_ROW_HOPS, WIDE = 64, 4
#: The share of the machine's time that streams may take, and the most streams, however fast the codec.
MAX_LOAD, MAX_STREAMS = 0.8, 256


class GivenUpError(Exception):
    """Nobody waits for the server any more."""


@dataclasses.dataclass(frozen=True)
class Capacity:
    """How much of a codec this machine computes in real time."""

    row_hops: dict[Direction, int]  #: rows × hops that compute within one hop of audio, 1 to `most_row_hops`
    streams: int  #: live streams of the slower direction within `MAX_LOAD`; at least 2, as a page has two


def warm_up(
    codec: Codec, max_batch: int | None = None, given_up: Callable[[], bool] = lambda: False
) -> Capacity:  # fmt: skip
    """Run and time the sizes of step that a scheduler asks for, so that no client waits for a first run.

    Of an engine that is made for wide steps there are too many sizes: it runs those that are powers of two.

    Args:
        codec: what the scheduler steps.
        max_batch: rows × hops of a step at most; None: as many as `most_row_hops` says.
        given_up: says whether to end early; asked before each step.

    Raises:
        GivenUpError: it said so.
    """

    def run(direction: Direction, rows: int, hops: int) -> float:
        if given_up():
            raise GivenUpError
        return _run(codec, direction, rows, hops)

    hop, row_hops, limit = codec.hop_length / codec.sample_rate, {}, most_row_hops(codec)
    if max_batch is not None:
        limit = min(limit, max_batch)
    streams = float(max(MAX_STREAMS, limit))
    directions: tuple[Direction, ...] = ("encode", "decode")
    for direction in directions:
        run(direction, 1, 1)
        most = _row_hops_within(hop, min(run(direction, 1, 1) for _ in range(3)), limit)
        seconds = min(run(direction, most, 1) for _ in range(2)) / most
        # The less a further row costs, the later this ends.
        while (wider := _row_hops_within(hop, seconds, limit)) >= 2 * most:
            most, seconds = wider, min(run(direction, wider, 1) for _ in range(2)) / wider
        row_hops[direction] = wider
        streams = min(streams, MAX_LOAD * hop / seconds)
    for direction, most in row_hops.items():  # only now: an engine may have to make room for the largest step of either
        for rows in _sizes(most, limit):
            for hops in _sizes(most // rows, limit):
                run(direction, rows, hops)
    return Capacity(row_hops, max(2, int(streams)))


def most_row_hops(codec: Codec) -> int:
    """The most rows × hops of a step."""
    return max(MAX_ROW_HOPS, codec.engine.row_hops // WIDE)


def _sizes(most: int, limit: int) -> list[int]:
    if limit <= MAX_ROW_HOPS:
        return list(range(1, most + 1))
    return [1 << bit for bit in range(most.bit_length())]


def _row_hops_within(hop: float, seconds: float, limit: int) -> int:
    return max(1, min(limit, int(hop / max(seconds, 1e-9))))


def _run(codec: Codec, direction: Direction, rows: int, hops: int) -> float:
    """Run one step of fresh streams, or, where a first step has several hops, the next. Returns its seconds."""
    pool, first = codec.pool(rows, direction, hops), plan(codec.config, direction).first
    streams, seconds = [pool.open() for _ in range(rows)], 0.0
    for count in (hops,) if first == 1 else (first, hops):
        for stream in streams:
            if direction == "encode":
                pool.feed(stream, np.zeros(count * codec.hop_length, np.float32))
            else:
                pool.feed(stream, np.zeros((codec.n_codebooks, count), np.int64))
        batch = pool.next_batch()
        assert batch is not None
        began = time.perf_counter()
        batch.run()
        seconds = time.perf_counter() - began
        pool.complete(batch)
    return seconds
