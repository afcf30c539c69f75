"""What `pip install` brings without an extra is enough for the live path and bulk runs, and is small.

The environments are linked from this one (support/environments/bare.py). tools/install-check makes real ones, with pip.

Knows: which commands must work, and which sentence says that torch is missing. Does not know: what they compute.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streamrvq import CodecConfig, load
from streamrvq.bench.official import OfficialModel
from streamrvq.tokens import read_tokens
from streamrvq.weights import save_weights, seeded
from tests.support.command import Done, Run
from tests.support.contract import minute, needs_native, noise, weights_of
from tests.support.environments import bare as environments
from tests.support.environments import without_torch
from tests.support.imports import modules
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.virtual_sound import Fifo, Voice

#: What an installation may take on a disk, in bytes of du.
MOST = 250 << 20
#: How every sentence ends that torch is missing from.
REMEDY = "install it: pip install '.[torch]' in streamrvq's checkout"
COMMAND = "from streamrvq.cli import main; main()"
#: Modules whose import needs torch, for they are made of it.
OF_TORCH = r"streamrvq\.(nn|engine\.torch\w*|train\.\w+)(\.|$)"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the extra [corpus], in which tests can be run."""
    folder = tmp_path_factory.mktemp("environments") / "bare"
    return environments.make(folder, ["corpus"], environments.FOR_TESTS)


@pytest.fixture(scope="module")
def without_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment without the native engine."""
    return environments.make(tmp_path_factory.mktemp("environments") / "without", native=False)


def started(python: Path, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [str(python), "-W", "error", *map(str, arguments)]
    return subprocess.Popen(words, env=environment, text=True, **(pipes | settings))


def ran(python: Path, *arguments: object, **settings: Any) -> Done:
    with started(python, *arguments, **settings) as process:
        out, err = process.communicate(timeout=5 * PATIENCE)
    return Done(process.returncode, out, err)


def typed(python: Path, *arguments: object, **settings: Any) -> Done:
    return ran(python, "-c", COMMAND, *arguments, **settings)


def right(python: Path, *arguments: object, **settings: Any) -> Any:
    """The JSON that a command prints which succeeds."""
    done = typed(python, *arguments, "--json", **settings)
    assert done.code == 0, done
    return done.document


def test_there_is_no_torch(bare: Path) -> None:
    assert "No module named 'torch'" in ran(bare, "-c", "import torch").err


@needs_native
def test_a_slice_of_the_suite(bare: Path) -> None:
    done = ran(
        bare, ROOT / "tests" / "support" / "environments" / "without_torch.py", "-q", "-p", "no:cacheprovider", cwd=ROOT
    )
    assert done.code == 0, done.out[-4000:] + done.err
    assert int(re.findall(r"(\d+) passed", done.out)[-1]) > 150, done.out[-1000:]


@needs_native
def test_files_and_shards(bare: Path, tmp_path: Path, weights: Path, wav: Path) -> None:
    codec = ["--codec", "again.safetensors"]
    converted = right(bare, "convert", weights, "again.safetensors", cwd=tmp_path)
    assert converted["codec_hash"] == load(weights).codec_hash
    right(bare, "convert", weights, "folder", cwd=tmp_path)
    assert right(bare, "info", "folder", cwd=tmp_path)["codec_hash"] == load(weights).codec_hash
    assert right(bare, "check", "folder", wav, "--chunks", "7,random", "--decode", cwd=tmp_path)["passed"]
    right(bare, "encode", wav, *codec, "-o", "t.safetensors", cwd=tmp_path)
    right(bare, "decode", "t.safetensors", *codec, "-o", "back.wav", cwd=tmp_path)
    codes = load(weights).encode(soundfile.read(wav, dtype="float32")[0])
    np.testing.assert_array_equal(read_tokens(tmp_path / "t.safetensors").codes, codes)
    assert len(soundfile.read(tmp_path / "back.wav")[0]) == 4410
    right(bare, "encode", wav, *codec, "--shards", "shards", "--workers", "2", cwd=tmp_path)
    read = (
        "from streamrvq.tokens import open_tokens; (signal,) = open_tokens('shards')\n"
        "print(signal.read().tolist()); signal.read(framework='torch')"
    )
    done = ran(bare, "-c", read, cwd=tmp_path)
    assert json.loads(done.out) == codes.tolist()
    assert done.err.splitlines()[-1].startswith('streamrvq.errors.ExtraError: framework="torch" needs torch, which can')
    assert done.err.rstrip().endswith(REMEDY)


@needs_native
def test_the_service_and_a_microphone(bare: Path, tmp_path: Path, weights: Path, wav: Path) -> None:
    with started(bare, "-c", COMMAND, "serve", weights, "--port", 0, "--json", "--log-level", "warning") as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        sent = right(bare, "send", wav, url, cwd=tmp_path)
        server.terminate()
        assert server.wait(PATIENCE) == 0
    assert (sent["samples"], sent["lost"]) == (4410, 0)
    with Fifo(Voice(noise(44100), 44100, 441)):
        words = ["--codec", weights, "--seconds", "0.5", "--rate", 44100, "--block", 441, "--json"]
        heard = typed(bare, "mic", *words, cwd=tmp_path)
    assert heard.code == 0, heard
    assert json.loads(heard.out.splitlines()[-1])["summary"]["tokens"]["frames"] > 0


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["info", "--engine", "torch"], "the torch engine needs torch"),
        (["convert", "{weights}", "x.pth"], "writing a .pth needs torch"),
        (["encode", "{wav}", "--codec", "{pth}"], "minute.pth is a torch file, and reading one needs torch"),
        (["train", "causal-44khz", "--out", "run", "--data", "."], "training needs torch"),
    ],
    ids=["engine", "save", "load", "train"],
)
def test_a_command_that_needs_torch_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path, wav: Path, words: list[str], sentence: str
) -> None:
    pth = tmp_path / "minute.pth"
    save_weights(weights_of(minute()), pth)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = run(*[word.format(weights=weights, wav=wav, pth=pth) for word in words]).sentence
    assert f"{sentence}, which cannot be imported (" in said
    assert said.endswith(REMEDY)
    assert sorted(path.name for path in tmp_path.iterdir() if path != wav) == ["minute.pth"]


def test_a_program_that_needs_torch_is_told_so(bare: Path) -> None:
    code = (
        "import streamrvq\n"
        "from streamrvq.weights import seeded\n"
        "print(streamrvq.load().codec_hash, seeded(streamrvq.CodecConfig(encoder_dim=2, decoder_dim=16)).codec_hash)\n"
        "try: streamrvq.load(dtype='float64')\n"
        "except streamrvq.EngineError as error: print(error)\n"
        "import streamrvq.nn"
    )
    done = ran(bare, "-c", code)
    why = "which cannot be imported (No module named 'torch')"
    hashes, said = done.out.splitlines()
    assert hashes.split() == [load().codec_hash, seeded(CodecConfig(encoder_dim=2, decoder_dim=16)).codec_hash]
    assert said == f"float64 needs torch, {why}; {REMEDY}"
    assert done.err.splitlines()[-1] == f"streamrvq.errors.ExtraError: streamrvq.nn needs torch, {why}; {REMEDY}"


def test_the_benchmark_goes_on_without_official_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model, why = OfficialModel.make(minute(), 0.1, 1, decode=False)
    assert model is None
    assert why is not None
    assert why.startswith("official models need torch")


@pytest.mark.parametrize("command", ["encode", "serve"])
def test_neither_a_compiler_nor_torch(
    without_engine: Path, tmp_path: Path, weights: Path, wav: Path, command: str
) -> None:
    words = {"encode": ["encode", wav, "--shards", "shards", "--codec", weights], "serve": ["serve", weights]}
    assert typed(without_engine, *words[command], cwd=tmp_path).sentence == (
        "streamrvq: error: there is nothing to compute with: the native engine was not built; install a C++20 compiler "
        "(Debian: g++), then streamrvq again; or install torch, which is slower: "
        "pip install '.[torch]' in streamrvq's checkout"
    )


def test_all_other_modules_are_imported_where_torch_is_refused() -> None:
    names = [name for name in modules(ROOT / "streamrvq") if not re.match(OF_TORCH, name)]
    script = (
        f"import importlib, sys; sys.path.insert(0, {str(Path(without_torch.__file__).parent)!r})\n"
        "import without_torch; sys.meta_path.insert(0, without_torch.Refusal())\n"
        f"for name in {names}: importlib.import_module(name)"
    )
    done = ran(Path(sys.executable), "-c", script, cwd=ROOT)
    assert done.code == 0, done.err


def test_an_installation_is_small(tmp_path: Path) -> None:
    environments.make(tmp_path / "small")
    assert environments.size(tmp_path / "small") <= MOST
