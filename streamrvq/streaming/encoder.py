"""EncoderStream: samples in, codes out.

Knows: what samples may be pushed, and the sample rate that they come at. Does not know: how a call is made whole
(stream.py), how a step is computed (engine/) or cut (lockstep.py).
"""

from __future__ import annotations

from typing import Any

from ..audio.pcm import Pcm, as_pcm
from ..engine.base import Codes, Engine
from ..errors import SnapshotError
from ..geometry import Direction
from ..resampling import ResamplerState
from .checks import check_levels
from .lockstep import Lockstep
from .rates import rates_around
from .snapshot import Snapshot
from .stream import Stream
from .timeline import check_tail


class EncoderStream(Stream):
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
            if n_quantizers is not None or tail != "pad":
                raise SnapshotError("snapshot came with other settings; wanted it alone: it carries its own")
            Snapshot.of(snapshot).check(codec_hash, self._direction, str(engine.dtype), config)
            n_quantizers, tail = snapshot.n_quantizers, snapshot.tail
        levels = check_levels(n_quantizers, config.n_codebooks)
        super().__init__(engine, codec_hash, Lockstep(engine, "encode", 1, levels, check_tail(tail)))
        self.sample_rate = self._own_rate(sample_rate, snapshot)
        state = None if snapshot is None else snapshot.resampler
        self._rate, _ = rates_around(self._run.timeline, self.sample_rate, config.sample_rate, state)
        if snapshot is not None:
            self._restore(snapshot)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<EncoderStream, {state}: {self.samples_received} samples at {self.sample_rate} Hz taken, "
            f"{self.frames_given} frames of {self.n_quantizers} codebooks given, {self._engine}>"
        )

    @property
    def n_quantizers(self) -> int:
        """Levels of the codes."""
        return self._run.levels

    @property
    def frames_given(self) -> int:
        """Frames given so far: the index of the next one."""
        return self._given

    @property
    def samples_received(self) -> int:
        """Samples pushed so far, at ``sample_rate``. After an exception it says whether the block was taken."""
        return self._run.timeline.given if self._rate is None else self._rate.state.taken

    def push(self, block: Any) -> Codes:
        """Take the next samples and give the codes of the frames that they complete.

        Args:
            block: ``[samples]``, any number ≥ 0, float32 in [−1, 1] or int16, at ``sample_rate``, on the CPU.

        Returns:
            int64 ``[K, n]``, n ≥ 0 frames, the first of index `frames_given` as it was before the call.

        Raises:
            InputError: bad samples; the stream is as it was.
            StreamClosedError: after `flush`.
            StreamBusyError: while another call is running on this stream.
            EngineError: the engine cannot compute, as where its GPU failed.

        If anything else comes out, such as KeyboardInterrupt, the stream is whole. `samples_received` says whether the
        block was taken; if so, do not push it again. The codes that this call did not give come with the next one.
        """
        return self._give("push", self._take, block)

    def _take(self, block: Any) -> None:
        pcm = as_pcm(block, position=self.samples_received)
        if self._rate is None:
            self._append(pcm)
        else:
            self._rate.feed(pcm, self._append)

    def _append(self, pcm: Pcm) -> None:
        self._run.feed(pcm[None])

    @property
    def _ending(self) -> bool:
        return super()._ending or (self._rate is not None and self._rate.ending)

    def flush(self) -> Codes:
        """End the stream: the codes of all frames still owed, int64 ``[K, n]``. The stream is closed then.

        Raises as `push`. If anything comes out, the stream takes no more samples; flush again for its codes.
        """
        return self._give("flush", self._close)

    def _close(self) -> None:
        if self._run.timeline.length < 0:
            if self._rate is not None:
                self._rate.end(self._append)
            self._run.timeline.close()

    def snapshot(self) -> Snapshot:
        """The state as a value. The stream continues; ``codec.stream(snapshot=…)`` makes another from here.

        Raises:
            SnapshotError: the step of a push raised, so samples still wait; push an empty block first.
            StreamClosedError: after `flush`, or after one that was interrupted.
            StreamBusyError: while another call is running on this stream.
        """
        return self._snapshot()

    def _rate_state(self) -> ResamplerState | None:
        return None if self._rate is None else self._rate.state
