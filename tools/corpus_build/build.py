"""The set as a folder: clips, manifest.csv, sources.csv, copyright files. All requirements are checked here.

    OUT/manifest.csv              a row for each clip
    OUT/sources.csv               a row for each group: package, its version and SHA-256, licences, clips, minutes
    OUT/copyright/PACKAGE.txt     what the package says about its files and authors
    OUT/train/*.flac  OUT/validation/*.flac
    OUT/words/*.flac  OUT/texts.csv     of a set of words, which is made separately: what is said, if known

Knows: where unpacked packages are and what a manifest holds. Does not know: how packages get there, the command line.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import audio
from .clips import Clip, File, clips
from .errors import CorpusError
from .licences import Copyright, check_free
from .sources import Source, check_file, check_sources

MANIFEST = "manifest.csv"
COLUMNS = (
    "path", "split", "kind", "group", "package", "licence", "seconds", "samples", "native_rate", "bandwidth_khz",
    "above_8khz_db", "coding", "files",
)  # fmt: skip
SOURCE_COLUMNS = ("group", "split", "kind", "package", "version", "sha256", "licences", "clips", "minutes")
SPLITS = ("train", "validation")
TEXTS = "texts.csv"
TEXT_COLUMNS = ("path", "text")

Row = dict[str, str]


@dataclass(frozen=True)
class Package:
    """An unpacked package or a user's folder: where its files are, and which version it is."""

    folder: Path
    version: str = ""
    sha256: str = ""


def build(
    out: Path, sources: Sequence[Source], packages: Mapping[str, Package], scale: float = 1.0,
    say: Callable[[str], None] = print,
) -> list[Row]:  # fmt: skip
    """Build the whole set. The folder appears, or is replaced, when it is complete. Returns the manifest's rows.

    Raises:
        CorpusError: a file in the wrong split, a licence that is not free, a source without clips, or an ``out`` that
            holds something else.
    """
    check_sources(sources)
    check_replaceable(out)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    splits = {source.split for source in sources}
    for split in SPLITS if splits <= set(SPLITS) else sorted(splits):
        (part / split).mkdir(parents=True)
    builder = _Builder(part, packages, scale)
    # Sources for judging come first: then copies of their files in other packages are not trained on.
    for source in sorted(sources, key=lambda source: source.split == "train"):
        say(builder.add(source))
    check_disjoint(builder.rows)
    write_table(part / MANIFEST, COLUMNS, builder.rows)
    write_table(part / "sources.csv", SOURCE_COLUMNS, builder.sources)
    if builder.texts:
        write_table(part / TEXTS, TEXT_COLUMNS, builder.texts)
    replace(part, out)
    return builder.rows


class _Builder:
    def __init__(self, part: Path, packages: Mapping[str, Package], scale: float) -> None:
        self.rows: list[Row] = []
        self.sources: list[Row] = []
        self.texts: list[Row] = []
        self._part, self._packages, self._scale = part, packages, scale
        self._copyrights: dict[str, Copyright] = {}
        self._split_of: dict[str, str] = {}  # SHA-256 of a file → the split that it belongs to

    def add(self, source: Source) -> str:
        """Write all clips of one source. Returns a line that sums them up."""
        package = self._packages[source.package]
        files, named, licences = self._files(source, package), 0, set()
        seconds = 0.0
        for clip in clips(source, files, self._scale):
            row = self._write(source, clip, named)
            licences.update(row["licence"].split("; "))
            named, seconds = named + 1, seconds + float(row["seconds"])
            self.rows.append(row)
        if not named or (source.clips and named < source.clips):
            raise CorpusError(
                f"the source {source.group!r} gave {named} clips of {len(files)} files of {source.package} in "
                f"{package.folder}; wanted {source.clips or 'at least 1'}: is it the package of Debian 12?"
            )
        self._copy_terms(source.package, package)
        self.sources.append(dict(
            group=source.group, split=source.split, kind=source.kind, package=source.package, version=package.version,
            sha256=package.sha256, licences="; ".join(sorted(licences)), clips=str(named),
            minutes=f"{seconds / 60:.2f}",
        ))  # fmt: skip
        return f"{source.split:10} {source.kind:6} {source.group:20} {named:4} clips {seconds / 60:6.2f} min"

    def _files(self, source: Source, package: Package) -> list[File]:
        found = []
        for path in sorted(package.folder.rglob("*")):
            name = path.relative_to(package.folder).as_posix()
            if path.is_symlink() or not path.is_file() or not source.wants(name):
                continue
            info = audio.probe(path, 16000 if source.split == "words" else audio.RATE)
            if info is None:
                continue
            check_file(source, name)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if self._split_of.get(digest) in (None, source.split):
                if digest not in self._split_of:  # a second copy adds nothing
                    found.append(File(name, path, info))
                self._split_of[digest] = source.split
        return found

    def _write(self, source: Source, clip: Clip, number: int) -> Row:
        name = f"{source.split}/{source.kind}_{source.group}_{number:03d}.flac"
        audio.write_flac(self._part / name, clip.pcm)
        rates = "/".join(map(str, sorted(set(clip.rates))))
        if text := dict(source.texts).get(Path(clip.names[0]).stem):
            self.texts.append({"path": name, "text": text})
        return dict(
            path=name, split=source.split, kind=source.kind, group=source.group, package=source.package,
            licence=self._licence(source, clip), seconds=f"{len(clip.pcm) / audio.RATE:.3f}",
            samples=str(len(clip.pcm)), native_rate=rates, coding="lossless", files=" | ".join(clip.names),
            **audio.describe(clip.pcm),
        )  # fmt: skip

    def _licence(self, source: Source, clip: Clip) -> str:
        speaker = source.terms or source.package
        if speaker not in self._copyrights:
            self._copyrights[speaker] = Copyright.read(self._packages[speaker].folder)
        terms = self._copyrights[speaker]
        found = {name: terms.of(name.split("@")[0]) or source.licence for name in clip.names}
        return "; ".join(sorted({check_free(licence, f"{source.package}: {name}") for name, licence in found.items()}))

    def _copy_terms(self, name: str, package: Package) -> None:
        for found in sorted(package.folder.glob("usr/share/doc/*/copyright"))[:1]:
            target = self._part / "copyright" / f"{name}.txt"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(found, target)


def check_disjoint(rows: Iterable[Mapping[str, str]]) -> None:
    """Raise `CorpusError` if a group or a file is in two splits."""
    sides: dict[tuple[str, str], str] = {}
    for row in rows:
        files = {(row["package"], name.split("@")[0]) for name in row["files"].split(" | ")}
        for key in {("", row["group"]), *files}:
            if sides.setdefault(key, row["split"]) != row["split"]:
                both = " and in ".join(sorted({sides[key], row["split"]}))
                raise CorpusError(f"{key[1]!r} is in {both}; wanted one split: correct the sources")


def check_replaceable(out: Path) -> None:
    """Raise `CorpusError` unless ``out`` is new, empty, or an older set."""
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise CorpusError(f"{out} holds something that is no corpus; wanted a new or empty folder, or a corpus")


def replace(part: Path, out: Path) -> None:
    """Move a finished folder to its place. The old one is deleted when the new one is there."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Write a CSV file, with ``\\n`` as its newline on every system."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_manifest(folder: Path) -> list[Row]:
    """The rows of a set's manifest. Raises `CorpusError` if the set has none."""
    try:
        with open(folder / MANIFEST, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError:
        raise CorpusError(f"{folder} has no {MANIFEST}; wanted a folder that tools/corpus made") from None
    if not rows or set(rows[0]) != set(COLUMNS):
        raise CorpusError(f"{folder / MANIFEST} has not this version's columns; make the set again with tools/corpus")
    return rows


def totals(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """A line for each split and kind: its clips and minutes."""
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for row in rows:
        for kind in (row["kind"], "all"):
            count, seconds = sums.get((row["split"], kind), (0, 0.0))
            sums[row["split"], kind] = (count + 1, seconds + float(row["seconds"]))
    return [f"{s:10} {k:6} {n:5} clips {t / 60:7.2f} min" for (s, k), (n, t) in sorted(sums.items())]
