"""DecoderStream: codes in, samples out.

Knows: what codes may be pushed, and the sample rate that is wanted. Does not know: how a call is made whole
(stream.py), how a step is computed (engine/) or cut (lockstep.py).
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ..engine.base import Engine, Floats
from ..geometry import Direction
from ..resampling import ResamplerState
from .checks import check_codes
from .lockstep import Lockstep
from .rates import rates_around
from .snapshot import Snapshot
from .stream import Stream


class DecoderStream(Stream):
    """One live stream back: codes in, samples out. Made by ``Codec.decoder_stream``. The same contract as
    `EncoderStream`."""

    _direction: Direction = "decode"

    def __init__(
        self, engine: Engine, codec_hash: str, *, sample_rate: int | None = None, snapshot: Snapshot | None = None
    ) -> None:
        config = engine.config
        if snapshot is not None:
            Snapshot.of(snapshot).check(codec_hash, self._direction, str(engine.dtype), config)
        super().__init__(engine, codec_hash, Lockstep(engine, "decode", 1, config.n_codebooks))
        self.sample_rate = self._own_rate(sample_rate, snapshot)
        state = None if snapshot is None else snapshot.resampler
        _, self._rate = rates_around(self._run.timeline, self.sample_rate, config.sample_rate, state)
        if snapshot is not None:
            self._restore(snapshot)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<DecoderStream, {state}: {self.frames_received} frames taken, {self.samples_given} samples at "
            f"{self.sample_rate} Hz given, {self._engine}>"
        )

    @property
    def frames_received(self) -> int:
        """Frames pushed so far. After an exception it says whether the codes were taken."""
        return self._run.timeline.given

    @property
    def samples_given(self) -> int:
        """Samples given so far, at ``sample_rate``: the index of the next one."""
        if self._rate is None:
            return self._given
        return self._rate.given(self._given, self.closed)

    def _converted(self, outputs: npt.NDArray[Any], last: bool) -> npt.NDArray[Any]:
        return outputs if self._rate is None else self._rate.convert(outputs, self._given, last)

    def _rate_state(self) -> ResamplerState | None:
        return None if self._rate is None else self._rate.state(self._given)

    def push(self, codes: Any) -> Floats:
        """Take the next frames and give the samples that they complete.

        Args:
            codes: integers ``[K, n]``, n ≥ 0 frames, K from 1 to the codec's number of codebooks; the levels after K
                add nothing.

        Returns:
            pcm ``[samples]`` at ``sample_rate``, float32. At the codec's own rate it is in [−1, 1] if its
            decoder ends with tanh, as DAC's does, and float64 from a float64 engine.

        Raises:
            InputError, StreamClosedError, StreamBusyError, EngineError: as `EncoderStream.push`.
        """
        return self._give("push", self._take, codes)

    def _take(self, codes: Any) -> None:
        self._run.feed(check_codes(codes, self._engine, 2)[None])

    def flush(self) -> Floats:
        """End the stream: all samples still owed, ``[n]``, of the type that `push` gives. The stream is closed then.

        Raises as `push`. If anything comes out, the stream takes no more codes; flush again for its samples.
        """
        return self._give("flush", self._run.timeline.close)

    def snapshot(self) -> Snapshot:
        """The state as a value; ``codec.decoder_stream(snapshot=…)`` makes another stream from here.

        Raises:
            SnapshotError, StreamClosedError, StreamBusyError: as `EncoderStream.snapshot`.
        """
        return self._snapshot()
