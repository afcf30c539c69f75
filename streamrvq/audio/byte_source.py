"""Where the bytes of audio come from: a file, an open file object, or a pipe that is read once.

Headers are looked at before a decoder reads: `ByteSource.at` gives bytes anywhere in a file. Of a pipe it gives those
near the beginning, which are kept until the decoder has had them.

Knows: paths, descriptors, file objects, pipes. Does not know: any format.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from typing import Any, BinaryIO

from ..errors import AudioFileError, InputError
from ..system.foreign_data import one_line, shown
from ..system.names import check_path
from ..system.temporary_file import stored
from .chunks import Following, SecondFile

#: What can be opened: a path, or an object to read bytes from.
Source = str | os.PathLike[str] | BinaryIO

_MOST_HEAD = 4 << 20  #: bytes of a pipe that are kept for a look at the header
_SPOOL_STEP = 1 << 20
_TAIL = 1 << 17  #: bytes of a pipe that are kept for a look at its end


class ByteSource:
    """A source that was opened. It closes what it opened itself, and no object that it was given.

    An object that can seek is read from its start, wherever it stands. Any other is read on from where it stands.

    Args:
        source: what to open.
        once: read an object on from where it stands, though it could seek.
        name: of an object, for messages.

    Attributes:
        name: for messages.
        size: bytes; None: of a pipe, whose end is not known before it comes.
        file: for a decoder to read from.
        once: whether it was a pipe when it was opened, and cannot be opened again.
    """

    def __init__(self, source: Source, once: bool = False, name: str | None = None) -> None:
        self._own: BinaryIO | None = None
        self.size: int | None = None
        if isinstance(source, (str, os.PathLike)):
            path = os.fspath(source)
            self.name = one_line(path, 1000)
            self._own = _opened(path)
            regular = stat.S_ISREG(os.fstat(self._own.fileno()).st_mode)
            self.file: Any = self._own if regular else _Pipe(self._own)
        elif callable(getattr(source, "read", None)):
            self.name = name or _name_of(source)
            if getattr(source, "closed", False) is True:
                raise InputError(f"{self.name} is closed; wanted it open: close it after it is read, or give a path")
            self.file = _Pipe(source) if once or not _can_seek(source) else _Object(source)
            if isinstance(source, io.TextIOBase):
                raise InputError(f"{self.name} gives text; wanted a file that was opened with mode 'rb'")
        else:
            raise InputError(f"a {type(source).__name__} was given; wanted a path or a file object that gives bytes")
        self.once = isinstance(self.file, _Pipe)
        if not self.once:
            self.size = self.file.seek(0, os.SEEK_END)
            self.rewind()
            self.check()

    @property
    def owned(self) -> bool:
        """Whether it is a file that was opened here, and has a descriptor."""
        return self.file is self._own

    @property
    def pipe(self) -> _Pipe | None:
        """What counts the bytes of a source that is read once; None for files."""
        return self.file if isinstance(self.file, _Pipe) else None

    def at(self, offset: int, count: int) -> bytes:
        """Bytes from an offset, fewer at the end of the source, and in a pipe far from its beginning."""
        if isinstance(self.file, _Pipe):
            return self.file.head(offset + count)[offset : offset + count]
        if self.size is None or offset >= self.size:
            return b""
        self.file.seek(offset)
        data = bytearray()
        while len(data) < count and (part := self.file.read(count - len(data))):
            data += part
        self.check()
        return bytes(data)

    def rewind(self) -> None:
        """Back to the start, for a decoder; a pipe never left it."""
        if not isinstance(self.file, _Pipe):
            self.file.seek(0)

    def spool(self) -> None:
        """Make a file of a pipe, for formats that must be read from several places at once. It has no name.

        Raises:
            AudioFileError: there is no room for it.
        """
        if (pipe := self.pipe) is None:
            return
        whole = stored(pipe.read, pipe.check, AudioFileError, self.name)
        self.close()
        self._own = self.file = whole
        self.size = whole.seek(0, os.SEEK_END)
        whole.seek(0)

    def clip(self, start: int, end: int, put: tuple[int, bytes] = (0, b"")) -> None:
        """Let a file begin and end there, for decoders that would read something else.

        ``put``: bytes that stand in it instead of others, and where.
        """
        raw = self.file.raw if isinstance(self.file, _Object) else self.file  # so that one object stores exceptions
        self.file, self.size = _Object(_Clipped(raw, start, end, *put)), end - start

    def check(self) -> None:
        """Raise what came while a decoder read from a pipe or an object."""
        if not self.owned:
            self.file.check()

    def close(self) -> None:
        """Close what was opened here. It may be closed more than once."""
        if self._own is not None:
            self._own.close()


class _Stored:
    """Stores what is raised while FFmpeg reads: no exception can pass through it, and it would see the end there."""

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise what came. Asked again, it raises nothing."""
        error, self._error = self._error, None
        if error is not None:
            raise error


class _Object(_Stored):
    """A file object that can seek, as FFmpeg and libsndfile read from it."""

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self.raw = raw
        self.sequential = False  # whether FFmpeg is to read from start to end

    def seekable(self) -> bool:
        return not self.sequential

    def read(self, count: int = -1) -> bytes:
        """At most ``count`` bytes; none at the end, and after an exception."""
        try:
            return _checked(self.raw.read(count))
        except BaseException as error:
            self._error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file; −1 where that cannot be done."""
        try:
            if whence == os.SEEK_SET and offset < 0:
                return -1
            self.raw.seek(offset, whence)
            return int(self.raw.tell())
        except (OSError, ValueError, OverflowError):
            return -1
        except BaseException as error:
            self._error = error
            return -1

    def tell(self) -> int:
        """Where it stands."""
        return self.seek(0, os.SEEK_CUR)


class _Clipped:
    """A part of a file, as if there were no more, with ``put`` at a place of it."""

    def __init__(self, raw: Any, start: int, end: int, place: int = 0, put: bytes = b"") -> None:
        self._raw, self._start, self._size = raw, start, end - start
        self._place, self._put = place, put

    def read(self, count: int) -> bytes:
        at = self.tell()
        left = max(0, self._size - at)
        data = _checked(self._raw.read(left if count < 0 else min(count, left)))
        first, end = max(at, self._place), min(at + len(data), self._place + len(self._put))
        if first >= end:
            return data
        return data[: first - at] + self._put[first - self._place : end - self._place] + data[end - at :]

    def seek(self, offset: int, whence: int) -> None:
        if whence == os.SEEK_END:
            offset, whence = self._size + offset, os.SEEK_SET
        if whence == os.SEEK_SET:
            offset += self._start
        self._raw.seek(offset, whence)

    def tell(self) -> int:
        return int(self._raw.tell()) - self._start


class _Pipe(_Stored):
    """What is read once, with its first bytes kept as long as they are looked at.

    Attributes:
        given: bytes read by the decoder so far.
        ended: whether the end has come.
        tail: the last bytes that were read.
        following: gets the bytes behind the samples, as they come; None: nobody asks.
        second: gets all bytes, to find a file that was joined behind; None: nobody asks.
    """

    def __init__(self, raw: Any) -> None:
        super().__init__()
        self._read = getattr(raw, "read1", None) or raw.read
        self._head, self.given, self.ended, self.tail = b"", 0, False, b""
        self.following: Following | None = None
        self.second: SecondFile | None = None

    def head(self, count: int) -> bytes:
        """The first bytes, before any is read: ``count`` of them, fewer at the end."""
        while len(self._head) < min(count, _MOST_HEAD) and not self.ended:
            self._head += self._more(1 << 16)
        return self._head[:count]

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes; none at the end, and after an exception."""
        try:
            if not self._head and not self.ended:
                self._head = self._more(count)
            data, self._head = self._head[:count], self._head[count:]
            for follower in (self.following, self.second):
                if follower is not None:
                    follower.take(self.given, data)
            self.given += len(data)
            self.tail = (self.tail + data)[-_TAIL:]
        except BaseException as error:
            self._error = error
            return b""
        return data

    def drain(self) -> int:
        """Read to the end; gives how many bytes there were."""
        left = 0
        while data := self.read(_SPOOL_STEP):
            left += len(data)
        self.check()
        return left

    def _more(self, count: int) -> bytes:
        data = _checked(self._read(count))
        self.ended = not data
        return data


def _checked(data: Any) -> bytes:
    if data is None:
        raise OSError(errno.EAGAIN, "it gives no bytes at the moment; wanted a file object that waits for them")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"the file object gives {shown(data)}; wanted bytes")
    return bytes(data)


def _opened(path: str) -> BinaryIO:
    """A path opened without a buffer. The file has no name, so that no decoder judges it by its name."""
    descriptor = -1
    try:
        check_path(path)
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise OSError(errno.EINVAL, "it is a device or a socket, and no file")
        descriptor = os.open(path, os.O_RDONLY)  # no child inherits it
        return open(descriptor, "rb", buffering=0)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        reason = error.strerror or one_line(error)
        raise AudioFileError(f"cannot open {one_line(path, 1000)}: {reason}; check the name and the rights") from None


def _can_seek(source: Any) -> bool:
    seekable = getattr(source, "seekable", None)
    there = callable(getattr(source, "seek", None)) and callable(getattr(source, "tell", None))
    return there and (seekable is None or bool(seekable()))


def _name_of(source: Any) -> str:
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else f"a {type(source).__name__}"
