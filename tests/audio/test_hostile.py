"""Hostile audio files: refused in one line, or read, in every format."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.files import open_audio
from streamrvq.audio.headers import sample_extent
from streamrvq.errors import AudioFileError, InputError
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets

RIGHT = targets()["audio"].seeds()


@pytest.mark.parametrize("seed", range(len(RIGHT)))
@given(data=st.data())
def test_a_file_with_one_thing_broken(seed: int, data: st.DataObject) -> None:
    broken = data.draw(one_change(RIGHT[seed], first=120))
    assert_survives("audio-header", broken)
    assert_survives("audio", broken)
    assert_survives("audio-kept", broken)
    assert_survives("audio-pipe", broken)


@pytest.mark.parametrize(("chunks", "seen"), [(100, True), (20_000, False)])
def test_no_more_chunks_are_looked_at_than_any_recorder_writes(tmp_path: Path, chunks: int, seen: bool) -> None:
    empty, samples = b"abcd\0\0\0\0", b"data" + struct.pack("<I", 4) + b"\0\0"
    (path := tmp_path / "x.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVE" + empty * chunks + samples)
    with contextlib.closing(ByteSource(path)) as source:
        extent = sample_extent(source)
    assert (extent is not None and (extent.wanted, extent.held) == (4, 2)) == seen


def test_an_au_file_whose_samples_begin_behind_its_end_holds_none(tmp_path: Path) -> None:
    (path := tmp_path / "x.au").write_bytes(b".snd" + struct.pack(">II", 1 << 20, 100))
    with contextlib.closing(ByteSource(path)) as source:
        extent = sample_extent(source)
    assert extent is not None
    assert extent.held == 0


def test_the_mean_of_samples_that_are_no_numbers_is_none_and_warns_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.array([[np.inf, -np.inf], [np.nan, 0], [3e38, 3e38]], np.float32), 16000, subtype="FLOAT")
    with open_audio(path, downmix=True) as reader:
        pcm = reader.read(9)
    assert not np.isfinite(pcm[:2]).any()


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(AudioFileError, match="cannot open"):
        open_audio("a\0b.wav")


@pytest.mark.parametrize(
    "playlist",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.wav\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile other.wav\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: bytes) -> None:
    soundfile.write(tmp_path / "other.wav", np.zeros(100), 16000)
    (path := tmp_path / "x.mp3").write_bytes(playlist)
    with pytest.raises(AudioFileError, match="no audio file"):
        open_audio(path)


def test_several_tracks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.mka"
    with av.open(path, "w") as film:
        streams = [film.add_stream("pcm_s16le", rate=rate, layout="mono") for rate in (16000, 32000)]
        for stream in streams:
            silence = np.zeros((1, stream.rate), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate = stream.rate
            film.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(
        InputError, match=r"2 audio tracks \(0: pcm_s16le, 16000 Hz.*; 1: pcm_s16le, 32000 Hz.*--track N"
    ):
        open_audio(path)
    with pytest.raises(InputError, match="wanted track 2, from 0"):
        open_audio(path, track=2)
    with open_audio(path, track=1) as reader:
        assert (reader.sample_rate, len(reader.read(40_000))) == (32000, 32000)
