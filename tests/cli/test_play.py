"""`play` on a virtual loudspeaker that keeps every sample, and on devices that give trouble."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq.codec import Codec
from tests.support.command import Run, process
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Device, Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def assert_heard(sink: Sink, pcm: np.ndarray) -> None:
    """Exactly ``pcm`` was played; a device may end with silence."""
    heard = sink.heard
    assert len(heard) >= len(pcm)
    np.testing.assert_array_equal(heard[: len(pcm)], pcm)
    assert not heard[len(pcm) :].any()


def test_an_audio_file_is_heard(run: Run, sink: Sink, wav: Path) -> None:
    done = run("play", wav)
    assert (done.code, done.err) == (0, "")
    assert "0.1 s played through default at 44100 Hz: noise.wav" in done.out
    assert_heard(sink, np.clip(noise(4410), -1, 1))


def test_what_there_is_of_a_cut_file_is_heard_on_request(run: Run, sink: Sink, wav: Path, tmp_path: Path) -> None:
    (cut := tmp_path / "cut.wav").write_bytes(wav.read_bytes()[:-400])
    assert "is cut off" in run("play", cut).sentence
    assert run("play", cut, "--truncated", "keep", "--track", "0").code == 0
    assert_heard(sink, np.clip(noise(4410), -1, 1)[:-100])
    assert "go with an audio file" in run("play", "-", "--track", "0").sentence


def test_a_span_of_an_audio_file_is_heard(run: Run, sink: Sink, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", noise(40_000), 16000, subtype="FLOAT")
    assert run("play", tmp_path / "x.wav", "--from", "0.5", "--to", "2").code == 0
    assert_heard(sink, np.clip(noise(40_000), -1, 1)[8000:32000])


@pytest.mark.parametrize("end", ["inf", "1e308"])
def test_a_span_that_never_ends_is_the_rest_of_the_file(run: Run, sink: Sink, wav: Path, end: str) -> None:
    assert run("play", wav, "--to", end).code == 0
    assert_heard(sink, np.clip(noise(4410), -1, 1))


def test_tokens_are_heard(run: Run, sink: Sink, wav: Path, weights: Path, codec: Codec) -> None:
    run("encode", wav, "--codec", weights)
    done = run("play", wav.with_suffix(".safetensors"), "--codec", weights, "--to", "0.05")
    assert (done.code, done.err) == (0, "")
    assert "untrained" in done.out
    assert_heard(sink, codec.decode(codec.encode(noise(4410)))[:2205])


def test_lines_on_stdin_are_heard(
    run: Run, sink: Sink, weights: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = codec.encode(noise(3000))
    line = json.dumps({"index": 0, "codes": codes.tolist()}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line)))
    assert run("play", "-", "--codec", weights).code == 0
    assert_heard(sink, codec.decode(codes))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonesuch.wav"], "cannot open nonesuch.wav"),
        (["WAV", "--from", "3"], "--from is 3; "),
        (["WAV", "--from", "0.1"], "ends before that"),
        (["WAV", "--from", "1e308"], "ends before that"),
        (["WAV", "--from", "inf"], "--from is inf; wanted seconds from the start"),
        (["WAV", "--from", "nan"], "--from is nan; wanted seconds from the start"),
        (["WAV", "--path", "x"], "go with shards"),
        (["WAV", "--device", "77"], "there is no output device 77; there are: "),
        (["WAV", "--device", "nonesuch"], "there is no output device 'nonesuch'"),
        (["-", "--from", "1"], "is played to its end"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(
    run: Run, sink: Sink, wav: Path, arguments: list[str], words: str
) -> None:
    assert words in run("play", *[argument.replace("WAV", str(wav)) for argument in arguments]).sentence
    assert not sink.heard.any()


def test_no_device_is_one_sentence(run: Run, wav: Path) -> None:
    with Device():
        sentence = run("play", wav).sentence
    assert "there is no sound device to play through" in sentence


def test_the_devices_are_listed(run: Run, sink: Sink) -> None:
    (found,) = [device for device in run("devices", "--output", "--json").document if device["default"]]
    assert found["name"] == "default"
    assert "play --device" in run("devices", "--output").out


def test_ctrl_c_ends_it_quietly(sink: Sink, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(44100 * 600), 44100)
    with process("play", tmp_path / "x.wav") as playing:
        while not len(sink.heard):
            assert playing.poll() is None
        playing.send_signal(signal.SIGINT)
        out, err = playing.communicate(timeout=PATIENCE)
    assert (playing.returncode, out, err) == (130, b"", b"")


#: A stdin that says on stderr when it is waited for.
TELLING = """
import io, sys
class Told(io.FileIO):
    def readinto(self, into):
        sys.stderr.write("waiting\\n")
        sys.stderr.flush()
        return super().readinto(into)
sys.stdin = io.TextIOWrapper(io.BufferedReader(Told(0)))
"""


def test_ctrl_c_ends_the_wait_for_a_line(sink: Sink, weights: Path) -> None:
    playing = process("play", "-", "--codec", weights, before=TELLING)
    try:
        assert playing.stderr is not None
        assert playing.stderr.readline() == b"waiting\n"
        playing.send_signal(signal.SIGINT)
        assert playing.wait(PATIENCE) == 130  # its stdin is still open
    finally:
        playing.kill()
        out, err = playing.communicate()
    assert (out, err) == (b"", b"")
