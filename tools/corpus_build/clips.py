"""The clips of one source: which pieces of which files, in an order that depends on names alone.

Knows: the files of a source and their lengths. Does not know: packages, licences, manifests.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from . import audio, rooms
from .audio import RATE, Info, Samples
from .sources import Source

#: Seconds. Training clips are joined up to the first. Validation clips last between the other two.
JOINED, SHORTEST, LONGEST = 12.0, 4.0, 6.0
_ROUNDS = 99  # the most pieces that are cut from one file


@dataclass(frozen=True)
class File:
    """One file of a source: its path in the package, its path on disk, and what `audio.probe` found."""

    name: str
    path: Path
    info: Info


@dataclass(frozen=True)
class Clip:
    """Samples at 44.1 kHz, with the names and rates of their files. ``NAME@SECONDS`` says where a piece begins."""

    pcm: Samples
    names: tuple[str, ...]
    rates: tuple[int, ...]


def fraction(text: str) -> float:
    """A pseudo-random number in [0, 1) that depends on the text alone, so it is the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def shuffled(source: Source, files: Sequence[File]) -> list[File]:
    """The files in an order that depends on their names alone."""
    return sorted(files, key=lambda file: (fraction(f"{source.group}/{file.name}"), file.name))


def clips(source: Source, files: Sequence[File], scale: float = 1.0) -> Iterator[Clip]:
    """As many clips as the source asks for. For training its minutes are multiplied by ``scale``."""
    files = shuffled(source, files)
    minutes = source.minutes * scale
    if math.isinf(minutes) and scale != 1:
        minutes = sum(file.info.seconds for file in files) / 60 * scale
    if source.split == "words":
        yield from islice(_whole(files), source.clips)
        return
    if source.cut is None:
        made = _joined(source, files)
    elif source.whole:
        made = _consecutive(files, source.cut)
    else:
        made = _cut(source, files, source.cut, minutes)
    if source.origin == "in rooms":
        made = _in_rooms(source, made)
    if source.split == "validation":
        for _, clip in zip(range(source.clips), made, strict=False):
            yield clip
        return
    left = minutes * 60
    for clip in made:
        if left <= 1:
            return
        if len(clip.pcm) > left * RATE:
            clip = Clip(audio.faded(clip.pcm[: int(left * RATE)]), clip.names, clip.rates)
        left -= len(clip.pcm) / RATE
        yield clip


def _cut(source: Source, files: Sequence[File], length: float, minutes: float) -> Iterator[Clip]:
    """Pieces of long files: one from each, then another from each. Short files are used whole, once.

    Without a limit of minutes (a user's folder) every file is used from beginning to end.
    """
    if math.isinf(minutes) and source.split == "train":
        for file in files:
            for number in range(max(1, math.ceil(file.info.seconds / length))):
                yield from _piece(file, number * length, length)
        return
    for turn in range(_ROUNDS):
        for file in files:
            slack = file.info.seconds - length
            if slack > 0.3 * length:
                share = 0.15 if turn == 0 else 0.05 + 0.75 * fraction(f"{file.name}#{turn}")
                yield from _piece(file, min(file.info.seconds * share, slack), length)
            elif turn == 0 and (source.split == "train" or file.info.seconds >= SHORTEST):
                yield from _piece(file, 0.0, min(file.info.seconds, length * 1.2))


def _consecutive(files: Sequence[File], length: float) -> Iterator[Clip]:
    """All of the files, in pieces: the first of each file, then the second of each. A last one may be longer."""
    counts = [max(1, math.ceil(file.info.seconds / length - 0.2)) for file in files]
    for number in range(max(counts, default=0)):
        for file, count in zip(files, counts, strict=True):
            if number < count:
                yield from _piece(file, number * length, length if number < count - 1 else 1.2 * length)


def _in_rooms(source: Source, made: Iterator[Clip]) -> Iterator[Clip]:
    for number, clip in enumerate(made):
        yield Clip(rooms.place(clip.pcm, f"{source.group}/{number}"), clip.names, clip.rates)


def _piece(file: File, start: float, seconds: float) -> Iterator[Clip]:
    pcm = audio.read(file.path, start, seconds)
    if pcm is not None and len(pcm) >= RATE // 2:
        yield Clip(audio.faded(pcm), (f"{file.name}@{start:.1f}",), (file.info.rate,))


def _whole(files: Sequence[File]) -> Iterator[Clip]:
    """A clip for each file, from beginning to end: speech must not be cut."""
    for file in files:
        pcm = audio.read(file.path)
        if pcm is not None:
            yield Clip(pcm, (file.name,), (file.info.rate,))


def _joined(source: Source, files: Sequence[File]) -> Iterator[Clip]:
    """Clips of whole files, joined one after another: those of one bandwidth, then those of another."""
    files = sorted(files, key=lambda file: audio.bandwidth(file.info.rate), reverse=True)
    validation = source.split == "validation"
    longest = LONGEST if validation else JOINED
    parts: list[tuple[File, Samples]] = []
    seconds = 0.0
    for file in files:
        pcm = audio.read(file.path, 0.0, longest if validation else 1.5 * longest)
        if pcm is None:
            continue
        new = len(pcm) / RATE
        if validation:
            parts.append((file, pcm))
            seconds += new
            if seconds >= SHORTEST:
                yield _join(parts, longest)
                parts, seconds = [], 0.0
            continue
        other = bool(parts) and audio.bandwidth(parts[-1][0].info.rate) != audio.bandwidth(file.info.rate)
        if other or (parts and seconds + new > longest):
            yield _join(parts)
            parts, seconds = [], 0.0
        parts.append((file, pcm))
        seconds += new
    if parts and not validation and seconds >= 0.5:
        yield _join(parts)


def _join(parts: Sequence[tuple[File, Samples]], longest: float | None = None) -> Clip:
    pcm = np.concatenate([audio.faded(pcm) for _, pcm in parts])
    if longest is not None and len(pcm) > longest * RATE:
        pcm = audio.faded(pcm[: int(longest * RATE)])
    return Clip(pcm, tuple(file.name for file, _ in parts), tuple(sorted({file.info.rate for file, _ in parts})))
