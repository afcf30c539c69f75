"""Audio files in the format of their names: what they hold, and what is refused before anything is computed."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from streamrvq import AudioFileError, InputError
from streamrvq.audio.files import open_audio
from streamrvq.audio.writing import FORMATS, AudioWriter, check_target, format_of, write_audio
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


@pytest.mark.parametrize("suffix", [".m4a", ".mp4"])
@pytest.mark.parametrize("samples", [1, 20, 3001])
def test_a_file_that_states_its_length_states_all_samples(tmp_path: Path, suffix: str, samples: int) -> None:
    write_audio(tmp_path / f"x{suffix}", TONE[:samples], 44100)
    with open_audio(tmp_path / f"x{suffix}") as audio:
        assert audio.frames == samples
        assert len(audio.read(10_000)) >= samples


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


def test_what_the_system_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    """The system's limit on a file's size stands for a full disk. The libraries say nothing, or "System error"."""
    code = (
        "import sys, resource, numpy as np; from pathlib import Path; from streamrvq import AudioFileError;"
        "from streamrvq.audio.writing import FORMATS, AudioWriter, write_audio;"
        "write_audio(Path(sys.argv[1]) / 'x.wav', np.zeros(9, np.float32), 44100);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192));"
        "pcm = np.random.default_rng(0).standard_normal(1 << 17).astype(np.float32) / 4\n"
        "for suffix in FORMATS:\n"
        "    path = Path(sys.argv[1]) / f'x{suffix}'\n"
        "    try:\n"
        "        with AudioWriter(path, FORMATS[suffix].rate_for(44100)) as writer: writer.write(pcm)\n"
        "    except AudioFileError as error: print(error)"
    )
    for flags in ([], ["-O"]):
        done = subprocess.run([sys.executable, *flags, "-c", code, tmp_path], capture_output=True, text=True,
                              check=True)  # fmt: skip
        assert done.stderr == ""
        wanted = [f"cannot write {tmp_path}/x{suffix} (File too large); check its name, its folder and the disk"
                  for suffix in FORMATS]  # fmt: skip
        assert done.stdout.splitlines() == wanted
        assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]
        assert soundfile.info(tmp_path / "x.wav").frames == 9


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".webm"])
def test_it_does_not_matter_in_which_blocks_samples_come(tmp_path: Path, suffix: str) -> None:
    rate = FORMATS[suffix].rate_for(44100)
    pcm = np.tile(TONE, 6)
    write_audio(whole := tmp_path / f"whole{suffix}", pcm, rate)
    with AudioWriter(blocks := tmp_path / f"blocks{suffix}", rate) as writer:
        for at in range(0, len(pcm), 7777):
            writer.write(pcm[at : at + 7777])
    assert writer.count == len(pcm)
    np.testing.assert_array_equal(decoded(blocks)[0], decoded(whole)[0])


@pytest.mark.parametrize("suffix", [".flac", ".m4a"])
def test_memory_does_not_grow_with_a_files_length(tmp_path: Path, suffix: str) -> None:
    with AudioWriter(tmp_path / f"x{suffix}", 8000) as writer:
        writer.write(TONE)
        tracemalloc.start()
        try:
            for _ in range(100):
                writer.write(TONE)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 100 * TONE.nbytes / 4


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".m4a"])
def test_an_exception_on_the_way_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    (path := tmp_path / f"x{suffix}").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), AudioWriter(path, 44100) as writer:
        writer.write(np.tile(TONE, 4))
        raise KeyboardInterrupt
    with pytest.raises(InputError, match="sample 30001 is nan"), AudioWriter(path, 44100) as writer:
        writer.write(TONE)
        writer.write(np.array([0, np.nan], np.float32))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(path.name, b"old")]


def test_an_interrupt_while_a_library_writes_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    for suffix in (".wav", ".flac", ".ogg", ".m4a"):
        with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / f"x{suffix}", 44100) as writer:
            monkeypatch.setattr(writer._sink.file, "write", interrupted, raising=False)
            writer.write(np.tile(TONE, 4))
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_a_format_cannot_say_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamrvq.audio.writing._LARGEST", 50_000)
    for suffix in (".wav", ".aiff", ".au"):
        writer = AudioWriter(tmp_path / f"x{suffix}", 44100)  # nobody said that they would be so many
        with pytest.raises(AudioFileError, match="larger than 4 GiB"), writer:
            writer.write(TONE)
    assert list(tmp_path.iterdir()) == []
    for suffix, name in ((".wav", "RF64"), (".flac", "FLAC"), (".caf", "CAF")):
        write_audio(tmp_path / f"x{suffix}", TONE, 44100)
        info = soundfile.info(tmp_path / f"x{suffix}")
        assert (info.format, info.frames) == (name, len(TONE))


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
