"""Telephone audio over the wire: bytes of G.711 in both directions, at any rate, also where the connection breaks."""

import asyncio

import numpy as np
import pytest

import streamrvq
from streamrvq import Gap
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.live.protocol.text import Start
from streamrvq.live.server.modes import open_stream
from streamrvq.live.server.scheduling.scheduler import Scheduler
from streamrvq.live.worker import Worker
from tests.live.server.test_service_resume import cut_all
from tests.support.contract import cut, noise
from tests.support.patience import PATIENCE
from tests.support.plain_client import raw
from tests.support.service import CAUSAL, DELAYED, RATE, joined, packet, serving, start

pytestmark = pytest.mark.asyncio
formats = pytest.mark.parametrize("format", ["mulaw", "alaw"])
rates = pytest.mark.parametrize("rate", [8000, RATE, 44_100])


def voice(format, samples, seed=0):
    """Bytes of a signal, uint8 ``[n]``, and the 16-bit samples that they stand for."""
    data = FORMATS[format].write(noise(samples, seed))
    return data, FORMATS[format].read(data.tobytes())


@formats
@rates
async def test_codes_are_those_of_the_samples_that_the_bytes_stand_for(format, rate):
    data, samples = voice(format, rate // 2 + 7, rate)
    whole = DELAYED.encode(samples, sample_rate=rate)
    async with serving(DELAYED) as server:
        for given in (data, samples, samples / np.float32(32768)):
            async with streamrvq.connect(server.url, sample_rate=rate, format=format) as stream:
                stream.feed(cut(given, [0, 1, 160, 3, 1000]))
                assert np.array_equal(joined([item async for item in stream], "encode"), whole)
            assert (stream.done.samples, stream.done.frames) == (len(samples), whole.shape[1])


@formats
@rates
async def test_decoded_samples_are_those_of_the_codec_in_bytes(format, rate):
    codes = np.random.default_rng(rate).integers(0, 64, (3, 100))
    decoded = np.asarray(CAUSAL.decode(codes, rate), np.float32)
    expected = FORMATS[format].write(decoded).tobytes()
    async with serving() as server:
        async with streamrvq.connect(server.url, "decode", sample_rate=rate, format=format) as stream:
            stream.feed(cut(codes, [1, 7, 0, 30]))
            got = joined([item async for item in stream], "decode")
        assert np.array_equal(got, FORMATS[format].read(expected) / np.float32(32768))
        # On the wire it is one byte a sample, and no message is larger than allowed.
        messages = []
        async with raw(server, start(mode="decode", sample_rate=rate, format=format)) as client:
            await client.ws.send(packet(kind=2, codebooks=3, flags=1, payload=codes.T.astype("<u2").tobytes()))
            while isinstance(message := await client.ws.recv(), bytes):
                messages.append(message)
    assert b"".join(message[16:] for message in messages) == expected
    assert [int.from_bytes(message[8:16], "little") for message in messages] == np.cumsum(
        [0, *(len(message) - 16 for message in messages[:-1])]
    ).tolist()


@formats
async def test_a_broken_connection_and_gaps_do_not_show(format):
    rate = 8000
    (a, first), (b, second), (c, third) = (voice(format, samples, samples) for samples in (5000, 3001, 4000))
    async with serving(DELAYED) as server, streamrvq.connect(server.url, sample_rate=rate, format=format) as stream:

        async def speak():
            for part in (a, Gap(5000, 700, "lost"), b, Gap(8701, rate + 1, "lost"), c):
                if isinstance(part, Gap):
                    await stream.gap(part.samples)
                    continue
                await stream.send(part[: len(part) // 2])
                cut_all(server)
                await stream.send(part[len(part) // 2 :])
            await stream.stop()

        async with asyncio.timeout(PATIENCE):
            speaking = asyncio.create_task(speak())
            items = [item async for item in stream]
            await speaking
        assert stream.stats().lost_connections > 0
    codes = joined([item for item in items if not isinstance(item, Gap)], "encode")
    before = np.concatenate([first, np.zeros(700, np.int16), second])
    expected = [DELAYED.encode(part, sample_rate=rate) for part in (before, third)]
    assert np.array_equal(codes, np.concatenate(expected, axis=1))
    assert (stream.done.samples, stream.done.lost) == (12_001, 700 + rate + 1)


async def test_a_large_message_waits_in_no_more_memory_than_one_of_16_bit_samples():
    """In 32 KiB there are twice as many samples. They wait as 16 bits each, which is 64 KiB, as the guide says."""
    worker = Worker("test-step")
    scheduler = Scheduler(CAUSAL, worker, 1, {"encode": 8, "decode": 8})  # it is not run
    served = open_stream(CAUSAL, scheduler, Start(mode="encode", sample_rate=8000, format="mulaw"), 32_768)
    served.receive(packet(payload=bytes(32_768 - 16)))
    assert served.lane.queued == 32_752
    assert sum(job.nbytes for job in served.lane._jobs._jobs) <= 64 * 1024
    await worker.close()
