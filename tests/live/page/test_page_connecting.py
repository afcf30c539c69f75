"""What the user does while the page connects holds once it is connected, and nothing stays connected behind."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.async_api import Browser

from tests.support.contract import QUICK, codec_of, tiny
from tests.support.service import serving, until
from tests.support.web.browser import SMALL, Relay, browser, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

#: ``hold`` keeps first messages of that mode back, until ``release`` is called.
HOLD = """
  const send = WebSocket.prototype.send;
  window.hold = "";
  WebSocket.prototype.send = function (data) {
    const held = window.hold && typeof data === "string" && data.includes(`"mode":"${window.hold}"`);
    if (held) window.release = () => { window.hold = ""; send.call(this, data); };
    else send.call(this, data);
  };"""


async def test_levels_that_are_chosen_while_it_connects_hold_from_the_first_frame(browser: Browser) -> None:
    async with serving(SMALL) as server, tab(browser, server.url, HOLD) as page:
        await page.start()
        await page.encoded(0.3)
        await page.stop()
        await page.page.evaluate("hold = 'encode'")
        await page.page.click("#go")
        await page.page.wait_for_function("() => window.release")
        await page.page.focus("#levels")
        for _ in range(5):
            await page.page.keyboard.press("ArrowLeft")
        assert await page.page.inner_text("#levels-text") == "4 of 9"
        await page.page.evaluate("release()")
        await page.encoded(0.3, recording=2)
        await page.stop()
    assert {len(frame) for frame in page.sockets[0].frames} == {9}
    assert {len(frame) for frame in page.sockets[1].frames} == {4}


async def test_a_player_that_connects_after_the_stop_is_disconnected(browser: Browser) -> None:
    async with serving(SMALL) as server, tab(browser, server.url, HOLD) as page:
        await page.page.evaluate("hold = 'decode'")
        await page.page.check("#listen")
        await page.start()
        await page.page.wait_for_function("() => window.release")
        await page.encoded(0.3)
        await page.stop()
        await until(lambda: server.streams == 0)
        await page.page.evaluate("release()")
        await until(lambda: len(page.sockets) == 2 and page.sockets[1].received)  # ready
        await until(lambda: server.connections == 0)


async def test_a_recording_that_ends_with_its_server_has_as_many_samples_as_were_encoded(browser: Browser) -> None:
    async with serving(SMALL) as first, Relay(first.port) as relay, tab(browser, relay.url) as page:
        await page.start()
        await page.encoded(0.5)
        relay.target = 1  # where nothing listens
        await first.stop()
        await page.says("is restarting")
        await page.stop()
        tokens = await page.download()
    pcm = page.sockets[0].pcm
    assert tokens.num_samples == len(pcm)
    assert np.array_equal(tokens.codes, SMALL.encode(pcm, sample_rate=tokens.source_rate))


async def test_the_slider_shows_the_levels_of_a_stream_of_another_codec(browser: Browser) -> None:
    other = codec_of(tiny((4, 8, 16), causal=True, n_codebooks=6), *QUICK)
    async with (
        serving(SMALL) as first, serving(other) as second, Relay(first.port) as relay, tab(browser, relay.url) as page
    ):  # fmt: skip
        await page.start()
        await page.page.focus("#levels")
        for _ in range(5):
            await page.page.keyboard.press("ArrowLeft")
        relay.target = second.port
        await first.stop()
        await page.says("in a new stream")
        assert await page.page.inner_text("#levels-text") == "4 of 6"
        await page.encoded(0.3, recording=2)
        await page.stop()
    assert {len(frame) for frame in page.sockets[-1].frames} == {4}
