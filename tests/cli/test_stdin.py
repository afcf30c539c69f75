"""What comes on stdin: a container is decoded, raw samples are samples, and --raw decides."""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamrvq.codec import Codec
from tests.support.command import Run, process
from tests.support.contract import noise


def written(container: str, pcm: np.ndarray[Any, Any], rate: int = 22050) -> bytes:
    whole = io.BytesIO()
    soundfile.write(whole, pcm, rate, format=container)
    return whole.getvalue()


@pytest.fixture
def encode(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path) -> Any:
    def encoded(data: bytes, *options: Any) -> Any:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]
        return run("encode", "-", "--codec", weights, *options)

    return encoded


def codes_of(out: str) -> np.ndarray[Any, Any]:
    return np.concatenate([np.array(json.loads(line)["codes"]) for line in out.splitlines()], axis=1)


@pytest.mark.parametrize("container", ["WAV", "AIFF", "FLAC", "AU", "CAF", "NIST", "IRCAM", "AVR", "PVF"])
def test_a_container_is_decoded(encode: Any, codec: Codec, container: str) -> None:
    whole = np.round(noise(5000) * 32768).astype(np.int16)
    done = encode(written(container, whole))
    assert done.code == 0
    np.testing.assert_array_equal(codes_of(done.out), codec.encode(whole, sample_rate=22050))


def test_what_sox_writes_into_a_pipe_is_decoded(encode: Any, codec: Codec) -> None:
    samples = np.round(noise(5000) * 32768).astype(np.int16)
    head = b".SoX" + struct.pack("<IQdII", 28, 0, 22050.0, 1, 0)
    done = encode(head + (samples.astype("<i4") << 16).tobytes())
    assert done.code == 0
    np.testing.assert_array_equal(codes_of(done.out), codec.encode(samples, sample_rate=22050))


def test_raw_says_that_these_are_samples(encode: Any, codec: Codec) -> None:
    data = written("WAV", noise(2000))
    done = encode(data, "--raw", "44100:s16le")
    assert done.code == 0
    np.testing.assert_array_equal(codes_of(done.out), codec.encode(np.frombuffer(data, "<i2")))


def test_raw_samples_need_no_option(encode: Any, codec: Codec) -> None:
    samples = np.round(noise(3000) * 32768).astype("<i2")
    np.testing.assert_array_equal(codes_of(encode(samples.tobytes()).out), codec.encode(samples))


@pytest.mark.parametrize("first", [b"\xff\xfb\x90\x00", b"\x0b\x77\x00\x00", b"\xff\xf1\x50\x80", b"\x47\x00"])
def test_samples_that_look_like_a_frame_are_samples(encode: Any, codec: Codec, first: bytes) -> None:
    samples = np.frombuffer(first + bytes(4000), "<i2")
    np.testing.assert_array_equal(codes_of(encode(samples.tobytes()).out), codec.encode(samples))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rate", 44100], "stdin begins like wav, which says its own rate"),
        (["--format", "f32le"], "stdin begins like wav"),
        (["--raw", "fast"], "wanted RATE or RATE:FORMAT"),
        (["--raw", "44100:s20"], "format is 's20'"),
        (["--raw", "16000", "--rate", 16000], "--raw says rate and format"),
        (["--truncated", "maybe"], "wanted refuse or keep"),
    ],
)
def test_what_contradicts_is_refused(encode: Any, options: list[Any], words: str) -> None:
    done = encode(written("WAV", noise(300)), *options)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


@pytest.mark.parametrize("raw", [[], ["--raw", "44100"]])
@pytest.mark.parametrize("option", [["--downmix"], ["--track", "0"], ["--truncated", "keep"]])
def test_what_only_containers_have_is_refused_for_samples(encode: Any, raw: list[str], option: list[str]) -> None:
    done = encode(bytes(4000), *raw, *option)
    assert f"{option[0]} came with raw samples on stdin, which are of one channel" in done.sentence
    assert "pipe a container" in done.sentence
    assert done.out == ""


def test_a_cut_container_is_refused_and_kept_on_request(encode: Any) -> None:
    data = written("WAV", noise(4000))[:-1000]
    done = encode(data)
    assert done.code == 2
    assert "ends at sample 3500 of 4000" in done.err
    kept = encode(data, "--truncated", "keep")
    assert kept.code == 0
    assert codes_of(kept.out).shape[1] == -(-7000 // 8)


def test_several_channels_are_asked_about(encode: Any) -> None:
    stereo = np.stack([noise(500), noise(500)], 1)
    assert "pass downmix=True (--downmix)" in encode(written("WAV", stereo)).err
    assert encode(written("FLAC", stereo), "--downmix").code == 0


def test_libraries_say_nothing_on_stderr(weights: Path) -> None:
    done = process("encode", "-", "--codec", weights)
    _, err = done.communicate(b"ID3\x03\0\0\0\0\0\x05junk.." + b"\xff\xfb\x90\0" * 300)
    assert done.returncode == 2
    assert [line for line in err.splitlines() if not line.startswith(b"streamrvq:")] == []
