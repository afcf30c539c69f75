"""Audio files: every format is read whole in blocks of any size, damage is reported, writing is exact and atomic."""

import contextlib
import io
import itertools
import os
import re
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.encoders import SoundFileEncoder
from streamrvq.audio.files import open_audio
from streamrvq.audio.headers import Extent, sample_extent
from streamrvq.audio.writing import write_audio
from streamrvq.errors import AudioFileError, InputError
from tests.support.paths import AUDIO

FORMATS = [
    ("WAV", "PCM_16", "wav"), ("WAV", "FLOAT", "wav"), ("WAVEX", "PCM_24", "wav"), ("RF64", "PCM_16", "rf64"),
    ("W64", "PCM_16", "w64"), ("AIFF", "PCM_16", "aiff"), ("AU", "PCM_16", "au"), ("CAF", "PCM_16", "caf"),
    ("FLAC", "PCM_16", "flac"), ("OGG", "VORBIS", "ogg"), ("OGG", "OPUS", "opus"), ("MP3", "MPEG_LAYER_III", "mp3"),
    ("WAV", "IMA_ADPCM", "wav"),
]  # fmt: skip
#: How far a sample may be from libsndfile's.
ROUNDING = {"MPEG_LAYER_III": 1e-6, "VORBIS": 1e-6, "OPUS": 1e-4}
UNCOMPRESSED = ("RF64", "W64", "AIFF", "AU", "CAF", "WAV", "WAVEX")
BEGINNINGS = (b"RIFF", b"RF64", b"FORM", b"riff", b"caff", b".snd", b"OggS", b"fLaC")
formats = pytest.mark.parametrize(("container", "subtype", "ending"), FORMATS)


def tone(samples: int = 24_000, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    pcm = 0.3 * np.sin(np.arange(samples) * 0.05)[:, None] + 0.02 * rng.standard_normal((samples, channels))
    return pcm.astype(np.float32).squeeze()


def make(path, container="WAV", subtype="PCM_16", channels=1):
    soundfile.write(path, tone(channels=channels), 48000, format=container, subtype=subtype)
    return path


def extent_of(path):
    with contextlib.closing(ByteSource(path)) as source:
        return sample_extent(source)


@formats
@pytest.mark.parametrize("size", [1000, 24_000, 100_000])
def test_blocks_put_together_are_the_file(tmp_path, container, subtype, ending, size):
    path = make(tmp_path / f"a.{ending}", container, subtype)
    wanted, rate = soundfile.read(path, dtype="float32")
    if subtype in ROUNDING:  # libsndfile's decoder rounds otherwise; ours gives the same for all sizes
        with open_audio(path) as reader:
            ours = np.concatenate(list(reader.blocks(12_345)))
        assert np.abs(ours - wanted).max() < ROUNDING[subtype]
        wanted = ours
    with open_audio(path) as reader:
        assert (reader.sample_rate, reader.channels) == (rate, 1)
        assert abs(reader.frames - len(wanted)) <= (400 if subtype == "OPUS" else 0)
        blocks = list(reader.blocks(size))
        assert reader.position == len(wanted)
    assert {(block.dtype, block.ndim) for block in blocks} == {(np.dtype(np.float32), 1)}
    assert {len(block) for block in blocks[:-1]} <= {size}
    assert np.array_equal(np.concatenate(blocks), wanted)


@formats
@pytest.mark.parametrize("share", [0.4, 0.93])
def test_a_cut_file_is_never_read_as_whole(tmp_path, container, subtype, ending, share):
    path = make(tmp_path / f"a.{ending}", container, subtype)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioFileError) as caught, open_audio(path) as reader:
        for _ in reader.blocks(1000):
            pass
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    if container in UNCOMPRESSED and subtype != "IMA_ADPCM":
        reached = re.search(r"ends at sample (\d+) of 24000;", message)
        assert reached is not None
        assert abs(int(reached[1]) - share * 24_000) < (3000 if container == "CAF" else 200)  # a header of 4 KiB
    elif container in ("FLAC", "MP3"):
        assert "is damaged after sample" in message
        assert "of 24000:" in message


@formats
@pytest.mark.parametrize("as_object", [False, True])
def test_a_file_that_shrinks_while_it_is_read_is_told(tmp_path, container, subtype, ending, as_object):
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.tile(tone(), 20), 48000, format=container, subtype=subtype)
    data = path.read_bytes()
    for truncated in ("refuse", "keep"):
        path.write_bytes(data)
        source = io.BytesIO(data) if as_object else path
        with open_audio(source, truncated=truncated) as reader:
            reader.read(1000)
            source.truncate(len(data) // 2) if as_object else os.truncate(path, len(data) // 2)
            refused = pytest.raises(AudioFileError, match=r"is damaged after sample \d+ of \d+: it ")
            with refused if truncated == "refuse" else contextlib.nullcontext():
                list(reader.blocks(10_000))
            assert 1000 < reader.position < 480_000


def test_a_file_that_loses_what_is_no_sample_is_whole(tmp_path):
    path = make(tmp_path / "a.wav")
    with path.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    with open_audio(path) as reader:
        os.truncate(path, path.stat().st_size - 12)
        assert sum(map(len, reader.blocks(999))) == 24_000


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_even_the_last_byte_is_missed(tmp_path, missing):
    path = make(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(AudioFileError, match=r"ends at sample 2399\d of 24000"):
        open_audio(path)


def test_a_wav_from_a_pipe_states_no_length_and_is_read_to_its_end(tmp_path):
    path = make(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff" * 4
    path.write_bytes(data)
    assert extent_of(path) == Extent(start=44, wanted=None, held=48_000)
    with open_audio(path) as reader:
        assert sum(map(len, reader.blocks(999))) == 24_000


def test_chunks_behind_and_before_the_samples_are_stepped_over(tmp_path):
    samples = struct.pack("<100h", *range(100))
    chunks = [b"JUNK" + struct.pack("<I", 3) + b"abc\0"]  # an odd size is padded
    chunks += [b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)]
    chunks += [b"data" + struct.pack("<I", 200) + samples, b"LIST" + struct.pack("<I", 4) + b"INFO"]
    body = b"WAVE" + b"".join(chunks)
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert extent_of(path) == Extent(start=56, wanted=200, held=212)
    with open_audio(path) as reader:
        assert np.array_equal(reader.read(1000) * 32768, np.arange(100))


@settings(max_examples=100)
@given(st.sampled_from(BEGINNINGS), st.binary(max_size=90))
def test_any_bytes_behind_a_known_beginning_are_taken_calmly(tmp_path, magic, rest):
    path = tmp_path / "a.wav"
    path.write_bytes(magic + rest)
    with pytest.raises(AudioFileError):
        open_audio(path)


def test_several_channels_need_asking(tmp_path):
    path = make(tmp_path / "a.wav", channels=2)
    with pytest.raises(InputError, match=r"has 2 channels; wanted 1: pass downmix=True \(--downmix\)"):
        open_audio(path)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_downmix_is_the_mean_however_it_is_cut(tmp_path, channels):
    path = make(tmp_path / "a.wav", subtype="FLOAT", channels=channels)
    mean = tone(channels=channels).astype(np.float64).mean(axis=1)
    for size in (1, 7, 4096):
        with open_audio(path, downmix=True) as reader:
            assert reader.channels == channels
            pcm = np.concatenate(list(itertools.islice(reader.blocks(size), 5000)))
        assert np.array_equal(pcm, mean[: len(pcm)].astype(np.float32))


def test_what_is_no_audio(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello " * 100)
    (tmp_path / "bare.raw").write_bytes(bytes(100))
    for name, said in (("no.wav", "No such file"), ("", "Is a directory"), ("empty.wav", r"empty \(0 bytes\)"),
                       ("text.wav", "Format not recognised"), ("bare.raw", "no audio file")):  # fmt: skip
        with pytest.raises(AudioFileError, match=said) as caught:
            open_audio(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_file_without_samples_has_no_blocks(tmp_path):
    path = tmp_path / "a.wav"
    write_audio(path, np.zeros(0, np.float32), 44100)
    with open_audio(path) as reader:
        assert reader.frames == 0
        assert list(reader.blocks(100)) == []


def test_a_block_of_nothing_is_refused(tmp_path):
    with open_audio(make(tmp_path / "a.wav")) as reader, pytest.raises(InputError, match="wanted at least 1"):
        reader.read(0)


def test_every_int16_comes_back(tmp_path):
    every, path = np.arange(-32768, 32768).astype(np.int16), tmp_path / "a.wav"
    write_audio(path, every, 16000)
    assert np.array_equal(soundfile.read(path, dtype="int16")[0], every)
    with open_audio(path) as reader:
        pcm = reader.read(1 << 16)
    write_audio(path, pcm, 16000)
    assert np.array_equal(soundfile.read(path, dtype="int16")[0], every)


def test_float_comes_back_and_pcm_16_is_clipped(tmp_path):
    pcm, path = np.array([0.1, -3.0, 3.0, 1e-9], np.float32), tmp_path / "a.wav"
    write_audio(path, pcm, 44100, floats=True)
    assert np.array_equal(soundfile.read(path, dtype="float32")[0], pcm)
    write_audio(path, pcm.astype(np.float64), 44100)
    assert soundfile.read(path, dtype="int16")[0].tolist() == [3277, -32768, 32767, 0]


def test_what_a_wav_cannot_hold_is_written_as_rf64(tmp_path, monkeypatch):
    path, pcm = tmp_path / "a.wav", tone(10_000)
    write_audio(path, pcm, 48000)
    assert path.read_bytes()[:4] == b"RIFF"
    monkeypatch.setattr("streamrvq.audio.writing._LARGEST", 20_000)
    write_audio(path, pcm, 48000)
    assert path.read_bytes()[:4] == b"RF64"
    with open_audio(path) as reader:
        assert reader.frames == 10_000
        assert np.array_equal(np.rint(reader.read(10_001) * 32768), np.rint(pcm * 32768))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = make(tmp_path / "a.wav")
    before = path.read_bytes()

    def broken(self: object, samples: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SoundFileEncoder, "write", broken)
    with pytest.raises(AudioFileError, match="No space left on device"):
        write_audio(path, tone(), 48000)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_bad_writes(tmp_path):
    with pytest.raises(AudioFileError, match="cannot write"):
        write_audio(tmp_path / "no" / "a.wav", tone(), 48000)
    with pytest.raises(InputError, match="sample 3 is nan"):
        write_audio(tmp_path / "a.wav", np.array([0, 0, 0, np.nan], np.float32), 48000)
    with pytest.raises(InputError, match="sample 1 is inf"):  # and nothing warns of an overflow
        write_audio(tmp_path / "a.wav", np.array([0, 1e300]), 48000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["0", 1.0, True, -1])
@pytest.mark.parametrize("setting", ["channel", "track"])
def test_what_numbers_a_channel_or_a_track_is_whole(setting, value):
    with pytest.raises(InputError, match=f"{setting} is .*; wanted a whole number from 0 on, or None"):
        open_audio(AUDIO / "mono_16khz.flac", **{setting: value})


@pytest.mark.parametrize("samples", [0, -1, 1.5, "3", None, True, float("inf")])
def test_a_block_has_a_whole_number_of_samples(samples):
    with open_audio(AUDIO / "mono_16khz.flac") as audio:
        with pytest.raises(InputError, match="wanted at least 1, as a whole number"):
            audio.read(samples)
        assert (len(audio.read(np.int64(7))), audio.position) == (7, 7)
