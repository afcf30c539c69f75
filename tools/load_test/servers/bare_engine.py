"""The engine without a service: a pool of streams that always have enough audio, stepped as fast as possible.

It runs in its own process, so that it can use the server's core. It reads lines ``ROWS HOPS SECONDS`` and answers each
with the seconds of audio that it encoded per second.

Knows: a pool and a clock. Does not know: who asks.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from streamrvq import Codec, load

from ..clients.audio import LoopedAudio
from .null_codec import null_codec


def audio_per_second(codec: Codec, audio: LoopedAudio, rows: int, hops: int, seconds: float) -> float:
    """Seconds of audio encoded per second, in steps of ``rows`` streams and ``hops`` hops."""
    pool = codec.pool(rows, max_hops=hops)
    streams = [pool.open() for _ in range(rows)]
    count, steps = hops * codec.hop_length, 0
    most = min(count, audio.longest)  # of large steps the same samples come again
    blocks = [np.resize(audio.samples(audio.offset(row), most) / np.float32(32768), count) for row in range(rows)]
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not steps:
        for stream, block in zip(streams, blocks, strict=True):
            pool.feed_checked(stream, block)
        batch = pool.next_batch()
        assert batch is not None
        batch.run()
        pool.complete(batch)
        steps += 1
    return steps * rows * count / codec.sample_rate / passed


def main(source: str, engine: str, threads: int) -> None:
    """Answer lines until stdin ends."""
    codec = null_codec() if source == "--null" else load(source, engine, threads)
    audio = LoopedAudio(codec.sample_rate)
    print("ready", flush=True)
    for line in sys.stdin:
        rows, hops, seconds = line.split()
        print(audio_per_second(codec, audio, int(rows), int(hops), float(seconds)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
