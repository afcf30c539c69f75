"""What follows the samples of a file, and what leaves some out on purpose: nothing is lost or invented in silence."""

import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from streamrvq.audio.files import open_audio
from streamrvq.errors import AudioFileError
from tools.fuzzing.targets.audio import OnceOnly

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="wanted ffmpeg: tools/setup.sh installs it")
LIST = b"LIST" + struct.pack("<I", 12) + b"INFOISFT\0\0\0\0"


def wav(data, bits=8, behind=b"", outer=None):
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000 * bits // 8, bits // 8, bits)
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body) + len(behind) if outer is None else outer(len(body))) + body + behind


def sources(data, tmp_path):
    (path := tmp_path / "a").write_bytes(data)
    return path, io.BytesIO(data), OnceOnly(data, 4096)


def made(tmp_path, name, *arguments):
    path = tmp_path / name
    tone = ["-f", "lavfi", "-i", "sine=440:d=0.5:r=44100"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *tone, *arguments, str(path)], check=True)
    return path.read_bytes()


def by_ffmpeg(data, tmp_path):
    (path := tmp_path / "theirs").write_bytes(data)
    command = ["ffmpeg", "-v", "quiet", "-i", str(path), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=False).stdout, "<f4")


def count(source, **how):
    with open_audio(source, **how) as audio:
        return sum(map(len, audio.blocks(5000)))


@pytest.mark.parametrize(("bits", "held"), [(8, 7777), (24, 7779)])
def test_a_chunk_without_the_pad_before_it_is_no_audio(tmp_path, bits, held):
    for source in sources(wav(bytes(range(1, 101)) * 77 + bytes(held - 7700), bits, LIST), tmp_path):
        assert count(source) == held // (bits // 8)


def test_what_follows_a_wav_that_says_twice_where_it_ends_is_told(tmp_path):
    data = wav(b"\x70" * 4000, behind=b"hello world" * 10, outer=lambda body: body)
    for source in sources(data, tmp_path):
        with pytest.raises(AudioFileError, match="ends there, and 110 bytes follow"):
            count(source)
    for source in sources(data, tmp_path):
        assert count(source, truncated="keep") == 4000


def test_a_pipe_is_kept_as_a_file_is(tmp_path):
    data = wav(b"\x70" * 4000, behind=b"\x71" * 500)
    assert [count(source, truncated="keep") for source in sources(data, tmp_path)] == [4500] * 3


def test_au_goes_on_to_its_end(tmp_path):
    data = b".snd" + struct.pack(">IIIII", 24, 1000, 3, 8000, 1) + b"\x01\x02" * 4000
    path, in_memory, pipe = sources(data, tmp_path)
    assert count(path) == count(in_memory) == 4000
    with pytest.raises(AudioFileError, match="damaged after sample 4000"):
        count(pipe)


def chunk(ident, data, order="<"):
    size = {">q": struct.pack(">q", len(data))}.get(order) or struct.pack(order + "I", len(data))
    return ident + size + data + b"\0" * (len(data) % 2)


def of_libsndfile(name, pcm):
    soundfile.write(held := io.BytesIO(), pcm, 8000, format=name, subtype="PCM_16")
    return held.getvalue()


def parts_of(name):
    """A file of 3000 samples up to their end, and a chunk of 2000 more."""
    whole = of_libsndfile(name, np.arange(3000, dtype=np.int16))
    more = np.arange(2000, dtype=">i2" if name in ("AIFF", "CAF") else "<i2").tobytes()
    if name == "AIFF":
        return whole, chunk(b"SSND", bytes(8) + more, ">")
    if name == "CAF":
        return whole, chunk(b"data", bytes(4) + more, ">q")
    at = whole.index(b"data")
    return whole, whole[at : at + 16] + struct.pack("<q", 4024) + more if name == "W64" else chunk(b"data", more)


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("name", ["WAV", "RF64", "W64", "AIFF", "CAF"])
def test_samples_in_a_second_chunk_are_told_with_their_number(tmp_path, name, between):
    first, second = parts_of(name)
    if between and name in ("WAV", "RF64", "AIFF"):
        second = chunk(b"abcd", b"xyz", ">" if name == "AIFF" else "<") + second
    for source in sources(first + second, tmp_path):
        with pytest.raises(AudioFileError, match=r"3000 samples in its first chunk and 2000 more .* first part with"):
            count(source)
    for source in sources(first + second, tmp_path):
        with open_audio(source, truncated="keep") as audio:
            np.testing.assert_array_equal(audio.read(9999), np.arange(3000) / np.float32(32768))


@pytest.mark.parametrize("name", ["WAV", "RF64", "W64", "AIFF", "CAF"])
def test_a_file_that_was_joined_behind_is_told(tmp_path, name):
    first, _ = parts_of(name)
    for source in sources(first * 2, tmp_path):
        with pytest.raises(AudioFileError, match=rf"another file of {len(first)} bytes .* behind its 3000 samples"):
            count(source)
    assert [count(source, truncated="keep") for source in sources(first * 2, tmp_path)] == [3000] * 3


@pytest.mark.parametrize("outer", [None, 0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("behind", [LIST, chunk(b"id3 ", b"ID3\x04" + bytes(6)), chunk(b"bext", b"x" * 602), b""])
def test_an_empty_chunk_before_others_holds_no_samples(tmp_path, outer, behind):
    data = wav(b"", 16, behind, None if outer is None else lambda body: outer)
    assert [count(source) for source in sources(data, tmp_path)] == [0] * 3


@pytest.mark.parametrize("outer", [None, 0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("held", [3, 3000])
def test_a_chunk_whose_size_was_never_filled_in_holds_what_follows(tmp_path, outer, held):
    data = wav(b"", 16, np.arange(9, 9 + held, dtype="<i2").tobytes(), None if outer is None else lambda body: outer)
    assert [count(source) for source in sources(data, tmp_path)] == [held] * 3


@pytest.mark.parametrize("behind", [b"", LIST])
@pytest.mark.parametrize(("short", "long"), [(6000, 0), (6000, 3000), (6000, 1 << 40), (0, 6000), (0x7FFFFFFF, 6000)])
@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
def test_two_sizes_that_disagree_cost_no_sample(tmp_path, magic, short, long, behind):
    """Decoders go by that of 64 bits, even where a recorder has filled in only the other."""
    pcm = np.arange(3000, dtype="<i2")
    plain = wav(pcm.tobytes(), 16, behind)
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, long, 0, 0)
    at = plain.index(b"data") + 4
    data = magic + b"\xff" * 4 + b"WAVE" + ds64 + plain[12:at] + struct.pack("<I", short) + plain[at + 4 :]
    for source in sources(data, tmp_path):
        with open_audio(source) as audio:
            np.testing.assert_array_equal(audio.read(9999), pcm / np.float32(32768))


@pytest.mark.parametrize("outer", [0, 24, (1 << 63) - 1, (1 << 64) - 1])
@pytest.mark.parametrize("size", [0, 24, 6024, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_w64_whose_sizes_were_never_filled_in_is_read_to_its_end(tmp_path, size, outer):
    pcm = np.arange(3000, dtype=np.int16)
    data = of_libsndfile("W64", pcm)
    at = data.index(b"data") + 16
    data = data[:16] + struct.pack("<Q", outer) + data[24:at] + struct.pack("<Q", size) + data[at + 8 :]
    for source in sources(data[: at + 8 + 6000], tmp_path):
        with open_audio(source) as audio:
            np.testing.assert_array_equal(audio.read(9999), pcm / np.float32(32768))


@pytest.mark.parametrize("size", [0, 1 << 31, 0x7FFFF000, 0xFFFFFFFF])
def test_an_au_whose_size_was_never_filled_in_is_read_to_its_end(tmp_path, size):
    data = b".snd" + struct.pack(">IIIII", 24, size, 3, 8000, 1) + np.arange(3000, dtype=">i2").tobytes()
    for source in sources(data, tmp_path)[:2]:
        with open_audio(source) as audio:
            np.testing.assert_array_equal(audio.read(9999), np.arange(3000) / np.float32(32768))


@pytest.mark.parametrize("headers", [2, 3])
def test_a_caf_whose_header_stands_at_its_end_again_has_no_sample_more(tmp_path, headers):
    """As sox writes it into a pipe."""
    pcm = np.arange(3000, dtype=np.int16)
    whole = of_libsndfile("CAF", pcm)
    at = whole.index(b"data") + 4
    empty = whole[:at] + struct.pack(">q", 4) + bytes(4)
    samples = whole[at + 12 : at + 12 + 6000]
    for source in sources(empty * headers + samples + whole[: at + 12], tmp_path):
        with open_audio(source) as audio:
            np.testing.assert_array_equal(audio.read(9999), pcm / np.float32(32768))


@needs_ffmpeg
def test_a_w64_that_ffmpeg_wrote_into_a_pipe_is_read(tmp_path):
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=440:d=0.5:r=44100", "-f", "w64", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    for source in sources(data, tmp_path):
        assert count(source) == 22050


@needs_ffmpeg
@pytest.mark.parametrize(("name", "size"), [("a.w64", "<Q"), ("a.caf", ">q")])
def test_too_short_a_size_is_told_where_the_decoder_believes_it(tmp_path, name, size):
    data = made(tmp_path, name, "-c:a", "pcm_s16le")
    at = data.index(b"data") + (16 if name == "a.w64" else 4)
    data = data[:at] + struct.pack(size, 5028) + data[at + 8 :]
    for source in sources(data, tmp_path)[:2]:
        with pytest.raises(AudioFileError, match=r"there are 2205[02] samples"):
            count(source)


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.m4a", "alac"), ("a.mov", "pcm_s16le")])
def test_what_an_edit_list_leaves_out_is_not_missing(tmp_path, name, codec):
    data = made(tmp_path, name, "-c:a", codec, "-movflags", "faststart")
    at = data.index(b"elst") + 12
    (duration,) = struct.unpack(">I", data[at : at + 4])
    for edited in (struct.pack(">Ii", duration // 3, 1024), struct.pack(">Ii", duration // 3, 6000)):
        case = data[:at] + edited + data[at + 8 :]
        theirs = by_ffmpeg(case, tmp_path)
        for source in sources(case, tmp_path):
            assert count(source) == len(theirs) > 0
    for source in sources(data[:-500], tmp_path):
        with pytest.raises(AudioFileError, match="damaged after sample"):
            count(source)


@needs_ffmpeg
def test_samples_of_64_bits_are_decoded(tmp_path):
    as_wav = made(tmp_path, "b.wav", "-c:a", "pcm_s16le")
    pcm = np.frombuffer(as_wav[as_wav.index(b"data") + 8 :], "<i2")
    wide = wav((pcm.astype("<i8") << 48).tobytes(), bits=64)
    for source in sources(wide, tmp_path):
        with open_audio(source) as audio:
            np.testing.assert_array_equal(audio.read(100_000), pcm / np.float32(32768))


@needs_ffmpeg
@pytest.mark.parametrize("how", ["refuse", "keep"])
def test_audio_that_changes_is_never_left_out_in_silence(tmp_path, how):
    data = made(tmp_path, "a.mp3", "-c:a", "libmp3lame") + made(tmp_path, "b.mp3", "-ac", "2", "-c:a", "libmp3lame")
    for source in sources(data, tmp_path):
        with pytest.raises(AudioFileError, match=r"changes after sample .*2 channels.* convert it"):
            count(source, truncated=how)


@needs_ffmpeg
def test_a_pipe_with_a_large_picture_before_the_audio_is_cut_as_the_file(tmp_path):
    size = 6 << 20
    tag = b"ID3\x04\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
    data = tag + made(tmp_path, "a.mp3", "-c:a", "libmp3lame")
    assert {count(source) for source in sources(data, tmp_path)} == {len(by_ffmpeg(data, tmp_path))}


@needs_ffmpeg
def test_recordings_with_something_between_them_are_decoded_alike(tmp_path):
    one = made(tmp_path, "a.ogg", "-c:a", "libvorbis")
    (alone,) = {count(source) for source in sources(one, tmp_path)}
    assert [count(source) for source in sources(one + b"junk" * 99 + one, tmp_path)] == [2 * alone] * 3


@needs_ffmpeg
def test_zeros_behind_a_transport_stream_do_no_harm(tmp_path):
    data = made(tmp_path, "a.ts", "-c:a", "mp2")
    assert count(io.BytesIO(data + bytes(1000))) == count(io.BytesIO(data)) > 20_000


@needs_ffmpeg
def test_a_file_of_which_nothing_can_be_decoded_says_so(tmp_path):
    data = made(tmp_path, "a.wav", "-c:a", "libvorbis", "-f", "wav")
    with pytest.raises(AudioFileError, match="no sample of it can be decoded"):
        count(io.BytesIO(data))
