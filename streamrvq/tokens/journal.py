"""A recording of tokens that survives a crash: a journal that only grows, beside the token file that it becomes.

During a recording ``NAME.safetensors.journal`` holds a line of JSON, which describes the codec, and then records:
frames as they come, gaps, and the end. Each record is written at once, so a killed process loses nothing that it had
recorded. Every second the file is forced to the disk, so a power cut loses at most a second. A record is whole or not
there: after a failed write the file is put back to its last whole record. `recovery.recover` turns the journal into the
token file, and so does a normal end. Until then the journal is locked, so that nobody recovers and deletes it.

    kind u8 (1 frames, 2 gap, 3 end) · length u32 · payload · CRC-32 of everything before u32     (little-endian)
    1: codes u16, frame by frame      2: position u64, samples u64      3: samples of the signal u64

Knows: how a journal is written. Does not know: how it is read (recovery.py), or where codes come from.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..engine.base import Codes
from ..errors import TokensError
from ..system.copying import NeverCopied
from ..system.file_lock import release_lock, take_lock
from ..system.names import check_path
from .file import TokenFile
from .journal_names import journal_of
from .limits import MOST_CODE, MOST_GAPS, MOST_SAMPLES
from .recovery import CRC, END, FORMAT, FRAMES, GAP, HEAD, VERSION, recover

__all__ = ["JournalError", "TokenJournal", "journal_of", "recover"]

_SYNC_SECONDS = 1.0
_NOT_IN_THE_HEAD = ("codes", "num_samples", "gaps", "version")


class JournalError(TokensError, OSError):
    """A journal that cannot be written to. The record that was to be written is not in it."""


class TokenJournal(NeverCopied, error=TokensError, holds="an open file", instead="a recording has one journal"):
    """A recording in progress. Not for two threads at once.

    Args:
        path: of the token file that the recording will become.
        empty: that token file, still without frames, gaps and the number of samples.

    Raises:
        TokensError: the file or its journal exists already, or the folder cannot be written to, or no file can be
            named so.
    """

    def __init__(self, path: str | os.PathLike[str], empty: TokenFile) -> None:
        self.path, self._levels, self._synced = Path(path), empty.codes.shape[0], time.monotonic()
        self._journal = journal = journal_of(path)
        self._gaps = 0  # recorded so far
        self._end = 0  # bytes of whole records
        self._torn = False  # whether the file may go on behind them
        self._refusal = ""  # why nothing more may be recorded
        if os.path.exists(self.path):  # unlike Path's, it takes a name that is too long
            raise TokensError(f"{path} is there already; move it away, or choose another name")
        head = {name.name: getattr(empty, name.name) for name in dataclasses.fields(empty)}
        head = {name: value for name, value in head.items() if name not in _NOT_IN_THE_HEAD}
        if empty.resampler is None:
            del head["resampler"]
        head |= {"format": FORMAT, "version": VERSION, "n_quantizers": self._levels}
        try:
            check_path(journal)
            self._file = open(journal, "xb", buffering=0)  # noqa: SIM115
        except FileExistsError:
            raise TokensError(
                f"{journal} is left of a recording that was cut off; make a token file of it with "
                f"`streamrvq mic --recover {path}`, or move it away"
            ) from None
        except OSError as error:
            raise self._error(error, "give a folder that may be written to") from None
        with suppress(OSError):  # a file system without locks; and no other process can have this file's
            take_lock(self._file.fileno())
        try:
            self._append(json.dumps(head, default=int).encode() + b"\n", sync=False)
        except BaseException:
            self.close()
            with suppress(OSError):
                journal.unlink()
            raise

    def frames(self, codes: Codes) -> None:
        """Record the next frames, ``[K, n]``.

        Raises:
            TokensError: another K than the recording's, or codes that are not integers from 0 to 65535.
            JournalError: they cannot be written. They are not recorded, and may be given again.
        """
        if codes.ndim != 2 or codes.shape[0] != self._levels or codes.dtype.kind not in "iu":
            raise TokensError(
                f"frames are {codes.dtype} {list(codes.shape)}; wanted integers with {self._levels} levels, as the "
                "recording began"
            )
        if codes.size and not (codes.min() >= 0 and codes.max() <= MOST_CODE):
            raise TokensError(f"codes reach from {codes.min()} to {codes.max()}; a token file holds 0 to {MOST_CODE}")
        self._record(FRAMES, np.ascontiguousarray(codes.T, "<u2").tobytes())

    def gap(self, position: int, samples: int) -> None:
        """Record a gap that was filled with zeros. ``position`` is in samples from the signal's start.

        Raises:
            TokensError: a gap that cannot be, or more than a token file holds.
            JournalError: as `frames`.
        """
        if not (0 <= position <= MOST_SAMPLES and 1 <= samples <= MOST_SAMPLES):
            raise TokensError(f"a gap of {samples} samples at {position}; wanted at least 1, from 0 on")
        if self._gaps == MOST_GAPS:
            raise TokensError(f"a recording has {MOST_GAPS} gaps at most; end it, and begin another")
        self._record(GAP, struct.pack("<QQ", position, samples))
        self._gaps += 1

    def finish(self, num_samples: int | None) -> TokenFile:
        """End the recording: write the token file and delete the journal.

        Args:
            num_samples: of the signal. None if frames are missing at its end: then the frames that came decide.

        Raises:
            TokensError: a length that cannot be.
            JournalError: the journal cannot be forced to the disk; as `frames`.
        """
        if num_samples is not None:
            if not 0 <= num_samples <= MOST_SAMPLES:
                raise TokensError(f"the signal has {num_samples} samples; wanted 0 to {MOST_SAMPLES}")
            self._record(END, struct.pack("<Q", num_samples), sync=True)
        else:
            self._append(b"", sync=True)
        self.close()
        return recover(self.path)

    def discard(self) -> None:
        """Delete the journal, and write no token file."""
        self.close()
        self._journal.unlink()

    def close(self) -> None:
        """Close the journal and leave it for `recover`. It may be closed more than once."""
        if self._file.closed:
            return
        if self._torn:  # a record that was refused may be whole in the file
            with suppress(OSError):
                self._put_back()
        with suppress(OSError):
            release_lock(self._file.fileno())
        with suppress(OSError):  # nothing waits in a buffer
            self._file.close()

    def _record(self, kind: int, payload: bytes, sync: bool = False) -> None:
        if len(payload) > 0xFFFFFFFF:
            raise TokensError(f"{len(payload)} bytes of frames came at once; a record holds less than 4 GiB")
        data = HEAD.pack(kind, len(payload)) + payload
        self._append(data + CRC.pack(zlib.crc32(data)), sync or time.monotonic() - self._synced > _SYNC_SECONDS)

    def _append(self, data: bytes, sync: bool) -> None:
        """Write ``data`` behind the last whole record: all of it, or nothing and an exception.

        Whatever is raised in here, an interrupt too, ``data`` is not recorded: the file is put back, now, before
        the next record, or by `close`.
        """
        if self._file.closed:
            raise JournalError(
                f"{self._journal} was closed, so nothing more is recorded; `streamrvq mic --recover {self.path}` makes "
                "a token file of what is there"
            )
        if self._refusal:
            raise JournalError(self._refusal)
        try:
            if self._torn:
                self._put_back()
            end, self._torn = self._end + len(data), True
            self._write(data)
            if sync:
                self._sync()
            # From here to the end of the frame nothing is called, so no interrupt comes between the two.
            self._end, self._torn = end, False
        except BaseException as error:
            with suppress(OSError):
                self._put_back()
            if isinstance(error, OSError):
                raise self._error(error, "make room, or end the recording: what it had is whole") from None
            raise

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            written = self._file.write(left)
            if not written:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            left = left[written:]

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:  # the system may have dropped what it could not write, and would not say so again
            self._refusal = (
                f"{self._journal} could not be forced to the disk ({error.strerror or error}), so nothing more is "
                f"recorded; end the recording, and check what is there with `streamrvq mic --recover {self.path}`"
            )
            raise
        self._synced = time.monotonic()

    def _put_back(self) -> None:
        """Cut off what a failed write left. Raises `OSError`."""
        self._file.truncate(self._end)
        self._file.seek(self._end)
        self._torn = False

    def _error(self, error: OSError, remedy: str) -> JournalError:
        failed = JournalError(f"cannot write to {self._journal} ({error.strerror or error}); {remedy}")
        failed.errno = error.errno
        return failed
