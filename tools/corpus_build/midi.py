"""Music rendered from notes: MIDI files, also those inside of Doom's WAD archives, played by FluidSynth.

One thread, fixed settings and floating-point output: the same notes and instruments give the same samples. Each tune is
kept as FLAC, so an interrupted run continues.

Knows: the WAD format's directory, FluidSynth's command line. Does not know: which packages hold notes, what is cut.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from .build import Package
from .errors import CorpusError

_RATE = 48000
_SILENCE = 10 ** (-70 / 20)  #: the end of a tune is cut where it stays below
_PEAK = 0.7
_WAD_HEADER, _WAD_ENTRY = struct.Struct("<4sii"), struct.Struct("<ii8s")
_OPTIONS = ("-n", "-i", "-q", "-r", str(_RATE), "-g", "0.5", "-o", "synth.cpu-cores=1", "-O", "float", "-T", "wav")


def render(
    notes: Package, instruments: Package, folder: Path, say: Callable[[str], None] = print, limit: int | None = None
) -> Package:
    """Every tune of ``notes`` as mono FLAC in ``folder``, and the copyright files of both packages.

    Args:
        notes: an unpacked package with .mid or .wad files.
        instruments: an unpacked package with one .sf2 file.
        folder: what is there already is kept.
        say: told of progress.
        limit: at most as many tunes.

    Raises:
        CorpusError: FluidSynth is missing or failed, or there are no notes or instruments.
    """
    if shutil.which("fluidsynth") is None:
        raise CorpusError("fluidsynth is not here; wanted it to render MIDI: install the Debian package fluidsynth")
    font = min(instruments.folder.rglob("*.sf2"), default=None)
    found = list(tunes(notes.folder))[:limit]
    if font is None or not found:
        raise CorpusError(f"{notes.folder} has {len(found)} tunes and {instruments.folder} the instruments {font}")
    stamp = folder / ".rendered"
    wanted = f"{notes.sha256} {instruments.sha256} {' '.join(_OPTIONS)}\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(wanted)
    for number, (name, data) in enumerate(found, 1):
        target = folder / f"{name}.flac"
        if not target.exists():
            say(f"rendering {name} ({number} of {len(found)})")
            _render(data, font, target)
    for package in (notes, instruments):
        for terms in sorted(package.folder.glob("usr/share/doc/*/copyright")):
            to = folder / terms.relative_to(package.folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(terms, to)
    return Package(folder, notes.version, notes.sha256)


def tunes(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of all MIDI files below ``folder``, in a fixed order, equal ones once."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() == ".wad":
            inside = [(f"{path.stem}_{name}", data) for name, data in lumps(path.read_bytes(), path.name)]
        elif path.suffix.lower() == ".mid":
            inside = [(path.stem, path.read_bytes())]
        else:
            continue
        for name, data in inside:
            digest = hashlib.sha256(data).digest()
            if data[:4] == b"MThd" and digest not in seen:
                seen.add(digest)
                yield name, data


def lumps(data: bytes, what: str = "a WAD file") -> Iterator[tuple[str, bytes]]:
    """The named parts of a WAD archive. Raises `CorpusError` if its directory points outside of it."""
    if len(data) < _WAD_HEADER.size or data[:4] not in (b"IWAD", b"PWAD"):
        raise CorpusError(f"{what} is no WAD archive; wanted one that begins with IWAD or PWAD")
    _, count, at = _WAD_HEADER.unpack_from(data)
    if count < 0 or at < 0 or at + count * _WAD_ENTRY.size > len(data):
        raise CorpusError(f"{what} has {len(data)} bytes and a directory of {count} parts at {at}; wanted it inside")
    for number in range(count):
        start, size, name = _WAD_ENTRY.unpack_from(data, at + number * _WAD_ENTRY.size)
        if size > 0 and 0 <= start <= len(data) - size:
            yield name.rstrip(b"\0").decode("ascii", "replace").replace("/", "_"), data[start : start + size]


def _render(data: bytes, font: Path, target: Path) -> None:
    notes, wave = target.with_suffix(".mid.part"), target.with_suffix(".wav.part")
    notes.write_bytes(data)
    command = ["fluidsynth", *_OPTIONS, "-F", str(wave), str(font), str(notes)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode or not wave.exists():
        raise CorpusError(f"fluidsynth could not render {target.stem}: {' / '.join(done.stderr.splitlines()[-3:])}")
    pcm = soundfile.read(wave, dtype="float32", always_2d=True)[0].mean(axis=1, dtype=np.float32)
    loud = np.flatnonzero(np.abs(pcm) > _SILENCE)
    pcm = pcm[: loud[-1] + 1] if len(loud) else pcm[:0]
    if len(pcm):
        pcm *= np.float32(_PEAK / np.abs(pcm).max())  # tunes are mixed at very different levels
    part = target.with_suffix(".flac.part")
    soundfile.write(part, pcm, _RATE, format="FLAC", subtype="PCM_16")
    part.rename(target)
    notes.unlink()
    wave.unlink()
