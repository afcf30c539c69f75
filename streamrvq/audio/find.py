"""Audio files in folders.

Knows: the suffixes of libsndfile's formats. Does not know: what is in the files.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import soundfile

from ..errors import InputError
from ..system.foreign_data import foreign_data


@lru_cache(maxsize=1)
def audio_suffixes() -> frozenset[str]:
    """The suffixes of the formats that libsndfile reads. Without .raw, which has no header and so no rate."""
    known = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
    return frozenset(known | {".aif", ".aifc", ".oga", ".opus", ".snd"})


def audio_in(folder: Path) -> list[Path]:
    """Every audio file in a folder and its subfolders, sorted by path.

    Raises:
        InputError: no file was found.
    """
    with foreign_data(InputError, f"{folder}", "name the folders that are wanted"):  # nested too deeply, say
        there = sorted(folder.rglob("*"))
    inside = [path for path in there if path.suffix.lower() in audio_suffixes() and os.path.isfile(path)]
    if not inside:
        raise InputError(f"{folder} holds no audio files; wanted .wav, .flac, .ogg, .mp3 or the like somewhere in it")
    return inside
