"""What a file's header promises, compared with what the file holds.

libsndfile and FFmpeg silently shorten a damaged file. So this reads the headers itself: where the samples begin, how
many bytes are stated, and how many are there.

A header that states more than there is shows that the file was cut off. It is no promise if it states less, or what
recorders write that do not know the size (`chunks.placeholder`), or if it counted itself.

Knows: the chunks of RIFF/RIFX/RF64/BW64, AIFF/AIFC, W64, CAF and AU; the last page of Ogg. Does not know: other
containers (ends.py), and lengths that are counted in samples (counts.py).
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
