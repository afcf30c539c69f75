"""One shard, read lazily: the index of its rows first, and codes by row group when they are asked for.

Knows: Parquet, and that a signal's segments are consecutive rows. Does not know: other shards, time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from . import schema
from .signal import Signal


class Shard:
    """A shard's signals, by number. The file is open only while it is read, so a `Shard` can be pickled.

    Args:
        path: of the file.

    Raises:
        TokensError: at the first read: no such file, or one that is damaged, of another program or of a newer version.
        ExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[int, Any] | None = None  # the last row group that was read
        self._metadata: Any = None  # the file's footer, parsed

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_held": None, "_metadata": None}  # the other process reads them again

    @contextmanager
    def _open(self) -> Iterator[Any]:
        parquet, arrow = schema.parquet(), schema.arrow()
        try:
            with parquet.ParquetFile(self.path, metadata=self._metadata) as file:
                self._metadata = file.metadata
                yield file
        except (arrow.ArrowException, OSError) as error:
            raise TokensError(f"cannot read {self.path} ({error}); encode it again") from None

    @cached_property
    def _index(self) -> dict[str, Any]:
        """The columns `schema.INDEX`; ``starts``: the first row of each signal; ``groups``: of each row group."""
        with self._open() as file:
            self.about = schema.about_of(file.schema_arrow.metadata, self.path)
            if missing := set(schema.INDEX) - set(file.schema_arrow.names):
                raise TokensError(f"{self.path} lacks the columns {', '.join(sorted(missing))}; encode it again")
            table = file.read(columns=list(schema.INDEX))
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        text = ("path", "codec_hash")
        index = {name: table[name] if name in text else table[name].to_numpy() for name in schema.INDEX}
        index["starts"] = np.append(np.flatnonzero(index["segment"] == 0), table.num_rows)
        index["groups"] = np.cumsum([0, *sizes])
        return index

    def __len__(self) -> int:
        return len(self._index["starts"]) - 1

    @property
    def names(self) -> list[tuple[str, int]]:
        """The path and the channel of every signal."""
        index = self._index
        starts = index["starts"][:-1]
        return list(zip(index["path"].take(starts).to_pylist(), index["channel"][starts].tolist(), strict=True))

    def signal(self, number: int) -> Signal:
        """The signal of this number, from 0."""
        index = self._index
        first, stop = (int(row) for row in index["starts"][number : number + 2])
        whole = {name: int(index[name][first:stop].sum()) for name in ("num_samples", "frames")}
        same = {name: int(index[name][first])
                for name in ("channel", "source_rate", "n_quantizers", "sample_rate", "hop_length")}  # fmt: skip

        return Signal(
            path=index["path"][first].as_py(), codec_hash=index["codec_hash"][first].as_py(), **whole, **same,
            _fetch=partial(self._frames, first, stop),
        )  # fmt: skip

    def _frames(self, first: int, stop: int, start: int, end: int, levels: int) -> npt.NDArray[np.uint16]:
        """Frames ``start … end`` of the signal in rows ``first … stop``. Only rows that hold some of them are read."""
        begins = self._index["start_frame"][first:stop]
        parts = [np.zeros((levels, 0), np.uint16)]
        row = first + max(0, int(np.searchsorted(begins, start, "right")) - 1)
        while row < stop and (begin := int(begins[row - first])) < end:
            codes = self._row(row)[:levels]
            parts.append(codes[:, max(0, start - begin) : end - begin])
            row += 1
        return np.concatenate(parts, axis=1)

    def _row(self, row: int) -> npt.NDArray[np.uint16]:
        """The codes ``[K, T]`` of one row."""
        index = self._index
        group = int(np.searchsorted(index["groups"], row, "right")) - 1
        if self._held is None or self._held[0] != group:
            self._held = None  # one row group is held at a time
            with self._open() as file:
                self._held = group, file.read_row_group(group, columns=["codes"])["codes"].combine_chunks()
        codes = self._held[1][row - int(index["groups"][group])].values.to_numpy()
        shape = int(index["n_quantizers"][row]), int(index["frames"][row])
        if codes.size != shape[0] * shape[1]:
            raise TokensError(
                f"row {row} of {self.path} has {codes.size} codes; wanted {shape[0]} × {shape[1]}: damaged"
            )
        array: npt.NDArray[np.uint16] = codes.reshape(shape)
        return array
