"""Heads of requests: each is answered with the status that HTTP has for it, whatever it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrvq.live.server.admission.request import (
    HEAD_END,
    MAX_HEAD_BYTES,
    RequestRefusedError,
    check_beginning,
    parse_request,
    token_of,
)

HOST = b"Host: x\r\n"


def status(head: bytes) -> int:
    try:
        parse_request(head)
    except RequestRefusedError as refusal:
        return int(refusal.reply.status)
    return 200


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200), (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.0\r\n\r\n", 200), (b"GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200),
        *((name + b" / HTTP/1.1\r\nHost: x\r\n\r\n", 405)
          for name in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH")),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405), (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", 405),
        (b"GETT / HTTP/1.1\r\nHost: x\r\n\r\n", 501), (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505), (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/3\r\n\r\n", 505), (b"GET / HTTP/0.9\r\n\r\n", 505), (b"GET / HTTP/11.1\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 05\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400), (b"GET\r\n\r\n", 400), (b"\r\n\r\n", 400), (b" / HTTP/1.1\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1 \r\n\r\n", 400), (b"GET / http/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\n", 400), (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400), (b"G(T / HTTP/1.1\r\n\r\n", 400),
        (b"GET health HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nOrigin: x\r\norigin: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nUpgrade: x\r\nUpgrade: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    ],
)  # fmt: skip
def test_each_has_its_status(head: bytes, wanted: int) -> None:
    assert HEAD_END.search(head)
    assert status(head) == wanted


@pytest.mark.parametrize("method", [b"POST", b"GETT"])
def test_other_methods_are_told_which_there_are(method: bytes) -> None:
    with pytest.raises(RequestRefusedError) as refusal:
        parse_request(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert ("Allow", "GET, HEAD") in refusal.value.reply.headers


def test_a_whole_address_stands_for_its_host_and_path() -> None:
    request = parse_request(b"GET HTTP://other:80/health?x HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (request.host, request.path) == ("other:80", "/health?x")
    assert parse_request(b"GET http://other HTTP/1.1\r\nHost: x\r\n\r\n").path == "/"
    assert parse_request(b"GET http://other?x HTTP/1.1\r\nHost: x\r\n\r\n").path == "/?x"


def test_only_get_asks_for_a_websocket() -> None:
    assert parse_request(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").upgrade
    assert not parse_request(b"HEAD / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n").upgrade


PARTS = st.sampled_from(
    [b"GET", b"POST", b" ", b"/", b"*", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b"\r\n", b"\n", b"\r", b":", HOST,
     b"Content-Length: 1\r\n", b"transfer-encoding:\t", b"Upgrade: websocket\r\n", b"\0", b"\xff", b"A: ", b"x" * 5000,
     b"http://x", b"Authorization: Bearer t\r\n", b"GET / HTTP/1.1\r\n"]
)  # fmt: skip


@given(st.one_of(st.binary(max_size=200), st.lists(PARTS, max_size=30).map(b"".join)))
def test_whatever_comes_is_parsed_or_refused(data: bytes) -> None:
    token_of(data, ("t",))
    for read in (check_beginning, parse_request):
        try:
            read(data)
        except RequestRefusedError as refusal:
            answer = refusal.reply.to_bytes(refusal.method)
            assert answer.startswith(b"HTTP/1.1 ")
            assert int(refusal.reply.status) in (400, 405, 413, 414, 431, 501, 505)
            assert (refusal.method == "HEAD") == answer.endswith(b"\r\n\r\n")


HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"


@given(st.integers(0, len(HEAD)))
def test_the_beginning_of_a_good_head_is_not_refused(length: int) -> None:
    check_beginning(HEAD[:length])


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"\x16\x03\x01", 400), (b"\0" * 100, 400), (b"\r\n", 400), (b"GET / \r\n", 400), (b"GET / HTTP/1.1\n", 400),
        (b"x" * 8193, 414), (b"GET /" + b"x" * 9000, 414), (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000, 431),
        (b"GET / HTTP/2.0\r\n", 505),
    ],
)  # fmt: skip
def test_what_cannot_become_a_request_is_refused_at_once(data: bytes, wanted: int) -> None:
    with pytest.raises(RequestRefusedError) as refusal:
        check_beginning(data)
    assert int(refusal.value.reply.status) == wanted


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        (b"Authorization: Bearer t\r\n", True), (b"authorization:bearer  t \r\n", True), (b"", False),
        (b"Authorization: Bearer T\r\n", False), (b"Authorization: Basic t\r\n", False),
        (b"Authorization: Bearer t\r\nAuthorization: Bearer t\r\n", False), (b"X: Authorization: Bearer t\r\n", False),
        (b"Authorization: Bearer \xff\r\n", False), (b"Authorization: Bearer \xe4\r\n", True),
        (b"Authorization: Bearer \xc3\xa4\r\n", True),
    ],
)  # fmt: skip
def test_a_token_is_found_in_a_head_before_it_is_parsed(headers: bytes, good: bool) -> None:
    head = b"GET / HTTP/1.1\r\n" + headers + HOST + b"\r\n"
    assert (token_of(head, ("other", "t", "ä")) is not None) == good
    assert token_of(head, ()) is None
