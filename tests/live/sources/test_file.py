"""A file as a live source: its pace, and that no pass leaves anything open."""

import asyncio
import functools

import numpy as np
import pytest
import soundfile

from streamrvq import File, InputError, StreamClosedError, tokenize
from streamrvq.live.sources import file as live_file
from streamrvq.live.sources.file import Pace
from tests.support.contract import noise
from tests.support.shell import CODEC, Clock, codes_of, collect, nothing_left, the_other_tasks
from tools.fuzzing.targets.audio import OnceOnly


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, noise(4410), 44100, subtype="FLOAT")
    return path


@pytest.mark.asyncio
async def test_real_time_hands_blocks_out_when_their_last_sample_is_due(clip, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(live_file, "Pace", functools.partial(Pace, now=clock, sleep=clock.sleep))
    file = File(clip, block=1000)
    assert file.start_time is None
    for start in (1000, 2000):  # each pass has its own start
        clock.now = start
        times = [clock.now async for _ in file]
        assert file.start_time == start
        assert times == pytest.approx([start + n / 44100 for n in (1000, 2000, 3000, 4000, 4410)])
    assert len(clock.slept) == 10  # one sleep a block


@pytest.mark.asyncio
async def test_a_late_reader_gets_what_is_due_at_once(clip, monkeypatch):
    clock, times = Clock(), []
    monkeypatch.setattr(live_file, "Pace", functools.partial(Pace, now=clock, sleep=clock.sleep))
    async for _ in File(clip, block=1000):
        times.append(clock.now)
        if len(times) == 1:
            clock.now += 2500 / 44100
    assert times == pytest.approx([1000 + n / 44100 for n in (1000, 3500, 3500, 4000, 4410)])


@pytest.mark.asyncio
async def test_a_sleep_that_ends_early_is_slept_on(clip):
    clock = Clock()

    async def short(seconds: float) -> None:
        await clock.sleep(seconds / 2 if seconds > 1e-6 else seconds)

    await Pace(44100, clock, short).until(44100)
    assert clock.now == pytest.approx(1001)
    assert len(clock.slept) > 10


@pytest.mark.asyncio
async def test_real_time_is_the_same_audio(clip):
    with nothing_left():
        items = await collect(File(clip))
    assert np.array_equal(codes_of(items), CODEC.encode(noise(4410)))


@pytest.mark.asyncio
@pytest.mark.parametrize("realtime", [True, False])
async def test_file_passes_leave_nothing_however_they_end(clip, realtime):
    with nothing_left():
        file = File(clip, realtime=realtime, block=100)
        async for _ in file:  # break: closed by the loop's hook, as a task of its own
            break
        await the_other_tasks()
    with nothing_left():
        async with File(clip, realtime=realtime, block=100) as file:
            first, second = aiter(file), aiter(file)
            assert np.array_equal(await anext(first), await anext(second))
        with pytest.raises(StreamClosedError):
            await anext(first)
        await second.aclose()

    async def read():
        async for _ in File(clip, realtime=realtime, block=4410 if realtime else 1):
            reached.set()

    with nothing_left():
        reached = asyncio.Event()
        task = asyncio.create_task(read())
        if not realtime:
            await reached.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await the_other_tasks()


@pytest.mark.asyncio
async def test_a_damaged_file_gives_what_is_whole_and_then_its_error(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(40_000), 44100)
    whole = soundfile.read(path, dtype="float32")[0]
    path.write_bytes(path.read_bytes()[:-30_000])
    items = []
    with nothing_left():
        async with tokenize(File(path, realtime=False), CODEC) as tokens:
            with pytest.raises(OSError, match="is damaged after sample"):
                async for item in tokens:
                    items.append(item)
        samples = tokens.stats().samples
    assert samples > 4000
    assert np.array_equal(codes_of(items), CODEC.encode(whole[:samples]))


def test_bad_files_are_refused_at_once(tmp_path, clip):
    with pytest.raises(OSError, match="No such file"):
        File(tmp_path / "no.wav")
    for block in (0, 441.5, "441"):
        with pytest.raises(InputError, match=f"block is {block!r}"):
            File(clip, block=block)


@pytest.mark.asyncio
@pytest.mark.parametrize("suffix", ["wav", "flac"])
async def test_what_is_read_once_says_that_it_was_closed(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    soundfile.write(path, noise(4410), 44100)
    file = File(OnceOnly(path.read_bytes()), realtime=False)
    begun = aiter(file)
    await file.aclose()
    await file.aclose()
    for items in (begun, aiter(file), aiter(file)):
        with pytest.raises(StreamClosedError, match="is read once, and was closed before that; open it again"):
            await anext(items)


@pytest.mark.asyncio
async def test_a_pass_that_was_closed_between_two_blocks_says_so(clip):
    file = File(clip, realtime=False, block=1000)
    blocks = aiter(file)
    await anext(blocks)
    await file.aclose()
    with pytest.raises(StreamClosedError, match="was closed; open its source or stream again"):
        await anext(blocks)
    assert len([block async for block in file]) == 5  # a new pass
