"""The whole job: find the sources, plan or go on, have the missing shards written, say what came of it.

Knows: the order of things. Does not know: how any of them is done.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from ..codec import load
from ..config import DEFAULT_CODEC
from ..engine.native import available_cores
from ..errors import CorpusError, InputError
from .cluster import run_on_ray
from .local import Work, run_here, run_in_processes
from .plan import Shard
from .record import Record
from .settings import Settings
from .shard import Failed, ShardSummary, Told
from .sources import find_sources


class Watcher:
    """Who is told how a run goes. This one looks away; others say what they want to hear."""

    def planned(self, shards: int, done: int, size: int, left: int) -> None:
        """A run has so many shards, of which so many are there; so many bytes of files, of which so many are left."""

    def advanced(self, size: float, seconds: float) -> None:
        """So many more bytes of files, and seconds of audio, are done."""

    def failed(self, failure: Failed) -> None:
        """A source gave no row."""


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """What a run's folder holds at its end, and what this call did.

    Attributes:
        folder: of the shards.
        shards, sources, rows, frames: in all.
        seconds: of audio in all, a channel a signal where each was encoded.
        failed: sources that gave no row.
        written: shards that this call wrote.
        encoded_seconds: of audio that this call read.
        elapsed: seconds of this call.
    """

    folder: Path
    shards: int
    sources: int
    rows: int
    frames: int
    seconds: float
    failed: tuple[Failed, ...]
    written: int
    encoded_seconds: float
    elapsed: float

    @property
    def speed(self) -> float:
        """Seconds of audio a second, of this call."""
        return self.encoded_seconds / max(1e-9, self.elapsed)


def encode_corpus(
    sources: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    codec: str | os.PathLike[str] = DEFAULT_CODEC,
    *,
    engine: str = "auto",
    n_quantizers: int | None = None,
    tail: str = "pad",
    channels: str = "one",
    segment_seconds: float = 600.0,
    shard_bytes: int | None = None,
    workers: int | None = None,
    threads: int = 1,
    ray: str | None = None,
    retry_failed: bool = False,
    watcher: Watcher | None = None,
) -> RunSummary:
    """Encode files into shards of tokens, or go on with a run that was cut off.

    Called again with the same arguments after an interrupt, a crash or a full disk it writes the shards that are
    missing. The shards do not depend on who wrote them or how often the run was cut off. Several workers are processes
    of their own: call it from under ``if __name__ == "__main__"``.

    Args:
        sources: audio files, folders, globs, manifests (see `sources.find_sources`).
        folder: for the shards; made if it is not there.
        codec: as `load` takes it: a preset's name, or a file or folder of weights.
        engine, n_quantizers, tail: as `load` and `Codec.encode` take them.
        channels: ``"one"``: a file of several is refused, and listed as failed; ``"mean"``: it is taken as their mean;
            ``"each"``: each is a signal of its own.
        segment_seconds: longest row; a longer signal is several, cut from one stream.
        shard_bytes: of audio files a shard; None: see plan.py.
        workers: processes; None: one a core. With 1 the work is done in this one.
        threads: of each worker's engine.
        ray: the address of a Ray cluster that does the work (``"auto"``: the one that this machine is of; ``"local"``:
            one that is started for this run). ``folder``, sources and ``codec`` must be the same paths on its nodes.
        retry_failed: write those shards again that have failures.
        watcher: is told how it goes.

    Returns:
        RunSummary: of all shards. Sources that could not be encoded are in ``failed``.

    Raises:
        InputError: a bad setting, or no sources.
        CorpusError: a folder of another run, in use, or that cannot be written to; a worker that died.
        ExtraError: without pyarrow; with ``ray`` without Ray.
        WeightsError, EngineError: as `load`.
    """
    started, watch, folder = time.perf_counter(), watcher or Watcher(), Path(os.path.abspath(folder))
    if (workers is not None and workers < 1) or threads < 1:
        raise InputError(f"{workers} workers with {threads} threads each were asked for; wanted at least 1 of each")
    opened = load(codec, engine, threads)
    settings = Settings.make(
        codec, opened, n_quantizers=n_quantizers, tail=tail, channels=channels, segment_seconds=segment_seconds
    )
    del opened  # the workers have their own
    found, heard = find_sources(sources), 0.0

    def told(size: float, seconds: float) -> None:
        nonlocal heard
        heard += seconds
        watch.advanced(size, seconds)

    with Record(folder, settings, found, version("streamrvq"), shard_bytes) as record:
        summaries = {n: done for n, done in record.done.items() if not (retry_failed and done.failed)}
        missing = [shard for shard in record.shards if shard.number not in summaries]
        watch.planned(
            len(record.shards), len(summaries), *(sum(s.size for s in some) for some in (record.shards, missing))
        )
        work = Work(folder, settings, record.digest, threads)
        try:
            with closing(_written(work, missing, workers, ray, told)) as written:
                for summary in written:
                    summaries[summary.number] = summary
                    for failure in summary.failed:
                        watch.failed(failure)
        except BaseException:
            with suppress(CorpusError):  # what went wrong first is what is said
                record.failures(_sorted(summaries))
            raise
        every = _sorted(summaries)
        record.failures(every)
        record.sweep()
    return RunSummary(
        folder=folder, shards=len(every), sources=len(found), rows=sum(s.rows for s in every),
        frames=sum(s.frames for s in every), seconds=sum(s.seconds for s in every),
        failed=tuple(failure for summary in every for failure in summary.failed), written=len(missing),
        encoded_seconds=heard, elapsed=time.perf_counter() - started,
    )  # fmt: skip


def _sorted(summaries: dict[int, ShardSummary]) -> list[ShardSummary]:
    return [summaries[number] for number in sorted(summaries)]


def _written(
    work: Work, shards: Sequence[Shard], workers: int | None, ray: str | None, told: Told
) -> Generator[ShardSummary]:
    if ray is not None and shards:
        return run_on_ray(work, shards, ray, workers, told)
    count = min(workers or available_cores(), len(shards))
    return run_here(work, shards, told) if count <= 1 else run_in_processes(work, shards, count, told)
