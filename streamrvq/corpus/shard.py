"""One shard: from its sources to a file that is there whole or not at all.

The shard itself records what it holds and which of its sources failed. A run commits nothing else, so no crash can
separate rows from their record. The bytes depend on the plan and the settings, not on who wrote them.

Knows: Parquet, and that a source is taken whole or not at all. Does not know: other shards, workers, which shards are
wanted.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorpusError, TokensError
from ..system.atomic_file import replacing, sync_folder
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import check_regular
from ..tokens import schema
from ..tokens.further import Value
from ..tokens.packing import bits_of, pack
from ..tokens.shards import Shard as Rows
from .encode_sources import Encoded, unwritable, writing_to
from .encoding.reading import of_a_handler
from .plan import Shard
from .progress import Reports
from .rows import Row, columns
from .settings import Settings
from .sources import Source

#: Codes that are written at a time: 2 MB, 20 minutes with 9 codebooks. Readers hold the same amount.
ROW_GROUP = 1 << 20

#: Bytes of a shard's summary as it is read, and of each source that failed: its path and an error that names it. A
#: path may be longer in a manifest than any that is opened; JSON has at most 12 bytes for a character.
_MOST_SUMMARY, _MOST_FAILED, _MOST_CHARACTER = 1 << 20, 1 << 15, 12


_MOST_WARNING = 2000  #: characters

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Failed:
    """A source that gave no row, and why."""

    path: str
    error: str


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What a shard holds.

    Attributes:
        number: of the shard.
        digest: of the run: its settings, and its plan up to this shard's.
        sources: how many were planned.
        rows, frames: how many were written.
        seconds: of audio in the rows.
        failed: the sources that gave no row.
        sizes: sources with rows whose file had another size than in the plan, such as one that failed at first and was
            mended: their numbers in the shard, and the sizes.
    """

    number: int
    digest: str
    sources: int
    rows: int
    frames: int
    seconds: float
    failed: tuple[Failed, ...]
    sizes: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> str:
        values = dataclasses.asdict(self)
        if not self.sizes:  # version 0.1.0 did not know them
            del values["sizes"]
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str | bytes) -> ShardSummary:
        """The inverse of `to_json`. Raises `ValueError`, `KeyError` or `TypeError` for another text."""
        values = json.loads(text)
        counts = [values[name] for name in ("number", "sources", "rows", "frames")]
        if not all(type(count) is int and 0 <= count < 2**63 for count in counts):
            raise ValueError("a count in its summary is no whole number")
        seconds = values["seconds"]
        if type(seconds) not in (int, float) or not 0 <= seconds < 2**53:
            raise ValueError("the seconds in its summary are no number")
        failed = tuple(Failed(**item) for item in values.pop("failed"))
        if any(not isinstance(text, str) for item in failed for text in (item.path, item.error)):
            raise ValueError("a failure in its summary is no text")
        sizes = tuple((number, size) for number, size in values.pop("sizes", ()))
        if any(type(count) is not int or not 0 <= count < 2**63 for both in sizes for count in both):
            raise ValueError("a size in its summary is no whole number")
        return cls(**values, failed=failed, sizes=sizes)


def write_shard(
    folder: Path, shard: Shard, encoded: Iterable[Encoded], settings: Settings, reports: Reports
) -> ShardSummary:
    """Put a shard into ``folder``. One that is there already, to be written again for what failed in it, is left as it
    is if a file that has rows in it cannot be read any more.

    Args:
        folder: of the run.
        shard: the shard.
        encoded: what `encode_sources` gives for each of its sources, in order.
        settings: of the run.
        reports: the progress that ``encoded`` reports.

    Returns:
        The summary of the shard that is there now.

    Raises:
        CorpusError: the shard cannot be written there; nothing of it is left.
        BaseException: what ``reports`` or the handler of a signal raised; nothing of it is left.
    """
    path = folder / shard.name
    before = read_summary(path, shard) if path.exists() else None
    try:
        with replacing(path) as file, _Writer(file, settings) as writer:
            failed, sizes = list[Failed](), list[tuple[int, int]]()
            for number, (source, held, error) in enumerate(encoded):  # every source, in order
                if error is not None:
                    failed.append(Failed(source.path, " ".join(str(error).split())))
                    continue
                if (size := _size(source)) != source.size:
                    sizes.append((number, size))
                with writing_to(folder):
                    for row in held.rows():
                        writer.add(row, dict(source.columns))
            summary = ShardSummary(
                shard.number, shard.digest, len(shard.sources), *writer.counts, tuple(failed), tuple(sizes)
            )
            if before is not None:
                _check_kept(before, summary)
            writer.close(summary)
        sync_folder(folder)
    except _Lost as lost:
        assert before is not None
        _log.warning("streamrvq: %s stays as it is: it has rows of %s", path, one_line(lost, _MOST_WARNING))
        return before
    except OSError as error:
        if error is reports.raised or of_a_handler(error):
            raise
        raise unwritable(path, error) from None
    return summary


class _Lost(Exception):
    """A shard that is there would lose rows."""


def _check_kept(before: ShardSummary, after: ShardSummary) -> None:
    """Raise `_Lost` if a source has rows before and none after."""
    failed = {failure.path for failure in before.failed}
    for failure in after.failed:
        if failure.path not in failed:
            raise _Lost(f"{failure.path}, which cannot be read any more ({failure.error})")


class _Writer:
    """Collects rows into row groups and writes each one when it is full."""

    def __init__(self, file: Any, settings: Settings) -> None:
        self._pa, self._settings, self._file = schema.arrow(), settings, file
        self._schema = schema.schema(settings.about, settings.columns, settings.pack)
        # With a dictionary a code takes only the bits that it needs. The few other columns compress to almost nothing.
        # Packed codes have their bits already, and no two rows are alike.
        names = [name for name in self._schema.names if name != schema.PACKED]
        self._writer = schema.parquet().ParquetWriter(
            file, self._schema, compression="zstd", use_dictionary=names if settings.pack else True
        )
        self._rows: list[Row] = []
        self._further: list[dict[str, Value]] = []
        self._checksums: list[int] = []
        self._held = self._count = self._frames = self._largest = 0
        self._seconds = 0.0
        self._resampled = False

    @property
    def counts(self) -> tuple[int, int, float]:
        """Rows, frames and seconds so far."""
        return self._count, self._frames, self._seconds

    def add(self, row: Row, further: dict[str, Value]) -> None:
        self._rows.append(row)
        self._further.append(further)
        self._checksums.append(schema.checksum(row.codes))
        self._held += row.codes.size + sum(len(value) for value in further.values() if isinstance(value, str))
        self._count += 1
        self._frames += row.codes.shape[1]
        self._seconds += row.num_samples / row.source_rate
        self._resampled |= row.source_rate != self._settings.sample_rate
        if self._held >= ROW_GROUP:
            self._write()

    def _write(self) -> None:
        pa, rows = self._pa, self._rows
        if self._settings.pack:
            bits = bits_of(self._settings.codebook_size)
            codes = pa.array([pack(row.codes, bits) for row in rows], pa.binary())
        else:
            ends = np.cumsum([0, *(row.codes.size for row in rows)], dtype=np.int32)
            values = np.concatenate([np.zeros(0, np.uint16), *(row.codes.ravel() for row in rows)])
            codes = pa.ListArray.from_arrays(pa.array(ends), pa.array(values))
        name = schema.PACKED if self._settings.pack else "codes"
        values_of = {
            **columns(rows, self._settings),
            **{name: [further.get(name) for further in self._further] for name, _ in self._settings.columns},
        }
        arrays = [codes if field.name == name else pa.array(values_of[field.name], field.type)
                  for field in self._schema]  # fmt: skip
        self._largest = max(self._largest, sum(row.codes.size for row in rows))
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows, self._further, self._held = [], [], 0

    def close(self, summary: ShardSummary) -> None:
        if self._rows:
            self._write()
        checksums = schema.checksums_text(self._checksums)
        metadata = {schema.SHARD_KEY: summary.to_json(), schema.CHECKSUMS_KEY: checksums}
        if self._resampled:
            metadata[schema.RESAMPLER_KEY] = self._settings.resampler
        if filling := schema.filling(self._largest, self._file.tell()):
            metadata[schema.FILLING_KEY] = filling
        self._writer.add_key_value_metadata(metadata)
        self._writer.close()

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # an open writer would try to write its footer when it is garbage-collected
            with suppress(Exception):
                self._writer.close()


def _size(source: Source) -> int:
    """Bytes of a source's file as it is now; as it was planned, if it is gone since it was read."""
    try:
        return os.stat(source.file).st_size
    except OSError:
        return source.size


def read_summary(path: Path, shard: Shard) -> ShardSummary:
    """The summary that a shard's file carries.

    Raises:
        CorpusError: the file is damaged, or belongs to another run.
    """
    remedy = "move it away and run the same command again"
    with foreign_data(CorpusError, f"{path}", remedy):
        try:
            check_regular(path)
            metadata = schema.parquet().read_metadata(path).metadata or {}
            text = metadata[schema.SHARD_KEY]
            names = sum(len(source.path) for source in shard.sources)
            if len(text) > _MOST_SUMMARY + _MOST_FAILED * len(shard.sources) + _MOST_CHARACTER * names:
                raise ValueError(f"a summary of {len(text)} bytes")
            summary = ShardSummary.from_json(text)
            if (summary.number, summary.digest) != (shard.number, shard.digest):
                raise ValueError("it is of another run")
        except FileNotFoundError:
            raise CorpusError(
                f"{path} is gone since it was written; leave the folder to the run, and run the same command again"
            ) from None
        except (schema.arrow().ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
            raise CorpusError(f"{path} is no whole shard of this run ({one_line(error)}); {remedy}") from None
    return summary


def verified_summary(path: Path, shard: Shard) -> ShardSummary:
    """`read_summary` of a shard whose rows and codes are what was written: their checksums are compared.

    Raises:
        CorpusError: the file is damaged, or belongs to another run.
    """
    summary, rows = read_summary(path, shard), Rows(path)
    try:
        rows.verify()
        if (rows.rows, rows.frames) != (summary.rows, summary.frames):
            raise TokensError(f"{path} has {rows.rows} rows of {rows.frames} frames, and says {summary.rows}")
    except TokensError as error:
        raise CorpusError(f"{error}: move {path} away and run the same command again") from None
    return summary
