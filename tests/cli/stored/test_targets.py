"""Where the tokens of each source go: no two to one file, nothing over what holds no tokens, nothing too late."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import signal
import sys
import termios
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.cli.stored.targets import Source, plan
from streamrvq.codec import Codec
from streamrvq.tokens import read_tokens
from tests.support.command import Run, process
from tests.support.contract import noise


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of one name and one of another; each has another length."""
    (folder := tmp_path / "in").mkdir()
    for number, name in enumerate(("a.wav", "a.flac", "a.ogg", "b.wav")):
        soundfile.write(folder / name, noise(1000 + 100 * number), 44100)
    return folder


ALL = ["a.flac.safetensors", "a.ogg.safetensors", "a.wav.safetensors", "b.safetensors"]


@pytest.mark.parametrize("place", ["beside", "folder", "new folder"])
@pytest.mark.parametrize("how", ["files", "a folder"])
def test_files_of_one_name_keep_their_endings(
    run: Run, tmp_path: Path, weights: Path, folder: Path, how: str, place: str
) -> None:
    sources = sorted(folder.iterdir()) if how == "files" else [folder]
    out = folder if place == "beside" else tmp_path / "out"
    if place == "folder":
        out.mkdir()
    done = run("encode", *sources, "--codec", weights, *([] if place == "beside" else ["-o", out]))
    assert done.code == 0, done.err
    assert names_in(out) == ALL
    lengths = [read_tokens(out / name).num_samples for name in ALL]
    assert lengths == [1100, 1280, 1000, 1300]  # FFmpeg decodes an Ogg to the end of its last block


@given(names=st.sets(st.from_regex(r"a(\.(wav|mp3|safetensors)){1,3}", fullmatch=True)))
def test_no_two_sources_share_a_target(names: set[str]) -> None:
    jobs, failures = plan([Source(Path("/no") / name, Path(name)) for name in sorted(names)], Path("/no/out"), False)
    assert failures == []
    assert len({job.target for job in jobs}) == len(names)
    assert {job.source.name for job in jobs} == names
    assert {job.target.parent for job in jobs} <= {Path("/no/out")}


def test_one_path_from_two_folders_is_refused_before_any_work(
    run: Run, tmp_path: Path, weights: Path, folder: Path
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    sentence = run("encode", folder, tmp_path / "other", "-o", tmp_path / "out", "--codec", weights).sentence
    assert "would both be written to" in sentence
    assert "two commands" in sentence
    assert names_in(tmp_path) == []


def test_a_file_that_is_named_twice_is_encoded_once(run: Run, weights: Path, folder: Path) -> None:
    twice = folder / ".." / "in" / "b.wav"
    done = run("encode", folder / "b.wav", twice, folder / "b.wav", "--codec", weights, "--json")
    assert [Path(item["tokens"]).name for item in done.document["files"]] == ["b.safetensors"]
    assert done.document["failed"] == []


@pytest.mark.parametrize("name", ["x.safetensors", "name.bin", "tokens.v2", ".x.st"])
def test_a_name_with_a_suffix_is_a_file(
    run: Run, tmp_path: Path, wav: Path, weights: Path, name: str, codec: Codec
) -> None:
    assert run("encode", wav, "-o", tmp_path / name, "--codec", weights).code == 0
    assert (tmp_path / name).is_file()
    np.testing.assert_array_equal(read_tokens(tmp_path / name).codes, codec.encode(noise(4410)))
    assert run("decode", tmp_path / name, "--codec", weights, "-o", tmp_path / "x.wav").code == 0


def test_a_name_without_one_or_a_folder_is_a_folder(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    (tmp_path / "there.bin").mkdir()
    for name in ("new", "there.bin"):
        assert run("encode", wav, "-o", tmp_path / name, "--codec", weights).code == 0
        assert names_in(tmp_path / name) == ["noise.safetensors"]
    assert run("encode", tmp_path, "-o", tmp_path / "tokens.v2", "--codec", weights).code == 0
    assert (tmp_path / "tokens.v2").is_dir()


@pytest.mark.parametrize("name", ["file", "file.bin", "x.safetensors"])
def test_a_file_cannot_take_several(run: Run, tmp_path: Path, folder: Path, weights: Path, name: str) -> None:
    if name != "x.safetensors":
        (tmp_path / name).write_text("mine")
    assert "is one file; wanted a folder" in run("encode", folder, "-o", tmp_path / name, "--codec", weights).sentence
    assert names_in(tmp_path) == []


@pytest.fixture
def nothing_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from streamrvq.cli import encode

    def none(encoder: object, jobs: list[object], *_: object) -> list[object]:
        assert jobs == []
        return []

    monkeypatch.setattr(encode, "_encoded", none)


@pytest.mark.usefixtures("nothing_encoded")
def test_what_cannot_be_written_is_not_encoded(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    (tmp_path / "x.bin").write_text("mine")
    shutil.copy(wav, tmp_path / ("x" * 250 + ".wav"))
    os.mkfifo(tmp_path / "pipe.wav")
    for arguments, words in (
        ([wav, "-o", tmp_path / "x.bin"], "holds no tokens"),
        ([tmp_path / ("x" * 250 + ".wav")], "File name too long"),
        ([wav, "-o", wav / "x.safetensors"], "Not a directory"),
        ([wav, "-o", tmp_path / ("x" * 300)], "File name too long"),
        ([tmp_path / "pipe.wav"], "is a pipe or a device"),
        ([tmp_path / "pipe.wav", "-o", tmp_path / "x.dac"], "x.dac needs the audio twice"),
    ):
        assert words in run("encode", *arguments, "--codec", weights).sentence
    assert names_in(tmp_path) == []


# --- tokens of a pipe


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("json_too", [False, True])
def test_a_pipe_to_a_token_file(
    run: Run, tmp_path: Path, weights: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch, json_too: bool
) -> None:
    pcm, target = noise(3000), tmp_path / "x.safetensors"
    stdin(monkeypatch, pcm.astype("<f4").tobytes())
    options = ["--format", "f32le", "--rate", "22.05k", *(["--json"] if json_too else [])]
    done = run("encode", "-", "-o", target, "--codec", weights, *options)
    assert (done.code, done.err) == (0, "")
    file = read_tokens(target)
    np.testing.assert_array_equal(file.codes, codec.encode(pcm, sample_rate=22050))
    assert (file.num_samples, file.source_rate, file.codec_hash) == (3000, 22050, codec.codec_hash)
    assert file.resampler is not None
    if json_too:
        (stored,) = done.document["files"]
        assert (stored["tokens"], stored["frames"]) == (str(target), file.codes.shape[1])
    else:
        assert done.out.endswith(f"→ {target}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "--json"], "leave --json out"),
        (["-", "-o", "FOLDER"], "names no token file"),
        (["-", "-o", "FOLDER/x"], "names no token file"),
        (["-", "-o", "FOLDER/x.flac"], "x.flac is the name of an audio file"),
        (["-", "-o", "FOLDER/no/x.safetensors/y.safetensors"], "Not a directory"),
        (["-", "-o", "FOLDER/mine.safetensors"], "holds no tokens"),
        (["-", "--rate", "48q"], "--rate is '48q'"),
    ],
)
def test_a_pipe_that_cannot_be_stored_is_not_read(
    run: Run, tmp_path: Path, weights: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "mine.safetensors").write_text("mine")
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "x.safetensors").write_text("mine")
    given = [argument.replace("FOLDER", str(tmp_path)) for argument in arguments]
    assert words in run("encode", *given, "--codec", weights).sentence  # stdin of pytest cannot be read


@pytest.mark.parametrize("option", ["-o", "--shards"])
@pytest.mark.parametrize("name", ["x.flac", "x.WAV", "x.m4a"])
def test_tokens_get_no_name_of_audio(
    run: Run, tmp_path: Path, wav: Path, weights: Path, name: str, option: str
) -> None:
    error = run("encode", wav, option, tmp_path / name, "--codec", weights).sentence
    assert f"{name} is the name of an audio file" in error
    assert f"such as {tmp_path / 'x'}{'.safetensors' if option == '-o' else ''}, or a folder" in error
    assert not (tmp_path / name).exists()


def test_a_folder_may_be_called_as_it_likes(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    (tmp_path / "x.wav").mkdir()
    assert run("encode", wav, "-o", tmp_path / "x.wav", "--codec", weights).code == 0
    assert names_in(tmp_path / "x.wav") == ["noise.safetensors"]


def test_what_came_before_a_bad_end_is_kept_and_said(
    run: Run, tmp_path: Path, weights: Path, codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, (noise(800) * 32767).astype("<i2").tobytes() + b"x")
    target = tmp_path / "x.safetensors"
    done = run("encode", "-", "-o", target, "--codec", weights)
    assert done.code == 2
    note, error = done.err.splitlines()
    assert f"{target} holds the 0.02 s before that" in note
    assert "1 bytes of a sample" in error
    assert read_tokens(target).num_samples == 800
    stdin(monkeypatch, b"x")
    (tmp_path / "y.safetensors").write_bytes(target.read_bytes())
    assert "1 bytes" in run("encode", "-", "-o", tmp_path / "y.safetensors", "--codec", weights).sentence
    assert read_tokens(tmp_path / "y.safetensors").num_samples == 800  # nothing came, so the old file stays


def unread(pipe: IO[bytes]) -> int:
    """Bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_an_interrupt_keeps_what_came(tmp_path: Path, weights: Path, codec: Codec) -> None:
    target = tmp_path / "x.safetensors"
    pcm = (noise(4000) * 32767).astype("<i2")
    pipe = process("encode", "-", "-o", target, "--codec", weights)
    assert pipe.stdin is not None
    assert pipe.stderr is not None
    for half in (pcm[:2000], pcm[2000:]):  # the second is read after the first was encoded
        pipe.stdin.write(half.tobytes())
        pipe.stdin.flush()
        while unread(pipe.stdin):
            time.sleep(0.01)
    pipe.send_signal(signal.SIGINT)
    err = pipe.stderr.read().decode()
    assert pipe.wait() == 130
    pipe.stdin.close()
    pipe.stderr.close()
    assert pipe.stdout is not None
    pipe.stdout.close()
    assert "holds the" in err
    file = read_tokens(target)
    np.testing.assert_array_equal(file.codes, codec.encode(pcm)[:, : file.codes.shape[1]])
    assert 2000 - codec.delay_frames * codec.hop_length <= file.num_samples <= 4000  # the interrupt may beat the second
