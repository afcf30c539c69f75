"""`encode -` and `decode -`: lines as they come, bad lines, incomplete samples, a closed output, an interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from streamrvq.codec import Codec
from tests.support.command import Pipe, Run, process
from tests.support.contract import noise
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


def test_a_pipe_gives_lines_as_they_come(weights: Path, codec: Codec) -> None:
    pcm = (noise(4000) * 32767).astype("<i2")
    pipe = process("encode", "-", "--codec", weights)
    assert pipe.stdin is not None
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdin.write(pcm[:2000].tobytes())
    pipe.stdin.flush()
    first = json.loads(pipe.stdout.readline())  # before the end of the input: this would wait for ever otherwise
    rest, err = pipe.communicate(pcm[2000:].tobytes())
    assert pipe.returncode == 0
    assert b"untrained" in err
    lines = [first, *map(json.loads, rest.splitlines())]
    assert first["codec_hash"] == codec.codec_hash
    assert {line["status"] for line in lines} == {"untrained"}
    codes = np.concatenate([np.array(line["codes"]) for line in lines], axis=1)
    assert [line["index"] for line in lines][:1] == [0]
    assert lines[-1]["time"] == pytest.approx(lines[-1]["index"] * 8 / 44100)
    whole = codec.encode(pcm)
    assert codes.shape == whole.shape
    assert (codes != whole).mean() < 1e-3


def test_there_and_back_through_pipes(pipe: Pipe, weights: Path, codec: Codec) -> None:
    pcm = noise(3000)
    there = process("encode", "-", "--codec", weights, "--format", "f32le", "--rate", 22050)
    lines, _ = there.communicate(pcm.astype("<f4").tobytes())
    back = process("decode", "-", "--codec", weights, "--format", "f32le")
    raw, _ = back.communicate(lines)
    assert (there.returncode, back.returncode) == (0, 0)
    assert len(raw) == 4 * len(codec.decode(codec.encode(pcm, sample_rate=22050)))
    # The first line names the codec: another refuses it.
    code, out, err = pipe(lines, "decode", "-", "--codec", "causal-44khz")
    assert code == 2
    assert out == b""
    assert "--force" in err


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_pipe_back_at_any_rate(pipe: Pipe, weights: Path, codec: Codec, rate: int) -> None:
    codes = codec.encode(noise(3000))
    lines = [{"index": at, "codes": codes[:, at : at + 50].tolist()} for at in range(0, codes.shape[1], 50)]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    code, raw, _ = pipe(data, "decode", "-", "--codec", weights, "--format", "f32le", "--rate", rate)
    assert code == 0
    np.testing.assert_allclose(np.frombuffer(raw, "<f4"), codec.decode(codes, sample_rate=rate), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not json\n", "line 1 on stdin is not JSON (Expecting value"),
        (b"[" * 100_000 + b"\n", "line 1 on stdin"),
        (b'{"index": 0}\n', "line 1 on stdin has no codes; wanted what `streamrvq encode -` writes"),
        (b'{"codes": [[1]]}\n', "line 1 on stdin has no index; "),
        (b"{}\n", "line 1 on stdin has no index and no codes; "),
        (b"\n\n7\n", "line 3 on stdin is 7, and no object"),
        (b"[1]\n", "line 1 on stdin is [1], and no object"),
        (b"null\n", "line 1 on stdin is None, and no object"),
        (b'{"index": 0, "codes": [[1]]}\n\xff\n', "line 2 on stdin is not JSON"),
        (b'{"index": 0, "codes": [[1, 2], [1]]}\n', "line 1 on stdin has levels of 2 and 1 codes"),
        (b'{"index": 0, "codes": null}\n', "codes None; wanted whole numbers"),
        (b'{"index": 0, "codes": [1, 2]}\n', "wanted whole numbers"),
        (b'{"index": 0, "codes": [[0.5]]}\n', "wanted whole numbers"),
        (b'{"index": 0, "codes": [[true, 1]]}\n', "wanted whole numbers"),
        (b'{"index": 0, "codes": [[], []]}\n', "wanted whole numbers"),
        (b'{"index": 0, "codes": {"1": [1]}}\n', "wanted whole numbers"),
        (b'{"index": false, "codes": [[1]]}\n', "has index False"),
        (b'{"index": 0.0, "codes": [[1]]}\n', "has index 0.0"),
        (b'{"index": 0, "codes": [[18446744073709551615]]}\n', "line 1 on stdin has a code of more than 63 bits"),
        (b'{"index": 3, "codes": [[1]]}\n', "begins at frame 3; wanted 0"),
        (b'{"index": 0, "codes": [[64]]}\n', "code 64 at codebook 0"),
        (b'{"index": 0, "codes": [[1],[1],[1],[1]]}\n', "K from 1 to 3"),
    ],
)
def test_bad_lines(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path, data: bytes, words: str) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(data))
    done = run("decode", "-", "--codec", weights)
    note, line = done.err.splitlines()
    assert done.code == 2
    assert "untrained" in note
    assert words in line
    assert "Error" not in line
    assert done.out == ""


def stdin_of(data: bytes) -> Any:
    import io

    return io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))  # type: ignore[arg-type]


def test_half_a_sample_is_an_error_at_the_end(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(bytes(2 * 80) + b"x"))
    done = run("encode", "-", "--codec", weights)
    assert done.code == 2
    assert "1 bytes of a sample of 2, after 80 whole samples" in done.err
    assert sum(len(json.loads(line)["codes"][0]) for line in done.out.splitlines()) == 10  # what was whole is there


def test_nan_in_a_pipe(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    pcm = np.zeros(100, "<f4")
    pcm[40] = np.inf
    monkeypatch.setattr(sys, "stdin", stdin_of(pcm.tobytes()))
    done = run("encode", "-", "--codec", weights, "--format", "f32le")
    assert done.code == 2
    assert "sample 40 is inf" in done.err


def encoding_pipe(weights: Path) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes], IO[bytes]]:
    """A command that encodes its stdin and has written a line, and its three pipes."""
    pipe = process("encode", "-", "--codec", weights)
    assert pipe.stdin is not None
    assert pipe.stdout is not None
    assert pipe.stderr is not None
    pipe.stdin.write(bytes(20_000))
    pipe.stdin.flush()
    pipe.stdout.readline()
    return pipe, pipe.stdin, pipe.stdout, pipe.stderr


def test_a_reader_that_goes_away_is_no_traceback(weights: Path) -> None:
    pipe, stdin, stdout, stderr = encoding_pipe(weights)
    stdout.close()
    stdin.write(bytes(20_000))
    stdin.close()
    assert pipe.wait() == 141
    assert b"Traceback" not in stderr.read()
    stderr.close()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_before_a_sentence(tmp_path: Path, weights: Path, wav: Path, stream: str) -> None:
    """rich ends a program with code 1 then, which is that of a difference that `check` found."""
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    run = process("encode", wav, tmp_path / "bad.wav", "--codec", weights, "--shards", tmp_path / "o", "--workers", 1)
    for name in ("stdin", stream):
        end = getattr(run, name)
        assert end is not None
        end.close()
        setattr(run, name, None)
    out, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, out) == (141, None if stream == "stdout" else b"")
    assert b"Traceback" not in (err or b"")


def test_an_interrupt_is_quiet(weights: Path) -> None:
    pipe, stdin, stdout, stderr = encoding_pipe(weights)
    pipe.send_signal(signal.SIGINT)
    assert pipe.wait() == 130
    assert b"Traceback" not in stderr.read()
    for end in (stdin, stdout, stderr):
        end.close()


#: An `os.open` that says on stderr which pipe it waits for.
TELLING = """
import os, sys
def told(path, *how, open=os.open, **more):
    if str(path).endswith("pipe"):
        sys.stderr.write("waiting\\n")
        sys.stderr.flush()
    return open(path, *how, **more)
os.open = told
"""


def test_an_interrupt_ends_the_wait_for_a_pipe_to_send(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    sending = process("send", tmp_path / "pipe", "ws://127.0.0.1:9", before=TELLING)
    try:
        assert sending.stderr is not None
        assert sending.stderr.readline() == b"waiting\n"
        sending.send_signal(signal.SIGINT)
        assert sending.wait(PATIENCE) == 130
    finally:
        sending.kill()
        out, err = sending.communicate()
    assert (out, err) == (b"", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", [["info", "--json"], ["info"], ["--version"]], ids=" ".join)
def test_an_output_that_is_full_is_one_sentence(weights: Path, command: list[str]) -> None:
    named = [*command, weights] if "info" in command else command
    with open("/dev/full", "wb") as full:
        ran = process(*named, stdout=full)
        _, err = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 2
    (line,) = err.decode().splitlines()
    assert "No space left" in line
    assert "stdout" in line or "info" not in command


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_samples_that_stdout_does_not_take_are_one_sentence(run: Run, weights: Path, wav: Path) -> None:
    run("encode", wav, "--codec", weights)
    with open("/dev/full", "wb") as full:
        ran = process("decode", wav.with_suffix(".safetensors"), "--codec", weights, "-o", "-", stdout=full)
        _, err = ran.communicate(timeout=PATIENCE)
    assert ran.returncode == 2
    assert err.decode().splitlines()[-1] == "streamrvq: error: No space left on device: stdout"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_fault(weights: Path, closed: str) -> None:
    command = f'"{sys.executable}" -m streamrvq encode - --codec "{weights}" {closed}'
    ran = subprocess.run(["bash", "-c", command], input=b"", capture_output=True, timeout=PATIENCE,
                         env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert ran.returncode == 0
    assert b"fault" not in ran.stderr
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [["decode", "--nonesuch"], ["info", "--threads", "x"], ["encode"]], ids=" ".join)
def test_a_wrong_command_line_names_the_help_of_its_command(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).sentence.endswith(f"; see streamrvq {arguments[0]} --help")
