"""The JavaScript client resumes a stream: echoes that come again, a server without a place, and one that is silent."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from tests.live.page.test_javascript import plan
from tests.support.parking import CODEBOOKS, RATE, Parking
from tests.support.parking import HOP as PARKED_HOP
from tests.support.web.javascript import codes_of, played, sending

pytestmark = pytest.mark.asyncio


async def test_an_id_of_a_marker_that_is_used_again() -> None:
    """Each is answered once, where it belongs, and not by the echo of another one that comes again."""
    blocks = [sending(block) for block in np.split(np.arange(1, 9 * PARKED_HOP + 1, dtype=np.int16), 9)]
    steps = [*blocks[:2], ["marker", "tick"], *blocks[2:7], ["marker", "tick"], *blocks[7:]]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(Parking([break_at]).url()) for break_at in range(1, 12)]
        ends = await played(*(plan(url, *steps) for url in urls))
    for break_at, events in enumerate(ends, 1):
        kinds = [e["type"] for e in events for _ in range(e.get("count", 1)) if e["type"] in ("frames", "marker")]
        assert kinds == [*["frames"] * 2, "marker", *["frames"] * 5, "marker", *["frames"] * 2], break_at


async def test_sound_before_a_long_gap_is_sent_again() -> None:
    pcm = np.arange(1, 2 * PARKED_HOP + 1, dtype=np.int16)
    lost = 31 * RATE // PARKED_HOP * PARKED_HOP
    server = Parking([1])  # which takes a part of the first message
    async with server.url() as url:
        (events,) = await played(plan(url, sending(pcm), ["gap", lost], sending(pcm)))
    assert not [event for event in events if event["type"] == "error"]
    assert len(server.resumptions) == 1
    whole = np.concatenate([pcm, np.zeros(lost, np.int16), pcm])
    assert np.array_equal(np.array(server.taken, np.int16), whole)
    assert np.array_equal(codes_of(events), whole.view(np.uint16).reshape(-1, PARKED_HOP)[:, :CODEBOOKS].T)


async def test_a_place_that_is_free_later_is_waited_for_and_news_are_passed_over() -> None:
    pcm = np.arange(1, 10 * PARKED_HOP + 1, dtype=np.int16)
    server = Parking([4], full=2, newer=True)
    async with server.url() as url:
        (events,) = await played(plan(url, *map(sending, np.split(pcm, 10))))
    assert not [event for event in events if event["type"] == "error"]
    assert (server.full, len(server.resumptions)) == (0, 1)
    assert np.array_equal(codes_of(events), pcm.view(np.uint16).reshape(-1, PARKED_HOP)[:, :CODEBOOKS].T)


async def test_a_server_without_an_answer_is_given_up_when_the_time_is_over() -> None:
    """The time to resume is 20 s, though one answer may be waited for longer than that."""
    pcm = np.arange(1, 10 * PARKED_HOP + 1, dtype=np.int16)
    server = Parking([4], silent=True)
    async with server.url() as url:
        (events,) = await played({**plan(url, *map(sending, np.split(pcm, 10))), "hurry": True})
    assert len(server.resumptions) == 1
    assert [event["type"] for event in events if event["type"] in ("lost", "resumed", "error")] == ["lost", "error"]
    assert 20 <= events[-1]["seconds"] <= 22
