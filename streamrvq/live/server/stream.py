"""One served stream without its socket: messages in, work for its lane, and what comes of it in its outbox.

    stream.take(message)               # parsing and checking; what is to be computed goes to the scheduler
    while (out := stream.outbox.next()) is not None: send(out)

It does not mind which connection, if any, it belongs to: a parked stream is one that nobody sends from.

Knows: the order of messages, the gap policy (segments.py), markers, levels, when it has enough. Does not know: sockets,
asyncio, threads, deadlines, who may open a stream.
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
from ..protocol.binary import Incoming, Kind, PayloadFormat
from ..protocol.constants import Close
from ..protocol.text import Done, GapMark, Marker, Message, SetLevels, Start, Stop, parse
from ..segments import SourcePosition
from .outbox import REPLAY_SECONDS, CodeBox, Outbox, PcmBox

if TYPE_CHECKING:
    from ...codec import Codec
    from .lane import Lane
    from .scheduler import Scheduler

#: Markers that may wait to be echoed.
MOST_MARKERS = 64
#: Seconds of audio that a stream may have waiting to be computed, or computed and not sent, before no more is read.
HELD_SECONDS = 0.5


def open_stream(codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> ServedEncoder | ServedDecoder:
    """A stream as a start message asks for it.

    Raises:
        ProtocolError: the codec has no such stream.
    """
    if start.n_quantizers is not None and start.n_quantizers > codec.n_codebooks:
        raise _too_many(start.n_quantizers, codec)
    return (ServedEncoder if start.mode == "encode" else ServedDecoder)(codec, scheduler, start, max_message)


class ServedStream(ABC):
    """What both modes share: which text messages there are, markers, the end.

    Attributes:
        outbox: what is to be sent.
        incoming: the client's binary messages.
        audio_seconds: of audio so far, lost samples not counted.
        lost: samples that the client said it lost.
        ended: nothing more may come in: the client stopped, or the server did.
        error: what ended it, where a step failed.
        changed: called when the outbox has more, or there is room again; whoever sends sets it.
    """

    outbox: Outbox
    incoming: Incoming
    lane: Lane

    def __init__(self, codec: Codec, scheduler: Scheduler) -> None:
        self._codec, self._scheduler = codec, scheduler
        self.audio_seconds, self.lost, self.ended = 0.0, 0, False
        self.error: BaseException | None = None
        self.changed: Callable[[], None] = _nothing

    # ------------------------------------------------------------- from the client

    def take(self, data: str | bytes) -> None:
        """A message. Raises `ProtocolError` for one that breaks the protocol; the stream is then as it was."""
        if isinstance(data, str):
            self._text(parse(data, "client"))
            return
        array = self._checked(data)
        self._feed(array)
        if self.incoming.final:
            self.stop()

    def _text(self, message: Message) -> None:
        match message:
            case Stop():
                self.stop()
            case Marker():
                if self.outbox.texts_waiting >= MOST_MARKERS:
                    raise ProtocolError(
                        f"{MOST_MARKERS} markers wait for their frames already; wait for their echo", Close.TOO_FAST
                    )
                self.outbox.text(self._due, message.to_json())
                self.changed()
            case SetLevels():
                self._set(message.n_quantizers)
            case GapMark():
                self._gap(message)
            case _:
                raise ProtocolError(f"{message.type} came while a stream is open; a connection carries one stream")

    def stop(self) -> None:
        """The end that the client asked for: all that is owed, then `done`. Again is harmless."""
        if not self.ended:
            self.outbox.text(self._due, self._totals().to_json())
            self.flush()

    def flush(self) -> None:
        """The end of the signal: all that is owed, the last message marked final."""
        if not self.ended:
            self.ended = True
            self._scheduler.close(self.lane)

    def drop(self) -> None:
        """Forget everything."""
        self.ended = True
        self.changed = _nothing
        self._scheduler.drop(self.lane)

    def _feed(self, array: npt.NDArray[Any]) -> None:
        if array.shape[-1]:
            self._scheduler.feed(self.lane, array)

    # ------------------------------------------------------------- from the scheduler

    def _sink(self, data: npt.NDArray[Any], last: bool) -> None:
        self.outbox.put(data)
        self.outbox.finished |= last
        self.changed()

    def fail(self, error: BaseException) -> None:
        """It cannot be computed any more."""
        self.error, self.ended = error, True
        self.changed()

    # ------------------------------------------------------------- what the modes differ in

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether no more should be read for now."""

    @property
    @abstractmethod
    def _due(self) -> int:
        """Outputs that are there once everything sent so far has come out."""

    @abstractmethod
    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        """The samples or codes of a binary message, ready to be computed."""

    @abstractmethod
    def _totals(self) -> Done:
        """What the end says."""

    def _set(self, n_quantizers: int) -> None:
        raise ProtocolError("set goes with mode encode; when decoding, each message says its codebooks")

    def _gap(self, gap: GapMark) -> None:
        raise ProtocolError("gap goes with mode encode; frames that were lost cannot be left out")


class ServedEncoder(ServedStream):
    """PCM in, codes out. Their codes, one after the other, are ``codec.encode`` of all samples, however those were cut
    into messages; after a gap as in `Segments`."""

    outbox: CodeBox

    def __init__(self, codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> None:
        super().__init__(codec, scheduler)
        self._source = SourcePosition(codec, start.sample_rate or codec.sample_rate)
        payload_format = PayloadFormat(start.format)
        self.incoming = Incoming(Kind.PCM, payload_format)
        # All levels are computed and as many sent as are asked for, so that a change takes effect at the next frame.
        capacity = int(REPLAY_SECONDS * codec.frame_rate) + 1
        self.outbox = CodeBox(codec.n_codebooks, capacity, max_message, payload_format)
        self.outbox.set(start.n_quantizers or codec.n_codebooks, 0)
        self.lane = scheduler.open("encode", self._source.sample_rate, self._sink, self.fail)

    def rewind(self, next_frame: int) -> None:
        """Another connection goes on: send again from that frame on, and count messages from 0 both ways. Raises
        `ProtocolError` as `CodeBox.rewind`."""
        self.outbox.rewind(next_frame)
        self.incoming.renumber()

    @property
    def full(self) -> bool:
        return (
            self.lane.held > HELD_SECONDS * self._source.sample_rate
            or self.outbox.waiting > HELD_SECONDS * self._codec.frame_rate
        )

    @property
    def _due(self) -> int:
        return self._source.due

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        try:
            pcm = self._source.check(self.incoming.take(data))
        except InputError as error:
            raise ProtocolError(str(error)) from None
        self._source.position += len(pcm)
        self.audio_seconds += len(pcm) / self._source.sample_rate
        return pcm

    def _set(self, n_quantizers: int) -> None:
        if n_quantizers > self._codec.n_codebooks:
            raise _too_many(n_quantizers, self._codec)
        self.outbox.set(n_quantizers, self._source.due)

    def _gap(self, message: GapMark) -> None:
        gap = Gap(message.pos, message.samples, "lost at the client")
        try:
            filled = self._source.fills(gap)
        except SourceError as error:
            raise ProtocolError(str(error)) from None
        self.incoming.skip(gap.samples)
        self.lost += gap.samples
        place = self._source.due
        answer = GapMark(pos=gap.position, samples=gap.samples, filled=filled, next_frame=place)
        self.outbox.text(place, answer.to_json())
        if filled:
            self._source.position += gap.samples
            self._feed(np.zeros(gap.samples, np.float32))
        else:
            self._source.leap(gap)
            self._scheduler.segment(self.lane)
        self.changed()

    def _totals(self) -> Done:
        return Done(frames=self._source.due, samples=self._source.position - self.lost, lost=self.lost)


class ServedDecoder(ServedStream):
    """Codes in, PCM out, at the client's rate. The samples, one after the other, are ``codec.decode`` of all codes,
    resampled where the rate is not the codec's."""

    def __init__(self, codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> None:
        super().__init__(codec, scheduler)
        self._rate = start.sample_rate or codec.sample_rate
        fixed = start.n_quantizers
        levels = range(1, codec.n_codebooks + 1) if fixed is None else range(fixed, fixed + 1)
        payload_format = PayloadFormat(start.format, codec.config.codebook_size, levels)
        self.incoming = Incoming(Kind.CODES, payload_format)
        self.outbox = PcmBox(max_message, payload_format)
        self.lane = scheduler.open("decode", self._rate, self._sink, self.fail)

    @property
    def full(self) -> bool:
        return self.lane.held > HELD_SECONDS * self._codec.frame_rate or self.outbox.waiting > HELD_SECONDS * self._rate

    @property
    def _due(self) -> int:
        # Not T · hop: with odd strides a decoder gives fewer, and what stands behind its end would never be sent.
        samples = decoder_plan(self._codec.config).outputs(self.incoming.pos)
        return output_length(samples, self._codec.sample_rate, self._rate)

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        codes = self.incoming.take(data)
        self.audio_seconds += codes.shape[1] / self._codec.frame_rate
        return codes

    def _totals(self) -> Done:
        return Done(frames=self.incoming.pos, samples=self._due)


def _nothing() -> None:
    pass


def _too_many(n_quantizers: int, codec: Codec) -> ProtocolError:
    return ProtocolError(
        f"n_quantizers is {n_quantizers}; this codec has {codec.n_codebooks}: ask for at most so many", Close.FORMAT
    )
