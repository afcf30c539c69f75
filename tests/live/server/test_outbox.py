"""What a stream sends and sends again, against a model that is a plain list."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import ProtocolError, ServiceError
from streamrvq.live.client.resend import ResendBuffer
from streamrvq.live.protocol.binary import HEADER, PayloadFormat, PayloadKind
from streamrvq.live.server.outbox import MAX_TEXTS_READY, REPLAY_TEXTS, CodesOutbox, PcmOutbox

LEVELS, KEPT = 3, 40


def frame(i):
    return np.array([i, i + 1, i + 2]) % 65536


def unpacked(out):
    """kind, final, levels, seq, pos, values of a binary message, read without the package's own code."""
    kind, flags, levels, seq, pos = HEADER.unpack_from(out)
    dtype = "<u2" if kind == 2 else "<i2"
    values = np.frombuffer(out[HEADER.size :], dtype)
    return kind, flags, levels, seq, pos, values.reshape(-1, levels) if levels else values


def drained(box, limit=None):
    """Everything that is to be sent now; or the first ``limit`` messages."""
    sent = []
    while (limit is None or len(sent) < limit) and (out := box.next()) is not None:
        sent.append(out)
    return sent


def rows(sent, first=0, seq=0):
    """The texts and frames of messages in order, their numbers checked."""
    line = []
    for out in sent:
        if isinstance(out, str):
            line.append(out)
            continue
        _, _, levels, number, pos, values = unpacked(out)
        assert (number, pos) == (seq, first)
        assert len(out) <= 60
        seq, first = seq + 1, first + len(values)
        line += [tuple(int(v) for v in value[:levels]) for value in values]
    return line


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9)),
        st.tuples(st.just("text"), st.integers(0, 3)),
        st.tuples(st.just("set"), st.integers(1, LEVELS)),
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("lose"), st.integers(0, KEPT)),
    ),
    max_size=30,
)


@given(ACTIONS)
def test_codes_come_in_order_and_again(actions):
    """Whatever is lost on the way, a client that names its next frame gets everything in the end."""
    box = CodesOutbox(LEVELS, KEPT, 60, PayloadFormat())
    levels, ahead, model, got = [LEVELS] * 10_000, 0, [], []
    frames = lambda line: sum(isinstance(item, tuple) for item in line)  # noqa: E731
    seq = 0
    for action, amount in actions:
        if action == "put":
            amount = min(amount, KEPT - box.waiting)
            box.put(np.stack([frame(box.pos + i) for i in range(amount)], 1) if amount else np.zeros((LEVELS, 0), int))
        elif action == "text":
            ahead = max(ahead, box.pos + amount)
            text = json.dumps({"place": ahead, "n": len(model)})
            model.append((ahead, text))
            box.text(ahead, text)
        elif action == "set":
            ahead = max(ahead, box.pos)
            levels[ahead:] = [amount] * (len(levels) - ahead)
            box.set_levels(amount, ahead)
        elif action == "send":
            sent = drained(box, amount)
            got += rows(sent, frames(got), seq)
            seq += sum(isinstance(out, bytes) for out in sent)
        else:
            # the last frames, and the texts after them, did not arrive
            upto = max(frames(got) - amount, 0, box.pos - KEPT)
            kept, count = [], 0
            for item in got:
                if isinstance(item, tuple):
                    if count == upto:
                        break
                    count += 1
                elif json.loads(item)["place"] >= upto:
                    break
                kept.append(item)
            got, seq = kept, 0
            box.rewind(upto)
    box.finished = True
    rest = drained(box)
    got += rows(rest, frames(got), seq)
    final = [unpacked(out)[1] for out in rest if isinstance(out, bytes)]
    assert final == [] or (final[-1] == 1 and not any(final[:-1]))
    expected, texts = [], [item for item in model if item[0] <= box.pos]
    for i in range(box.pos + 1):
        expected += [text for place, text in texts if place == i]
        if i < box.pos:
            expected.append(tuple(int(v) for v in frame(i)[: levels[i]]))
    # a text that waits for frames that never come is the caller's mistake, and holds up those after it
    if len(texts) == len(model):
        assert [g for g in got if isinstance(g, tuple)] == [e for e in expected if isinstance(e, tuple)]
        assert [g for g in got if isinstance(g, str)] == [e for e in expected if isinstance(e, str)]
        assert box.done


def test_what_cannot_be_sent_again():
    box = CodesOutbox(LEVELS, KEPT, 1000, PayloadFormat())
    for _ in range(6):
        box.put(np.zeros((LEVELS, 10), int))
        drained(box)
    box.rewind(20)
    with pytest.raises(ProtocolError, match="kept are those from 20") as refusal:
        box.rewind(19)
    assert refusal.value.code == 4404
    with pytest.raises(ProtocolError, match="only 60 frames") as refusal:
        box.rewind(61)
    assert refusal.value.code == 4400
    assert box.waiting == 40
    assert unpacked(box.next())[4] == 20  # as it was
    with pytest.raises(RuntimeError, match="must stop before"):
        box.put(np.zeros((LEVELS, KEPT + 1), int))


def test_texts_are_bounded_and_what_was_not_sent_is_not_forgotten():
    box = CodesOutbox(LEVELS, KEPT, 1000, PayloadFormat())
    for i in range(3 * REPLAY_TEXTS):
        box.text(0, str(i))
        assert box.next() == str(i)
    box.rewind(0)
    assert drained(box) == [str(i) for i in range(2 * REPLAY_TEXTS, 3 * REPLAY_TEXTS)]


@given(st.lists(st.tuples(st.sampled_from(["put", "send", "rewind"]), st.integers(0, 12)), max_size=40))
def test_whoever_keeps_to_the_room_never_overwrites_what_a_client_may_want(actions):
    """Outputs that were allowed before a client came back still fit after it, and every kept frame is the right one."""
    room = 5
    box = CodesOutbox(LEVELS, KEPT, 1000, PayloadFormat(), room)
    allowed = 0
    for action, amount in actions:
        allowed = max(allowed, box.allowed)
        if action == "put":
            count = min(amount, allowed - box.pos)
            box.put(np.stack([frame(box.pos + i) for i in range(count)], 1) if count else np.zeros((LEVELS, 0), int))
        elif action == "send":
            drained(box, amount)
        else:
            upto = max(0, box.pos - amount * KEPT // 12)
            allowed = max(allowed, box.allowed)
            box.rewind(upto)
        if box.waiting:
            first, held = box.pos - box.waiting, CodesOutbox(LEVELS, KEPT, 1000, PayloadFormat(), room)
            held.__dict__.update(box.__dict__)
            held._restart(first)
            line = rows_of_any_size(drained(held))
            assert line == [tuple(int(v) for v in frame(i)) for i in range(first, box.pos)]


def test_a_client_that_wants_all_that_is_kept_leaves_room_for_what_was_allowed():
    room = 5
    box = CodesOutbox(LEVELS, KEPT, 1000, PayloadFormat(), room)
    for i in range(100):
        box.put(frame(i)[:, None])
        drained(box)
    allowed = box.allowed
    box.rewind(100 - KEPT)
    for i in range(100, allowed):
        box.put(frame(i)[:, None])
    assert rows_of_any_size(drained(box)) == [tuple(map(int, frame(i))) for i in range(100 - KEPT, 100 + room)]


def rows_of_any_size(sent):
    return [tuple(int(v) for v in value) for out in sent if isinstance(out, bytes) for value in unpacked(out)[5]]


def test_more_than_there_is_room_for_is_refused():
    box = PcmOutbox(60, PayloadFormat(), 100)
    assert box.allowed == 100
    box.put(np.zeros(101, np.float32))  # the length rules may round up
    with pytest.raises(RuntimeError, match="must stop before"):
        box.put(np.zeros(1, np.float32))
    sent = unpacked(box.next())[5]
    assert box.allowed == 100 + len(sent)
    assert box.waiting == 101 - len(sent)  # nothing else was packed
    box.put(np.zeros(len(sent), np.float32))


def test_texts_that_only_wait_for_the_client_are_counted():
    box = PcmOutbox(60, PayloadFormat())
    for _ in range(MAX_TEXTS_READY - 1):
        box.text(0, "")
    box.text(1, "")  # it waits for a sample
    assert not box.crowded
    box.put(np.zeros(1, np.float32))
    assert box.crowded
    assert box.next() == ""
    assert not box.crowded


@given(st.lists(st.integers(0, 50), max_size=10), st.lists(st.integers(0, 300), max_size=4))
def test_samples_and_texts(sizes, places):
    box, pcm = PcmOutbox(60, PayloadFormat()), np.arange(sum(sizes), dtype=np.int16)
    for place in sorted(places):
        box.text(place, str(place))
    sent, at = [], 0
    for size in sizes:
        box.put(pcm[at : at + size])
        at += size
        sent += drained(box)
    box.finished = True
    sent += drained(box)
    seen, texts = [], []
    for out in sent:
        if isinstance(out, str):
            assert len(seen) == int(out)
            texts.append(int(out))
        else:
            seen += unpacked(out)[5].tolist()
    assert seen == pcm.tolist()
    assert texts == sorted(place for place in places if place <= len(pcm))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("block"), st.integers(0, 30)), st.tuples(st.just("gap"), st.integers(1, 9)),
            st.tuples(st.just("send"), st.integers(1, 4)), st.tuples(st.just("lose"), st.floats(0, 1)),
            st.tuples(st.just("trim"), st.floats(0, 1)),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_what_a_client_sends_again(actions):
    """A server whose connections break at any message still gets every sample and every gap once, in order."""
    buffer = ResendBuffer(PayloadKind.PCM, 40, PayloadFormat(), keep=True)
    truth, server, seq = [], [], 0  # samples as numbers, gaps as texts

    def length(line):
        return sum(int(item.split()[1]) if isinstance(item, str) else 1 for item in line)

    def take(out):
        nonlocal seq
        if isinstance(out, str):
            assert int(out.split()[0]) == length(server)
            server.append(out)
            return
        _, _, _, number, pos, values = unpacked(out)
        assert (number, pos) == (seq, length(server))
        seq += 1
        server.extend(values.tolist())

    for action, amount in [*actions, ("send", 10**6)]:
        if action == "block":
            values = np.arange(buffer.pos, buffer.pos + amount, dtype=np.int16)
            buffer.add_block(values)
            truth += values.tolist()
        elif action == "gap":
            text = f"{buffer.pos} {amount}"
            buffer.add_text(text, amount)
            truth.append(text)
        elif action == "trim":
            buffer.trim(int(amount * length(server)))
        elif action == "lose":
            for _ in range(int(4 * amount)):
                buffer.next_message()  # on its way when the connection broke
            seq = 0
            buffer.rewind(length(server))
        else:
            for _ in range(amount):
                if (out := buffer.next_message()) is None:
                    break
                take(out)
    assert server == truth


def test_a_server_that_asks_for_samples_no_longer_kept():
    buffer = ResendBuffer(PayloadKind.PCM, 400, PayloadFormat(), keep=True)
    for _ in range(4):
        buffer.add_block(np.zeros(10, np.int16))
        buffer.next_message()
    buffer.trim(25)
    buffer.rewind(20)
    for pos in (19, 41):
        with pytest.raises(ServiceError, match="kept are those from 20 to 40"):
            buffer.rewind(pos)
