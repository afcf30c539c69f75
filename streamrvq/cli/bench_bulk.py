"""``streamrvq bench --corpus``: the speed of bulk tokenisation beside that of the bare engine, as a line or as JSON."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

from ..bench.bulk import run_bulk
from ..corpus.encoding.open import gpus, workers_for
from ..system.cores import available_cores
from .common import err, out, print_json


def bench_bulk(
    codec: str, sources: list[str], workers: int | None, devices: tuple[str, ...], rounds: int, seconds: float,
    json: bool,
) -> None:  # fmt: skip
    """Measure bulk tokenisation of ``sources`` and print the result."""
    devices = gpus(devices)
    if workers is None:
        workers = workers_for(len(devices)) or available_cores()
    with nullcontext() if json else err().status("") as status:
        report = run_bulk(
            codec,
            sources,
            workers=workers,
            devices=devices,
            rounds=rounds,
            seconds=seconds,
            progress=None if status is None else status.update,
        )
    if json:
        print_json({"codec": codec, "sources": sources, **dataclasses.asdict(report)})
        return
    bulk, bare, reading = (
        " ".join(f"{speed:.1f}" for speed in speeds) for speeds in (report.bulk, report.bare, report.reading)
    )
    out().print(
        f"{report.audio_seconds:.0f} s of audio, {report.workers} workers, s of audio a second by rounds: bulk {bulk}, "
        f"bare engine {bare}, reading alone {reading}: bulk has {report.ratio:.1%} of the bare engine (median), "
        f"{report.ratio_to_slower:.1%} of the slower of the two", markup=False,
    )  # fmt: skip
