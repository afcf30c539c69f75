"""One shard, read lazily: the index of its rows first, and codes by row group when they are asked for.

Knows: Parquet, and that a signal's segments are consecutive rows. Does not know: other shards, time, what rows may hold
(shard_index.py).
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from ..system.copying import forked_whole
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import check_regular
from . import schema
from .footer import RowGroup, row_groups
from .further import Value, further_columns, read_further
from .limits import MOST_CODE
from .packing import packed_size, unpack
from .shard_index import TEXT, ShardIndex, check_columns, read_index
from .signal import Signal

#: Row groups that are held at a time of all shards that are read together: 2 MB each as a run writes them.
MOST_HELD = 8


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """The codes of a row group: those of row ``i`` of it are ``codes[ends[i] : ends[i + 1]]``."""

    number: int
    ends: npt.NDArray[np.integer]
    codes: npt.NDArray[np.uint16]
    checked: npt.NDArray[np.bool_]  # rows whose checksum was found right


class LastRead:
    """The shards that were read last. Others hold no row group, so memory does not grow with the number of shards."""

    def __init__(self) -> None:
        self._shards: deque[Shard] = deque()

    def __reduce__(self) -> tuple[Any, ...]:
        return LastRead, ()  # a copy's shards hold nothing

    def add(self, shard: Shard) -> None:
        """A shard has read a row group. Threads may come at once: none of them needs what another lets go."""
        with suppress(ValueError):
            self._shards.remove(shard)  # it is the last one now, however often it is read
        self._shards.append(shard)
        with suppress(IndexError):  # another thread took it
            while len(self._shards) > MOST_HELD:
                self._shards.popleft().let_go()


@forked_whole
class Shard:
    """A shard's signals, by number. The file is open only while it is read, so a `Shard` can be pickled.

    Args:
        path: of the file.
        last: of the shards that it is read together with.

    Raises:
        TokensError: at the first read: no such file, or one that is damaged, of another program or of a newer version.
        ExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path, last: LastRead | None = None) -> None:
        self.path, self._last = path, LastRead() if last is None else last
        self._held: _Group | None = None  # the last row group that was read
        self._values: tuple[int, list[dict[str, Value]]] | None = None  # further columns of the last row group
        self._metadata: Any = None  # the file's footer, parsed

    def __repr__(self) -> str:
        known = f"{len(self)} signals, " if "_index" in self.__dict__ else ""
        return f"<Shard: {known}{self.path}>"

    def __getstate__(self) -> dict[str, Any]:
        # the other process reads the rest again
        return {"path": self.path, "_last": self._last, "_held": None, "_values": None, "_metadata": None}

    def let_go(self) -> None:
        """Hold no row group. What is asked for next is read again."""
        self._held = self._values = None

    @contextmanager
    def _open(self, what: str, **options: Any) -> Iterator[Any]:
        parquet, arrow = schema.parquet(), schema.arrow()
        with foreign_data(TokensError, f"{what}{self.path}", "encode it again"):
            try:
                check_regular(self.path)
                with parquet.ParquetFile(self.path, metadata=self._metadata, **options) as file:
                    self._metadata = file.metadata
                    yield file
            except (arrow.ArrowException, OSError) as error:
                raise TokensError(f"cannot read {what}{self.path} ({one_line(error)}); encode it again") from None

    @cached_property
    def _index(self) -> ShardIndex:
        with self._open("") as file:
            self.about = schema.about_of(file.schema_arrow.metadata, self.path)
            check_columns(file.schema_arrow, self.path, self.about["bits"])
        with self._open("", read_dictionary=TEXT) as file:  # a path that many rows share is held once
            return read_index(file, self.path, self.about["bits"])

    def __len__(self) -> int:
        return len(self._index.starts) - 1

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._index.starts[-1])

    @property
    def frames(self) -> int:
        """T of all rows together."""
        return int(self._index.numbers["frames"].sum())

    @property
    def resampler(self) -> str | None:
        """What brought signals to the codec's rate. None: all signals came at that rate."""
        numbers = self._index.numbers
        if np.array_equal(numbers["source_rate"], numbers["sample_rate"]):
            return None
        return self._resampler

    @property
    def _resampler(self) -> str:
        return schema.resampler_of(self._metadata.metadata, self.path)

    @property
    def names(self) -> list[tuple[str, int]]:
        """The path and the channel of every signal."""
        index = self._index
        starts = index.starts[:-1]
        channels = index.numbers["channel"][starts].tolist()
        return list(zip(index.text["path"].take(starts).to_pylist(), channels, strict=True))

    def signal(self, number: int) -> Signal:
        """The signal of this number, from 0."""
        index = self._index
        first, stop = (int(row) for row in index.starts[number : number + 2])
        whole = {name: int(index.numbers[name][first:stop].sum()) for name in ("num_samples", "frames")}
        same = {name: int(index.numbers[name][first])
                for name in ("channel", "source_rate", "n_quantizers", "sample_rate", "hop_length")}  # fmt: skip
        path, codec_hash = (index.text[name][first].as_py() for name in TEXT)

        return Signal(
            path=path, codec_hash=codec_hash, codec=str(self.about["codec"]), **whole, **same,
            trained=self.about.get("trained") is not False,
            resampler=self._resampler if same["source_rate"] != same["sample_rate"] else None,
            _fetch=partial(self._frames, first, stop), _further=partial(self._further, first),
            _place=(str(self.path), number),
        )  # fmt: skip

    @cached_property
    def columns(self) -> dict[str, bool]:
        """Further columns, by name: whether it is text."""
        self._index  # noqa: B018  which checks the file
        with self._open("") as file:
            return further_columns(file.schema_arrow)

    @cached_property
    def _claims(self) -> dict[str, list[RowGroup]]:
        """What the footer says of the further columns."""
        return row_groups(self.path, *self.columns) if self.columns else {}

    def _further(self, row: int) -> dict[str, Value]:
        """The further columns of a row."""
        group = int(np.searchsorted(self._index.groups, row, "right")) - 1
        held = self._values
        if held is None or held[0] != group:
            texts = [name for name, text in self.columns.items() if text]
            with self._open(f"row {row} of ", read_dictionary=texts) as file:
                held = self._values = group, read_further(file, self.path, group, self._claims)
            self._last.add(self)
        return dict(held[1][row - int(self._index.groups[group])])

    def verify(self) -> None:
        """Read all codes and compare them with their checksums. Without checksums only the index is read.

        Raises:
            TokensError: the file is damaged. The message names it and the row.
        """
        if self._index.checksums is not None:
            for row in range(self.rows):
                self._row(row)

    def _frames(self, first: int, stop: int, start: int, end: int, levels: int) -> npt.NDArray[np.uint16]:
        """Frames ``start … end`` of the signal in rows ``first … stop``. Only rows that hold some of them are read."""
        begins = self._index.numbers["start_frame"][first:stop]
        parts = [np.zeros((levels, 0), np.uint16)]
        row = first + max(0, int(np.searchsorted(begins, start, "right")) - 1)
        while row < stop and (begin := int(begins[row - first])) < end:
            codes = self._row(row)[:levels]
            parts.append(codes[:, max(0, start - begin) : end - begin])
            row += 1
        return np.concatenate(parts, axis=1)

    def _row(self, row: int) -> npt.NDArray[np.uint16]:
        """The codes ``[K, T]`` of one row, checked."""
        index = self._index
        group = int(np.searchsorted(index.groups, row, "right")) - 1
        held = self._held  # once: another thread may read another row meanwhile
        if held is None or held.number != group:
            held = self._held = None  # one row group is held at a time
            held = self._held = self._read_group(group, row)
            self._last.add(self)
        first = int(index.groups[group])
        levels, frames = (int(index.numbers[name][row]) for name in ("n_quantizers", "frames"))
        begin, end = (int(at) for at in held.ends[row - first : row - first + 2])
        if end - begin != levels * frames:
            raise TokensError(
                f"row {row} of {self.path} has {end - begin} codes; wanted {levels} × {frames}: encode it again"
            )
        codes = held.codes[begin:end]
        if index.checksums is not None and not held.checked[row - first]:
            if schema.checksum(codes) != index.checksums[row]:
                raise TokensError(
                    f"row {row} of {self.path} holds other codes than were written: their checksum is another; it is "
                    "damaged, encode it again"
                )
            held.checked[row - first] = True
        return codes.reshape(levels, frames)

    def _read_group(self, group: int, row: int) -> _Group:
        """A row group, read because ``row`` was asked for."""
        sizes = self._index.sizes(group)
        with self._open(f"row {row} of ") as file:
            self._index.check_pages(group, self.path)
            bits, name = self._index.bits, schema.PACKED if self._index.bits else "codes"
            rows = file.read_row_group(group, columns=[name])[name].combine_chunks()
            if len(rows) != len(sizes) or rows.null_count or (not bits and rows.values.null_count):
                raise TokensError(f"row {row} of {self.path}: codes are missing in its group; encode it again")
            if bits:
                ends, codes = np.cumsum([0, *sizes]), self._unpacked(rows, sizes, bits)
            else:
                ends, codes = rows.offsets.to_numpy(), rows.values.to_numpy()
            if codes.dtype != np.uint16 and codes.size and not (codes.min() >= 0 and codes.max() <= MOST_CODE):
                raise TokensError(f"row {row} of {self.path}: codes are not 0 to {MOST_CODE}; encode it again")
            return _Group(group, ends, codes.astype(np.uint16, copy=False), np.zeros(len(sizes), np.bool_))

    def _unpacked(self, rows: Any, sizes: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.uint16]:
        """All codes of a row group whose rows are bits."""
        parts = [np.zeros(0, np.uint16)]
        for packed, size in zip(rows, sizes.tolist(), strict=True):
            data = np.frombuffer(packed.as_buffer(), np.uint8)
            if len(data) != packed_size(size, bits):
                raise TokensError(f"{self.path} has {len(data)} bytes for {size} codes of {bits} bits; encode it again")
            parts.append(unpack(data, size, bits))
        return np.concatenate(parts)
