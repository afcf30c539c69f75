"""Lengths that a header states as a number of samples: FLAC, NIST SPHERE, sox's own, and MP3 with a Xing, Info or VBRI
frame.

An MP3 without such a frame states none. A joined one states that of its first part.

Knows: these headers. Does not know: sizes in bytes (headers.py).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from .byte_source import ByteSource
from .chunks import MOST_CHUNKS
from .containers import mpeg_frame

#: Bytes behind the tags in which the first frame of an MP3 is looked for.
_SEARCHED = 4096
_MOST_TAGS = 8
#: Bytes of a NIST SPHERE header that are looked at. It usually has 1024.
_NIST_HEAD = 1 << 14
#: Samples by which a decoder of MP3 is late: an encoder's delay is counted without them.
_DECODER_DELAY = 529


def stated_samples(source: ByteSource, container: str | None) -> int | None:
    """Samples of each channel according to the header, as a decoder gives them; None: it does not say."""
    if container == "nist":
        return _nist_samples(source.at(0, _NIST_HEAD))
    if container == "sox":
        return _sox_samples(source.at(0, 28))
    if container not in ("flac", "id3", "mpeg audio"):
        return None
    at = _after_tags(source)
    if source.at(at, 4) == b"fLaC":
        info = source.at(at + 8, 18)
        if len(info) < 18:
            return None
        return ((info[13] & 15) << 32 | int(struct.unpack(">I", info[14:18])[0])) or None
    return _mp3_samples(source.at(at, _SEARCHED))


def first_frame_seen(source: ByteSource) -> bool:
    """Whether what follows the tags can be looked at. In a pipe, a large picture may lie before it."""
    return bool(source.at(_after_tags(source), 1))


def _after_tags(source: ByteSource) -> int:
    """Where the first byte lies that is of no ID3v2 tag."""
    at = 0
    for _ in range(_MOST_TAGS):
        head = source.at(at, 10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 127
        at += 10 + size + (10 if head[5] & 16 else 0)
    return at


def _nist_samples(head: bytes) -> int | None:
    """Of lines of names, types and values, up to one that says ``end_head``."""
    lines = head.partition(b"\nend_head")[0]
    found = re.search(rb"\nsample_count[ \t]+-i[ \t]+(\d{1,15})\s", lines + b"\n")
    return None if found is None else int(found[1]) or None


def _sox_samples(head: bytes) -> int | None:
    """Of all channels together; 0: sox did not know the length when it wrote the header."""
    if len(head) < 28:
        return None
    count, channels = struct.unpack("<8xQ8xI" if head[:1] == b"." else ">8xQ8xI", head)
    return count // channels or None if channels else None


class AlacPackets(NamedTuple):
    """What a CAF of ALAC says of its packets.

    Attributes:
        packet: samples of each channel in one.
        packets: how many there are.
        valid: samples of each channel before what fills the last one up.
        before: samples to leave out at the beginning.
        behind: samples that fill the last one up.
    """

    packet: int
    packets: int
    valid: int
    before: int
    behind: int

    @property
    def samples(self) -> int | None:
        """Samples before the filling; None: the numbers disagree."""
        agrees = self.valid > 0 and not self.before and self.packets * self.packet == self.valid + self.behind
        return self.valid if agrees else None

    @property
    def overstated(self) -> bool:
        """Whether a whole packet is called filling that is not there, as libsndfile writes it; FFmpeg refuses that."""
        return self.behind == self.packet and self.packets * self.packet == self.valid


def alac_packets(source: ByteSource) -> AlacPackets | None:
    """What a CAF of ALAC says of its packets; None: it is none, or does not say.

    Args:
        source: a file, for the chunk that says it may lie behind the samples.
    """
    head, at = source.at(0, 44), 8
    if head[:4] != b"caff" or head[28:32] != b"alac" or len(head) < 44:
        return None
    (packet,) = struct.unpack(">I", head[40:])
    for _ in range(MOST_CHUNKS):
        chunk = source.at(at, 36)
        if len(chunk) < 36:
            break
        ident, size, *numbers = struct.unpack(">4sqqqii", chunk)
        if ident == b"pakt":
            return AlacPackets(packet, *numbers)
        if size < 0:  # to the end
            break
        at += 12 + size
    return None


def _mp3_samples(data: bytes) -> int | None:
    at = data.find(b"\xff")
    while at >= 0 and not mpeg_frame(data[at : at + 4]):
        at = data.find(b"\xff", at + 1)
    if at < 0 or data[at + 1] >> 1 & 3 != 1:  # only layer 3 has such frames
        return None
    first, mono = data[at + 1] >> 3 & 3 == 3, data[at + 3] >> 6 == 3  # of MPEG-1
    frame = 1152 if first else 576
    side = (17 if mono else 32) if first else (9 if mono else 17)
    tag = data[at + 4 + side : at + 4 + side + 160]
    if tag[:4] in (b"Xing", b"Info") and len(tag) == 160:
        (flags, frames) = struct.unpack(">II", tag[4:12])
        if not flags & 1 or not frames:
            return None
        rest = tag[12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8) :]
        if rest[:4] not in (b"LAME", b"Lavf", b"Lavc"):
            return int(frames) * frame
        pads = int.from_bytes(rest[21:24], "big")
        return max(0, int(frames) * frame - (pads >> 12) - _DECODER_DELAY - max(0, (pads & 0xFFF) - _DECODER_DELAY))
    vbri = data[at + 36 : at + 54]
    if vbri[:4] == b"VBRI" and len(vbri) == 18:
        frames = int(struct.unpack(">I", vbri[14:18])[0])
        return max(0, frames - 2) * frame or None  # whose delay is not known
    return None
