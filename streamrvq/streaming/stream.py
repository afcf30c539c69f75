"""EncoderStream and DecoderStream: push, flush, snapshot.

Knows: what may be pushed when, and how a stream is parked and resumed. Does not know: how a step is computed
(engine/) or cut (lockstep.py), nor anything of queues and threads beyond refusing two calls at once.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ..audio.pcm import as_array, as_pcm
from ..audio.rates import Resampler
from ..engine.base import Codes, Engine, Floats
from ..errors import InputError, SnapshotError, StreamBusyError, StreamClosedError
from ..geometry import Direction
from .copies import CopiedBySnapshot
from .lockstep import Lockstep
from .snapshot import VERSION, Snapshot
from .timeline import check_tail


def check_levels(n_quantizers: int | None, n_codebooks: int) -> int:
    """How many levels to encode with: ``n_quantizers``, or all. Raises `InputError` out of 1 … n_codebooks."""
    levels = n_codebooks if n_quantizers is None else n_quantizers
    if isinstance(levels, bool) or not isinstance(levels, (int, np.integer)) or not 1 <= levels <= n_codebooks:
        raise InputError(f"n_quantizers is {n_quantizers!r}; wanted a whole number from 1 to {n_codebooks}")
    return int(levels)


def check_codes(codes: Any, engine: Engine, ndim: int) -> Codes:
    """Codes ``[(B,) K, T]`` of any integer dtype as int64 ``[(B,) n_codebooks, T]``, missing levels −1.

    Raises:
        InputError: no integers, another shape, more levels than the codec has, or a code out of range (it is named).
    """
    array = as_array(codes, "codes")
    size, levels = engine.config.codebook_size, engine.config.n_codebooks
    wanted = "[K, T]" if ndim == 2 else "[B, K, T]"
    if array.ndim != ndim or not 1 <= array.shape[-2] <= levels:
        raise InputError(f"codes have shape {list(array.shape)}; wanted {wanted} with K from 1 to {levels} codebooks")
    if array.dtype.kind not in "iu":
        raise InputError(f"codes are {array.dtype}; wanted integers, as encode gives them")
    if array.size and not (array.min() >= 0 and array.max() < size):
        *_, k, t = np.unravel_index(int(np.argmax((array < 0) | (array >= size))), array.shape)
        bad = array[(array < 0) | (array >= size)][0]
        raise InputError(f"code {int(bad)} at codebook {int(k)}, frame {int(t)}; wanted codes from 0 to {size - 1}")
    full = np.full((*array.shape[:-2], levels, array.shape[-1]), -1, np.int64)
    full[..., : array.shape[-2], :] = array
    return full


class _Turn:
    """Holds a lock that was taken. A generator would cost a push several times what this does."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class _Stream(CopiedBySnapshot):
    """What both directions share: one row of `Lockstep`, a lock that refuses, and an end."""

    _direction: Direction

    def __init__(self, engine: Engine, codec_hash: str, run: Lockstep) -> None:
        self._engine, self._codec_hash, self._run = engine, codec_hash, run
        self._lock, self._closed = threading.Lock(), False

    @property
    def closed(self) -> bool:
        """True after `flush`."""
        return self._closed

    def _turn(self, doing: str) -> _Turn:
        if not self._lock.acquire(blocking=False):
            raise StreamBusyError(f"{doing} while another call is running on this stream; call one after the other")
        # A flush that raised in a step may be tried again, but the end of the signal stands.
        if self._closed or (doing != "flush" and self._run.timeline.length >= 0):
            self._lock.release()
            raise StreamClosedError(f"{doing} on a stream that was flushed; open a new one with codec.stream()")
        return _Turn(self._lock)

    def _snapshot(self) -> Snapshot:
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
        self._engine.import_state(run.states, 0, snapshot.histories)
        run.timeline.clock = snapshot.clock
        run.timeline.given = snapshot.clock * run.timeline.plan.unit_in
        if snapshot.remainder.size:
            run.buffer.append(snapshot.remainder[None])
            run.timeline.given += snapshot.remainder.size


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
        self._received = 0
        if snapshot is not None:
            self._restore(snapshot)
            self._received = self._run.timeline.given

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
        """Samples pushed so far, at ``sample_rate``."""
        return self._received

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
        """
        with self._turn("push"):
            pcm = as_pcm(block, position=self._received)
            self._received += len(pcm)
            if self._resampler is not None:
                pcm = self._resampler.push(pcm)
            codes: Codes = self._run.push(pcm[None])[0][0]
            return codes

    def flush(self) -> Codes:
        """End the stream: the codes of all frames still owed, ``[K, n]``. The stream is closed then."""
        with self._turn("flush"):
            if self._resampler is not None and self._run.timeline.length < 0:
                self._run.feed(self._resampler.flush()[None])
            codes: Codes = self._run.finish()[0][0]
            self._closed = True
            return codes

    def snapshot(self) -> Snapshot:
        """The state as a value. The stream continues; ``codec.stream(snapshot=…)`` makes another from here.

        Raises:
            SnapshotError: with a resampler in front, whose state cannot be copied: keep such a stream as an object.
        """
        with self._turn("snapshot"):
            if self._resampler is not None:
                raise SnapshotError(
                    f"this stream resamples from {self.sample_rate} Hz and a resampler cannot be copied; "
                    "keep the stream itself, or push samples at the codec's own rate"
                )
            return self._snapshot()


class DecoderStream(_Stream):
    """One live stream back: codes in, samples out. Made by ``Codec.decoder_stream``. The same contract as
    `EncoderStream`."""

    _direction: Direction = "decode"

    def __init__(self, engine: Engine, codec_hash: str, *, snapshot: Snapshot | None = None) -> None:
        super().__init__(engine, codec_hash, Lockstep(engine, "decode", 1, engine.config.n_codebooks))
        if snapshot is not None:
            self._restore(snapshot)

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
        with self._turn("push"):
            pcm: Floats = self._run.push(check_codes(codes, self._engine, 2)[None])[0][0]
            return pcm

    def flush(self) -> Floats:
        """End the stream: all samples still owed. The stream is closed then."""
        with self._turn("flush"):
            pcm: Floats = self._run.finish()[0][0]
            self._closed = True
            return pcm

    def snapshot(self) -> Snapshot:
        """The state as a value; ``codec.decoder_stream(snapshot=…)`` makes another stream from here."""
        with self._turn("snapshot"):
            return self._snapshot()
