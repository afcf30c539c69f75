"""What live streams of both directions share: whole calls, the end, snapshots.

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

from ..audio.rates import check_rate
from ..engine.base import Engine
from ..errors import SnapshotError, StreamBusyError, StreamClosedError
from ..geometry import Direction
from ..resampling import ResamplerState
from ..system.foreign_data import shown
from .call import Call
from .copies import CopiedBySnapshot
from .lockstep import Lockstep
from .snapshot import VERSION, VERSION_RESAMPLED, Snapshot


class Stream(CopiedBySnapshot):
    """What both directions share: one row of `Lockstep`, whose `Call` refuses a second one, and an end."""

    _direction: Direction
    sample_rate: int  #: of the samples outside, Hz

    def __init__(self, engine: Engine, codec_hash: str, run: Lockstep) -> None:
        self._engine, self._codec_hash, self._run = engine, codec_hash, run

    @property
    def closed(self) -> bool:
        """True after `flush`."""
        return self._run.call.ended

    @property
    def _ending(self) -> bool:
        """Whether a flush has begun."""
        return self._run.timeline.length >= 0

    @property
    def _given(self) -> int:
        """Outputs given so far, at the codec's rate."""
        return self._run.timeline.emitted - self._run.owed

    def _converted(self, outputs: npt.NDArray[Any], last: bool) -> npt.NDArray[Any]:
        """What the caller gets of the next outputs."""
        return outputs

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
        if call.ended or (doing != "flush" and self._ending):
            self._end()
            opened = "stream" if self._direction == "encode" else "decoder_stream"
            raise StreamClosedError(f"{doing} on a stream that was flushed; open a new one with codec.{opened}()")

    def _give(self, doing: str, act: Callable[..., None], *inputs: Any) -> npt.NDArray[Any]:
        """A whole call: do something to the inputs, make the steps that can be made, hand out what is owed."""
        self._begin(doing)
        try:
            act(*inputs)
            outputs = self._converted(self._run.compute()[0][0], doing == "flush")
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
        timeline, rate = self._run.timeline, self._rate_state()
        if self._run.owed or timeline.ready:
            raise SnapshotError(
                "a step of this stream raised and its samples still wait; push again (an empty block) first"
            )
        return Snapshot(
            version=VERSION if rate is None else VERSION_RESAMPLED,
            codec_hash=self._codec_hash,
            direction=self._direction,
            dtype=str(self._engine.dtype),
            clock=timeline.clock,
            length=timeline.length,
            n_quantizers=self._run.levels,
            tail=timeline.tail,
            remainder=self._run.buffer.remainder()[0].copy(),
            histories=tuple(self._engine.export_state(self._run.states, 0)),
            sample_rate=None if rate is None else self.sample_rate,
            resampler=None if rate is None else rate.copy(),
        )

    def _restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot that was checked."""
        run = self._run
        self._engine.import_state(run.states, 0, snapshot.histories, snapshot.clock)
        run.timeline.clock = snapshot.clock
        run.timeline.given = snapshot.clock * run.timeline.plan.unit_in
        if snapshot.remainder.size:
            run.buffer.append(snapshot.remainder[None])
        counted = run.timeline.given if self._direction == "encode" else run.timeline.emitted
        snapshot.check_position(counted, self._engine.config.sample_rate)

    def _own_rate(self, sample_rate: int | None, snapshot: Snapshot | None) -> int:
        """The rate that was asked for, Hz. Raises `InputError` for a bad one, `SnapshotError` beside a snapshot."""
        codec_rate = self._engine.config.sample_rate
        if snapshot is None:
            return codec_rate if sample_rate is None else check_rate(sample_rate)
        own = codec_rate if snapshot.sample_rate is None else snapshot.sample_rate
        if sample_rate not in (None, own):
            raise SnapshotError(
                f"sample_rate {shown(sample_rate)} came with a snapshot of a stream at {own} Hz; give it alone"
            )
        return own

    def _rate_state(self) -> ResamplerState | None:
        """Of the resampler, if there is one."""
        return None
