"""The whole job: find the sources, plan the run or resume it, have the missing shards written, sum up the result.

Knows: the order of these steps. Does not know: how any of them is done.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from ..audio.files import Truncated
from ..audio.find import PassedOver
from ..codec import load
from ..config import DEFAULT_CODEC
from ..errors import CorpusError, InputError
from ..system.cores import available_cores
from ..system.foreign_data import is_whole, shown
from ..system.interrupts import DeferredInterrupts, ordered_termination
from ..system.names import absolute
from ..weights import Weights, load_weights
from .cluster import run_on_ray
from .columns import kinds_of
from .encoding.encoder import streams_at_once
from .encoding.open import check_readers, gpus, readers_of_each, workers_for
from .local import run_here, run_in_processes
from .plan import Shard, divide
from .progress import OnProgress, Progress
from .record import Record
from .settings import Settings
from .shard import Failed, ShardSummary
from .sources import Entries, collect, is_of_run
from .workers import Work

#: Readers of a worker on a Ray cluster, if its engine encodes many files at once.
READERS_ON_RAY = 4


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What a run has to do, known before it starts.

    Attributes:
        shards: in all.
        shards_done: of these, those that are there already.
        size: bytes of all audio files.
        size_left: bytes of the audio files of the missing shards.
        added: sources that are new to a run that was there.
        changed: sources in shards that are there whose file is gone, or has another size than then. Their rows stay.
        passed_over: what folders and globs hold beside audio files, and columns of manifests that no shard can hold.
    """

    shards: int
    shards_done: int
    size: int
    size_left: int
    added: int = 0
    changed: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """What a run's folder holds at its end, and what this call did.

    Attributes:
        folder: where the shards are.
        shards, sources, rows, frames: totals.
        seconds: of audio in all. With ``channels="each"`` every channel counts.
        failed: sources that gave no row.
        added, changed, passed_over: as in `RunPlan`.
        written: shards that this call wrote.
        encoded_seconds: seconds of audio that this call read.
        elapsed: seconds that this call took.
    """

    folder: Path
    shards: int
    sources: int
    rows: int
    frames: int
    seconds: float
    failed: tuple[Failed, ...]
    added: int
    changed: tuple[str, ...]
    passed_over: tuple[PassedOver, ...]
    written: int
    encoded_seconds: float
    elapsed: float

    @property
    def speed(self) -> float:
        """Seconds of audio encoded per second in this call."""
        return self.encoded_seconds / max(1e-9, self.elapsed)


def encode_corpus(
    sources: Entries,
    folder: str | os.PathLike[str],
    codec: str | os.PathLike[str] = DEFAULT_CODEC,
    *,
    engine: str = "auto",
    n_quantizers: int | None = None,
    tail: str = "pad",
    channels: str = "one",
    truncated: Truncated = "refuse",
    track: int | None = None,
    segment_seconds: float = 600.0,
    shard_bytes: int | None = None,
    pack: bool = False,
    workers: int | None = None,
    threads: int = 1,
    devices: str | Sequence[str] = (),
    readers: int | None = None,
    ray: str | None = None,
    retry_failed: bool = False,
    on_plan: Callable[[RunPlan], object] | None = None,
    on_progress: OnProgress | None = None,
    on_failure: Callable[[Failed], object] | None = None,
) -> RunSummary:
    """Encode files into shards of tokens, resume a run that was cut off, or add files to one.

    Called again with the same arguments after an interrupt, a crash or a full disk, it writes the shards that are
    missing, and compares those that are there with their checksums. Called with more sources, it writes shards of the
    new ones beside those that are there, which keep their bytes. The shards do not depend on who wrote them, or on
    how often the run was cut off. Ctrl-C and SIGTERM stop a run within a block of audio, a second one stops it at once.
    Both raise as usual, SIGTERM a ``SystemExit`` with code 143. Several workers are separate processes: call this
    function from under ``if __name__ == "__main__"``.

    Args:
        sources: audio files, folders, globs, manifests (see `sources.find_sources`): one, or several.
        folder: for the shards; created if it does not exist.
        codec: as `load` takes it: a preset's name, or a file or folder of weights.
        engine: as `load` takes it.
        n_quantizers: as `Codec.encode` takes it.
        tail: as `Codec.encode` takes it.
        channels: what to do with a file of several channels. ``"one"``: refuse it, and list it as failed. ``"mean"``:
            encode the mean of its channels. ``"each"``: encode each channel as a signal of its own.
        truncated: ``"refuse"`` a file that ends before its header says, or is damaged, and list it as failed; or
            ``"keep"`` what there is of it.
        track: of several audio tracks of a file this one, from 0. Without it such files are listed as failed.
        segment_seconds: the longest row. A longer signal becomes several rows, cut from one stream.
        shard_bytes: bytes of audio files for each shard; None: see plan.py.
        pack: write codes as bits, as many each as the codebooks need (see `tokens.schema`).
        workers: processes; None: up to three for each of ``devices``, or on the CPU one for each core. With 1 the work
            is done in this process.
        threads: of each worker's engine, on the CPU.
        devices: where engines compute, as `load` takes a device: one, or several. Workers take them in turn, so that
            more workers than devices share them. None given: on the CPU. On a Ray cluster at most one may be given, and
            each worker asks for a GPU of its own.
        readers: processes of each worker that read, decode and resample files ahead. 0: the worker does it itself.
            None: 0, but for an engine that encodes many files at once as many as the machine has cores for; on a Ray
            cluster `READERS_ON_RAY`.
        ray: the address of a Ray cluster that does the work. ``"auto"``: the cluster that this machine belongs to.
            ``"local"``: one that is started for this run. ``folder``, sources and ``codec`` must be the same paths on
            its nodes.
        retry_failed: write shards with failures again, save those with rows of files that are gone or cannot be read
            any more.
        on_plan: called once, before the first shard is written.
        on_progress: called with each report of progress. What it raises ends the run.
        on_failure: called for each source that gave no row.

    Returns:
        RunSummary: of all shards. Sources that could not be encoded are in ``failed``.

    Raises:
        InputError: a bad setting, or no sources.
        CorpusError: the folder belongs to a run with other settings, or with sources that were not given; it is in use
            or cannot be written to; or a worker died.
        ExtraError: pyarrow is not installed; with ``ray``, Ray is not.
        WeightsError, EngineError: as `load`.
    """
    if not os.fspath(folder):  # which would be this folder
        raise InputError("the folder for the shards has no name; wanted one, such as . for this folder")
    started, folder = time.perf_counter(), Path(absolute(folder))
    for number, what in ((workers, "workers"), (threads, "threads")):
        if number is not None and not is_whole(number, 1):
            raise InputError(f"{shown(number)} {what} were asked for; wanted at least 1, as a whole number")
    check_readers(readers)
    divide([], shard_bytes)  # which checks the size
    shard_bytes = None if shard_bytes is None else int(shard_bytes)  # numpy's has no form in JSON
    devices = gpus(devices, engine)
    if ray is not None and len(devices) > 1:
        raise InputError(f"the devices {', '.join(devices)} came with a Ray cluster; give one: Ray chooses its GPUs")
    if devices and engine == "auto":
        engine = "cuda"
    # With devices the weights tell the facts: only workers open devices, and perhaps elsewhere.
    opened = load_weights(codec) if devices else load(codec, engine, threads)
    wide = isinstance(opened, Weights) or streams_at_once(opened.engine) > 1
    settings = Settings.make(
        codec, opened, n_quantizers=n_quantizers, tail=tail, channels=channels, segment_seconds=segment_seconds,
        truncated=truncated, track=track, engine=engine if devices else None, pack=pack,
    )  # fmt: skip
    del opened  # each worker loads its own
    (found, passed), encoded_seconds = collect(sources, folder), 0.0
    passed_over = tuple(item for item in passed if not is_of_run(item.path, folder))
    settings = settings.with_columns(kinds_of((source.path, source.columns) for source in found))

    def add(progress: Progress) -> None:
        nonlocal encoded_seconds
        encoded_seconds += progress.seconds
        if on_progress is not None:
            on_progress(progress)

    with ordered_termination(), Record(folder, settings, found, version("streamrvq"), shard_bytes, passed) as record:
        summaries = {
            n: done for n, done in record.done.items() if not (retry_failed and _may_retry(record.shards[n], done))
        }
        missing = [shard for shard in record.shards if shard.number not in summaries]
        changed = record.changed(summaries)
        if on_plan is not None:
            size, size_left = (sum(shard.size for shard in some) for some in (record.shards, missing))
            on_plan(RunPlan(len(record.shards), len(summaries), size, size_left, record.added, changed, passed_over))
        record.passed_over(passed_over)
        work = Work(folder, record.settings, threads, devices, readers)
        try:
            with closing(_written(work, missing, workers, wide, ray, add)) as written:
                for summary in written:
                    summaries[summary.number] = summary
                    if on_failure is not None:
                        for failure in summary.failed:
                            on_failure(failure)
        except BaseException:
            with suppress(CorpusError, OSError), DeferredInterrupts():  # the first error is the one to report
                record.delete_partial()
                record.failures(_sorted(record.done | summaries))  # what was to be retried is as it was
            raise
        every = _sorted(summaries)
        failed = record.failures(every)
        record.delete_partial()
    return RunSummary(
        folder=folder, shards=len(every), sources=len(found), rows=sum(s.rows for s in every),
        frames=sum(s.frames for s in every), seconds=sum(s.seconds for s in every),
        failed=failed,
        added=record.added, changed=changed, passed_over=passed_over, written=len(missing),
        encoded_seconds=encoded_seconds, elapsed=time.perf_counter() - started,
    )  # fmt: skip


def _may_retry(shard: Shard, done: ShardSummary) -> bool:
    """Whether something failed in a shard, and writing it again costs no rows of a file that is gone since."""
    failed = {failure.path for failure in done.failed}
    return bool(failed) and all(source.path in failed or os.path.exists(source.file) for source in shard.sources)


def _sorted(summaries: dict[int, ShardSummary]) -> list[ShardSummary]:
    return [summaries[number] for number in sorted(summaries)]


def _written(
    work: Work, shards: Sequence[Shard], workers: int | None, wide: bool, ray: str | None, on_progress: OnProgress
) -> Generator[ShardSummary]:
    if ray is not None and shards:
        if wide and work.readers is None:
            work = work._replace(readers=READERS_ON_RAY)
        work = work._replace(devices=tuple(device.partition(":")[0] for device in work.devices))  # the one that it sees
        return run_on_ray(work, shards, ray, workers, on_progress)
    cores = available_cores()
    count = min(workers or workers_for(len(work.devices)) or (1 if wide else cores), len(shards))
    if wide and work.readers is None:
        work = work._replace(readers=readers_of_each(count))
    if count <= 1:
        return run_here(work.for_worker(0), shards, on_progress)
    return run_in_processes(work, shards, count, on_progress)
