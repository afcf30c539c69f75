"""A corpus: audio files decoded once into one memory-mapped file of int16, with the kinds that a manifest gives them.

A file that cannot be decoded is an error that names it; no file is left out silently.

Knows: folders, manifests (CSV with a column ``file`` or ``path`` and possibly ``kind`` and ``weight``), and the cache.
Does not know: crops, training.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from ..audio.files import AudioReader
from ..audio.find import PassedOver, search, sentence
from ..audio.pcm import Pcm, as_pcm
from ..errors import AudioFileError, InputError
from ..resampling import resampler
from ..system.atomic_file import replacing
from ..system.foreign_data import foreign_data, shown
from ..system.regular_file import check_regular

_BLOCK = 1 << 16
#: Characters of a line of a manifest.
_LONGEST_LINE = 1 << 20

#: Called with the name of a file and its length in seconds.
OnDecoded = Callable[[str, float], None]


@dataclasses.dataclass(frozen=True)
class Clip:
    """One file of a corpus: where its samples are in the whole, their kind, and their SHA-256 ("": not known).

    ``weight``: how often a second of it is drawn, relative to 1 for a second of other files.
    """

    name: str
    kind: str
    start: int
    length: int
    digest: str = ""
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Clips and their samples ``[total]``: int16, mono, all at one rate.

    ``empty`` are files without a sample, and ``passed`` is what the folders hold beside audio.
    """

    clips: tuple[Clip, ...]
    samples: npt.NDArray[np.int16]
    sample_rate: int
    empty: tuple[str, ...] = ()
    passed: tuple[PassedOver, ...] = ()

    @property
    def seconds(self) -> float:
        return sum(clip.length for clip in self.clips) / self.sample_rate

    def read(self, clip: Clip, start: int, count: int) -> npt.NDArray[np.float32]:
        """Samples ``start … start + count`` of ``clip`` as float32, with zeros outside of the clip."""
        first, last = max(0, start), min(clip.length, start + count)
        piece = np.zeros(count, np.float32)
        if last > first:
            values = self.samples[clip.start + first : clip.start + last]
            piece[first - start : last - start] = values.astype(np.float32) / 32768
        return piece

    def digest(self, clip: Clip) -> str:
        """The SHA-256 of a clip's samples. An index of an older version has none; then they are read."""
        if clip.digest:
            return clip.digest
        return hashlib.sha256(self.samples[clip.start : clip.start + clip.length].astype("<i2").tobytes()).hexdigest()

    def only(self, clips: Sequence[Clip]) -> Corpus:
        """A part of the corpus: some of its clips, of the same samples."""
        return dataclasses.replace(self, clips=tuple(clips))


def find(entries: Sequence[str], passed: list[PassedOver] | None = None) -> list[tuple[Path, str]]:
    """The audio files of folders, manifests and single files, with their kinds, each file once, in a fixed order.

    The kinds of a folder come from a ``manifest.csv`` in it or beside it. What a folder holds beside audio and
    manifests is appended to ``passed``.

    Raises:
        InputError: an entry does not exist, or holds no audio.
    """
    passed = [] if passed is None else passed
    found: dict[Path, str] = {}
    for entry in entries:
        path = Path(entry)
        if os.path.isdir(path):  # unlike Path's, it takes a name that is too long
            kinds: dict[Path, str] = {}
            for manifest in _manifests(path):
                kinds.update(_manifest(manifest))
            inside = search(path)
            others = [item for item in inside.passed if os.path.basename(item.path) != "manifest.csv"]
            if not inside.audio:
                raise InputError(
                    f"{entry} holds no audio; wanted .wav, .flac, .ogg, .mp3 or the like in it"
                    + (f" ({sentence(others)})" if others else "")
                )
            found.update({file: kinds.get(file, "") for file in map(_real, inside.audio)})
            passed += others
        elif path.suffix == ".csv" and os.path.isfile(path):
            found.update(_manifest(path))
        elif os.path.isfile(path):
            found[_real(path)] = ""
        else:
            raise InputError(f"{entry} is not there; wanted a folder of audio, a manifest.csv or an audio file")
    if not found:
        raise InputError(f"{', '.join(entries) or 'no entry'} names no audio; wanted folders or files of audio")
    return list(found.items())


def _manifests(folder: Path) -> list[Path]:
    return [path for path in (folder.parent / "manifest.csv", folder / "manifest.csv") if path.is_file()]


def _manifest(path: Path) -> dict[Path, str]:
    return {file: row.get("kind") or "" for file, row in _rows(path)}


def _weights(entries: Sequence[str]) -> dict[str, float]:
    """The weights that manifests give, by file."""
    found: dict[str, float] = {}
    for entry in map(Path, entries):
        for path in _manifests(entry) if os.path.isdir(entry) else [entry] if entry.suffix == ".csv" else []:
            for file, row in _rows(path):
                given = row.get("weight") or "1"
                try:
                    weight = float(given)
                except ValueError:
                    weight = -1.0
                if not 1e-6 <= weight <= 1e6:
                    raise InputError(f"{path} gives {file.name} the weight {shown(given)}; wanted 0.000001 to 1000000")
                found[str(file)] = weight
    return found


def _rows(path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The files that a manifest names, and its rows."""
    remedy = "wanted a CSV file with a column called file or path"
    with foreign_data(InputError, str(path), remedy), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(_lines(file))
        columns = list(reader.fieldnames or ())
        column = next((name for name in ("file", "path") if name in columns), None)
        for row in reader:
            if column is None:
                raise InputError(f"{path} has the columns {shown(columns)}; wanted one called file or path")
            if not row[column]:
                raise InputError(f"line {reader.line_num} of {path} names no file; wanted one in its {column}")
            yield _real(path.parent / row[column]), row


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, none of them longer than a manifest's. A file of zeros is one line, whatever its size."""
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE} characters")
        yield line


def _real(path: Path) -> Path:
    """The path without links. Unlike `Path.resolve`, it leaves links in a circle to whoever opens the file."""
    return Path(os.path.realpath(path))


def load(
    entries: Sequence[str], sample_rate: int, cache: Path, *, on_decoded: OnDecoded | None = None,
    own: Path | None = None,
) -> Corpus:  # fmt: skip
    """The corpus of ``entries``. If it was decoded before, it comes from the cache.

    Args:
        entries: see `find`.
        sample_rate: Hz; files at other rates are resampled.
        cache: folder for the decoded samples.
        on_decoded: called after each file is decoded.
        own: a folder whose files are not reported where they are passed over.

    Raises:
        InputError, AudioFileError: there is nothing to read, or a file cannot be read. The message names it.
    """
    passed: list[PassedOver] = []
    files = find(entries, passed)
    try:
        stamp = [[str(file), kind, (stat := file.stat()).st_size, stat.st_mtime_ns] for file, kind in files]
    except OSError as error:
        raise AudioFileError(
            f"cannot open {error.filename}: {error.strerror or error}; check the manifest, the name and the rights"
        ) from None
    key = hashlib.sha256(json.dumps([sample_rate, stamp]).encode()).hexdigest()[:16]
    data, index = cache / f"corpus-{key}.i16", cache / f"corpus-{key}.json"
    if not index.is_file():
        _decode(files, sample_rate, data, index, on_decoded)
    clips, samples = cached(data, index)
    weights = _weights(entries)
    clips = tuple(dataclasses.replace(clip, weight=weights.get(clip.name, 1.0)) for clip in clips)
    there = {clip.name for clip in clips}
    empty = tuple(str(file) for file, _ in files if str(file) not in there)
    if own is not None:
        passed = [item for item in passed if not _real(Path(item.path)).is_relative_to(_real(own))]
    return Corpus(clips, samples, sample_rate, empty, tuple(passed))


def cached(data: Path, index: Path) -> tuple[tuple[Clip, ...], npt.NDArray[np.int16]]:
    """The clips of ``index`` and the samples of ``data``. Raises `InputError` if they do not belong together."""
    with foreign_data(InputError, str(index), f"delete it and {data.name}, and they are made again"):
        check_regular(data)
        samples = np.memmap(data, np.int16, "r")
        check_regular(index)
        clips = tuple(Clip(*row) for row in json.loads(index.read_text(encoding="utf-8")))
        for clip in clips:
            texts = all(isinstance(value, str) for value in (clip.name, clip.kind, clip.digest))
            if type(clip.start) is not int or type(clip.length) is not int or not texts:
                raise TypeError(f"a clip is {shown(dataclasses.astuple(clip))}")
            if not 0 <= clip.start < clip.start + clip.length <= len(samples):
                raise ValueError(f"a clip ends at {shown(clip.start + clip.length)} of {len(samples)} samples")
        if not clips:
            raise ValueError("it has no clip")
        return clips, samples


def _decode(
    files: Sequence[tuple[Path, str]], rate: int, data: Path, index: Path, on_decoded: OnDecoded | None
) -> None:
    rows: list[list[Any]] = []
    start = 0
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        with replacing(data) as out:
            for file, kind in files:
                length, digest = 0, hashlib.sha256()
                for block in _mono(file, rate):
                    piece = np.clip(np.rint(block * np.float32(32768)), -32768, 32767).astype("<i2").tobytes()
                    out.write(piece)
                    digest.update(piece)
                    length += len(block)
                if length:
                    rows.append([str(file), kind, start, length, digest.hexdigest()])
                start += length
                if on_decoded is not None:
                    on_decoded(file.name, length / rate)
            if not start:
                names = f"{files[0][0]}{f' and {len(files) - 1} more' if len(files) > 1 else ''}"
                raise AudioFileError(f"without a sample: {names}; wanted audio to train on or validate with")
        with replacing(index) as out:
            out.write(json.dumps(rows).encode())
    except AudioFileError:
        raise
    except OSError as error:
        raise InputError(
            f"cannot write decoded audio to {data.parent} ({error.strerror or error}); "
            "wanted 2 bytes for each sample there: make room, or name another folder with --cache"
        ) from None


def _mono(file: Path, rate: int) -> Any:
    with AudioReader(file, downmix=True, partly=False) as reader:  # training takes whole files only
        if reader.sample_rate == rate:
            yield from _checked(reader)
            return
        between = resampler(reader.sample_rate, rate)
        state = between.start()
        for block in _checked(reader):
            out, state = between.push(state, block)
            yield out
        yield between.finish(state)


def _checked(reader: AudioReader) -> Iterator[Pcm]:
    """The samples of a file. A float file may hold NaN, which would be trained on as some number."""
    position = 0
    for block in reader.blocks(_BLOCK):
        try:
            yield as_pcm(block, position=position)
        except InputError as error:
            raise AudioFileError(f"{reader.path}: {error}") from None
        position += len(block)
