"""What a file's header promises, compared with what the file holds.

libsndfile and FFmpeg silently shorten a damaged file. So this reads the headers itself: where the samples begin, how
many bytes are stated, and how many are there.

A header that states more than there is shows that the file was cut off. It is no promise if it states less, or what
recorders write that do not know the size (`_placeholder`), or if it counted itself.

Knows: the chunks of RIFF/RIFX/RF64/BW64, AIFF/AIFC, W64, CAF and AU; the sizes in Matroska and ASF; the last page of
Ogg. Does not know: samples, and lengths that are counted in them (counts.py).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .byte_source import ByteSource

#: Chunks that are looked at. Recorders write a few; a hostile file can hold an empty one in every eight bytes.
_MOST_CHUNKS = 10_000
#: Bytes in which the last page of Ogg lies: a page has at most half as many.
TAIL = 1 << 17
#: How the identifiers of W64's chunks end.
_W64_TAILS = (b"\x00\xc0\x4f\x8e\xdb\x8a", b"\x28\xdb\x04\xc1\x00\x00")
_WRAP = 1 << 32  #: what a size of 32 bits has lost


class Extent(NamedTuple):
    """Bytes of samples.

    Attributes:
        start: where they begin.
        wanted: according to the header; None: it does not say, and they go on to the end.
        held: from there to the end of the file; None: of a pipe, before its end.
        repaired: whether ``wanted`` is another number than the header's, because that is too small.
        behind: bytes that follow and are no chunk, where the header says twice that it ends before them.
    """

    start: int
    wanted: int | None
    held: int | None
    repaired: bool = False
    behind: int = 0

    @property
    def cut(self) -> bool:
        """Whether the file ends too early."""
        return self.wanted is not None and self.held is not None and self.held < self.wanted


class _Chunks(NamedTuple):
    """How a format stores chunks: an identifier, a size, and that many bytes, padded to ``align``."""

    first: int  #: offset of the first chunk
    ident: int  #: bytes of an identifier
    size: str  #: struct format of a size
    counted: int  #: bytes of the chunk's own head that its size includes
    align: int
    data: bytes  #: the start of the identifier of the chunk with samples
    lead: int = 0  #: bytes of that chunk before its samples


_RIFF = _Chunks(12, 4, "<I", 0, 2, b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _RIFF._replace(size=">I"),
    b"FORM": _RIFF._replace(size=">I", data=b"SSND", lead=8),
    b"riff": _Chunks(40, 16, "<q", 24, 8, b"data"),
    b"caff": _Chunks(8, 4, ">q", 0, 1, b"data", lead=4),
}


def sample_extent(source: ByteSource) -> Extent | None:
    """Where the samples of a file lie, and should lie. None if its container is another, or it holds no samples."""
    magic = source.at(0, 4)
    if magic == b".snd":
        head = source.at(4, 8)
        if len(head) < 8:
            return None
        offset, size = struct.unpack(">II", head)
        extent = _extent(source, offset, None if _placeholder(size) or not size else size)
        # Nothing can follow the samples of AU.
        short = extent.wanted is not None and extent.held is not None and extent.wanted < extent.held
        return extent._replace(wanted=None) if short else extent
    layout = _LAYOUTS.get(magic)
    return None if layout is None else _chunk_extent(source, layout)


def _extent(source: ByteSource, start: int, wanted: int | None) -> Extent:
    return Extent(start, wanted, None if source.size is None else max(0, source.size - start))


def _chunk_extent(source: ByteSource, layout: _Chunks) -> Extent | None:
    head = layout.ident + struct.calcsize(layout.size)
    at, long_size = layout.first, None
    for _ in range(_MOST_CHUNKS):
        chunk = source.at(at, head)
        if len(chunk) < head:
            break
        ident = chunk[: layout.ident]
        (size,) = struct.unpack(layout.size, chunk[layout.ident :])
        at += head
        if size != -1:  # CAF's "unknown", allowed for the last chunk only
            size = max(0, size - layout.counted)
        if ident == b"ds64" and size >= 16 and len(longer := source.at(at, 16)) == 16:
            (long_size,) = struct.unpack("<8xQ", longer)  # RF64: 64 bits, after 8 bytes of file size
        if ident.startswith(layout.data):
            if size == 0xFFFFFFFF and long_size is not None:
                size = long_size
            elif struct.calcsize(layout.size) == 4 and _placeholder(size):
                size = -1
            wraps = struct.calcsize(layout.size) == 4 and long_size is None
            return _checked(
                source, at + layout.lead, size - layout.lead if size >= layout.lead else size, layout, wraps
            )
        at += max(0, size) + -size % layout.align
    return None


def _checked(source: ByteSource, start: int, size: int, layout: _Chunks, wraps: bool) -> Extent:
    """What a stated size says of samples from ``start`` on; ``wraps``: it may have lost multiples of 4 GiB."""
    if not 0 <= size < 1 << 62:
        return _extent(source, start, None)
    if source.size is None:
        return Extent(start, size or None, None)
    held = max(0, source.size - start)
    if size > held:
        # Some recorders write the size of the file, or that of the outer chunk, as that of the samples.
        return Extent(start, None if size in (source.size, source.size - 8) else size, held)
    lost = (held - size) // _WRAP * _WRAP if wraps else 0
    if size + lost < held and not _chunks_follow(source, start, size + lost, layout):
        if size and not lost and _ends_at(source, start + size, layout):
            return Extent(start, size, held, behind=held - size)
        return Extent(start, held, held, repaired=True)
    return Extent(start, size + lost, held, repaired=lost > 0)


def _ends_at(source: ByteSource, end: int, layout: _Chunks) -> bool:
    """Whether the outer chunk ends with the samples, too: then what follows is not a part of it."""
    if layout.ident != 4 or struct.calcsize(layout.size) != 4:
        return False
    (whole,) = struct.unpack(layout.size, source.at(4, 4))
    return whole + 8 in (end, end + end % 2)


def _placeholder(size: int) -> bool:
    """Whether it is such as recorders write before they know the size, or because they cannot return to the header.

    Known are 0xffffffff, 0x7fffffff, 0x7ffff000 and 0x80000000, these less a header, and rounded to a frame; and
    0x7f000000 with a chunk's head, which sox writes into an AIFF in a pipe.
    """
    return 0x7FFF0000 <= size <= 0x80000100 or size >= 0xFFFF0000 or 0x7F000000 <= size <= 0x7F000100


def _chunks_follow(source: ByteSource, start: int, size: int, layout: _Chunks) -> bool:
    """Whether what follows the samples are chunks, a tag or a filling, rather than more samples."""
    assert source.size is not None
    at = start + size + -size % layout.align
    if layout.ident == 16:
        head = source.at(at, 24)
        return len(head) < 24 or not any(head) or head[10:16] in _W64_TAILS
    length = layout.ident + struct.calcsize(layout.size)
    head, rest = source.at(at, length), source.size - at
    if len(head) < length:
        return True
    if not size:  # never filled in, as the size of the whole then is
        (whole,) = struct.unpack(layout.size[0] + "I", source.at(4, 4))
        if whole < start or _placeholder(whole):
            return False
    elif not any(head):
        return True
    unpadded = at != start + size and is_chunk(source.at(start + size, length), rest + 1, layout.size)
    return unpadded or is_chunk(head, rest, layout.size)


def is_chunk(head: bytes, rest: int, size: str = "<I") -> bool:
    """Whether a chunk begins so that fits into ``rest`` bytes, or a tag; ``size``: of its size, as struct writes it."""
    if len(head) < 4 + struct.calcsize(size):
        return False
    known = head.startswith((b"LIST", b"id3 ", b"ID3", b"JUNK", b"junk", b"PAD ", b"FLLR", b"TAG", b"APETAGEX"))
    (length,) = struct.unpack(size, head[4:])
    return known or (all(32 <= byte < 127 for byte in head[:4]) and length <= rest)


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
        return None if not size or _placeholder(size) else size + 8
    return None


def _matroska_end(source: ByteSource) -> int | None:
    """The end of the segment, the element after the head; None: a live recording does not know it."""
    at = 0
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


def _voc_end(source: ByteSource) -> int | None:
    """The end of the last block of which the head is there."""
    at = int.from_bytes(source.at(20, 2), "little")
    for _ in range(_MOST_CHUNKS):
        head = source.at(at, 4)
        if len(head) < 4 or not head[0]:
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


def ogg_is_cut(end: bytes) -> bool:
    """Whether Ogg does not end with a complete page that is marked as the last of its stream.

    Args:
        end: its last `TAIL` bytes, or all.
    """
    at = end.rfind(b"OggS")
    page = end[at:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    last = bool(page[5] & 4)
    return len(page) < length or not last
