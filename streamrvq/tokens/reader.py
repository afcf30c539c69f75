"""Many signals as one sequence: shards and single token files, opened by name, read when they are asked for.

Knows: which files there are, and how signals are numbered and found. Does not know: Parquet (shards.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from .file import read_part
from .shards import Shard
from .signal import Signal

#: How a shard's file is named (corpus/plan.py).
_SHARD = re.compile(r"shard-(\d{5,})-of-(\d{5,})\.parquet")

Place = str | os.PathLike[str]


def open_tokens(places: Place | Sequence[Place], partial: bool = False) -> TokenSet:
    """Open shards and token files. Nothing is read before it is asked for, codes last.

    Args:
        places: a folder (its shards, or else every token file in it), a ``.parquet`` shard, a ``.safetensors`` token
            file, or several of these.
        partial: take a folder of which shards are missing, as a run leaves it that is not at its end.

    Raises:
        TokensError: nothing there, or shards missing; of each file when it is read: damaged, foreign or newer.
        ExtraError: shards without pyarrow, when they are read.
    """
    several = [places] if isinstance(places, (str, os.PathLike)) else list(places)
    return TokenSet([path for place in several for path in _files(Path(place), partial)])


def _files(place: Path, partial: bool) -> list[Path]:
    if not place.is_dir():
        if not place.exists() or place.suffix not in (".parquet", ".safetensors"):
            raise TokensError(f"{place} is no file of tokens; wanted a folder, a .parquet shard or a .safetensors file")
        return [place]
    shards = sorted(place.glob("*.parquet"))
    found = shards or sorted(place.rglob("*.safetensors"))
    if not found:
        raise TokensError(f"{place} holds no shards and no token files; wanted what 'streamrvq encode' wrote")
    names = [match for path in shards if (match := _SHARD.fullmatch(path.name))]
    wanted = int(names[0][2]) if names else 0
    if len(names) < wanted and not partial:
        raise TokensError(
            f"{place} holds {len(names)} of {wanted} shards; end the run by giving its command again, or pass "
            "partial=True to read what there is"
        )
    return found


class _Part(Protocol):
    """A file of signals."""

    def __len__(self) -> int: ...

    @property
    def names(self) -> list[tuple[str, int]]: ...

    def signal(self, number: int) -> Signal: ...


class TokenSet(Sequence[Signal]):
    """Signals by number, by path, or by path and channel. It may be sent to another process. Iterating goes by file.

    Args:
        files: shards and token files; `open_tokens` finds them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._parts: list[_Part] = [Shard(path) if path.suffix == ".parquet" else _Single(path) for path in files]

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum([0, *(len(part) for part in self._parts)])

    @cached_property
    def _places(self) -> dict[tuple[str, int], int]:
        return {name: number for number, name in enumerate(name for part in self._parts for name in part.names)}

    @cached_property
    def _channels(self) -> dict[str, list[int]]:
        channels: dict[str, list[int]] = {}
        for path, channel in self._places:
            channels.setdefault(path, []).append(channel)
        return channels

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[Signal]:
        for part in self._parts:
            for number in range(len(part)):
                yield part.signal(number)

    def __getitem__(self, key: Any) -> Any:
        """A signal by its number, its path, or its path and channel; a slice of numbers gives a list.

        Raises:
            IndexError, KeyError: there is none; a path with several channels without one.
        """
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        if isinstance(key, (int, np.integer)):
            number = int(key) + len(self) * int(key < 0)
            if not 0 <= number < len(self):
                raise IndexError(f"signal {key} was asked for; there are {len(self)}")
        else:
            number = self._number(key)
        part = int(np.searchsorted(self._ends, number, "right")) - 1
        return self._parts[part].signal(number - int(self._ends[part]))

    def _number(self, key: Any) -> int:
        path, channel = key if isinstance(key, tuple) else (key, None)
        there = self._channels.get(os.fspath(path), [])
        if channel is None and len(there) > 1:
            raise KeyError(f"{path} has the channels {there}; wanted (path, channel)")
        try:
            return self._places[os.fspath(path), there[0] if channel is None else channel]
        except (KeyError, IndexError):
            raise KeyError(f"{key!r} is not among these {len(self)} signals") from None


class _Single:
    """One token file, as a part with one signal."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return 1

    @property
    def names(self) -> list[tuple[str, int]]:
        return [(str(self._path), -1)]

    def signal(self, number: int) -> Signal:
        head, (levels, frames) = read_part(self._path, 0, 0)
        path = self._path

        def fetch(start: int, end: int, levels: int) -> npt.NDArray[np.int64]:
            return read_part(path, start, end, levels)[0].codes

        return Signal(
            path=str(path), channel=-1, source_rate=head.source_rate, num_samples=head.num_samples, frames=frames,
            n_quantizers=levels, sample_rate=head.sample_rate, hop_length=head.hop_length, codec_hash=head.codec_hash,
            _fetch=fetch,
        )  # fmt: skip
