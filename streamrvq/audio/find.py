"""Audio files in folders, and what else lies there.

A folder is walked once however many links lead to it, so a link to a parent folder causes neither a loop nor
duplicates. What is no audio file by its name or kind is not dropped: it is given with the reason.

Knows: the suffixes of audio and video files, links, what a Mac leaves beside its files. Does not know: what is in them.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from ..system.foreign_data import foreign_data, one_line

#: What FFmpeg's libraries read. Without .ts, which is TypeScript more often than a recording: name such a file itself.
_CONTAINERS = (
    ".3g2 .3gp .aac .ac3 .adts .aif .aifc .amr .ape .asf .avi .awb .dff .dsf .dts .eac3 .ec3 .f4a .f4v .flv .m2ts .m4a "
    ".m4b .m4r .m4v .mk3d .mka .mkv .mov .mp1 .mp2 .mp4 .mpa .mpc .mpeg .mpg .mts .mxf .oga .ogv .opus .qt .snd .spx "
    ".tak .tta .vob .weba .webm .wma .wmv .wv"
)
_MOST_NAMED = 10  #: names of files passed over in one sentence


@dataclasses.dataclass(frozen=True, order=True)
class PassedOver:
    """Something that is no audio file, and why."""

    path: str
    reason: str  #: such as ``a pipe``


class Found(NamedTuple):
    """What lies in a folder and its subfolders, each list sorted by path."""

    audio: list[Path]
    passed: list[PassedOver]

    def check(self, folder: Path) -> None:
        """Refuse a folder without audio files with an `InputError` that names what it holds."""
        if not self.audio:
            rest = f" ({sentence(self.passed)})" if self.passed else ""
            raise InputError(
                f"{folder} holds no audio files; wanted .wav, .flac, .ogg, .mp3, .m4a or the like somewhere in it{rest}"
            )


@lru_cache(maxsize=1)
def audio_suffixes() -> frozenset[str]:
    """The suffixes of audio and video files that can be read. Without .raw, which has no header and so no rate."""
    import soundfile  # here only: whoever reads tokens or weights asks for suffixes in an error, and needs no library

    known = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    return frozenset(known | set(_CONTAINERS.split()))


def passed_over(path: Path) -> str | None:
    """Why a path that was found in a folder or by a glob is no audio file; None: it may be one."""
    if path.name.startswith("._"):
        return "what a Mac keeps beside a file"
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return "a link that leads to nothing" if path.is_symlink() else "it cannot be looked at"
    if stat.S_ISDIR(mode):
        return "a folder"
    if not stat.S_ISREG(mode):
        return "a pipe" if stat.S_ISFIFO(mode) else "a device or a socket"
    return None if path.suffix.lower() in audio_suffixes() else "its name ends like no audio file"


def search(folder: Path) -> Found:
    """All files in a folder and its subfolders: the audio files, and what is passed over with the reasons.

    Links to folders are followed, each real folder once, where its path comes first.
    """
    audio, passed = list[Path](), list[PassedOver]()
    with foreign_data(InputError, f"{folder}", "name the folders that are wanted"):  # nested too deeply, say
        os.scandir(folder).close()  # raises where the folder itself cannot be read
        for here, names in walk([str(folder)], passed):
            for path in (Path(here, name) for name in names):
                reason = passed_over(path)
                if reason is None:
                    audio.append(path)
                else:
                    passed.append(PassedOver(str(path), reason))
    return Found(sorted(audio), sorted(passed))


def walk(folders: Iterable[str], passed: list[PassedOver], hidden: bool = True) -> Iterator[tuple[str, list[str]]]:
    """Folders and all below them, each real one once, with the sorted names of what in it is no folder.

    A folder's own folders come before those that only links lead to.

    Args:
        folders: where to begin; ``""`` is this folder. What is no folder is left out.
        passed: gets the folders that cannot be read.
        hidden: whether names that begin with a dot count.
    """
    seen: set[tuple[int, int]] = set()
    waiting, links = list(folders)[::-1], list[str]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)
        try:
            status = os.stat(here or ".")
            if (identity := (status.st_dev, status.st_ino)) in seen:
                continue
            with os.scandir(here or ".") as entries:
                inside = sorted((entry for entry in entries if hidden or entry.name[0] != "."), key=lambda e: e.name)
        except NotADirectoryError:
            continue
        except OSError as error:
            passed.append(PassedOver(here, f"a folder that cannot be read ({one_line(error.strerror or error)})"))
            continue
        seen.add(identity)
        names, below = list[str](), list[str]()
        for entry in inside:
            if not os.path.isdir(entry):  # the entry's own method raises for a link to itself
                names.append(entry.name)
            elif entry.is_symlink():
                links.append(os.path.join(here, entry.name))
            else:
                below.append(os.path.join(here, entry.name))
        yield here, names
        waiting += reversed(below)


def sentence(passed: Sequence[PassedOver]) -> str:
    """What was passed over in one line: how many, and the first names with the reasons."""
    named = "; ".join(_with_reason(group) for group in _by_reason(passed))
    return f"{len(passed)} {'file' if len(passed) == 1 else 'files'} passed over: {named}"


def _by_reason(passed: Iterable[PassedOver]) -> list[list[PassedOver]]:
    groups: dict[str, list[PassedOver]] = {}
    for item in passed:
        groups.setdefault(item.reason, []).append(item)
    return list(groups.values())


def _with_reason(group: list[PassedOver]) -> str:
    names = ", ".join(one_line(item.path, 100) for item in group[:_MOST_NAMED])
    more = f" and {len(group) - _MOST_NAMED} more" if len(group) > _MOST_NAMED else ""
    return f"{names}{more} ({group[0].reason})"
