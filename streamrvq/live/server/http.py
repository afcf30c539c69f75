"""Responses to plain HTTP requests, in websockets' types.

Knows: websockets' requests and responses. Does not know: which files there are (static.py), streams.
"""

from __future__ import annotations

from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .static import respond


def page_response(request: Request) -> Response:
    """A file of the browser page, or 404 where it has no such file."""
    file = respond(request.path, ",".join(request.headers.get_all("If-None-Match")) or None)
    if file is None:
        text = b"There is no such page; the page and the websocket are at /, beside /health and /metrics.\n"
        return uncached_response(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", text)
    return _response(file.status, Headers(file.headers), file.body)


def uncached_response(status: HTTPStatus, content_type: str, body: bytes) -> Response:
    """A response that no cache may keep."""
    headers = {"Content-Type": content_type, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return _response(status, Headers({**headers, "X-Content-Type-Options": "nosniff"}), body)


def _response(status: HTTPStatus, headers: Headers, body: bytes) -> Response:
    headers["Connection"] = "close"  # websockets handles one request a connection
    return Response(status, status.phrase, headers, body)
