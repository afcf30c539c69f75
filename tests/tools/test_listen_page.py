"""The page of tools/listen in a real browser, opened as a file: players, positions, keys."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from streamrvq.weights import save_weights, seeded
from tests.support.contract import tiny
from tests.support.paths import AUDIO
from tests.support.web.accessibility import faults
from tests.support.web.browser import SPEECH, Tab, browser, tab
from tools.listen_page.__main__ import main

__all__ = ["browser"]  # a fixture
pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The original, and this codec at 9, 4 and 2 codebooks.
VERSIONS = 4
_PLAYING = "[...document.querySelectorAll('audio')].flatMap((audio, i) => audio.paused ? [] : [i])"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with two clips of 4 s."""
    folder = tmp_path_factory.mktemp("listen")
    save_weights(seeded(tiny((4, 8, 16), causal=True)), folder / "small.safetensors")
    clips = [str(SPEECH), str(AUDIO / "guitar_01.ogg")]
    options = ["--seconds", "4", "--opus", "none", "--codec", str(folder / "small.safetensors")]
    assert main([*clips, *options, "--out", str(folder / "out")]) == 0
    return (folder / "out" / "index.html").as_uri()


async def position(opened: Tab, player: int) -> float:
    return float(await opened.page.evaluate("i => document.querySelectorAll('audio')[i].currentTime", player))


async def playing(opened: Tab, *players: int) -> None:
    """Wait until these players play, and no others."""
    await opened.page.wait_for_function(f"wanted => String({_PLAYING}) === String(wanted)", arg=list(players))


async def test_one_player_plays_and_the_position_stays_with_the_clip(browser: Browser, page: str) -> None:
    async with tab(browser, page) as opened:
        players = opened.page.locator("audio")
        assert await players.count() == 2 * VERSIONS
        await opened.page.wait_for_function(
            "[...document.querySelectorAll('audio')].every(audio => Math.abs(audio.duration - 4) < 1e-3)"
        )
        # someone moves the original to 2 s and plays another version
        await opened.page.evaluate("document.querySelectorAll('audio')[0].currentTime = 2")
        await opened.page.wait_for_function("!document.querySelectorAll('audio')[0].seeking")
        await players.nth(2).evaluate("audio => { audio.playbackRate = 0.1; return audio.play() }")
        await playing(opened, 2)
        assert 2 <= await position(opened, 2) < 4  # which it reaches in 20 s
        # another clip begins at its own start, and stops the first
        await players.nth(VERSIONS).evaluate("audio => { audio.playbackRate = 0.1; return audio.play() }")
        await playing(opened, VERSIONS)
        assert await position(opened, VERSIONS) < 2
        # back: where the clip was
        was = await position(opened, 2)
        await players.nth(1).evaluate("audio => { audio.playbackRate = 0.1; return audio.play() }")
        await playing(opened, 1)
        assert was <= await position(opened, 1) < 4
        await players.nth(1).evaluate("audio => audio.pause()")
        await playing(opened)


async def test_keys_change_the_version_of_the_clip_in_focus(browser: Browser, page: str) -> None:
    async with tab(browser, page) as opened:
        await opened.page.evaluate("for (const audio of document.querySelectorAll('audio')) audio.playbackRate = 0.1")
        await opened.page.keyboard.press("2")
        await opened.page.locator("audio").nth(VERSIONS).focus()
        await opened.page.keyboard.press("3")
        await playing(opened, VERSIONS + 2)
        await opened.page.keyboard.press("1")
        await playing(opened, VERSIONS)
        await opened.page.keyboard.press("1")
        await playing(opened)
        assert await position(opened, VERSIONS) < 4, "it was paused, not over"
        await opened.page.keyboard.press("9")  # there is no such version
        await playing(opened)


async def test_after_the_end_another_version_begins_at_the_start(browser: Browser, page: str) -> None:
    async with tab(browser, page) as opened:
        first = opened.page.locator("audio").nth(0)
        await first.evaluate("audio => { audio.currentTime = 3.9; return audio.play() }")
        await opened.page.wait_for_function("document.querySelectorAll('audio')[0].ended")
        await opened.page.locator("audio").nth(1).evaluate("audio => { audio.playbackRate = 0.1; return audio.play() }")
        assert await position(opened, 1) < 3


async def test_it_is_accessible(browser: Browser, page: str) -> None:
    async with tab(browser, page) as opened:
        assert await faults(opened) == []
        names = await opened.page.evaluate("[...document.querySelectorAll('audio')].map(audio => audio.ariaLabel)")
        assert len(set(names)) == 2 * VERSIONS


async def test_without_a_script_every_version_can_be_played(browser: Browser, page: str) -> None:
    context = await browser.new_context(java_script_enabled=False)
    try:
        plain = await context.new_page()
        await plain.goto(page)
        assert await plain.locator("audio[controls]:visible").count() == 2 * VERSIONS
        assert await plain.locator(".with-script:visible").count() == 0, "it tells of keys that do nothing"
    finally:
        await context.close()
