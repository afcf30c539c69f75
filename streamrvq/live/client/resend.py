"""What a client has sent and may have to send again.

Samples and text messages stand in one queue, each at its stream position. Entries that the server certainly has are
dropped. When a connection breaks, everything from the sample that the server asks for is sent again. The messages are
then numbered from 0.

Knows: positions and order. Does not know: sockets, asyncio, when the server has received something (the caller trims).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ServiceError
from ..protocol.binary import Outgoing, PayloadFormat, PayloadKind
from ..protocol.constants import Close

#: Samples or codes ``[..., n]``; or the samples that a text stands for (lost ones), and the text.
_Entry = npt.NDArray[Any] | tuple[int, str]


class ResendBuffer:
    """The queue of messages from a client to its server.

    Args:
        kind, max_message, payload_format: as in `Outgoing`.
        keep: whether entries are kept after they were handed out for sending.

    Attributes:
        pos: where the next samples will begin, lost ones included.
    """

    def __init__(self, kind: PayloadKind, max_message: int, payload_format: PayloadFormat, keep: bool) -> None:
        self._packing, self._keep = (kind, max_message, payload_format), keep
        self._outgoing = Outgoing(*self._packing)
        self._entries: deque[tuple[int, _Entry]] = deque()  # with their positions
        self._handed_out = 0  # how many of the entries were handed out for sending
        self._messages: deque[bytes] = deque()  # of the entry that is being sent
        self.pos = 0

    def put(self, block: Any) -> None:
        """Check a caller's samples or codes and append them. Raises as `Outgoing.check`; then nothing has changed."""
        # A copy: the caller may use the memory again while this waits to be sent, and after a send that was cancelled.
        self.add_block(np.array(self._outgoing.check(block)))

    def add_block(self, array: npt.NDArray[Any]) -> None:
        """Append checked samples ``[n]`` or codes ``[K, n]``; they must not change afterwards."""
        if array.shape[-1]:
            self._entries.append((self.pos, array))
            self.pos += array.shape[-1]

    def add_text(self, text: str, lost: int = 0) -> None:
        """Append a text message that reports ``lost`` samples."""
        self._entries.append((self.pos, (lost, text)))
        self.pos += lost

    def next_message(self) -> bytes | str | None:
        """The message to send now, or None."""
        if self._messages:
            return self._messages.popleft()
        if self._handed_out == len(self._entries):
            return None
        _, entry = self._entries[self._handed_out]
        if self._keep:
            self._handed_out += 1
        else:
            self._entries.popleft()
        if isinstance(entry, tuple):
            self._outgoing.skip(entry[0])
            return entry[1]
        self._messages.extend(self._outgoing.pack(entry))
        return self._messages.popleft()

    def empty_message(self, levels: int) -> bytes | None:
        """A message that sends nothing, as `Outgoing.empty` makes it; None where something is there to be sent."""
        if self._messages or self._handed_out < len(self._entries):
            return None
        return self._outgoing.empty(levels)

    def trim(self, received: int) -> None:
        """Drop entries that lie wholly before sample ``received``: the server has everything before it."""
        while self._handed_out and len(self._entries) > 1 and self._entries[1][0] <= received:
            self._entries.popleft()
            self._handed_out -= 1

    def rewind(self, pos: int) -> None:
        """Send everything from sample ``pos`` on again, in messages numbered from 0.

        Raises:
            ServiceError: that sample was never sent, or is no longer kept.
        """
        oldest = self._entries[0][0] if self._entries else self.pos
        if not oldest <= pos <= self.pos:
            raise ServiceError(
                f"the server continues at sample {pos}; kept are those from {oldest} to {self.pos}", Close.NO_SESSION
            )
        while self._entries and self._end(*self._entries[0]) <= pos and self._entries[0][0] < pos:
            self._entries.popleft()
        if self._entries and self._entries[0][0] < pos:
            start, entry = self._entries.popleft()
            if isinstance(entry, tuple):  # inside a gap: no server of this protocol stops there
                raise ServiceError(f"the server continues at sample {pos}, which was lost", Close.NO_SESSION)
            self._entries.appendleft((pos, entry[..., pos - start :]))
        self._handed_out = 0
        self._messages.clear()
        self._outgoing = Outgoing(*self._packing)
        self._outgoing.skip(pos)

    @staticmethod
    def _end(start: int, entry: _Entry) -> int:
        return start + (entry[0] if isinstance(entry, tuple) else entry.shape[-1])
