"""The command line on real files: what it writes, what it prints, how it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from streamrvq import __version__, load
from streamrvq.audio.rates import Resampler
from streamrvq.bench import machine
from streamrvq.cli import main
from streamrvq.codec import Codec
from streamrvq.tokens import read_tokens, write_tokens
from streamrvq.weights import save_weights
from tests.contract import codec_of, minute, noise, weights_of

AUDIO = Path(__file__).parent / "audio"


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that an error is."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("streamrvq: error: ") and "Traceback" not in line
        return line

    @property
    def document(self) -> Any:
        """stdout, which must be one JSON document."""
        return json.loads(self.out)


Run = Callable[..., Done]


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


def process(*arguments: object, **settings: Any) -> subprocess.Popen[bytes]:
    """A command line in a process of its own."""
    code = "from streamrvq.cli import main; main()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=env, **(pipes | settings))


# ------------------------------------------------------------------- encode


def test_encode_writes_beside_the_audio(run: Run, wav: Path, weights: Path, codec: Codec) -> None:
    done = run("encode", wav, "--codec", weights)
    assert done.code == 0 and done.err == "" and "1 encoded" in done.out and "untrained" in done.out
    tokens = read_tokens(wav.with_suffix(".safetensors"))
    np.testing.assert_array_equal(tokens.codes, codec.encode(noise(4410)))
    assert (tokens.codec_hash, tokens.trained) == (codec.codec_hash, False)
    assert (tokens.sample_rate, tokens.source_rate, tokens.num_samples, tokens.hop_length) == (44100, 44100, 4410, 8)


def test_encode_a_folder_goes_on_after_bad_files(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(wav, folder / "a.wav")
    shutil.copy(AUDIO / "mono_16khz.flac", folder / "sub" / "b.flac")
    shutil.copy(AUDIO / "stereo_48khz.flac", folder / "stereo.flac")
    (folder / "cut.wav").write_bytes(wav.read_bytes()[:5000])
    (folder / "text.wav").write_text("no audio")
    (folder / "notes.txt").write_text("not looked at")
    done = run("encode", folder, "-o", tmp_path / "out", "--codec", weights)
    assert done.code == 2 and "2 encoded, 3 failed" in done.out
    errors = done.err.splitlines()
    assert len(errors) == 3 and all(line.startswith("streamrvq: error: ") for line in errors)
    assert "cut off" in done.err and "--downmix" in done.err and "text.wav" in done.err
    out = tmp_path / "out"
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == ["a.safetensors", "sub/b.safetensors"]
    assert read_tokens(out / "sub" / "b.safetensors").source_rate == 16000


def test_encode_json(run: Run, tmp_path: Path, wav: Path, weights: Path, codec: Codec) -> None:
    (tmp_path / "bad.wav").write_bytes(b"")
    done = run("encode", wav, tmp_path / "bad.wav", "--codec", weights, "--json", "--n-quantizers", 2)
    assert done.code == 2
    document = done.document
    assert document["status"] == "untrained" and document["codec_hash"] == codec.codec_hash
    (file,) = document["files"]
    assert file["frames"] == 552 and file["n_quantizers"] == 2 and file["seconds"] == pytest.approx(0.1)
    (failed,) = document["failed"]
    assert failed["source"].endswith("bad.wav") and "empty" in failed["error"]


def test_encode_resamples_and_downmixes(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    done = run("encode", AUDIO / "stereo_48khz.flac", "--codec", weights, "--downmix", "-o", tmp_path / "x.safetensors",
               "--tail", "valid")  # fmt: skip
    assert done.code == 0
    tokens = read_tokens(tmp_path / "x.safetensors")
    assert tokens.source_rate == 48000 and tokens.tail == "valid"
    stereo, _ = soundfile.read(AUDIO / "stereo_48khz.flac", dtype="float32")
    mono = stereo.astype(np.float64).mean(axis=1).astype(np.float32)
    whole = codec.encode(mono, sample_rate=48000, tail="valid")
    assert tokens.codes.shape == whole.shape and tokens.num_samples == len(mono)
    assert (tokens.codes != whole).mean() < 1e-3  # float32: near-ties


def test_two_files_with_one_target(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    soundfile.write(tmp_path / "noise.flac", noise(100), 44100)
    done = run("encode", wav, tmp_path / "noise.flac", "--codec", weights)
    assert done.code == 2 and "both be written" in done.err
    assert read_tokens(tmp_path / "noise.safetensors").num_samples == 4410


def test_weights_are_never_overwritten(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    target = tmp_path / "noise.safetensors"
    shutil.copy(weights, target)
    before = target.read_bytes()
    assert "holds no tokens" in run("encode", wav, "--codec", weights).sentence
    assert target.read_bytes() == before


def test_nan_in_a_file(run: Run, tmp_path: Path, weights: Path) -> None:
    pcm = noise(1000)
    pcm[777] = np.nan
    soundfile.write(tmp_path / "nan.wav", pcm, 44100, subtype="FLOAT")
    assert "sample 777 is nan" in run("encode", tmp_path / "nan.wav", "--codec", weights).sentence
    assert not (tmp_path / "nan.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", "WAV", "--codec", "nonesuch"], "neither a preset nor a file"),
        (["encode", "WAV", "--codec", "WAV"], "no file of weights"),
        (["encode", "nonesuch.wav", "--codec", "CODEC"], "cannot open nonesuch.wav"),
        (["encode", "EMPTY", "--codec", "CODEC"], "holds no audio files"),
        (["encode", "EMPTY", "-o", "x.safetensors", "--codec", "CODEC"], "wanted a folder"),
        (["encode", "WAV", "--codec", "CODEC", "--n-quantizers", "4"], "from 1 to 3"),
        (["encode", "WAV", "--codec", "CODEC", "--tail", "crop"], "tail is 'crop'"),
        (["encode", "WAV", "--codec", "CODEC", "--engine", "magic"], "engine is 'magic'"),
        (["encode", "WAV", "--codec", "CODEC", "--threads", "0"], "threads is 0"),
        (["encode", "WAV", "--codec", "CODEC", "--rate", "8000"], "--rate and --format go with -"),
        (["encode", "-", "WAV", "--codec", "CODEC"], "- goes alone"),
        (["encode", "-", "--codec", "CODEC", "--rate", "3"], "Hz"),
        (["encode", "-", "--codec", "CODEC", "--format", "u8"], "s16le or f32le"),
        (["encode", "WAV", "--codec", "CODEC", "-o", "WAV/x.safetensors"], "noise.wav"),
        (["decode", "nonesuch", "-o", "x.wav"], "cannot read tokens from nonesuch"),
        (["decode", "EMPTY", "-o", "x.wav"], "it is a folder"),
        (["decode", "WAV", "-o", "x.wav"], "no token file"),
        (["decode", "CODEC", "-o", "x.wav"], "holds no tokens"),
        (["decode", "WAV"], "no output was named"),
        (["decode", "WAV", "-o", "-", "--json"], "choose one"),
        (["decode", "-", "-o", "x.wav"], "leave -o out"),
        (["info", "nonesuch"], "neither a preset nor a file"),
        (["check", "CODEC", "nonesuch"], "cannot open nonesuch"),
        (["check", "CODEC", "WAV", "--chunks", "3,x"], "--chunks has 'x'"),
        (["check", "CODEC", "WAV", "--chunks", "0"], "--chunks has '0'"),
        (["check", "CODEC", "WAV", "--seconds", "0"], "more than 0"),
        (["check", "CODEC", "WAV", "--tail", "crop"], "tail is 'crop'"),
        (["convert", "CODEC", "x.foo"], "tells no layout"),
        (["convert", "CODEC", "EMPTY/x", "--layout", "foo"], "wanted one of"),
        (["bench", "CODEC", "--hops", "1,x"], "--hops is '1,x'"),
        (["bench", "CODEC", "--batch", "0"], "--batch is '0'"),
        (["bench", "CODEC", "--rounds", "0", "--no-official"], "at least one round"),
        (["nonesuch"], "No such command"),
        (["info", "--nonesuch"], "No such option"),
        (["encode"], "Missing argument"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, tmp_path: Path, wav: Path, weights: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"WAV": str(wav), "CODEC": str(weights), "EMPTY": str(tmp_path / "empty")}
    for name, place in places.items():
        arguments = [a.replace(name, place) if a.startswith(name) else a for a in arguments]
    assert words in run(*arguments).sentence


def test_a_damaged_weights_file(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:3000])
    assert "cut.safetensors" in run("encode", wav, "--codec", tmp_path / "cut.safetensors").sentence


# ------------------------------------------------------------------- decode


def test_there_and_back(run: Run, tmp_path: Path, wav: Path, weights: Path, codec: Codec) -> None:
    run("encode", wav, "--codec", weights)
    done = run(
        "decode", tmp_path / "noise.safetensors", "--codec", weights, "-o", tmp_path / "back.wav", "--format", "f32le"
    )
    assert done.code == 0 and "untrained" in done.out and done.err == ""
    pcm, rate = soundfile.read(tmp_path / "back.wav", dtype="float32")
    assert rate == 44100 and len(pcm) == 4410  # not the 4416 of whole hops
    np.testing.assert_allclose(pcm, codec.decode(codec.encode(noise(4410)))[:4410], atol=1e-5)


def test_decode_json_and_a_resampled_length(run: Run, tmp_path: Path, weights: Path) -> None:
    run("encode", AUDIO / "mono_16khz.flac", "--codec", weights, "-o", tmp_path / "x.safetensors")
    done = run("decode", tmp_path / "x.safetensors", "--codec", weights, "-o", tmp_path / "x.wav", "--json")
    seconds = soundfile.info(AUDIO / "mono_16khz.flac").duration
    assert done.document["samples"] == round(seconds * 44100)
    assert soundfile.info(tmp_path / "x.wav").subtype == "PCM_16"


def test_tokens_of_another_codec(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_weights(weights_of(minute(), seed=1), other)
    run("encode", wav, "--codec", weights)
    tokens = tmp_path / "noise.safetensors"
    assert "--force" in run("decode", tokens, "--codec", other, "-o", tmp_path / "x.wav").sentence
    assert not (tmp_path / "x.wav").exists()
    assert run("decode", tokens, "--codec", other, "-o", tmp_path / "x.wav", "--force").code == 0
    assert "give it with --codec" in run("decode", tokens, "-o", tmp_path / "y.wav").sentence


def test_codes_out_of_range(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    run("encode", wav, "--codec", weights)
    path = tmp_path / "noise.safetensors"
    tokens = read_tokens(path)
    tokens.codes[1, 5] = 64
    write_tokens(path, tokens)
    words = run("decode", path, "--codec", weights, "-o", tmp_path / "x.wav").sentence
    assert "code 64 at codebook 1, frame 5" in words
    assert not (tmp_path / "x.wav").exists()


def test_an_output_that_cannot_be_written(run: Run, tmp_path: Path, wav: Path, weights: Path) -> None:
    run("encode", wav, "--codec", weights)
    tokens = tmp_path / "noise.safetensors"
    assert "cannot write" in run("decode", tokens, "--codec", weights, "-o", tmp_path / "no" / "x.wav").sentence


# -------------------------------------------------------------------- pipes


def test_a_pipe_gives_lines_as_they_come(weights: Path, codec: Codec) -> None:
    pcm = (noise(4000) * 32767).astype("<i2")
    pipe = process("encode", "-", "--codec", weights)
    assert pipe.stdin is not None and pipe.stdout is not None and pipe.stderr is not None
    pipe.stdin.write(pcm[:2000].tobytes())
    pipe.stdin.flush()
    first = json.loads(pipe.stdout.readline())  # before the end of the input: this would wait for ever otherwise
    rest, err = pipe.communicate(pcm[2000:].tobytes())
    assert pipe.returncode == 0 and b"untrained" in err
    lines = [first, *map(json.loads, rest.splitlines())]
    assert first["codec_hash"] == codec.codec_hash and all(line["status"] == "untrained" for line in lines)
    codes = np.concatenate([np.array(line["codes"]) for line in lines], axis=1)
    assert [line["index"] for line in lines][:1] == [0]
    assert lines[-1]["time"] == pytest.approx(lines[-1]["index"] * 8 / 44100)
    whole = codec.encode(pcm)
    assert codes.shape == whole.shape and (codes != whole).mean() < 1e-3


def test_there_and_back_through_pipes(weights: Path, codec: Codec) -> None:
    pcm = noise(3000)
    there = process("encode", "-", "--codec", weights, "--format", "f32le", "--rate", 22050)
    lines, _ = there.communicate(pcm.astype("<f4").tobytes())
    back = process("decode", "-", "--codec", weights, "--format", "f32le")
    raw, _ = back.communicate(lines)
    resampler = Resampler(22050, 44100)
    moved = np.concatenate([resampler.push(pcm), resampler.flush()])
    assert (there.returncode, back.returncode) == (0, 0)
    assert len(raw) == 4 * len(codec.decode(codec.encode(moved)))
    # The first line names the codec: another refuses it.
    other = process("decode", "-", "--codec", "causal-44khz")
    out, err = other.communicate(lines)
    assert other.returncode == 2 and out == b"" and b"--force" in err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not json\n", "line 1 on stdin"),
        (b"[" * 100_000 + b"\n", "line 1 on stdin"),
        (b'{"index": 0}\n', "line 1 on stdin"),
        (b'{"index": 0, "codes": [1, 2]}\n', "wanted whole numbers"),
        (b'{"index": 0, "codes": [[0.5]]}\n', "wanted whole numbers"),
        (b'{"index": 3, "codes": [[1]]}\n', "begins at frame 3; wanted 0"),
        (b'{"index": 0, "codes": [[64]]}\n', "code 64 at codebook 0"),
        (b'{"index": 0, "codes": [[1],[1],[1],[1]]}\n', "K from 1 to 3"),
    ],
)
def test_bad_lines(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path, data: bytes, words: str) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(data))
    done = run("decode", "-", "--codec", weights)
    note, line = done.err.splitlines()
    assert done.code == 2 and "untrained" in note and words in line and done.out == ""


def stdin_of(data: bytes) -> Any:
    import io

    return io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))  # type: ignore[arg-type]


def test_half_a_sample_is_an_error_at_the_end(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(bytes(2 * 80) + b"x"))
    done = run("encode", "-", "--codec", weights)
    assert done.code == 2 and "1 bytes of a sample of 2, after 80 whole samples" in done.err
    assert sum(len(json.loads(line)["codes"][0]) for line in done.out.splitlines()) == 10  # what was whole is there


def test_nan_in_a_pipe(run: Run, monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    pcm = np.zeros(100, "<f4")
    pcm[40] = np.inf
    monkeypatch.setattr(sys, "stdin", stdin_of(pcm.tobytes()))
    done = run("encode", "-", "--codec", weights, "--format", "f32le")
    assert done.code == 2 and "sample 40 is inf" in done.err


def test_a_reader_that_goes_away_is_no_traceback(weights: Path) -> None:
    pipe = process("encode", "-", "--codec", weights)
    assert pipe.stdin is not None and pipe.stdout is not None and pipe.stderr is not None
    pipe.stdin.write(bytes(20_000))
    pipe.stdin.flush()
    pipe.stdout.readline()
    pipe.stdout.close()
    pipe.stdin.write(bytes(20_000))
    pipe.stdin.close()
    assert pipe.wait() == 141
    assert b"Traceback" not in pipe.stderr.read()
    pipe.stderr.close()


def test_an_interrupt_is_quiet(weights: Path) -> None:
    pipe = process("encode", "-", "--codec", weights)
    assert pipe.stdin is not None and pipe.stdout is not None and pipe.stderr is not None
    pipe.stdin.write(bytes(20_000))
    pipe.stdin.flush()
    pipe.stdout.readline()  # it is at work
    pipe.send_signal(signal.SIGINT)
    assert pipe.wait() == 130
    assert b"Traceback" not in pipe.stderr.read()
    for end in (pipe.stdin, pipe.stdout, pipe.stderr):
        end.close()


# ------------------------------------------- info, check, convert, bench


def test_version_and_help(run: Run) -> None:
    assert run("--version") == Done(0, f"streamrvq {__version__}\n", "")
    help_text = run("--help").out
    assert all(name in help_text for name in ("encode", "decode", "info", "check", "convert", "bench"))
    assert run().code == 2


def test_info(run: Run, weights: Path) -> None:
    done = run("info", weights)
    assert done.code == 0 and "untrained" in done.out and done.err == ""
    facts = run("info", "rvq-breakdown", "--json").document
    assert (facts["delay_frames"], facts["lookahead_samples"], facts["decoder_delay_samples"]) == (8, 3733, 4757)
    assert facts["receptive_field"] == [-3733, 4244] and facts["frame_rate"] == pytest.approx(86.1328)
    assert facts["bitrate"] == pytest.approx(7751.95, abs=0.01) and facts["status"] == "untrained"
    shapes = weights_of(minute()).tensors.values()
    facts = run("info", weights, "--json").document
    total = sum(facts[f"{part}_parameters"] for part in ("encoder", "quantizer", "decoder"))
    assert total == sum(t.size for t in shapes)


def test_check(run: Run, wav: Path, weights: Path) -> None:
    done = run("check", weights, wav, "--chunks", "7,8,random", "--decode")
    assert done.code == 0 and "untrained" in done.out and "random" in done.out and "decoding" in done.out
    document = run("check", weights, wav, "--chunks", "7,8,random", "--json", "--seconds", "0.05").document
    assert document["passed"] and [row["chunks"] for row in document["rows"]] == [7, 8, "random"]
    assert document["seconds"] == pytest.approx(0.05, abs=1e-4) and document["status"] == "untrained"


def test_check_says_when_chunking_shows(run: Run, wav: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamrvq import checking

    honest = checking._encode

    def encode(codec: Codec, signal: Any, size: Any, seed: int, tail: str) -> Any:
        codes, latents, pushes = honest(codec, signal, size, seed, tail)
        return (codes if size is None else (codes + 1) % 64), latents, pushes

    monkeypatch.setattr(checking, "_encode", encode)
    done = run("check", weights, wav, "--chunks", "7")
    assert done.code == 1 and "DIFFERENT" in done.out
    done = run("check", weights, wav, "--chunks", "7", "--json")
    assert done.code == 1 and done.document["passed"] is False


@pytest.mark.parametrize("target", ["x.safetensors", "x.pth", "folder"])
def test_convert(run: Run, tmp_path: Path, weights: Path, codec: Codec, target: str) -> None:
    done = run("convert", weights, tmp_path / target)
    assert done.code == 0 and "untrained" in done.out
    document = run("convert", tmp_path / target, tmp_path / "again.safetensors", "--json").document
    assert document["status"] == "untrained" and document["codec_hash"] == document["source_codec_hash"]
    if target != "x.pth":  # weight norm may round
        assert document["codec_hash"] == codec.codec_hash


def test_convert_half(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    assert run("convert", weights, tmp_path / "half.safetensors", "--half").code == 0
    assert (tmp_path / "half.safetensors").stat().st_size < weights.stat().st_size
    assert load(tmp_path / "half.safetensors").codec_hash == codec.codec_hash
    assert "half" in run("convert", weights, tmp_path / "x.pth", "--half").sentence


def test_bench(run: Run, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIDES", (32,))
    monkeypatch.setattr(machine, "READ_BYTES", 1 << 16)
    quick = ("--hops", "1,2", "--batch", "1", "--seconds", "0.002", "--rounds", "1", "--no-official")
    done = run("bench", weights, *quick, "--decode")
    assert done.code == 0 and "untrained" in done.out and "skipped" in done.out and "GFLOP/s" in done.out
    document = run("bench", weights, *quick, "--json").document
    assert [row["hops"] for row in document["encode"]] == [1, 2] and document["decode"] == []
    assert document["encode"][0]["official_ratio"] is None and document["status"] == "untrained"


def test_json_says_trained_of_trained_weights(run: Run, tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "t.safetensors"
    save_weights(dataclasses.replace(codec_of(minute()).weights, trained=True), path)
    assert run("info", path, "--json").document["status"] == "trained"
    assert "untrained" not in run("info", path).out
