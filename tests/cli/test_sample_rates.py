"""One rule in one wording for a sample rate, wherever it comes in; and the resampler named wherever tokens go out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import streamrvq
from streamrvq.errors import InputError
from streamrvq.resampling import RESAMPLER
from streamrvq.tokens import read_tokens
from tests.support.command import Pipe, Run
from tests.support.contract import noise
from tests.support.hostile.served import ended, served
from tests.support.service import RATE, end_of, serving, start

WORDING = "is {}; wanted a whole number of Hz from {} to {}"


@pytest.mark.parametrize("text", ["48q", "-48000", "4_8000", ""])
def test_what_is_no_rate_is_told_alike_everywhere(run: Run, weights: Path, wav: Path, text: str) -> None:
    there = "ws://127.0.0.1:9"
    for arguments in (
        ("encode", "-", "--codec", weights), ("decode", "-", "--codec", weights), ("check", weights, wav),
        ("mic", "--codec", weights), ("send", "--mic", there),
    ):  # fmt: skip
        assert f"--rate is {text!r}; wanted a sample rate in Hz" in run(*arguments, f"--rate={text}").sentence
    assert "--rate is 4800; wanted a whole number" in run("send", "--mic", there, "--rate", "4.8k").sentence


@pytest.mark.parametrize("rate", [7, 10**7])
def test_a_rate_that_there_is_not_is_told_alike_everywhere(run: Run, weights: Path, wav: Path, rate: int) -> None:
    tokens, there = wav.with_suffix(".safetensors"), "ws://127.0.0.1:9"
    assert run("encode", wav, "--codec", weights).code == 0
    wording = WORDING.format(rate, 1000, 768_000)
    for arguments in (
        ("encode", "-", "--codec", weights), ("decode", "-", "--codec", weights), ("check", weights, wav),
        ("decode", tokens, "--codec", weights, "-o", "x.wav"), ("mic", "--codec", weights),
    ):  # fmt: skip
        assert f"--rate {wording}" in run(*arguments, "--rate", rate).sentence
    codec = streamrvq.load(weights)
    functions: list[Callable[[], Any]] = [
        lambda: codec.stream(sample_rate=rate), lambda: codec.encode(noise(100), sample_rate=rate),
        lambda: codec.decode(np.zeros((3, 4), int), sample_rate=rate), lambda: codec.decoder_stream(sample_rate=rate),
        lambda: codec.pool(1).open(sample_rate=rate),
    ]  # fmt: skip
    for function in functions:
        with pytest.raises(InputError, match=f"^sample_rate {wording}"):
            function()
    with pytest.raises(InputError, match=f"^rate {wording}"):
        streamrvq.Microphone(rate=rate)
    served = WORDING.format(rate, 8000, 192_000)
    assert f"--rate {served}" in run("send", tokens, there, "-o", "x.wav", "--rate", rate).sentence
    assert f"--rate {served}" in run("send", "--mic", there, "--rate", rate).sentence
    for given in (rate, np.int64(rate)):
        with pytest.raises(InputError, match=f"sample_rate {served}"):
            streamrvq.connect(there, sample_rate=given)  # type: ignore[arg-type]


def test_a_file_that_no_server_takes_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "high.wav"
    soundfile.write(path, noise(400), 384_000)
    sentence = run("send", path, "ws://127.0.0.1:9").sentence
    assert f"the sample rate of {path} {WORDING.format(384_000, 8000, 192_000)}" in sentence


@pytest.mark.asyncio
async def test_the_server_says_it_in_the_same_words() -> None:
    async with serving() as server:
        for rate in (7, 7999, 192_001):
            code, (error,) = await end_of(server.url, [start(sample_rate=rate)])
            assert code == error["code"] == 4415
            assert error["message"] == f"start.sample_rate {WORDING.format(rate, 8000, 192_000)}"


# ------------------------------------------------------------- G.711 without a rate


@pytest.mark.parametrize("name", ["mulaw", "alaw"])
def test_a_telephones_bytes_without_a_rate_are_refused(run: Run, weights: Path, wav: Path, name: str) -> None:
    """They would count as samples at 44.1 kHz, and every code would be wrong."""
    tokens = wav.with_suffix(".safetensors")
    assert run("encode", wav, "--codec", weights).code == 0
    words = f"samples in {name} came without a sample rate; give one: a telephone line has 8000 Hz"
    for arguments in (
        ("encode", "-", "--codec", weights), ("decode", "-", "--codec", weights),
        ("decode", tokens, "--codec", weights, "-o", "-"), ("send", tokens, "ws://127.0.0.1:9", "-o", "x.wav"),
    ):  # fmt: skip
        assert words in run(*arguments, "--format", name).sentence
    for mode in ("encode", "decode"):
        with pytest.raises(InputError, match=words):
            streamrvq.connect("ws://127.0.0.1:9", mode, format=name)


@pytest.mark.asyncio
@pytest.mark.parametrize("mode", ["encode", "decode"])
async def test_the_server_refuses_them_too(mode: str) -> None:
    async with serving() as server:
        for format in ("mulaw", "alaw"):
            code, (error,) = await end_of(server.url, [start(mode=mode, format=format, sample_rate=...)])
            assert code == 4415
            assert "without a sample rate" in error["message"]
            async with streamrvq.connect(server.url, mode, sample_rate=RATE, format=format) as stream:  # type: ignore[arg-type]
                await stream.stop()


# ------------------------------------------------------------- who converted the rate


def test_what_names_the_resampler(run: Run, pipe: Pipe, served_weights: Path, tmp_path: Path) -> None:
    rate, name = 48_000, RESAMPLER
    wav, tokens = tmp_path / "a.wav", tmp_path / "a.safetensors"
    soundfile.write(wav, noise(rate // 10), rate, subtype="FLOAT")
    server, url = served(served_weights)
    try:
        document = run("send", wav, url, "-o", tokens, "--json").document
        assert document["resampler"] == name
        assert read_tokens(tokens).resampler == name
        sent = [json.loads(line) for line in run("send", wav, url, "-o", "-").out.splitlines()]
    finally:
        ended(server)
    settings = ("--codec", served_weights, "--rate", rate, "--format", "f32le")
    raw = pipe(noise(rate // 10).tobytes(), "encode", "-", *settings)
    piped = [json.loads(line) for line in raw.out.splitlines()]
    for lines in (sent, piped):
        head = {field: lines[0].get(field) for field in ("sample_rate", "hop_length", "source_rate", "resampler")}
        assert head == {"sample_rate": RATE, "hop_length": 64, "source_rate": rate, "resampler": name}
        assert "codec_hash" in lines[0]
        assert not any("resampler" in line for line in lines[1:])
    # What `send` writes is what `decode -` reads, and whose codec it is.
    back = pipe(json.dumps(sent[0]).encode() + b"\n", "decode", "-")
    assert back.code == 2
    assert "give --codec" in back.err


@pytest.mark.asyncio
async def test_ready_names_the_resampler_where_there_is_one() -> None:
    async with serving() as server:
        for rate, name in ((RATE, None), (None, None), (8000, RESAMPLER), (48_000, RESAMPLER)):
            for mode in ("encode", "decode"):
                async with streamrvq.connect(server.url, mode, sample_rate=rate) as stream:  # type: ignore[arg-type]
                    assert stream.ready.resampler == name
                    await stream.stop()
