"""A recording of tokens that survives a crash: a journal that only grows, beside the token file that it becomes.

During a recording ``NAME.safetensors.journal`` holds a line of JSON, which describes the codec, and then records:
frames as they come, gaps, and the end. Each record is written at once, so a killed process loses nothing that it had
recorded. Every second the file is forced to the disk, so a power cut loses at most a second. `recover` turns the
journal into the token file, and so does a normal end. At a torn or damaged record the journal counts as ended.

    kind u8 (1 frames, 2 gap, 3 end) · length u32 · payload · CRC-32 of everything before u32     (little-endian)
    1: codes u16, frame by frame      2: position u64, samples u64      3: samples of the signal u64

Knows: the journal. Does not know: the layout of token files (file.py), or where codes come from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.base import Codes
from ..errors import TokensError
from ..system.copying import NeverCopied
from .file import TokenFile, write_tokens

FORMAT, VERSION = "streamrvq.journal", 1
_FRAMES, _GAP, _END = 1, 2, 3
_HEAD, _CRC = struct.Struct("<BI"), struct.Struct("<I")
_SYNC_SECONDS = 1.0
_NOT_IN_THE_HEAD = ("codes", "num_samples", "gaps", "version")


def journal_of(path: str | os.PathLike[str]) -> Path:
    """The path of a token file's journal. The path of a journal is returned as it is."""
    path = Path(path)
    return path if path.name.endswith(".journal") else path.with_name(path.name + ".journal")


class TokenJournal(NeverCopied, error=TokensError, holds="an open file", instead="a recording has one journal"):
    """A recording in progress. Not for two threads at once.

    Args:
        path: of the token file that the recording will become.
        empty: that token file, still without frames, gaps and the number of samples.

    Raises:
        TokensError: the file or its journal exists already, or the folder cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], empty: TokenFile) -> None:
        self.path, self._levels, self._synced = Path(path), empty.codes.shape[0], time.monotonic()
        journal = journal_of(path)
        if self.path.exists():
            raise TokensError(f"{path} is there already; move it away, or choose another name")
        head = {name.name: getattr(empty, name.name) for name in dataclasses.fields(empty)}
        head = {name: value for name, value in head.items() if name not in _NOT_IN_THE_HEAD}
        head |= {"format": FORMAT, "version": VERSION, "n_quantizers": self._levels}
        try:
            self._file = open(journal, "xb", buffering=0)  # noqa: SIM115
            self._write(json.dumps(head).encode() + b"\n")
        except FileExistsError:
            raise TokensError(
                f"{journal} is left of a recording that was cut off; make a token file of it with "
                f"`streamrvq mic --recover {path}`, or move it away"
            ) from None
        except OSError as error:
            raise TokensError(
                f"cannot write to {journal} ({error.strerror}); give a folder that may be written to"
            ) from None

    def frames(self, codes: Codes) -> None:
        """Record the next frames, ``[K, n]``. Raises `TokensError` for another K than the recording's."""
        if codes.shape[0] != self._levels:
            raise TokensError(f"frames have {codes.shape[0]} levels; wanted {self._levels}, as the recording began")
        self._record(_FRAMES, np.ascontiguousarray(codes.T, "<u2").tobytes())

    def gap(self, position: int, samples: int) -> None:
        """Record a gap that was filled with zeros. ``position`` is in samples from the signal's start."""
        self._record(_GAP, struct.pack("<QQ", position, samples))

    def finish(self, num_samples: int | None) -> TokenFile:
        """End the recording: write the token file and delete the journal.

        Args:
            num_samples: of the signal. None if frames are missing at its end: then the frames that came decide.
        """
        if num_samples is not None:
            self._record(_END, struct.pack("<Q", num_samples))
        os.fsync(self._file.fileno())
        self._file.close()
        return recover(self.path)

    def discard(self) -> None:
        """Delete the journal, and write no token file."""
        self._file.close()
        journal_of(self.path).unlink()

    def close(self) -> None:
        """Close the journal and leave it for `recover`."""
        self._file.close()

    def _record(self, kind: int, payload: bytes) -> None:
        data = _HEAD.pack(kind, len(payload)) + payload
        self._write(data + _CRC.pack(zlib.crc32(data)))
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = now

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]


def recover(path: str | os.PathLike[str]) -> TokenFile:
    """Write the token file from all whole records of a journal, then delete the journal.

    Args:
        path: of the token file, or of the journal.

    Raises:
        TokensError: there is no journal, it is not one of ours, or the token file cannot be written. The journal stays.
    """
    journal = journal_of(path)
    target = journal.with_name(journal.name.removesuffix(".journal"))
    try:
        data = journal.read_bytes()
    except OSError as error:
        raise TokensError(
            f"cannot read {journal} ({error.strerror}); only a recording that was cut off has a journal"
        ) from None
    if target.exists():
        raise TokensError(f"{target} is there already; move it away, and recover {journal} again")
    tokens = _parse(journal, data)
    write_tokens(target, tokens)
    journal.unlink()
    return tokens


def _parse(journal: Path, data: bytes) -> TokenFile:
    line, _, rest = data.partition(b"\n")
    try:
        head: dict[str, Any] = json.loads(line)
        levels = head.pop("n_quantizers")
        if (head.pop("format"), head.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        empty = TokenFile(codes=np.zeros((levels, 0), np.int64), num_samples=0, **head)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TokensError(
            f"{journal} is no journal of tokens ({error}); wanted one that `streamrvq mic` left"
        ) from None
    frames: list[Codes] = []
    gaps: list[tuple[int, int]] = []
    num_samples: int | None = None
    at = 0
    while num_samples is None and at + _HEAD.size <= len(rest):
        kind, length = _HEAD.unpack_from(rest, at)
        end = at + _HEAD.size + length
        if end + _CRC.size > len(rest) or _CRC.unpack_from(rest, end)[0] != zlib.crc32(rest[at:end]):
            break
        payload = rest[at + _HEAD.size : end]
        if kind == _FRAMES:
            frames.append(np.frombuffer(payload, "<u2").reshape(-1, levels).T)
        elif kind == _GAP:
            gaps.append(struct.unpack("<QQ", payload))
        elif kind == _END:
            (num_samples,) = struct.unpack("<Q", payload)
        at = end + _CRC.size
    codes = np.concatenate([empty.codes, *frames], axis=1)
    if num_samples is None:  # as many as the frames hold
        num_samples = codes.shape[1] * empty.hop_length * empty.source_rate // empty.sample_rate
    return dataclasses.replace(empty, codes=codes, num_samples=num_samples, gaps=tuple(gaps))
