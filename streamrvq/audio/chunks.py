"""Chunks, in which RIFF, AIFF, W64 and CAF store everything: how they are written, and what follows the samples.

Decoders read one chunk of samples and leave out a second one, or another file that was joined behind. Some take the
last one instead of the first. So whoever reads has to be told.

Knows: heads of chunks. Does not know: where bytes come from, samples.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

#: Chunks that are looked at. Recorders write a few; a hostile file can hold an empty one in every eight bytes.
MOST_CHUNKS = 10_000
#: How files begin that may be joined behind another.
_FILES = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"riff\x2e\x91\xcf\x11", b"caff\0\1\0\0")
#: Chunks and tags that are known by their names, whatever their sizes say.
_KNOWN = (
    b"LIST", b"id3 ", b"ID3", b"JUNK", b"junk", b"PAD ", b"FLLR", b"TAG", b"APETAGEX", b"bext", b"iXML", b"axml",
    b"cue ", b"fact", b"smpl", b"inst", b"acid", b"PEAK", b"_PMX", b"chna", b"cart", b"data", b"SSND", *_FILES,
)  # fmt: skip
_TO_THE_END = 1 << 62


class Layout(NamedTuple):
    """How a format stores chunks: an identifier, a size, and that many bytes, padded to ``align``."""

    first: int  #: offset of the first chunk
    ident: int  #: bytes of an identifier
    size: str  #: struct format of a size
    counted: int  #: bytes of the chunk's own head that its size includes
    align: int
    data: bytes  #: the start of the identifier of the chunk with samples
    lead: int = 0  #: bytes of that chunk before its samples

    @property
    def head(self) -> int:
        """Bytes of an identifier and a size."""
        return self.ident + struct.calcsize(self.size)

    @property
    def short(self) -> bool:
        """Whether sizes have 32 bits."""
        return struct.calcsize(self.size) == 4

    def parse(self, head: bytes) -> tuple[bytes, int]:
        """The identifier of a chunk, and its bytes behind the head; −1: CAF's "unknown", of the last chunk only."""
        (size,) = struct.unpack(self.size, head[self.ident : self.head])
        return head[: self.ident], size if size == -1 else max(0, size - self.counted)


_RIFF = Layout(12, 4, "<I", 0, 2, b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"BW64": _RIFF,
    b"RIFX": _RIFF._replace(size=">I"),
    b"FORM": _RIFF._replace(size=">I", data=b"SSND", lead=8),
    b"riff": Layout(40, 16, "<q", 24, 8, b"data"),
    b"caff": Layout(8, 4, ">q", 0, 1, b"data", lead=4),
    b".snd": _RIFF._replace(align=1),  # AU has none; a tag may follow
}


def layout_of(magic: bytes) -> Layout | None:
    """The layout of a file that begins with these four bytes; None: it has no such chunks."""
    return _LAYOUTS.get(magic)


def placeholder(size: int) -> bool:
    """Whether it is such as recorders write before they know the size, or because they cannot return to the header.

    Known are 0xffffffff, 0x7fffffff, 0x7ffff000 and 0x80000000, these less a header, and rounded to a frame; and
    0x7f000000 with a chunk's head, which sox writes into an AIFF in a pipe.
    """
    return 0x7FFF0000 <= size <= 0x80000100 or size >= 0xFFFF0000 or 0x7F000000 <= size <= 0x7F000100


def is_chunk(head: bytes, rest: int, size: str = "<I") -> bool:
    """Whether a chunk begins so that fits into ``rest`` bytes, or a tag; ``size``: of its size, as struct writes it."""
    if len(head) < 4 + struct.calcsize(size):
        return False
    (length,) = struct.unpack(size, head[4 : 4 + struct.calcsize(size)])
    return head.startswith(_KNOWN) or (_printable(head[:4]) and length <= rest)


def _printable(ident: bytes) -> bool:
    return all(32 <= byte < 127 for byte in ident)


class Following:
    """What follows the samples, found while the bytes come.

    Args:
        layout: of the chunks.
        end: where the samples end, as they are stated.
        pad: bytes that fill them up, which some recorders leave out.

    Attributes:
        end: as given.
        first: the bytes at the end of the samples: the head of a chunk, and as many as the pad has.
        wanted_at: where a head comes next, or another file begins.
        joined: whether one does.
    """

    def __init__(self, layout: Layout, end: int, pad: int) -> None:
        self.end, self.first, self.wanted_at, self.joined = end, b"", end, False
        self._layout, self._pad, self._left = layout, pad, MOST_CHUNKS
        self._head, self._more = b"", list[tuple[int, int]]()

    @property
    def length(self) -> int:
        """Bytes that are wanted there; 0: no more are."""
        return (self._layout.head + self._pad) * (self._left > 0)

    def take(self, at: int, data: bytes) -> None:
        """Look at the bytes of the source from ``at`` on. All that were wanted have to come, one after another."""
        while self.length and at + len(data) > self.wanted_at + len(self._head):
            place = self.wanted_at + len(self._head) - at
            self._head += data[place : place + self.length - len(self._head)]
            if self.wanted_at == self.end:
                self.first = self._head
            if len(self._head) == self.length:
                self._look()

    def _look(self) -> None:
        head, self._head, self._left = self._head, b"", self._left - 1
        if self._pad:
            unpadded = self._layout.short and not is_chunk(head[self._pad :], 1 << 32, self._layout.size)
            skipped, self._pad = 0 if unpadded else self._pad, 0
            head, self.wanted_at = head[skipped:], self.wanted_at + skipped
        ident, size = self._layout.parse(head)
        if head.startswith(_FILES):
            self.joined, self._left = True, 0
            return  # wanted_at stays where it begins
        if not _printable(ident[:4]):
            self._left = 0
        elif ident.startswith(self._layout.data):
            if size <= 0 or (self._layout.short and placeholder(size)):
                size = _TO_THE_END
            self._more.append((self.wanted_at + self._layout.head, size))
        self.wanted_at += self._layout.head + max(0, size) + -size % self._layout.align

    def is_chunk(self, total: int) -> bool:
        """Whether a chunk follows, or nothing that could be the head of one, in a source of ``total`` bytes."""
        heads = (self.first[: self._layout.head], self.first[len(self.first) - self._layout.head :])
        if len(heads[1]) < self._layout.head:
            return True
        return any(is_chunk(head, total - self.end, self._layout.size) for head in heads)

    def others(self, total: int) -> int:
        """Bytes of samples in later chunks of a source of ``total`` bytes; or all bytes of the files behind."""
        if self.joined:
            return total - self.wanted_at
        return sum(max(0, min(size, total - at) - self._layout.lead) for at, size in self._more)


class SecondFile:
    """Looks in the bytes of a file, as they come, for another that was joined behind.

    Args:
        beginning: how it begins, in at most `LONGEST` bytes.

    Attributes:
        begins: where it begins; None: it has not come yet.
    """

    #: Bytes that are kept, for a beginning that comes in two parts.
    LONGEST = 32

    def __init__(self, beginning: re.Pattern[bytes]) -> None:
        self.begins: int | None = None
        self._beginning, self._held = beginning, b""

    def take(self, at: int, data: bytes) -> None:
        """Take the bytes that lie at an offset, the next ones."""
        data = self._held + data
        if self.begins is None and (found := self._beginning.search(data)):
            self.begins = at - len(self._held) + found.start()
        self._held = data[-self.LONGEST :]
