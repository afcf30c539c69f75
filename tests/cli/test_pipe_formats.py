"""G.711 through pipes: `encode -` reads it, `decode -` writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamrvq.audio.sample_formats import FORMATS
from streamrvq.codec import Codec
from tests.support.command import process
from tests.support.contract import noise


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_telephone_audio_there_and_back(weights: Path, codec: Codec, name: str) -> None:
    format = FORMATS[name]
    data = format.write(noise(3000)).tobytes()
    there = process("encode", "-", "--codec", weights, "--format", name, "--rate", 8000)
    lines, _ = there.communicate(data)
    back = process("decode", "-", "--codec", weights, "--format", name, "--rate", 8000)
    raw, _ = back.communicate(lines)
    assert (there.returncode, back.returncode) == (0, 0)
    codes = np.concatenate([np.array(json.loads(line)["codes"]) for line in lines.splitlines()], axis=1)
    whole = codec.encode(format.read(data), sample_rate=8000)
    assert codes.shape == whole.shape
    assert (codes != whole).mean() < 1e-3
    expected = format.write(codec.decode(codes, sample_rate=8000))
    assert len(raw) == len(expected)
    assert (np.frombuffer(raw, np.uint8) != expected).mean() < 1e-3
