"""A run's data: decoded, divided into what is trained on and what is held out, and compared with the run's record.

Knows: the order of these steps, and what is said of them. Does not know: models, checkpoints.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...audio.find import sentence
from ...errors import ConfigError, InputError
from ...system.foreign_data import one_line
from ..config import TrainConfig
from ..corpus import Corpus, OnDecoded, load
from .folder import LOG
from .split import split

_MOST_NAMES = 6  #: files that a remark names


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run is trained on and validated with.

    Attributes:
        train: the files to train on.
        held: those of validation; None: there is none.
        validation: "given", "held out" of the training data, or "none".
        remarks: sentences about it, for people.
    """

    train: Corpus
    held: Corpus | None
    validation: str
    remarks: tuple[str, ...]

    def row(self) -> dict[str, Any]:
        """A row of the log."""
        held = self.held.clips if self.held is not None else ()
        given = [self.train, *([self.held] if self.held is not None and self.validation == "given" else [])]
        return {
            "event": "data",
            "files": len(self.train.clips),
            "minutes": round(self.train.seconds / 60, 3),
            "validation": self.validation,
            "validation_files": [clip.name for clip in held],
            "passed_over": [f"{item.path}: {item.reason}" for corpus in given for item in corpus.passed],
            "without_samples": [path for corpus in given for path in corpus.empty],
        }


def open_data(
    config: TrainConfig, folder: Path, cache: Path, shortest: int, on_decoded: OnDecoded | None = None
) -> Data:
    """Decode the files of a run, or find them in the cache, and divide them.

    Args:
        config: of the run.
        folder: of the run, for messages.
        cache: folder for decoded audio.
        shortest: samples that a file must have to be validated with.
        on_decoded: see `load`.

    Raises:
        ConfigError: no data was named, a file is in both sets, or the data lies in ``folder``.
        InputError, AudioFileError: a file or folder is missing or cannot be read, or no file of validation is usable.
    """
    if not config.train:
        raise ConfigError("no data was named; wanted folders, manifests or files of audio: name them with --data")
    for entry in (*config.train, *config.validation):
        if os.path.isdir(entry) and os.path.realpath(entry) == os.path.realpath(folder):
            raise ConfigError(f"{folder} is the folder of the data; give another one for the run with --out")
    rate = config.codec.sample_rate
    train = load(config.train, rate, cache, on_decoded=on_decoded, own=folder)
    remarks = _left_out(train, folder)
    if config.validation:
        held = load(config.validation, rate, cache, on_decoded=on_decoded, own=folder)
        _check(train, held, shortest)
        remarks += _left_out(held, folder)
        remarks += [f"training on {_size(train)}; validation on {_size(held)}", *_copies(train, held)]
        return Data(train, held, "given", tuple(remarks))
    kept, out = split(train, shortest)
    remarks.append(f"training on {_size(kept)}")
    if out is None:
        return Data(train, None, "none", (*remarks, f"no validation: {_why(train, shortest)}; --validation names some"))
    names = _names([os.path.basename(clip.name) for clip in out.clips], folder)
    remarks.append(f"validation on {_size(out)}, held out of the data and never trained on: {names}")
    return Data(kept, out, "held out", tuple(remarks))


def _check(train: Corpus, held: Corpus, shortest: int) -> None:
    both = {clip.name for clip in train.clips} & {clip.name for clip in held.clips}
    if both:
        raise ConfigError(f"{sorted(both)[0]} is in train and in validation; wanted sets without a common file")
    if all(clip.length < shortest for clip in held.clips):
        longest = max(clip.length for clip in held.clips)
        raise InputError(
            f"the longest file of --validation has {longest} samples at {held.sample_rate} Hz; wanted at least "
            f"{shortest}: give longer files, or leave --validation out"
        )


def _left_out(corpus: Corpus, folder: Path) -> list[str]:
    empty = [f"without a sample, and left out: {_names(corpus.empty, folder)}"] if corpus.empty else []
    return [sentence(corpus.passed), *empty] if corpus.passed else empty


def _copies(train: Corpus, held: Corpus) -> list[str]:
    there = {train.digest(clip): clip.name for clip in train.clips}
    same = [clip.name for clip in held.clips if held.digest(clip) in there]
    if not same:
        return []
    more = f" and {len(same) - 1} more" if len(same) > 1 else ""
    return [f"of the files of validation, {one_line(same[0])}{more} have the samples of a file that is trained on"]


def _why(corpus: Corpus, shortest: int) -> str:
    if len(corpus.clips) == 1:
        return "the data is one file"
    if len({corpus.digest(clip) for clip in corpus.clips}) == 1:
        return "all files of the data are equal"
    return f"no file of the data has {shortest} samples"


def _size(corpus: Corpus) -> str:
    count, seconds = len(corpus.clips), corpus.seconds
    length = f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} minutes"
    return f"{count} file{'s' * (count != 1)}, {length}"


def _names(paths: Sequence[str], folder: Path) -> str:
    names = ", ".join(one_line(path) for path in paths[:_MOST_NAMES])
    more = len(paths) - _MOST_NAMES
    return names if more <= 0 else f"{names} and {more} more (all in {folder / LOG})"
