"""The end that a server tells: no frame may be missing, and what broke before it comes again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import streamrvq
from streamrvq import Frames, ProtocolError
from streamrvq.live.protocol.constants import SUBPROTOCOL
from streamrvq.live.protocol.text import Done, Resumed, Start
from streamrvq.live.server.handshake import ready_message
from tests.support.patience import PATIENCE
from tests.support.service import CAUSAL, packet
from tests.support.web.javascript import played

pytestmark = pytest.mark.asyncio

READY = ready_message(CAUSAL, "session", Start(mode="encode"), 1 << 15, PATIENCE).to_json()
FRAMES = packet(0, 0, np.arange(6, dtype="<u2").tobytes(), kind=2, flags=1, codebooks=3)
DONE = Done(frames=2, samples=100).to_json()


@asynccontextmanager
async def answering(*answers: Sequence[str | bytes]) -> AsyncIterator[str]:
    """A server that gives each of its connections these messages, the last one a close, the others none."""
    left = list(answers)

    async def answer(socket: ServerConnection) -> None:
        await socket.recv()
        for message in left.pop(0):
            await socket.send(message)
        if left:
            socket.transport.close()  # no close frame
        else:
            try:
                while json.loads(await socket.recv())["type"] != "stop":
                    pass
            except ConnectionClosed:
                pass

    offered = [SUBPROTOCOL]
    async with asyncio.timeout(PATIENCE), serve(answer, "127.0.0.1", 0, subprotocols=offered) as server:  # type: ignore[arg-type]
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("said", [0, 1, 3])
async def test_a_server_that_says_it_sent_another_number_of_frames_is_not_believed(said: int) -> None:
    messages = READY, FRAMES, Done(frames=said, samples=100).to_json()
    async with answering(messages) as url, streamrvq.connect(url) as stream:
        assert (await anext(stream)).codes.shape == (3, 2)  # type: ignore[union-attr]
        with pytest.raises(ProtocolError, match=f"it sent {said} frames; 2 came"):
            await anext(stream)
        assert stream.done is None
    async with answering(messages) as url:
        (events,) = await played({"url": url, "options": {}, "steps": []})
    assert [event["count"] for event in events if event["type"] == "frames"] == [2]
    assert [event["name"] for event in events if event["type"] == "error"] == ["ProtocolError"]


async def test_a_server_that_says_it_sent_more_samples_is_not_believed() -> None:
    pcm = packet(0, 0, np.zeros(5, "<f4").tobytes(), flags=1)
    messages = READY, pcm, Done(frames=0, samples=6).to_json()
    async with answering(messages) as url, streamrvq.connect(url, "decode") as stream:
        assert len(await anext(stream)) == 5  # type: ignore[arg-type]
        with pytest.raises(ProtocolError, match="it sent 6 samples; 5 came"):
            await anext(stream)


async def test_the_final_message_comes_again_where_the_connection_broke_behind_it() -> None:
    """`done` was lost. A server that resumes has nothing left but an empty final message and that."""
    again = Resumed(pos=0, next_frame=2).to_json(), packet(0, 2, b"", kind=2, flags=1, codebooks=3), DONE
    async with answering((READY, FRAMES), again) as url, streamrvq.connect(url) as stream:
        items = [item async for item in stream]
        assert stream.done == Done(frames=2, samples=100)
    (item,) = items
    assert isinstance(item, Frames)
    assert item.codes.T.tolist() == [[0, 1, 2], [3, 4, 5]]
