"""What a file's header promises, compared with what the file holds.

libsndfile and FFmpeg silently shorten a damaged file. So this reads the headers itself: where the samples begin, how
many bytes are stated, and how many are there.

A header that states more than there is shows that the file was cut off. It is no promise if it states less, or what
recorders write that do not know the size (`chunks.placeholder`), or if it counted itself.

Knows: the chunks of RIFF/RIFX/RF64/BW64, AIFF/AIFC, W64, CAF and AU; the sizes in Matroska, ASF and TTA; the last page
of Ogg. Does not know: samples, and lengths that are counted in them (counts.py).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .byte_source import ByteSource
from .chunks import MOST_CHUNKS, Following, Layout, is_chunk, layout_of, placeholder

#: Bytes in which the last page of Ogg lies: a page has at most half as many.
TAIL = 1 << 17
#: How the identifiers of W64's chunks end.
_W64_TAILS = (b"\x00\xc0\x4f\x8e\xdb\x8a", b"\x28\xdb\x04\xc1\x00\x00")
#: How containers begin that state where they end, and behind that is looked for another.
_WHOLE = {"asf": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "voc": b"Creative Voice File\x1a", "tta": b"TTA1\1\0"}
_EBML = b"\x1a\x45\xdf\xa3"  #: how Matroska begins
_WRAP = 1 << 32  #: what a size of 32 bits has lost


class Extent(NamedTuple):
    """Bytes of samples.

    Attributes:
        start: where they begin.
        wanted: according to the header; None: it does not say, and they go on to the end.
        held: from there to the end of the file; None: of a pipe, before its end.
        repaired: whether ``wanted`` is another number than the header's, because that is too small.
        behind: bytes that follow and are no chunk, where the header says twice that it ends before them.
        others: bytes of samples in later chunks, or of the files that were joined behind; of a pipe they come later.
        joined: whether they are files.
    """

    start: int
    wanted: int | None
    held: int | None
    repaired: bool = False
    behind: int = 0
    others: int = 0
    joined: bool = False

    @property
    def cut(self) -> bool:
        """Whether the file ends too early."""
        return self.wanted is not None and self.held is not None and self.held < self.wanted


def sample_extent(source: ByteSource) -> Extent | None:
    """Where the samples of a file lie, and should lie. None if its container is another, or it holds no samples."""
    magic = source.at(0, 4)
    if magic == b".snd":
        head = source.at(4, 8)
        if len(head) < 8:
            return None
        offset, size = struct.unpack(">II", head)
        extent = _extent(source, offset, None if placeholder(size) or not size else size)
        # Nothing can follow the samples of AU.
        short = extent.wanted is not None and extent.held is not None and extent.wanted < extent.held
        return extent._replace(wanted=None) if short else extent
    layout = layout_of(magic)
    return None if layout is None else _chunk_extent(source, layout)


def _extent(source: ByteSource, start: int, wanted: int | None) -> Extent:
    return Extent(start, wanted, None if source.size is None else max(0, source.size - start))


def _chunk_extent(source: ByteSource, layout: Layout) -> Extent | None:
    at, long_size = layout.first, None
    for _ in range(MOST_CHUNKS):
        chunk = source.at(at, layout.head)
        if len(chunk) < layout.head:
            break
        ident, size = layout.parse(chunk)
        at += layout.head
        if ident == b"ds64" and size >= 16 and len(longer := source.at(at, 16)) == 16:
            (long_size,) = struct.unpack("<8xQ", longer)  # RF64: 64 bits, after 8 bytes of file size
        if ident.startswith(layout.data):
            if long_size is not None and (not size or placeholder(size)):
                size = long_size
            elif layout.short and placeholder(size):
                size = -1
            wraps, differs = layout.short and long_size is None, long_size not in (None, size)
            size = size - layout.lead if size >= layout.lead else size
            extent = _checked(source, at + layout.lead, size, layout, wraps)
            # Decoders go by the size of 64 bits, whatever the other is.
            return _with_others(source, extent._replace(repaired=extent.repaired or differs))
        at += max(0, size) + -size % layout.align
    return None


def _checked(source: ByteSource, start: int, size: int, layout: Layout, wraps: bool) -> Extent:
    """What a stated size says of samples from ``start`` on; ``wraps``: it may have lost multiples of 4 GiB."""
    if not 0 <= size < 1 << 62:
        return _extent(source, start, None)
    if source.size is None:
        return Extent(start, size if size or _is_empty(source, start, layout) else None, None)
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


def _with_others(source: ByteSource, extent: Extent) -> Extent:
    """Note the samples in later chunks of a file."""
    behind = following(source, extent)
    if source.size is None or behind is None or extent.behind:
        return extent
    while behind.length and (head := source.at(behind.wanted_at, behind.length)):
        behind.take(behind.wanted_at, head)
        if len(head) < behind.length:
            break
    return extent._replace(others=behind.others(source.size), joined=behind.joined)


def following(source: ByteSource, extent: Extent) -> Following | None:
    """What is to be filled with the bytes behind the samples; None: nothing says where they end."""
    layout = layout_of(source.at(0, 4))
    if layout is None or extent.wanted is None:
        return None
    return Following(layout, extent.start + extent.wanted, -extent.wanted % layout.align)


def _ends_at(source: ByteSource, end: int, layout: Layout) -> bool:
    """Whether the outer chunk ends with the samples, too: then what follows is not a part of it."""
    if layout.ident != 4 or not layout.short:
        return False
    (whole,) = struct.unpack(layout.size, source.at(4, 4))
    return whole + 8 in (end, end + end % 2)


def _chunks_follow(source: ByteSource, start: int, size: int, layout: Layout) -> bool:
    """Whether what follows the samples are chunks, a tag or a filling, rather than more samples."""
    assert source.size is not None
    if not size:
        return _is_empty(source, start, layout)
    at = start + size + -size % layout.align
    if layout.ident == 16:
        head = source.at(at, 24)
        return len(head) < 24 or not any(head) or head[10:16] in _W64_TAILS
    head, rest = source.at(at, layout.head), source.size - at
    if len(head) < layout.head or not any(head):
        return True
    unpadded = at != start + size and is_chunk(source.at(start + size, layout.head), rest + 1, layout.size)
    return unpadded or is_chunk(head, rest, layout.size)


def _is_empty(source: ByteSource, start: int, layout: Layout) -> bool:
    """Whether a size of 0 means that there are no samples: a chunk follows. Else it was never filled in.

    Then the size of the whole was not filled in either, so that only names tell a chunk from samples.
    """
    head, sizes = source.at(start, layout.head), source.at(4, 4)
    if layout.ident == 16:
        return head[10:16] in _W64_TAILS
    (whole,) = struct.unpack(layout.size[0] + "I", sizes)
    filled = layout.short and whole >= start and not placeholder(whole)
    rest = whole + 9 - start if filled else -1
    return is_chunk(head, rest, layout.size)


def stated_end(source: ByteSource, container: str | None) -> int | None:
    """The bytes that a file must at least have according to a container that states its own size."""
    if container == "matroska":
        return _matroska_end(source)
    if container == "asf":
        return _asf_end(source)
    if container in ("voc", "tta"):
        return _voc_end(source) if container == "voc" else _tta_end(source)
    if container == "avi":
        (size,) = struct.unpack("<I", source.at(4, 4).ljust(4, b"\0"))
        return None if not size or placeholder(size) else size + 8
    return None


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
        ends = [_matroska_end(source)]
        ends += [_matroska_end(source, at) for at in ends if at is not None and source.at(at, 4) == _EBML]
        return next((end for end in ends[1:] if end is not None and source.at(end, 4) == _EBML), None)
    if container not in _WHOLE or (end := stated_end(source, container)) is None:
        return None
    end += container == "voc"  # the byte that ends the blocks
    magic = _WHOLE[container]
    found = source.at(end, TAIL if container == "tta" else len(magic)).find(magic)  # behind TTA, a tag may follow
    return None if found < 0 else end + found


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


def _voc_end(source: ByteSource) -> int | None:
    """The end of the last block of which the head is there."""
    at = int.from_bytes(source.at(20, 2), "little")
    for _ in range(MOST_CHUNKS):
        head = source.at(at, 4)
        if len(head) < 4 or not head[0]:
            break
        at += 4 + int.from_bytes(head[1:], "little")
    return at


def _tta_end(source: ByteSource) -> int | None:
    """The end of the last frame. A table behind the header has the bytes of each."""
    rate, samples = struct.unpack("<II", source.at(10, 8).ljust(8, b"\0"))
    frames = -(-samples // max(1, 256 * rate // 245))
    table = source.at(22, 4 * frames) if source.size is not None and 4 * frames < source.size else b""
    return 26 + 4 * frames + sum(struct.unpack(f"<{frames}I", table)) if table and len(table) == 4 * frames else None


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
