"""`encode` and `decode` on real files: what is written, what is printed, how a bad one is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamrvq.codec import Codec
from streamrvq.resampling import RESAMPLER
from streamrvq.tokens import read_tokens, write_tokens
from streamrvq.weights import save_weights
from tests.support.command import Run
from tests.support.contract import minute, noise, weights_of
from tests.support.paths import AUDIO


def test_encode_writes_beside_the_audio(run: Run, wav: Path, weights: Path, codec: Codec) -> None:
    done = run("encode", wav, "--codec", weights)
    assert done.code == 0
    assert done.err == ""
    assert "1 encoded" in done.out
    assert done.out.endswith(f" → {wav.with_suffix('.safetensors')}\n")
    assert "untrained" in done.out
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
    assert done.code == 2
    assert "2 encoded, 3 failed" in done.out
    assert "→" not in done.out
    errors = done.err.splitlines()
    assert "1 file passed over: " in errors.pop()
    assert len(errors) == 3
    assert [line for line in errors if not line.startswith("streamrvq: error: ")] == []
    assert "cut off" in done.err
    assert "--downmix" in done.err
    assert "text.wav" in done.err
    out = tmp_path / "out"
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == ["a.safetensors", "sub/b.safetensors"]
    assert read_tokens(out / "sub" / "b.safetensors").source_rate == 16000


def test_encode_json(run: Run, tmp_path: Path, wav: Path, weights: Path, codec: Codec) -> None:
    (tmp_path / "bad.wav").write_bytes(b"")
    done = run("encode", wav, tmp_path / "bad.wav", "--codec", weights, "--json", "--n-quantizers", 2)
    assert done.code == 2
    document = done.document
    assert document["status"] == "untrained"
    assert document["codec_hash"] == codec.codec_hash
    (file,) = document["files"]
    assert file["frames"] == 552
    assert file["n_quantizers"] == 2
    assert file["seconds"] == pytest.approx(0.1)
    (failed,) = document["failed"]
    assert failed["source"].endswith("bad.wav")
    assert "empty" in failed["error"]


def test_encode_resamples_and_downmixes(run: Run, tmp_path: Path, weights: Path, codec: Codec) -> None:
    done = run("encode", AUDIO / "stereo_48khz.flac", "--codec", weights, "--downmix", "-o", tmp_path / "x.safetensors",
               "--tail", "valid")  # fmt: skip
    assert done.code == 0
    tokens = read_tokens(tmp_path / "x.safetensors")
    assert tokens.source_rate == 48000
    assert tokens.tail == "valid"
    stereo, _ = soundfile.read(AUDIO / "stereo_48khz.flac", dtype="float32")
    mono = stereo.astype(np.float64).mean(axis=1).astype(np.float32)
    whole = codec.encode(mono, sample_rate=48000, tail="valid")
    assert tokens.codes.shape == whole.shape
    assert tokens.num_samples == len(mono)
    assert (tokens.codes != whole).mean() < 1e-3  # float32: near-ties


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
        (["encode", "WAV", "--codec", "WAV"], "an audio file, and no codec"),
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
        (["encode", "-", "--codec", "CODEC", "--format", "u8"], "s16le or f32le or mulaw or alaw"),
        (["encode", "WAV", "--codec", "CODEC", "-o", "WAV/x.safetensors"], "noise.wav"),
        (["decode", "nonesuch", "-o", "x.wav"], "cannot read tokens from nonesuch"),
        (["decode", "EMPTY", "-o", "x.wav"], "holds no shards and no token files"),
        (["decode", "WAV", "-o", "x.wav"], "an audio file, and no tokens"),
        (["decode", "CODEC", "-o", "x.wav"], "holds no tokens"),
        (["decode", "WAV"], "no output was named"),
        (["decode", "WAV", "-o", "-", "--json"], "choose one"),
        (["decode", "WAV", "-o", "x.wav", "--format", "mulaw"], "wanted s16le or f32le for a WAV file"),
        (["decode", "-", "--path", "a.wav"], "go with stored tokens"),
        (["decode", "-", "--json"], "choose one"),
        (
            ["decode", "WAV", "-o", "x.txt"],
            "x.txt ends in '.txt', a format that is not written; wanted a name that ends in one of .wav",
        ),
        (["decode", "WAV", "-o", "x"], "x has no suffix"),
        (
            ["decode", "WAV", "-o", "x.wav", "--rate", "48q"],
            "--rate is '48q'; wanted a sample rate in Hz, such as 48000, 48k",
        ),
        (["info", "nonesuch"], "neither a preset nor a file"),
        (["decode", "WAV", "-o", "x.wav", "--rate", "999"], "--rate is 999; wanted a whole number of Hz from 1000"),
        (["check", "CODEC", "nonesuch"], "cannot open nonesuch"),
        (["check", "CODEC", "WAV", "--rate", "1000000"], "--rate is 1000000"),
        (["check", "CODEC", "WAV", "--chunks", "3,x"], "--chunks has 'x'"),
        (["check", "CODEC", "WAV", "--chunks", "0"], "--chunks has '0'"),
        (["check", "CODEC", "WAV", "--seconds", "0"], "more than 0"),
        (["check", "CODEC", "WAV", "--tail", "crop"], "tail is 'crop'"),
        (["convert", "CODEC", "x.foo"], "tells no layout"),
        (["convert", "CODEC", "EMPTY/x", "--layout", "foo"], "wanted one of"),
        (["bench", "CODEC", "--hops", "1,x"], "--hops is '1,x'"),
        (["bench", "CODEC", "--batch", "0"], "--batch is '0'"),
        (["bench", "CODEC", "--corpus", "WAV", "--workers", "0"], "by 0 workers"),
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


def test_there_and_back(run: Run, tmp_path: Path, wav: Path, weights: Path, codec: Codec) -> None:
    run("encode", wav, "--codec", weights)
    done = run(
        "decode", tmp_path / "noise.safetensors", "--codec", weights, "-o", tmp_path / "back.wav", "--format", "f32le"
    )
    assert done.code == 0
    assert "untrained" in done.out
    assert done.err == ""
    pcm, rate = soundfile.read(tmp_path / "back.wav", dtype="float32")
    assert rate == 44100
    assert len(pcm) == 4410  # not the 4416 of whole hops
    np.testing.assert_allclose(pcm, codec.decode(codec.encode(noise(4410)))[:4410], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_decode_at_any_rate(run: Run, tmp_path: Path, wav: Path, weights: Path, codec: Codec, rate: int) -> None:
    run("encode", wav, "--codec", weights)
    done = run("decode", tmp_path / "noise.safetensors", "--codec", weights, "-o", tmp_path / "back.wav", "--format",
               "f32le", "--rate", rate, "--json")  # fmt: skip
    pcm, written = soundfile.read(tmp_path / "back.wav", dtype="float32")
    assert written == done.document["audio_rate"] == rate
    assert len(pcm) == done.document["samples"] == rate // 10
    wanted = codec.decode(codec.encode(noise(4410)), sample_rate=rate)
    np.testing.assert_allclose(pcm, wanted[: rate // 10], rtol=0, atol=1e-5)


def test_a_file_comes_back_at_its_own_rate_with_its_own_length(run: Run, tmp_path: Path, weights: Path) -> None:
    run("encode", AUDIO / "mono_16khz.flac", "--codec", weights, "-o", tmp_path / "x.safetensors")
    assert read_tokens(tmp_path / "x.safetensors").resampler == RESAMPLER
    done = run("decode", tmp_path / "x.safetensors", "--codec", weights, "-o", tmp_path / "x.wav", "--rate", 16000)
    assert done.code == 0
    assert soundfile.info(tmp_path / "x.wav").frames == soundfile.info(AUDIO / "mono_16khz.flac").frames


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


def test_an_empty_name_is_not_this_folder(
    run: Run, wav: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(wav.parent)
    for arguments in (
        ["encode", ""], ["encode", "", "--shards", tmp_path / "shards"], ["encode", wav, "-o", ""],
        ["encode", wav, "--shards="], ["decode", "", "-o", ""], ["info", ""], ["play", ""], ["check", "x", ""],
    ):  # fmt: skip
        done = run(*arguments, "--codec", weights)
        assert "an empty argument was given" in done.sentence
    assert "given after -o;" in run("decode", "x", "-o", "").sentence
    assert not wav.with_suffix(".safetensors").exists()
