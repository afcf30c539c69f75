"""StreamPool: many streams of different ages, one batched step. Sans-IO: no asyncio, no clock, no thread.

Knows: which streams have a whole hop waiting, how to put them into one step, and whose outputs come back. Does not
know: when a step should run or where; the caller drives it:

    pool.feed(a, block); pool.feed(b, block)
    while batch := pool.next_batch():
        batch.run()                     # on any thread; the pool may be fed meanwhile
        for item in pool.complete(batch): ...

A `StreamId` names a slot *and* a generation. A slot's next user has another generation, so that neither a late call
nor a late output can reach it; a slot whose step is under way is not given out again before that step is completed.

An exception from a signal handler, such as KeyboardInterrupt, may come at any place in a call. Each method changes the
pool with one attribute store, or with several that it may repeat, and says what to do after such an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import as_pcm
from ..audio.rates import check_rate
from ..engine.base import Engine, Ints
from ..errors import InputError, PoolError, StreamClosedError
from ..families import plan
from ..geometry import Direction
from .batches import Batch, Output, Result, Row, StreamId
from .checks import check_codes, check_count, check_levels
from .copies import CopiedEmpty
from .hop_buffer import HopBuffer
from .rates import rates_around
from .slots import Slots
from .timeline import Timeline, check_tail


class StreamPool(CopiedEmpty):
    """Up to ``slots`` streams of one direction of one codec. ``Codec.pool`` makes one.

    Args:
        engine: what computes.
        slots: streams that may be open at once; their state is allocated here.
        direction: ``"encode"`` (samples → codes) or ``"decode"`` (codes → samples).
        max_hops: hops of a stream in one step at most; a first step may need more (`Plan.first`).

    Raises:
        InputError: no engine, ``slots`` or ``max_hops`` below 1, or another direction.
    """

    def __init__(self, engine: Engine, slots: int, direction: Direction = "encode", max_hops: int = 16) -> None:
        if not hasattr(engine, "new_states"):
            raise InputError(f"engine is a {type(engine).__name__}; wanted an engine: use codec.pool(slots)")
        slots, max_hops = check_count("slots", slots), check_count("max_hops", max_hops)
        self._engine, self._plan = engine, plan(engine.config, direction)
        codes, pcm = np.zeros((engine.config.n_codebooks, 0), np.int64), np.zeros(0, np.float32)
        self._empty = (pcm, 0) if direction == "encode" else (codes, -1)  # no inputs, and what fills up the last hop
        self._nothing = codes if direction == "encode" else pcm.astype(engine.dtype)  # outputs of no hop
        self._slots, self._max_hops, self._turn = Slots(slots), max_hops, 0  # the turn: which slot to look at first
        self._states, self._rows = engine.new_states(slots, direction), self._slots.rows
        self._batch: Batch | None = None
        self._again: Batch | None = None  # a step that has happened and was aborted: it comes next

    def __repr__(self) -> str:
        return f"<StreamPool, {self._plan.direction}: {self.open_streams} of {self.slots} slots in use, {self._engine}>"

    @property
    def batch(self) -> Batch | None:
        """The batch that is out, for a caller of `next_batch` that was interrupted."""
        return self._batch

    @property
    def slots(self) -> int:
        """Streams that may be open at once."""
        return len(self._rows)

    @property
    def unit(self) -> int:
        """Inputs in a hop: samples, or, decoding, one frame."""
        return self._plan.unit_in

    @property
    def open_streams(self) -> int:
        """Slots in use, also by closed streams whose outputs are not all taken."""
        return len(self._slots.streams)

    def open(self, n_quantizers: int | None = None, tail: str = "pad", sample_rate: int | None = None) -> StreamId:
        """A fresh stream. Interrupted, it has opened none.

        Args:
            n_quantizers: levels; None: all.
            tail: ``"pad"`` or ``"valid"``, as for ``Codec.stream``.
            sample_rate: of the samples outside, Hz; None: the codec's. Streams of different rates share the steps.

        Raises:
            PoolError: every slot is taken.
            InputError: bad settings.
        """
        config, checked = self._engine.config, check_tail(tail)
        levels, codec_rate = check_levels(n_quantizers, config.n_codebooks), config.sample_rate
        rate = codec_rate if sample_rate is None else check_rate(sample_rate)
        slot = self._slots.next_free(self._batch is not None)
        self._engine.reset(self._states, np.array([slot]))
        timeline, stream = Timeline(self._plan, checked), self._slots.next_id(slot)
        rates = rates_around(timeline, rate, codec_rate)
        self._slots.put(slot, Row(timeline, HopBuffer(timeline, *self._empty), levels, stream.generation, *rates))
        return stream

    def _open_row(self, stream: StreamId, doing: str) -> Row:
        row = self._slots.get(stream)
        if row.timeline.length >= 0 or (doing == "feed" and row.input_rate is not None and row.input_rate.ending):
            raise StreamClosedError(f"{doing} on {stream}, which was closed already; open a new stream")
        return row

    def feed(self, stream: StreamId, block: Any) -> None:
        """Give a stream its next inputs: samples ``[n]``, or codes ``[K, n]``. Nothing is computed here.

        Interrupted, it has taken all of them or none: `received` tells.

        Raises:
            InputError: bad inputs; the stream is as it was.
            PoolError, StreamClosedError: the stream has ended, or was closed.
        """
        row, encode = self._open_row(stream, "feed"), self._plan.direction == "encode"
        row.feed(as_pcm(block, position=row.taken) if encode else check_codes(block, self._engine, 2))

    def feed_checked(self, stream: StreamId, data: npt.NDArray[Any]) -> None:
        """`feed` for inputs that were checked where they came from. Raises `PoolError`, `StreamClosedError`."""
        self._open_row(stream, "feed").feed(data)

    @property
    def busy(self) -> bool:
        """Whether `next_batch` would give one."""
        return any(row.timeline.ready > 0 or row.timeline.length >= 0 for row in self._slots.streams)

    def received(self, stream: StreamId) -> int:
        """Inputs fed so far, at the stream's own rate. Raises `PoolError` if the stream has ended."""
        return self._slots.get(stream).taken

    def ready(self, stream: StreamId) -> int:
        """Hops of a stream that can be computed now; of a closed one all that it still needs. Raises as `received`."""
        return self._slots.get(stream).timeline.ready

    def waiting(self, stream: StreamId) -> int:
        """Inputs fed and not yet computed, at the codec's rate. Raises as `received`."""
        return self._slots.get(stream).buffer.held

    def close(self, stream: StreamId) -> None:
        """The end of a stream's signal: what it is still owed comes with the next batches, the last marked ``final``.

        Interrupted, it has closed the stream or not; calling it again tells.

        Raises:
            PoolError, StreamClosedError: the stream has ended, or was closed already.
        """
        self._open_row(stream, "close").close()

    def drop(self, stream: StreamId) -> None:
        """Forget a stream at once. It gives no more outputs, not even from a step that is running.

        Interrupted, it has dropped the stream or not; calling it again tells.

        Raises:
            PoolError: the stream has ended already.
        """
        row = self._slots.get(stream)
        row.dropped = True
        if row.is_left(self._batch is not None):
            self._slots.free(stream.slot)

    def next_batch(
        self, max_rows: int | None = None, max_row_hops: int | None = None,
        rank: Callable[[StreamId], float] | None = None, only: Callable[[StreamId], bool] | None = None,
    ) -> Batch | None:  # fmt: skip
        """The next step: every stream that has a hop waiting, as many hops as all of them have. None: nothing to do.

        A closed stream with no outputs left is not computed. The next batch still lists it, to deliver its ``final``.

        Args:
            max_rows: streams in the step at most. None: all.
            max_row_hops: streams times hops at most, but at least what each needs. None: ``max_hops`` alone counts.
            rank: where there are more streams than ``max_rows``, those of the lowest rank come first, and among equals,
                or without a rank, in rotation.
            only: whether a stream may be computed now. None: all. It is not asked about those with no outputs left.

        A step aborted after it had happened comes first, as it was. Interrupted, this gave none, or `batch` has it.

        Raises:
            PoolError: a batch is out; complete or abort it first.
            InputError: ``max_rows`` or ``max_row_hops`` below 1.
        """
        max_rows = None if max_rows is None else check_count("max_rows", max_rows)
        max_row_hops = None if max_row_hops is None else check_count("max_row_hops", max_row_hops)
        if self._batch is not None:
            raise PoolError("a batch is out; complete or abort it before the next")
        chosen, ended = self._slots.with_work(self._turn)
        if self._again is not None and (again := self._step_again(self._again)) is not None:
            self._batch = again
            return again
        chosen = [slot for slot in chosen if only is None or only(self._slots.id(slot))]
        if not chosen and not ended:
            return None
        if max_rows is not None and len(chosen) > max_rows:
            if rank is not None:
                chosen.sort(key=lambda slot: rank(self._slots.id(slot)))
            del chosen[max_rows:]
        chosen, waiting = self._slots.together(chosen) if self._plan.first > 1 else (chosen, [])
        rows = [row for slot in chosen if (row := self._rows[slot]) is not None]
        most = self._max_hops if max_row_hops is None else min(self._max_hops, max_row_hops // max(1, len(rows)))
        hops = min([max(rows[0].timeline.least, most), *(row.timeline.ready for row in rows)]) if rows else 0
        if chosen:
            self._turn = waiting[0] if waiting else (chosen[-1] + 1) % self.slots
        streams = tuple(map(self._slots.id, (*chosen, *ended)))
        clock = np.array([row.timeline.clock for row in rows], np.int64)
        batch = Batch(streams, hops, self._step(np.array(chosen, np.int64), clock, rows, hops), clock)
        for row in rows:
            row.in_flight = True
        self._batch = batch
        return batch

    def _step_again(self, batch: Batch) -> Batch | None:
        """A step that has happened, for those of its streams that are still there."""
        rows = {i: row for i in range(len(batch._clock)) if (row := self._slots.find(batch.streams[i])) is not None}
        if not rows:
            return None
        there = list(rows)
        streams, outputs = tuple(batch.streams[i] for i in there), batch._compute()[there]
        for row in rows.values():
            row.in_flight = True
        return Batch(streams, batch.hops, lambda: outputs, batch._clock[there])

    def _step(self, slots: Ints, clock: Ints, rows: list[Row], hops: int) -> Callable[[], npt.NDArray[Any]]:
        if not rows:
            return lambda: np.zeros(0)
        # Copied here, so that feeding and closing while the step runs change nothing in it.
        data = np.stack([row.buffer.peek(hops) for row in rows])
        length, levels = np.array([row.timeline.length for row in rows]), max(row.levels for row in rows)
        if self._plan.direction == "encode":
            return lambda: self._engine.encode_step(data, self._states, slots, clock, length, levels)[0]
        return lambda: self._engine.decode_step(data, self._states, slots, clock, length)

    def complete(self, batch: Batch) -> list[Output]:
        """Take a batch that has run and say what each of its streams got.

        Interrupted, it has given nothing: complete the batch again and get all. Only if that is refused with
        `PoolError`, the interrupt came after the last act; the next outputs' ``index`` shows what is missing.

        Raises:
            PoolError: a batch that is not the one that is out, or has not run.
        """
        if batch is not self._batch or (batch.hops and batch._outputs is None):
            raise PoolError("complete wants the batch that is out, after its run(); it got another or it has not run")
        if batch._results is None:
            results = (self._result(batch, i) for i in range(len(batch.streams)))
            batch._results = [result for result in results if result is not None]
        for row, clock, output in batch._results:  # all of it may be done again
            row.timeline.clock = clock
            row.buffer.trim()
            if (row.dropped or output.final) and self._slots.find(output.stream) is row:
                self._slots.free(output.stream.slot)
        outputs = [result.output for result in batch._results if not result.row.dropped]
        self._again = self._batch = None
        return outputs

    def _result(self, batch: Batch, i: int) -> Result | None:
        """What `complete` will do to stream i of a batch. Nothing is changed here."""
        row = self._slots.find(batch.streams[i])
        if row is None:
            return None  # ended without a step, and dropped meanwhile
        if i >= len(batch._clock) or batch._outputs is None:
            return row.result(batch.streams[i], self._nothing, 0)
        return row.result(batch.streams[i], batch._outputs[i], batch.hops)

    def abort(self, batch: Batch) -> None:
        """Take back a batch whose run raised: its streams stand where they stood, their inputs still waiting.

        If its step had happened all the same, `next_batch` gives that step again, with its outputs. Interrupted itself,
        this may be called again; if that is refused, it was done.

        Raises:
            PoolError: a batch that is not out, that another thread runs, or that has run or been completed in part.
        """
        if batch is not self._batch or batch._outputs is not None or batch._results is not None:
            raise PoolError("abort wants the batch that is out, unless it has run well; complete that one")
        if batch._turn.taken:
            raise PoolError("abort came while the batch runs on another thread; wait for that run to return")
        if batch.hops:
            moved = self._engine.hop_counts(self._states, batch.slots)
            if (moved == batch._clock + batch.hops).all():
                outputs = batch._compute()  # the engine has kept them
                self._again = Batch(batch.streams, batch.hops, lambda: outputs, batch._clock)
        for stream in batch.streams:
            if (row := self._slots.find(stream)) is not None and row.dropped:
                self._slots.free(stream.slot)
        self._batch = None
