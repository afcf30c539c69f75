"""Audio files in folders.

Knows: the suffixes of libsndfile's formats. Does not know: what is in the files.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import soundfile

from ..errors import InputError


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
    inside = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in audio_suffixes() and path.is_file()]
    if not inside:
        raise InputError(f"{folder} holds no audio files; wanted .wav, .flac, .ogg, .mp3 or the like somewhere in it")
    return inside
