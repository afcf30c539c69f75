"""The demos with files, servers and readers that are missing or wrong: a sentence, an exit code, no traceback."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.contract import noise
from tests.support.paths import DEMOS
from tests.support.patience import PATIENCE
from tests.support.service import serving
from tests.support.web.javascript import node

NOWHERE = "ws://127.0.0.1:1"
#: The demo, its arguments, and words of the one line that it prints. `stereo.wav` and `none.flac` are there.
TROUBLE = [
    ("file_to_tokens.py", ["no.wav"], "no.wav"), ("file_to_tokens.py", ["stereo.wav", "nowhere"], "nowhere"),
    ("live_file.py", ["stereo.wav", "--out", "stereo.wav"], "would replace stereo.wav"),
    ("live_file.py", ["empty.wav"], "empty.wav has no samples"),
    ("chunked_vs_offline.py", ["no-codec"], "no-codec"), ("chunked_vs_offline.py", ["any", "0"], "wanted more than 0"),
    ("live_microphone.py", ["nan"], "wanted more than 0"), ("live_microphone.py", ["-1"], "argument"),
    ("telephony_bridge.py", ["--port", "65536"], "wanted 0 to 65535"),
    ("websocket_client.py", [NOWHERE], NOWHERE), ("websocket_client.py", ["there"], "wanted ws://HOST:PORT"),
    ("websocket_client.py", ["ws://127.0.0.1:99999"], "wanted ws://HOST:PORT"),
    ("websocket_client.py", ["ws://[::1"], "wanted ws://HOST:PORT"),
    ("websocket_client.mjs", ["no.wav", NOWHERE], "no.wav cannot be read"),
    ("websocket_client.mjs", ["stereo.wav", NOWHERE], "stereo.wav is no 16-bit mono .wav file"),
    ("websocket_client.mjs", ["none.flac", NOWHERE], "none.flac is no 16-bit mono .wav file"),
    ("websocket_client.mjs", ["mono.wav", NOWHERE], "could not be made"),
    ("websocket_client.mjs", ["mono.wav", "there"], "wanted ws://HOST:PORT/"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, samples in (("mono.wav", noise(4000)), ("stereo.wav", noise(4000).reshape(-1, 2)),
                          ("empty.wav", np.zeros(0)), ("none.flac", noise(4000))):  # fmt: skip
        soundfile.write(tmp_path / name, samples, 16_000, subtype="PCM_16")
    return tmp_path


def command(demo: str) -> list[str | Path]:
    return [*node(), DEMOS / demo] if demo.endswith(".mjs") else [sys.executable, "-W", "error", DEMOS / demo]


def run(demo: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command(demo), *arguments], capture_output=True, text=True, timeout=PATIENCE, cwd=cwd)


@pytest.mark.parametrize(("demo", "arguments", "words"), TROUBLE)
def test_trouble_is_a_sentence(demo: str, arguments: list[str], words: str, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run(demo, *arguments, cwd=folder)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 2, done.stderr
    assert line.startswith(f"{demo}: error: ")
    assert words in line
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_source_is_not_replaced_by_what_is_decoded(folder: Path) -> None:
    before = (folder / "stereo.wav").read_bytes()
    done = run("file_to_tokens.py", "stereo.wav", ".", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "stereo.wav").read_bytes() == before
    assert {"stereo.safetensors", "stereo.decoded.wav"} < {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("demo", ["websocket_client.py", "websocket_client.mjs", "file_to_tokens.py"])
@pytest.mark.asyncio
async def test_a_reader_that_goes_away(demo: str, folder: Path) -> None:
    async with serving() as server:
        given = {"websocket_client.py": [server.url], "websocket_client.mjs": ["mono.wav", server.url]}
        out, into = os.pipe()
        os.close(out)
        done = await asyncio.create_subprocess_exec(
            *command(demo), *given.get(demo, ["mono.wav", "."]), stdout=into, stderr=subprocess.PIPE, cwd=folder
        )
        os.close(into)
        async with asyncio.timeout(PATIENCE):
            _, err = await done.communicate()
    assert (done.returncode, err) == (141, b"")


@pytest.mark.asyncio
async def test_an_interrupt_ends_the_bridge() -> None:
    bridge = await asyncio.create_subprocess_exec(
        sys.executable, "-u", DEMOS / "telephony_bridge.py", "--server", NOWHERE, "--port", "0",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert bridge.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            assert (await bridge.stdout.readline()).startswith(b"waiting for calls on ws://127.0.0.1:")
            bridge.send_signal(signal.SIGINT)
            _, err = await bridge.communicate()
    finally:
        if bridge.returncode is None:
            bridge.kill()
    assert (bridge.returncode, err) == (130, b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


@pytest.mark.asyncio
async def test_chunks_of_a_wav_in_any_order(folder: Path) -> None:
    """A text that says "data", a chunk before the format, and a size that was never written."""
    pcm = np.arange(2000, dtype="<i2").tobytes()
    format = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))
    bodies = [
        format + chunk(b"data", pcm), chunk(b"JUNK", bytes(28)) + format + chunk(b"data", pcm),
        format + chunk(b"LIST", b"INFO" + chunk(b"ICMT", b"more data here")) + chunk(b"data", pcm),
        format + b"data\xff\xff\xff\xff" + pcm, format + chunk(b"LIST", b"odd") + chunk(b"data", pcm),
    ]  # fmt: skip
    printed = []
    async with serving() as server:
        for body in bodies:
            (folder / "some.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)
            running = await asyncio.create_subprocess_exec(
                *command("websocket_client.mjs"), "some.wav", server.url, stdout=subprocess.PIPE, cwd=folder
            )
            async with asyncio.timeout(PATIENCE):
                printed.append((await running.communicate())[0])
    assert b"samples: 2000" in printed[0]
    assert set(printed) == {printed[0]}
