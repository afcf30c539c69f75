"""What happened to one stream, kept as it came: every code, when each message left and when each came back.

Knows: arrays that only grow. Does not know: sockets, clocks, what is right (verify.py), what is late (latency.py).
"""

from __future__ import annotations

import dataclasses
from array import array
from enum import StrEnum

import numpy as np
import numpy.typing as npt


class End(StrEnum):
    """How a stream ended."""

    OPEN = "open"
    DONE = "done"  #: everything came, and the server said so
    LEFT = "left"  #: the client broke off
    LOST = "lost"  #: the connection broke, by none of our doing
    CLOSED = "closed"  #: the server closed, with a code
    BROKEN = "broken"  #: the server broke the protocol


@dataclasses.dataclass(eq=False)
class Record:
    """One stream.

    Attributes:
        number: of the stream; its audio begins at ``offset`` in the lap.
        rate, block: of what is sent, Hz, and samples of a message.
        samples: sent.
        sent: when each message was.
        levels: codes of a frame; 0 before the first.
        codes: received, u16le, frame by frame.
        times, counts: of each message received: when, and how many frames.
        final: the last frame has come, and the server said that it is.
        expected: the ends that are no fault of the server's.
        hit: what was done to it, and when; None for nothing.
        slow_until: it did not read, or was away, up to here; a time of `sent`'s clock.
    """

    number: int
    offset: int
    rate: int
    block: int
    samples: int = 0
    sent: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    levels: int = 0
    codes: bytearray = dataclasses.field(default_factory=bytearray)
    times: array[float] = dataclasses.field(default_factory=lambda: array("d"))
    counts: array[int] = dataclasses.field(default_factory=lambda: array("q"))
    frames: int = 0
    final: bool = False
    end: End = End.OPEN
    code: int = 0  #: close code, where the server closed
    why: str = ""
    told: int | None = None  #: frames that the server's `done` counts
    expected: frozenset[End] = frozenset({End.DONE})
    hit: tuple[str, float] | None = None
    real: bool = False  #: a `RemoteStream` of the package
    resumed: int = 0

    def ends(self, end: End, why: str = "", code: int = 0) -> None:
        """The first end counts."""
        if self.end is End.OPEN:
            self.end, self.why, self.code = end, why, code

    @property
    def dropped(self) -> bool:
        """It ended otherwise than it should have."""
        return self.end not in self.expected

    def array(self) -> npt.NDArray[np.uint16]:
        """The codes, ``[K, frames]``."""
        return np.frombuffer(bytes(self.codes), "<u2").reshape(-1, self.levels or 1).T
