"""The page where the network is too slow, the server heard nothing of it for too long, or something takes its time."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.async_api import Browser

from tests.support.service import serving
from tests.support.web.browser import SMALL, browser, recordings, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_of_what_a_slow_network_does_not_take_a_minute_waits_and_the_rest_is_a_gap(browser: Browser) -> None:
    """A browser keeps what it could not send, however much that is."""
    script = """
      [window.unsent, window.asked] = [0, 0];
      const get = () => ((window.asked += 1), window.unsent);
      Object.defineProperty(WebSocket.prototype, "bufferedAmount", { get });"""
    async with serving(SMALL) as server, tab(browser, server.url, script) as page:

        async def blocks(count: int) -> None:
            """Wait until the microphone has given so many more."""
            until = await page.page.evaluate("asked") + count
            await page.page.wait_for_function("until => asked >= until", arg=until)

        await page.start()
        await page.encoded(0.3)
        rate = page.sockets[0].first["sample_rate"]
        await page.page.evaluate(f"unsent = {59 * 2 * rate}")
        await page.encoded(0.6)  # it is still sent
        await page.page.evaluate(f"unsent = {61 * 2 * rate}")
        await page.says("is too slow")
        await page.state("slow")
        assert await page.page.inner_text("#go") == "Stop"
        await page.page.evaluate(f"unsent = {30 * 2 * rate}")  # too much still
        before = len(page.sockets[0].pcm)
        await blocks(50)
        assert len(page.sockets[0].pcm) == before
        await page.page.evaluate("unsent = 0")
        await page.says("is lost, and marked as a gap")
        await page.state("live")
        assert page.sockets[0].gaps
        await blocks(50)
        await page.stop()
        pcm, parts = page.sockets[0].pcm, recordings(page.sockets[0], rate)
        files = [await page.download(number + 1) for number in range(len(parts))]
    for file, (start, end) in zip(files, parts, strict=True):
        assert (file.start, file.num_samples) == (start, end - start)
        assert np.array_equal(file.codes, SMALL.encode(pcm[start:end], sample_rate=rate))


async def test_a_stream_that_its_server_heard_nothing_of_is_replaced(browser: Browser) -> None:
    """As when the system has paused the page: the connection holds, and the server closes it with 4408."""
    script = """
      const send = WebSocket.prototype.send;
      window.silent = false;
      WebSocket.prototype.send = function (data) {
        this.addEventListener("close", () => (window.silent = false));
        if (!window.silent) send.call(this, data);
      };"""
    async with serving(SMALL, idle_timeout=3) as server, tab(browser, server.url, script) as page:
        await page.start()
        await page.encoded(0.3)
        await page.page.evaluate("silent = true")
        await page.says("in a new stream")
        await page.encoded(0.3, recording=2)
        await page.stop()
        files = [await page.download(number) for number in (1, 2)]
    assert files[1].start > files[0].num_samples
    codes = SMALL.encode(page.sockets[1].pcm, sample_rate=files[1].source_rate)
    assert np.array_equal(files[1].codes, codes)


async def test_it_says_what_it_waits_for(browser: Browser) -> None:
    script = """
      const get = MediaDevices.prototype.getUserMedia;
      const granted = new Promise((resolve) => (window.grant = resolve));
      MediaDevices.prototype.getUserMedia = async function (wanted) { await granted; return get.call(this, wanted); };
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (data) {
        if (typeof data !== "string" || !data.includes('"start"')) return send.call(this, data);
        window.release = () => send.call(this, data);
      };"""
    async with serving(SMALL) as server, tab(browser, server.url, script) as page:
        await page.page.click("#go")
        await page.says("Asking for the microphone")
        await page.page.evaluate("grant()")
        await page.says("Connecting to the server")
        assert await page.page.get_attribute("#go", "aria-disabled") == "true"
        await page.page.wait_for_function("() => window.release")
        await page.page.evaluate("release()")
        await page.state("live")
        await page.stop()


async def test_a_microphone_that_goes_before_it_is_used_is_told(browser: Browser) -> None:
    """No event tells of it any more."""
    script = """
      const get = MediaDevices.prototype.getUserMedia;
      MediaDevices.prototype.getUserMedia = async function (wanted) {
        const media = await get.call(this, wanted);
        media.getAudioTracks()[0].stop();
        return media;
      };"""
    async with serving(SMALL) as server, tab(browser, server.url, script) as page:
        await page.page.click("#go")
        await page.says("The microphone has gone")
        await page.state("idle")
        assert page.sockets == []
