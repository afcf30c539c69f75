"""A run's folder: it is made, found to be fit for a run, and held by one process.

    __run__/lock           held by the process that trains
    __run__/training.json  what the run is trained on (record.py)
    checkpoint.pt          everything that is needed to continue
    log.jsonl              a JSON object on each line
    cache/                 decoded audio
    NAME.safetensors       the weights, never of an earlier step than the checkpoint

Knows: which folders are refused. Does not know: what the files hold.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ...config import PRESETS
from ...corpus.lock import Lock
from ...errors import ConfigError
from ...system.atomic_file import PART
from ...tokens.reader import shards_in

CHECKPOINT, LOG, CACHE = "checkpoint.pt", "log.jsonl", "cache"
RECORDS, RECORD = "__run__", "__run__/training.json"


def open_folder(folder: Path, weights: str) -> Lock:
    """Make the folder if need be, and take its lock.

    Args:
        folder: of the run.
        weights: the name of the file of weights that the run will write there.

    Raises:
        CorpusError: another process trains there.
        ConfigError: it cannot be written to, or holds something that is not a training run.
    """
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / RECORDS / "lock")
    except OSError as error:
        raise unwritable(folder, error) from None
    try:
        _check(folder, weights)
        for part in (*folder.glob(f".*{PART}"), *(folder / CACHE).glob(f".*{PART}")):
            part.unlink(missing_ok=True)  # of a process that was killed while it wrote; nobody else writes here now
    except BaseException:
        leave_nothing(folder)
        lock.release()
        raise
    return lock


def leave_nothing(folder: Path) -> None:
    """After a refusal, with the lock held: take away the folder of records, if it holds nothing but the lock."""
    records = folder / RECORDS
    with suppress(OSError):
        if os.listdir(records) == ["lock"]:
            (records / "lock").unlink()
            records.rmdir()


def own_name(folder: Path, configuration: str) -> str:
    """The name of a run, which its weights carry: the configuration's, or the folder's if that is a preset's.

    The shipped weights have a preset's name. What somebody trains with the same configuration is something else.
    """
    return configuration if configuration not in PRESETS else folder.resolve().name or configuration


def _check(folder: Path, weights: str) -> None:
    if (folder / RECORDS / "run.json").exists() or shards_in(folder):
        raise ConfigError(f"{folder} holds the shards of a bulk run; give another folder with --out")
    ours = (folder / CHECKPOINT).exists() or (folder / RECORD).exists()
    if not ours and (folder / weights).exists():
        raise ConfigError(
            f"{folder} holds {weights} and no run, and a new run would replace it; "
            "move it, or give another folder with --out"
        )


def unwritable(path: Path, error: OSError) -> ConfigError:
    """The error for a folder or file of a run that cannot be written."""
    where = error.filename or path
    return ConfigError(
        f"cannot write {where} ({error.strerror or error}); give a folder that may be written to and has room"
    )
