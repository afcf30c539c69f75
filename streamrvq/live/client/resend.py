"""What a client has sent and may have to send again.

Samples and texts stand in one line, each at its position. What the server has surely heard is forgotten; when a
connection breaks, everything from the sample that the server names on goes again, in messages numbered anew.

Knows: positions and order. Does not know: sockets, asyncio, what is heard when (the caller trims).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ServiceError
from ..protocol.binary import Outgoing, PayloadFormat, PayloadKind
from ..protocol.constants import Close

_Entry = npt.NDArray[Any] | tuple[int, str]  # samples or codes [..., n]; or how far a text moves on, and the text


class ResendBuffer:
    """One direction's line of messages.

    Args:
        kind, max_message, payload_format: as in `Outgoing`.
        keeping: whether anything is kept once it has been given to be sent.

    Attributes:
        pos: where the next samples will begin, lost ones counted.
    """

    def __init__(self, kind: PayloadKind, max_message: int, payload_format: PayloadFormat, keeping: bool) -> None:
        self._wire, self._keeping = (kind, max_message, payload_format), keeping
        self._outgoing = Outgoing(*self._wire)
        self._line: deque[tuple[int, _Entry]] = deque()  # with their positions
        self._at = 0  # of the line, how many entries have been given to be sent
        self._parts: deque[bytes] = deque()
        self.pos = 0

    def check(self, block: Any) -> npt.NDArray[Any]:
        """See `Outgoing.check`."""
        return self._outgoing.check(block)

    def block(self, array: npt.NDArray[Any]) -> None:
        """Checked samples ``[n]`` or codes ``[K, n]`` join the line; they must not be changed any more."""
        if array.shape[-1]:
            self._line.append((self.pos, array))
            self.pos += array.shape[-1]

    def text(self, text: str, samples: int = 0) -> None:
        """A text joins the line; ``samples`` were lost with it."""
        self._line.append((self.pos, (samples, text)))
        self.pos += samples

    def next(self) -> bytes | str | None:
        """What is to be sent now; None: nothing."""
        if self._parts:
            return self._parts.popleft()
        if self._at == len(self._line):
            return None
        _, entry = self._line[self._at]
        if self._keeping:
            self._at += 1
        else:
            self._line.popleft()
        if isinstance(entry, tuple):
            self._outgoing.skip(entry[0])
            return entry[1]
        self._parts.extend(self._outgoing.pack(entry))
        return self._parts.popleft()

    def trim(self, heard: int) -> None:
        """The server has the samples before ``heard``: what lies wholly before them is forgotten."""
        while self._at and len(self._line) > 1 and self._line[1][0] <= heard:
            self._line.popleft()
            self._at -= 1

    def rewind(self, pos: int) -> None:
        """The server wants the sample ``pos`` next, and what was said from there on, in messages numbered from 0.

        Raises:
            ServiceError: it was never sent, or is no longer kept.
        """
        oldest = self._line[0][0] if self._line else self.pos
        if not oldest <= pos <= self.pos:
            raise ServiceError(
                f"the server goes on at sample {pos}; kept are those from {oldest} to {self.pos}", Close.NO_SESSION
            )
        while self._line and self._end(*self._line[0]) <= pos and self._line[0][0] < pos:
            self._line.popleft()
        if self._line and self._line[0][0] < pos:
            start, entry = self._line.popleft()
            if isinstance(entry, tuple):  # it goes on in the middle of what was lost: no server counts so
                raise ServiceError(f"the server goes on at sample {pos}, which was lost", Close.NO_SESSION)
            self._line.appendleft((pos, entry[..., pos - start :]))
        self._at = 0
        self._parts.clear()
        self._outgoing = Outgoing(*self._wire)
        self._outgoing.skip(pos)

    @staticmethod
    def _end(start: int, entry: _Entry) -> int:
        return start + (entry[0] if isinstance(entry, tuple) else entry.shape[-1])


def owned(array: npt.NDArray[Any], given: Any) -> npt.NDArray[Any]:
    """The array itself, or a copy where the caller could still change it."""
    return np.array(array) if isinstance(given, np.ndarray) and np.may_share_memory(array, given) else array
