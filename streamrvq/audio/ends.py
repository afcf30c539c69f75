"""Where a container says that it ends, and where another file was joined behind it.

Knows: the sizes in Matroska, ASF, VOC, AVI, IFF, TTA, Musepack, AU, sox, NIST, AVR, WVE, XI and MAT5; how MP4, FLV and
NUT begin. Does not know: chunks of samples (headers.py), lengths that are counted in samples (counts.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from .byte_source import ByteSource
from .chunks import MOST_CHUNKS, SecondFile, placeholder

_STEP = 1 << 20
_EBML = b"\x1a\x45\xdf\xa3"  #: how Matroska begins
_MATRIX = 14  #: MAT5's kind of an element that holds others
_NIST_LINE = re.compile(rb"\n(\w+)[ \t]+-i[ \t]+(\d{1,15})(?=\s)")
#: Containers that state where they end; behind that another file may begin as the first one did.
_WHOLE = {"asf", "au", "avr", "iff", "mat5", "mpc", "nist", "sox", "tta", "voc", "wve", "xi"}
#: How a second file begins in containers that state no end. No samples look like it.
SECOND = {
    "flv": re.compile(rb"(?<=.)FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0", re.DOTALL),
    "nut": re.compile(rb"(?<=.)nut/multimedia container\0", re.DOTALL),
}


def stated_end(source: ByteSource, container: str | None) -> int | None:
    """The bytes that a file must at least have according to a container that states its own size."""
    if container == "matroska":
        return _matroska_end(source)
    if container == "asf":
        return _asf_end(source)
    if container == "voc":
        return _voc_end(source)
    if container == "avi":
        (size,) = struct.unpack("<I", source.at(4, 4).ljust(4, b"\0"))
        return None if not size or placeholder(size) else size + 8
    if container == "iff":
        end = _iff_end(source)
        return None if end is None else end - 1  # the last chunk's pad may be left out
    return _only_libsndfile_end(source, container)


def joined_at(source: ByteSource, container: str | None) -> int | None:
    """Where another file of the same kind begins, of which FFmpeg would leave samples out; None: nowhere.

    Of two files that were joined it reads the first one, or of fragments those with later times than the first one's.
    Of Matroska it reads two, and more only if the first one does not state its size.
    """
    if source.size is None:
        return None
    if container == "mp4":
        return _second_mp4(source)
    if container == "matroska":
        return _third_matroska(source)
    if container in SECOND:
        return _second(source, SECOND[container])
    if container not in _WHOLE:
        return None
    end = _ENDS[container](source) if container in _ENDS else stated_end(source, container)
    return end if end and source.at(end, 4) == source.at(0, 4) else None


def _second(source: ByteSource, beginning: re.Pattern[bytes]) -> int | None:
    at, second = 0, SecondFile(beginning)
    while second.begins is None and (part := source.at(at, _STEP)):
        second.take(at, part)
        at += len(part)
    return second.begins


def _third_matroska(source: ByteSource) -> int | None:
    at = 0
    for _ in range(2):
        end = _matroska_end(source, at)
        if end is None or source.at(end, 4) != _EBML:
            return None
        at = end
    return at


def _second_mp4(source: ByteSource) -> int | None:
    at, described = 0, False
    for _ in range(MOST_CHUNKS):
        head = source.at(at, 16)
        size, ident = int.from_bytes(head[:4], "big"), head[4:8]
        if described and ident == b"ftyp":
            return at
        described = described or ident == b"moov"
        size = int.from_bytes(head[8:16], "big") if size == 1 else size
        if len(head) < 8 or size < 8:  # 0: to the end
            break
        at += size
    return None


def _matroska_end(source: ByteSource, at: int = 0) -> int | None:
    """The end of the segment, the element after the head at ``at``; None: a live recording does not know it."""
    for _ in range(8):
        head = source.at(at, 16)
        ident, length = _vint(head, keep=True), _width(head)
        if ident is None:
            return None
        size, width = _vint(head[length:], keep=False), _width(head[length:])
        if size is None or size == (1 << 7 * width) - 1:
            return None
        at += length + width + size
        if ident == 0x18538067:  # the segment
            return at
    return None


def _width(head: bytes) -> int:
    return 9 - head[0].bit_length() if head and head[0] else 0


def _vint(head: bytes, keep: bool) -> int | None:
    width = _width(head)
    if not width or len(head) < width:
        return None
    number = int.from_bytes(head[:width], "big")
    return number if keep else number & (1 << 7 * width) - 1


def _iff_end(source: ByteSource) -> int | None:
    (size,) = struct.unpack(">I", source.at(4, 4).ljust(4, b"\0"))
    return None if not size or placeholder(size) else int(size) + 8


def _tta_end(source: ByteSource) -> int | None:
    """Of the sizes of all frames; None: they are not all there."""
    head = source.at(0, 18)
    if len(head) < 18:
        return None
    rate, samples = map(int, struct.unpack("<II", head[10:]))
    count = -(-samples // max(1, 256 * rate // 245))
    if source.size is None or source.size < 26 + 4 * count:  # before that much is read
        return None
    sizes: tuple[int, ...] = struct.unpack(f"<{count}I", source.at(22, 4 * count))
    end: int = 26 + 4 * count + sum(sizes)
    tag = source.at(end, 16)
    if tag[:8] == b"APETAGEX":
        end += 32 + int.from_bytes(tag[12:], "little")
    return end + 128 if source.at(end, 3) == b"TAG" else end  # of ID3


def _mpc_end(source: ByteSource) -> int | None:
    """Of version 8, whose last packet is named SE."""
    at = 4
    for _ in range(MOST_CHUNKS):
        head, size, width = source.at(at, 12), 0, 2
        for byte in head[2:]:
            size, width = size << 7 | byte & 127, width + 1
            if byte < 128:
                break
        if size < width or len(head) < width:
            return None
        at += size
        if head[:2] == b"SE":
            return at
    return None


def _au_end(source: ByteSource) -> int | None:
    offset, size = struct.unpack(">II", source.at(4, 8).ljust(8, b"\0"))
    return None if not size or placeholder(size) else offset + size


def _sox_end(source: ByteSource) -> int | None:
    """Of sox's own format, whose samples have four bytes."""
    head = source.at(0, 16)
    if len(head) < 16:
        return None
    length, samples = struct.unpack("<4xIQ" if head[:1] == b"." else ">4xIQ", head)
    return 4 + length + 4 * samples if samples else None


def _nist_end(source: ByteSource) -> int | None:
    head = source.at(0, 1 << 14)
    values = {name: int(value) for name, value in _NIST_LINE.findall(head.partition(b"\nend_head")[0] + b"\n")}
    length = head[8:16].strip()
    if not length.isdigit() or not {b"sample_count", b"channel_count", b"sample_n_bytes"} <= values.keys():
        return None
    return int(length) + values[b"sample_count"] * values[b"channel_count"] * values[b"sample_n_bytes"]


def _only_libsndfile_end(source: ByteSource, container: str | None) -> int | None:
    """The end of AVR, WVE, XI and MAT5, of which libsndfile reads as much as there is."""
    if container == "avr" and len(head := source.at(0, 30)) == 30:
        stereo, bits, frames = struct.unpack(">12xHH10xI", head)
        return 128 + frames * (1 + (stereo != 0)) * bits // 8 if frames else None
    if container == "wve" and len(head := source.at(0, 22)) == 22:
        return 32 + int.from_bytes(head[18:], "big")
    if container == "xi" and len(head := source.at(296, 2)) == 2:
        count = int.from_bytes(head, "little")
        sizes = [int.from_bytes(source.at(298 + 40 * number, 4), "little") for number in range(count)]
        return 298 + 40 * count + sum(sizes) if all(sizes) else None
    return _mat5_end(source) if container == "mat5" else None


def _mat5_end(source: ByteSource) -> int | None:
    """The end of the last element of numbers. A matrix is gone into, for libsndfile states its size wrongly."""
    order = "<" if source.at(126, 2) == b"IM" else ">"
    at, end = 128, None
    for _ in range(MOST_CHUNKS):
        tag = source.at(at, 8)
        if len(tag) < 8:
            break
        kind, size = struct.unpack(order + "II", tag)
        at += 8
        if kind >> 16 > 4 or not 0 < kind & 0xFFFF < 20:  # another file, or what is no element
            break
        if kind >> 16 or kind == _MATRIX:  # a small element holds its bytes in the tag
            continue
        end = at + size
        at += size + -size % 8
    return end


def _voc_end(source: ByteSource) -> int | None:
    """The end of the last block of which the head is there."""
    at = int.from_bytes(source.at(20, 2), "little")
    for _ in range(MOST_CHUNKS):
        head = source.at(at, 4)
        if len(head) < 4 or not 0 < head[0] < 10:  # sox states 8 bytes less than a block of 16 bits has
            break
        at += 4 + int.from_bytes(head[1:], "little")
    return at


def _asf_end(source: ByteSource) -> int | None:
    """The size in the file's properties, unless they say that it was broadcast and is not known."""
    head = source.at(0, 4096)
    at = head.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")
    if at < 0 or len(head) < at + 92:
        return None
    size, flags = struct.unpack("<Q", head[at + 40 : at + 48])[0], struct.unpack("<I", head[at + 88 : at + 92])[0]
    return None if flags & 1 or not size else int(size)


#: Where a container ends, if `stated_end` says less, or nothing.
_ENDS: dict[str, Callable[[ByteSource], int | None]] = {
    "au": _au_end, "iff": _iff_end, "mpc": _mpc_end, "nist": _nist_end, "sox": _sox_end, "tta": _tta_end,
    "voc": lambda source: (_voc_end(source) or 0) + 1,  # the byte that ends the blocks
}  # fmt: skip
