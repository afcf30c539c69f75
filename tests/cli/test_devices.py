"""Where commands compute, and that folders come out the same however many files an engine likes at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

from streamrvq import InputError
from streamrvq.corpus import encode_corpus
from streamrvq.engine.native import NativeEngine
from streamrvq.tokens import read_tokens
from tests.support.command import Run
from tests.support.contract import needs_native, noise
from tests.support.corpora import make_audio


@pytest.mark.parametrize("command", ["encode", "encode -", "shards", "decode -", "serve", "bench", "check", "mic"])
def test_a_device_that_is_not_there_is_one_sentence(
    run: Run, tmp_path: Path, wav: Path, weights: Path, command: str
) -> None:
    arguments: dict[str, list[Any]] = {
        "encode": ["encode", wav, "--codec", weights],
        "encode -": ["encode", "-", "--codec", weights],
        "shards": ["encode", wav, "--codec", weights, "--shards", tmp_path / "out"],
        "decode -": ["decode", "-", "--codec", weights],
        "serve": ["serve", weights, "--port", 0],
        "bench": ["bench", weights],
        "check": ["check", weights, wav],
        "mic": ["mic", "--codec", weights],
    }
    option = "--engine-device" if command == "mic" else "--device"
    assert "nowhere:3" in run(*arguments[command], option, "nowhere:3").sentence
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices", "cuda:0"], "go with --shards"),
        (["--shards", "OUT", "--device", "cuda", "--devices", "cuda:0"], "choose one"),
        (["--shards", "OUT", "--devices", "cuda:0,"], "with commas between"),
        (["--shards", "OUT", "--devices", "cuda:0,cuda:1", "--ray", "auto"], "Ray chooses its GPUs"),
        (["--shards", "OUT", "--devices", "cpu,cuda:1"], "wanted GPUs, or cpu alone"),
        (["--shards", "OUT", "--readers", "-1"], "-1 readers"),
        (["--readers", "-1"], "-1 readers"),
    ],
)
def test_bad_settings_are_one_sentence(
    run: Run, tmp_path: Path, wav: Path, weights: Path, arguments: list[str], words: str
) -> None:
    places = {"OUT": str(tmp_path / "out")}
    assert words in run("encode", wav, "--codec", weights, *[places.get(a, a) for a in arguments]).sentence


def test_devices_are_for_a_corpus(run: Run, weights: Path) -> None:
    assert "goes with --corpus" in run("bench", weights, "--devices", "cuda:0").sentence


def test_a_device_is_checked_before_anything_is_begun(tmp_path: Path, wav: Path, weights: Path) -> None:
    with pytest.raises(InputError, match="-2 readers"):
        encode_corpus([wav], tmp_path / "out", weights, readers=-2)
    assert not (tmp_path / "out").exists()


@needs_native
@pytest.mark.parametrize("readers", [0, 2])
def test_a_folder_comes_out_the_same(
    run: Run, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    audio = make_audio(tmp_path / "in")
    for number in range(12):
        soundfile.write(audio / f"{number}.wav", noise(500 * number, number), 44100)
    (audio / "text.wav").write_text("no audio")

    def encoded(name: str, *more: Any) -> tuple[dict[str, Any], dict[str, Any], str]:
        out = tmp_path / name
        done = run("encode", audio, "-o", out, "--codec", weights, "--json", *more)
        assert done.code == 2
        document = done.document
        del document["speed"]
        tokens = {str(path.relative_to(out)): vars(read_tokens(path)) for path in out.rglob("*.safetensors")}
        files = {name: values | {"codes": values["codes"].tobytes()} for name, values in tokens.items()}
        shutil.rmtree(out)
        return files, document, "\n".join(sorted(done.err.splitlines()))

    alone = encoded("out")
    monkeypatch.setattr(NativeEngine, "row_hops", 2048)
    assert encoded("out", "--readers", readers) == alone
    assert len(alone[0]) == 12 + 6
    assert [Path(item["source"]).name for item in alone[1]["failed"]] == ["eight.wav", "stereo.flac", "text.wav"]
