"""``streamrvq serve``: the websocket service, until a signal ends it.

Knows: options, signals, where the log goes, which files are read again on SIGHUP. Does not know: what a server does
(live/server/).
"""

from __future__ import annotations

import asyncio
import gc
import json as json_module
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..codec import Codec, load
from ..config import DEFAULT_CODEC
from ..errors import InputError, ServiceError
from ..system.optional import need
from .common import (
    CodecArgument,
    DeviceOption,
    EngineOption,
    SeededOption,
    ThreadsOption,
    identity,
    note,
    note_untrained,
    out,
    source_of,
)
from .service import VARIABLE, TokenFileOption, TokenOption, tokens

if TYPE_CHECKING:
    from ..live.server.server import Server
    from ..live.server.settings import ServerSettings

#: What comes in place of a signal's number when the server has failed.
_FAILED = 0
_LEVELS = ("debug", "info", "warning", "error")


def serve(
    codec: CodecArgument = DEFAULT_CODEC,
    seeded: SeededOption = False,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: any free one.")] = 8000,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Also let pages of this origin connect; repeatable; '*' for all."),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option("--tls-certificate", help="For wss and https: a PEM file with the chain, and perhaps the key."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="The key, if it is in a file of its own.")] = None,
    max_streams: Annotated[
        int | None,
        typer.Option("--max-streams", help="Streams at once. Default: as many as are measured to run in real time."),
    ] = None,
    max_parked: Annotated[
        int, typer.Option("--max-parked", help="Streams kept for clients whose connection was lost.")
    ] = 16,
    max_of_one: Annotated[
        int | None, typer.Option("--max-of-one", help="Connections from one address. Default: no limit of its own.")
    ] = None,
    max_unauthenticated: Annotated[
        int, typer.Option("--max-unauthenticated", help="Connections at once that have sent no token, in each stage.")
    ] = 256,
    gather: Annotated[float, typer.Option("--gather", help="Seconds that a step waits for further streams.")] = 0.002,
    max_batch: Annotated[
        int | None,
        typer.Option("--max-batch", help="Streams × hops per step, at most. Default: as many as compute within a hop."),
    ] = None,
    idle_timeout: Annotated[float, typer.Option("--idle-timeout", help="Seconds a client may be silent.")] = 60.0,
    send_timeout: Annotated[
        float, typer.Option("--send-timeout", help="Seconds a client may take to accept a message.")
    ] = 10.0,
    park_timeout: Annotated[
        float, typer.Option("--park-timeout", help="Seconds for which a lost stream can be resumed.")
    ] = 30.0,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error; on stderr.")] = "info",
    log_format: Annotated[str, typer.Option("--log-format", help="text, or json: one object per line.")] = "text",
    uvloop: Annotated[bool, typer.Option("--uvloop", help=r"Run on uvloop: pip install '.\[uvloop]'.")] = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = None,
    device: DeviceOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON line once it listens.")] = False,
) -> None:
    """Serve live streams over a websocket: PCM to codes, and codes to PCM (streamrvq/live/protocol/PROTOCOL.md)."""
    from ..live.server.admission.descriptors import raise_limit
    from ..live.server.logs import JsonLines
    from ..live.server.settings import ServerSettings

    if log_level not in _LEVELS:
        raise InputError(f"--log-level is {log_level!r}; wanted {', '.join(_LEVELS)}")
    if log_format not in ("text", "json"):
        raise InputError(f"--log-format is {log_format!r}; wanted text or json")
    settings = ServerSettings(
        host=host, port=port, tokens=tokens(token, token_file), origins=tuple(origin or ()), max_streams=max_streams,
        tls_certificate=tls_certificate, tls_key=tls_key, max_parked=max_parked,
        max_connections_of_one=max_of_one, max_unauthenticated=max_unauthenticated,
        max_unauthenticated_of_one=max_unauthenticated, gather=gather, max_batch=max_batch, idle_timeout=idle_timeout,
        send_timeout=send_timeout, park_timeout=park_timeout,
    )  # fmt: skip
    new_loop = _loop(uvloop)
    opened = load(source_of(codec, seeded), engine, threads, device=device)
    note_untrained(opened)
    if not settings.tokens and host not in ("127.0.0.1", "::1", "localhost"):
        note(f"no token is set: anyone who reaches {host} may use this server; set {VARIABLE} or --token-file")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if log_format == "json" else logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=log_level.upper())
    raise_limit()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(opened, settings, token_file, json))


def _loop(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not uvloop:
        return None
    new_loop: Callable[[], asyncio.AbstractEventLoop] = need("uvloop", "uvloop", "--uvloop needs").new_event_loop
    return new_loop


async def _serve(codec: Codec, settings: ServerSettings, token_file: Path | None, json: bool) -> None:
    from ..live.server.server import Server

    ends: list[int] = [signal.SIGINT, signal.SIGTERM]
    came = asyncio.Queue[int]()
    handled, starting, this = list(ends), True, asyncio.current_task()
    assert this is not None

    def signalled(number: int) -> None:
        if starting and number in ends:
            this.cancel()  # before it listens it need not be stopped in order
        else:
            came.put_nowait(number)

    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        handled.append(signal.SIGHUP)
    for number in handled:
        asyncio.get_running_loop().add_signal_handler(number, signalled, number)
    try:
        async with Server(codec, settings, lambda: came.put_nowait(_FAILED)) as server:
            starting = False
            _say_where(server, codec, json)
            _collect_in_small_parts()
            while (number := await came.get()) not in (*ends, _FAILED):
                _reload(server, token_file)
    except asyncio.CancelledError:  # of `signalled`
        note("a signal ended the server before it listened")
        return
    if number == _FAILED:
        raise ServiceError("the server failed, and has stopped; its log says why: start it again")


def _say_where(server: Server, codec: Codec, json: bool) -> None:
    if json:
        where = {"url": server.url, "port": server.port, "max_streams": server.max_streams}
        print(json_module.dumps({**where, **identity(codec)}), flush=True)
    else:
        page = server.url.replace("ws", "http", 1)
        text = f"listening on {server.url}, for {server.max_streams} streams; the page is at {page}"
        out().print(text, soft_wrap=True)
        sys.stdout.flush()


def _collect_in_small_parts() -> None:
    """Set Python's collector of garbage so that no collection takes long: meanwhile nothing is sent."""
    gc.collect()
    gc.freeze()  # what is there now stays: no collection need go through it
    gc.collect()  # forget how much that was: by default a full collection waits for a quarter as much again
    # Connections that have ended leave some garbage. A full collection goes through all that are open, so it is to be
    # rare; and with the default, thousands that have ended took it 0.1 s.
    gc.set_threshold(500, 2, 10)
    # The thread that computes waits so long for the event loop's: by default 5 ms, several times in a hop.
    sys.setswitchinterval(0.0005)


def _reload(server: Server, token_file: Path | None) -> None:
    """Read the certificate and the tokens again; where they are bad, keep those there are."""
    from ..live.server.logs import log_event

    certificate = server.settings.tls_certificate
    if certificate is None and token_file is None:
        log_event(
            "not_reloaded", logging.WARNING, why="there is no --tls-certificate and no --token-file to read again"
        )
        return
    try:
        server.reload(tokens(None, token_file) if token_file is not None else None)
    except InputError as error:
        log_event("not_reloaded", logging.ERROR, why=str(error))
    else:
        log_event("reloaded", certificate=certificate, token_file=token_file, tokens=len(server.settings.tokens))
