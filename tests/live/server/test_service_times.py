"""Times that are infinite, or as long as any float: whoever sets them waits for ever, and nothing fails."""

from __future__ import annotations

import math

import numpy as np
import pytest

import streamrvq
from streamrvq.errors import InputError
from streamrvq.live.protocol.text import Drain, parse, whole_seconds
from streamrvq.live.server.settings import ServerSettings
from tests.support.contract import noise
from tests.support.service import CAUSAL, serving

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
