"""Hostile messages of either side: refused with a close code, in one line, or taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.errors import ProtocolError
from streamrvq.live.protocol.text import parse
from tests.support.fuzzing.json_text import broken_json
from tests.support.fuzzing.raw_bytes import one_change
from tests.support.fuzzing.survival import assert_survives
from tools.fuzzing.registry import targets

TEXT = [(name, seed) for name in ("message-client", "message-server") for seed in targets()[name].seeds()]
BINARY = [(name, seed) for name in ("message-pcm", "message-codes") for seed in targets()[name].seeds()]


@given(right=st.sampled_from(TEXT), data=st.data())
def test_a_text_with_one_thing_broken(right: tuple[str, bytes], data: st.DataObject) -> None:
    name, seed = right
    assert_survives(name, data.draw(broken_json(json.loads(seed)) | one_change(seed)))


@given(right=st.sampled_from(BINARY), data=st.data())
def test_bytes_with_one_thing_broken(right: tuple[str, bytes], data: st.DataObject) -> None:
    name, seed = right
    assert_survives(name, data.draw(one_change(seed)))


@pytest.mark.parametrize("field", ["codec", "codec_hash"])
def test_a_name_that_no_file_can_hold_is_refused(field: str) -> None:
    ready = json.loads(targets()["message-server"].seeds()[0]) | {field: "\ud800"}
    with pytest.raises(ProtocolError, match=f"ready.{field} is .*UTF-8"):
        parse(json.dumps(ready), "server")
