"""Runs of one corpus. Each is killed at a random moment and continued by the next; the last one finishes.

    python tests/support/processes/killed_runs.py AUDIO WEIGHTS OUT SHARD_BYTES KILLS SEED

Everything is imported once, and each run is a fork of this process: so that the moments fall into the work, not into
the start of an interpreter. Prints JSON: kills, and how many of them left some shards but not all. Knows: the public
`encode_corpus`. Does not know: what the result must be.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet  # noqa: F401

from streamrvq.corpus import encode_corpus


def main(audio: str, weights: str, out: str, shard_bytes: int, kills: int, seed: int) -> None:
    def begin() -> tuple[int, int]:
        """A run in a process of its own, and a pipe that closes with it."""
        reader, writer = os.pipe()
        if not (pid := os.fork()):
            os.close(reader)
            encode_corpus([audio], out, weights, workers=1, shard_bytes=shard_bytes)
            os._exit(0)
        os.close(writer)
        return pid, reader

    def end(pid: int, reader: int, seconds: float | None) -> bool:
        """Whether it was killed after ``seconds`` (None: never), before it had ended by itself."""
        late = not select.select([reader], [], [], seconds)[0]
        if late:
            os.kill(pid, signal.SIGKILL)
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        assert late or status == 0, status
        return late

    begun = time.monotonic()
    end(*begin(), None)
    span, shards = time.monotonic() - begun, len(list(Path(out).glob("*.parquet")))
    shutil.rmtree(out)
    chance, killed, halfway = random.Random(seed), 0, 0
    while killed < kills:
        killed += end(*begin(), chance.uniform(0, 0.6) * span)
        done = len(list(Path(out).glob("*.parquet")))
        halfway += 0 < done < shards
        if done == shards:
            shutil.rmtree(out)
    end(*begin(), None)
    print(json.dumps({"kills": killed, "halfway": halfway}))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
