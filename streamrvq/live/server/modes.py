"""The two modes of a served stream: encoding (samples in, codes out) and decoding (codes in, samples out).

Knows: the gap policy (segments.py), levels, when enough is waiting. Does not know: sockets, asyncio, threads,
deadlines, who may open a stream.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...audio.rates import held_back, output_length
from ...errors import InputError, ProtocolError, SourceError
from ...families import decoder_plan, encoder_plan
from ...geometry import Plan
from ..items import Gap
from ..protocol.binary import Incoming, PayloadFormat, PayloadKind
from ..protocol.constants import Close
from ..protocol.text import Done, GapMark, Start
from ..segments import SourcePosition
from .outbox import REPLAY_SECONDS, CodesOutbox, PcmOutbox
from .stream import MAX_FILLED_GAPS, MAX_WAITING_BYTES, MAX_WAITING_SECONDS, ServedStream

if TYPE_CHECKING:
    from ...codec import Codec
    from .scheduling.scheduler import Scheduler


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


class ServedEncoder(ServedStream):
    """A stream in mode ``encode``: PCM in, codes out.

    The codes together are ``codec.encode`` of all samples, however these were cut into messages. Gaps are handled as in
    `Segments`.
    """

    outbox: CodesOutbox

    def __init__(self, codec: Codec, scheduler: Scheduler, start: Start, max_message: int) -> None:
        super().__init__(codec, scheduler)
        rate = start.sample_rate or codec.sample_rate
        self._source = SourcePosition(codec, rate)
        payload_format = PayloadFormat(start.format)
        self.incoming = Incoming(PayloadKind.PCM, payload_format)
        self._max_queued_seconds = min(MAX_WAITING_SECONDS, MAX_WAITING_BYTES / 4 / rate)
        self._max_unsent = max(1, int(MAX_WAITING_SECONDS * codec.frame_rate))
        first = encoder_plan(codec.config).first  # frames that come at once
        room = (
            self._max_unsent
            + first
            + codec.delay_frames
            + math.ceil(held_back(rate, codec.sample_rate) * codec.frame_rate)
        )
        # All levels are computed, and as many of them sent as the client asks for. So a change acts at the next frame.
        capacity = int(REPLAY_SECONDS * codec.frame_rate) + 1
        self.outbox = CodesOutbox(codec.n_codebooks, capacity, max_message, payload_format, room)
        self.outbox.set_levels(start.n_quantizers or codec.n_codebooks, 0)
        outputs = functools.partial(_frames, rate, codec.sample_rate, codec.hop_length)
        self.lane = scheduler.open("encode", rate, self._on_output, self.fail, outputs)
        self._make_room()

    def rewind(self, next_frame: int) -> None:
        """Resume over another connection: send again from that frame on, and number messages from 0 both ways.

        Raises:
            ProtocolError: see `CodesOutbox.rewind`.
        """
        self.outbox.rewind(next_frame)
        at, markers = self._marked
        if at == self.incoming.pos and not self.ended:  # the client sends these again, and twice as many may not wait
            self.outbox.forget_unsent(markers)
            self._marked = -1, 0
        self._scheduler.held(self.lane, True)
        self._make_room()
        self.incoming.renumber()

    @property
    def _outputs_due(self) -> int:
        return self._source.due

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        pcm = self.incoming.take(data, self._valid)
        self._source.position += len(pcm)
        self.audio_seconds += len(pcm) / self._source.sample_rate
        return pcm

    def _valid(self, pcm: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if pcm.dtype == np.int16:  # every int16 is valid
            return pcm
        try:
            return self._source.check(pcm)
        except InputError as error:
            raise ProtocolError(str(error)) from None

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
        if filled and self.outbox.texts_waiting >= MAX_FILLED_GAPS:
            raise ProtocolError(
                f"{MAX_FILLED_GAPS} gaps and markers wait for their frames already; join gaps that follow each other",
                Close.TOO_FAST,
            )
        self.incoming.skip(gap.samples)
        self.lost += gap.samples
        next_frame = self._source.due
        answer = GapMark(pos=gap.position, samples=gap.samples, filled=filled, next_frame=next_frame)
        self.outbox.text(next_frame, answer.to_json())
        if filled:
            self._source.position += gap.samples
            self._scheduler.feed_silence(self.lane, gap.samples)
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
        rate = start.sample_rate or codec.sample_rate
        fixed = start.n_quantizers
        levels = range(1, codec.n_codebooks + 1) if fixed is None else range(fixed, fixed + 1)
        payload_format = PayloadFormat(start.format, codec.config.codebook_size, levels)
        self.incoming = Incoming(PayloadKind.CODES, payload_format)
        self._max_queued_seconds = MAX_WAITING_SECONDS
        self._max_unsent = int(min(MAX_WAITING_SECONDS * rate, MAX_WAITING_BYTES / 4))
        decoder = decoder_plan(codec.config)
        hop, held = (
            decoder.first * codec.hop_length / codec.sample_rate,
            codec.decoder_delay_samples / codec.sample_rate,
        )
        room = self._max_unsent + math.ceil((hop + held + held_back(codec.sample_rate, rate)) * rate)
        self.outbox = PcmOutbox(max_message, payload_format, room)
        self._outputs = functools.partial(_samples, decoder, codec.sample_rate, rate)
        self.lane = scheduler.open("decode", rate, self._on_output, self.fail, self._outputs)
        self._make_room()

    @property
    def _outputs_due(self) -> int:
        return self._outputs(self.incoming.pos)

    def _checked(self, data: bytes) -> npt.NDArray[Any]:
        codes = self.incoming.take(data)
        self.audio_seconds += codes.shape[1] / self._codec.frame_rate
        return codes

    def _totals(self) -> Done:
        return Done(frames=self.incoming.pos, samples=self._outputs_due)


def _frames(rate: int, codec_rate: int, hop: int, samples: int) -> int:
    """Frames of a signal of so many samples at ``rate``, the last hop filled."""
    return -(-output_length(samples, rate, codec_rate) // hop)


def _samples(decoder: Plan, codec_rate: int, rate: int, frames: int) -> int:
    """Samples at ``rate`` of so many frames."""
    # Not T · hop: with odd strides a decoder gives fewer samples. A text after its real end would never be sent.
    return output_length(decoder.outputs(frames), codec_rate, rate)


def _too_many(n_quantizers: int, codec: Codec) -> ProtocolError:
    return ProtocolError(
        f"n_quantizers is {n_quantizers}; this codec has {codec.n_codebooks}: ask for at most that many", Close.FORMAT
    )
