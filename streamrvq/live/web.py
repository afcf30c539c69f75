"""HTTP requests that want no websocket.

Knows: websockets' requests and responses. Does not know: which files there are (site.py), streams.
"""

from __future__ import annotations

from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from .site import respond


def page(request: Request) -> Response:
    """A file of the page, or that there is none of this name."""
    answer = respond(request.path, ",".join(request.headers.get_all("If-None-Match")) or None)
    if answer is None:
        status, body = HTTPStatus.NOT_FOUND, b"There is no such page; the page and the websocket are at /.\n"
        headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    else:
        status, headers, body = answer.status, Headers(answer.headers), answer.body
    headers["Connection"] = "close"  # websockets answers one request
    return Response(status, status.phrase, headers, body)
