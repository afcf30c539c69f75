"""What a file's header promises, compared with what the file holds.

libsndfile silently shortens a damaged file. So this reads the chunks itself: where the samples begin, how many bytes
the header states, and how many are there. FLAC and MP3 state their length elsewhere and are checked by reading.

Knows: the chunks of RIFF/RIFX/RF64/BW64, AIFF/AIFC, W64, CAF and AU, and the last page of Ogg. Does not know: samples.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

# Sizes that recorders write when they do not know the size: through a pipe they cannot return to the header.
_UNKNOWN = (0xFFFFFFFF, 0x7FFFFFFF, -1)
#: Chunks that are looked at. Recorders write a few; a hostile file can hold an empty one in every eight bytes.
_MOST_CHUNKS = 10_000
_OGG_PAGE_MAX = 27 + 255 + 255 * 255


class Extent(NamedTuple):
    """Bytes of samples: ``wanted`` according to the header, and ``held`` by the file."""

    wanted: int
    held: int


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


def sample_extent(path: str | os.PathLike[str]) -> Extent | None:
    """The bytes of samples that a file should hold, and does hold. None if its header does not say.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size
        magic = file.read(4)
        if magic == b".snd":
            return _au_extent(file, total)
        layout = _LAYOUTS.get(magic)
        return None if layout is None else _chunk_extent(file, total, layout)


def _chunk_extent(file: BinaryIO, total: int, layout: _Chunks) -> Extent | None:
    head = layout.ident + struct.calcsize(layout.size)
    at, long_size = layout.first, None
    for _ in range(_MOST_CHUNKS):
        if at + head > total:
            break
        file.seek(at)
        ident = file.read(layout.ident)
        (size,) = struct.unpack(layout.size, file.read(head - layout.ident))
        at += head
        if size != -1:  # CAF's "unknown", allowed for the last chunk only
            size = max(0, size - layout.counted)
        if ident == b"ds64" and size >= 16 and at + 16 <= total:  # RF64: 64 bits, after 8 bytes of file size
            (long_size,) = struct.unpack("<8xQ", file.read(16))
        if ident.startswith(layout.data):
            if size in _UNKNOWN:
                size = long_size
            return None if size is None else Extent(size - layout.lead, max(0, total - at - layout.lead))
        at += max(0, size) + -size % layout.align
    return None


def _au_extent(file: BinaryIO, total: int) -> Extent | None:
    head = file.read(8)
    if len(head) < 8:
        return None
    offset, size = struct.unpack(">II", head)
    return None if size in _UNKNOWN else Extent(size, max(0, total - offset))


def ogg_is_cut(path: str | os.PathLike[str]) -> bool:
    """Whether a file is Ogg and does not end with a complete page that is marked as the last of its stream.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size
        if file.read(4) != b"OggS":
            return False
        file.seek(max(0, total - 2 * _OGG_PAGE_MAX))
        end = file.read()
    at = end.rfind(b"OggS")
    page = end[at:]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    length = 27 + page[26] + sum(page[27 : 27 + page[26]])
    last = bool(page[5] & 4)
    return len(page) < length or not last
