"""WAV that FFmpeg or libsndfile misreads: the samples are what the format says, from every kind of source."""

import io
import struct

import numpy as np
import pytest

from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.files import open_audio
from streamrvq.audio.wav_format import WavFormat, wav_format
from streamrvq.errors import AudioFileError
from tools.fuzzing.targets.audio import OnceOnly

PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def extensible(bits, valid, count=3000, size=None):
    """A WAV of whole numbers with ``valid`` bits in ``bits``, and its samples as float32."""
    numbers = (np.arange(count) * 7919 % (1 << (valid - 1))) - (1 << (valid - 2))
    width = bits // 8
    data = b"".join(int(n << (bits - valid)).to_bytes(width, "little", signed=True) for n in numbers)
    head = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 44100, 44100 * width, width, bits, 22, valid, 4) + PCM_GUID
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body, (numbers / (1 << (valid - 1))).astype(np.float32)


def rifx(bits=16, count=3000):
    numbers = np.arange(count) * 7 % 3000 - 1500
    data = numbers.astype(f">i{bits // 8}").tobytes()
    head = struct.pack(">IHHIIHH", 16, 1, 1, 44100, 44100 * bits // 8, bits // 8, bits)
    body = b"WAVEfmt " + head + b"data" + struct.pack(">I", len(data)) + data
    return b"RIFX" + struct.pack(">I", len(body)) + body, (numbers / (1 << (bits - 1))).astype(np.float32)


@pytest.mark.parametrize(
    ("data", "samples"),
    [extensible(32, 24), extensible(32, 20), extensible(24, 16), extensible(24, 20), extensible(16, 12), rifx()],
    ids=["24 in 32", "20 in 32", "16 in 24", "20 in 24", "12 in 16", "RIFX"],
)
@pytest.mark.parametrize("how", ["refuse", "keep"])
def test_samples_are_right_from_every_source(tmp_path, data, samples, how):
    (path := tmp_path / "a.wav").write_bytes(data)
    for source in (path, io.BytesIO(data), OnceOnly(data, 4096)):
        with open_audio(source, truncated=how) as audio:
            np.testing.assert_array_equal(audio.read(10_000), samples)


@pytest.mark.parametrize("how", ["refuse", "keep"])
def test_what_cannot_be_repaired_is_said(how):
    data, _ = extensible(32, 24, size=0)
    with pytest.raises(AudioFileError, match="states 0 samples, and 3000 are there"):
        open_audio(io.BytesIO(data), truncated=how)


def test_24_bits_in_frames_of_4_bytes_are_not_read_in_threes(tmp_path):
    data, _ = extensible(32, 24)
    data = data.replace(struct.pack("<HHHHI", 4, 32, 22, 24, 4), struct.pack("<HHHHI", 4, 24, 22, 24, 4))
    (path := tmp_path / "a.wav").write_bytes(data)
    assert not wav_format(ByteSource(io.BytesIO(data))).libsndfile
    with open_audio(path) as audio:
        assert len(audio.read(10_000)) == 3000


def test_the_format_may_lie_behind_many_chunks():
    data, _ = extensible(32, 24)
    data = data[:12] + 1000 * b"JUNK\0\0\0\0" + data[12:]
    assert wav_format(ByteSource(io.BytesIO(data))) == WavFormat(ffmpeg=False)


@pytest.mark.parametrize("data", [b"RIFF", b"RIFF1234WAVE", b"RIFF1234WAVEfmt \x04\0\0\0abcd", b"RIFF1234WAVEdata"])
def test_a_damaged_head_is_left_to_the_decoders(data):
    assert wav_format(ByteSource(io.BytesIO(data))) == WavFormat()
