"""The bridge of demos/telephony_bridge.py and callers that send nonsense: a sentence for each, and no traceback."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

import streamrvq
from tests.support.paths import DEMOS
from tests.support.patience import PATIENCE
from tests.support.service import connect_raw, serving


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMOS))
    for name in ("_audio", "_live", "telephony_bridge"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("telephony_bridge")


FORMAT: dict[str, Any] = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
PAYLOAD = base64.b64encode(bytes(160)).decode()


def start(**changes: Any) -> str:
    return json.dumps({"event": "start", "start": {"mediaFormat": FORMAT | changes}})


def media(**fields: Any) -> str:
    return json.dumps({"event": "media", "media": {"chunk": "1", "payload": PAYLOAD} | fields})


GOOD = media()
NONSENSE: list[tuple[list[str | bytes], str]] = [
    (["hello"], "a message is not JSON: 'hello'"), ([b"\xff\xfe"], "is not JSON"), (["[" * 100_000], "is not JSON"),
    (["[1, 2]"], "has no event"), (['{"event": 5}'], "has no event"), (["null"], "has no event"),
    (['{"event": "start"}'], "no start.mediaFormat"), (['{"event": "start", "start": []}'], "no start.mediaFormat"),
    ([start(encoding="audio/x-l16")], "wanted one channel of audio/x-mulaw or audio/x-alaw"),
    ([start(encoding=["[/red]"])], "wanted one channel"), ([start(channels=2)], "wanted one channel"),
    ([start(sampleRate=None)], "with its sampleRate"), ([start(sampleRate="8000")], "with its sampleRate"),
    ([start(sampleRate=7)], "sample_rate is 7; wanted a whole number of Hz"),
    ([start(), GOOD, "{"], "is not JSON"), ([start(), '{"event": "media"}'], "no media.chunk and media.payload"),
    ([start(), GOOD, media(chunk="two")], "media.chunk is 'two'; wanted a whole number"),
    ([start(), media(chunk=-1)], "media.chunk is '-1'"), ([start(), media(chunk="9" * 5000)], "media.chunk is"),
    ([start(), GOOD, media(chunk=2, payload="not base64!")], "payload of media message 2 is not base64"),
    (['{"event": "connected"}', '{"event": "stop"}'], "a stop message came before start"),
    ([GOOD, start()], "a media message came before start"), ([start(), GOOD, start()], "a second start message came"),
    ([start(), media(payload=None)], "is not base64"), ([start(), media(payload="é")], "is not base64"),
]  # fmt: skip


@pytest.mark.asyncio
async def test_nonsense_is_refused_in_a_sentence(
    bridge: ModuleType, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    bridge.console.file = sys.stdout
    async with (
        serving() as server,
        serve(
            lambda call: bridge.answer(call, server.url), "127.0.0.1", 0, open_timeout=PATIENCE, ping_interval=None
        ) as bridges,
        asyncio.timeout(PATIENCE),
    ):
        url = f"ws://127.0.0.1:{bridges.sockets[0].getsockname()[1]}"
        for messages, words in NONSENSE:
            async with connect_raw(url) as call:
                try:
                    for message in messages:
                        await call.send(message)
                except ConnectionClosed:
                    pass
                await call.wait_closed()
            printed = capsys.readouterr().out.splitlines()
            assert call.close_code == 1008, messages
            assert words in printed[-1], (messages, printed)
            assert printed[-1].startswith("the call was refused: ")
            assert call.close_reason is not None
            assert call.close_reason[:30] in printed[-1].encode("ascii", "replace").decode()
        async with connect_raw(url) as call:  # and the bridge goes on; this one breaks off
            await call.send(start())
            await call.send(GOOD)
            call.transport.abort()
        while "broke off" not in (printed_last := capsys.readouterr().out):
            assert "Traceback" not in printed_last
            await asyncio.sleep(0.01)
    assert "Traceback" not in caplog.text


@pytest.mark.asyncio
async def test_a_message_without_samples_after_lost_ones(bridge: ModuleType) -> None:
    """The lost ones count as long as those before them, and 20 ms where there were none."""

    async def call(*messages: str) -> AsyncIterator[str]:
        for message in messages:
            yield message

    async def lengths(*messages: str) -> list[tuple[str, int]]:
        items = [item async for item in bridge.media(call(*messages), 8000)]
        return [("gap", item.samples) if isinstance(item, streamrvq.Gap) else ("block", len(item)) for item in items]

    short = base64.b64encode(bytes(80)).decode()
    found = await lengths(media(payload=short), media(chunk=4, payload=""), media(chunk=5, payload=short))
    assert found == [("block", 80), ("gap", 160), ("block", 0), ("block", 80)]
    assert await lengths(media(chunk=3, payload="")) == [("gap", 320), ("block", 0)]
