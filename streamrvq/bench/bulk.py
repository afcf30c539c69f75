"""Bulk tokenisation compared with the bare engine: the same codec, and as many processes with one thread each.

For the bulk run everything counts: starting the processes, decoding, resampling, writing shards. For the bare engine
only its steps count, with the better of two shapes of large steps. Reading alone is decoding and resampling by the
processes that do it in a run. All are measured once in each round, in turn.

Knows: how they are made comparable. Does not know: tables or JSON (cli/bench.py).
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import multiprocessing.connection
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..codec import load
from ..corpus import encode_corpus
from ..corpus.encoding.encoder import block_for
from ..corpus.encoding.open import gpus, readers_of_each
from ..corpus.encoding.readers import Readers
from ..corpus.encoding.reading import Closed, Done, Failed, Opened, Task
from ..corpus.raised import named, raised
from ..corpus.sources import Entries, Source, find_sources
from ..engine import check_device
from ..errors import EngineError, InputError, StreamRVQError
from ..system.children import end_children, start_children
from ..system.foreign_data import shown
from ..system.interrupts import DeferredInterrupts
from .steps import Cell

#: Seconds between two looks for an interrupt.
_LOOK_EVERY = 0.25
#: Hops and rows of the bare engine's steps: as in bulk encoding of a stream, and as in a full batch. More hops, where
#: half of the engine's `row_hops` is more.
SHAPES = ((16, 1), (16, 16))


@dataclasses.dataclass(frozen=True)
class BulkReport:
    """Speeds in seconds of audio encoded per second, round by round.

    Attributes:
        workers: processes of each.
        audio_seconds: length of the sources.
        bulk: the speed of whole runs.
        bare: the speed of the engine's steps alone.
        reading: the speed of reading alone.
        ratio: the median of bulk / bare.
        ratio_to_slower: the median of bulk / the slower of bare and reading. Where they run beside each other, a run
            can be no faster than that.
    """

    workers: int
    audio_seconds: float
    bulk: tuple[float, ...]
    bare: tuple[float, ...]
    reading: tuple[float, ...]
    ratio: float
    ratio_to_slower: float


def run_bulk(
    codec: str, sources: Entries, *, workers: int, devices: str | Sequence[str] = (), rounds: int = 3,
    seconds: float = 4.0, progress: Callable[[str], None] | None = None,
) -> BulkReport:  # fmt: skip
    """Measure all three. Call it from under ``if __name__ == "__main__"``.

    Args:
        codec: a preset's name, or a file or folder of weights.
        sources: as for `encode_corpus`. Of a file with several channels the mean is encoded.
        workers: processes of each.
        devices: as for `encode_corpus`.
        rounds: how many.
        seconds: wall time in each round for each shape of the bare engine's steps.
        progress: called with a line about what runs next.

    Raises:
        InputError: a setting is too small, or a source cannot be encoded.
        EngineError: a device that is not there, or that cannot compute with this codec.
        WeightsError: as `load`.
    """
    if rounds < 1 or not 0 < seconds < math.inf or workers < 1:
        raise InputError(
            f"{shown(rounds)} rounds of {shown(seconds)} s by {shown(workers)} workers; wanted at least one of each"
        )
    devices = gpus(devices)
    for device in devices:  # one that is not there is refused here, as a codec that cannot be loaded is
        check_device(device)
    opened = load(codec, threads=1)
    rate, files = opened.sample_rate, find_sources(sources)
    readers = readers_of_each(workers) * workers if devices else workers
    tell = progress or (lambda what: None)
    bulk, bare, reading, audio = list[float](), list[float](), list[float](), 0.0
    for number in range(1, rounds + 1):
        tell(f"round {number} of {rounds}: the bare engine, {workers} processes")
        bare.append(max(_bare(codec, workers, seconds, shape, devices) for shape in SHAPES))
        tell(f"round {number} of {rounds}: bulk, {workers} workers")
        with tempfile.TemporaryDirectory(prefix="streamrvq-bench-") as folder:
            done = encode_corpus(sources, folder, codec, workers=workers, devices=devices, channels="mean")
        if done.failed:
            raise InputError(f"{done.failed[0].path} cannot be encoded ({done.failed[0].error}); leave it out")
        if not done.seconds:
            raise InputError("the sources have no sample; wanted audio to measure with")
        bulk.append(done.speed)
        audio = done.seconds
        tell(f"round {number} of {rounds}: reading alone, {readers} processes")
        reading.append(_reading(files, rate, readers, block_for(opened.engine)))
    slower = map(min, bare, reading)
    return BulkReport(
        workers, audio, tuple(bulk), tuple(bare), tuple(reading), _median_ratio(bulk, bare), _median_ratio(bulk, slower)
    )


def _median_ratio(some: Iterable[float], others: Iterable[float]) -> float:
    return statistics.median(one / other for one, other in zip(some, others, strict=True))


def _reading(files: Sequence[Source], rate: int, readers: int, block: int) -> float:
    """Seconds of audio that ``readers`` processes decode and resample per second, their start included."""
    tasks, left, audio, begun = list(enumerate(files)), len(files), 0.0, time.perf_counter()
    reading, rates = Readers(readers, rate, block), dict[int, int]()
    try:
        while left:
            while tasks and reading.free:
                number, file = tasks.pop(0)
                reading.begin(number, Task(file.file, "mean"))
            for number, event in reading.events(lambda number: True, _LOOK_EVERY):
                if isinstance(event, Opened):
                    rates[number] = event.sample_rate
                elif isinstance(event, Closed):
                    audio += event.position / rates[number]
                left -= isinstance(event, (Done, Failed))
    finally:
        reading.close()
    return audio / (time.perf_counter() - begun)


def _bare(
    codec: str, workers: int, seconds: float, shape: tuple[int, int], devices: Sequence[str] = ()
) -> float:  # fmt: skip
    """Seconds of audio that ``workers`` processes encode together per second. Interrupted, it ends them."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(workers)
    place = codec if not os.path.exists(codec) else os.path.abspath(codec)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    on = [devices[number % len(devices)] if devices else None for number in range(workers)]
    processes = [
        context.Process(target=_steps, args=(place, device, seconds, shape, start, theirs))
        for device, (_, theirs) in zip(on, pipes, strict=True)
    ]
    speeds: list[float] = []
    with DeferredInterrupts() as interrupts:
        try:
            start_children(processes)
            for _, theirs in pipes:  # now a process's end closes when it dies
                theirs.close()
            waiting: list[Any] = [ours for ours, _ in pipes]
            while waiting:
                answers: list[Any] = multiprocessing.connection.wait(waiting, _LOOK_EVERY)
                for answer in answers:
                    waiting.remove(answer)
                    came = answer.recv()
                    if isinstance(came, tuple):
                        raise raised(*came)
                    speeds.append(came)
                interrupts.check()
        except EOFError:
            raise EngineError("a process that ran the bare engine died; try again with fewer --workers") from None
        finally:
            end_children(processes)
            for ours, _ in pipes:
                ours.close()
    return float(sum(speeds))


def _steps(codec: str, device: str | None, seconds: float, shape: tuple[int, int], start: Any, result: Any) -> None:
    """In one process: run engine steps for ``seconds``, once all processes are ready.

    ``result`` gets the speed, or an error of ours as `raised` takes it.
    """
    try:
        opened = load(codec, threads=1 if device is None else None, device=device)
        shape = max(shape[0], opened.engine.row_hops // 2 // shape[1]), shape[1]
        cell = Cell(opened.engine, "encode", *shape)
    except StreamRVQError as error:
        result.send(named(error))
        return
    start.wait()
    begun = time.perf_counter()
    cell.run(seconds)
    elapsed = time.perf_counter() - begun
    audio = (1 + len(cell.times)) * shape[0] * shape[1] * opened.hop_length / opened.sample_rate
    result.send(audio / elapsed)
