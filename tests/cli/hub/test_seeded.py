"""``--seeded``, and tokens of a time when the names of released models had random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from streamrvq import PRESETS
from streamrvq.tokens import open_tokens, read_tokens, write_tokens
from streamrvq.weights import load_weights
from tests.support.command import Run
from tests.support.hub.repository import SMALL

SHORT = "dac-16khz"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A released shape has 77 million weights; here it has fewer."""
    monkeypatch.setitem(PRESETS, SHORT, SMALL)


def test_commands_with_random_weights(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wav: Path) -> None:
    """Nobody is asked for the real ones."""
    monkeypatch.chdir(tmp_path)
    right = load_weights(f"seeded:{SHORT}").codec_hash
    assert run("info", SHORT, "--seeded", "--json").document["codec_hash"] == right
    assert run("convert", "causal-44khz", "--seeded", "c.safetensors", "--json").document["trained"] is False
    assert run("encode", wav, "--codec", SHORT, "--seeded", "-o", "t.safetensors").code == 0
    tokens = read_tokens("t.safetensors")
    assert (tokens.codec, tokens.codec_hash, tokens.trained) == (SHORT, right, False)
    decoded = run("decode", "t.safetensors", "-o", "back.wav")
    assert decoded.code == 0, decoded
    assert Path("back.wav").exists()
    assert "HF_HUB_OFFLINE is set" in run("info", SHORT).sentence
    assert "which is no preset" in run("info", wav.name.replace("wav", "x"), "--seeded").sentence


def test_tokens_that_call_it_trained_need_the_real_weights(run: Run, tmp_path: Path, wav: Path) -> None:
    path = tmp_path / "t.safetensors"
    run("encode", wav, "--codec", SHORT, "--seeded", "-o", path)
    write_tokens(path, dataclasses.replace(read_tokens(path), trained=True))
    assert (
        f"{SHORT} is descript/dac_16khz on the Hugging Face Hub"
        in run("decode", path, "-o", tmp_path / "x.wav").sentence
    )


def test_shards_of_random_weights(run: Run, tmp_path: Path, wav: Path) -> None:
    """Which are loaded in another process."""
    words = ["encode", wav, "--codec", "causal-44khz", "--seeded", "--shards", tmp_path / "shards", "--workers", 1]
    assert run(*words, "--json").code == 0
    (signal,) = open_tokens(tmp_path / "shards")
    assert (signal.codec, signal.trained) == ("causal-44khz", False)
    assert signal.codec_hash == load_weights("seeded:causal-44khz").codec_hash
