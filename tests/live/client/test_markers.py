"""Markers whose id is used again: each is answered once, where it belongs, however the connection breaks."""

from __future__ import annotations

import numpy as np
import pytest

import streamrvq
from streamrvq import Frames
from streamrvq.live.client.markers import Markers
from streamrvq.live.client.timing import FrameTiming
from streamrvq.live.protocol.text import Marker
from tests.support.parking import HOP, Parking


def test_without_a_resumption_every_echo_counts() -> None:
    markers = Markers()
    for position in (0, 0, 500):
        markers.ask("tick", position)
    assert [markers.take("tick", 0, 0) for _ in range(4)] == [True, True, True, False]
    assert not markers.take("other", 0, 0)


def test_echoes_that_come_again_are_no_answers() -> None:
    markers = Markers()
    for position in (0, 50, 50):
        markers.ask("tick", position)
    assert markers.take("tick", 0, 10)
    assert markers.take("tick", 5, 50)
    for _ in range(2):  # connections
        markers.resume(5)
        markers.ask("tick", 50)
        assert not markers.take("tick", 5, 50)  # only the one at frame 5 is sent again
    assert [markers.take("tick", 5, 50) for _ in range(4)] == [True, True, True, False]
    markers.ask("tick", 60)
    markers.resume(5)
    assert markers.take("tick", 6, 60)  # a frame came, and with it nothing comes again


def test_an_echo_that_comes_too_early_is_of_another_marker() -> None:
    markers = Markers()
    markers.ask("tick", 60)
    markers.resume(5)
    assert not markers.take("tick", 5, 50)
    assert markers.take("tick", 6, 60)


@pytest.mark.parametrize("codec_rate", [1000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 192_000])
def test_a_marker_in_its_place_is_never_too_early(rate: int, codec_rate: int) -> None:
    """A server echoes it behind ⌈M / hop⌉ frames, where M is its position at the codec's rate, rounded."""
    for hop in (1, 7, 512):
        timing, rng = FrameTiming(rate, hop / codec_rate), np.random.default_rng(hop)
        for position in [*range(100), *rng.integers(0, 10**9, 1000).tolist()]:
            length = (2 * position * codec_rate + rate) // (2 * rate)
            assert timing.reached_samples(-(-length // hop)) >= position


@pytest.mark.asyncio
async def test_an_id_that_is_used_again() -> None:
    blocks = np.split(np.arange(1, 9 * HOP + 1, dtype=np.int16), 9)
    for break_at in range(1, 13):
        server = Parking([break_at])
        async with server.url() as url, streamrvq.connect(url, format="s16le") as stream:
            for number, block in enumerate(blocks):
                if number in (2, 7):
                    await stream.marker("tick")
                await stream.send(block)
            await stream.stop()
            frames, places = 0, []
            async for item in stream:
                if isinstance(item, Frames):
                    frames += item.codes.shape[1]
                elif isinstance(item, Marker):
                    places.append(frames)
        assert (places, frames) == ([2, 7], 9), break_at
