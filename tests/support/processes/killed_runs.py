"""Runs of one corpus. Each is killed at a random moment and continued by the next; the last one finishes.

    python tests/support/processes/killed_runs.py AUDIO WEIGHTS OUT SHARD_BYTES KILLS HALFWAY SEED

Everything is imported once, also what a run imports when it needs it, and each run is a fork of this process: so that
the moments fall into the work, not into the start of an interpreter. It goes on until KILLS were killed, and HALFWAY of
the runs have left some shards but not all. Prints JSON: how many of both there were. Knows: the public `encode_corpus`.
Does not know: what the result must be.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamrvq.corpus import encode_corpus


def import_all(sources: list[Any], out: str, weights: str, shard_bytes: int) -> None:
    """Import here what a run imports on its way, such as pandas for pyarrow: more work than the run itself."""
    names = Path(out + ".modules")
    if not (pid := os.fork()):
        encode_corpus(sources, out, weights, workers=1, shard_bytes=shard_bytes)
        names.write_text("\n".join(sys.modules), encoding="utf-8")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    for name in names.read_text(encoding="utf-8").splitlines():
        with suppress(ImportError):  # some modules are made by others
            importlib.import_module(name)
    names.unlink()
    shutil.rmtree(out)


def run(sources: list[Any], out: str, weights: str, shard_bytes: int, due: Callable[[], bool] = lambda: False) -> bool:
    """A run in a process of its own. Returns whether it was killed, once ``due``, before its end."""
    reader, writer = os.pipe()  # which closes with the process
    if not (pid := os.fork()):
        os.close(reader)
        encode_corpus(sources, out, weights, workers=1, shard_bytes=shard_bytes)
        os._exit(0)
    os.close(writer)
    killed = False
    while not killed and not select.select([reader], [], [], 0.001)[0]:
        if killed := due():
            os.kill(pid, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    assert killed or status == 0, status
    return killed


def after(seconds: float) -> Callable[[], bool]:
    """What is due so many seconds from now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def main(audio: str, weights: str, out: str, shard_bytes: int, kills: int, wanted: int, seed: int) -> None:
    def done() -> int:
        return len(list(Path(out).glob("*.parquet")))

    import_all([audio], out, weights, shard_bytes)
    begun = time.monotonic()
    run([audio], out, weights, shard_bytes)
    span, shards = time.monotonic() - begun, done()
    shutil.rmtree(out)
    chance, killed, halfway = random.Random(seed), 0, 0
    while killed < kills or halfway < wanted:
        before, begun = done(), time.monotonic()
        if run([audio], out, weights, shard_bytes, after(chance.uniform(0, 0.6) * span)):
            killed += 1
            span *= 1.0 if done() > before else 1.1  # else a machine that is slower now never writes one
        elif not before:
            span = time.monotonic() - begun  # the machine is faster now
        halfway += 0 < done() < shards
        if done() == shards:
            shutil.rmtree(out)
    run([audio], out, weights, shard_bytes)
    print(json.dumps({"kills": killed, "halfway": halfway}))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))
