"""Which container the first bytes are, and what its header says. On stdin, what is not known counts as raw samples."""

import contextlib
import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from streamrvq.audio.byte_source import ByteSource
from streamrvq.audio.containers import container
from streamrvq.audio.files import open_audio
from streamrvq.errors import AudioFileError
from tests.audio.test_opening import count, made, needs_ffmpeg, sources
from tests.support.contract import noise
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tools.fuzzing.targets.audio import OnceOnly

PCM = np.round(noise(20_000) * 20_000).astype(np.int16)


def written(format, times=1):
    whole = io.BytesIO()
    soundfile.write(whole, np.tile(PCM, times), 16_000, format=format, subtype="ALAW" if format == "WVE" else "PCM_16")
    return whole.getvalue()


def sox(order="<", stated=20_000):
    head = b".SoX" if order == "<" else b"XoS."
    return (
        head
        + struct.pack(f"{order}IQdII", 28, stated, 16_000.0, 1, 0)
        + (PCM.astype("i4") << 16).astype(f"{order}i4").tobytes()
    )


def read(source):
    with open_audio(source) as audio:
        return np.concatenate(list(audio.blocks(5000)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stated", [len(PCM), 0])
def test_what_sox_writes_into_a_pipe_is_decoded(tmp_path, order, stated):
    data = sox(order, stated)
    assert container(ByteSource(io.BytesIO(data))) == "sox"
    for source in sources(data, tmp_path):
        np.testing.assert_array_equal(read(source), PCM / np.float32(32768))


@pytest.mark.parametrize(
    ("format", "subtype", "name"),
    [
        ("IRCAM", "PCM_16", "ircam"), ("AVR", "PCM_16", "avr"), ("PAF", "PCM_16", "paf"), ("PVF", "PCM_16", "pvf"),
        ("MAT5", "PCM_16", "mat5"), ("WVE", "ALAW", "wve"), ("XI", "DPCM_16", "xi"),
    ],
)  # fmt: skip
def test_what_few_programs_write_is_known_in_a_pipe_too(tmp_path, format, subtype, name):
    path = tmp_path / "a"
    soundfile.write(path, PCM, 8000 if format == "WVE" else 44_100, format=format, subtype=subtype)
    data = path.read_bytes()
    assert container(ByteSource(io.BytesIO(data))) == name
    whole, _ = soundfile.read(path, dtype="float32")
    for source in sources(data, tmp_path):
        np.testing.assert_array_equal(read(source), whole)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("a.ac3", "-c:a ac3 -ar 44100 -b:a 96k", "ac3"),
        ("b.ac3", "-c:a ac3 -ar 48000 -b:a 448k", "ac3"),
        ("c.ac3", "-c:a ac3 -ar 32000", "ac3"),
        ("a.eac3", "-c:a eac3", "ac3"),
        ("a.nut", "-c:a flac", "nut"),  # whose last packet is empty
        ("a.rm", "-c:a ac3", "rm"),
        ("a.latm", "-c:a aac -f latm", "loas"),
        ("a.mlp", "-af apad=whole_dur=3 -c:a mlp -strict -2", "mlp"),
        ("a.thd", "-af apad=whole_dur=3 -c:a truehd -ac 2 -strict -2", "truehd"),
    ],
)
def test_what_ffmpeg_writes_is_known(tmp_path, name, arguments, wanted):
    data = made(tmp_path, name, *arguments.split())
    assert container(ByteSource(io.BytesIO(data))) == wanted
    path, *others = sources(data, tmp_path)
    whole = count(path, downmix=True)
    assert whole
    for source in others:
        assert count(source, downmix=True) == whole


@pytest.mark.parametrize("damaged", [False, True])
def test_adx_is_refused_and_ends_no_process(tmp_path, damaged):
    """FFmpeg divides by zero in it."""
    head = b"\x80\0\0\x20\x03" + (b"\0" if damaged else b"\x12") + b"\x04\x01" + struct.pack(">II", 44_100, 20_000)
    (path := tmp_path / "a.adx").write_bytes(head.ljust(0x1E, b"\0") + b"(c)CRI" + bytes(range(1, 181)) * 40)
    script = "import sys; from streamrvq.audio.files import open_audio; open_audio(sys.argv[1])"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script, path], env=env, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert b"AudioFileError" in done.stderr
    assert (b"a damaged ADX would end the process" in done.stderr) != damaged


@pytest.mark.parametrize("data", [written("NIST"), sox(), sox(">")], ids=["nist", "sox", "sox >"])
def test_a_file_that_states_more_samples_than_it_holds_is_told(tmp_path, data):
    for source in sources(data, tmp_path):
        assert count(source) == len(PCM)
    for source in sources(data[:-20_000], tmp_path):
        with pytest.raises(AudioFileError, match=r"after sample [0-9]+ of 20000: it ends there"):
            count(source)
    for source in sources(data[:-20_000], tmp_path):
        assert 0 < count(source, truncated="keep") < len(PCM)


@pytest.mark.parametrize("subtype", ["ALAC_16", "ALAC_24"])
@pytest.mark.parametrize("samples", [20_000, 8192, 4097, 4096, 1])
def test_the_last_packet_of_alac_keeps_its_samples(tmp_path, subtype, samples):
    path = tmp_path / "a.caf"
    soundfile.write(path, PCM[:samples], 16_000, subtype=subtype)
    for source in sources(path.read_bytes(), tmp_path):
        np.testing.assert_array_equal(read(source), PCM[:samples] / np.float32(32768))


@pytest.mark.parametrize(("valid", "behind", "come"), [(8000, 3 * 4096 - 8000, 8000), (8000, 0, 8193)])
def test_what_fills_the_last_packet_of_alac_up_is_left_out(tmp_path, valid, behind, come):
    """Unless the numbers disagree: then every sample counts."""
    path = tmp_path / "a.caf"
    soundfile.write(path, PCM[:8193], 16_000, subtype="ALAC_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"pakt") + 20
    data[at : at + 16] = struct.pack(">qii", valid, 0, behind)
    for source in sources(bytes(data), tmp_path):
        np.testing.assert_array_equal(read(source), PCM[:come] / np.float32(32768))


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.m4a", "-c:a aac"),
        ("fast.m4a", "-c:a alac -movflags faststart"),
        ("fragments.mp4", "-c:a aac -movflags frag_keyframe+empty_moov -frag_duration 100000"),
        ("a.voc", "-c:a pcm_u8"),
        ("a.wma", "-c:a wmav2"),
        ("a.tta", "-c:a tta"),
    ],
)
def test_a_file_that_was_joined_behind_is_told_where_ffmpeg_leaves_it_out(tmp_path, name, arguments):
    data = made(tmp_path, name, *arguments.split())
    for source in sources(data + data, tmp_path):
        with pytest.raises(AudioFileError, match=f"another file of {len(data)} bytes was joined behind"):
            count(source)
    whole = count(io.BytesIO(data))
    for source in sources(data + data, tmp_path):
        assert count(source, truncated="keep") == whole


@needs_ffmpeg
def test_of_joined_matroska_ffmpeg_reads_two(tmp_path):
    data = made(tmp_path, "a.mka", "-c:a", "flac")
    whole = count(io.BytesIO(data))
    assert count(io.BytesIO(data + data)) == 2 * whole
    with pytest.raises(AudioFileError, match=f"another file of {2 * len(data)} bytes was joined behind"):
        count(io.BytesIO(data * 4))
    assert count(io.BytesIO(data * 4), truncated="keep") == 2 * whole


@needs_ffmpeg
def test_the_sizes_in_a_tta_may_be_anything(tmp_path):
    data = made(tmp_path, "a.tta", "-c:a", "tta")
    for at, value in ((10, 0), (10, 1), (14, 0), (14, 2**32 - 1), (22, 2**32 - 1)):
        bad = data[:at] + struct.pack("<I", value) + data[at + 4 :]
        for source in sources(bad + data, tmp_path):
            with contextlib.suppress(AudioFileError):
                count(source)


class Counted(OnceOnly):
    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "IRCAM", "sox"])
def test_a_live_pipe_gives_its_first_samples_soon(format):
    """FFmpeg would look at five seconds first."""
    data = sox(stated=0) + 9 * PCM.astype("<i4").tobytes() if format == "sox" else written(format, times=10)
    live = Counted(data, 320)
    with open_audio(live) as audio:
        assert len(audio.read(1600)) == 1600
        assert live.taken / len(data) * 10 * len(PCM) < 3 * 16_000


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "arguments"), [("a.flv", "-c:a aac"), ("a.nut", "-c:a pcm_s16le"), ("a.tta", ""), ("a.sox", "")]
)
def test_a_file_that_was_joined_behind_is_told_in_a_pipe_too(tmp_path, name, arguments):
    data = made(tmp_path, name, *arguments.split())
    for source in sources(data + data, tmp_path):
        with pytest.raises(AudioFileError, match=r"was joined behind|more follow"):
            count(source)
    assert count(io.BytesIO(data + data), truncated="keep") == count(io.BytesIO(data))


def iff(data=b"\1\2" * 1000):
    chunks = b"VHDR" + struct.pack(">IIIIHBBI", 20, len(data), 0, 0, 8000, 1, 0, 1 << 16)
    chunks += b"BODY" + struct.pack(">I", len(data)) + data
    return b"FORM" + struct.pack(">I", 4 + len(chunks)) + b"8SVX" + chunks


def avr(data=b"\1\2" * 1000):
    head = b"2BIT" + bytes(8) + struct.pack(">HHHHHIII", 0, 16, 0xFFFF, 0xFFFF, 0xFFFF, 8000, len(data) // 2, 0)
    return head.ljust(128, b"\0") + data


@pytest.mark.parametrize(
    "data", [iff(), avr(), written("MAT5"), written("WVE"), written("NIST"), written("AU")],
    ids=["8svx", "avr", "mat5", "wve", "nist", "au"],
)  # fmt: skip
def test_a_file_is_told_from_what_was_joined_behind_it_or_cut_off(tmp_path, data):
    whole = count(io.BytesIO(data))
    for source in sources(data[: len(data) * 2 // 3], tmp_path):
        with pytest.raises(AudioFileError, match=r"is cut off|it ends there|it ends at sample"):
            count(source)
    for source in sources(data + data, tmp_path):
        with pytest.raises(AudioFileError, match=r"joined behind its|bytes follow"):
            count(source)
    assert count(io.BytesIO(data + data), truncated="keep") == whole


def test_the_first_of_two_caf_files_of_alac_is_kept(tmp_path):
    path = tmp_path / "a.caf"
    soundfile.write(path, PCM, 16_000, subtype="ALAC_16")
    data = path.read_bytes()
    with pytest.raises(AudioFileError, match=f"another file of {len(data)} bytes was joined behind"):
        count(io.BytesIO(data + data))
    for source in sources(data + data, tmp_path):
        assert count(source, truncated="keep") == len(PCM)


def test_a_filling_byte_that_sox_counts_among_the_samples_of_gsm_is_passed_over(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, PCM[: 31 * 320], 8000, subtype="GSM610")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 31 * 65 + 1)
    del data[at + 4 + 31 * 65 :]
    data += b"\0"
    for source in sources(bytes(data), tmp_path):
        assert count(source) == 31 * 320


def test_a_voc_whose_last_block_states_too_little_is_read_as_sox_reads_it(tmp_path):
    """sox states 8 bytes less than it writes of samples of 16 bits, and gives no more."""
    samples = PCM[:1000].astype("<i2").tobytes()
    block = struct.pack("<IBBH4x", 16_000, 16, 1, 4) + samples
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x010A, 0x1129)
    data = head + b"\x09" + struct.pack("<I", len(block) - 8)[:3] + block[:-8] + b"\x8a\xea\x38\xed\xd8\xeb\x1b\xee\0"
    for source in sources(data, tmp_path):
        np.testing.assert_array_equal(read(source), PCM[:996] / np.float32(32768))
