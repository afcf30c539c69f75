"""A run's record: what it encodes and with what. A run is resumed with the same settings, or not at all, and with the
same sources or more. New sources get shards of their own.

In the run's folder, beside the shards, lies ``__run__``. Readers of whole folders skip names that begin with ``__``.

    run.json        settings, version of the package, the resampler's name, and the stages in which the plan grew
                    (plan_file.py); written last, so that what it says is there
    plan.jsonl      one line for each source: its shard, name, path, size when it was planned, further columns. Lines
                    beyond those that run.json counts are of a run that was killed while it grew, and count for nothing
    failed.jsonl    one line for each source that gave no row, and why; rewritten whenever a run ends
    passed_over.jsonl   one line for each file or column that the run passed over, and why
    lock            held by the process that runs

Knows: these files, and which shards are there. Does not know: how shards are made.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..audio.find import PassedOver
from ..errors import CorpusError, TokensError
from ..resampling import FORMER_RESAMPLER
from ..system.atomic_file import PART, replacing
from ..system.foreign_data import foreign_data, one_line
from ..system.names import absolute, check_path
from ..system.regular_file import read_at_most
from ..tokens.reader import shards_in
from ..tokens.shards import Shard as Rows
from .columns import check_added
from .lock import Lock
from .plan import Shard, divide
from .plan_file import (
    GROWN,
    VERSION,
    Stage,
    as_grown,
    check_digests,
    document_in,
    lines_of,
    next_stage,
    plan_lines,
    planned_shards,
    stages_of,
)
from .settings import Settings
from .shard import Failed, ShardSummary, verified_summary
from .sources import RECORDS, Source, names_files

FORMAT = "streamrvq.run"
#: Bytes of ``run.json``, whose settings and columns are all short, and of which each growth takes a hundred.
_LONGEST_RUN = 1 << 20
#: Versions of the package, before this one, that write the same rows: their runs go on.
_CONTINUED = ("0.1.0",)
#: The options of ``streamrvq encode`` that set what a run must keep.
_OPTIONS = {
    "channels": "--downmix and --each-channel set it", "truncated": "--truncated", "track": "--track",
    "pack": "--pack", "n_quantizers": "--n-quantizers", "tail": "--tail", "shard_bytes": "--shard-mib",
    "segment_frames": "--segment",
}  # fmt: skip


class Record:
    """The record of the run in ``folder``. A context manager that keeps other processes out of the folder.

    Attributes:
        shards: all planned shards, in the order of their numbers.
        done: summaries of the shards that are there already, by number.
        settings: of the run: those given, with the columns that the run has.
        added: how many sources are new to a run that was there.

    Raises:
        CorpusError: the folder cannot be written to, holds other shards, belongs to another run, or is in use. Or its
            shards hold what another resampler made. Or sources of the run are missing, or named otherwise, or new
            ones have columns that the run lacks.
        InputError: a bad shard size.
    """

    def __init__(
        self, folder: Path, settings: Settings, sources: Sequence[Source], package: str, shard_bytes: int | None,
        passed: Iterable[PassedOver] = (),
    ) -> None:  # fmt: skip
        self.folder, self._records, self._resampler = folder, folder / RECORDS, settings.resampler
        self._passed = {absolute(item.path) for item in passed}
        self.settings, self.added, self._sizes = settings, 0, {source.file: source.size for source in sources}
        self.shards, self._stages, self._lines = list[Shard](), list[Stage](), list[str]()
        head = {"format": FORMAT, "version": VERSION, "streamrvq": package, "settings": settings.recorded,
                "shard_bytes": shard_bytes}  # fmt: skip
        divide([], shard_bytes)  # which checks the size
        try:
            check_path(folder)
            self._records.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._records / "lock")
        except OSError as error:
            raise _unwritable(folder, error) from None
        try:
            if resumed := (self._records / "run.json").exists():
                head, sources = self._resume(head, sources)
            else:
                self._check_empty()
            self.done = {shard.number: verified_summary(folder / shard.name, shard)
                         for shard in self.shards if (folder / shard.name).exists()}  # fmt: skip
            if resumed:
                self._same_resampler()
                self.added = len(sources)
            if sources:
                self._add(head, sources)
            self.delete_partial()
        except OSError as error:
            self._lock.release()
            raise _unwritable(folder, error) from None
        except BaseException:
            self._lock.release()
            raise

    def _check_empty(self) -> None:
        if there := shards_in(self.folder):
            raise CorpusError(
                f"{self.folder} holds {there[0].name} but no record of a run ({RECORDS}/run.json); give an empty folder"
            )

    def _add(self, head: dict[str, Any], sources: Sequence[Source]) -> None:
        """Plan shards for sources that the run does not have yet."""
        added = divide(sources, head["shard_bytes"], len(self.shards))
        lines = [*self._lines, *plan_lines(added)]
        stages = [*self._stages, next_stage(head, self._stages, lines, len(self.shards) + len(added))]
        _put(self._records / "plan.jsonl", lines)
        self._put_document((self._document() if self._stages else head) | as_grown(stages))
        self.shards += [dataclasses.replace(shard, digest=stages[-1].digest) for shard in added]
        self._stages, self._lines = stages, lines

    def _put_document(self, document: dict[str, Any]) -> None:
        _put(self._records / "run.json", [json.dumps(document | {"resampler": self._resampler}, indent=2)])

    def _document(self) -> dict[str, Any]:
        return document_in(_text(self._records / "run.json", _LONGEST_RUN))

    def _resume(self, head: dict[str, Any], sources: Sequence[Source]) -> tuple[dict[str, Any], list[Source]]:
        """Take up the run that is there. Gives what it records, and the sources that are new to it."""
        with foreign_data(CorpusError, f"the record in {self._records}", "begin again in a new folder"):
            recorded = self._document()
            if recorded["version"] not in (VERSION, GROWN):
                raise CorpusError(
                    f"the run in {self.folder} has a record of version {one_line(repr(recorded['version']), 40)}; this "
                    f"streamrvq reads {VERSION} and {GROWN}: update it, or give a new folder"
                )
            self._stages = stages_of(recorded)
            self._lines = lines_of(_text(self._records / "plan.jsonl", None))[: self._stages[-1].sources]
            began = {name: recorded[name] for name in head}
            if recorded["format"] != FORMAT or not check_digests(began, self._stages, self._lines):
                raise CorpusError(
                    f"the record in {self._records} is damaged: its digest is another; begin again in a new folder"
                )
            self.shards = planned_shards(self._lines, self._stages)
            self._agree(head, recorded)
            self.settings = self.settings.with_columns(began["settings"].get("columns", {}))
        return began, self._new(sources)

    def _agree(self, head: dict[str, Any], recorded: dict[str, Any]) -> None:
        for name in ("version", "streamrvq", "shard_bytes", "settings"):
            came, began = {name: head[name]}, {name: recorded[name]}
            if (name == "version" and began[name] == GROWN) or (name == "streamrvq" and began[name] in _CONTINUED):
                continue
            if name == "settings":
                if not isinstance(recorded[name], dict):
                    raise ValueError(f"settings {one_line(recorded[name], 40)}")
                usual = {"pack": False, "truncated": "refuse"}
                came, began = (usual | values for values in (head[name], recorded[name]))
            for key in sorted({*came, *began} - {"columns"}):
                if came.get(key) != began.get(key):
                    raise CorpusError(
                        f"the run in {self.folder} was begun with {one_line(key, 40)} "
                        f"{one_line(repr(began.get(key)), 80)}, and this is "
                        f"{came.get(key)!r}{_option(key)}; use the same again, or give a new folder"
                    )

    def _same_resampler(self) -> None:
        """Refuse to mix what two resamplers made. A run whose shards hold nothing resampled goes on with this one.

        The digest does not cover the name, so that a run of version 0.1.0, which has none, can go on.
        """
        with foreign_data(CorpusError, f"the record in {self._records}", "begin again in a new folder"):
            document = self._document()
            began = document.get("resampler", FORMER_RESAMPLER)
            for shard in (shard for shard in self.shards if shard.number in self.done):
                try:
                    made = Rows(self.folder / shard.name).resampler
                except TokensError as error:
                    raise CorpusError(f"{error}: move it away and run the same command again") from None
                if made is None:
                    continue
                if other := next((name for name in (made, began) if name != self._resampler), None):
                    raise CorpusError(
                        f"the run in {self.folder} was begun with the resampler {one_line(other, 40)}, and "
                        f"{shard.name} holds what it made; this streamrvq resamples with {self._resampler}, which "
                        "gives other codes: give a new folder, or go on with the version that began the run"
                    )
            if began != self._resampler:
                self._put_document(document)

    def _new(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that the run does not have. Those that it has must all be there, as they were."""
        began = {source.file: source for shard in self.shards for source in shard.sources}
        came = {source.file: source for source in sources}
        # Folders and manifests that were missing were planned as files. What is passed over now was a source of older
        # versions: a Mac's sidecars, links to nothing.
        self._passed |= {file for file in began.keys() - came.keys() if names_files(file)}
        if lacking := [began[file].path for file in began.keys() - came.keys() - self._passed]:
            raise CorpusError(
                f"the run in {self.folder} was begun with other sources: this one lacks {len(lacking)} of them, such "
                f"as {one_line(min(lacking))}; name all of them again, with new ones beside them, or give a new folder"
            )
        check_added(dict(self.settings.columns), [(source.path, source.columns) for source in sources])
        for file, source in ((file, source) for file, source in began.items() if file in came):
            if came[file].path != source.path:
                raise CorpusError(
                    f"the run in {self.folder} was begun with {one_line(source.path)}, which is "
                    f"{one_line(came[file].path)} now; name it as it was, or give a new folder"
                )
            if _values(came[file]) != _values(source):
                raise CorpusError(
                    f"the columns of {one_line(source.path)} are others than when the run in {self.folder} took it in, "
                    "and rows that are there stay as they are; give the manifest as it was, or a new folder"
                )
        return [source for source in sources if source.file not in began]

    def changed(self, kept: Mapping[int, ShardSummary]) -> tuple[str, ...]:
        """Names of sources with rows in the shards that are ``kept``, by number, whose file is gone or has another
        size than then. What failed has no rows, and a shard that is written again takes each file as it is now."""
        failed = {failure.path for summary in kept.values() for failure in summary.failed}
        sizes = {number: dict(summary.sizes) for number, summary in kept.items()}
        return tuple(
            source.path for shard in self.shards if shard.number in kept for number, source in enumerate(shard.sources)
            if source.path not in failed
            and self._sizes.get(source.file) != sizes[shard.number].get(number, source.size)
        )  # fmt: skip

    def delete_partial(self) -> None:
        """Delete the partial files that killed processes left behind."""
        for part in (*self.folder.glob(f".shard-*{PART}"), *self._records.glob(f".*{PART}")):
            part.unlink(missing_ok=True)

    def passed_over(self, passed: Iterable[PassedOver]) -> None:
        """Write ``passed_over.jsonl``.

        Raises:
            CorpusError: it cannot be written.
        """
        self._write("passed_over.jsonl", passed)

    def failures(self, summaries: Iterable[ShardSummary]) -> tuple[Failed, ...]:
        """Write ``failed.jsonl``, and give what is in it. Raises `CorpusError` if it cannot be written."""
        left = {source.path for shard in self.shards for source in shard.sources if source.file in self._passed}
        failed = tuple(item for summary in summaries for item in summary.failed if item.path not in left)
        self._write("failed.jsonl", failed)
        return failed

    def _write(self, name: str, items: Iterable[Failed | PassedOver]) -> None:
        try:
            _put(self._records / name, [json.dumps(dataclasses.asdict(item)) for item in items])
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _values(source: Source) -> str:
    return json.dumps({name: value for name, value in source.columns if value is not None})


def _text(path: Path, most: int | None) -> str:
    """A file of the record. Raises `ValueError` if it is longer than ``most`` bytes, or is not UTF-8."""
    data = read_at_most(path, path.stat().st_size if most is None else most)
    if data is None:
        raise ValueError(f"{path.name} is too long")
    return data.decode("utf-8")


def _put(path: Path, lines: Sequence[str]) -> None:
    with replacing(path) as file:
        file.writelines(f"{line}\n".encode() for line in lines)


def _unwritable(folder: Path, error: OSError) -> CorpusError:
    where = f"{os.fspath(error.filename or folder)}"
    return CorpusError(f"cannot write {where} ({error.strerror or error}); give a folder that may be written to")


def _option(key: str) -> str:
    """The words that name a setting's options in the shell; empty if it has none."""
    return f" ({_OPTIONS[key]})" if key in _OPTIONS else ""
