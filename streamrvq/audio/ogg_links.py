"""Ogg that was joined: one recording after another, each decoded by itself.

FFmpeg goes on from one to the next, and may take the next one's samples for a filling at the end. So each gets its own
decoder. A new recording begins with a page that is marked as the first of a stream, after pages that are not.

Knows: the heads of Ogg's pages. Does not know: codecs (ffmpeg.py).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .byte_source import ByteSource
from .decoding import ChangedError, DecodingError, NotRecognisedError
from .ffmpeg import FFmpegDecoder

_HEAD = 27 + 255  #: bytes of a page before its contents, at most
_STEP = 1 << 16


def _page(head: bytes) -> int:
    """The bytes of the page that begins with these; 0: none does."""
    if len(head) < 27 or head[:4] != b"OggS" or len(head) < 27 + head[26]:
        return 0
    return 27 + head[26] + sum(head[27 : 27 + head[26]])


def is_joined(source: ByteSource) -> bool:
    """Whether a file holds several recordings, or is a pipe, of which nobody knows."""
    if source.size is None:
        return True
    at, inside = 0, False
    while length := _page(head := source.at(at, _HEAD)):
        first = bool(head[5] & 2)
        if first and inside:
            return True
        inside = inside or not first
        at += length
    return at < source.size  # another recording may follow what is no page


class _Links:
    """The bytes of a source, with an end after each recording. As `ByteSource` to a decoder."""

    size, owned = None, False

    def __init__(self, source: ByteSource) -> None:
        self.name, self.pipe, self.file = source.name, source, self
        self._source, self._held, self._left = source, b"", 0
        self._inside = self._ended = self.over = False

    def rewind(self) -> None:
        """To the next recording. The rest of this one is passed over."""
        while self._inside and self.read(_STEP):
            pass
        self._ended = False

    def check(self) -> None:
        """As `ByteSource.check`, for files too."""
        self._source.check()

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes of a recording; none at its end."""
        if self._ended or (not self._left and not self._begin_page()):
            self._ended = True  # FFmpeg may ask again
            return b""
        if not self._held:
            self._held = self._source.file.read(_STEP)
        data, self._held = self._held[: min(count, self._left)], self._held[min(count, self._left) :]
        self._left -= len(data)
        if not data:
            self._left = 0
        return data

    def _begin_page(self) -> bool:
        while len(self._held) < _HEAD and (more := self._source.file.read(_STEP)):
            self._held += more
        self.over = not self._held
        length = _page(self._held)
        if length:
            first = bool(self._held[5] & 2)
            if first and self._inside:
                self._inside = False
                return False
            self._inside = self._inside or not first
        else:  # no page: what lies before the next one is FFmpeg's to judge
            next_page = self._held.find(b"OggS", 1)
            length = next_page if next_page > 0 else max(1, len(self._held) - 3)
        self._left = length
        return not self.over


class OggDecoder:
    """A `Decoder` of recordings that follow each other. Arguments and errors are those of `FFmpegDecoder`."""

    exact, width = False, 0

    def __init__(self, source: ByteSource, *, track: int | None = None, keep: bool = False) -> None:
        source.rewind()
        self._links = cast(Any, _Links(source))
        self._how: dict[str, Any] = {"track": track, "keep": keep}
        self._now = FFmpegDecoder(self._links, **self._how)
        self.sample_rate, self.channels, self.frames = self._now.sample_rate, self._now.channels, self._now.frames

    def read(self) -> npt.NDArray[np.float32]:
        while not len(block := self._now.read()):
            if self._links.over:
                break
            self._now.close()
            try:
                self._now = FFmpegDecoder(self._links, **self._how)
            except NotRecognisedError:
                if self._links.over:
                    break
                raise DecodingError("what follows there cannot be decoded") from None
            if (self._now.sample_rate, self._now.channels) != (self.sample_rate, self.channels):
                raise ChangedError(
                    f"it goes on at {self._now.sample_rate} Hz with {self._now.channels} channels, and began at "
                    f"{self.sample_rate} Hz with {self.channels}"
                )
        return block

    def close(self) -> None:
        self._now.close()
