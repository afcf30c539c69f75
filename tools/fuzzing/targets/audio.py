"""Audio files, in every format that libsndfile writes, and their headers alone."""

from __future__ import annotations

import numpy as np
import soundfile

from streamrvq.audio.files import open_audio
from streamrvq.audio.headers import ogg_is_cut, sample_extent

from ..target import Target, scratch, written

#: The format that a file's name promises does not matter to libsndfile, save for .raw and .mp3.
_FORMATS = {"wav": "PCM_16", "w64": "FLOAT", "rf64": "PCM_24", "aiff": "PCM_16", "au": "ULAW", "caf": "PCM_S8",
            "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}  # fmt: skip


def _read(data: bytes) -> None:
    with open_audio(written("audio.bin", data), downmix=True) as reader:
        for _ in range(64):  # a compressed file may hold hours
            if not len(reader.read(4096)):
                break


def _header(data: bytes) -> None:
    path = written("header.bin", data)
    sample_extent(path)
    ogg_is_cut(path)


def _seeds() -> list[bytes]:
    pcm = np.sin(np.arange(400) / 9).astype(np.float32) / 2
    seeds = []
    for name, subtype in _FORMATS.items():
        path = scratch(f"seed.{name}")
        soundfile.write(path, np.stack([pcm, -pcm], 1), 16000, subtype=subtype, format=name.upper())
        seeds.append(path.read_bytes())
    return seeds


TARGETS = (
    Target("audio", "an audio file", _read, _seeds),
    Target("audio-header", "the header of an audio file", _header, _seeds),
)
