"""A journal read back: the token file of a recording that ended, or was cut off.

The journal counts as ended at a torn record, as a crash leaves one: its check is another, or it is not all there. If
more follows, it was damaged later, and what follows may be whole: such a journal is kept under another name. A record
under a right check that is not of the described form comes from no recorder, so it is refused.

Knows: a journal's format (journal.py describes it). Does not know: the layout of token files (file.py).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.base import Codes
from ..errors import TokensError
from ..system.file_lock import take_lock
from ..system.foreign_data import foreign_data, one_line
from ..system.regular_file import check_regular
from .file import TokenFile, write_tokens
from .journal_names import JOURNAL, damaged_of, journal_of
from .limits import MOST_GAPS, MOST_LEVELS

FORMAT, VERSION = "streamrvq.journal", 1
FRAMES, GAP, END = 1, 2, 3
HEAD, CRC = struct.Struct("<BI"), struct.Struct("<I")

#: Bytes of the first line: 64 Ki characters of a codec's name take up to 12 each.
_LONGEST_HEAD = 1 << 20
_LOOK = 256  #: as many bytes could be checked in the time of a look at a head
_MOST_WORK = 1 << 30  #: bytes that are checked for later records
#: Sizes of the payloads of fixed size.
_SIZES = {GAP: 16, END: 8}


def recover(path: str | os.PathLike[str]) -> TokenFile:
    """Write the token file from the records of a journal, up to one that is torn or damaged, then delete the journal.

    If more follows a damaged record, the journal is not deleted, and has the name `damaged_of` then.

    Args:
        path: of the token file, or of the journal.

    Raises:
        TokensError: there is no journal, it is not one of ours, it is still recorded to, or the token file cannot be
            written. The journal stays.
    """
    with foreign_data(TokensError, f"{path}", "wanted a journal that `streamrvq mic` left"):
        journal = journal_of(path)
        target = journal.with_name(journal.name.removesuffix(JOURNAL))
        try:
            check_regular(journal)
            data = _bytes_of(journal)
        except OSError as error:
            raise TokensError(
                f"cannot read {journal} ({error.strerror}); only a recording that was cut off has a journal"
            ) from None
        if os.path.exists(target):
            raise TokensError(f"{target} is there already; move it away, and recover {journal} again")
        tokens, more = _parse(journal, data)
        if more and os.path.lexists(kept := damaged_of(journal)):
            raise TokensError(f"{kept} is there already; move it away, and recover {journal} again")
    write_tokens(target, tokens)
    try:
        if more:
            journal.rename(kept)
        else:
            journal.unlink()
    except OSError as error:
        what = f"kept as {kept}" if more else "deleted"
        raise TokensError(
            f"{target} is written, but {journal} cannot be {what} ({error.strerror}); move it away"
        ) from None
    return tokens


def _bytes_of(journal: Path) -> bytes:
    """What is in it. Raises `OSError`, or `TokensError` if a recording goes on there."""
    with open(journal, "rb") as file:
        free = True
        with suppress(OSError):  # a file system without locks
            free = take_lock(file.fileno())
        if not free:
            raise TokensError(f"{journal} is still being recorded to; end that recording, which makes the token file")
        return file.read()


def _parse(journal: Path, data: bytes) -> tuple[TokenFile, bool]:
    """What is in it, and whether more follows a damaged record."""
    line = data[:_LONGEST_HEAD].partition(b"\n")[0]
    try:
        head: dict[str, Any] = json.loads(line)
        levels = head.pop("n_quantizers")
        if (head.pop("format"), head.pop("version")) != (FORMAT, VERSION):
            raise ValueError("another format or version")
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels <= MOST_LEVELS:
            raise ValueError(f"n_quantizers {one_line(levels, 40)}")
        if "gaps" in head or "num_samples" in head:
            raise ValueError("what only records say")
        empty = TokenFile(codes=np.zeros((levels, 0), np.int64), num_samples=0, **head)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TokensError(
            f"{journal} is no journal of tokens ({one_line(error, 120)}); wanted one that `streamrvq mic` left"
        ) from None
    codes, gaps, num_samples, more = _records(journal, data, len(line) + 1, levels)
    if num_samples is None:  # as many as the frames hold
        num_samples = codes.shape[1] * empty.hop_length * empty.source_rate // empty.sample_rate
    try:
        return dataclasses.replace(empty, codes=codes, num_samples=num_samples, gaps=tuple(gaps)), more
    except TokensError as error:
        raise TokensError(f"{journal}: {error}") from None


def _records(journal: Path, data: bytes, at: int, levels: int) -> tuple[Codes, list[tuple[int, int]], int | None, bool]:
    """From byte ``at`` on: the codes ``[K, T]``, the gaps, the samples of the signal if there is an end, and whether
    more follows a damaged record."""
    rest = memoryview(data)
    frames = bytearray()
    gaps: list[tuple[int, int]] = []
    num_samples: int | None = None
    more = False
    while num_samples is None and at + HEAD.size <= len(rest):
        kind, length = HEAD.unpack_from(rest, at)
        end = at + HEAD.size + length
        if end + CRC.size > len(rest) or CRC.unpack_from(rest, end)[0] != zlib.crc32(rest[at:end]):
            more = end + CRC.size < len(rest) or _record_follows(rest[at + 1 :], levels)
            break
        payload = rest[at + HEAD.size : end]
        if length % (2 * levels) if kind == FRAMES else length != _SIZES.get(kind):
            raise TokensError(
                f"{journal} has a record of kind {kind} with {length} bytes at byte {at}, "
                f"as no recorder writes it; cut the file there to have what is before it"
            )
        if kind == FRAMES:
            frames += payload
        elif kind == GAP:
            if len(gaps) == MOST_GAPS:
                raise TokensError(
                    f"{journal} has more than {MOST_GAPS} gaps, as no recorder writes it; cut the file at byte {at} to "
                    "have what is before it"
                )
            gaps.append(struct.unpack("<QQ", payload))
        elif kind == END:
            (num_samples,) = struct.unpack("<Q", payload)
        at = end + CRC.size
    return np.frombuffer(frames, "<u2").reshape(-1, levels).T.astype(np.int64), gaps, num_samples, more


def _record_follows(rest: memoryview, levels: int) -> bool:
    """Whether a whole record begins in what seems a torn one: then its length was damaged.

    What takes too long to look through counts as one, so that the journal is kept.
    """
    work = 0
    for place in re.finditer(b"[\x01-\x03]", rest):
        at = place.start()
        if len(rest) - at < HEAD.size + CRC.size:
            return False
        kind, length = HEAD.unpack_from(rest, at)
        end = at + HEAD.size + length
        work += _LOOK
        if end + CRC.size > len(rest) or (length % (2 * levels) if kind == FRAMES else length != _SIZES[kind]):
            continue
        work += length
        if work > _MOST_WORK or CRC.unpack_from(rest, end)[0] == zlib.crc32(rest[at:end]):
            return True
    return work > _MOST_WORK
