"""The page in a real browser when something is refused or breaks, and its accessibility."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.async_api import Browser

import streamrvq
from tests.support.parking import Parking
from tests.support.service import serving, until
from tests.support.web.accessibility import faults
from tests.support.web.browser import SMALL, Relay, browser, positions_of, recordings, samples_of, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

# ------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("case", "words"),
    [("refused", "was refused"), ("none", "no microphone"), ("insecure", "https"), ("gone", "has gone")],
)
async def test_trouble_with_the_microphone_is_told(browser: Browser, case: str, words: str) -> None:
    script = {
        "none": "MediaDevices.prototype.getUserMedia = async () => { throw new DOMException('', 'NotFoundError'); };",
        "insecure": "Object.defineProperty(Navigator.prototype, 'mediaDevices', { value: undefined });",
        "gone": "const get = MediaDevices.prototype.getUserMedia; MediaDevices.prototype.getUserMedia ="
        " async function (wanted) { return (window.media = await get.call(this, wanted)); };",
    }
    async with serving(SMALL) as server, tab(browser, server.url, script.get(case, ""), case != "refused") as page:
        if case == "gone":
            await page.start()
            await page.encoded(0.3)
            await page.page.evaluate("media.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
        else:
            await page.page.click("#go")
        await page.says(words)
        await page.state("idle")
        assert await page.page.inner_text("#go") == "Start"
        if case == "gone":  # what came until then is there, to the last frame
            tokens = await page.download()
            assert np.array_equal(tokens.codes, SMALL.encode(page.sockets[0].pcm, sample_rate=tokens.source_rate))
        else:
            assert page.sockets == []


async def test_a_server_that_cannot_be_reached_is_told(browser: Browser) -> None:
    """It is not called lost: there was no connection yet."""
    async with serving(SMALL) as server, Relay(server.port) as relay, tab(browser, relay.url) as page:
        await page.page.wait_for_load_state("networkidle")  # all of the page itself is there
        relay.target = 1  # where nothing listens
        await page.page.click("#go")
        await page.says("cannot be reached")
        await page.says("--origin")
        await page.state("idle")


async def test_a_full_server_is_told(browser: Browser) -> None:
    async with serving(SMALL, max_streams=1) as server, tab(browser, server.url) as page:
        async with streamrvq.connect(server.url):
            await page.page.click("#go")
            await page.says("is full")
            await page.state("idle")
        # listening needs a stream of its own
        await page.start()
        await page.page.click("#listen")
        await page.says("Listening ended")
        assert not await page.page.is_checked("#listen")
        await page.encoded(0.3)
        await page.stop()


async def test_a_token_is_asked_for_and_never_in_the_url(browser: Browser) -> None:
    async with serving(SMALL, tokens=("sécret",)) as server, tab(browser, server.url) as page:
        for given in ("", "wrong"):
            assert await page.page.is_visible("#token-form") is bool(given)
            if given:
                await page.page.keyboard.type(given)
                await page.page.keyboard.press("Enter")
            else:
                await page.page.click("#go")
            await page.says("does not take this token" if given else "wants a token")
            await page.state("idle")
            await page.page.wait_for_function("() => document.activeElement.id === 'token'")
        assert await faults(page) == []
        await page.page.fill("#token", "sécret")
        await page.page.keyboard.press("Enter")
        await page.state("live")
        assert not await page.page.is_visible("#token-form")
        await page.stop()
        assert not [url for url in page.requests if "cret" in url]
        assert "cret" not in page.page.url
    assert [socket.first.get("token") for socket in page.sockets] == [None, "wrong", "sécret"]


async def test_a_page_that_the_system_pauses_keeps_its_streams_and_marks_the_gap(browser: Browser) -> None:
    script = """
      const Plain = AudioContext;
      window.AudioContext = class extends Plain {
        constructor(...given) { super(...given); window.context = this; }
      };"""
    limit = 3
    async with serving(SMALL, idle_timeout=limit) as server, tab(browser, server.url, script) as page:
        await page.page.check("#listen")
        await page.start()
        await page.encoded(0.5)
        await until(lambda: len(page.sockets) == 2)
        await page.page.evaluate("context.suspend()")
        before = [_empty(socket.sent) for socket in page.sockets]
        await until(  # one a second, or more
            lambda: all(_empty(s.sent) > n + 2 * limit for s, n in zip(page.sockets, before, strict=True))
        )
        assert await page.page.evaluate("document.body.dataset.state") == "live"
        await page.page.evaluate("context.resume()")
        await page.encoded(0.5, recording=2)
        assert await page.page.is_checked("#listen")
        await page.stop()
        rate, pcm, gaps = page.sockets[0].first["sample_rate"], page.sockets[0].pcm, page.sockets[0].gaps
        parts = recordings(page.sockets[0], rate)
        files = [await page.download(number + 1) for number in range(len(parts))]
    assert len(page.sockets) == 2, "neither was cut off"
    assert max(samples for _, samples in gaps) > limit * rate  # a busy machine may make others, too
    for file, (start, end) in zip(files, parts, strict=True):
        assert (file.start, file.source_rate) == (start, rate)
        assert np.array_equal(file.codes, SMALL.encode(pcm[start:end], sample_rate=rate))


def _empty(messages: list[str | bytes]) -> int:
    return sum(isinstance(data, bytes) and len(data) == 16 for data in messages)


# ------------------------------------------------------------- broken connections


async def test_a_broken_connection_is_resumed(browser: Browser) -> None:
    parking = Parking([150, 40], hop=512)
    async with parking.url() as url, tab(browser, url) as page:
        await page.start()
        await page.says("nothing was lost")
        await page.encoded(3)
        await page.stop()
        tokens = await page.download()
    assert [socket.first["type"] for socket in page.sockets] == ["start", "resume", "resume"]
    heard = np.zeros(parking.frames * 512, np.int16)
    heard[: len(parking.taken)] = parking.taken
    assert np.array_equal(tokens.codes, heard.view(np.uint16).reshape(-1, 512)[:, :4].T)
    assert tokens.num_samples == len(parking.taken)
    assert np.std(heard) > 300
    pieces = {pos: data for socket in page.sockets for pos, data in positions_of(socket.sent)}
    assert [pos for pos, data in pieces.items() if not np.array_equal(heard[pos : pos + len(data)], data)] == []


async def test_the_server_resumes_a_broken_connection(browser: Browser) -> None:
    async with serving(SMALL) as server, Relay(server.port) as relay, tab(browser, relay.url) as page:
        await page.start()
        await page.encoded(0.5)
        relay.cut()
        await page.says("nothing was lost")
        await page.encoded(1.5)
        await page.stop()
        tokens = await page.download()
    pieces = dict(piece for socket in page.sockets for piece in positions_of(socket.sent))
    pcm = np.zeros(max(pos + len(data) for pos, data in pieces.items()), np.int16)
    for pos, data in pieces.items():
        pcm[pos : pos + len(data)] = data
    assert np.array_equal(tokens.codes, SMALL.encode(pcm, sample_rate=tokens.source_rate))


@pytest.mark.parametrize("case", ["another server", "restart"])
async def test_a_stream_that_is_gone_is_replaced(browser: Browser, case: str) -> None:
    async with (
        serving(SMALL) as first, serving(SMALL) as second, Relay(first.port) as relay, tab(browser, relay.url) as page
    ):  # fmt: skip
        await page.page.check("#listen")
        await page.start()
        await page.encoded(0.5)
        if case == "restart":
            relay.target = 1  # where nothing listens
            await first.stop()
            await page.says("The server is restarting. What came so far is kept")
            relay.target = second.port
        else:
            relay.target = second.port
            relay.cut()
        await page.says("in a new stream")
        await page.encoded(0.8, recording=2)
        assert await page.page.is_checked("#listen")
        await page.stop()
        files = [await page.download(number) for number in (1, 2)]
    streams, played = (
        [socket for socket in page.sockets if socket.sent and socket.first.get("mode") == mode]
        for mode in ("encode", "decode")
    )
    assert len(streams) == 2
    assert len(played) == 2, "listening continues, too"
    assert samples_of(played[1].received).size > 0, "listening continues, too"
    for socket, tokens in zip(streams, files, strict=True):
        codes = SMALL.encode(socket.pcm, sample_rate=tokens.source_rate)
        assert tokens.codes.shape[1] > 20
        ended = tokens is files[1]
        assert np.array_equal(tokens.codes[:, :-1], codes[:, : tokens.codes.shape[1] - 1])
        assert not ended or np.array_equal(tokens.codes, codes)
    assert files[0].start == 0
    assert files[1].start >= files[0].num_samples


async def test_a_new_stream_waits_for_a_place(browser: Browser) -> None:
    """A server that has just restarted may be full of those who came back sooner."""
    async with (
        serving(SMALL) as first, serving(SMALL, max_streams=1) as second,
        Relay(first.port) as relay, tab(browser, relay.url) as page,
    ):  # fmt: skip
        await page.start()
        await page.encoded(0.5)
        async with streamrvq.connect(second.url):
            relay.target = second.port
            relay.cut()
            # The first one that asked was given a stream, the second one was refused.
            await until(lambda: sum(bool(s.sent) and s.first["type"] == "start" for s in page.sockets) >= 3)
        await page.says("in a new stream")
        await page.encoded(0.5, recording=2)
        await page.stop()


# ------------------------------------------------------------- accessibility


async def test_it_is_accessible(browser: Browser) -> None:
    async with serving(SMALL) as server, tab(browser, server.url) as page:
        assert await faults(page) == []
        await page.page.keyboard.press("Tab")
        await page.page.keyboard.press("Enter")
        await page.state("live")
        await page.encoded(0.5)
        assert await faults(page) == []
        order = []
        for _ in range(4):
            order.append(await page.page.evaluate("document.activeElement.id || document.activeElement.ariaLabel"))
            await page.page.keyboard.press("Tab")
        assert order == ["go", "levels", "listen", "Download recording 1"]
        await page.page.focus("#go")
        await page.page.keyboard.press("Space")
        await page.state("idle")
        assert await page.page.evaluate("document.activeElement.id") == "go"
