"""The files of a corpus: files, folders, globs and manifests as one sorted list, each file once.

Knows: where names come from. Does not know: audio. A file that does not exist is listed, so that it is reported. What
folders and globs hold beside audio files is passed over, and given with the reasons. What runs wrote is no manifest for
a glob: so a run whose folder lies among its sources can go on.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from ..audio.find import PassedOver, passed_over, search, sentence
from ..errors import InputError
from ..system.atomic_file import PART
from ..system.foreign_data import one_line
from ..system.names import absolute, as_text, is_path
from ..system.regular_file import read_at_most
from ..tokens import schema
from .columns import Columns, column_name, merged
from .globs import globbed
from .manifests import MANIFESTS, read_manifest

#: The folder in a run's own where its record lies, and the plan with it.
RECORDS = "__run__"
#: What names the files of a corpus.
Entries = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Source(NamedTuple):
    """One file of a corpus."""

    path: str  #: as it was given: below a folder, by a glob, in a manifest. Its rows carry this name
    file: str  #: the absolute path
    size: int  #: bytes; 0 if the file does not exist
    columns: Columns = ()  #: what manifests say of it beside the path


class Sources(NamedTuple):
    """What some entries name."""

    files: list[Source]  #: sorted by absolute path
    passed_over: tuple[PassedOver, ...]  #: what is no audio file, sorted; and columns that no shard can hold


def find_sources(entries: Entries) -> list[Source]:
    """The files of ``entries``; see `collect`."""
    return collect(entries).files


def collect(entries: Entries, run: Path | None = None) -> Sources:
    """The files of ``entries``, and what is passed over. A file of several names gets the alphabetically first.

    Args:
        entries: audio files; folders, for every audio file in them; globs (``**`` crosses folders); manifests
            (``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet``, see manifests.py). One of these, or several.
        run: the folder of a run that may have some of the files already. A name that it has is no glob, though the
            file is gone.

    Raises:
        InputError: no entries; a name that no file can have, or two that shards cannot tell apart; a folder or glob
            without files; a manifest that cannot be used; or two rows that say different things of one file.
    """
    named: dict[str, tuple[str, Columns]] = {}
    walk, real = _Walk(run), cache(os.path.realpath)  # for this call only: a link may lead elsewhere in the next
    several = [entries] if isinstance(entries, (str, os.PathLike)) else entries  # a text is no sequence of its letters
    for path in _once(list(walk.entries(os.fspath(entry) for entry in several)), real):
        file = absolute(path.file, real)
        name, columns = named.get(file, (path.name, ()))
        named[file] = min(name, path.name), merged(path.name, columns, path.columns)
    if not named:
        rest = f" ({sentence(walk.passed)})" if walk.passed else ""
        raise InputError(f"no sources were given; wanted audio files, folders, globs or manifests of them{rest}")
    _check_texts([name for name, _ in named.values()])
    _check_names((name, file) for file, (name, _) in named.items())
    left_out = set(walk.left_out)
    files = [
        Source(name, file, _size(file), tuple(item for item in columns if item[0] not in left_out))
        for file, (name, columns) in sorted(named.items())
    ]
    there = {absolute(passed.path) for passed in walk.passed} - named.keys()
    passed = sorted({item for item in walk.passed if absolute(item.path) in there})
    return Sources(files, (*passed, *walk.left_out.values()))


def is_of_run(path: str, folder: Path) -> bool:
    """Whether a path is something that the run in ``folder`` keeps there: its record, its shards."""
    place = Path(absolute(path))
    shard = place.parent == folder and (place.suffix == ".parquet" or place.match(f".shard-*{PART}"))
    return shard or folder / RECORDS in place.parents


def names_files(path: str | Path) -> bool:
    """Whether a path is a folder or a manifest, which no run encodes itself."""
    return os.path.isdir(path) or _is_manifest(path)


def _is_manifest(path: str | Path) -> bool:
    return os.path.splitext(path)[1].lower() in MANIFESTS and os.path.isfile(path)


def _check_texts(names: Sequence[str]) -> None:
    """Refuse a name that is not UTF-8 if a shard would give it that of another file."""
    texts = {name: text for name in names if (text := as_text(name)) != name}
    if doubled := sorted({*texts.values()}.intersection(names)) if texts else []:
        other = next(name for name, text in texts.items() if text == doubled[0])
        raise InputError(
            f"{other!a} is not UTF-8, and would be {doubled[0]} in a shard, as another file is; rename one"
        )


def _check_names(named: Iterable[tuple[str, str]]) -> None:
    """Refuse two files of one name, as manifests in different folders give them: readers find signals by it."""
    files: dict[str, str] = {}
    for name, file in named:
        if (other := files.setdefault(name, file)) != file:
            one, two = sorted((other, file))
            raise InputError(
                f"{one_line(as_text(one))} and {one_line(as_text(two))} would both be {one_line(as_text(name), 80)} in "
                "the shards; write paths in the manifests that differ, such as from a folder above both, or encode "
                "each manifest into a folder of its own"
            )


class _Named(NamedTuple):
    name: str
    file: str
    columns: Columns = ()
    looked_for: bool = False  #: in a folder or by a glob, and not named


def _once(named: Sequence[_Named], real: Callable[[str], str]) -> Iterator[_Named]:
    """Each real file that was found once, by names of a path without links, if it has one. Links to a file are files.

    A folder may lead to another one that is given, too, or to one above it.
    """
    best: dict[tuple[str, str], tuple[bool, int, str]] = {}
    places = [_place(path, real) if path.looked_for else None for path in named]
    for place in places:
        if place is not None:
            key, rank = place
            best[key] = min(best.get(key, rank), rank)
    for path, place in zip(named, places, strict=True):
        if place is None or best[place[0]] == place[1]:
            yield path


def _place(path: _Named, realpath: Callable[[str], str]) -> tuple[tuple[str, str], tuple[bool, int, str]]:
    """A file's real folder and its name there; and how good the path is."""
    folder, name = os.path.split(absolute(path.file, realpath))
    real = realpath(folder)
    return (real, name), (real != folder, folder.count(os.sep), folder)


class _Walk:
    """From entries to files.

    Args:
        run: the folder of a run, as for `collect`.

    Attributes:
        passed: what is no audio file.
        left_out: columns of manifests that no shard can hold, by the names that they would have there.
    """

    def __init__(self, run: Path | None) -> None:
        self._run = run
        self.passed: list[PassedOver] = []
        self.left_out: dict[str, PassedOver] = {}

    def entries(self, entries: Iterable[str]) -> Iterator[_Named]:
        for entry in entries:
            if not entry or not is_path(entry):  # an empty one would be this folder
                raise InputError(f"{one_line(ascii(entry), 80)} was given, and no file can be named so; correct it")
            path = Path(entry)
            if os.path.isdir(path):  # unlike Path's, it takes a name that is too long
                yield from self._some(f"{entry} holds no audio files", self._folder(path))
            elif glob.has_magic(entry) and not os.path.lexists(path) and not self._is_planned(entry):
                yield from self._some(f"{entry} matches no audio files", self._glob(entry))
            else:
                yield from self._file(path, entry)

    def _is_planned(self, entry: str) -> bool:
        """Whether the run has a file of this name. What is wrong with its plan is said where the plan is read."""
        return f'"file": {json.dumps(absolute(entry))}, ' in self._plan

    @cached_property
    def _plan(self) -> str:
        path = None if self._run is None else self._run / RECORDS / "plan.jsonl"
        try:
            data = None if path is None else read_at_most(path, path.stat().st_size)
        except OSError:
            return ""
        return (data or b"").decode(errors="replace")

    def _file(self, path: Path, entry: str, looked_for: bool = False) -> Iterator[_Named]:
        if not _is_manifest(path):
            yield _Named(entry, entry, looked_for=looked_for)
            return
        row = None
        for row in read_manifest(path):
            for name, what in row.left_out.items():
                reason = f"its column {one_line(name, 60) or '(unnamed)'} has {what}, which no shard holds"
                self.left_out.setdefault(column_name(name), PassedOver(str(path), reason))
            yield _Named(row.path, os.path.join(path.parent, row.path), row.columns)
        if row is None:
            self.passed.append(PassedOver(str(path), "a manifest without rows"))

    def _folder(self, folder: Path) -> Iterator[_Named]:
        try:
            found = search(folder)
        except OSError as error:
            self.passed.append(
                PassedOver(str(folder), f"a folder that cannot be read ({one_line(error.strerror or error)})")
            )
            return
        self.passed += found.passed
        yield from (_Named(str(path), str(path), looked_for=True) for path in found.audio)

    def _glob(self, pattern: str) -> Iterator[_Named]:
        any_name = "." not in os.path.basename(pattern)  # such as **, which asks for no kind of file
        for match in globbed(pattern, self.passed):
            path = Path(match)
            if os.path.isdir(path):
                yield from self._folder(path)
                continue
            reason, listed = passed_over(path), _is_manifest(path)
            wanted = os.path.isfile(path) and not path.name.startswith("._")
            if reason is not None and (written := _of_a_run(path)):
                # A folder that matches, too, gives the usual reason.
                self.passed.append(PassedOver(str(path), reason if any_name else written))
            elif reason is not None and not listed and (any_name or not wanted):
                self.passed.append(PassedOver(str(path), reason))
            else:
                yield from self._file(path, match, looked_for=True)

    def _some(self, complaint: str, found: Iterator[_Named]) -> Iterator[_Named]:
        """What was found, and an `InputError` if that was nothing."""
        before, first = len(self.passed), next(found, None)
        if first is None:
            rest = f" ({sentence(self.passed[before:])})" if len(self.passed) > before else ""
            raise InputError(f"{complaint}; wanted .wav, .flac, .ogg, .mp3, .m4a or the like there{rest}")
        yield first
        yield from found


def _of_a_run(path: Path) -> str:
    """What a file is that a run wrote and that is no audio by its name; nothing, if it is another."""
    if path.absolute().parent.name == RECORDS:
        return "the record of a run"
    try:
        tokens = path.suffix.lower() == ".parquet" and schema.SHARD_KEY in (
            schema.parquet().read_metadata(path).metadata or {}
        )
    except (schema.arrow().ArrowException, OSError):  # reading it as a manifest says what is wrong
        return ""
    return "a shard of tokens" if tokens else ""


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return 0
