"""Hostile input on the command line: one line on stderr and an exit code, never a traceback, on any terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq import cli
from streamrvq.cli import common
from streamrvq.errors import InputError
from streamrvq.live.server.settings import ServerSettings
from streamrvq.tokens import read_tokens, write_tokens
from streamrvq.weights import load_weights, save_weights
from tests.support.command import Run
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tests.support.fuzzing.torch_files import TENSORS, saved
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tools.fuzzing.registry import targets

RIGHT = {name: targets()[name].seeds()[0] for name in ("code-lines", "token-file", "certificate")}


# --- readers


@given(data=one_change(RIGHT["code-lines"]) | broken_json(json.loads(RIGHT["code-lines"].splitlines()[0])))
def test_lines_of_codes_with_one_thing_broken(data: bytes) -> None:
    assert_survives("code-lines", data)


def test_a_line_of_millions_of_lists_is_refused_before_it_is_parsed() -> None:
    assert_survives("code-lines", b'{"index":0,"codes":[' + b"[]," * 5_000_000 + b"[]]}")


def test_texts_in_place_of_codes_are_not_given_the_room_of_the_longest() -> None:
    texts = b",".join([b'"' + b"a" * 8_000_000 + b'"', *[b'"b"'] * 100])
    assert_survives("code-lines", b'{"index":0,"codes":[[' + texts + b"]]}")


@given(data=one_change(RIGHT["token-file"]) | st.binary(max_size=60))
def test_a_file_of_tokens_with_one_thing_broken(data: bytes) -> None:
    assert_survives("token-file", data)


@given(data=one_change(RIGHT["certificate"]))
def test_a_certificate_with_one_thing_broken(data: bytes) -> None:
    assert_survives("certificate", data)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2",
         "-passout", "pass:secret", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(InputError, match="no password"):
        ServerSettings(tls_certificate=certificate, tls_key=key).tls()


def test_an_endless_file_of_tokens_is_refused(run: Run) -> None:
    assert "has more than 1048576 bytes" in run("serve", "--token-file", "/dev/zero").sentence


# --- what a file may choose


def test_a_token_file_does_not_choose_what_is_opened(run: Run, wav: Path, weights: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "x.safetensors"
    assert run("encode", wav, "--codec", weights, "-o", tokens).code == 0
    import dataclasses

    write_tokens(tokens, dataclasses.replace(read_tokens(tokens), codec=str(weights)))
    sentence = run("decode", tokens, "-o", tmp_path / "y.wav").sentence
    assert "give it with --codec" in sentence
    assert "not opened" in sentence
    assert run("decode", tokens, "-o", tmp_path / "y.wav", "--codec", weights).code == 0


# --- what is printed


@given(text=st.text() | st.sampled_from(["[/x]", "[bold]", ":smile:", "a\\", "\udc80", "\x1b[31m", "a\nb"]))
def test_any_error_is_one_line(text: str) -> None:
    import io
    from unittest import mock

    with mock.patch.object(sys, "stderr", io.StringIO()) as stderr:
        assert common.complain(ValueError(text)) == 2
    (line,) = stderr.getvalue().splitlines()
    assert line.startswith("streamrvq: error: ")


def test_an_error_that_nobody_thought_of_is_one_line_with_its_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a\nfault")

    monkeypatch.setattr("streamrvq.cli.info.load", fail)
    assert "ZeroDivisionError at cli/info.py:" in run("info").sentence


@pytest.mark.parametrize("kind", ["float8", "sparse", "meta", "stride 0"])
def test_a_hostile_pth_is_one_line(run: Run, tmp_path: Path, kind: str) -> None:
    (path := tmp_path / "x.pth").write_bytes(
        saved({"state_dict": {"a.weight_v": TENSORS[kind]()}, "metadata": {"kwargs": {}}})
    )
    assert str(path) in run("info", path).sentence


@pytest.mark.parametrize("encoding", ["ascii:surrogateescape", "ascii:replace"])
def test_a_table_prints_in_the_c_locale(weights: Path, encoding: str) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": encoding}
    code = "from streamrvq.cli import main; main(['info', __import__('sys').argv[1]])"
    ran = subprocess.run([sys.executable, "-c", code, weights], env=env, capture_output=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_name_of_any_bytes_prints_on_any_terminal(weights: Path, tmp_path: Path, encoding: str) -> None:
    source, target = os.fsencode(tmp_path) + b"/\xff\xe9.safetensors", os.fsencode(tmp_path) + b"/\xfe.safetensors"
    Path(os.fsdecode(source)).write_bytes(weights.read_bytes())
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": encoding}
    script = (
        "import sys; from streamrvq.cli import main\n"
        "for words in (sys.argv[1:], ['nonesuch']):\n"
        "    try: main(words)\n"
        "    except SystemExit as left: print('ended', left.code)"
    )
    words = [sys.executable, "-c", script, "convert", source, target]
    done = subprocess.run(words, env=env, capture_output=True, timeout=PATIENCE)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(b"ended")] == [b"ended 0", b"ended 2"]


def test_a_codec_whose_name_looks_like_markup_is_shown_as_it_is(run: Run, weights: Path, tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "x.safetensors"
    save_weights(dataclasses.replace(load_weights(weights), name="[/x] [red]"), path)
    assert "[/x] [red]" in run("info", path).out


def test_the_handler_of_errors_knows_its_own_package() -> None:
    assert cli.__file__.endswith("streamrvq/cli/__init__.py")


@pytest.mark.parametrize("seconds", ["inf", "1e308"])
def test_check_takes_a_whole_file_of_any_length(run: Run, wav: Path, weights: Path, seconds: str) -> None:
    assert run("check", weights, wav, "--seconds", seconds, "--chunks", "999999999999999").code == 0


@pytest.mark.parametrize("chunks", ["9" * 5000, "0", "1e3", "\ud800"])
def test_chunks_that_are_none(run: Run, wav: Path, weights: Path, chunks: str) -> None:
    assert "--chunks has" in run("check", weights, wav, "--chunks", chunks).sentence


def test_a_name_that_is_too_long_does_not_keep_other_files_back(run: Run, wav: Path, weights: Path) -> None:
    done = run("encode", wav, wav.with_name("x" * 5000), wav.with_name("x" * 250 + ".wav"), "--codec", weights)
    assert done.code == 2
    assert wav.with_suffix(".safetensors").exists()
