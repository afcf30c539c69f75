"""The page's files over HTTP: these and no others, with headers that forbid everything else."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamrvq
from streamrvq.live.server.static import CONTENT_TYPES, respond
from tests.support.patience import PATIENCE
from tests.support.service import serving

PAGE = Path(streamrvq.__file__).parent / "live" / "page"


def test_every_file_of_the_page_is_served_as_what_it_is() -> None:
    assert set(CONTENT_TYPES) == {path.name for path in PAGE.iterdir()} - {"package.json"}
    for name, kind in CONTENT_TYPES.items():
        answer = respond(f"/{name}")
        assert answer is not None
        assert answer.status == HTTPStatus.OK
        headers = dict(answer.headers)
        assert answer.body == (PAGE / name).read_bytes()
        assert headers["Content-Type"] == kind
        assert headers["Content-Length"] == str(len(answer.body))
        assert len(headers) == len(answer.headers)
    assert respond("/") == respond("/index.html")


def test_nothing_comes_from_elsewhere() -> None:
    answer = respond("/")
    assert answer is not None
    headers = dict(answer.headers)
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    for name in CONTENT_TYPES:
        text = (PAGE / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://(?!127\.0\.0\.1)|await import\(|\beval\(|innerHTML|\sstyle=", text), name
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son[a-z]+=\"", text), f"{name} has something inline"


def test_a_file_that_is_known_is_not_sent_again() -> None:
    first = respond("/page.js")
    assert first is not None
    tag = dict(first.headers)["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = respond("/page.js", known)
        assert again is not None
        assert (again.status, again.body) == (HTTPStatus.NOT_MODIFIED, b"")
        assert dict(again.headers)["ETag"] == tag
        assert "Content-Length" not in dict(again.headers)
    for unknown in ('"other"', "", tag.strip('"')):
        assert respond("/page.js", unknown) == first
    assert respond("/page.css", tag) != first


@given(
    path=st.one_of(
        st.text(max_size=40),
        st.builds(
            lambda parts, name: "/" + "/".join([*parts, name]),
            st.lists(st.sampled_from(["..", ".", "", "%2e%2e", "page", "live", "\\..", "~"]), min_size=1, max_size=5),
            st.sampled_from([*CONTENT_TYPES, "static.py", "package.json", "etc/passwd"]),
        ),
        st.sampled_from(
            [f"/{name}{more}" for name in CONTENT_TYPES for more in ("?", "?a", "#", "/", "%00", " ", ".map")]
        ),
        st.sampled_from(["/package.json", "", "//", "/?", "/INDEX.HTML", "index.html", "http://host/index.html"]),
    )
)
def test_no_other_path_leads_anywhere(path: str) -> None:
    if path != "/" and path.removeprefix("/") not in CONTENT_TYPES:
        assert respond(path) is None


def test_files_are_small_and_say_what_they_know() -> None:
    for path in PAGE.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, f"{path} is long: one idea a file"
        assert text.startswith("/**"), f"{path} has no header"
        assert re.search(r"(not|no) know|not what", text[:1500]), f"{path} has no header"
        assert max(map(len, text.splitlines())) <= 120, path


@pytest.mark.asyncio
async def test_the_server_gives_the_page_beside_the_websocket() -> None:
    async with serving() as server:

        def get(path: str, headers: Mapping[str, str] = MappingProxyType({})) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            try:
                connection.request(
                    "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
                )
                answer = connection.getresponse()
                return answer.status, dict(answer.headers), answer.read()
            finally:
                connection.close()

        status, headers, body = await asyncio.to_thread(get, "/")
        assert (status, body) == (200, (PAGE / "index.html").read_bytes())
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert headers["Connection"] == "close"
        tag = headers["ETag"]
        assert (await asyncio.to_thread(get, "/", {"If-None-Match": tag}))[0] == 304
        assert (await asyncio.to_thread(get, "/", {"Origin": "http://elsewhere.example"}))[0] == 403
        for path in ("/nothing", "/../static.py", "/package.json", "/?token=x", "/index.html?x"):
            status, headers, body = await asyncio.to_thread(get, path)
            assert status == 404
            assert b"no such page" in body
            assert "token" not in body.decode()
        # the websocket has only /
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        assert (await asyncio.to_thread(get, "/page.js", upgrade))[0] == 404
        async with streamrvq.connect(server.url) as stream:
            await stream.stop()
