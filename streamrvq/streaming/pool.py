"""StreamPool: many streams of different ages, one batched step. Sans-IO: no asyncio, no clock, no thread.

Knows: which streams have a whole hop waiting, how to put them into one step, and whose outputs come back. Does not
know: when a step should run or where; the caller drives it:

    pool.feed(a, block); pool.feed(b, block)
    while batch := pool.next_batch():
        batch.run()                     # on any thread; the pool may be fed meanwhile
        for item in pool.complete(batch): ...

A `StreamId` names a slot *and* a generation. A slot's next user has another generation, so that neither a late call
nor a late output can reach it; a slot whose step is under way is not given out again before that step is completed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..audio.pcm import as_pcm
from ..engine.base import Engine, Ints
from ..errors import InputError, PoolError, StreamClosedError
from ..families import plan
from ..geometry import Direction
from .batches import Batch, Output, Row, StreamId
from .copies import CopiedEmpty
from .hop_buffer import HopBuffer
from .stream import check_codes, check_levels
from .timeline import Timeline, check_tail


class StreamPool(CopiedEmpty):
    """Up to ``slots`` streams of one direction of one codec. ``Codec.pool`` makes one.

    Args:
        engine: what computes.
        slots: streams that may be open at once; their state is allocated here.
        direction: ``"encode"`` (samples at the codec's rate → codes) or ``"decode"`` (codes → samples).
        max_hops: hops of a stream in one step at most.

    Raises:
        InputError: no engine, ``slots`` or ``max_hops`` below 1, or another direction.
    """

    def __init__(self, engine: Engine, slots: int, direction: Direction = "encode", max_hops: int = 16) -> None:
        if not hasattr(engine, "new_states"):
            raise InputError(f"engine is a {type(engine).__name__}; wanted an engine: use codec.pool(slots)")
        _need_count("slots", slots)
        _need_count("max_hops", max_hops)
        self._engine = engine
        self._plan = plan(engine.config, direction)
        self._states = self._engine.new_states(slots, direction)
        self._rows: list[Row | None] = [None] * slots
        self._taken: set[int] = set()  # the slots with a row, so that a large pool with few streams costs little
        self._generations = [0] * slots
        self._max_hops = max_hops
        self._turn = 0  # the slot to look at first, so that a full pool is served in rotation
        self._batch: Batch | None = None

    @property
    def slots(self) -> int:
        """Streams that may be open at once."""
        return len(self._rows)

    @property
    def direction(self) -> Direction:
        """``"encode"`` or ``"decode"``."""
        return self._plan.direction

    @property
    def unit(self) -> int:
        """Inputs in a hop: samples, or, decoding, one frame."""
        return self._plan.unit_in

    @property
    def open_streams(self) -> int:
        """Slots in use, those included that still drain."""
        return len(self._taken)

    def open(self, n_quantizers: int | None = None, tail: str = "pad") -> StreamId:
        """A fresh stream.

        Raises:
            PoolError: every slot is taken.
            InputError: bad settings.
        """
        config = self._engine.config
        levels, checked = check_levels(n_quantizers, config.n_codebooks), check_tail(tail)
        slot = next((slot for slot, row in enumerate(self._rows) if row is None), None)
        if slot is None:
            raise PoolError(f"all {self.slots} slots are taken; close a stream first or make a larger pool")
        self._engine.reset(self._states, np.array([slot]))
        if self._plan.direction == "encode":
            buffer = HopBuffer(self._plan.unit_in, np.zeros(0, np.float32))
        else:
            buffer = HopBuffer(1, np.zeros((config.n_codebooks, 0), np.int64), fill=-1)
        self._rows[slot] = Row(Timeline(self._plan, checked), buffer, levels)
        self._taken.add(slot)
        return StreamId(slot, self._generations[slot])

    def _row(self, stream: StreamId) -> Row:
        row = self._rows[stream.slot] if 0 <= stream.slot < self.slots else None
        if row is None or row.dropped or self._generations[stream.slot] != stream.generation:
            raise PoolError(f"{stream} has ended; open a new stream")
        return row

    def _open_row(self, stream: StreamId, doing: str) -> Row:
        row = self._row(stream)
        if row.timeline.length >= 0:
            raise StreamClosedError(f"{doing} on {stream}, which was closed already; open a new stream")
        return row

    def feed(self, stream: StreamId, block: Any) -> None:
        """Give a stream its next inputs: samples ``[n]``, or codes ``[K, n]``. Nothing is computed here.

        Raises:
            InputError: bad inputs; the stream is as it was.
            PoolError, StreamClosedError: the stream has ended, or was closed.
        """
        row = self._open_row(stream, "feed")
        if self._plan.direction == "encode":
            row.feed(as_pcm(block, position=row.timeline.given))
        else:
            row.feed(check_codes(block, self._engine, 2))

    def feed_checked(self, stream: StreamId, data: npt.NDArray[Any]) -> None:
        """`feed` for inputs of the right shape and type that were checked where they came from, before a resampler
        perhaps: no sample is looked at again. Raises `PoolError` and `StreamClosedError` as `feed`."""
        self._open_row(stream, "feed").feed(data)

    @property
    def busy(self) -> bool:
        """Whether `next_batch` would give one."""
        rows = (self._rows[slot] for slot in self._taken)
        return any(row is not None and (row.timeline.ready > 0 or row.timeline.length >= 0) for row in rows)

    def waiting(self, stream: StreamId) -> int:
        """Inputs fed and not yet computed."""
        return self._row(stream).buffer.held

    def close(self, stream: StreamId) -> None:
        """The end of a stream's signal: what it is still owed comes with the next batches, the last marked ``final``.

        Raises:
            PoolError, StreamClosedError: the stream has ended, or was closed already.
        """
        self._open_row(stream, "close").timeline.close()

    def drop(self, stream: StreamId) -> None:
        """Forget a stream at once. It gives no more outputs, not even from a step that is running.

        Raises:
            PoolError: the stream has ended already.
        """
        row = self._row(stream)
        row.dropped = True
        if not row.in_flight:
            self._free(stream.slot)

    def _free(self, slot: int) -> None:
        self._rows[slot] = None
        self._taken.remove(slot)
        self._generations[slot] += 1

    def next_batch(
        self, max_rows: int | None = None, max_row_hops: int | None = None,
        rank: Callable[[StreamId], float] | None = None,
    ) -> Batch | None:  # fmt: skip
        """The next step: every stream that has a hop waiting, as many hops as all of them have. None: nothing to do.

        A closed stream with no outputs left is not computed. The next batch still lists it, to deliver its ``final``.
        If there is nothing else to do, that batch computes nothing.

        Args:
            max_rows: streams in the step at most. None: all.
            max_row_hops: streams times hops at most, but at least one hop of each. None: ``max_hops`` alone counts.
            rank: where there are more streams than ``max_rows``, those of the lowest rank come first, and among equals,
                or without a rank, in rotation.

        Raises:
            PoolError: a batch is out; complete or abort it first.
            InputError: ``max_rows`` or ``max_row_hops`` below 1.
        """
        if max_rows is not None:
            _need_count("max_rows", max_rows)
        if max_row_hops is not None:
            _need_count("max_row_hops", max_row_hops)
        if self._batch is not None:
            raise PoolError("a batch is out; complete or abort it before the next")
        chosen: list[int] = []
        ended: list[int] = []
        for slot in sorted(self._taken, key=lambda slot: (slot - self._turn) % self.slots):
            row = self._rows[slot]
            if row is None:
                continue
            if row.timeline.ready > 0:
                chosen.append(slot)
            elif row.timeline.length >= 0:
                ended.append(slot)
        if not chosen and not ended:
            return None
        if max_rows is not None and len(chosen) > max_rows:
            if rank is not None:
                chosen.sort(key=lambda slot: rank(StreamId(slot, self._generations[slot])))
            del chosen[max_rows:]
        rows = [row for slot in chosen if (row := self._rows[slot]) is not None]
        hops = min([self._max_hops, *(row.timeline.ready for row in rows)]) if rows else 0
        if rows and max_row_hops is not None:
            hops = min(hops, max(1, max_row_hops // len(rows)))
        if chosen:
            self._turn = (chosen[-1] + 1) % self.slots
        for row in rows:
            row.in_flight = True
        streams = tuple(StreamId(slot, self._generations[slot]) for slot in (*chosen, *ended))
        self._batch = Batch(streams, hops, self._step(np.array(chosen, np.int64), rows, hops))
        return self._batch

    def _step(self, slots: Ints, rows: list[Row], hops: int) -> Callable[[], npt.NDArray[Any]]:
        if not rows:
            return lambda: np.zeros(0)
        # Copied here, so that feeding and closing while the step runs change nothing in it.
        data = np.stack([row.buffer.peek(hops) for row in rows])
        clock = np.array([row.timeline.clock for row in rows])
        length = np.array([row.timeline.length for row in rows])
        levels = max(row.levels for row in rows)
        if self._plan.direction == "encode":
            return lambda: self._engine.encode_step(data, self._states, slots, clock, length, levels)[0]
        return lambda: self._engine.decode_step(data, self._states, slots, clock, length)

    def complete(self, batch: Batch) -> list[Output]:
        """Take a batch that has run and say what each of its streams got.

        Raises:
            PoolError: a batch that is not the one that is out, or has not run.
        """
        if batch is not self._batch or (batch.hops and batch._outputs is None):
            raise PoolError(
                "complete wants the batch that is out, after its run(); it got another or one that has not run"
            )
        self._batch = None
        results = []
        for i, stream in enumerate(batch.streams):
            row = self._rows[stream.slot]
            if row is None or self._generations[stream.slot] != stream.generation:
                continue  # ended without a step, and dropped meanwhile
            hops = batch.hops if row.in_flight else 0
            row.in_flight = False
            if row.dropped:
                self._free(stream.slot)
                continue
            # `emitted` before the clock moves on is the index of the first output that `advance` lets through.
            index = row.timeline.emitted
            row.buffer.drop(hops)
            own = row.timeline.advance(hops)
            data = self._own(batch._outputs, i, hops, row.levels)[..., own]
            final = row.timeline.length >= 0 and row.timeline.ready <= 0
            if final:
                self._free(stream.slot)
            results.append(Output(stream, index, data, final))
        return results

    def _own(self, outputs: npt.NDArray[Any] | None, i: int, hops: int, levels: int) -> npt.NDArray[Any]:
        encode = self._plan.direction == "encode"
        if outputs is None or not hops:
            return np.zeros((levels, 0), np.int64) if encode else np.zeros(0, self._engine.dtype)
        return outputs[i, :levels] if encode else outputs[i]

    def abort(self, batch: Batch) -> None:
        """Take back a batch whose run raised: its streams stand where they stood, their inputs still waiting.

        Raises:
            PoolError: a batch that is not the one that is out, or whose run went well: complete that one.
        """
        if batch is not self._batch or batch._outputs is not None:
            raise PoolError("abort wants the batch that is out, unless it has run well; complete that one")
        self._batch = None
        for stream in batch.streams:
            row = self._rows[stream.slot]
            if row is not None and self._generations[stream.slot] == stream.generation:
                row.in_flight = False
                if row.dropped:
                    self._free(stream.slot)


def _need_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} is {value!r}; wanted a whole number of at least 1")
