"""HTTP requests that want no websocket.

Knows: websockets' requests and responses. Does not know: which files there are (static.py), streams.
"""

from __future__ import annotations

from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .static import respond


def page(request: Request) -> Response:
    """A file of the page, or that there is none of this name."""
    file = respond(request.path, ",".join(request.headers.get_all("If-None-Match")) or None)
    if file is None:
        words = b"There is no such page; the page and the websocket are at /, beside /health and /metrics.\n"
        return answer(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", words)
    return _response(file.status, Headers(file.headers), file.body)


def answer(status: HTTPStatus, kind: str, body: bytes) -> Response:
    """An answer of the moment, for nobody to keep."""
    headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return _response(status, Headers({**headers, "X-Content-Type-Options": "nosniff"}), body)


def _response(status: HTTPStatus, headers: Headers, body: bytes) -> Response:
    headers["Connection"] = "close"  # websockets answers one request
    return Response(status, status.phrase, headers, body)
