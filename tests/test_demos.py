"""Every demo runs as a user runs it, and prints what it should. What the demos compute is tested elsewhere."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq.weights import save_weights
from tests.support.command import process
from tests.support.contract import minute, noise, weights_of
from tests.support.paths import DEMOS
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Fifo, Voice
from tests.support.web.javascript import node

#: Each demo with its arguments and something that only a good run prints.
RUNS = {
    "rvq_breakdown": (
        [],
        r"latent 64 × 86[\s\S]*codes +\(1, 9, 86\)[\s\S]*latents +\(1, 72, 86\)[\s\S]*: 0 codes differ",
    ),
    "file_to_tokens": (["{audio}", "{tmp}"], r"6\.34 s → 547 frames × 9 codes[\s\S]*decoded"),
    "chunked_vs_offline": (["causal-44khz", "0.25001"], r": 0\.25 s[\s\S]*float64[\s\S]*random"),
    "live_microphone": (
        ["2.5", "--rate", "44100", "--block", "441"],
        r"default, 44100 Hz[\s\S]*\d+ frames; \d+ samples lost in \d+ gaps"
        r"[\s\S]*p50: device [\d.]+ \+ handover [\d.]+ \+ resampler 0\.0[\s\S]*p99: [^\n]*measured [\d.]+"
        r"[\s\S]*live against offline: \d+ of",
    ),
    "live_file": (["{short}"], r"RTF [\d.]+[\s\S]*live against offline[\s\S]*chunk"),
    "corpus_for_a_language_model": (
        ["{tmp}/corpus"],
        r"1 shards, 2 rows, 1409 frames[\s\S]*datasets: 2 rows, codes List\(Value\('uint16'\)\)\n"
        r"DuckDB: +\[\(2, 1409\)\]\npandas: +1409 frames\npyarrow: +2 rows\n"
        r"[^\n]*2 of 2 signals equal those; [^\n]*\(9, 87\)\n[\s\S]*Delay"
        r"[\s\S]*live against bulk: 0 of \d+",
    ),
    "telephony_bridge": (
        [],
        r" 0\.00 s  frame    0 +\d+[\s\S]*messages 40 to 40 are missing, 160 samples\n[\s\S]*"
        r"Gap\(position=6240, samples=160[\s\S]*90 came late[\s\S]*"
        r"ended: 150 media messages, 2 of them missing; 1 came late[\s\S]*tokens equal those of the same samples",
    ),
    "websocket_client": (
        ["{url}"],
        r'"ready"[\s\S]*\n86 \d+ \d+ \d+\n[\s\S]*{"type":"done","frames":1379,"samples":32000',
    ),
    "websocket_client.mjs": (
        ["{wav}", "{url}"],
        r"44100 Hz\n0 \d+ \d+ \d+\n[\s\S]*\n688 \d+ \d+ \d+\n[\s\S]*frames: 690, samples: 16000",
    ),
}


def test_every_demo_is_run() -> None:
    demos = {path.name.removesuffix(".py") for path in DEMOS.glob("[!_]*.*")}
    assert set(RUNS) == demos


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server, as `streamrvq serve` starts it, with few frames a second: hop 64, 3 codebooks, 44.1 kHz."""
    weights = tmp_path_factory.mktemp("served") / "minute.safetensors"
    save_weights(weights_of(minute((8, 8))), weights)
    server = process("serve", weights, "--port", 0, "--json", "--log-level", "warning")
    assert server.stdout is not None
    yield json.loads(server.stdout.readline())["url"]
    server.terminate()
    out, err = server.communicate(timeout=PATIENCE)
    assert (server.returncode, out) == (0, b""), err
    assert b"Traceback" not in err, err


def test_the_client_explains_itself() -> None:
    done = subprocess.run([sys.executable, DEMOS / "websocket_client.py", "--help"], capture_output=True, text=True,
                          check=True, timeout=PATIENCE)  # fmt: skip
    assert "ws://host:port" in done.stdout


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", DEMOS / "live_file.py", "no.wav"], capture_output=True,
                          text=True, timeout=PATIENCE, cwd=tmp_path)  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert line.startswith("live_file.py: error: ")
    assert "no.wav" in line
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RUNS)
def test_demo(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    arguments, expected = RUNS[name]
    url = request.getfixturevalue("url") if "{url}" in arguments else ""
    audio, wav, short = DEMOS / "audio" / "speech_hu.flac", tmp_path / "second.wav", tmp_path / "short.wav"
    if "{wav}" in arguments:
        soundfile.write(wav, noise(16_000), 16_000, subtype="PCM_16")
    if "{short}" in arguments:  # which is read at its own pace, and then in eight ways; its channels differ
        second = soundfile.read(audio, frames=44_100)[0]
        soundfile.write(short, np.stack([second, second / 2], axis=1), 44_100)
    with contextlib.ExitStack() as exits:
        if name == "live_microphone":  # what it hears is a virtual device's
            pcm, rate = soundfile.read(audio, dtype="float32")
            assert rate == 44100
            exits.enter_context(Fifo(Voice(pcm, rate, 441)))
        check(
            name,
            [argument.format(audio=audio, tmp=tmp_path, url=url, wav=wav, short=short) for argument in arguments],
            expected,
            tmp_path,
        )


def check(name: str, filled: list[str], expected: str, tmp_path: Path) -> None:
    command = (
        [*node(), DEMOS / name] if name.endswith(".mjs") else [sys.executable, "-W", "error", DEMOS / f"{name}.py"]
    )
    done = subprocess.run(
        [*command, *filled],
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(expected, done.stdout), done.stdout
    if name == "file_to_tokens":
        assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".wav"}
