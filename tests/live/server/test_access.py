"""Tokens in headers, which have no encoding: most clients send UTF-8, some ISO-8859-1."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server import access
from tests.support.service import end_of, serving, start


@given(st.text(min_size=1, max_size=40).map(str.strip).filter(bool))
def test_a_header_has_a_token_in_either_encoding(token: str) -> None:
    encoded = [token.encode("utf-8"), *([token.encode("latin-1")] if max(token) <= "\xff" else [])]
    for came in encoded:
        header = came.decode("latin-1")
        assert access.header_matches(header, ("other", token)) == token
        assert access.header_matches(header, ("other", token + "x")) is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("token", "code"), [("schl\xfcssel", 1000), ("schl\xc3\xbcssel", 1000), ("schl\xc3ssel", 4401)]
)
async def test_a_client_of_either_encoding_gets_in(token: str, code: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with serving(tokens=("schlüssel",)) as server:
        messages = [start(), json.dumps({"type": "stop"})]
        assert (await end_of(server.url, messages, additional_headers=headers))[0] == code
