"""What a user gives a remote stream beside samples: whole numbers of any kind, or a refusal that changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import streamrvq
from streamrvq import Frames, Gap, InputError, SourceError, StreamClosedError, tokenize
from streamrvq.live.client.stream import RemoteStream
from streamrvq.live.protocol.text import Marker
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, HOP, RATE, serving
from tests.support.shell import source

pytestmark = pytest.mark.asyncio

BLOCK = noise(4 * HOP)


async def test_numpys_whole_numbers_are_taken() -> None:
    async with (
        asyncio.timeout(PATIENCE),
        serving() as server,
        streamrvq.connect(server.url, sample_rate=np.int32(RATE), n_quantizers=np.int64(2)) as stream,
    ):
        await stream.send(BLOCK)
        await stream.gap(np.int32(HOP))
        await stream.marker(np.uint8(7))
        await stream.set(np.int64(3))
        stream.feed([BLOCK, Gap(np.int64(9 * HOP), np.int16(HOP), "")])
        items = [item async for item in stream]
        assert type(stream._resend.pos) is int
    levels = [len(item.codes) for item in items if isinstance(item, Frames) for _ in range(item.codes.shape[1])]
    assert levels == [2] * 5 + [3] * 5
    others = [item for item in items if not isinstance(item, Frames)]
    assert [item for item in others if isinstance(item, Marker)] == [Marker(id=7)]
    assert [(gap.position, gap.samples) for gap in others if isinstance(gap, Gap)] == [(4 * HOP, HOP), (9 * HOP, HOP)]


async def test_figures_before_entering_are_refused() -> None:
    stream = streamrvq.connect("ws://127.0.0.1:1")
    with pytest.raises(StreamClosedError, match="stats before `async with`; write"):
        stream.stats()


REFUSED: dict[str, tuple[Callable[[RemoteStream], Any], str]] = {
    "bytes": (lambda stream: stream.marker(b"x"), r"marker\.id is b'x'; wanted"),  # type: ignore[arg-type]
    "float": (lambda stream: stream.marker(1.5), r"marker\.id is 1\.5; wanted"),  # type: ignore[arg-type]
    "long": (lambda stream: stream.marker("x" * 65), "at most 64 characters"),
    "gap": (lambda stream: stream.gap(2**60), r"gap\.samples is 1152921504606846976; wanted"),
    "no gap": (lambda stream: stream.gap(np.int64(0)), "samples is .*0.*; wanted"),
    "levels": (lambda stream: stream.set(4), "n_quantizers is 4; wanted a whole number from 1 to 3"),
    "no levels": (lambda stream: stream.set(None), r"set\.n_quantizers is missing"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_value_that_no_server_takes_is_refused_and_the_stream_goes_on(case: str) -> None:
    give, said = REFUSED[case]
    async with (
        asyncio.timeout(PATIENCE),
        serving() as server,
        streamrvq.connect(server.url, sample_rate=RATE) as stream,
    ):
        await stream.send(BLOCK)
        with pytest.raises(InputError, match=said):
            await give(stream)
        stream.feed([BLOCK])
        codes = np.concatenate([item.codes async for item in stream], axis=1)
    assert np.array_equal(codes, CAUSAL.encode(np.concatenate([BLOCK, BLOCK])))


@pytest.mark.parametrize(
    "values",
    [{"url": None}, {"url": b"ws://h"}, {"token": b"secret"}, {"token": 5}, {"timeout": "3"}, {"timeout": None},
     {"resume": None}, {"resume": "3"}, {"queue_size": "9"}, {"queue_size": 1.5}],
)  # fmt: skip
async def test_a_setting_of_another_type_is_refused_before_anything_is_connected(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="; wanted") as caught:
        streamrvq.connect(**{"url": "ws://127.0.0.1:1", **values})
    assert next(iter(values)) in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("samples", [5.5, 5.0, "5", None, 0])
async def test_a_gap_of_no_whole_number_of_samples_is_the_sources_mistake(samples: Any) -> None:
    blocks = source(BLOCK, Gap(len(BLOCK), samples, ""), BLOCK)
    async with asyncio.timeout(PATIENCE), tokenize(blocks, CAUSAL) as tokens:
        with pytest.raises(SourceError, match="wanted a whole number of at least 1 sample"):
            async for _ in tokens:
                pass


async def test_positions_behind_a_gap_of_32_bits_do_not_overflow() -> None:
    gap = Gap(len(BLOCK), np.int32(2 * RATE), "")
    async with asyncio.timeout(PATIENCE), tokenize(source(BLOCK, gap, BLOCK), CAUSAL, sample_rate=RATE) as tokens:
        async for _ in tokens:
            pass
        assert type(tokens._segments.position) is int
        assert type(tokens.stats().lost) is int
