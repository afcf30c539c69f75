"""Before the first client: run every size of step, and measure how many streams the machine computes in real time.

Knows: steps and how long they take. Does not know: clients, the event loop. Call it in the worker thread.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from ....geometry import Direction

if TYPE_CHECKING:
    from ....codec import Codec

#: The most rows × hops of a step, however fast the codec. The work around the step for each of them takes time, too.
MAX_ROW_HOPS = 64
#: The share of the machine's time that streams may take, and the most streams, however fast the codec.
MAX_LOAD, MAX_STREAMS = 0.8, 256


@dataclasses.dataclass(frozen=True)
class Capacity:
    """How much of a codec this machine computes in real time."""

    row_hops: dict[Direction, int]  #: rows × hops that compute within one hop of audio, 1 to `MAX_ROW_HOPS`
    streams: int  #: live streams of the slower direction within `MAX_LOAD`; at least 2, as a page has two


def warm_up(codec: Codec) -> Capacity:
    """Run and time every size of step that a scheduler asks for, so that no client waits for a first run."""
    hop, row_hops, streams = codec.hop_length / codec.sample_rate, {}, float(MAX_STREAMS)
    directions: tuple[Direction, ...] = ("encode", "decode")
    for direction in directions:
        _run(codec, direction, 1, 1)
        most = _row_hops_within(hop, min(_run(codec, direction, 1, 1) for _ in range(3)))
        seconds = min(_run(codec, direction, most, 1) for _ in range(2)) / most
        while (
            wider := _row_hops_within(hop, seconds)
        ) >= 2 * most:  # the less a further row costs, the later this ends
            most, seconds = wider, min(_run(codec, direction, wider, 1) for _ in range(2)) / wider
        row_hops[direction] = most = wider
        for rows in range(1, most + 1):
            for hops in range(1, most // rows + 1):
                _run(codec, direction, rows, hops)
        streams = min(streams, MAX_LOAD * hop / seconds)
    return Capacity(row_hops, max(2, int(streams)))


def _row_hops_within(hop: float, seconds: float) -> int:
    return max(1, min(MAX_ROW_HOPS, int(hop / max(seconds, 1e-9))))


def _run(codec: Codec, direction: Direction, rows: int, hops: int) -> float:
    """Run one step of fresh streams. Returns its seconds."""
    pool = codec.pool(rows, direction, hops)
    for _ in range(rows):
        stream = pool.open()
        if direction == "encode":
            pool.feed(stream, np.zeros(hops * codec.hop_length, np.float32))
        else:
            pool.feed(stream, np.zeros((codec.n_codebooks, hops), np.int64))
    batch = pool.next_batch()
    assert batch is not None
    began = time.perf_counter()
    batch.run()
    seconds = time.perf_counter() - began
    pool.complete(batch)
    return seconds
