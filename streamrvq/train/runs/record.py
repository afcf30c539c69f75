"""A run's record: the files that it is trained on and validated with. A run is continued with the same ones only.

``__run__/training.json`` has the names of the run and its configuration, where validation comes from, the weights that
the run began with, and the digest of the files. They are listed in ``__run__/data.jsonl``, a JSON object on each line.
A file counts by its samples and its kind. Its name and its place may change.

Knows: these files; what to say of two lists that differ. Does not know: audio, checkpoints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...system.atomic_file import replacing
from ...system.foreign_data import foreign_data, one_line, shown
from ...system.regular_file import read_at_most
from ..corpus import Corpus
from ..numbers import is_weight
from .folder import RECORD, RECORDS, unwritable
from .rows import text_of

FORMAT, VERSION = "streamrvq.training", 1
_LONGEST = 1 << 20  #: bytes of ``training.json``
_TYPES = {"sample_rate": int}  #: of what is no text
_REMEDY = "give the same --data and --validation as before, or another folder with --out"


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file of a run's data. ``use`` is "train" or "validation", ``sha256`` that of its samples."""

    use: str
    path: str
    kind: str
    seconds: float
    sha256: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What must stay the same."""
        return self.use, self.kind, self.sha256


@dataclasses.dataclass(frozen=True)
class Record:
    """What a run is trained on.

    Attributes:
        name: the run's own, which its weights carry.
        configuration: the name in its settings.
        validation: "given", "held out" of the training data, or "none".
        weights: the codec hash of the weights that it began with; None: it began without.
        files: those trained on, and those of validation, each in the order of the corpus.
    """

    name: str
    configuration: str
    sample_rate: int
    validation: str
    weights: str | None
    files: tuple[DataFile, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex digits of what must stay the same."""
        keys = json.dumps([self.sample_rate, [file.key for file in self.files]])
        return hashlib.sha256(keys.encode()).hexdigest()

    def save(self, folder: Path, old: Record | None = None) -> None:
        """Write it. ``training.json`` comes last, so its presence means "complete". Raises `ConfigError`.

        Args:
            folder: of the run.
            old: the record there, if any. That of other files goes first: a killed process leaves no halves of two.
        """
        head = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(self), "digest": self.digest}
        del head["files"]
        lines = [json.dumps(dataclasses.asdict(file)) for file in self.files]
        try:
            if old is not None and old.digest != self.digest:
                (folder / RECORD).unlink(missing_ok=True)
            with replacing(folder / RECORDS / "data.jsonl") as out:
                out.writelines(f"{line}\n".encode() for line in lines)
            with replacing(folder / RECORD) as out:
                out.write(json.dumps(head, indent=1).encode() + b"\n")
        except OSError as error:
            raise unwritable(folder, error) from None

    def check(self, folder: Path, now: Record) -> None:
        """Refuse to continue this run with other files than it was begun with.

        Raises:
            ConfigError: the message names one of them.
        """
        if now.digest == self.digest:
            return
        began = f"{folder} holds a run that was begun with other data"
        if now.sample_rate != self.sample_rate:
            raise ConfigError(
                f"{began}: it was at {shown(self.sample_rate)} Hz and is at {now.sample_rate} Hz now; "
                "start in another folder"
            )
        new, gone = _besides(now.files, self.files), _besides(self.files, now.files)
        was = {file.sha256: file for file in reversed(gone)}
        for file in new:
            old = was.get(file.sha256)
            if old is not None and old.use != file.use:
                uses = {"train": "trained on", "validation": "held out for validation"}
                raise ConfigError(f"{began}: {file.path} was {uses[old.use]} and is {uses[file.use]} now; {_REMEDY}")
            if old is not None:
                raise ConfigError(
                    f"{began}: {file.path} had the kind {shown(old.kind)} and has {shown(file.kind)}; {_REMEDY}"
                )
        said = [f"{what} {one_line(files[0].path)}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
                for what, files in (("new is", new), ("missing is", gone)) if files]  # fmt: skip
        raise ConfigError(f"{began}: {' and '.join(said) or 'the same files came in another order'}; {_REMEDY}")


def _besides(files: Sequence[DataFile], others: Sequence[DataFile]) -> list[DataFile]:
    """Those of ``files`` that ``others`` lack, in order. A copy is a file of its own; that of another path is taken."""
    left, paths = Counter(file.key for file in others), {file.path for file in others}
    lacking = []
    for number in sorted(range(len(files)), key=lambda number: files[number].path not in paths):
        if left[files[number].key]:
            left[files[number].key] -= 1
        else:
            lacking.append(number)
    return [files[number] for number in sorted(lacking)]


def record_of(
    name: str, configuration: str, validation: str, weights: str | None, train: Corpus, held: Corpus | None
) -> Record:
    """The record of a run on the corpora ``train`` and, for validation, ``held``."""
    files = tuple(
        DataFile(use, clip.name, clip.kind, round(clip.length / corpus.sample_rate, 3), corpus.digest(clip))
        for use, corpus in (("train", train), ("validation", held))
        if corpus is not None
        for clip in corpus.clips
    )
    return Record(name, configuration, train.sample_rate, validation, weights, files)


def read(folder: Path) -> Record | None:
    """The record in ``folder``; None if there is none, as in one of an older version.

    Raises:
        ConfigError: it cannot be read, or is damaged.
    """
    if not (folder / RECORD).exists():
        return None
    with foreign_data(ConfigError, str(folder / RECORD), "start in another folder"):
        head = json.loads(_head(folder / RECORD))
        if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("version") != VERSION:
            raise ConfigError(f"{folder / RECORD} is no record of this version of streamrvq train; start elsewhere")
        files = tuple(_file(json.loads(line)) for line in text_of(folder / RECORDS / "data.jsonl").splitlines())
        names = [field.name for field in dataclasses.fields(Record) if field.name != "files"]
        for name in names:
            if not (name == "weights" and head[name] is None) and type(head[name]) is not _TYPES.get(name, str):
                raise TypeError(f"its {name} is {shown(head[name])}")
        record = Record(**{name: head[name] for name in names}, files=files)
        if record.digest != head["digest"]:
            raise ValueError("its digest is another than that of its files")
        return record


def _head(path: Path) -> bytes:
    try:
        return read_at_most(path, _LONGEST) or b"null"
    except OSError as error:
        raise ConfigError(f"cannot read {path} ({error.strerror or error}); start in another folder") from None


def _file(values: Any) -> DataFile:
    file = DataFile(**values)
    texts = (file.path, file.kind, file.sha256)
    if (
        not all(isinstance(text, str) for text in texts)
        or file.use not in ("train", "validation")
        or not is_weight(file.seconds)
    ):
        raise TypeError(f"a file is {shown(values)}")
    return file
