"""Where the tokens of each source go, decided before anything is encoded.

A file's tokens lie beside it, or under the same name in the folder of ``-o``, as ``NAME.safetensors``. Where several
sources of a command would get one name, as ``a.mp3`` and ``a.flac`` would, each keeps its ending:
``a.mp3.safetensors``. Names that differ in case are one name where the file system says so.

Knows: names. Does not know: audio, how tokens are made or written.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...audio.find import audio_suffixes
from ...errors import InputError, TokensError
from ...system.atomic_file import check_folder, check_writable
from ...tokens import read_dac, read_tokens
from .dac_files import is_dac
from .same_file import keys_of

SUFFIX = ".safetensors"


class Source(NamedTuple):
    """A source, and the relative path that its tokens get in a folder of ``-o``."""

    path: Path
    relative: Path


@dataclasses.dataclass(frozen=True)
class Job:
    """A file to encode, and where its tokens go."""

    source: Path
    target: Path


def is_one_file(output: Path | None, sources: Sequence[str]) -> bool:
    """Whether ``-o`` names a token file, and not a folder: it has a suffix, no folder lies there, and there is one
    source, which is no folder.

    Raises:
        InputError: it ends in .safetensors, but there are several sources; or it is a file, but has to be a folder.
    """
    if output is None or os.path.isdir(output) or not output.name:
        return False
    check_name(output)
    several = len(sources) > 1 or os.path.isdir(sources[0])
    if several and (output.suffix == SUFFIX or is_dac(output) or os.path.lexists(output)):
        raise InputError(f"-o {output} is one file; wanted a folder for several sources")
    if not several and not output.suffix and os.path.lexists(output):
        raise InputError(f"-o {output} is a file without a suffix, and no folder; give another name")
    return not several and output.suffix != ""


def token_file_of_stream(output: Path) -> Path:
    """``-o`` of what comes once. Raises `InputError` if it names a folder, or no tokens can be written there."""
    if os.path.isdir(output) or not output.suffix:
        raise InputError(f"-o {output} names no token file; here it has to, such as {output / 'x.safetensors'}")
    if is_dac(output):
        raise InputError(f"-o {output} needs the audio twice, for its loudness; save it to a file and name that")
    check_token_target(output)
    return output


def plan(sources: Sequence[Source], output: Path | None, one_file: bool) -> tuple[list[Job], list[dict[str, str]]]:
    """The files to encode with their targets, and those whose tokens cannot be written, each with the reason.

    A file that is named twice is encoded once.

    Raises:
        InputError: two files would have one target whatever it is called.
    """
    chosen: dict[Path, Source] = {}
    for key, source in zip(keys_of([source.path for source in sources]), sources, strict=True):
        chosen.setdefault(key, source)
    jobs, failures = [], []
    for path, target in _targets(list(chosen.values()), output, one_file):
        reason = _refusal(path, target, output)
        if reason is None:
            jobs.append(Job(path, target))
        else:
            failures.append({"source": str(path), "error": reason})
    return jobs, failures


def _targets(sources: list[Source], output: Path | None, one_file: bool) -> list[tuple[Path, Path]]:
    if one_file and output is not None:
        return [(source.path, output) for source in sources]

    def target(source: Source, whole: bool) -> Path:
        place = source.path if output is None else output / source.relative
        return place.with_name(place.name + SUFFIX) if whole else place.with_suffix(SUFFIX)

    whole = [False] * len(sources)
    while True:  # a name with its ending may be another's without: a.mp3 and a.mp3.wav
        targets = [target(source, keep) for source, keep in zip(sources, whole, strict=True)]
        keys = keys_of(targets)
        often = Counter(keys)
        shared = [often[key] > 1 for key in keys]
        if not any(clash and not keep for clash, keep in zip(shared, whole, strict=True)):
            break
        whole = [keep or clash for keep, clash in zip(whole, shared, strict=True)]
    for source, name, key in zip(sources, targets, keys, strict=True):
        if often[key] > 1:
            other, also = next(
                (o, t) for o, t, k in zip(sources, targets, keys, strict=True) if k == key and o is not source
            )
            one = "" if also == name else f", for {also} is the same file here"
            raise InputError(
                f"{source.path} and {other.path} would both be written to {name}{one}; encode them with two commands, "
                "each with a folder of its own after -o"
            )
    return [(source.path, name) for source, name in zip(sources, targets, strict=True)]


def _refusal(source: Path, target: Path, output: Path | None) -> str | None:
    """Why tokens cannot be written to ``target``; None: they can."""
    try:
        comes_once = not stat.S_ISREG(os.stat(source).st_mode)
    except (OSError, ValueError):
        return None  # whoever opens the source says what is wrong with it
    if comes_once and output is None:
        return f"{source} is a pipe or a device, beside which no tokens are written; name a file with -o"
    if comes_once and is_dac(target):
        return (
            f"{source} is a pipe or a device, and {target} needs the audio twice, for its loudness; save it to a file "
            "and name that"
        )
    try:
        check_token_target(target)
    except InputError as error:
        return str(error)
    return None


def check_token_target(target: Path) -> None:
    """Refuse a path at which no token file can be put, or something else than tokens lies.

    Raises:
        InputError: so it is; or it is called as audio is.
    """
    check_name(target)
    try:
        if os.path.lexists(target.parent):
            check_writable(target)
        else:  # it will be made
            with suppress(FileNotFoundError, NotADirectoryError):
                os.lstat(target)  # a name may be too long
            check_folder(next(folder for folder in target.parents if os.path.lexists(folder)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write tokens to {target} ({reason}); name a file or a folder with -o") from None
    if os.path.exists(target) and not _reads_as_tokens(target):
        raise InputError(
            f"{target} is there already and holds no tokens; move it away, or choose another folder with -o"
        )


def check_name(target: Path, suffix: str = SUFFIX) -> None:
    """Refuse the name of an audio file for tokens, which nothing would play; ``suffix``: that it should have.

    Raises `InputError`.
    """
    if target.suffix.lower() in audio_suffixes():
        raise InputError(
            f"{target} is the name of an audio file, and tokens would be written to it; wanted a name such as "
            f"{target.with_suffix(suffix)}, or a folder"
        )


def _reads_as_tokens(path: Path) -> bool:
    try:
        (read_dac if is_dac(path) else read_tokens)(path)
    except TokensError:
        return False
    return True
