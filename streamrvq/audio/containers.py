"""What the first bytes of a source are: which container, if any.

FFmpeg looks for itself. This answers three other questions: whether libsndfile reads it, whether a pipe of it must be
put into a file first, and whether bytes on stdin can be raw samples.

Knows: how containers begin. Does not know: what is in them (headers.py).
"""

from __future__ import annotations

from collections.abc import Callable

from .byte_source import ByteSource

#: Bytes that decide.
HEAD = 64
#: How containers begin: offset, bytes, name.
_BEGINNINGS = (
    (0, b"RIFF", "riff"), (0, b"RIFX", "riff"), (0, b"RF64", "riff"), (0, b"BW64", "riff"), (0, b"FORM", "iff"),
    (0, b"riff\x2e\x91\xcf\x11", "w64"), (0, b"caff", "caf"), (0, b".snd", "au"), (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"), (0, b"\x1aE\xdf\xa3", "matroska"), (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (4, b"ftyp", "mp4"), (4, b"moov", "mp4"), (4, b"mdat", "mp4"), (4, b"wide", "mp4"), (4, b"free\0", "mp4"),
    (0, b"FLV\x01", "flv"), (0, b"#!AMR", "amr"), (0, b"ID3", "id3"), (0, b"\x0bw", "ac3"), (0, b"wvpk", "wv"),
    (0, b"TTA1", "tta"), (0, b"MAC ", "ape"), (0, b"tBaK", "tak"), (0, b"MPCK", "mpc"), (0, b"MP+", "mpc"),
    (0, b"DSD ", "dsf"), (0, b"FRM8", "dff"), (0, b"Creative Voice File\x1a", "voc"), (0, b"NIST_1A", "nist"),
    (0, b"\0\0\x01\xba", "mpeg"), (0, b"\x7f\xfe\x80\x01", "dts"), (0, b"DTSHDHDR", "dtshd"),
    (0, b"APETAGEX", "ape tag"), (0, b".SoX", "sox"), (0, b"XoS.", "sox"), (0, b"nut/multimedia container\0", "nut"),
    (0, b".RMF\0\0\0", "rm"), (0, b"\x06\x0e+4\x02\x05\x01\x01\x0d\x01\x02", "mxf"), (0, b"ajkg", "shn"),
    (0, b"EA3\x03", "oma"), (0, b"ea3\x03", "oma"), (4, b"\xf8ro\xba", "truehd"), (4, b"\xf8ro\xbb", "mlp"),
    *((0, b"d\xa3" + bytes([machine, 0]), "ircam") for machine in range(1, 5)),
    *((0, bytes([0, machine]) + b"\xa3d", "ircam") for machine in range(1, 5)),
    (0, b"2BIT", "avr"), (0, b" paf", "paf"), (0, b"fap ", "paf"), (0, b"PVF1\n", "pvf"),
    (0, b"ALawSoundFile**", "wve"), (0, b"Extended Instrument: ", "xi"), (0, b"MATLAB 5.0 MAT-file", "mat5"),
)  # fmt: skip
#: Of these, those that only libsndfile reads.
ONLY_LIBSNDFILE = {"avr", "mat5", "paf", "pvf", "wve", "xi"}
#: Containers that FFmpeg reads from their start to their end. Of the others it wants several places at once.
_STREAMED = {
    "flac", "ogg", "matroska", "flv", "amr", "id3", "ac3", "mpeg audio", "adts", "mpegts", "au", "mpeg", "dts", "sox",
    "nut", "rm", "ircam", "truehd", "mlp", "loas",
}  # fmt: skip
_MPEG_RATES = ((11025, 12000, 8000), (0, 0, 0), (22050, 24000, 16000), (44100, 48000, 32000))
#: kbit/s by version (MPEG-1: True), layer and index.
_MPEG_BITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_TS_PACKET = 188


def container(source: ByteSource) -> str | None:
    """The name of the container that a source begins with; None: it is none of those that are known here.

    Reads no more of a pipe than it takes to tell, so that raw samples of a live source do not wait.
    """
    head = source.at(0, HEAD)
    for offset, magic, name in _BEGINNINGS:
        if head[offset : offset + len(magic)] == magic:
            if name == "riff":
                return {b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12], "riff")
            if name == "iff":
                return {b"AIFF": "aiff", b"AIFC": "aiff"}.get(head[8:12], "iff")
            if name == "ac3" and not _frames_follow(source, _ac3_frame):
                continue
            return name
    if head[:1] == b"\x47" and source.at(0, 2 * _TS_PACKET + 1)[_TS_PACKET::_TS_PACKET] == b"\x47\x47":
        return "mpegts"
    if head[:2] == b"\x80\0" and head[4:7] == b"\x03\x12\x04":  # its kind, bytes of a block, bits of a sample
        return "adx"
    for name, length in (("mpeg audio", mpeg_frame), ("adts", _adts_frame), ("loas", _loas_frame)):
        if _frames_follow(source, length):
            return name
    return None


def streamed(name: str | None) -> bool:
    """Whether a pipe of a container can be decoded as it comes. What is not known is tried so."""
    return name is None or name in _STREAMED or name in ("wav", "aiff")


def mpeg_frame(head: bytes) -> int:
    """The bytes of the frame of MPEG audio (MP1, MP2, MP3) that begins with a header of 4 bytes; 0: it is none."""
    if len(head) < 4:
        return 0
    word = int.from_bytes(head[:4], "big")
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
    bits, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
    if word >> 21 != 0x7FF or version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return 0
    hertz = int(_MPEG_RATES[version][rate])
    kbit = int(_MPEG_BITS[version == 3, layer][bits - 1])
    if layer == 1:
        return (12_000 * kbit // hertz + padding) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kbit // hertz + padding


def _adts_frame(head: bytes) -> int:
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return length if length > 7 else 0


def _loas_frame(head: bytes) -> int:
    if len(head) < 3 or head[0] != 0x56 or head[1] & 0xE0 != 0xE0:
        return 0
    return ((head[1] & 0x1F) << 8 | head[2]) + 3


def _ac3_frame(head: bytes) -> int:
    """A lower bound; E-AC-3 states its length, AC-3 an index of it. Two words of sync tell enough."""
    if len(head) < 6 or head[:2] != b"\x0bw":
        return 0
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * ((head[2] & 7) << 8 | head[3]) + 2
    code, rate = head[4] & 63, head[4] >> 6
    if code > 37 or rate == 3:
        return 0
    kbit = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)[code >> 1]
    return 2 * (kbit * 96_000 // (48_000, 44_100, 32_000)[rate] + (code & 1 if rate == 1 else 0))


def _frames_follow(source: ByteSource, length: Callable[[bytes], int]) -> bool:
    """Whether a frame begins the source and another follows it, or nothing does."""
    first = length(source.at(0, 8))
    if not first:
        return False
    after = source.at(first - 1, 9)
    return len(after) == 1 or length(after[1:]) > 0
