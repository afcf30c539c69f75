"""`serve` and `send` as they are typed: a server in its own process, files, token files, a microphone, signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import streamrvq
from streamrvq import Gap, load
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.codec import Codec
from streamrvq.tokens import read_tokens
from tests.support.command import Run, process
from tests.support.contract import noise
from tests.support.hostile.served import ended, served
from tests.support.patience import PATIENCE
from tests.support.service import HOP, RATE, RawClient, end_of, start
from tests.support.virtual_sound import SilentMicrophone


@pytest.fixture(scope="module")
def codec(served_weights: Path) -> Codec:
    return load(served_weights)


@pytest.fixture(scope="module")
def url(served_weights: Path) -> Iterator[str]:
    server, url = served(served_weights)
    asyncio.run(end_of(url, [start(), '{"type":"stop"}']))  # conn=1, whichever test is the first
    yield url
    log = ended(server)
    assert "listening url=ws://127.0.0.1:" in log
    assert "closed conn=1 code=1000" in log
    assert "stopped" in log


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(RATE), RATE, subtype="FLOAT")
    return path


def near(codes: Any, whole: Any) -> bool:
    """Equal but for float32's near-ties between steps of other sizes."""
    return codes.shape == whole.shape and bool((codes != whole).mean() < 1e-2)


def test_there_and_back(run: Run, url: str, wav: Path, codec: Codec, tmp_path: Path) -> None:
    tokens, back = tmp_path / "t.safetensors", tmp_path / "back.wav"
    document = run("send", wav, url, "-o", tokens, "--json").document
    assert (document["frames"], document["samples"], document["lost"]) == (250, RATE, 0)
    assert document["status"] == "untrained"
    assert document["codec_hash"] == codec.codec_hash
    error = run("send", tokens, url, "-o", tokens).sentence
    assert "ends in '.safetensors', a format that is not written" in error
    assert run("send", tokens, url, "-o", back.with_suffix(".flac")).code == 0
    assert soundfile.info(back.with_suffix(".flac")).format == "FLAC"
    file = read_tokens(tokens)
    assert near(file.codes, codec.encode(noise(RATE)))
    assert file.codec_hash == codec.codec_hash
    assert (file.sample_rate, file.hop_length, file.source_rate, file.num_samples) == (RATE, HOP, RATE, RATE)
    assert file.trained is False
    document = run("send", tokens, url, "-o", back, "--rate", 48_000, "--json").document
    pcm, rate = soundfile.read(back)
    assert (document["samples"], len(pcm), rate) == (48_000, 48_000, 48_000)
    done = run("send", tokens, url, "-o", back, "--realtime", "--format", "s16le")
    assert done.code == 0
    assert "1.00 s decoded" in done.out
    pcm, rate = soundfile.read(back, dtype="float32")
    assert rate == RATE
    assert np.allclose(pcm, np.clip(codec.decode(file.codes), -1, 1)[:RATE], atol=1e-4)


def test_what_there_is_of_a_cut_file_is_sent_on_request(run: Run, url: str, wav: Path, tmp_path: Path) -> None:
    (cut := tmp_path / "cut.wav").write_bytes(wav.read_bytes()[:-4000])
    assert "is cut off" in run("send", cut, url).sentence
    assert run("send", cut, url, "--truncated", "keep", "--track", "0", "--json").document["samples"] == RATE - 1000


def test_a_pipe_is_sent(run: Run, url: str, wav: Path, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=pipe.write_bytes, args=(wav.read_bytes(),))
    writer.start()
    document = run("send", pipe, url, "--json").document
    writer.join(PATIENCE)
    assert document["samples"] == RATE


def test_telephone_audio_there_and_back(run: Run, url: str, wav: Path, codec: Codec, tmp_path: Path) -> None:
    tokens, back = tmp_path / "t.safetensors", tmp_path / "back.wav"
    assert run("send", wav, url, "-o", tokens, "--format", "mulaw").code == 0
    codes, mu_law, a_law = read_tokens(tokens).codes, FORMATS["mulaw"], FORMATS["alaw"]
    assert near(codes, codec.encode(mu_law.read(mu_law.write(noise(RATE)).tobytes())))
    assert run("send", tokens, url, "-o", back, "--rate", 8000, "--format", "alaw").code == 0
    pcm, rate = soundfile.read(back, dtype="int16")
    assert (len(pcm), rate) == (8000, 8000)
    assert np.array_equal(a_law.read(a_law.write(pcm).tobytes()), pcm), "the file holds what came over the wire"


def test_at_the_pace_of_a_microphone(run: Run, url: str, wav: Path) -> None:
    done = run("send", wav, url, "--realtime", "--format", "s16le", "--n-quantizers", 2)
    assert done.code == 0
    assert "250 frames" in done.out
    assert "untrained" in done.err
    assert "last sample sent to its codes received: p50" in done.out
    done = run("send", wav, url, "-o", "-")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert sum(len(line["codes"][0]) for line in lines) == 250
    assert lines[0]["index"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_microphone_is_sent_with_its_gaps_and_to_its_last_sample(
    run: Run, url: str, codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Until a signal, and with what was captured then and not given out. The microphone itself is tested elsewhere."""
    a, b, held_back = noise(1000), noise(2000, 1), noise(500, 2)

    class Microphone:
        def __init__(self, rate: int = 48_000) -> None:
            self.sample_rate, self._stopped = rate, asyncio.Event()

        async def __aenter__(self) -> Microphone:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def stop(self) -> None:
            self._stopped.set()

        async def __aiter__(self) -> Any:
            yield a
            yield Gap(1000, 280, "overflow")
            yield b
            os.kill(os.getpid(), number)
            await self._stopped.wait()
            yield held_back

    monkeypatch.setattr(streamrvq, "Microphone", Microphone, raising=False)
    path = tmp_path / "mic.safetensors"
    done = run("send", "--mic", url, "--rate", RATE, "-o", path)
    assert done.code == 0, done
    assert "280 samples were lost at sample 1000" in done.err, done
    whole = codec.encode(np.concatenate([a, np.zeros(280, np.float32), b, held_back]))
    file = read_tokens(path)
    assert near(file.codes, whole)
    assert (file.num_samples, file.start, file.gaps) == (3780, 0, ((1000, 280),))


def test_a_second_interrupt_ends_a_microphone_that_does_not_stop(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Microphone(SilentMicrophone):
        def stop(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        async def __aiter__(self) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
            yield

    monkeypatch.setattr(streamrvq, "Microphone", Microphone, raising=False)
    assert run("send", "--mic", url).code == 130


def test_tokens_from_everywhere(
    run: Run, served_weights: Path, wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\ntwo\n")
    server, url = served(served_weights, "--token-file", secret, "--max-streams", 2, "--log-level", "warning")
    assert run("send", wav, url, "--token", "two").code == 0
    assert run("send", wav, url, "--token-file", secret).code == 0
    assert "no token came" in run("send", wav, url).sentence
    assert "not one of this server's" in run("send", wav, url, "--token", "three").sentence
    monkeypatch.setenv("STREAMRVQ_TOKEN", "one")
    assert run("send", wav, url).code == 0
    log = ended(server, signal.SIGINT)
    assert "one" not in log.replace("none", "")
    assert "two" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_with_clients(served_weights: Path, number: int) -> None:
    server, url = served(served_weights)
    port = int(url.rsplit(":", 1)[1])
    client = socket.create_connection(("127.0.0.1", port))
    stuck = RawClient(port, receive_buffer=4096)
    assert "stopped" in ended(server, number)
    client.close()
    stuck.close()


def test_serve_prints_where_it_listens(served_weights: Path) -> None:
    server = process("serve", served_weights, "--port", 0, "--host", "0.0.0.0")
    assert server.stdout is not None
    where = re.compile(rb"listening on ws://0\.0\.0\.0:(\d+), for \d+ streams; the page is at http://0\.0\.0\.0:\1\n")
    assert where.fullmatch(server.stdout.readline())
    assert "no token is set" in ended(server)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--port", 70_000), "port is 70000"),
        (("serve", "--origin", "good.example"), "origin is 'good.example'"),
        (("serve", "--token", "a", "--token-file", "b"), "came together"),
        (("serve", "--token-file", "/nowhere"), "cannot read tokens"),
        (("serve", "--token", ""), "an empty argument was given after --token"),
        (("serve", "--log-level", "loud"), "--log-level"),
        (("serve", "--max-streams", 0), "max_streams is 0"),
        (("serve", "no-such-codec"), "no-such-codec"),
        (("send", "ws://127.0.0.1:1"), "wanted FILE and URL"),
        (("send", "--mic", "a", "ws://127.0.0.1:1"), "wanted FILE and URL"),
        (("send", "{wav}", "http://127.0.0.1:1"), "wanted ws://"),
        (("send", "{wav}", "ws://127.0.0.1:1"), "cannot connect"),
        (("send", "{wav}", "ws://127.0.0.1:1", "--format", "mp3"), "format is 'mp3'"),
        (("send", "{wav}", "ws://127.0.0.1:1", "--rate", "8000"), "--rate goes with"),
        (("send", "{wav}", "ws://127.0.0.1:1", "-o", "-", "--json"), "choose one"),
        (("send", "{wav}", "ws://127.0.0.1:1", "-o", "{wav}"), "is the name of an audio file"),
        (("send", "{wav}", "ws://127.0.0.1:1", "-o", "x.dac"), "needs the audio twice"),
        (("send", "{wav}", "ws://127.0.0.1:1", "--track", "3"), "wanted track 3, from 0"),
        (("send", "{wav}", "ws://127.0.0.1:1", "--truncated", "x"), "wanted refuse or keep"),
        (("send", "x.safetensors", "ws://127.0.0.1:1", "--track", "3"), "go with audio"),
        (("send", "x.safetensors", "ws://127.0.0.1:1"), "cannot read tokens"),
        (("send", "nothing.wav", "ws://127.0.0.1:1"), "nothing.wav"),
    ],
)
def test_what_cannot_be_served_or_sent(run: Run, wav: Path, arguments: tuple[object, ...], words: str) -> None:
    filled = [str(argument).format(wav=wav) for argument in arguments]
    assert words in run(*filled).sentence


def test_tokens_of_another_codec(run: Run, url: str, tmp_path: Path) -> None:
    from streamrvq.tokens import TokenFile, write_tokens

    path = tmp_path / "other.safetensors"
    write_tokens(path, TokenFile(np.zeros((2, 5), int), "other", "0" * 64, False, RATE, HOP, RATE, 5 * HOP))
    assert "--force" in run("send", path, url, "-o", tmp_path / "o.wav").sentence
    assert run("send", path, url, "-o", tmp_path / "o.wav", "--force").code == 0
