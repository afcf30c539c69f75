"""Runs of one corpus that grows thrice. Each is killed at a random moment and continued by the next, to the end.

    python tests/support/processes/killed_growth.py AUDIO WEIGHTS OUT KILLS SEED

As in killed_runs.py, each run is a fork of this process. Prints JSON: kills, and how many of them left some shards of
the present stage but not all. Knows: the public `encode_corpus`. Does not know: what the result must be.
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

STAGES = (3, 6, 9, 12)


def main(audio: str, weights: str, out: str, kills: int, seed: int) -> None:
    files, chance = sorted(Path(audio).iterdir()), random.Random(seed)

    def run(sources: int, seconds: float | None) -> bool:
        """Whether a run over so many sources was killed after ``seconds`` (None: never), before it had ended."""
        reader, writer = os.pipe()
        if not (pid := os.fork()):
            os.close(reader)
            encode_corpus(files[:sources], out, weights, workers=1, shard_bytes=12_000)
            os._exit(0)
        os.close(writer)
        late = not select.select([reader], [], [], seconds)[0]
        if late:
            os.kill(pid, signal.SIGKILL)
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        assert late or status == 0, status
        return late

    begun = time.monotonic()
    run(STAGES[0], None)
    span = time.monotonic() - begun
    killed = halfway = 0
    while killed < kills:
        shutil.rmtree(out)
        for sources in STAGES:
            before = len(list(Path(out).glob("*.parquet")))
            while run(sources, chance.uniform(0, 1.2) * span):
                killed += 1
                halfway += len(list(Path(out).glob("*.parquet"))) > before
            run(sources, None)  # whatever was killed last, it ends
    print(json.dumps({"kills": killed, "halfway": halfway}))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
