"""Node, and the JavaScript client in it: a plan goes in as JSON, what happened comes out as JSON lines.

Knows: how to start Node with a WebSocket, the words of tests/support/client.mjs. Does not know: what is asserted.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

#: Debian's package node-ws, for a Node that has no WebSocket of its own.
_WS = Path("/usr/share/nodejs/ws/wrapper.mjs")


@functools.cache
def node() -> tuple[str, ...]:
    """Node's command line, with a WebSocket. Skips where Node is missing."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("there is no Node (Debian: nodejs)")
    given = f'import {{ WebSocket }} from "{_WS.as_uri()}"; globalThis.WebSocket = WebSocket;'
    for options in ([], ["--experimental-websocket", "--no-warnings"], ["--import", f"data:text/javascript,{given}"]):
        test = [program, *options, "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
        if subprocess.run(test, capture_output=True, timeout=PATIENCE).returncode == 0:
            return (program, *options)
    pytest.skip("Node has no WebSocket (wanted: Node 20.10 or newer, or Debian's node-ws)")


async def played(*plans: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """What each plan's stream gave, all at once in one process. A plan has ``url``, ``options`` and ``steps``."""
    client = await asyncio.create_subprocess_exec(
        *node(), str(ROOT / "tests" / "support" / "client.mjs"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        out, err = await client.communicate(json.dumps(plans).encode())
    assert (client.returncode, err) == (0, b""), err.decode()
    events: list[list[dict[str, Any]]] = [[] for _ in plans]
    for line in out.decode().splitlines():
        event = json.loads(line)
        events[event.pop("plan")].append(event)
    return events


def sending(block: np.ndarray[Any, Any]) -> list[Any]:
    """The step that sends samples, float32 or int16 ``[n]``, or codes ``[K, n]``."""
    if block.ndim == 2:
        data, kind = block.T.astype("<u2"), f"codes{block.shape[0]}"
    else:
        data, kind = block, str(block.dtype)
    return ["send", kind, base64.b64encode(data.tobytes()).decode()]


def codes_of(events: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """All codes ``[K, T]`` of a stream that did not change their number."""
    frames = [np.array(e["codes"], np.int64).reshape(-1, e["codebooks"]).T for e in events if e["type"] == "frames"]
    return np.concatenate(frames, axis=1) if frames else np.zeros((0, 0), np.int64)


def samples_of(events: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    """All samples of a decoding stream."""
    return np.concatenate([np.array(e["samples"], np.float32) for e in events if e["type"] == "samples"])
