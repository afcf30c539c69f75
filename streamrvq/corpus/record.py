"""A run's record: what it encodes and with what. A run is resumed with the same sources and settings, or not at all.

In the run's folder, beside the shards, lies ``__run__``. Readers of whole folders skip names that begin with ``__``.

    run.json        settings, version of the package, the resampler's name, the plan's digest; written last, so its
                    presence means "complete"
    plan.jsonl      one line for each source: its shard, name, path and size when the run began
    failed.jsonl    one line for each source that gave no row, and why; rewritten whenever a run ends
    lock            held by the process that runs

Knows: these files, and which shards are there. Does not know: how shards are made.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import CorpusError, TokensError
from ..resampling import FORMER_RESAMPLER
from ..system.atomic_file import PART, replacing
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import read_at_most
from ..tokens.shards import Shard as Rows
from .lock import Lock
from .plan import Shard, divide
from .settings import Settings
from .shard import ShardSummary, verified_summary
from .sources import Source

FORMAT, VERSION = "streamrvq.run", 1
#: Bytes of ``run.json``, whose settings are all short.
_LONGEST_RUN = 1 << 20
#: Characters of a line of the plan: at least its four keys, at most two long paths.
_SHORTEST_LINE, _LONGEST_LINE = 40, 1 << 20


class Record:
    """The record of the run in ``folder``. A context manager that keeps other processes out of the folder.

    Attributes:
        shards: all planned shards, in the order of their numbers.
        digest: of the plan and the settings. The run's shards carry it.
        done: summaries of the shards that are there already, by number.

    Raises:
        CorpusError: the folder cannot be written to, holds other shards, belongs to another run, or is in use. Or its
            shards hold what another resampler made.
        InputError: a bad shard size.
    """

    def __init__(
        self, folder: Path, settings: Settings, sources: Sequence[Source], package: str, shard_bytes: int | None
    ) -> None:
        self.folder, self._records, self._resampler = folder, folder / "__run__", settings.resampler
        head = {"format": FORMAT, "version": VERSION, "streamrvq": package, "settings": settings.recorded,
                "shard_bytes": shard_bytes}  # fmt: skip
        planned = divide(sources, shard_bytes)
        try:
            self._records.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self._records / "lock")
        except OSError as error:
            raise _unwritable(folder, error) from None
        try:
            if (self._records / "run.json").exists():
                self.shards, self.digest = self._resume(head, sources)
            else:
                self.shards, self.digest = self._begin(head, planned)
            self.done = {shard.number: verified_summary(folder / shard.name, shard, self.digest)
                         for shard in self.shards if (folder / shard.name).exists()}  # fmt: skip
            self._same_resampler()
            self.sweep()
        except OSError as error:
            self._lock.release()
            raise _unwritable(folder, error) from None
        except BaseException:
            self._lock.release()
            raise

    def _begin(self, head: dict[str, Any], shards: list[Shard]) -> tuple[list[Shard], str]:
        there = sorted(path.name for path in self.folder.glob("*.parquet"))
        if there:
            raise CorpusError(
                f"{self.folder} holds {there[0]} but no record of a run (__run__/run.json); give an empty folder"
            )
        lines = _plan_lines(shards)
        digest = _digest(head, lines)
        _put(self._records / "plan.jsonl", lines)
        document = head | {"shards": len(shards), "sources": sum(len(s.sources) for s in shards), "digest": digest}
        self._put_document(document)
        return shards, digest

    def _put_document(self, document: dict[str, Any]) -> None:
        _put(self._records / "run.json", [json.dumps(document | {"resampler": self._resampler}, indent=2)])

    def _document(self) -> dict[str, Any]:
        document = json.loads(_text(self._records / "run.json", _LONGEST_RUN))
        if not isinstance(document, dict):
            raise ValueError(f"it holds {one_line(document, 40)}")
        return document

    def _resume(self, head: dict[str, Any], sources: Sequence[Source]) -> tuple[list[Shard], str]:
        with foreign_data(CorpusError, f"the record in {self._records}", "begin again in a new folder"):
            recorded = self._document()
            lines = _lines(_text(self._records / "plan.jsonl", None))
            digest = _digest({name: recorded[name] for name in head}, lines)
            if recorded["format"] != FORMAT or digest != recorded["digest"]:
                raise CorpusError(
                    f"the record in {self._records} is damaged: its digest is another; begin again in a new folder"
                )
            shards = _shards(lines, recorded["shards"])
            self._agree(head, recorded)
        self._same_sources(shards, sources)
        return shards, recorded["digest"]

    def _agree(self, head: dict[str, Any], recorded: dict[str, Any]) -> None:
        for name in ("version", "streamrvq", "shard_bytes", "settings"):
            came, began = {name: head[name]}, {name: recorded[name]}
            if name == "settings":
                came, began = head[name], recorded[name]
                if not isinstance(began, dict):
                    raise ValueError(f"settings {one_line(began, 40)}")
            for key in sorted({*came, *began}):
                if came.get(key) != began.get(key):
                    raise CorpusError(
                        f"the run in {self.folder} was begun with {one_line(key, 40)} "
                        f"{one_line(repr(began.get(key)), 80)}, and this is "
                        f"{came.get(key)!r}; use the same again, or give a new folder"
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

    def _same_sources(self, shards: list[Shard], sources: Sequence[Source]) -> None:
        began = {(source.path, source.file) for shard in shards for source in shard.sources}
        came = {(source.path, source.file) for source in sources}
        for what, some in (("has", came - began), ("lacks", began - came)):
            if some:
                first = one_line(min(some)[0])
                raise CorpusError(
                    f"the run in {self.folder} was begun with other sources: this one {what} {len(some)} more, such as "
                    f"{first}; use the same sources again, and give new ones a new folder"
                )

    def sweep(self) -> None:
        """Delete the partial shards that killed workers left behind."""
        for part in self.folder.glob(f".shard-*{PART}"):
            part.unlink(missing_ok=True)

    def failures(self, summaries: Iterable[ShardSummary]) -> None:
        """Write ``failed.jsonl``.

        Raises:
            CorpusError: it cannot be written.
        """
        failed = [dataclasses.asdict(item) for summary in summaries for item in summary.failed]
        try:
            _put(self._records / "failed.jsonl", [json.dumps(item) for item in failed])
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _plan_lines(shards: Sequence[Shard]) -> list[str]:
    return [
        json.dumps({"shard": shard.number, "path": source.path, "file": source.file, "bytes": source.size})
        for shard in shards
        for source in shard.sources
    ]


def _shards(lines: Sequence[str], count: Any) -> list[Shard]:
    """The planned shards. Raises `ValueError`, `KeyError` or `TypeError` if the lines are not those of a plan."""
    if type(count) is not int or not 0 <= count <= len(lines):  # a shard has at least one source
        raise ValueError(f"{one_line(count, 40)} shards of {len(lines)} sources")
    groups: list[list[Source]] = [[] for _ in range(count)]
    for line in lines:
        item = json.loads(line)
        source = Source(item["path"], item["file"], item["bytes"])
        if not (isinstance(source.path, str) and isinstance(source.file, str) and type(source.size) is int):
            raise ValueError(f"a source {one_line(line, 80)}")
        if type(item["shard"]) is not int or not 0 <= item["shard"] < count or not 0 <= source.size < 2**63:
            raise ValueError(f"a source {one_line(line, 80)}")
        groups[item["shard"]].append(source)
    return [Shard(number, count, tuple(group)) for number, group in enumerate(groups)]


def _digest(head: dict[str, Any], lines: Sequence[str]) -> str:
    text = "\n".join([json.dumps(head, sort_keys=True), *lines])
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path, most: int | None) -> str:
    """A file of the record. Raises `ValueError` if it is longer than ``most`` bytes, or is not UTF-8."""
    data = read_at_most(path, path.stat().st_size if most is None else most)
    if data is None:
        raise ValueError(f"{path.name} is too long")
    return data.decode("utf-8")


def _lines(text: str) -> list[str]:
    """The lines of a plan. Raises `ValueError` for many empty ones, or a long one: parsed, they take far more room."""
    if text.count("\n") * _SHORTEST_LINE > len(text):
        raise ValueError("lines of the plan are empty")
    lines = text.splitlines()
    if max(map(len, lines), default=0) > _LONGEST_LINE:
        raise ValueError(f"a line of the plan has more than {_LONGEST_LINE} characters")
    return lines


def _put(path: Path, lines: Sequence[str]) -> None:
    with replacing(path) as file:
        file.writelines(f"{line}\n".encode() for line in lines)


def _unwritable(folder: Path, error: OSError) -> CorpusError:
    where = f"{os.fspath(error.filename or folder)}"
    return CorpusError(f"cannot write {where} ({error.strerror or error}); give a folder that may be written to")
