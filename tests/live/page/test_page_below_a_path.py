"""The page and the websocket below a path, behind a reverse proxy that strips the path or keeps it."""

from __future__ import annotations

import asyncio
import http.client

import numpy as np
import pytest
from playwright.async_api import Browser

import streamrvq
from streamrvq.errors import ServiceError
from tests.support.contract import noise
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, joined, serving, until
from tests.support.web.below import PathProxy
from tests.support.web.browser import SMALL, browser, frames_of, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("path", "strip"), [("/codec/", True), ("/a-b/v1.2/", False)])
async def test_the_page_works_below_a_path(browser: Browser, path: str, strip: bool) -> None:
    async with (
        serving(SMALL) as server, PathProxy(server.port, path, strip) as proxy, tab(browser, proxy.url) as page
    ):  # fmt: skip
        await page.page.check("#listen")
        await page.start()
        await page.encoded(0.5)
        await until(lambda: len(page.sockets) == 2 and len(frames_of(page.sockets[1].sent)) > 20)
        await page.stop()
        tokens = await page.download()
        # `tab` looks at all requests: none is above the path
        assert {url.removeprefix(page.page.url) for url in page.requests} >= {"page.js", "page.css"}
    assert np.array_equal(tokens.codes, SMALL.encode(page.sockets[0].pcm, sample_rate=tokens.source_rate))


@pytest.mark.parametrize("strip", [True, False])
async def test_clients_and_monitors_below_a_path(strip: bool) -> None:
    pcm = noise(1000)

    def get(port: int, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    async with serving() as server, PathProxy(server.port, "/codec/", strip) as proxy:
        async with streamrvq.connect(proxy.url) as stream:
            stream.feed([pcm])
            assert np.array_equal(joined([item async for item in stream], "encode"), CAUSAL.encode(pcm))
        port = int(proxy.url.split(":")[2].split("/")[0])
        for name in ("", "index.html", "page.js", "health", "metrics"):
            assert await asyncio.to_thread(get, port, f"/codec/{name}") == 200
        for name in (
            "nothing",
            "package.json",
            "..",
            "../page.js",
            "./",
            "%2e%2e/page.js",
            "?token=x",
            "page.js?x",
            "health/",
            "page.js/",
        ):
            assert await asyncio.to_thread(get, port, f"/codec/{name}") == 404, name
        for path in ("codec", "codec/page.js", "codec/?token=x"):
            with pytest.raises(ServiceError, match="HTTP 404"):
                async with streamrvq.connect(f"{server.url}/{path}"):
                    pass
        with pytest.raises(ServiceError, match="end that with a slash"):
            async with streamrvq.connect(f"{server.url}/codec"):
                pass
