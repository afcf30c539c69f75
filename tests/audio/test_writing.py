"""Audio files in the format of their names: what they hold, and what is refused before anything is computed."""

from __future__ import annotations

import errno
import os
import struct
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from streamrvq import AudioFileError, InputError
from streamrvq.audio.writing import FORMATS, check_target, format_of, write_audio
from tests.support.contract import noise

LOSSLESS = (".wav", ".flac", ".aiff", ".aif", ".au", ".caf", ".w64")
TONE = (0.3 * np.sin(np.arange(30_000) * 0.05)).astype(np.float32)


def decoded(path: Path) -> tuple[np.ndarray, int, str]:
    """What FFmpeg finds in a file: samples, their rate, the codec."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        parts = [part.reshape(-1) / (32768 if part.dtype == np.int16 else 1) for part in frames]
        return np.concatenate(parts), stream.rate, stream.codec_context.name


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_holds_what_its_name_says(tmp_path: Path, suffix: str) -> None:
    rate = FORMATS[suffix].rate_for(44100)
    write_audio(path := tmp_path / f"x{suffix}", TONE, rate)
    pcm, found, codec = decoded(path)
    assert found == rate
    wanted = {"PCM_16": ("pcm_", "flac"), "MPEG_LAYER_III": ("mp3",)}.get(FORMATS[suffix].codec)
    assert codec.startswith(wanted or FORMATS[suffix].codec.lower().removeprefix("lib"))
    assert abs(len(pcm) - len(TONE)) <= (0 if suffix in LOSSLESS else 1024)
    lag = len(TONE) - len(pcm) if suffix in (".ogg", ".oga") else 0  # FFmpeg leaves the first block of Vorbis out
    pcm, tone = pcm[2000:20_000], TONE[2000 + lag : 20_000 + lag]
    assert np.abs(pcm - tone).max() < (1 / 32768 if suffix in LOSSLESS else 0.08)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_sixteen_bits_are_the_same_in_every_lossless_format(tmp_path: Path, suffix: str) -> None:
    pcm = np.concatenate([noise(3000), [1.5, -1.5, 1.0, -1.0]]).astype(np.float32)
    write_audio(tmp_path / "x.wav", pcm, 44100)
    write_audio(tmp_path / f"x{suffix}", pcm, 44100)
    wanted, _ = soundfile.read(tmp_path / "x.wav", dtype="int16")
    found, _ = soundfile.read(tmp_path / f"x{suffix}", dtype="int16")
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("suffix", "floats"),
    [(s, floats) for s, f in FORMATS.items() if f.name != "OGG" for floats in {False, f.floats}],
)
def test_equal_samples_are_equal_files(tmp_path: Path, suffix: str, floats: bool) -> None:
    """Whenever they are written: there is no time in them, and nothing random."""
    files, begun = [tmp_path / f"{number}{suffix}" for number in range(2)], int(time.time())
    for path in files:
        write_audio(path, TONE, FORMATS[suffix].rate_for(44100), floats=floats)
    first, second = (path.read_bytes() for path in files)
    assert first == second
    moments = range(begun, int(time.time()) + 1)
    assert not [m for m in moments for order in "<>" if struct.pack(f"{order}I", m) in first[:512]]


@pytest.mark.parametrize("suffix", [suffix for suffix, format in FORMATS.items() if format.floats])
def test_floats_are_unchanged(tmp_path: Path, suffix: str) -> None:
    pcm = 3 * noise(3000)
    write_audio(tmp_path / f"x{suffix}", pcm, 44100, floats=True)
    np.testing.assert_array_equal(soundfile.read(tmp_path / f"x{suffix}", dtype="float32")[0], pcm)


def test_a_long_vorbis_file_is_written(tmp_path: Path) -> None:
    """libvorbis takes it on the stack if it comes at once, and the process ends there."""
    write_audio(tmp_path / "x.ogg", np.tile(TONE, 140), 44100)
    assert soundfile.info(tmp_path / "x.ogg").frames == 140 * len(TONE)


@pytest.mark.parametrize(
    ("name", "rate", "floats", "words"),
    [
        ("x.xyz", 44100, False, "ends in '.xyz', a format that is not written; wanted a name that ends in one of .wav"),
        ("x", 44100, False, "has no suffix"),
        (".wav", 44100, False, "has no suffix"),
        ("x.raw", 44100, False, "a format that is not written"),
        ("x.flac", 44100, True, "cannot hold float32"),
        ("x.mp3", 44100, True, "cannot hold float32"),
        ("x.opus", 44100, False, "wanted a rate that the format has: 8000, 12000, 16000, 24000, 48000"),
        ("x.mp3", 96000, False, "wanted a rate"),
        ("x.m4a", 192000, False, "wanted a rate"),
        ("x.ogg", 768000, False, "cannot have 768000 Hz; wanted a rate that the format has: at most 192000"),
    ],
)
def test_what_cannot_be_written_is_refused_first(
    tmp_path: Path, name: str, rate: int, floats: bool, words: str
) -> None:
    for call in (
        lambda: check_target(tmp_path / name, rate, floats),
        lambda: write_audio(tmp_path / name, TONE, rate, floats),
    ):
        with pytest.raises(InputError) as refused:
            call()
        assert words in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["no/x.wav", "file/x.flac", "folder.wav", "x" * 252 + ".mp3", "\0.wav"])
def test_where_no_file_can_lie_is_refused_first(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(AudioFileError) as refused:
        check_target(tmp_path / name, 44100)
    assert f"cannot write {tmp_path / name}" in str(refused.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_refused_first(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(AudioFileError, match="Permission"):
        check_target(tmp_path / "x.wav", 44100)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".m4a"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / f"x{suffix}").write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AudioFileError, match="No space left"):
        write_audio(path, TONE, 44100)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(path.name, b"old")]


@pytest.mark.parametrize("suffix", FORMATS)
def test_no_samples_make_a_wav_file_or_none(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    if suffix == ".wav":
        write_audio(path, TONE[:0], 44100)
        assert soundfile.info(path).frames == 0
        return
    with pytest.raises(InputError, match="no sample"):
        write_audio(path, TONE[:0], FORMATS[suffix].rate_for(44100))
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "rate", "wanted"),
    [
        ("x.wav", 44100, 44100),
        ("x.OPUS", 44100, 48000),
        ("x.opus", 8000, 8000),
        ("x.mp3", 96000, 48000),
        ("x.mp3", 16001, 22050),
    ],
)
def test_the_rate_that_a_format_has_in_place_of_another(name: str, rate: int, wanted: int) -> None:
    assert format_of(name).rate_for(rate) == wanted


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [1000, 768_000])
def test_the_furthest_rates_are_written(tmp_path: Path, suffix: str, rate: int) -> None:
    rate = FORMATS[suffix].rate_for(rate)
    write_audio(tmp_path / f"x{suffix}", TONE, rate)
    assert decoded(tmp_path / f"x{suffix}")[1] in (rate, 48000)  # Opus is decoded at 48 kHz
