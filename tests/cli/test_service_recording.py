"""`send --mic` writes what `mic` writes: gaps are in the token files, and a long one begins another file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import streamrvq
from streamrvq import DeviceError, Gap, load
from streamrvq.codec import Codec
from streamrvq.tokens import read_tokens
from streamrvq.tokens.journal import journal_of
from tests.support.command import Run
from tests.support.contract import noise
from tests.support.hostile.served import ended, served
from tests.support.service import RATE
from tests.support.virtual_sound import SilentMicrophone

FIRST, SECOND, LONG = noise(1000), noise(2000, 1), RATE + 1


@pytest.fixture(scope="module")
def codec(served_weights: Path) -> Codec:
    return load(served_weights)


@pytest.fixture(scope="module")
def url(served_weights: Path) -> Iterator[str]:
    server, url = served(served_weights)
    yield url
    ended(server)


class Microphone(SilentMicrophone):
    """A microphone that loses a little, then much, and is unplugged if ``error`` is set."""

    error: Exception | None = None

    async def __aiter__(self) -> Any:
        yield FIRST
        yield Gap(1000, 200, "overflow")
        yield FIRST
        yield Gap(2200, LONG, "overrun")
        yield SECOND
        yield Gap(2200 + LONG + 2000, 100, "overflow")
        if self.error is not None:
            raise self.error


def check(path: Path, codec: Codec) -> None:
    """The two files of what a `Microphone` gives."""
    filled, second = np.zeros(200, np.float32), path.with_stem(f"{path.stem}-2")
    wanted = (
        (path, np.concatenate([FIRST, filled, FIRST]), 0, (1000, 200)),
        (second, np.append(SECOND, filled[:100]), 2200 + LONG, (2000, 100)),
    )
    for name, pcm, start, gap in wanted:
        file, codes = read_tokens(name), codec.encode(pcm)
        assert (file.num_samples, file.start, file.gaps) == (len(pcm), start, (gap,))
        assert file.codes.shape == codes.shape
        assert (file.codes != codes).mean() < 1e-2  # near-ties between steps of other sizes
        assert not journal_of(name).exists()


def test_gaps_are_in_the_files_and_a_long_one_begins_another(
    run: Run, url: str, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamrvq, "Microphone", Microphone, raising=False)
    path = tmp_path / "mic.safetensors"
    document = run("send", "--mic", url, "-o", path, "--json").document
    assert document["tokens"] == str(path)
    assert document["files"] == [str(path), str(tmp_path / "mic-2.safetensors")]
    assert (document["samples"], document["lost"]) == (4000, 300 + LONG)
    check(path, codec)
    before = path.read_bytes()
    assert "is there already" in run("send", "--mic", url, "-o", path).sentence
    assert path.read_bytes() == before


def test_what_came_before_the_device_was_lost_is_kept(
    run: Run, url: str, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamrvq, "Microphone", Microphone, raising=False)
    monkeypatch.setattr(Microphone, "error", DeviceError("it was unplugged"))
    done = run("send", "--mic", url, "-o", tmp_path / "mic.safetensors")
    assert (done.code, done.err.splitlines()[-1]) == (2, "streamrvq: error: it was unplugged")
    check(tmp_path / "mic.safetensors", codec)


def test_lines_say_what_was_lost(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamrvq, "Microphone", Microphone, raising=False)
    lines = [json.loads(line) for line in run("send", "--mic", url, "-o", "-").out.splitlines()]
    gaps = [line["gap"] for line in lines if "gap" in line]
    assert [(gap["position"], gap["samples"]) for gap in gaps] == [(1000, 200), (2200, LONG), (4200 + LONG, 100)]
