"""The page in a real browser whose microphone plays a file: it displays and saves the codec's own codes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.async_api import Browser

import streamrvq
from streamrvq.audio.rates import output_length
from streamrvq.resampling import resampler_between
from tests.support.command import Run
from tests.support.patience import PATIENCE
from tests.support.service import int16, serving, until
from tests.support.web.browser import SMALL, Tab, browser, frames_of, recordings, samples_of, tab

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")


def same(frames: list[list[int]], codes: np.ndarray[Any, Any]) -> bool:
    """Whether frames, each with any number of codes, are the first of the offline ones."""
    return all(frame == codes[: len(frame), t].tolist() for t, frame in enumerate(frames))


#: How often the page asks for an animation frame in 0.4 s.
FRAMES = """() => new Promise((done) => {
  const request = window.requestAnimationFrame;
  let count = 0;
  window.requestAnimationFrame = (draw) => { count += 1; return request.call(window, draw); };
  setTimeout(() => { window.requestAnimationFrame = request; done(count); }, 400);
})"""


# ------------------------------------------------------------- encoding


@pytest.mark.parametrize("name", ["small", "default"])
async def test_codes_equal_the_offline_ones_and_the_slider_acts_at_once(
    browser: Browser, run: Run, tmp_path: Path, name: str
) -> None:
    codec = SMALL if name == "small" else streamrvq.load(threads=1)
    async with serving(codec) as server, tab(browser, server.url) as page:
        await page.start()
        await page.encoded(0.5)
        await page.page.focus("#levels")
        for _ in range(5):
            await page.page.keyboard.press("ArrowLeft")
        assert await page.page.inner_text("#levels-text") == "4 of 9"
        await page.page.wait_for_function("() => document.querySelector('#newest li:nth-child(5)').textContent === '·'")
        await page.encoded(2.5)
        await page.shows("p50", "text => text !== '–'")
        await page.shows("p99", "text => text !== '–'")
        await page.shows("fps", f"text => Math.abs(parseFloat(text) - {codec.frame_rate}) < {codec.frame_rate}")
        assert await page.page.get_attribute("#level", "aria-valuetext") != "off"
        await page.stop()
        tokens = await page.download()
        if name == "default":
            wav = tmp_path / "decoded.wav"
            assert run("decode", page.file, "-o", wav).code == 0
    (socket,) = page.sockets
    pcm, rate = socket.pcm, socket.first["sample_rate"]
    assert np.std(pcm) > 300, "the microphone was heard"
    codes = codec.encode(pcm, sample_rate=rate)
    levels = [len(frame) for frame in socket.frames]
    assert len(levels) == codes.shape[1]
    assert same(socket.frames, codes)
    assert levels[0] == 9
    assert levels[-1] == 4
    assert levels == sorted(levels, reverse=True)
    # the file: as many codebooks as every frame has
    assert np.array_equal(tokens.codes, codes[:4])
    assert (tokens.num_samples, tokens.source_rate, tokens.gaps, tokens.start) == (len(pcm), rate, socket.gaps, 0)
    assert (tokens.codec, tokens.codec_hash, tokens.trained) == (codec.name, codec.codec_hash, codec.trained)
    assert (tokens.sample_rate, tokens.hop_length) == (codec.sample_rate, codec.hop_length)
    assert tokens.resampler == resampler_between(rate, codec.sample_rate)
    if name == "default":
        assert soundfile.info(wav).frames == output_length(len(pcm), rate, codec.sample_rate)


async def test_listening_plays_what_the_decoder_gives(browser: Browser) -> None:
    record = """
      window.played = [];
      const post = MessagePort.prototype.postMessage;
      MessagePort.prototype.postMessage = function (data, ...rest) {
        if (data instanceof Float32Array) played.push(...data);
        else if (data === "end") window.ended = true;
        return post.call(this, data, ...rest);
      };"""
    async with serving(SMALL) as server, tab(browser, server.url, record) as page:
        await page.page.check("#listen")
        await page.start()
        await page.encoded(1.5)
        await until(lambda: len(page.sockets) == 2 and len(frames_of(page.sockets[1].sent)) > 60)
        await page.stop()
        await page.page.wait_for_function("() => window.ended")
        played = np.array(await page.page.evaluate("played"), np.float32)
    encoding, decoding = page.sockets
    assert (encoding.first["mode"], decoding.first["mode"]) == ("encode", "decode")
    codes = np.array(frames_of(decoding.sent)).T
    assert codes.shape[1] > 60
    assert same(codes.T.tolist(), SMALL.encode(encoding.pcm, sample_rate=_rate(page))[:, -codes.shape[1] :])
    pcm = SMALL.decode(codes, decoding.first["sample_rate"]).astype(np.float32)
    assert np.array_equal(samples_of(decoding.received), int16(pcm)), "the server gives the decoder's samples"
    assert np.array_equal(played, int16(pcm).astype(np.float32) / 32768), "and all of them are played"
    assert np.abs(played).max() > 1e-3


def _rate(page: Tab) -> int:
    return int(page.sockets[0].first["sample_rate"])


async def test_every_sample_arrives_and_both_channels_count(browser: Browser) -> None:
    """A busy machine starves the device, so two channels replace it; their mean counts to 20 010, over and over."""
    counting = """
      AudioContext.prototype.createMediaStreamSource = function () {
        const buffer = this.createBuffer(2, 20011, this.sampleRate);
        for (const [channel, more] of [[0, 100], [1, -100]]) {
          buffer.copyToChannel(Float32Array.from({ length: 20011 }, (_, i) => (i + more) / 32768), channel);
        }
        const source = new AudioBufferSourceNode(this, { buffer, loop: true });
        source.start();
        return source;
      };"""
    async with serving(SMALL) as server, tab(browser, server.url, counting) as page:
        await page.start()
        await page.encoded(1)
        await page.stop()
    pcm = page.sockets[0].pcm.astype(int)
    assert len(pcm) > 44_000
    assert np.array_equal(pcm, (pcm[0] + np.arange(len(pcm))) % 20_011)


async def test_what_the_browser_loses_is_a_gap(browser: Browser) -> None:
    """The audio thread loses a tenth of a second of blocks, and later more than a second. The short gap stands in the
    file; the long one separates two recordings."""
    lossy = """
      const { set } = Object.getOwnPropertyDescriptor(MessagePort.prototype, "onmessage");
      let [end, losing] = [0, false];
      [window.blocks, window.losses] = [0, []];
      const lost = ({ data: { first, samples } }) => {
        if (!samples) return false;
        blocks += 1;
        if (blocks > 80 && (blocks <= 100 || (blocks > 180 && blocks <= 480))) return (losing = true);
        if (losing) losses.push(first - end);
        [end, losing] = [first + samples.length, false];
        return false;
      };
      Object.defineProperty(MessagePort.prototype, "onmessage", {
        set(handler) { set.call(this, (event) => lost(event) || handler(event)); },
      });"""
    async with serving(SMALL) as server, tab(browser, server.url, lossy) as page:
        await page.start()
        await page.page.wait_for_function("() => blocks > 560")
        await page.encoded(0.3, recording=2)
        await page.stop()
        (short, long), (socket,) = await page.page.evaluate("losses"), page.sockets
        rate, pcm, gaps = socket.first["sample_rate"], socket.pcm, socket.gaps
        parts = recordings(socket, rate)
        files = [await page.download(number + 1) for number in range(len(parts))]
    # A busy machine may lose some besides: within these gaps, and elsewhere.
    assert 20 * 256 <= short < rate < 300 * 256 <= long
    sizes = [samples for _, samples in gaps]
    assert short in sizes[: sizes.index(long)]
    assert len(parts) >= 2
    for file, (start, end) in zip(files, parts, strict=True):
        assert (file.start, file.num_samples) == (start, end - start)
        assert file.gaps == tuple((at - start, samples) for at, samples in gaps if start <= at < end)
        assert np.array_equal(file.codes, SMALL.encode(pcm[start:end], sample_rate=rate))


async def test_an_idle_page_draws_nothing(browser: Browser) -> None:
    async with serving(SMALL) as server, tab(browser, server.url) as page:
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                while await page.page.evaluate(FRAMES):
                    pass  # the last of what was there before
            await page.start()
            async with asyncio.timeout(PATIENCE):
                while await page.page.evaluate(FRAMES) < 2:
                    pass  # a busy machine draws few
            await page.stop()


async def test_a_second_start_is_a_second_recording(browser: Browser) -> None:
    async with serving(SMALL) as server, tab(browser, server.url) as page:
        for number in (1, 2):
            await page.start()
            await page.encoded(0.3, number)
            await page.stop()
        files = [await page.download(number) for number in (1, 2)]
    for socket, tokens in zip(page.sockets, files, strict=True):
        assert np.array_equal(tokens.codes, SMALL.encode(socket.pcm, sample_rate=tokens.source_rate))
