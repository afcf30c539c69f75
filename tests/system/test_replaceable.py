"""A file that is replaced: whole or not at all, and only a file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamrvq.audio.writing import write_audio
from streamrvq.errors import AudioFileError, WeightsError
from streamrvq.system.atomic_file import replacing
from streamrvq.weights import save_weights
from tools.fuzzing.small import weights


def _bytes(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"x")


WRITERS: list[Callable[[Path], None]] = [
    _bytes, lambda path: write_audio(path, np.zeros(9, np.float32), 16000),
    lambda path: save_weights(weights(), path, "streamrvq"), lambda path: save_weights(weights(), path, "descript"),
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_no_file_is_not_replaced(write: Callable[[Path], None], tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe.wav")
    with pytest.raises(OSError if write in WRITERS[:2] else WeightsError, match="no file"):
        write(path)
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe.wav"]


def test_a_name_with_a_nul_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError):
        write_audio(tmp_path / "a\0b.wav", np.zeros(9, np.float32), 16000)
    with pytest.raises(WeightsError):
        save_weights(weights(), tmp_path / "a\0b.safetensors")
