"""The ends of streams that have nothing left to compute: their batch need not run, and none of them is lost."""

from __future__ import annotations

from streamrvq.errors import PoolError
from tests.support.contract import codec_of, minute
from tests.support.interrupting import LAST_PLACES, every_place


def test_who_aborts_after_an_interrupted_complete_gets_every_end() -> None:
    codec, late = codec_of(minute()), 0
    for interrupt in every_place():
        pool, ends = codec.pool(2), []
        for _ in range(2):
            pool.close(pool.open())
        batch = pool.next_batch()
        assert batch is not None
        with interrupt:
            ends += pool.complete(batch)
        if pool.batch is not None:
            try:
                pool.abort(batch)
            except PoolError as error:
                assert "complete that one" in str(error)
                ends += pool.complete(batch)
        while (batch := pool.next_batch()) is not None:
            ends += pool.complete(batch)
        late += [end.final for end in ends] != [True, True]
        assert pool.open_streams == 0
    assert late <= LAST_PLACES
