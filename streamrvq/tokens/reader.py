"""Many signals as one sequence: shards and single token files, found by name, read only when a signal is asked for.

Knows: which files there are, and how signals are numbered and found. Does not know: Parquet (shards.py).
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import TokensError
from ..system.copying import forked_whole
from ..system.foreign_data import shown
from .file import read_part
from .journal_names import left_of_a_recording
from .shards import LastRead, Shard
from .signal import Signal

#: How a shard's file is named (corpus/plan.py).
_SHARD = re.compile(r"shard-(\d{5,})-of-(\d{5,})\.parquet")

#: Signals of one name that a message lists.
_NUMBERS = 4

Place = str | os.PathLike[str]


def open_tokens(places: Place | Sequence[Place], partial: bool = False) -> TokenSet:
    """Open shards and token files. A file is read when it is needed, and its codes only when they are asked for.

    Args:
        places: a folder (its shards or, if it has none, every token file in it), a ``.parquet`` shard, a
            ``.safetensors`` token file, or at least one of these.
        partial: accept a folder with missing shards, as an unfinished run leaves it.

    Raises:
        TokensError: there is nothing to open, or shards are missing. When a file is read: it is damaged, of another
            program, or of a newer version.
        ExtraError: when a shard is read and pyarrow is not installed.
    """
    if isinstance(places, (str, bytes, os.PathLike)) or not isinstance(places, Iterable):
        several: list[Any] = [places]
    else:
        several = list(places)
    if not several:
        raise TokensError("no tokens were named; wanted a folder, a .parquet shard or a .safetensors file")
    for place in several:  # such as None, for a variable that is not set
        if not isinstance(place, (str, os.PathLike)):
            raise TokensError(f"{shown(place)} was given for tokens; wanted the name of a file or a folder")
    if not all(map(os.fspath, several)):  # as a variable gives it that is not set; a path would take it for this folder
        raise TokensError("an empty name was given for tokens; wanted a file or a folder, such as . for this one")
    return TokenSet([path for place in several for path in _files(Path(place), partial)])


def shards_in(folder: Path) -> list[Path]:
    """The files of shards in a folder. Names that begin with a dot are a Mac's, or of files that are being written."""
    return sorted(path for path in folder.glob("*.parquet") if path.name[0] != ".")


def token_files_in(folder: Path) -> list[Path]:
    """The files in a folder and below it that are named as token files are, without what a Mac keeps beside them."""
    return sorted(path for path in folder.rglob("*.safetensors") if not path.name.startswith("._"))


def _files(place: Path, partial: bool) -> list[Path]:
    if not os.path.isdir(place):  # unlike Path's, it takes a name that is too long
        if not os.path.exists(place) or place.suffix not in (".parquet", ".safetensors"):
            if journal := left_of_a_recording(place):
                raise TokensError(f"{place} is no file of tokens: {journal}")
            raise TokensError(f"{place} is no file of tokens; wanted a folder, a .parquet shard or a .safetensors file")
        return [place]
    shards = shards_in(place)
    found = shards or token_files_in(place)
    if not found:
        raise TokensError(f"{place} holds no shards and no token files; wanted what 'streamrvq encode' wrote")
    names = [match for path in shards if (match := _SHARD.fullmatch(path.name))]
    wanted = max((int(name[2]) for name in names), default=0)  # a run that grew has shards that were of fewer
    there = {int(name[1]) for name in names}
    if len(there) < wanted and not partial:
        raise TokensError(
            f"{place} holds {len(there)} of {wanted} shards; end the run by giving its command again, or pass "
            "partial=True to read what there is"
        )
    return found


class _Part(Protocol):
    """A file of signals."""

    path: Path

    def __len__(self) -> int: ...

    @property
    def names(self) -> list[tuple[str, int]]: ...

    def signal(self, number: int) -> Signal: ...


@forked_whole
class TokenSet(Sequence[Signal]):
    """Signals by number, by path, or by path and channel. It can be pickled. Iteration goes file by file.

    Args:
        files: shards and token files; `open_tokens` finds them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        last = LastRead()  # of all shards together: however many there are, codes of a few are held
        self._parts: list[_Part] = [Shard(path, last) if path.suffix == ".parquet" else _Single(path) for path in files]

    @property
    def names(self) -> list[tuple[str, int]]:
        """The path and the channel of every signal, by number. The channel is −1 where channels were not told apart."""
        return [name for part in self._parts for name in part.names]

    def __repr__(self) -> str:
        known = f"{len(self)} signals in " if "_ends" in self.__dict__ else ""  # nothing is read for it
        files = ", ".join(str(part.path) for part in self._parts[:1]) + (" …" if len(self._parts) > 1 else "")
        return f"<TokenSet: {known}{len(self._parts)} files, {files}>"

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum([0, *(len(part) for part in self._parts)])

    @cached_property
    def _places(self) -> dict[tuple[str, int], int]:
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def _shared(self) -> dict[tuple[str, int], list[int]]:
        """The signals that have the path and the channel of another one, by these."""
        shared: dict[tuple[str, int], list[int]] = {}
        if len(self._places) < len(self):
            for number, name in enumerate(self.names):
                if (last := self._places[name]) != number:
                    shared.setdefault(name, [last]).append(number)
        return shared

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
        """A signal by its number, its path, or its path and channel. A slice of numbers gives a list.

        Raises:
            IndexError: there is no signal of that number.
            KeyError: there is no such path or channel; or the path has several channels and none was given; or signals
                of several files have this name.
        """
        if isinstance(key, slice):
            return [self[number] for number in range(*key.indices(len(self)))]
        try:
            place = operator.index(key)  # any whole number, such as a sampler's tensor
        except TypeError:
            number = self._number(key)
        else:
            number = place + len(self) * int(place < 0)
            if not 0 <= number < len(self):
                raise IndexError(f"signal {shown(key)} was asked for; there are {len(self)}")
        part, number = self._in_part(number)
        return part.signal(number)

    def __contains__(self, value: object) -> bool:
        """Whether there is a signal of a path, or of a path and channel; or this signal."""
        return bool(self._numbers(value))

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The number of the first signal of a path, or of a path and channel; or of this signal.

        Raises:
            ValueError: there is none, from ``start`` to before ``stop``.
        """
        for number in self._numbers(value):
            if number in range(*slice(start, stop).indices(len(self))):
                return number
        raise ValueError(f"{_named(value)} is not among these {len(self)} signals")

    def count(self, value: Any) -> int:
        """How many signals there are of a path, or of a path and channel; or of this signal."""
        return len(self._numbers(value))

    def _in_part(self, number: int) -> tuple[_Part, int]:
        """The file of a signal, and its number there."""
        part = int(np.searchsorted(self._ends, number, "right")) - 1
        return self._parts[part], number - int(self._ends[part])

    def _numbers(self, value: object) -> list[int]:
        """The numbers of all signals of a name, which is a path, or a path and channel; or of this signal."""
        if isinstance(value, Signal):
            return [number for number in self._numbers((value.path, value.channel)) if self[number] == value]
        path, channel = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if not isinstance(path, (str, os.PathLike)) or not isinstance(channel, (int, np.integer, type(None))):
            return []
        path = os.fspath(path)
        channels = self._channels.get(path, []) if channel is None else [int(channel)]
        names = [name for one in channels if (name := (path, one)) in self._places]
        return sorted(number for name in names for number in self._shared.get(name, [self._places[name]]))

    def _number(self, key: Any) -> int:
        numbers = self._numbers(key) if not isinstance(key, Signal) else []
        if not numbers:
            raise KeyError(
                f"{_named(key)} is not among these {len(self)} signals; wanted a number, a path, or (path, channel)"
            )
        path, channel = key if isinstance(key, tuple) else (key, None)
        if channel is None and len(there := self._channels[os.fspath(path)]) > 1:
            raise KeyError(f"{path} has the channels {there}; wanted (path, channel)")
        places = [self._in_part(number) for number in numbers]
        if len({(os.path.realpath(part.path), one) for part, one in places}) > 1:  # a file may be given twice
            listed = ", ".join(map(str, numbers[:_NUMBERS]))
            raise KeyError(
                f"{_named(key)} is the name of {len(numbers)} signals, which are {listed}"
                f"{', …' * (len(numbers) > _NUMBERS)}; wanted the number of one of them"
            )
        return numbers[-1]


def _named(key: object) -> str:
    """A key as a message has it: names as they are, anything else in short."""
    return repr(key) if isinstance(key, (str, os.PathLike)) else shown(key)


class _Single:
    """One token file, seen as a file with one signal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return 1

    @property
    def names(self) -> list[tuple[str, int]]:
        return [(str(self.path), -1)]

    def _fetch(self, start: int, end: int, levels: int) -> npt.NDArray[np.int64]:
        return read_part(self.path, start, end, levels)[0].codes

    def signal(self, number: int) -> Signal:
        head, (levels, frames) = read_part(self.path, 0, 0)
        return Signal(
            path=str(self.path), channel=-1, source_rate=head.source_rate, num_samples=head.num_samples, frames=frames,
            n_quantizers=levels, sample_rate=head.sample_rate, hop_length=head.hop_length, codec_hash=head.codec_hash,
            codec=head.codec, trained=head.trained, resampler=head.resampler, _fetch=self._fetch,
            _place=(str(self.path), 0),
        )  # fmt: skip
