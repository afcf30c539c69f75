"""What happened to one stream: every code, when each message left and when each answer came.

Knows: arrays that only grow. Does not know: sockets, clocks, which codes are right (verify.py), what is late
(latency.py).
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
    LEFT = "left"  #: the client left without an ending
    LOST = "lost"  #: the connection broke, and not by our doing
    CLOSED = "closed"  #: the server closed the connection with a code
    BROKEN = "broken"  #: the server broke the protocol


@dataclasses.dataclass(eq=False)
class Record:
    """The record of one stream. Times are of `time.perf_counter`.

    Attributes:
        number: of the stream.
        offset: where its samples begin in the looped audio.
        rate: Hz of the audio that is sent.
        block: samples in a message.
        samples: how many were sent.
        sent: when each message was sent.
        levels: codes in a frame; 0 before the first frame.
        codes: the received codes, u16le, frame by frame.
        times, counts: for each received message: when it came, and how many frames it held.
        frames: how many were received.
        final: whether the last frame has come, marked as the last by the server.
        expected: the ends that are not the server's fault.
        fault: what was done to the stream, and when; None if nothing was.
        resumed: how often the client came back after its connection was cut.
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
    code: int = 0  #: the close code, if the server closed the connection
    why: str = ""
    announced: int | None = None  #: how many frames there are, according to the server's `done` message
    expected: frozenset[End] = frozenset({End.DONE})
    fault: tuple[str, float] | None = None
    remote_stream: bool = False  #: whether the client is a `RemoteStream` of the package
    resumed: int = 0

    def ends(self, end: End, why: str = "", code: int = 0) -> None:
        """Record how the stream ended. Only the first end counts."""
        if self.end is End.OPEN:
            self.end, self.why, self.code = end, why, code

    @property
    def dropped(self) -> bool:
        """Whether it ended in a way that it should not have."""
        return self.end not in self.expected

    def array(self) -> npt.NDArray[np.uint16]:
        """The received codes, ``[K, frames]``."""
        return np.frombuffer(bytes(self.codes), "<u2").reshape(-1, self.levels or 1).T
