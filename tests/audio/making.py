"""Audio files in many formats, whole and with the defects that files have in the wild. FFmpeg's program makes them.

Knows: formats, and how files are damaged. Does not know: what streamrvq makes of them.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

SECONDS = 0.7
#: Names, FFmpeg's arguments. Rates that the codecs take.
FORMATS = {
    "wav": "-c:a pcm_s16le", "u8.wav": "-c:a pcm_u8", "s24.wav": "-c:a pcm_s24le", "s32.wav": "-c:a pcm_s32le",
    "f32.wav": "-c:a pcm_f32le", "f64.wav": "-c:a pcm_f64le", "mulaw.wav": "-c:a pcm_mulaw -ar 8000",
    "alaw.wav": "-c:a pcm_alaw -ar 8000", "adpcm.wav": "-c:a adpcm_ima_wav", "rf64.wav": "-rf64 always",
    "aiff": "-c:a pcm_s16be", "au": "-c:a pcm_s16be", "w64": "-c:a pcm_s16le", "caf": "-c:a pcm_s16le",
    "flac": "-c:a flac", "s24.flac": "-c:a flac -sample_fmt s32", "mp3": "-b:a 64k", "vbr.mp3": "-q:a 5",
    "bare.mp3": "-b:a 64k -write_xing 0 -id3v2_version 0", "22k.mp3": "-b:a 32k -ar 22050 -write_xing 0",
    "mp2": "-b:a 64k",
    "ogg": "-c:a libvorbis", "opus": "-c:a libopus", "flac.ogg": "-c:a flac", "aac": "-c:a aac", "m4a": "-c:a aac",
    "fast.m4a": "-c:a aac -movflags faststart", "frag.mp4": "-c:a aac -movflags frag_keyframe+empty_moov",
    "alac.m4a": "-c:a alac", "mp4": "-c:a aac", "mov": "-c:a pcm_s16le", "webm": "-c:a libopus",
    "vorbis.webm": "-c:a libvorbis", "mka": "-c:a flac", "mkv": "-c:a aac", "wma": "-c:a wmav2", "ac3": "-c:a ac3",
    "ts": "-c:a mp2", "flv": "-c:a aac -ar 44100", "avi": "-c:a mp2", "wv": "-c:a wavpack", "tta": "-c:a tta",
    "voc": "-c:a pcm_u8", "3gp": "-c:a aac",
}  # fmt: skip
ADTS_LIKE = ("aac", "ac3", "mp2", "bare.mp3", "22k.mp3")


class Case(NamedTuple):
    """A file, and what is to come of it."""

    name: str
    path: Path
    #: ``whole``: all that FFmpeg decodes; ``cut``: refused, and kept on request.
    expected: str


class Maker:
    """Makes the files in a folder.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._whole = folder, dict[str, bytes]()

    def cases(self) -> Iterator[Case]:
        """All files."""
        source = self._folder / "source.wav"
        _ffmpeg("-f", "lavfi", "-i", f"aevalsrc=0.3*sin(440*2*PI*t)+0.1*sin(3000*t*t):d={SECONDS}:s=44100", str(source))
        commands = []
        for name, arguments in FORMATS.items():
            commands += [*arguments.split(), "-ac", "1", str(self._folder / f"whole.{name}")]
        _ffmpeg("-i", str(source), *commands)
        for name in FORMATS:
            path = self._folder / f"whole.{name}"
            self._whole[name] = path.read_bytes()
            yield Case(name, path, "whole")
        yield from self._cut()
        yield from self._joined()
        yield from self._tagged()
        yield from self._sizes()
        yield from self._others()
        yield from self._sox_and_lame(source)

    def _case(self, defect: str, name: str, data: bytes, expected: str = "whole") -> Case:
        path = self._folder / f"{defect.replace(' ', '_')}.{name}"
        path.write_bytes(data)
        return Case(f"{defect} {name}", path, expected)

    def _cut(self) -> Iterator[Case]:
        for name, data in self._whole.items():
            tapped = name in (*ADTS_LIKE, "ts", "flv", "frag.mp4")
            for share in (0.6, 0.9):
                yield self._case(f"cut {share}", name, data[: int(share * len(data))], "either" if tapped else "cut")

    def _joined(self) -> Iterator[Case]:
        for name in ("mp3", "vbr.mp3", "bare.mp3", "22k.mp3", "mp2", "aac", "ac3", "ogg", "opus", "flac"):
            yield self._case("joined", name, self._whole[name] * 2)

    def _tagged(self) -> Iterator[Case]:
        id3v1, ape = b"TAG" + b"x" * 125, b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 1 << 31)
        art = b"ID3\x03\0\0\0\0\x4e\x0a" + b"APIC" + struct.pack(">IH", 10_000 - 10, 0) + bytes(10_000 - 10)
        for name in ("mp3", "vbr.mp3", "bare.mp3", "22k.mp3", "aac"):
            data = self._whole[name]
            yield self._case("id3v1", name, data + id3v1)
            yield self._case("ape", name, data + ape)
            yield self._case("art", name, art + data)
            yield self._case("zeros behind", name, data + bytes(20_000))
        for name in ("bare.mp3", "22k.mp3", "aac"):
            yield self._case("tapped", name, self._whole[name][501:-333])

    def _sizes(self) -> Iterator[Case]:
        for name in ("wav", "s24.wav", "f32.wav"):
            data = self._whole[name]
            at = data.index(b"data") + 4
            held = len(data) - at - 4
            sizes = {
                "0": (0, 0), "0 in 36": (36, 0), "ffffffff": (0xFFFFFFFF, 0xFFFFFFFF), "0 in right": (len(data) - 8, 0),
                "7fffffff": (0x7FFFFFFF, 0x7FFFFFFF), "7ffff000": (0x7FFFF024, 0x7FFFF000),
                "80000000": (0x80000024, 0x80000000), "ffffffff-36": (0xFFFFFFFF, 0xFFFFFFFF - 36),
                "the file's": (len(data), len(data)), "too short": (len(data) - 8, held // 4),
            }  # fmt: skip
            for defect, (outer, inner) in sizes.items():
                patched = data[:4] + struct.pack("<I", outer) + data[8:at] + struct.pack("<I", inner) + data[at + 4 :]
                yield self._case(f"size {defect}", name, patched, "past" if defect == "too short" else "whole")
            yield self._case("list behind", name, data + b"LIST" + struct.pack("<I", 4) + b"INFO")
            for missing in (1, 1000):
                yield self._case(f"{missing} missing", name, data[:-missing], "cut")
        flac = bytearray(self._whole["flac"])
        flac[21] &= 0xF0
        flac[22:26] = bytes(4)
        yield self._case("no length", "flac", bytes(flac))
        flac[22:26] = struct.pack(">I", 1000)
        yield self._case("too short a length", "flac", bytes(flac))
        flac[22:26] = struct.pack(">I", 1_000_000)
        yield self._case("too long a length", "flac", bytes(flac), "cut")

    def _others(self) -> Iterator[Case]:
        path = self._folder / "film.mp4"
        _ffmpeg("-f", "lavfi", "-i", f"testsrc=d={SECONDS}:s=64x64:r=10", "-i", str(self._folder / "source.wav"),
                "-c:v", "mpeg4", "-c:a", "aac", str(path))  # fmt: skip
        yield Case("film mp4", path, "whole")
        live = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", self._folder / "source.wav", "-c:a", "libopus", "-f", "webm", "-"],
            capture_output=True, check=True,
        ).stdout  # fmt: skip
        yield self._case("live", "webm", live)

    def _sox_and_lame(self, source: Path) -> Iterator[Case]:
        if shutil.which("sox"):
            for name in ("wav", "aiff", "aifc", "au", "caf", "flac", "ogg"):
                data = subprocess.run(
                    ["sox", source, "-t", name, "-"], capture_output=True, check=True
                ).stdout  # to a pipe: sizes are not known
                yield self._case("of sox", name, data)
        if shutil.which("lame"):
            for name, options in (("vbr.mp3", ["-V5"]), ("bare.mp3", ["-t", "-b", "64"]), ("abr.mp3", ["--abr", "64"])):
                path = self._folder / f"lame.{name}"
                subprocess.run(["lame", "--quiet", *options, source, path], check=True)
                yield Case(f"of lame {name}", path, "whole")


def decoded_by_ffmpeg(path: Path, *before: str) -> bytes:
    """What ``ffmpeg -i X -f f32le`` gives, whatever it complains of."""
    command = ["ffmpeg", "-v", "quiet", *before, "-i", str(path), "-map", "0:a:0", "-ac", "1", "-f", "f32le", "-"]
    return subprocess.run(command, capture_output=True, check=False).stdout


def all_decoded_by_ffmpeg(paths: list[Path], folder: Path) -> list[bytes]:
    """The same of each file. A start of FFmpeg costs more than a file, so one decodes many, if it can open them all."""
    if len(paths) == 1:
        return [decoded_by_ffmpeg(paths[0])]
    outs = [folder / f"{number}.f32" for number in range(len(paths))]
    command = ["ffmpeg", "-v", "quiet", "-y"]
    for path in paths:
        command += ["-i", str(path)]
    for number, out in enumerate(outs):
        command += ["-map", f"{number}:a:0", "-ac", "1", "-f", "f32le", str(out)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        half = len(paths) // 2
        return all_decoded_by_ffmpeg(paths[:half], folder) + all_decoded_by_ffmpeg(paths[half:], folder)
    return [out.read_bytes() for out in outs]


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


Decode = Callable[[Path], bytes]
