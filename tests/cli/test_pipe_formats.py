"""G.711 through pipes: `encode -` reads it, `decode -` writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from streamrvq.audio.sample_formats import FORMATS
from streamrvq.codec import Codec
from tests.support.command import Pipe
from tests.support.contract import noise


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_telephone_audio_there_and_back(pipe: Pipe, weights: Path, codec: Codec, name: str) -> None:
    format = FORMATS[name]
    data = format.write(noise(3000)).tobytes()
    settings = ("--codec", weights, "--format", name, "--rate", 8000)
    there, lines, _ = pipe(data, "encode", "-", *settings)
    back, raw, _ = pipe(lines, "decode", "-", *settings)
    assert (there, back) == (0, 0)
    codes = np.concatenate([np.array(json.loads(line)["codes"]) for line in lines.splitlines()], axis=1)
    whole = codec.encode(format.read(data), sample_rate=8000)
    assert codes.shape == whole.shape
    assert (codes != whole).mean() < 1e-3
    expected = format.write(codec.decode(codes, sample_rate=8000))
    assert len(raw) == len(expected)
    assert (np.frombuffer(raw, np.uint8) != expected).mean() < 1e-3
