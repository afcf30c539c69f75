"""Before the first client: run every size of step, and find what fits into a hop, and how many streams can be live.

Knows: steps and a clock. Does not know: streams of people, the event loop; call it in the worker thread.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

import numpy as np

from ...geometry import Direction

if TYPE_CHECKING:
    from ...codec import Codec

#: Rows × hops of a step, however fast the codec: what is done around the step for each of them must stay short, too.
MOST_ROW_HOPS = 64
#: Of the machine's time that admitted streams may take, and streams at most, however fast the codec.
LOAD, MOST_STREAMS = 0.8, 256


@dataclasses.dataclass(frozen=True)
class Capacity:
    """What a codec can do here."""

    row_hops: dict[Direction, int]  #: rows × hops that compute within one hop of audio, 1 to `MOST_ROW_HOPS`
    streams: int  #: live streams of the costlier direction that take `LOAD` of the time, at least 2: a page has two


def warm(codec: Codec) -> Capacity:
    """Run every size of step that a scheduler asks for, so that no client waits for a first time; measure meanwhile."""
    hop, row_hops, streams = codec.hop_length / codec.sample_rate, {}, float(MOST_STREAMS)
    directions: tuple[Direction, ...] = ("encode", "decode")
    for direction in directions:
        _run(codec, direction, 1, 1)
        most = _within(hop, min(_run(codec, direction, 1, 1) for _ in range(3)))
        seconds = min(_run(codec, direction, most, 1) for _ in range(2)) / most
        row_hops[direction] = most = _within(hop, seconds)
        for rows in range(1, most + 1):
            for hops in range(1, most // rows + 1):
                _run(codec, direction, rows, hops)
        streams = min(streams, LOAD * hop / seconds)
    return Capacity(row_hops, max(2, int(streams)))


def _within(hop: float, seconds: float) -> int:
    return max(1, min(MOST_ROW_HOPS, int(hop / max(seconds, 1e-9))))


def _run(codec: Codec, direction: Direction, rows: int, hops: int) -> float:
    """Seconds of one step of fresh streams."""
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
