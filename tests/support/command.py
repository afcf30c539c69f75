"""A command line for tests: run in this process or in one of its own, on a minute codec's file and a wav.

Knows: how to start one and what an error looks like. Does not know: what any command does. conftest.py gives the
fixtures to every test.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import soundfile

from streamrvq import load
from streamrvq.cli import main
from streamrvq.codec import Codec
from streamrvq.weights import save_weights
from tests.support.contract import minute, noise, weights_of
from tests.support.paths import ROOT


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that an error is."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("streamrvq: error: ")
        assert "Traceback" not in line
        return line

    @property
    def document(self) -> Any:
        """stdout, which must be one JSON document."""
        return json.loads(self.out)


class Piped(NamedTuple):
    code: int
    out: bytes
    err: str


Run = Callable[..., Done]
Pipe = Callable[..., Piped]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """A command line in this process."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Done(left.value.code, out, err)

    return run


@pytest.fixture
def pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """A command line in this process, with bytes on its stdin; stdout is bytes, too."""

    def pipe(data: bytes, *arguments: object) -> Piped:
        out = io.TextIOWrapper(written := io.BytesIO(), write_through=True)
        with monkeypatch.context() as patched, pytest.raises(SystemExit) as left:
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))  # type: ignore[arg-type]
            patched.setattr(sys, "stdout", out)
            main([str(a) for a in arguments])
        assert isinstance(left.value.code, int)
        return Piped(left.value.code, written.getvalue(), capsys.readouterr().err)

    return pipe


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute codec's file: hop 8, 3 codebooks of 64, 44.1 kHz, symmetric."""
    path = tmp_path_factory.mktemp("weights") / "minute.safetensors"
    save_weights(weights_of(minute()), path)
    return path


@pytest.fixture(scope="module")
def codec(weights: Path) -> Codec:
    return load(weights)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """0.1 s of noise at the codec's rate."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise(4410), 44100, subtype="FLOAT")
    return path


def process(*arguments: object, before: str = "", **settings: Any) -> subprocess.Popen[bytes]:
    """A command line in a process of its own, which runs the statements ``before`` first.

    Its pipes have no buffers here. `readline` would take into one what has come after the line, and `communicate`,
    which reads the pipe itself, would never see it.
    """
    code = f"{before}\nfrom streamrvq.cli import main; main()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], bufsize=0, env=env, **(pipes | settings)
    )
