"""EncoderStream and DecoderStream: push, flush, snapshot.

Knows: what may be pushed when, and how a stream is parked and resumed. Does not know: how a step is computed
(engine/) or cut (lockstep.py), nor anything of queues and threads beyond refusing two calls at once.

What a call computed is given with its last act, the store of a fresh `Call`, which also ends its turn. An exception
before that, from a signal handler too, leaves the outputs owed. Between that and the return comes no other call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from ..audio.pcm import as_pcm
from ..audio.rates import Resampler
from ..engine.base import Codes, Engine, Floats
from ..errors import SnapshotError, StreamBusyError, StreamClosedError
from ..geometry import Direction
from .call import Call
from .checks import check_codes, check_levels
from .copies import CopiedBySnapshot
from .lockstep import Lockstep
from .snapshot import VERSION, Snapshot
from .timeline import check_tail


class _Stream(CopiedBySnapshot):
    """What both directions share: one row of `Lockstep`, whose `Call` refuses a second one, and an end."""

    _direction: Direction

    def __init__(self, engine: Engine, codec_hash: str, run: Lockstep) -> None:
        self._engine, self._codec_hash, self._run = engine, codec_hash, run

    @property
    def closed(self) -> bool:
        """True after `flush`."""
        return self._run.call.ended

    def _begin(self, doing: str) -> None:
        """Take the turn for the function that called this."""
        frame, run = sys._getframe(1), self._run
        while True:
            call = run.call
            if not call.take(frame):
                raise StreamBusyError(f"{doing} while another call is running on this stream; call one after the other")
            if run.call is call:  # else that turn has ended, and this one was for nothing
                break
        # A flush that raised in a step may be tried again, but the end of the signal stands.
        if call.ended or (doing != "flush" and run.timeline.length >= 0):
            self._end()
            raise StreamClosedError(f"{doing} on a stream that was flushed; open a new one with codec.stream()")

    def _give(self, doing: str, act: Callable[..., None], *inputs: Any) -> npt.NDArray[Any]:
        """A whole call: do something to the inputs, make the steps that can be made, hand out what is owed."""
        self._begin(doing)
        try:
            act(*inputs)
            outputs: npt.NDArray[Any] = self._run.compute()[0][0]
            call = Call(ended=doing == "flush")
        except BaseException:
            self._end()
            raise
        self._run.call = call
        return outputs

    def _end(self) -> None:
        """Give the turn back and hand out nothing. What was computed stays owed."""
        call = self._run.call
        self._run.call = Call(call.outputs, call.ended)

    def _snapshot(self) -> Snapshot:
        self._begin("snapshot")
        try:
            return self._parked()
        finally:
            self._end()

    def _parked(self) -> Snapshot:
        timeline = self._run.timeline
        if self._run.owed or timeline.ready:
            raise SnapshotError(
                "a step of this stream raised and its samples still wait; push again (an empty block) first"
            )
        return Snapshot(
            version=VERSION,
            codec_hash=self._codec_hash,
            direction=self._direction,
            dtype=str(self._engine.dtype),
            clock=timeline.clock,
            length=timeline.length,
            n_quantizers=self._run.levels,
            tail=timeline.tail,
            remainder=self._run.buffer.remainder()[0].copy(),
            histories=tuple(self._engine.export_state(self._run.states, 0)),
        )

    def _restore(self, snapshot: Snapshot) -> None:
        config, run = self._engine.config, self._run
        dtype = str(self._engine.dtype)
        snapshot.check(self._codec_hash, self._direction, dtype, config.hop_length, config.n_codebooks)
        self._engine.import_state(run.states, 0, snapshot.histories, snapshot.clock)
        run.timeline.clock = snapshot.clock
        run.timeline.given = snapshot.clock * run.timeline.plan.unit_in
        if snapshot.remainder.size:
            run.buffer.append(snapshot.remainder[None])


class EncoderStream(_Stream):
    """One live stream: samples in, codes out. Made by ``Codec.stream``, whose arguments these are.

    Whatever the sizes of the pushes, their codes and those of `flush`, put one after the other, are
    ``codec.encode`` of all the samples: bit for bit on the native engine and in float64, but for near-ties on the torch
    engine in float32.
    """

    _direction: Direction = "encode"

    def __init__(
        self,
        engine: Engine,
        codec_hash: str,
        *,
        sample_rate: int | None = None,
        n_quantizers: int | None = None,
        tail: str = "pad",
        snapshot: Snapshot | None = None,
    ) -> None:
        config = engine.config
        if snapshot is not None:
            if sample_rate not in (None, config.sample_rate) or n_quantizers is not None or tail != "pad":
                raise SnapshotError("snapshot came with other settings; wanted it alone: it carries its own")
            snapshot.check(codec_hash, self._direction, str(engine.dtype), config.hop_length, config.n_codebooks)
            n_quantizers, tail = snapshot.n_quantizers, snapshot.tail
        levels = check_levels(n_quantizers, config.n_codebooks)
        super().__init__(engine, codec_hash, Lockstep(engine, "encode", 1, levels, check_tail(tail)))
        self.sample_rate = config.sample_rate if sample_rate is None else sample_rate
        self._resampler = (
            None if self.sample_rate == config.sample_rate else Resampler(self.sample_rate, config.sample_rate)
        )
        self._resampled = 0  # samples that went into the resampler
        self._resampling = False  # a call has moved the resampler, and nobody else
        if snapshot is not None:
            self._restore(snapshot)

    @property
    def n_quantizers(self) -> int:
        """Levels of the codes."""
        return self._run.levels

    @property
    def frames_given(self) -> int:
        """Frames given so far: the index of the next one."""
        return self._run.timeline.emitted - self._run.owed

    @property
    def samples_received(self) -> int:
        """Samples pushed so far, at ``sample_rate``. After an exception it says whether the block was taken."""
        return self._run.timeline.given if self._resampler is None else self._resampled

    def push(self, block: Any) -> Codes:
        """Take the next samples and give the codes of the frames that they complete.

        Args:
            block: ``[samples]``, any number ≥ 0, float32 in [−1, 1] or int16, at ``sample_rate``, on the CPU.

        Returns:
            int64 ``[K, n]``, n ≥ 0 frames, the first of index `frames_given` as it was before the call.

        Raises:
            InputError: bad samples; the stream is as it was.
            StreamClosedError: after `flush`, or after an exception in the resampler, such as KeyboardInterrupt.
            StreamBusyError: while another call is running on this stream.

        If anything else comes out, such as KeyboardInterrupt, the stream is whole. `samples_received` says whether the
        block was taken; if so, do not push it again. The codes that this call did not give come with the next one.
        """
        return self._give("push", self._take, block)

    def _take(self, block: Any) -> None:
        self._check_resampler()
        pcm = as_pcm(block, position=self.samples_received)
        if self._resampler is None:
            self._run.feed(pcm[None])
        else:
            self._resampling = True
            self._run.feed(self._resampler.push(pcm)[None])
            self._resampled += len(pcm)
            self._resampling = False

    def flush(self) -> Codes:
        """End the stream: the codes of all frames still owed, ``[K, n]``. The stream is closed then.

        Raises as `push`. If anything comes out, the stream takes no more samples; flush again for its codes.
        """
        return self._give("flush", self._close)

    def _close(self) -> None:
        self._check_resampler()
        if self._run.timeline.length < 0:
            if self._resampler is not None:
                self._resampling = True
                self._run.feed(self._resampler.flush()[None])
            self._run.timeline.close()
            self._resampling = False

    def _check_resampler(self) -> None:
        if self._resampling:
            raise StreamClosedError(
                "this stream was interrupted in its resampler, whose state is lost; open a new one with codec.stream()"
            )

    def snapshot(self) -> Snapshot:
        """The state as a value. The stream continues; ``codec.stream(snapshot=…)`` makes another from here.

        Raises:
            SnapshotError: with a resampler in front, whose state cannot be copied: keep such a stream as an object.
        """
        return self._snapshot()

    def _parked(self) -> Snapshot:
        if self._resampler is not None:
            raise SnapshotError(
                f"this stream resamples from {self.sample_rate} Hz and a resampler cannot be copied; "
                "keep the stream itself, or push samples at the codec's own rate"
            )
        return super()._parked()


class DecoderStream(_Stream):
    """One live stream back: codes in, samples out. Made by ``Codec.decoder_stream``. The same contract as
    `EncoderStream`."""

    _direction: Direction = "decode"

    def __init__(self, engine: Engine, codec_hash: str, *, snapshot: Snapshot | None = None) -> None:
        super().__init__(engine, codec_hash, Lockstep(engine, "decode", 1, engine.config.n_codebooks))
        if snapshot is not None:
            self._restore(snapshot)

    @property
    def frames_received(self) -> int:
        """Frames pushed so far. After an exception it says whether the codes were taken."""
        return self._run.timeline.given

    @property
    def samples_given(self) -> int:
        """Samples given so far: the index of the next one."""
        return self._run.timeline.emitted - self._run.owed

    def push(self, codes: Any) -> Floats:
        """Take the next frames and give the samples that they complete.

        Args:
            codes: integers ``[K, n]``, n ≥ 0 frames, K from 1 to the codec's number of codebooks; the levels after K
                add nothing.

        Returns:
            pcm ``[samples]`` in [−1, 1], float32 (float64 from a float64 engine).

        Raises:
            InputError, StreamClosedError, StreamBusyError: as `EncoderStream.push`.
        """
        return self._give("push", self._take, codes)

    def _take(self, codes: Any) -> None:
        self._run.feed(check_codes(codes, self._engine, 2)[None])

    def flush(self) -> Floats:
        """End the stream: all samples still owed. The stream is closed then. Exceptions: as `EncoderStream.flush`."""
        return self._give("flush", self._run.timeline.close)

    def snapshot(self) -> Snapshot:
        """The state as a value; ``codec.decoder_stream(snapshot=…)`` makes another stream from here."""
        return self._snapshot()
