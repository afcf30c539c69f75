"""One served stream without its socket: messages in, pieces of work out, and what each of them gives to be sent.

    for work in stream.take(message):      # on the event loop: parsing and checking, microseconds
        for out in work(): send(out)       # in the worker thread: computing

A piece is at most a tenth of a second of audio, so that no stream keeps the thread from the others for long.

Knows: the order of messages, the gap policy (segments.py), markers, levels. Does not know: sockets, asyncio, threads,
deadlines, who may open a stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio.rates import Resampler, output_length
from ..engine.base import Codes, Floats
from ..errors import InputError, ProtocolError, SourceError
from .items import Frames, Gap
from .messages import Done, GapMark, Marker, Message, SetLevels, Start, Stop, parse
from .protocol import Close
from .segments import Segments
from .wire import Arrays, Incoming, Kind, Outgoing

if TYPE_CHECKING:
    from ..codec import Codec

#: The most audio that one piece of work may hold, in seconds.
PIECE_SECONDS = 0.1
#: Markers that may wait to be echoed.
MOST_MARKERS = 64

Sent = list[str | bytes]  #: messages to be sent, in order
Work = Callable[[], Sent]


def open_stream(codec: Codec, start: Start, max_message: int) -> ServedEncoder | ServedDecoder:
    """A stream as a start message asks for it. Allocates its state: call it in the worker thread.

    Raises:
        ProtocolError: the codec has no such stream.
    """
    if start.n_quantizers is not None and start.n_quantizers > codec.n_codebooks:
        raise _too_many(start.n_quantizers, codec)
    return (ServedEncoder if start.mode == "encode" else ServedDecoder)(codec, start, max_message)


class _Served(ABC):
    """What both modes share: which text messages there are, and markers.

    Attributes:
        incoming: the client's binary messages.
        audio_seconds: of audio so far, lost samples not counted.
        ended: `done` has been given; nothing more may come.
    """

    incoming: Incoming

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._markers: deque[tuple[int, Marker]] = deque()
        self.audio_seconds, self.ended = 0.0, False

    def take(self, data: str | bytes) -> Iterator[Work]:
        """A message's work, to be done piece by piece and in order. Raises `ProtocolError` for a message that breaks
        the protocol, before the first piece."""
        if isinstance(data, str):
            return self._text(parse(data, "client"))
        return self._binary(data)

    def _text(self, message: Message) -> Iterator[Work]:
        match message:
            case Stop():
                yield self.finish
            case Marker():
                if len(self._markers) == MOST_MARKERS:
                    raise ProtocolError(
                        f"{MOST_MARKERS} markers wait for their frames already; wait for their echo", Close.TOO_FAST
                    )
                self._markers.append((self._due, message))
                yield self._echoes
            case SetLevels():
                self._set(message.n_quantizers)
            case GapMark():
                yield from self._gap(message)
            case _:
                raise ProtocolError(f"{message.type} came while a stream is open; a connection carries one stream")

    def _echoes(self) -> Sent:
        """The markers whose time has come."""
        echoes: Sent = []
        while self._markers and self._markers[0][0] <= self._out:
            echoes.append(self._markers.popleft()[1].to_json())
        return echoes

    def finish(self) -> Sent:
        """The end that the client asked for: all that is owed, then `done`."""
        return [*self.flush(), self._totals().to_json()]

    def flush(self) -> Sent:
        """The end of the signal: all that is owed, the last message marked final."""
        self.ended = True
        last = self._last()
        markers = [marker.to_json() for _, marker in self._markers]
        self._markers.clear()
        return [*last, *markers]

    @abstractmethod
    def _last(self) -> list[bytes]:
        """Messages with what is owed, the last one final."""

    @abstractmethod
    def _totals(self) -> Done:
        """What the end says."""

    @property
    @abstractmethod
    def _due(self) -> int:
        """Outputs that are there once everything sent so far has come out."""

    @property
    @abstractmethod
    def _out(self) -> int:
        """Outputs that have come out."""

    @abstractmethod
    def _binary(self, data: bytes) -> Iterator[Work]:
        """The work of a message of samples or codes."""

    def _set(self, n_quantizers: int) -> None:
        raise ProtocolError("set goes with mode encode; when decoding, each message says its codebooks")

    def _gap(self, gap: GapMark) -> Iterator[Work]:
        raise ProtocolError("gap goes with mode encode; frames that were lost cannot be left out")


class ServedEncoder(_Served):
    """PCM in, codes out. Their codes, one after the other, are ``codec.encode`` of all samples, however those were cut
    into messages; after a gap as in `Segments`."""

    def __init__(self, codec: Codec, start: Start, max_message: int) -> None:
        super().__init__(codec)
        # All levels are computed and as many sent as are asked for, so that a change takes effect at the next frame.
        self._segments = Segments(codec, start.sample_rate or codec.sample_rate)
        self._levels = start.n_quantizers or codec.n_codebooks
        arrays = Arrays(start.format)
        self.incoming, self._outgoing = Incoming(Kind.PCM, arrays), Outgoing(Kind.CODES, max_message, arrays)
        self._lost = 0

    @property
    def _due(self) -> int:
        return self._segments.due

    @property
    def _out(self) -> int:
        return self._segments.frames

    def _set(self, n_quantizers: int) -> None:
        if n_quantizers > self._codec.n_codebooks:
            raise _too_many(n_quantizers, self._codec)
        self._levels = n_quantizers

    def _binary(self, data: bytes) -> Iterator[Work]:
        samples = self.incoming.take(data)
        try:
            pcm = self._segments.check(samples)
        except InputError as error:
            raise ProtocolError(str(error)) from None
        self.audio_seconds += len(pcm) / self._segments.sample_rate
        yield from self._pieces(pcm)
        if self.incoming.final:
            yield self.finish

    def _pieces(self, pcm: Floats) -> Iterator[Work]:
        size = max(1, int(PIECE_SECONDS * self._segments.sample_rate))
        for start in range(0, len(pcm), size):
            yield partial(self._push, pcm[start : start + size])

    def _push(self, pcm: Floats) -> Sent:
        return [*self._packed(self._segments.push(pcm)), *self._echoes()]

    def _packed(self, frames: Frames | None, final: bool = False) -> list[bytes]:
        codes = np.zeros((self._levels, 0), np.int64) if frames is None else frames.codes[: self._levels]
        return self._outgoing.pack(codes, final)

    def _gap(self, message: GapMark) -> Iterator[Work]:
        gap = Gap(message.pos, message.samples, "lost at the client")
        try:
            filled = self._segments.fills(gap)
        except SourceError as error:
            raise ProtocolError(str(error)) from None
        self.incoming.skip(gap.samples)
        self._lost += gap.samples
        if not filled:
            yield partial(self._skip, gap)
            return
        yield partial(self._answer, gap, True)
        yield from self._pieces(np.zeros(gap.samples, np.float32))

    def _skip(self, gap: Gap) -> Sent:
        return [*self._packed(self._segments.skip(gap)), *self._echoes(), *self._answer(gap, False)]

    def _answer(self, gap: Gap, filled: bool) -> Sent:
        frames = self._segments.frames
        return [GapMark(pos=gap.position, samples=gap.samples, filled=filled, next_frame=frames).to_json()]

    def _last(self) -> list[bytes]:
        return self._packed(self._segments.finish(), final=True)

    def _totals(self) -> Done:
        received = self._segments.position - self._lost
        return Done(frames=self._segments.frames, samples=received, lost=self._lost)


class ServedDecoder(_Served):
    """Codes in, PCM out, at the client's rate. The samples, one after the other, are ``codec.decode`` of all codes,
    resampled where the rate is not the codec's."""

    def __init__(self, codec: Codec, start: Start, max_message: int) -> None:
        super().__init__(codec)
        self._rate = start.sample_rate or codec.sample_rate
        self._stream = codec.decoder_stream()
        self._resampler = Resampler(codec.sample_rate, self._rate)
        fixed = start.n_quantizers
        levels = range(1, codec.n_codebooks + 1) if fixed is None else range(fixed, fixed + 1)
        arrays = Arrays(start.format, codec.config.codebook_size, levels)
        self.incoming, self._outgoing = Incoming(Kind.CODES, arrays), Outgoing(Kind.PCM, max_message, arrays)

    @property
    def _due(self) -> int:
        return output_length(self.incoming.pos * self._codec.hop_length, self._codec.sample_rate, self._rate)

    @property
    def _out(self) -> int:
        return self._outgoing.pos

    def _binary(self, data: bytes) -> Iterator[Work]:
        codes = self.incoming.take(data)
        self.audio_seconds += codes.shape[1] / self._codec.frame_rate
        size = max(1, int(PIECE_SECONDS * self._codec.frame_rate))
        for start in range(0, codes.shape[1], size):
            yield partial(self._push, codes[:, start : start + size])
        if self.incoming.final:
            yield self.finish

    def _push(self, codes: Codes) -> Sent:
        return [*self._packed(self._stream.push(codes)), *self._echoes()]

    def _packed(self, pcm: Any, final: bool = False) -> list[bytes]:
        samples = self._resampler.push(np.asarray(pcm, np.float32))
        if final:
            samples = np.concatenate([samples, self._resampler.flush()])
        return self._outgoing.pack(samples, final)

    def _last(self) -> list[bytes]:
        return self._packed(self._stream.flush(), final=True)

    def _totals(self) -> Done:
        return Done(frames=self.incoming.pos, samples=self._outgoing.pos)


def _too_many(n_quantizers: int, codec: Codec) -> ProtocolError:
    return ProtocolError(
        f"n_quantizers is {n_quantizers}; this codec has {codec.n_codebooks}: ask for at most so many", Close.FORMAT
    )
