"""A run is begun or continued: its data, compared with what its folder records, and what to say about both.

Knows: the order of these steps. Does not know: torch, what is in a checkpoint beside the settings.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ...errors import WeightsError
from ...system.foreign_data import foreign_data
from ...weights import Weights
from ..config import TrainConfig
from . import record
from .began import check_codec, first_weights, settings_of
from .changes import changes
from .data import Data, open_data
from .folder import CHECKPOINT
from .observer import RunObserver


@dataclasses.dataclass(frozen=True)
class Opened:
    """A run that may begin or go on.

    Attributes:
        config: the settings that hold.
        data: its files.
        rows: what its log should say of that.
        remarks: what people should know about it.
    """

    config: TrainConfig
    data: Data
    rows: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


def open_run(
    config: TrainConfig, name: str, folder: Path, cache: Path, shortest: int, observer: RunObserver,
    weights: Weights | None, goes_on: bool, before: Any,
) -> Opened:  # fmt: skip
    """Find the data of a run, refuse what does not belong to it, and write its record if something in it is new.

    Args:
        config: the settings now.
        name: the run's own.
        folder: of the run.
        cache: for decoded audio.
        shortest: samples that a file must have to be validated with.
        observer: is told which files are decoded.
        weights: what a new run would begin with.
        goes_on: whether there is a checkpoint.
        before: the settings in it, whatever they are.

    Raises:
        ConfigError, InputError, AudioFileError: as `changes`, `open_data` and `Record.check`.
        WeightsError: ``before`` is no table of settings, or ``weights`` belong to another codec.
    """
    old = record.read(folder)
    began = given = weights.codec_hash if weights is not None else None
    differ: list[str] = []
    if goes_on:
        where = f"the settings in {folder / CHECKPOINT}"
        with foreign_data(WeightsError, where, "wanted a checkpoint of streamrvq train: start in another folder"):
            began = first_weights(old, before, given)
            differ = changes(folder, before, settings_of(config, began is not None).to_dict())
    if weights is not None:
        check_codec(weights, config)
    config = settings_of(config, began is not None)
    data = open_data(config, folder, cache, shortest, observer.decoded)
    mine = record.record_of(name, config.name, data.validation, began, data.train, data.held)
    if goes_on and old is not None:
        old.check(folder, mine)
    rows = [data.row()] if mine != old else []
    if mine != old:
        mine.save(folder, old)
    remarks = list(data.remarks)
    if differ:
        rows.append({"event": "continued", "changes": differ})
        remarks.append(f"the run goes on with other settings: {', '.join(differ)}")
    if goes_on and old is None:
        remarks.append(
            "the data of this run was not recorded before, and is from now on; it must be the same as before"
        )
    if goes_on and began != given is not None:
        remarks.append("the run goes on from its checkpoint; it did not begin with the weights of --from")
    return Opened(config, data, tuple(rows), tuple(remarks))
