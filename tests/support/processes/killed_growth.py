"""Runs of one corpus that grows thrice. Each is killed at a random moment and continued by the next, to the end.

    python tests/support/processes/killed_growth.py AUDIO WEIGHTS OUT KILLS SEED

As in killed_runs.py, each run is a fork of this process. Prints JSON: kills, and how many of them left some shards of
the present stage but not all. Knows: the public `encode_corpus`. Does not know: what the result must be.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from pathlib import Path

from killed_runs import after, import_all, run  # it lies beside this script

STAGES, SHARD_BYTES = (3, 6, 9, 12), 12_000


def main(audio: str, weights: str, out: str, kills: int, seed: int) -> None:
    files, chance = sorted(Path(audio).iterdir()), random.Random(seed)

    def shards() -> int:
        return len(list(Path(out).glob("*.parquet")))

    import_all(files[: STAGES[0]], out, weights, SHARD_BYTES)
    begun = time.monotonic()
    run(files[: STAGES[0]], out, weights, SHARD_BYTES)
    span = time.monotonic() - begun
    killed = halfway = 0
    while killed < kills:
        shutil.rmtree(out)
        for sources in STAGES:
            before = now = shards()
            # At a random moment, or when the run has its first shard, which may be the stage's last.
            while run(
                files[:sources], out, weights, SHARD_BYTES,
                chance.choice((after(chance.uniform(0, 1.2) * span), lambda now=now: shards() > now)),
            ):  # fmt: skip
                now = shards()
                killed += 1
                halfway += now > before
            run(files[:sources], out, weights, SHARD_BYTES)  # whatever was killed last, it ends
    print(json.dumps({"kills": killed, "halfway": halfway}))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
