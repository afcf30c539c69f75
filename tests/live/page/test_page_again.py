"""The page when something is done again: after an error, after Stop, with another codec, and with many recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser

from streamrvq.live.server.server import Server
from tests.support.service import CAUSAL, serving, until
from tests.support.web.browser import SMALL, Relay, Tab, browser, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_listening_that_failed_stays_off(browser: Browser) -> None:
    async with serving(SMALL, max_streams=1) as server, tab(browser, server.url) as page:
        await page.start()
        await page.page.click("#listen")
        await page.says("Listening ended")
        await page.stop()
        before = len(page.sockets)
        await page.start()
        await page.encoded(0.5, recording=2)
        await page.stop()
        assert len(page.sockets) == before + 1
        assert await page.page.inner_text("#status") == "Stopped."


async def test_a_page_that_one_comes_back_to_shows_what_it_does(browser: Browser) -> None:
    """A browser puts back what a form had, though the scripts begin anew."""
    async with serving(SMALL) as server, tab(browser, server.url) as page:
        await page.page.check("#listen")
        # A browser asks for this beside a file that is no page.
        await page.page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        await page.page.goto(f"{server.url.replace('ws:', 'http:')}/page.css")
        await page.page.go_back()
        await page.start()
        await page.encoded(0.3)
        assert not await page.page.is_checked("#listen")
        assert len(page.sockets) == 1
        await page.stop()


async def test_stop_while_the_connection_is_broken_is_never_called_live(browser: Browser) -> None:
    async with serving(SMALL) as server, Relay(server.port) as relay, tab(browser, relay.url) as page:
        await page.start()
        await page.encoded(0.3)
        relay.target = 1  # where nothing listens
        relay.cut()
        await page.state("lost")
        await page.page.evaluate(
            "() => { window.states = []; new MutationObserver(() => states.push(document.body.dataset.state))"
            ".observe(document.body, { attributeFilter: ['data-state'] }); }"
        )
        await page.page.click("#go")
        await page.state("stopping")
        relay.target = server.port
        await page.state("idle")
        assert await page.page.evaluate("states") == ["stopping", "idle"]
        assert await page.page.inner_text("#status") == "Stopped."


@asynccontextmanager
async def another_codec_next(browser: Browser) -> AsyncIterator[tuple[Tab, Relay, Server]]:
    """A page before a relay that leads to a server, and the server with another codec that it may lead to next."""
    async with (
        serving(SMALL) as first, serving(CAUSAL) as second, Relay(first.port) as relay, tab(browser, relay.url) as page,
    ):  # fmt: skip
        yield page, relay, second


async def test_the_codebooks_that_were_chosen_are_shown_for_another_codec(browser: Browser) -> None:
    async with another_codec_next(browser) as (page, relay, second):
        await page.start()
        await page.page.fill("#levels", "2")
        await page.encoded(0.3)
        await page.stop()
        relay.target = second.port
        await page.start()
        await page.encoded(0.3, recording=2)
        await page.stop()
        assert (await page.download(2)).codes.shape[0] == 2
        assert await page.page.inner_text("#levels-text") == f"2 of {CAUSAL.n_codebooks}"
        assert await page.page.input_value("#levels") == "2"


async def test_a_server_that_comes_back_with_fewer_codebooks_than_were_chosen(browser: Browser) -> None:
    async with another_codec_next(browser) as (page, relay, second):
        await page.start()
        await page.page.fill("#levels", "8")
        await page.encoded(0.3)
        relay.target = second.port
        relay.cut()
        await page.says("in a new stream")
        await page.encoded(0.3, recording=2)
        most = CAUSAL.n_codebooks
        assert await page.page.inner_text("#levels-text") == f"{most} of {most}"
        await page.stop()
        await page.start()
        await page.page.fill("#levels", "2")
        await page.encoded(0.3, recording=3)
        await page.stop()
        assert [(await page.download(number)).codes.shape[0] for number in (2, 3)] == [most, 2]


async def test_the_time_at_the_end_has_every_frame(browser: Browser) -> None:
    """It is shown four times a second, and here never but at the end."""
    async with serving(SMALL) as server, tab(browser, server.url, "window.setInterval = () => 0;") as page:
        await page.start()
        await until(lambda: len(page.sockets[0].received) > 30)
        await page.stop()
        seconds = len(page.sockets[0].frames) * SMALL.hop_length / SMALL.sample_rate
        assert await page.page.inner_text("#elapsed") == f"0:{int(10 * seconds + 0.5) / 10:04.1f}"


async def test_an_empty_recording_takes_no_others_place(browser: Browser) -> None:
    script = """async () => {
      const { RecordingList } = await import("./recording_list.js");
      const list = new RecordingList(document.createElement("ul"));
      const rows = () => [...list.list.children].map((row) => Number(row.dataset.number));
      const recordings = Array.from({ length: 12 }, () => ({ seconds: 1, frames: 5, codebooks: 9 }));
      recordings[10].frames = 0;
      recordings.slice(0, 11).forEach((one) => list.add(one));
      const seen = [rows()];
      list.update(recordings[10]);
      seen.push(rows());
      list.add(recordings[11]);
      return [...seen, rows()];
    }"""
    async with serving(SMALL) as server, tab(browser, server.url) as page:
        seen = await page.page.evaluate(script)
    assert seen == [[*range(11, 0, -1)], [*range(10, 0, -1)], [12, *range(10, 1, -1)]]
