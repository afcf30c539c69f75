"""Debian packages: downloaded with apt-get, opened without any Debian tool. Nothing in a package is installed or run.

Knows: the layout of a .deb (an ar archive with a tar inside), and that games keep sounds in zip files there. Does not
know: which sounds are wanted, licences, what is done with a file.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .errors import CorpusError

AUDIO = (".wav", ".flac", ".oga", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".g722")
#: What audio is made from: notes, archives of notes, sampled instruments; WordNet's sentences.
_OTHERS = (".mid", ".wad", ".sf2", ".adj", ".adv", ".noun", ".verb")
_ARCHIVES = (".zip", ".pk3")
_OPENERS: dict[str, Callable[..., Any]] = {
    "data.tar.xz": lzma.LZMAFile,
    "data.tar.gz": partial(gzip.GzipFile, None, "rb", 9),
    "data.tar.bz2": bz2.BZ2File,
}
#: What the openers raise for a package that is cut off or damaged.
_DAMAGED = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile, ValueError)
_STAMP = ".unpacked"  # names the package that was unpacked: delete the folder if AUDIO or _OTHERS change


def find_deb(folder: Path, package: str) -> Path | None:
    """The package's .deb in ``folder``, of any version; the last by name if there are several."""
    return max(folder.glob(f"{package}_*.deb"), default=None)


def fetch(folder: Path, packages: Iterable[str]) -> None:
    """Download what is missing in ``folder``. Raises `CorpusError`, which says what to do, if that is impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if find_deb(folder, package) is None]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise CorpusError(
            f"apt-get is not here, and {folder} lacks {len(missing)} packages of Debian 12: {' '.join(missing)}. "
            "Put their .deb files there (`apt-get download` on any Debian 12 machine, no root needed), or bring a "
            "packed set (tools/corpus --pack there, --unpack here), or take your own audio (--no-debian --folder …)"
        )
    done = subprocess.run(
        ["apt-get", "download", "-q", *missing], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    missing = [package for package in missing if find_deb(folder, package) is None]
    if missing:
        raise CorpusError(
            f"apt-get download gave no {' '.join(missing)}; wanted a system that knows Debian 12's packages (main): "
            f"run `apt-get update` as root, or put the .deb files into {folder}. apt-get said: "
            + " / ".join(done.stdout.strip().splitlines()[-3:])
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def version(deb: Path) -> str:
    """The version in the file's name, where a colon is written as ``%3a``."""
    return deb.stem.split("_")[1].replace("%3a", ":")


def unpack(deb: Path, folder: Path) -> None:
    """Unpack a package's copyright file, sounds and what sounds are made from; a zip file into a folder of its name.

    Nothing happens if this file is unpacked there already.

    Raises:
        CorpusError: it is not a Debian package or is damaged, or a name in it points outside of the folder.
    """
    stamp = f"{deb.name} {deb.stat().st_size}\n"
    if (folder / _STAMP).exists() and (folder / _STAMP).read_text() == stamp:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _unpack(deb, folder)
    except _DAMAGED as error:
        raise CorpusError(
            f"{deb} is damaged ({error}); wanted a whole package: delete it, it will be fetched again"
        ) from None
    (folder / _STAMP).write_text(stamp)


def _unpack(deb: Path, folder: Path) -> None:
    with open(deb, "rb") as file:
        opener = _OPENERS[_seek_data(file, deb)]
        with opener(file) as data, tarfile.open(fileobj=data, mode="r|") as tar:
            for member in tar:
                if member.isfile() and (content := tar.extractfile(member)) is not None:
                    _extract(member.name, content, folder)


def _seek_data(file: IO[bytes], deb: Path) -> str:
    """Seek to the package's tar. Returns its name, which says how it is compressed."""
    if file.read(8) != b"!<arch>\n":
        raise CorpusError(f"{deb} is no Debian package; wanted an ar archive: delete it, it will be fetched again")
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58])
        if name in _OPENERS:
            return name
        file.seek(size + size % 2, 1)
    raise CorpusError(f"{deb} has none of {', '.join(_OPENERS)}; wanted a package of Debian 12, whose tars are of xz")


def _extract(name: str, content: IO[bytes], folder: Path) -> None:
    inside = PurePosixPath(name.removeprefix("./"))
    if inside.is_absolute() or ".." in inside.parts:
        raise CorpusError(f"{name!r} in a package points outside of it; wanted plain relative names")
    ending, target = inside.suffix.lower(), folder / inside
    if ending in _ARCHIVES:
        archive_file = folder / ".archive"
        with open(archive_file, "wb") as file:
            shutil.copyfileobj(content, file)
        with zipfile.ZipFile(archive_file) as archive:
            for member in sorted(archive.infolist(), key=lambda info: info.filename):
                if member.filename.lower().endswith(AUDIO):
                    with archive.open(member) as packed:
                        _extract(f"{inside}/{member.filename}", packed, folder)
        archive_file.unlink()
    elif ending in AUDIO + _OTHERS or inside.name == "copyright":
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as file:
            shutil.copyfileobj(content, file)
