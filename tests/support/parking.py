"""A server that parks sessions, written from the protocol's text alone, to test how a client resumes.

It serves the page, too. Its codes are samples: code k of frame t is sample t · hop + k, so that codes tell which
samples were encoded, and where. It breaks off where it is told to, with messages unread and frames unsent.

Knows: the protocol. Does not know: the package's own streams, at either end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import struct
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.typing import Subprotocol

from streamrvq.live.server.admission.reply import text_reply
from streamrvq.live.server.static import respond
from tests.support.patience import PATIENCE

HOP, CODEBOOKS, RATE = 32, 4, 8000
SESSION = "5e" * 16
_READY = {
    "type": "ready", "version": 1, "session": SESSION, "codec": "samples", "codec_hash": "0", "trained": True,
    "codebooks": CODEBOOKS, "codebook_size": 65536, "delay_frames": 0,
    "decoder_delay_samples": 0, "max_message": 4096,
}  # fmt: skip
_NEWS = json.dumps({"type": "news", "samples": 1, "frames": 1})
Entry = tuple[int, str | list[int]]  #: the number of frames before it; a text, or a frame's codes


def _page(path: str) -> Response:
    """A file of the page."""
    file = respond(path) or text_reply(HTTPStatus.NOT_FOUND, "")
    return Response(file.status, file.status.phrase, Headers([*file.headers, ("Connection", "close")]), file.body)


@dataclasses.dataclass
class Parking:
    """The server's one session.

    Attributes:
        breaks: after how many messages each connection breaks; those after them hold.
        refuse: an error with which resumptions are refused, if any.
        silent: whether resumptions get no answer.
        full: how many resumptions are refused first, because there is no place.
        wants: the sample that the server wants next, whatever it had, if any.
        newer: whether it also sends messages that no client knows.
    """

    breaks: list[int]
    hop: int = HOP
    refuse: tuple[int, str] | None = None
    silent: bool = False
    full: int = 0
    wants: int | None = None
    newer: bool = False
    taken: list[int] = dataclasses.field(default_factory=list)  #: samples, lost ones as zeros
    resumptions: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    log: list[Entry] = dataclasses.field(default_factory=list)  #: what was to be sent
    frames: int = 0
    levels: int = CODEBOOKS
    waiting: list[tuple[int, str]] = dataclasses.field(default_factory=list)  #: markers: due at frame, text
    ended: bool = False
    failed: Exception | None = None
    broken: int = 0  #: connections

    @contextlib.asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        """Listen. Returns where."""
        offered = [Subprotocol("streamrvq.v1")]
        async with serve(
            self._connection, "127.0.0.1", 0, subprotocols=offered, compression=None, open_timeout=PATIENCE,
            ping_interval=None,
            process_request=lambda _, request: None if "Upgrade" in request.headers else _page(request.path),
        ) as server:  # fmt: skip
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if self.failed is not None:
            raise self.failed

    async def _connection(self, socket: ServerConnection) -> None:
        try:
            first = json.loads(await socket.recv())
            if first["type"] == "resume" and self.full:
                self.full -= 1
                await self._refuse(socket, 1013, "full")
                return
            if first["type"] == "resume" and self.silent:
                self.resumptions.append(first)
                await socket.wait_closed()
                return
            left = self.breaks.pop(0) if self.breaks else 10**9
            if self.newer:
                await socket.send(_NEWS)
            if first["type"] == "start":
                ready = _READY | {"hop": self.hop, "sample_rate": first.get("sample_rate") or RATE}
                await socket.send(json.dumps(ready))
                await self._run(socket, left, 0)
            elif self.refuse is not None:
                await self._refuse(socket, *self.refuse)
            else:
                self.resumptions.append(first)
                assert first["session"] == SESSION
                assert first["version"] == 1
                await self._resume(socket, left, first["next_frame"])
        except ConnectionClosed:
            pass
        except Exception as error:
            self.failed = error
            raise

    async def _refuse(self, socket: ServerConnection, code: int, message: str) -> None:
        await socket.send(json.dumps({"type": "error", "code": code, "message": message}))
        await socket.close(code)

    async def _resume(self, socket: ServerConnection, left: int, frame: int) -> None:
        pos = len(self.taken) if self.wants is None else self.wants
        await socket.send(json.dumps({"type": "resumed", "pos": pos, "next_frame": frame}))
        await self._run(socket, left, frame, [entry for entry in self.log if entry[0] >= frame])

    async def _run(self, socket: ServerConnection, left: int, frame: int, again: Sequence[Entry] = ()) -> None:
        """Serve ``left`` messages, the last one's answer never to be sent. Numbers begin at 0 again."""
        pos, came, out, held = len(self.taken), 0, 0, list(again)
        while True:
            if self.newer:
                await socket.send(_NEWS)
            for number, entry in held:
                if isinstance(entry, str):
                    await socket.send(entry)
                    continue
                assert number == frame
                final = self.ended and frame == self.frames - 1
                header = struct.pack("<BBHIQ", 2, final, len(entry), out, frame)
                await socket.send(header + struct.pack(f"<{len(entry)}H", *entry))
                out, frame = out + 1, frame + 1
            if self.ended:
                return
            data, before = await socket.recv(), len(self.log)
            if isinstance(data, bytes):
                assert struct.unpack_from("<BBHIQ", data) == (1, 0, 0, came, pos), "numbered as the protocol says"
                samples = struct.unpack(f"<{len(data) // 2 - 8}h", data[16:])
                if left == 1:  # the last message is taken in part
                    samples = samples[: (len(samples) + 1) // 2]
                self.taken.extend(samples)
                came, pos = came + 1, pos + len(samples)
                self._frames()
            else:
                pos += self._text(json.loads(data), pos)
            held, left = self.log[before:], left - 1
            if not left:
                self.broken += 1
                socket.transport.abort()
                return

    def _frames(self, last: bool = False) -> None:
        while len(self.taken) - self.frames * self.hop >= (1 if last else self.hop):
            first = self.frames * self.hop
            codes = [value & 0xFFFF for value in [*self.taken[first : first + self.levels], 0, 0, 0, 0][: self.levels]]
            self.log.append((self.frames, codes))
            self.frames += 1
            self._markers()

    def _markers(self, all: bool = False) -> None:
        while self.waiting and (all or self.waiting[0][0] <= self.frames):
            self.log.append((self.frames, self.waiting.pop(0)[1]))

    def _text(self, message: dict[str, Any], pos: int) -> int:
        """Handle a text message. Returns how many samples it stands for."""
        match message["type"]:
            case "marker":
                self.waiting.append((-(-pos // self.hop), json.dumps(message)))
                self._markers()
            case "set":
                self.levels = message["n_quantizers"]
            case "gap":
                assert message["pos"] == pos
                self.log.append((self.frames, json.dumps({**message, "filled": True, "next_frame": self.frames})))
                self.taken.extend([0] * message["samples"])
                self._frames()
                return int(message["samples"])
            case "stop":
                self._frames(last=True)
                self._markers(all=True)
                done = {"type": "done", "frames": self.frames, "samples": len(self.taken), "lost": 0}
                self.log.append((self.frames, json.dumps(done)))
                self.ended = True
        return 0
