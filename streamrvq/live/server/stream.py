"""A served stream without its socket: it takes messages, gives its lane work, and fills its outbox.

    stream.receive(message)            # parses and checks it; what must be computed goes to the scheduler
    while (out := stream.outbox.next()) is not None: send(out)

A stream does not depend on a connection. Nobody sends the outbox of a parked stream; otherwise it is like any other.

Knows: the order of messages, the gap policy (segments.py), markers, levels, when enough is waiting. Does not know:
sockets, asyncio, threads, deadlines, who may open a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...audio.rates import output_length
from ...errors import InputError, ProtocolError, SourceError
from ...families import decoder_plan
from ..items import Gap
from ..protocol.binary import Incoming, PayloadFormat, PayloadKind
from ..protocol.constants import Close
from ..protocol.text import Done, GapMark, Marker, Message, SetLevels, Start, Stop, parse
from ..segments import SourcePosition
from .outbox import REPLAY_SECONDS, CodesOutbox, Outbox, PcmOutbox

if TYPE_CHECKING:
    from ...codec import Codec
    from .lane import Lane
    from .scheduler import Scheduler

#: Markers that may wait for their echo.
MAX_MARKERS = 64
#: Seconds of audio that may wait to be computed, and again to be sent. Beyond that the server reads no more messages.
MAX_WAITING_SECONDS = 0.5


def open_stream(codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> ServedEncoder | ServedDecoder:
    """Open the stream that a start message asks for.

    Args:
        codec: whose codes the client sends or gets.
        scheduler: what computes.
        start: the message.
        max_message: bytes of a message at most, header included.

    Raises:
        ProtocolError: the codec has fewer quantizers.
    """
    if start.n_quantizers is not None and start.n_quantizers > codec.n_codebooks:
        raise _too_many(start.n_quantizers, codec)
    return (ServedEncoder if start.mode == "encode" else ServedDecoder)(codec, scheduler, start, max_message)


class ServedStream(ABC):
    """What both modes share: text messages, markers, the end.

    Attributes:
        outbox: what must be sent to the client.
        incoming: checks the client's binary messages.
        lane: the stream's lane in the scheduler.
        audio_seconds: seconds of audio received, lost samples not counted.
        lost: samples that the client said it lost.
        ended: whether no more input is accepted: the client stopped, or the server ended the stream.
        error: the error that ended the stream, where computing failed.
        on_change: called when the outbox has more to send, or `full` may have become false. The connection sets it.
    """

    outbox: Outbox
    incoming: Incoming
    lane: Lane

    def __init__(self, codec: Codec, scheduler: Scheduler) -> None:
        self._codec, self._scheduler = codec, scheduler
        self.audio_seconds, self.lost, self.ended = 0.0, 0, False
        self.error: BaseException | None = None
        self.on_change: Callable[[], None] = ignore_change

    # ------------------------------------------------------------- from the client

    def receive(self, data: str | bytes) -> None:
        """Handle a message of the client.

        Raises:
            ProtocolError: it breaks the protocol. The stream is then as it was.
        """
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
                self.on_change()
            case SetLevels():
                self._set_levels(message.n_quantizers)
            case GapMark():
                self._receive_gap(message)
            case _:
                raise ProtocolError(f"{message.type} came while a stream is open; a connection carries one stream")

    def stop(self) -> None:
        """End as the client asked for: everything still owed comes out, then `done`. Again is harmless."""
        if not self.ended:
            self.outbox.text(self._outputs_due, self._totals().to_json())
            self.flush()

    def flush(self) -> None:
        """End the signal: everything still owed comes out, the last message marked final. Again is harmless."""
        if not self.ended:
            self.ended = True
            self._scheduler.close(self.lane)

    def drop(self) -> None:
        """Forget the stream; no more outputs come."""
        self.ended = True
        self.on_change = ignore_change
        self._scheduler.drop(self.lane)

    def _feed(self, array: npt.NDArray[Any]) -> None:
        if array.shape[-1]:
            self._scheduler.feed(self.lane, array)

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
    def full(self) -> bool:
        """Whether enough is waiting, so that no more should be read for now."""

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


class ServedEncoder(ServedStream):
    """A stream in mode ``encode``: PCM in, codes out.

    The codes together are ``codec.encode`` of all samples, however these were cut into messages. Gaps are handled as in
    `Segments`.
    """

    outbox: CodesOutbox

    def __init__(self, codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> None:
        super().__init__(codec, scheduler)
        self._source = SourcePosition(codec, start.sample_rate or codec.sample_rate)
        payload_format = PayloadFormat(start.format)
        self.incoming = Incoming(PayloadKind.PCM, payload_format)
        # All levels are computed, and as many of them sent as the client asks for. So a change acts at the next frame.
        capacity = int(REPLAY_SECONDS * codec.frame_rate) + 1
        self.outbox = CodesOutbox(codec.n_codebooks, capacity, max_message, payload_format)
        self.outbox.set_levels(start.n_quantizers or codec.n_codebooks, 0)
        self.lane = scheduler.open("encode", self._source.sample_rate, self._on_output, self.fail)

    def rewind(self, next_frame: int) -> None:
        """Go on over another connection: send again from that frame on, and number messages from 0 both ways.

        Raises:
            ProtocolError: see `CodesOutbox.rewind`.
        """
        self.outbox.rewind(next_frame)
        self.incoming.renumber()

    @property
    def full(self) -> bool:
        return (
            self.lane.queued > MAX_WAITING_SECONDS * self._source.sample_rate
            or self.outbox.waiting > MAX_WAITING_SECONDS * self._codec.frame_rate
        )

    @property
    def _outputs_due(self) -> int:
        return self._source.due

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        try:
            pcm = self._source.check(self.incoming.take(data))
        except InputError as error:
            raise ProtocolError(str(error)) from None
        self._source.position += len(pcm)
        self.audio_seconds += len(pcm) / self._source.sample_rate
        return pcm

    def _set_levels(self, n_quantizers: int) -> None:
        if n_quantizers > self._codec.n_codebooks:
            raise _too_many(n_quantizers, self._codec)
        self.outbox.set_levels(n_quantizers, self._source.due)

    def _receive_gap(self, message: GapMark) -> None:
        gap = Gap(message.pos, message.samples, "lost at the client")
        try:
            filled = self._source.fills(gap)
        except SourceError as error:
            raise ProtocolError(str(error)) from None
        self.incoming.skip(gap.samples)
        self.lost += gap.samples
        next_frame = self._source.due
        answer = GapMark(pos=gap.position, samples=gap.samples, filled=filled, next_frame=next_frame)
        self.outbox.text(next_frame, answer.to_json())
        if filled:
            self._source.position += gap.samples
            self._feed(np.zeros(gap.samples, np.float32))
        else:
            self._source.skip(gap)
            self._scheduler.segment(self.lane)
        self.on_change()

    def _totals(self) -> Done:
        return Done(frames=self._source.due, samples=self._source.position - self.lost, lost=self.lost)


class ServedDecoder(ServedStream):
    """A stream in mode ``decode``: codes in, PCM out at the client's rate.

    The samples together are ``codec.decode`` of all codes, resampled where the client's rate is not the codec's.
    """

    def __init__(self, codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> None:
        super().__init__(codec, scheduler)
        self._rate = start.sample_rate or codec.sample_rate
        fixed = start.n_quantizers
        levels = range(1, codec.n_codebooks + 1) if fixed is None else range(fixed, fixed + 1)
        payload_format = PayloadFormat(start.format, codec.config.codebook_size, levels)
        self.incoming = Incoming(PayloadKind.CODES, payload_format)
        self.outbox = PcmOutbox(max_message, payload_format)
        self.lane = scheduler.open("decode", self._rate, self._on_output, self.fail)

    @property
    def full(self) -> bool:
        return (
            self.lane.queued > MAX_WAITING_SECONDS * self._codec.frame_rate
            or self.outbox.waiting > MAX_WAITING_SECONDS * self._rate
        )

    @property
    def _outputs_due(self) -> int:
        # Not T · hop: with odd strides a decoder gives fewer samples. A text behind its real end would never be sent.
        samples = decoder_plan(self._codec.config).outputs(self.incoming.pos)
        return output_length(samples, self._codec.sample_rate, self._rate)

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        codes = self.incoming.take(data)
        self.audio_seconds += codes.shape[1] / self._codec.frame_rate
        return codes

    def _totals(self) -> Done:
        return Done(frames=self.incoming.pos, samples=self._outputs_due)


def ignore_change() -> None:
    """`ServedStream.on_change` of a stream without a connection."""


def _too_many(n_quantizers: int, codec: Codec) -> ProtocolError:
    return ProtocolError(
        f"n_quantizers is {n_quantizers}; this codec has {codec.n_codebooks}: ask for at most so many", Close.FORMAT
    )
