"""Accepts connections and reads their requests, at a pace that leaves the event loop to live streams.

Accepting and reading go on whatever waits to be answered, so whoever has a token in the handshake's header gets in. All
others wait in a bounded set; the newest gets room, and the oldest of the address with the most has to go. Responses,
and handshakes with a token and without, are done little by little, each within their share of the loop's time.

Knows: sockets, shares of time, deadlines. Does not know: what is answered, what becomes of a websocket (admission.py).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket as sockets
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from time import thread_time
from typing import Any

from ..access import Allowance
from ..logs import log
from ..metered import HANDSHAKE_SECONDS
from ..scheduling.live_load import LiveLoad
from .addresses import address_group
from .arrival import Arrival
from .descriptors import MOST_LINGERING
from .hello import MAX_HELLO_BYTES, hello_bytes
from .listening import listening_sockets
from .request import RequestRefusedError
from .turns import Turns
from .waiting import Waiting

#: Connections that are accepted before other tasks get their turn.
_ACCEPTS_PER_TURN = 4
#: Shares of the loop's time: for accepting and reading, for answering, and for those with a token while they are young.
#: Who opens or resumes streams in a loop waits. Then the seconds that each has at once, and its longest pause.
_SHARES, _BURST, _LONGEST_PAUSE = (0.1, 0.1, 0.1), 0.005, 1.0
#: Seconds that everyone may stay, however many others come: they wait in the kernel meanwhile.
SHORTEST_STAY = 0.2
#: Seconds of loop time that are not measured, since they are spent later or by tasks.
_ACCEPT_COST, _PEEK_COST, _OPEN_COST, _TLS_COST = 20e-6, 20e-6, 60e-6, 0.0007
#: How long nothing is accepted after the system could not.
_FAILURE_PAUSE = 0.01
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

#: Decides about a whole request: calls `Listener.leave` or `Listener.finish`.
Answer = Callable[[Arrival], None]


class Listener:
    """Listening sockets, and the connections that have not made their request yet. It stands in for `asyncio.Server`.

    Args:
        answer: called with each whole request. It may raise `RequestRefusedError`.
        refused: called with a reason, and an address where there is one, whenever a connection is turned away.
        token_of: the token that the head of a request has, if that is right.
        waiting: how many connections may wait, in all.
        waiting_of_one: how many of one address.
        timeout: seconds from accept to a whole request, and then for the client to take the response.
        load: what live streams leave; the shares are that much smaller.
        tls: a TLS context, or None.

    Attributes:
        tls: the context for further connections; may be replaced.
        answers, with_token: the queues of what is done for those who have no token, and for those who have one.
    """

    def __init__(
        self, answer: Answer, refused: Callable[[str, str], None], token_of: Callable[[bytes], str | None], *,
        waiting: int, waiting_of_one: int, timeout: float, tls: ssl.SSLContext | None, load: LiveLoad,
    ) -> None:  # fmt: skip
        self._answer, self._refused, self._token_of, self.tls = answer, refused, token_of, tls
        self._timeout, self._loop = timeout, asyncio.get_running_loop()
        self._now = self._loop.time
        self._waiting: Waiting[Arrival] = Waiting(waiting, min(waiting, waiting_of_one))
        self._admitting: Waiting[Arrival] = Waiting(waiting, -(-waiting // 2))  # those with a token, by token
        self._lingering: Waiting[Arrival] = Waiting(MOST_LINGERING, MOST_LINGERING)
        shares = [Allowance(_BURST, share, self._now(), longest=_LONGEST_PAUSE) for share in _SHARES]
        self._openings, self.answers, self.with_token = map(Turns, shares, (False, True, True), [load] * 3)
        self._accept_share = shares[0]
        self._spare = -1  # a descriptor to be closed where one is wanted
        self._paused: dict[sockets.socket, asyncio.TimerHandle] = {}
        self._next: dict[sockets.socket, Arrival] = {}  # accepted, and waits for a place
        self._running, self._ending = list[asyncio.Task[None]](), list[asyncio.Task[Any]]()
        self.sockets: tuple[sockets.socket, ...] = ()

    def __len__(self) -> int:
        """Connections whose request has not come, or is not answered yet."""
        return len(self._waiting) + len(self._admitting) + len(self._next)

    # ------------------------------------------------------------- as asyncio.Server

    async def listen(self, host: str, port: int) -> Listener:
        """Listen on every address of a host.

        Raises:
            OSError: none of them can be had.
        """
        self.sockets = await listening_sockets(host, port)
        with suppress(OSError):  # there is none: `_make_descriptor` tries again
            self._spare = os.open(os.devnull, os.O_RDONLY)
        for turns in (self._openings, self.with_token, self.answers):
            self._running.append(self._loop.create_task(turns.run(), name="streamrvq-requests"))
        for socket in self.sockets:
            self._loop.add_reader(socket, self._accept_some, socket)
        return self

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._running)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self._loop

    def close(self) -> None:
        """Accept no more connections, and end those that have not made their request."""
        if not self._running:
            return
        for task in self._running:
            task.cancel()
        self._ending, self._running = [*self._running], []
        for handle in self._paused.values():
            handle.cancel()
        for socket in self.sockets:
            self._loop.remove_reader(socket)
            socket.close()
        for arrival in [*self._waiting, *self._admitting, *self._lingering, *self._next.values()]:
            if arrival.opening is not None:
                self._ending.append(arrival.opening)
            self._drop(arrival)
        self.with_token.close()
        self.answers.close()
        if self._spare >= 0:
            os.close(self._spare)

    async def wait_closed(self) -> None:
        """Wait until nothing is left of what `close` ended."""
        if self._ending:
            await asyncio.wait(self._ending)
        await asyncio.sleep(0)  # transports that were aborted close their sockets

    # ------------------------------------------------------------- accepting

    def _accept_some(self, listening: sockets.socket) -> None:
        """Accept what has come, as far as our share of the time allows; to be called when something has come."""
        pause = 0.0
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                socket, address = listening.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                pause = _FAILURE_PAUSE
                if error.errno in _NO_DESCRIPTORS:
                    self._make_descriptor(listening)
                break
            began = thread_time()
            socket.setblocking(False)
            with suppress(OSError):  # asyncio does this only where the listening socket names the protocol
                socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
            arrival = Arrival(socket, address_group(address), self)
            pause = SHORTEST_STAY - self._waiting.shortest_stay(self._now())
            if pause > 0 and arrival.first_bytes() != b"":
                self._next[listening] = arrival
                break
            pause = 0.0
            self._place(arrival)
            self.worked(thread_time() - began + _ACCEPT_COST)
        pause = max(pause, self._accept_share.pause(self._now()))
        if pause > 0:
            self._loop.remove_reader(listening)
            self._paused[listening] = self._loop.call_later(pause, self._accept_again, listening)

    def _accept_again(self, listening: sockets.socket) -> None:
        del self._paused[listening]
        if listening in self._next:
            self._place(self._next.pop(listening))
        self._loop.add_reader(listening, self._accept_some, listening)

    def _place(self, arrival: Arrival) -> None:
        """Let a connection wait for its request, if its client has not gone again."""
        if (first := arrival.first_bytes()) == b"":
            arrival.abort()
            return
        if (gone := self._waiting.add(arrival, arrival.group, self._now())) is not None:
            self._refused("room", gone.group)
            gone.abort()
        if first is None:
            arrival.when_readable(lambda: self._openings.add(partial(self._open, arrival)))
        else:
            self._openings.add(partial(self._open, arrival))

    def _make_descriptor(self, listening: sockets.socket) -> None:
        """End a connection, since there is no descriptor for a new one."""
        gone = self._lingering.make_room() or self._waiting.make_room() or self._admitting.make_room()
        self._refused("descriptors", gone.group if gone is not None else "")
        if gone is not None:
            gone.abort()
            return
        if self._spare >= 0:  # nothing can be ended: close the new one, so that its client need not wait in vain
            os.close(self._spare)
            self._spare = -1
            with suppress(OSError):
                listening.accept()[0].close()
        with suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _drop(self, arrival: Arrival) -> None:
        self.ended(arrival)
        arrival.abort()

    def end_late(self, now: float) -> None:
        """End what has waited for too long; to be called regularly with the event loop's time."""
        for arrival in self._waiting.late(now - self._timeout) + self._admitting.late(now - self._timeout):
            self._refused("no_request", arrival.group)
            arrival.abort()
        for arrival in self._lingering.late(now - self._timeout):
            arrival.abort()

    # ------------------------------------------------------------- answering

    def _open(self, arrival: Arrival, had: int = 0) -> float:
        """Begin to read from a connection that has sent something; ``had``: bytes that were not enough for TLS."""
        if arrival.over:
            return 0.0
        first = arrival.first_bytes(1 if self.tls is None else MAX_HELLO_BYTES)
        wanted = hello_bytes(first) if first and self.tls is not None else 1
        if not first or wanted is None or (wanted > len(first) and had >= len(first)):
            if wanted is None:
                self._refused("no_tls", arrival.group)
            self._drop(arrival)
            return 0.0
        if wanted > len(first):
            again = partial(self._openings.add, partial(self._open, arrival, len(first)))
            arrival.when_readable(again, wanted)
            return _PEEK_COST
        arrival.open(self.tls, self._timeout)
        return _OPEN_COST if self.tls is None else _TLS_COST

    def _admit(self, arrival: Arrival) -> float:
        if arrival.gone:  # while it waited, and nothing was read
            self._drop(arrival)
        return self._answer_in_turn(arrival)

    def _answer_in_turn(self, arrival: Arrival) -> float:
        if arrival.over:
            return 0.0
        try:
            self._answer(arrival)
        except RequestRefusedError as refusal:
            self.refused(arrival, refusal)
        except Exception:
            log.exception("a request could not be answered")
            failure = RequestRefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "The server's log says more.\n")
            self.refused(arrival, failure)
        return HANDSHAKE_SECONDS if arrival.left else 0.0

    def leave(self, arrival: Arrival, protocol: asyncio.Protocol) -> None:
        """Hand a connection over to another protocol."""
        self.ended(arrival)
        arrival.hand_over(protocol)

    def finish(self, arrival: Arrival, response: bytes, wait: bool) -> None:
        """Send a response and close; see `Arrival.reply`."""
        self.ended(arrival)
        if (gone := self._lingering.add(arrival, arrival.group, self._now())) is not None:
            gone.abort()
        arrival.reply(response, wait)

    # ------------------------------------------------------------- what arrivals tell

    def head_complete(self, arrival: Arrival) -> None:
        """A whole request has come. With a token it waits for others of that token only: tokens take turns."""
        if (token := self._token_of(arrival.head)) is None:
            self.answers.add(partial(self._answer_in_turn, arrival))
            return
        self._waiting.remove(arrival)
        if (gone := self._admitting.add(arrival, token, self._now())) is not None:
            self._refused("room", gone.group)
            gone.abort()
        self.with_token.add(partial(self._admit, arrival), token)

    def refused(self, arrival: Arrival, refusal: RequestRefusedError) -> None:
        """What has come is no request."""
        self._refused(f"http_{refusal.reply.status.value}", arrival.group)
        self.finish(arrival, refusal.reply.to_bytes(refusal.method), wait=True)

    def ended(self, arrival: Arrival) -> None:
        """A client has gone, or waits no longer."""
        for waiting in (self._waiting, self._admitting, self._lingering):
            waiting.remove(arrival)

    def worked(self, seconds: float) -> None:
        """Accepting or reading took so much of the event loop's time."""
        self._openings.worked(seconds)
