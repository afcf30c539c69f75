"""Texts among the outputs: which are kept to be sent again, how many may wait, and the one that ends a stream."""

import asyncio
import json

import numpy as np
import pytest

from streamrvq.errors import ProtocolError
from streamrvq.live.protocol.binary import HEADER, PayloadFormat, PayloadKind
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.server.outbox import REPLAY_TEXTS, CodesOutbox, Outbox, PcmOutbox
from streamrvq.live.server.stream import MAX_FILLED_GAPS, MAX_MARKERS
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.plain_client import raw
from tests.support.service import HOP, connect_raw, end_of, int16, packet, serving, start, until

LEVELS = 3


def outbox(kept=400):
    return CodesOutbox(LEVELS, kept, 1000, PayloadFormat())


def add_frame(box):
    box.put(np.zeros((LEVELS, 1), int))


def sent_texts(box, most=None):
    """The texts among everything that is to be sent now; or the first ``most`` messages, which are texts."""
    sent = []
    while (most is None or len(sent) < most) and (out := box.next()) is not None:
        sent += [out] if isinstance(out, str) else []
    return sent


def test_a_client_that_would_miss_a_text_gets_nothing():
    """Of 400 texts, one before each frame, only so many are kept. What is sent again has all of them, or is refused."""
    box = outbox()
    for i in range(400):
        box.text(i, str(i))
        add_frame(box)
        sent_texts(box)
    forgotten = 400 - REPLAY_TEXTS
    for i in (0, forgotten - 1):
        with pytest.raises(ProtocolError, match=f"kept are those from {forgotten} on") as refusal:
            box.rewind(i)
        assert refusal.value.code == 4404
    assert not box.done
    assert box.next() is None  # as it was
    box.rewind(forgotten)
    assert sent_texts(box) == [str(i) for i in range(forgotten, 400)]


def test_texts_that_are_sent_again_do_not_wait():
    box = outbox()
    for i in range(100):
        box.text(0, str(i))
    assert box.texts_waiting == 100
    sent_texts(box, 30)
    box.rewind(0)
    assert box.texts_waiting == 70
    sent_texts(box, 20)
    assert box.texts_waiting == 70
    sent_texts(box, 20)
    assert box.texts_waiting == 60
    add_frame(box)
    sent_texts(box)
    assert box.texts_waiting == 0


def test_a_client_in_a_pause_can_come_back_whatever_it_asked_meanwhile():
    """It has all frames, and its markers came at their end."""
    box = outbox()
    add_frame(box)
    for i in range(2 * REPLAY_TEXTS):
        box.text(1, str(i))
        sent_texts(box)
    box.rewind(1)
    assert sent_texts(box) == [str(i) for i in range(REPLAY_TEXTS, 2 * REPLAY_TEXTS)]
    with pytest.raises(ProtocolError, match="kept are those from 1 on"):
        box.rewind(0)


@pytest.mark.asyncio
@pytest.mark.parametrize(("beyond", "code"), [(0, 1000), (1, 4429)])
async def test_gaps_of_a_sample_may_wait_up_to_a_number(beyond, code):
    """Their frame has not come: a hop has 768 samples. Gaps that are not filled end theirs, and wait for nothing."""
    gaps = [{"type": "gap", "pos": 100 + i, "samples": 1} for i in range(MAX_FILLED_GAPS + beyond)]
    long = {"type": "gap", "pos": 100 + len(gaps), "samples": 192_001}
    messages = [start(sample_rate=192_000), packet(payload=bytes(200)), *map(json.dumps, [*gaps, long])]
    async with serving() as server:
        came, texts = await end_of(server.url, [*messages, '{"type":"stop"}'])
    assert came == code
    if code == 1000:
        assert [text["pos"] for text in texts if text["type"] == "gap"] == [gap["pos"] for gap in [*gaps, long]]
        assert texts[-1]["lost"] == MAX_FILLED_GAPS + 192_001
    else:
        assert f"{MAX_FILLED_GAPS} gaps and markers wait" in texts[-1]["message"]


def test_more_gaps_than_markers_may_wait():
    """A marker costs a client nothing. Gaps come as often as blocks, and half a second of these may wait."""
    assert MAX_MARKERS < MAX_FILLED_GAPS <= REPLAY_TEXTS


def test_of_the_newest_texts_those_that_were_sent_are_kept():
    box = outbox()
    for i in range(10):
        box.text(0, str(i))
    sent_texts(box, 6)
    box.rewind(0)
    box.forget_unsent(3)
    assert box.texts_waiting == 1
    box.forget_unsent(5)
    assert sent_texts(box) == [str(i) for i in range(6)]


@pytest.mark.asyncio
@pytest.mark.parametrize("broken", [1, 3])
async def test_a_client_that_sends_its_markers_again_is_not_refused(broken):
    """As many as may wait had come, and their frame had not. Each is echoed, and none twice."""
    pcm = int16(noise(3 * HOP + 10))
    markers = [json.dumps({"type": "marker", "id": i}) for i in range(MAX_MARKERS)]
    async with asyncio.timeout(PATIENCE), serving() as server:
        async with raw(server, start()) as client:
            await client.send(pcm)
            await client.hear(3)
            session = client.texts[0]["session"]
            client.ws.transport.abort()
        again = json.dumps({"type": "resume", "version": 1, "session": session, "next_frame": 3})
        for _ in range(broken):
            await until(lambda: server.sessions.parked == 1)
            async with connect_raw(server.url, subprotocols=[SUBPROTOCOL], compression=None) as ws:
                for message in (again, *markers):
                    await ws.send(message)
                stream = next(iter(server.sessions._all.values())).stream
                await until(lambda stream=stream: stream.outbox.texts_waiting == MAX_MARKERS)
                ws.transport.abort()
        await until(lambda: server.sessions.parked == 1)
        code, texts = await end_of(server.url, [again, *markers, '{"type":"stop"}'])
    assert code == 1000
    assert [text["id"] for text in texts if text["type"] == "marker"] == list(range(MAX_MARKERS))


def sent(box: Outbox) -> list[bytes | str]:
    """All that is to be sent now."""
    found = []
    while (message := box.next()) is not None:
        found.append(message)
    return found


def is_final(message: bytes | str) -> bool:
    assert isinstance(message, bytes)
    return bool(HEADER.unpack_from(message)[1] == 1)


@pytest.mark.parametrize("kind", list(PayloadKind))
def test_the_text_that_ends_a_stream_waits_for_the_last_binary_message(kind: PayloadKind) -> None:
    """All outputs may have been sent before it is known that they were all."""
    box: Outbox
    if kind is PayloadKind.CODES:
        box = CodesOutbox(3, 40, 1000, PayloadFormat())
        box.put(np.zeros((3, 2), int))
    else:
        box = PcmOutbox(1000, PayloadFormat())
        box.put(np.zeros(2, np.float32))
    assert not is_final(sent(box)[0])
    box.text(2, "marker")
    box.text(2, "done", ends=True)
    assert sent(box) == ["marker"]  # it waits for nothing else
    assert not box.done
    box.finished = True
    last, *texts = sent(box)
    assert is_final(last)
    assert texts == ["done"]
    assert box.done


def test_it_waits_after_a_resume_too() -> None:
    box = CodesOutbox(3, 40, 1000, PayloadFormat())
    box.put(np.zeros((3, 2), int))
    sent(box)
    box.text(2, "marker")
    box.text(2, "done", ends=True)
    sent(box)
    box.rewind(2)
    assert sent(box) == ["marker"]
    box.finished = True
    assert [is_final(message) if isinstance(message, bytes) else message for message in sent(box)] == [True, "done"]
    box.rewind(0)
    last, *texts = sent(box)
    assert is_final(last)
    assert texts == ["marker", "done"]
