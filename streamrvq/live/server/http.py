"""What the server answers to HTTP: refusals, /health, /metrics, the page; or that a handshake may go on.

Knows: which paths there are, who may ask. Does not know: sockets, how a request is read (admission/), the page's files
(static.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from .access import origin_allowed
from .admission.reply import Reply, text_reply, uncached_reply
from .admission.request import HttpRequest
from .static import CONTENT_TYPES, respond

#: The text of /metrics takes some milliseconds to make. Whoever asks again within this time gets the same.
_METRICS_SECONDS = 1.0
#: What a reverse proxy may leave before a path: `/codec` of `/codec/page.js`. No dot begins a part, so none leads up.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+(?=/)")
#: What is there, and so is no path below which it is.
_NAMES = {"health", "metrics", *CONTENT_TYPES}


class HttpService:
    """Answers requests.

    Args:
        origins: of other pages that may connect; they passed `access.check_origin`.
        health: called for the status of /health and its object.
        metrics: called for the text of /metrics.
        now: the time, in seconds.
    """

    def __init__(
        self,
        origins: tuple[str, ...],
        health: Callable[[], tuple[HTTPStatus, dict[str, Any]]],
        metrics: Callable[[], bytes],
        now: Callable[[], float],
    ) -> None:
        self._origins, self._health, self._metrics, self._now = origins, health, metrics, now
        self._metrics_reply, self._metrics_until = uncached_reply(HTTPStatus.OK, "", b""), float("-inf")

    def reply(self, request: HttpRequest) -> Reply | None:
        """The response to a request; None: it is a handshake, and it may go on."""
        if not origin_allowed(request.origin, request.host, self._origins):
            return text_reply(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect; serve --origin lets them.\n")
        if not request.upgrade:
            return self.plain(request.path, request.if_none_match)
        if _without_prefix(request.path) != "/":
            text = "The websocket is at /, without a query; below a path, end that with a slash.\n"
            return text_reply(HTTPStatus.NOT_FOUND, text)
        return None

    def plain(self, path: str, if_none_match: str | None = None) -> Reply:
        """The response to a request that is no handshake."""
        path = _without_prefix(path)
        if path == "/health":
            status, health = self._health()
            return uncached_reply(status, "application/json", json.dumps(health).encode() + b"\n")
        if path == "/metrics":
            return self._metrics_text()
        file = respond(path, if_none_match)
        if file is None:
            text = (
                "There is no such page; the page and the websocket are at /, beside /health and /metrics. "
                "Below a path, end that with a slash.\n"
            )
            return text_reply(HTTPStatus.NOT_FOUND, text)
        return file

    def _metrics_text(self) -> Reply:
        if self._now() >= self._metrics_until:
            content_type = "text/plain; version=0.0.4; charset=utf-8"
            self._metrics_reply = uncached_reply(HTTPStatus.OK, content_type, self._metrics())
            self._metrics_until = self._now() + _METRICS_SECONDS
        return self._metrics_reply


def _without_prefix(path: str) -> str:
    """A path without the path below which a reverse proxy serves all this: `/` of `/codec/`."""
    prefix = _PREFIX.match(path)
    if prefix is None or prefix[0].rpartition("/")[2] in _NAMES:  # `/health/` is nothing
        return path
    return path[prefix.end() :]
