"""What a stream still has to send, and what it may have to send again.

Texts keep their positions among the outputs. Outputs are packed only when they are sent, so that outputs that waited
together go in one message. Codes stay in a ring for 30 seconds: a client that comes back names a frame, and gets
everything from there on, in messages numbered from 0. Decoded samples are sent once: they are large, and the client
has the codes.

Room is limited. `Outbox.allowed` says which outputs there is room for, and nobody may put in more, so the scheduler
computes no others. The ring has room for those besides the codes that are kept, or a client that resumes, and wants all
of them, would lose the newest.

Knows: order, positions, room. Does not know: sockets, asyncio, when the client can take more.
"""

from __future__ import annotations

import itertools
import sys
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolError
from ..protocol.binary import Outgoing, PayloadFormat, PayloadKind
from ..protocol.constants import Close

#: Seconds of codes, and the number of texts, that are kept to be sent again. Nothing is sent again from before either.
REPLAY_SECONDS, REPLAY_TEXTS = 30.0, 256
#: Texts that may wait for the client alone. Those that wait for outputs, too, are limited by these.
MAX_TEXTS_READY = 128
#: The length rules round, so that the last output that there is room for may be followed by one more.
_ROUNDING = 1


class Outbox(ABC):
    """Outputs and texts in the order in which they are sent.

    Args:
        kind: what the binary messages carry.
        max_message: bytes of a message at most, header included.
        payload_format: how they carry it.
        room: outputs that may wait to be sent.

    Attributes:
        pos: outputs put in so far: frames, or samples when decoding.
        finished: whether the last output is in. The caller sets it; the last binary message then says so.
    """

    def __init__(self, kind: PayloadKind, max_message: int, payload_format: PayloadFormat, room: int) -> None:
        self.pos, self.finished, self._room = 0, False, room
        self._message_settings = (kind, max_message, payload_format)
        self._texts: deque[tuple[int, str]] = deque()
        self._texts_known = 0  # of those kept: sent at least once
        self._texts_from = 0  # the first position of which no text was forgotten
        self._ends = False  # whether the newest text ends the stream
        self._restart(0)

    def _restart(self, pos: int) -> None:
        self._outgoing = Outgoing(*self._message_settings)
        self._outgoing.skip(pos)
        self._final_packed = False
        self._texts_sent = sum(position < pos for position, _ in self._texts)  # of those kept

    @property
    def waiting(self) -> int:
        """Outputs put in and not yet sent."""
        return self.pos - self._outgoing.pos

    @property
    def allowed(self) -> int:
        """Outputs that there is room for, from the first one on."""
        return self._outgoing.pos + self._room

    @property
    def done(self) -> bool:
        """Whether `next` has given everything, and nothing more will come."""
        return self._final_packed and self._texts_sent == len(self._texts)

    @property
    def texts_waiting(self) -> int:
        """Texts that were never sent. Those that are sent again do not count."""
        return len(self._texts) - self._texts_known

    @property
    def crowded(self) -> bool:
        """Whether `MAX_TEXTS_READY` texts wait for nothing but the client."""
        last = self._texts_sent + MAX_TEXTS_READY - 1
        return last < len(self._texts) and self._texts[last][0] <= self.pos

    def text(self, position: int, text: str, ends: bool = False) -> None:
        """Add a text that is sent right after the first ``position`` outputs. Positions never decrease.

        One that ``ends`` the stream is the last, and waits for the last binary message, too.
        """
        self._texts.append((position, text))
        self._ends |= ends
        if len(self._texts) > REPLAY_TEXTS and self._texts_sent:
            self._texts_from = self._texts.popleft()[0] + 1
            self._texts_sent -= 1
            self._texts_known -= 1

    def forget_unsent(self, newest: int) -> None:
        """Forget those of the ``newest`` texts that were never sent."""
        for _ in range(min(newest, len(self._texts) - max(self._texts_known, self._texts_sent))):
            self._texts.pop()

    def next(self) -> bytes | str | None:
        """The next message to send; None if there is nothing yet."""
        sent, upto = self._outgoing.pos, self.pos
        # Every output is sent, but no message has said that it is the last. An empty one must say so, before any text.
        owes_final = self.finished and not self._final_packed and sent == self.pos
        if self._texts_sent < len(self._texts):
            position, text = self._texts[self._texts_sent]
            waits_for_final = self._ends and not self._final_packed and self._texts_sent == len(self._texts) - 1
            text_is_due = position <= sent
            if text_is_due and not owes_final and not waits_for_final:
                self._texts_sent += 1
                self._texts_known = max(self._texts_known, self._texts_sent)
                return text
            upto = min(upto, max(position, sent))
        nothing_to_take = upto == sent
        if nothing_to_take and not owes_final:
            return None
        part = self._take(sent, upto)
        final = self.finished and not self._final_packed and sent + part.shape[-1] == self.pos
        self._final_packed |= final
        (message,) = self._outgoing.pack(part, final)
        return message

    def discard(self) -> None:
        """Forget everything; the outbox is not used any more."""
        self._texts.clear()

    @abstractmethod
    def put(self, array: npt.NDArray[Any]) -> None:
        """Add outputs: codes ``[K, n]`` or samples ``[n]``."""

    def _check_room(self, count: int, kept: int = 0) -> None:
        """Check that there is room for so many more, and for the ``kept`` ones that a client may want again."""
        if self.waiting + count > kept + self._room + _ROUNDING:
            raise RuntimeError(
                f"{count} outputs came to {self.waiting} that wait, more than there is room for; the caller must stop "
                "before that"
            )

    @abstractmethod
    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        """Outputs from ``sent`` on, as many as fit one array and one message, none from ``upto`` on."""


class CodesOutbox(Outbox):
    """Codes, kept for a while so that they can be sent again.

    Args:
        levels: codes of a frame at most. All of them are sent until `set_levels` says otherwise.
        capacity: frames that are kept.
        max_message, payload_format, room: see `Outbox`. ``room`` is in addition to ``capacity``.
    """

    def __init__(
        self, levels: int, capacity: int, max_message: int, payload_format: PayloadFormat, room: int = 0
    ) -> None:
        self.capacity = capacity
        # Frame by frame, as they are sent.
        self._ring = np.zeros((capacity + room + _ROUNDING, levels), np.uint16)
        self._level_changes: deque[tuple[int, int]] = deque([(0, levels)])  # (first frame, levels from there on)
        super().__init__(PayloadKind.CODES, max_message, payload_format, room)

    def set_levels(self, levels: int, frame: int) -> None:
        """Send ``levels`` levels from ``frame`` on. Frames never decrease from call to call."""
        if self._level_changes[-1][0] == frame:
            self._level_changes.pop()
        self._level_changes.append((frame, levels))

    def discard(self) -> None:
        super().discard()
        self._ring = self._ring[:0].copy()

    def put(self, array: npt.NDArray[Any]) -> None:
        count, size = array.shape[1], len(self._ring)
        self._check_room(count, self.capacity)
        at = self.pos % size
        fits = min(count, size - at)
        self._ring[at : at + fits] = array.T[:fits]
        self._ring[: count - fits] = array.T[fits:]
        self.pos += count
        while len(self._level_changes) > 1 and self._level_changes[1][0] <= self.pos - size:
            self._level_changes.popleft()

    def rewind(self, frame: int) -> None:
        """Send again from ``frame`` on, the texts there included, in messages numbered from 0.

        Raises:
            ProtocolError: that frame has not come yet, or is no longer kept, or a text there is not.
        """
        # Who has all frames may have paused, and had hundreds of echoes there. It lacks none but the newest.
        oldest = max(0, self.pos - self.capacity, min(self._texts_from, self.pos))
        if frame > self.pos:
            raise ProtocolError(f"next_frame is {frame}; only {self.pos} frames have been made")
        if frame < oldest:
            raise ProtocolError(
                f"next_frame is {frame}; kept are those from {oldest} on: start a new stream", Close.NO_SESSION
            )
        self._restart(frame)

    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        levels = self._level_changes[0][1]
        for frame, changed in itertools.islice(self._level_changes, 1, None):
            if frame > sent:
                upto = min(upto, frame)
                break
            levels = changed
        at = sent % len(self._ring)
        return self._ring[at : at + min(upto - sent, self._outgoing.most(levels)), :levels].T


class PcmOutbox(Outbox):
    """Samples, each sent once.

    Args:
        max_message, payload_format, room: see `Outbox`.
    """

    def __init__(self, max_message: int, payload_format: PayloadFormat, room: int = sys.maxsize) -> None:
        self._blocks: deque[npt.NDArray[Any]] = deque()
        super().__init__(PayloadKind.PCM, max_message, payload_format, room)

    def discard(self) -> None:
        super().discard()
        self._blocks.clear()

    def put(self, array: npt.NDArray[Any]) -> None:
        self._check_room(len(array))
        if len(array):
            self._blocks.append(array)
            self.pos += len(array)

    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        if upto == sent:
            return np.zeros(0, np.float32)
        block, count = self._blocks.popleft(), min(upto - sent, self._outgoing.most(0))
        if len(block) > count:
            self._blocks.appendleft(block[count:])
        return block[:count]
