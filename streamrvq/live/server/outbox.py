"""What a stream has still to be sent, and what may have to be sent again.

Texts stand at their places among the outputs. Nothing is packed before it is sent: what waited together goes in one
message. Codes stay in a ring for 30 seconds, so that a client that comes back gets everything from the frame that it
names on, in messages numbered anew. Samples (decoding) go once: they are large, and the client has the codes.

Knows: order and places. Does not know: sockets, asyncio, when there is room.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ProtocolError
from ..protocol.binary import Kind, Outgoing, PayloadFormat
from ..protocol.constants import Close

#: Seconds of codes that are kept to be sent again, and texts at most.
REPLAY_SECONDS, REPLAY_TEXTS = 30.0, 256


class Outbox(ABC):
    """Outputs and texts in order.

    Attributes:
        pos: outputs that have come: frames, or samples when decoding.
        finished: the last has come; the last binary message says so.
    """

    def __init__(self, kind: Kind, max_message: int, payload_format: PayloadFormat) -> None:
        self.pos, self.finished = 0, False
        self._wire = (kind, max_message, payload_format)
        self._texts: deque[tuple[int, str]] = deque()
        self._rewind(0)

    def _rewind(self, pos: int) -> None:
        self._outgoing = Outgoing(*self._wire)
        self._outgoing.skip(pos)
        self._parts: deque[bytes] = deque()
        self._final = False  # has been packed
        self._told = sum(place < pos for place, _ in self._texts)  # of the texts, how many have been sent

    @property
    def waiting(self) -> int:
        """Outputs that have come and have not been sent."""
        return self.pos - self._outgoing.pos

    @property
    def done(self) -> bool:
        """Everything has been given to be sent, and nothing more will come."""
        return self._final and not self._parts and not self.texts_waiting

    @property
    def texts_waiting(self) -> int:
        """Texts that have not been sent."""
        return len(self._texts) - self._told

    def text(self, place: int, text: str) -> None:
        """A text to be sent once outputs up to ``place`` have been; places never fall."""
        self._texts.append((place, text))
        if len(self._texts) > REPLAY_TEXTS and self._told:
            self._texts.popleft()
            self._told -= 1

    def next(self) -> bytes | str | None:
        """What is to be sent now; None: nothing yet."""
        if self._parts:
            return self._parts.popleft()
        sent, upto = self._outgoing.pos, self.pos
        if self._told < len(self._texts):
            place, text = self._texts[self._told]
            if place <= sent and (self._final or not (self.finished and sent == upto)):
                self._told += 1
                return text
            upto = min(upto, max(place, sent))
        if upto == sent and (self._final or not self.finished or sent != self.pos):
            return None
        part = self._take(sent, upto)
        final = self.finished and not self._final and sent + part.shape[-1] == self.pos
        self._final |= final
        self._parts.extend(self._outgoing.pack(part, final))
        return self._parts.popleft() if self._parts else None

    @abstractmethod
    def put(self, array: npt.NDArray[Any]) -> None:
        """More outputs: codes ``[K, n]`` or samples ``[n]``."""

    @abstractmethod
    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        """Outputs from ``sent`` on, as many as go together, none from ``upto`` on."""


class CodeBox(Outbox):
    """Codes, kept for a while.

    Args:
        levels: of each frame at most, and as many are sent until `set` says otherwise.
        capacity: frames kept.
    """

    def __init__(self, levels: int, capacity: int, max_message: int, payload_format: PayloadFormat) -> None:
        self._ring = np.zeros((capacity, levels), np.uint16)  # frame by frame, as they are sent
        self._changes: deque[tuple[int, int]] = deque([(0, levels)])  # from a frame on, so many levels
        super().__init__(Kind.CODES, max_message, payload_format)

    @property
    def capacity(self) -> int:
        """Frames kept."""
        return self._ring.shape[0]

    def set(self, levels: int, place: int) -> None:
        """So many levels are sent from the frame ``place`` on; places never fall."""
        if self._changes[-1][0] == place:
            self._changes.pop()
        self._changes.append((place, levels))

    def put(self, array: npt.NDArray[Any]) -> None:
        count = array.shape[1]
        if self.waiting + count > self.capacity:
            raise RuntimeError("more codes than the ring holds wait to be sent; whoever feeds must stop before that")
        at = self.pos % self.capacity
        fits = min(count, self.capacity - at)
        self._ring[at : at + fits] = array.T[:fits]
        self._ring[: count - fits] = array.T[fits:]
        self.pos += count
        while len(self._changes) > 1 and self._changes[1][0] <= self.pos - self.capacity:
            self._changes.popleft()

    def rewind(self, frame: int) -> None:
        """Send again from ``frame`` on, texts that stand there included, in messages numbered from 0.

        Raises:
            ProtocolError: that frame has not come yet, or is no longer kept.
        """
        oldest = max(0, self.pos - self.capacity)
        if frame > self.pos:
            raise ProtocolError(f"next_frame is {frame}; only {self.pos} frames have been made")
        if frame < oldest:
            raise ProtocolError(f"next_frame is {frame}; kept are those from {oldest} on: start anew", Close.NO_SESSION)
        self._rewind(frame)

    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        levels = self._changes[0][1]
        for start, after in itertools.islice(self._changes, 1, None):
            if start > sent:
                upto = min(upto, start)
                break
            levels = after
        at = sent % self.capacity
        return self._ring[at : min(self.capacity, at + upto - sent), :levels].T


class PcmBox(Outbox):
    """Samples, each sent once. Whoever feeds looks at `waiting`."""

    def __init__(self, max_message: int, payload_format: PayloadFormat) -> None:
        self._blocks: deque[npt.NDArray[Any]] = deque()
        super().__init__(Kind.PCM, max_message, payload_format)

    def put(self, array: npt.NDArray[Any]) -> None:
        if len(array):
            self._blocks.append(array)
            self.pos += len(array)

    def _take(self, sent: int, upto: int) -> npt.NDArray[Any]:
        if upto == sent:
            return np.zeros(0, np.float32)
        block = self._blocks.popleft()
        if len(block) > upto - sent:
            self._blocks.appendleft(block[upto - sent :])
        return block[: upto - sent]
