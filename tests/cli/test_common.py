"""What the commands share: sample rates as people write them; options that mean nothing, refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import InputError
from streamrvq.cli.common import hertz, refuse_ignored
from streamrvq.tokens import TokenFile, read_tokens
from streamrvq.tokens.journal import TokenJournal, journal_of
from streamrvq.tokens.journal_names import damaged_of
from tests.support.command import Run

URL = "ws://127.0.0.1:1"
#: How a mode is asked for, what its sentence says, and the options that it has not.
MODES: list[tuple[list[str], str, list[list[str]]]] = [
    (
        ["send", "--mic", URL],
        "came with --mic, which sends what a device gives",
        [["--downmix"], ["--truncated", "keep"], ["--track", "0"], ["--realtime"], ["--force"]],
    ),
    (["send", "WAV", URL], "noise.wav, which is sent as audio", [["--force"]]),
    (
        ["bench", "CODEC", "--corpus", "WAV", "--workers", "1", "--rounds", "1", "--seconds", "0.01"],
        "came with --corpus, which measures whole runs",
        [
            ["--engine", "torch"], ["--threads", "1"], ["--hops", "2"], ["--batch", "3"], ["--decode"], ["--layers"],
            ["--paced"], ["--no-official"],
        ],
    ),
    (["bench", "CODEC"], "--workers goes with --corpus", [["--workers", "2"]]),
    (
        ["mic", "--recover", "FOLDER/x.safetensors"],
        "came with --recover, which makes the token file",
        [
            ["--codec", "CODEC"], ["--seeded"], ["--device", "0"], ["--rate", "16k"], ["--block", "441"],
            ["--channel", "0"], ["--downmix"], ["--seconds", "1"], ["--out", "FOLDER/y.safetensors"],
            ["--n-quantizers", "1"], ["--engine", "torch"], ["--threads", "1"], ["--engine-device", "cpu"],
        ],
    ),
    (["decode", "FOLDER/x.dac", "-o", "FOLDER/x.wav"], "x.dac, which does not say which codec", [["--force"]]),
    (["info", "TOKENS"], "which holds tokens", [["--seeded"], ["--engine", "native"], ["--threads", "1"]]),
    (["info", "RUN"], "which is the folder of a training run", [["--seeded"], ["--engine", "native"]]),
    (
        ["play", "WAV"],
        "noise.wav, which is audio",
        [["--codec", "CODEC"], ["--force"], ["--engine", "native"], ["--threads", "1"], ["--engine-device", "cpu"]],
    ),
]  # fmt: skip
EMPTY = TokenFile(np.zeros((3, 0), np.int64), "minute", "0" * 64, False, 44100, 8, 44100, 0)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("48000", 48_000), ("48k", 48_000), ("44.1K", 44_100), ("22.05kHz", 22_050), (" 8 khz ", 8_000),
     ("8000 Hz", 8_000), ("11.025k", 11_025), ("48000.0", 48_000)],
)  # fmt: skip
def test_a_rate_as_it_is_written(text: str, rate: int) -> None:
    assert hertz(text) == rate


@pytest.mark.parametrize(
    "text", ["", "k", "48 000", "48q", "-48k", "1e4", "\uff14\uff18k", "nan", "48kk", "0", "999", "44.1", "9999k"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InputError, match=r"--rate is .*; wanted"):
        hertz(text)


@given(st.text())
def test_any_text_is_a_rate_or_refused(text: str) -> None:
    try:
        rate = hertz(text)
    except InputError:
        return
    assert rate in range(1000, 768_001)


def test_nothing_stays_nothing() -> None:
    assert hertz(None) is None


# --- options that mean nothing


@pytest.mark.parametrize(
    ("mode", "words", "option"),
    [
        pytest.param(mode, words, option, id=" ".join([*mode[:2], *option]))
        for mode, words, options in MODES
        for option in options
    ],
)
def test_an_option_that_a_mode_has_not(
    run: Run, tmp_path: Path, wav: Path, weights: Path, mode: list[str], words: str, option: list[str]
) -> None:
    places = {"WAV": wav, "CODEC": weights, "TOKENS": wav.with_suffix(".safetensors"), "RUN": tmp_path / "run"}
    if "TOKENS" in mode:
        assert run("encode", wav, "--codec", weights).code == 0
    (tmp_path / "run").mkdir()
    for name in ("checkpoint.pt", "log.jsonl"):
        (tmp_path / "run" / name).touch()
    before = sorted(tmp_path.rglob("*"))
    given = [str(places.get(word, word)).replace("FOLDER", str(tmp_path)) for word in [*mode, *option]]
    sentence = run(*given).sentence
    assert words in sentence
    assert option[0] in sentence
    assert sorted(tmp_path.rglob("*")) == before


def test_layers_are_those_of_the_native_engine(run: Run, weights: Path) -> None:
    pytest.importorskip("torch")
    sentence = run("bench", weights, "--layers", "--engine", "torch", "--seconds", "0.01", "--rounds", "1").sentence
    assert "--layers times the native engine" in sentence


def test_several_are_named_at_once() -> None:
    options = {"--a": True, "--b": False, "--c": True, "--d": True}
    with pytest.raises(InputError, match=r"^--a, --c and --d came with it; leave them out, or do else$"):
        refuse_ignored(options, "it", "do else")
    with pytest.raises(InputError, match=r"^--c came with it; leave it out$"):
        refuse_ignored({"--b": False, "--c": True}, "it")
    refuse_ignored({"--b": False}, "it")


def test_what_was_recovered_is_said_as_json_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    journal = TokenJournal(path, EMPTY)
    journal.frames(np.ones((3, 5), np.int64))
    journal.close()
    document = run("mic", "--recover", path, "--json").document
    file = read_tokens(path)
    assert document == {
        "source": str(journal_of(path)), "tokens": str(path), "frames": 5, "n_quantizers": 3, "seconds": file.seconds,
        "source_rate": 44100, "damaged": None,
    }  # fmt: skip
    path.unlink()
    journal = TokenJournal(path, EMPTY)
    journal.frames(np.ones((3, 5), np.int64))
    journal.frames(np.ones((3, 5), np.int64))
    journal.close()
    raw = bytearray(journal_of(path).read_bytes())
    raw[-50] ^= 1  # in the first record
    journal_of(path).write_bytes(raw)
    said = "".join(run("mic", "--recover", path).out.split())  # however wide the terminal is
    assert f"{path}.journal.damaged:thejournal,whichisdamagedbehindtheseframes" in said
    assert (read_tokens(path).codes.shape[1], damaged_of(path).read_bytes()) == (0, raw)
