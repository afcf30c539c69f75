"""The set as a folder: clips, manifest.csv, sources.csv, copyright files. All requirements are checked here.

    OUT/manifest.csv              a row for each clip
    OUT/sources.csv               a row for each group: package, its version and SHA-256, licences, clips, minutes
    OUT/left_out.csv              what is not trained on, because it is also in a clip for judging; if there is any
    OUT/copyright/PACKAGE.txt     what the package says about its files and authors
    OUT/train/*.flac  OUT/validation/*.flac
    OUT/words/*.flac  OUT/texts.csv     of a set of words, which is made separately: what is said, if known

Knows: where unpacked packages are. Does not know: how packages get there, the command line.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import audio
from .clips import Clip, File, clips
from .errors import CorpusError
from .fingerprint import Judged
from .licences import Copyright, check_free
from .manifest import (
    COLUMNS,
    LEFT_OUT_COLUMNS,
    MANIFEST,
    SOURCE_COLUMNS,
    SPLITS,
    TEXT_COLUMNS,
    TEXTS,
    Row,
    bandwidth,
    check_disjoint,
    write_table,
)
from .sources import Source, check_file, check_sources


@dataclass(frozen=True)
class Package:
    """An unpacked package or a user's folder: where its files are, and which version it is. ``names``: which count."""

    folder: Path
    version: str = ""
    sha256: str = ""
    names: frozenset[str] | None = None


def build(
    out: Path, sources: Sequence[Source], packages: Mapping[str, Package], scale: float = 1.0,
    say: Callable[[str], None] = print, judged: Sequence[Source] = (),
) -> list[Row]:  # fmt: skip
    """Build the whole set. The folder appears, or is replaced, when it is complete. Returns the manifest's rows.

    What has the bytes of a file of a source for judging, or sounds like one of its clips, is not trained on. It is
    named in ``left_out.csv``. ``judged`` are more sources for judging, of which the set has no clips.

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
    for source in judged:
        builder.keep_out(source)
    for source in sorted(sources, key=lambda source: source.split == "train"):
        say(builder.add(source))
    for row in builder.left_out:
        say(f"left out of {row['group']}: {row['files']} ({row['because']})")
    check_disjoint(builder.rows)
    write_table(part / MANIFEST, COLUMNS, builder.rows)
    write_table(part / "sources.csv", SOURCE_COLUMNS, builder.sources)
    if builder.left_out:
        write_table(part / "left_out.csv", LEFT_OUT_COLUMNS, builder.left_out)
    if builder.texts:
        write_table(part / TEXTS, TEXT_COLUMNS, builder.texts)
    replace(part, out)
    return builder.rows


class _Builder:
    def __init__(self, part: Path, packages: Mapping[str, Package], scale: float) -> None:
        self.rows: list[Row] = []
        self.sources: list[Row] = []
        self.texts: list[Row] = []
        self.left_out: list[Row] = []
        self._judged = Judged()
        self._part, self._packages, self._scale = part, packages, scale
        self._copyrights: dict[str, Copyright] = {}
        self._split_of: dict[str, str] = {}  # SHA-256 of a file → the split that it belongs to

    def add(self, source: Source) -> str:
        """Write all clips of one source. Returns a line that sums them up."""
        package = self._packages[source.package]
        files, named, licences = self._files(source, package), 0, set()
        seconds = 0.0
        for clip in clips(source, files, self._scale):
            if self._is_judged(source, clip, f"{source.split}/{source.kind}_{source.group}_{named:03d}.flac"):
                continue
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

    def keep_out(self, source: Source) -> None:
        """Remember a source's files and the sound of its clips."""
        for clip in clips(source, self._files(source, self._packages[source.package]), self._scale):
            self._judged.add(f"{source.split}/{' + '.join(clip.names)}", clip.pcm)

    def _is_judged(self, source: Source, clip: Clip, name: str) -> bool:
        """Whether a training clip sounds like one for judging. Those are remembered."""
        if source.split != "train":
            self._judged.add(name, clip.pcm)
            return False
        like = self._judged.find(clip.pcm)
        if like is not None:
            because = f"{like.at:.1f} s: as {like.name} at {like.judged_at:.1f} s, {like.differ:.0%} of bits differ"
            self._leave_out(source, " | ".join(clip.names), because)
        return like is not None

    def _leave_out(self, source: Source, files: str, because: str) -> None:
        self.left_out.append(dict(group=source.group, package=source.package, files=files, because=because))

    def _files(self, source: Source, package: Package) -> list[File]:
        found = []
        for path in sorted(package.folder.rglob("*")):
            name = path.relative_to(package.folder).as_posix()
            if path.is_symlink() or not path.is_file() or not source.wants(name):
                continue
            if package.names is not None and name not in package.names:
                continue
            info = audio.probe(path, 16000 if source.split == "words" else source.lowest)
            if info is None:
                continue
            check_file(source, name)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if self._split_of.get(digest) in (None, source.split):
                if digest not in self._split_of or source.origin == "in rooms":  # a second copy adds nothing
                    found.append(File(name, path, info))
                self._split_of[digest] = source.split
            else:
                self._leave_out(source, name, f"it has the bytes of a file of the {self._split_of[digest]} clips")
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
            origin=source.origin, bandwidth="narrow" if source.narrow else bandwidth(rates),
            weight=f"{source.weight:g}", speakers=str(source.speakers or ""), **audio.describe(clip.pcm),
        )  # fmt: skip

    def _licence(self, source: Source, clip: Clip) -> str:
        speaker = source.terms or source.package
        if speaker not in self._copyrights:
            self._copyrights[speaker] = Copyright.read(self._packages[speaker].folder)
        terms = self._copyrights[speaker]
        found = {name: terms.of(name.split("@")[0]) or source.licence for name in clip.names}
        return "; ".join(sorted({check_free(licence, f"{source.package}: {name}") for name, licence in found.items()}))

    def _copy_terms(self, name: str, package: Package) -> None:
        for number, found in enumerate(sorted(package.folder.glob("usr/share/doc/*/copyright"))):
            target = self._part / "copyright" / f"{found.parent.name if number else name}.txt"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(found, target)


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
