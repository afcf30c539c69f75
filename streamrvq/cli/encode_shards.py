"""``streamrvq encode --shards``: a corpus to Parquet shards, with a progress bar, a summary and an exit code.

Knows: how a run is shown. Does not know: how a corpus is encoded (corpus/).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from ..audio.find import sentence as passed_sentence
from ..corpus import Failed, RunPlan, RunSummary, encode_corpus
from ..corpus.sources import RECORDS
from ..errors import InputError
from ..system.foreign_data import one_line, shown
from .common import complain, counted, note, out, print_json
from .progress import BytesProgress
from .stored.targets import check_name

PackOption = Annotated[
    bool, typer.Option("--pack", help="With --shards: codes as bits, 10 each with 1024 entries a codebook.")
]


def channel_policy(downmix: bool, each: bool) -> str:
    """The two options as `encode_corpus` names them. Raises `InputError` if both are given."""
    if downmix and each:
        raise InputError("--downmix and --each-channel are two answers to one question; choose one")
    return "mean" if downmix else "each" if each else "one"


def device_list(device: str | None, devices: str | None) -> tuple[str, ...]:
    """The devices of ``--device`` and ``--devices``. Raises `InputError` if both are given, or one has no name."""
    if device is not None and devices is not None:
        raise InputError("--device and --devices are two answers to one question; choose one")
    named = () if devices is None else tuple(name.strip() for name in devices.split(","))
    if not all(named):
        raise InputError(f"--devices is {shown(devices)}; wanted devices with commas between, such as cuda:0,cuda:1")
    return named if device is None else (device,)


def bytes_of(mib: float | None) -> int | None:
    """The bytes of ``--shard-mib``. Raises `InputError` for such as no shard can have."""
    if mib is None:
        return None
    if not abs(mib) < 2**40:
        raise InputError(f"--shard-mib is {mib:g}; wanted MiB of audio in a shard")
    return int(mib * 2**20)


def encode_shards(sources: list[str], folder: Path, codec: str, json: bool, **settings: Any) -> None:
    """Encode the corpus and print the result. Exits with 2 if any source failed."""
    if not folder.is_dir():
        check_name(folder, suffix="")
    with BytesProgress(show=not json) as bar:

        def begin(plan: RunPlan) -> None:
            if plan.shards_done:
                are = "is" if plan.added == 1 else "are"
                more = f", and {counted(plan.added, 'file')} {are} new" if plan.added else ""
                note(f"continuing: {plan.shards_done} of {counted(plan.shards, 'shard')} there already{more}")
            if plan.changed:
                note(
                    f"{counted(len(plan.changed), 'file')} gone or of another size than when encoded, such as "
                    f"{one_line(plan.changed[0])}: rows that are there stay as they are; give a new folder to encode "
                    "everything again"
                )
            bar.begin(plan.size, plan.size - plan.size_left)

        done = encode_corpus(
            sources, folder, codec, on_plan=begin, on_progress=bar.advance, on_failure=_complain, **settings
        )
    if json:
        plain = dataclasses.asdict(done) | {"folder": str(folder), "speed": done.speed}
        print_json(plain)
    else:
        out().print(_sentence(done), markup=False, soft_wrap=True)
    if done.passed_over:
        note(passed_sentence(done.passed_over))
    if done.failed:
        raise typer.Exit(2)


def _sentence(done: RunSummary) -> str:
    failed = f", {len(done.failed)} failed ({RECORDS}/failed.jsonl)" if done.failed else ""
    speed = f" at {done.speed:.1f} s a second" if done.written else ""
    was = f" ({done.shards - done.written} there already)" if done.written < done.shards else ""
    return (
        f"{done.folder}: {counted(done.shards, 'shard')}{was}, {counted(done.rows, 'row')} of "
        f"{counted(done.sources - len(done.failed), 'file')}{failed}"
        f": {done.seconds:.1f} s of audio{speed}"
    )


def _complain(failure: Failed) -> None:
    path = one_line(failure.path, 1000)  # as errors name it
    complain(failure.error if path in failure.error else f"{path}: {failure.error}")
