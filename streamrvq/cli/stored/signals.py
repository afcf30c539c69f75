"""The signal that a command line means: a token file, or one signal of a folder or a shard, by its name.

Knows: how a user names a signal. Does not know: codecs, how tokens are stored (tokens/).
"""

from __future__ import annotations

import math
import os
from functools import partial
from typing import Annotated, Any

import numpy.typing as npt
import typer

from ...errors import InputError
from ...system.foreign_data import shown
from ...system.names import as_text
from ...tokens import Signal, TokenFile, TokenSet, open_tokens, read_tokens

PathOption = Annotated[
    str | None,
    typer.Option("--path", metavar="NAME", help="Of shards or a folder: the file to take, or the end of its path."),
]
ChannelOption = Annotated[
    int | None, typer.Option("--channel", help="Of shards with each channel: which one, counted from 0.")
]
FromOption = Annotated[
    float | None, typer.Option("--from", metavar="SECONDS", help="Where to begin. Default: at the start.")
]
ToOption = Annotated[float | None, typer.Option("--to", metavar="SECONDS", help="Where to end. Default: at the end.")]

#: Names that a message lists.
_LISTED = 4


def holds_signals(place: str) -> bool:
    """Whether a place is a folder or a shard, which may hold many signals."""
    return os.path.isdir(place) or place.endswith(".parquet")


def find_signal(place: str, path: str | None, channel: int | None) -> Signal:
    """The signal that is meant. Its codes are read when they are asked for.

    Args:
        place: a token file, a shard, or a folder of either.
        path: the name of a file that was encoded, as it was given then, or the end of it. None: the place holds one.
        channel: of that file, from 0; None: it has one.

    Raises:
        InputError: no signal has this name, or several.
        TokensError: the tokens cannot be read.
    """
    if not holds_signals(place):
        if path is not None or channel is not None:
            raise InputError(f"{place} is one signal; --path and --channel go with shards, or a folder of token files")
        return signal_of(place, read_tokens(place))
    tokens = open_tokens(place, partial=True)
    names = tokens.names
    found = names if path is None else _matching(names, path)
    if channel is not None:
        found = [name for name in found if name[1] == channel]
    if len(found) == 1:
        signal: Signal = tokens[names.index(found[0])]
        return signal
    raise InputError(_refusal(place, tokens, found or names, path, channel, several=bool(found)))


def signal_of(place: str, file: TokenFile) -> Signal:
    """A token file that was read, as a signal."""
    return Signal(
        path=place, channel=-1, source_rate=file.source_rate, num_samples=file.num_samples,
        frames=file.codes.shape[1], n_quantizers=file.codes.shape[0], sample_rate=file.sample_rate,
        hop_length=file.hop_length, codec_hash=file.codec_hash, codec=file.codec, trained=file.trained,
        resampler=file.resampler, _fetch=partial(_part, file),
    )  # fmt: skip


def _part(file: TokenFile, first: int, stop: int, levels: int) -> npt.NDArray[Any]:
    return file.codes[:levels, first:stop]


def _matching(names: list[tuple[str, int]], wanted: str) -> list[tuple[str, int]]:
    """The signals of exactly that path; if there are none, those whose path ends in it, from a folder's name on."""
    wanted = as_text(wanted)
    same = [name for name in names if name[0] == wanted]
    return same or [name for name in names if name[0].endswith("/" + wanted.lstrip("/"))]


def _refusal(
    place: str, tokens: TokenSet, shown_names: list[tuple[str, int]], path: str | None, channel: int | None,
    several: bool,
) -> str:  # fmt: skip
    listed = ", ".join(
        shown(name if number < 0 else f"{name} channel {number}") for name, number in shown_names[:_LISTED]
    )
    more = f" and {len(shown_names) - _LISTED} more" if len(shown_names) > _LISTED else ""
    asked = "" if path is None else f" {shown(path)}"
    asked += "" if channel is None else f" of channel {channel}"
    if several:
        files = {name for name, _ in shown_names}
        wanted = "--channel" if len(files) == 1 else "--path NAME"
        return f"{place} holds {len(shown_names)} signals{asked}: {listed}{more}; say which with {wanted}"
    if not shown_names:
        return (
            f"{place} holds no signal; every source of its run failed (see __run__/failed.jsonl), or it is unfinished"
        )
    return f"{place} holds no signal{asked}; it holds {listed}{more}: take one of these names"


def span_of(start: float | None, stop: float | None, seconds: float, name: str) -> tuple[float, float]:
    """``--from`` and ``--to`` as seconds from the start of a signal.

    Raises:
        InputError: a time that is none, an end that is not after the start, or a start that is not before the end.
    """
    begin, end = 0.0 if start is None else start, seconds if stop is None else stop
    for option, value in (("--from", begin), ("--to", end)):
        if not value >= 0 or (option == "--from" and value == seconds == math.inf):
            raise InputError(f"{option} is {value:g}; wanted seconds from the start of the signal")
    if start is not None and begin >= seconds:
        raise InputError(f"--from is {begin:g}; {name} has {seconds:.3f} s: wanted less")
    if stop is not None and end <= begin:
        raise InputError(f"--to is {end:g} and --from {begin:g}; wanted an end after the start")
    return begin, min(end, seconds)
