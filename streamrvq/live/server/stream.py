"""What all served streams share: a stream takes messages, gives its lane work, and fills its outbox.

    stream.receive(message)            # parses and checks it; what must be computed goes to the scheduler
    while (out := stream.next_message()) is not None: send(out)

A stream does not depend on a connection. The outbox of a parked stream is not sent; otherwise it is like any other.

Knows: the order of messages, markers, the end. Does not know: what differs between encoding and decoding (modes.py),
sockets, asyncio, threads, deadlines, who may open a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ...errors import ProtocolError
from ..protocol.binary import Incoming
from ..protocol.constants import Close
from ..protocol.text import Done, GapMark, Marker, Message, SetLevels, Stop, parse
from .outbox import Outbox

if TYPE_CHECKING:
    from ...codec import Codec
    from .scheduling.lane import Lane
    from .scheduling.scheduler import Scheduler

#: Texts that may wait for their frames where a marker comes, or a gap that is filled. Each of those may be a single
#: sample, and reading no more would not bring the frame. Longer gaps end a frame, and `ServedStream.full` limits them.
MAX_MARKERS, MAX_FILLED_GAPS = 64, 256
#: What may wait to be computed, and again to be sent: so many seconds of audio, and no more bytes than these. Beyond
#: that the server reads no more messages, and computes no more. Samples count 4 bytes each, as float32.
#:
#: Of one stream, these may be in memory beside its state and the codes that are kept (`REPLAY_SECONDS`):
#:     waiting inputs 128 KiB + the message that went beyond that 64 KiB (G.711 of 32 KiB as int16)
#:     + waiting outputs 128 KiB + what codec and resampler hold back
#:     + three messages that websockets has parsed 96 KiB + one that is parsed 40 KiB + its transport's buffer 64 KiB,
#: 520 KiB. All streams together: that times `max_streams` + `max_parked`; 138 MiB where these are 256 and 16. The
#: tables of resamplers come to it (`resampling.coefficients`).
MAX_WAITING_SECONDS, MAX_WAITING_BYTES = 0.5, 1 << 17


class ServedStream(ABC):
    """What both modes share: text messages, markers, the end.

    Args:
        codec: whose codes the client sends or gets.
        scheduler: what computes.

    Attributes:
        outbox: what must be sent to the client.
        incoming: checks the client's binary messages.
        lane: the stream's lane in the scheduler. Whoever opens it calls `_make_room` then.
        audio_seconds: seconds of audio received, lost samples not counted.
        lost: samples that the client said it lost.
        ended: whether no more input is accepted: the client stopped, or the server ended the stream.
        error: the error that ended the stream, where computing failed.
        on_change: called when the outbox has more to send, or `full` may have become false. The connection sets it.
    """

    outbox: Outbox
    incoming: Incoming
    lane: Lane
    _max_queued_seconds: float  #: seconds of audio that may wait to be computed
    _max_unsent: int  #: outputs that may wait to be sent before no more messages are read

    def __init__(self, codec: Codec, scheduler: Scheduler) -> None:
        self._codec, self._scheduler = codec, scheduler
        self.audio_seconds, self.lost, self.ended = 0.0, 0, False
        self.error: BaseException | None = None
        self.on_change: Callable[[], None] = ignore_change
        self._marked = -1, 0  # where the newest marker came, and how many came there

    @property
    def full(self) -> bool:
        """Whether enough is waiting, so that no more should be read for now."""
        lane, outbox = self.lane, self.outbox
        queued = lane.queued_seconds + lane.segments_seconds
        return queued > self._max_queued_seconds or outbox.waiting > self._max_unsent or outbox.crowded

    @property
    def empty(self) -> bool:
        """Whether less than a hop of audio has come, so that little is lost with the stream."""
        return self.audio_seconds < self._codec.hop_length / self._codec.sample_rate

    # ------------------------------------------------------------- from the client

    def receive(self, data: str | bytes) -> None:
        """Handle a message of the client. After the end it is discarded.

        Raises:
            ProtocolError: it breaks the protocol. The stream is then as it was.
        """
        if self.ended:
            return
        if isinstance(data, str):
            self._receive_text(parse(data, "client"))
            return
        array = self._checked(data)
        self._feed(array)
        if self.incoming.final:
            self.stop()

    def _receive_text(self, message: Message) -> None:
        match message:
            case Stop():
                self.stop()
            case Marker():
                if self.outbox.texts_waiting >= MAX_MARKERS:
                    raise ProtocolError(
                        f"{MAX_MARKERS} markers wait for their frames already; wait for their echo", Close.TOO_FAST
                    )
                self.outbox.text(self._outputs_due, message.to_json())
                at, before = self.incoming.pos, self._marked
                self._marked = at, 1 + (before[1] if before[0] == at else 0)
                self.on_change()
            case SetLevels():
                self._set_levels(message.n_quantizers)
            case GapMark():
                self._receive_gap(message)
            case _:
                raise ProtocolError(f"{message.type} came while a stream is open; a connection carries one stream")

    def stop(self) -> None:
        """End as the client asked for: everything still owed comes out, then `done`. Calling it again is harmless."""
        if not self.ended:
            self.outbox.text(self._outputs_due, self._totals().to_json(), ends=True)
            self.flush()

    def flush(self) -> None:
        """End the signal: everything owed comes out, the last message marked final. Calling it again is harmless."""
        if not self.ended:
            self.ended = True
            self._scheduler.close(self.lane)

    def park(self) -> None:
        """The client was lost, and may come back."""
        self._scheduler.held(self.lane, False)

    def drop(self) -> None:
        """Forget the stream and what waits in it; no more outputs come."""
        self.ended = True
        self.on_change = ignore_change
        self._scheduler.drop(self.lane)
        self.outbox.discard()

    def _feed(self, array: npt.NDArray[Any]) -> None:
        if array.shape[-1]:
            self._scheduler.feed(self.lane, array)

    # ------------------------------------------------------------- to the client

    def next_message(self) -> bytes | str | None:
        """The next message to send; None if there is nothing yet."""
        message = self.outbox.next()
        if isinstance(message, bytes):
            self._make_room()
        return message

    def _make_room(self) -> None:
        """Tell the scheduler how many outputs there is room for."""
        self._scheduler.allow(self.lane, self.outbox.allowed)

    # ------------------------------------------------------------- from the scheduler

    def _on_output(self, data: npt.NDArray[Any], last: bool) -> None:
        self.outbox.put(data)
        self.outbox.finished |= last
        self.on_change()

    def fail(self, error: BaseException) -> None:
        """Accept that the stream cannot be computed any more; ``error`` says why."""
        self.error, self.ended = error, True
        self.on_change()

    # ------------------------------------------------------------- what the modes differ in

    @property
    @abstractmethod
    def _outputs_due(self) -> int:
        """Outputs that there will be once everything received so far has been computed."""

    @abstractmethod
    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        """The samples or codes of a binary message, checked and counted. Raises `ProtocolError`."""

    @abstractmethod
    def _totals(self) -> Done:
        """The message that ends the stream."""

    def _set_levels(self, n_quantizers: int) -> None:
        raise ProtocolError("set goes with mode encode; when decoding, each message says its codebooks")

    def _receive_gap(self, gap: GapMark) -> None:
        raise ProtocolError("gap goes with mode encode; frames that were lost cannot be left out")


def ignore_change() -> None:
    """`ServedStream.on_change` of a stream without a connection."""
