"""Bulk tokenisation beside the bare engine: the same codec, as many processes, each with one thread.

Everything that a run does counts: starting the processes, decoding, resampling, writing shards. Of the bare engine only
its steps count, at the better of two shapes of large steps. Both are measured once a round, in turn.

Knows: how the two are made comparable. Does not know: tables or JSON (cli/bench.py).
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..codec import load
from ..corpus import encode_corpus
from ..errors import InputError
from .steps import Cell

#: Hops and rows of the bare engine's steps: those of a stream in bulk, and of a full batch.
SHAPES = ((16, 1), (16, 16))


@dataclasses.dataclass(frozen=True)
class BulkReport:
    """Seconds of audio a second, round by round.

    Attributes:
        workers: processes of each.
        audio_seconds: of the sources.
        bulk: of whole runs.
        bare: of the engine's steps alone.
        ratio: the median of their quotients.
    """

    workers: int
    audio_seconds: float
    bulk: tuple[float, ...]
    bare: tuple[float, ...]
    ratio: float


def run_bulk(
    codec: str, sources: Sequence[str], *, workers: int, rounds: int = 3, seconds: float = 4.0,
    progress: Callable[[str], None] | None = None,
) -> BulkReport:  # fmt: skip
    """Measure; ``seconds`` is the wall time for each shape of the bare engine's steps, a round. Sources of several
    channels are taken as their mean. Call it from under ``if __name__ == "__main__"``.

    Raises:
        InputError: a setting below its least, or sources that cannot be encoded.
    """
    if rounds < 1 or seconds <= 0 or workers < 1:
        raise InputError(f"{rounds} rounds of {seconds:g} s by {workers} workers; wanted at least one of each")
    load(codec, threads=1)  # a codec that cannot be had is refused here, not in every process
    tell = progress or (lambda what: None)
    bulk, bare, audio = [], [], 0.0
    for number in range(1, rounds + 1):
        tell(f"round {number} of {rounds}: the bare engine, {workers} processes")
        bare.append(max(_bare(codec, workers, seconds, shape) for shape in SHAPES))
        tell(f"round {number} of {rounds}: bulk, {workers} workers")
        with tempfile.TemporaryDirectory(prefix="streamrvq-bench-") as folder:
            done = encode_corpus(list(sources), folder, codec, workers=workers, channels="mean")
        if done.failed:
            raise InputError(f"{done.failed[0].path} cannot be encoded ({done.failed[0].error}); leave it out")
        bulk.append(done.speed)
        audio = done.seconds
    ratio = statistics.median(one / other for one, other in zip(bulk, bare, strict=True))
    return BulkReport(workers, audio, tuple(bulk), tuple(bare), ratio)


def _bare(codec: str, workers: int, seconds: float, shape: tuple[int, int]) -> float:
    """Seconds of audio a second that ``workers`` processes compute together."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(workers), context.SimpleQueue()
    place = codec if not os.path.exists(codec) else os.path.abspath(codec)
    crew = [context.Process(target=_steps, args=(place, seconds, shape, start, results)) for _ in range(workers)]
    for process in crew:
        process.start()
    speeds = [results.get() for _ in crew]
    for process in crew:
        process.join()
    return float(sum(speeds))


def _steps(codec: str, seconds: float, shape: tuple[int, int], start: Any, results: Any) -> None:
    """One process: its engine's steps for ``seconds`` from when all are ready."""
    opened = load(codec, threads=1)
    cell = Cell(opened.engine, "encode", *shape)
    start.wait()
    begun = time.perf_counter()
    cell.run(seconds)
    elapsed = time.perf_counter() - begun
    audio = (1 + len(cell.times)) * shape[0] * shape[1] * opened.hop_length / opened.sample_rate
    results.put(audio / elapsed)
