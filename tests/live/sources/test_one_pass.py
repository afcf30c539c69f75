"""A source that is read with a timeout: a cancelled read is no end of the source."""

import asyncio

import pytest

from streamrvq import File
from streamrvq.audio.writing import write_audio
from streamrvq.errors import StreamClosedError
from streamrvq.live.items import OnePass
from tests.support.contract import noise


@pytest.fixture
def clip(tmp_path):
    write_audio(tmp_path / "clip.wav", noise(4410), 44100)
    return tmp_path / "clip.wav"


async def cancelled(blocks) -> None:
    reading = asyncio.ensure_future(anext(blocks))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


@pytest.mark.asyncio
@pytest.mark.parametrize("realtime", [True, False])
async def test_a_cancelled_pass_through_a_file_does_not_end_as_if_the_file_did(clip, realtime):
    file = File(clip, realtime=realtime, block=1000)
    blocks = aiter(file)
    await cancelled(blocks)
    for _ in range(2):
        with pytest.raises(StreamClosedError, match=r"clip\.wav was cancelled; iterate the file for a new one"):
            await anext(blocks)
    again = [block async for block in file]
    assert sum(map(len, again)) == 4410
    await blocks.aclose()


@pytest.mark.asyncio
async def test_ends_and_errors_are_the_generators():
    async def items():
        yield 1
        raise ZeroDivisionError

    async def whole():
        yield 1

    ended = OnePass(whole(), "cancelled")
    assert [item async for item in ended] == [1]
    assert [item async for item in ended] == []
    failed = OnePass(items(), "cancelled")
    assert await anext(failed) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(failed)
    assert await anext(failed, None) is None


@pytest.mark.asyncio
async def test_a_break_closes_the_generator():
    closed = asyncio.Event()

    async def items():
        try:
            yield 1
        finally:
            closed.set()

    async for _ in OnePass(items(), "cancelled"):
        break
    await closed.wait()
