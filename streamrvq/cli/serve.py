"""``streamrvq serve``: the websocket service, until a signal ends it.

Knows: options, signals, where the log goes. Does not know: what a server does (live/server.py).
"""

from __future__ import annotations

import asyncio
import json as json_module
import logging
import signal
import sys
from typing import Annotated

import typer

from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..errors import InputError
from .common import EngineOption, ThreadsOption, identity, note, note_untrained, out
from .service import VARIABLE, TokenFileOption, TokenOption, tokens

_LEVELS = ("debug", "info", "warning", "error")


def serve(
    codec: Annotated[str, typer.Argument(help="A preset's name, or a file or folder of weights.")] = DEFAULT_CODEC,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: any free one.")] = 8000,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Pages of this origin may connect, too; repeatable; '*' for all."),
    ] = None,
    max_streams: Annotated[int, typer.Option("--max-streams", help="Streams open at once.")] = 16,
    idle_timeout: Annotated[float, typer.Option("--idle-timeout", help="Seconds without a message.")] = 60.0,
    send_timeout: Annotated[float, typer.Option("--send-timeout", help="Seconds to take a message.")] = 10.0,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error; on stderr.")] = "info",
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON line when listening.")] = False,
) -> None:
    """Serve live streams over a websocket: PCM to codes, and codes to PCM (PROTOCOL.md)."""
    from ..live.server import ServerSettings  # here, for websockets takes long to import

    if log_level not in _LEVELS:
        raise InputError(f"--log-level is {log_level!r}; wanted {', '.join(_LEVELS)}")
    settings = ServerSettings(
        host=host, port=port, tokens=tokens(token, token_file), origins=tuple(origin or ()), max_streams=max_streams,
        max_connections=max(256, 2 * max_streams), idle_timeout=idle_timeout, send_timeout=send_timeout,
    )  # fmt: skip
    opened = load(codec, engine, threads)
    note_untrained(opened)
    if not settings.tokens and host not in ("127.0.0.1", "::1", "localhost"):
        note(f"no token is set: whoever reaches {host} may use this server; set {VARIABLE} or --token-file")
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    asyncio.run(_serve(opened, settings, json))


async def _serve(codec: Codec, settings: object, json: bool) -> None:
    from ..live.server import Server, ServerSettings

    assert isinstance(settings, ServerSettings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with Server(codec, settings) as server:
        if json:
            print(json_module.dumps({"url": server.url, "port": server.port, **identity(codec)}), flush=True)
        else:
            page = server.url.replace("ws", "http", 1)
            out().print(f"listening on {server.url}; the page is at {page}", soft_wrap=True)
            sys.stdout.flush()
        await ended.wait()
