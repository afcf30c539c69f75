"""How much is parsed at a time: a client that sends more than its share waits, and nobody waits for it."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamrvq.live.server.intake import (
    ROUND_SECONDS,
    SLICE_BYTES,
    TURN_SECONDS,
    UNIT_BYTES,
    UNITS_AT_FIRST,
    UNITS_AT_ONCE,
    UNITS_OF_A_TURN,
    UNITS_PER_AUDIO_SECOND,
    UNITS_PER_SECOND,
    Intake,
    Rounds,
)
from tests.support.patience import PATIENCE

FRAME = 6  # bytes of an empty frame


class Client:
    """A connection whose frames all have ``size`` bytes."""

    def __init__(self, turns, size=FRAME):
        self.parsed, self.paused, self.size, self.frames = bytearray(), False, size, 0
        self.intake = Intake(turns, self.parse, self.pause, self.resume)

    def parse(self, data):
        assert len(data) <= SLICE_BYTES
        self.parsed += data
        while (self.frames + 1) * self.size <= len(self.parsed):
            self.frames += 1
            self.intake.count()

    def pause(self):
        assert not self.paused
        self.paused = True

    def resume(self):
        assert self.paused
        self.paused = False


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_a_live_client_never_waits():
    """Blocks of 5 ms for 15 s, each a frame of 496 bytes that brings as much audio: parsed when they come."""
    now = [0.0]
    client = Client(Rounds(lambda: now[0]), 496)
    for block in range(1, 3000):
        now[0] += 0.005
        await asyncio.sleep(0)
        client.intake.receive(bytes(496))
        assert len(client.parsed) == block * 496
        client.intake.earn(0.005)
    assert not client.paused


@pytest.mark.asyncio
async def test_messages_without_audio_earn_no_others():
    """As many of them as a live client sends: before long they wait for turns."""
    now = [0.0]
    client = Client(Rounds(lambda: now[0]), 496)
    for _ in range(200):
        now[0] += 0.005
        client.intake.receive(bytes(496))
    assert client.paused
    assert client.frames <= UNITS_AT_FIRST + UNITS_PER_SECOND * now[0] + SLICE_BYTES // 496 + 1


@pytest.mark.asyncio
async def test_a_flood_waits_and_comes_in_order():
    client = Client(Rounds())
    data = bytes(range(256)) * 32
    client.intake.receive(data)
    assert client.paused
    assert client.frames <= UNITS_AT_ONCE + SLICE_BYTES // FRAME + 1
    assert client.intake.waiting == len(data) - len(client.parsed)
    await until(lambda: not client.intake.waiting)
    assert bytes(client.parsed) == data
    assert not client.paused


@pytest.mark.asyncio
async def test_nobody_waits_for_floods():
    """Beside fifty clients that flood, one that does not is parsed at once, and no round of the loop takes long.

    A frame takes 10 µs on the clock, and everything else in a round of the loop 100 µs.
    """
    now = [0.0]

    class Slow(Client):
        def parse(self, data):
            before = self.frames
            super().parse(data)
            now[0] += 1e-5 * (self.frames - before)

    turns = Rounds(lambda: now[0], cpu=lambda: now[0])
    good, floods, rounds, waited = Slow(turns, 500), [], [], []
    for _ in range(50):  # all within their allowances
        floods.append(Slow(turns))
        floods[-1].intake.receive(bytes(8192))
    rounds.append(now[0])
    while any(flood.intake.waiting for flood in floods):
        before = now[0]
        await asyncio.sleep(0)
        rounds.append(now[0] - before)
        now[0] += 0.0001
        if now[0] >= 0.005 * len(waited):
            good.intake.receive(bytes(500))
            good.intake.earn(0.005)
            waited.append(good.intake.waiting > 0)
    overshoot = 1e-5 * (UNITS_AT_ONCE + SLICE_BYTES // FRAME + 1)
    assert max(rounds) <= ROUND_SECONDS + TURN_SECONDS + 2 * overshoot
    assert waited[-50:] == [False] * 50  # after the floods' allowances are used up
    assert [flood.frames for flood in floods] == [8192 // FRAME] * 50


@pytest.mark.asyncio
async def test_who_floods_shares_with_who_floods():
    """In turn: none is served twice before another that waits. The clock counts looks at it, so no other work shows."""
    looks = itertools.count()
    turns = Rounds(lambda: next(looks) * 1e-4)
    clients = [Client(turns) for _ in range(3)]
    for client in clients:
        client.intake.receive(bytes(8000))
    shares = []
    while all(client.intake.waiting for client in clients):
        await asyncio.sleep(0)
        shares.append([client.frames for client in clients])
    most = UNITS_OF_A_TURN + SLICE_BYTES // FRAME + 1
    assert all(max(share) - min(share) <= most for share in shares)


@pytest.mark.asyncio
async def test_large_messages_are_not_held_up():
    client = Client(Rounds(), 32_768)
    client.intake.receive(bytes(8192))
    assert not client.intake.waiting
    assert UNITS_AT_ONCE * UNIT_BYTES >= 2 * 32_768
    assert UNITS_PER_AUDIO_SECOND >= 2 * 86


@pytest.mark.asyncio
async def test_whether_time_has_to_be_counted():
    """From when the allowance is used up until the first look at it after it has filled again."""
    now = [0.0]
    client = Client(Rounds(lambda: now[0]))
    client.intake.receive(bytes(SLICE_BYTES))
    assert client.intake.used_up
    client.intake.spend(0.001)
    assert client.intake.used_up
    now[0] += SLICE_BYTES / FRAME / UNITS_PER_SECOND
    client.intake.spend(0.001)
    assert not client.intake.used_up


@pytest.mark.asyncio
async def test_held_means_neither_parsed_nor_read():
    client = Client(Rounds())
    client.intake.hold()
    assert client.paused
    client.intake.receive(bytes(100))
    assert not client.parsed
    client.intake.release()
    assert not client.parsed  # not within the call: it comes from who takes the messages
    await until(lambda: len(client.parsed) == 100)
    assert not client.paused


@pytest.mark.asyncio
async def test_what_is_left_at_the_end():
    for left, parsed in ((8192, True), (8193, False)):
        client = Client(Rounds())
        client.intake.hold()
        client.intake.receive(bytes(left))
        client.parse = client.parsed.extend
        client.intake._parse = client.parsed.extend
        client.intake.parse_rest(8192)
        assert bool(client.parsed) == parsed
        assert not client.intake.waiting


@pytest.mark.asyncio
async def test_a_lost_connection_is_touched_no_more():
    client = Client(Rounds())
    client.intake.receive(bytes(8192))
    parsed = len(client.parsed)
    client.intake.close()
    client.intake.release()
    for _ in range(10):
        await asyncio.sleep(0)
    assert client.paused
    assert len(client.parsed) == parsed


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("receive"), st.integers(0, 9000)), st.tuples(st.just("hold"), st.just(0)),
            st.tuples(st.just("release"), st.just(0)), st.tuples(st.just("turn"), st.integers(1, 4)),
        ),
        max_size=30,
    ),
    st.sampled_from([FRAME, 100, 5000]),
)  # fmt: skip
def test_whatever_happens_all_bytes_come_in_order(actions, size):
    async def run():
        client, sent, held = Client(Rounds(), size), bytearray(), False
        for action, amount in actions:
            match action:
                case "receive" if not client.paused:
                    data = bytes(i % 251 for i in range(len(sent), len(sent) + amount))
                    sent.extend(data)
                    client.intake.receive(data)
                case "hold":
                    held = True
                    client.intake.hold()
                case "release" if held:
                    held = False
                    client.intake.release()
                case "turn":
                    for _ in range(amount):
                        await asyncio.sleep(0)
            assert client.paused == (held or client.intake.waiting > 0)
        if held:
            client.intake.release()
        await until(lambda: not client.intake.waiting)
        assert client.parsed == sent
        assert not client.paused

    asyncio.run(run())
