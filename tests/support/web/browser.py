"""A real Chromium with a fake microphone, tabs whose websockets are recorded, and a relay that can break connections.

Knows: how to start and watch them. Does not know: what is asserted of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import shutil
import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import soundfile
from playwright.async_api import Browser, Page, WebSocket, async_playwright

from streamrvq.tokens import TokenFile, read_tokens
from tests.support.contract import QUICK, codec_of, tiny
from tests.support.paths import DEMOS
from tests.support.patience import PATIENCE

#: Nine codebooks, little work, and the same codes however the audio is cut.
SMALL = codec_of(tiny((4, 8, 16), causal=True), *QUICK)
SPEECH = DEMOS / "audio" / "speech_hu.flac"

#: Features that are off: those that Playwright turns off, for the last list counts, and two popups of the address bar,
#: for which each window has a process that takes longer to start than the page.
_OFF = [
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch", "TcpPortRandomizationWin",
    "ThirdPartyStoragePartitioning", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",
]  # fmt: skip
_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic", f"--disable-features={','.join(_OFF)}",
]  # fmt: skip


@contextlib.asynccontextmanager
async def chromium(wav: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone hears a file, over and over. Skips where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium (Debian: chromium)")
    async with async_playwright() as playwright:
        flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={wav}"]
        browser = await playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    wav = tmp_path_factory.mktemp("microphone") / "speech.wav"
    pcm, rate = soundfile.read(SPEECH, dtype="int16")
    soundfile.write(wav, pcm, rate, subtype="PCM_16")
    async with chromium(wav) as opened:
        yield opened


class RecordedSocket:
    """One websocket of a page, as the browser itself records it."""

    def __init__(self, socket: WebSocket) -> None:
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        socket.on("framesent", lambda data: self.sent.append(data))
        socket.on("framereceived", lambda data: self.received.append(data))

    @property
    def first(self) -> dict[str, Any]:
        """The page's first message."""
        assert isinstance(self.sent[0], str)
        message: dict[str, Any] = json.loads(self.sent[0])
        return message

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The gaps that the page reported, ``(position, samples)``: a busy machine starves the browser."""
        found = [json.loads(text) for text in self.sent if isinstance(text, str) and '"gap"' in text]
        return tuple((gap["pos"], gap["samples"]) for gap in found)

    @property
    def pcm(self) -> np.ndarray[Any, Any]:
        """Samples that the page sent, each at its position, int16 ``[n]``. Zeros stand in gaps."""
        parts, at = [np.zeros(0, np.int16)], 0
        for position, samples in positions_of(self.sent):
            parts += [np.zeros(position - at, np.int16), samples]
            at = position + len(samples)
        return np.concatenate(parts)

    @property
    def frames(self) -> list[list[int]]:
        """The codes of each frame that came."""
        return frames_of(self.received)


def recordings(socket: RecordedSocket, rate: int) -> list[tuple[int, int]]:
    """Where each recording begins and ends, in samples. A gap of more than a second is between two of them."""
    long = [gap for gap in socket.gaps if gap[1] > rate]
    return list(zip([0, *map(sum, long)], [*(position for position, _ in long), len(socket.pcm)], strict=True))


def frames_of(messages: Sequence[str | bytes]) -> list[list[int]]:
    """The codes of each frame in CODES messages."""
    frames: list[list[int]] = []
    for data in messages:
        if isinstance(data, bytes) and data[0] == 2:
            _, _, codebooks, _, pos = struct.unpack_from("<BBHIQ", data)
            assert pos == len(frames)
            frames.extend(_payload(data, "<u2").reshape(-1, codebooks).tolist())
    return frames


def positions_of(messages: Sequence[str | bytes]) -> list[tuple[int, np.ndarray[Any, Any]]]:
    """The position and the samples, int16 ``[n]``, of each PCM message that a page sent."""
    return [
        (struct.unpack_from("<Q", data, 8)[0], _payload(data, "<i2")) for data in messages if isinstance(data, bytes)
    ]


def samples_of(messages: Sequence[str | bytes]) -> np.ndarray[Any, Any]:
    """The samples in PCM messages, int16 ``[n]``."""
    return np.concatenate([_payload(data, "<i2") for data in messages if isinstance(data, bytes) and data[0] == 1])


def _payload(data: bytes, dtype: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(data, dtype, offset=16)


@dataclasses.dataclass
class Tab:
    """An open page.

    Attributes:
        sockets: its websockets, in the order of opening.
        faults: errors that it raised or that the console showed, broken connections left out.
        requests: every URL that was requested.
    """

    page: Page
    sockets: list[RecordedSocket] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)

    async def start(self) -> None:
        await self.page.click("#go")
        await self.state("live")

    async def state(self, *states: str) -> None:
        """Wait until the page is in one of these states."""
        await self.page.wait_for_selector(", ".join(f'body[data-state="{state}"]' for state in states))

    async def says(self, text: str) -> None:
        """Wait until the status contains this text."""
        await self.page.wait_for_function(
            "text => document.getElementById('status').textContent.includes(text)", arg=text
        )

    async def shows(self, name: str, condition: str) -> None:
        """Wait until a figure's text, named by its id, satisfies a condition in JavaScript."""
        await self.page.wait_for_function(f"name => ({condition})(document.getElementById(name).textContent)", arg=name)

    async def encoded(self, seconds: float, recording: int = 1) -> None:
        """Wait until a recording is this long."""
        await self.page.wait_for_function(
            "([recording, seconds]) => [...document.querySelectorAll('#recordings li')].some(row =>"
            " row.textContent.startsWith(`Recording ${recording}:`) &&"
            " parseFloat(row.textContent.split(':')[1]) >= seconds)",
            arg=[recording, seconds],
        )

    async def stop(self) -> None:
        await self.page.click("#go")
        await self.state("idle")

    async def download(self, recording: int = 1) -> TokenFile:
        """A recording's file, read."""
        async with self.page.expect_download() as waiting:
            await self.page.get_by_role("button", name=f"Download recording {recording}", exact=True).click()
        self.file = Path(await (await waiting.value).path())
        return read_tokens(self.file)


@contextlib.asynccontextmanager
async def tab(browser: Browser, url: str, script: str = "", microphone: bool = True) -> AsyncIterator[Tab]:
    """A page from a server at ``ws://…``, or a file at ``file://…``, in a profile of its own.

    It must raise no error and request nothing from elsewhere. ``script`` runs before the page's own scripts. Without
    ``microphone`` the browser refuses it.
    """
    small = {"width": 400, "height": 700}  # without a graphics card, drawing costs more than anything else
    context = await browser.new_context(permissions=["microphone"] if microphone else [], viewport=small)
    context.set_default_timeout(1000 * PATIENCE)
    page = await context.new_page()
    opened, address = Tab(page), f"http{url.removeprefix('ws')}" if url.startswith("ws") else url
    origin = address.rpartition("/")[0] if address.startswith("file:") else address
    page.on("websocket", lambda socket: opened.sockets.append(RecordedSocket(socket)))
    page.on("pageerror", lambda error: opened.faults.append(str(error)))
    page.on(
        "console", lambda message: opened.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("request", lambda request: opened.requests.append(request.url))
    if script:
        await page.add_init_script(script)
    try:
        await page.goto(address)
        yield opened
    finally:
        await context.close()
    faults = [text for text in opened.faults if not text.startswith("WebSocket connection to")]
    assert not faults, faults
    assert [request for request in opened.requests if not request.startswith((origin, "blob:" + origin))] == []


class Relay:
    """Stands between a page and a server. It can break connections and connect to another server."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection without closing it properly."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, to_server}
        await asyncio.gather(self._pass_on(reader, to_server), self._pass_on(from_server, writer))
        self._open -= {writer, to_server}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 14):
                writer.write(data)
                await writer.drain()
        writer.close()
