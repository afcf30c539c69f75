"""Deadlines of connections, as values; and a server whose times are as long as any."""

import math

import numpy as np
import pytest

import streamrvq
from streamrvq.errors import InputError, ProtocolError
from streamrvq.live.protocol.text import Drain, parse, whole_seconds
from streamrvq.live.server.closing import ConnectionLostError
from streamrvq.live.server.settings import ServerSettings
from streamrvq.live.server.waits import Lateness, Waits
from tests.support.contract import noise
from tests.support.service import CAUSAL, serving

SETTINGS = ServerSettings(start_timeout=2.0, idle_timeout=5.0, send_timeout=3.0)


def waits(reading=None, sending=None):
    result = Waits(SETTINGS)
    result.reading_since, result.sending_since = reading, sending
    return result


@pytest.mark.parametrize(("started", "most", "words"), [(False, 2.0, "no start"), (True, 5.0, "nothing was received")])
def test_a_message_that_does_not_come(started, most, words):
    assert waits(reading=10.0).overdue(10.0 + most, started) is None
    reason = waits(reading=10.0).overdue(10.1 + most, started)
    assert isinstance(reason, ProtocolError)
    assert reason.code == 4408
    assert words in str(reason)


@pytest.mark.parametrize("started", [False, True])
def test_a_message_that_is_not_taken(started):
    assert waits(sending=10.0).overdue(13.0, started) is None
    assert isinstance(waits(sending=10.0).overdue(13.1, started), ConnectionLostError)
    assert isinstance(waits(reading=10.0, sending=10.0).overdue(99.0, started), ConnectionLostError)


def test_who_waits_for_nothing_is_never_late():
    assert waits().overdue(1e9, True) is None
    assert not waits().quiet(1e9)


def test_quiet():
    """Found twice: what came while the event loop was held up is read between."""
    calm = waits(reading=10.0)
    assert not calm.quiet(10.2)
    assert not calm.quiet(10.4)
    assert calm.quiet(10.45)
    held_up = waits(reading=10.0)
    assert not held_up.quiet(12.0)
    held_up.reading_since = 12.0  # it sent something
    assert not held_up.quiet(12.1)
    assert not held_up.quiet(12.4)
    assert held_up.quiet(12.5)


def test_a_round_that_comes_late_judges_nobody_but_the_next_one_does():
    lateness = Lateness()
    assert not lateness.excuses(10.0, 0.5, 10.5)
    assert lateness.excuses(10.5, 0.5, 11.1)
    assert not lateness.excuses(11.6, 0.5, 12.9)  # however late
    assert lateness.excuses(13.4, 0.5, 60.0)
    assert not lateness.excuses(60.5, 0.5, 60.5)
    assert lateness.excuses(61.0, 0.5, 70.0)


TIMES = ("start_timeout", "idle_timeout", "send_timeout", "park_timeout", "close_timeout", "drain_timeout",
         "stop_timeout")  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [math.inf, 1e308, 2.0**63])
async def test_a_server_that_waits_for_ever(seconds: float) -> None:
    pcm = noise(4410)
    async with serving(**dict.fromkeys(TIMES, seconds)) as server:
        async with streamrvq.connect(server.url, sample_rate=CAUSAL.sample_rate, timeout=seconds) as stream:
            await stream.send(pcm)
            await stream.stop()
            codes = [item.codes async for item in stream if isinstance(item, streamrvq.Frames)]
        assert stream.ready.idle_timeout == 2**53
    np.testing.assert_array_equal(np.concatenate(codes, axis=1), CAUSAL.encode(pcm))
    message = Drain(seconds=whole_seconds(seconds))
    assert parse(message.to_json(), "server") == message


@pytest.mark.parametrize("seconds", [math.nan, 0.0, -1.0, -math.inf])
def test_times_that_are_none(seconds: float) -> None:
    for name in TIMES:
        with pytest.raises(InputError, match=f"{name} is .*; wanted seconds, more than 0"):
            ServerSettings(**{name: seconds})
    with pytest.raises(InputError, match=r"timeout is .*; wanted seconds, more than 0"):
        streamrvq.connect("ws://127.0.0.1:1", timeout=seconds)
    if seconds != 0:
        with pytest.raises(InputError, match=r"resume is .*; wanted seconds, 0 or more"):
            streamrvq.connect("ws://127.0.0.1:1", resume=seconds)
