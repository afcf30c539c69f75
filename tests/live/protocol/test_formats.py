"""Samples of every format in messages: names, sizes, and bytes of G.711 that are passed on as they are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamrvq
from streamrvq import InputError
from streamrvq.audio.sample_formats import FORMATS
from streamrvq.live.protocol.binary import Incoming, Outgoing, PayloadFormat, PayloadKind


@pytest.mark.parametrize(("name", "format"), FORMATS.items())
def test_a_message_holds_as_many_samples_as_its_bytes(name, format):
    outgoing = Outgoing(PayloadKind.PCM, 1016, PayloadFormat(name))
    incoming = Incoming(PayloadKind.PCM, PayloadFormat(name))
    sent = outgoing.pack(np.arange(2500, dtype=np.int16))
    assert outgoing.most(0) == 1000 // format.width
    assert {len(message) for message in sent[:-1]} == {1016}
    assert sum(len(incoming.take(message)) for message in sent) == incoming.pos == 2500


@given(data=st.binary(max_size=100), room=st.integers(16 + 1, 60), format=st.sampled_from(["mulaw", "alaw"]))
def test_bytes_of_g711_are_sent_as_they_are(data, room, format):
    outgoing = Outgoing(PayloadKind.PCM, room, PayloadFormat(format))
    sent = outgoing.pack(outgoing.check(np.frombuffer(data, np.uint8)))
    assert b"".join(message[16:] for message in sent) == data
    assert [len(message) - 16 for message in sent[:-1]] == [room - 16] * (len(sent) - 1), "one byte a sample"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("block", [np.zeros((2, 3)), np.zeros(3, np.float64), np.array([np.nan], np.float32), "abc"])
def test_what_cannot_be_sent(block, format):
    with pytest.raises(InputError):
        Outgoing(PayloadKind.PCM, 1000, PayloadFormat(format)).check(block)


@pytest.mark.parametrize(
    ("format", "block"),
    [("s16le", np.zeros(3, np.uint8)), ("f32le", np.zeros(3, np.uint8)), ("mulaw", np.zeros((2, 3), np.uint8)),
     ("alaw", np.zeros(3, np.int8)), ("mulaw", np.zeros(3, np.uint16)), ("alaw", b"abc")],
)  # fmt: skip
def test_bytes_that_cannot_be_sent(format, block):
    with pytest.raises(InputError):
        Outgoing(PayloadKind.PCM, 1000, PayloadFormat(format)).check(block)


def test_the_page_names_every_format():
    page = (Path(streamrvq.__file__).parent / "live" / "protocol" / "PROTOCOL.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS if f'`"{name}"`' not in page] == []
