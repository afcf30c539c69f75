"""The wire format alone: every message there and back, and one kind of error for any bad input."""

import dataclasses
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamrvq
from streamrvq import InputError, ProtocolError
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.live.protocol import text
from streamrvq.live.protocol.binary import Incoming, Outgoing, Packet, PayloadFormat, PayloadKind
from streamrvq.live.protocol.constants import HIGHEST_RATE, LOWEST_RATE, MAX_MESSAGE, MAX_TEXT, Close
from streamrvq.live.protocol.text import Message, parse
from streamrvq.live.server import access
from streamrvq.live.server.stream import MAX_MARKERS
from tests.support.contract import cut

BIG = 2**53
TEXT = st.text(max_size=64)
FORMAT_NAMES = st.sampled_from(["s16le", "f32le", "mulaw", "alaw"])
FIELDS = {
    text.Start: st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["encode", "decode"]),
            "sample_rate": st.none() | st.integers(8000, 192_000),
            "format": FORMAT_NAMES,
            "n_quantizers": st.none() | st.integers(1, 65535),
            "token": st.none() | TEXT,
        }
    ).filter(lambda start: start["sample_rate"] is not None or FORMATS[start["format"]].law is None),
    text.Resume: st.fixed_dictionaries(
        {"session": TEXT, "next_frame": st.integers(0, BIG), "token": st.none() | TEXT}
    ),
    text.Stop: st.just({}),
    text.Marker: st.fixed_dictionaries({"id": TEXT | st.integers(-BIG, BIG)}),
    text.SetLevels: st.fixed_dictionaries({"n_quantizers": st.integers(1, 65535)}),
    text.GapMark: st.fixed_dictionaries(
        {
            "pos": st.integers(0, BIG), "samples": st.integers(1, BIG), "filled": st.none() | st.booleans(),
            "next_frame": st.none() | st.integers(0, BIG),
        }
    ),
    text.Ready: st.fixed_dictionaries(
        {
            "session": TEXT, "codec": TEXT, "codec_hash": TEXT, "trained": st.booleans(),
            "sample_rate": st.integers(1, BIG), "hop": st.integers(1, BIG), "codebooks": st.integers(1, 65535),
            "codebook_size": st.integers(1, 65536), "delay_frames": st.integers(0, BIG),
            "decoder_delay_samples": st.integers(0, BIG), "max_message": st.integers(1, BIG),
        }
    ),
    text.Resumed: st.fixed_dictionaries({"pos": st.integers(0, BIG), "next_frame": st.integers(0, BIG)}),
    text.Drain: st.fixed_dictionaries({"seconds": st.integers(0, BIG)}),
    text.Done: st.fixed_dictionaries(
        {"frames": st.integers(0, BIG), "samples": st.integers(0, BIG), "lost": st.integers(0, BIG)}
    ),
    text.Error: st.fixed_dictionaries({"code": st.integers(1000, 4999), "message": TEXT}),
}  # fmt: skip
SERVERS = (text.Ready, text.Resumed, text.Drain, text.Done, text.Error)
EVERY = st.sampled_from(list(FIELDS)).flatmap(lambda kind: st.builds(lambda values: kind(**values), FIELDS[kind]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def test_every_message_has_a_strategy() -> None:
    assert set(FIELDS) == set(Message.__subclasses__())


@given(EVERY)
def test_text_there_and_back(message):
    text = message.to_json()
    assert text.isascii()
    assert len(text) <= MAX_TEXT
    assert parse(text, "server" if isinstance(message, SERVERS) else "client") == message
    assert json.loads(text)["type"] == message.type


@given(EVERY, st.data())
def test_a_message_that_is_bent_is_taken_or_refused(message, data):
    values = json.loads(message.to_json())
    for name in data.draw(st.lists(st.sampled_from(sorted(values)), max_size=3)):
        values[name] = data.draw(JSON)
    values |= data.draw(st.dictionaries(st.text(max_size=5), JSON, max_size=1))
    for sender in ("client", "server"):
        only_protocol_errors(parse, json.dumps(values), sender)


@given(st.text(max_size=300) | JSON.map(json.dumps))
def test_any_text_is_taken_or_refused(text):
    for sender in ("client", "server"):
        only_protocol_errors(parse, text, sender)


def only_protocol_errors(call, *args):
    try:
        return call(*args)
    except ProtocolError as error:
        assert Close(error.code)
        assert str(error)
        return None


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", 4400, "not JSON"),
        ("[" * 4000, 4400, "not JSON"),
        ('{"type":"stop","type2":NaN}', 4400, "not JSON"),
        ("9" * 4090, 4400, "a JSON int"),
        ('"' + "a" * MAX_TEXT + '"', 1009, "4098 characters"),
        ("[]", 4400, "a JSON list"),
        ('{"type":["stop"]}', 4400, "of type"),
        ('{"type":"ready"}', 4400, "wanted start, resume, stop"),
        ('{"type":"stop","now":true}', 4400, "no field 'now'"),
        ('{"type":"start","mode":"encode"}', 4406, "version is None"),
        ('{"type":"start","version":2,"mode":7,"new":1}', 4406, "version is 2"),
        ('{"type":"start","version":true,"mode":"encode"}', 4406, "version is True"),
        ('{"type":"start","version":1}', 4415, "mode is missing"),
        ('{"type":"start","version":1,"mode":"both"}', 4415, "encode or decode"),
        ('{"type":"start","version":1,"mode":"encode","channels":2}', 4415, "from 1 to 1"),
        ('{"type":"start","version":1,"mode":"encode","format":"ulaw"}', 4415, "s16le or f32le or mulaw or alaw"),
        ('{"type":"start","version":1,"mode":"encode","sample_rate":7999}', 4415, "8000 to 192000"),
        ('{"type":"start","version":1,"mode":"encode","sample_rate":44100.0}', 4415, "44100.0"),
        ('{"type":"start","version":1,"mode":"encode","token":["secret"]}', 4401, "something else"),
        ('{"type":"gap","pos":-1,"samples":1}', 4400, "gap.pos is -1"),
        ('{"type":"set","n_quantizers":0}', 4415, "from 1"),
    ],
)  # fmt: skip
def test_refusals(text, code, words):
    with pytest.raises(ProtocolError, match=words) as refusal:
        parse(text, "client")
    assert refusal.value.code == code
    assert "secret" not in str(refusal.value)


def test_a_client_passes_over_what_a_newer_server_adds():
    assert parse('{"type":"done","frames":1,"samples":2,"carbon":3}', "server") == text.Done(frames=1, samples=2)
    assert type(parse('{"type":"weather","done":1}', "server")) is Message


# ------------------------------------------------------------------ binary


@given(
    st.builds(
        lambda pcm, final, levels, seq, pos, payload: Packet(
            PayloadKind.PCM if pcm else PayloadKind.CODES, final, 0 if pcm else levels, seq, pos, payload
        ),
        st.booleans(), st.booleans(), st.integers(1, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1),
        st.binary(max_size=50),
    )
)  # fmt: skip
def test_packets_there_and_back(packet):
    data = packet.to_bytes()
    assert Packet.from_bytes(data) == packet
    assert data[:16] == struct.pack("<BBHIQ", packet.kind, int(packet.final), packet.codebooks, packet.seq, packet.pos)


@given(st.binary(max_size=80), st.sampled_from(list(PayloadKind)), FORMAT_NAMES)
def test_any_bytes_are_taken_or_refused(data, kind, format):
    incoming = Incoming(kind, PayloadFormat(format, 64, range(1, 4)))
    for head in (b"", struct.pack("<BBHIQ", kind, 0, 0 if kind == PayloadKind.PCM else 2, 0, 0)):
        before = incoming.pos, incoming.final
        if only_protocol_errors(incoming.take, head + data) is None:
            assert (incoming.pos, incoming.final) == before
            break


@given(
    samples=st.integers(0, 300),
    sizes=st.lists(st.integers(0, 90), max_size=8),
    room=st.integers(16 + 12, 200),
    kind=st.sampled_from(list(PayloadKind)),
    format=FORMAT_NAMES,
    final=st.booleans(),
)
def test_arrays_there_and_back(samples, sizes, room, kind, format, final):
    rng = np.random.default_rng(samples)
    payload_format = PayloadFormat(format, 64, range(1, 7))
    codes = kind == PayloadKind.CODES
    whole = rng.integers(0, 64, (6, samples)) if codes else rng.integers(-32768, 32767, samples, np.int16)
    outgoing, incoming = Outgoing(kind, room, payload_format), Incoming(kind, payload_format)
    sent = [message for part in cut(whole, sizes) for message in outgoing.pack(outgoing.check(part))]
    if final:
        sent += outgoing.pack(whole[..., :0], final=True)
    assert max(map(len, sent), default=0) <= room
    parts = [incoming.take(message) for message in sent]
    got = np.concatenate([whole[..., :0], *parts], axis=-1)
    if kind == PayloadKind.PCM and format == "f32le" and samples:
        got = np.concatenate([part * np.float32(32768) for part in parts])
    if kind == PayloadKind.PCM and (law := FORMATS[format].law) is not None:
        whole = law.expand(law.compress(whole))
    assert np.array_equal(got, whole)
    assert incoming.pos == outgoing.pos == samples
    assert incoming.final == final


def test_seq_wraps():
    outgoing, incoming = Outgoing(PayloadKind.PCM, 1000, PayloadFormat()), Incoming(PayloadKind.PCM, PayloadFormat())
    outgoing._seq = incoming._seq = 2**32 - 1
    for message in [*outgoing.pack(np.zeros(3, np.int16)), *outgoing.pack(np.zeros(3, np.int16))]:
        incoming.take(message)
    assert incoming.pos == 6


@pytest.mark.parametrize("codes", [np.zeros((4, 3), int), np.zeros((1, 3)), np.full((1, 3), 64), np.full((1, 3), -1)])
def test_codes_that_cannot_be_sent(codes):
    with pytest.raises(InputError):
        Outgoing(PayloadKind.CODES, 1000, PayloadFormat(size=64, codebooks=range(1, 4))).check(codes)


# ------------------------------------------------------------------ who may connect


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "good"),
    [
        (None, "x:1", (), True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", (), True),
        ("http://[::1]:8000", "[::1]:8000", (), True),
        ("HTTP://LocalHost:8000", "localhost:8000", (), True),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", (), False),
        ("http://evil.example", "evil.example", (), False),  # a name that was bound to our address
        ("http://evil.example", "127.0.0.1:8000", (), False),
        ("null", "127.0.0.1:8000", (), False),
        ("http://[::1", "[::1", (), False),
        ("https://good.example", "127.0.0.1:8000", ("https://good.example",), True),
        ("http://good.example", "127.0.0.1:8000", ("https://good.example",), False),
        ("http://any.example", "127.0.0.1:8000", ("*",), True),
    ],
)
def test_origins(origin, host, allowed, good):
    assert access.origin_allowed(origin, host, allowed) is good


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_origin_is_judged(origin, host):
    access.origin_allowed(origin, host, ("https://good.example",))
    access.bearer_token(origin)
    assert not access.token_matches(origin, ("x" * 50, host + "\ud800"))


def test_tokens():
    assert access.token_matches(None, ())
    assert access.token_matches("x", ())
    assert access.token_matches("ä", ("b", "ä"))
    assert not access.token_matches(None, ("b",))
    assert not access.token_matches("", ("b",))
    assert not access.token_matches("\ud800", ("b",))
    assert [access.bearer_token(header) for header in (None, "Bearer  a b", "Basic x")] == [None, "a b", ""]


@pytest.mark.parametrize("origin", ["good.example", "http://a/path", "http://", ""])
def test_origins_that_cannot_be_allowed(origin):
    with pytest.raises(InputError):
        access.check_origin(origin)


def test_the_rate_limit_is_for_floods_only():
    allowance = access.RateLimit(0.0)
    for i in range(5000):  # 5 ms blocks, faster than any clock
        allowance.spend(0.0, i * 0.005)
    allowance = access.RateLimit(0.0)
    for i in range(5000):  # 100 empty messages a second
        allowance.spend(i / 100, 0.0)
    with pytest.raises(ProtocolError) as refusal:
        for _ in range(1001):
            allowance.spend(50.0, 0.0)
    assert refusal.value.code == 4429


def test_messages_are_frozen():
    for kind in FIELDS:
        assert dataclasses.fields(kind) is not None
        assert kind.__dataclass_params__.frozen


# ------------------------------------------------------------------ the page


def test_the_page_names_everything():
    """PROTOCOL.md has every message, field, limit and close code."""
    page = (Path(streamrvq.__file__).parent / "live" / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
    for kind in FIELDS:
        assert f"| `{kind.type}` |" in page
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in page, (kind.type, field.name)
    for code in Close:
        assert f"| {int(code)} | {code.name} |" in page
    for number in (MAX_TEXT, MAX_MESSAGE, LOWEST_RATE, HIGHEST_RATE, access.BURST, access.PER_SECOND, MAX_MARKERS):
        assert str(number) in page, number
